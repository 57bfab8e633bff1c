"""Calibration tests: arrays in, a Report out."""
