"""Labels of the CAMELS Multifield Dataset (CMD): its fields, suites and sets, and the parameters of their tables.

Names: github.com/franciscovillaescusa/CMD, docs/source/data.rst. Ranges: github.com/franciscovillaescusa/CAMELS,
docs/params/<suite>/Info_<suite>_L25n256_<number>params. A prior is uniform within fiducial ± width, or uniform in the logarithm
within fiducial / width and fiducial · width. The latter is how the feedback parameters A of the Latin hypercubes are drawn.
Fixed where the table has no such column: Omega_b = .049, h = .6711, n_s = .9624.
"""

import numpyro.distributions as dist

from fullfield._core import ConfigurationError, nearest
from fullfield.parameters import Parameter, ParameterSpace


MAPS_PER_SIMULATION = 15  # 5 slabs of 5 Mpc/h along 3 axes of a box of 25 Mpc/h
SIDE = 256  # pixels of published maps along 25 Mpc/h
FIELDS = {
    "Mgas": "gas density", "Vgas": "gas velocity", "T": "gas temperature", "P": "gas pressure", "Z": "gas metallicity",
    "HI": "neutral hydrogen density", "ne": "electron number density", "B": "magnetic fields", "MgFe": "magnesium over iron",
    "Mcdm": "dark matter density", "Vcdm": "dark matter velocity", "Mstar": "stellar mass density",
    "Mtot": "total matter density",
}  # fmt: skip
HYDRODYNAMIC = ("IllustrisTNG", "SIMBA", "Astrid")
SUITES = (*HYDRODYNAMIC, *(f"Nbody_{suite}" for suite in HYDRODYNAMIC))
# Simulations of each set; None where it depends on the suite or on the release.
SETS = {"LH": 1000, "CV": 27, "1P": None, "EX": 4, "BE": 27, "SB7": None, "SB28": 2048}
COSMOLOGY = ("Omega_m", "sigma_8")

_LABELS = {
    "Omega_m": r"\Omega_{\rm m}", "sigma_8": r"\sigma_8", "Omega_b": r"\Omega_{\rm b}", "h": "h", "n_s": r"n_{\rm s}",
    "A_SN1": r"A_{\rm SN1}", "A_AGN1": r"A_{\rm AGN1}", "A_SN2": r"A_{\rm SN2}", "A_AGN2": r"A_{\rm AGN2}",
}  # fmt: skip
# Name, fiducial value, width; "log" where the width is a factor.
_COSMOLOGY = "Omega_m .3 .2, sigma_8 .8 .2"
_SIX = f"{_COSMOLOGY}, A_SN1 1 4 log, A_AGN1 1 4 log, A_SN2 1 2 log, A_AGN2 1 2 log"
_SIX_ASTRID = f"{_COSMOLOGY}, A_SN1 1 4 log, A_AGN1 1 4 log, A_SN2 1 2 log, A_AGN2 1 4 log"
# The larger tables, in the units of the codes. The third to sixth column are what A_SN1, A_AGN1, A_SN2, A_AGN2 multiply.
_MORE = {
    "Astrid": f"{_SIX_ASTRID}, Omega_b .05 .04",
    "IllustrisTNG": f"""{_COSMOLOGY}, WindEnergyIn1e51erg 3.6 4 log, RadioFeedbackFactor 1 4 log,
        VariableWindVelFactor 7.4 2 log, RadioFeedbackReiorientationFactor 20 2 log, Omega_b .049 .02, h .6711 .2, n_s .9624 .2,
        MaxSfrTimescale 2.27 2 log, FactorForSofterEQS .3 3 log, IMFslope -2.3 .5, SNII_MinMass_Msun 8 4,
        ThermalWindFraction .1 4 log, VariableWindSpecMomentum 2000 2000, WindFreeTravelDensFac .05 10 log, MinWindVel 350 200,
        WindEnergyReductionFactor .25 4 log, WindEnergyReductionMetallicity .002 4 log, WindEnergyReductionExponent 2 1,
        WindDumpFactor .6 .4, SeedBlackHoleMass 8e-5 3.16 log, BlackHoleAccretionFactor 1 4 log,
        BlackHoleEddingtonFactor 1 10 log, BlackHoleFeedbackFactor .1 4 log, BlackHoleRadiativeEfficiency .2 4 log,
        QuasarThreshold .002 31.6 log, QuasarThresholdPower 2 2""",
    "SIMBA": f"""{_COSMOLOGY}, GALSF_SUBGRID_DAA_LOADFACTOR 1 4 log, BH_BAL_KICK_MOMENTUM_FLUX 20 4 log,
        GALSF_SUBGRID_FIREVEL 1.6 2 log, BH_QUENCH_JET 7000 2 log, Omega_b .049 .02, h .6711 .2, n_s .9624 .2,
        CritPhysDensity .2 10 log, SfEffPerFreeFall .02 2 log, TempClouds 1000 10 log, WindFreeTravelMaxTime .02 10 log,
        WindFreeTravelDensFac .01 10 log, SeedBlackHoleMass 1e-6 10 log, BlackHoleAccretionFactor 1 4 log,
        BlackHoleRadiativeEfficiency .1 4 log, BlackHoleEddingtonFactor 3 4 log, BlackHoleNgbFactor 4 2,
        BlackHoleMaxAccretionRadius 4 2 log, GALSF_JEANS_MIN_T 1 4 log, GALSF_SUBGRID_FIREVEL_SLOPE .12 .5,
        GALSF_SUBGRID_HOTWIND .3 .3, GALSF_AGBWINDHEATING 100 4 log, BH_HOST_TO_SEED_RATIO 3e5 10 log,
        BH_QUENCH_JET_HOTWIND 2000 4 log, BH_BONDI_HOT 5 1, MBH_JET_MIN 4.5e7 10 log""",
}


