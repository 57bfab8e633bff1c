"""Classifier two-sample test: can a network tell posterior draws from those of a reference?"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from fullfield._core import DataError, ShapeError, stream
from fullfield.diagnostics.classifier import held_out_accuracies
from fullfield.diagnostics.record import Number, Report
from fullfield.diagnostics.samples import as_finite, Numeric


def thinned(draws: Float[np.ndarray, "m p"], n: int) -> Float[np.ndarray, "n p"]:
    """So many of some draws, evenly spaced from the first to the last, as chains should be cut to the length of others."""
    return draws[np.linspace(0, len(draws) - 1, n).astype(int)]


def c2st(
    samples: Float[Numeric, "n p"],
    reference: Float[Numeric, "n p"],
    *,
    units: int | None = None,
    folds: int = 5,
    name: str = "c2st",
    bar: str | None = None,
    published: float | None = None,
    key: Key[Array, ""],
) -> Report:
    """Measure the held-out accuracy of a network that tells two equal numbers of samples apart.

    0.5 is the best; with 10 000 of each, anything below about 0.51 cannot be told from exact. Both are scaled by mean and
    standard deviation of the reference; two hidden ReLU layers, Adam, shuffled cross-validation (`classifier`).

    Args:
        samples: draws of the posterior to judge.
        reference: as many draws of the reference. Repeated or missing draws raise the accuracy mechanically.
        units: of each hidden layer; ten per dimension if not given, as sbibm has it. The lensing benchmark has 60. Accuracies
            compare only between equal classifiers.
        folds: of the cross-validation.
        name: name of the number.
        bar: what the accuracy is held to, such as "<= 0.52".
        published: accuracy in the literature.
        key: for the folds and the classifier's initial weights.

    Returns:
        A report of one number: mean accuracy over the folds, with the standard error of n Bernoulli trials per sample or the
        scatter between folds, whichever is larger.

    Raises:
        DataError: values that are not finite, or a reference column without spread.
        ShapeError: unequal numbers or dimensions.

    Source: Lueckmann et al. 2021, arXiv:2101.04653; for the lensing benchmark, Zeghal et al. 2025, arXiv:2409.17975.
    """
    if samples.ndim != 2 or samples.shape != reference.shape:
        raise ShapeError("samples", expected=f"as many as the reference, {reference.shape}", got=samples.shape)
    samples, reference = as_finite("samples", samples), as_finite("reference", reference)
    centre, scale = reference.mean(0), reference.std(0, ddof=1)
    if not np.all(scale > 0):
        raise DataError("reference", expected="draws that differ", got=f"equal ones in column {int(np.argmin(scale))}")
    points = (np.concatenate([samples, reference]) - centre) / scale
    accuracies = np.asarray(
        held_out_accuracies(
            jnp.asarray(points, jnp.float32), jnp.arange(len(points)) >= len(samples),
            folds=folds, units=units or 10 * samples.shape[1], key=stream(key, "c2st"),
        )
    )  # fmt: skip
    mean = float(np.mean(accuracies))
    scatter = float(np.std(accuracies, ddof=1)) / folds**0.5
    error = max(scatter, (mean * (1 - mean) / len(points)) ** 0.5)
    return Report((Number(name, mean, error, bar, published),))
