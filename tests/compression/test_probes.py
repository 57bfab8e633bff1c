"""Maps of combined probes, brought to order one."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield._core import ConfigurationError
from fullfield.compression import LARGE_SCALES, ScaledProbes, SMALL_SCALES
from fullfield.cosmology import even_shells
from fullfield.fields import FlatSky, smoothed
from fullfield.simulators import CombinedProbes, stage3_bins


def test_scaled_maps_are_of_order_one_and_smoothed():
    model = CombinedProbes(FlatSky(32, 5.0), even_shells(stage3_bins(100), 1.75, 8))
    maps = eqx.filter_jit(model.simulate_at)(jax.random.key(0), model.parameters.fiducial)
    plain = ScaledProbes(model.sky, model.galaxies, 0.4, widths=((0.0,) * 4, (0.0,) * 4))(maps)
    noise = 0.4 / np.sqrt(model.galaxies)
    np.testing.assert_allclose(plain[..., :4], maps[..., :4] / np.sqrt(0.005**2 + noise**2), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(plain[..., 4:], maps[..., 4:] / model.galaxies - 1, rtol=1e-4, atol=1e-5)
    assert 0.3 < float(plain.std()) < 3
    large, small = (ScaledProbes(model.sky, model.galaxies, 0.4, widths=w)(maps) for w in (LARGE_SCALES, SMALL_SCALES))
    np.testing.assert_allclose(large, smoothed(model.sky, plain, LARGE_SCALES[0] + LARGE_SCALES[1]), atol=1e-5)
    assert (np.std(large, axis=(0, 1)) < np.std(plain, axis=(0, 1))).all()
    assert (np.std(large, axis=(0, 1))[4:] < np.std(small, axis=(0, 1))[4:]).all()


def test_probes_are_taken_alone_and_unknown_ones_refused():
    sky, maps = FlatSky(8, 5.0), jax.random.normal(jax.random.key(0), (8, 8, 8))
    both = ScaledProbes(sky, 50.0, 0.4)(maps)
    np.testing.assert_array_equal(ScaledProbes(sky, 50.0, 0.4, probes=("lensing",))(maps), both[..., :4])
    np.testing.assert_array_equal(ScaledProbes(sky, 50.0, 0.4, probes=("clustering",))(maps), both[..., 4:])
    for probes in ((), ("lensing", "shear")):
        with pytest.raises(ConfigurationError, match="probes: expected lensing, clustering or both"):
            ScaledProbes(sky, 50.0, 0.4, probes=probes)


def test_unobserved_pixels_are_zero_and_darken_nothing():
    mask = np.ones((16, 16), bool)
    mask[:5] = False
    model = CombinedProbes(FlatSky(16, 5.0), even_shells(stage3_bins(100), 1.75, 4), mask=mask)
    maps = eqx.filter_jit(model.simulate_at)(jax.random.key(0), model.parameters.fiducial)
    scaled = ScaledProbes(model.sky, model.galaxies, 0.4, mask=model.mask)
    found = np.asarray(scaled(maps))
    assert (found[~mask] == 0).all()
    assert (found[mask] != 0).all()
    # Twice as many galaxies everywhere are a contrast of one at the edges, too; unobserved pixels do not count as empty.
    counts = scaled(jnp.concatenate([jnp.zeros((16, 16, 4)), jnp.full((16, 16, 4), 2 * model.galaxies)], axis=-1))[..., 4:]
    np.testing.assert_allclose(np.asarray(counts)[mask], 1.0, rtol=1e-4)
