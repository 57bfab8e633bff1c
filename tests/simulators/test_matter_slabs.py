"""Slabs of a box against the mass that it has and what linear theory says of their means."""

import jax
import jax.numpy as jnp
import numpy as np

from fullfield.simulators import MatterSlabs


THETA = np.array([0.3, 0.8], np.float32)


def boxes(n):
    model = MatterSlabs(32)
    return np.asarray(jax.jit(jax.vmap(model.simulate_at, (0, None)))(jax.random.split(jax.random.key(1), n), THETA), float)


def test_slabs_of_each_axis_hold_the_mass_of_the_box():
    maps = boxes(20)
    assert maps.shape == (20, 15, 32, 32)
    assert maps.min() > 0
    np.testing.assert_allclose(maps.reshape(20, 3, -1).mean(axis=-1), 0.3 * 2.775e11 * 5, rtol=1e-4)


def test_means_of_slabs_vary_as_linear_theory_says():
    means = np.log(boxes(400).mean(axis=(2, 3))).reshape(-1, 5)
    found = ((means - means.mean(axis=1, keepdims=True)) ** 2).sum() / means.size
    # 4800 independent numbers know a variance to 2 %.
    expected = float(MatterSlabs(32).variance(jnp.asarray(THETA)))
    assert abs(found / expected - 1) < 0.1
    assert abs(0.8 * found / expected - 1) > 0.1, "the mean of five taken out and its variance not given back"


def test_variance_is_that_of_segments_of_a_periodic_line():
    model, fine = MatterSlabs(32), 2000
    side = 25 / 0.6711
    k = 2 * np.pi * np.fft.fftfreq(fine, side / fine)
    power = np.zeros(fine)
    power[1:] = np.asarray(model.overdensity.power(jnp.asarray(THETA), np.abs(k[1:]))) / side**2
    line = np.fft.fft(power).real  # covariance of points at a distance, of the mean over the plane across
    lags = np.subtract.outer(np.arange(fine // 5), np.arange(fine // 5))
    np.testing.assert_allclose(model.variance(jnp.asarray(THETA)), line[np.abs(lags)].mean(), rtol=2e-3)
