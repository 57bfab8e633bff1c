"""Figures of the bridge: a map before and behind the carrier, spectra, and one posterior by every kind of maps."""

from collections.abc import Mapping

import numpy as np

from fullfield import plots
from fullfield.recipes.artefacts import read_arrays
from fullfield.recipes.bridge_bench import BridgeBench
from fullfield.recipes.problem import Illustration
from fullfield.recipes.rundir import RunDirectory
from fullfield.recipes.study import Measured


CALLED = {
    "none": "perturbation theory", "transfer": "transfer function", "transport": "transport", "minibatch": "ordinary transport",
    "unconditional": "unconditional flow", "paired": "paired bridge",
}  # fmt: skip


def pictures(bench: BridgeBench, found: Mapping[str, Measured], directory: RunDirectory) -> list[Illustration]:
    """All figures."""
    first = "transport" if "transport" in bench.configuration.carriers else bench.configuration.carriers[0]
    anywhere = directory.checkpoint("any")
    maps = [bench.carried(one, "tested", anywhere).data[0, ..., -1] for one in ("none", first)]
    truth = bench.suite("test", anywhere)
    row = plots.map_row(
        np.stack([*map(np.asarray, maps), np.asarray(truth.data[0, ..., -1])]),
        ["perturbation theory", CALLED[first], "particle mesh"], side=bench.configuration.side,
    )  # fmt: skip
    bins, bands = truth.data.shape[-1], len(bench.bands.edges) - 1
    ratios = {}
    for carrier in ("none", *bench.configuration.carriers):
        values = found[f"maps/{carrier}"].values
        table = np.zeros((2, bins, bands))
        for b, band in np.ndindex(bins, bands):
            name = next(name for kind in ("power", "beyond") if (name := f"{kind}/{b + 1}/{band + 1}") in values)
            table[:, b, band] = values[name], values[f"{name}_error"]
        ratios[CALLED[carrier]] = (table[0], table[1])
    spectra = plots.spectrum_ratios(bench.bands.centres, ratios)
    draws = {
        kind: read_arrays(directory.checkpoint(f"posterior.{kind}") / "draws.npz")
        for kind in ("reference", first, "none", "few")
    }
    space = bench.cheap.parameters
    corner = plots.corner(
        draws["reference"]["theta"][0], space.labels, space.bounds, name="particle mesh", truth=draws["reference"]["truths"][0],
        others={CALLED[first]: draws[first]["theta"][0], CALLED["none"]: draws["none"]["theta"][0],
                "few of the particle mesh": draws["few"]["theta"][0]},
    )  # fmt: skip
    return [
        Illustration("Maps", "maps", row, "The last bin of maps from equal seeds at equal parameters, without noise."),
        Illustration(
            "Maps", "spectra", spectra,
            "Spectra of maps over those of the particle mesh, mean over parameters that no carrier has seen, and 3 %.",
        ),
        Illustration(
            "Posteriors", "posterior", corner, "Posteriors from four kinds of maps, of one noisy map of the particle mesh.",
        ),
    ]  # fmt: skip
