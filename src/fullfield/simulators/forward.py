"""The forward model: the one abstraction that simulation, compression and inference hang on."""

import abc
import math
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from jaxtyping import Array, Float, Key
from numpyro import handlers
from numpyro.distributions import constraints
from numpyro.infer.util import log_density

from fullfield._core import ConfigurationError, DataError, full_precision, ParameterError, ShapeError, stream
from fullfield.parameters import Parameter, ParameterSpace


DATA = "data"


class Simulations(eqx.Module):
    """Parameters (n, p) and the data (n, ...) simulated at them."""

    theta: Float[Array, "n p"]
    data: Float[Array, "n ..."]


class AbstractForwardModel(eqx.Module):
    """A model that can simulate data at given parameters.

    Frozen: the object is its configuration, and `fullfield._core.digest` of it names every file made with it.
    """

    parameters: eqx.AbstractVar[ParameterSpace]

    @abc.abstractmethod
    def simulate_at(self, key: Key[Array, ""], theta: Float[Array, " p"]) -> Float[Array, "..."]:
        """Simulate one data set at parameters `theta` (p,)."""

    @property
    def data_shape(self) -> tuple[int, ...]:
        """Shape of one data set."""
        return eqx.filter_eval_shape(self.simulate_at, jax.random.key(0), self.parameters.fiducial).shape

    @property
    def batch_size(self) -> int:
        """How many simulations run side by side best: many small ones, and no more than stay in the cache of a CPU core."""
        numbers = 2**15 if jax.default_backend() == "cpu" else 2**23
        return min(256, 2 ** max(0, math.floor(math.log2(numbers / max(1, math.prod(self.data_shape))))))

    def simulate(self, key: Key[Array, ""], n: int, *, batch_size: int | None = None) -> Simulations:
        """Draw `n` parameter vectors from the prior and one data set at each.

        Args:
            key: scalar key.
            n: number of simulations.
            batch_size: how many run side by side, `self.batch_size` if not given; changes speed and memory, not results.
        """
        return _simulate(self, key, n, batch_size)


@eqx.filter_jit
@full_precision
def _simulate(model, key, n, batch_size):
    theta = model.parameters.sample(stream(key, "prior"), (n,))
    keys = jax.random.split(stream(key, "simulations"), n)
    size = even_batch(n, batch_size or model.batch_size)
    # Of a batch of one, `lax.map` would make a `vmap`, in which conditions compute both of their branches.
    batched = {"batch_size": size} if size > 1 else {}
    return Simulations(theta, jax.lax.map(lambda pair: model.simulate_at(*pair), (keys, theta), **batched))


def even_batch(n: int, batch_size: int) -> int:
    """Largest size of equal batches of `n` up to `batch_size`, for the rest of uneven ones is a program of its own to compile.

    Where only batches of less than half the size would be equal, `batch_size` stays.
    """
    size = min(batch_size, n)
    largest = next(divisor for divisor in range(size, 0, -1) if n % divisor == 0)
    return largest if 2 * largest >= size else size


