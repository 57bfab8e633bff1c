"""Snapshots of every format give the particles that went into them, in comoving Mpc/h, and bad files are refused by name."""

import logging
import struct
import warnings

import numpy as np
import pytest
from snapshot_files import write_hdf5, write_ramses, write_swift, write_tipsy

from fullfield._core import ConfigurationError, DamagedDataError, DataError, FullfieldError, ShapeError
from fullfield.datasets import read_snapshot, write_gadget


pynbody = pytest.importorskip("pynbody")
N, SIDE = 1000, 50.0
POSITIONS = np.random.default_rng(0).uniform(0, SIDE, (N, 3)).astype("f4")
COSMOLOGY = {"omega_m": 0.3, "h": 0.7, "redshift": 0.5}
MASS = 0.3 * 27.7536627 * SIDE**3 / N  # of a particle, 1e10 M☉/h: Ωm times the critical density of 2.775e11 h² M☉ / Mpc³
TABLE = [0, MASS, 0, 0, 0, 0]
PLACES = {
    "mass": 36,
    "redshift": 84,
    "total": 104,
    "files": 128,
    "side": 132,
    "omega": 140,
    "h": 156,
}  # in GADGET's header, of type 1


@pytest.fixture
def path(tmp_path):
    """A file that a test may spoil."""
    return write_gadget(tmp_path / "snap_010", POSITIONS, SIDE, **COSMOLOGY)


def patch(path, format, **places):
    """Write other numbers over those at some bytes of a file."""
    with open(path, "r+b") as file:
        for place, value in places.items():
            file.seek(PLACES[place])
            file.write(struct.pack(format, value))


def check(snapshot, positions=POSITIONS, rtol=1e-7, h=0.7):
    np.testing.assert_allclose(snapshot.positions, positions, rtol=rtol, atol=rtol * SIDE)
    assert (snapshot.side, snapshot.omega_m, snapshot.h) == pytest.approx((SIDE, 0.3, h), rel=rtol)
    assert snapshot.redshift == pytest.approx(0.5, abs=1e-6)
    assert snapshot.positions.min() >= 0
    assert snapshot.positions.max() < snapshot.side


def test_pynbody_itself_reads_what_is_written(path):
    """Word by word, in kpc/h and 1e10 M☉/h, whatever units it believes these numbers to have."""
    with warnings.catch_warnings(action="ignore"):
        read = pynbody.load(path)
        positions, velocities, numbers = (np.asarray(read.dm[name]) for name in ("pos", "vel", "iord"))
    assert len(read) == len(read.dm) == N
    header = read.header
    assert (header.num_files, header.BoxSize, header.HubbleParam) == (1, 1000 * SIDE, 0.7)
    assert (header.Omega0, header.OmegaLambda, header.redshift, header.time) == (0.3, 0.7, 0.5, 1 / 1.5)
    assert header.mass == pytest.approx(TABLE)
    np.testing.assert_allclose(positions, 1000 * POSITIONS, rtol=1e-6)
    assert not velocities.any()
    assert (numbers == np.arange(1, N + 1)).all()
    # Head, positions, velocities and numbers, each between two lengths, and nothing else.
    assert path.stat().st_size == 256 + N * (12 + 12 + 4) + 4 * 8
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_our_own_snapshot_comes_back(path):
    snapshot = read_snapshot(path)
    check(snapshot)
    assert snapshot.positions.dtype == np.float32
    assert snapshot.masses is None


def test_positions_at_the_edge_and_beyond_are_wrapped(tmp_path):
    there = POSITIONS.copy()
    there[:5, 0] = [SIDE, -1e-6, -2.0, SIDE + 3, 0]
    write_gadget(tmp_path / "beyond", there, SIDE, **COSMOLOGY)
    np.save(tmp_path / "beyond.npy", there)
    for snapshot in (read_snapshot(tmp_path / "beyond"), read_snapshot(tmp_path / "beyond.npy", side=SIDE)):
        np.testing.assert_allclose(snapshot.positions[:5, 0], [0, 0, SIDE - 2, 3, 0], atol=1e-5)
        assert snapshot.positions.min() >= 0
        assert snapshot.positions.max() < SIDE


