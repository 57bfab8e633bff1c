"""Plans that pair simulations of two suites without common seeds: which map of the one is carried to which of the other.

Of n simulations of either suite, at parameters θ_i and θ'_j scattered over a prior,

    π = argmin Σ_ij π_ij M_ij,    Σ_j π_ij = Σ_i π_ij = 1/n,
    M_ij = |θ_i - θ'_j|² / ⟨|θ - θ'|²⟩ + w |S x_i - S x'_j|² / ⟨|S x - S x'|²⟩,

with θ in units of the prior's width, S a smoothing of the maps and ⟨⟩ the mean over all pairs. For a small w it is the
parameters that decide, and a map is carried to one of the same cosmology: w → 0 after n → ∞ is the conditional optimal plan
(Kerrigan, Migliorini & Smyth 2024, arXiv:2404.04240). Without the parameters' term, as ordinary minibatch transport has it
(Tong et al. 2024, arXiv:2302.00482), maps of one cosmology are carried to those of others, and what is learnt is not the law
at one cosmology.
"""

import abc

import equinox as eqx
import numpy as np
import scipy.optimize
import scipy.special
from jaxtyping import Float, Int

from fullfield._core import ConfigurationError
from fullfield.fields import block_average


SWEEPS = 5000  # of Sinkhorn's iteration at most
MARGINAL = 1e-3  # what it may miss of the marginals, summed; OTT's default, too


