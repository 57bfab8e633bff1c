"""Several data sets at each cosmology, for summaries that are to ignore what varies between them."""

from collections.abc import Collection, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from fullfield._core import ConfigurationError, digest, full_precision, stream
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
        ConfigurationError: a name is none of the model's, or all are nuisances, or there is no view.
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


class ViewsInTurn(AbstractForwardModel):
    """A forward model of views (v, ...) at once, of which each is by the next of several models, such as two simulators.

    Args:
        models: of one view; all share the same parameters but for nuisances, and make data of the same shape.
        views: how many, at least one by each model.
        nuisance: names of parameters of one model or more, which are drawn anew for every view.

    Raises:
        ConfigurationError: a name is none of any model's, fewer views than models, or models that do not share all else.
    """

    parameters: ParameterSpace
    parts: tuple[SharedViews, ...]

    def __init__(self, models: Sequence[AbstractForwardModel], views: int, nuisance: Collection[str] = ()):
        if views < len(models) or not models:
            raise ConfigurationError("views", expected=f"at least one by each of {len(models)} models", got=views)
        if unknown := sorted(set(nuisance).difference(*(model.parameters.names for model in models))):
            raise ConfigurationError("nuisance", expected="names of some model's parameters", got=unknown)
        own = [[name for name in model.parameters.names if name in nuisance] for model in models]
        self.parts = tuple(SharedViews(model, len(range(i, views, len(models))), own[i]) for i, model in enumerate(models))
        self.parameters = self.parts[0].parameters
        if len({digest(part.parameters) for part in self.parts}) > 1:
            raise ConfigurationError(
                "models", expected="the same parameters and priors in all, but for nuisances",
                got=[part.parameters.names for part in self.parts],
                remedy="Name as nuisance what only some have, and give shared ones the same priors and labels.",
            )  # fmt: skip
        if len(shapes := {part.data_shape[1:] for part in self.parts}) > 1:
            raise ConfigurationError("models", expected="data of the same shape", got=sorted(shapes))

    @full_precision
    def draw(self, key: Key[Array, ""], theta: Float[Array, " s"]) -> tuple[Float[Array, "v s"], Float[Array, "v ..."]]:
        """Shared parameters (v, s), over and over, and the views."""
        keys, m = jax.random.split(stream(key, "models"), len(self.parts)), len(self.parts)
        data = jnp.concatenate([part.draw(one, theta)[1] for part, one in zip(self.parts, keys, strict=True)])
        places = np.concatenate([i + m * np.arange(part.views) for i, part in enumerate(self.parts)])
        return jnp.broadcast_to(theta, (len(data), len(theta))), data[np.argsort(places)]

    def simulate_at(self, key: Key[Array, ""], theta: Float[Array, " s"]) -> Float[Array, "v ..."]:
        """Views (v, ...) at shared parameters (s,)."""
        return self.draw(key, theta)[1]


class Views(eqx.Module):
    """Parameters (n, v, p), those of a row alike but for nuisances, and the data (n, v, ...) simulated at them.

    Views by several models have the shared parameters alone.
    """

    theta: Float[Array, "n v p"]
    data: Float[Array, "n v ..."]


def simulate_views(
    model: AbstractForwardModel | Sequence[AbstractForwardModel],
    key: Key[Array, ""],
    n: int,
    views: int,
    *,
    nuisance: Collection[str] = (),
) -> Views:
    """Draw `n` parameter vectors from the prior and several data sets at each.

    Args:
        model: the forward model, or several, which make the views of every cosmology in turn (`ViewsInTurn`).
        key: scalar key.
        n: number of cosmologies.
        views: data sets at each, which differ in their noise, phases and other latents.
        nuisance: names of parameters that are drawn anew for every view.

    Raises:
        ConfigurationError: a name is none of the model's, or all are nuisances; models that do not belong together.
    """
    if isinstance(model, AbstractForwardModel):
        return _simulate(SharedViews(model, views, nuisance), key, n)
    return _simulate(ViewsInTurn(model, views, nuisance), key, n)


@eqx.filter_jit
@full_precision
def _simulate(shared, key, n):
    theta = shared.parameters.sample(stream(key, "prior"), (n,))
    keys = jax.random.split(stream(key, "simulations"), n)
    size = even_batch(n, shared.batch_size)
    return Views(*jax.lax.map(lambda pair: shared.draw(*pair), (keys, theta), batch_size=size))
