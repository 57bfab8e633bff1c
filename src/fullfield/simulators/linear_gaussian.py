"""A world in which everything is known in closed form: linear response, Gaussian latents and noise.

    x = A θ + s L z + σ n,   θ ~ N(0, 1),   z, n ~ N(0, 1),

with A a smooth response, L the square root of an exponential correlation, s and σ amplitudes. Its data covariance is
C = s² L Lᵀ + σ² 1, so that score, optimal summary, Fisher matrix, posterior and evidence follow from linear algebra
(e.g. Alsing & Wandelt 2018, MNRAS 476, L60, sections 2-3). Every method of the package is held against it.
"""

import equinox as eqx
import jax.numpy as jnp
import jax.scipy as jsp
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float

from fullfield._core import full_precision, ParameterError
from fullfield.parameters import Parameter, ParameterSpace
from fullfield.simulators.forward import AbstractExplicitModel, DATA, sample_parameters


class LinearGaussian(AbstractExplicitModel):
    """Linear-Gaussian forward model with data (d,), latents "z" (d,) and p standard-normal parameters.

    Args:
        n_data: length d of the data vector.
        n_parameters: number of parameters p.
        latent_scale: amplitude s of the correlated latents.
        noise_scale: amplitude σ of the white noise.
        correlation_length: correlation length of the latents, in data elements.
    """

    parameters: ParameterSpace
    n_data: int = eqx.field(static=True)
    latent_scale: float
    noise_scale: float
    correlation_length: float

    def __init__(
        self,
        n_data: int = 24,
        n_parameters: int = 3,
        latent_scale: float = 1.0,
        noise_scale: float = 1.0,
        correlation_length: float = 2.0,
    ):
        if n_data < n_parameters:
            raise ParameterError("n_data", expected=f"at least {n_parameters} (one per parameter)", got=n_data)
        if min(latent_scale, noise_scale, correlation_length) <= 0:
            raise ParameterError("latent_scale, noise_scale, correlation_length", expected="positive numbers", got="others")
        self.parameters = ParameterSpace(
            {f"theta_{i + 1}": Parameter(dist.Normal(0.0, 1.0), label=rf"\theta_{i + 1}") for i in range(n_parameters)}
        )
        self.n_data = n_data
        self.latent_scale, self.noise_scale, self.correlation_length = latent_scale, noise_scale, correlation_length

    @property
    def response(self) -> Float[Array, "d p"]:
        """Response matrix A: a constant, then cosines, of amplitude one half so that parameters stay uncertain."""
        position = (jnp.arange(self.n_data) + 0.5) / self.n_data
        return 0.5 * jnp.cos(jnp.pi * position[:, None] * jnp.arange(self.parameters.size))

    @property
    def latent_root(self) -> Float[Array, "d d"]:
        """Lower Cholesky factor L of the latents' correlation exp(-|i-j| / correlation_length)."""
        lag = jnp.abs(jnp.arange(self.n_data)[:, None] - jnp.arange(self.n_data))
        return jnp.linalg.cholesky(jnp.exp(-lag / self.correlation_length))

    @property
    def covariance(self) -> Float[Array, "d d"]:
        """Data covariance C at fixed parameters, latents integrated out."""
        return self.latent_scale**2 * self.latent_root @ self.latent_root.T + self.noise_scale**2 * jnp.eye(self.n_data)

    def program(self) -> None:
        """Run the NumPyro program: standard-normal parameters, latents "z" (d,), data (d,)."""
        theta = self.parameters.as_vector(sample_parameters(self.parameters))
        z = numpyro.sample("z", dist.Normal(jnp.zeros(self.n_data), 1.0).to_event(1))
        mean = self.response @ theta + self.latent_scale * self.latent_root @ z
        numpyro.sample(DATA, dist.Normal(mean, self.noise_scale).to_event(1))

    @full_precision
    def optimal_summary(self, data: Float[Array, " d"]) -> Float[Array, " p"]:
        """Sufficient statistic Aᵀ C⁻¹ x (p,): the marginal score at θ = 0."""
        return self.response.T @ jnp.linalg.solve(self.covariance, data)

    @full_precision
    def marginal_score(self, theta: Float[Array, " p"], data: Float[Array, " d"]) -> Float[Array, " p"]:
        """∂ log p(data | theta) / ∂ theta (p,), latents integrated out."""
        return self.optimal_summary(data - self.response @ theta)

    @full_precision
    def fisher(self, theta: Float[Array, " p"]) -> Float[Array, "p p"]:
        """Fisher matrix Aᵀ C⁻¹ A (p, p) of the data, the prior not included; the same at every theta."""
        return self.response.T @ jnp.linalg.solve(self.covariance, self.response)

    @full_precision
    def posterior(self, data: Float[Array, " d"]) -> tuple[Float[Array, " p"], Float[Array, "p p"]]:
        """Mean (p,) and covariance (p, p) of the exact, Gaussian posterior."""
        covariance = jnp.linalg.inv(self.fisher(self.parameters.fiducial) + jnp.eye(self.parameters.size))
        return covariance @ self.optimal_summary(data), covariance

    @full_precision
    def log_evidence(self, data: Float[Array, " d"]) -> Float[Array, ""]:
        """Log p(data), parameters and latents integrated out."""
        covariance = self.covariance + self.response @ self.response.T
        return jnp.asarray(jsp.stats.multivariate_normal.logpdf(data, jnp.zeros(self.n_data), covariance))

    def mutual_information(self) -> Float[Array, ""]:
        """Exact mutual information of data and parameters in nats, ½ log det(1 + F)."""
        return 0.5 * jnp.linalg.slogdet(jnp.eye(self.parameters.size) + self.fisher(self.parameters.fiducial))[1]
