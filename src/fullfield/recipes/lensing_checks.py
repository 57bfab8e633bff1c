"""What the lensing recipe looks at beyond the common tests: its maps, its spectra, and maps of finer pixels."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from fullfield import plots
from fullfield.fields import band_powers, Bands, block_average
from fullfield.parameters import ParameterSpace
from fullfield.recipes.problem import Illustration, Outcome
from fullfield.simulators import AbstractForwardModel, LensingModel, LensingSurvey


class Averaged(AbstractForwardModel):
    """Maps simulated with fine pixels and averaged to coarser ones.

    If averaging is rightly part of the coarse model, a posterior that was trained on it is calibrated for these maps too.

    Args:
        fine: the model on fine pixels.
        factor: fine pixels per side of a coarse one.
    """

    fine: LensingModel
    factor: int = eqx.field(static=True)
    parameters: ParameterSpace

    def __init__(self, fine: LensingModel, factor: int):
        self.fine, self.factor, self.parameters = fine, factor, fine.parameters

    def simulate_at(self, key: Key[Array, ""], theta: Float[Array, " p"]) -> Float[Array, "n n bins"]:
        """Simulate fine maps at parameters `theta` (p,) and average them."""
        return block_average(self.fine.simulate_at(key, theta), self.factor)


def picture(outcome: Outcome, survey: LensingSurvey, bands: Bands) -> list[Illustration]:
    """Draw the observed maps, and their spectra over those of the posterior's replicas."""
    observed = np.where(True if survey.mask is None else np.asarray(survey.mask)[..., None], outcome.observation, np.nan)
    mean = np.trapezoid(survey.bins.density * survey.bins.z, survey.bins.z, axis=1)
    titles = [rf"bin {i + 1}, $\bar z$ = {z:.2f}" for i, z in enumerate(mean)]
    maps = plots.map_row(np.moveaxis(observed, -1, 0), titles, side=survey.sky.side)
    pairs, count = len(survey.bins.pairs), len(bands.centres)
    replicas = outcome.replicas.reshape(-1, pairs, count)
    powers = np.asarray(band_powers(bands, jnp.asarray(outcome.observation)))
    spectra = plots.spectra_triangle(bands.centres, powers, replicas, survey.bins.size)
    return [
        Illustration("Observation", "maps", maps, "The observed convergence maps, noise included."),
        Illustration(
            "Prediction", "spectra", spectra,
            "Spectra of the observed maps (points, noise included) and of maps simulated at posterior draws (68 % and 95 %).",
        ),
    ]  # fmt: skip
