"""How often a set of statistical tests may raise a false alarm, and how the tests share it."""

import equinox as eqx
from scipy import stats

from fullfield._core import ConfigurationError
from fullfield.diagnostics.record import Number, Verdict


class Budget(eqx.Module):
    """Probability that anything at all fails, or warns, when the posterior is exact.

    Args:
        fail: false-alarm probability of the verdict "fail".
        warn: false-alarm probability of "warn" or worse.

    Shared by Bonferroni: m tests get 1/m of it each, so the sum holds for correlated tests too.
    """

    fail: float = eqx.field(static=True, converter=float, default=1e-3)
    warn: float = eqx.field(static=True, converter=float, default=1e-2)

    def __check_init__(self):
        if not 0 < self.fail <= self.warn < 1:
            raise ConfigurationError("budget", expected="0 < fail <= warn < 1", got=f"fail {self.fail}, warn {self.warn}")

    def shared(self, tests: int) -> "Budget":
        """The part of one among `tests` tests."""
        return Budget(self.fail / tests, self.warn / tests)

    def verdict(self, p_value: float) -> Verdict:
        """Judge a p-value; NaN fails."""
        if p_value >= self.warn:
            return "pass"
        return "warn" if p_value >= self.fail else "fail"

    def normal(self, name: str, value: float, mean: float, std: float) -> Number:
        """Number that is normal with known mean and standard deviation when the posterior is exact; two-sided."""
        width = std * stats.norm.isf(self.fail / 2)
        p_value = float(2 * stats.norm.sf(abs(value - mean) / std))
        return Number(name, value, std, f"in [{mean - width:.4g}, {mean + width:.4g}]", verdict=self.verdict(p_value))

    def p_value(self, name: str, p_value: float) -> Number:
        """Number that is a p-value."""
        return Number(name, p_value, bar=f">= {self.fail:.3g}", verdict=self.verdict(p_value))
