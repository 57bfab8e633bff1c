"""One training function for everything that is trained."""

from fullfield.training.autoclip import autoclip
from fullfield.training.epoch import Loss, split_trained
from fullfield.training.fit import cosine_adam, DivergenceError, fit
from fullfield.training.history import History


__all__ = ["DivergenceError", "History", "Loss", "autoclip", "cosine_adam", "fit", "split_trained"]
