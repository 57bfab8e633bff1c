"""What the networks of the comparison of summaries are shown of maps, and the networks."""

import pathlib
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from fullfield._core import on_every_core
from fullfield._core.progress import Progress
from fullfield.compression import (
    Composed,
    Compressor,
    Joined,
    MeanSquaredError,
    PeakCounts,
    PixelDistributions,
    ScatteringCoefficients,
    SpectraAndMoments,
    standardising,
    StarletNorms,
    Tangents,
    train_compressor,
)
from fullfield.datasets import StoredSimulations
from fullfield.fields import Bands, logarithmic_bands
from fullfield.inference.explicit import ReconstructedScore, ScoreAtEstimate
from fullfield.networks import ConvNet, MLP, ResNet18, Symmetric
from fullfield.recipes.lensing_summaries import summaries
from fullfield.simulators import AbstractExplicitModel, even_batch, LensingModel
from fullfield.training import cosine_adam


ON_MAPS = ("convolution", "symmetric", "resnet18")
STEPS = (12, 20)  # of the climbs about a first estimate and about the one that is made of it
MEDIANS = 500  # simulations for the scale of scores
EPOCHS, BATCH, AVERAGE = 15, 250, 0.999  # of an estimate


def bands_of(model: LensingModel) -> Bands:
    """Multipole bands of a model's maps."""
    return logarithmic_bands(model.survey.sky, min(12, model.survey.sky.pixels // 4))


def statistic(model: LensingModel, name: str) -> Callable:
    """Fixed statistics by name: map to vector.

    Args:
        model: the forward model.
        name: "spectra" for band powers; "moments" for third and fourth moments beside them; "statistics" for one-point
            distributions, peaks, starlet norms and scattering coefficients too.
    """
    bands, noise = bands_of(model), tuple(float(value) for value in model.survey.noise_scale)
    if name == "spectra":
        return SpectraAndMoments(bands, smoothings=())
    if name == "moments":
        return SpectraAndMoments(bands)
    scales = min(4, int(np.log2(model.survey.sky.pixels)) - 2)
    others = PixelDistributions(noise), PeakCounts(noise), StarletNorms(noise, scales), ScatteringCoefficients(scales)
    return Joined((SpectraAndMoments(bands), *others))


def blank(model: LensingModel, name: str) -> Callable:
    """What networks are given of a map, with nothing measured yet.

    Args:
        model: the forward model.
        name: entry of the recipe's `network`, or a fixed statistic.
    """
    if name == "reconstruction":
        return Joined((ReconstructedScore.unit(model), unfitted_reconstruction(model, statistic(model, "moments"), STEPS[:1])))
    return eqx.nn.Identity() if name in ON_MAPS else statistic(model, name)


def unfitted_reconstruction(model: AbstractExplicitModel, see: Callable, steps: tuple[int, ...] = STEPS) -> ScoreAtEstimate:
    """What `fit_reconstruction` makes, to be loaded into."""
    for early in steps[:-1]:
        see = Joined((see, ScoreAtEstimate.unit(model, Composed((see, _untrained(model, see))), steps=early)))
    return ScoreAtEstimate.unit(model, Composed((see, _untrained(model, see))), steps=steps[-1])


def fit_reconstruction(
    model: AbstractExplicitModel,
    see: Callable,
    n: int,
    folder: pathlib.Path,
    *,
    key: Callable[[str], Key[Array, ""]],
    progress: Progress,
    steps: tuple[int, ...] = STEPS,
) -> tuple[ScoreAtEstimate, int]:
    """Scores at an estimate of the parameters from statistics of the data, and at better ones from both together.

    Args:
        model: the forward model.
        see: statistics of the data, a callable module.
        n: simulations for each estimate.
        folder: for checkpoints.
        key: key of a stream by name.
        progress: told of simulating and training.
        steps: of the climb about each estimate, of which there are as many.

    Returns:
        The scores at the last estimate, and the gradients spent.
    """
    score, gradients = None, 0
    for number, climb in enumerate(steps):
        name = f"estimate {number + 1}"
        theta = np.asarray(model.parameters.sample(key(f"{name} prior"), (n,)))
        rows, few = summaries(model, see, key(f"{name} simulations"), theta, progress), n // 10
        source, held_out = (
            StoredSimulations(theta[part], rows[part], batch_size=min(BATCH, few)) for part in (slice(few, None), slice(few))
        )
        trained, _ = train_compressor(
            MeanSquaredError(), _untrained(model, see).network, model.parameters, source, held_out,
            key=key(f"{name} training"), optimiser=cosine_adam(1e-3, EPOCHS * source.steps_per_epoch), max_epochs=EPOCHS,
            average=AVERAGE, checkpoint=folder / name, progress=progress, stage=name,
        )  # fmt: skip
        gradients += n * (score.gradients if score else 0)
        score = ScoreAtEstimate.fitted(
            model, Composed((see, trained)), key=key(f"{name} score"), simulations=MEDIANS, steps=climb
        )
        see = Joined((see, score))
    assert score is not None
    return score, gradients


def _untrained(model: AbstractExplicitModel, see: Callable) -> Compressor:
    """What is trained to estimate the parameters from a function of the data."""
    (size,) = eqx.filter_eval_shape(see, jax.ShapeDtypeStruct(model.data_shape, jnp.float32)).shape
    return standardising(MLP(size, model.parameters.size, key=jax.random.key(0)), jnp.zeros((1, size)))


def network(
    model: LensingModel, name: str, shape: tuple[int, ...], outputs: int, width: int, *, key: Key[Array, ""]
) -> Callable:
    """What is trained, from features or periodic maps of some shape to a summary.

    Args:
        model: the forward model.
        name: entry of the recipe's `network`.
        shape: of what it sees.
        outputs: length of the summary.
        width: hidden units.
        key: key of the initial weights.
    """
    if name == "resnet18":
        return ResNet18(shape, outputs, key=key, periodic=True)
    if name in ("convolution", "symmetric"):
        patch = 4 if model.survey.sky.pixels >= 64 else 2
        plain = ConvNet(shape, outputs, key=key, patch=patch, widths=(24, 48), blocks=(1, 1), periodic=True)
        return Symmetric(plain) if name == "symmetric" else plain
    return MLP(shape, outputs, key=key, width=width, depth=3)


def tangent_rows(
    model: LensingModel, function: Callable, key: Key[Array, ""], n: int, progress: Progress
) -> Float[np.ndarray, "n k columns ..."]:
    """A function of maps and its derivatives by every parameter, at the fiducial ones: what `train_imnn` is given.

    Args:
        model: the forward model.
        function: map to features, a callable module.
        key: scalar key.
        n: number of simulations.
        progress: told after every batch.
    """
    tangents = Tangents(model, model.parameters.fiducial[None])
    carried = Carried(tangents, function)
    keys, size, rows = jax.random.split(key, n), even_batch(n, 20), []
    parts = [slice(start, start + size) for start in range(0, n, size)]
    for part in on_every_core(lambda part: _carry(carried, keys[part]), parts):
        rows.append(np.asarray(part))
        progress("differentiating", len(rows) * size, n)
    return np.concatenate(rows)


@eqx.filter_jit
def _carry(carried, keys):
    return jax.vmap(carried)(keys)


class Carried(eqx.Module):
    """Derivatives of simulations carried through a function of the data.

    Args:
        tangents: simulations with derivatives.
        function: of the data.
    """

    tangents: Tangents
    function: Callable

    def __call__(self, key: Key[Array, ""]) -> Float[Array, "k columns ..."]:
        """Simulate, and carry through."""

        def at(rows):
            value, push = jax.linearize(self.function, rows[0])
            return jnp.concatenate([value[None], jax.vmap(push)(rows[1:])])

        return jax.vmap(at)(self.tangents.simulate_at(key, self.tangents.points[0]))
