"""The recursion of :mod:`graphmix.dsp.moving_filter` and of its gradients, of four nodes side by side.

Each step of a recursion waits for the one before, longer than its additions and products take, so that four of them fit
into the time of one. What they need of a chunk of samples lies in one array of float64: for each node :data:`ROOM`
numbers in nine rows: the coefficients of both states on themselves and on each other, what comes into both, the states
before each sample and after the last one, and the gradients of the states after each sample.
"""

import numba
import numpy as np

from graphmix.dsp.distinct import read, write

LANES = 4
CHUNK = 128
"""Samples that are computed at a time; what four nodes need of them stays in the nearest cache."""
_ROW = CHUNK + 8
_FIRST, _SECOND, _CROSS, _INTO, _STRAIGHT, _ONE, _TWO, _BY_ONE, _BY_TWO = (k * _ROW for k in range(9))
ROOM = 9 * _ROW
_A, _B, _C, _D = (k * ROOM for k in range(LANES))


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def fill(x: np.ndarray, b: np.ndarray, d: np.ndarray, damping: float, work: np.ndarray) -> None:
    """Coefficients, and what comes into the states."""
    first, second, cross = work[_FIRST:], work[_SECOND:], work[_CROSS:]
    into, straight = work[_INTO:], work[_STRAIGHT:]
    for i in range(x.size):
        second[i] = 1.0 - d[i]
    for i in range(x.size):
        first[i] = 1.0 - d[i] - damping * b[i]
    for i in range(x.size):
        cross[i] = b[i]
    for i in range(x.size):
        into[i] = float(b[i]) * x[i]
    for i in range(x.size):
        straight[i] = float(d[i]) * x[i]


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def fill_back(grad: np.ndarray, band: float, low: float, work: np.ndarray) -> None:
    """What comes into the gradients of the states, in place of what came into the states."""
    into, straight = work[_INTO:], work[_STRAIGHT:]
    for i in range(grad.size):
        into[i] = 0.5 * band * grad[i]
    for i in range(grad.size):
        straight[i] = 0.5 * low * grad[i]


@numba.njit(cache=True, error_model="numpy")
def set_states(work: np.ndarray, state: np.ndarray) -> None:
    """The states before the first sample."""
    work[_ONE], work[_TWO] = state[0], state[1]


@numba.njit(cache=True, error_model="numpy")
def states_of(work: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The states before each sample, and after the last one."""
    return work[_ONE : _ONE + count + 1], work[_TWO : _TWO + count + 1]


@numba.njit(cache=True, error_model="numpy")
def gradients_of(work: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of the states after each sample."""
    return work[_BY_ONE : _BY_ONE + count], work[_BY_TWO : _BY_TWO + count]


@numba.njit(cache=True, error_model="numpy", inline="always")
def _step(w: np.ndarray, at: int, one: float, two: float) -> tuple[float, float]:
    cross = read(w, at + _CROSS)
    next_one = read(w, at + _FIRST) * one + (read(w, at + _INTO) - cross * two)
    next_two = read(w, at + _SECOND) * two + (read(w, at + _STRAIGHT) + cross * one)
    write(w, at + _ONE + 1, next_one)
    write(w, at + _TWO + 1, next_two)
    return next_one, next_two


@numba.njit(cache=True, error_model="numpy", inline="always")
def _step_back(w: np.ndarray, at: int, one: float, two: float) -> tuple[float, float]:
    cross, band, low = read(w, at + _CROSS), read(w, at + _INTO), read(w, at + _STRAIGHT)
    one, two = one + band, two + low
    write(w, at + _BY_ONE, one)
    write(w, at + _BY_TWO, two)
    return read(w, at + _FIRST) * one + (band + cross * two), read(w, at + _SECOND) * two + (low - cross * one)


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def _recur_four(w: np.ndarray, count: int) -> None:
    p, q, r, s = w[_A + _ONE], w[_B + _ONE], w[_C + _ONE], w[_D + _ONE]
    t, u, v, x = w[_A + _TWO], w[_B + _TWO], w[_C + _TWO], w[_D + _TWO]
    for i in range(count):
        p, t = _step(w, _A + i, p, t)
        q, u = _step(w, _B + i, q, u)
        r, v = _step(w, _C + i, r, v)
        s, x = _step(w, _D + i, s, x)


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def recur(w: np.ndarray, nodes: int, count: int) -> None:
    """The states of a few nodes after each sample."""
    if nodes == LANES:
        _recur_four(w, count)
        return
    for k in range(nodes):
        begin = k * ROOM
        one, two = w[begin + _ONE], w[begin + _TWO]
        for i in range(count):
            one, two = _step(w, begin + i, one, two)


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def _recur_back_four(w: np.ndarray, count: int, later: np.ndarray) -> None:
    p, q, r, s = later[0, 0], later[1, 0], later[2, 0], later[3, 0]
    t, u, v, x = later[0, 1], later[1, 1], later[2, 1], later[3, 1]
    for i in range(count - 1, -1, -1):
        p, t = _step_back(w, _A + i, p, t)
        q, u = _step_back(w, _B + i, q, u)
        r, v = _step_back(w, _C + i, r, v)
        s, x = _step_back(w, _D + i, s, x)
    later[0, 0], later[1, 0], later[2, 0], later[3, 0] = p, q, r, s
    later[0, 1], later[1, 1], later[2, 1], later[3, 1] = t, u, v, x


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def recur_back(w: np.ndarray, nodes: int, count: int, later: np.ndarray) -> None:
    """Gradients of the states after each sample; ``later`` [nodes, 2] are those behind them, then before them."""
    if nodes == LANES:
        _recur_back_four(w, count, later)
        return
    for k in range(nodes):
        one, two = later[k, 0], later[k, 1]
        for i in range(count - 1, -1, -1):
            one, two = _step_back(w, k * ROOM + i, one, two)
        later[k, 0], later[k, 1] = one, two
