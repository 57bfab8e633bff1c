"""Figures of the comparison of summaries: what each keeps, their posteriors over the full field's, and what they look at."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from fullfield import plots
from fullfield.recipes.artefacts import read_arrays
from fullfield.recipes.neural_summaries import NeuralSummariesConfiguration, PAIRS
from fullfield.recipes.problem import Illustration
from fullfield.recipes.rundir import RunDirectory
from fullfield.recipes.study import Measured
from fullfield.recipes.summaries_judge import LIKELIHOOD, rows_of_planes
from fullfield.simulators import LensingModel


SHOWN = ("omega_c", "sigma_8", "w_0")
GROUPS = (("vmim", "info_nce", "moments"), ("gnll", "mae", "mse"), ("imnn", "statistics", "spectra", LIKELIHOOD))
NAMES = {
    "vmim": "VMIM", "info_nce": "InfoNCE", "gnll": "GNLL", "moments": "moment network", "mae": "MAE", "mse": "MSE",
    "imnn": "IMNN", "statistics": "fixed statistics", "spectra": "spectra, compressed", LIKELIHOOD: "spectra, likelihood",
}  # fmt: skip
LOOKED_THROUGH = ("vmim", "mse", "imnn")  # whose sensitivity is drawn


def pictures(
    configuration: NeuralSummariesConfiguration, model: LensingModel, found: Mapping[str, Measured], directory: RunDirectory
) -> list[Illustration]:
    """Draw what the cells found, and what they left in the run directory.

    Args:
        configuration: settings.
        model: of the maps.
        found: what every cell measured, by its name.
        directory: of the run.
    """
    space = model.parameters
    columns = [space.index(name) for name in SHOWN]
    labels, bounds = [space.labels[i] for i in columns], [space.bounds[i] for i in columns]

    def arrays(cell: str, file: str) -> dict[str, np.ndarray]:
        return read_arrays(directory.checkpoint(cell) / file)

    def draws(name: str) -> Float[np.ndarray, "m 3"]:
        if name in ("reference", LIKELIHOOD):
            theta = arrays(f"{name}.0", "chains.npz")["theta"]
            return theta.reshape(-1, theta.shape[-1])[:, columns]
        return arrays(f"{name}.0", "draws.npz")["theta"][0][:, columns]

    of = {name: NAMES[name] for name in (*configuration.objectives, LIKELIHOOD)}
    planes = rows_of_planes(configuration, found, of)
    titles = [", ".join(f"${space.labels[space.index(name)]}$" for name in pair) for pair in PAIRS]
    kept = plots.accuracy_rows(
        dict(zip(titles, planes.values(), strict=True)), label="figure of merit, full field = 1", exact=1.0, better="higher"
    )
    shown = [
        Illustration(
            "Information kept", "kept", kept,
            f"Mean over {configuration.observations} observations and {configuration.seeds} trainings, with standard errors.",
        )
    ]  # fmt: skip
    for number, group in enumerate(GROUPS, 1):
        others = {of[name]: draws(name) for name in group if name in of}
        if others:
            corner = plots.corner(
                draws("reference"), labels, bounds,
                name="full field", truth=np.asarray(space.fiducial)[columns], others=others,
            )  # fmt: skip
            caption = f"The first observation: full field against {', '.join(others)}."
            shown.append(Illustration(f"Posteriors {number}", f"contours-{number}", corner, caption))
    looked = [name for name in LOOKED_THROUGH if name in configuration.objectives]
    if looked:
        maps = [arrays(f"{name}.0", "sensitivity.npz") for name in looked]
        rows = [maps[0]["observed"][..., -1], *(one["sensitivity"][..., -1] for one in maps)]
        titles = ["observed", *(of[name] for name in looked)]
        shown.append(
            Illustration(
                "Sensitivity", "sensitivity",
                plots.map_row(
                    np.stack([row / row.std() for row in rows]), titles,
                    side=model.survey.sky.side, label="in standard deviations",
                ),
                "The last bin of the first observation, and how a rise of each of its pixels moves the best linear estimate of "
                r"σ8 from the summary.",
            )
        )  # fmt: skip
    return shown
