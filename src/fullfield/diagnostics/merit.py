"""Figure of merit: how tightly a posterior constrains each pair of parameters."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from fullfield._core import DataError, ShapeError
from fullfield.diagnostics.record import Number, Report
from fullfield.diagnostics.samples import as_finite, check_names, Numeric


BATCHES = 40


def figure_of_merit(
    draws: Float[Numeric, "n p"],
    *,
    names: Sequence[str],
    pairs: Sequence[tuple[str, str]] | None = None,
    published: Mapping[tuple[str, str], float] | None = None,
) -> Report:
    """Measure det(C)^(-1/2) of the marginal 2 x 2 covariance C of pairs of parameters.

    The uncertainty comes from the influence of each draw on ln FoM, 1 - zᵀ C⁻¹ z / 2 with z its distance from the mean:
    the first-order limit of the bootstrap. Influences are averaged in batches of consecutive draws, so it holds for a chain
    whose memory is shorter than 1/40 of it.

    Args:
        draws: posterior draws of one observation, chain order kept.
        names: names of the parameters.
        pairs: pairs of names, all if not given.
        published: figures of merit in the literature, by pair.

    Returns:
        One number "fom/<first>-<second>" per pair, in inverse units of both.

    Raises:
        DataError: values that are not finite, or a degenerate pair.
        ShapeError: fewer than 80 draws, or a number of names other than p.

    Source: Lanzieri et al. 2025, A&A 697, A162 (arXiv:2407.10877).
    """
    if draws.ndim != 2 or len(draws) < 2 * BATCHES:
        raise ShapeError("draws", expected=f"(n, p) with n of at least {2 * BATCHES}", got=draws.shape)
    labels = check_names(names, draws.shape[1])
    chain = as_finite("draws", draws)
    numbers = []
    for first, second in itertools.combinations(labels, 2) if pairs is None else pairs:
        columns = [_position(name, labels) for name in (first, second)]
        value, error = _merit(chain[:, columns], f"{first}, {second}")
        numbers.append(Number(f"fom/{first}-{second}", value, error, published=(published or {}).get((first, second))))
    return Report(tuple(numbers))


def _position(name, labels):
    if name not in labels:
        raise DataError("pairs", expected=f"names among {', '.join(labels)}", got=repr(name))
    return labels.index(name)


def _merit(chain, pair):
    centred = chain - chain.mean(0)
    covariance = centred.T @ centred / (len(chain) - 1)
    scale = np.sqrt(np.diag(covariance))
    if not np.all(scale > 0) or np.linalg.det(covariance / np.outer(scale, scale)) < 1e-12:
        raise DataError("draws", expected="two parameters that vary independently", got=f"a degenerate pair ({pair})")
    merit = np.linalg.det(covariance) ** -0.5
    influence = 1 - 0.5 * np.einsum("ni,ij,nj->n", centred, np.linalg.inv(covariance), centred)
    batches = [batch.mean() for batch in np.array_split(influence, BATCHES)]
    return merit, merit * np.std(batches, ddof=1) / BATCHES**0.5
