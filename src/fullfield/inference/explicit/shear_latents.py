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

from fullfield._core import full_precision, stream
from fullfield.fields import each_mode, power_root, precision_root, unitary_hartley
from fullfield.inference.explicit.precondition import expected as expected_preconditioner, Preconditioner
from fullfield.inference.explicit.reconstruct import most_probable
from fullfield.inference.explicit.target import Target
from fullfield.simulators import ShearModel


QUARTER = math.pi / 2  # a trajectory that forgets its start, for white noise
FREE = 2  # moves without rejection
STEP = 1.8  # times D^-¼: two of three moves are accepted
WALK = 1.5  # times p^-½: one of three steps of the parameters is accepted


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
        scatter: Float[Array, "p p"] | None = None,
    ) -> tuple[Float[Array, " p"], Float[Array, "bins n n"]]:
        """Parameters and white latents after moves that leave their posterior as it is.

        Latents are moved at fixed parameters along Hamiltonian trajectories of x (Duane et al. 1987, Phys. Lett. B 195, 216).
        Since x is nearly white, a quarter turn of unit mass forgets where it began: draws that are nearly right are right
        after a few moves of five to ten gradients each, whoever made them. The first two, or half of fewer than four, are never
        rejected and leave it only nearly as it is: draws too near the peak could not leave that otherwise, since energies of
        so many dimensions differ by more than a move may lose.

        After a quarter of the moves, and two, each is followed by p/2 Metropolis steps of the parameters at fixed x, of which
        they are nearly free (partial non-centring, Papaspiliopoulos, Roberts & Sköld 2007, Stat. Sci. 22, 59): where the data
        know a mode, K takes the spectra out of it, and where they do not, x is as white as z. Only along the degeneracy of Ωc,
        σ8 and w₀ do parameters and x hold each other back.

        Args:
            key: scalar key.
            theta: parameters (p,).
            white: latents.
            data: one data set.
            moves: how many.
            scatter: lower root of the covariance that unconstrained parameters have given these data, about right; if not
                given, parameters stay.

        Returns:
            Parameters and white latents.
        """
        space, free = self.model.parameters, jnp.arange(moves) < min(FREE, moves // 2)
        keys = jax.random.split(key, moves)
        alone = moves if scatter is None else max(FREE, moves // 4)
        x = self._turned(theta, self.relative(theta, white, self._origin), data, keys[:alone], free[:alone])

        def move(state, key):
            u, x = state
            theta = space.to_constrained(u)
            x = self._turned(theta, x, data, stream(key, "latents")[None], jnp.zeros(1, bool))
            return (self._walked(stream(key, "parameters"), u, x, data, scatter), x), None

        if scatter is not None:
            (u, x), _ = jax.lax.scan(move, (space.to_unconstrained(theta), x), keys[alone:])
            theta = space.to_constrained(u)
        return theta, self.latents(theta, x, self._origin)

    def _turned(self, theta, x, data, keys, free):
        """x after a trajectory for each key at fixed parameters, those that are free without rejection."""
        kernel, step, turns = hmc.build_kernel(), _step(x.size), _turns(x.size)

        def density(flat):
            white = self.latents(theta, flat.reshape(x.shape), self._origin)
            return self.model.log_joint(theta, {"white": white}, data)

        def move(state, at):
            key, free = at
            kept, info = kernel(key, state, density, step, jnp.ones(x.size), turns)
            end = info.proposal
            proposed = hmc.HMCState(end.position, end.logdensity, end.logdensity_grad)
            free = free & jnp.isfinite(end.logdensity)
            return jax.tree.map(lambda a, b: jnp.where(free, a, b), proposed, kept), None

        state, _ = jax.lax.scan(move, hmc.init(x.ravel(), density), (keys, free))
        return state.position.reshape(x.shape)

    def _walked(self, key, u, x, data, scatter):
        """Unconstrained parameters after a random walk at fixed x."""
        p = len(u)

        def density(u):
            theta = self.model.parameters.to_constrained(u)
            root = self._root(theta)
            latents = {"white": self.latents(theta, x, self._origin)}
            volume = sum(jnp.sum(jnp.log(root[i, i])) for i in range(len(root)))  # of x for one of z
            return -self.model.potential(u, latents, data) - volume

        def walk(state, key):
            u, value = state
            new = u + WALK / math.sqrt(p) * scatter @ jax.random.normal(stream(key, "step"), (p,))
            there = density(new)
            taken = jnp.log(jax.random.uniform(stream(key, "taken"))) < there - value
            return (jnp.where(taken, new, u), jnp.where(taken, there, value)), None

        (u, _), _ = jax.lax.scan(walk, (u, density(u)), jax.random.split(key, _steps(p)))
        return u

    @property
    def _origin(self):
        return jnp.zeros(self.model.noise.shape)  # any will do

    def gradients(self, moves: int) -> int:
        """Gradients of the model that some moves cost, parameters included, each of whose steps counts as one."""
        if not moves:
            return 0
        walks = max(0, moves - max(FREE, moves // 4))
        return moves * _turns(self.model.noise.size) + 1 + walks * (2 + _steps(self.model.parameters.size))

    def _root(self, theta):
        lensing, noise = self.model.lensing, self.model.noise
        power = lensing.lattice.power(lensing.spectra(theta[: lensing.parameters.size]))
        weight = jnp.mean(1 / noise**2, axis=(0, 1))  # zero where unobserved
        return precision_root(lensing.survey.sky, power_root(power), weight)


def _step(dimensions: int) -> float:
    return STEP * dimensions**-0.25


def _turns(dimensions: int) -> int:
    return math.ceil(QUARTER / _step(dimensions))


def _steps(parameters: int) -> int:
    return math.ceil(parameters / 2)


def white_maps(white: Float[Array, "bins n n"]) -> Float[Array, "n n bins"]:
    """White latents, which are coefficients of modes, as maps."""
    return unitary_hartley(jnp.moveaxis(white, 0, -1))


def coefficients(maps: Float[Array, "n n bins"]) -> Float[Array, "bins n n"]:
    """The way back."""
    return jnp.moveaxis(unitary_hartley(maps), -1, 0)
