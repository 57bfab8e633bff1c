"""Every stage of the linear-Gaussian recipe against its exact answer."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from fullfield._core import full_precision, stream
from fullfield.diagnostics import c2st, merge, Number, Report
from fullfield.recipes.linear_gaussian import LinearGaussianConfiguration
from fullfield.recipes.problem import Outcome, Problem, read_observation
from fullfield.simulators import LinearGaussian


C2ST_DRAWS = 10_000


def linear_gaussian_problem(configuration: LinearGaussianConfiguration) -> Problem:
    """The linear-Gaussian model, its exact posterior, and the comparison of every stage."""
    settings = configuration.model
    model = LinearGaussian(
        settings.data, settings.parameters, settings.latent_scale, settings.noise_scale, settings.correlation_length
    )

    def exact(key, data, n):
        mean, covariance = model.posterior(data)
        return jax.random.multivariate_normal(key, mean, covariance, (n,))

    def examine(outcome: Outcome) -> Report:
        return _compare(model, configuration, outcome, exact)

    observation = None if configuration.observation is None else read_observation(configuration.observation)
    return Problem(model, observation=observation, exact=exact, examine=examine)


def _compare(model, configuration, outcome, exact):
    bars, key = configuration.bars, stream(jax.random.key(configuration.seed), "exact")
    n = min(C2ST_DRAWS, len(outcome.draws))
    draws = np.asarray(exact(stream(key, "draws"), jnp.asarray(outcome.observation), n))
    numbers = (
        Number("exact/score", _score_error(model, key), bar="<= 0.001"),
        *_held_out(model, outcome, bars),
        _evidence(model, outcome, bars.evidence),
    )
    compared = c2st(outcome.draws[:n], draws, name="exact/c2st", bar=f"<= {bars.c2st:g}", key=stream(key, "c2st"))
    return merge((Report(numbers), compared))


def _score_error(model: LinearGaussian, key: jax.Array) -> float:
    """Largest error of the automatic score, in units of its deviation.

    The joint score is linear in the latents z, so that at their mean given data and parameters, s Lᵀ C⁻¹ (x - A θ), it equals
    the marginal score.
    """
    simulations = model.simulate(stream(key, "score"), 64)

    @eqx.filter_jit
    @full_precision
    def both(theta, data):
        mean = model.latent_scale * model.latent_root.T @ jnp.linalg.solve(model.covariance, data - model.response @ theta)
        return model.score(theta, {"z": mean}, data), model.marginal_score(theta, data)

    automatic, closed = jax.vmap(both)(simulations.theta, simulations.data)
    return float(jnp.max(jnp.abs(automatic - closed) / jnp.std(closed, axis=0)))


def _held_out(model, outcome, bars):
    """Information, means and deviations of the posterior at held-out simulations against the exact ones.

    Truths lie, on average, E log q / p below their exact log density p: minus the information lost on the way through summary
    and posterior. The difference is taken truth by truth, so that the scatter of the truths themselves drops out.
    """
    held_out = outcome.held_out
    data = jnp.asarray(outcome.store().read("data", "calibration"))
    means, covariances = jax.jit(jax.vmap(model.posterior))(data)
    exact = jax.jit(jax.vmap(jax.scipy.stats.multivariate_normal.logpdf))(jnp.asarray(held_out.truths), means, covariances)
    information = float(model.mutual_information())
    gained = 1 + (held_out.log_prob_truths - np.asarray(exact)) / information
    deviations = np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
    offset = (held_out.draws.mean(axis=1) - np.asarray(means)) / deviations
    ratio = held_out.draws.std(axis=1) / deviations
    low, high = 1 - bars.width, 1 + bars.width
    return (
        Number("exact/information", float(gained.mean()), _error(gained), bar=f">= {bars.information:g}"),
        Number("exact/mean", float(np.sqrt(np.mean(offset**2))), bar=f"<= {bars.mean:g}"),
        Number("exact/width", float(np.mean(ratio)), _error(ratio), bar=f"in [{low:g}, {high:g}]"),
    )


def _error(values: np.ndarray) -> float:
    return float(np.std(values) / values.size**0.5)


def _evidence(model, outcome, bar):
    """Log evidence from the posterior, log p(θ) + log p(x | θ) - log q(θ | x) at its draws, against the exact one."""
    data, theta = jnp.asarray(outcome.observation), jnp.asarray(outcome.draws[:500])

    @eqx.filter_jit
    @full_precision
    def estimate(theta, data, posterior):
        residual = data - model.response @ theta
        likelihood = jax.scipy.stats.multivariate_normal.logpdf(residual, jnp.zeros(model.n_data), model.covariance)
        return model.parameters.log_prob(theta) + likelihood - posterior.log_prob(theta, data)

    estimates = np.asarray(eqx.filter_vmap(estimate, in_axes=(0, None, None))(theta, data, outcome.posterior))
    error = float(np.median(estimates)) - float(model.log_evidence(data))
    return Number("exact/evidence", abs(error), _error(estimates), bar=f"<= {bar:g}")
