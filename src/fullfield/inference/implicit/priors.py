"""Priors as they come: a parameter space, named distributions, or one distribution of a vector."""

import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from fullfield._core import ConfigurationError
from fullfield.parameters import Parameter, ParameterSpace


Prior = ParameterSpace | Mapping[str, dist.Distribution] | dist.Distribution


def parameter_space(prior: Prior) -> ParameterSpace:
    """The parameters with this prior.

    Args:
        prior: a `ParameterSpace`, a map from name to univariate NumPyro distribution, or one distribution of a vector of
            independent components, such as `Uniform(low, high).to_event(1)`, which are called theta_1, theta_2, ...

    Raises:
        ConfigurationError: it is none of these, or its components depend on each other.
        ShapeError: a named distribution is not univariate.
    """
    if isinstance(prior, ParameterSpace):
        return prior
    if isinstance(prior, dist.Distribution):
        prior = {f"theta_{i}": component for i, component in enumerate(_components(prior), 1)}
    if not isinstance(prior, Mapping):
        raise _unknown(prior)
    for entry in prior.values():
        if not isinstance(entry, dist.Distribution):
            raise _unknown(entry)
    return ParameterSpace({name: Parameter(entry) for name, entry in prior.items()})


def _components(prior: dist.Distribution) -> list[dist.Distribution]:
    while isinstance(prior, dist.Independent):
        prior = prior.base_dist
    shape = prior.batch_shape
    if prior.event_shape or len(shape) > 1:
        raise _unknown(prior)
    if isinstance(prior, dist.ExpandedDistribution) and not prior.base_dist.batch_shape:
        return [prior.base_dist] * math.prod(shape)
    if not shape:
        return [prior]
    return [_component(prior, i) for i in range(math.prod(shape))]


def _component(prior, i):
    """The same distribution made of the i-th of its numbers."""
    names = [name for name in prior.arg_constraints if name in vars(prior)]
    values = [jnp.broadcast_to(jnp.asarray(getattr(prior, name)), prior.batch_shape)[i] for name in names]
    try:
        one = type(prior)(**{name: float(value) for name, value in zip(names, values, strict=True)})
    except TypeError:
        raise _unknown(prior) from None
    # A distribution may hold more than its arguments say.
    point = prior.sample(jax.random.key(0))
    if not jnp.allclose(one.log_prob(point[i]), prior.log_prob(point)[i], rtol=1e-4, atol=1e-4):
        raise _unknown(prior)
    return one


def _unknown(prior: object) -> ConfigurationError:
    shape = f" of shape {(*prior.batch_shape, *prior.event_shape)}" if isinstance(prior, dist.Distribution) else ""
    return ConfigurationError(
        "prior",
        expected="a ParameterSpace, NumPyro distributions by name, or one of a vector of independent components",
        got=f"{type(prior).__name__}{shape}",
        remedy="Write it as {'a': dist.Uniform(-1.0, 1.0), 'b': dist.Normal(0.0, 1.0)}.",
    )
