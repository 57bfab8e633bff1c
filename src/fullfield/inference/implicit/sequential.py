"""Sequential inference: rounds of simulations, each drawn where the posterior of the round before found the parameters."""

import os
import pathlib
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from fullfield._core import ConfigurationError, digest, load_module, read_header, save_module, stream
from fullfield._core.progress import Progress, silent
from fullfield.datasets import StoredSimulations
from fullfield.inference.implicit.choose import Choice
from fullfield.inference.implicit.confined import confine
from fullfield.inference.implicit.estimate import check_vector
from fullfield.inference.implicit.finite import finite_rows
from fullfield.inference.implicit.proposals import AbstractProposal, PosteriorProposal, truncate
from fullfield.inference.implicit.sampled import AbstractSampledPosterior
from fullfield.inference.implicit.scores import summary_and_score
from fullfield.inference.observation import check_observation, warn_if_outside
from fullfield.inference.posterior import AbstractPosterior, EnsemblePosterior, unwatched
from fullfield.simulators import AbstractExplicitModel, AbstractForwardModel, even_batch
from fullfield.training import History


HELD_OUT = 10  # one simulation in so many stops the training


class Rounds(eqx.Module):
    """What sequential inference used.

    Args:
        simulations: how many each round made.
        left_out: how many of them were not finite and left out.
        histories: of the rounds trained in this run, the last one always.
        choices: of these too, whether scores were used, if `train` is `train_with_scores`.
    """

    simulations: tuple[int, ...]
    left_out: tuple[int, ...]
    histories: tuple[History, ...]
    choices: tuple[Choice, ...] = ()


def proposal_from(
    posterior: AbstractPosterior, observation: Float[Array | np.ndarray, "..."], *, key: Key[Array, ""]
) -> AbstractProposal:
    """The proposal that a posterior's method needs: itself for likelihoods and ratios, a truncated prior for the others."""
    first = posterior.members[0] if isinstance(posterior, EnsemblePosterior) else posterior
    if isinstance(first, AbstractSampledPosterior):
        return PosteriorProposal(posterior, jnp.asarray(observation))
    return truncate(posterior, observation, key=key)


def sequential(
    train: Callable[..., tuple[AbstractPosterior, History]],
    model: AbstractForwardModel,
    observation: Float[Array | np.ndarray, "..."],
    *,
    key: Key[Array, ""],
    rounds: int,
    simulations: int,
    summarise: Callable | None = None,
    scores: bool = False,
    batch_size: int = 256,
    leave_out: bool = False,
    local: bool = False,
    hold_out: bool = True,
    directory: str | os.PathLike | None = None,
    progress: Progress = silent,
) -> tuple[AbstractPosterior, Rounds]:
    """Infer the parameters of one observation in rounds, on the simulations of all of them together, or on the near ones.

    The first round draws parameters from the prior. NPE and FMPE go on with truncated priors, NLE and NRE with draws of the
    posterior (`proposal_from`). A run that is interrupted at any moment continues from `directory`, with the same result.

    Args:
        train: `train_npe`, `train_nle`, `train_nre`, `train_fmpe`, or a partial of one with its settings.
        model: the forward model.
        observation: the observed data, of the model's data shape.
        key: scalar key.
        rounds: number of rounds.
        simulations: in each round.
        summarise: data to summary (s,), the data themselves if not given.
        scores: whether `train` is given joint scores beside the summaries: `train_with_scores`, which keeps them where they
            help, or `train_npe` or `train_nle` with a `score_weight`.
        batch_size: of the training.
        leave_out: whether simulations that are not finite are left out and counted, or refused.
        local: whether simulations of earlier rounds are forgotten outside the region where the last posterior has all but a
            thousandth of its probability. There they decide nothing, and only make the likelihood, or the prior that is left,
            harder to describe; a simple density (`fullfield.networks.regression`) needs it. A likelihood or ratio that
            forgets is not trusted beyond what it remembers (`fullfield.inference.implicit.confined`).
        hold_out: whether a tenth of every round is held out to stop the training; without, which is for densities that nothing
            trains, the history's held-out loss is the training loss.
        directory: folder for each round's simulations and training.
        progress: told about every round and epoch.

    Returns:
        The posterior given summaries, good near the observation's alone, and what was used.

    Raises:
        ConfigurationError: the folder is of another run; there are too few simulations or rounds; scores are asked of a
            model that has none, or are to be checked without anything held out; `train` and `scores` do not fit together.
        DataError: simulations are not finite, and `leave_out` is not set.
        ShapeError: the observation has another shape than the model's data, or its summary is not a vector.

    Warns:
        OutsideSimulationsWarning: the observation is unlike the first round's simulations.
    """
    _check_settings(model, rounds, simulations, scores, hold_out)
    check_observation(observation, model.data_shape)
    summarise = summarise or eqx.nn.Identity()
    observed = summarise(jnp.asarray(observation))
    check_vector("summarise", observed.shape, "Give summarise=, a compressor or any module from data to a vector (s,).")
    identity = digest(train, model, observed, summarise, simulations, key, batch_size, leave_out, local, hold_out, scores)
    columns = observed.size + (model.parameters.size if scores else 0)
    folder = None if directory is None else pathlib.Path(directory)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    posterior, sets, left_out, histories, choices = None, [], [], [], []
    for number in range(1, rounds + 1):
        round_key = jax.random.fold_in(key, number)
        name = f"round {number} of {rounds}"
        file = None if folder is None else folder / f"round-{number}.simulations"
        earlier = (number - 1) * simulations
        made = _read(file, identity, (simulations, model.parameters.size), (simulations, columns), earlier)
        if made is None:
            progress(f"{name}: simulating", 0, simulations)
            # Whoever asks the last posterior is warned by it; the rounds between need not be.
            made = _simulate(model, summarise, unwatched(posterior), observed, round_key, simulations, scores)
            made = (*made, _near(unwatched(posterior), observed, round_key, sets) if local else np.ones(earlier, bool))
            if file is not None:
                save_module(file, made, {"kind": "round", "identity": identity})
            progress(f"{name}: simulating", simulations, simulations)
        *pair, near = made
        rows = finite_rows(*pair, leave_out=leave_out)
        sets.append((*pair, rows))
        if number == 1:
            warn_if_outside(observed, pair[1][rows, : observed.size])
        left_out.append(simulations - len(rows))
        # An earlier round is trained only where the next one's simulations are still to be proposed.
        posterior = None
        following = None if folder is None else folder / f"round-{number + 1}.simulations"
        if number == rounds or following is None or not following.exists():
            chosen = _chosen(sets, near)
            posterior, history, *choice = _train(train, model, chosen, hold_out, batch_size, key, number, folder, progress)
            choices += choice
            if posterior.data_shape != observed.shape:
                raise ConfigurationError(
                    "train, scores", expected=f"a posterior given summaries {observed.shape}", got=posterior.data_shape,
                    remedy="Scores need a `train` that takes them, and one that takes them needs scores=True.",
                )  # fmt: skip
            posterior = confine(posterior, np.concatenate([theta for theta, _ in chosen])) if local else posterior
            histories.append(history)
    assert posterior is not None
    return posterior, Rounds((simulations,) * rounds, tuple(left_out), tuple(histories), tuple(choices))


