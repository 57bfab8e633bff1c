"""Two populations of which one lives on the other: the equations of Lotka and Volterra, and of an epidemic.

    dx/dt = a x - b x y,   dy/dt = -c y + d x y

The susceptible and the infected of an epidemic (SIR) obey them with a = 0 and b = d. In q = log x and p = log y the velocity of
each depends on the other alone, q' = a - b eᵖ and p' = -c + d e^q, so that the flow splits into shears that are solved exactly.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


# Symmetric splitting of fourth order with six stages, Blanes & Moan 2002 (J. Comput. Appl. Math. 142, 313), Table 2, S_6.
_HALF_Q, _HALF_P = (0.0792036964311957, 0.353172906049774, -0.0420650803577195), (0.209515106613362, -0.143851773179818)
_P = (*_HALF_P, 0.5 - sum(_HALF_P), 0.5 - sum(_HALF_P), *_HALF_P[::-1])
_Q = (*_HALF_Q, 1 - 2 * sum(_HALF_Q), *_HALF_Q[::-1])


def log_populations(
    rates: Float[Array, "4"], start: Float[Array, "2"], interval: float, intervals: int, steps: int
) -> Float[Array, "times 2"]:
    """Solve for (log x, log y) at times 0, interval, ..., intervals × interval.

    Fixed steps: smooth in its arguments, one program for all of them, and the same result alone and in a batch.

    Args:
        rates: a, b, c, d, per unit time.
        start: log populations at time zero.
        interval: time between two outputs.
        intervals: number of intervals; there is one output more.
        steps: integration steps in an interval.
    """
    a, b, c, d = rates
    start = start.astype(jnp.result_type(rates, start))
    length = interval / steps

    def step(carry, _):
        (q, p), (lost_q, lost_p) = carry
        # The change over a step is summed from zero, and what is lost when it is added is added to the next one (Kahan):
        # in single precision the roundings of a thousand steps would otherwise be larger than the error of the method.
        change_q, change_p = -lost_q, -lost_p
        for i, weight in enumerate(_Q):
            change_q += length * weight * (a - b * jnp.exp(p + change_p))
            if i < len(_P):
                change_p += length * _P[i] * (d * jnp.exp(q + change_q) - c)
        new_q, new_p = q + change_q, p + change_p
        return ((new_q, new_p), (new_q - q - change_q, new_p - p - change_p)), None

    @jax.checkpoint  # or the gradient of ten thousand solutions side by side fills the memory with their steps
    def advance(carry, _):
        carry, _ = jax.lax.scan(step, carry, None, length=steps)
        return carry, jnp.stack(carry[0])

    nothing = jnp.zeros_like(start[0])
    _, states = jax.lax.scan(advance, ((start[0], start[1]), (nothing, nothing)), None, length=intervals)
    return jnp.concatenate([start[None], states])
