import itertools
import json
import pathlib

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield._core import ConfigurationError, DataError, digest, save_module, ShapeError
from fullfield._core.progress import silent
from fullfield.fields import FlatSky
from fullfield.generative import Condition
from fullfield.inference.explicit import ShearLatents, Target
from fullfield.inference.explicit.precondition import Preconditioner
from fullfield.recipes import cosmos_bench, joint_measure, joint_study, RECIPES
from fullfield.recipes.cosmos_judge import cosmos_numbers
from fullfield.recipes.joint_bench import branch
from fullfield.recipes.joint_calibrate import calibrate_exactly
from fullfield.recipes.joint_gaussian_bench import GaussianBench
from fullfield.recipes.joint_judge import judge, PARTS, RULES
from fullfield.recipes.mass_map_bench import depth_map, ShearBench, ShearFrame
from fullfield.recipes.mass_map_judge import chain_numbers
from fullfield.recipes.study import Measured
from fullfield.recipes.summaries_features import unfitted_reconstruction


@pytest.mark.parametrize(
    ("name", "groups"),
    [
        ("joint-gaussian", {"simulations", "denoiser", "calibration", "reference", "observation", "speed"}),
        ("mass-map-cosmology", {"features", "simulations", "denoiser", "calibration", "reference", "observation", "speed",
                                "baselines", "start/warm", "start/dispersed"}),
        ("cosmos", {"features", "simulations", "denoiser", "calibration", "reference", "observation", "speed", "real"}),
    ],
)  # fmt: skip
def test_cells_of_the_joint_studies(name, groups):
    assert set(RECIPES[name].build(RECIPES[name].configure({})).plan()) == groups


def test_simulations_for_one_way_of_drawing_are_not_those_for_the_other():
    """Latents expected at their own parameters would tell these to a denoiser that draws both together."""
    recipe = RECIPES["mass-map-cosmology"]
    digests = []
    for together in (False, True):
        cells = recipe.build(recipe.configure({"pixels": 16, "together": together})).cells
        digests.append(next(digest(cell.inputs) for cell in cells if cell.name == "simulations/all"))
    assert digests[0] != digests[1]


def digests(name, settings):
    recipe = RECIPES[name]
    return {cell.name: digest(cell.inputs) for cell in recipe.build(recipe.configure(settings)).cells}


def changed(name, old, **settings):
    new = digests(name, {"pixels": 16, **settings})
    return {cell for cell in old if new[cell] != old[cell]}


def test_a_cell_is_measured_again_when_what_it_depends_on_changes(monkeypatch):
    """Cells of the real data were keyed by the configuration alone, and survived another forward model or other moves."""
    real = {f"real/{name}" for name in ("chains", "draws", "checks", "clusters")}
    old = digests("cosmos", {"pixels": 16})
    calibration = {"calibration/joint", "calibration/errors"}
    drawn = real - {"real/chains"} | calibration | {"speed/draws", *(f"observation/{i}" for i in range(3))}
    assert changed("cosmos", old) == set()
    assert changed("cosmos", old, moves=3) == changed("cosmos", old, evaluations=8) == drawn
    assert changed("cosmos", old, maps=600) == (drawn | real) - calibration - {"real/chains", "speed/draws"}
    assert changed("cosmos", old, simulations={"training": 600}) == set(old) - {
        "features/estimate", "real/chains", *(f"reference/{i}" for i in range(3))
    }  # fmt: skip
    with monkeypatch.context() as patched:
        patched.setattr(joint_study, "MOVED", "parameters alone")
        assert changed("cosmos", old) == drawn
        starts = {f"start/warm/{i}" for i in range(5)}
        before = digests("mass-map-cosmology", {"pixels": 16})
        patched.undo()
        assert starts < changed("mass-map-cosmology", before)
        assert not {f"start/dispersed/{i}" for i in range(5)} & changed("mass-map-cosmology", before)
    before = digests("mass-map-cosmology", {"pixels": 16})
    assert changed("mass-map-cosmology", before, baselines={"epochs": 3}) == {"baselines/maps"}
    assert changed("mass-map-cosmology", before, draws=30) == {"baselines/maps"} | calibration
    with monkeypatch.context() as patched:
        maps = cosmos_bench.cosmos_maps(16)
        patched.setattr(cosmos_bench, "cosmos_maps", lambda pixels: eqx.tree_at(lambda m: m.shear, maps, 0.9 * maps.shear))
        assert changed("cosmos", old) == real
    with monkeypatch.context() as patched:
        model = cosmos_bench.cosmos_model(16)
        other = eqx.tree_at(lambda m: m.noise, model, 1.1 * model.noise)
        patched.setattr(cosmos_bench, "cosmos_model", lambda pixels: other)
        assert changed("cosmos", old) == set(old)


