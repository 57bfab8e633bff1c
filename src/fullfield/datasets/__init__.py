"""Training data: stored or simulated on the fly behind one interface, and the store that campaigns write."""

from fullfield.datasets.simulations import AbstractShard, AbstractSimulations, OnlineSimulations
from fullfield.datasets.stored import StoredSimulations


__all__ = ["AbstractShard", "AbstractSimulations", "OnlineSimulations", "StoredSimulations"]
