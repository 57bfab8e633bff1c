"""Mixture density network: a sum of Gaussians whose weights, places and shapes one network reads off the condition."""

import jax
import jax.numpy as jnp
from flowjax.distributions import AbstractDistribution
from jaxtyping import Array, Float, Key

from fullfield.networks.bijections import shrink_last_layer, soft_clamp
from fullfield.networks.mlp import MLP


class ConditionalMixture(AbstractDistribution):
    """Mixture of Gaussians with full covariances, in flowjax's interface.

    q(x | c) = Σ_k w_k(c) N(P_k(c) (x - μ_k(c)); 0, 1) |P_k(c)|, with P_k lower triangular of positive diagonal.

    Source: Bishop 1994, Mixture density networks (NCRG/94/004); full covariances as in arXiv:1605.06376, section 2.3.

    Args:
        size: length p of the vectors.
        condition_size: length s of the condition.
        components: number of Gaussians.
        key, width, depth: of the network.
    """

    network: MLP
    places: Float[Array, "k p"]
    shape: tuple[int, ...]
    cond_shape: tuple[int, ...] | None
    components: int
    bound: float = 6.0

    def __init__(self, size: int, condition_size: int, *, components: int, key: Key[Array, ""], width: int, depth: int):
        network_key, places_key = jax.random.split(key)
        outputs = components * (1 + 2 * size + size * (size - 1) // 2)
        self.network = shrink_last_layer(MLP(condition_size, outputs, key=network_key, width=width, depth=depth))
        # Components that start at one place would stay together.
        self.places = 0.5 * jax.random.normal(places_key, (components, size))
        self.shape, self.cond_shape, self.components = (size,), (condition_size,), components

    def _parts(self, condition):
        size = self.shape[0]
        raw = self.network(condition).reshape(self.components, -1)
        logits, means, log_diagonal, off = jnp.split(raw, [1, 1 + size, 1 + 2 * size], axis=1)
        log_diagonal = soft_clamp(log_diagonal, self.bound)
        rows, columns = jnp.tril_indices(size, -1)
        unit = jnp.zeros((self.components, size, size), raw.dtype).at[:, rows, columns].set(off) + jnp.eye(size)
        return jax.nn.log_softmax(logits[:, 0]), self.places + means, unit * jnp.exp(log_diagonal)[:, :, None], log_diagonal

    def _log_prob(self, x, condition=None):
        log_weights, means, roots, log_diagonal = self._parts(condition)
        z = jnp.einsum("kij,kj->ki", roots, x - means)
        log_normal = -0.5 * jnp.sum(z**2, axis=1) - 0.5 * x.size * jnp.log(2 * jnp.pi)
        return jax.nn.logsumexp(log_weights + log_normal + jnp.sum(log_diagonal, axis=1))

    def _sample(self, key, condition=None):
        log_weights, means, roots, _ = self._parts(condition)
        choice_key, noise_key = jax.random.split(key)
        k = jax.random.categorical(choice_key, log_weights)
        noise = jax.random.normal(noise_key, self.shape)
        return means[k] + jax.scipy.linalg.solve_triangular(roots[k], noise, lower=True)
