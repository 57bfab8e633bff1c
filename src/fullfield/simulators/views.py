"""Several data sets at each cosmology, for summaries that are to ignore what varies between them."""

from collections.abc import Collection

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from fullfield._core import ConfigurationError, full_precision, stream
from fullfield.simulators.forward import AbstractForwardModel, even_batch


class Views(eqx.Module):
    """Parameters (n, v, p), those of a row alike but for nuisances, and the data (n, v, ...) simulated at them."""

    theta: Float[Array, "n v p"]
    data: Float[Array, "n v ..."]


def simulate_views(
    model: AbstractForwardModel, key: Key[Array, ""], n: int, views: int, *, nuisance: Collection[str] = ()
) -> Views:
    """Draw `n` parameter vectors from the prior and several data sets at each.

    Args:
        model: the forward model.
        key: scalar key.
        n: number of cosmologies.
        views: data sets at each, which differ in their noise, phases and other latents.
        nuisance: names of parameters that are drawn anew for every view.

    Raises:
        ConfigurationError: a name is none of the model's, or all are nuisances.
    """
    names = model.parameters.names
    if unknown := sorted(set(nuisance) - set(names)):
        raise ConfigurationError("nuisance", expected=f"names among {list(names)}", got=unknown)
    if set(nuisance) == set(names):
        raise ConfigurationError("nuisance", expected="fewer than all parameters", got=sorted(nuisance))
    return _simulate(model, key, n, views, tuple(name in nuisance for name in names))


@eqx.filter_jit
@full_precision
def _simulate(model, key, n, views, varied):
    shared = model.parameters.sample(stream(key, "prior"), (n, 1))
    own = model.parameters.sample(stream(key, "nuisance"), (n, views))
    theta = jnp.where(jnp.asarray(varied), own, shared)
    flat = theta.reshape(n * views, -1)
    keys = jax.random.split(stream(key, "simulations"), len(flat))
    size = even_batch(len(flat), model.batch_size)
    data = jax.lax.map(lambda pair: model.simulate_at(*pair), (keys, flat), batch_size=size)
    return Views(theta, data.reshape(n, views, *data.shape[1:]))
