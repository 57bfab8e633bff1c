"""Inference from simulations alone."""

from fullfield.inference.implicit.npe import train_npe


__all__ = ["train_npe"]
