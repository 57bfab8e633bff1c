"""What the studies make of their cells, and their smallest scales from end to end."""

import numpy as np
import pytest

from fullfield._core import ConfigurationError, digest
from fullfield.inference.explicit import MAMS
from fullfield.recipes import lensing_measure, RECIPES, run_study, summaries_measure
from fullfield.recipes.rundir import create
from fullfield.recipes.study import Measured
from fullfield.simulators import wcdm_parameters


def judged(name, values, **settings):
    configuration = RECIPES[name].configure(settings)
    study = RECIPES[name].build(configuration)
    found = {cell.name: Measured(values(*cell.name.split("/")), simulations=10, gradients=1760) for cell in study.cells}
    return {number.name: number for number in study.judge(found).numbers}


def test_bars_of_the_benchmark_are_for_amortised_posteriors_at_ten_thousand():
    numbers = judged(
        "sbi-benchmark", lambda *cell: {"c2st/1": 0.5, "c2st/2": 0.54},
        tasks=("two_moons", "slcp"), methods=("amortised", "npe", "nle"), budgets=(1000, 10_000), observations=(1, 2),
    )  # fmt: skip
    held = {name for name, number in numbers.items() if number.bar}
    assert held == {"c2st/amortised/10000/two_moons", "c2st/amortised/10000/slcp"}
    number = numbers["c2st/amortised/10000/two_moons"]
    assert number.value == pytest.approx(0.52)
    assert number.uncertainty == pytest.approx(0.02)
    assert (number.bar, number.published, number.verdict) == ("<= 0.54", 0.606, "pass")
    assert (number.simulations, number.gradients) == (10_000, 0)
    assert numbers["c2st/floor/slcp"].value == pytest.approx(0.52)
    assert numbers["c2st/npe/10000/slcp"].published == 0.901


def test_sequential_methods_are_held_to_the_best_of_their_family():
    accuracy = {"two_moons": 0.6, "slcp": 0.93, "gaussian_linear": 0.55, "gaussian_mixture": 0.6, "bernoulli_glm": 0.7,
                "sir": 0.63, "lotka_volterra": 0.9}  # fmt: skip
    numbers = judged(
        "sbi-benchmark",
        lambda method, *cell: {"c2st/1": accuracy[cell[-1]] + (0.05 if method == "snre" else 0.0)},
        methods=("snle", "snre"), budgets=(1000,), observations=(1,),
    )  # fmt: skip
    assert numbers["c2st/best sequential/1000/slcp"].value == pytest.approx(0.93)
    assert numbers["sequential/tasks as good as published"].value == 5
    assert numbers["sequential/tasks as good as published"].verdict == "pass"


@pytest.mark.parametrize("helped", [True, False])
def test_what_scores_save_is_read_off_the_curve_without_them(helped):
    """Log probability grows by one per doubling; with scores it is that of thrice the simulations, if the check uses them."""

    def cell(task, budget, seed):
        plain = np.log2(float(budget)) + 0.01 * int(seed)
        scored = plain + np.log2(3)
        return {
            "log_prob/without": plain,
            "log_prob/with": scored,
            "gain": float(helped),
            "gain_error": 0.5,
            "c2st/with/1": 0.6,
            "c2st/without/1": 0.7,
        }

    numbers = judged("gradients", cell, tasks=("two_moons",), budgets=(25, 50, 100, 400), seeds=5)
    saved = [numbers[f"saved/two_moons/{budget}"].value for budget in (25, 50, 100)]
    np.testing.assert_allclose(saved, 3 if helped else 1, rtol=1e-6)
    assert numbers["saved/two_moons/100"].verdict == ("pass" if helped else "fail")
    assert "saved/two_moons/400" not in numbers, "no budget at hand reaches as much without scores"
    assert numbers["never_worse/two_moons"].verdict == "pass"
    assert numbers["c2st/two_moons/without/50"].value == pytest.approx(0.7)
    assert numbers["c2st/two_moons/chosen/50"].value == pytest.approx(0.6 if helped else 0.7)


