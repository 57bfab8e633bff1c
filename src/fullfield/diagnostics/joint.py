"""The front door for joint posteriors of parameters and maps: every test of a table of draws, with one verdict."""

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float, Key

from fullfield.diagnostics.blocks import bin_names
from fullfield.diagnostics.budget import Budget
from fullfield.diagnostics.dependence import misfits
from fullfield.diagnostics.field import field_curves, FieldCurves
from fullfield.diagnostics.mira import mira_of
from fullfield.diagnostics.ranks import Ranks, ranks
from fullfield.diagnostics.record import merge, Report
from fullfield.diagnostics.references import balanced, Distances
from fullfield.diagnostics.samples import generator
from fullfield.diagnostics.table import JointTable
from fullfield.diagnostics.tarp import Tarp, tarp_of
from fullfield.fields import pair_indices


class JointCalibration(eqx.Module):
    """Curves of all tests, and the report in three parts.

    Args:
        theta_ranks: ranks of the parameters.
        power_ranks: ranks of auto and cross band powers of the maps.
        joint_ranks: ranks of what depends on parameters, maps and data at once.
        tarp: curves around random points in "theta", "kappa" and "joint" and in each single block.
        field: transfer function, cross-correlation and spread of the maps.
        report: every number, under "theta/", "kappa/" and "joint/".
    """

    theta_ranks: Ranks
    power_ranks: Ranks
    joint_ranks: Ranks
    tarp: dict[str, Tarp]
    field: FieldCurves
    report: Report


def joint_calibration(table: JointTable, *, budget: Budget | None = None, key: Key[Array, ""]) -> JointCalibration:
    """Decide from simulations whether joint draws of parameters and maps can be trusted.

    Parameters: ranks, their correlation with the estimates, TARP and MIRA, together and singly. Maps: ranks of band powers,
    transfer function, spread per band, TARP and MIRA in all bands with equal weight, in each band and in each bin. Jointly:
    TARP and MIRA with parameters and maps at equal weight, ranks of the misfits of parameters to maps and, where given, of the
    data's log-likelihood and of the residuals' χ² per band.

    Args:
        table: the draws of many observations.
        budget: probability that an exact posterior fails or warns anywhere in the report, `Budget()` if not given.
        key: for ties and bootstrap.

    Returns:
        The curves of each test and the merged report.
    """
    groups = distances(table)
    share = (budget or Budget()).shared(2 * len(groups) + 4)
    random = generator(key, "joint")
    curves, reports = {}, []
    for path, placed in groups.items():
        curves[path] = tarp_of(placed, budget=share, random=random)
        reports += [curves[path].report.under(path), mira_of(placed, budget=share, random=random).under(path)]
    by_theta = ranks(table.theta, table.theta_draws, names=table.names, estimates=table.estimates, budget=share, key=key)
    pairs = [f"{i + 1}x{j + 1}" for i, j in zip(*pair_indices(table.bins), strict=True)]
    labels = [f"power_{pair}/ell_{ell:.0f}" for pair in pairs for ell in table.ell]
    by_power = ranks(_flat(table.powers, 1), _flat(table.powers_draws, 2), names=labels, budget=share, key=key)
    labels = [f"misfit_{name}" for name in table.names]
    by_pair = ranks(*misfits(table, random), names=labels, quantities=_of_data(table), budget=share, key=key)
    field = field_curves(table, budget=share)
    reports += [by_theta.report.under("theta"), by_power.report.under("kappa"), field.report.under("kappa")]
    reports.append(by_pair.report.under("joint"))
    return JointCalibration(by_theta, by_power, by_pair, curves, field, merge(reports))


def distances(table: JointTable) -> dict[str, Distances]:
    """Distances for TARP and MIRA by path: theta, kappa, joint, and every block under the first two."""
    bands = table.blocks[-len(table.ell) :]
    kappa = balanced([table.block(name) for name in bands])
    return {
        "theta": table.block("theta"),
        "kappa": kappa,
        "joint": balanced([table.block("theta"), kappa]),
        **{f"theta/{name}": table.block(name) for name in table.names},
        **{f"kappa/{name}": table.block(name) for name in (*bin_names(table.bins), *bands)},
    }


def _of_data(table):
    quantities = {}
    if table.log_likelihood is not None:
        quantities["log_likelihood"] = (table.log_likelihood, table.log_likelihood_draws)
    if table.residuals is not None:
        names = [*(f"residual/ell_{ell:.0f}" for ell in table.ell), "residual"]
        quantities |= {name: (table.residuals[:, i], table.residuals_draws[:, :, i]) for i, name in enumerate(names)}
    return quantities


def _flat(values: Float[np.ndarray, "..."], axes: int) -> Float[np.ndarray, "..."]:
    return values.reshape(*values.shape[:axes], -1)
