"""Options of combined probes that surveys need: nuisances and masks; and what no survey can be."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats

from fullfield._core import ConfigurationError, DataError, ParameterError, ShapeError
from fullfield.cosmology import Cosmology, even_shells, RedshiftBins
from fullfield.fields import correlation_coefficient, FlatSky, logarithmic_bands
from fullfield.parameters import Parameter, ParameterSpace
from fullfield.simulators import (
    coded_combined_parameters,
    combined_parameters,
    CombinedProbes,
    evolved_matter,
    exact_spread,
    GivenMatter,
    LensedGalaxies,
    PoissonCounts,
    published_spread,
    RelaxedCounts,
    shuffled_phases,
    stage3_bins,
)


SKY, SHELLS = FlatSky(16, 5.0), even_shells(stage3_bins(100), 1.75, 4)
NUISANCES = combined_parameters(shear_calibration=True, redshift_shifts=True)
MASK = np.ones((16, 16), bool)
MASK[:5] = MASK[9, 9] = False


@pytest.fixture(scope="module")
def nuisances():
    return CombinedProbes(SKY, SHELLS, parameters=NUISANCES)


def moved(theta, **values):
    return NUISANCES.as_vector(NUISANCES.as_dict(theta) | {name: jnp.asarray(value) for name, value in values.items()})


def test_nuisances_have_the_widths_of_a_third_stage_survey():
    assert NUISANCES.names[-8:] == ("m_1", "m_2", "m_3", "m_4", "dz_1", "dz_2", "dz_3", "dz_4")
    widths = [float(np.sqrt(entry.prior.variance)) for entry in NUISANCES.entries[-8:]]
    np.testing.assert_allclose(widths, [0.023] * 4 + [0.016, 0.013, 0.011, 0.022], rtol=1e-5)
    assert coded_combined_parameters(second_order=True, redshift_shifts=True).names[-5:] == (
        "eta_b2", "dz_1", "dz_2", "dz_3", "dz_4",
    )  # fmt: skip


def test_calibration_scales_the_convergence_and_nothing_else(nuisances):
    theta = NUISANCES.fiducial
    latents, _ = eqx.filter_jit(nuisances.simulate_with_latents)(jax.random.key(0), theta)
    maps = eqx.filter_jit(nuisances.maps)
    without = eqx.filter_jit(CombinedProbes(SKY, SHELLS).maps)
    plain = without(combined_parameters().fiducial, latents["white"], latents["phases"])
    before = maps(theta, latents["white"], latents["phases"])
    after = maps(moved(theta, m_1=0.1, m_3=-0.2), latents["white"], latents["phases"])
    for one, other in zip(plain, before, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(after[0], before[0] * np.array([1.1, 1.0, 0.8, 1.0]), rtol=1e-4)
    np.testing.assert_allclose(after[1], before[1], rtol=1e-5)


def test_shifts_move_the_galaxies_of_both_probes(nuisances):
    """Noiseless maps, evolution included, are those of bins that were made shifted."""
    theta = moved(NUISANCES.fiducial, dz_2=0.03, dz_4=-0.04)
    z = np.linspace(0, 1.75, 400)
    table = stage3_bins(400)
    rows = [
        np.interp(z - dz, z, row, left=0, right=0)
        for dz, row in zip((0, 0.03, 0, -0.04), np.asarray(table.density), strict=True)
    ]
    built = CombinedProbes(SKY, even_shells(RedshiftBins(z, np.stack(rows)), 1.75, 4))
    shifting = CombinedProbes(SKY, even_shells(table, 1.75, 4), parameters=NUISANCES)
    latents, _ = eqx.filter_jit(built.simulate_with_latents)(jax.random.key(0), built.parameters.fiducial)
    found = eqx.filter_jit(shifting.maps)(theta, latents["white"], latents["phases"])
    expected = eqx.filter_jit(built.maps)(built.parameters.fiducial, latents["white"], latents["phases"])
    still = eqx.filter_jit(shifting.maps)(NUISANCES.fiducial, latents["white"], latents["phases"])
    for one, other, unmoved in zip(found, expected, still, strict=True):
        scatter = np.std(other, axis=(0, 1))
        assert (np.abs(one - other) / scatter).max() < 0.01
        assert (np.abs(unmoved - other) / scatter).max(axis=(0, 1))[1] > 0.02, "a shift that is not there is seen"


def test_scores_of_nuisances_are_finite(nuisances):
    score = eqx.filter_jit(nuisances.score)
    latents, data = eqx.filter_jit(nuisances.simulate_with_latents)(jax.random.key(1), NUISANCES.fiducial)
    for theta in (NUISANCES.fiducial, moved(NUISANCES.fiducial, dz_1=-0.05, dz_4=0.07, m_2=0.1)):
        found = np.asarray(score(theta, latents, data))
        assert np.isfinite(found).all()
        assert (found != 0).all()


def test_a_light_cone_takes_shifts_too():
    """Its weights are linear in the redshift distributions, as those of shells are."""
    matter, cosmology = evolved_matter(SKY, stage3_bins(100), 16), Cosmology(0.25, 0.05, 0.7, 0.96, 0.8)
    white = jax.random.normal(jax.random.key(0), matter.white_shape)
    offsets = jnp.array([0.0, 0.03, 0.0, -0.05])
    built = evolved_matter(SKY, matter.bins.shifted(offsets), 16)
    found, expected, still = (
        eqx.filter_jit(supplier.slices)(cosmology, white) for supplier in (matter.shifted(offsets), built, matter)
    )
    for kind in ("lensing", "alignment", "clustering"):
        one, other, unmoved = (np.asarray(getattr(slices, kind)) for slices in (found, expected, still))
        np.testing.assert_allclose(one, other, rtol=1e-5)
        np.testing.assert_allclose(one[[0, 2]], unmoved[[0, 2]], rtol=1e-5)
        assert (np.abs(one - unmoved)[[1, 3]].max(1) > 0.02 * np.abs(other)[[1, 3]].max(1)).all()
    np.testing.assert_allclose(found.contrast, still.contrast, atol=1e-5)
    with pytest.raises(ConfigurationError, match=r"of those of bin 3 beyond at \+0.6"):
        matter.check(np.array([0.0, 0.0, 0.0, 0.6]))


def test_nuisances_that_cannot_be_are_refused(nuisances):
    with pytest.raises(ConfigurationError, match="no redshift shifts, as of projected maps"):
        GivenMatter(nuisances, (jnp.zeros((16, 16, 4)),) * 3)
    entries = dict(zip(NUISANCES.names, NUISANCES.entries, strict=True))
    with pytest.raises(ConfigurationError, match=r"parameters: expected .*dz_1, dz_2, dz_3, dz_4"):
        CombinedProbes(SKY, SHELLS, parameters=ParameterSpace({n: e for n, e in entries.items() if n != "dz_4"}))
    with pytest.raises(ConfigurationError, match=r"of bin 3 outside 0 to 1.75 when shifted by -0.6"):
        CombinedProbes(SKY, SHELLS, parameters=ParameterSpace(entries | {"dz_4": Parameter(dist.Normal(0.0, 0.2))}))


def test_unobserved_pixels_carry_no_data():
    """They read zero in every map; whatever they hold, NaN included, density and gradient are those of the other pixels."""
    model = CombinedProbes(SKY, SHELLS, mask=MASK)
    theta = model.parameters.fiducial
    latents, data = eqx.filter_jit(model.simulate_with_latents)(jax.random.key(0), theta)
    assert np.all(np.asarray(data)[~MASK] == 0)
    assert np.all(np.asarray(data)[MASK][:, :4] != 0)
    whole = CombinedProbes(SKY, SHELLS)
    convergence, rate = eqx.filter_jit(whole.maps)(theta, latents["white"], latents["phases"])
    kappa, counts = np.split(np.asarray(data, float), 2, axis=-1)
    each = stats.norm.logpdf(kappa, convergence, 0.4 / np.sqrt(counts + 1)) + stats.poisson.logpmf(counts, np.asarray(rate))
    event = LensedGalaxies(convergence, rate, model.counts, 0.4, model.mask)
    np.testing.assert_allclose(event.log_prob(data), each[MASK].sum(), rtol=1e-4)
    density = jax.jit(jax.value_and_grad(lambda t, d: model.log_joint(t, latents, d)))
    plain, strange = density(theta, data), density(theta, jnp.where(jnp.asarray(MASK)[..., None], data, jnp.nan))
    for one, other in zip(plain, strange, strict=True):
        np.testing.assert_array_equal(one, other)
    assert np.isfinite(plain[1]).all()


def test_observed_maps_are_prepared_and_wrong_ones_refused():
    model, random = CombinedProbes(SKY, SHELLS, mask=MASK), np.random.default_rng(0)
    maps = np.concatenate([random.normal(0, 0.02, (16, 16, 4)), random.poisson(50.0, (16, 16, 4))], axis=-1)
    maps[~MASK] = np.nan
    prepared = model.prepare(maps)
    np.testing.assert_array_equal(prepared[MASK], maps[MASK].astype(np.float32))
    assert (prepared[~MASK] == 0).all()
    with pytest.raises(ShapeError, match="convergence of all bins, then counts"):
        model.prepare(maps[..., :4])
    with pytest.raises(DataError, match=r"NaN or infinite, the first at \(y, x, bin\) = \(0, 0, 0\)"):
        CombinedProbes(SKY, SHELLS).prepare(maps)
    contrast = maps.copy()
    contrast[..., 4:] = contrast[..., 4:] / 50 - 1
    with pytest.raises(DataError, match=r"no negative counts of galaxies, got -0\.\d+. Contrasts become counts"):
        model.prepare(contrast)
    CombinedProbes(SKY, SHELLS, mask=MASK, counts=RelaxedCounts()).prepare(contrast)
    with pytest.raises(DataError, match="all masked"):
        model.prepare(np.zeros((16, 16, 8)))
    with pytest.raises(DataError, match="at least one observed pixel"):
        CombinedProbes(SKY, SHELLS, mask=np.zeros((16, 16), bool))
    with pytest.raises(ShapeError, match=r"mask: expected \(16, 16\), got \(8, 8\)"):
        CombinedProbes(SKY, SHELLS, mask=np.ones((8, 8), bool))


@pytest.mark.parametrize("law", [exact_spread, published_spread])
@pytest.mark.parametrize("r", [-0.1, 1.01, np.nan])
def test_stochasticity_outside_of_zero_to_one_is_refused(law, r):
    with pytest.raises(ParameterError, match=r"correlation: expected r_g in \[0, 1\]"):
        law(r)
    law(0.0), law(1.0)


@pytest.mark.parametrize("law", [PoissonCounts(), RelaxedCounts()])
def test_pixels_without_galaxies_have_finite_noise_and_gradients(law):
    rate = jnp.full((4, 4, 1), 1e-3).at[0].set(20.0)
    counts = jnp.zeros((4, 4, 1)).at[0].set(18.0)

    def density(kappa, convergence, rate, counts):
        return LensedGalaxies(convergence, rate, law, 0.4).log_prob(jnp.concatenate([kappa, counts], axis=-1))

    zero = jnp.zeros((4, 4, 1))
    assert float(LensedGalaxies(zero, rate, law, 0.4).noise(counts).max()) == pytest.approx(0.4)
    value, slopes = jax.value_and_grad(density, argnums=(0, 1, 2, 3))(zero + 0.1, zero, rate, counts)
    assert np.isfinite(value)
    assert all(np.isfinite(slope).all() for slope in slopes)
    drawn = LensedGalaxies(zero, jnp.full((4, 4, 1), 1e-3), law, 0.4).sample(jax.random.key(0))
    assert np.isfinite(drawn).all()


def test_maps_of_unequal_shape_are_refused():
    with pytest.raises(ShapeError, match=r"rate: expected \(4, 4, 1\), as the convergence, got \(4, 4, 2\)"):
        LensedGalaxies(jnp.zeros((4, 4, 1)), jnp.ones((4, 4, 2)), PoissonCounts(), 0.4)


@pytest.mark.parametrize("law", [exact_spread, published_spread])
def test_galaxies_correlate_alike_on_every_scale(law):
    """Kacprzak & Fluri 2022, figure 8: r(ℓ) of 100 maps is flat, at sin(πs)/(πs), for the exact law what is asked for."""
    sky, key = FlatSky(32, 5.0), jax.random.key(0)
    bands = logarithmic_bands(sky, 5)
    red = np.maximum(sky.multipoles(), sky.fundamental)[..., None] ** -1.0
    white = jax.random.normal(key, (2, 100, 32, 32, 2))
    contrast = jnp.fft.irfft2(red * jnp.fft.rfft2(white[0], axes=(1, 2)), axes=(1, 2))
    modes = 100 * bands.modes / 2
    for r in (0.4, 0.7, 0.95):
        loose = jax.vmap(functools.partial(shuffled_phases, spread=law(r)))(contrast, white[1])
        found = np.asarray(correlation_coefficient(bands, contrast, loose))
        expected = float(jnp.sinc(law(r)))
        # Five errors of a mean of cosines, weighted by powers that are exponential variables: squares of these average two.
        error = np.sqrt(2 * (0.5 + 0.5 * float(jnp.sinc(2 * law(r))) - expected**2) / modes)
        # Modes that are their own mirror image stay: of the last band, 3 of its many.
        assert (np.abs(found - expected) < 5 * error + 3 / bands.modes * (np.arange(len(modes)) == len(modes) - 1)).all()
        assert expected == pytest.approx(r, abs=1e-3 if law is exact_spread else 0.06)
