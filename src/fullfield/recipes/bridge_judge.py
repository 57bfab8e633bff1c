"""The verdict on emulated maps: as maps, as functions of the parameters, and in posteriors."""

from collections.abc import Mapping

from fullfield.diagnostics import Number, Report
from fullfield.recipes.bridge import BridgeConfiguration
from fullfield.recipes.study import Measured


NAMES = ("omega_c", "sigma_8")
JUDGED = "transport"
BARS = {"power": "in [0.97, 1.03]", "peaks": "in [0.95, 1.05]"}
HELD = 100  # observations; fewer are held to nothing


def judge(configuration: BridgeConfiguration, found: Mapping[str, Measured]) -> Report:
    """Every carrier's numbers; the conditional transport is held to the bars, in bands that the particle mesh resolves."""
    held = configuration.observations >= HELD
    numbers = []
    for carrier in ("none", *configuration.carriers):
        numbers += _of_maps(carrier, found[f"maps/{carrier}"].values, bars=held and carrier == JUDGED)
    numbers += _displacements(configuration, found, held)
    for kind in ("reference", *(name.split("/")[1] for name in found if name.startswith("against/"))):
        numbers += _of_posterior(kind, found, bars=held and kind == JUDGED)
    return Report(tuple(numbers))


def _of_maps(carrier, values, *, bars):
    numbers = []
    for name, value in values.items():
        group = name.split("/")[0]
        if name.endswith("_error") or group in ("correlation", "displacement"):
            continue
        # Thirds of the parameters are of the same statistics.
        bar = BARS.get(name.rpartition("/")[2] if group == "third" else group) if bars else None
        named = f"{group}/{carrier}/{name.partition('/')[2]}".rstrip("/")
        numbers.append(Number(named, value, values.get(f"{name}_error"), bar=bar))
    for of in ("input", "truth"):
        bands = [value for name, value in values.items() if name.startswith(f"correlation/{of}/")]
        numbers.append(Number(f"correlation/{carrier}/{of}/least", min(bands)))
    return numbers


def _displacements(configuration, found, held):
    """How far maps are carried, beside the way between maps of equal seeds."""
    numbers = []
    for carrier in configuration.carriers:
        values, bar = found[f"maps/{carrier}"].values, None
        if carrier == JUDGED and "paired" in configuration.carriers and held:
            bar = f"<= {1.2 * found['maps/paired'].values['displacement']:.4f}"
        numbers.append(Number(f"displacement/{carrier}", values["displacement"], bar=bar))
        learnt = found[f"carrier/{carrier}"].values
        numbers += [
            Number(f"pairs/{carrier}/mismatch/{n}", learnt[f"mismatch/{n}"]) for n in NAMES if f"mismatch/{n}" in learnt
        ]
    return numbers


def _of_posterior(kind, found, *, bars):
    own, numbers = found[f"posterior/{kind}"].values, []
    numbers.append(Number(f"calibration/{kind}/failed", own["failed"]))
    numbers.append(Number(f"calibration/{kind}/tarp_failed", own["tarp_failed"], bar="<= 0" if bars else None))
    against = found.get(f"against/{kind}")
    if against is None:
        return numbers
    values = against.values
    for name in NAMES:
        shift = Number(
            f"shift/{kind}/{name}",
            values[f"shift/{name}"],
            values[f"shift_error/{name}"],
            bar="in [-0.1, 0.1]" if bars else None,
        )
        ratio = Number(
            f"width/{kind}/{name}",
            values[f"width/{name}"],
            values[f"width_error/{name}"],
            bar="in [0.95, 1.05]" if bars else None,
        )
        numbers += [shift, Number(f"apart/{kind}/{name}", values[f"apart/{name}"]), ratio]
    numbers.append(Number(f"c2st/{kind}", values["c2st"], values["c2st_error"], bar="<= 0.55" if bars else None))
    return numbers