class AbstractExplicitModel(AbstractForwardModel):
    """A forward model written as a NumPyro program, so that its joint density is known.

    `program` takes nothing, draws its parameters with `sample_parameters(self.parameters)`, its latents with
    `numpyro.sample` (real-valued support), and its data at the site called "data". Other sites with `obs=` and `numpyro.factor`
    are likelihoods from elsewhere: they count in `log_joint` and in all that samples or expands it, while simulations and their
    scores know nothing of them.
    """

    @abc.abstractmethod
    def program(self) -> None:
        """Run the NumPyro program: parameter sites, latent sites, data site."""

    @property
    def hartley(self) -> tuple[str, ...]:
        """Latent sites (bins, n, n) that are Hartley coefficients of square fields, for samplers to treat by scale."""
        return ()

    @property
    def whitened(self) -> bool:
        """Whether latents are about white given data, too, so that samplers need no coordinates for them."""
        return False

    @full_precision
    def _trace(self, theta, key=None, latents=None, data=None):
        values = self.parameters.as_dict(theta) | (latents or {}) | ({} if data is None else {DATA: data})
        program = handlers.substitute(self.program, data=values)
        return handlers.trace(program if key is None else handlers.seed(program, key)).get_trace()

    def simulate_at(self, key: Key[Array, ""], theta: Float[Array, " p"]) -> Float[Array, "..."]:
        """Simulate one data set at parameters `theta` (p,)."""
        return self._trace(theta, key)[DATA]["value"]

    def simulate_with_latents(
        self, key: Key[Array, ""], theta: Float[Array, " p"]
    ) -> tuple[dict[str, Float[Array, "..."]], Float[Array, "..."]]:
        """Simulate one data set at `theta` (p,) and return it behind the latents that made it; same data as `simulate_at`."""
        trace = self._trace(theta, key)
        latents = {
            name: site["value"]
            for name, site in trace.items()
            if _is_free(site) and name != DATA and name not in self.parameters.names
        }
        return latents, trace[DATA]["value"]

    def log_joint(
        self, theta: Float[Array, " p"], latents: dict[str, Float[Array, "..."]], data: Float[Array, "..."]
    ) -> Float[Array, ""]:
        """Log p(theta, latents, data), the prior and likelihoods from elsewhere included."""
        return self._log_density(self.program, theta, latents, data)

    @full_precision
    def _log_density(self, program, theta, latents, data):
        values = self.parameters.as_dict(theta) | latents | {DATA: data}
        return jnp.asarray(log_density(program, (), {}, values)[0])

    def score(
        self, theta: Float[Array, " p"], latents: dict[str, Float[Array, "..."]], data: Float[Array, "..."]
    ) -> Float[Array, " p"]:
        """Joint score ∂ log p(data, latents | theta) / ∂ theta (p,), data and latents held fixed.

        Its mean over the latents' posterior is the marginal score, Brehmer et al. 2020 (PNAS 117, 5242), eq. 12.
        """
        # Of simulated data: a likelihood from elsewhere is no part of what made them.
        program = handlers.block(self.program, hide_fn=lambda site: site.get("is_observed", False))
        return jax.grad(lambda t: self._log_density(program, t, latents, data) - self.parameters.log_prob(t))(theta)

    def potential(
        self, unconstrained: Float[Array, " p"], latents: dict[str, Float[Array, "..."]], data: Float[Array, "..."]
    ) -> Float[Array, ""]:
        """Minus the log density of unconstrained parameters (p,) and latents given the data, up to a constant."""
        theta = self.parameters.to_constrained(unconstrained)
        return self.parameters.log_det_unconstrained(theta) - self.log_joint(theta, latents, data)


def sample_parameters(space: ParameterSpace) -> dict[str, Float[Array, ""]]:
    """Open one NumPyro sample site per parameter of the space, with its prior."""
    sites = zip(space.names, space.entries, strict=True)
    return {name: jnp.asarray(numpyro.sample(name, entry.prior)) for name, entry in sites}


class NumPyroModel(AbstractExplicitModel):
    """A user's own NumPyro program as a forward model.

    Args:
        function: nullary NumPyro program with one site called "data".
        names: the sites that are parameters, in the order wanted; their priors are read from the program.
        labels: LaTeX labels by name, optional.

    Raises:
        ParameterError: a named site does not exist or is observed, its prior depends on another site, or a latent is not
            real-valued.
        ShapeError: the program has no free site called "data".
    """

    function: Callable[[], object] = eqx.field(static=True)
    parameters: ParameterSpace

    def __init__(self, function: Callable[[], object], names: tuple[str, ...], labels: dict[str, str] | None = None):
        traces = [handlers.trace(handlers.seed(function, jax.random.key(i))).get_trace() for i in (0, 1)]
        free = [name for name, site in traces[0].items() if _is_free(site)]
        entries = {}
        for name in names:
            if name not in free:
                raise ParameterError("names", expected="free sites of the program", got=repr(name), remedy=f"Has {free}.")
            priors = [trace[name]["fn"] for trace in traces]
            leaves = [jax.tree.leaves(prior) for prior in priors]
            if not all(np.allclose(a, b) for a, b in zip(*leaves, strict=True)):
                raise ParameterError(
                    name,
                    expected="a prior of its own",
                    got="one that depends on another site",
                    remedy="Leave it out of `names`: it then counts as a latent.",
                )
            entries[name] = Parameter(priors[0], label=(labels or {}).get(name, ""))
        if DATA not in free:
            raise ShapeError("function", expected='a sample site called "data" without `obs`', got=f"free sites {free}")
        _check_latents({name: traces[0][name] for name in free if name not in (*names, DATA)})
        self.function = function
        self.parameters = ParameterSpace(entries)

    def program(self) -> None:
        """Run the user's program."""
        self.function()


