"""Fields on a periodic plane: their power, and how much of it each way of drawing modes lets one learn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield._core import ConfigurationError
from fullfield.fields import GaussianModes, Plane, RealAmplitudeModes


PLANE = Plane(16, 160.0)


def many(modes, n=4000):
    power = jnp.asarray(1 / (1 + PLANE.wavenumbers * 30), jnp.float32)
    fields = jax.vmap(lambda key: PLANE.field(modes.draw(key, 16), power))(jax.random.split(jax.random.key(0), n))
    return jax.vmap(PLANE.power)(fields) / power


# Means over 4000 fields: 1.6 % for a power of two degrees of freedom, 2.2 % for one of one; five of these over 100 modes.
@pytest.mark.parametrize(("modes", "freedom"), [(GaussianModes(), 2), (RealAmplitudeModes(), 1)])
def test_modes_have_unit_power_and_their_degrees_of_freedom(modes, freedom):
    relative = np.asarray(many(modes))
    inner = relative[:, 1:8, 1:8]
    np.testing.assert_allclose(inner.mean(axis=0), 1, atol=0.11)
    assert inner.mean() == pytest.approx(1, abs=0.02)
    # The variance over the mean squared is two over the degrees of freedom, here of 200 000 numbers.
    assert np.mean(inner.var(axis=0) / inner.mean(axis=0) ** 2) == pytest.approx(2 / freedom, rel=0.06)


def test_at_the_nyquist_frequency_one_of_them_has_half_the_power():
    for modes, share in ((GaussianModes(), 1.0), (RealAmplitudeModes(), 0.5)):
        relative, shares = np.asarray(many(modes)), modes.share(16)
        assert relative[:, 8, 1:8].mean() == pytest.approx(share, abs=0.05)
        # Each of 255 modes is known to 2.2 %.
        np.testing.assert_allclose((relative.mean(axis=0) / shares).ravel()[1:], 1, atol=0.13)


def test_degrees_of_freedom_are_as_many_as_independent_numbers():
    assert GaussianModes().freedom(100).sum() == 100**2 - 1
    assert RealAmplitudeModes().freedom(100).sum() == 5001  # the half plane, 5002, but its mean


def test_wavenumbers_and_power_keep_the_convention_of_volume():
    x = np.arange(16) * 10.0
    wave = jnp.asarray(np.broadcast_to(np.cos(2 * np.pi * 3 * x / 160.0), (16, 16)), jnp.float32)
    assert PLANE.wavenumbers[0, 3] == pytest.approx(2 * np.pi * 3 / 160.0)
    # A cosine of unit amplitude has two modes of L² / 4 each.
    assert PLANE.power(wave)[0, 3] == pytest.approx(160.0**2 / 4, rel=1e-4)


@pytest.mark.parametrize(("arguments", "message"), [((15, 1.0), "even"), ((16, 0.0), "positive")])
def test_impossible_planes_are_refused(arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        Plane(*arguments)
