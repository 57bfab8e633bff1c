"""Architectures and conditional densities."""
