"""A static linear map to coordinates in which the posterior of parameters and latents is nearly white.

    θ = R a,   z = S b + B θ,

where a and b are what a sampler sees, S is the Wiener-type root of the latents' posterior covariance at fixed parameters,
B = -H_zz⁻¹ H_zθ shifts the latents along with the parameters as their conditional mean goes, and R is the root of the
parameters' covariance. For a Gaussian posterior (a, b) is exactly white. The map is linear, so that it changes no density but
by a constant, and any error in it costs speed, never truth.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from fullfield._core import DataError, full_precision, stream
from fullfield.inference.explicit.scaling import AbstractScaling, Dense, Diagonal, inverse_root, Modes, SMALL, Unit
from fullfield.inference.explicit.target import Target


class Preconditioner(eqx.Module):
    """The linear map x = P q between a target's coordinates x = (θ, z) and white ones q = (a, b).

    Args:
        root: R (p, p), lower triangular.
        shear: B (m, p).
        scalings: S, site by site in the target's order.
        sizes: number of latents of each site.
    """

    root: Float[Array, "p p"]
    shear: Float[Array, "m p"]
    scalings: tuple[AbstractScaling, ...]
    sizes: tuple[int, ...] = eqx.field(static=True)

    @classmethod
    def unit(cls, target: Target) -> "Preconditioner":
        """No change of coordinates, of the kind that suits each site of a target."""
        scalings = tuple(_unit_scaling(target, name, shape) for name, shape in target.sites)
        sizes = tuple(int(np.prod(shape)) for _, shape in target.sites)
        p = target.parameters
        return cls(jnp.eye(p), jnp.zeros((sum(sizes), p)), scalings, sizes)

    @full_precision
    def __call__(self, white: Float[Array, " D"]) -> Float[Array, " D"]:
        """P q."""
        p = len(self.root)
        theta = self.root @ white[:p]
        return jnp.concatenate([theta, self.each("__call__", white[p:]) + self.shear @ theta])

    @full_precision
    def inverse(self, position: Float[Array, " D"]) -> Float[Array, " D"]:
        """P⁻¹ x."""
        p = len(self.root)
        theta = position[:p]
        return jnp.concatenate([jnp.linalg.solve(self.root, theta), self.each("inverse", position[p:] - self.shear @ theta)])

    @full_precision
    def transposed(self, gradient: Float[Array, " D"]) -> Float[Array, " D"]:
        """Pᵀ g, the gradient in white coordinates."""
        p = len(self.root)
        theta = self.root.T @ (gradient[:p] + self.shear.T @ gradient[p:])
        return jnp.concatenate([theta, self.each("transposed", gradient[p:])])

    def each(self, method: str, latents: Float[Array, " m"]) -> Float[Array, " m"]:
        """Apply a method of every site's scaling to its part of the latents (m,)."""
        parts = jnp.split(latents, np.cumsum(self.sizes)[:-1]) if self.sizes else []
        return jnp.concatenate(
            [getattr(scaling, method)(part) for scaling, part in zip(self.scalings, parts, strict=True)] or [latents]
        )

    def held(self) -> "Preconditioner":
        """The same with the parameters a thousandth as mobile as their prior is wide."""
        return self.with_covariance(1e-6 * np.eye(len(self.root)))

    def with_covariance(self, covariance: Float[np.ndarray, "p p"]) -> "Preconditioner":
        """The same with another covariance of the parameters."""
        root = np.linalg.cholesky(np.asarray(covariance, np.float64))
        return eqx.tree_at(lambda self: self.root, self, jnp.asarray(root, self.root.dtype))


def _unit_scaling(target: Target, name: str, shape: tuple[int, ...]) -> AbstractScaling:
    size = int(np.prod(shape))
    if target.model.whitened:
        return Unit(size)
    if name in target.model.hartley:
        return Modes.unit(shape[0], shape[-1])
    return Dense(jnp.eye(size)) if size <= SMALL else Diagonal(jnp.ones(size))


