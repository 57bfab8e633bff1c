"""Tomographic shear behind a mask, for joint posteriors of convergence and cosmology, with chains of the same model."""

import functools
import pathlib
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from fullfield._core import DataError, load_module, save_module
from fullfield._core.progress import Progress
from fullfield.compression import Composed, SpectraAndMoments
from fullfield.diagnostics import convergence
from fullfield.fields import (
    AbstractMassMap,
    FlatSky,
    kaiser_squires,
    KaiserSquires,
    power_root,
    root_on_plane,
    SparseStarlet,
    WienerFilter,
)
from fullfield.generative import Colour, Condition, Layout, left_as_drawn
from fullfield.inference.explicit import Chains, MAMS, sample_field, ScoreAtEstimate, ShearLatents, white_maps
from fullfield.recipes.artefacts import write_arrays
from fullfield.recipes.joint_bench import AbstractBench, AbstractFrame
from fullfield.recipes.mass_map import MassMapConfiguration
from fullfield.recipes.study import Cell, Measured
from fullfield.recipes.summaries_features import bands_of, fit_reconstruction, MEDIANS, STEPS, unfitted_reconstruction
from fullfield.simulators import lsst_y10_model, ShearModel


HOLE = 0.35  # radius of a hole in degrees
SAMPLER = MAMS(steps=5.0)


class EModes(eqx.Module):
    """Convergence of shear maps, unobserved pixels of which are zero."""

    def __call__(self, shear: Float[Array, "n n bins 2"]) -> Float[Array, "n n bins"]:
        """E modes."""
        return kaiser_squires(shear)[..., 0]


class SeenShear(eqx.Module):
    """An estimate of the parameters and the score there, and the most probable latents at the estimate.

    Args:
        score: that finds them.
    """

    score: ScoreAtEstimate

    def __call__(self, shear: Float[Array, "n n bins 2"]) -> Condition:
        """What a denoiser is shown of shear maps."""
        summary, latents = self.score.with_latents(shear)
        return Condition(white_maps(latents["white"]), summary, shear)


class ShearFrame(AbstractFrame):
    """White latents relative to the most probable ones, at the parameters if these go first, else at their estimate.

    Args:
        truth: parameters and latents of a simulation to its map.
        latents: what is drawn.
        together: whether parameters and latents are drawn at equal times.
        moves: of the parameters and latents of each draw.
    """

    truth: Callable
    latents: ShearLatents
    together: bool = eqx.field(static=True)
    moves: int = eqx.field(static=True, default=0)

    @property
    def gradients(self) -> int:
        """Those of the climb to the most probable latents, and of the moves."""
        return self.latents.gradients(self.moves) + (0 if self.together else self.latents.steps + 1)

    def given(self, theta: Float[Array, " p"], condition: Condition) -> Condition:
        """The same with the most probable latents at the parameters."""
        if self.together:
            return condition
        data = _data_of(condition)
        return Condition(self.latents.expected(theta, data, condition.expected), condition.summary, data)

    def field(self, theta: Float[Array, " p"], latents: dict[str, Array], condition: Condition) -> Float[Array, "n n bins"]:
        """Relative latents."""
        return self.latents.relative(theta, latents["white"], condition.expected)

    @property
    def correction(self) -> Callable:
        """Moves of parameters and latents, if there are any."""
        return self.moved if self.moves else left_as_drawn

    def moved(
        self,
        key: Key[Array, ""],
        theta: Float[Array, " p"],
        field: Float[Array, "n n bins"],
        condition: Condition,
        scatter: Float[Array, "p p"] | None,
    ) -> tuple[Float[Array, " p"], Float[Array, "n n bins"]]:
        """Parameters and relative latents after moves."""
        white = self.white(theta, field, condition)["white"]
        theta, white = self.latents.moved(key, theta, white, _data_of(condition), self.moves, scatter)
        return theta, self.latents.relative(theta, white, condition.expected)

    def white(self, theta: Float[Array, " p"], field: Float[Array, "n n bins"], condition: Condition) -> dict[str, Array]:
        """Latents of relative ones."""
        return {"white": self.latents.latents(theta, field, condition.expected)}

    def maps(
        self, theta: Float[Array, " p"], field: Float[Array, "n n bins"], condition: Condition
    ) -> Float[Array, "n n bins"]:
        """The convergence of relative latents."""
        return self.truth(theta, self.white(theta, field, condition))


