"""NLE, NRE and flow matching against the exact likelihood and posterior of the linear-Gaussian world."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from fullfield._core import ConfigurationError
from fullfield.datasets import StoredSimulations
from fullfield.diagnostics import convergence, ess_mean, rhat
from fullfield.inference.explicit import DivergenceWarning, MCLMC
from fullfield.inference.implicit import Binary, Contrastive, Multiclass, train_fmpe, train_nle, train_nre
from fullfield.inference.implicit.nre import NRELoss
from fullfield.inference.implicit.sampled import AbstractSampledPosterior
from fullfield.networks import mixture, RatioClassifier, velocity_flow
from fullfield.parameters import Parameter, ParameterSpace
from fullfield.simulators import LinearGaussian


WORLD = LinearGaussian(n_data=3, n_parameters=2, latent_scale=0.4, noise_scale=0.4)
BATCH = 256
CLASSIFIER = functools.partial(RatioClassifier, width=32, blocks=1)


@pytest.fixture(scope="module")
def sources():
    simulations = WORLD.simulate(jax.random.key(10), 6144, batch_size=1024)
    theta, data = simulations.theta, simulations.data
    return StoredSimulations(theta[1024:], data[1024:], batch_size=BATCH), StoredSimulations(
        theta[:1024], data[:1024], batch_size=BATCH
    )


@pytest.fixture(scope="module")
def truth():
    return WORLD.simulate(jax.random.key(12), 2048, batch_size=1024)


@pytest.fixture(scope="module")
def likelihood(sources):
    density = functools.partial(mixture, components=2, width=16)
    return train_nle(WORLD.parameters, *sources, key=jax.random.key(1), density=density, max_epochs=6)[0]


@pytest.fixture(scope="module")
def ratio(sources):
    contrast = Contrastive(candidates=8)
    return train_nre(
        WORLD.parameters, *sources, key=jax.random.key(1), classifier=CLASSIFIER, contrast=contrast, max_epochs=30
    )[0]


@pytest.fixture(scope="module")
def matched(sources):
    density = functools.partial(velocity_flow, width=32, blocks=1, steps=12)
    return train_fmpe(WORLD.parameters, *sources, key=jax.random.key(1), density=density, max_epochs=20)[0]


def exact_likelihood(theta, data):
    return jax.scipy.stats.multivariate_normal.logpdf(data, WORLD.response @ theta, WORLD.covariance)


def exact_posterior(theta, data):
    return jax.scipy.stats.multivariate_normal.logpdf(theta, *WORLD.posterior(data))


def divergence(exact, learnt, theta, data):
    """Mean and standard error of exact minus learnt log density at true pairs: the expected KL divergence."""
    values = np.asarray(jax.jit(jax.vmap(lambda t, x: exact(t, x) - learnt(t, x)))(theta, data))
    return values.mean(), values.std() / np.sqrt(len(values))


def test_likelihood_is_the_exact_one(likelihood, truth):
    learnt = lambda t, x: likelihood.density.log_prob(x, WORLD.parameters.to_unconstrained(t))  # noqa: E731
    value, error = divergence(exact_likelihood, learnt, truth.theta, truth.data)
    # Means off by 0.1 σ in each of three numbers are 0.015 nats; the error is that of 2048 pairs.
    assert -4 * error < value < 0.02 + 4 * error
    assert error < 0.01
    shifted, error = divergence(exact_likelihood, lambda t, x: learnt(t + 0.4, x), truth.theta, truth.data)
    assert shifted > 0.02 + 4 * error, "a likelihood of the wrong parameters must be noticed"


def test_ratio_is_the_exact_one_up_to_noise(ratio, truth):
    @jax.jit
    @jax.vmap
    def distance(theta, shifted, data):
        exact = exact_posterior(theta, data) - WORLD.parameters.log_prob(theta)
        return ratio.ratio(WORLD.parameters.to_unconstrained(shifted), data) - exact

    # At pairs that belong together, where the posterior's draws are; elsewhere a classifier knows only that the ratio is small.
    right = np.asarray(distance(truth.theta, truth.theta, truth.data))
    wrong = np.asarray(distance(truth.theta, truth.theta + 0.4, truth.data))
    assert np.sqrt(np.mean(right**2)) < 0.35
    assert np.sqrt(np.mean(wrong**2)) > 0.35


@pytest.mark.slow
@pytest.mark.parametrize("contrast", [Binary(), Multiclass(candidates=8)])
def test_every_contrast_learns_the_posterior(contrast, sources, truth):
    """Means to a quarter and widths to 15 % of sigma; the constant that `Multiclass` leaves open is none of the posterior."""
    ratio, _ = train_nre(
        WORLD.parameters, *sources, key=jax.random.key(1), classifier=CLASSIFIER, contrast=contrast, max_epochs=30
    )
    mean, covariance = WORLD.posterior(truth.data[0])
    draws, sigma = np.asarray(ratio.sample(jax.random.key(3), truth.data[0], 4000)), np.sqrt(np.diag(covariance))
    assert np.abs((draws.mean(0) - mean) / sigma).max() < 0.25
    np.testing.assert_allclose(draws.std(0) / sigma, 1, atol=0.15)


def test_flow_matching_reaches_the_exact_posterior(matched, truth):
    theta, data = truth.theta[:512], truth.data[:512]
    value, error = divergence(exact_posterior, matched.log_prob, theta, data)
    assert -4 * error < value < 0.02 + 4 * error
    assert error < 0.02
    wrong, error = divergence(exact_posterior, lambda t, x: matched.log_prob(t + 0.4, x), theta, data)
    assert wrong > 0.02 + 4 * error, "a posterior of the wrong parameters must be noticed"


@pytest.mark.parametrize("name", ["likelihood", "matched"])
def test_draws_have_the_exact_moments(name, request, truth):
    posterior, observation = request.getfixturevalue(name), truth.data[0]
    mean, covariance = WORLD.posterior(observation)
    draws, sigma = np.asarray(posterior.sample(jax.random.key(3), observation, 4000)), np.sqrt(np.diag(covariance))
    # The trainings are good to about 0.1 σ; 4000 draws add 0.02.
    assert np.abs((draws.mean(0) - mean) / sigma).max() < 0.25
    np.testing.assert_allclose(draws.std(0) / sigma, 1, atol=0.15)
    prior = np.asarray(WORLD.parameters.sample(jax.random.key(4), (4000,)))
    assert np.abs(prior.std(0) / sigma - 1).max() > 0.15, "the prior must differ, or nothing was tested"


def test_chains_on_a_learnt_likelihood_agree_with_its_particles(likelihood, truth):
    """Both sample the same density: means within 4.5 of their standard errors, a false alarm in 30 000 runs."""
    observations, keys = truth.data[:2], jax.random.split(jax.random.key(7), 2)
    settings = {"chains": 4, "warmup": 200, "sampler": MCLMC()}
    found = jax.jit(jax.vmap(lambda k, x: likelihood.sample_chains(k, x, 500, **settings)))(keys, observations)
    assert found.positions.shape == (2, 4, 500, 2)
    for chains, observation in zip(np.asarray(found.positions), observations, strict=True):
        particles = np.asarray(likelihood.sample(jax.random.key(3), observation, 4000))
        for parameter in range(2):
            values = chains[..., parameter]
            error = np.sqrt(values.var() / ess_mean(values) + particles[:, parameter].var() / 1000)  # particles share ancestors
            assert abs(values.mean() - particles[:, parameter].mean()) < 4.5 * error
            assert rhat(values) < 1.05
            assert abs(values.std() / particles[:, parameter].std() - 1) < 0.15


def test_chains_of_one_parameter_that_diverge_warn_by_themselves():
    """A Gaussian that is a thousand times narrower on one side: no step size is right for both."""

    class Cliff(AbstractSampledPosterior):
        parameters: ParameterSpace
        summarise: eqx.nn.Identity = eqx.nn.Identity()
        data_shape: tuple[int, ...] = eqx.field(static=True, default=(1,))
        seen: None = None

        def log_likelihood(self, unconstrained, summary):
            distance = unconstrained[0] - summary[0]
            return -0.5 * distance**2 * jnp.where(distance > 0, 1e6, 1.0)

    posterior = Cliff(ParameterSpace({"a": Parameter(dist.Normal(0.0, 1.0))}))
    with pytest.warns(DivergenceWarning, match="transitions diverged"):
        draws = posterior.sample_chains(jax.random.key(0), np.zeros(1), 200, chains=4, warmup=80)
    report = convergence(**draws.evidence)
    assert report["chains/divergences"].verdict == "fail"
    assert np.isfinite(report["chains/a/rhat"].value)


def test_log_prob_is_normalised_by_the_evidence(likelihood, truth):
    observation = truth.data[0]
    points = WORLD.posterior(observation)[0] + 0.3 * jax.random.normal(jax.random.key(5), (8, 2))
    learnt = np.asarray(jax.jit(jax.vmap(likelihood.log_prob, in_axes=(0, None)))(points, observation))
    exact = np.asarray(jax.vmap(exact_posterior, in_axes=(0, None))(points, observation))
    # 0.1 of the training, 0.03 of the evidence; without the evidence they are nats apart.
    np.testing.assert_allclose(learnt, exact, atol=0.3)
    unnormalised = np.asarray(jax.vmap(likelihood.log_unnormalised, in_axes=(0, None))(points, observation))
    assert np.abs(unnormalised - exact).min() > 1


def test_the_exact_ratio_minimises_every_contrast(truth):
    """With the exact ratio in place of a network, any other scaling of it must cost more."""

    class Exact(eqx.Module):
        factor: float

        def __call__(self, u, data):
            theta = WORLD.parameters.to_constrained(u)
            return self.factor * (exact_posterior(theta, data) - WORLD.parameters.log_prob(theta))

    for contrast in (Binary(), Multiclass(candidates=5), Contrastive(candidates=5), Contrastive(candidates=1, gamma=3.0)):
        loss = jax.jit(NRELoss(WORLD.parameters, contrast))
        best, *others = (float(loss(Exact(f), truth.theta, truth.data, key=jax.random.key(0))) for f in (1.0, 0.5, 1.6))
        assert best < min(others)


def test_contrasts_that_cannot_be_are_refused(truth):
    for build in (lambda: Multiclass(candidates=1), lambda: Contrastive(candidates=0), lambda: Contrastive(gamma=0.0)):
        with pytest.raises(ConfigurationError):
            build()
    small = StoredSimulations(truth.theta[:100], truth.data[:100], batch_size=8)
    with pytest.raises(ConfigurationError, match="more than 10"):
        train_nre(
            WORLD.parameters, small, small, key=jax.random.key(0), classifier=CLASSIFIER, contrast=Contrastive(), max_epochs=1
        )


def test_flow_matching_solves_its_equation_in_few_steps():
    """Of a posterior of two narrow modes, against eight times as many steps."""
    space = ParameterSpace({"a": Parameter(dist.Uniform(-1.0, 1.0)), "b": Parameter(dist.Uniform(-1.0, 1.0))})
    theta = space.sample(jax.random.key(0), (3072,))
    data = jnp.abs(theta) + 0.1 * jax.random.normal(jax.random.key(1), theta.shape)
    source, held_out = (StoredSimulations(theta[part], data[part], batch_size=256) for part in (slice(512, None), slice(512)))
    width = {"width": 32, "blocks": 1}
    density = functools.partial(velocity_flow, **width)
    posterior, _ = train_fmpe(space, source, held_out, key=jax.random.key(2), density=density, max_epochs=60)
    many = density(2, 2, key=jax.random.key(0), steps=8 * posterior.density.flow.steps)
    arrays = jax.tree.leaves(eqx.filter(posterior.density, eqx.is_array))
    many = eqx.combine(jax.tree.unflatten(jax.tree.structure(eqx.filter(many, eqx.is_array)), arrays), many)
    observed = jnp.array([0.5, 0.4])
    few, exact = (jax.jit(functools.partial(d.sample, n=512))(jax.random.key(3), observed) for d in (posterior.density, many))
    assert abs(float(jnp.mean(few[:, 0] > 0)) - 0.5) < 0.2, "two modes, or nothing was tested"
    assert float(jnp.max(jnp.abs(few - exact) / exact.std(0))) < 0.005
    one, other = (jax.jit(jax.vmap(d.log_prob, in_axes=(0, None)))(exact, observed) for d in (posterior.density, many))
    assert float(jnp.max(jnp.abs(one - other))) < 0.02
