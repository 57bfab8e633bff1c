"""Objectives that train summaries, and fixed summaries."""
