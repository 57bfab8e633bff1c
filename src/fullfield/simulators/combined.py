"""Combined probes: convergence and galaxy counts of one patch, tomographic, from one matter density.

Kacprzak & Fluri 2022 (PRX 12, 031029), section II. All maps are sums over slices of one light cone, so that lensing, intrinsic
alignment and counts see the same matter, which `fullfield.simulators.matter` supplies.
"""

from collections.abc import Callable, Mapping

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import scipy.stats
from jaxtyping import Array, Bool, Float

from fullfield._core import ConfigurationError, DataError, ShapeError
from fullfield.cosmology import Cosmology, even_shells, MatterShells, RedshiftBins, Scalar
from fullfield.fields import FlatSky
from fullfield.parameters import Parameter, ParameterSpace
from fullfield.simulators.forward import AbstractExplicitModel, DATA, sample_parameters
from fullfield.simulators.galaxies import (
    AbstractBias,
    AbstractCounts,
    exact_spread,
    galaxy_rate,
    LensedGalaxies,
    LinearBias,
    PoissonCounts,
    RelaxedCounts,
    shuffled_phases,
)
from fullfield.simulators.matter import AbstractMatter, LognormalMatter
from fullfield.simulators.sites import WhiteNoise
from fullfield.simulators.survey import check_mask, observed_pixels


OMEGA_B, HUBBLE, TILT = 0.0493, 0.6736, 0.9649
"""What the paper keeps fixed (section II)."""
PIVOT = 0.7
"""Redshift at which strengths of alignment and bias are given (eqs. 8 and 9)."""
CALIBRATION, SHIFTS = (0.023,) * 4, (0.016, 0.013, 0.011, 0.022)
"""Deviations of shear calibration m and redshift shift Δz of four bins: those of sources in the first year of the Dark Energy
Survey (Abbott et al. 2018, PRD 98, 043526, table I); about zero here, where they are of no particular catalogue."""


def stage3_bins(nodes: int = 400) -> RedshiftBins:
    """Four bins with the mean redshifts and widths of the paper's, .31, .48, .75 and .94, up to redshift 1.75.

    Gamma distributions of the means and deviations of its tables (appendix A), which these do not copy.

    Args:
        nodes: of the table.
    """
    z = np.linspace(0, 1.75, nodes)
    moments = ((0.3082, 0.150), (0.4844, 0.156), (0.7545, 0.159), (0.9417, 0.237))
    return RedshiftBins(z, np.stack([scipy.stats.gamma.pdf(z, (m / s) ** 2, scale=s**2 / m) for m, s in moments]))


def combined_parameters(
    *, second_order: bool = False, shear_calibration: bool = False, redshift_shifts: bool = False
) -> ParameterSpace:
    """Seven parameters with the priors and fiducial values of the paper's table I, or nine with second-order bias.

    Args:
        second_order: whether b₂ and its evolution are among them.
        shear_calibration: whether m_1 to m_4 are: the convergence of bin i is (1 + m_i) times what it is.
        redshift_shifts: whether dz_1 to dz_4 are: the galaxies of bin i, of both probes, are distributed as n_i(z - dz_i).
    """
    second = {"b_2": (-3, 1, 0.5)} if second_order else {}
    nuisances = _nuisances(shear_calibration, redshift_shifts)
    return _space({"eta_ia": (-4, 6, 1.6), "eta_b": (-3, 3, 0.5)}, 0.71, second, nuisances)


def coded_combined_parameters(
    *, second_order: bool = False, shear_calibration: bool = False, redshift_shifts: bool = False
) -> ParameterSpace:
    """The same as the paper's public code has them, which differ in the evolution's ranges, σ8 and b₂.

    Args:
        second_order: whether b₂ and its evolution are among them.
        shear_calibration: as `combined_parameters` has it.
        redshift_shifts: likewise.
    """
    second = {"b_2": (-3, 1, -1.0)} if second_order else {}
    nuisances = _nuisances(shear_calibration, redshift_shifts)
    return _space({"eta_ia": (-5, 7, 1.6), "eta_b": (-2, 2, 0.5)}, 0.7835, second, nuisances)


