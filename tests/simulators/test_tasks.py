"""What every task must do: each line of the registry is a battery of tests."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield._core import digest, load_module, save_module
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
    """Name, model, what simulates 1000 data sets, and 1000 draws of the prior with latents, data and scores."""
    model = TASKS[request.param]()
    theta = model.parameters.sample(jax.random.key(1), (1000,))

    @jax.jit
    @jax.vmap
    def simulate(key, theta):
        latents, data = model.simulate_with_latents(key, theta)
        return latents, data, model.score(theta, latents, data)

    return request.param, model, simulate, theta, *simulate(jax.random.split(jax.random.key(2), 1000), theta)


def test_shapes_types_and_finite_numbers(task):
    name, model, _, theta, latents, data, score = task
    assert (theta.shape[1], data.shape[1]) == SHAPES[name]
    assert model.data_shape == data.shape[1:]
    assert data.dtype == score.dtype == jnp.float32
    assert bool(jnp.all(jnp.isfinite(data)))
    assert bool(jnp.all(jnp.isfinite(score)))
    assert bool(jnp.all(jnp.std(data, axis=0) > 0)) or name == "sir"  # on its first day one in a million is infected
    assert (not latents) == isinstance(model, AbstractTask)
    assert digest(model) == digest(TASKS[name]())


def test_jit_is_eager_and_vmap_is_loop(task):
    _, model, _, theta, _, data, _ = task
    # Data were made with both, beside their latents.
    key = jax.random.split(jax.random.key(2), 1000)[0]
    np.testing.assert_allclose(model.simulate_at(key, theta[0]), data[0], rtol=2e-5, atol=2e-6)


def test_tasks_survive_the_disk(task, tmp_path):
    name, model, *_ = task
    save_module(tmp_path / "task", model)
    assert digest(load_module(tmp_path / "task", TASKS[name]())) == digest(model)


def test_mean_score_is_zero(task):
    # E[∂ log p / ∂ θ] = 0 for data of the model at any θ. Sixty z-scores within 4.5; the heavy tails of SLCP's scores, which
    # grow like 1/θ, are tamed by the weight θ, of which the identity knows nothing.
    _, _, _, theta, _, _, score = task
    weighted = np.asarray(score * theta)
    assert np.abs(weighted.mean(0) / weighted.std(0) * np.sqrt(1000)).max() < 4.5
    shifted = np.asarray((score + 0.3 * score.std(0)) * jnp.abs(theta))
    assert np.abs(shifted.mean(0) / shifted.std(0) * np.sqrt(1000)).max() > 4.5


def test_score_integrates_to_the_change_of_log_density(task):
    # Finite differences lose their digits in single precision; the integral of the score along a finite step does not.
    name, model, _, theta, latents, data, score = task
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
    name, model, simulate, *_ = task
    if not isinstance(model, AbstractTask):
        pytest.skip("its likelihood is an integral over the latents")
    theta = {"slcp": jnp.asarray([0.7, -0.5, 1.2, 1.5, 0.4]), "two_moons": jnp.asarray([0.3, 0.2])}.get(
        name, model.parameters.fiducial + 0.3 * (name == "bernoulli_glm")
    )

    samples = [
        simulate(jax.random.split(jax.random.key(5 + i), 1000), jnp.broadcast_to(theta, (1000, theta.size))) for i in range(4)
    ]
    data, score = (jnp.concatenate([sample[part] for sample in samples]) for part in (1, 2))
    # One posterior width along the direction best measured; with two moons a fifth, since their likelihood has edges.
    information, directions = np.linalg.eigh(np.asarray(score.T @ score, np.float64) / len(data))
    offset = (0.2 if name == "two_moons" else 1.0) * directions[:, -1] / np.sqrt(information[-1])
    evaluate = jax.jit(jax.vmap(jax.vmap(model.log_likelihood, (None, 0)), (0, None)))
    here, there = np.asarray(evaluate(jnp.stack([theta, theta + offset.astype(np.float32)]), data), np.float64)
    assert np.isfinite(here).all()

    def pull(change):
        ratio = np.exp(change)
        return (ratio.mean() - 1) / ratio.std() * np.sqrt(4000)

    assert abs(pull(there - here)) < 4.5
    if name != "two_moons":  # too small a step for the twin
        assert pull((there - here) / 1.15**2) < -3