def test_the_mask_hides_what_was_asked_for_and_is_always_the_same():
    noise = depth_map(FlatSky(64, 10.0), 0.1, 0.15)
    assert 0.1 <= np.isinf(noise).mean() < 0.12
    np.testing.assert_array_equal(noise, depth_map(FlatSky(64, 10.0), 0.1, 0.15))
    seen = noise[np.isfinite(noise)]
    assert seen.min() > 0.84
    assert seen.max() < 1.16
    assert np.ptp(seen) > 0.25


def test_rows_of_the_gaussian_field_hold_field_filter_and_powers(tmp_path):
    recipe = RECIPES["joint-gaussian"]
    settings = {"pixels": 8, "simulations": {"training": 500, "validation": 100, "calibration": 50}}
    bench = GaussianBench(recipe.configure(settings))
    part = bench.simulate("calibration", tmp_path / "cell", silent, with_data=True)
    field, condition = bench.layout.unpack(jnp.asarray(part["rows"]))
    noise = part["data"] - field
    # 3200 numbers of unit variance: 1 / √6400 = 1.25 %, five of those.
    assert float(jnp.std(noise)) == pytest.approx(1.0, abs=0.06)
    filtered = jax.vmap(lambda data: bench.exact.wiener(data, bench.model.parameters.fiducial))(jnp.asarray(part["data"]))
    np.testing.assert_allclose(condition.expected, filtered, atol=1e-5)
    assert np.corrcoef(part["theta"][:, 0], condition.summary.mean(1))[0, 1] > 0.3


def test_mira_of_the_exact_posterior_is_near_its_null_and_of_the_prior_is_not(tmp_path, monkeypatch):
    """Nine z-scores of unit variance over 100 observations: beyond 4 by chance in one of two thousand runs."""
    recipe = RECIPES["joint-gaussian"]
    simulations = {"training": 500, "validation": 100, "calibration": 100}
    bench = GaussianBench(recipe.configure({"pixels": 8, "draws": 20, "simulations": simulations}))
    (tmp_path / "simulations.all").mkdir()
    np.savez(
        tmp_path / "simulations.all" / "calibration.npz", **bench.simulate("calibration", tmp_path, silent, with_data=True)
    )
    (tmp_path / "denoiser.posterior").mkdir()
    save_module(tmp_path / "denoiser.posterior" / "denoiser.eqx", joint_measure._untrained(bench))
    z = calibrate_exactly(bench, tmp_path / "calibration.exact", silent).values
    assert set(z) == {f"{part}/mira/{rule}" for part in PARTS for rule in RULES}
    assert max(map(abs, z.values())) < 4

    def prior(self):
        def draw(key, data, n):
            theta = bench.model.parameters.sample(key, (n,))
            return theta, jax.vmap(bench.model.field)(theta, jax.random.normal(key, (n, 1, *data.shape[:2])))

        return draw

    monkeypatch.setattr(GaussianBench, "answer", property(prior))
    assert abs(calibrate_exactly(bench, tmp_path / "calibration.exact", silent).values["kappa/mira/estimate"]) > 4


def test_latents_of_the_shear_hold_the_convergence():
    bench = ShearBench(RECIPES["mass-map-cosmology"].configure({"pixels": 16}))
    theta, target = bench.model.parameters.fiducial + 0.01, Target(bench.model, jnp.zeros(bench.model.data_shape))
    frame = ShearFrame(bench.truth, ShearLatents(bench.model, target, Preconditioner.unit(target)), together=False)

    @eqx.filter_jit
    def both(key):
        latents, data = bench.model.simulate_with_latents(key, theta)
        condition = frame.given(theta, Condition(jnp.zeros((16, 16, 5)), jnp.zeros(12), data))
        return frame.maps(theta, frame.field(theta, latents, condition), condition), bench.truth(theta, latents)

    found, kappa = both(jax.random.key(0))
    np.testing.assert_allclose(found, kappa, atol=1e-5)
    np.testing.assert_allclose(kappa.mean((0, 1)), 0.0, atol=1e-6)
    with pytest.raises(DataError, match="condition: expected the shear itself as its data"):
        frame.given(theta, Condition(jnp.zeros((16, 16, 5)), jnp.zeros(12)))


