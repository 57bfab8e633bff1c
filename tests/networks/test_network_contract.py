"""Every registered network and density keeps the same promises."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield._core import ConfigurationError, load_module, save_module
from fullfield.networks import DENSITIES, NETWORKS
from fullfield.training.epoch import join_trained, split_trained


SMALL_NETWORKS = {
    "cnn": ((16, 16, 2), {"widths": (4, 8), "blocks": (1, 1)}),
    "mlp": ((3, 4), {"width": 8}),
    "powers": ((16, 16, 2), {"width": 8, "window": 4, "filters": 4}),
    "resnet18": ((32, 32, 2), {"widths": (4, 4, 8, 8)}),
}
SMALL_DENSITIES = {
    "gaussian": {"width": 8},
    "masked_autoregressive": {"width": 8, "layers": 3, "depth": 1},
    "mixture": {"width": 8, "components": 3},
    "real_nvp": {"width": 8},
    "smooth_flow": {"width": 8, "layers": 3},
    "spline_flow": {"width": 8, "layers": 3},
}
CASES = [*(("network", name) for name in NETWORKS), *(("density", name) for name in DENSITIES)]


def perturbed(module, key):
    """The module away from its initial weights, where branches that start at zero count."""
    weights, static = eqx.partition(module, eqx.is_inexact_array)
    leaves, structure = jax.tree.flatten(weights)
    keys = jax.random.split(key, len(leaves))
    leaves = [leaf + 0.2 * jax.random.normal(k, leaf.shape) for leaf, k in zip(leaves, keys, strict=True)]
    return eqx.combine(jax.tree.unflatten(structure, leaves), static)


def build(kind, name, key):
    """A small module, and a scalar-valued function of it and one input."""
    if kind == "network":
        shape, settings = SMALL_NETWORKS[name]
        return NETWORKS[name](shape, 3, key=key, **settings), lambda net, x: jnp.sum(jnp.tanh(net(x))), shape
    density = DENSITIES[name](3, 2, key=key, **SMALL_DENSITIES[name])
    return density, lambda q, x: q.log_prob(x[:3], x[3:]), (5,)


@pytest.fixture(params=CASES, ids=lambda case: case[1])
def case(request, key):
    module, value, shape = build(*request.param, key)
    return request.param, perturbed(module, jax.random.key(1)), value, jax.random.normal(jax.random.key(2), (3, *shape))


def test_jit_equals_eager_and_vmap_equals_loop(case):
    _, module, value, inputs = case
    single = eqx.filter_jit(value)
    loop = jnp.stack([single(module, x) for x in inputs])
    batched = eqx.filter_jit(eqx.filter_vmap(value, in_axes=(None, 0)))(module, inputs)
    np.testing.assert_allclose(batched, loop, rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(value(module, inputs[0]), loop[0], rtol=2e-4, atol=2e-5)
    assert loop.dtype == jnp.float32
    assert np.ptp(loop) > 1e-3, "the input must matter"


def test_gradients_equal_finite_differences(case):
    (kind, name), module, value, inputs = case
    with jax.enable_x64(True):
        to_double = lambda leaf: jnp.asarray(np.asarray(leaf, np.float64)) if eqx.is_inexact_array(leaf) else leaf  # noqa: E731
        weights, static = split_trained(jax.tree.map(to_double, module))
        at = (weights, to_double(inputs[0]))
        random = np.random.default_rng(3)
        direction = jax.tree.map(lambda leaf: random.normal(size=np.shape(leaf)), at)

        @jax.jit
        @jax.value_and_grad
        def along(step):
            weights, x = jax.tree.map(lambda a, d: a + step * d, at, direction)
            return value(join_trained(weights, static), x)

        expected = (along(1e-6)[0] - along(-1e-6)[0]) / 2e-6
        np.testing.assert_allclose(along(0.0)[1], expected, rtol=1e-5, atol=1e-7)
    gradient = eqx.filter_jit(eqx.filter_grad(lambda pair: value(*pair)))((module, inputs[0]))
    assert all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(gradient)), f"{kind} {name} in float32"


def test_one_trace_for_equal_shapes(case):
    request, module, value, inputs = case
    traces = []

    @eqx.filter_jit
    def function(module, x):
        traces.append(1)
        return value(module, x)

    other = build(*request, jax.random.key(7))[0]
    values = [function(module, inputs[0]), function(module, inputs[1]), function(other, inputs[0])]
    assert len(traces) == 1
    assert len({float(v) for v in values}) == 3


def test_save_and_load_round_trip(case, tmp_path):
    request, module, value, inputs = case
    save_module(tmp_path / "module", module)
    loaded = load_module(tmp_path / "module", build(*request, jax.random.key(8))[0])
    assert eqx.tree_equal(eqx.filter(loaded, eqx.is_array), eqx.filter(module, eqx.is_array))
    assert float(value(loaded, inputs[0])) == float(value(module, inputs[0]))


def test_unknown_name_lists_the_known():
    with pytest.raises(ConfigurationError, match=r"Did you mean 'resnet18'.*cnn, mlp, powers, resnet18"):
        NETWORKS["resnet"]
