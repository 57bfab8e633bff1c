import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from fullfield._core import ConfigurationError, DataError, ShapeError, stream
from fullfield.datasets import StoredSimulations
from fullfield.fields import FlatSky, gaussian_field, root_on_plane, ShearMaps, unitary_hartley
from fullfield.generative import (
    Adams,
    Colour,
    Condition,
    DiffusionMassMap,
    DPMSolver,
    JointDenoiser,
    JointPosterior,
    Layout,
    train_joint,
)
from fullfield.generative.coordinates import Coordinates, Rings
from fullfield.generative.joint import draw_times, JointLoss
from fullfield.networks import UNetBranch
from fullfield.parameters import Parameter, ParameterSpace


N, BINS = 8, 2
SPACE = ParameterSpace({"a": Parameter(dist.Normal(0.0, 1.0), "a"), "b": Parameter(dist.Normal(0.0, 1.0), "b")})


def small(shape, outputs, context, *, key):
    return UNetBranch(shape, outputs, context, key=key, widths=(8, 16))


def world(key, n):
    """Linear and Gaussian, with correlated bins, smooth fields and an amplitude that is no part of them."""
    theta = jax.random.normal(stream(key, "theta"), (n, 2))
    summary = theta @ jnp.asarray([[1.0, 0.3], [0.0, 1.0]]) + 0.5 * jax.random.normal(stream(key, "summary"), (n, 2))
    expected = jax.random.normal(stream(key, "expected"), (n, N, N, BINS))
    missed = jax.random.normal(stream(key, "missed"), (n, N, N, BINS)) @ jnp.asarray([[1.0, 0.8], [0.0, 0.6]])
    missed = missed + 0.4 * (jnp.roll(missed, 1, axis=1) + jnp.roll(missed, -1, axis=1))
    return theta, expected + missed, Condition(expected, summary)


@pytest.fixture(scope="module")
def fitted():
    theta, field, condition = world(jax.random.key(0), 4000)
    untrained = JointDenoiser.make(2, 2, BINS, jnp.ones((N, N, 1)), key=jax.random.key(1), branch=small)
    return eqx.filter_jit(JointDenoiser.fitted_to)(untrained, SPACE.to_unconstrained(theta), field, condition)


def test_what_a_gaussian_misses_is_white_in_these_coordinates(fitted):
    theta, field, condition = world(jax.random.key(2), 4000)
    u, v = jax.vmap(fitted.white)(theta, field, condition)
    # 4000 numbers: deviations right to 1.1 %, correlations to 0.016; five of those.
    np.testing.assert_allclose(np.cov(u.T), np.eye(2), atol=0.08)
    modes = np.fft.fft2(np.asarray(v), axes=(1, 2), norm="ortho")
    covariance = np.einsum("myxi,myxj->yxij", modes, modes.conj()).real / len(modes)
    # The world is smooth along y alone, and white on the mean over a ring; that of the least modes is real, and right to
    # √(2 / 4000) = 2.2 % in these maps, and in those that coordinates were measured on.
    rings = np.rint(np.hypot(*np.meshgrid(np.fft.fftfreq(N, 1 / N), np.fft.fftfreq(N, 1 / N)))).astype(int)
    means = np.stack([covariance[rings == ring].mean(axis=0) for ring in range(rings.max() + 1)])
    np.testing.assert_allclose(means, np.broadcast_to(np.eye(BINS), means.shape), atol=0.15)


def test_behind_a_mask_where_more_is_missed_coordinates_are_white_too():
    theta, field, condition = world(jax.random.key(16), 4000)
    deviation = jnp.where(jnp.arange(N) < 3, 5.0, 1.0)[None, :, None, None]
    field = condition.expected + deviation * (field - condition.expected)
    coordinates = Coordinates.blank(2, 2, N, BINS).fitted_to(theta, field, condition.expected, condition.summary)
    scatter = jnp.std(jax.vmap(coordinates.white)(field - condition.expected), axis=0)
    # 4000 numbers: to 1.1 %; rings are narrower than what varies with direction in this world, by no more than a fifth.
    np.testing.assert_allclose(scatter, 1.0, atol=0.2)
    stationary = jnp.std(jax.vmap(coordinates.rings.white)(field - condition.expected), axis=0)
    assert float(stationary.max() / stationary.min()) > 1.5, "without it they would not be"


