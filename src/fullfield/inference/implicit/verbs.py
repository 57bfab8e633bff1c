"""The verbs that users of the `sbi` package know, beside `train_npe` and its siblings.

    inference = NPE(prior)
    inference.append_simulations(theta, x).train()
    posterior = inference.build_posterior().set_default_x(x_observed)
    draws = posterior.sample((1000,))

These classes hold state, as theirs do; all work is done by the functions. Random numbers follow from `seed` and the number of
calls. `sbi`'s own names of settings are understood where there is an equal: `density_estimator` as "nsf", "maf", "mdn" or a
function, `stop_after_epochs` and `learning_rate`.
"""

import inspect
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fullfield._core import ConfigurationError, ShapeError, stream
from fullfield.datasets import StoredSimulations
from fullfield.inference.implicit.estimate import check_enough, check_vector
from fullfield.inference.implicit.finite import finite_rows
from fullfield.inference.implicit.fmpe import train_fmpe
from fullfield.inference.implicit.nle import train_nle
from fullfield.inference.implicit.npe import train_npe
from fullfield.inference.implicit.nre import train_nre
from fullfield.inference.implicit.priors import parameter_space, Prior
from fullfield.inference.implicit.proposals import truncate, TruncatedPrior
from fullfield.inference.implicit.scores import check_takes_scores
from fullfield.inference.observation import check_observation, warn_if_outside
from fullfield.inference.posterior import AbstractPosterior, unwatched
from fullfield.networks import masked_autoregressive, mixture, spline_flow
from fullfield.training import cosine_adam, History


ESTIMATORS = {"nsf": spline_flow, "maf": masked_autoregressive, "mdn": mixture}
RENAMED = {"density_estimator": "density", "stop_after_epochs": "patience"}


class ConditionedPosterior:
    """A posterior with the verbs of `sbi`.

    Args:
        posterior: the posterior that does the work.
        seed: of its draws.
        simulated: summaries (n, s) that observations should look like; if not given, the posterior's own memory of them.
    """

    def __init__(self, posterior: AbstractPosterior, seed: int = 0, simulated: Float[np.ndarray, "n s"] | None = None):
        # With the simulations at hand this looks closer than the posterior, and once at every observation.
        self.posterior = posterior if simulated is None else unwatched(posterior)
        self._seed, self._calls, self._x = seed, 0, None
        self._simulated: np.ndarray | None = simulated
        self._seen: np.ndarray | None = None

    def set_default_x(self, x: Any) -> "ConditionedPosterior":
        """Remember the observation that is meant where none is given.

        Warns:
            OutsideSimulationsWarning: it is unlike the simulations. Every other verb warns of its own `x`, too.
        """
        self._x = self._observation(x)
        return self

    def sample(self, shape: tuple[int, ...] | int = (1,), x: Any = None) -> Float[Array, "..."]:
        """Draw parameter vectors (*shape, p); every call draws others."""
        shape = (shape,) if isinstance(shape, int) else shape
        key = jax.random.fold_in(stream(jax.random.key(self._seed), "draws"), self._calls)
        self._calls += 1
        draws = self.posterior.sample(key, self._observation(x), int(np.prod(shape)))
        return draws.reshape(*shape, draws.shape[-1])

    def log_prob(self, theta: Any, x: Any = None) -> Float[Array, " n"]:
        """Log density at parameter vectors (n, p), or at one (p,).

        Raises:
            ShapeError: they are of another length.
        """
        theta, size = jnp.atleast_2d(jnp.asarray(theta, float)), self.posterior.parameters.size
        if theta.ndim != 2 or theta.shape[1] != size:
            raise ShapeError("theta", expected=f"(n, {size}) or ({size},)", got=jnp.shape(theta))
        return _log_probs(self.posterior, theta, self._observation(x))

    def truncated(self, x: Any = None) -> TruncatedPrior:
        """The proposal for another round of NPE or FMPE: draw parameters with its `draw(key, n)`."""
        return truncate(self.posterior, self._observation(x), key=stream(jax.random.key(self._seed), "truncated"))

    def _observation(self, x):
        x = self._x if x is None else x
        if x is None:
            raise ConfigurationError("x", expected="an observation", got="none", remedy="Give x, or call set_default_x.")
        x, shape = jnp.asarray(x, float), self.posterior.data_shape
        x = x[0] if x.shape == (1, *shape) else x
        check_observation(x, shape)
        if self._simulated is not None and (self._seen is None or not np.array_equal(x, self._seen)):
            warn_if_outside(x, self._simulated)
            self._seen = np.asarray(x)
        return x


