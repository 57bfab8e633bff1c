"""Small snapshots in other formats than our own writer's, laid out as the codes lay them out."""

import numpy as np


CM, G = 3.085677581e24, 1.989e33  # of a megaparsec, of a solar mass


def write_hdf5(path, families, side, *, omega_m=0.3, h=0.7, redshift=0.5, length=None, masses=None, part=(0, 1), total=None):
    """As GADGET-3, GADGET-4 and AREPO do: `families` are positions by type, `length` is the unit in Mpc, if it is told."""
    import h5py

    numbers = [len(families.get(kind, ())) for kind in range(6)]
    with h5py.File(path, "w") as file:
        header = file.create_group("Header").attrs
        header["NumPart_ThisFile"] = np.array(numbers, "i4")
        header["NumPart_Total"] = np.array(total or numbers, "u4")
        header["NumPart_Total_HighWord"] = np.zeros(6, "u4")
        header["MassTable"] = np.zeros(6) if masses is None else np.array(masses)
        header["BoxSize"], header["Omega0"], header["OmegaLambda"], header["HubbleParam"] = side, omega_m, 1 - omega_m, h
        header["Redshift"], header["Time"], header["NumFilesPerSnapshot"] = redshift, 1 / (1 + redshift), part[1]
        if length is not None:
            header["UnitLength_in_cm"], header["UnitMass_in_g"], header["UnitVelocity_in_cm_per_s"] = length * CM, 1e10 * G, 1e5
        for kind, positions in families.items():
            group = file.create_group(f"PartType{kind}")
            group["Coordinates"] = positions
            group["Velocities"] = np.zeros_like(positions)
            group["ParticleIDs"] = np.arange(len(positions), dtype="u4") + part[0]
            if masses is None:
                group["Masses"] = np.linspace(1, 2, len(positions))


def write_swift(path, positions, side, *, omega_m=0.3, h=0.7, redshift=0.5):
    """As SWIFT does: in Mpc, without h, numbers in arrays of one."""
    import h5py

    with h5py.File(path, "w") as file:
        one = lambda number: np.array([number])  # noqa: E731
        a = 1 / (1 + redshift)
        header = file.create_group("Header").attrs
        header["NumPart_ThisFile"] = header["NumPart_Total"] = np.array([0, len(positions), 0, 0, 0, 0, 0])
        header["NumPart_Total_HighWord"] = np.zeros(7, "u4")
        header["MassTable"], header["BoxSize"], header["Dimension"] = np.zeros(7), np.full(3, side), one(3)
        header["NumFilesPerSnapshot"], header["Time"], header["Redshift"], header["Scale-factor"] = map(
            one, (1, 0.1, redshift, a)
        )
        units = {"length": ("U_L", CM), "mass": ("U_M", 1e10 * G), "time": ("U_t", 3e19), "temperature": ("U_T", 1.0)}
        for group in ("Units", "InternalCodeUnits"):
            attributes = file.create_group(group).attrs
            for name, (symbol, value) in units.items():
                attributes[f"Unit {name} in cgs ({symbol})"] = one(value)
        cosmology = {"Cosmological run": 1, "Scale-factor": a, "h": h, "Omega_m": omega_m, "Omega_lambda": 1 - omega_m}
        cosmology |= {"Omega_b": 0.05, "Omega_cdm": omega_m - 0.05, "Omega_nu_0": 0.0}
        attributes = file.create_group("Cosmology").attrs
        for name, value in cosmology.items():
            attributes[name] = one(value)
        file.create_group("Parameters").attrs["InitialConditions:periodic"] = b"1"
        file.create_group("Policy").attrs["cosmological integration"] = one(1)
        particles = file.create_group("PartType1")
        exponents = {
            "Coordinates": ("U_L", 1, 1),
            "Velocities": ("U_V", 1, 0),
            "Masses": ("U_M", 1, 0),
            "ParticleIDs": ("U_M", 0, 0),
        }
        for name, (symbol, exponent, scale) in exponents.items():
            value = {"Masses": np.ones(len(positions)), "ParticleIDs": np.arange(len(positions))}.get(name, positions)
            data = particles.create_dataset(name, data=value)
            data.attrs[f"{symbol} exponent"], data.attrs["a-scale exponent"] = one(float(exponent)), one(float(scale))
            data.attrs["h-scale exponent"] = one(0.0)
        file["DMParticles"] = particles


