"""Generators that copy training images, and others that do not, however unlike simulations what they make is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from boxes import lognormal_boxes, quarters

from fullfield._core import DataError, ShapeError
from fullfield.diagnostics import memorising
from fullfield.diagnostics.memorising import _nearness, _standard


TRAINING, BOXES = quarters(lognormal_boxes(40, 1))
HELD_OUT, OTHERS = quarters(lognormal_boxes(40, 2))
GENERATED = lognormal_boxes(50, 3)[:, :32, :32]
RANDOM = np.random.default_rng(0)


def judged(generated, held_out=HELD_OUT, seed=0):
    found = memorising(generated, TRAINING, held_out, (BOXES, OTHERS), pixels=16, key=jax.random.key(seed))
    return found, found.report["memorising/excess"]


def noisy(images, level):
    logs = np.log(images)
    return np.exp(logs + level * logs.std() * RANDOM.normal(size=images.shape)).astype(np.float32)


COPIES = noisy(TRAINING[RANDOM.permutation(160)[:50]], 1.0)


@pytest.mark.parametrize(
    "generated",
    [GENERATED, lognormal_boxes(50, 4, smoothing=2.0)[:, :32, :32], lognormal_boxes(50, 4, amplitude=2.0)[:, :32, :32]],
)
def test_what_is_independent_passes_whatever_its_law(generated):
    found, excess = judged(generated)
    assert found.report.verdict == "pass"
    assert abs(excess.value) < 3 * excess.uncertainty


def test_false_alarms_are_as_rare_as_stated():
    """Thirty sets of independent images: none fails, and the excess in units of its deviation has a deviation of about one."""
    scaled = []
    for seed in range(30):
        (training, boxes), (held_out, others) = (
            quarters(lognormal_boxes(12, 100 + seed)),
            quarters(lognormal_boxes(12, 200 + seed)),
        )
        generated = lognormal_boxes(20, 300 + seed)[:, :32, :32]
        found = memorising(generated, training, held_out, (boxes, others), pixels=8, key=jax.random.key(seed))
        assert found.report.verdict == "pass"
        excess = found.report["memorising/excess"]
        scaled.append(excess.value / excess.uncertainty)
    assert 0.6 < np.std(scaled) < 1.5
    assert abs(np.mean(scaled)) < 4 / 30**0.5


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x,
        lambda x: np.swapaxes(x[:, ::-1], 1, 2),
        lambda x: np.roll(x, (4, 6), (1, 2)),
        lambda x: np.concatenate([x[:20], GENERATED[20:]]),
    ],
    ids=["copies", "turned", "shifted", "two in five"],
)
def test_copies_with_noise_fail(change):
    found, excess = judged(change(COPIES))
    assert excess.verdict == "fail"
    assert found.training[:20].mean() > found.held_out[:20].mean() + 0.1


def test_copies_of_held_out_images_are_no_fault():
    found, excess = judged(noisy(HELD_OUT[:50], 1.0))
    assert found.report.verdict == "pass"
    assert excess.value < -0.1


def test_the_nearest_is_that_of_brute_force():
    images, others = (_standard(np.log(x[:3]), 8) for x in (GENERATED, TRAINING))
    small = np.log(GENERATED[:3]).reshape(3, 8, 4, 8, 4).mean((2, 4))
    turns = [np.rot90(side, quarter) for side in (small[1], small[1].T) for quarter in range(4)]
    rolled = [np.roll(turn, (y, x), (0, 1)).ravel() for turn in turns for y in range(8) for x in range(8)]
    expected = max(np.corrcoef(one, np.asarray(others[2]).ravel())[0, 1] for one in rolled)
    assert _nearness(images, others)[1, 2] == pytest.approx(expected, abs=1e-5)
    turned = jnp.roll(jnp.rot90(others, axes=(1, 2)), 3, 2)
    np.testing.assert_allclose(np.diag(_nearness(turned, others)), 1, atol=1e-5)


def test_what_is_refused(unchecked):
    with pytest.raises(DataError, match="positive densities"):
        judged(np.maximum(GENERATED - 0.5, 0))
    with pytest.raises(ShapeError, match="ten groups"):
        memorising(GENERATED, TRAINING, HELD_OUT[:5], key=jax.random.key(0))
    with pytest.raises(ShapeError, match=r"held_out: expected images \(32, 32\)"):
        memorising(GENERATED, TRAINING, HELD_OUT[:, :16, :16], key=jax.random.key(0))