def products(
    target: Target,
    data: Float[Array, "c ..."],
    points: Float[Array, "c D"],
    direction: Float[Array | np.ndarray, "*c D"],
    step: float,
) -> Float[np.ndarray, "c D"]:
    """Products of the posterior's curvature with a direction at some points, by differences of gradients.

    A difference over a finite step is the curvature averaged over it, which is what a sampler meets, and compiles nothing new.
    A point from which the step leads where the gradient is not finite, in a corner of the prior, has the mean of the others,
    if the direction is the same for all.

    Raises:
        DataError: there is no other, or each has a direction of its own.
    """
    forward = gradients(target, data, points + step * direction)[1]
    back = gradients(target, data, points - step * direction)[1]
    found = (np.asarray(back, np.float64) - np.asarray(forward, np.float64)) / (2 * step)
    finite = np.isfinite(found).all(axis=1)
    if not finite.any() or (np.ndim(direction) == 2 and not finite.all()):
        raise DataError(
            "model", expected="finite gradients about the chains' places", got="NaN or infinity",
            remedy="Start nearer to the posterior, or look at the model at extreme parameters.",
        )  # fmt: skip
    found[~finite] = found[finite].mean(axis=0)
    return found


@eqx.filter_jit
def gradients(
    target: Target, data: Float[Array, "c ..."], points: Float[Array, "c D"]
) -> tuple[Float[Array, " c"], Float[Array, "c D"]]:
    """Log density and gradient at points (c, D), each with data of its own (c, ...)."""

    def one(pair):
        own = eqx.tree_at(lambda t: t.data, target, pair[0])
        return jax.value_and_grad(own)(pair[1])

    return jax.lax.map(one, (data, points))


def expected(
    target: Target, *, key: Key[Array, ""], theta: Float[Array, " p"] | None = None, simulations: int = 4
) -> tuple[Preconditioner, int]:
    """Preconditioner of an average observation, from simulations at `theta` and no look at the data, and its gradients.

    The latents that made simulated data are an exact draw from their posterior, so that the curvature there is that of a
    typical point. Shear there is none, for it belongs to one observation.

    Args:
        target: the posterior.
        key: scalar key.
        theta: parameters of the simulations, the fiducial ones if not given.
        simulations: number of simulations to average over.
    """
    theta = target.model.parameters.fiducial if theta is None else theta
    data, points = _simulated(target, jax.random.split(stream(key, "simulations"), simulations), theta)
    return learnt(Preconditioner.unit(target), target, data, points, None, key=stream(key, "probes"))


@eqx.filter_jit
def _simulated(target, keys, theta):
    return jax.lax.map(lambda key: target.simulated(key, theta), keys)


def learnt(
    preconditioner: Preconditioner,
    target: Target,
    data: Float[Array, "c ..."],
    points: Float[Array, "c D"],
    means: Float[Array, "c D"] | None,
    *,
    key: Key[Array, ""],
) -> tuple[Preconditioner, int]:
    """Preconditioner from the mean curvature at some points, each with its data, and the gradients it cost.

    The shear is -H_zz⁻¹ H_zθ, solved for: the rings' mean in place of H_zz would leave a lognormal field's parameters half as
    stiff again.

    Args:
        preconditioner: says which kind of scaling each site has.
        target: the posterior.
        data: data of each point.
        points: typical points of the posterior.
        means: posterior means of the latents about each point, for the shear; None for none. At a draw, its own noise would
            enter each of the many elements of the shear.
        key: scalar key, for the probes.
    """
    random = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    p, spent, scalings, start = target.parameters, 0, [], target.parameters
    for scaling, size in zip(preconditioner.scalings, preconditioner.sizes, strict=True):
        probes = scaling.probes(random)
        inside = slice(start, start + size)
        directions = np.zeros((len(probes), target.size), np.float32)
        directions[:, inside] = probes
        curvature = [np.mean(products(target, data, points, d, 0.1), axis=0)[inside] for d in directions]
        scalings.append(scaling.fitted(probes, np.reshape(curvature, probes.shape)))
        start, spent = start + size, spent + 2 * len(points) * len(probes)
    found = eqx.tree_at(lambda self: self.scalings, preconditioner, tuple(scalings))
    precision = np.mean(parameter_curvature(target, data, points), axis=0)[:p]
    spent += 2 * len(points) * p
    shear = np.zeros(preconditioner.shear.shape)
    if means is not None and target.sites and not target.model.whitened:
        curvature, shifts, more = response(found, target, data, means, iterations=6, tolerance=0.03)
        precision = precision + np.mean(np.einsum("cdp,cdq->cpq", curvature[:, p:], shifts), axis=0)
        shear, spent = np.mean(shifts, axis=0), spent + more
    new = (jnp.asarray(inverse_root(precision), points.dtype), jnp.asarray(shear, points.dtype))
    return eqx.tree_at(lambda self: (self.root, self.shear), found, new), spent