def _check_settings(model, rounds, simulations, scores, hold_out):
    if rounds < 1 or simulations < 2 * HELD_OUT:
        expected = f"at least one round of {2 * HELD_OUT} simulations"
        raise ConfigurationError("rounds, simulations", expected=expected, got=(rounds, simulations))
    if scores and not isinstance(model, AbstractExplicitModel):
        expected = "an explicit model, whose density has a gradient"
        raise ConfigurationError("scores", expected=expected, got=type(model).__name__, remedy="Leave scores=True out.")
    if scores and not hold_out:
        raise ConfigurationError("hold_out", expected="True, to see whether scores help", got=False)


def _chosen(sets, near):
    """The finite simulations of every round, of all but the last only those that are near."""
    parts = [*(np.split(near, len(sets) - 1) if len(sets) > 1 else []), np.ones(len(sets[-1][0]), bool)]
    kept = [rows[part[rows]] for (_, _, rows), part in zip(sets, parts, strict=True)]
    return [(theta[rows], summary[rows]) for (theta, summary, _), rows in zip(sets, kept, strict=True)]


def _train(train, model, chosen, hold_out, batch_size, key, number, folder, progress):
    def gathered(part):
        theta, summary = zip(*((t[part(len(t))], x[part(len(x))]) for t, x in chosen), strict=True)
        return StoredSimulations(np.concatenate(theta), np.concatenate(summary), batch_size=batch_size)

    # The first tenth of every round is held out.
    source = gathered(lambda n: slice(n // HELD_OUT if hold_out else 0, None))
    held_out = gathered(lambda n: slice(n // HELD_OUT)) if hold_out else source
    return train(
        model.parameters,
        source,
        held_out,
        key=stream(jax.random.fold_in(key, number), "training"),
        checkpoint=None if folder is None else folder / f"round-{number}.training",
        progress=progress,
        stage=f"round {number}",
    )


def _simulate(model, summarise, posterior, observed, key, n, scores):
    if posterior is None:
        theta = model.parameters.sample(stream(key, "prior"), (n,))
    else:
        theta = proposal_from(posterior, observed, key=stream(key, "proposal")).draw(stream(key, "draws"), n)
    model.parameters.check(theta)
    keys = jax.random.split(stream(key, "simulations"), n)
    return np.asarray(theta), np.asarray(_rows(model, summarise, keys, theta, scores))


@eqx.filter_jit
def _rows(model, summarise, keys, theta, scores):
    def one(pair):
        key, theta = pair
        return summary_and_score(model, key, theta, summarise) if scores else summarise(model.simulate_at(key, theta))

    return jax.lax.map(one, (keys, theta), batch_size=even_batch(len(theta), model.batch_size))


def _near(posterior, observed, key, sets):
    """Which simulations of all earlier rounds lie where the posterior has nearly all of its probability."""
    if not sets:
        return np.ones(0, bool)
    region = truncate(posterior, observed, key=stream(key, "region"))
    return np.concatenate([np.asarray(region.contains(jnp.asarray(theta))) for theta, *_ in sets])


def _read(file, identity, theta_shape, summary_shape, earlier):
    if file is None or not file.exists():
        return None
    if read_header(file).get("identity") != identity:
        raise ConfigurationError(
            str(file), expected="simulations of this model, observation, number and key", got="those of another run",
            remedy="Restore the settings, or take an empty folder.",
        )  # fmt: skip
    return load_module(file, (np.zeros(theta_shape, np.float32), np.zeros(summary_shape, np.float32), np.ones(earlier, bool)))