UNITS = {
    "kpc/h, not told": (lambda path, x: write_hdf5(path, {1: 1000 * x}, 1000 * SIDE, masses=TABLE), {}),
    "Mpc/h, not told": (lambda path, x: write_hdf5(path, {1: x}, SIDE, masses=TABLE), {}),
    "kpc/h": (lambda path, x: write_hdf5(path, {1: 1000 * x}, 1000 * SIDE, masses=TABLE, length=1e-3), {}),
    "Mpc/h": (lambda path, x: write_hdf5(path, {1: x}, SIDE, masses=TABLE, length=1.0), {}),
    "kpc, said by the user": (lambda path, x: write_hdf5(path, {1: x / 7e-4}, SIDE / 7e-4, masses=TABLE), {"unit": "kpc"}),
    "Mpc, said against the file": (
        lambda path, x: write_hdf5(path, {1: x / 0.7}, SIDE / 0.7, masses=TABLE, length=1e-3),
        {"unit": "Mpc"},
    ),
    "Mpc of SWIFT": (lambda path, x: write_swift(path, x / 0.7, SIDE / 0.7), {}),
}


@pytest.mark.parametrize("kind", UNITS)
def test_hdf5_of_many_units(tmp_path, kind):
    write, said = UNITS[kind]
    write(tmp_path / "snap.hdf5", POSITIONS)
    check(read_snapshot(tmp_path / "snap.hdf5", **said))


def test_ramses_without_other_processes(tmp_path):
    write_ramses(tmp_path / "output_00007", POSITIONS, SIDE)
    check(read_snapshot(tmp_path / "output_00007"))
    assert pynbody.snapshot.ramses.RamsesSnap.reader_pool is None
    assert pynbody.snapshot.ramses.multiprocess  # as it was


def test_tipsy_has_its_box_about_the_origin(tmp_path):
    write_tipsy(tmp_path / "run.00128", POSITIONS, SIDE)
    # Pynbody makes h from units that it rounds to a part in ten thousand.
    check(read_snapshot(tmp_path / "run.00128"), (POSITIONS - SIDE / 2) % SIDE, rtol=2e-4)


def test_binary_files_in_megaparsecs_are_told_by_their_density(tmp_path):
    path = write_gadget(tmp_path / "snap", POSITIONS, SIDE, **COSMOLOGY)
    raw = np.memmap(path, "f4", "r+", 268, N * 3)
    raw /= 1000
    raw.flush()
    patch(path, "d", side=SIDE)
    check(read_snapshot(path), rtol=2e-7)
    # Masses in M☉/h say nothing that would fit.
    patch(path, "d", mass=1e10 * MASS)
    with pytest.raises(DataError, match=r"snap: expected lengths in kpc/h or Mpc/h .* for lengths in 2\.15e\+03 Mpc/h\. Say"):
        read_snapshot(path)
    check(read_snapshot(path, unit="Mpc/h"), rtol=2e-7)


def test_gas_and_matter_of_unequal_masses(tmp_path):
    write_hdf5(tmp_path / "hydro.hdf5", {0: POSITIONS[::2], 1: POSITIONS}, SIDE, length=1.0)
    matter, gas = (read_snapshot(tmp_path / "hydro.hdf5", family=family) for family in ("dm", "gas"))
    check(matter)
    check(gas, POSITIONS[::2])
    np.testing.assert_allclose(matter.masses, np.linspace(1, 2, N) / 1.5)
    with pytest.raises(DataError, match=r"hydro.hdf5: expected particles of family star, got gas, dm"):
        read_snapshot(tmp_path / "hydro.hdf5", family="star")
    with pytest.raises(ConfigurationError, match=r"family: expected one of dm, star, gas.*, got matter"):
        read_snapshot(tmp_path / "hydro.hdf5", family="matter")


def binary_files(folder):
    for i, some in enumerate((POSITIONS[:300], POSITIONS[300:])):
        path = write_gadget(folder / f"snap.{i}", some, SIDE, **COSMOLOGY)
        patch(path, "d", mass=MASS)
        patch(path, "I", total=N, files=2)
    return [folder / name for name in ("snap", "snap.0", "snap.1")]


def hdf5_files(folder):
    for i, some in enumerate((POSITIONS[:300], POSITIONS[300:])):
        write_hdf5(folder / f"snap.{i}.hdf5", {1: some}, SIDE, masses=TABLE, part=(i, 2), total=[0, N, 0, 0, 0, 0])
    return [folder / name for name in ("snap", "snap.0.hdf5", "snap.1.hdf5")]


