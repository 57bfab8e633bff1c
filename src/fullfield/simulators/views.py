"""Several data sets at each cosmology, for summaries that are to ignore what varies between them."""

from collections.abc import Collection

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from fullfield._core import ConfigurationError, full_precision, stream
from fullfield.parameters import ParameterSpace
from fullfield.simulators.forward import AbstractForwardModel, even_batch


class SharedViews(AbstractForwardModel):
    """A forward model of several views (v, ...) at once, which share all parameters but nuisances.

    Its parameters are those that are shared; nuisances, noise, phases and other latents are drawn for every view by itself.

    Args:
        model: the forward model of one view.
        views: how many.
        nuisance: names of parameters that are drawn anew for every view.

    Raises:
        ConfigurationError: a name is none of the model's, or all are nuisances, or there are fewer than two views.
    """

    parameters: ParameterSpace
    model: AbstractForwardModel
    views: int = eqx.field(static=True)
    shared: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, model: AbstractForwardModel, views: int, nuisance: Collection[str] = ()):
        names = model.parameters.names
        if unknown := sorted(set(nuisance) - set(names)):
            raise ConfigurationError("nuisance", expected=f"names among {list(names)}", got=unknown)
        if set(nuisance) == set(names):
            raise ConfigurationError("nuisance", expected="fewer than all parameters", got=sorted(nuisance))
        if views < 1:
            raise ConfigurationError("views", expected="a positive number", got=views)
        self.model, self.views = model, views
        self.shared = tuple(i for i, name in enumerate(names) if name not in nuisance)
        self.parameters = ParameterSpace({names[i]: model.parameters.entries[i] for i in self.shared})

    @full_precision
    def draw(self, key: Key[Array, ""], theta: Float[Array, " s"]) -> tuple[Float[Array, "v p"], Float[Array, "v ..."]]:
        """Parameters of all views (v, p), and the views, at shared parameters (s,)."""
        keys = jax.random.split(stream(key, "simulations"), self.views)
        if len(self.shared) == self.model.parameters.size:
            # What depends on parameters alone is computed once for all views.
            return jnp.broadcast_to(theta, (self.views, len(theta))), jax.vmap(self.model.simulate_at, (0, None))(keys, theta)
        own = self.model.parameters.sample(stream(key, "nuisance"), (self.views,)).at[:, jnp.asarray(self.shared)].set(theta)
        return own, jax.vmap(self.model.simulate_at)(keys, own)

    def simulate_at(self, key: Key[Array, ""], theta: Float[Array, " s"]) -> Float[Array, "v ..."]:
        """Views (v, ...) at shared parameters (s,)."""
        return self.draw(key, theta)[1]


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
    return _simulate(SharedViews(model, views, nuisance), key, n)


@eqx.filter_jit
@full_precision
def _simulate(shared, key, n):
    theta = shared.parameters.sample(stream(key, "prior"), (n,))
    keys = jax.random.split(stream(key, "simulations"), n)
    size = even_batch(n, shared.batch_size)
    return Views(*jax.lax.map(lambda pair: shared.draw(*pair), (keys, theta), batch_size=size))