def test_nothing_is_saved_where_scores_are_not_used_and_more_simulations_happen_to_be_worse():
    plain = {20: 1.0, 50: 0.9, 100: 1.5, 400: 2.0}

    def cell(task, budget, seed):
        return {"log_prob/without": plain[int(budget)], "log_prob/with": 3.0, "gain": 0.0, "gain_error": 0.1}

    numbers = judged("gradients", cell, tasks=("two_moons",), budgets=tuple(plain), seeds=5)
    assert all(numbers[f"saved/two_moons/{budget}"].value <= 1 for budget in (20, 50, 100))
    # Scatter between sets of simulations is the error of what is saved.
    varied = lambda *of: cell(*of) | {"log_prob/with": 1.0 + 0.2 * int(of[2]), "gain": 1.0}  # noqa: E731
    numbers = judged("gradients", varied, tasks=("two_moons",), budgets=tuple(plain), seeds=5)
    assert 0.1 < numbers["saved/two_moons/20"].uncertainty < 2


def test_scores_that_harm_at_the_smallest_budget_cost_simulations():
    def cell(task, budget, seed):
        plain = float(np.log2(int(budget)))  # one nat per doubling
        return {"log_prob/without": plain, "log_prob/with": plain - 0.5, "gain": 1.0, "gain_error": 0.1}

    numbers = judged("gradients", cell, tasks=("two_moons",), budgets=(20, 40, 80, 160), seeds=5)
    np.testing.assert_allclose([numbers[f"saved/two_moons/{budget}"].value for budget in (20, 40, 80)], 2**-0.5, rtol=1e-6)


def lensing_cell(group, name, seed=None):
    if group == "reference":
        return {"c2st": 0.502}
    if group in ("explicit", "spectra"):
        rate = {"reference": 0.01, "mclmc": 0.012, "nuts": 0.002}.get(name, 0.01)
        accuracy = {"c2st/21000": 0.8, "c2st/63000": 0.6, "c2st/126000": 0.52} if name in ("mclmc", "warm") else {}
        merit = 1000.0 if group == "explicit" else 500.0
        return {
            "chains/omega_c/rhat": 1.005, "chains/omega_c/ess_bulk": 500.0, "chains/omega_c/ess_tail": 300.0,
            "chains/sigma_8/rhat": 1.02, "chains/sigma_8/ess_bulk": 600.0, "chains/sigma_8/ess_tail": 700.0,
            "chains/divergences": 0.0, "chains/energy_variance": 2e-5,
            "energy_target": 1e-5, "ess_per_gradient": rate, "fom/omega_c-sigma_8": merit, "agreement": 1e-5,
        } | accuracy  # fmt: skip
    known = {"compressor": {"misspecification/mahalanobis": 1e-4}, "simulations": {}}
    return known[group] if group in known else {"c2st": 0.55 + 100 / float(name)}


def test_the_lensing_benchmark_compares_by_cost():
    numbers = judged("lensing-benchmark", lensing_cell, pixels=64, methods=("npe",), budgets=(1000, 2000))
    assert numbers["explicit/mclmc/c2st/63000 gradients"].verdict == "pass"
    assert numbers["explicit/mclmc/c2st/63000 gradients"].published == 0.765
    assert numbers["explicit/mclmc/c2st/21000 gradients"].bar is None
    assert numbers["explicit/ess per gradient over NUTS"].value == pytest.approx(6)
    assert numbers["explicit/ess per gradient over NUTS"].verdict == "pass"
    assert numbers["reference/chains/omega_c/rhat"].verdict == "pass"
    assert numbers["c2st/best/1000"].verdict == "fail"
    assert numbers["c2st/npe/2000"].published == 0.603
    assert numbers["spectra/fixed/fom/omega_c-sigma_8"].bar is None
    assert numbers["compressor/misspecification/mahalanobis"].verdict == "fail"
    accuracy = numbers["c2st/npe/1000"]
    assert (accuracy.simulations, accuracy.gradients) == (1000, 176_000)
    assert (numbers["c2st/best/2000"].simulations, numbers["c2st/floor"].value) == (2000, 0.502)
    chains = numbers["explicit/mclmc/c2st/63000 gradients"]
    assert (chains.simulations, chains.gradients) == (0, 63_000)
    warm = numbers["explicit/warm/c2st/63000 gradients"]
    assert (warm.simulations, warm.gradients, warm.bar) == (2000, 63_000 + 2000 * 176, None), "what taught the start is no gift"


