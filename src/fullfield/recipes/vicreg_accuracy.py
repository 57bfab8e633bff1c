"""How accurate Gaussian posteriors are that a network reads off summaries, in the measures of published tables."""

import pathlib
from collections.abc import Callable, Mapping, Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from fullfield._core import DataError
from fullfield._core.progress import Progress
from fullfield.datasets import StoredSimulations
from fullfield.diagnostics import Number
from fullfield.inference.implicit import GaussianEstimate, train_gaussian
from fullfield.networks import apply_many
from fullfield.parameters import ParameterSpace
from fullfield.recipes.artefacts import read_arrays
from fullfield.training import cosine_adam


class Described(eqx.Module):
    """What a Gaussian posterior says of one data set.

    Args:
        posterior: the posterior.
    """

    posterior: GaussianEstimate

    def __call__(self, row: Float[Array, "..."], theta: Float[Array, " p"]) -> Float[Array, " k"]:
        """Mean (p,), deviations (p,), and log density at the truth, one behind the other."""
        mean, root = self.posterior.moments(row)
        return jnp.concatenate([mean, jnp.linalg.norm(root, axis=1), self.posterior.log_prob(theta, row)[None]])


def read_off(
    parameters: ParameterSpace,
    network: Callable,
    source: StoredSimulations,
    held_out: StoredSimulations,
    test: tuple[Float[np.ndarray, "n p"], Float[np.ndarray, "n ..."]],
    *,
    key: Key[Array, ""],
    learning_rate: float,
    epochs: int,
    average: float,
    folder: pathlib.Path,
    progress: Progress,
    stage: str,
) -> tuple[Float[np.ndarray, "n p"], Float[np.ndarray, "n p"], dict[str, float]]:
    """Train a network to the Gaussian posterior of summaries, or of data, and ask it about others.

    Args:
        parameters: the parameters.
        network: summary to mean and root of the covariance, as `train_gaussian` takes it.
        source, held_out: parameters and summaries to train on, and for the choice of the best epoch.
        test: parameters and summaries to be asked about.
        key: scalar key.
        learning_rate: highest.
        epochs: all of which are run.
        average: decay per step of the running average of the weights.
        folder: for the checkpoint.
        progress: told after every epoch.
        stage: what is told.

    Returns:
        Means and deviations (n, p), and mean loss and seconds.
    """
    posterior, history = train_gaussian(
        parameters, network, source, held_out,
        key=key, optimiser=cosine_adam(learning_rate, epochs * source.steps_per_epoch), max_epochs=epochs, patience=epochs,
        average=average, checkpoint=folder / "training", progress=progress, stage=stage,
    )  # fmt: skip
    theta, rows = test
    found, p = apply_many(Described(posterior), rows, theta, batch_size=250), parameters.size
    values = {"loss": -float(found[:, -1].mean()), "seconds": sum(history.seconds)}
    return found[:, :p], found[:, p : 2 * p], values


def accuracy(
    names: Sequence[str], theta: Float[np.ndarray, "n p"], mean: Float[np.ndarray, "n p"], group: int
) -> dict[str, float]:
    """Errors of posterior means over data sets, each `group` of which share their parameters.

    Returns:
        By parameter, mean absolute error over mean parameter ("error/…") with its uncertainty ("uncertainty/…"), for which
        data sets of the same parameters count as one, and mean squared error ("mse/…").
    """
    errors, values = np.abs(mean - theta), {}
    groups = errors.reshape(-1, group, len(names)).mean(axis=1)
    for i, name in enumerate(names):
        values[f"error/{name}"] = float(errors[:, i].mean() / theta[:, i].mean())
        values[f"uncertainty/{name}"] = float(groups[:, i].std(ddof=1) / len(groups) ** 0.5 / theta[:, i].mean())
        values[f"mse/{name}"] = float((errors[:, i] ** 2).mean())
    return values


def error_ratio(names: Sequence[str], first: pathlib.Path, second: pathlib.Path, group: int) -> dict[str, float]:
    """Mean absolute errors of one cell over those of another, of the same data sets, each `group` of which share parameters.

    Args:
        names: of the parameters.
        first, second: folders of the cells, with posterior means in `test.npz`.
        group: data sets at the same parameters.

    Returns:
        By parameter, the ratio ("ratio/…") and its uncertainty ("uncertainty/…"), from leaving out all data sets of one vector
        of parameters at a time (a jackknife): both are wrong on the same maps, so that the ratio is known better than either.

    Raises:
        DataError: the cells were asked about other data sets.
    """
    one, other = (read_arrays(folder / "test.npz") for folder in (first, second))
    if not np.array_equal(one["theta"], other["theta"]):
        raise DataError(str(second), expected=f"the parameters of {first}", got="others", remedy="Measure both cells again.")
    errors = [np.abs(each["mean"] - each["theta"]).reshape(-1, group, len(names)).sum(axis=1) for each in (one, other)]
    ratio = errors[0].sum(axis=0) / errors[1].sum(axis=0)
    without = (errors[0].sum(axis=0) - errors[0]) / (errors[1].sum(axis=0) - errors[1])
    uncertainty = without.std(axis=0) * np.sqrt(len(without) - 1)
    return {f"ratio/{name}": float(ratio[i]) for i, name in enumerate(names)} | {
        f"uncertainty/{name}": float(uncertainty[i]) for i, name in enumerate(names)
    }


def collapse_numbers(label: str, values: Mapping[str, float], parameters: int | None) -> list[Number]:
    """Numbers of a report by which collapsed summaries are seen.

    Args:
        label: whose they are.
        values: what `collapse` has found; of runs before it told the deviation of each number, only of the stillest.
        parameters: number of those that summaries are to tell, to which their rank is held; None if it is held to nothing.
    """
    bar = None if parameters is None else f"> {parameters - 0.5}"
    numbers = [
        Number(f"rank/{label}", values["collapse/effective_rank"], bar=bar),
        Number(f"least deviation/{label}", values["collapse/least_deviation"]),
    ]
    if each := [value for name, value in values.items() if name.startswith("collapse/deviation/")]:
        quartiles = zip(("lower quartile of", "median", "upper quartile of"), np.quantile(each, (0.25, 0.5, 0.75)), strict=True)
        numbers += [Number(f"{called} deviation/{label}", value) for called, value in quartiles]
    return numbers


def accuracy_numbers(
    label: str, values: Mapping[str, float], names: Sequence[str], published: Mapping[str, float]
) -> list[Number]:
    """The same as numbers of a report, beside published ones: relative errors, mean squared errors, and loss.

    Args:
        label: whose they are.
        values: as `accuracy` has them, and "loss".
        names: of the parameters.
        published: by the same names as `values`, what is published.
    """
    numbers = []
    for name in names:
        error = f"error/{name}"
        numbers.append(
            Number(f"error/{label}/{name}", values[error], values[f"uncertainty/{name}"], published=published.get(error))
        )
    for name in names:
        mse = f"mse/{name}"
        numbers.append(Number(f"mse/{label}/{name}", values[mse], published=published.get(mse)))
    return [*numbers, Number(f"loss/{label}", values["loss"], published=published.get("loss"))]
