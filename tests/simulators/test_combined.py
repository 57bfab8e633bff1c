"""Combined probes: spectra against Limber, stochasticity against its closed form, counts against Poisson's law, refusals."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats

from fullfield._core import ConfigurationError
from fullfield.cosmology import even_shells, lensing_spectra, NLA
from fullfield.fields import band_powers, FlatSky, logarithmic_bands, pair_indices
from fullfield.parameters import Parameter, ParameterSpace
from fullfield.simulators import (
    AnscombeCounts,
    coded_combined_parameters,
    combined_parameters,
    CombinedProbes,
    exact_spread,
    PoissonCounts,
    published_spread,
    QuadraticBias,
    RelaxedCounts,
    shuffled_phases,
    SignedQuadraticBias,
    stage3_bins,
)
from fullfield.simulators.galaxies import galaxy_rate, LEAST_RATE


SKY = FlatSky(32, 5.0)
SHELLS = even_shells(stage3_bins(200), 1.75, 16)
SMALL = FlatSky(16, 5.0), even_shells(stage3_bins(100), 1.75, 4)


@pytest.fixture(scope="module")
def model():
    return CombinedProbes(SKY, SHELLS)


@pytest.fixture(scope="module")
def matter(model):
    """Noiseless maps of 400 universes at the fiducial parameters."""
    theta = model.parameters.fiducial

    @jax.jit
    def many(keys):
        return jax.lax.map(lambda key: model.matter(theta, jax.random.normal(key, (SHELLS.size, 32, 32))), keys, batch_size=20)

    return [np.asarray(maps) for maps in many(jax.random.split(jax.random.key(0), 400))]


def test_bins_have_the_published_means():
    bins = stage3_bins()
    z, density = np.asarray(bins.z), np.asarray(bins.density)
    means = np.trapezoid(density * z, z, axis=1)
    np.testing.assert_allclose(means, [0.31, 0.48, 0.75, 0.94], atol=0.007)
    widths = np.sqrt(np.trapezoid(density * (z - means[:, None]) ** 2, z, axis=1))
    np.testing.assert_allclose(widths, [0.150, 0.156, 0.159, 0.237], atol=0.006)


def test_all_probes_have_their_spectra(model, matter):
    """Band powers of convergence, alignment and counts, auto and cross, against sums over shells."""
    fields = model.supplier.shells(model.cosmology(model.parameters.fiducial), model.supplier.lattice.multipoles)
    weights = jnp.concatenate([fields.lensing, fields.alignment, fields.clustering])
    maps = jnp.concatenate([jnp.asarray(part) for part in matter], axis=-1)
    first, second = pair_indices(12)
    bands = logarithmic_bands(SKY, 5)
    expected = jnp.einsum("ps,sl->pl", weights[first] * weights[second], fields.spectra)
    # The lattice's power of each spectrum, averaged over the modes of each band as the estimator does.
    octant = np.asarray(model.supplier.lattice.power(expected))
    rows = np.minimum(np.arange(32), 32 - np.arange(32))
    plane = octant[:, rows[:, None], rows[None]]
    weight = np.asarray(bands.plane)
    expected = np.einsum("byx,pyx->pb", weight / weight.sum((1, 2), keepdims=True), plane)
    found = np.asarray(jax.lax.map(lambda one: band_powers(bands, one), maps, batch_size=50))
    error = found.std(0) / np.sqrt(len(found))
    pull = (found.mean(0) - expected) / error
    assert np.abs(pull).max() < 5, "five errors of 400 maps' mean, of 390 numbers"
    assert np.sqrt(np.mean(pull**2)) < 1.6


def test_alignment_and_counts_come_from_the_same_matter(matter):
    """Near overdensities galaxies are aligned against the shear: the correlation is negative, and near one in a bin."""
    _, alignment, contrast = matter
    correlation = np.corrcoef(alignment[..., 0].ravel(), contrast[..., 0].ravel())[0, 1]
    assert correlation < -0.9


def test_the_spectra_are_limbers():
    """Sixteen shells miss a few percent of the nearest bin's; that thirty-two do not is a test of the shells'."""
    model = CombinedProbes(SKY, even_shells(stage3_bins(200), 1.75))
    cosmology, multipoles = model.cosmology(model.parameters.fiducial), jnp.array([50.0, 200.0, 800.0])
    fields = model.supplier.shells(cosmology, multipoles)
    first, second = pair_indices(4)
    weights = fields.lensing - fields.alignment
    found = jnp.einsum("ps,sl->pl", weights[first] * weights[second], fields.spectra)
    exact = lensing_spectra(cosmology, model.bins, multipoles, alignment=NLA(-1.0))
    np.testing.assert_allclose(found, exact, rtol=0.03)


@pytest.mark.parametrize("r", [0.4, 0.7, 0.95, 1.0])
def test_phases_leave_the_correlation_asked_for(matter, r):
    """Pearson's coefficient of all pixels of 400 maps (their figure 8); the published formula is off by up to .05."""
    contrast = jnp.asarray(matter[2])
    white = jax.random.normal(jax.random.key(3), contrast.shape)
    loose = jax.vmap(functools.partial(shuffled_phases, spread=exact_spread(r)))(contrast, white)
    for field, other in zip(np.moveaxis(np.asarray(contrast), -1, 0), np.moveaxis(np.asarray(loose), -1, 0), strict=True):
        assert np.corrcoef(field.ravel(), other.ravel())[0, 1] == pytest.approx(r, abs=0.01)
        assert other.std() == pytest.approx(field.std(), rel=0.01)
    assert abs(float(jnp.sinc(published_spread(r))) - r) < 0.06


