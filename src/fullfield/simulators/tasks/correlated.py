"""A Gaussian prior that correlates the parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float, Key

from fullfield._core import full_precision
from fullfield.parameters import Parameter, ParameterSpace


class CorrelatedGaussian(ParameterSpace):
    """Parameters with a joint Gaussian prior of zero mean; their entries hold its marginals.

    Its unconstrained coordinates are the whitened ones, z = L⁻¹ θ with L the Cholesky factor of the covariance.

    Args:
        labels: map from name to LaTeX label; its order is the order of the parameters.
        precision: inverse covariance (p, p).
    """

    root: Float[Array, "p p"]
    whitener: Float[Array, "p p"]

    def __init__(self, labels: dict[str, str], precision: np.ndarray):
        covariance = np.linalg.inv(np.asarray(precision, np.float64))
        scales = np.sqrt(np.diag(covariance))
        marginals = zip(labels.items(), scales, strict=True)
        super().__init__({name: Parameter(dist.Normal(0.0, float(scale)), label=label) for (name, label), scale in marginals})
        root = np.linalg.cholesky(covariance)
        self.root, self.whitener = jnp.asarray(root, float), jnp.asarray(np.linalg.inv(root), float)

    def draw_sites(self) -> Float[Array, " p"]:
        """Open one NumPyro sample site per parameter, each Gaussian given those before it; returns theta (p,)."""
        theta = []
        for i, name in enumerate(self.names):
            loc = -sum((self.whitener[i, j] * value for j, value in enumerate(theta)), jnp.zeros(())) / self.whitener[i, i]
            theta.append(jnp.asarray(numpyro.sample(name, dist.Normal(loc, 1 / self.whitener[i, i]))))
        return jnp.stack(theta)

    def sample(self, key: Key[Array, ""], shape: tuple[int, ...] = ()) -> Float[Array, "*shape p"]:
        """Draw parameter vectors from the prior, shape (*shape, p)."""
        return self.to_constrained(jax.random.normal(key, (*shape, self.size)))

    def log_prob(self, theta: Float[Array, "*batch p"]) -> Float[Array, "*batch"]:
        """Log density of the prior."""
        whitened = dist.Normal(0.0, 1.0).log_prob(self.to_unconstrained(theta))
        return jnp.sum(whitened, axis=-1) + self.log_det_unconstrained(theta)

    @full_precision
    def to_unconstrained(self, theta: Float[Array, "*batch p"]) -> Float[Array, "*batch p"]:
        """Whiten parameters (..., p)."""
        return theta @ self.whitener.T

    @full_precision
    def to_constrained(self, unconstrained: Float[Array, "*batch p"]) -> Float[Array, "*batch p"]:
        """Map whitened coordinates (..., p) to parameters (..., p)."""
        return unconstrained @ self.root.T

    def log_det_unconstrained(self, theta: Float[Array, "*batch p"]) -> Float[Array, "*batch"]:
        """Log |d unconstrained / d theta|, a constant."""
        return jnp.broadcast_to(jnp.sum(jnp.log(jnp.diag(self.whitener))), theta.shape[:-1])
