"""Exact joint draws of parameters and field pass every test, and each planted fault is found by the test that should."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from fullfield._core import ConfigurationError, DataError, ShapeError
from fullfield._core.progress import silent
from fullfield.diagnostics import (
    Budget,
    joint_blocks,
    joint_calibration,
    joint_table,
    JointSample,
    JointTable,
    mira_null_mean,
    predictive,
    regress,
    residual_powers,
)
from fullfield.diagnostics.mira import mira_of
from fullfield.diagnostics.references import Distances
from fullfield.fields import band_powers, FlatSky, gaussian_field, hartley, inverse_hartley, logarithmic_bands, normal
from fullfield.recipes.artefacts import write_arrays
from fullfield.recipes.joint_calibrate import errors as errors_of
from fullfield.simulators import GaussianField, GaussianPosterior


COUNT, DRAWS, TRAINING = 300, 100, 1000
MODEL = GaussianField(FlatSky(16, 5.0))
BANDS = logarithmic_bands(MODEL.sky, 4)
NARROWED = 2


def field_of(theta, white):
    root = MODEL.root(theta)[None] * (MODEL.sky.side_radians / MODEL.sky.pixels)
    return jnp.moveaxis(gaussian_field(MODEL.sky, root, white), 0, -1)


@functools.partial(jax.jit, static_argnums=0)
def spoiled(fault, key, theta, maps):
    """Draws (theta, maps) of one observation with one fault."""
    mean = theta.mean(axis=0)
    if fault == "narrow":
        return mean + (theta - mean) / 2, maps
    if fault == "wide":
        return mean + (theta - mean) * 2, maps
    if fault == "biased":
        return theta + theta.std(axis=0) * jnp.array([1.0, 0.0]), maps
    if fault == "band":
        modes = hartley(MODEL.sky, maps)
        inside = jnp.asarray(BANDS.plane[NARROWED])[..., None]
        middle = modes.mean(axis=0)
        return theta, inverse_hartley(MODEL.sky, jnp.where(inside, middle + 0.9 * (modes - middle), modes))
    if fault == "shuffled":
        return jax.random.permutation(key, theta), maps
    if fault == "prior":
        theta = MODEL.parameters.sample(key, (DRAWS,))
        return theta, jax.vmap(field_of)(theta, normal(key, (DRAWS, 1, 16, 16)))
    return theta, maps


class JointWorld:
    """Simulations of a Gaussian field, baseline estimates of both blocks, and the exact sampler."""

    def __init__(self):
        key = jax.random.key(0)
        theta = MODEL.parameters.sample(key, (COUNT + TRAINING,))

        @jax.jit
        @jax.vmap
        def simulate(key, theta):
            latents, data = MODEL.simulate_with_latents(key, theta)
            return field_of(theta, latents["white"]), data, jnp.log(band_powers(BANDS, data)[0])

        maps, data, powers = simulate(jax.random.split(key, COUNT + TRAINING), theta)
        self.data = data[:COUNT]
        self.truths = self.sample(theta[:COUNT], maps[:COUNT], self.data)
        self.posterior = GaussianPosterior(MODEL)
        estimates = regress(theta[COUNT:], powers[COUNT:], powers[:COUNT])
        wiener = jax.vmap(self.posterior.wiener)(self.data, jnp.asarray(estimates, jnp.float32))
        self.estimates = (estimates, np.asarray(wiener))
        self.blocks = joint_blocks(MODEL.parameters.names, BANDS, theta[:COUNT], maps[:COUNT], *self.estimates)

    @staticmethod
    def sample(theta, maps, data):
        residuals = data - maps
        return JointSample(theta, maps, -0.5 * jnp.sum(residuals**2, axis=(-3, -2, -1)), residuals)

    def draw(self, fault, j):
        key = jax.random.fold_in(jax.random.key(1), j)
        theta, maps = spoiled(fault, key, *self.posterior.sample(key, self.data[j], DRAWS))
        return self.sample(theta, maps, self.data[j])

    @functools.cache  # noqa: B019  one world per module
    def table(self, fault):
        return joint_table(self.blocks, self.truths, self.estimates, lambda j: [self.draw(fault, j)], key=jax.random.key(2))

    @functools.cache  # noqa: B019
    def calibration(self, fault):
        return joint_calibration(self.table(fault), key=jax.random.key(3))


@pytest.fixture(scope="module")
def joint_world():
    return JointWorld()


def failing(report):
    return {number.name for number in report.numbers if number.verdict == "fail"}


def test_exact_draws_pass_everything(joint_world):
    # All statistical bars together fail with probability 0.001 and warn with 0.01 for a random seed; the seed is fixed. The bar
    # on z² is four of its deviations away in the lowest band.
    found = joint_world.calibration("exact")
    assert found.report.verdict == "pass"
    paths = {number.name.split("/")[0] for number in found.report.numbers}
    assert paths == {"theta", "kappa", "joint"}
    assert set(found.tarp) >= {"theta", "kappa", "joint", "theta/slope", "kappa/bin_1"}
    mira = found.report["joint/mira/estimate/score"]
    assert abs(mira.value - mira_null_mean(DRAWS)) < 3 * mira.uncertainty < 0.02


BAND = f"ell_{BANDS.centres[NARROWED]:.0f}"


# What must fail, and prefixes that everything that fails must have: a fault is found where it is.
@pytest.mark.parametrize(
    ("fault", "found", "where"),
    [
        (
            "narrow",
            {"theta/tarp/estimate/area", "theta/mira/uniform/score", "theta/sbc/slope/deviation", "joint/mira/estimate/score"},
            ("theta/", "joint/"),
        ),
        (
            "wide",
            {"theta/tarp/estimate/area", "theta/mira/uniform/score", "theta/sbc/slope/deviation", "joint/tarp/estimate/area"},
            ("theta/", "joint/"),
        ),
        (
            "biased",
            {"theta/sbc/log_amplitude/bias", "theta/log_amplitude/mira/uniform/score", "theta/mira/uniform/score"},
            ("theta/tarp", "theta/mira", "theta/log_amplitude", "theta/sbc/log_amplitude", "joint/"),
        ),
        (
            "band",
            {
                f"kappa/field/z2/bin_1/{BAND}",
                f"kappa/field/z2_sigma/bin_1/{BAND}",
                f"kappa/field/identity_sigma/bin_1/{BAND}",
                f"kappa/{BAND}/tarp/estimate/area",
                f"kappa/{BAND}/mira/estimate/score",
                f"kappa/sbc/power_1x1/{BAND}/deviation",
                f"joint/sbc/residual/{BAND}/deviation",
            },
            (
                "kappa/tarp", "kappa/mira", "kappa/bin_1", "joint/", f"kappa/{BAND}", f"kappa/sbc/power_1x1/{BAND}",
                *(f"kappa/field/{name}/bin_1/{BAND}" for name in ("z2", "z2_sigma", "transfer_sigma", "identity_sigma")),
            ),
        ),
        ("shuffled", {"joint/sbc/misfit_log_amplitude/deviation"}, ("joint/sbc/misfit",)),
    ],
)  # fmt: skip
def test_planted_fault_is_found_where_it_is(joint_world, fault, found, where):
    failed = failing(joint_world.calibration(fault).report)
    assert found <= failed
    assert all(name.startswith(where) for name in failed)


def test_studies_take_errors_of_mira_from_the_stored_table(joint_world, tmp_path):
    (tmp_path / "calibration.joint").mkdir()
    write_arrays(tmp_path / "calibration.joint" / "table.npz", **joint_world.table("exact").arrays())
    found, report = errors_of(tmp_path / "calibration.errors", silent).values, joint_world.calibration("exact").report
    assert len(found) == 9
    for name, error in found.items():
        score, z = (report[f"{name}/{kind}"].uncertainty for kind in ("score", "z"))
        assert error == pytest.approx(score * z, rel=1e-3), name


def test_prior_in_place_of_posterior_is_seen_only_by_what_depends_on_data(joint_world):
    failed = failing(joint_world.calibration("prior").report)
    seen = {f"{path}/{test}" for path in ("theta", "kappa", "joint") for test in ("tarp/estimate/area", "mira/estimate/score")}
    assert seen | {"joint/sbc/log_likelihood/deviation", "theta/sbc/slope/correlation"} <= failed
    blind = ("uniform", "other_truth", "power_", "misfit_", "field/z2_sigma", "slope/deviation")
    assert not any(word in name for word in blind for name in failed)


def test_distances_at_equal_weight_see_what_a_plain_sum_drowns(joint_world):
    table = joint_world.table("narrow")
    theta, pixels = table.block("theta"), table.block("bin_1")
    plain = Distances(theta.rules, theta.truths + pixels.truths, theta.draws + pixels.draws)
    random = np.random.default_rng(0)
    assert mira_of(plain, random=random)["mira/estimate/z"].value > -3
    assert joint_world.calibration("narrow").report["joint/mira/estimate/z"].value < -8


def test_chunks_and_files_change_nothing(joint_world, tmp_path):
    few = jax.tree.map(lambda array: array[:10], (joint_world.truths, joint_world.estimates))

    def table(chunks):
        def draw(j):
            whole = joint_world.draw("exact", j)
            parts = (slice(start, start + DRAWS // chunks) for start in range(0, DRAWS, DRAWS // chunks))
            return (jax.tree.map(lambda array, part=part: array[part], whole) for part in parts)

        return joint_table(joint_world.blocks, *few, draw, key=jax.random.key(4)).arrays()

    whole, parts = table(1), table(2)
    np.savez(tmp_path / "table.npz", **whole)
    with np.load(tmp_path / "table.npz", allow_pickle=False) as file:
        again = JointTable.from_arrays(file)
    assert again.names == MODEL.parameters.names
    assert again.blocks[:4] == ("log_amplitude", "slope", "theta", "bin_1")
    for name, values in whole.items():
        if values.dtype.kind == "f":
            np.testing.assert_allclose(parts[name], values, rtol=2e-4, atol=1e-10)
            np.testing.assert_array_equal(again.arrays()[name], values)


def test_sums_are_those_of_the_maps_and_distances_those_of_pixels(joint_world):
    table, sky = joint_world.table("exact"), MODEL.sky
    draws, truth = joint_world.draw("exact", 3), joint_world.truths.maps[3]
    mean = jnp.mean(draws.maps, axis=0)
    spectrum = jax.jit(jax.vmap(lambda maps: band_powers(BANDS, maps)[0]))
    found = np.asarray(spectrum(jnp.concatenate([jnp.stack([truth, truth - mean]), draws.maps - mean, draws.maps])))
    np.testing.assert_allclose(table.powers[3, 0], found[0], rtol=1e-4)
    np.testing.assert_allclose(table.powers_draws[3, :, 0], found[2 + DRAWS :], rtol=1e-4)
    np.testing.assert_allclose(table.error[3, 0], found[1], rtol=1e-3)
    spread = found[2 : 2 + DRAWS].sum(axis=0) / (DRAWS - 1)
    np.testing.assert_allclose(table.spread[3, 0], spread, rtol=1e-3)
    np.testing.assert_allclose(table.mean_power[3, 0], spectrum(mean[None])[0] - spread / DRAWS, rtol=1e-3)
    np.testing.assert_allclose(table.residuals[:, -1], -2 * table.log_likelihood / 256, rtol=1e-4)

    few = jax.tree.map(lambda array: array[:2], (draws.theta, draws.maps))
    others = (joint_world.truths.theta[:1], joint_world.truths.maps[:1])
    estimate = tuple(jnp.asarray(array[3], jnp.float32) for array in joint_world.estimates)
    blocks = joint_world.blocks
    places = blocks.references(jax.random.key(5), estimate, others)
    distances = dict(zip(blocks.labels, np.moveaxis(blocks.distances(places, few[0], hartley(sky, few[1])), 3, 0), strict=True))
    pixels = jnp.sum((few[1][:, None] - inverse_hartley(sky, places.modes[:, 0])) ** 2, axis=(2, 3, 4))
    np.testing.assert_allclose(distances["bin_1"][..., 0], pixels, rtol=1e-4)
    covariance = np.cov((joint_world.estimates[0] - np.asarray(joint_world.truths.theta)).T)
    apart = np.asarray(few[0][:, None] - places.theta[:, 0], np.float64)
    expected = np.einsum("ski,ij,skj->sk", apart, np.linalg.inv(covariance), apart)
    np.testing.assert_allclose(distances["theta"][..., 0], expected, rtol=1e-3)
    np.testing.assert_allclose(distances["slope"][..., 0], apart[..., 1] ** 2 / covariance[1, 1], rtol=1e-3)


def test_residuals_of_a_draw_are_noise_whose_excess_is_seen(joint_world, key):
    noise = normal(key, (400, 16, 16, 1))
    replicas = residual_powers(BANDS, noise)
    one = joint_world.draw("exact", 0)
    assert (
        predictive(residual_powers(BANDS, one.residuals[:1])[0], replicas, name="residuals", key=key).report.verdict == "pass"
    )
    wrong = residual_powers(BANDS, 1.3 * one.residuals[:1])[0]
    assert predictive(wrong, replicas, name="residuals", key=key).report.verdict == "fail"


def test_tables_that_cannot_be_are_refused(joint_world):
    few = jax.tree.map(lambda array: array[:10], (joint_world.truths, joint_world.estimates))

    def table(draw):
        return joint_table(joint_world.blocks, *few, draw, key=jax.random.key(6))

    with pytest.raises(ShapeError, match="observation 1"):
        table(lambda j: [jax.tree.map(lambda array: array[: DRAWS - j], joint_world.draw("exact", j))])
    with pytest.raises(ShapeError, match="none for observation 0"):
        table(lambda j: [])
    with pytest.raises(ConfigurationError, match="Did you mean 'slope'"):
        joint_world.table("exact").block("slop")
    with pytest.raises(DataError, match=r"distances_draws of observation 0: .* NaN"):
        table(lambda j: [jax.tree.map(lambda array: array * jnp.nan, joint_world.draw("exact", j))])


def test_one_budget_is_shared_by_all_tests(joint_world):
    # The bar of one Kolmogorov-Smirnov test of many is that of its part of the budget.
    loose = joint_calibration(joint_world.table("exact"), budget=Budget(0.2, 0.4), key=jax.random.key(3)).report
    tight = joint_world.calibration("exact").report
    name = "theta/tarp/uniform/deviation"
    bars = [stats.kstwo.sf(float(report[name].bar.split()[1]), COUNT) for report in (loose, tight)]
    assert bars[0] / bars[1] == pytest.approx(200, rel=0.05)