def test_spreads_invert_the_cardinal_sine():
    r = np.linspace(0.0, 1.0, 101)
    found = np.asarray(jax.vmap(exact_spread)(jnp.asarray(r)))
    np.testing.assert_allclose(np.sinc(found), r, atol=1e-4)
    assert np.isfinite(jax.vmap(jax.grad(exact_spread))(jnp.linspace(0.4, 1.0, 20))).all()


@pytest.mark.parametrize("rate", [5.0, 20.0, 55.0])
def test_anscombes_counts_are_poissons_and_a_quarter_of_a_galaxy(rate):
    n = 200_000
    exact, found = (
        np.asarray(law.sample(jax.random.key(1), jnp.full((n,), rate))) for law in (PoissonCounts(), AnscombeCounts())
    )
    assert found.min() >= 0
    np.testing.assert_array_equal(found, np.round(found))
    assert found.mean() - exact.mean() == pytest.approx(0.25, abs=0.01 + 5 * np.sqrt(2 * rate / n))
    assert found.std() / exact.std() == pytest.approx(1.0, abs=0.05)
    grid = np.arange(int(rate + 4 * np.sqrt(rate)))
    shares = [(counts[:20_000, None] <= grid[None]).mean(0) for counts in (exact, found)]
    assert np.abs(np.subtract(*shares)).max() < 0.08
    assert np.all(np.isfinite(AnscombeCounts().sample(jax.random.key(2), jnp.full((1000,), 1e-3))))


def test_relaxed_counts_follow_the_rate():
    slope = jax.grad(lambda rate: jnp.mean(RelaxedCounts().sample(jax.random.key(0), jnp.full((4096,), rate))))(20.0)
    assert slope == pytest.approx(1.0, abs=0.02)
    drawn = np.asarray(RelaxedCounts().sample(jax.random.key(0), jnp.full((20_000,), 20.0)))
    assert stats.kstest(drawn, stats.norm(20, np.sqrt(20)).cdf).pvalue > 1e-3


def test_rates_keep_the_number_of_galaxies():
    contrast = jnp.asarray(np.random.default_rng(0).normal(0, 1.0, (16, 16, 2)))
    rate = galaxy_rate(contrast, jnp.array([50.0, 5.0]))
    assert float(jnp.min(rate / jnp.array([50.0, 5.0]))) > LEAST_RATE / 2
    np.testing.assert_allclose(rate.mean((0, 1)), (1 + contrast.mean((0, 1))) * np.array([50.0, 5.0]), rtol=1e-5)


