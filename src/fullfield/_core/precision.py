"""Matrix products in the precision of their operands."""

import jax


full_precision = jax.default_matmul_precision("highest")
"""Decorator of functions whose matrix products must keep all digits of their operands.

On accelerators JAX multiplies matrices of single precision with as few as 8 to 11 bits of mantissa. Networks train well
with that; integrals, interpolation and densities are wrong in the third digit. The products of networks are left as they are.
Decorate the function that holds the product, inside `jax.jit`: rules of derivatives are traced later, outside their caller.
"""
