"""The learnt mass map against the exact posterior mean of a Gaussian field, which is the Wiener filter's.

Error budget: test errors are means over 256 maps of 256 pixels seen by both estimates, so that their ratio is known to about
half a percent; keys are fixed.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from fullfield._core import DataError, ShapeError
from fullfield.datasets import OnlineSimulations
from fullfield.fields import FlatSky, gaussian_field, KaiserSquires, normal, power_root, shear_of, WienerFilter
from fullfield.generative import Observed, train_mass_map
from fullfield.networks import UNet
from fullfield.parameters import Parameter, ParameterSpace
from fullfield.simulators import BlackBoxModel
from fullfield.training import cosine_adam


N = 16
SKY = FlatSky(N, 5.0)
SPACE = ParameterSpace({"unused": Parameter(dist.Normal(0.0, 1.0))})


def power():
    """Signal over noise from 20 down to 0.2."""
    m = N // 2 + 1
    mode = np.hypot(*np.indices((m, m)))
    pixel = (SKY.side_radians / N) ** 2
    return jnp.asarray(np.where(mode > 0, np.maximum(mode, 1) ** -2.0, 0.0)[None] * 20 * 0.02**2 * pixel, jnp.float32)


def noise():
    """Deviations that vary from pixel to pixel, with a hole."""
    y, x = np.indices((N, N))
    sigma = 0.02 * np.exp(0.3 * np.random.default_rng(0).normal(size=(N, N)))
    return np.where(np.hypot(y - 5, x - 5) < 2.5, np.inf, sigma).astype(np.float32)[..., None]


def convergence(key, theta):
    return jnp.moveaxis(gaussian_field(SKY, power_root(power()), normal(key, (1, N, N))), 0, -1)


@pytest.fixture(scope="module")
def trained():
    model, observed = BlackBoxModel(convergence, SPACE), Observed(noise())
    network = UNet((N, N, 2), 1, key=jax.random.key(1), widths=(16, 24), blocks=1)
    return train_mass_map(
        network,
        noise(),
        OnlineSimulations(model, 8, 150, observed),
        OnlineSimulations(model, 200, 1, observed),
        key=jax.random.key(2),
        optimiser=cosine_adam(2e-2, 450),
        max_epochs=3,
        average=0.98,
    )


@pytest.fixture(scope="module")
def unseen():
    """Shear and convergence of fields that training never saw."""
    observed = Observed(noise())

    @jax.jit
    @jax.vmap
    def observe(key):
        field, own = jax.random.split(key)
        return observed(own, jnp.zeros(1), convergence(field, None))

    data = observe(jax.random.split(jax.random.key(9), 256))
    return data[..., :2], data[..., 2]


def error(estimate, unseen):
    shear, truth = unseen
    return float(jnp.mean((jax.lax.map(estimate, shear, batch_size=64) - truth) ** 2))


def test_it_nears_the_exact_posterior_mean(trained, unseen):
    learnt, history = trained
    exact = error(WienerFilter(SKY, power(), noise()), unseen)
    best_smoothing = min(error(KaiserSquires(SKY, width), unseen) for width in (15.0, 20.0, 25.0, 30.0))
    ratio = error(learnt, unseen) / exact
    assert 0.995 < ratio < 1.1
    assert best_smoothing / exact > 1.15, "the bar says something"
    variance = float(jnp.var(unseen[1]))
    assert history.best == pytest.approx(error(learnt, unseen) / variance, rel=0.06)  # 200 maps held out: 4 % from map to map


def test_without_training_it_says_zero(trained, unseen):
    learnt, _ = trained
    blank = UNet((N, N, 2), 1, key=jax.random.key(1), widths=(16, 24), blocks=1)
    assert not np.any(eqx.tree_at(lambda m: m.network, learnt, blank)(unseen[0][0]))


def test_observed_shear_is_that_of_the_convergence_plus_its_noise():
    # 400 draws: a pixel's mean is known to a twentieth of its deviation, a variance to 7 %; five of each for 512 numbers.
    kappa, sigma = convergence(jax.random.key(3), None), noise()
    observed = Observed(sigma)
    data = np.asarray(jax.vmap(lambda key: observed(key, jnp.zeros(1), kappa))(jax.random.split(jax.random.key(4), 400)))
    seen = np.isfinite(sigma[..., 0])
    np.testing.assert_array_equal(data[..., 2], np.broadcast_to(kappa, data.shape[:-1]))
    assert not data[:, ~seen, :, :2].any()
    pulls = ((data[..., :2] - shear_of(kappa)) / sigma[..., None])[:, seen]
    assert np.abs(pulls.mean(0)).max() < 5 / 20
    assert np.abs(pulls.var(0) - 1).max() < 5 * np.sqrt(2 / 400)


def test_the_network_sees_the_shear_through_a_sufficient_statistic(trained, unseen):
    # B modes of weighted shear hold nothing on the convergence; nor do pixels without weight.
    learnt, _ = trained
    shear = unseen[0][0]
    for value in (7.0, jnp.nan):
        hidden = jnp.where(jnp.isfinite(jnp.asarray(noise()))[..., None], shear, value)
        np.testing.assert_allclose(learnt(hidden), learnt(shear), atol=1e-6)
    with pytest.raises(DataError, match="in observed pixels"):
        learnt(shear.at[0, 0].set(jnp.nan))


def test_other_data_are_refused(unchecked):
    model, network = BlackBoxModel(convergence, SPACE), UNet((N, N, 2), 1, key=jax.random.key(1), widths=(4, 4), blocks=1)
    plain = OnlineSimulations(model, 4, 1)
    with pytest.raises(ShapeError, match="augment=Observed"):
        train_mass_map(network, noise(), plain, plain, key=jax.random.key(0))
    dull = OnlineSimulations(model, 4, 1, lambda key, theta, data: jnp.zeros((N, N, 1, 3)))
    with pytest.raises(DataError, match="vary in each bin"):
        train_mass_map(network, noise(), dull, dull, key=jax.random.key(0))
