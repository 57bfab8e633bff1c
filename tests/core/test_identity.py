"""Digests of functions."""

import functools
import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro.distributions as dist
import pytest

from fullfield._core import digest
from fullfield.parameters import Parameter, ParameterSpace
from fullfield.simulators import BlackBoxModel


def simulator(noise):
    return lambda key, theta: theta + noise * jax.random.normal(key)


def black_box(noise):
    return BlackBoxModel(simulator(noise), ParameterSpace({"a": Parameter(dist.Normal(0.0, 1.0))}))


class Augmentation:
    def __init__(self, noise):
        self.noise = noise

    def __call__(self, key, theta, data):
        return data + self.noise

    def twice(self, key, theta, data):
        return data + 2 * self.noise


def test_models_and_functions_that_close_over_other_numbers_differ():
    for make in (simulator, black_box, Augmentation, lambda noise: Augmentation(noise).twice):
        assert digest(make(0.1)) != digest(make(0.5))
        assert digest(make(0.1)) == digest(make(0.1))


def test_functions_of_one_name_with_another_body_differ():
    functions = [
        lambda x: x + 1,
        lambda x: x + 2,
        lambda x: x - 1,
        lambda x, y=1: x + 1,
        lambda x: jnp.sin(x),
        lambda x: jnp.cos(x),
        lambda x: (lambda y: y + 1)(x),
        lambda x: (lambda y: y + 2)(x),
        lambda x: x in {"a", "b"},
        lambda x: x in {"a", "c"},
    ]
    assert len({digest(function) for function in functions}) == len(functions)
    assert len({digest(jax.jit(function)) for function in functions}) == len(functions)


def test_partial_functions_differ_by_what_they_fix():
    partials = [functools.partial(simulator, 0.1), functools.partial(simulator, 0.2), functools.partial(simulator, noise=0.1)]
    assert len({digest(partial) for partial in partials}) == 3
    assert digest(functools.partial(simulator, 0.1)) == digest(partials[0])


def test_functions_hidden_in_static_fields_count(key):
    linear, other = (eqx.nn.Lambda(simulator(noise)) for noise in (0.1, 0.2))
    assert digest(linear) != digest(other)
    networks = [eqx.nn.MLP(1, 1, 2, 1, activation=function, key=key) for function in (jnp.tanh, jax.nn.relu)]
    assert digest(networks[0]) != digest(networks[1])


def test_functions_that_contain_themselves_end():
    def endless(x):
        return endless(x)

    assert digest(endless) == digest(endless)


DEFINITION = """
import functools
import jax

def make(noise, kinds=frozenset({"a", "b", "c"})):
    def simulate(key, theta, n=3):
        inner = lambda x: x * noise if x in {"one", "two", "three"} else jax.numpy.sin(x)
        return [inner(x) for x in theta]
    return simulate

function = functools.partial(make(0.1), n=4)
"""


@pytest.mark.parametrize("seed", ["1", "2"])
def test_equal_definitions_share_a_digest_in_two_processes(seed):
    namespace = {}
    exec(DEFINITION, namespace)
    code = DEFINITION + "from fullfield._core import digest; print(digest(function, make))"
    environment = {"PYTHONHASHSEED": seed, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == digest(namespace["function"], namespace["make"])
