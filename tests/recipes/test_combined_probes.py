"""The comparison of probes: precision against closed forms, gains from what cells left, bars and refusals."""

import numpy as np
import pytest

from fullfield._core import ConfigurationError
from fullfield.fields import pair_indices
from fullfield.recipes import RECIPES
from fullfield.recipes.combined_bench import CombinedBench
from fullfield.recipes.combined_measure import _gain, _tell_apart, precision
from fullfield.recipes.combined_probes import PUBLISHED
from fullfield.recipes.study import Measured
from fullfield.simulators import combined_parameters


RECIPE = RECIPES["combined-probes"]


def test_precision_is_that_of_the_covariance():
    """Of draws of a known Gaussian: deviations to 5 errors of 20 000 draws, and S8 by its first-order propagation."""
    space, random = combined_parameters(), np.random.default_rng(0)
    covariance = np.array([[4e-4, -3e-4], [-3e-4, 9e-4]])
    both = random.multivariate_normal([0.3, 0.8], covariance, (3, 20_000))
    draws = np.concatenate([both, random.normal(0, 0.1, (3, 20_000, 5))], axis=-1)
    found = precision(space, draws)
    np.testing.assert_allclose(found["precision/omega_m"], 1 / 0.02, rtol=0.025)
    np.testing.assert_allclose(found["precision/b_g"], 10.0, rtol=0.025)
    np.testing.assert_allclose(found["precision/fom"], np.linalg.det(covariance) ** -0.5, rtol=0.04)
    slope = np.array([0.8 / 0.6, 1.0])
    np.testing.assert_allclose(found["precision/s_8"], (slope @ covariance @ slope) ** -0.5, rtol=0.03)


def test_gains_are_medians_over_observations(tmp_path):
    bench, random = CombinedBench(RECIPE.configure({})), np.random.default_rng(1)
    ratio = np.exp(random.normal(np.log(1.5), 0.2, 200))
    for name, values in (("maps.combined", ratio), ("spectra.combined", np.ones(200))):
        (tmp_path / name).mkdir()
        np.savez(tmp_path / name / "draws.npz", **{"precision/fom": values, "theta": np.zeros((200, 1, 7))})
    values = _gain(bench, "maps/combined", "spectra/combined", tmp_path / "gain.combined", lambda *_, **__: None).values
    assert values["fom"] == pytest.approx(np.median(ratio))
    # The median of 200 normal numbers has 1.25 times the error of their mean.
    assert values["fom/error"] == pytest.approx(1.5 * 1.25 * 0.2 / np.sqrt(200), rel=0.35)
    assert set(values) == {"fom", "fom/error"}


def test_the_combination_is_held_to_each_probe_in_what_they_share():
    names = sorted({name for probe in PUBLISHED["linear"].values() for name in probe})
    gains = {name: 1.1 for name in names} | {f"{name}/error": 0.01 for name in names}
    worse = gains | {"b_g": 0.9}
    study = RECIPE.build(RECIPE.configure({}))
    found = {
        cell.name: Measured(
            {"failed": 0.0, "tests": 47.0}
            if cell.name.split("/")[0].split()[0] in ("maps", "spectra", "moduli", "wide", "simulations", "without")
            else {"a_ia": 0.4, "sigma_8": 0.1} if "sensitivity" in cell.name
            else {"nats": 0.2, "nats/error": 0.01} if cell.name.split("/")[0] in ("information", "forgotten", "saturation")
            else {"exact": 0.01} if "stochasticity" in cell.name
            else {"galaxies of bin 1": 0.4, "galaxies of bin 1/error": 0.1} if "skewness" in cell.name
            else gains | {f"likelihood/summary 1/{name}": 0.25 for name in ("mean_scatter", "deviation_scatter")}
            if cell.name == "likelihood/combined"
            else worse if "clustering" in cell.name else gains
        )
        for cell in study.cells
    }  # fmt: skip
    report = study.judge(found)
    assert report["published/combined/a_ia"].published == 8.3
    assert report["gain/combined/a_ia"].published is None
    assert report["likelihood/accuracy/largest mean_scatter"].verdict == "pass"
    assert report["likelihood/accuracy/largest deviation_scatter"].verdict == "fail"
    assert report["saturation/combined/nats"].verdict == "fail"  # .2 nats are more than a saturated network has left
    assert report["calibration/without lensing/combined, tests of 47 that fail"].verdict == "pass"
    failed = {number.name for number in report.numbers if number.verdict == "fail" and "combination" in number.name}
    assert failed == {f"combination/{analysis} over clustering/b_g" for analysis in ("maps", "moduli", "spectra", "wide")}
    assert "combination/maps over lensing/b_g" not in {number.name for number in report.numbers}


def test_information_is_the_mean_log_density_of_truths(tmp_path):
    random = np.random.default_rng(2)
    one, two = random.normal(3.0, 1.0, 400), random.normal(2.5, 1.0, 400)
    for name, values in (("wide.combined", one), ("spectra.combined", two)):
        (tmp_path / name).mkdir()
        np.savez(tmp_path / name / "draws.npz", log_prob=values)
    values = _tell_apart("wide/combined", "spectra/combined", tmp_path / "cell", lambda *_, **__: None).values
    assert values["nats"] == pytest.approx(one.mean() - two.mean())
    assert values["nats/error"] == pytest.approx(np.sqrt(2 / 400), rel=0.15)


def test_spectra_are_left_out_by_their_kind():
    """Of 36 pairs of eight maps 16 are of both probes, 6 each of two bins of one, and 8 of a map with itself."""
    bench = CombinedBench(RECIPE.configure({"pixels": 16}))
    bands = len(bench.bands.modes)
    kinds = {"lensing x clustering": 16, "lensing": 6, "clustering": 6}
    for kind, count in kinds.items():
        assert len(bench._columns(f"without {kind}", "combined")) == (36 - count) * bands
    assert len(bench._columns("spectra", "combined")) == 36 * bands
    assert len(bench._columns("spectra", "lensing")) == 10 * bands
    kept = bench._columns("without lensing x clustering", "combined").reshape(-1, bands)
    pairs = list(zip(*pair_indices(8), strict=True))
    assert [pairs[row[0] // bands] for row in kept] == [(i, j) for i, j in pairs if (i < 4) == (j < 4)]


def test_bias_of_second_order_has_its_parameters_and_scales():
    bench = CombinedBench(RECIPE.configure({"bias": "second-order", "pixels": 16}))
    assert bench.model.parameters.names[-2:] == ("b_2", "eta_b2")
    assert bench.scaled.widths[1] == bench.scaled.widths[0]
    assert set(PUBLISHED["second-order"]["combined"]) == {*bench.model.parameters.names, "s_8", "fom"}


def test_cells_are_those_of_the_analyses_asked_for():
    plan = RECIPE.build(RECIPE.configure({"probes": ["lensing"], "analyses": ["spectra"]})).plan()
    assert set(plan) == {"simulations", "spectra"}
    with pytest.raises(ConfigurationError, match="at least one each"):
        RECIPE.configure({"probes": []})
    with pytest.raises(ConfigurationError, match="must not be more than"):
        RECIPE.configure({"simulations": {"training": 1000, "maps": 2000}})
    with pytest.raises(ConfigurationError, match="multiples of"):
        RECIPE.configure({"simulations": {"training": 1002, "maps": 1000}})
    with pytest.raises(ConfigurationError, match="need spectra"):
        RECIPE.configure({"analyses": ["maps"]})
    with pytest.raises(ConfigurationError, match="pixels"):
        RECIPE.configure({"pixels": 48})
