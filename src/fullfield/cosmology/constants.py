"""Physical constants of the cosmology core; lengths are in Mpc/h, wavenumbers in h/Mpc."""

HUBBLE_DISTANCE = 2997.92458
"""c / H0 in Mpc/h (exact: the speed of light over 100 km/s)."""

CMB_TEMPERATURE = 2.7255
"""Mean temperature of the microwave background in K; Fixsen 2009 (ApJ 707, 916)."""

CRITICAL_DENSITY = 2.77536627e11
"""Of today, in h^2 Msun / Mpc^3 (G and the solar mass of CODATA 2014 / IAU 2015)."""

ALIGNMENT_DENSITY = 5e-14 * CRITICAL_DENSITY
"""C1 times today's critical density, a pure number.

C1 = 5e-14 h^-2 Mpc^3 / Msun (Brown et al. 2002, MNRAS 333, 501; Bridle & King 2007, NJP 9, 444).
"""