def test_chains_whose_warm_up_costs_too_much_fail_instead_of_being_left_out():
    def costly(group, name, seed=None):
        return {key: value for key, value in lensing_cell(group, name, seed).items() if key != "c2st/63000"}

    numbers = judged("lensing-benchmark", costly, pixels=64, methods=("npe",), budgets=(1000,))
    assert numbers["explicit/mclmc/c2st/63000 gradients"].verdict == "fail"
    assert "explicit/warm/c2st/63000 gradients" not in numbers


@pytest.mark.parametrize("name", ["lensing-benchmark", "neural-summaries"])
def test_chains_of_another_sampler_are_other_chains(name, monkeypatch):
    """A run that is continued with code of another sampler must not keep the old reference."""
    recipe = RECIPES[name]

    def digests():
        cells = recipe.build(recipe.configure({})).cells
        return {cell.name: digest(cell.name, cell.inputs) for cell in cells if "reference" in cell.name}

    before = digests()
    measure = {"lensing-benchmark": lensing_measure, "neural-summaries": summaries_measure}[name]
    monkeypatch.setattr(measure, "REFERENCE", MAMS(steps=7.0))
    after = digests()
    assert before.keys() == after.keys() != set()
    assert all(before[cell] != after[cell] for cell in before)


def test_chains_are_judged_by_their_worst_parameter():
    numbers = judged("lensing-benchmark", lensing_cell, methods=("npe",), budgets=(1000,))
    for cell in ("explicit/mclmc", "explicit/warm", "explicit/nuts", "spectra/fixed", "spectra/varying"):
        found = {name.removeprefix(f"{cell}/"): (n.value, n.verdict) for name, n in numbers.items() if name.startswith(cell)}
        assert found["largest rhat"] == (1.02, "fail")
        assert (found["least ess_bulk"], found["least ess_tail"]) == ((500, "pass"), (300, "fail"))
        assert found["chains/divergences"] == (0, "pass")


def test_the_reference_is_held_to_all_that_converged_chains_are_held_to():
    numbers = judged("lensing-benchmark", lensing_cell, methods=("npe",), budgets=(1000,))
    bars = {name: number.bar for name, number in numbers.items() if name.startswith("reference/")}
    assert bars["reference/chains/omega_c/rhat"] == "<= 1.01"
    assert numbers["reference/chains/omega_c/ess_tail"].verdict == "fail"
    assert numbers["reference/chains/energy_variance"].verdict == "fail"
    assert numbers["reference/agreement with NUTS"].verdict == "fail"
    assert numbers["explicit/mclmc/chains/energy_variance"].verdict == "fail"


def test_a_lensing_benchmark_without_amortised_methods_simulates_nothing_for_them():
    numbers = judged("lensing-benchmark", lensing_cell, methods=("snle",), budgets=(1000,))
    assert numbers["c2st/snle/1000"].gradients == 176_000
    plan = RECIPES["lensing-benchmark"].build(RECIPES["lensing-benchmark"].configure({"methods": ("snle",)})).plan()
    assert "simulations" not in plan


