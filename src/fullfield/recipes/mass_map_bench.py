"""Tomographic shear behind a mask, for joint posteriors of convergence and cosmology, with chains of the same model."""

import functools
import pathlib
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fullfield._core import load_module, save_module, stream
from fullfield._core.progress import Progress
from fullfield.compression import Composed, Joined, SpectraAndMoments
from fullfield.diagnostics import convergence, merge
from fullfield.fields import FlatSky, kaiser_squires, WienerFilter
from fullfield.generative import Condition, Layout
from fullfield.inference.explicit import Chains, MAMS, sample_field
from fullfield.recipes.artefacts import write_arrays
from fullfield.recipes.joint_bench import AbstractBench
from fullfield.recipes.joint_measure import joint_study, posterior
from fullfield.recipes.mass_map import MassMapConfiguration
from fullfield.recipes.mass_map_judge import chain_numbers
from fullfield.recipes.study import Cell, Measured, Study
from fullfield.recipes.summaries_features import bands_of, fit_reconstruction, MEDIANS, STEPS, unfitted_reconstruction
from fullfield.simulators import lsst_y10_model, ShearModel


HOLE = 0.35  # radius of a hole in degrees
RHAT = 1.01
SAMPLER = MAMS(steps=5.0)


class EModes(eqx.Module):
    """Convergence of shear maps, unobserved pixels of which are zero."""

    def __call__(self, shear: Float[Array, "n n bins 2"]) -> Float[Array, "n n bins"]:
        """E modes."""
        return kaiser_squires(shear)[..., 0]


class SeenShear(eqx.Module):
    """The Wiener filtered convergence, and what sums up the parameters.

    Args:
        wiener: filter at the fiducial parameters.
        summarise: shear to vector.
    """

    wiener: WienerFilter
    summarise: Callable

    def __call__(self, shear: Float[Array, "n n bins 2"]) -> Condition:
        """What a denoiser is shown of shear maps."""
        return Condition(self.wiener(shear), self.summarise(shear))


class AbstractShearBench(AbstractBench):
    """Shear of some survey; its configuration has sections `estimate` and `reference`."""

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
    def layout(self) -> Layout:
        """How simulations lie in rows."""
        size = eqx.filter_eval_shape(self._summary(None), jnp.zeros(self.model.data_shape)).shape[0]
        n, _, bins = self.model.noise.shape
        return Layout((n, n, bins), size)

    @property
    def statistics(self) -> Composed:
        """Spectra and moments of the E modes."""
        return Composed((EModes(), SpectraAndMoments(bands_of(self.model.lensing))))

    def _summary(self, file: pathlib.Path | None) -> Joined:
        blank = unfitted_reconstruction(self.model, self.statistics)
        return Joined((self.statistics, blank if file is None else load_module(file, blank)))

    def field(self, theta: Float[Array, " p"], latents: dict[str, Array]) -> Float[Array, "n n bins"]:
        """The convergence, without its mean, which shear does not know."""
        kappa = self.model.convergence(theta, latents["white"])
        return kappa - jnp.mean(kappa, axis=(0, 1))

    def see(self, folder: pathlib.Path) -> Callable[[Array], Condition]:
        """Wiener filter, and scores at the estimate with spectra and moments."""
        lensing = self.model.lensing
        power = eqx.filter_jit(lambda m: m.lattice.power(m.spectra(m.parameters.fiducial)))(lensing)
        wiener = WienerFilter(self.sky, power, self.model.noise, tolerance=0.01)
        return SeenShear(wiener, self._summary(folder.parent / "features.estimate" / "features.eqx"))

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


def mass_map_study(configuration: MassMapConfiguration) -> Study:
    """The joint study, with scores before and warm starts after."""
    bench, warm = ShearBench(configuration), configuration.warm
    first = (estimate_cell(bench),)
    posterior_of = configuration.model_dump(include={"simulations", "denoiser", "evaluations", "together", "estimate"})
    last = tuple(
        Cell(
            f"start/{kind}/{i}", (configuration.seed, bench.model, warm.model_dump(), posterior_of if kind == "warm" else None),
            functools.partial(_start, bench, kind, i), effort=2,
        )
        for i in range(warm.observations)
        for kind in ("warm", "dispersed")
    )  # fmt: skip
    study = joint_study(bench, first, last)
    return Study(study.cells, lambda found: merge([study.judge(found), chain_numbers(found)]), study.illustrate)


def estimate_cell(bench: AbstractShearBench) -> Cell:
    """What sums up the parameters, learnt before all else."""
    told = bench.configuration.seed, bench.configuration.estimate.model_dump(), bench.model
    return Cell("features/estimate", told, functools.partial(_estimate, bench), effort=4)


def _estimate(bench: AbstractShearBench, folder: pathlib.Path, progress: Progress) -> Measured:
    n = bench.configuration.estimate.simulations
    score, gradients = fit_reconstruction(bench.model, bench.statistics, n, folder, key=bench.key, progress=progress)
    save_module(folder / "features.eqx", score)
    return Measured({}, simulations=len(STEPS) * (n + MEDIANS), gradients=gradients)


def _start(bench: AbstractShearBench, kind: str, i: int, folder: pathlib.Path, progress: Progress) -> Measured:
    """Gradients until chains of a fixed length agree, from joint draws or from the prior."""
    settings, chains = bench.configuration.warm, bench.configuration.reference.chains
    data, key = bench.observe(i)[2], jax.random.fold_in(bench.key(f"start {kind}"), i)
    points = None
    if kind == "warm":
        found = posterior(bench, folder)
        theta, maps = found.sample(stream(key, "points"), data, chains)
        points = _points(bench.model, theta, maps)
    values, spent = {}, 0
    for warmup in settings.warmups:
        if values.get("rhat", np.inf) <= RHAT:
            break
        run = sample_field(
            bench.model, data, key=jax.random.fold_in(key, warmup), sampler=SAMPLER, draws=settings.draws, chains=chains,
            start=points, warmup=warmup, block=max(5, warmup // 4), progress=progress,
        )  # fmt: skip
        values = {**worst(run), "warmup": float(warmup), "gradients": float(run.gradients)}
        spent += run.gradients
    return Measured(values, gradients=spent)


@eqx.filter_jit
def _points(model, theta, maps):
    def point(pair):
        one, kappa = pair
        latents = model.lensing.latents(one[: model.lensing.parameters.size], kappa)
        return jnp.concatenate([model.parameters.to_unconstrained(one), latents.ravel()])

    return jax.lax.map(point, (theta, maps))


def worst(chains: Chains) -> dict[str, float]:
    """Largest R-hat, least bulk effective sample size, most divergences."""
    numbers = convergence(**chains.evidence).numbers
    choose = {"rhat": max, "ess_bulk": min, "divergences": max}
    return {
        kind: float(pick(number.value for number in numbers if number.name.endswith(f"/{kind}")))
        for kind, pick in choose.items()
    }
