"""Files in the format of the CAMELS Multifield Dataset: written, read, refused, and copied into a store."""

import itertools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zarr

from fullfield._core import ConfigurationError, DamagedDataError, DataError, FullfieldError, ParameterError, ShapeError
from fullfield.datasets import (
    camels,
    camels_files,
    camels_labels,
    camels_parameters,
    CamelsMaps,
    Pairs,
    store_camels,
    write_camels,
)


N, SIDE = 20, 4
DENSITY = 2.775e11 * 5
CAMPAIGN = {"seed": 0, "names": ("Omega_m", "sigma_8"), "transform": np.log10}


def cosmologies(n=N, seed=0):
    return np.random.default_rng(seed).uniform((0.1, 0.6), (0.5, 1.0), (n, 2)).astype(np.float32)


def boxes(theta, seed=1):
    """Positive maps (15, y, y) of each cosmology, of the mass that it has, one simulation after the other."""
    random = np.random.default_rng(seed)
    for omega_m in theta[:, 0]:
        yield DENSITY * omega_m * np.exp(0.3 * random.normal(size=(15, SIDE, SIDE)) - 0.045)


def write(folder, theta, suite="IllustrisTNG", set="LH", field="Mtot", **settings):
    settings = {"simulations": boxes(theta), "made_by": "a test"} | settings
    return write_camels(folder, field, suite, set, theta, **settings)


@pytest.fixture
def files(tmp_path):
    """A folder of synthetic files that a test may spoil: maps and table."""
    written = write(tmp_path, cosmologies())
    return written.path, written.table


def reopen(files):
    return CamelsMaps.open(files[0].parent, "Mtot")


def table_of(files):
    return np.loadtxt(files[1])


@pytest.fixture
def publish(monkeypatch):
    """Write files that nothing marks as synthetic, as large as the sets are said to be."""
    monkeypatch.setattr(camels, "SIDE", SIDE)

    def write(folder, rows, n, name="params_LH_IllustrisTNG.txt", maps="Maps_Mtot_IllustrisTNG_LH_z=0.00.npy", **settings):
        np.savetxt(folder / name, rows, fmt="%.5f")
        np.save(folder / maps, np.ones((n, SIDE, SIDE), np.float32) * np.repeat(rows[:, 0], 15)[:n, None, None].astype("f4"))
        return CamelsMaps.open(folder, *maps.removesuffix(".npy").split("_")[1:2], **settings)

    return write