def test_a_lensing_benchmark_of_chains_alone():
    numbers = judged("lensing-benchmark", lensing_cell, methods=(), pixels=64)
    assert numbers["explicit/ess per gradient over NUTS"].verdict == "pass"
    assert not any(name.startswith("compressor") or "best" in name for name in numbers)
    plan = RECIPES["lensing-benchmark"].build(RECIPES["lensing-benchmark"].configure({"methods": ()})).plan()
    assert set(plan) == {"explicit", "reference", "spectra"}


def test_figures_of_merit_are_held_to_the_published_ones_on_the_published_mock_alone():
    numbers = judged("lensing-benchmark", lensing_cell, scale="paper", methods=("npe",))
    full, classical = (numbers[f"{cell}/fom/omega_c-sigma_8"] for cell in ("explicit/reference", "spectra/fixed"))
    assert (full.published, full.verdict) == (2520, "fail")
    assert (classical.published, classical.bar) == (1222, "in [1099.8, 1344.2]")


def summaries_cell(group, number):
    """The full field knows 100 in every plane, its spectra half of that; VMIM keeps 98 %, regression 90 and 80 %."""
    planes = ("omega_c-sigma_8", "omega_c-w_0", "sigma_8-w_0")
    if group in ("estimate", "features", "observed"):
        return {}
    if group == "floor":
        return {"c2st": 0.5}
    scatter = 1 + 0.01 * (int(number) % 2)
    if group in ("reference", "likelihood"):
        merit = scatter * {"reference": 100.0, "likelihood": 50.0}[group]
        return {"rhat": 1.005 + 0.01 * (number == "3"), "ess_bulk": 900.0, "divergences": 0.0} | {
            f"fom/{p}": merit for p in planes
        }
    kept = {"vmim": 98.0, "info_nce": 97.5, "mae": 90.0, "mse": 80.0}.get(group, 60.0)
    # Moment networks are better than the spectra's likelihood by a fifth in the mean, and by less in some observations.
    varied = 0.5 if group == "moments" else 0.01
    merits = {f"fom/{p}/{i}": kept * (1 + varied * (i % 2)) * (1 + 0.002 * int(number)) for p in planes for i in range(10)}
    beside = {"seconds": 10.0, "information": 4.0, "information_error": 0.1, "miscalibrated": int(group == "mse")}
    return merits | beside | {f"c2st/{i}": 0.55 for i in range(10)}


def test_summaries_are_judged_by_what_they_keep_of_each_observation():
    numbers = judged("neural-summaries", summaries_cell)
    kept = numbers["kept/vmim/omega_c-sigma_8"]
    # Observations differ by their own information, which cancels; two trainings differ by .2 %.
    assert kept.value == pytest.approx(0.98 * 1.001)
    assert kept.uncertainty == pytest.approx(0.98 * 0.002 / 2, rel=1e-6)
    assert (kept.bar, kept.verdict, kept.published, kept.simulations) == (">= 0.97", "pass", None, 154_000)
    # 1760 gradients each for the estimate, the features of 125 000 simulations, and those of tangents.
    assert kept.gradients == 1760 + round(1760 * 124 / 125)
    assert numbers["c2st/imnn"].gradients == 2 * 1760 + round(1760 * 124 / 125)
    assert (numbers["kept/spectra/omega_c-w_0"].gradients, numbers["kept/likelihood/omega_c-w_0"].gradients) == (0, 1760)
    # Of independent normal priors: one over the product of their deviations, to √2 of a sample's .16 % each.
    exact = 1 / (0.14 * wcdm_parameters().entries[5].prior.variance ** 0.5)
    prior = numbers["kept/prior/sigma_8-w_0"]
    assert prior.value == pytest.approx(float(exact) / 100.5, rel=0.02)
    assert numbers["kept/likelihood/sigma_8-w_0"].value == pytest.approx(0.5)
    assert numbers["kept/imnn/omega_c-w_0"].simulations == 30_000 + 120_000 + 4000 + 2000
    assert numbers["kept/spectra/omega_c-w_0"].simulations == 124_000
    best = numbers["best other: info_nce over vmim"]
    assert (best.value, best.verdict) == (pytest.approx(97.5 / 98), "fail"), "without scatter it is worse"
    assert numbers["order/mse over likelihood/omega_c-w_0"].value == pytest.approx(1.6 * 1.001)
    assert numbers["order/vmim over mae/omega_c-w_0"].verdict == "pass"
    assert numbers["order/vmim over gnll/omega_c-w_0"].verdict == "pass"
    order = numbers["order/moments over likelihood/omega_c-w_0"]
    assert order.value > 1.3
    assert order.verdict == "pass"
    assert numbers["reference/largest rhat"].verdict == "fail", "one observation in ten is enough"
    assert numbers["calibration/mse/failed tests"].verdict == "fail"
    assert numbers["calibration/vmim/failed tests"].verdict == "pass"
    assert numbers["c2st/between halves of the chains, correlated draws"].value == 0.5
    assert numbers["reference/fom/omega_c-w_0"].bar is None


