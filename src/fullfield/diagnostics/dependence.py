"""Do parameters and maps of the draws belong together? What tests of either alone, and of distances, cannot see.

Given the map, data say nothing more about the parameters, so the misfit of a parameter to its own map,

    q(θ, κ) = θ - [c₀ + Σ_b c_b ln P_b(κ)],

has one law for all exact pairs, and the truth's rank among the draws is uniform. Parameters that were shuffled among the
draws keep both marginal posteriors, but have misfits too large by what the posterior knows of θ only together with κ.
"""

import numpy as np
from jaxtyping import Float

from fullfield.diagnostics.table import JointTable
from fullfield.fields import pair_indices


PARTS = 5


def misfits(table: JointTable, random: np.random.Generator) -> tuple[Float[np.ndarray, "T p"], Float[np.ndarray, "T S p"]]:
    """Misfit of each parameter to the band powers of its map, of truths and of draws.

    Coefficients are fitted to the truths of other simulations (five parts, each left out in turn): those of the same would
    make the truth's misfit smaller than the draws'.
    """
    first, second = pair_indices(table.bins)
    auto = first == second
    at_truths, at_draws = (_features(powers[..., auto, :]) for powers in (table.powers, table.powers_draws))
    truths, draws = table.theta.astype(np.float64), table.theta_draws.astype(np.float64)
    for part in np.array_split(random.permutation(len(truths)), PARTS):
        rest = np.setdiff1d(np.arange(len(truths)), part)
        coefficients = np.linalg.lstsq(at_truths[rest], table.theta[rest], rcond=None)[0]
        truths[part] -= at_truths[part] @ coefficients
        draws[part] -= at_draws[part] @ coefficients
    return truths, draws


def _features(powers):
    logs = np.log(powers.astype(np.float64)).reshape(*powers.shape[:-2], -1)
    return np.concatenate([np.ones((*logs.shape[:-1], 1)), logs], axis=-1)