def _data_of(condition):
    if condition.data is None:
        raise DataError(
            "condition", expected="the shear itself as its data", got="none",
            remedy="Rows of simulations hold no data: see the shear.",
        )  # fmt: skip
    return condition.data


class AbstractShearBench(AbstractBench):
    """Shear of some survey; its configuration has `moves` and sections `estimate` and `reference`."""

    model: eqx.AbstractVar[ShearModel]

    @property
    def sky(self) -> FlatSky:
        """Patch of the maps."""
        return self.model.lensing.survey.sky

    @property
    def survey(self) -> Float[np.ndarray, "n n c"]:
        """Depth relative to the deepest pixel, zero where masked."""
        noise = np.asarray(self.model.noise)[..., :1]
        return (noise.min() / noise).astype(np.float32)

    @property
    def prepare(self) -> Callable[..., Array | np.ndarray]:
        """The model's, which refuses shear of other surveys."""
        return self.model.prepare

    @property
    def layout(self) -> Layout:
        """How simulations lie in rows."""
        n, _, bins = self.model.noise.shape
        return Layout((n, n, bins), 2 * self.model.parameters.size)

    @property
    def statistics(self) -> Composed:
        """Spectra and moments of the E modes."""
        return Composed((EModes(), SpectraAndMoments(bands_of(self.model.lensing))))

    @property
    def colour(self) -> Colour:
        """Root of the convergence's power at the fiducial parameters."""
        return Colour(root_on_plane(self.sky, power_root(self.power)))

    @property
    def power(self) -> Float[Array, "pairs m m"]:
        """The convergence's at the fiducial parameters, on the octant."""
        lensing = self.model.lensing
        return lensing.lattice.power(eqx.filter_jit(lensing.spectra)(lensing.parameters.fiducial))

    @property
    def known(self) -> float:
        """Where latents are expected at their own parameters, the denoiser may see them with those alone."""
        return super().known if self.configuration.together else 1.0

    @property
    def moves(self) -> int:
        """By the configuration."""
        return self.configuration.moves

    @property
    def reference_settings(self) -> object:
        """Those of the chains."""
        return self.configuration.reference

    def frame(self, folder: pathlib.Path) -> ShearFrame:
        """Latents beside the most probable ones."""
        score = self._score(folder)
        latents = ShearLatents(self.model, score.target, score.preconditioner)
        return ShearFrame(self.truth, latents, self.configuration.together, self.moves)

    def truth(self, theta: Float[Array, " p"], latents: dict[str, Array]) -> Float[Array, "n n bins"]:
        """The convergence, without its mean, which shear does not know."""
        return MeanFree(self.model)(theta, latents)

    def filtered(self, data: Float[Array, "n n bins 2"]) -> Float[Array, "n n bins"]:
        """At the fiducial parameters."""
        return self._wiener(data)

    @property
    def _wiener(self) -> WienerFilter:
        return WienerFilter(self.sky, self.power, self.model.noise, tolerance=0.01)

    def baselines(self, width: float) -> dict[str, AbstractMassMap]:
        """Mass maps that need no training; the Wiener filter is that of `filtered`.

        Args:
            width: of the Kaiser-Squires map's smoothing in arcminutes.
        """
        scales = min(4, self.sky.pixels.bit_length() - 3)
        return {
            "Kaiser-Squires": KaiserSquires(self.sky, width),
            "Wiener": self._wiener,
            "sparse": SparseStarlet(self.model.noise, scales=scales),
        }

    def see(self, folder: pathlib.Path) -> Callable[[Array], Condition]:
        """Most probable latents at an estimate, and the score there."""
        return SeenShear(self._score(folder))

    def _score(self, folder: pathlib.Path) -> ScoreAtEstimate:
        blank = unfitted_reconstruction(self.model, self.statistics)
        return load_module(folder.parent / "features.estimate" / "features.eqx", blank)

    def residual(self, data: Float[Array, "n n bins 2"], field: Float[Array, "n n bins"]) -> Float[Array, "n n channels"]:
        """Both components of the shear in units of their noise."""
        return self.model.residual(data, field).reshape(*data.shape[:2], -1)

    def reference(self, i: int, folder: pathlib.Path, progress: Progress) -> Measured:
        """Adjusted chains from dispersed starts."""
        return self.chains(self.observe(i)[2], jax.random.fold_in(self.key("reference"), i), folder, progress)

    def chains(self, data: Array, key: Array, folder: pathlib.Path, progress: Progress) -> Measured:
        """Adjusted chains of any data, in `exact.npz`."""
        settings = self.configuration.reference
        chains = sample_field(
            self.model, data, key=key, sampler=SAMPLER, draws=settings.draws, chains=settings.chains, warmup=settings.warmup,
            block=100, product=MeanFree(self.model), directory=folder, progress=progress,
        )  # fmt: skip
        write_arrays(folder / "exact.npz", theta=chains.theta, mean=chains.product_mean, std=chains.product_std)
        return Measured(worst(chains), gradients=chains.gradients)


