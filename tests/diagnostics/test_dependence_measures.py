"""Distance correlation and effective rank against closed forms."""

import jax
import numpy as np
import pytest

from fullfield._core import FullfieldError
from fullfield.diagnostics import collapse, distance_correlation, effective_rank, neural_information


def pair(correlation, n, seed=0):
    random = np.random.default_rng(seed)
    x, y = random.normal(size=(2, n))
    return x, correlation * x + np.sqrt(1 - correlation**2) * y


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.8])
def test_distance_correlation_of_a_bivariate_normal(correlation):
    """Székely, Rizzo & Bakirov 2007, theorem 7. Of 2000 pairs: bias and scatter are of some .02."""
    r = correlation
    exact = (r * np.arcsin(r) + np.sqrt(1 - r**2) - r * np.arcsin(r / 2) - np.sqrt(4 - r**2) + 1) / (1 + np.pi / 3 - 3**0.5)
    x, y = pair(r, 2000)
    assert distance_correlation(x, y) == pytest.approx(np.sqrt(exact), abs=0.04)
    assert distance_correlation(x, y, corrected=True) == pytest.approx(exact, abs=0.03)


def test_corrected_distance_correlation_has_no_bias_and_sees_what_correlation_does_not():
    found = np.array([distance_correlation(*pair(0.0, 50, seed), corrected=True) for seed in range(200)])
    plain = np.array([distance_correlation(*pair(0.0, 50, seed)) for seed in range(200)])
    assert abs(found.mean()) < 4 * found.std() / np.sqrt(200)
    assert plain.mean() > 0.15
    x, _ = pair(0.0, 1000)
    assert distance_correlation(x, np.stack([x**2, x**2], axis=1)) > 0.4
    assert distance_correlation(x, np.zeros(1000)) == 0.0


@pytest.mark.parametrize("corrected", [False, True])
def test_distance_correlation_does_not_see_where_zero_is(corrected):
    x, y = pair(0.8, 500)
    found = distance_correlation(x + 1e9, y - 1e9, corrected=corrected)
    assert found == pytest.approx(distance_correlation(x, y, corrected=corrected), abs=1e-5)


def test_effective_rank_counts_directions():
    white = np.random.default_rng(1).normal(size=(5000, 6))
    assert effective_rank(white) == pytest.approx(6.0, abs=0.02)
    assert effective_rank(white[:, :1] @ np.ones((1, 6))) == pytest.approx(1.0)
    assert effective_rank(np.ones((10, 3))) == 0.0
    values = {number.name: number.value for number in collapse(np.concatenate([white, np.zeros((5000, 1))], axis=1)).numbers}
    assert values["collapse/effective_rank"] == pytest.approx(6.0, abs=0.02)
    assert values["collapse/least_deviation"] == values["collapse/deviation/6"] == 0.0
    # Each deviation of 5000 numbers to 1 %, and the largest of six is the unit.
    np.testing.assert_allclose([values[f"collapse/deviation/{i}"] for i in range(6)], 1.0, atol=0.08)
    halved = {number.name: number.value for number in collapse(white * [1, 1, 0.5, 1, 1, 1]).numbers}
    assert halved["collapse/deviation/2"] == halved["collapse/least_deviation"] == pytest.approx(0.5, abs=0.04)
    assert {number.value for number in collapse(np.ones((10, 3))).numbers} == {0.0}


def test_samples_that_do_not_belong_together_are_refused():
    with pytest.raises(FullfieldError, match="rows"):
        distance_correlation(np.zeros(5), np.zeros(6))
    with pytest.raises(FullfieldError, match="at least two"):
        collapse(np.zeros((1, 5)))


@pytest.mark.parametrize("estimator", ["mine", "smile"])
@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_neural_information_of_a_number_and_a_noisy_vector(estimator, correlation):
    """Half of four numbers say what x is, with correlation ρ between x and their sum: -½ log(1 - ρ²) nats. Of 4000 pairs the
    bound scatters by .02, and loses a little to training on 4000."""
    x, y = pair(correlation, 8000)
    random = np.random.default_rng(9)
    noise = random.normal(size=8000)
    vector = np.stack([y + noise, y - noise, *random.normal(size=(2, 8000))], axis=1)
    found = neural_information(x, vector, key=jax.random.key(0), estimator=estimator)
    exact = -0.5 * np.log(1 - correlation**2)
    assert found.value == pytest.approx(exact, abs=0.06)
    assert 0 < found.uncertainty < 0.05 or correlation == 0.0


@pytest.mark.parametrize("swapped", [False, True])
def test_rows_of_the_same_parameter_are_no_strangers(swapped):
    """Ten data sets at each of 800 parameters, one behind the other. Strangers from the row before would share the parameter,
    and know nothing. The mean over 400 parameters is known to some .03."""
    random = np.random.default_rng(3)
    theta = np.repeat(random.normal(size=800), 10)
    pair = theta, 0.8 * theta + 0.6 * random.normal(size=8000)
    found = neural_information(*(pair[::-1] if swapped else pair), key=jax.random.key(1))
    assert found.value == pytest.approx(-0.5 * np.log(1 - 0.64), abs=0.08)
    assert 0.01 < found.uncertainty < 0.05


def test_much_information_is_found_short_of_the_ceiling():
    """Two and a half nats, of which 4000 pairs know .03 by their own account; the ceiling is at ten."""
    x, y = pair(np.sqrt(1 - np.exp(-5.0)), 8000)
    found = neural_information(x, y, key=jax.random.key(2))
    assert found.value == pytest.approx(2.5, abs=0.12)


def test_few_pairs_have_no_neural_information():
    with pytest.raises(FullfieldError, match="at least 200 pairs"):
        neural_information(np.zeros(100), np.zeros(100), key=jax.random.key(0))
    with pytest.raises(FullfieldError, match="at least 50 different"):
        neural_information(np.arange(400.0) % 49, np.arange(400.0), key=jax.random.key(0))