def test_an_order_that_scatter_may_have_made_is_not_reproduced():
    def cell(group, number):
        values = summaries_cell(group, number)
        if group == "mse":  # above the likelihood's in the mean alone
            values |= {name: 51.0 * (1.4 if name.endswith("/0") else 1.0) for name in values if name.startswith("fom/")}
        return values

    order = judged("neural-summaries", cell)["order/mse over likelihood/omega_c-w_0"]
    assert order.value > 1
    assert order.value - 2 * order.uncertainty < 1
    assert order.verdict == "fail"


def test_few_observations_are_held_to_nothing_and_the_published_mock_to_the_published_numbers():
    numbers = judged("neural-summaries", summaries_cell, observations=3)
    assert not any(number.bar for name, number in numbers.items() if name.startswith(("kept/", "order/", "best other")))
    assert not any(name.startswith("vmim/") for name in numbers)
    numbers = judged("neural-summaries", summaries_cell, scale="paper")
    assert numbers["reference/fom/omega_c-sigma_8"].bar == "in [2394, 2646]"
    assert numbers["likelihood/fom/omega_c-sigma_8"].published == 1222
    assert (numbers["kept/vmim/omega_c-sigma_8"].published, numbers["kept/mse/omega_c-w_0"].published) == (1.00, 0.77)
    ours = numbers["vmim/fom/omega_c-w_0"]
    assert (ours.bar, ours.published, ours.verdict) == ("in [188.1, 207.9]", 190, "fail")
    for impossible, said in (
        ({"observation": "published-mock"}, "observations must be 1"),
        ({"objectives": ("vmim", "mse", "vmim")}, "vmim stands twice"),
        ({"pixels": 16, "network": "resnet18"}, "at least 32 for resnet18"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            RECIPES["neural-summaries"].configure(impossible)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"training": {"batch": 8}}, r"training\.batch: expected at least 12.*6 summaries of IMNN, got 8"),
        # Few simulations are dealt evenly, in batches smaller than those asked for.
        ({"training": {"batch": 12}, "simulations": {"fiducial": 200}}, "got 12, of which 200 simulations make batches of 10"),
        # Half of the simulations are the compressor's, whose covariance wants twice as many as the statistics are.
        ({"simulations": {"training": 6139}}, r"simulations\.training: expected at least 6140.*1535 numbers of statistics"),
        (
            {"simulations": {"training": 6139}, "network": "statistics", "objectives": ("vmim",)},
            r"simulations\.training: expected at least 6140",
        ),
        ({"simulations": {"training": 500}, "objectives": ("vmim", "spectra")}, None),
        ({"training": {"batch": 8}, "objectives": ("vmim", "spectra")}, None),
        ({"training": {"batch": 12}, "simulations": {"training": 6140}}, None),
    ],
)
def test_too_few_simulations_for_a_covariance_are_refused_before_any_is_made(settings, said):
    recipe = RECIPES["neural-summaries"]
    configuration = recipe.configure(settings)
    if said is None:
        assert recipe.build(configuration).plan()
    else:
        with pytest.raises(ConfigurationError, match=said):
            recipe.build(configuration)


