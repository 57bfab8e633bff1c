"""Compiled programs are kept, until they take too much room."""

import pathlib

import jax
import jax.numpy as jnp
import pytest

from fullfield._core import compilation, make_room


def counted():
    """A program, and a list that grows when it is compiled."""
    traced = []

    @jax.jit
    def program(x):
        traced.append(1)
        return 2 * x

    return program, traced


@pytest.mark.skipif(not pathlib.Path("/proc/self/maps").exists(), reason="mappings are counted on Linux")
def test_programs_are_forgotten_when_they_take_too_much_room():
    program, traced = counted()

    def used():
        return len(compilation.MAPPINGS.read_text().splitlines())

    program(jnp.ones(3))
    make_room(share=0.9)
    program(jnp.ones(3))
    assert len(traced) == 1
    full = used()
    make_room(share=0.0)
    assert used() < full
    program(jnp.ones(3))
    assert len(traced) == 2


def test_where_mappings_cannot_be_counted_nothing_is_forgotten(monkeypatch):
    monkeypatch.setattr(compilation, "MAPPINGS", pathlib.Path("/nowhere"))
    program, traced = counted()
    for _ in range(2):
        program(jnp.ones(3))
        make_room(share=0.0)
    assert len(traced) == 1
