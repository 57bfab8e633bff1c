import numpy as np
import pytest

from fullfield.diagnostics import field_curves, JointTable


def field_table(random, count, draws, *, width=1.0, scatter=0.5):
    """A table with maps of one band alone: modes of unit noise and a signal whose power differs between simulations."""
    modes, signal = 24, np.exp(scatter * random.normal(size=(count, 1)))
    truth = np.sqrt(signal) * random.normal(size=(count, modes))
    gain = signal / (1 + signal)
    middle = gain * (truth + random.normal(size=(count, modes)))
    maps = middle[:, None] + width * np.sqrt(gain)[:, None] * random.normal(size=(count, draws, modes))
    mean, spread = maps.mean(axis=1), maps.var(axis=1, ddof=1)
    sums = {
        "error": (truth - mean) ** 2, "spread": spread, "mean_power": mean**2 - spread / draws, "cross_power": mean * truth,
    }  # fmt: skip
    nothing = np.zeros((count, draws, 1, 1, 1))
    return JointTable(
        names=("a",),
        blocks=("a",),
        ell=np.array([100.0]),
        modes=np.array([float(modes)]),
        estimates=nothing[:, 0, :, 0, 0],
        theta=nothing[:, 0, :, 0, 0],
        theta_draws=nothing[..., 0, 0],
        distances=nothing[:, 0],
        distances_draws=nothing,
        powers=(truth**2).mean(1)[:, None, None],
        powers_draws=(maps**2).mean(2)[..., None, None],
        **{name: values.mean(1)[:, None, None] for name, values in sums.items()},
    )


def test_field_numbers_scatter_as_they_say():
    # 400 worlds: the deviation of their sigmas is known to 3.5 %, tolerance 4 of it; their mean to 0.05.
    random = np.random.default_rng(7)
    reports = [field_curves(field_table(random, 100, 12)).report for _ in range(400)]
    for name in ("z2_sigma", "transfer_sigma", "identity_sigma"):
        values = [report[f"field/{name}/bin_1/ell_100"].value for report in reports]
        assert abs(np.mean(values)) < 0.25
        assert np.std(values) == pytest.approx(1, abs=0.14)
    # Without (1 + 1/S) the spread of twelve draws would seem too small.
    z2 = np.array([report["field/z2/bin_1/ell_100"].value for report in reports])
    assert abs(z2.mean() - 1) < 4 * z2.std() / 20 < 1 / 24
    narrow = field_curves(field_table(random, 400, 12, width=0.9))
    assert narrow.z2.values[0, 0] == pytest.approx(1 / 0.81, rel=0.1)
    assert narrow.report["field/z2/bin_1/ell_100"].verdict == "fail"


def test_transfer_and_correlation_are_those_of_a_wiener_filter():
    # One power P = 1 under unit noise: r_mean² = T_mean² = r_draw = 1/2. Scatter of 20 000 x 24 modes below 0.5 %.
    found = field_curves(field_table(np.random.default_rng(8), 20_000, 5, scatter=0.0))
    for curve, expected in (
        (found.transfer_draw, 1.0), (found.transfer_mean, 0.5**0.5), (found.correlation_draw, 0.5),
        (found.correlation_mean, 0.5**0.5), (found.identity, 0.0),
    ):  # fmt: skip
        assert curve.values[0, 0] == pytest.approx(expected, abs=0.01)
        assert abs(curve.values[0, 0] - expected) < 4.5 * curve.errors[0, 0]