def _is_free(site):
    """Whether a site draws its value, where one with `obs` or a factor has it."""
    return site["type"] == "sample" and not site["is_observed"]


def _check_latents(sites):
    # `potential` has no Jacobian for latents, so that a constrained one would give a wrong density without a word.
    for name, site in sites.items():
        support = site["fn"].support
        while hasattr(support, "base_constraint"):
            support = support.base_constraint
        if not isinstance(support, type(constraints.real)):
            raise ParameterError(
                name,
                expected="a latent whose support is the real numbers",
                got=f"{type(site['fn']).__name__} with support {support}",
                remedy="Reparametrise: draw a Normal latent and transform it, e.g. jnp.exp(z) for a LogNormal.",
            )


class BlackBoxModel(AbstractForwardModel):
    """Any callable `(key, theta) -> data` as a forward model: it simulates, and has no density.

    JAX functions are traced and compiled; anything else (NumPy, C, a subprocess) is called from the host, one simulation at a
    time, with a NumPy `theta` and a key it may turn into a seed by `jax.random.key_data(key)`. Where it fails it should return
    NaN: `sequential` and `append_simulations` count such simulations and leave them out with `leave_out=True`. An exception
    ends the run, with a message that says at which `theta`. It is called twice at the fiducial parameters to see that its
    randomness comes from the key alone.

    Args:
        simulator: the callable.
        parameters: the parameters, in the order of `theta`.

    Raises:
        DataError: two calls with one key and one `theta` differ.
    """

    simulator: Callable = eqx.field(static=True)
    parameters: ParameterSpace
    shape: tuple[int, ...] = eqx.field(static=True)
    traceable: bool = eqx.field(static=True)

    def __init__(self, simulator: Callable, parameters: ParameterSpace):
        self.simulator, self.parameters = simulator, parameters
        key, theta = jax.random.key(0), parameters.fiducial
        try:
            compiled = np.asarray(jax.jit(lambda key, theta: simulator(key, theta))(key, theta))
        except (TypeError, AttributeError, jax.errors.JAXTypeError, jax.errors.JAXIndexError):
            compiled, theta = None, np.asarray(theta)
        first, again = (np.asarray(simulator(key, theta)) for _ in range(2))
        if not _equal_to_rounding(first, again):
            raise DataError(
                "simulator",
                expected="equal data for an equal key and theta",
                got="data that differ between two calls",
                remedy="Draw all random numbers from `key`, e.g. np.random.default_rng(np.asarray(jax.random.key_data(key))).",
            )
        self.shape = first.shape
        self.traceable = compiled is not None and _equal_to_rounding(first, compiled)

    def simulate_at(self, key: Key[Array, ""], theta: Float[Array, " p"]) -> Float[Array, "..."]:
        """Simulate one data set at parameters `theta` (p,)."""
        if self.traceable:
            return jnp.asarray(self.simulator(key, theta))

        def host(data, values):
            theta = np.asarray(values)
            try:
                return np.asarray(self.simulator(jax.random.wrap_key_data(jnp.asarray(data)), theta), np.float32)
            except Exception as error:
                # JAX passes on the text alone, in an error of its own.
                raise DataError(
                    "simulator", expected="data wherever the prior reaches", got=f"{error!r} at theta = {theta.tolist()}",
                    remedy="Return NaN there, and such simulations can be left out (leave_out=True).",
                ) from error  # fmt: skip

        result = jax.ShapeDtypeStruct(self.shape, jnp.float32)
        return jax.pure_callback(host, result, jax.random.key_data(key), theta, vmap_method="sequential")

    def __getattr__(self, name: str):
        if name in ("simulate_with_latents", "log_joint", "score", "potential"):
            raise ConfigurationError(
                name,
                expected="an explicit model",
                got="a BlackBoxModel, which simulates and has no density",
                remedy="Write the model as a NumPyro program (NumPyroModel).",
            )
        raise AttributeError(f"{type(self).__name__} has no attribute {name}")


def _equal_to_rounding(a, b):
    scale = np.max(np.abs(a), where=np.isfinite(a), initial=0.0)
    return a.shape == b.shape and np.allclose(a, b, rtol=1e-4, atol=1e-5 * scale, equal_nan=True)