def _nuisances(shear_calibration, redshift_shifts):
    wanted = (("m", "m", CALIBRATION if shear_calibration else ()), ("dz", r"\Delta z", SHIFTS if redshift_shifts else ()))
    return {
        f"{name}_{i}": Parameter(dist.Normal(0.0, width), f"{label}_{i}", fiducial=0.0)
        for name, label, widths in wanted
        for i, width in enumerate(widths, 1)
    }


def _space(evolution, sigma_8, second, nuisances) -> ParameterSpace:
    ranges = {
        "omega_m": (0.15, 0.45, 0.2915), "sigma_8": (0.5, 1.2, sigma_8), "a_ia": (-6, 6, 0.5), "eta_ia": evolution["eta_ia"],
        "b_g": (0.5, 2.5, 1.5), "r_g": (0.4, 1, 0.7), "eta_b": evolution["eta_b"],
    }  # fmt: skip
    ranges |= second | ({"eta_b2": (-2, 2, 0.0)} if second else {})
    labels = {
        "omega_m": r"\Omega_{\rm m}", "sigma_8": r"\sigma_8", "a_ia": r"A_{\rm IA}", "eta_ia": r"\eta_{\rm IA}",
        "b_g": r"b_{\rm g}", "r_g": r"r_{\rm g}", "eta_b": r"\eta_b", "b_2": "b_2", "eta_b2": r"\eta_{b_2}",
    }  # fmt: skip
    return ParameterSpace(
        {
            name: Parameter(dist.Uniform(float(low), float(high)), labels[name], fiducial=float(fiducial))
            for name, (low, high, fiducial) in ranges.items()
        }
        | nuisances
    )


