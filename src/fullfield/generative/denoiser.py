"""One denoiser of parameters and field together, with a time for each.

    x_t = t x + (1 - t) ε,    (û, v̂) = E[u, v | u at t_θ, v at t_κ, observation],

in the white coordinates of `fullfield.generative.coordinates`. Both times equal: the joint diffusion (Remy et al. 2026,
arXiv:2606.31988). t_κ = 0, where the field is all noise: the parameters alone. t_θ = 1, where they are known: the field given
parameters. Whatever path through the square of times is taken, its end is a draw from the same joint posterior.

Field and parameters inform each other in both directions. The parameters see the power of the noisy field, band by band, its
product with the expected one, and what the field's branch has pooled; the field's branch is modulated, and the power that the
field is expected to have is set, by what the parameters' side makes of that.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import paramax
from jaxtyping import Array, Float, Key

from fullfield._core import full_precision, stream
from fullfield.generative.coordinates import Colour, Coordinates, ring_numbers
from fullfield.networks import AbstractBranch, moments, ResidualMLP, Standardise, UNetBranch


BANDS = 8  # at most, of the powers that parameters see, and of the gains that they set
WAVES = 4  # sines and cosines of a time


class Condition(eqx.Module):
    """What an observation says, for a denoiser.

    Args:
        expected: κ_y, the field that a Gaussian would expect (n, n, bins); zero without an observation.
        summary: numbers (s,) about the parameters; none without an observation.
        data: the observation itself, where more is made of it once the parameters are known; not seen by the denoiser.
    """

    expected: Float[Array, "*d n n b"]
    summary: Float[Array, "*d s"]
    data: Float[Array, "..."] | None = None


class JointDenoiser(eqx.Module):
    """Posterior mean of clean parameters and field, given noisy ones and an observation.

    Args:
        coordinates: in which both are white.
        branch: of the field, conditioned by a vector; `make` builds it.
        trunk: what parameters, times and pooled field become.
        head: the parameters' correction.
        gains: logarithm of the field's power and its correlation with the expected field, in each band.
        survey: maps (n, n, c) that are the same for all observations, such as the depth.
        size: of the field in physical units (bins,).
        pooled: how many numbers parameters see of the field.
        colour: from white latents to the field they stand for, if that is what is denoised. The branch then sees both, and
            what it says of the field is carried back.
    """

    coordinates: Coordinates
    branch: AbstractBranch
    seen: Standardise
    trunk: ResidualMLP
    head: eqx.nn.Linear
    gains: eqx.nn.Linear
    early: eqx.nn.Linear
    survey: paramax.NonTrainable | Float[Array, "n n c"]
    size: paramax.NonTrainable | Float[Array, " b"]
    pooled: int = eqx.field(static=True)
    colour: Colour | None = None

    @classmethod
    def make(
        cls,
        parameters: int,
        summary: int,
        bins: int,
        survey: Float[Array, "n n c"],
        *,
        key: Key[Array, ""],
        branch: Callable[..., AbstractBranch] = UNetBranch,
        width: int = 128,
        context: int = 64,
        colour: Colour | None = None,
    ) -> "JointDenoiser":
        """A denoiser to be fitted and trained.

        Args:
            parameters: how many.
            summary: how many numbers sum up an observation.
            bins: of the field.
            survey: maps that are the same for all observations.
            key: key of the initial weights.
            branch: `(shape, outputs, context, *, key) -> branch`.
            width: of the parameters' network.
            context: length of what it tells the field's.
            colour: from white latents to the field they stand for; not given if the field itself is denoised.
        """
        n = survey.shape[0]
        outputs = bins if colour is None else 2 * bins
        branch_ = branch((n, n, 3 * bins + survey.shape[-1]), outputs, context, key=stream(key, "branch"))
        bands = int(band_numbers(n).max()) + 1
        pooled = 2 * bands * bins + branch_.pooled_size
        inputs = 2 * parameters + summary + 4 * WAVES + pooled
        linear = lambda size, name: jax.tree.map(  # noqa: E731
            jnp.zeros_like, eqx.nn.Linear(context, size, key=stream(key, name))
        )
        return cls(
            Coordinates.blank(parameters, summary, n, bins),
            branch_,
            Standardise(jnp.zeros(summary), jnp.ones(summary)),
            ResidualMLP(inputs, context, key=stream(key, "trunk"), width=width),
            linear(parameters, "head"),
            linear(2 * bands * bins, "gains"),
            eqx.nn.Linear(2 * WAVES, context, key=stream(key, "early")),
            paramax.NonTrainable(survey),
            paramax.NonTrainable(jnp.ones(bins)),
            pooled,
            colour,
        )

    def fitted_to(
        self, unconstrained: Float[Array, "m p"], field: Float[Array, "m n n b"], condition: Condition
    ) -> "JointDenoiser":
        """The same with coordinates and sizes measured on simulations.

        Raises:
            DataError: there are too few of them for a regression.
        """
        coordinates = self.coordinates.fitted_to(unconstrained, field, condition.expected, condition.summary)
        shown = field if self.colour is None else jax.lax.map(self.colour, field)
        size = paramax.NonTrainable(jnp.std(shown, axis=(0, 1, 2)))
        return eqx.tree_at(lambda d: (d.coordinates, d.size, d.seen), self, (coordinates, size, moments(condition.summary)))

    def white(
        self, unconstrained: Float[Array, " p"], field: Float[Array, "n n b"], condition: Condition
    ) -> tuple[Float[Array, " p"], Float[Array, "n n b"]]:
        """Parameters and field in white coordinates."""
        u, _ = self.coordinates.regression.whitened(unconstrained, condition.summary)
        return u, self.coordinates.white(field - condition.expected)

    def physical(
        self, u: Float[Array, " p"], v: Float[Array, "n n b"], condition: Condition
    ) -> tuple[Float[Array, " p"], Float[Array, "n n b"]]:
        """Unconstrained parameters and field of white coordinates."""
        unconstrained = self.coordinates.regression.unwhitened(u, condition.summary)
        return unconstrained, condition.expected + self.coordinates.coloured(v)

    def parameters(self, u: Float[Array, " p"], t: Float[Array, ""], summary: Float[Array, " s"]) -> Float[Array, " p"]:
        """û of the parameters alone, the field being all noise: the field's branch has no part in it."""
        return self._parameters(u, t, self._told(u, t, jnp.zeros(()), summary, jnp.zeros(self.pooled)))

    def __call__(
        self,
        u: Float[Array, " p"],
        v: Float[Array, "n n b"],
        times: tuple[Float[Array, ""], Float[Array, ""]],
        condition: Condition,
    ) -> tuple[Float[Array, " p"], Float[Array, "n n b"]]:
        """û and v̂ of noisy u and v at times (t_θ, t_κ)."""
        t = times[1]
        norm = jnp.hypot(t, 1 - t)
        expected = self.coordinates.white(condition.expected)
        guess = condition.expected + self.coordinates.coloured(t / norm**2 * v)
        size, survey = paramax.unwrap((self.size, self.survey))
        shown = [guess, condition.expected] if self.colour is None else map(self.colour, (guess, condition.expected))
        maps = jnp.concatenate([v / norm, *(each / size for each in shown), survey], axis=-1)
        hidden = self.branch.encode(maps, self.early(waves(t)))
        powers = _band_powers(v / norm, expected)
        pooled = jnp.where(t > 0, jnp.concatenate([powers, self.branch.pool(hidden)]), 0.0)
        told = self._told(u, times[0], t, condition.summary, pooled)
        gain, mean = self._gains(told, v.shape)
        # E[v | v_t] of a Gaussian with this power about this multiple of the expected field, mode by mode.
        base = filtered(expected, mean)
        shrunk = t * gain / (t**2 * gain + (1 - t) ** 2)
        found = base + filtered(v - t * base, shrunk)
        change = self.branch.decode(hidden, told)
        if self.colour is not None:
            change, of_field = jnp.split(change, 2, axis=-1)
            change = change + self.colour.transposed(of_field / size)
        return self._parameters(u, times[0], told), found + (1 - t) / norm * change

    def _told(self, u, t_theta, t_field, summary, pooled):
        scaled = u / jnp.hypot(t_theta, 1 - t_theta)
        return self.trunk(jnp.concatenate([u, scaled, self.seen(summary), waves(t_theta), waves(t_field), pooled]))

    def _parameters(self, u, t, told):
        norm = jnp.hypot(t, 1 - t)
        return t / norm**2 * u + (1 - t) / norm * self.head(told)

    def _gains(self, told, shape):
        n, _, bins = shape
        power, mean = self.gains(told).reshape(2, -1, bins)
        weights = jnp.asarray(_band_weights(n))
        return jnp.exp(jnp.tensordot(weights, power, 1)), jnp.tensordot(weights, mean, 1)


