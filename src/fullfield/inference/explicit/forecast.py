"""The posterior's mode, its Gaussian approximation with the field integrated out, and Fisher forecasts.

With the curvature H of parameters and latents at a point, the parameters' marginal precision in the Gaussian approximation is
the Schur complement H_θθ - H_θz H_zz⁻¹ H_zθ. Conjugate gradients solve for its last part: no matrix is larger than p x p.
"""

import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key
from scipy import optimize

from fullfield._core import DataError, stream
from fullfield.inference.explicit.precondition import expected, gradients, Preconditioner, response
from fullfield.inference.explicit.target import Target
from fullfield.simulators import AbstractForwardModel


SLOPE = 0.3  # at most, at a mode; a smooth density leaves a hundredth, a kink in a parameter of a lensing field's a fifth
MORE = "Let `find_map` take more steps, or start it elsewhere; a chain needs no mode."


class ConvergenceWarning(UserWarning):
    """A climb ended before it reached a mode."""


class Mode(eqx.Module):
    """Mode of the joint posterior of unconstrained parameters and latents.

    Args:
        theta: parameters (p,).
        latents: latents by site.
        point: both as one vector (D,).
        log_density: log posterior there, up to a constant.
        slope: largest element of the gradient in white coordinates, zero at an exact mode; about as many standard deviations
            from it where the coordinates are white indeed.
        gradients: evaluations of the gradient.
    """

    theta: Float[Array, " p"]
    latents: dict[str, Float[Array, "..."]]
    point: Float[Array, " D"]
    log_density: float
    slope: float
    gradients: int


class Laplace(eqx.Module):
    """Gaussian approximation of the parameters' posterior, the latents integrated out.

    Args:
        theta: its mean: the mode (p,).
        covariance: in the parameters (p, p).
        unconstrained_covariance: in the unconstrained parameters (p, p).
        gradients: evaluations of the gradient.
    """

    theta: Float[np.ndarray, " p"]
    covariance: Float[np.ndarray, "p p"]
    unconstrained_covariance: Float[np.ndarray, "p p"]
    gradients: int


def find_map(
    model: AbstractForwardModel,
    data: Float[Array | np.ndarray, "..."],
    *,
    key: Key[Array, ""],
    start: Float[Array | np.ndarray, " p"] | None = None,
    steps: int = 300,
) -> Mode:
    """Climb to the mode of the joint posterior by L-BFGS in whitened coordinates.

    The density is that of unconstrained parameters and white latents, and the answer depends on these coordinates; where there
    are many latents, the parameters' mode can lie far from their marginal posterior, and a chain is the judge.

    Args:
        model: an explicit model.
        data: the observation.
        key: scalar key, for the preconditioner and the latents to start from.
        start: parameters to start from, the fiducial ones if not given.
        steps: most steps of L-BFGS.

    Raises:
        ConfigurationError: the model has no joint density; says which methods remain.
        ParameterError: `start` is outside the prior.

    Warns:
        ConvergenceWarning: the slope where it ended is no mode's.
    """
    target = Target(model, data)
    theta = _checked(target, start)
    preconditioner, spent = expected(target, key=stream(key, "preconditioner"), theta=theta, simulations=2)
    transposed, forward = eqx.filter_jit(preconditioner.transposed), eqx.filter_jit(preconditioner)

    def descend(white):
        value, slope = gradients(target, target.data[None], forward(jnp.asarray(white, target.data.dtype))[None])
        return -float(value[0]), -np.asarray(transposed(slope[0]), np.float64)

    latents = {name: jnp.zeros(shape) for name, shape in target.sites}
    first = np.asarray(preconditioner.inverse(target.join(theta, latents)), np.float64)
    found = optimize.minimize(descend, first, jac=True, method="L-BFGS-B", options={"maxiter": steps, "maxfun": 2 * steps})
    point, steepest = forward(jnp.asarray(found.x, target.data.dtype)), float(np.abs(found.jac).max())
    if not steepest <= SLOPE:
        warnings.warn(
            f"the climb ended after {found.nit} of {steps} steps ({found.message}) at a slope of {steepest:.3g}, which is more "
            f"than {SLOPE}: this is no mode. Take more steps, or start it elsewhere.",
            ConvergenceWarning,
            stacklevel=2,
        )
    return Mode(
        target.theta(point), target.split(point)[1], point, -float(found.fun), steepest, int(found.nfev) + spent
    )  # fmt: skip


def _checked(target, theta):
    """Parameters inside the prior, the fiducial ones if none are given."""
    if theta is None:
        return target.model.parameters.fiducial
    theta = jnp.asarray(theta, float)
    target.model.parameters.check(theta)
    return theta