@pytest.mark.parametrize(
    ("network", "groups"),
    [("reconstruction", {"estimate", "features", "floor", "likelihood", "observed", "reference", "vmim"}),
     ("convolution", {"features", "floor", "likelihood", "observed", "reference", "vmim"}),
     ("symmetric", {"features", "floor", "likelihood", "observed", "reference", "vmim"})],
)  # fmt: skip
def test_only_reconstruction_needs_an_estimate(network, groups):
    recipe = RECIPES["neural-summaries"]
    plan = recipe.build(recipe.configure({"network": network, "objectives": ("vmim",)})).plan()
    assert set(plan) == groups


def test_self_supervised_errors_are_held_to_supervised_and_exact_ones():
    errors = {"vicreg": 0.0525, "simclr": 0.06, "supervised": 0.05, "exact": 0.0475}

    def cell(group, name):
        if group == "summary":
            return {"collapse/effective_rank": 2.0 if name == "vicreg" else 1.2, "collapse/least_deviation": 0.1}
        if group == "ratio":
            ratio = errors["vicreg"] / errors[name.split()[-1]]
            return {f"ratio/{one}": ratio for one in ("omega_m", "sigma_8")} | {
                f"uncertainty/{one}": 0.01 for one in ("omega_m", "sigma_8")
            }
        if group == "npe":
            return {"loss": -6.0, "failed": 0.0}
        kinds = {"error": errors[name], "uncertainty": 0.001, "mse": 1e-4}
        return {f"{kind}/{one}": value for kind, value in kinds.items() for one in ("omega_m", "sigma_8")} | {"loss": -6.0}

    numbers = judged("vicreg-lognormal", cell)
    held = {name: number.verdict for name, number in numbers.items() if number.bar}
    assert held["ratio/vicreg over supervised/omega_m"] == "pass"  # 1.05
    assert held["ratio/vicreg over exact/sigma_8"] == "fail"  # 1.105
    assert numbers["ratio/vicreg over exact/sigma_8"].uncertainty == 0.01
    assert held["calibration/npe/failed tests"] == "pass"
    assert (held["rank/vicreg"], held["rank/simclr"]) == ("pass", "fail")
    assert numbers["least deviation/simclr"].value == 0.1
    # The paper's numbers are of its own generator, and of as many cosmologies as are worth a bar.
    assert not any(number.published for number in numbers.values())
    published = judged("vicreg-lognormal", cell, generator="real-amplitude")
    assert published["error/vicreg/omega_m"].published == 0.052
    assert published["mse/simclr/omega_m"].published == 3.7e-4
    assert not any(
        number.bar for name, number in judged("vicreg-lognormal", cell, cosmologies=400).items() if name.startswith("ratio")
    )


COLLAPSE = {"collapse/effective_rank": 1.4, "collapse/least_deviation": 0.3}


def test_information_of_either_agreement_stands_beside_that_of_the_maps():
    def cell(group, name):
        if group == "summary":
            return COLLAPSE
        if name == "maps":
            return {f"{kind}/{one}": 0.01 for kind in ("gaussian", "real-amplitude") for one in ("omega_m", "sigma_8")}
        return {f"{kind}/{one}": 0.012 for kind in ("vicreg", "simclr") for one in ("omega_m", "sigma_8")}

    numbers = judged("vicreg-fisher", cell)
    assert numbers["ratio/summaries over maps/omega_m"].verdict == "fail"
    assert numbers["ratio/simclr summaries over maps/omega_m"].value == pytest.approx(1.2)
    assert numbers["rank/simclr"].verdict == "fail"
    # The print has SimCLR's contours, but no numbers of them.
    published = judged("vicreg-fisher", cell, generator="real-amplitude")
    assert published["deviation/summaries, real-amplitude/omega_m"].published == 0.020
    assert published["deviation/simclr summaries, real-amplitude/omega_m"].published is None
    # Summaries of the one are measured again for no sake of the other.
    alone, both = (
        {one.name: digest(one.name, one.inputs) for one in RECIPES["vicreg-fisher"].build(configuration).cells}
        for configuration in (RECIPES["vicreg-fisher"].configure(change) for change in ({"agreements": ["vicreg"]}, {}))
    )
    assert alone.items() < both.items()
    assert set(both) - set(alone) == {"summary/simclr", "fisher/simclr summaries"}


