"""Figures of a joint study: contours and maps of the first observation, and the curves of the tests."""

from collections.abc import Mapping

import numpy as np

from fullfield import plots
from fullfield.diagnostics import joint_calibration, JointTable
from fullfield.recipes.artefacts import read_arrays
from fullfield.recipes.joint_bench import AbstractBench
from fullfield.recipes.problem import Illustration
from fullfield.recipes.rundir import RunDirectory
from fullfield.recipes.study import Measured


def pictures(bench: AbstractBench, found: Mapping[str, Measured], directory: RunDirectory) -> list[Illustration]:
    """Draw what the cells left in the run directory.

    Args:
        bench: the problem.
        found: what every cell measured.
        directory: of the run.
    """
    del found
    space = bench.model.parameters
    drawn = read_arrays(directory.checkpoint("observation.0") / "draws.npz")
    exact = read_arrays(directory.checkpoint("reference.0") / "exact.npz")
    npe = read_arrays(directory.checkpoint("denoiser.npe") / "draws.npz")["theta"][0]
    table = JointTable.from_arrays(read_arrays(directory.checkpoint("calibration.joint") / "table.npz"))
    tested = joint_calibration(table, key=bench.key("tests"))
    contours = plots.corner(
        drawn["theta"], space.labels, space.bounds, name="joint diffusion", truth=np.asarray(space.fiducial),
        others={"reference": exact["theta"].reshape(-1, space.size), "NPE": npe},
    )  # fmt: skip
    maps = [drawn["truth"], drawn["filtered"], drawn["some"][0], drawn["mean"], exact["mean"]]
    titles = ("truth", "Wiener filter", "one draw", "mean of draws", "mean of the reference")
    deviations, names = [drawn["std"], exact["std"]], ("deviation of draws", "of the reference")
    field = tested.field
    scales = plots.scale_curves(
        field.ell,
        _both(field.transfer_draw, field.transfer_mean),
        _both(field.correlation_draw, field.correlation_mean),
        np.stack([field.z2.values, field.z2.errors]),
    )
    return [
        Illustration(
            "Parameters", "posterior", contours,
            "The first observation: joint diffusion, the reference, and NPE from the same summaries.",
        ),
        Illustration(
            "Map", "maps", _row(maps, titles, bench.sky.side), "The first observation, in the last bin."
        ),
        Illustration(
            "Map", "deviations", _row(deviations, names, bench.sky.side), "How well each pixel is known: larger where masked."
        ),
        Illustration(
            "Maps, scale by scale", "scales", scales,
            f"{len(table.theta)} simulated observations: amplitude of draws and of their mean, correlation with the truth, "
            "and squared error over the variance of the draws.",
        ),
        *(
            Illustration(
                "Calibration", f"tarp-{part}", _coverage(tested.tarp[part].curves, title),
                "Coverage around random points near an estimate from the data, with the band that an exact posterior stays in "
                "with a probability of 0.95.",
            )
            for part, title in (("theta", "parameters"), ("kappa", "map"), ("joint", "both"))
        ),
    ]  # fmt: skip


def _coverage(curves, title):
    row = curves.labels.index("estimate")
    return plots.coverage_curve(curves.alpha, curves.values[row], curves.low, curves.high, title=f"TARP, {title}")


def _row(maps, titles, side):
    return plots.map_row(np.stack([one[..., -1] for one in maps]), titles, side=side)


def _both(draw, mean):
    return np.stack([[draw.values, draw.errors], [mean.values, mean.errors]])