def test_white_coordinates_lead_back(fitted):
    theta, field, condition = world(jax.random.key(3), 3)
    u, v = jax.vmap(fitted.white)(theta, field, condition)
    z, kappa = jax.vmap(fitted.physical)(u, v, condition)
    np.testing.assert_allclose(z, theta, atol=1e-4)
    np.testing.assert_allclose(kappa, field, atol=1e-4)


def test_untrained_it_denoises_white_noise_exactly(fitted):
    _, _, condition = world(jax.random.key(4), 1)
    condition = jax.tree.map(lambda array: array[0], condition)
    u, v, t = jnp.asarray([1.0, -2.0]), jax.random.normal(jax.random.key(5), (N, N, BINS)), jnp.asarray(0.3)
    shrunk = 0.3 / (0.3**2 + 0.7**2)
    found_u, found_v = fitted(u, v, (t, t), condition)
    np.testing.assert_allclose(found_u, shrunk * u, rtol=1e-5)
    np.testing.assert_allclose(found_v, shrunk * v, atol=1e-5)
    np.testing.assert_allclose(fitted.parameters(u, t, condition.summary), shrunk * u, rtol=1e-5)


@pytest.mark.parametrize(("solver", "together"), [(Adams(16), False), (DPMSolver(26), True)])
def test_draws_in_a_gaussian_world_are_exact(fitted, solver, together):
    theta, field, condition = world(jax.random.key(6), 3)
    posterior = JointPosterior(SPACE, fitted, lambda data: data, solver, together)
    u, v = [], []
    for j in range(0, 300, 100):
        one = jax.tree.map(lambda array, j=j: array[j], condition)
        drawn, maps = posterior.draw(jax.random.key(j), one, 300)
        # Truths in units of the draws' mean and deviation.
        u.append((theta[j] - drawn.mean(0)) / drawn.std(0))
        v.append((field[j] - maps.mean(0)) / maps.std(0))
        spread = maps.std(0).mean((0, 1))
    assert np.abs(np.asarray(u)).max() < 4
    # 3 x 128 correlated pixels, of deviation one; the draws' own errors are of 4 %.
    assert np.std(v) == pytest.approx(1.0, abs=0.2)
    # Pixels of the missed field have variance 1 + 2 · 0.4² times those of the bins, 1 and 0.8² + 0.6² = 1.
    np.testing.assert_allclose(spread, np.sqrt(1.32), rtol=0.06)


def test_noises_of_the_blocks_are_independent(fitted):
    # Two draws of one key would begin with the same numbers, whatever their shapes.
    posterior = JointPosterior(SPACE, fitted, lambda data: data)
    key = jax.random.key(7)
    _, _, conditions = world(jax.random.key(15), 50)
    field, theta = posterior._white(key, conditions), posterior._noise(key, conditions.summary)
    same = jax.random.normal(key, (50, 2)), jax.random.normal(key, (50, N, N, BINS))
    assert np.abs(np.corrcoef(theta.ravel(), field.ravel()[:100])[0, 1]) < 0.4
    assert np.allclose(same[0].ravel(), same[1].ravel()[:100])


def test_latents_are_decoded_with_the_parameters_they_were_drawn_with(fitted):
    plain = JointPosterior(SPACE, fitted, lambda data: data)
    decoded = eqx.tree_at(lambda drawn: drawn.decode, plain, lambda theta, field, _: field * theta[0])
    condition = jax.tree.map(lambda array: array[0], world(jax.random.key(16), 1)[2])
    theta, field = plain.draw(jax.random.key(17), condition, 3)
    other, maps = decoded.draw(jax.random.key(17), condition, 3)
    np.testing.assert_array_equal(other, theta)
    np.testing.assert_allclose(maps, field * theta[:, :1, None, None], rtol=1e-5)


