"""What a detector of levels listens to, and how far ahead: energies of a block of samples, with gradients.

The compiled passes of :mod:`graphmix.dsp.ballistics` and :mod:`graphmix.dsp.feedback_gain` are made of it. Energies are
float64 whatever the signal is, [2, samples].
"""

import math

import numba
import numpy as np

from graphmix.dsp.powers import FASTMATH

LISTEN = ("linked", "apart", "mid", "side")
"""Left and right together, each for itself, their half sum, their half difference."""
LINKED, APART, MID, SIDE = range(len(LISTEN))


@numba.njit(cache=True, fastmath=FASTMATH, error_model="numpy")
def energy_of(left: float, right: float, listen: int, peak: bool, row: int) -> float:
    """Energy of what a detector listens to."""
    if listen == MID:
        return 0.25 * (left + right) * (left + right)
    if listen == SIDE:
        return 0.25 * (left - right) * (left - right)
    if listen == APART:
        return left * left if row == 0 else right * right
    if peak:
        return max(left * left, right * right)
    return 0.5 * (left * left + right * right)


@numba.njit(cache=True, fastmath=FASTMATH, error_model="numpy")
def slope_of_energy(left: float, right: float, listen: int, peak: bool, row: int) -> tuple[float, float]:
    """Derivatives of that energy by left and right."""
    if listen == MID:
        return 0.5 * (left + right), 0.5 * (left + right)
    if listen == SIDE:
        return 0.5 * (left - right), 0.5 * (right - left)
    if listen == APART:
        return (2.0 * left, 0.0) if row == 0 else (0.0, 2.0 * right)
    if peak:
        if left * left == right * right:
            return left, right
        return (2.0 * left, 0.0) if left * left > right * right else (0.0, 2.0 * right)
    return left, right


@numba.njit(cache=True, fastmath=FASTMATH, error_model="numpy")
def detect(u: np.ndarray, start: int, count: int, modes: np.ndarray, row: int, ahead: float, out: np.ndarray) -> None:
    """Energies of a block, looked at ahead of time; silence behind the end and in the rest of the block."""
    listen, peak = modes[0], modes[1] == 0
    whole = math.floor(ahead)
    part, samples = ahead - whole, u.shape[1]
    out[count:] = 0.0
    if whole == 0 and part == 0.0:
        for k in range(count):
            left, right = np.float64(u[0, start + k]), np.float64(u[1, start + k])
            out[k] = energy_of(left, right, listen, peak, row)
        return
    here = 0.0
    if start + whole < samples:
        here = energy_of(np.float64(u[0, start + whole]), np.float64(u[1, start + whole]), listen, peak, row)
    for k in range(count):
        at = start + k + whole + 1
        after = energy_of(np.float64(u[0, at]), np.float64(u[1, at]), listen, peak, row) if at < samples else 0.0
        out[k] = here + part * (after - here)
        here = after


@numba.njit(cache=True, fastmath=FASTMATH, error_model="numpy")
def _energies_backward(
    left: np.ndarray, right: np.ndarray, given: np.ndarray, modes: np.ndarray, row: int, to_left: np.ndarray,
    to_right: np.ndarray,
) -> None:  # fmt: skip
    """Add to the gradients of left and right; a loop for each kind of detector, computed in vectors."""
    listen, linked_peak = modes[0], modes[0] == LINKED and modes[1] == 0
    if listen == APART:
        own, to = (left, to_left) if row == 0 else (right, to_right)
        for k in range(given.size):
            to[k] += 2.0 * given[k] * own[k]
    elif linked_peak:
        for k in range(given.size):
            a, b = np.float64(left[k]), np.float64(right[k])
            higher = 1.0 if a * a > b * b else (0.5 if a * a == b * b else 0.0)
            to_left[k] += 2.0 * given[k] * higher * a
            to_right[k] += 2.0 * given[k] * (1.0 - higher) * b
    elif listen == LINKED:
        for k in range(given.size):
            to_left[k] += given[k] * left[k]
            to_right[k] += given[k] * right[k]
    else:
        sign = 1.0 if listen == MID else -1.0
        for k in range(given.size):
            along = 0.5 * given[k] * (np.float64(left[k]) + sign * right[k])
            to_left[k] += along
            to_right[k] += sign * along


@numba.njit(cache=True, fastmath=FASTMATH, error_model="numpy")
def detect_backward(
    u: np.ndarray, start: int, count: int, modes: np.ndarray, row: int, ahead: float, adjoint: np.ndarray,
    gu: np.ndarray, given: np.ndarray,
) -> float:  # fmt: skip
    """Add to the gradient of the signal; returns that of the look-ahead. ``given`` [block + 1] is room."""
    listen, peak, first = modes[0], modes[1] == 0, start + math.floor(ahead)
    part, seen = ahead - math.floor(ahead), min(count + 1, u.shape[1] - first)
    if seen <= 0:
        return 0.0
    given[0], given[count] = (1.0 - part) * adjoint[0], part * adjoint[count - 1]
    for k in range(1, count):
        given[k] = (1.0 - part) * adjoint[k] + part * adjoint[k - 1]
    left, right = u[0, first : first + seen], u[1, first : first + seen]
    to_left, to_right = gu[0, first : first + seen], gu[1, first : first + seen]
    _energies_backward(left, right, given[:seen], modes, row, to_left, to_right)
    of_ahead = 0.0
    for k in range(seen - 1):
        here = energy_of(np.float64(left[k]), np.float64(right[k]), listen, peak, row)
        after = energy_of(np.float64(left[k + 1]), np.float64(right[k + 1]), listen, peak, row)
        of_ahead += adjoint[k] * (after - here)
    if seen <= count:
        of_ahead -= adjoint[seen - 1] * energy_of(
            np.float64(left[seen - 1]), np.float64(right[seen - 1]), listen, peak, row
        )
    return of_ahead