class CombinedProbes(AbstractExplicitModel):
    """Forward model of maps (n, n, 2 bins): noisy convergence of every bin, then its numbers of galaxies.

    Latent sites: "white", from which matter is made, and "phases" (n, n, bins), the white noise whose phases loosen galaxies
    from matter.

    Args:
        sky: patch and pixels; the paper's field, 5 degrees in 64 pixels, if not given.
        shells: of lognormal matter, with the redshift distributions; `stage3_bins` in 32 shells if not given.
        matter: another supplier than `LognormalMatter`, in place of sky and shells.
        galaxies_per_arcmin2: in each bin.
        ellipticity_scatter: σ_e of the convergence estimate of one galaxy.
        bias: of galaxies.
        counts: law of their numbers.
        spread: of phases as a function of r_g.
        parameters: priors, under the names of `combined_parameters`. Shear calibration m_1, m_2, ... and redshift shifts dz_1,
            dz_2, ... of all bins are zero unless they are among them.
        mask: True where a pixel is observed, (n, n); the others read zero in every map. None observes all.

    Raises:
        ConfigurationError: the parameters are not those of the bias, r_g leaves [0, 1], sky or shells stand beside matter, or
            shifts of three deviations take galaxies out of reach.
        ShapeError: the mask is not (n, n).
        DataError: the mask observes nothing.
    """

    supplier: AbstractMatter
    bias: AbstractBias
    counts: AbstractCounts
    parameters: ParameterSpace
    mask: Bool[Array, "n n"] | None
    spread: Callable = eqx.field(static=True)
    galaxies_per_arcmin2: float = eqx.field(static=True)
    ellipticity_scatter: float = eqx.field(static=True)

    def __init__(
        self,
        sky: FlatSky | None = None,
        shells: MatterShells | None = None,
        *,
        matter: AbstractMatter | None = None,
        galaxies_per_arcmin2: float = 2.5,
        ellipticity_scatter: float = 0.4,
        bias: AbstractBias | None = None,
        counts: AbstractCounts | None = None,
        spread: Callable = exact_spread,
        parameters: ParameterSpace | None = None,
        mask: np.ndarray | Bool[Array, "n n"] | None = None,
    ):
        if matter is None:
            matter = LognormalMatter(sky or FlatSky(64, 5.0), shells or even_shells(stage3_bins(), 1.75))
        elif sky is not None or shells is not None:
            raise ConfigurationError("matter", expected="a supplier alone, which has its sky", got="sky or shells beside it")
        self.supplier = matter
        self.bias, self.counts, self.spread = bias or LinearBias(), counts or PoissonCounts(), spread
        self.parameters = parameters or combined_parameters(second_order=len(self.bias.names) > 2)
        self.galaxies_per_arcmin2, self.ellipticity_scatter = galaxies_per_arcmin2, ellipticity_scatter
        self.mask = None if mask is None else jnp.asarray(mask, bool)
        check_mask(self.mask, self.sky)
        expected = {"omega_m", "sigma_8", "a_ia", "eta_ia", "r_g", *self.bias.names}
        expected |= {name for kind in ("m", "dz") if f"{kind}_1" in self.parameters.names for name in self._each(kind)}
        if set(self.parameters.names) != expected:
            names = ", ".join(sorted(expected))
            raise ConfigurationError("parameters", expected=names, got=", ".join(self.parameters.names))
        low, high = self.parameters.bounds[self.parameters.index("r_g")]
        if low < 0 or high > 1:
            raise ConfigurationError("r_g", expected="a prior within [0, 1], as a correlation has it", got=(low, high))
        if "dz_1" in self.parameters.names:
            priors = [self.parameters.entries[self.parameters.index(name)].prior for name in self._each("dz")]
            means, widths = np.array([prior.mean for prior in priors]), np.sqrt([prior.variance for prior in priors])
            for end in (means - 3 * widths, means + 3 * widths):
                self.supplier.check(end)
        if not (galaxies_per_arcmin2 > 0 and ellipticity_scatter > 0):
            got = f"{galaxies_per_arcmin2}, {ellipticity_scatter}"
            raise ConfigurationError("galaxies_per_arcmin2, ellipticity_scatter", expected="positive numbers", got=got)

    @property
    def sky(self) -> FlatSky:
        """Patch and pixels."""
        return self.supplier.sky

    @property
    def bins(self) -> RedshiftBins:
        """Redshift distributions of the galaxies."""
        return self.supplier.bins

    @property
    def hartley(self) -> tuple[str, ...]:
        """White latents of shells are Hartley coefficients of their fields."""
        return ("white",) if self.supplier.hartley else ()

    @property
    def batch_size(self) -> int:
        """How many simulations run side by side best."""
        return min(super().batch_size, self.supplier.batch_size)

    @property
    def galaxies(self) -> float:
        """Mean number of galaxies of a bin in a pixel."""
        return self.galaxies_per_arcmin2 * self.sky.pixel_arcmin**2

    def cosmology(self, theta: Float[Array, " p"]) -> Cosmology:
        """Flat ΛCDM at a parameter vector."""
        values = self.parameters.as_dict(theta)
        return Cosmology(values["omega_m"] - OMEGA_B, OMEGA_B, h=HUBBLE, n_s=TILT, sigma_8=values["sigma_8"])

    def _each(self, kind):
        return [f"{kind}_{i + 1}" for i in range(self.bins.size)]

    def sources(self, values: Mapping[str, Scalar]) -> AbstractMatter:
        """The supplier, with galaxies where shifts of their redshifts put them."""
        if "dz_1" not in values:
            return self.supplier
        return self.supplier.shifted(jnp.stack([jnp.asarray(values[name], float) for name in self._each("dz")]))

    def evolution(self, values: Mapping[str, Scalar], name: str) -> Float[Array, " bins"]:
        """∫ dz n_i(z) [(1 + z) / (1 + pivot)]^η of each bin, η being the parameter of that name (eqs. 8 and 9)."""
        bins = self.sources(values).bins
        weighed = bins.density * ((1 + bins.z) / (1 + PIVOT)) ** values[name]
        return jnp.sum((weighed[:, 1:] + weighed[:, :-1]) * jnp.diff(bins.z), axis=1) / 2

    def matter(
        self, theta: Float[Array, " p"], white: Float[Array, "..."]
    ) -> tuple[Float[Array, "n n bins"], Float[Array, "n n bins"], Float[Array, "n n bins"]]:
        """Convergence, intrinsic convergence of unit amplitude, and matter contrast as the galaxies of each bin weigh it."""
        return self.sources(self.parameters.as_dict(theta)).slices(self.cosmology(theta), white).maps()

    def galaxy_maps(
        self,
        values: Mapping[str, Scalar],
        matter: tuple[Float[Array, "n n bins"], Float[Array, "n n bins"], Float[Array, "n n bins"]],
        phases: Float[Array, "n n bins"],
    ) -> tuple[Float[Array, "n n bins"], Float[Array, "n n bins"]]:
        """What galaxies make of given maps of matter: noiseless convergence with alignment, and expected numbers of galaxies.

        Args:
            values: parameters by name; of them those of cosmology are not asked for.
            matter: the three maps that `matter` returns.
            phases: white noise.
        """
        lensing, alignment, contrast = matter
        strengths, slopes = self.bias.names[::2], self.bias.names[1::2]
        bias = (values[b] * self.evolution(values, eta) for b, eta in zip(strengths, slopes, strict=True))
        spread = self.spread(values["r_g"])
        galaxies = self.bias(contrast, lambda maps: shuffled_phases(maps, phases, spread), *bias)
        convergence = lensing + values["a_ia"] * self.evolution(values, "eta_ia") * alignment
        if "m_1" in values:
            convergence = (1 + jnp.stack([jnp.asarray(values[name], float) for name in self._each("m")])) * convergence
        return convergence, galaxy_rate(galaxies, jnp.full(self.bins.size, self.galaxies))

    def maps(
        self, theta: Float[Array, " p"], white: Float[Array, "..."], phases: Float[Array, "n n bins"]
    ) -> tuple[Float[Array, "n n bins"], Float[Array, "n n bins"]]:
        """Noiseless convergence with alignment, and expected numbers of galaxies."""
        return self.galaxy_maps(self.parameters.as_dict(theta), self.matter(theta, white), phases)

    def prepare(self, maps: np.ndarray | Float[Array, "..."]) -> np.ndarray:
        """Check observed maps (n, n, 2 bins), convergence then counts, and set unobserved pixels to zero as the model does.

        Raises:
            ShapeError: not (n, n, 2 bins).
            DataError: an observed pixel is NaN or infinite, or has less than no galaxies, or all maps are constant.
        """
        maps, n, bins = np.asarray(maps), self.sky.pixels, self.bins.size
        if maps.shape != (n, n, 2 * bins):
            remedy = "Axes are (y, x, map): convergence of all bins, then counts of all bins."
            raise ShapeError("maps", expected=str((n, n, 2 * bins)), got=maps.shape, remedy=remedy)
        maps = observed_pixels(maps, self.mask)
        if maps[..., bins:].min() < 0 and not isinstance(self.counts, RelaxedCounts):
            remedy = "Contrasts become counts when one is added and the mean count multiplied."
            raise DataError(
                "maps", expected="no negative counts of galaxies", got=f"{maps[..., bins:].min():.4g}", remedy=remedy
            )
        return maps

    def program(self) -> None:
        """Run the NumPyro program: parameters, white latents, phases, noisy maps."""
        theta = self.parameters.as_vector(sample_parameters(self.parameters))
        white = jnp.asarray(numpyro.sample("white", WhiteNoise(self.supplier.white_shape)))
        self.observe(self.parameters.as_dict(theta), self.matter(theta, white))

    def observe(
        self,
        values: Mapping[str, Scalar],
        matter: tuple[Float[Array, "n n bins"], Float[Array, "n n bins"], Float[Array, "n n bins"]],
    ) -> None:
        """Run the rest of a NumPyro program that has maps of matter: phases and noisy maps.

        Args:
            values, matter: as of `galaxy_maps`.
        """
        phases = jnp.asarray(numpyro.sample("phases", WhiteNoise((self.sky.pixels, self.sky.pixels, self.bins.size))))
        convergence, rate = self.galaxy_maps(values, matter, phases)
        numpyro.sample(DATA, LensedGalaxies(convergence, rate, self.counts, self.ellipticity_scatter, self.mask))
