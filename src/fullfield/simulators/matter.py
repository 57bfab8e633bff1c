"""Suppliers of matter to the maps of combined probes: lognormal shells, and structure that forms by gravity.

    m_i = Σ_s w_is δ_s,

with δ_s the contrast of slice s of the light cone in every pixel and w_is what it adds to the map m_i of convergence,
of intrinsic convergence, or of galaxies of bin i.
"""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fullfield._core import ConfigurationError
from fullfield.cosmology import Cosmology, MatterShells, RedshiftBins
from fullfield.fields import block_average, FlatSky, Lattice, lognormal_field
from fullfield.simulators.gravity import (
    AbstractDynamics,
    Box,
    enough_copies,
    galaxy_weights,
    lensing_weights,
    LightCone,
    linear_modes,
    ParticleMesh,
    seen,
)


class MatterSlices(eqx.Module):
    """Matter as an observer sees it, and what each slice adds to the maps of every bin; made by a supplier.

    Args:
        contrast: of each slice, from -1 up.
        lensing: weights in the convergence.
        alignment: weights in the intrinsic convergence at an amplitude of one at every redshift.
        clustering: weights in the contrast of unbiased galaxies.
    """

    contrast: Float[Array, "slices n n"]
    lensing: Float[Array, "bins slices"]
    alignment: Float[Array, "bins slices"]
    clustering: Float[Array, "bins slices"]

    def maps(self) -> tuple[Float[Array, "n n bins"], Float[Array, "n n bins"], Float[Array, "n n bins"]]:
        """Convergence, intrinsic convergence, and contrast as the galaxies of each bin weigh it."""
        lensing, alignment, clustering = (
            jnp.einsum("bs,syx->yxb", weights, self.contrast, precision="highest")
            for weights in (self.lensing, self.alignment, self.clustering)
        )
        return lensing, alignment, clustering


class AbstractMatter(eqx.Module):
    """From a cosmology and white noise to matter in front of and among the galaxies of all bins."""

    sky: eqx.AbstractVar[FlatSky]
    bins: eqx.AbstractVar[RedshiftBins]
    hartley: eqx.AbstractClassVar[bool]
    """Whether white latents are Hartley coefficients (slices, n, n) of square fields."""

    @property
    @abc.abstractmethod
    def white_shape(self) -> tuple[int, ...]:
        """Shape of the white latents."""

    @property
    @abc.abstractmethod
    def batch_size(self) -> int:
        """How many are best made side by side, at most."""

    @abc.abstractmethod
    def check(self, offsets: np.ndarray) -> None:
        """Refuse shifts of the redshifts of each bin (bins,) that take galaxies out of reach.

        Raises:
            ConfigurationError: more galaxies than are allowed are lost.
        """

    @abc.abstractmethod
    def shifted(self, offsets: Float[Array, " bins"]) -> "AbstractMatter":
        """The same matter and galaxies at redshifts larger by `offsets`, with derivatives by them."""

    @abc.abstractmethod
    def slices(self, cosmology: Cosmology, white: Float[Array, "..."]) -> MatterSlices:
        """Matter on the light cone, from white latents."""


