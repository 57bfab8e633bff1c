"""What the COSMOS analysis says, and its figures."""

from collections.abc import Mapping

import numpy as np

from fullfield import plots
from fullfield.diagnostics import Number, Report
from fullfield.fields import ShearMaps
from fullfield.recipes.artefacts import read_arrays
from fullfield.recipes.cosmos import PUBLISHED
from fullfield.recipes.problem import Illustration
from fullfield.recipes.rundir import RunDirectory
from fullfield.recipes.study import Measured
from fullfield.simulators import ShearModel


SIGNIFICANT = 3.0  # σ of a mass map at the clusters
P_VALUE = 0.01


def cosmos_numbers(found: Mapping[str, Measured], values: int) -> Report:
    """Numbers of the real data.

    χ² of n numbers has variance 2 n: beside χ² per number stands (2 / n)^½, its scatter at the true map, .044 for the 1026 of
    32 x 32 pixels. The bar of ± 0.05 does not depend on it. The mean over draws of the map scatters less.

    Args:
        found: what every cell measured.
        values: how many numbers the observed shear holds.
    """
    draws, checks, clusters = (found[f"real/{name}"].values for name in ("draws", "checks", "clusters"))
    numbers = [
        Number(
            f"real/amplitude by {name}", draws[f"amplitude/{name}"], draws[f"amplitude/{name}/error"], published=PUBLISHED[0]
        )
        for name in ("diffusion", "chains")
    ]
    distance = abs(draws["amplitude/diffusion"] - PUBLISHED[0])
    joint = float(np.hypot(draws["amplitude/diffusion/error"], PUBLISHED[1]))
    scatter = np.sqrt(2 / values)
    numbers += [
        Number("real/amplitude, deviations from the published one", distance / joint, bar="<= 2"),
        Number("real/c2st against chains", draws["c2st"], bar="<= 0.56"),
        Number("real/map: difference of means from chains in deviations", draws["map/difference"]),
        Number("real/map: deviation over that of chains", draws["map/spread"], bar="in [0.9, 1.1]"),
        Number("real/χ² of the shear given a map, per number", draws["misfit"], scatter, "in [0.95, 1.05]"),
        Number("real/largest rhat of the chains", found["real/chains"].values["rhat"], bar="<= 1.01"),
    ]
    numbers += [Number(f"real/{name}, p-value", value, bar=f">= {P_VALUE:g}") for name, value in checks.items()]
    numbers += [
        Number(f"real/κ at {clusters['clusters']:.0f} X-ray clusters, in σ: {name}", value, bar=f">= {SIGNIFICANT:g}")
        for name, value in clusters.items()
        if name != "clusters"
    ]
    return Report(tuple(numbers))


def cosmos_pictures(model: ShearModel, maps: ShearMaps, directory: RunDirectory) -> list[Illustration]:
    """Mass maps beside each other with the clusters, what is not known of them, and the parameters.

    Args:
        model: of the shear.
        maps: what was observed.
        directory: of the run.
    """
    found = read_arrays(directory.checkpoint("real.clusters") / "maps.npz")
    drawn = read_arrays(directory.checkpoint("real.draws") / "draws.npz")
    exact = read_arrays(directory.checkpoint("real.chains") / "exact.npz")
    seen = maps.observed[..., 0]
    place = (np.stack([found.pop("columns"), found.pop("rows")], axis=1) + 0.5) * maps.sky.pixel_arcmin / 60
    masked = {name: np.where(seen, field, np.nan) for name, field in found.items()}
    deviations = {"diffusion": drawn["std"], "chains": exact["std"], "one draw": drawn["some"][0]}
    space, side = model.parameters, maps.sky.side
    return [
        Illustration(
            "The field", "mass-maps", plots.map_row(np.stack(list(masked.values())), list(masked), side=side, marks=place),
            "Convergence of the COSMOS field by every method; circles are the heaviest X-ray clusters. North is up, and east "
            "to the right.",
        ),
        Illustration(
            "The field", "uncertainty",
            plots.map_row(np.stack([field[..., 0] for field in deviations.values()]), list(deviations), side=side),
            "Deviation of the map by both methods, and one draw, which goes on behind the mask.",
        ),
        Illustration(
            "The field", "cosmology",
            plots.corner(
                drawn["theta"], space.labels, space.bounds, name="joint diffusion",
                others={"chains": exact["theta"].reshape(-1, space.size)},
            ),
            "Parameters from the real shear. The stretch of the sources' redshifts is a nuisance, and its prior.",
        ),
    ]  # fmt: skip
