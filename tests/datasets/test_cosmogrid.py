"""Files in the format of CosmoGrid's projected probes: written, read field by field, made into noisy maps, and refused."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fullfield._core import ConfigurationError, DamagedDataError, DataError, FullfieldError, ShapeError
from fullfield.cosmology import even_shells
from fullfield.datasets import cosmogrid, CosmoGridMaps, write_cosmogrid
from fullfield.fields import FlatSky
from fullfield.simulators import CombinedProbes, GivenMatter, stage3_bins


h5py = pytest.importorskip("h5py")
N, COUNT = 16, 3
MODEL = CombinedProbes(FlatSky(N // 2, 5.0), even_shells(stage3_bins(100), 1.75, 4))


def fields(count=COUNT, seed=0):
    """Triples of maps (n, n, 4), one after the other."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        contrast = np.expm1(random.normal(0, 0.3, (N, N, 4)))
        yield 0.01 * contrast + 0.001, -0.002 * contrast, contrast


def write(folder, **settings):
    settings = {"omega_m": 0.2915, "sigma_8": 0.7835, "number": 4, "fields": fields(), "made_by": "a test"} | settings
    return write_cosmogrid(folder, **settings)


@pytest.fixture
def path(tmp_path):
    """A file that a test may spoil."""
    return write(tmp_path).path


def test_fields_come_back_averaged_without_their_total(tmp_path):
    read = write(tmp_path / "new")
    assert read.path.parent.name in ("cosmo_0.291_0.784_4", "cosmo_0.292_0.783_4", "cosmo_0.292_0.784_4", "cosmo_0.291_0.783_4")
    assert (read.omega_m, read.sigma_8) == pytest.approx((0.2915, 0.7835), abs=6e-4)
    assert (len(read), read.number) == (COUNT, 4)
    assert "made by a test" in read.note
    for given, maps in zip(fields(), read, strict=True):
        blocks = [one.reshape(N // 2, 2, N // 2, 2, 4).mean((1, 3)) for one in given]
        blocks[0] = blocks[0] - blocks[0].mean((0, 1))
        np.testing.assert_allclose(maps, blocks, rtol=1e-4, atol=1e-7)
    # As anybody else would read them.
    with h5py.File(read.path) as file:
        assert sorted(file) == ["0", "1", "2"]
        assert (file["1"].shape, file["1"].dtype) == ((N, N, 3, 5), np.float32)
        np.testing.assert_allclose(file["1"][..., 4], file["1"][..., :4].mean(-1), rtol=1e-5)


def test_a_field_is_read_when_it_is_asked_for(path):
    """Another one that is damaged does no harm, nor does a file that changed in the meantime stay as it was."""
    read = CosmoGridMaps.open(path.parent)
    with h5py.File(path, "a") as file:
        file["2"][:] = np.nan
        file["0"][:] = 0.25
    assert all((maps == value).all() for maps, value in zip(read[0], (0, 0.25, 0.25), strict=True))
    assert np.isfinite(read[1]).all()
    with pytest.raises(DataError, match=r"kappa_maps.h5: expected finite fields, got NaN or infinity in kg of field 2"):
        read[2]
    with pytest.raises(IndexError):
        read[3]


def test_published_files_have_their_number_of_fields(path, monkeypatch):
    with h5py.File(path, "a") as file:
        del file.attrs[cosmogrid.NOTE]
    with pytest.raises(DataError, match=r'fields "0" to "999", got no field 3 among 3'):
        CosmoGridMaps.open(path.parent)
    monkeypatch.setattr(cosmogrid, "FIELDS", COUNT)
    with pytest.raises(ShapeError, match=r"\(128, 128, 3, 5\): pixels, .*, got \(16, 16, 3, 5\) of field 0"):
        CosmoGridMaps.open(path.parent)
    monkeypatch.setattr(cosmogrid, "PIXELS", N)
    assert CosmoGridMaps.open(path.parent).note is None
    monkeypatch.setattr(cosmogrid, "FIELDS", 2)
    with pytest.raises(DataError, match='fields "0" to "1", got 3 fields'):
        CosmoGridMaps.open(path.parent)


def test_simulations_are_found_in_their_order(tmp_path):
    for number in (1, 0):
        write(tmp_path, number=number)
    write(tmp_path, omega_m=0.2, number=7)
    found = CosmoGridMaps.open_all(tmp_path, average=4)
    assert [(one.omega_m, one.number) for one in found] == [(0.2, 7), (found[1].omega_m, 0), (found[1].omega_m, 1)]
    assert found[0][0][0].shape == (4, 4, 4)
    (tmp_path / "cosmo_0.2_0.8_0").mkdir()
    with pytest.raises(DataError, match=r"cosmo_\{Ωm\}_\{σ8\}_\{number\} with three digits, .*got cosmo_0.2_0.8_0"):
        CosmoGridMaps.open_all(tmp_path)
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="none: expected folders"):
        CosmoGridMaps.open_all(tmp_path / "none")
    with pytest.raises(ConfigurationError, match="average: expected a divisor of 16 that leaves an even number, got 3"):
        CosmoGridMaps.open(found[0].path.parent, average=3)


def test_galaxies_of_given_matter_are_those_of_the_model(tmp_path):
    """Written, read and observed: as the model itself would observe the averaged fields."""
    matter = next(iter(write(tmp_path)))
    given = GivenMatter(MODEL, matter)
    assert given.parameters.names == ("a_ia", "eta_ia", "b_g", "r_g", "eta_b")
    theta = given.parameters.fiducial
    latents, data = eqx.filter_jit(given.simulate_with_latents)(jax.random.key(0), theta)
    assert data.shape == (N // 2, N // 2, 8)
    assert list(latents) == ["phases"]
    maps = tuple(jnp.asarray(one) for one in matter)
    convergence, rate = MODEL.galaxy_maps(given.parameters.as_dict(theta), maps, latents["phases"])
    kappa, counts = np.split(np.asarray(data), 2, axis=-1)
    pull = (kappa - convergence) / (0.4 / np.sqrt(counts + 1))
    assert pull.std() == pytest.approx(1, abs=5 / np.sqrt(2 * pull.size))
    assert ((counts - rate) / np.sqrt(rate)).std() == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (lambda maps: [maps[0], maps[1], maps[2][:4]], ShapeError, r"contrast: expected \(8, 8, 4\), .*, got \(4, 8, 4\)"),
        (lambda maps: [maps[0][..., :3], *maps[1:]], ShapeError, r"convergence: expected \(8, 8, 4\)"),
        (lambda maps: [maps[0], maps[1], maps[2] - 1], DataError, "contrast: expected at least -1"),
        (lambda maps: [maps[0], maps[1] * np.nan, maps[2]], DataError, "matter: expected finite maps"),
    ],
)
def test_matter_that_cannot_be_is_refused(path, spoil, error, message):
    with pytest.raises(error, match=message):
        GivenMatter(MODEL, spoil(CosmoGridMaps.open(path.parent)[0]))