def test_posteriors_of_shear_take_what_their_model_takes(tmp_path):
    bench = ShearBench(RECIPES["mass-map-cosmology"].configure({"pixels": 16}))
    for cell in ("features.estimate", "denoiser.posterior"):
        (tmp_path / cell).mkdir()
    save_module(tmp_path / "features.estimate" / "features.eqx", unfitted_reconstruction(bench.model, bench.statistics))
    save_module(tmp_path / "denoiser.posterior" / "denoiser.eqx", joint_measure._untrained(bench))
    posterior, shear = joint_measure.posterior(bench, tmp_path / "cell"), np.zeros((16, 16, 5, 2))
    with pytest.raises(ShapeError, match=r"maps: expected \(16, 16, 5, 2\), got \(16, 16, 4, 2\)"):
        posterior.sample(jax.random.key(0), shear[..., :4, :], 2)
    with pytest.raises(DataError, match=r"\|γ\| < 1 in observed pixels, got 1[0-9]+ pixels"):
        posterior.sample(jax.random.key(0), shear + 1.0, 2)


def test_networks_that_cannot_be_built_are_refused_with_the_settings():
    """Of all these settings the same ones that the networks themselves refuse: before, they did so hours into a run."""
    recipe, refused = RECIPES["mass-map-cosmology"], 0
    for kind, patch, widths in itertools.product(("unet", "transformer"), (3, 4, 8), ((5, 64), (8,), (6, 8), (4, 4, 4))):
        settings = {"pixels": 16, "denoiser": {"branch": kind, "patch": patch, "widths": widths}}
        try:
            chosen = recipe.configure(settings).denoiser
        except ConfigurationError:
            refused += 1
            chosen = recipe.configure({}).denoiser.model_copy(update=settings["denoiser"])
            with pytest.raises(ConfigurationError):
                branch(chosen, 1)((16, 16, 4), 1, 8, key=jax.random.key(0))
        else:
            eqx.filter_eval_shape(branch(chosen, 1), (16, 16, 4), 1, 8, key=jax.random.key(0))
    assert refused == 11
    for name, settings, message in (
        (
            "mass-map-cosmology",
            {"patch": 7},
            "denoiser.patch: expected a number that divides the 32 pixels, and so does 2 times that, .* got 7",
        ),
        (
            "cosmos",
            {"branch": "transformer", "widths": [5, 64]},
            "denoiser.widths: expected a first width that is a multiple of 2",
        ),
        ("joint-gaussian", {"widths": []}, "denoiser.widths: expected"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            RECIPES[name].configure({"denoiser": settings})


@pytest.mark.parametrize("name", ["joint-gaussian", "mass-map-cosmology", "cosmos"])
def test_data_of_ones_own_are_sent_elsewhere_and_headlines_are_numbers(name):
    with pytest.raises(ConfigurationError, match=r"observation: expected none, for .* docs/joint\.md"):
        RECIPES[name].configure({"observation": "obs.npy"})
    results = json.loads((pathlib.Path(__file__).parents[2] / "results" / f"{name}-laptop.json").read_text())
    names = [number["name"] for number in results["numbers"]]
    for beginning in RECIPES[name].headline:
        assert any(entry.startswith(beginning) for entry in names), beginning
    assert RECIPES[name].headline


def test_mira_is_held_to_half_the_distance_where_centres_see_most():
    recipe = RECIPES["joint-gaussian"]
    bench = GaussianBench(recipe.configure({"observations": 1, "prior": False}))
    values = {f"inside/{part}/{rule}": 1.0 for part in PARTS for rule in RULES}
    for part, rule in itertools.product(PARTS, RULES):
        values |= {f"number/{part}/mira/{rule}/z": -2.0, f"number/{part}/mira/{rule}/score": 0.66}
        values[f"number/{part}/tarp/{rule}/deviation"] = 0.02
    rows = dict.fromkeys(("c2st", "c2st/alone", "c2st/npe", "c2st/floor", "map/spread", "map/difference"), 0.5)
    rows |= {f"{kind}/{name}": 1.0 for kind in ("shift", "width") for name in bench.model.parameters.names}
    pairs = ("truth-truth", "mean-mean", "exact-exact", "truth-mean", "truth-exact")
    rows |= {f"power/{pair}/{band}": 1.0 for pair in pairs for band in range(len(bench.bands.centres))}
    errors = {f"{part}/mira/{rule}": 0.003 for part in PARTS for rule in RULES}
    exact = {f"{part}/mira/{rule}": -1.8 for part in PARTS for rule in RULES}
    found = {"calibration/joint": Measured(values), "calibration/errors": Measured(errors), "observation/0": Measured(rows)}
    found["calibration/exact"] = Measured(exact)
    found |= {"speed/draws": Measured({"draws_per_second": 1.0}), "denoiser/posterior": Measured({"seconds": 1.0, "loss": 1.9})}
    report = judge(bench, found)
    assert report["training/held-out loss of the denoiser"].value == 1.9
    assert report["joint/mira/uniform"].uncertainty == 0.003
    beside = report["joint/mira/estimate, deviations of the exact posterior there"]
    assert (beside.value, beside.bar) == (1.8, None)
    failed = {number.name for number in report.numbers if number.verdict == "fail"}
    assert failed == {f"{part}/mira/{rule}, deviations from 0.6719" for part in PARTS for rule in ("uniform", "estimate")}


def test_the_misfit_of_the_real_shear_stands_beside_its_scatter():
    draws = {f"amplitude/{name}{error}": 0.7 for name in ("diffusion", "chains") for error in ("", "/error")}
    draws |= {"c2st": 0.5, "map/difference": 0.0, "map/spread": 1.0}
    found = {"real/chains": Measured({"rhat": 1.0}), "real/checks": Measured({}), "real/clusters": Measured({"clusters": 1.0})}
    for misfit, verdict in ((1.049, "pass"), (0.951, "pass"), (1.055, "fail"), (0.945, "fail")):
        found["real/draws"] = Measured(draws | {"misfit": misfit})
        number = cosmos_numbers(found, 1026)["real/χ² of the shear given a map, per number"]
        assert (number.verdict, number.bar) == (verdict, "in [0.95, 1.05]")
        assert number.uncertainty == pytest.approx(0.0441, abs=1e-4)  # √(2 / 1026)


def starts(*pairs):
    """Cells of pairs (gradients from joint draws, from the prior); negative ones never reached R-hat <= 1.01."""
    found = {"reference/0": Measured({"rhat": 1.02, "ess_bulk": 500.0, "divergences": 0.0})}
    for i, pair in enumerate(pairs):
        for kind, cost in zip(("warm", "dispersed"), pair, strict=True):
            values = {"gradients": abs(cost), "rhat": 1.01 if cost > 0 else 1.2, "warmup": 50.0 if cost > 0 else 400.0}
            found[f"start/{kind}/{i}"] = Measured(values)
    return {number.name: number for number in chain_numbers(found).numbers}


RATIO = "start/gradients from the prior over those from joint draws"
MEDIAN = "start/median of that ratio over all pairs, at"


def test_what_warm_starts_save_is_the_ratio_of_gradients():
    numbers = starts((100.0, 300.0), (100.0, 500.0), (100.0, 700.0))
    assert numbers[RATIO].value == pytest.approx(5.0)
    assert numbers[RATIO].uncertainty == pytest.approx(2 / np.sqrt(3))
    assert numbers[f"{MEDIAN} least"].value == numbers[f"{MEDIAN} most"].value == pytest.approx(5.0)
    assert numbers["start/pairs in which both reach it"].value == 3.0
    assert numbers["reference/largest rhat"].verdict == "fail"
    assert numbers["reference/least ess_bulk"].verdict == "pass"


def test_chains_that_never_agree_bound_what_warm_starts_save():
    """The prior's second never agrees: its ratio of five is a lower bound, and no part of the mean."""
    numbers = starts((100.0, 300.0), (100.0, -500.0), (100.0, 200.0))
    assert numbers["start/dispersed: observations that never reach it"].value == 1.0
    assert numbers["start/warm: observations that never reach it"].value == 0.0
    assert numbers["start/pairs in which both reach it"].value == 2.0
    assert numbers[RATIO].value == pytest.approx(2.5)
    assert numbers["start/dispersed: gradients to R-hat <= 1.01"].value == pytest.approx(250.0)
    assert numbers["start/dispersed: warm-up draws of each chain"].value == 50.0
    assert numbers[f"{MEDIAN} least"].value == numbers[f"{MEDIAN} most"].value == pytest.approx(3.0)
    # A bound between the others: the median is that bound or more, the largest of the others at most.
    numbers = starts((100.0, 300.0), (100.0, -250.0), (100.0, 200.0))
    assert (numbers[f"{MEDIAN} least"].value, numbers[f"{MEDIAN} most"].value) == (2.5, 3.0)
    # Joint draws from which chains never agree bound the ratio from above: it may be anything below.
    numbers = starts((100.0, 300.0), (-100.0, 500.0), (100.0, 200.0))
    assert numbers[RATIO].value == pytest.approx(2.5)
    assert (numbers[f"{MEDIAN} least"].value, numbers[f"{MEDIAN} most"].value) == (2.0, 3.0)


def test_pairs_of_which_none_agrees_have_no_mean():
    numbers = starts((-100.0, -300.0), (100.0, -500.0))
    assert RATIO not in numbers
    assert numbers["start/pairs in which both reach it"].value == 0.0
    assert (numbers[f"{MEDIAN} least"].value, numbers[f"{MEDIAN} most"].value) == (2.5, np.inf)
