"""White latents of shear maps, seen from the most probable ones at given parameters: what a generative model has to learn.

With ẑ(θ, d) the most probable latents and K Kᵀ = 1 + Lᵀ N⁻¹ L the precision, mode by mode, that a Gaussian field of the spectra
L Lᵀ at θ would have under noise of the same mean depth,

    x(θ, d) = ẑ + Kᵀ (z - ẑ)

lies about ẑ as white noise does, but for what mask, uneven depth and the field's own skewness make of it. Power and skewness of
the convergence follow from θ exactly, and modes that the data do not know have the prior's distribution exactly.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from blackjax.mcmc import hmc
from jaxtyping import Array, Float, Key

from fullfield._core import full_precision
from fullfield.fields import each_mode, power_root, precision_root, unitary_hartley
from fullfield.inference.explicit.precondition import expected as expected_preconditioner, Preconditioner
from fullfield.inference.explicit.reconstruct import most_probable
from fullfield.inference.explicit.target import Target
from fullfield.simulators import ShearModel


QUARTER = math.pi / 2  # a trajectory that forgets its start, for white noise
FREE = 2  # moves without rejection
STEP = 1.8  # times D^-¼: two of three moves are accepted


class ShearLatents(eqx.Module):
    """The latents of a shear model as maps x, relative to the most probable ones.

    Args:
        model: of the shear.
        target: the posterior of parameters and latents; its own data are not looked at.
        preconditioner: of the climb to the most probable latents.
        steps: of the climb, each a gradient.
    """

    model: ShearModel
    target: Target
    preconditioner: Preconditioner
    steps: int = eqx.field(static=True, default=8)

    @classmethod
    def of(cls, model: ShearModel, *, key: Key[Array, ""]) -> "ShearLatents":
        """Those of a model, with the preconditioner of its fiducial parameters."""
        target = Target(model, jnp.zeros(model.data_shape))
        return cls(model, target, expected_preconditioner(target, key=key)[0])

    @full_precision
    def expected(
        self, theta: Float[Array, " p"], data: Float[Array, "n n bins 2"], near: Float[Array, "n n bins"]
    ) -> Float[Array, "n n bins"]:
        """ẑ as maps, from latents that are the most probable at other parameters."""
        unconstrained = self.model.parameters.to_unconstrained(theta)
        start = coefficients(near)
        found = most_probable(
            self.target, self.preconditioner, unconstrained, data, start=start.ravel(), steps=self.steps
        )  # fmt: skip
        return white_maps(found.reshape(start.shape))

    def relative(
        self, theta: Float[Array, " p"], white: Float[Array, "bins n n"], expected: Float[Array, "n n bins"]
    ) -> Float[Array, "n n bins"]:
        """x of white latents."""
        root = jnp.swapaxes(self._root(theta), 0, 1)
        return expected + white_maps(each_mode(root, white - coefficients(expected)))

    def latents(
        self, theta: Float[Array, " p"], x: Float[Array, "n n bins"], expected: Float[Array, "n n bins"]
    ) -> Float[Array, "bins n n"]:
        """White latents of x."""
        root, missed = self._root(theta), list(coefficients(x - expected))
        # Kᵀ is upper triangular, and small: back-substitution, all modes at once.
        for i in reversed(range(len(missed))):
            missed[i] = (missed[i] - sum(root[j, i] * missed[j] for j in range(i + 1, len(missed)))) / root[i, i]
        return coefficients(expected) + jnp.stack(missed)

    @full_precision
    def moved(
        self,
        key: Key[Array, ""],
        theta: Float[Array, " p"],
        white: Float[Array, "bins n n"],
        data: Float[Array, "n n bins 2"],
        moves: int,
    ) -> Float[Array, "bins n n"]:
        """White latents after Hamiltonian moves of x at fixed parameters (Duane et al. 1987, Phys. Lett. B 195, 216).

        They leave p(z | θ, d) as it is, and since x is nearly white, a quarter turn of unit mass forgets where it began: draws
        that are nearly right are right after a few moves of five to ten gradients each, whoever made them. The first two, or
        half of fewer than four, are never rejected and leave it only nearly as it is: draws too near the peak could not leave
        that otherwise, since energies of so many dimensions differ by more than a move may lose.
        """
        centre = jnp.zeros((*white.shape[1:], len(white)))  # any will do
        kernel, step, turns = hmc.build_kernel(), _step(white.size), _turns(white.size)
        latents = lambda flat: self.latents(theta, flat.reshape(centre.shape), centre)  # noqa: E731
        density = lambda flat: self.model.log_joint(theta, {"white": latents(flat)}, data)  # noqa: E731

        def move(state, at):
            i, key = at
            kept, info = kernel(key, state, density, step, jnp.ones(white.size), turns)
            end = info.proposal
            proposed = hmc.HMCState(end.position, end.logdensity, end.logdensity_grad)
            free = (i < min(FREE, moves // 2)) & jnp.isfinite(end.logdensity)
            return jax.tree.map(lambda a, b: jnp.where(free, a, b), proposed, kept), None

        start = hmc.init(self.relative(theta, white, centre).ravel(), density)
        state, _ = jax.lax.scan(move, start, (jnp.arange(moves), jax.random.split(key, moves)))
        return latents(state.position)

    def gradients(self, moves: int) -> int:
        """Gradients of the model that some moves cost."""
        return moves * _turns(self.model.noise.size) + 1 if moves else 0

    def _root(self, theta):
        lensing, noise = self.model.lensing, self.model.noise
        power = lensing.lattice.power(lensing.spectra(theta[: lensing.parameters.size]))
        weight = jnp.mean(1 / noise**2, axis=(0, 1))  # zero where unobserved
        return precision_root(lensing.survey.sky, power_root(power), weight)


def _step(dimensions: int) -> float:
    return STEP * dimensions**-0.25


def _turns(dimensions: int) -> int:
    return math.ceil(QUARTER / _step(dimensions))


def white_maps(white: Float[Array, "bins n n"]) -> Float[Array, "n n bins"]:
    """White latents, which are coefficients of modes, as maps."""
    return unitary_hartley(jnp.moveaxis(white, 0, -1))


def coefficients(maps: Float[Array, "n n bins"]) -> Float[Array, "bins n n"]:
    """The way back."""
    return jnp.moveaxis(unitary_hartley(maps), -1, 0)
