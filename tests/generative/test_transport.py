"""Transport between Gaussian fields, where it is known, and to a lognormal field, whose law at every parameter is known."""

import dataclasses
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import paramax
import pytest

from fullfield._core import ConfigurationError, DataError, load_module, save_module, ShapeError, stream
from fullfield.fields import FlatSky
from fullfield.generative import (
    CoupledSimulations,
    EqualSeeds,
    Euler,
    FlowMatchingLoss,
    Independent,
    MapsAlone,
    Midpoint,
    RungeKutta,
    train_transport,
    TransferFunction,
    Transport,
    Triangular,
)
from fullfield.generative.transfer import ring_means, ring_powers
from fullfield.networks import AbstractBranch
from fullfield.simulators import GaussianField, Noiseless, Simulations
from fullfield.training import cosine_adam


N = 8
FIELD = GaussianField(FlatSky(N, 5.0), pivot=2.0)
GAUSSIAN = Noiseless(FIELD)
BEND = 0.6  # of the lognormal field
TRUTHS = jnp.asarray([[0.5, 1.5], [1.5, 2.5], [1.0, 2.0]])
WIDTH = 32


class Rolled(AbstractBranch):
    """Three convolutions as products of matrices with shifted maps, which unoptimised programs of the tests make fast."""

    weights: tuple[jax.Array, ...]
    told: tuple[eqx.nn.Linear, ...]
    pooled_size: int = eqx.field(static=True, default=WIDTH)

    def __init__(self, shape, outputs, context, *, key):
        keys = jax.random.split(key, 5)
        sizes = [(9 * shape[-1], WIDTH), (9 * WIDTH, WIDTH), (9 * WIDTH, outputs)]
        self.weights = tuple(jax.random.normal(k, s) / np.sqrt(s[0]) for k, s in zip(keys, sizes, strict=False))
        self.weights = (*self.weights[:2], 0 * self.weights[2])
        self.told = tuple(eqx.nn.Linear(context, 2 * WIDTH, key=k) for k in keys[3:])
        self.pooled_size = WIDTH

    def _layer(self, i, x, context):
        near = jnp.concatenate([jnp.roll(x, (a, b), (0, 1)) for a in (-1, 0, 1) for b in (-1, 0, 1)], axis=-1)
        if i == 2:
            return near @ self.weights[2]
        scale, shift = jnp.split(self.told[i](context), 2)
        return jax.nn.silu((near @ self.weights[i]) * (1 + scale) + shift)

    def encode(self, maps, context):
        return self._layer(0, maps, context)

    def pool(self, hidden):
        return hidden.mean((0, 1))

    def decode(self, hidden, context):
        return self._layer(2, self._layer(1, hidden, context), context)


def other(theta):
    """Parameters of the costly field's spectrum."""
    amplitude, slope = theta[..., 0] - 1, theta[..., 1] - 2
    return jnp.stack([0.6 + 1.0 * amplitude - 0.6 * slope, 1.5 + 0.5 * slope - 0.3 * amplitude], axis=-1)


def bent(gaussian, variance):
    return (jnp.exp(BEND * gaussian - BEND**2 * variance / 2) - 1) / BEND


def gaussian_power(theta):
    """Power of the noiseless field on the full plane."""
    return (FIELD.power(theta) - 1).at[0, 0].set(0.0)


def lognormal_power(theta):
    correlation = jnp.fft.ifft2(gaussian_power(other(theta))).real
    return jnp.fft.fft2(jnp.expm1(BEND**2 * correlation) / BEND**2).real


