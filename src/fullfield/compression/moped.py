"""Score compression of statistics: as many numbers as parameters, which lose nothing where statistics are Gaussian.

With mean μ and covariance C of statistics x at θ₀ the score of a Gaussian likelihood whose covariance is fixed is

    t = ∂μᵀ C⁻¹ (x - μ),    Cov t = ⟨∂t⟩ = F = ∂μᵀ C⁻¹ ∂μ

(Heavens, Jimenez & Lahav 2000, MNRAS 317, 965; Alsing & Wandelt 2018, MNRAS 476, L60). Of parameters of no interest, η, it is
made independent to first order by t - F_θη F_ηη⁻¹ t_η (Alsing & Wandelt 2019, MNRAS 488, 5093).
"""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jaxtyping import Array, Float, Key

from fullfield._core import ConfigurationError, DataError, stream
from fullfield.compression.base import Composed, Compressor, fixed, Projection
from fullfield.compression.imnn import Tangents
from fullfield.networks import Standardise
from fullfield.simulators import AbstractForwardModel, even_batch


LEAST_EIGENVALUE = 1e-9  # of the Fisher matrix, its diagonal scaled to one: below, derivatives in float32 tell nothing


def moped(
    model: AbstractForwardModel,
    statistic: Callable[[Float[Array, "..."]], Float[Array, " d"]],
    *,
    key: Key[Array, ""],
    theta: Float[Array, " p"] | None = None,
    simulations: int = 1000,
    nuisance: Sequence[str] = (),
) -> Compressor:
    """Compress statistics of data to one number per parameter, each of unit variance at θ₀ and uncorrelated.

    Args:
        model: a forward model that can be differentiated.
        statistic: data to statistics (d,), a callable module.
        key: scalar key.
        theta: θ₀ (p,), the fiducial parameters if not given.
        simulations: at θ₀, for means, derivatives and covariance.
        nuisance: names of parameters against which the summaries are hardened, and for which there are none.

    Returns:
        Data to summary (p - number of nuisance parameters,).

    Raises:
        ConfigurationError: every parameter is a nuisance.
        DataError: there are fewer simulations than twice the statistics, or a parameter or statistic never varies.
        ParameterError: a nuisance is not a parameter of the model.
    """
    space = model.parameters
    out = [space.index(name) for name in nuisance]
    kept = [i for i in range(space.size) if i not in out]
    if not kept:
        raise ConfigurationError(
            "nuisance", expected="at least one parameter that is none", got=list(nuisance),
            remedy="Leave the parameters of interest out of it.",
        )  # fmt: skip
    point = space.fiducial if theta is None else jnp.asarray(theta)
    x, derivatives = (
        np.asarray(rows, np.float64)
        for rows in _statistics(Tangents(model, point[None]), statistic, jax.random.split(stream(key, "moped"), simulations))
    )
    n, d = x.shape
    if n < 2 * d:
        raise DataError(
            "simulations", expected=f"at least {2 * d} for the covariance of {d} statistics", got=n,
            remedy="Take more simulations, or fewer statistics.",
        )  # fmt: skip
    scatter = x.std(axis=0)
    if not (np.isfinite(x).all() and scatter.min() > 0):
        raise DataError(
            "statistic", expected="finite statistics that vary", got=f"others: {np.flatnonzero(~(scatter > 0)).tolist()}",
            remedy="Leave them out.",
        )  # fmt: skip
    standardised, slopes = (x - x.mean(axis=0)) / scatter, derivatives.mean(axis=0) / scatter
    weights = np.linalg.solve(np.atleast_2d(np.cov(standardised, rowvar=False)), slopes.T)  # C⁻¹ ∂μ (d, p)
    fisher = slopes @ weights
    size = np.sqrt(np.diagonal(fisher))
    if not (size.min() > 0 and np.linalg.eigvalsh(fisher / np.outer(size, size))[0] > LEAST_EIGENVALUE):
        raise DataError(
            "statistic", expected="statistics that follow every parameter", got="a singular Fisher matrix",
            remedy="Add statistics, take more simulations, or fix the parameters that these do not tell apart.",
        )  # fmt: skip
    if out:
        weights = weights[:, kept] - weights[:, out] @ np.linalg.solve(fisher[np.ix_(out, out)], fisher[np.ix_(out, kept)])
        fisher = np.linalg.inv(np.linalg.inv(fisher)[np.ix_(kept, kept)])
    root = scipy.linalg.solve_triangular(np.linalg.cholesky(fisher), weights.T, lower=True)
    return _scored(statistic, model.data_shape, x.mean(axis=0), scatter, root)


def scoring(
    statistic: Callable[[Float[Array, "..."]], Float[Array, " d"]], data_shape: tuple[int, ...], size: int
) -> Compressor:
    """A compressor of the kind that `moped` returns with nothing measured, to be loaded into.

    Args:
        statistic: data to statistics (d,), as it was given to `moped`.
        data_shape: shape of one data set.
        size: number of summaries, one per parameter that is no nuisance.
    """
    (d,) = eqx.filter_eval_shape(statistic, jax.ShapeDtypeStruct(data_shape, jnp.float32)).shape
    return _scored(statistic, data_shape, np.zeros(d), np.ones(d), np.zeros((size, d)))


def _scored(statistic, data_shape, mean, scatter, root):
    mean, scatter, root = (jnp.asarray(values, jnp.float32) for values in (mean, scatter, root))
    return fixed(Composed((statistic, Standardise(mean, scatter), Projection(root))), data_shape)


@eqx.filter_jit
def _statistics(tangents, statistic, keys):
    def one(key):
        rows = tangents.simulate_at(key, tangents.points[0])[0]
        x, push = jax.linearize(statistic, rows[0])
        return x, jax.vmap(push)(rows[1:])

    return jax.lax.map(one, keys, batch_size=even_batch(len(keys), tangents.model.batch_size))
