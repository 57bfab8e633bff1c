"""The shear model: its density against that of convergence, masks, noise, nuisances, and what is refused."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
import scipy.stats

from fullfield._core import ConfigurationError, DataError, ParameterError, ShapeError
from fullfield.cosmology import smail_bins
from fullfield.fields import FlatSky, kaiser_squires, ShearMaps
from fullfield.inference.explicit.field import _default_product, Convergence
from fullfield.inference.explicit.precondition import Preconditioner
from fullfield.inference.explicit.scaling import Modes
from fullfield.inference.explicit.target import Target
from fullfield.parameters import Parameter, ParameterSpace
from fullfield.simulators import LensingModel, LensingSurvey, lsst_y10_model, PerturbativeShift, ShearModel, TabulatedShift


@pytest.fixture(scope="module")
def lensing():
    return lsst_y10_model(16)


@pytest.fixture(scope="module")
def noise(lensing):
    random = np.random.default_rng(0)
    noise = np.asarray(lensing.survey.noise_scale) * random.uniform(0.7, 2.0, lensing.survey.data_shape)
    noise[:4] = np.inf
    noise[10, 10, 2] = np.inf
    return noise


@pytest.fixture(scope="module")
def model(lensing, noise):
    return ShearModel(lensing, noise)


@pytest.fixture(scope="module")
def simulated(model):
    theta = model.parameters.fiducial
    latents, data = eqx.filter_jit(model.simulate_with_latents)(jax.random.key(1), theta)
    return theta, latents, data


def test_without_mask_shear_says_what_convergence_says_but_for_the_mean(lensing):
    # Kaiser-Squires keeps white noise, so that E modes of the data are convergence with the same noise; the mean κ of a map
    # makes no shear, and B modes say nothing.
    model = ShearModel(lensing)
    latents, data = model.simulate_with_latents(jax.random.key(3), model.parameters.fiducial)
    estimate = kaiser_squires(data)[..., 0]
    points = model.parameters.fiducial, model.parameters.fiducial.at[2].add(0.1)

    @eqx.filter_jit
    def densities(theta, latents):
        mean = lensing.convergence(theta, latents["white"]).mean((0, 1))
        unseen = jnp.sum(16**2 * mean**2 / (2 * lensing.survey.noise_scale**2))
        return model.log_joint(theta, latents, data), lensing.log_joint(theta, latents, estimate) + unseen

    pairs = [densities(theta, {"white": factor * latents["white"]}) for theta, factor in zip(points, (1.0, 0.9), strict=True)]
    shear, convergence = np.subtract(*np.asarray(pairs, float))
    assert abs(shear) > 30
    np.testing.assert_allclose(shear, convergence, atol=0.05)  # float32 log densities of 10⁴


def test_density_is_that_of_the_observed_pixels_alone(model, noise, simulated):
    theta, latents, data = simulated
    density = eqx.filter_jit(model.log_joint)
    observed = np.isfinite(noise)
    shear = np.asarray(model.shear(theta, latents["white"]))
    pixels = scipy.stats.norm.logpdf(np.asarray(data), shear, np.where(observed, noise, 1.0)[..., None])
    expected = pixels[observed].sum() + scipy.stats.norm.logpdf(latents["white"]).sum() + model.parameters.log_prob(theta)
    np.testing.assert_allclose(density(theta, latents, data), expected, rtol=1e-5)
    spoilt = jnp.where(observed[..., None], data, jnp.nan)
    gradient = eqx.filter_jit(jax.grad(lambda data, white: model.log_joint(theta, {"white": white}, data), (0, 1)))
    for found, right in zip(gradient(spoilt, latents["white"]), gradient(data, latents["white"]), strict=True):
        np.testing.assert_array_equal(found, right)
    assert density(theta, latents, spoilt) == density(theta, latents, data)
    np.testing.assert_array_equal(data[~observed], 0.0)


def test_simulations_have_the_noise_of_their_pixels(model, noise, simulated):
    theta, latents, data = simulated
    np.testing.assert_allclose(model.simulate_at(jax.random.key(1), theta), data, rtol=1e-4, atol=1e-6)
    observed = np.isfinite(noise)
    residual = ((data - model.shear(theta, latents["white"])) / noise[..., None])[observed]
    assert residual.size == model.data_shape[-1] * observed.sum()
    # Four sigma each; with the survey's own noise the spread would be 1.4.
    assert abs(float(jnp.mean(residual))) < 4 / np.sqrt(residual.size)
    assert abs(float(jnp.std(residual)) - 1) < 4 / np.sqrt(2 * residual.size)


def test_score_equals_a_finite_difference(model, simulated):
    theta, latents, data = simulated
    score = eqx.filter_jit(model.score)(theta, latents, data)
    conditional = eqx.filter_jit(lambda t: model.log_joint(t, latents, data) - model.parameters.log_prob(t))
    for i, step in {0: 2e-2, 2: 3e-2}.items():
        shift = jnp.zeros(6).at[i].set(step)
        near = conditional(theta + shift) - conditional(theta - shift)
        far = conditional(theta + 2 * shift) - conditional(theta - 2 * shift)
        np.testing.assert_allclose(score[i], (8 * near - far) / (12 * step), rtol=0.03, atol=0.5)


def test_chains_treat_it_as_convergence(model, simulated):
    target = Target(model, simulated[-1])
    assert isinstance(Preconditioner.unit(target).scalings[0], Modes)
    assert isinstance(_default_product(target), Convergence)


def test_bias_scales_the_shear_and_not_the_convergence(lensing, model, noise, simulated):
    theta, latents, _ = simulated
    biased = ShearModel(lensing, noise, bias=Parameter(dist.Normal(0.0, 0.02), "m"))
    assert biased.parameters.names[-1] == "shear_bias"
    more = jnp.append(theta, 0.05)
    np.testing.assert_allclose(biased.shear(more, latents["white"]), 1.05 * model.shear(theta, latents["white"]), rtol=1e-4)
    np.testing.assert_array_equal(biased.convergence(more, latents["white"]), model.convergence(theta, latents["white"]))


def sources(mean):
    return smail_bins(1, alpha=2.0, beta=1.5, z_0=mean / 1.5, scatter=1e-3)


@pytest.fixture(scope="module")
def stretched():
    survey = LensingSurvey(FlatSky(16, 1.0), sources(1.2), (30.0,), 0.3)
    entries = {"sigma_8": Parameter(dist.Uniform(0.4, 1.2)), "source_stretch": Parameter(dist.Normal(1.0, 0.1))}
    fixed = {"omega_c": 0.25, "omega_b": 0.05, "h_0": 0.7, "n_s": 0.96, "w_0": -1.0}
    return LensingModel(survey, PerturbativeShift(survey.bins, 3.75), parameters=ParameterSpace(entries), fixed=fixed)


def test_stretched_sources_are_those_of_a_deeper_survey(stretched):
    deeper = LensingModel(
        LensingSurvey(FlatSky(16, 1.0), sources(1.32), (30.0,), 0.3), PerturbativeShift(sources(1.32), 3.75),
        parameters=stretched.parameters, fixed=dict(stretched.fixed),
    )  # fmt: skip
    (spectra, shift), (expected, expected_shift), (plain, _) = (
        (model.spectra(theta), model.pixel_shift(theta, model.spectra(theta)))
        for model, theta in (
            (stretched, jnp.array([0.8, 1.1])), (deeper, jnp.array([0.8, 1.0])), (stretched, jnp.array([0.8, 1.0]))
        )
    )  # fmt: skip
    np.testing.assert_allclose(spectra, expected, rtol=2e-3)
    np.testing.assert_allclose(shift, expected_shift, rtol=2e-3)
    assert np.all(spectra[:, 1:] > 1.1 * plain[:, 1:])


def test_impossible_models_are_refused(lensing, noise, stretched):
    with pytest.raises(ShapeError, match=r"noise: expected \(16, 16, 5\).*got \(16, 16\)"):
        ShearModel(lensing, noise[..., 0])
    for bad in (0.0, -1.0, np.nan):
        with pytest.raises(DataError, match="noise: expected positive numbers, got 1 pixels that are not"):
            ShearModel(lensing, spoilt(noise, bad))
    with pytest.raises(DataError, match="at least one observed pixel, got none"):
        ShearModel(lensing, np.full_like(noise, np.inf))
    with pytest.raises(ParameterError, match="fixed: expected parameters that are not free, got sigma_8"):
        LensingModel(
            stretched.survey, stretched.shift, parameters=stretched.parameters, fixed=dict(stretched.fixed) | {"sigma_8": 0.8}
        )
    with pytest.raises(ParameterError, match="got no omega_c"):
        LensingModel(stretched.survey, stretched.shift, parameters=stretched.parameters)
    with pytest.raises(ConfigurationError, match="since their redshifts are a parameter, got TabulatedShift"):
        LensingModel(lensing.survey, TabulatedShift(), oversampling=16, fixed={"source_stretch": 1.1})


def spoilt(noise, value):
    noise = noise.copy()
    noise[8, 8, 0] = value
    return noise


def test_observations_of_another_survey_are_refused(model, noise, simulated):
    data = np.asarray(simulated[-1])
    observed = np.isfinite(noise)
    anything = np.where(observed[..., None], data, np.nan)
    np.testing.assert_array_equal(model.prepare(anything), data)
    with pytest.raises(ShapeError, match=r"expected \(16, 16, 5, 2\), got \(16, 16, 5\)"):
        model.prepare(data[..., 0])
    for bad in (np.nan, 1.0):
        broken = data.copy()
        broken[9, 3, 1, 0] = bad
        with pytest.raises(DataError, match=r"\|γ\| < 1 in observed pixels, got 1 pixels.*\(9, 3, 1\)"):
            model.prepare(broken)
    sky, weight = model.lensing.survey.sky, observed.astype(np.float32)
    own = ShearMaps(sky, (0.0, 0.0), data, weight, noise.astype(np.float32), observed.astype(int))
    np.testing.assert_array_equal(model.prepare(own), data)
    for wrong, message in (
        (eqx.tree_at(lambda maps: maps.noise, own, 1.1 * own.noise), r"noise map, got another in 959 of 1280 pixels"),
        (own.coarsened(2), "expected pixels = 16, as the model, got pixels = 8. Make the model"),
        (eqx.tree_at(lambda maps: maps.noise, own, own.noise[..., :1]), "expected bins = 5, as the model, got bins = 1"),
        (
            ShearMaps(FlatSky(16, 5.0), *(getattr(own, name) for name in ("centre", "shear", "weight", "noise", "counts"))),
            "side = 10",
        ),
    ):
        with pytest.raises(ConfigurationError, match=message):
            model.prepare(wrong)