class LognormalMatter(AbstractMatter):
    """Shells that are independent lognormal fields, of the spectra that Limber's integral over each has.

    Args:
        sky: patch and pixels.
        shells: of matter, with the redshift distributions.
    """

    sky: FlatSky
    shells: MatterShells
    lattice: Lattice

    hartley = True

    def __init__(self, sky: FlatSky, shells: MatterShells):
        self.sky, self.shells, self.lattice = sky, shells, Lattice(sky)

    @property
    def bins(self) -> RedshiftBins:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Redshift distributions of the galaxies."""
        return self.shells.bins

    @property
    def white_shape(self) -> tuple[int, ...]:
        """One square field for each shell."""
        return (self.shells.size, self.sky.pixels, self.sky.pixels)

    @property
    def batch_size(self) -> int:
        """As many as maps allow."""
        return 256

    def check(self, offsets: np.ndarray) -> None:
        """Refuse shifts that take galaxies out of the shells."""
        self.shells.check(offsets)

    def shifted(self, offsets: Float[Array, " bins"]) -> "LognormalMatter":
        """The same shells, and galaxies at redshifts larger by `offsets`."""
        return eqx.tree_at(lambda matter: matter.shells, self, self.shells.shifted(offsets))

    def slices(self, cosmology: Cosmology, white: Float[Array, "shells n n"]) -> MatterSlices:
        """Lognormal shells, from the Hartley coefficients of the Gaussian fields behind them."""
        fields = self.shells(cosmology, self.lattice.multipoles)
        shell = lambda spectrum, latents: lognormal_field(self.lattice, spectrum[None], jnp.ones(1), latents[None])[..., 0]  # noqa: E731
        contrast = jax.vmap(shell)(fields.spectra, white)
        return MatterSlices(contrast, fields.lensing, fields.alignment, fields.clustering)


class EvolvedMatter(AbstractMatter):
    """Planes of the light cone of a box, whose structure forms by perturbation theory or on a particle mesh.

    White latents, of the box's shape, are Hartley coefficients of the linear density in three dimensions.

    Args:
        sky: patch and pixels.
        bins: redshift distributions of the galaxies.
        dynamics: how structure forms.
        cone: the light cone, in the same box.
        oversampling: lines of sight per side of a pixel, which averages them.
        lost: share of the galaxies of a bin that may lie behind the light cone.

    Raises:
        ConfigurationError: the light cone is of another box, or the patch wider than the box at its end; from `slices`, more
            galaxies than `lost` are behind the light cone, which under `jit` is equinox's runtime error.
    """

    sky: FlatSky
    bins: RedshiftBins
    dynamics: AbstractDynamics
    cone: LightCone
    oversampling: int = eqx.field(static=True)
    lost: float = eqx.field(static=True)

    hartley = False

    def __init__(
        self,
        sky: FlatSky,
        bins: RedshiftBins,
        dynamics: AbstractDynamics,
        cone: LightCone,
        *,
        oversampling: int = 1,
        lost: float = 0.01,
    ):
        self.sky, self.bins, self.dynamics, self.cone = sky, bins, dynamics, cone.of_box(dynamics.box)
        self.oversampling, self.lost = oversampling, lost
        if oversampling < 1:
            raise ConfigurationError("oversampling", expected="a positive number", got=oversampling)
        white = jax.ShapeDtypeStruct(self.white_shape, float)
        eqx.filter_eval_shape(self.slices, Cosmology(0.25, 0.05, 0.7, 0.96, 0.8), white)  # refuses what the box does not hold

    @property
    def white_shape(self) -> tuple[int, ...]:
        """That of the box."""
        return self.dynamics.box.shape

    @property
    def batch_size(self) -> int:
        """One at a time on a CPU, whose caches a single box fills."""
        return 1 if jax.default_backend() == "cpu" else 16

    def check(self, offsets: np.ndarray) -> None:
        """Refuse shifts that take galaxies off their table; those that pass the end of the cone are refused as others are."""
        lost = self.bins.lost(0.0, np.inf, offsets)
        if lost.max() > self.lost:
            raise ConfigurationError(
                "bins", expected=f"tables that hold all but {self.lost:g} of the galaxies of each bin",
                got=f"{lost.max():.3g} of those of bin {int(lost.argmax())} beyond at {offsets[lost.argmax()]:+.3g}",
                remedy="Take tables to higher redshift.",
            )  # fmt: skip

    def shifted(self, offsets: Float[Array, " bins"]) -> "EvolvedMatter":
        """The same light cone, and galaxies at redshifts larger by `offsets`."""
        return eqx.tree_at(lambda matter: matter.bins, self, self.bins.shifted(offsets))

    def slices(self, cosmology: Cosmology, white: Float[Array, "nx ny nz"]) -> MatterSlices:
        """Planes of the light cone, seen in pixels."""
        lensing = lensing_weights(cosmology, self.bins, self.cone, lost=self.lost)
        galaxies, alignment = galaxy_weights(cosmology, self.bins, self.cone)
        planes = self.dynamics.planes(cosmology, linear_modes(self.dynamics.box, cosmology, white), self.cone)
        fine = FlatSky(self.sky.pixels * self.oversampling, self.sky.side)
        contrast = jnp.moveaxis(seen(cosmology, self.cone, planes, fine), 0, -1)
        contrast = jnp.moveaxis(block_average(contrast, self.oversampling), -1, 0)
        return MatterSlices(contrast, lensing, alignment, galaxies)


def evolved_matter(sky: FlatSky, bins: RedshiftBins, points: int = 64, *, depth: float = 3900.0) -> EvolvedMatter:
    """Matter on a particle mesh of nine steps, in a cube that is as wide as the patch at the end of the light cone.

    Args:
        sky: patch and pixels.
        bins: redshift distributions of the galaxies.
        points: particles on a side of the cube.
        depth: of the light cone, Mpc/h; the one given reaches redshift 1.75 wherever Ωm is 0.15 or more.
    """
    box = Box((points,) * 3, sky.side_radians * depth / points)
    times = np.linspace(0.1, 1.0, 10)
    # Of no such universe a step within the cone is longer than 1000 Mpc/h.
    cone = LightCone(box, depth, round(depth / 100.0), copies=enough_copies(box, 1000.0))
    return EvolvedMatter(sky, bins, ParticleMesh(box, times), cone)
