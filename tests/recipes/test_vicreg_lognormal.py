"""The comparison on lognormal maps: its exact posterior, and the maps that its networks take."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.special import logsumexp

from fullfield._core import ConfigurationError
from fullfield._core.progress import silent
from fullfield.recipes import RECIPES
from fullfield.recipes.artefacts import read_arrays
from fullfield.recipes.vicreg_lognormal_measure import _exact, NODES
from fullfield.recipes.vicreg_maps import MapBench


SETTINGS = {"pixels": 16, "cosmologies": 200, "views": 2, "generator": "real-amplitude"}


@eqx.filter_jit
def likelihoods(model, thetas, data):
    return jax.lax.map(lambda theta: model.log_likelihood(theta, data), thetas, batch_size=64)


def test_the_exact_loss_is_the_density_at_the_truth_and_not_an_entropy(tmp_path):
    bench = MapBench(RECIPES["vicreg-lognormal"].configure(SETTINGS))
    found = _exact(bench, tmp_path, silent)
    theta, logs = bench.views("test")
    bounds = bench.model.parameters.bounds
    axes = [low + (np.arange(NODES) + 0.5) * (high - low) / NODES for low, high in bounds]
    grid = jnp.asarray(np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2), jnp.float32)
    cell = np.prod([(high - low) / NODES for low, high in bounds])
    losses, means = [], []
    for truth, data in zip(theta[:4].repeat(2, axis=0), np.expm1(logs[:4]).reshape(8, 16, 16, 1), strict=True):
        values = likelihoods(bench.model, jnp.concatenate([grid, truth[None]]), jnp.asarray(data))
        losses.append(float(logsumexp(values[:-1]) + jnp.log(cell) - values[-1]))
        means.append(jax.nn.softmax(values[:-1]) @ grid)
    tested = read_arrays(tmp_path / "test.npz")
    np.testing.assert_allclose(tested["mean"][:8], means, atol=2e-4)
    np.testing.assert_allclose(tested["log_prob"][:8], -np.array(losses), atol=5e-3)
    assert found.values["loss"] == pytest.approx(-tested["log_prob"].mean())


@pytest.mark.parametrize("recipe", ["vicreg-lognormal", "vicreg-fisher", "vicreg-sequential"])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pixels": 36}, "multiple of 8 or of 10"),
        ({"pixels": 33}, "multiple of 8 or of 10"),
        ({"pixels": 200, "network": "published"}, "pixels=100 alone"),
    ],
)
def test_pixels_that_the_network_cannot_take_are_refused_at_once(recipe, settings, message):
    with pytest.raises(ConfigurationError, match=message):
        RECIPES[recipe].configure(settings)


@pytest.mark.parametrize("pixels", [24, 30])
def test_pixels_that_are_not_refused_are_taken(pixels):
    compressor = MapBench(RECIPES["vicreg-lognormal"].configure({"pixels": pixels})).blank()
    assert compressor(jnp.ones((pixels, pixels, 1))).shape == (16,)