@eqx.filter_jit
def _log_probs(posterior, theta, observation):
    return jax.vmap(lambda t: posterior.log_prob(t, observation))(theta)


class _Inference:
    """Collects simulations and trains on all of them."""

    _train: ClassVar[Callable[..., tuple[AbstractPosterior, History]]]
    _any_proposal: ClassVar[bool] = False

    def __init__(self, prior: Prior, *, seed: int = 0, **settings: Any):
        self.prior, self.seed, self.settings = parameter_space(prior), seed, self._known(settings)
        self.left_out, self.history = 0, None
        self._given, self._sets, self._posterior = prior, [], None

    def append_simulations(self, theta: Any, x: Any, proposal: Any = None, *, leave_out: bool = False) -> "_Inference":
        """Add simulations.

        Args:
            theta: parameters (n, p) inside the prior.
            x: summaries (n, s), with `score_weight` rows of summary and score.
            proposal: what theta was drawn from, if not from the prior: anything for NLE and NRE, a truncated prior for NPE
                and FMPE.
            leave_out: whether simulations that are not finite are left out and counted (`left_out`), or refused.

        Raises:
            ConfigurationError: NPE or FMPE would need a correction for this proposal.
            ParameterError: theta lies outside the prior.
            ShapeError: theta and x differ in length, either is not a vector for each simulation, or x is longer than before.
            DataError: simulations are not finite.
        """
        same = proposal is None or proposal is self.prior or proposal is self._given
        if not (same or self._any_proposal or isinstance(proposal, TruncatedPrior)):
            raise ConfigurationError(
                "proposal", expected="the prior or a TruncatedPrior", got=type(proposal).__name__,
                remedy="Draw from posterior.truncated(x), which needs no correction, or take NLE or NRE.",
            )  # fmt: skip
        theta, x = np.asarray(theta, np.float32), np.asarray(x, np.float32)
        self._check_shapes(theta.shape, x.shape)
        rows = finite_rows(theta, x, leave_out=leave_out)
        self.prior.check(jnp.asarray(theta[rows]))
        self.left_out += len(theta) - len(rows)
        self._sets.append((theta[rows], x[rows]))
        return self

    def _known(self, settings):
        """Settings by the names of the training function.

        Raises:
            ConfigurationError: it has none of this name; lists those it has.
        """
        settings = {RENAMED.get(name, name): value for name, value in settings.items()}
        taken = inspect.signature(self._train).parameters.values()
        names = [entry.name for entry in taken if entry.kind is entry.KEYWORD_ONLY and entry.name != "key"]
        anything = any(entry.kind is entry.VAR_KEYWORD for entry in taken)
        for name in settings:
            # `score_weight` is refused later, by one who knows which methods take scores.
            if not (anything or name in (*names, "learning_rate", "score_weight")):
                raise ConfigurationError(
                    "settings", expected=f"arguments of {self._train.__name__}: {', '.join(names)}, or learning_rate", got=name
                )
        if isinstance(settings.get("density"), str):
            if settings["density"] not in ESTIMATORS:
                raise ConfigurationError("density_estimator", expected=" or ".join(ESTIMATORS), got=settings["density"])
            settings["density"] = ESTIMATORS[settings["density"]]
        return settings

    def _check_shapes(self, theta, x):
        if len(theta) != 2:
            raise ShapeError(
                "theta", expected=f"(n, {self.prior.size})", got=theta,
                remedy="Of one parameter give theta[:, None], of one simulation theta[None].",
            )  # fmt: skip
        check_vector("x", x[1:], "Summarise each simulation to a vector (fullfield.compression), or flatten it.")
        if theta[0] != x[0]:
            raise ShapeError("x", expected=f"{theta[0]} simulations, as many as theta", got=x[0])
        if self._sets and self._sets[0][1].shape[1:] != x[1:]:
            raise ShapeError("x", expected=f"{self._sets[0][1].shape[1]} columns, as the earlier simulations have", got=x[1])

    def train(
        self,
        *,
        training_batch_size: int = 256,
        validation_fraction: float = 0.1,
        max_num_epochs: int | None = None,
        **settings: Any,
    ) -> AbstractPosterior:
        """Train on all simulations so far and return the posterior given summaries.

        Args:
            training_batch_size: simulations per step.
            validation_fraction: of the simulations, held out to stop the training.
            max_num_epochs: most epochs.
            settings: further arguments of the training function, such as `density` or `patience`, or a `learning_rate`.

        Raises:
            ConfigurationError: there is no simulation, a setting is unknown or impossible, or a `score_weight` is given to a
                method that takes no scores.
            DataError: there are too few for the estimator; says how many it needs.
        """
        if not self._sets:
            raise ConfigurationError("simulations", expected="some", got="none", remedy="Call append_simulations first.")
        if not 0 < validation_fraction < 1:
            raise ConfigurationError("validation_fraction", expected="a number between 0 and 1", got=validation_fraction)
        epochs = {} if max_num_epochs is None else {"max_epochs": max_num_epochs}
        settings = self.settings | epochs | self._known(settings)
        theta, x = (np.concatenate(column) for column in zip(*self._sets, strict=True))
        scored = settings.get("score_weight") is not None
        if scored:
            check_takes_scores(self._train)
        key = stream(jax.random.key(self.seed), "training")
        rows = np.asarray(jax.random.permutation(stream(key, "split"), len(theta)))
        held = max(1, round(validation_fraction * len(theta)))
        check_enough(len(theta) - held, self.prior.size, x.shape[1] - (self.prior.size if scored else 0))
        source, held_out = (
            StoredSimulations(theta[part], x[part], batch_size=training_batch_size) for part in (rows[held:], rows[:held])
        )
        if "learning_rate" in settings:
            most = settings.get("max_epochs", inspect.signature(self._train).parameters["max_epochs"].default)
            settings["optimiser"] = cosine_adam(settings.pop("learning_rate"), most * source.steps_per_epoch)
        self._posterior, self.history = type(self)._train(self.prior, source, held_out, key=key, **settings)
        return self._posterior

    def build_posterior(self, posterior: AbstractPosterior | None = None) -> ConditionedPosterior:
        """The posterior of the last training, or one that `train` has returned.

        Raises:
            ConfigurationError: nothing has been trained.
        """
        self._posterior = self._posterior if posterior is None else posterior
        if self._posterior is None:
            raise ConfigurationError("posterior", expected="a trained one", got="none", remedy="Call train first.")
        if not self._sets:
            return ConditionedPosterior(self._posterior, self.seed)
        # Behind the summaries there may be scores, which no observation has.
        simulated = np.concatenate([x for _, x in self._sets])[:, : self._posterior.data_shape[0]]
        return ConditionedPosterior(self._posterior, self.seed, simulated)


class NPE(_Inference):
    """Neural posterior estimation (`train_npe`).

    Args:
        prior: a `ParameterSpace`, a map from name to NumPyro distribution, or one distribution of a vector of independent
            components (`Uniform(low, high).to_event(1)`), which are called theta_1, theta_2, ...
        seed: of the training and of the draws.
        settings: arguments of the training function, such as `density`.
    """

    _train = staticmethod(train_npe)


class FMPE(_Inference):
    """Flow-matching posterior estimation (`train_fmpe`); arguments as for `NPE`."""

    _train = staticmethod(train_fmpe)


class NLE(_Inference):
    """Neural likelihood estimation (`train_nle`); arguments as for `NPE`."""

    _train, _any_proposal = staticmethod(train_nle), True


class NRE(_Inference):
    """Neural ratio estimation (`train_nre`); arguments as for `NPE`."""

    _train, _any_proposal = staticmethod(train_nre), True