def edit(change):
    def spoil(path):
        with h5py.File(path, "a") as file:
            change(file)

    return spoil


def replace(file, index, array):
    del file[index]
    file[index] = array


SHAPE = (N, N, 3, 5)
BAD = {
    "truncated": (
        lambda path: path.write_bytes(path.read_bytes()[:-100]),
        DamagedDataError,
        r"kappa_maps.h5: expected a whole file, got one cut off at \d+ bytes",
    ),
    "empty": (lambda path: path.write_bytes(b""), DataError, "kappa_maps.h5: expected an HDF5 file"),
    "a page of the web": (lambda path: path.write_text("<html>" * 1000), DataError, "kappa_maps.h5: expected an HDF5 file"),
    "gone": (lambda path: path.unlink(), DataError, "kappa_maps.h5: expected the file of the fields, got none"),
    "one field lost": (edit(lambda file: file.pop("1")), DataError, 'fields "0" to "1", got no field 1 among 2'),
    "no field": (edit(lambda file: [file.pop(name) for name in list(file)]), DataError, "got no field 0 among 0"),
    "without the total": (
        edit(lambda file: replace(file, "1", np.zeros((N, N, 3, 4), np.float32))),
        ShapeError,
        r"kappa_maps.h5: expected \(16, 16, 3, 5\): pixels, .*got \(16, 16, 3, 4\) of field 1",
    ),
    "of unequal shape": (
        edit(lambda file: replace(file, "2", np.zeros((N, N // 2, 3, 5), np.float32))),
        ShapeError,
        r"got \(16, 8, 3, 5\) of field 2",
    ),
    "a group": (edit(lambda file: [file.pop("2"), file.create_group("2")]), ShapeError, r"got \(\) of field 2"),
    "of doubles": (edit(lambda file: replace(file, "0", np.zeros(SHAPE))), DataError, "float32, got float64 of field 0"),
    "infinite": (
        edit(lambda file: file["0"].write_direct(np.full(SHAPE, np.inf, "f4"))),
        DataError,
        "infinity in kg of field 0",
    ),
    "counts": (
        edit(lambda file: file["0"].write_direct(np.full(SHAPE, -1.01, "f4"))),
        DataError,
        "contrasts of at least -1, where nothing is, got -1.01 in dg of field 0",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_files_are_refused_by_name(path, kind):
    spoil, error, message = BAD[kind]
    spoil(path)
    with pytest.raises(error, match=message):
        CosmoGridMaps.open(path.parent)[0]


@pytest.mark.parametrize("name", ["cosmo_0.291_0.784", "cosmo_29.1_0.784_0", "cosmo_1.291_0.784_0", "cosmos_0.291_0.784_0"])
def test_folders_of_other_names_are_refused(path, name):
    folder = path.parent.rename(path.parent.with_name(name))
    with pytest.raises(DataError, match=f"{name}: expected a folder cosmo_"):
        CosmoGridMaps.open(folder)


WRONG = {
    "none": ([], "at least one, got none"),
    "of three bins": ([[np.zeros((N, N, 3))] * 3], r"\(16, 16, 4\): pixels .*got \(16, 16, 3\)"),
    "of an odd side": ([[np.zeros((6, 6, 4))] * 3], "that divide by four"),
    "of two sizes": ([*fields(1), [np.zeros((8, 8, 4))] * 3], r"got \(8, 8, 4\)"),
    "not finite": ([*fields(1), [np.full((N, N, 4), np.nan)] * 3], "in kg of field 1"),
    "below nothing": ([[np.full((N, N, 4), -1.5)] * 3], "at least -1"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_the_writer_leaves_nothing_of_wrong_fields(tmp_path, kind):
    wrong, message = WRONG[kind]
    with pytest.raises(FullfieldError, match=message):
        write(tmp_path, fields=iter(wrong))
    assert not [*tmp_path.iterdir()]


def test_files_are_never_written_over(path):
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="no such file, got one"):
        write(path.parents[1])
    assert path.read_bytes() == before


def test_without_h5py_it_is_asked_for(path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(ConfigurationError, match=r"h5py: expected this package.*pip install 'fullfield\[hdf5\]'"):
        CosmoGridMaps.open(path.parent)
