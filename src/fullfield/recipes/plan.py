"""What a run would do and cost, from shapes alone: every stage is built, none computes."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp

from fullfield.compression import CompressionLoss, Compressor, untrained, VMIM
from fullfield.inference import FlowPosterior
from fullfield.inference.implicit.npe import NPELoss
from fullfield.networks import Standardise
from fullfield.recipes.configuration import RunConfiguration, TrainingSettings
from fullfield.recipes.problem import Problem
from fullfield.recipes.stages import make_density, make_network


BATCH = 2


def plan(problem: Problem, configuration: RunConfiguration) -> dict[str, str]:
    """Trace every stage on abstract arrays of the true shapes: wrong settings fail here, in seconds and without memory.

    Args:
        problem: what the run is about.
        configuration: its settings.

    Returns:
        By stage, what it would do and how large that is.

    Raises:
        FullfieldError: the settings do not fit the model or each other.
    """
    model, key = problem.model, jax.random.key(0)
    space, shape = model.parameters, model.data_shape
    theta, data = _abstract(BATCH, space.size), _abstract(BATCH, *shape)

    def compressor(key):
        pair = Compressor(Standardise(jnp.zeros(()), jnp.ones(())), make_network(problem, configuration.compressor, key), shape)
        return untrained(VMIM(), pair, space, key=key)

    def vmim(key, theta, data):
        return CompressionLoss(VMIM(), space)(compressor(key), theta, data, key=key)

    def density(key, size):
        return make_density(settings)(space.size, size, key=key)

    def npe(key, theta, summary):
        posterior = FlowPosterior(space, density(key, size), eqx.nn.Identity(), (size,))
        return NPELoss(space)(posterior.density, theta, summary, key=key), posterior.sample(key, summary[0], BATCH)

    settings = configuration.posterior
    jax.eval_shape(lambda key: (problem.statistic or jnp.ravel)(model.simulate_at(key, space.fiducial)), key)
    pair = eqx.filter_eval_shape(compressor, key)
    size = pair.compressor.summary_size
    jax.eval_shape(jax.grad(lambda weight, *rest: weight * vmim(*rest)), 1.0, key, theta, data)
    jax.eval_shape(npe, key, theta, _abstract(BATCH, size))
    flow = eqx.filter_eval_shape(density, key, size)
    variants = {name: f"{count:,} data sets" for name, (_, count) in problem.variants.items()}
    return _describe(configuration, shape, size, _weights(pair.compressor), _weights(flow)) | variants


def _describe(configuration, shape, summaries, compressor_weights, flow_weights):
    simulations, posterior = configuration.simulations, configuration.posterior
    total = simulations.training + simulations.inference + simulations.validation + simulations.calibration
    disk = 4 * total * math.prod(shape) / 1e9
    size = " × ".join(map(str, shape))
    online = configuration.compressor.simulations == "online"
    steps = _steps(configuration.compressor.training, simulations.training, online=online)
    fresh = f", {steps * configuration.compressor.training.batch:,} fresh simulations" if online else ""
    members = f"{posterior.ensemble} × " if posterior.ensemble > 1 else ""
    return {
        "simulate": f"{total:,} data sets of {size}, {disk:.2g} GB on disk",
        "compress": f"to {summaries} numbers, {compressor_weights:,} weights, at most {steps:,} steps{fresh}",
        "infer": f"{members}{posterior.density}, {flow_weights:,} weights, at most "
        f"{_steps(posterior.training, simulations.inference, online=False):,} steps",
        "draw": f"{posterior.draws:,} draws at the observation, {configuration.calibration.draws:,} at each of "
        f"{simulations.calibration:,} held-out simulations",
        "replicate": f"{configuration.calibration.replicas:,} data sets",
    }


def _steps(training: TrainingSettings, stored: int, *, online: bool) -> int:
    return training.epochs * (training.steps if online else max(1, stored // training.batch))


def _abstract(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def _weights(module: object) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(module) if hasattr(leaf, "size"))