def camels_parameters(suite: str = "IllustrisTNG", columns: int = 6) -> ParameterSpace:
    """The parameters of a suite, with the published ranges as their prior.

    Args:
        suite: its name. N-body simulations know nothing of feedback: they have Omega_m and sigma_8 alone.
        columns: 6, or as many as the larger tables of the suite have: 28, for Astrid 7.

    Raises:
        ConfigurationError: there is no such suite, or it has no table of so many columns.
    """
    check_known("suite", suite, SUITES)
    known = _tables(suite)
    if columns not in known:
        raise ConfigurationError(
            "columns", expected=f"one of {sorted(known)}, which tables of {suite} have", got=columns,
            remedy="See camels.readthedocs.io/en/latest/parameters.html.",
        )  # fmt: skip
    entries = {}
    for line in known[columns].split(","):
        name, fiducial, width, *log = line.split()
        centre, wide = float(fiducial), float(width)
        prior = dist.LogUniform(centre / wide, centre * wide) if log else dist.Uniform(centre - wide, centre + wide)
        entries[name] = Parameter(prior, _LABELS.get(name, ""), fiducial=centre)
    return ParameterSpace(entries)


def columns_of(suite: str, set: str) -> list[int]:
    """Numbers of columns that the tables of a set may have: those that vary more than six say so in their name."""
    more = [len(table.split(",")) for name, table in _MORE.items() if suite.endswith(name)]
    if set.startswith("SB"):
        return [int(set[2:])]
    return [6] if set in ("LH", "EX") else [6, *more]


def map_name(field: str, suite: str, set: str, redshift: float) -> str:
    """Name of the file of maps.

    Raises:
        ConfigurationError: field, suite or set is unknown, or the suite has no such field.
    """
    check_known("field", field, FIELDS)
    check_known("suite", suite, SUITES)
    check_known("set", set, SETS)
    if (field == "B" and suite != "IllustrisTNG") or (field != "Mtot" and suite.startswith("Nbody_")):
        fields = "Mtot alone" if suite.startswith("Nbody_") else "all but B"
        raise ConfigurationError("field", expected=f"a field of {suite}, which has {fields}", got=repr(field))
    return f"Maps_{field}_{suite}_{set}_z={redshift:.2f}.npy"


def table_names(suite: str, set: str) -> list[str]:
    """Names that the table of parameters may have, the present one before that of 2021 to 2023."""
    suites = (suite, "Nbody") if suite.startswith("Nbody_") else (suite,)
    return [name for one in suites for name in (f"params_{set}_{one}.txt", f"params_{one}.txt")]


def check_known(kind: str, name: str, known) -> None:
    """Refuse a name that is not known.

    Raises:
        ConfigurationError: names the nearest, and all.
    """
    if name not in known:
        raise ConfigurationError(kind, expected=f"a {kind} of CAMELS", got=repr(name), remedy=nearest(name, known))


def _tables(suite: str) -> dict[int, str]:
    if suite.startswith("Nbody_"):
        return {2: _COSMOLOGY}
    more = _MORE[suite]
    return {6: _SIX_ASTRID if suite == "Astrid" else _SIX, len(more.split(",")): more}