def test_corrections_see_the_draws_parameters_and_have_keys_of_their_own(fitted):
    plain = JointPosterior(SPACE, fitted, lambda data: data)
    noisy = JointPosterior(
        SPACE,
        fitted,
        lambda data: data,
        correct=lambda key, theta, field, _, scatter: (theta, field + theta[0] + jax.random.normal(key)),
    )
    condition = jax.tree.map(lambda array: array[0], world(jax.random.key(16), 1)[2])
    theta, field = plain.draw(jax.random.key(17), condition, 3)
    other, maps = noisy.draw(jax.random.key(17), condition, 3)
    np.testing.assert_array_equal(other, theta)
    added = np.asarray(maps - field - theta[:, :1, None, None])
    np.testing.assert_allclose(added, np.broadcast_to(added[:, :1, :1, :1], added.shape), atol=1e-4)
    assert len(np.unique(np.round(added[:, 0, 0, 0], 3))) == 3


def test_corrections_are_told_the_scatter_of_the_parameters_and_may_change_them(fitted):
    """The world is linear, and its denoiser of white parameters exact: their covariance is (1 + A Aᵀ / .25)⁻¹ everywhere. From
    200 draws its elements are known to a tenth."""

    def correct(key, theta, field, condition, scatter):
        if scatter is None:
            return theta, field + 1.0
        square = scatter @ scatter.T
        return jnp.stack([square[0, 0], square[1, 1]]), field * square[0, 1]

    posterior = JointPosterior(SPACE, fitted, lambda data: data, correct=correct)
    _, _, conditions = world(jax.random.key(21), 3)
    theta, maps = posterior.draw_each(jax.random.key(22), conditions, 2)
    mixing = np.array([[1.0, 0.3], [0.0, 1.0]])
    exact = np.linalg.inv(np.eye(2) + mixing @ mixing.T / 0.25)
    np.testing.assert_allclose(theta, np.broadcast_to(np.diagonal(exact), theta.shape), rtol=0.35)
    assert len(np.unique(np.asarray(theta[:, 0, 0]))) == 3, "each observation has its own"
    plain = JointPosterior(SPACE, fitted, lambda data: data)
    np.testing.assert_allclose(
        np.asarray(maps / plain.draw_each(jax.random.key(22), conditions, 2)[1])[..., 0, 0, 0], exact[0, 1], atol=0.05
    )
    # Named parameters stay: nothing is said of their scatter.
    one, named = jax.tree.map(lambda array: array[0], conditions), jnp.zeros((2, 2))
    added = posterior.draw_maps(jax.random.key(23), one, named) - plain.draw_maps(jax.random.key(23), one, named)
    np.testing.assert_allclose(added, 1.0, atol=1e-5)


def seen_plainly(data):
    """Shear (N, N, BINS, 2) as it is."""
    return Condition(data[..., 0], data[0, 0, :, 1])


def test_impossible_observations_and_counts_are_refused(fitted):
    posterior, key = JointPosterior(SPACE, fitted, seen_plainly), jax.random.key(24)
    shear = jnp.zeros((N, N, BINS, 2))
    with pytest.raises(DataError, match=r"observation: expected finite numbers, got 1 that are not.*prepare"):
        posterior.sample(key, shear.at[3, 3, 0, 0].set(jnp.nan), 2)
    ones = np.ones((N, N, BINS))
    maps = ShearMaps(FlatSky(N, 1.0), (0.0, 0.0), np.zeros((N, N, BINS, 2)), ones, ones, ones.astype(int))
    with pytest.raises(DataError, match=r"expected an array of numbers, got ShearMaps\. .*prepare=model\.prepare"):
        posterior.sample(key, maps, 2)
    prepared = JointPosterior(SPACE, fitted, seen_plainly, prepare=lambda maps: maps.shear.astype(np.float32))
    np.testing.assert_array_equal(prepared.sample(key, maps, 2)[1], posterior.sample(key, shear, 2)[1])
    blank = seen_plainly(shear)
    lost = Condition(blank.expected, blank.summary * jnp.nan)
    for draw in (posterior.sample, lambda key, data, n: posterior.draw(key, blank, n)):
        with pytest.raises(ConfigurationError, match="at least one draw, got 0"):
            draw(key, shear, 0)
    with pytest.raises(ConfigurationError, match="at least one draw"):
        posterior.draw_parameters(key, blank, 0)
    for draw in (posterior.draw, posterior.draw_parameters):
        with pytest.raises(DataError, match=r"condition\.summary: expected finite numbers"):
            draw(key, lost, 2)
    with pytest.raises(DataError, match=r"condition\.summary"):
        posterior.draw_maps(key, lost, jnp.zeros((2, 2)))


