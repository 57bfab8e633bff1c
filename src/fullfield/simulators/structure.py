"""Tomographic convergence maps of structure that forms by gravity: Lagrangian perturbation theory, or a particle mesh.

    white noise → linear modes → particles on the light cone → planes → Born convergence → noise

The chain of the lensing models over LPT and PM of Zeghal et al. 2025 (arXiv:2510.24631) and their public code
(EiffL/LPTLensingComparison), on `fullfield.simulators.gravity`.
"""

from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float

from fullfield._core import ConfigurationError
from fullfield.cosmology import comoving_distance, Cosmology, RedshiftBins, Scalar, smail_bins
from fullfield.fields import block_average, FlatSky
from fullfield.parameters import Parameter, ParameterSpace
from fullfield.simulators.forward import AbstractExplicitModel, DATA, sample_parameters
from fullfield.simulators.gravity import (
    AbstractDynamics,
    Box,
    convergence,
    enough_copies,
    LightCone,
    linear_modes,
    ParticleMesh,
    Perturbed,
)
from fullfield.simulators.lensing import check_wcdm, wcdm, wcdm_parameters
from fullfield.simulators.sites import NoisyPixels, WhiteNoise
from fullfield.simulators.survey import LensingSurvey


class StructureModel(AbstractExplicitModel):
    """Forward model of noisy tomographic convergence maps (n, n, bins) of structure that forms by gravity.

    Latent site "white", of the box's shape: Hartley coefficients of the linear density.

    Args:
        survey: bins, noise, patch and mask.
        dynamics: how structure forms, `Perturbed` or a `ParticleMesh`.
        cone: the light cone, in the same box.
        parameters: priors, by the names of `wcdm_parameters`; Ωc and σ8 of `structure_parameters` if not given.
        fixed: values of the parameters that are not free; their fiducial ones if not given.
        oversampling: lines of sight per side of a pixel, which averages them.
        lost: share of the sources of a bin that may lie behind the light cone.

    Raises:
        ConfigurationError: the light cone is of another box, or the patch wider than the box at its end.
        ParameterError: a parameter is free and fixed, or the model does not know it.
    """

    survey: LensingSurvey
    dynamics: AbstractDynamics
    cone: LightCone
    parameters: ParameterSpace
    fixed: tuple[tuple[str, float], ...] = eqx.field(static=True)
    oversampling: int = eqx.field(static=True)
    lost: float = eqx.field(static=True)

    def __init__(
        self,
        survey: LensingSurvey,
        dynamics: AbstractDynamics,
        cone: LightCone,
        *,
        parameters: ParameterSpace | None = None,
        fixed: Mapping[str, float] | None = None,
        oversampling: int = 1,
        lost: float = 0.01,
    ):
        self.survey, self.dynamics, self.cone = survey, dynamics, cone.of_box(dynamics.box)
        self.parameters = structure_parameters() if parameters is None else parameters
        space = wcdm_parameters()
        usual = dict(zip(space.names, (float(value) for value in space.fiducial), strict=True))
        rest = {name: value for name, value in usual.items() if name not in self.parameters.names}
        self.fixed, self.oversampling, self.lost = tuple((rest | dict(fixed or {})).items()), oversampling, lost
        check_wcdm(self.parameters.names, self.fixed)
        if oversampling < 1:
            raise ConfigurationError("oversampling", expected="a positive number", got=oversampling)
        white = jax.ShapeDtypeStruct(dynamics.box.shape, float)
        eqx.filter_eval_shape(self.convergence, self.parameters.fiducial, white)  # refuses patches that the box does not hold

    @property
    def batch_size(self) -> int:
        """One at a time on a CPU, whose caches a single box fills."""
        return 1 if jax.default_backend() == "cpu" else 16

    def values(self, theta: Float[Array, " p"]) -> dict[str, Scalar]:
        """Parameters by name, free and fixed."""
        return {**self.parameters.as_dict(theta), **dict(self.fixed)}

    def convergence(self, theta: Float[Array, " p"], white: Float[Array, "nx ny nz"]) -> Float[Array, "n n bins"]:
        """Noiseless convergence maps (n, n, bins) from parameters and white latents."""
        cosmology, sky = wcdm(self.values(theta)), self.survey.sky
        planes = self.dynamics.planes(cosmology, linear_modes(self.dynamics.box, cosmology, white), self.cone)
        fine = FlatSky(sky.pixels * self.oversampling, sky.side)
        maps = convergence(cosmology, self.survey.bins, self.cone, planes, fine, lost=self.lost)
        return block_average(maps, self.oversampling)

    def program(self) -> None:
        """Run the NumPyro program: parameters, white latents, noisy maps."""
        theta = self.parameters.as_vector(sample_parameters(self.parameters))
        white = jnp.asarray(numpyro.sample("white", WhiteNoise(self.dynamics.box.shape)))
        observed = None if self.survey.mask is None else self.survey.mask[..., None]
        numpyro.sample(DATA, NoisyPixels(self.convergence(theta, white), self.survey.noise_scale, observed))


