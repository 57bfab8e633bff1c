"""The cores of a processor, each with work of its own."""

import itertools
import os
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp


X = TypeVar("X")
Y = TypeVar("Y")
MET: set[Hashable] = set()  # programs that are compiled


def on_every_core(work: Callable[[X], Y], inputs: Iterable[X], *, met: bool = False) -> Iterator[Y]:
    """`work(x)` for every input, in their order, as many at a time as this process has cores; on a GPU one after the other.

    Compiled programs run side by side in threads. A program of long loops over small arrays keeps one core busy and no more.

    Args:
        work: what to do.
        inputs: what with.
        met: whether the programs in it are compiled already. If not, the first input goes first, since threads that meet a new
            program compile it each for itself.
    """
    inputs = iter(inputs)
    if not met:
        yield from (work(x) for x in itertools.islice(inputs, 1))
    if jax.default_backend() != "cpu":
        yield from (work(x) for x in inputs)
        return
    pool = ThreadPoolExecutor(_cores())
    try:
        yield from pool.map(lambda x: jax.block_until_ready(work(x)), inputs)
    finally:
        pool.shutdown(cancel_futures=True)  # whoever interrupts waits for what has begun alone


def each_row(program: Callable[[X], Y], rows: X) -> Y:
    """What `jax.vmap(program)(rows)` returns, of a compiled program: rows in one batch on a GPU, one to a core on a CPU.

    Not to be called from inside another program.
    """
    if jax.default_backend() != "cpu":
        return _batch(program, rows)
    each = _apart(rows)
    leaves, structure = jax.tree.flatten((program, each[0]))
    kind = structure, *(jnp.shape(leaf) if eqx.is_array_like(leaf) else leaf for leaf in leaves)
    met = kind in MET
    MET.add(kind)
    return _together(list(on_every_core(program, each, met=met)))


@eqx.filter_jit
def _batch(program, rows):
    return jax.vmap(program)(rows)


@jax.jit
def _apart(rows):
    leaves, structure = jax.tree.flatten(rows)
    return [jax.tree.unflatten(structure, parts) for parts in zip(*leaves, strict=True)]


@jax.jit
def _together(rows):
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
