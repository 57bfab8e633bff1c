import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from fullfield.networks import Hybrid, MLP


def build(key):
    return Hybrid(lambda x: jnp.stack([jnp.sum(x), jnp.sum(x**2)]), MLP(4, 3, key=key, width=8), 3, 2, 2, key=key, width=8)


def test_reads_both_parts(key):
    hybrid, x = build(key), jax.random.normal(key, (4,))
    joined = jnp.concatenate([hybrid.statistic(x), hybrid.network(x)])
    np.testing.assert_allclose(hybrid(x), hybrid.head(joined), rtol=1e-6)
    slopes = jax.jacobian(hybrid.head)(joined)
    assert bool(jnp.all(jnp.abs(slopes).max(axis=0) > 1e-4)), "every feature must count"


def test_no_gradient_runs_through_the_statistic(key):
    hybrid, x = build(key), jax.random.normal(key, (4,))
    blind = eqx.tree_at(lambda h: h.network, hybrid, lambda x: jnp.zeros(3))
    assert float(jnp.abs(jax.jacobian(blind)(x)).max()) == 0
    assert float(jnp.abs(jax.jacobian(hybrid)(x)).max()) > 0
