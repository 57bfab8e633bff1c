"""Explicit inference: chains on the forward model's own joint density of parameters, latents and data."""

from fullfield.inference.explicit.centring import PartlyCentred
from fullfield.inference.explicit.density import Draws, sample_density
from fullfield.inference.explicit.estimate import ScoreAtEstimate
from fullfield.inference.explicit.field import sample_field
from fullfield.inference.explicit.forecast import ConvergenceWarning, find_map, fisher, Laplace, laplace, Mode
from fullfield.inference.explicit.reconstruct import ReconstructedScore
from fullfield.inference.explicit.record import Chains, DivergenceWarning
from fullfield.inference.explicit.samplers import AbstractSampler, MAMS, MCLMC, NUTS, SplitHMC
from fullfield.inference.explicit.shear_latents import ShearLatents, white_maps
from fullfield.inference.explicit.target import explicit, Target


__all__ = [
    "MAMS",
    "MCLMC",
    "NUTS",
    "AbstractSampler",
    "Chains",
    "ConvergenceWarning",
    "DivergenceWarning",
    "Draws",
    "Laplace",
    "Mode",
    "PartlyCentred",
    "ReconstructedScore",
    "ScoreAtEstimate",
    "ShearLatents",
    "SplitHMC",
    "Target",
    "explicit",
    "find_map",
    "fisher",
    "laplace",
    "sample_density",
    "sample_field",
    "white_maps",
]
