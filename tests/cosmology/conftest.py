import pyccl
import pytest

from fullfield.cosmology import smail_bins


@pytest.fixture(scope="session")
def bins():
    return smail_bins()


@pytest.fixture(scope="session")
def fine_bins():
    """The bins of the survey in a table five times finer, so that the referee is not held to our quadrature over sources."""
    return smail_bins(n_nodes=2000)


@pytest.fixture(scope="session", autouse=True)
def ccl_accuracy():
    spline, integration = pyccl.spline_params, pyccl.gsl_params
    names = ("K_MAX_SPLINE", "K_MAX", "K_MIN", "N_K", "A_SPLINE_NA_PK", "A_SPLINE_NLOG_PK", "A_SPLINE_MINLOG_PK")
    saved = {name: spline[name] for name in names}
    saved_integration = integration["INTEGRATION_LIMBER_EPSREL"]
    spline.K_MAX_SPLINE = spline.K_MAX = 2e3
    spline.K_MIN, spline.N_K = 1e-5, 300
    spline.A_SPLINE_NA_PK, spline.A_SPLINE_NLOG_PK, spline.A_SPLINE_MINLOG_PK = 80, 40, 0.05
    integration.INTEGRATION_LIMBER_EPSREL = 1e-5
    yield
    for name, value in saved.items():
        spline[name] = value
    integration["INTEGRATION_LIMBER_EPSREL"] = saved_integration
