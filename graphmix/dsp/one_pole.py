"""One-pole smoothing of a block of samples: what the compiled passes of compressors are made of.

.. math:: g[n] = \\alpha[n] g[n - 1] + (1 - \\alpha[n]) x[n]

with one constant, or with one for a rising and one for a falling signal; see :mod:`graphmix.dsp.envelope`, whose
functions are for whole signals. Blocks are multiples of four samples.
"""

import numba
import numpy as np

from graphmix.dsp.powers import FASTMATH


@numba.njit(cache=True, fastmath=FASTMATH, error_model="numpy")
def smooth(x: np.ndarray, alpha: float, state: float, out: np.ndarray) -> float:
    """One constant. Four samples at once wait only for the one before them; the state after the last."""
    a, b = alpha, 1 - alpha
    a2, a3, a4 = a**2, a**3, a**4
    for k in range(0, out.size, 4):
        from_0 = b * x[k]
        from_1 = a * from_0 + b * x[k + 1]
        from_2 = a * from_1 + b * x[k + 2]
        from_3 = a * from_2 + b * x[k + 3]
        out[k] = a * state + from_0
        out[k + 1] = a2 * state + from_1
        out[k + 2] = a3 * state + from_2
        state = a4 * state + from_3
        out[k + 3] = state
    return state


@numba.njit(cache=True, fastmath=FASTMATH, error_model="numpy")
def smooth_ballistic(x: np.ndarray, attack: float, release: float, state: float, out: np.ndarray) -> float:
    """Two constants. Towards a higher energy the larger result is the attack's, if attack is the faster of the two."""
    sign = 1.0 if attack <= release else -1.0
    g = sign * state
    to_attack, to_release = sign * (1 - attack), sign * (1 - release)
    for k in range(out.size):
        rising, falling = attack * g + to_attack * x[k], release * g + to_release * x[k]
        g = rising if rising > falling else falling
        out[k] = sign * g
    return sign * g


@numba.njit(cache=True, fastmath=FASTMATH, error_model="numpy")
def smooth_backward(alpha: np.ndarray, adjoint: np.ndarray, carried: float, out: np.ndarray) -> float:
    """Adjoint of the state before each sample, given those of the smoothed energies; four at once as forward."""
    for k in range(alpha.size - 4, -1, -4):
        p3 = alpha[k + 3]
        p2 = alpha[k + 2] * p3
        p1 = alpha[k + 1] * p2
        p0 = alpha[k] * p1
        from_3 = p3 * adjoint[k + 3]
        from_2 = alpha[k + 2] * (from_3 + adjoint[k + 2])
        from_1 = alpha[k + 1] * (from_2 + adjoint[k + 1])
        from_0 = alpha[k] * (from_1 + adjoint[k])
        out[k + 3] = p3 * carried + from_3
        out[k + 2] = p2 * carried + from_2
        out[k + 1] = p1 * carried + from_1
        carried = p0 * carried + from_0
        out[k] = carried
    return carried
