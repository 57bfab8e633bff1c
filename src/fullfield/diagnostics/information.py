"""How much summaries say of the parameters, in nats."""

from jaxtyping import Float

from fullfield._core import ShapeError
from fullfield.diagnostics.record import Number
from fullfield.diagnostics.samples import as_finite, Numeric


def mutual_information(log_posterior: Float[Numeric, " n"], log_prior: Float[Numeric, " n"]) -> Number:
    """A lower bound on the mutual information of parameters and summaries: mean of log q(θ | t) - log p(θ).

    An exact posterior reaches it (Barber & Agakov 2003, NIPS 16), so that summaries compare by it if their posteriors were
    trained alike: what one has lost beside another is the difference.

    Args:
        log_posterior: log density of parameters under the posterior given the summaries of their own simulations (n,), none of
            which any training has seen: `jax.vmap(posterior.log_prob)(theta, summaries)`.
        log_prior: log density of the same parameters under the prior, from which they were drawn (n,).

    Returns:
        The bound in nats, "mutual_information", with its standard error over the simulations.

    Raises:
        DataError: values that are not finite.
        ShapeError: arrays that do not belong together, or fewer than two values.
    """
    if log_posterior.ndim != 1 or log_posterior.shape != log_prior.shape or len(log_posterior) < 2:
        raise ShapeError("log_posterior", expected=f"shape {log_prior.shape} of at least two", got=log_posterior.shape)
    gain = as_finite("log_posterior", log_posterior) - as_finite("log_prior", log_prior)
    return Number("mutual_information", gain.mean(), gain.std(ddof=1) / len(gain) ** 0.5)
