"""Have summaries collapsed, or a generator? How many directions of summaries vary, and how unlike one another images are."""

import numpy as np
from jaxtyping import Float
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from fullfield._core import ShapeError
from fullfield.diagnostics.record import Number, Report
from fullfield.diagnostics.samples import as_finite, Numeric


def collapse(summaries: Float[Numeric, "n s"], *, name: str = "collapse") -> Report:
    """Effective rank of summaries, and the deviation of each of their numbers and of the stillest, relative to the liveliest.

    The effective rank is exp(-Σ p ln p) of the shares p that the covariance's eigenvalues have in their sum (Roy & Vetterli
    2007, EUSIPCO): s for white summaries, one if all vary along one line, zero if nothing varies.

    Args:
        summaries: of simulations of the whole prior (n, s).
        name: of the numbers.

    Raises:
        DataError: values that are not finite.
        ShapeError: fewer than two summaries, or not a table.
    """
    if summaries.ndim != 2 or len(summaries) < 2:
        raise ShapeError("summaries", expected="shape (n, s) of at least two", got=summaries.shape)
    values = as_finite("summaries", summaries)
    deviations = values.std(axis=0)
    relative = deviations / (deviations.max() or 1.0)
    numbers = [Number(f"{name}/effective_rank", effective_rank(values)), Number(f"{name}/least_deviation", relative.min())]
    return Report((*numbers, *(Number(f"{name}/deviation/{i}", one) for i, one in enumerate(relative))))


def effective_rank(values: Float[np.ndarray, "n s"]) -> float:
    """exp of the entropy of the covariance's normalised eigenvalues; zero if nothing varies."""
    eigenvalues = np.linalg.svd(values - values.mean(axis=0), compute_uv=False) ** 2
    total = eigenvalues.sum()
    if total == 0:
        return 0.0
    shares = eigenvalues[eigenvalues > 0] / total
    return float(np.exp(-np.sum(shares * np.log(shares))))


def diversity(
    simulated: Float[Numeric, "n s"],
    generated: Float[Numeric, "m s"],
    *,
    name: str = "diversity",
    random: np.random.Generator,
) -> Report:
    """Has a generator collapsed onto some of its images? What it makes, by summaries of single images, beside simulations.

    Numbers: `spread`, the deviation of the generated summaries in units of that of the simulated ones, the median over
    summaries; and `distinct`, the share of the generated images that are different ones. Images are the same if a chain of
    others links them, each as near to the next as a quarter of the median distance from a simulation to its nearest, among as
    many. Ten images made over and over again give ten out of all, as do their mirror images if summaries do not see mirrors.

    Args:
        simulated: summaries of independent simulations.
        generated: of generated images.
        name: of the numbers.
        random: chooses as many of one set as there are of the other.

    Raises:
        DataError: values that are not finite.
        ShapeError: fewer than 50 of either, or different summaries.
    """
    sets = as_finite("simulated", simulated), as_finite("generated", generated)
    count = min(map(len, sets))
    if sets[0].shape[1:] != sets[1].shape[1:] or count < 50:
        raise ShapeError("generated", expected=f"at least 50 summaries (m, {sets[0].shape[1]})", got=sets[1].shape)
    deviation = sets[0].std(axis=0)
    unit = np.where(deviation > 0, deviation, 1.0)
    true, made = (KDTree(random.permutation(values / unit)[:count]) for values in sets)
    reach = 0.25 * np.median(true.query(true.data, k=2)[0][:, 1])
    first, second = made.query_pairs(reach, output_type="ndarray").T
    links = coo_array((np.ones(len(first)), (first, second)), shape=(count, count))
    distinct = connected_components(links, directed=False)[0] / count
    numbers = (
        Number(f"{name}/spread", float(np.median(sets[1].std(axis=0) / unit)), count**-0.5, ">= 0.8"),
        Number(f"{name}/distinct", distinct, (distinct * (1 - distinct) / count) ** 0.5, ">= 0.9"),
    )
    return Report(numbers)
