"""What must not lose digits on an accelerator asks for full products, in its values and in its derivatives."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
import pytest
from jax.extend.core import jaxprs_in_params
from jax.lax import Precision

from fullfield.cosmology import comoving_distance, Cosmology, lensing_spectra, sigma
from fullfield.inference.explicit import ReconstructedScore
from fullfield.inference.implicit import LikelihoodPosterior
from fullfield.inference.implicit.confined import confine
from fullfield.networks import real_nvp, spline_flow
from fullfield.simulators import LinearGaussian, lsst_y10, lsst_y10_model, NumPyroModel, PerturbativeShift


def cosmology(omega_c):
    return Cosmology(omega_c=omega_c, omega_b=0.05, h=0.7, n_s=0.96, sigma_8=0.8)


def own_program():
    slope = numpyro.sample("slope", dist.Normal())
    numpyro.sample("data", dist.Normal(jnp.outer(jnp.arange(3.0), jnp.ones(2)) @ jnp.stack([slope, slope**2]), 1.0).to_event(1))


def simulated(model, x):
    return model.simulate_at(jax.random.key(0), model.parameters.fiducial * x)


def joint(model, x):
    latents, data = model.simulate_with_latents(jax.random.key(0), model.parameters.fiducial)
    return model.log_joint(model.parameters.fiducial * x, latents, data)


def density(flow, x):
    return flow.log_prob(jnp.full(3, x), jnp.full(2, x)) + jnp.sum(flow.sample(jax.random.key(0), jnp.full(2, x), 2))


def fitted(x):
    pairs = x * jax.random.normal(jax.random.key(0), (20, 5))
    return real_nvp(3, 2, key=jax.random.key(0)).fitted_to(pairs[:, :3], pairs[:, 3:]).root.unwrap()


def confined(x):
    world = LinearGaussian(n_data=4)
    posterior = LikelihoodPosterior(world.parameters, real_nvp(4, 3, key=jax.random.key(0)), eqx.nn.Identity(), (4,))
    near = confine(posterior, world.parameters.sample(jax.random.key(0), (20,)))
    return near.log_likelihood(jnp.full(3, x), jnp.full(4, x))


def exact(x):
    model = LinearGaussian(n_data=4)
    data = jnp.full(4, x)
    theta = model.parameters.fiducial
    return model.posterior(data)[0] + model.marginal_score(theta, data) + model.fisher(theta)[0] + model.log_evidence(data)


OWN = NumPyroModel(own_program, ("slope",))
FUNCTIONS = {
    "distance": lambda x: comoving_distance(cosmology(x), jnp.array([0.5])),
    "sigma": lambda x: sigma(cosmology(x), 8.0),
    "spectra": lambda x: lensing_spectra(cosmology(x), lsst_y10(4).bins, jnp.array([100.0])),
    "shift": lambda x: PerturbativeShift(lsst_y10(4).bins, 2.34)(cosmology(x)),
    "maps": lambda x: simulated(lsst_y10_model(4), x),
    "joint density of maps": lambda x: joint(lsst_y10_model(4), x),
    "linear-Gaussian": lambda x: simulated(LinearGaussian(n_data=4), x),
    "its exact answers": exact,
    "a user's program": lambda x: simulated(OWN, x),
    "its joint density": lambda x: joint(OWN, x),
    "affine flow": lambda x: density(real_nvp(3, 2, key=jax.random.key(0)), x),
    "spline flow": lambda x: density(spline_flow(3, 2, key=jax.random.key(0)), x),
    "regression of a flow": fitted,
    "reconstructed score": lambda x: ReconstructedScore.unit(LinearGaussian(n_data=4))(jnp.full(4, x)),
    "a confined posterior": confined,
}


def products(jaxpr):
    """Precisions of all matrix products of a program, those of the programs within it included."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            yield equation.params["precision"]
        for inner in jaxprs_in_params(equation.params):
            yield from products(inner)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("transform", [lambda f: f, jax.grad, jax.jacfwd], ids=["value", "reverse", "forward"])
def test_products_keep_all_digits(name, transform):
    program = jax.make_jaxpr(transform(lambda x: jnp.sum(FUNCTIONS[name](x))))(0.3)
    found = list(products(program.jaxpr))
    assert found
    assert all(precision == (Precision.HIGHEST, Precision.HIGHEST) for precision in found)