def uneven(noise):
    """Shear maps with this noise (N, N) in both bins."""
    noise = np.repeat(noise[..., None], BINS, axis=-1)
    observed = np.isfinite(noise)
    return ShearMaps(
        FlatSky(N, 1.0), (0.0, 0.0), np.zeros((N, N, BINS, 2)), observed.astype(float), noise, observed.astype(int)
    )


def test_observations_of_another_survey_are_refused_with_what_differs(fitted):
    """Before, what was seen of other pixels or bins failed in the network, and other masks and depths not at all."""
    noise = np.linspace(0.1, 0.3, N * N).reshape(N, N)
    noise[:2] = np.inf
    fitted = eqx.tree_at(lambda denoiser: denoiser.survey, fitted, jnp.asarray(0.1 / noise, jnp.float32)[..., None])
    posterior = JointPosterior(SPACE, fitted, seen_plainly, prepare=lambda maps: maps.shear.astype(np.float32))
    key, own = jax.random.key(27), uneven(noise)
    assert posterior.sample(key, own, 2)[1].shape == (2, N, N, BINS)
    assert posterior.sample(key, uneven(3 * noise), 2)[1].shape == (2, N, N, BINS), "its level the survey does not tell"
    for other, message in (
        (uneven(noise[::-1]), r"one over the denoiser's survey, got another in 6\d of 64 pixels.*survey=1 / noise"),
        (uneven(np.where(np.isfinite(noise), noise, 0.3)), "got another in 16 of 64"),
        (uneven(np.where(np.arange(N) == 5, np.inf, noise)), "got another in 6 of 64"),
        (own.coarsened(2), r"pixels and bins \(8, 8, 1\) of the denoiser's survey, got noise \(4, 4, 2\)"),
    ):
        with pytest.raises(ConfigurationError, match=f"observation: expected .*{message}"):
            posterior.sample(key, other, 2)
    blank = seen_plainly(jnp.zeros((N, N, BINS, 2)))
    for wrong, message in (
        (
            Condition(blank.expected[:4, :4], blank.summary),
            r"expected: expected \(8, 8, 2\), as .* trained on, got \(4, 4, 2\)",
        ),
        (Condition(blank.expected[..., :1], blank.summary), r"expected: expected \(8, 8, 2\), as .*, got \(8, 8, 1\)"),
        (Condition(blank.expected, jnp.zeros(3)), r"summary: expected \(2,\), as .*, got \(3,\)"),
    ):
        with pytest.raises(ShapeError, match=rf"condition\.{message}"):
            posterior.draw(key, wrong, 2)
        with pytest.raises(ShapeError, match=rf"condition\.{message}"):
            posterior.draw_parameters(key, wrong, 2)


def test_the_map_of_a_joint_posterior_is_the_mean_of_its_draws(fitted):
    posterior, shear = JointPosterior(SPACE, fitted, seen_plainly), jnp.zeros((N, N, BINS, 2)).at[..., 0].set(0.2)
    mass_map = DiffusionMassMap(posterior, jax.random.key(25), draws=50)
    drawn = mass_map.sample(jax.random.key(25), shear, 50)
    np.testing.assert_array_equal(drawn, posterior.sample(jax.random.key(25), shear, 50)[1])
    np.testing.assert_allclose(mass_map(shear), drawn.mean(0), atol=1e-6)
    np.testing.assert_array_equal(mass_map(shear), mass_map(shear))
    assert not np.array_equal(mass_map(shear), DiffusionMassMap(posterior, jax.random.key(26), draws=50)(shear))
    # What was expected, 0.2, but for the error of 50 draws: pixels of deviation √1.32 to 16 %, 128 of them to five of those.
    np.testing.assert_allclose(mass_map(shear), 0.2, atol=5 * np.sqrt(1.32 / 50))


def test_times_cover_the_whole_grid():
    levels = jax.scipy.special.logit(draw_times(jax.random.key(8), 4096))
    counts = np.histogram(levels, np.linspace(-3.5, 6.6, 11))[0]
    assert counts.min() > 100


