"""Initial conditions and cosmology together from maps of a particle mesh, by chains that are tested on simulated truths."""

from pydantic import Field, PositiveFloat, PositiveInt

from fullfield.recipes.configuration import Configuration
from fullfield.recipes.recipe import Recipe, Scale


class ExplicitStructureConfiguration(Configuration):
    """Settings of the chains."""

    across: int = Field(default=8, ge=4, multiple_of=2, description="particles and pixels on the short sides of the box")
    depth: int = Field(default=32, ge=16, multiple_of=2, description="particles along the line of sight")
    cell: PositiveFloat = Field(default=32.0, description="distance of particles, Mpc/h")
    galaxies: PositiveFloat = Field(default=200.0, description="per arcmin² and bin")
    truths: int = Field(default=50, ge=20, description="drawn from the prior, one map of each")
    chains: int = Field(default=2, ge=2)
    warmup: PositiveInt = Field(default=120, description="draws of each chain before those kept, in which it is tuned")
    draws: int = Field(default=200, ge=20, description="kept of each chain")
    tested: int = Field(default=24, ge=20, description="of all chains of a truth, evenly spaced, for tests of calibration")


def build(configuration: ExplicitStructureConfiguration):
    """Build the study."""
    from fullfield.recipes.explicit_structure_measure import explicit_structure_study

    return explicit_structure_study(configuration)


EXPLICIT_STRUCTURE = Recipe(
    name="explicit-structure",
    summary="Initial conditions and cosmology from particle-mesh lensing: chains through the gravity of simulated truths.",
    configuration=ExplicitStructureConfiguration,
    scales={
        "smoke": Scale({"across": 4, "depth": 16, "cell": 64.0, "truths": 20, "warmup": 20, "draws": 20}, "~3 min"),
        "laptop": Scale({}, "~20 min"),
        "paper": Scale({"truths": 200, "chains": 4, "warmup": 400, "draws": 1000}, "hours"),
    },
    build=build,
    headline=("convergence/", "cost/", "sbc/", "kappa/", "initial conditions that data tell/"),
    citations=("shahbaba2014", "papaspiliopoulos2007", "vehtari2021", "rampf2024", "zeghal2025bridging", "talts2018"),
)  # fmt: skip
