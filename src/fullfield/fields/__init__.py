"""Flat-sky fields: grids, Gaussian and lognormal random fields, estimators."""
