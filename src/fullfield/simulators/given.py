"""Galaxies of matter that was simulated elsewhere."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from fullfield._core import ConfigurationError, DataError, ShapeError
from fullfield.parameters import ParameterSpace
from fullfield.simulators.combined import CombinedProbes
from fullfield.simulators.forward import AbstractExplicitModel, sample_parameters
from fullfield.simulators.gravity.checks import unless


LEAST_CONTRAST = -1 - 1e-4  # with rounding


class GivenMatter(AbstractExplicitModel):
    """Forward model of the maps of `CombinedProbes` from given maps of matter, of one cosmology.

    Its parameters are those of galaxies alone, and its one latent site is "phases".

    Args:
        probes: survey, galaxies and priors; of its matter only the redshift distributions are used.
        matter: convergence, intrinsic convergence of unit amplitude, and contrast, as `CombinedProbes.matter` has them.

    Raises:
        ConfigurationError: redshift shifts are among the parameters, which maps that are already projected cannot follow.
        ShapeError: maps of unequal shapes, or of other pixels or bins than the survey's.
        DataError: maps are not finite, or a contrast lies below -1; under `jit` it is equinox's runtime error.
    """

    probes: CombinedProbes
    matter: tuple[Float[Array, "n n bins"], Float[Array, "n n bins"], Float[Array, "n n bins"]]
    parameters: ParameterSpace

    def __init__(self, probes: CombinedProbes, matter):
        lensing, alignment, contrast = (jnp.asarray(maps, float) for maps in matter)
        if "dz_1" in probes.parameters.names:
            remedy = "Leave out redshift_shifts."
            raise ConfigurationError("probes", expected="no redshift shifts, as of projected maps", got="dz_1", remedy=remedy)
        expected = (probes.sky.pixels, probes.sky.pixels, probes.bins.size)
        for name, maps in {"convergence": lensing, "intrinsic convergence": alignment, "contrast": contrast}.items():
            if maps.shape != expected:
                raise ShapeError(name, expected=f"{expected}, the pixels and bins of the survey", got=maps.shape)
        strange = DataError("matter", expected="finite maps", got="NaN or infinity")
        empty = DataError("contrast", expected="at least -1, where nothing is", got="less", remedy="Is it a contrast?")
        lensing = unless(~jnp.isfinite(jnp.sum(jnp.stack([lensing, alignment, contrast]))), strange, lensing)
        contrast = unless(jnp.any(contrast < LEAST_CONTRAST), empty, contrast)
        self.probes, self.matter = probes, (lensing, alignment, contrast)
        entries = zip(probes.parameters.names, probes.parameters.entries, strict=True)
        self.parameters = ParameterSpace({name: entry for name, entry in entries if name not in ("omega_m", "sigma_8")})

    def program(self) -> None:
        """Run the NumPyro program: parameters, phases, noisy maps."""
        self.probes.observe(sample_parameters(self.parameters), self.matter)