def response(
    preconditioner: Preconditioner,
    target: Target,
    data: Float[Array, "c ..."],
    points: Float[Array, "c D"],
    *,
    iterations: int,
    tolerance: float,
    step: float = 0.05,
) -> tuple[Float[np.ndarray, "c D p"], Float[np.ndarray, "c m p"], int]:
    """How latents follow the parameters at some points, by conjugate gradients.

    Args:
        preconditioner: its scalings precondition them.
        target: the posterior.
        data: data of each point.
        points: where.
        iterations: most conjugate gradients per parameter.
        tolerance: of the residual's norm, relative to the right-hand side.
        step: in the parameters, for differences of gradients.

    Returns:
        Columns of the curvature that belong to the parameters; -H_zz⁻¹ H_zθ; and the gradients that this cost.
    """
    p, c = target.parameters, len(points)
    curvature, spent = parameter_curvature(target, data, points, step), 2 * p * c
    shift = np.zeros((c, target.size - p, p))
    solve = eqx.filter_jit(jax.vmap(lambda residual: preconditioner.each("solve", residual)))
    for column in range(p if target.sites else 0):
        residual = -curvature[:, p:, column]
        scaled = np.asarray(solve(jnp.asarray(residual, points.dtype)), np.float64)
        direction, power = scaled, np.sum(residual * scaled, axis=1)
        first = np.maximum(power, 1e-30)
        for _ in range(iterations):
            whole = np.concatenate([np.zeros((c, p)), direction], axis=1)
            # A unit step in white coordinates moves every latent by a tenth of its width.
            length = 0.1 * np.sqrt(direction.shape[1] / np.maximum(np.sum(direction**2, axis=1), 1e-30))
            product = products(target, data, points, jnp.asarray(whole * length[:, None], points.dtype), 1.0)[:, p:]
            product, spent = product / length[:, None], spent + 2 * c
            bent = np.sum(direction * product, axis=1)
            # Where the posterior is no maximum along a direction, there is nothing to go down to.
            rate = np.where(bent > 0, power / np.maximum(bent, 1e-30), 0.0)
            shift[:, :, column] += rate[:, None] * direction
            residual = residual - rate[:, None] * product
            scaled = np.asarray(solve(jnp.asarray(residual, points.dtype)), np.float64)
            new = np.sum(residual * scaled, axis=1)
            if np.all(new <= tolerance**2 * first):
                break
            direction, power = scaled + (new / np.maximum(power, 1e-30))[:, None] * direction, new
    return curvature, shift, spent


def parameter_curvature(
    target: Target, data: Float[Array, "c ..."], points: Float[Array, "c D"], step: float = 0.05
) -> Float[np.ndarray, "c D p"]:
    """Columns of the curvature that belong to the unconstrained parameters, at each point."""
    axes = np.eye(target.parameters, target.size, dtype=np.float32)
    return np.stack([products(target, data, points, axis, step) for axis in axes], axis=-1)