def structure_parameters(
    omega_c: tuple[float, float] = (0.15, 0.45), sigma_8: tuple[float, float] = (0.5, 1.1)
) -> ParameterSpace:
    """Ωc and σ8, uniform within ranges."""
    entries = {
        "omega_c": Parameter(dist.Uniform(*omega_c), r"\Omega_{\rm c}"),
        "sigma_8": Parameter(dist.Uniform(*sigma_8), r"\sigma_8"),
    }
    return ParameterSpace(entries)


def perturbed_lensing_model(points: int = 64, *, pixels: int = 32, side: float = 5.0, order: int = 1) -> StructureModel:
    """A survey of four bins to redshift 1.5, of structure by perturbation theory: 0.2 s for a map of 64³ particles on one core.

    Args:
        points: particles on a side of the box, which is as wide as the patch at the end of the light cone.
        pixels: on a side of the maps.
        side: of the maps, degrees.
        order: of perturbation theory.
    """
    sky, box = _patch(points, pixels, side)
    return StructureModel(_survey(sky), Perturbed(box, _TIMES[1:], order), _cone(box))


def evolved_lensing_model(points: int = 64, *, pixels: int = 32, side: float = 5.0) -> StructureModel:
    """The same survey of structure on a particle mesh of nine steps.

    Args:
        points, pixels, side: as of `perturbed_lensing_model`.
    """
    sky, box = _patch(points, pixels, side)
    return StructureModel(_survey(sky), ParticleMesh(box, _TIMES), _cone(box))


def column_lensing_model(across: int = 8, depth: int = 32, *, cell: float = 32.0, galaxies: float = 200.0) -> StructureModel:
    """A deep survey of two bins through one long box on a particle mesh, which light crosses once: what chains are tried on.

    Args:
        across: particles along both short sides, and pixels on a side of the maps.
        depth: particles along the line of sight, an even number.
        cell: distance of particles, Mpc/h.
        galaxies: per arcmin² and bin.
    """
    box = Box((across, across, depth), cell)
    cone = LightCone(box, _REACHED * box.sides[-1], depth // 2)
    # Of little matter, where distances are longest, the farthest source is at the end of the cone.
    longest = Cosmology(0.1, 0.05, 0.7, 0.96, 0.8)
    table = np.linspace(0, 3, 301)
    end = float(np.interp(cone.distance, np.asarray(comoving_distance(longest, jnp.asarray(table, float))), table))
    z = np.linspace(0, end, 100)
    middles = end * np.array([[0.55], [0.85]])
    bins = RedshiftBins(z, np.exp(-(((z - middles) / (0.07 * end)) ** 2) / 2))
    sky = FlatSky(across, float(np.degrees(_INSIDE * box.sides[0] / cone.distance)))
    survey = LensingSurvey(sky, bins, (galaxies,) * 2, 0.26)
    return StructureModel(survey, ParticleMesh(box, (0.25, 0.5, 0.75, 1.0)), cone)


def published_structure_model(points: int = 200, *, evolved: bool = False) -> StructureModel:
    """The survey of the public code of Zeghal et al. 2025: 5 bins, 50 x 50 pixels of 6 arcmin, 46 planes to 4600 Mpc/h.

    Its box is 400 Mpc/h wide and as deep as the light cone, with cells that are 18 times as deep as wide; here a cube of
    400 Mpc/h is repeated along the line of sight, with cells as deep as wide. Sources end at redshift 3, as its integrals do;
    those that lie behind the cone, in universes of little matter, are lensed by what is before its end. Priors are Ωc in
    [0.05, 1] and σ8 in [0.1, 2].

    Source: EiffL/LPTLensingComparison, branch "full", `jax_lensing/model.py` and `lssty10.py`.

    Args:
        points: particles on a side of the box; 200 as published. Memory and time grow as their third power.
        evolved: whether structure is that of a particle mesh of 20 steps rather than perturbation theory of first order.
    """
    box, sky = Box((points,) * 3, 400.0 / points), FlatSky(50, 5.0 * _INSIDE)
    survey = LensingSurvey(sky, smail_bins(5, z_max=3.0), (27 / 5,) * 5, 0.26)
    times = (0.025, 0.05, *(round(0.05 * i, 2) for i in range(2, 21)))
    dynamics = ParticleMesh(box, times) if evolved else Perturbed(box, times, 1)
    cone = LightCone(box, 4600.0, 46, copies=enough_copies(box, 1600.0))
    return StructureModel(survey, dynamics, cone, parameters=structure_parameters((0.05, 1.0), (0.1, 2.0)), lost=1.0)


_INSIDE = 0.999  # 5 degrees at the last plane are 400.4 Mpc/h
_REACHED = 0.97  # of a box that light crosses once: the last plane shares particles with half a plane more
_TIMES = tuple(round(0.1 * i, 1) for i in range(1, 11))
_DEPTH = 3600.0  # Mpc/h: redshift 1.5 for a density of matter from 0.19 up


def _patch(points, pixels, side):
    sky = FlatSky(pixels, side)
    return sky, Box((points,) * 3, sky.side_radians * _DEPTH / points)


def _survey(sky):
    return LensingSurvey(sky, smail_bins(4, z_max=1.5), (27 / 5,) * 4, 0.26)


def _cone(box):
    return LightCone(box, _DEPTH, 36, copies=enough_copies(box, 1000.0))