class AbstractPlanner(eqx.Module):
    """Finds the plan of a cost."""

    @abc.abstractmethod
    def __call__(self, cost: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
        """Plan (n, n) whose rows and columns sum to 1/n."""


class Assignment(AbstractPlanner):
    """The plan of least cost: a permutation (Jonker-Volgenant through SciPy, 0.3 s for n = 1024)."""

    def __call__(self, cost: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
        """Plan (n, n), one entry of 1/n in each row and column."""
        plan = np.zeros(cost.shape)
        plan[scipy.optimize.linear_sum_assignment(cost)] = 1 / len(cost)
        return plan


class Sinkhorn(AbstractPlanner):
    """The plan of least cost - regularisation × entropy, by Sinkhorn's iteration on logarithms.

    The regularisation falls by halves to its value, from potentials of the one before. It is in units of the cost's mean, and
    what counts is its size beside the costs of near pairs, which are much smaller: watch the plan's entropy.

    Source: Cuturi 2013 (arXiv:1306.0895).

    Args:
        regularisation: weight of the entropy.

    Raises:
        ConfigurationError: it is not positive, or so small that the marginals are not reached.
    """

    regularisation: float = eqx.field(static=True, default=1e-3)

    def __check_init__(self):
        if not self.regularisation > 0:
            remedy = "Assignment() is the plan without entropy."
            raise ConfigurationError("regularisation", expected="a positive number", got=self.regularisation, remedy=remedy)

    def __call__(self, cost: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
        """Plan (n, n); columns sum to 1/n, rows to within a thousandth, all together."""
        cost, uniform = cost / max(np.mean(cost), np.finfo(float).tiny), -np.log(len(cost))
        rows, columns, size = np.zeros(len(cost)), np.zeros(len(cost)), max(1.0, self.regularisation)
        for _ in range(SWEEPS):
            size = max(size / 2, self.regularisation)
            rows = size * (uniform - scipy.special.logsumexp((columns - cost) / size, axis=1))
            columns = size * (uniform - scipy.special.logsumexp((rows[:, None] - cost) / size, axis=0))
            if size == self.regularisation:
                plan = np.exp((rows[:, None] + columns - cost) / size)
                if np.abs(plan.sum(axis=1) - 1 / len(cost)).sum() < MARGINAL:
                    return plan
        raise ConfigurationError(
            "regularisation", expected=f"one at which {SWEEPS} sweeps reach the marginals", got=self.regularisation,
            remedy="Raise it, or take Assignment(), its limit.",
        )  # fmt: skip


class AbstractCoupling(eqx.Module):
    """How simulations of two suites are paired: whether only equal rows are, and whether pairs are to be of one cosmology."""

    same_rows: eqx.AbstractVar[bool]
    conditional: eqx.AbstractVar[bool]

    @abc.abstractmethod
    def seen(self, maps: Float[np.ndarray, "n n b"]) -> Float[np.ndarray, " k"]:
        """What the plan looks at of a map."""

    @abc.abstractmethod
    def plan(
        self,
        theta: tuple[Float[np.ndarray, "n p"], Float[np.ndarray, "n p"]],
        seen: tuple[Float[np.ndarray, "n k"], Float[np.ndarray, "n k"]],
    ) -> Float[np.ndarray, "n n"]:
        """Plan (n, n) of the parameters in units of the prior's width and what is seen of the maps, first suite and second."""


class Triangular(AbstractCoupling):
    """Conditional optimal transport: maps go to near ones of the same cosmology.

    Args:
        weight: w, of the maps' distance beside the parameters'.
        pixels: of the maps averaged over blocks, on a side, at most; that is what distances are between, since those of maps of
            many more pixels than there are maps are all alike.
        planner: finds the plan.

    Raises:
        ConfigurationError: the weight is negative.
    """

    weight: float = eqx.field(static=True, default=0.03)
    pixels: int = eqx.field(static=True, default=8)
    planner: AbstractPlanner = Assignment()
    same_rows: bool = eqx.field(static=True, default=False, init=False)
    conditional: bool = eqx.field(static=True, default=True, init=False)

    def __check_init__(self):
        if not self.weight >= 0:
            raise ConfigurationError("weight", expected="a number that is not negative", got=self.weight)

    def seen(self, maps: Float[np.ndarray, "n n b"]) -> Float[np.ndarray, " k"]:
        """Averages over blocks of pixels."""
        return smoothed(maps, self.pixels)

    def plan(
        self,
        theta: tuple[Float[np.ndarray, "n p"], Float[np.ndarray, "n p"]],
        seen: tuple[Float[np.ndarray, "n k"], Float[np.ndarray, "n k"]],
    ) -> Float[np.ndarray, "n n"]:
        """Plan of least joint cost."""
        return self.planner(_cost(*theta) + self.weight * _cost(*seen))


class MapsAlone(AbstractCoupling):
    """Ordinary minibatch transport, which looks at maps and not at parameters: a baseline that biases conditional laws.

    Args:
        pixels, planner: as of `Triangular`.
    """

    pixels: int = eqx.field(static=True, default=8)
    planner: AbstractPlanner = Assignment()
    same_rows: bool = eqx.field(static=True, default=False, init=False)
    conditional: bool = eqx.field(static=True, default=False, init=False)

    def seen(self, maps: Float[np.ndarray, "n n b"]) -> Float[np.ndarray, " k"]:
        """Averages over blocks of pixels."""
        return smoothed(maps, self.pixels)

    def plan(
        self,
        theta: tuple[Float[np.ndarray, "n p"], Float[np.ndarray, "n p"]],
        seen: tuple[Float[np.ndarray, "n k"], Float[np.ndarray, "n k"]],
    ) -> Float[np.ndarray, "n n"]:
        """Plan of least distance between maps."""
        return self.planner(_cost(*seen))


class Independent(AbstractCoupling):
    """Any map goes to any: what is learnt is an unconditional flow from the one suite to the other."""

    same_rows: bool = eqx.field(static=True, default=False, init=False)
    conditional: bool = eqx.field(static=True, default=False, init=False)

    def seen(self, maps: Float[np.ndarray, "n n b"]) -> Float[np.ndarray, " k"]:
        """Nothing."""
        return np.zeros(0, np.float32)

    def plan(
        self,
        theta: tuple[Float[np.ndarray, "n p"], Float[np.ndarray, "n p"]],
        seen: tuple[Float[np.ndarray, "n k"], Float[np.ndarray, "n k"]],
    ) -> Float[np.ndarray, "n n"]:
        """The product of the marginals."""
        n = len(theta[0])
        return np.full((n, n), 1 / n**2)


class EqualSeeds(AbstractCoupling):
    """Row i goes to row i: suites that were simulated at equal parameters from equal seeds, where there is no plan to find."""

    same_rows: bool = eqx.field(static=True, default=True, init=False)
    conditional: bool = eqx.field(static=True, default=True, init=False)

    def seen(self, maps: Float[np.ndarray, "n n b"]) -> Float[np.ndarray, " k"]:
        """Nothing."""
        return np.zeros(0, np.float32)

    def plan(
        self,
        theta: tuple[Float[np.ndarray, "n p"], Float[np.ndarray, "n p"]],
        seen: tuple[Float[np.ndarray, "n k"], Float[np.ndarray, "n k"]],
    ) -> Float[np.ndarray, "n n"]:
        """The diagonal."""
        return np.eye(len(theta[0])) / len(theta[0])


class PairingQuality(eqx.Module):
    """How good pairs are.

    Args:
        mismatch: mean |θ' - θ| of a pair, parameter by parameter, in units of the prior's width: what is learnt is the law at
            parameters that are blurred by as much. Independent pairs have 1.13 of a normal prior, 1.15 of a uniform one.
        displacement: root mean square of x' - x over that of x'; √2 of independent maps of equal power.
        entropy: of a map's partner, in units of its largest value ln n: 0 for a permutation, 1 where any will do.
        partners: fraction of the second suite's maps that have a partner.
    """

    mismatch: Float[np.ndarray, " p"]
    displacement: float
    entropy: float
    partners: float


def drawn(plan: Float[np.ndarray, "n n"], random: np.random.Generator) -> Int[np.ndarray, " n"]:
    """A partner of each row, drawn from the plan given the row."""
    cumulative = np.cumsum(plan, axis=1)
    return (cumulative > random.random((len(plan), 1)) * cumulative[:, -1:]).argmax(axis=1)


def plan_entropy(plan: Float[np.ndarray, "n n"]) -> float:
    """Mean entropy of a row's partner, in units of ln n."""
    given = plan / plan.sum(axis=1, keepdims=True)
    return float(scipy.special.entr(given).sum(axis=1).mean() / np.log(len(plan)))


def smoothed(maps: Float[np.ndarray, "n n b"], pixels: int) -> Float[np.ndarray, " k"]:
    """Averages over the smallest blocks that leave no more than so many pixels on a side."""
    n = len(maps)
    factor = next(f for f in range(1, n + 1) if n % f == 0 and n // f <= pixels)
    return block_average(maps, factor).ravel()


def _cost(first, second):
    """Squared distances in units of their mean."""
    first, second = np.asarray(first, float), np.asarray(second, float)
    squares = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1) - 2 * first @ second.T
    return np.maximum(squares, 0.0) / max(squares.mean(), np.finfo(float).tiny)