def test_noise_follows_the_counts(model):
    """Residuals of the convergence in units of what the counts leave, over pixels with few and with many galaxies."""
    theta = model.parameters.fiducial
    latents, data = eqx.filter_jit(model.simulate_with_latents)(jax.random.key(4), theta)
    convergence, rate = eqx.filter_jit(model.maps)(theta, latents["white"], latents["phases"])
    kappa, counts = np.split(np.asarray(data), 2, axis=-1)
    pull = (kappa - np.asarray(convergence)) / (0.4 / np.sqrt(counts + 1))
    for part in (counts < np.median(counts), counts >= np.median(counts)):
        assert pull[part].std() == pytest.approx(1.0, abs=5 / np.sqrt(2 * part.sum()))
    assert (np.asarray(rate) > 0).all()
    assert counts.mean() == pytest.approx(model.galaxies, rel=0.05)


@pytest.mark.parametrize("bias", [None, SignedQuadraticBias()])
def test_the_density_has_finite_gradients_in_corners_of_the_prior(bias):
    """The strongest bias empties pixels; stochasticity of one moves no phase."""
    model = CombinedProbes(*SMALL, bias=bias)
    data = eqx.filter_jit(model.simulate_at)(jax.random.key(0), model.parameters.fiducial)
    latents, _ = eqx.filter_jit(model.simulate_with_latents)(jax.random.key(1), model.parameters.fiducial)
    gradient = jax.jit(jax.grad(lambda *given: model.log_joint(*given, data), argnums=(0, 1)))
    low, high = map(jnp.asarray, zip(*model.parameters.bounds, strict=True))
    for theta in (low + 1e-3, high - 1e-3, model.parameters.fiducial):
        assert all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(gradient(theta, latents)))
    assert float(jnp.abs(gradient(model.parameters.fiducial, latents)[0]).min()) > 0, "every parameter matters"


def test_the_gradient_is_that_of_finite_differences():
    theta = np.asarray(combined_parameters().fiducial)
    with jax.enable_x64(True):
        model = CombinedProbes(*SMALL)
        latents, data = eqx.filter_jit(model.simulate_with_latents)(jax.random.key(1), jnp.asarray(theta, float))
        latents = jax.tree.map(lambda leaf: jnp.asarray(leaf, float), latents)
        density = jax.jit(lambda t: model.log_joint(t, latents, data))
        slope = jax.jit(jax.grad(density))(jnp.asarray(theta, float))
        steps = 1e-5 * jnp.eye(len(theta))
        expected = jnp.stack([(density(theta + step) - density(theta - step)) / 2e-5 for step in steps])
    np.testing.assert_allclose(slope, expected, rtol=2e-3, atol=1e-2)


def test_biases_differ_as_the_paper_and_its_code_do():
    contrast = jnp.asarray(np.random.default_rng(0).normal(0, 0.3, (8, 8, 1)))
    strengths, same = (jnp.array([1.5]), jnp.array([-1.0])), lambda maps: maps
    paper, code = QuadraticBias()(contrast, same, *strengths), SignedQuadraticBias()(contrast, same, *strengths)
    np.testing.assert_allclose(paper, 1.5 * contrast - contrast**2, rtol=1e-5)
    plain = 1.5 * contrast - 0.5 * jnp.sign(contrast) * contrast**2
    np.testing.assert_allclose(code, plain - plain.mean(), rtol=1e-4, atol=1e-6)
    assert combined_parameters().bounds[3] == (-4, 6)
    assert coded_combined_parameters(second_order=True).bounds[3] == (-5, 7)
    assert coded_combined_parameters(second_order=True).names[-2:] == ("b_2", "eta_b2")


def test_surveys_that_cannot_be_are_refused():
    entries = dict(zip(combined_parameters().names, combined_parameters().entries, strict=True))
    with pytest.raises(ConfigurationError, match=r"r_g: expected a prior within \[0, 1\]"):
        CombinedProbes(SKY, SHELLS, parameters=ParameterSpace(entries | {"r_g": Parameter(dist.Uniform(0.5, 1.5))}))
    with pytest.raises(ConfigurationError, match="parameters: expected a_ia, b_2"):
        CombinedProbes(SKY, SHELLS, bias=QuadraticBias(), parameters=combined_parameters())
    with pytest.raises(ConfigurationError, match="expected positive numbers"):
        CombinedProbes(SKY, SHELLS, galaxies_per_arcmin2=-1.0)
