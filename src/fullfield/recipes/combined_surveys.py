"""Surveys of many fields: how they are simulated, what is kept of them, and the network that looks at their maps."""

import pathlib
from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from fullfield._core import on_every_core, stream
from fullfield._core.progress import Progress
from fullfield.compression import ScaledProbes
from fullfield.datasets import turn_and_roll
from fullfield.fields import band_moduli, band_powers, Bands, normal, pair_indices
from fullfield.networks import ConvNet, MLP
from fullfield.parameters import ParameterSpace
from fullfield.recipes.artefacts import read_arrays, write_arrays
from fullfield.simulators import CombinedProbes, GivenMatter


COSMOLOGY = ("omega_m", "sigma_8")
CHANNELS = {"lensing": slice(0, 4), "clustering": slice(4, 8), "combined": slice(0, 8)}
KINDS = ("spectra", "moduli")


class FieldSpectra(eqx.Module):
    """Band powers of all pairs of maps, means over the fields of a survey, through asinh(P / P₀) of numbers of order one.

    P₀ is the mean auto power of the highest band, as in `SpectraAndMoments`.

    Args:
        bands: multipole bands of a field.
        kind: "spectra", or "moduli" as the paper's public code measures them (`band_moduli`).
    """

    bands: Bands
    kind: str = eqx.field(static=True, default="spectra")

    def __call__(self, maps: Float[Array, "k n n c"]) -> Float[Array, " s"]:
        """Summarise one survey."""
        measure = {"spectra": band_powers, "moduli": band_moduli}[self.kind]
        powers = jnp.mean(jax.vmap(lambda field: measure(self.bands, field))(maps), axis=0)
        first, second = pair_indices(maps.shape[-1])
        return jnp.arcsinh(powers / jnp.mean(powers[first == second, -1])).ravel()


class BesideSpectra(eqx.Module):
    """A network on maps, its means over fields added to a network on spectra, so that it begins with what those know.

    Args:
        maps: map to vector.
        powers: spectra to vector.
        spectra: survey to spectra.
    """

    maps: ConvNet
    powers: MLP
    spectra: FieldSpectra

    def __call__(self, x: Float[Array, "k n n c"], *, key: Array | None = None) -> Float[Array, " s"]:
        """Survey to vector; `key` is ignored."""
        return jnp.mean(jax.vmap(self.maps)(x), axis=0) + self.powers(self.spectra(x))


def turn_fields(key: Key[Array, ""], theta: Float[Array, " p"], data: Float[Array, "k n n c"]) -> Float[Array, "k n n c"]:
    """Turn, mirror and shift every periodic field at random."""
    keys = jax.random.split(key, len(data))
    return jax.vmap(turn_and_roll, (0, None, 0))(keys, theta, data.astype(jnp.float32))


def draw_parameters(
    parameters: ParameterSpace, key: Key[Array, ""], n: int, *, galaxies: int = 1
) -> Float[Array, "n galaxies p"]:
    """Draw parameters from the prior, those of cosmology once for all `galaxies` vectors of a row.

    Args:
        parameters: of the model.
        key: scalar key.
        n: number of cosmologies.
        galaxies: vectors at each.
    """
    theta = parameters.sample(key, (n, galaxies))
    shared = np.isin(parameters.names, COSMOLOGY)
    return jnp.where(jnp.asarray(shared), theta[:, :1], theta)


def simulate_surveys(
    model: CombinedProbes,
    scaled: ScaledProbes,
    bands: Bands,
    keys: Key[Array, " m"],
    theta: Float[Array, "m galaxies p"],
    folder: pathlib.Path,
    *,
    part: str,
    fields: int,
    progress: Progress,
    with_maps: bool = True,
    chunk: int = 10,
) -> None:
    """Simulate one part of the surveys: parameters and spectra in `<part>.npz`, maps at half precision in `<part>.npy`.

    Args:
        model: of one field.
        scaled: what is kept of a field.
        bands: of the spectra.
        keys: one for every light cone.
        theta: parameters of every light cone, in which galaxies are drawn several times over.
        folder: where to.
        part: its name.
        fields: in a survey.
        progress: told about every chunk.
        with_maps: whether maps are kept.
        chunk: light cones at a time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # The last chunk reaches back, so that it is as long as the others and needs no program of its own.
    (total, galaxies, p), n = theta.shape, scaled.sky.pixels
    chunk, spectra = min(chunk, total), {}
    starts = [min(start, total - chunk) for start in range(0, total, chunk)]
    shape, maps = (total * galaxies, fields, n, n, 8), None
    if with_maps:
        maps = np.lib.format.open_memmap(folder / f"{part}.npy", mode="w+", dtype=np.float16, shape=shape)
    simulated = on_every_core(
        lambda start: _surveys(model, scaled, bands, fields, keys[start : start + chunk], theta[start : start + chunk]), starts
    )
    for start, (some, found) in zip(starts, simulated, strict=True):
        rows = slice(start * galaxies, (start + chunk) * galaxies)
        if maps is not None:
            maps[rows] = np.asarray(some).reshape(-1, *shape[1:])
        for name, values in found.items():
            whole = spectra.setdefault(name, np.zeros((total * galaxies, values.shape[-1]), np.float32))
            whole[rows] = np.asarray(values).reshape(-1, values.shape[-1])
        progress(f"simulating for {part}", rows.stop, total * galaxies)
    if maps is not None:
        maps.flush()
    write_arrays(folder / f"{part}.npz", theta=np.asarray(theta).reshape(-1, p), **spectra)


@eqx.filter_jit
def _surveys(model, scaled, bands, fields, keys, theta):
    def galaxies(matter, key, theta):
        given = GivenMatter(model, matter)
        return scaled(given.simulate_at(key, theta[given_places]))

    given_places = np.flatnonzero(~np.isin(model.parameters.names, COSMOLOGY))

    def cone(pair):
        key, theta = pair
        white = stream(key, "white")
        matter = jax.lax.map(
            lambda key: model.matter(theta[0], normal(key, model.supplier.white_shape)), jax.random.split(white, fields)
        )

        def survey(pair):
            key, theta = pair
            maps = jax.lax.map(lambda one: galaxies(one[0], one[1], theta), (matter, jax.random.split(key, fields)))
            found = {
                f"{kind}/{probe}": FieldSpectra(bands, kind)(maps[..., channels])
                for kind in KINDS
                for probe, channels in CHANNELS.items()
            }
            return maps.astype(jnp.float16), found

        return jax.lax.map(survey, (jax.random.split(stream(key, "galaxies"), len(theta)), theta))

    return jax.lax.map(cone, (keys, theta))


def read_surveys(folder: pathlib.Path, part: str) -> Mapping[str, np.ndarray]:
    """Parameters and spectra of one part.

    Args:
        folder: what `simulate_surveys` wrote to.
        part: its name.
    """
    return read_arrays(folder / f"{part}.npz")


def open_maps(folder: pathlib.Path, part: str, probe: str) -> Float[np.ndarray, "m k n n c"]:
    """Maps of one part, which stay on disk until they are used.

    Args:
        folder: what `simulate_surveys` wrote to.
        part: its name.
        probe: whose maps.
    """
    return np.load(folder / f"{part}.npy", mmap_mode="r")[..., CHANNELS[probe]]
