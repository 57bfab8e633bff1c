"""Training data: stored or simulated on the fly behind one interface, and the store that campaigns write."""

from fullfield.datasets.alive import check_alive
from fullfield.datasets.augment import Decorrelated, FreshNoise, InTurn, turn, turn_and_roll
from fullfield.datasets.camels import CamelsMaps
from fullfield.datasets.camels_files import store_camels, write_camels
from fullfield.datasets.camels_labels import camels_parameters
from fullfield.datasets.campaign import simulate_to_store, write_chunks
from fullfield.datasets.cosmogrid import CosmoGridMaps
from fullfield.datasets.cosmogrid_files import write_cosmogrid
from fullfield.datasets.draws import stream_draws
from fullfield.datasets.gadget import write_gadget
from fullfield.datasets.simulations import AbstractShard, AbstractSimulations, OnlineSimulations
from fullfield.datasets.snapshots import read_snapshot, Snapshot
from fullfield.datasets.split import FRACTIONS, split
from fullfield.datasets.store import SimulationSet
from fullfield.datasets.stored import StoredSimulations
from fullfield.datasets.views import Pairs


__all__ = [
    "FRACTIONS",
    "AbstractShard",
    "AbstractSimulations",
    "CamelsMaps",
    "CosmoGridMaps",
    "Decorrelated",
    "FreshNoise",
    "InTurn",
    "OnlineSimulations",
    "Pairs",
    "SimulationSet",
    "Snapshot",
    "StoredSimulations",
    "camels_parameters",
    "check_alive",
    "read_snapshot",
    "simulate_to_store",
    "split",
    "store_camels",
    "stream_draws",
    "turn",
    "turn_and_roll",
    "write_camels",
    "write_chunks",
    "write_cosmogrid",
    "write_gadget",
]
