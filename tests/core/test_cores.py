"""Work on every core gives what work on one gives."""

import threading
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield._core import each_row, make_room, on_every_core
from fullfield._core.cores import _cores


class Power(eqx.Module):
    exponent: jax.Array
    traced: list = eqx.field(static=True)

    @eqx.filter_jit
    def __call__(self, row):
        x, key = row
        self.traced.append(1)
        return x**self.exponent, jax.random.normal(key, (3,))


class Traced(list):
    """Equal by identity, as what a program is compiled for must be."""

    __hash__ = object.__hash__
    __eq__ = object.__eq__


def test_rows_are_those_of_a_batch_and_compiled_once():
    rows = (jnp.arange(12.0).reshape(6, 2), jax.random.split(jax.random.key(0), 6))
    traced = Traced()
    program = Power(jnp.asarray(2.0), traced)
    for _ in range(2):
        found = each_row(program, rows)
        for one, other in zip(found, jax.vmap(lambda x, k: (x**2, jax.random.normal(k, (3,))))(*rows), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6)
    assert len(traced) == 1
    make_room(share=0.0)
    each_row(program, rows)
    assert len(traced) == 2  # once again, not in every thread


@pytest.mark.skipif(_cores() < 2, reason="of one core")
def test_cores_work_at_the_same_time_and_in_order():
    barrier = threading.Barrier(2, timeout=10)

    def work(x):
        barrier.wait()  # breaks if nobody else comes
        time.sleep(0.01 * (3 - x))
        return x

    assert list(on_every_core(work, range(4), met=True)) == [0, 1, 2, 3]


def test_a_new_program_is_met_once():
    met = []

    def work(x):
        met.append(x)
        time.sleep(0.05)
        return len(met)

    assert next(on_every_core(work, range(4))) == 1


def test_whoever_stops_early_does_not_wait_for_the_rest():
    done = []

    def work(x):
        time.sleep(0.01)
        done.append(x)

    for _ in zip(range(2), on_every_core(work, range(1000)), strict=False):
        pass
    assert len(done) < 100


def test_errors_of_the_work_are_raised():
    with pytest.raises(ZeroDivisionError):
        list(on_every_core(lambda x: 1 / x, [1, 0]))