def test_rows_lead_back():
    layout = Layout((N, N, BINS), 2)
    _, field, condition = world(jax.random.key(9), 5)
    rows = layout.pack(field, condition)
    again, seen = layout.unpack(jnp.asarray(rows))
    np.testing.assert_array_equal(again, field)
    np.testing.assert_array_equal(seen.expected, condition.expected)
    np.testing.assert_array_equal(seen.summary, condition.summary)
    with pytest.raises(ShapeError, match="rows"):
        layout.unpack(jnp.asarray(rows[:, :-1]))


def test_loss_of_white_noise_counts_each_block_alike(fitted):
    theta, field, condition = world(jax.random.key(10), 2000)
    layout = Layout((N, N, BINS), 2)
    value = eqx.filter_jit(JointLoss(SPACE, layout))(
        fitted, theta, jnp.asarray(layout.pack(field, condition)), key=jax.random.key(0)
    )
    # Half of the parameters' part is left out where they are known: ½ + 1 + 1, each mean to about 2 %.
    assert float(value) == pytest.approx(2.5, rel=0.06)


@pytest.mark.slow
def test_training_finds_what_the_coordinates_do_not_know():
    # The field's amplitude follows a parameter: given it the field's spread must, and of the field's power it must be read.
    layout, key = Layout((N, N, 1), 1), jax.random.key(11)
    theta = jax.random.normal(stream(key, "theta"), (4000, 2))
    field = jnp.exp(0.5 * theta[:, :1, None, None]) * jax.random.normal(stream(key, "field"), (4000, N, N, 1))
    nothing = Condition(jnp.zeros_like(field), 0.01 * jax.random.normal(stream(key, "summary"), (4000, 1)))
    rows = layout.pack(field, nothing)
    parts = [StoredSimulations(np.asarray(theta)[part], rows[part], batch_size=200) for part in (slice(400, None), slice(400))]
    denoiser, _ = train_joint(SPACE, layout, *parts, key=key, branch=small, max_epochs=20)
    posterior = JointPosterior(SPACE, denoiser, lambda data: data, DPMSolver(26))
    blank = Condition(jnp.zeros((N, N, 1)), jnp.zeros(1))
    for a in (-1.0, 1.0):
        maps = posterior.draw_maps(jax.random.key(12), blank, jnp.broadcast_to(jnp.asarray([a, 0.0]), (200, 2)))
        # 12 800 pixels: to 1 %; what training leaves is more.
        assert float(maps.std()) == pytest.approx(np.exp(0.5 * a), rel=0.1)
    for together in (False, True):
        drawn, maps = JointPosterior(SPACE, denoiser, lambda data: data, DPMSolver(26), together).draw(key, blank, 500)
        power = np.log(np.mean(np.asarray(maps) ** 2, axis=(1, 2, 3)))
        # ln power = a to within √(2 / 64) = 0.18, a correlation of 0.98; twenty epochs come near it on the joint path.
        assert np.corrcoef(drawn[:, 0], power)[0, 1] > 0.9
        assert float(drawn[:, 0].std()) == pytest.approx(1.0, abs=0.15)


def test_too_few_simulations_for_coordinates_are_refused():
    theta, field, condition = world(jax.random.key(13), 4)
    with pytest.raises(DataError, match="at least"):
        Coordinates.blank(2, 2, N, BINS).fitted_to(theta, field, condition.expected, condition.summary)


def test_rings_of_blank_coordinates_change_nothing():
    maps = jax.random.normal(jax.random.key(14), (N, N, BINS))
    np.testing.assert_allclose(Rings.blank(N, BINS).white(maps), maps, atol=1e-6)


def test_colour_is_that_of_the_field_and_its_transpose_carries_slopes_back():
    sky = FlatSky(8, 2.0)
    root = jax.random.uniform(jax.random.key(18), (3, 5, 5))
    colour, white = Colour(root_on_plane(sky, root)), jax.random.normal(jax.random.key(19), (2, 8, 8))
    maps = jnp.moveaxis(unitary_hartley(white[..., None])[..., 0], 0, -1)
    field = jnp.moveaxis(gaussian_field(sky, root, white), 0, -1)
    # Both know pixels of another size: the unitary transform has none.
    np.testing.assert_allclose(colour(maps) * sky.pixels / sky.side_radians, field, rtol=1e-4, atol=1e-3)
    slopes = jax.linear_transpose(colour, maps)(field)[0]
    np.testing.assert_allclose(colour.transposed(field), slopes, rtol=1e-4, atol=1e-2)