def laplace(
    model: AbstractForwardModel, data: Float[Array | np.ndarray, "..."], *, key: Key[Array, ""], mode: Mode | None = None
) -> Laplace:
    """Gaussian approximation at the mode, with the latents integrated out.

    Args:
        model: an explicit model.
        data: the observation.
        key: scalar key.
        mode: where to expand; found by `find_map` if not given.

    Raises:
        ConfigurationError: the model has no joint density; says which methods remain.
        DataError: `mode` is no maximum: there is a slope, or the curvature is negative.

    Warns:
        ConvergenceWarning: as `find_map`.
    """
    target = Target(model, data)
    mode = find_map(model, data, key=stream(key, "mode")) if mode is None else mode
    if not mode.slope <= SLOPE:
        raise DataError(
            "mode", expected=f"a maximum of the posterior, a slope of at most {SLOPE}", got=f"one of {mode.slope:.3g}",
            remedy=MORE,
        )  # fmt: skip
    preconditioner, begun = expected(target, key=stream(key, "preconditioner"), theta=mode.theta, simulations=2)
    precision, spent = marginal_precision(target, preconditioner, target.data[None], mode.point[None])
    least = float(np.linalg.eigvalsh(precision)[0])
    if least <= 0:
        raise DataError(
            "mode", expected="a maximum of the posterior", got=f"a point with the curvature {least:.3g} in one direction",
            remedy=MORE,
        )  # fmt: skip
    covariance = np.linalg.inv(precision)
    jacobian = _jacobian(target, mode.theta)
    theta = np.asarray(mode.theta)
    return Laplace(theta, jacobian @ covariance @ jacobian.T, covariance, mode.gradients + begun + spent)


def fisher(
    model: AbstractForwardModel, theta: Float[Array, " p"] | None = None, *, key: Key[Array, ""], simulations: int | None = None
) -> Float[np.ndarray, "p p"]:
    """Fisher matrix of the data about the parameters, the prior not included, from the model's own derivatives.

    Likelihoods from elsewhere in the model (`obs=`) count with the data, by their curvature.

    Each simulation's latents and parameters are an exact draw from the posterior given its data; the Schur complement of the
    curvature there, averaged, is the Fisher matrix with the latents integrated out in the Gaussian approximation. It is exact
    for linear-Gaussian models, and for models without latents up to the number of simulations.

    Args:
        model: an explicit model.
        theta: where to forecast, the fiducial parameters if not given.
        key: scalar key.
        simulations: number of simulations to average over; 8 if not given, or 1000 where there are no latents, as each costs
            little then and only the curvature's mean is no matrix of noise.

    Raises:
        ConfigurationError: the model has no joint density; says which methods remain.
        ParameterError: `theta` is outside the prior.

    Warns:
        ConvergenceWarning: the average is not positive definite; in its weakest direction it is noise.
    """
    blank = eqx.filter_eval_shape(model.simulate_at, jax.random.key(0), model.parameters.fiducial)
    target = Target(model, jnp.zeros(blank.shape))
    theta = _checked(target, theta)
    simulations = simulations or (8 if target.sites else 1000)
    preconditioner, _ = expected(target, key=stream(key, "preconditioner"), theta=theta, simulations=2)
    keys = jax.random.split(stream(key, "forecast"), simulations)
    data, points = eqx.filter_jit(lambda keys: jax.lax.map(lambda k: target.simulated(k, theta), keys))(keys)
    precision, _ = marginal_precision(target, preconditioner, data, points)
    space = target.model.parameters

    def prior(unconstrained):
        values = space.to_constrained(unconstrained)
        return space.log_prob(values) - space.log_det_unconstrained(values)

    precision = precision + np.asarray(jax.hessian(prior)(space.to_unconstrained(theta)), np.float64)
    back = np.linalg.inv(_jacobian(target, theta))
    found = back.T @ precision @ back
    if not np.linalg.eigvalsh(precision)[0] > 0:
        warnings.warn(
            f"the average over {simulations} simulations is not positive definite: of a direction that data hardly tell it has "
            "more noise than information. Take more simulations, or add the prior's precision before inverting.",
            ConvergenceWarning,
            stacklevel=2,
        )
    return found


def marginal_precision(
    target: Target,
    preconditioner: Preconditioner,
    data: Float[Array, "c ..."],
    points: Float[Array, "c D"],
    *,
    iterations: int = 40,
    tolerance: float = 1e-4,
) -> tuple[Float[np.ndarray, "p p"], int]:
    """Schur complement of the curvature over the latents, averaged over points, and the gradients it cost.

    Args:
        target: the posterior.
        preconditioner: its scalings precondition the conjugate gradients.
        data: data of each point.
        points: where to expand.
        iterations: most conjugate gradients per parameter.
        tolerance: of the residual's norm, relative to the right-hand side.
    """
    p = target.parameters
    curvature, shift, spent = response(
        preconditioner, target, data, points, step=0.02, iterations=iterations, tolerance=tolerance
    )
    schur = curvature[:, :p] + np.einsum("cdp,cdq->cpq", curvature[:, p:], shift)
    mean = np.mean(schur, axis=0)
    return (mean + mean.T) / 2, spent


def _jacobian(target: Target, theta: Float[Array, " p"]) -> np.ndarray:
    """Derivatives ∂θ / ∂u of the parameters (p, p), diagonal only where the prior is independent."""
    space = target.model.parameters
    return np.asarray(jax.jacfwd(space.to_constrained)(space.to_unconstrained(theta)), np.float64)
