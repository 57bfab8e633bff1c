"""Inference from simulations alone."""

from fullfield.inference.implicit.amortised import train_amortised
from fullfield.inference.implicit.choose import Choice, choose, guarded, train_with_scores
from fullfield.inference.implicit.ensemble import stack
from fullfield.inference.implicit.estimate import FewSimulationsWarning
from fullfield.inference.implicit.fmpe import train_fmpe
from fullfield.inference.implicit.folds import train_folds
from fullfield.inference.implicit.gaussian import GaussianEstimate, train_gaussian
from fullfield.inference.implicit.hull import HullPosterior, HullPrior
from fullfield.inference.implicit.mapped import ConstantSummaryWarning
from fullfield.inference.implicit.marginal import MarginalScore, train_score, with_marginal_scores
from fullfield.inference.implicit.nle import train_nle
from fullfield.inference.implicit.npe import train_npe
from fullfield.inference.implicit.nre import Binary, Contrastive, Multiclass, train_nre
from fullfield.inference.implicit.proposals import AbstractProposal, PosteriorProposal, truncate, TruncatedPrior
from fullfield.inference.implicit.sampled import LikelihoodPosterior, RatioPosterior
from fullfield.inference.implicit.scores import simulate_with_scores
from fullfield.inference.implicit.sequential import Rounds, sequential
from fullfield.inference.implicit.verbs import ConditionedPosterior, FMPE, NLE, NPE, NRE


__all__ = [
    "FMPE",
    "NLE",
    "NPE",
    "NRE",
    "AbstractProposal",
    "Binary",
    "Choice",
    "ConditionedPosterior",
    "ConstantSummaryWarning",
    "Contrastive",
    "FewSimulationsWarning",
    "GaussianEstimate",
    "HullPosterior",
    "HullPrior",
    "LikelihoodPosterior",
    "MarginalScore",
    "Multiclass",
    "PosteriorProposal",
    "RatioPosterior",
    "Rounds",
    "TruncatedPrior",
    "choose",
    "guarded",
    "sequential",
    "simulate_with_scores",
    "stack",
    "train_amortised",
    "train_fmpe",
    "train_folds",
    "train_gaussian",
    "train_nle",
    "train_npe",
    "train_nre",
    "train_score",
    "train_with_scores",
    "truncate",
    "with_marginal_scores",
]