class ShearBench(AbstractShearBench):
    """Shear of an LSST-Y10-like survey, with round holes and noise that varies smoothly over the patch.

    Args:
        configuration: settings.
    """

    configuration: MassMapConfiguration = eqx.field(static=True)
    model: ShearModel

    def __init__(self, configuration: MassMapConfiguration):
        self.configuration = configuration
        lensing = lsst_y10_model(configuration.pixels)
        noise = depth_map(lensing.survey.sky, configuration.masked, configuration.depth)[..., None]
        self.model = ShearModel(lensing, noise * np.asarray(lensing.survey.noise_scale))


class MeanFree(eqx.Module):
    """Convergence without its mean, as a product of chains.

    Args:
        model: of the shear.
    """

    model: ShearModel

    def __call__(self, theta: Float[Array, " p"], latents: dict[str, Float[Array, "..."]]) -> Float[Array, "n n bins"]:
        """Maps (n, n, bins)."""
        kappa = self.model.convergence(theta, latents["white"])
        return kappa - jnp.mean(kappa, axis=(0, 1))


def depth_map(sky: FlatSky, masked: float, depth: float) -> Float[np.ndarray, "n n"]:
    """Noise relative to its mean: a smooth variation, and round holes, always the same ones, in which it is infinite."""
    n, random = sky.pixels, np.random.default_rng(7)
    degrees = (np.arange(n) + 0.5) * sky.side / n
    y, x = np.meshgrid(degrees, degrees, indexing="ij")
    noise = 1 + depth * np.sin(2 * np.pi * x / sky.side) * np.cos(2 * np.pi * y / sky.side)
    while np.isinf(noise).mean() < masked:
        centre = random.uniform(0, sky.side, 2)
        away = [np.minimum(np.abs(place - at), sky.side - np.abs(place - at)) for place, at in zip((y, x), centre, strict=True)]
        noise[np.hypot(*away) < max(HOLE, 0.6 * sky.side / n)] = np.inf
    return noise


def estimate_cell(bench: AbstractShearBench) -> Cell:
    """What sums up the parameters, learnt before all else."""
    told = bench.configuration.seed, bench.configuration.estimate.model_dump(), bench.model
    return Cell("features/estimate", told, functools.partial(_estimate, bench), effort=4)


def _estimate(bench: AbstractShearBench, folder: pathlib.Path, progress: Progress) -> Measured:
    n = bench.configuration.estimate.simulations
    score, gradients = fit_reconstruction(bench.model, bench.statistics, n, folder, key=bench.key, progress=progress)
    save_module(folder / "features.eqx", score)
    return Measured({}, simulations=len(STEPS) * (n + MEDIANS), gradients=gradients)


def worst(chains: Chains) -> dict[str, float]:
    """Largest R-hat, least bulk effective sample size, most divergences."""
    numbers = convergence(**chains.evidence).numbers
    choose = {"rhat": max, "ess_bulk": min, "divergences": max}
    return {
        kind: float(pick(number.value for number in numbers if number.name.endswith(f"/{kind}")))
        for kind, pick in choose.items()
    }
