"""Posteriors from simulations or from the model itself."""