def test_the_emulator_is_tried_on_summaries_of_maps():
    def cell(group, name):
        known = {"summary": COLLAPSE, "check": {"c2st": 0.53, "uncertainty": 0.008}}
        return known.get(group, {"deviation/0": 0.01, "deviation/1": 0.01, "area": 1e-4, "level": 0.5})

    numbers = judged("vicreg-sequential", cell)
    number = numbers["emulator/c2st at the truth, emulated and actual summaries"]
    assert (number.value, number.uncertainty) == (0.53, 0.008)
    assert numbers["least deviation/vicreg"].value == 0.3


@pytest.mark.parametrize("bias", [0.0, 1.0])
def test_chains_through_gravity_are_judged_by_their_truths(bias):
    """Draws about an estimate as the truth is pass; ones that lie a deviation off fail."""
    random = np.random.default_rng(0)

    def cell(group, name):
        if group == "coordinates":
            return {"directions": 20.0}
        estimate = random.uniform([0.2, 0.6], [0.4, 1.0])
        near = estimate + 0.05 * random.normal(size=(25, 2))
        near[1:] += bias * 0.05
        rows = np.column_stack([near, random.normal(size=25)])
        values = {f"truth/0/{k}": value for k, value in enumerate(rows[0])}
        values |= {f"draw/{j}/{k}": value for j, row in enumerate(rows[1:]) for k, value in enumerate(row)}
        values |= {f"estimate/0/{k}": value for k, value in enumerate(estimate)}
        for parameter in ("omega_c", "sigma_8"):
            values |= {f"chains/{parameter}/rhat": 1.02, f"chains/{parameter}/ess_bulk": 80.0}
        values |= {"chains/divergences": 0.0, "acceptance": 0.8, "step": 0.3, "seconds": 20.0, "sampling": 1600.0}
        values |= {f"z2/{kind}": 1.0 + 0.1 * random.normal() for kind in ("kappa", "told", "white")}
        names = ("kappa/1", "kappa/2", "told", "white")
        return values | {f"correlation/{kind}": 0.8 + 0.1 * random.normal() for kind in names}

    numbers = judged("explicit-structure", cell)
    assert numbers["cost/sampling gradients per effective draw"].value == pytest.approx(20)
    assert numbers["convergence/sigma_8/largest R-hat"].verdict == "pass"
    failed = {name for name, number in numbers.items() if number.verdict == "fail"}
    assert any("sigma_8" in name for name in failed) == bool(bias)
    assert not any("log_density" in name for name in failed)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "sbi-benchmark",
        "gradients",
        "explicit-structure",
        "lensing-benchmark",
        "neural-summaries",
        "joint-gaussian",
        "mass-map-cosmology",
        "cosmos",
        "combined-probes",
        "vicreg-nuisance",
        "vicreg-lognormal",
        "vicreg-fisher",
        "vicreg-sequential",
        "vicreg-baryons",
        "vicreg-camels",
    ],
)
def test_smallest_scale_runs_and_continues(name, tmp_path):
    configuration = RECIPES[name].configure({"scale": "smoke"})
    study = RECIPES[name].build(configuration)
    directory = create(tmp_path / "run", configuration)
    report = run_study(study, configuration, directory)
    assert directory.page.exists()
    assert report.cost.simulations > 0
    again = run_study(RECIPES[name].build(configuration), configuration, directory)
    assert again.numbers == report.numbers
    assert all(np.isfinite(number.value) for number in report.numbers)