@pytest.mark.parametrize("write", [binary_files, hdf5_files])
def test_many_files_are_one_snapshot(tmp_path, write):
    whole, first, second = write(tmp_path)
    for path in (whole, first, second):
        check(read_snapshot(path))
    second.rename(tmp_path / "elsewhere")
    for path in (whole, first):
        with pytest.raises(DataError, match=r"snap: expected all files of the snapshot, got .*snap\.1"):
            read_snapshot(path)
    (tmp_path / "elsewhere").rename(second)
    first.unlink()
    with pytest.raises(DataError, match=rf"{second.name}: expected all files of the snapshot, got one of them"):
        read_snapshot(second)


def cut(size):
    return lambda path: path.write_bytes(path.read_bytes()[:size])


BAD = {
    "missing": (lambda path: path.unlink(), DataError, "a snapshot, got no such file"),
    "a folder": (lambda path: [path.unlink(), path.mkdir()], DataError, "a format of pynbody"),
    "empty": (cut(0), DataError, "a format of pynbody, got another file"),
    "text": (lambda path: path.write_text("positions\n" * 99), DataError, "a format of pynbody, got another file"),
    "cut in its head": (cut(100), DamagedDataError, "can be read, got OSError: Could not read HEAD"),
    "cut after its head": (cut(264), DamagedDataError, "can be read, got KeyError"),
    "cut in its positions": (cut(5000), DamagedDataError, "can be read, got OSError: Could not read block footer. Copy"),
    "cut in its last word": (cut(-1), DamagedDataError, "can be read, got OSError"),
    "of zeros inside": (
        lambda path: path.write_bytes(path.read_bytes()[:300] + bytes(20000) + path.read_bytes()[20300:]),
        DamagedDataError,
        "a snapshot that can be read",
    ),
    "without cosmology": (
        lambda path: patch(path, "d", omega=0.0),
        DataError,
        "with a, h, Ωm and the side of its box, got no a",
    ),
    "of an infinite box": (lambda path: patch(path, "d", side=np.inf), DataError, "box of positive side, got inf"),
    "of no redshift": (lambda path: patch(path, "d", redshift=np.nan), DamagedDataError, "a snapshot that can be read"),
    "of negative h": (lambda path: patch(path, "d", h=-0.7), DataError, "a, h and Ωm above zero, got 0.666667, -0.7 and 0.3"),
    "of a box too large": (
        lambda path: patch(path, "d", side=2000 * SIDE),
        DataError,
        r"fill their box of 100 Mpc/h, got ones that stretch over 0.499, 0.498, 0.5 of its sides",
    ),
    "of a box too small": (lambda path: patch(path, "d", side=500 * SIDE), DataError, "stretch over 2, 1.99, 2 of its sides"),
    "of positions that are not finite": (
        lambda path: np.memmap(path, "f4", "r+", 268, N).__setitem__(7, np.nan),
        DataError,
        "finite positions, got NaN",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_files_are_refused_by_name(path, kind):
    spoil, error, message = BAD[kind]
    spoil(path)
    with pytest.raises(error, match=f"snap_010: expected .*{message}") as caught:
        read_snapshot(path, unit="kpc/h")
    assert type(caught.value) is error


def test_bad_hdf5_is_refused(tmp_path):
    path = tmp_path / "snap.hdf5"
    write_hdf5(path, {1: POSITIONS}, SIDE, masses=TABLE, length=1.0)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DamagedDataError, match=r"snap.hdf5: expected a snapshot that can be read, got .*truncated"):
        read_snapshot(path)
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "maps.hdf5", "w") as file:
        file["maps"] = np.zeros(3)
    with pytest.raises(DataError, match=r"maps.hdf5: expected a snapshot in a format of pynbody"):
        read_snapshot(tmp_path / "maps.hdf5")
    for name in ("HubbleParam", "Omega0", "Redshift", "BoxSize"):
        path = tmp_path / f"{name}.hdf5"
        write_hdf5(path, {1: POSITIONS}, SIDE, masses=TABLE, length=1.0)
        with h5py.File(path, "a") as file:
            del file["Header"].attrs[name]
        with pytest.raises(DataError, match=rf"{name}.hdf5: expected a cosmological snapshot, .*, got no "):
            read_snapshot(path)


