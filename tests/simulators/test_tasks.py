"""What every task must do: each line of the registry is a battery of tests."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield._core import digest
from fullfield.simulators.tasks import AbstractTask, TASKS


SHAPES = {
    "two_moons": (2, 2),
    "slcp": (5, 8),
    "gaussian_linear": (10, 10),
    "gaussian_mixture": (2, 2),
    "bernoulli_glm": (10, 10),
    "lotka_volterra": (4, 20),
    "sir": (2, 10),
    "lotka_volterra_latent": (4, 20),
}
NODES, WEIGHTS = np.polynomial.legendre.leggauss(6)


@pytest.fixture(scope="module", params=TASKS)
def task(request):
    """Name, model, and 1000 draws of the prior with the latents, data and scores simulated there."""
    model = TASKS[request.param]()
    theta = model.parameters.sample(jax.random.key(1), (1000,))

    @jax.jit
    @jax.vmap
    def simulate(key, theta):
        latents, data = model.simulate_with_latents(key, theta)
        return latents, data, model.score(theta, latents, data)

    return request.param, model, theta, *simulate(jax.random.split(jax.random.key(2), 1000), theta)


def test_shapes_types_and_finite_numbers(task):
    name, model, theta, latents, data, score = task
    assert (theta.shape[1], data.shape[1]) == SHAPES[name]
    assert model.data_shape == data.shape[1:]
    assert data.dtype == score.dtype == jnp.float32
    assert bool(jnp.all(jnp.isfinite(data)))
    assert bool(jnp.all(jnp.isfinite(score)))
    assert bool(jnp.all(jnp.std(data, axis=0) > 0)) or name == "sir"  # on its first day one in a million is infected
    assert (not latents) == isinstance(model, AbstractTask)
    assert digest(model) == digest(TASKS[name]())


def test_jit_is_eager_and_vmap_is_loop(task):
    _, model, theta, _, data, _ = task
    keys = jax.random.split(jax.random.key(2), 1000)
    together = jax.jit(jax.vmap(model.simulate_at))(keys[:3], theta[:3])
    np.testing.assert_allclose(together, data[:3], rtol=2e-5, atol=2e-6)
    np.testing.assert_allclose(model.simulate_at(keys[0], theta[0]), data[0], rtol=2e-5, atol=2e-6)


def test_mean_score_is_zero(task):
    # E[∂ log p / ∂ θ] = 0 for data of the model at any θ. Sixty z-scores within 4.5; the heavy tails of SLCP's scores, which
    # grow like 1/θ, are tamed by the weight θ, of which the identity knows nothing.
    _, _, theta, _, _, score = task
    weighted = np.asarray(score * theta)
    assert np.abs(weighted.mean(0) / weighted.std(0) * np.sqrt(1000)).max() < 4.5
    shifted = np.asarray((score + 0.3 * score.std(0)) * jnp.abs(theta))
    assert np.abs(shifted.mean(0) / shifted.std(0) * np.sqrt(1000)).max() > 4.5


def test_score_integrates_to_the_change_of_log_density(task):
    # Finite differences lose their digits in single precision; the integral of the score along a finite step does not.
    name, model, theta, latents, data, score = task
    step = 0.1 * theta if name in ("lotka_volterra", "sir", "lotka_volterra_latent") else jnp.full_like(theta, 0.02)
    size = jnp.minimum(1.0, 2.0 / jnp.abs(jnp.sum(step * score, axis=1, keepdims=True)))
    step = (step * size)[:20]

    @jax.jit
    @jax.vmap
    def both(theta, step, latents, data):
        points = theta + 0.5 * (1 + jnp.asarray(NODES, jnp.float32)[:, None]) * step
        scores = jax.vmap(model.score, (0, None, None))(points, latents, data)
        ends = jax.vmap(lambda t: model.log_joint(t, latents, data) - model.parameters.log_prob(t))(
            jnp.stack([theta, theta + step])
        )
        return 0.5 * jnp.asarray(WEIGHTS, jnp.float32) @ scores @ step, ends[1] - ends[0], jnp.max(jnp.abs(ends))

    few = jax.tree.map(lambda x: x[:20], (latents, data))
    integral, change, level = both(theta[:20], step, *few)
    # Where two moons fold at θ₁ + θ₂ = 0, or a point leaves its half ring, the density has an edge.
    smooth = np.isfinite(np.asarray(change)) & ((name != "two_moons") | (np.abs(np.asarray(theta[:20]).sum(1)) > 0.1))
    assert smooth.sum() > 12
    assert np.abs(np.asarray(change))[smooth].max() > 0.05
    np.testing.assert_allclose(integral[smooth], change[smooth], rtol=2e-3, atol=2e-3 + 1e-6 * float(jnp.max(level[smooth])))


def test_likelihood_ratio_has_mean_one(task):
    # E over x ~ p(x|θ) of p(x|θ')/p(x|θ) = 1: simulator and density agree, normalisation included. One z-score of each task
    # within 4.5. With the log likelihood divided by 1.15², as for noise 15 % wider, the mean ratio is another.
    name, model, _, _, _, _ = task
    if not isinstance(model, AbstractTask):
        pytest.skip("its likelihood is an integral over the latents")
    theta = {"slcp": jnp.asarray([0.7, -0.5, 1.2, 1.5, 0.4]), "two_moons": jnp.asarray([0.3, 0.2])}.get(
        name, model.parameters.fiducial + 0.3 * (name == "bernoulli_glm")
    )

    @jax.jit
    def ratios(key):
        data = jax.vmap(model.simulate_at, (0, None))(jax.random.split(key, 4000), theta)
        score = jax.vmap(model.score, (None, None, 0))(theta, {}, data)
        # One posterior width along the direction best measured, with two moons a fifth, since their likelihood has edges.
        information, directions = jnp.linalg.eigh(score.T @ score / 4000)
        there = theta + (0.2 if name == "two_moons" else 1.0) * directions[:, -1] / jnp.sqrt(information[-1])
        return tuple(jax.vmap(model.log_likelihood, (None, 0))(t, data) for t in (there, theta))

    there, here = (np.asarray(value, float) for value in ratios(jax.random.key(5)))
    assert np.isfinite(here).all()

    def pull(change):
        ratio = np.exp(change)
        return (ratio.mean() - 1) / ratio.std() * np.sqrt(4000)

    assert abs(pull(there - here)) < 4.5
    if name != "two_moons":  # too small a step for the twin
        assert pull((there - here) / 1.15**2) < -3
