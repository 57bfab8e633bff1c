"""Background, growth, matter power and Limber spectra: pure differentiable functions of a frozen Cosmology."""