def band_numbers(pixels: int) -> np.ndarray:
    """Band of each mode of a real transform: rings together, about evenly in log ℓ."""
    rings = ring_numbers(pixels)
    edges = np.unique(np.round(np.geomspace(1, rings.max() + 1, BANDS + 1)))[1:-1]
    return np.searchsorted(edges, rings, side="right")


def _band_weights(pixels: int) -> np.ndarray:
    """Weight (n, m, bands) of each band's value at each mode: linear in log ℓ between the bands' middles."""
    rings, numbers = np.log(np.maximum(ring_numbers(pixels), 0.5)), band_numbers(pixels)
    middles = np.asarray([rings[numbers == band].mean() for band in range(numbers.max() + 1)])
    return np.stack([np.interp(rings, middles, row) for row in np.eye(len(middles))], axis=-1).astype(np.float32)


@full_precision
def _band_powers(v, expected):
    """Logarithms of the powers of v in each band and bin, and its products with the expected field per power."""
    n = len(v)
    numbers, weight = band_numbers(n), np.full((n, n // 2 + 1), 2.0)
    weight[:, [0, -1]] = 1.0
    member = (np.arange(numbers.max() + 1)[:, None, None] == numbers) * weight
    member = jnp.asarray(member / member.sum((1, 2), keepdims=True), jnp.float32)
    modes, others = (jnp.fft.rfft2(maps, axes=(0, 1), norm="ortho") for maps in (v, expected))
    power = jnp.einsum("kyx,yxb->kb", member, jnp.abs(modes) ** 2)
    other = jnp.einsum("kyx,yxb->kb", member, jnp.abs(others) ** 2)
    product = jnp.einsum("kyx,yxb->kb", member, (modes * jnp.conj(others)).real)
    return jnp.concatenate([jnp.log(power + 1e-6), product / (other + 1e-3)]).ravel()


def filtered(maps: Float[Array, "n n b"], factor: Float[Array, "n m b"]) -> Float[Array, "n n b"]:
    """Maps whose modes are multiplied by a factor, given on the half-plane of a real transform."""
    n = len(maps)
    return jnp.fft.irfft2(factor * jnp.fft.rfft2(maps, axes=(0, 1)), s=(n, n), axes=(0, 1))


def waves(t: Float[Array, ""]) -> Float[Array, " w"]:
    """Cosines and sines of a time in [0, 1], for networks."""
    angles = jnp.pi * t * jnp.arange(1, WAVES + 1)
    return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)])
