"""Generative models of fields."""
