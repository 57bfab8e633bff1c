import numpy as np
import numpyro.diagnostics
import pytest

from fullfield._core import DataError, ShapeError
from fullfield.diagnostics import agreement, convergence, ebfmi, ess_bulk, ess_mean, ess_tail, rhat


def autoregressive(seed, rho, chains=4, n=4000):
    """Stationary AR(1) chains of unit variance, whose effective sample size is known: c n (1 - rho) / (1 + rho)."""
    random = np.random.default_rng(seed)
    noise = random.normal(size=(chains, n)) * np.sqrt(1 - rho**2)
    draws = np.empty((chains, n))
    draws[:, 0] = random.normal(size=chains)
    for t in range(1, n):
        draws[:, t] = rho * draws[:, t - 1] + noise[:, t]
    return draws


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9, -0.3])
def test_effective_size_of_an_autoregressive_chain_is_its_closed_form(rho):
    sizes = [ess_mean(autoregressive(seed, rho)) for seed in range(10)]
    exact = 16000 * (1 - rho) / (1 + rho)
    # Sokal: the estimate of the autocorrelation time scatters by sqrt(2 (2 M + 1) τ / N), here below 6 %; ten of them by 2 %.
    assert np.mean(sizes) == pytest.approx(exact, rel=0.07)
    assert np.mean([ess_bulk(autoregressive(seed, rho)) for seed in range(10)]) == pytest.approx(exact, rel=0.07)


def test_effective_size_and_rhat_agree_with_numpyro():
    draws = autoregressive(3, 0.7) + 0.05 * np.arange(4)[:, None]
    halves = np.concatenate([draws[:, :2000], draws[:, 2000:]])
    # Geyer's sequence ends at another lag there, hence 2 %.
    assert ess_mean(draws) == pytest.approx(numpyro.diagnostics.effective_sample_size(halves), rel=0.02)
    # Rank-normalised against plain: equal up to the noise of the ranks for normal draws.
    assert rhat(draws) == pytest.approx(numpyro.diagnostics.split_gelman_rubin(draws), abs=2e-3)


def test_rhat_sees_chains_of_another_place_spread_or_trend():
    good = np.random.default_rng(0).normal(size=(4, 1000))
    assert rhat(good) < 1.01
    assert rhat(good + np.array([0, 0, 0, 1.0])[:, None]) > 1.05
    assert rhat(good * np.array([1, 1, 1, 3.0])[:, None]) > 1.05  # equal means: only the folded draws tell
    assert rhat(good + np.linspace(-1, 1, 1000)) > 1.05  # equal chains that have not arrived: only the halves tell
    assert rhat(np.random.default_rng(0).standard_cauchy((4, 1000))) < 1.01  # no mean, no variance, and yet fine


def test_tail_size_sees_a_tail_that_mixes_slowly():
    # Independent signs, so that the centre mixes at once, but a spread that wanders slowly.
    draws = np.random.default_rng(1).normal(size=(4, 4000)) * np.exp(1.5 * autoregressive(2, 0.99))
    assert ess_tail(draws) < 0.2 * ess_bulk(draws)


def test_ebfmi_of_independent_energies_is_two_and_of_a_slow_walk_is_small():
    energy = np.random.default_rng(0).normal(size=(4, 2000))
    np.testing.assert_allclose(ebfmi(energy), 2.0, rtol=0.1)
    # E (E_t - E_{t-1})² of an AR(1) of unit variance is 2 (1 - rho).
    np.testing.assert_allclose(ebfmi(autoregressive(0, 0.95)), 0.1, rtol=0.35)


def test_convergence_passes_good_chains_and_fails_each_broken_twin():
    random = np.random.default_rng(5)
    good = random.normal(size=(4, 1000, 2))
    names = ("a", "b")
    extras = {"gradients": 64000, "divergences": np.zeros(4), "energy": good[..., 0], "energy_variance": 9e-7}
    report = convergence(good, names=names, energy_target=1e-6, **extras)
    assert report.verdict == "pass"
    least = min(report[f"chains/{n}/ess_{part}"].value for n in names for part in ("bulk", "tail"))
    assert report["chains/gradients_per_ess"].value == pytest.approx(64000 / least)
    assert convergence(good, names=names, acceptance=np.array([0.9, 0.7, 0.8, 0.9]))["chains/acceptance"].value == 0.7

    apart = good.copy()
    apart[0, :, 1] += 0.5
    assert convergence(apart, names=names)["chains/b/rhat"].verdict == "fail"
    slow = np.stack([autoregressive(1, 0.99, n=1000), good[..., 1]], axis=-1)
    assert convergence(slow, names=names)["chains/a/ess_bulk"].verdict == "fail"
    assert convergence(good, names=names, energy_variance=2e-6, energy_target=1e-6).verdict == "fail"
    assert convergence(good, names=names, divergences=np.array([0, 0, 1, 0.0])).verdict == "fail"
    assert convergence(good, names=names, energy=autoregressive(0, 0.95, n=1000)).verdict == "fail"
    still = good.copy()
    still[..., 0] = np.arange(4)[:, None]
    assert convergence(still, names=names)["chains/a/ess_bulk"].verdict == "fail"
    assert convergence(still, names=names)["chains/a/rhat"].verdict == "fail"


def test_what_is_no_chain_is_refused():
    with pytest.raises(ShapeError):
        rhat(np.zeros((2, 3)))
    with pytest.raises(DataError):
        ess_bulk(np.full((2, 10), np.nan))
    with pytest.raises(ShapeError, match="3 names"):
        convergence(np.zeros((2, 10, 3)), names=("a", "b"))


def test_agreement_sees_a_shifted_mean_and_nothing_else():
    """Below 1e-4 for one of 200 equal pairs in one such test of fifty; a shift of a fifth of sigma at 4000 draws is seen."""
    random = np.random.default_rng(0)
    found = [agreement(random.normal(size=(2, 50, 3)), random.normal(size=(2, 50, 3))) for _ in range(200)]
    assert min(found) > 1e-4
    assert 0.02 < np.mean(np.array(found) < 0.1) < 0.2
    chains = random.normal(size=(4, 5000, 3))
    assert agreement(chains, random.normal(size=(4, 1000, 3)) + np.array([0.0, 0.2, 0.0])) < 1e-4