def test_arrays_of_positions(tmp_path):
    """Of nbody2d two arrays in one file, of which the first has positions in two dimensions, unwrapped."""
    flat = POSITIONS[:, :2].astype(float)
    with open(tmp_path / "x.01000.npy", "wb") as file:
        np.save(file, flat - 5 * (flat > 25))
        np.save(file, np.zeros_like(flat))
    snapshot = read_snapshot(tmp_path / "x.01000.npy", side=SIDE)
    np.testing.assert_allclose(snapshot.positions, (flat - 5 * (flat > 25)) % SIDE)
    assert (snapshot.side, snapshot.redshift, snapshot.omega_m, snapshot.h) == (SIDE, None, None, None)
    np.savez(tmp_path / "all.npz", positions=POSITIONS / 0.7, side=SIDE / 0.7, **COSMOLOGY)
    check(read_snapshot(tmp_path / "all.npz", unit="Mpc"))


WRONG = {
    "of no side": ("x.npy", POSITIONS, {}, ConfigurationError, "side: expected one, as .*x.npy does not say it, got None"),
    "of two sides": ("x.npz", {"positions": POSITIONS, "side": 5.0}, {"side": 5.0}, ConfigurationError, "side: expected none"),
    "of no h": ("x.npy", POSITIONS, {"side": 5.0, "unit": "Mpc"}, ConfigurationError, r"unit: .*x.npy does not say h, got Mpc"),
    "of no unit": ("x.npy", POSITIONS, {"side": 5.0, "unit": "m"}, ConfigurationError, "unit: expected one of kpc/h.*got m"),
    "of no positions": ("x.npz", {"pos": POSITIONS}, {}, DataError, "x.npz: expected an array named positions, got pos"),
    "of one number each": ("x.npy", POSITIONS[:, 0], {"side": 5.0}, ShapeError, r"x.npy: expected positions .*, got \(1000,\)"),
    "of half a box": (
        "x.npy",
        POSITIONS,
        {"side": 100.0},
        DataError,
        "x.npy: expected positions that fill .* stretch over 0.499",
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_arrays_are_refused(tmp_path, kind):
    name, arrays, settings, error, message = WRONG[kind]
    if name == "x.npy":
        np.save(tmp_path / name, arrays)
    else:
        np.savez(tmp_path / name, **arrays)
    with pytest.raises(error, match=message):
        read_snapshot(tmp_path / name, **settings)


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_arrays_that_are_cut_off_are_refused(tmp_path, name):
    (np.save if name == "x.npy" else np.savez)(tmp_path / name, POSITIONS)
    cut(-500)(tmp_path / name)
    with pytest.raises(DamagedDataError, match=f"{name}: expected arrays of numpy, got .*(Error|BadZipFile).*Copy"):
        read_snapshot(tmp_path / name, side=SIDE)
    with pytest.raises(DataError, match=r"none.npy: expected a file of positions, got none"):
        read_snapshot(tmp_path / "none.npy", side=SIDE)


REFUSED = {
    "side": ({"side": 0.0}, ConfigurationError, "side: expected a positive number"),
    "redshift": ({"redshift": -1.0}, ConfigurationError, r"1 \+ redshift: expected a positive number"),
    "flat": ({"positions": POSITIONS[:, :2]}, ShapeError, r"positions: expected \(n, 3\).*got \(1000, 2\)"),
    "infinite": ({"positions": POSITIONS + np.float32(np.inf)}, DataError, "positions: expected finite numbers"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_the_writer_leaves_nothing_of_wrong_particles(tmp_path, kind, unchecked):
    wrong, error, message = REFUSED[kind]
    with pytest.raises(error, match=message):
        write_gadget(tmp_path / "snap", **({"positions": POSITIONS, "side": SIDE} | COSMOLOGY | wrong))
    assert not [*tmp_path.iterdir()]


def test_files_are_never_written_over(path):
    before = path.read_bytes()
    with pytest.raises(FullfieldError, match="snap_010: expected no such file, got one"):
        write_gadget(path, POSITIONS, SIDE, **COSMOLOGY)
    assert path.read_bytes() == before


def test_pynbody_keeps_quiet_and_is_left_as_it_was(path, caplog):
    """In the test above of files without units it would warn, and here log, of which backend it uses."""
    caplog.set_level(logging.INFO, "pynbody")
    filters = list(warnings.filters)
    read_snapshot(path)
    assert not caplog.records
    assert logging.getLogger("pynbody").level == logging.INFO
    assert warnings.filters == filters


def test_without_pynbody_it_is_asked_for(path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pynbody", None)
    with pytest.raises(ConfigurationError, match=r'pynbody: expected this package.*pip install "fullfield\[snapshots\]"'):
        read_snapshot(path)
