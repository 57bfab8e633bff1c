"""Pairs of two suites as training data: plans are made anew for every epoch, on the host, while batches are small."""

from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from fullfield._core import ConfigurationError, DataError, digest, ShapeError, stream
from fullfield.datasets import AbstractShard, AbstractSimulations
from fullfield.datasets.simulations import augmented, check_positive
from fullfield.datasets.stored import deal
from fullfield.generative.pairing import AbstractCoupling, drawn, PairingQuality, plan_entropy, Triangular
from fullfield.simulators import Simulations


OVERLAP = 0.5  # of each suite's parameters at least, within the range of the other's


class CoupledSimulations(AbstractSimulations):
    """Pairs of a cheap and a costly simulation; batches hold parameters (b, 2 p) and maps (b, n, n, 2 bins), cheap ones first.

    Each epoch puts both suites in a random order, cuts them into blocks, finds a plan for each block, and goes through the
    pairs in another random order. Of the larger suite it takes others every epoch.

    Args:
        cheap: parameters (n, p) and maps (n, y, x, bins) that are to be carried.
        costly: parameters (m, p) and maps (m, y, x, bins) that they are to be like. Parameters may be drawn from another
            density than the cheap ones, as long as they cover the same range.
        coupling: how they are paired.
        batch_size: pairs per step.
        block: simulations of either suite among which partners are found, at most. More of them find nearer ones: of p
            parameters the mismatch falls as block^(-1/p), of one as block^(-1/2), while time grows as its third power, to 0.3 s
            for 1024. At that the mismatch of uniform parameters is 0.05 prior widths for one, 0.14 for three, 0.33 for six.
        augment: optional `(key, theta, data) -> data` on the maps of a pair together, such as `turn_and_roll`.

    Raises:
        ShapeError: suites differ in their maps' shape or number of parameters, or maps are not (y, x, bins), or parameters and
            maps in number.
        DataError: numbers are not finite, priors do not overlap, or seeds should be equal and parameters are not.
        ConfigurationError: a size is not positive, or leaves a block of one, where there is nothing to choose.
    """

    theta: tuple[Float[np.ndarray, "n p"], Float[np.ndarray, "m p"]]
    maps: tuple[Float[Array, "n y x bins"], Float[Array, "m y x bins"]]
    seen: tuple[Float[np.ndarray, "n k"], Float[np.ndarray, "m k"]]
    coupling: AbstractCoupling
    batch_size: int
    steps_per_epoch: int
    block: int
    augment: Callable | None

    def __init__(
        self,
        cheap: Simulations,
        costly: Simulations,
        coupling: AbstractCoupling | None = None,
        *,
        batch_size: int,
        block: int = 1024,
        augment: Callable | None = None,
    ):
        check_positive(batch_size=batch_size, block=block)
        self.coupling, self.block, self.augment = coupling or Triangular(), block, augment
        self.theta = (np.asarray(cheap.theta), np.asarray(costly.theta))
        arrays = (np.asarray(cheap.data), np.asarray(costly.data))
        _check_shapes(self.theta, arrays)
        _check_finite(self.theta, arrays)
        if self.pairs < 2 or block < 2:
            raise ConfigurationError(
                "block", expected="at least two simulations of each suite, among which to find partners",
                got=min(block, self.pairs), remedy="Take larger blocks, or more simulations.",
            )  # fmt: skip
        _check_overlap(*self.theta)
        if self.coupling.same_rows and not (len(arrays[0]) == len(arrays[1]) and np.allclose(*self.theta, rtol=1e-5)):
            raise DataError(
                "costly", expected="the cheap suite's parameters, row by row", got="others",
                remedy="EqualSeeds is for suites simulated at equal parameters; others need Triangular.",
            )  # fmt: skip
        self.maps = (jnp.asarray(arrays[0], jnp.float32), jnp.asarray(arrays[1], jnp.float32))
        first, second = (np.stack([self.coupling.seen(one) for one in suite]) for suite in arrays)
        self.seen = first, second
        self.batch_size, self.steps_per_epoch = deal(self.pairs, batch_size)

    @property
    def pairs(self) -> int:
        """Number of pairs in an epoch: as many as the smaller suite has simulations."""
        return min(map(len, self.theta))

    @property
    def suites(self) -> tuple[Simulations, Simulations]:
        """The cheap simulations and the costly ones."""
        cheap, costly = (Simulations(jnp.asarray(t), maps) for t, maps in zip(self.theta, self.maps, strict=True))
        return cheap, costly

    def plans(self, key: Key[Array, ""]) -> Iterator[tuple[Any, Any, Float[np.ndarray, "k k"]]]:
        """Rows of the cheap suite, rows of the costly one, and the plan between them, block by block of an epoch."""
        random = np.random.default_rng(np.asarray(jax.random.key_data(key)))
        first, second = (random.permutation(len(theta))[: self.pairs] for theta in self.theta)
        second = first if self.coupling.same_rows else second
        width = np.std(np.concatenate(self.theta), axis=0)
        scaled = [theta / np.where(width > 0, width, 1.0) for theta in self.theta]
        blocks = -(-self.pairs // self.block)
        for one, other in zip(np.array_split(first, blocks), np.array_split(second, blocks), strict=True):
            theta, seen = (scaled[0][one], scaled[1][other]), (self.seen[0][one], self.seen[1][other])
            yield one, other, self.coupling.plan(theta, seen)

    def rows(self, key: Key[Array, ""]) -> tuple[Int[np.ndarray, " k"], Int[np.ndarray, " k"]]:
        """Rows of the pairs of an epoch in either suite, in random order."""
        random = np.random.default_rng(np.asarray(jax.random.key_data(stream(key, "partners"))))
        found = [(one, other[drawn(plan, random)]) for one, other, plan in self.plans(key)]
        first, second = (np.concatenate(rows) for rows in zip(*found, strict=True))
        order = random.permutation(self.pairs)
        return first[order], second[order]

    def quality(self, key: Key[Array, ""]) -> PairingQuality:
        """How good the pairs of an epoch are."""
        first, second = self.rows(key)
        entropies = [plan_entropy(plan) for _, _, plan in self.plans(key)]
        width = np.std(np.concatenate(self.theta), axis=0)
        apart = np.abs(self.theta[1][second] - self.theta[0][first]).mean(axis=0) / np.where(width > 0, width, 1.0)
        there, here = np.asarray(self.maps[1])[second], np.asarray(self.maps[0])[first]
        displacement = float(np.sqrt(np.mean((there - here) ** 2) / np.mean(there**2)))
        return PairingQuality(apart, displacement, float(np.mean(entropies)), len(np.unique(second)) / self.pairs)

    def shards(self, key: Key[Array, ""]) -> Iterator[AbstractShard]:
        """Yield the one shard of an epoch."""
        first, second = map(jnp.asarray, self.rows(key))
        theta = jnp.concatenate([jnp.asarray(self.theta[0])[first], jnp.asarray(self.theta[1])[second]], axis=1)
        steps = jnp.asarray(self.steps_per_epoch, jnp.int32)
        yield _CoupledShard(steps, theta, *self.maps, first, second, self.augment, self.batch_size)

    def cost(self, epochs: int) -> int:
        """Number of distinct simulations, those of both suites."""
        return sum(map(len, self.theta))

    @property
    def identity(self) -> str:
        """Digest of all parameters, of sixteen maps of each suite, and of how they are dealt."""
        some = [maps[np.linspace(0, len(maps) - 1, 16).astype(int)] for maps in self.maps]
        return digest("coupled", self.theta, some, self.coupling, self.block, self.augment, self.batch_size)


class _CoupledShard(AbstractShard):
    steps: Int[Array, ""]
    theta: Float[Array, "k q"]
    cheap: Float[Array, "n y x bins"]
    costly: Float[Array, "m y x bins"]
    first: Int[Array, " k"]
    second: Int[Array, " k"]
    augment: Callable | None
    batch_size: int = eqx.field(static=True)

    def draw(self, key: Key[Array, ""], step: Int[Array, ""]) -> tuple[Float[Array, "b q"], Float[Array, "b y x c"]]:
        theta, first, second = (
            jax.lax.dynamic_slice_in_dim(rows, step * self.batch_size, self.batch_size)
            for rows in (self.theta, self.first, self.second)
        )
        data = jnp.concatenate([self.cheap[first], self.costly[second]], axis=-1)
        return theta, augmented(self.augment, key, theta, data)


def _check_shapes(theta, maps):
    for name, parameters, suite in zip(("cheap", "costly"), theta, maps, strict=True):
        if suite.ndim != 4 or suite.shape[1] != suite.shape[2]:
            raise ShapeError(name, expected="square maps (n, y, x, bins)", got=suite.shape)
        if parameters.ndim != 2 or len(parameters) != len(suite):
            raise ShapeError(name, expected=f"parameters ({len(suite)}, p) of as many maps", got=parameters.shape)
    if maps[0].shape[1:] != maps[1].shape[1:]:
        remedy = "Average the finer ones over blocks of pixels, and take the same bins."
        raise ShapeError(
            "costly", expected=f"maps {maps[0].shape[1:]} like the cheap ones", got=maps[1].shape[1:], remedy=remedy
        )
    if theta[0].shape[1] != theta[1].shape[1]:
        remedy = "Both suites need the same parameters in the same order."
        raise ShapeError("costly", expected=f"{theta[0].shape[1]} parameters", got=theta[1].shape[1], remedy=remedy)


def _check_finite(theta, maps):
    for name, parameters, suite in zip(("cheap", "costly"), theta, maps, strict=True):
        bad = ~(np.isfinite(parameters).all(axis=1) & np.isfinite(suite).all(axis=(1, 2, 3)))
        if bad.any():
            got = f"NaN or infinity in {bad.sum()} of {bad.size}, first at row {bad.argmax()}"
            raise DataError(name, expected="finite simulations", got=got, remedy="Leave them out, or mend the simulator.")


def _check_overlap(cheap, costly):
    for name, own, other in (("cheap", cheap, costly), ("costly", costly, cheap)):
        inside = np.all((own >= other.min(axis=0)) & (own <= other.max(axis=0)), axis=1).mean()
        # Of few draws from one prior some always lie outside the range of the others.
        if inside < OVERLAP and len(other) > 4 * own.shape[1]:
            raise DataError(
                name, expected="parameters within the range of the other suite's, for they are paired with those",
                got=f"{inside:.0%} of them there", remedy="Simulate both suites from overlapping priors.",
            )  # fmt: skip
