"""The Gaussian field for joint posteriors, with its exact answer."""

import pathlib
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from fullfield._core.progress import Progress
from fullfield.fields import band_powers, Bands, FlatSky
from fullfield.generative import Condition, Layout
from fullfield.generative.coordinates import ring_numbers
from fullfield.recipes.artefacts import write_arrays
from fullfield.recipes.joint_bench import AbstractBench, MapFrame
from fullfield.recipes.joint_gaussian import JointGaussianConfiguration
from fullfield.recipes.study import Measured
from fullfield.simulators import GaussianField, GaussianPosterior


class SeenGaussian(eqx.Module):
    """The Wiener filtered map at the fiducial spectrum, and the logarithms of band powers.

    Args:
        bands: of the powers.
        posterior: that knows the filter.
    """

    bands: Bands
    posterior: GaussianPosterior

    def __call__(self, data: Float[Array, "n n 1"]) -> Condition:
        """What a denoiser is shown of a map."""
        model = self.posterior.model
        noise = (model.sky.side_radians / model.sky.pixels) ** 2
        expected = self.posterior.wiener(data, model.parameters.fiducial)
        return Condition(expected, jnp.log(band_powers(self.bands, data).ravel() / noise))


class GaussianBench(AbstractBench):
    """A Gaussian field under white noise, seen whole.

    Args:
        configuration: settings.
    """

    configuration: JointGaussianConfiguration = eqx.field(static=True)
    model: GaussianField
    exact: GaussianPosterior

    def __init__(self, configuration: JointGaussianConfiguration):
        self.configuration = configuration
        # Pixels of the same size whatever their number, so that larger maps hold more modes of the same kind.
        self.model = GaussianField(FlatSky(configuration.pixels, 5.0 * configuration.pixels / 16))
        self.exact = GaussianPosterior(self.model)

    @property
    def sky(self) -> FlatSky:
        """Patch of the maps."""
        return self.model.sky

    @property
    def layout(self) -> Layout:
        """How simulations lie in rows."""
        n = self.sky.pixels
        return Layout((n, n, 1), len(self._bands.centres))

    @property
    def _bands(self) -> Bands:
        # One for each multiple of the fundamental multipole, the corners beyond the Nyquist one included: a fifth of all modes.
        last = int(ring_numbers(self.sky.pixels).max())
        return Bands(self.sky, tuple((k + 0.5) * self.sky.fundamental for k in range(last + 1)))

    def truth(self, theta: Float[Array, " p"], latents: dict[str, Array]) -> Float[Array, "n n 1"]:
        """The map without noise."""
        return self.model.field(theta, latents["white"])

    def frame(self, folder: pathlib.Path) -> MapFrame:
        """The map."""
        del folder
        return MapFrame(self.truth)

    @property
    def reference_settings(self) -> object:
        """How many draws."""
        return self.configuration.compared

    def filtered(self, data: Float[Array, "n n 1"]) -> Float[Array, "n n 1"]:
        """At the fiducial spectrum."""
        return self.exact.wiener(data, self.model.parameters.fiducial)

    def see(self, folder: pathlib.Path) -> Callable[[Array], Condition]:
        """Filtered map and band powers."""
        del folder
        return SeenGaussian(self._bands, self.exact)

    def residual(self, data: Float[Array, "n n 1"], field: Float[Array, "n n 1"]) -> Float[Array, "n n 1"]:
        """Data minus map, in units of the noise."""
        return data - field

    @property
    def answer(self) -> Callable[[Key[Array, ""], Array, int], tuple[Array, Array]]:
        """Exact draws."""
        return self.exact.sample

    def reference(self, i: int, folder: pathlib.Path, progress: Progress) -> Measured:
        """Exact draws."""
        del progress
        settings = self.configuration
        theta, fields = self.exact.sample(
            jax.random.fold_in(self.key("exact"), i), self.observe(i)[2], max(settings.compared, 2000)
        )
        write_arrays(
            folder / "exact.npz", theta=np.asarray(theta)[None], mean=np.asarray(fields.mean(0)), std=np.asarray(fields.std(0))
        )
        return Measured({})