def test_maps_come_back_in_the_rows_of_their_cosmology(tmp_path):
    theta = cosmologies()
    read = write(tmp_path / "new", theta)
    expected = np.stack([box.astype(np.float32) for box in boxes(theta)])
    np.testing.assert_array_equal(read.maps, expected)
    np.testing.assert_array_equal(read.theta, np.concatenate([theta, np.ones((N, 4))], axis=1))
    assert read.parameters.names == ("Omega_m", "sigma_8", "A_SN1", "A_AGN1", "A_SN2", "A_AGN2")
    # As anybody else would read them.
    flat, table = np.load(read.path), np.loadtxt(read.table)
    assert (flat.dtype, flat.shape, table.shape) == (np.float32, (15 * N, SIDE, SIDE), (N, 6))
    for number in (0, 14, 15, 299):
        np.testing.assert_array_equal(flat[number], read.maps[number // 15, number % 15])
        assert flat[number].mean() == pytest.approx(DENSITY * table[number // 15, 0], rel=0.5)


def test_maps_stay_on_disk(files):
    read = reopen(files)
    assert isinstance(read.maps, np.memmap)
    assert not read.maps.flags.writeable
    assert read.maps.filename == read.path  # a copy would have none


def test_synthetic_files_say_so(files):
    read = reopen(files)
    assert read.synthetic
    assert "not of the CAMELS simulations, but made by a test" in read.note
    assert files[1].read_text().startswith("# synthetic, by a test\n")
    note = next(files[0].parent.glob("*.synthetic.txt"))
    note.unlink()
    with pytest.raises(DataError, match="1000 rows, one for each simulation of LH, got 20"):
        reopen(files)


@pytest.mark.parametrize("suite", camels_labels.SUITES)
def test_every_suite_has_its_names_of_files(tmp_path, suite):
    read = write(tmp_path, cosmologies(), suite=suite)
    assert read.path.name == f"Maps_Mtot_{suite}_LH_z=0.00.npy"
    assert read.theta.shape == (N, 2 if suite.startswith("Nbody") else 6)
    legacy = [f"params_{suite}.txt"] + (["params_LH_Nbody.txt", "params_Nbody.txt"] if suite.startswith("Nbody") else [])
    for name in legacy:
        read = CamelsMaps.open(tmp_path, "Mtot", suite)
        read.table.rename(tmp_path / name)
        assert CamelsMaps.open(tmp_path, "Mtot", suite).table.name == name


def test_published_ranges():
    tng, astrid = camels_parameters("IllustrisTNG"), camels_parameters("Astrid")
    ranges = [(0.1, 0.5), (0.6, 1.0), (0.25, 4.0), (0.25, 4.0), (0.5, 2.0), (0.5, 2.0)]
    np.testing.assert_allclose(tng.bounds, ranges, rtol=1e-6)
    np.testing.assert_allclose(astrid.bounds, [*ranges[:5], (0.25, 4.0)], rtol=1e-6)
    np.testing.assert_allclose(tng.fiducial, [0.3, 0.8, 1, 1, 1, 1], rtol=1e-6)
    # Uniform in the logarithm: as often above as below the fiducial value.
    draws = tng.sample(jax.random.key(0), (2000,))
    assert abs(np.mean(draws[:, 2] > 1) - 0.5) < 0.06  # five deviations
    assert [camels_parameters(suite, 28).size for suite in ("IllustrisTNG", "SIMBA")] == [28, 28]
    assert camels_parameters("Astrid", 7).names[-1] == "Omega_b"
    assert camels_parameters("Nbody_SIMBA", 2).names == ("Omega_m", "sigma_8")
    with pytest.raises(ConfigurationError, match=r"one of \[6, 28\]"):
        camels_parameters("SIMBA", 7)


def test_larger_tables_are_read(tmp_path, publish, monkeypatch):
    monkeypatch.setitem(camels_labels.SETS, "SB28", 3)
    space = camels_parameters("IllustrisTNG", 28)
    rows = np.asarray(space.sample(jax.random.key(0), (3,)))
    maps = "Maps_Mgas_IllustrisTNG_SB28_z=0.00.npy"
    read = publish(tmp_path, rows, 45, "params_SB28_IllustrisTNG.txt", maps, set="SB28")
    assert read.theta.shape == (3, 28)
    assert read.parameters.names == space.names
    assert not read.synthetic
    assert read.field == "Mgas"


ROWS = {
    "CV": np.tile([0.3, 0.8, 1, 1, 1, 1], (3, 1)),
    "1P": np.where(np.eye(6), [0.2, 0.9, 2, 2, 1.5, 1.5], [0.3, 0.8, 1, 1, 1, 1]),
    "EX": np.array([[0.3, 0.8, 1, 1, 1, 1], [0.3, 0.8, 1, 100, 1, 1], [0.3, 0.8, 100, 1, 1, 1], [0.3, 0.8, 0, 0, 0, 0]]),
    "LH": np.stack([*np.linspace((0.1, 0.6), (0.5, 1.0), 6).T, *np.ones((4, 6))], axis=1),
}


@pytest.mark.parametrize("set", ROWS)
def test_each_set_has_its_layout_and_refuses_the_tables_of_others(tmp_path, set):
    assert write(tmp_path, ROWS[set], set=set).theta.shape == ROWS[set].shape
    for other, rows in ROWS.items():
        if other not in (set, "CV"):  # fiducial simulations are of the same cosmology, and differ in no parameter
            with pytest.raises(DataError, match=rf"params_{set}_IllustrisTNG.txt: expected .* {set} has|between"):
                write(tmp_path / other, rows, set=set)


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        (("Mtott", "SIMBA", "LH"), ConfigurationError, "Did you mean 'Mtot'.*Known: B, HI, Mcdm, MgFe, Mgas"),
        (("Mtot", "simba", "LH"), ConfigurationError, "Known: Astrid, IllustrisTNG, Nbody_Astrid"),
        (("Mtot", "SIMBA", "Lh"), ConfigurationError, "Known: 1P, BE, CV, EX, LH, SB28"),
        (("B", "SIMBA", "LH"), ConfigurationError, "a field of SIMBA, which has all but B"),
        (("Mgas", "Nbody_SIMBA", "LH"), ConfigurationError, "Mtot alone"),
        (("Mtot", "SIMBA", "LH"), DataError, r"Maps_Mtot_SIMBA_LH_z=0.00.npy, got none.*readthedocs.io/en/latest/access"),
        (("Mtot", "IllustrisTNG", "LH", 1.0), DataError, r"Maps_Mtot_IllustrisTNG_LH_z=1.00.npy, got none"),
    ],
)
def test_unknown_and_missing_files_name_what_there_could_be(files, names, error, message):
    with pytest.raises(error, match=message):
        CamelsMaps.open(files[0].parent, *names)


def test_missing_table_is_looked_for_under_both_names(files):
    files[1].unlink()
    with pytest.raises(DataError, match=r"params_LH_IllustrisTNG.txt or params_IllustrisTNG.txt, got none.*Download"):
        reopen(files)


def save(change):
    return lambda files: np.save(files[0], change(np.load(files[0])))


def savetxt(change):
    return lambda files: np.savetxt(files[1], change(table_of(files)))


def truncate(files, size):
    files[0].write_bytes(files[0].read_bytes()[:size])


BAD = {
    "truncated": (
        lambda files: truncate(files, -100),
        DamagedDataError,
        r"Maps_.*expected 19328 bytes, for the float32 \(300, 4, 4\) of its header, got 19228 bytes: ",
    ),
    "truncated in the header": (lambda files: truncate(files, 60), DamagedDataError, "Maps_.*whole, got 60 bytes"),
    "too long": (lambda files: files[0].write_bytes(files[0].read_bytes() + b"0"), DamagedDataError, "as its header says"),
    "empty": (lambda files: files[0].write_bytes(b""), DataError, r"Maps_.*an .npy file, got one that begins with b''"),
    "a page of the web": (lambda files: files[0].write_text("<html>"), DataError, r"Maps_.*an .npy file.*<html>"),
    "of doubles": (save(lambda maps: maps.astype(float)), DataError, "Maps_.*float32 .*, got float64"),
    "of other bytes": (save(lambda maps: maps.astype(">f4")), DataError, "Maps_.*float32 .*, got >f4"),
    "of objects": (lambda files: np.save(files[0], np.array([{}])), DamagedDataError, "Maps_.*objects"),
    "of Fortran": (save(np.asfortranarray), DataError, "Maps_.*in Fortran's order"),
    "not square": (save(lambda maps: maps[:, :2]), ShapeError, r"Maps_.*square maps, \(m, y, y\), got \(300, 2, 4\)"),
    "of the wrong rank": (save(np.ravel), ShapeError, r"Maps_.*square maps.*got \(4800,\)"),
    "one map short": (save(lambda maps: maps[:-1]), ShapeError, "Maps_.*15 maps for each of the 20 rows .*, got 299 maps"),
    "a row short": (savetxt(lambda rows: rows[:-1]), ShapeError, "15 maps for each of the 19 rows of params_LH"),
    "a column short": (savetxt(lambda rows: rows[:, :5]), DataError, "params_LH.*6 columns.*got 5"),
    "no table": (lambda files: files[1].write_text(""), DataError, "params_LH.*6 columns"),
    "ragged": (lambda files: files[1].write_text("0.1 0.2\n0.3\n"), DataError, "params_LH.*a table of numbers"),
    "words": (lambda files: files[1].write_text("Omega_m sigma_8\n"), DataError, "params_LH.*a table of numbers"),
    "not a number": (savetxt(lambda rows: np.where(rows == rows[4, 0], np.nan, rows)), DataError, "got nan in row 4"),
    "of a wider suite": (
        savetxt(lambda rows: rows * [1, 1, 1, 1, 1, 3]),
        DataError,
        "A_AGN2 of IllustrisTNG between 0.5 and 2, got 3 in row 0",
    ),
    "of percent": (savetxt(lambda rows: rows * [100, 1, 1, 1, 1, 1]), DataError, "Omega_m of IllustrisTNG between 0.1 and 0.5"),
    "of another Latin hypercube": (savetxt(lambda rows: rows[::-1]), DataError, "params_LH.*in proportion to the mass in Maps"),
    "a cosmology twice": (savetxt(lambda rows: rows[[0, *range(N - 1)]]), DataError, "another cosmology in every row"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_files_are_refused_by_name(files, kind):
    spoil, error, message = BAD[kind]
    spoil(files)
    with pytest.raises(error, match=message):
        reopen(files)


def test_published_maps_have_the_published_size(tmp_path, publish, monkeypatch):
    monkeypatch.setitem(camels_labels.SETS, "LH", N)
    rows = np.concatenate([cosmologies(), np.ones((N, 4))], axis=1)
    assert not publish(tmp_path, rows, 15 * N).synthetic
    monkeypatch.setattr(camels, "SIDE", 256)
    with pytest.raises(ShapeError, match=r"maps of 256² pixels, \(m, 256, 256\), got \(300, 4, 4\)"):
        CamelsMaps.open(tmp_path, "Mtot")


def test_tables_of_other_simulations_are_told_by_the_mass():
    """Error budget: of 200 pairs of unrelated tables none may pass, where one in 10⁵ would."""
    tables = [cosmologies(16, seed)[:, 0] for seed in range(201)]
    for one, other in itertools.pairwise(tables):
        camels.check_mass(pathlib.Path("table"), DENSITY * one, one)
        with pytest.raises(DataError, match="in proportion"):
            camels.check_mass(pathlib.Path("table"), DENSITY * one, other)


def test_store_holds_the_views_of_a_simulation_in_its_row(files, tmp_path, key):
    source = reopen(files)
    store = store_camels(tmp_path / "maps.zarr", source, fractions={"train": 0.7, "validation": 0.2, "test": 0.1}, **CAMPAIGN)
    np.testing.assert_array_equal(store.read("data"), np.log10(source.maps))
    np.testing.assert_array_equal(store.read("theta"), source.theta[:, :2])
    assert store.names == ("Omega_m", "sigma_8")
    assert "a test" in store.facts["configuration"]["note"]
    store.verify()
    parts = [store.read("theta", part) for part in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [14, 4, 2]
    assert len(np.unique(np.concatenate(parts), axis=0)) == N, "two parts share a cosmology"
    # Views as training deals them, from the row of their cosmology.
    batches = store.batches("train", 7, augment=Pairs(5))
    (shard,) = batches.shards(key)
    theta, views = shard.draw(key, jnp.asarray(0))
    assert views.shape == (7, 10, SIDE, SIDE)
    for cosmology, dealt in zip(np.asarray(theta), np.asarray(views), strict=True):
        row = np.flatnonzero((source.theta[:, :2] == cosmology).all(axis=1))[0]
        assert all((np.log10(source.maps[row]) == view).all(axis=(1, 2)).any() for view in dealt)


def test_an_interrupted_copy_goes_on(files, tmp_path, monkeypatch):
    monkeypatch.setattr(camels_files, "rows_per_chunk", lambda n, layout: 3)
    source, path, copied = reopen(files), tmp_path / "maps.zarr", []

    def stop(stage, done, total):
        if stage == "copying" and done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store_camels(path, source, progress=stop, **CAMPAIGN)
    store = store_camels(path, source, progress=lambda stage, *_: copied.append(stage), **CAMPAIGN)
    assert copied.count("copying") == 5
    assert store.chunks == 7
    np.testing.assert_array_equal(store.read("data"), np.log10(source.maps))
    zarr.open_group(path, mode="r+")["data"][4] = 0
    np.testing.assert_array_equal(store_camels(path, source, **CAMPAIGN).read("data"), np.log10(source.maps))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"transform": np.log}, ConfigurationError, "transform: expected 'log10'.*got 'log'"),
        ({"names": None}, ConfigurationError, "parameters"),
        ({"names": ("Omega_b",)}, ParameterError, "Did you mean 'Omega_m'"),
        ({"seed": 1}, ConfigurationError, "seed"),
    ],
)
def test_store_of_other_settings_is_refused(files, tmp_path, change, error, message):
    source = reopen(files)
    store_camels(tmp_path / "maps.zarr", source, **CAMPAIGN)
    with pytest.raises(error, match=message):
        store_camels(tmp_path / "maps.zarr", source, **CAMPAIGN | change)


def test_store_of_other_maps_is_refused(files, tmp_path):
    store_camels(tmp_path / "maps.zarr", reopen(files), **CAMPAIGN)
    again = write(tmp_path / "again", cosmologies(), simulations=boxes(cosmologies(), seed=2))
    with pytest.raises(ConfigurationError, match="model"):
        store_camels(tmp_path / "maps.zarr", again, **CAMPAIGN)


def test_logarithm_of_a_pixel_that_is_not_positive_is_refused(tmp_path):
    blocks = [np.ones((15, SIDE, SIDE)) for _ in range(3)]
    blocks[2][7, 1, 3] = 0.0
    source = write(tmp_path, cosmologies(3), field="HI", simulations=blocks)
    with pytest.raises(DataError, match=r"Maps_HI.*whose log10 is finite, so positive .*, got 0 in map 37"):
        store_camels(tmp_path / "log.zarr", source, **CAMPAIGN)
    np.testing.assert_array_equal(store_camels(tmp_path / "raw.zarr", source, seed=0).read("data"), np.stack(blocks))
    with pytest.raises(ShapeError, match="one number for each pixel"):
        store_camels(tmp_path / "mean.zarr", source, seed=0, transform=np.mean)


WRONG = {
    "too few": (lambda theta: {"simulations": boxes(theta[1:])}, "20, as many as parameters, got 19"),
    "too many": (lambda theta: {"simulations": boxes(theta[[0, *range(N)]])}, "20, as many as parameters, got 21"),
    "not 15": (lambda theta: {"simulations": (box[1:] for box in boxes(theta))}, "15 square maps"),
    "of two sizes": (lambda theta: {"simulations": (box[:, row % 2 :] for row, box in enumerate(boxes(theta)))}, "15 square"),
    "not finite": (lambda theta: {"simulations": (box * np.nan for box in boxes(theta))}, "infinity in simulation 0"),
    "overdensities": (lambda theta: {"simulations": (box / box.mean() for box in boxes(theta))}, "in proportion to the mass"),
    "a set of 28": (lambda theta: {"set": "SB28"}, "tables have 6 columns, got 'SB28'"),
    "one cosmology": (lambda theta: {"theta": theta[[0] * N]}, "another cosmology in every row"),
    "one parameter": (lambda theta: {"theta": theta[:, :1]}, r"\(n, 2\) to \(n, 6\)"),
    "outside": (lambda theta: {"theta": theta + 1}, "Omega_m of IllustrisTNG between"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_the_writer_leaves_nothing_of_wrong_maps(tmp_path, kind):
    change, message = WRONG[kind]
    settings = {"theta": cosmologies()} | change(cosmologies())
    with pytest.raises(FullfieldError, match=message):
        write(tmp_path, **settings)
    assert not [*tmp_path.iterdir()]


def test_files_are_never_written_over_but_fields_share_a_table(files):
    before = files[0].read_bytes()
    with pytest.raises(ConfigurationError, match="no Maps_Mtot"):
        write(files[0].parent, cosmologies())
    with pytest.raises(ConfigurationError, match=r"no params_LH_IllustrisTNG.txt of other parameters"):
        write(files[0].parent, cosmologies(seed=5), field="Mgas")
    assert write(files[0].parent, cosmologies(), field="Mgas").synthetic
    assert files[0].read_bytes() == before


def test_simulations_are_written_as_they_come(tmp_path):
    """Of a simulation that is being made, all before it have left the memory."""
    alive, most = [0], [0]

    class Box(np.ndarray):
        def __array_finalize__(self, other):
            alive[0] += 1
            most[0] = max(most[0], alive[0])

        def __del__(self):
            alive[0] -= 1

    theta = cosmologies(200)
    write(tmp_path, theta, simulations=(box.view(Box) for box in boxes(theta)))
    assert 0 < most[0] < 10
