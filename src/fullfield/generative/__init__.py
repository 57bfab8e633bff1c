"""Generative models of fields, and networks that are trained to be statistics of their posteriors."""

from fullfield.generative.mass_map import LearntMassMap, MapLoss, Observed, train_mass_map


__all__ = ["LearntMassMap", "MapLoss", "Observed", "train_mass_map"]
