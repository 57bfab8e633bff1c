"""A linear-Gaussian world with its exact posterior, and twins of that posterior with one fault each."""

import dataclasses

import numpy as np
import pytest


@dataclasses.dataclass(frozen=True)
class Sample:
    truths: np.ndarray
    draws: np.ndarray
    estimates: np.ndarray
    log_probs: tuple[np.ndarray, np.ndarray]
    log_likelihood: tuple[np.ndarray, np.ndarray]

    @property
    def names(self):
        return tuple("abcdef"[: self.truths.shape[1]])


class World:
    """theta ~ N(0, 1), data = A theta + noise: posterior normal with precision 1 + AᵀA."""

    def __init__(self, p):
        self.matrix = np.random.default_rng(7).normal(size=(5, p))
        self.precision = np.eye(p) + self.matrix.T @ self.matrix
        self.covariance = np.linalg.inv(self.precision)

    def sample(self, count, size, seed, *, width=1.0, shift=0.0, prior=False):
        random = np.random.default_rng(seed)
        p = len(self.covariance)
        truths = random.normal(size=(count, p))
        data = truths @ self.matrix.T + random.normal(size=(count, 5))
        mean = data @ self.matrix @ self.covariance
        noise = random.normal(size=(count, size, p))
        centre = 0 * mean if prior else mean + shift * np.sqrt(np.diag(self.covariance))
        root = np.eye(p) if prior else width * np.linalg.cholesky(self.covariance)
        draws = centre[:, None] + noise @ root.T
        precision = np.eye(p) if prior else self.precision / width**2

        def density(theta, about):
            return -0.5 * np.einsum("...i,ij,...j", theta - about, precision, theta - about)

        def likelihood(theta, seen):
            return -np.sum((seen - theta @ self.matrix.T) ** 2, axis=-1) / 2

        return Sample(
            truths,
            draws,
            mean,
            (density(truths, centre), density(draws, centre[:, None])),
            (likelihood(truths, data), likelihood(draws, data[:, None])),
        )


@pytest.fixture(scope="session")
def world():
    return World(3)
