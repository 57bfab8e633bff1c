import numpy as np
import pytest

from fullfield._core import ConfigurationError, DataError, ShapeError
from fullfield.fields import block_average
from fullfield.recipes import RECIPES, run_pipeline, Study
from fullfield.recipes.plan import plan
from fullfield.report import read_report
from fullfield.simulators import published_mock


LENSING = RECIPES["lensing"]
TINY = {
    "scale": "smoke",
    "averaged": 20,
    "simulations": {"training": 40, "inference": 60, "validation": 20, "calibration": 20, "chunk": 40},
    "compressor": {"training": {"epochs": 1, "batch": 20}},
    "posterior": {
        "density": "real_nvp", "layers": 1, "width": 8, "draws": 100, "training": {"epochs": 2, "batch": 20},
    },
    "calibration": {"draws": 20, "replicas": 40},
}  # fmt: skip


def build(*overrides, **settings):
    return LENSING.build(LENSING.configure({"scale": "smoke"} | settings, overrides))


@pytest.mark.parametrize(("name", "scale"), [(name, scale) for name in RECIPES for scale in RECIPES[name].scales])
def test_every_scale_of_every_recipe_builds_on_shapes(name, scale):
    configuration = RECIPES[name].configure({"scale": scale})
    built = RECIPES[name].build(configuration)
    if isinstance(built, Study):
        assert built.plan()
        return
    stages = plan(built, configuration)
    assert {"simulate", "compress", "infer", "draw", "replicate"} <= set(stages)


def test_the_whole_way_on_sixteen_pixels(tmp_path):
    configuration = LENSING.configure(TINY)
    result = run_pipeline(LENSING.build(configuration), configuration, tmp_path / "run")
    report = read_report(tmp_path / "run" / "report.json")
    assert report == result.report
    assert report.cost.simulations == 40 + 60 + 20 + 20 + 40 + 20
    assert set(report.cost.seconds) >= {"simulate", "compress", "draw", "vary.averaged", "replicate", "report"}
    tests = {number.name.split("/")[0] for number in report.numbers}
    assert tests == {"sbc", "coverage", "tarp", "mira", "misspecification", "predictive", "averaged", "fom"}
    assert all(np.isfinite(number.value) for number in report.numbers if number.value is not None)
    pictures = {path.stem for path in (tmp_path / "run" / "figures").glob("*.png")}
    assert pictures >= {"maps", "spectra", "corner", "training", "tarp", "coverage", "ranks"}
    assert result.outcome.replicas.shape == (40, 15 * 4)


def test_the_published_mock_is_refused_by_other_physics():
    with pytest.raises(ConfigurationError, match=r"model\.physics=sbi_lens"):
        build(observation="published-mock")
    problem = build("model.physics=sbi_lens", observation="published-mock")
    assert problem.observation is not None
    np.testing.assert_allclose(problem.observation, block_average(published_mock(), 16), rtol=1e-6)
    np.testing.assert_allclose(problem.truth, problem.model.parameters.fiducial)
    assert problem.published_merit is None  # published for 256 x 256 pixels


def test_finer_observations_are_averaged_and_wrong_ones_refused(tmp_path):
    random = np.random.default_rng(0)
    fine = random.normal(size=(64, 64, 5)).astype(np.float32)
    np.save(tmp_path / "fine.npy", fine)
    problem = build(observation=str(tmp_path / "fine.npy"))
    np.testing.assert_allclose(problem.observation, fine.reshape(16, 4, 16, 4, 5).mean((1, 3)), atol=1e-6)
    wrong = {
        "bins": fine[..., :4], "order": np.moveaxis(fine, -1, 0), "uneven": fine[:40, :40], "oblong": fine[:32],
        "coarse": fine[:8, :8], "flat": fine[..., 0],
    }  # fmt: skip
    for name, values in wrong.items():
        np.save(tmp_path / f"{name}.npy", values)
        with pytest.raises(ShapeError, match=r"maps|observation"):
            build(observation=str(tmp_path / f"{name}.npy"))
    fine[3, 3, 1] = np.nan
    np.save(tmp_path / "nan.npy", fine)
    with pytest.raises(DataError, match="NaN"):
        build(observation=str(tmp_path / "nan.npy"))