def write_ramses(folder, positions, side, *, omega_m=0.3, h=0.7, redshift=0.5, files=2):
    """As RAMSES of 2018 and later does, dark matter alone: in units of the box, which is given in physical centimetres."""
    folder.mkdir()
    number = folder.name.removeprefix("output_")
    a = 1 / (1 + redshift)
    info = {
        "ncpu": files, "ndim": 3, "levelmin": 5, "levelmax": 6, "boxlen": 1.0, "time": -0.5, "aexp": a, "H0": 100.0 * h,
        "omega_m": omega_m, "omega_l": 1 - omega_m, "omega_k": 0.0, "omega_b": 0.05, "unit_l": side / h * a * CM,
        "unit_d": 1e-29, "unit_t": 1e17,
    }  # fmt: skip
    lines = [f"{name:12}= {value:.15E}" if isinstance(value, float) else f"{name:12}= {value}" for name, value in info.items()]
    (folder / f"info_{number}.txt").write_text("\n".join([*lines, "ordering type=hilbert", ""]))
    (folder / f"header_{number}.txt").write_text("")
    fields = [(f"{kind}_{axis}", "d") for kind in ("position", "velocity") for axis in "xyz"]
    fields += [("mass", "d"), ("identity", "i"), ("levelp", "i"), ("family", "b"), ("tag", "b")]
    described = [f"{i + 1}, {name}, {kind}" for i, (name, kind) in enumerate(fields)]
    (folder / "part_file_descriptor.txt").write_text("\n".join(["# version: 1", "# ivar, name, type", *described, ""]))
    for cpu, some in enumerate(np.array_split(positions.astype(float) / side, files), 1):
        count = len(some)
        header = [np.int32(files), np.int32(3), np.int32(count), np.zeros(4, "i4"), np.int32(0), 0.0, 0.0, np.int32(0)]
        columns = [*some.T.copy(), *np.zeros((3, count)), np.full(count, 1 / len(positions)), np.arange(count, dtype="i4")]
        columns += [np.full(count, 5, "i4"), np.ones(count, "i1"), np.zeros(count, "i1")]
        with open(folder / f"part_{number}.out{cpu:05}", "wb") as file:
            for record in map(np.asarray, header + columns):
                size = np.int32(record.nbytes).tobytes()
                file.write(size + record.tobytes() + size)


def write_tipsy(path, positions, side, *, omega_m=0.3, h=0.7, redshift=0.5):
    """As Gasoline and PKDGRAV do: in units of the box about its centre, which a parameter file of the same name tells."""
    number = len(positions)
    header = np.array([(1 / (1 + redshift), number, 3, 0, number, 0, 0)], ">f8,>i4,>i4,>i4,>i4,>i4,>i4")
    particles = np.zeros((number, 9), ">f4")  # mass, position, velocity, softening, potential
    particles[:, 0], particles[:, 1:4] = omega_m / number, positions / side - 0.5
    path.write_bytes(header.tobytes() + particles.tobytes())
    kpc = 1000 * side / h
    settings = {"dKpcUnit": kpc, "dMsolUnit": 277.536627 * h**2 * kpc**3, "dHubble0": 2.894405, "dOmega0": omega_m}
    settings |= {"dLambda": 1 - omega_m, "bComove": 1}
    path.with_suffix(".param").write_text("".join(f"{name} = {value!r}\n" for name, value in settings.items()))
