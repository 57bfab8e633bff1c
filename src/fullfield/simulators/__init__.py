"""Forward models: NumPyro programs over a ParameterSpace."""

from fullfield.simulators.baryons import AbstractBaryons, BaryonFraction, EjectedGas
from fullfield.simulators.combined import coded_combined_parameters, combined_parameters, CombinedProbes, stage3_bins
from fullfield.simulators.cosmic_web import CosmicWeb
from fullfield.simulators.cosmos import (
    Clusters,
    cosmos_clusters,
    cosmos_maps,
    cosmos_model,
    cosmos_parameters,
    cosmos_sources,
    pixelised_cosmos,
)
from fullfield.simulators.forward import (
    AbstractExplicitModel,
    AbstractForwardModel,
    BlackBoxModel,
    DATA,
    even_batch,
    NumPyroModel,
    sample_parameters,
    Simulations,
)
from fullfield.simulators.galaxies import (
    AbstractBias,
    AbstractCounts,
    AnscombeCounts,
    exact_spread,
    LensedGalaxies,
    LinearBias,
    PoissonCounts,
    published_spread,
    QuadraticBias,
    QuantileCounts,
    RelaxedCounts,
    shuffled_phases,
    SignedQuadraticBias,
)
from fullfield.simulators.gaussian_field import GaussianField
from fullfield.simulators.gaussian_posterior import GaussianPosterior
from fullfield.simulators.given import GivenMatter
from fullfield.simulators.lensing import LensingModel, lsst_y10_model, sbi_lens_model, wcdm, wcdm_parameters
from fullfield.simulators.linear_gaussian import LinearGaussian
from fullfield.simulators.matter import AbstractMatter, evolved_matter, EvolvedMatter, LognormalMatter, MatterSlices
from fullfield.simulators.matter_slabs import MatterSlabs
from fullfield.simulators.noiseless import Noiseless, noisy_pixels
from fullfield.simulators.overdensity import LognormalOverdensity, matter_parameters
from fullfield.simulators.power_law import BrokenPowerLaw
from fullfield.simulators.shear import ShearModel
from fullfield.simulators.shifts import AbstractShift, LegacyTabulatedShift, PerturbativeShift, TabulatedShift
from fullfield.simulators.sites import NoisyPixels, WhiteNoise
from fullfield.simulators.spectra import linear_bands, modes_of_sky, SpectrumModel
from fullfield.simulators.structure import (
    column_lensing_model,
    evolved_lensing_model,
    perturbed_lensing_model,
    published_structure_model,
    structure_parameters,
    StructureModel,
)
from fullfield.simulators.survey import LensingSurvey, lsst_y10, published_mock
from fullfield.simulators.tasks import observation, reference, TASKS
from fullfield.simulators.views import SharedViews, simulate_views, Views, ViewsInTurn


__all__ = [
    "DATA",
    "TASKS",
    "AbstractBaryons",
    "AbstractBias",
    "AbstractCounts",
    "AbstractExplicitModel",
    "AbstractForwardModel",
    "AbstractMatter",
    "AbstractShift",
    "AnscombeCounts",
    "BaryonFraction",
    "BlackBoxModel",
    "BrokenPowerLaw",
    "Clusters",
    "CombinedProbes",
    "CosmicWeb",
    "EjectedGas",
    "EvolvedMatter",
    "GaussianField",
    "GaussianPosterior",
    "GivenMatter",
    "LegacyTabulatedShift",
    "LensedGalaxies",
    "LensingModel",
    "LensingSurvey",
    "LinearBias",
    "LinearGaussian",
    "LognormalMatter",
    "LognormalOverdensity",
    "MatterSlabs",
    "MatterSlices",
    "Noiseless",
    "NoisyPixels",
    "NumPyroModel",
    "PerturbativeShift",
    "PoissonCounts",
    "QuadraticBias",
    "QuantileCounts",
    "RelaxedCounts",
    "SharedViews",
    "ShearModel",
    "SignedQuadraticBias",
    "Simulations",
    "SpectrumModel",
    "StructureModel",
    "TabulatedShift",
    "Views",
    "ViewsInTurn",
    "WhiteNoise",
    "coded_combined_parameters",
    "column_lensing_model",
    "combined_parameters",
    "cosmos_clusters",
    "cosmos_maps",
    "cosmos_model",
    "cosmos_parameters",
    "cosmos_sources",
    "even_batch",
    "evolved_lensing_model",
    "evolved_matter",
    "exact_spread",
    "linear_bands",
    "lsst_y10",
    "lsst_y10_model",
    "matter_parameters",
    "modes_of_sky",
    "noisy_pixels",
    "observation",
    "perturbed_lensing_model",
    "pixelised_cosmos",
    "published_mock",
    "published_spread",
    "published_structure_model",
    "reference",
    "sample_parameters",
    "sbi_lens_model",
    "shuffled_phases",
    "simulate_views",
    "stage3_bins",
    "structure_parameters",
    "wcdm",
    "wcdm_parameters",
]
