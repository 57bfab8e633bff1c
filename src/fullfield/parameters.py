"""Names, priors and transforms of the parameters of a model; the only owner of their order."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, Bool, Float, Key

from fullfield._core import nearest, ParameterError, ShapeError


class Parameter(eqx.Module):
    """One scalar parameter of a forward model.

    Args:
        prior: univariate NumPyro distribution.
        label: LaTeX label without dollar signs, as GetDist takes it.
        unit: unit, empty for a pure number.
        fiducial: value at which forecasts are made; the prior's mean if not given.
    """

    prior: dist.Distribution
    label: str = ""
    unit: str = ""
    fiducial: float | None = None

    def __check_init__(self):
        if self.prior.batch_shape or self.prior.event_shape:
            shape = (*self.prior.batch_shape, *self.prior.event_shape)
            raise ShapeError(
                "prior", expected="a univariate distribution", got=f"shape {shape}",
                remedy="Give each component a name and a prior of its own.",
            )  # fmt: skip


class ParameterSpace(eqx.Module):
    """An ordered set of independent parameters, their prior, and the bijection to unconstrained space.

    Args:
        entries: map from name to `Parameter`; its order is the order of every parameter vector in the package.

    Raises:
        ParameterError: there is no parameter, or the prior of one fixes it.

    The unconstrained coordinates are NumPyro's `biject_to` of each prior's support, moved and scaled so that the prior has
    about zero mean and unit variance in them. They are what flows and samplers see: no draw can leave the prior's support.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    entries: tuple[Parameter, ...]
    loc: tuple[float, ...] = eqx.field(static=True)
    scale: tuple[float, ...] = eqx.field(static=True)

    def __init__(self, entries: dict[str, Parameter]):
        if not entries:
            raise ParameterError("entries", expected="at least one parameter", got="none")
        self.names = tuple(entries)
        self.entries = tuple(entries.values())
        moments = [_unconstrained_moments(name, entry.prior) for name, entry in entries.items()]
        self.loc, self.scale = (tuple(column) for column in zip(*moments, strict=True))

    @property
    def size(self) -> int:
        """Number of parameters, p."""
        return len(self.names)

    @property
    def labels(self) -> tuple[str, ...]:
        """LaTeX labels, without dollar signs."""
        return tuple(entry.label or name for name, entry in zip(self.names, self.entries, strict=True))

    @property
    def fiducial(self) -> Float[Array, " p"]:
        """Fiducial parameter vector (p,)."""
        values = [entry.prior.mean if entry.fiducial is None else entry.fiducial for entry in self.entries]
        return jnp.stack([jnp.asarray(value, float) for value in values])

    @property
    def bounds(self) -> tuple[tuple[float, float], ...]:
        """Lower and upper end of each prior's support, infinite where it has none."""
        return tuple((float(low), float(high)) for low, high in (_ends(entry.prior) for entry in self.entries))

    def index(self, name: str) -> int:
        """Position of a parameter in the vector.

        Raises:
            ParameterError: no parameter has this name; the message names the nearest.
        """
        if name not in self.names:
            raise ParameterError("name", expected="a known parameter", got=repr(name), remedy=nearest(name, self.names))
        return self.names.index(name)

    def as_dict(self, theta: Float[Array, "*batch p"]) -> dict[str, Float[Array, "*batch"]]:
        """Split a parameter vector (..., p) by name."""
        return {name: theta[..., i] for i, name in enumerate(self.names)}

    def as_vector(self, values: dict[str, Float[Array, "*batch"]]) -> Float[Array, "*batch p"]:
        """Stack named values into a parameter vector (..., p).

        Raises:
            ParameterError: a name is missing or unknown.
        """
        for name in values:
            self.index(name)
        missing = [name for name in self.names if name not in values]
        if missing:
            raise ParameterError("values", expected=f"all of {', '.join(self.names)}", got=f"no {', '.join(missing)}")
        return jnp.stack(jnp.broadcast_arrays(*(jnp.asarray(values[name], float) for name in self.names)), axis=-1)

    def sample(self, key: Key[Array, ""], shape: tuple[int, ...] = ()) -> Float[Array, "*shape p"]:
        """Draw parameter vectors from the prior, shape (*shape, p), none on the very edge of its support."""
        keys = jax.random.split(key, self.size)
        return self.off_edge(jnp.stack([e.prior.sample(k, shape) for e, k in zip(self.entries, keys, strict=True)], axis=-1))

    def off_edge(self, theta: Float[Array, "*batch p"]) -> Float[Array, "*batch p"]:
        """Parameters (..., p), those on the very edge of the prior's support moved inside by a rounding error.

        A grid has such, and one draw of a uniform in ten million. In unconstrained space the edge lies at infinity.
        """
        ends = zip(*(_ends(entry.prior) for entry in self.entries), strict=True)
        low, high = (jnp.stack([jnp.asarray(value, float) for value in side]) for side in ends)
        sizes = jnp.abs(jnp.stack([low, high, self.fiducial]))
        margin = 2.0**-22 * jnp.max(jnp.where(jnp.isfinite(sizes), sizes, 0.0), axis=0)
        raw = [dist.biject_to(entry.prior.support).inv(theta[..., i]) for i, entry in enumerate(self.entries)]
        return jnp.where(jnp.isinf(jnp.stack(raw, axis=-1)), jnp.clip(theta, low + margin, high - margin), theta)

    def log_prob(self, theta: Float[Array, "*batch p"]) -> Float[Array, "*batch"]:
        """Log density of the prior; minus infinity outside its support."""
        inside = self.contains(theta)
        safe = jnp.where(inside[..., None], theta, self.fiducial)
        total = sum(entry.prior.log_prob(safe[..., i]) for i, entry in enumerate(self.entries))
        return jnp.where(inside, total, -jnp.inf)

    def contains(self, theta: Float[Array, "*batch p"]) -> Bool[Array, "*batch"]:
        """Whether all parameters lie in the support of the prior."""
        inside = [_within(entry.prior, theta[..., i]) for i, entry in enumerate(self.entries)]
        return jnp.all(jnp.stack(inside, axis=-1), axis=-1)

    def check(self, theta: Float[Array, "*batch p"]) -> None:
        """Refuse parameter vectors of the wrong length or outside the prior (not for use under `jit`).

        Raises:
            ShapeError: the last axis is not p long.
            ParameterError: a value is outside the prior's support; names the first such parameter.
        """
        theta = jnp.asarray(theta)
        if theta.ndim == 0 or theta.shape[-1] != self.size:
            raise ShapeError("theta", expected=f"last axis of {self.size} ({', '.join(self.names)})", got=theta.shape)
        for i, (name, entry) in enumerate(zip(self.names, self.entries, strict=True)):
            inside = _within(entry.prior, theta[..., i])
            if not bool(jnp.all(inside)):
                low, high = self.bounds[i]
                worst = float(theta[..., i].ravel()[jnp.argmin(inside.ravel())])
                raise ParameterError(
                    name, expected=f"a value inside the prior ({low:g} to {high:g})", got=worst, remedy="Widen the prior."
                )

    def to_unconstrained(self, theta: Float[Array, "*batch p"]) -> Float[Array, "*batch p"]:
        """Map parameters (..., p) to unconstrained coordinates (..., p), the edge of the prior to where `off_edge` moves it."""
        theta = self.off_edge(theta)
        columns = [
            (dist.biject_to(entry.prior.support).inv(theta[..., i]) - self.loc[i]) / self.scale[i]
            for i, entry in enumerate(self.entries)
        ]
        return jnp.stack(columns, axis=-1)

    def to_constrained(self, unconstrained: Float[Array, "*batch p"]) -> Float[Array, "*batch p"]:
        """Map unconstrained coordinates (..., p) to parameters (..., p) inside the prior's support."""
        columns = [
            dist.biject_to(entry.prior.support)(unconstrained[..., i] * self.scale[i] + self.loc[i])
            for i, entry in enumerate(self.entries)
        ]
        return jnp.stack(columns, axis=-1)

    def log_det_unconstrained(self, theta: Float[Array, "*batch p"]) -> Float[Array, "*batch"]:
        """Log |d unconstrained / d theta|: add it to a log density in unconstrained space to get the one in theta."""
        total = jnp.zeros(theta.shape[:-1])
        for i, entry in enumerate(self.entries):
            transform = dist.biject_to(entry.prior.support)
            raw = transform.inv(theta[..., i])
            total = total - transform.log_abs_det_jacobian(raw, theta[..., i]) - jnp.log(self.scale[i])
        return total


def _unconstrained_moments(name: str, prior: dist.Distribution) -> tuple[float, float]:
    with jax.ensure_compile_time_eval():
        draws = prior.sample(jax.random.key(0), (4096,))
        raw = dist.biject_to(prior.support).inv(draws)
        raw = raw[jnp.isfinite(raw)]
        loc, scale = float(jnp.mean(raw)), float(jnp.std(raw))
    if not scale > 1e-6 * abs(loc):
        raise ParameterError(
            name, expected="a prior that leaves it free", got=f"one of width {scale:g} about {loc:g}",
            remedy="Take a fixed number out of the parameters.",
        )  # fmt: skip
    # Rounded to a thousandth of the width, so that devices whose last digits differ agree on the coordinates.
    digits = 3 - math.floor(math.log10(scale))
    return round(loc, digits), round(scale, digits)


def _within(prior: dist.Distribution, values: Float[Array, "*batch"]) -> Bool[Array, "*batch"]:
    return jnp.asarray(prior.support(values))  # pyright: ignore[reportOptionalCall]


def _ends(prior: dist.Distribution) -> tuple[Any, Any]:
    support = prior.support
    return getattr(support, "lower_bound", -jnp.inf), getattr(support, "upper_bound", jnp.inf)
