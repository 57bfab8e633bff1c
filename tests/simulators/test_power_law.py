"""The broken power law."""

import jax
import jax.numpy as jnp
import numpy as np

from fullfield.simulators import BrokenPowerLaw


def test_power_is_continuous_and_of_both_slopes():
    model, theta = BrokenPowerLaw(), jnp.array([0.6, -0.4, 0.25])
    k, power = model.wavenumbers, np.asarray(model.power(theta))
    np.testing.assert_allclose(k[[0, -1]], [0.021, 0.994])
    slopes = np.diff(np.log(power)) / np.diff(np.log(k))
    below, above = slopes[k[1:] <= 0.5], slopes[k[:-1] > 0.5]
    np.testing.assert_allclose(below, -0.4, atol=1e-3)
    np.testing.assert_allclose(above, 0.25, atol=1e-3)
    np.testing.assert_allclose(power[0], 0.6 * 0.021**-0.4, rtol=1e-5)


def test_likelihood_has_the_cosmic_variance():
    model, theta = BrokenPowerLaw(), jnp.array([0.3, -0.2, 0.1])
    data = jax.vmap(lambda key: model.simulate_at(key, theta))(jax.random.split(jax.random.key(0), 4000))
    scatter = np.asarray(jnp.std(data, axis=0) / model.power(theta))
    # k_F = 7e-3 and k = 3 k_F: 4π 9 modes.
    np.testing.assert_allclose(scatter * np.sqrt(2 * np.pi) * np.arange(3, 143), 1.0, atol=0.06)