def rings(power):
    return np.asarray(ring_means(power[:, : N // 2 + 1, None])[1:, 0])


@functools.partial(jax.jit, static_argnums=(1, 2))
def _suite(key, n, kind):
    theta = FIELD.parameters.sample(stream(key, "theta"), (n,))
    keys = jax.random.split(stream(key, "maps"), n)
    maps = jax.vmap(GAUSSIAN.simulate_at)(keys, theta if kind == "cheap" else other(theta))
    if kind == "lognormal":
        variance = jax.vmap(lambda one: jnp.sum(gaussian_power(other(one))) / N**2)(theta)
        maps = bent(maps, variance[:, None, None, None])
    return theta, maps


def suite(seed, n, kind):
    return Simulations(*_suite(jax.random.key(seed), n, kind))


def world(kind, coupling=None, n=4096, block=256):
    settings = {"batch_size": 128, "block": block}
    return CoupledSimulations(suite(1, n, "cheap"), suite(2, n, kind), coupling, **settings)


@eqx.filter_jit
def statistics(transport, theta, maps):
    carried = jax.vmap(transport, (None, 0))(theta, maps)
    return jax.vmap(ring_powers)(maps), jax.vmap(ring_powers)(carried), carried


def judged(transport):
    """Power in each ring over the truth, less one, and skewness over the truth's, of carried maps at each of the truths."""
    powers, skewness = [], []
    for theta in TRUTHS:
        maps = jax.vmap(GAUSSIAN.simulate_at, (0, None))(jax.random.split(jax.random.key(7), 512), theta)
        before, after, carried = statistics(transport, theta, maps)
        # The cheap maps' own fluctuation, which is known, is divided out.
        luck = before.mean(0)[1:, 0] / rings(gaussian_power(theta))
        powers.append(after.mean(0)[1:, 0] / luck / rings(lognormal_power(theta)) - 1)
        growth = np.exp(BEND**2 * float(jnp.sum(gaussian_power(other(theta)))) / N**2)
        carried = np.asarray(carried, float)
        skewness.append(np.mean(carried**3) / np.mean(carried**2) ** 1.5 / ((growth + 2) * np.sqrt(growth - 1)))
    return np.asarray(powers), np.asarray(skewness)


@pytest.fixture(scope="module")
def between_gaussians():
    return Transport.begun(world("gaussian"), key=jax.random.key(0), branch=Rolled)


def test_between_gaussian_fields_it_is_the_rescaling_of_modes(between_gaussians):
    cheap, costly = jax.vmap(between_gaussians.transfer.roots)(TRUTHS).transpose(1, 0, 2, 3)
    for found, wanted in ((cheap, TRUTHS), (costly, other(TRUTHS))):
        truth = np.stack([rings(gaussian_power(theta)) for theta in wanted])
        # 4096 maps with 4 to 40 modes in a ring, six coefficients: to 2 %, and twice that at a deviation from the mean.
        np.testing.assert_allclose(found[:, 1:, 0] ** 2 / truth, 1.0, atol=0.1)
    maps = suite(5, 1, "cheap").data[0]
    # The optimal map between such laws is √(P₁ / P₀), mode by mode.
    expected = np.fft.fft2(maps[..., 0]) * np.sqrt(gaussian_power(other(TRUTHS[0])) / gaussian_power(TRUTHS[0]).at[0, 0].set(1))
    found = np.fft.fft2(between_gaussians(TRUTHS[0], maps)[..., 0])
    assert np.linalg.norm(found - expected) < 0.05 * np.linalg.norm(expected)


@eqx.filter_jit
def remainder(transport, theta, maps, rescaled, key):
    """Slope of the wanted velocity against white maps, and how it changes with parameters: zero where the flow is known."""
    pair, data = tuple(jnp.split(theta, 2, axis=1)), tuple(jnp.split(maps, 2, axis=-1))
    t = jax.random.uniform(key, (len(theta),))
    if rescaled:
        data = jax.vmap(transport.moved)(t, pair, data)
    white, wanted = jax.vmap(transport.wanted)(t, pair, data)
    line = (1 - t[:, None]) * pair[0] + t[:, None] * pair[1]
    features = jnp.concatenate([jnp.ones((len(t), 1)), (line - jnp.asarray([1.0, 2.0])) / 0.5], axis=1)
    norm = jnp.einsum("nf,ng,n->fg", features, features, jnp.sum(white**2, axis=(1, 2, 3)))
    return jnp.linalg.solve(norm, features.T @ jnp.sum(white * wanted, axis=(1, 2, 3)))


def test_what_pairs_of_gaussian_fields_ask_of_the_network_is_nothing(between_gaussians):
    def asked(coupling, rescaled):
        # Blocks of 64, so that partners are 0.3 prior widths apart.
        settings = {"batch_size": 4096, "block": 64}
        pairs = CoupledSimulations(suite(1, 4096, "cheap"), suite(2, 4096, "gaussian"), coupling, **settings)
        theta, maps = next(pairs.shards(jax.random.key(1))).draw(jax.random.key(1), jnp.asarray(0, jnp.int32))
        return float(np.abs(remainder(between_gaussians, theta, maps, rescaled, jax.random.key(2))).max())

    exact = asked(Triangular(0.0), True)
    # 4096 · 64 modes, with velocities of about one: to 0.004 by chance, and spectra are right to 2 %.
    assert exact < 0.015
    blind = [asked(coupling, False) for coupling in (MapsAlone(), Independent())]
    assert min(blind) > 0.025, "of maps of other cosmologies another law would be learnt"


@pytest.fixture(scope="module")
def trained():
    return {type(coupling): train(coupling) for coupling in (Triangular(), MapsAlone())}


def train(coupling):
    held_out = CoupledSimulations(suite(3, 512, "cheap"), suite(4, 512, "lognormal"), coupling, batch_size=128, block=256)
    pairs = world("lognormal", coupling, n=2048)
    optimiser = cosine_adam(3e-3, 16 * pairs.steps_per_epoch)
    settings = {"branch": Rolled, "max_epochs": 16, "average": 0.99, "optimiser": optimiser}
    return train_transport(pairs, held_out, key=jax.random.key(0), **settings)[0]


def test_carried_maps_have_the_law_of_their_parameters_and_maps_alone_do_not_teach_it(trained):
    power, skewness = judged(trained[Triangular])
    # After 256 steps. Of 2048 lognormal maps and 512 tests, powers are known to 4 %; beyond the corner's ring ln P is no longer
    # quadratic in the parameters.
    assert np.sqrt(np.mean(power[:, :-1] ** 2)) < 0.1
    assert np.all(np.abs(power[:, :-1]) < 0.2)
    assert np.all(skewness > 0.45)
    assert np.all(skewness < 1.2)
    assert np.mean(skewness) > 0.65
    blind, _ = judged(trained[MapsAlone])
    assert np.sqrt(np.mean(blind[:, :-1] ** 2)) > 0.15, "partners of other cosmologies bias the spectra"


def test_a_transfer_function_mends_the_spectrum_alone(trained):
    transfer = TransferFunction.of_suites(suite(1, 2048, "cheap"), suite(2, 2048, "lognormal"))
    power, skewness = judged(transfer)
    assert np.sqrt(np.mean(power[:, :-1] ** 2)) < 0.08
    np.testing.assert_allclose(skewness, 0.0, atol=0.1)


def awake(transport, size=0.3):
    """The same with weights that begin as zero drawn at random."""
    arrays, rest = eqx.partition((transport.branch, transport.trunk), eqx.is_inexact_array)
    leaves, tree = jax.tree.flatten(arrays)
    keys = jax.random.split(jax.random.key(9), len(leaves))
    drawn = [
        leaf + size * jax.random.normal(k, leaf.shape) / np.sqrt(leaf.shape[0]) for k, leaf in zip(keys, leaves, strict=True)
    ]
    return eqx.tree_at(lambda t: (t.branch, t.trunk), transport, eqx.combine(jax.tree.unflatten(tree, drawn), rest))


@pytest.fixture(scope="module")
def tiny():
    """Maps of 4 x 4 pixels and two bins."""
    theta = jax.random.normal(jax.random.key(0), (2, 64, 1))
    maps = (
        jax.random.normal(jax.random.key(1), (2, 64, 4, 4, 2))
        * jnp.exp(theta * jnp.asarray([0.3, 0.6])[:, None, None])[..., None, None]
    )
    cheap, costly = (Simulations(theta[i], maps[i]) for i in range(2))
    return Transport.begun(CoupledSimulations(cheap, costly, batch_size=16), key=jax.random.key(2), branch=Rolled, width=16)


def test_of_a_linear_map_the_change_of_density_is_known(tiny):
    theta, maps = jnp.asarray([0.4]), jax.random.normal(jax.random.key(3), (4, 4, 2))
    carried, change = eqx.filter_jit(Transport.with_log_det)(tiny, theta, maps)
    np.testing.assert_allclose(carried, tiny.transfer(theta, maps), atol=1e-5)
    cheap, costly = (root[..., 0] for root in np.split(np.asarray(tiny.transfer.roots(theta))[..., None], 2))
    numbers = np.rint(np.hypot(*np.meshgrid(np.fft.fftfreq(4, 1 / 4), np.fft.fftfreq(4, 1 / 4)))).astype(int)
    assert float(change) == pytest.approx(np.log(costly / cheap)[0][numbers].sum(), abs=1e-3)
    assert abs(float(change)) > 0.5


def test_of_any_map_the_change_of_density_is_that_of_its_jacobian(tiny):
    theta, maps = jnp.asarray([0.4]), jax.random.normal(jax.random.key(3), (4, 4, 2))
    transport = awake(dataclasses.replace(tiny, integrator=RungeKutta(2), last=tiny.transfer), 0.8)
    carried, change = eqx.filter_jit(Transport.with_log_det)(transport, theta, maps)
    np.testing.assert_allclose(carried, transport(theta, maps), rtol=1e-4, atol=1e-5)
    flat = lambda x: transport(theta, x.reshape(maps.shape)).ravel()  # noqa: E731
    jacobian = eqx.filter_jit(jax.jacfwd(flat))(maps.ravel())
    truth = float(jnp.linalg.slogdet(jacobian)[1])
    # Steps of fourth order miss the integral of the trace by a per cent or two.
    trace = truth - float(2 * tiny.transfer.log_det(theta))
    assert abs(trace) > 0.1, "of a map that is all but linear it would say little"
    assert float(change) == pytest.approx(truth, abs=0.05 * abs(trace))


def test_the_way_back_leads_back(tiny):
    theta, maps = jnp.asarray([0.4]), jax.random.normal(jax.random.key(3), (4, 4, 2))
    misses = []
    for integrator in (RungeKutta(4), Euler(2)):
        transport = awake(dataclasses.replace(tiny, integrator=integrator, last=tiny.transfer))
        misses.append(float(jnp.abs(transport.inverse(theta, transport(theta, maps)) - maps).max()))
    assert misses[0] < 2e-3
    assert misses[1] > 10 * misses[0], "coarse steps do not find back"


@pytest.mark.parametrize(("kind", "order"), [(Euler, 1), (Midpoint, 2), (RungeKutta, 4)])
def test_integrators_have_their_order(kind, order):
    miss = lambda steps: abs(float(kind(steps).solve(lambda t, y: y * (1 + t), 1.0)) - np.exp(1.5))  # noqa: E731
    assert np.log2(miss(4) / miss(8)) == pytest.approx(order, abs=0.5)
    back = float(kind(4).solve(lambda t, y: y * (1 + t), np.exp(1.5), backwards=True))
    assert back == pytest.approx(1.0, abs=4 * miss(4) + 1e-6)


def test_from_equal_seeds_of_gaussian_fields_there_is_nothing_to_learn():
    cheap = suite(1, 512, "cheap")
    ratio = jax.vmap(lambda theta: jnp.sqrt(gaussian_power(other(theta)) / gaussian_power(theta).at[0, 0].set(1.0)))(
        cheap.theta
    )
    costly = jnp.fft.ifft2(jnp.fft.fft2(cheap.data[..., 0]) * ratio).real[..., None]
    losses = []
    for coupling in (EqualSeeds(), Independent()):
        pairs = CoupledSimulations(cheap, Simulations(cheap.theta, costly), coupling, batch_size=512)
        transport = Transport.begun(pairs, key=jax.random.key(0), branch=Rolled)
        theta, maps = next(pairs.shards(jax.random.key(1))).draw(jax.random.key(1), jnp.asarray(0, jnp.int32))
        losses.append(float(eqx.filter_jit(FlowMatchingLoss())(paramax.unwrap(transport), theta, maps, key=jax.random.key(2))))
    # Of 512 maps spectra are known to 3 %, velocities to half of that; of independent pairs 2 to 4 is their scatter.
    assert losses[0] < 0.02
    assert losses[1] > 1.0


def test_a_transport_is_written_and_read(tiny, tmp_path):
    transport = awake(dataclasses.replace(tiny, last=tiny.transfer))
    save_module(tmp_path / "transport", transport)
    again = load_module(tmp_path / "transport", dataclasses.replace(tiny, last=tiny.transfer))
    theta, maps = jnp.asarray([0.4]), jnp.ones((4, 4, 2))
    np.testing.assert_array_equal(again(theta, maps), transport(theta, maps))


@pytest.mark.usefixtures("unchecked")
def test_what_cannot_be_carried_is_refused_in_words(tiny):
    with pytest.raises(ShapeError, match="learnt from"):
        tiny(jnp.asarray([0.4]), jnp.ones((8, 8, 2)))
    few = suite(1, 10, "cheap")
    with pytest.raises(DataError, match="Simulate more"):
        Transport.begun(CoupledSimulations(few, few, batch_size=4), key=jax.random.key(0))
    with pytest.raises(ConfigurationError, match="steps"):
        Midpoint(0)
