r"""Compressors and expanders whose detector listens to their own output, one sample late.

The equations of :mod:`graphmix.dsp.ballistics` with the energy of :math:`10^{-d[n - 1] / 20} u[n - 1]` in the place of
that of the input: the output without make-up and dry/wet. There is no look-ahead. The recursion is not linear in
anything, so that one sample waits for the other: compiled loops in float64, forward and backward, which go from sample
to sample. Giannoulis et al. (2012), section 1.3.
"""

import math

import numba
import numpy as np

from graphmix.dsp.ballistics import (
    BLOCK,
    DB_PER_LOG,
    FALL,
    GROW,
    KNEE,
    LOG_PER_DB,
    MAKEUP,
    MEAN,
    RANGE,
    RISE,
    SHRINK,
    SLOPE,
    THRESHOLD,
    WET,
    flush,
)
from graphmix.dsp.dynamics import ENERGY_FLOOR
from graphmix.dsp.level_detector import APART, energy_of, slope_of_energy

_ENERGY, _AVERAGE, _LEVEL, _TARGET, _REDUCTION, _GAIN = range(6)
"""Rows of what is kept of a block."""


@numba.njit(cache=True, error_model="numpy")
def _reduction(level: float, c: np.ndarray, sign: float) -> tuple[float, float, float]:
    """dB taken off, dB over the threshold, and the same bent by the knee."""
    over = sign * (DB_PER_LOG * math.log(level + ENERGY_FLOOR) - c[THRESHOLD])
    half = 0.5 * c[KNEE]
    inside = max(0.0, over + half)
    bent = over if over > half else 0.5 * inside * inside / c[KNEE]
    return min(-c[SLOPE] * bent, c[RANGE]), over, bent


@numba.njit(cache=True, error_model="numpy")
def _run(
    u: np.ndarray, start: int, count: int, row: int, c: np.ndarray, modes: np.ndarray, state: np.ndarray,
    work: np.ndarray,
) -> None:  # fmt: skip
    """One block; ``state`` is mean, level, reduction and energy of the last output, and goes on."""
    sign, amplitude = 1.0 if modes[4] == 0 else -1.0, modes[2] == 1
    mean, level, smoothed, energy = state[0], state[1], state[2], state[3]
    for k in range(count):
        mean = energy + c[MEAN] * (mean - energy)
        level = mean + (c[RISE] if mean > level else c[FALL]) * (level - mean)
        target = _reduction(level, c, sign)[0]
        if amplitude:
            target = 1.0 - math.exp(-LOG_PER_DB * target)
        smoothed = target + (c[GROW] if target > smoothed else c[SHRINK]) * (smoothed - target)
        gain = 1.0 - smoothed if amplitude else math.exp(-LOG_PER_DB * smoothed)
        work[_ENERGY, k], work[_AVERAGE, k], work[_LEVEL, k] = energy, mean, level
        work[_TARGET, k], work[_REDUCTION, k], work[_GAIN, k] = target, smoothed, gain
        left, right = gain * np.float64(u[0, start + k]), gain * np.float64(u[1, start + k])
        energy = energy_of(left, right, modes[0], modes[1] == 0, row)
    state[0], state[1], state[2], state[3] = mean, level, smoothed, energy


@numba.njit(parallel=True, cache=True, error_model="numpy")
def feedback_forward(
    u: np.ndarray, c: np.ndarray, modes: np.ndarray, state: np.ndarray, kept: np.ndarray, y: np.ndarray
) -> None:
    """As :func:`graphmix.dsp.ballistics.play_forward`."""
    samples = y.shape[2]
    for i in numba.prange(u.shape[0]):
        work = np.empty((6, BLOCK))
        apart, makeup = modes[i, 0] == APART, math.exp(LOG_PER_DB * c[i, MAKEUP])
        for row in range(2 if apart else 1):
            for start in range(0, samples, BLOCK):
                count = min(BLOCK, samples - start)
                flush(state[i, row])
                if kept.size > 0:
                    kept[i, row, start // BLOCK] = state[i, row]
                _run(u[i], start, count, row, c[i], modes[i], state[i, row], work)
                for channel in range(row if apart else 0, row + 1 if apart else 2):
                    for k in range(count):
                        factor = 1.0 - c[i, WET] + c[i, WET] * makeup * work[_GAIN, k]
                        y[i, channel, start + k] = factor * u[i, channel, start + k]


@numba.njit(cache=True, error_model="numpy")
def _target_backward(level: float, c: np.ndarray, sign: float, given: float, sums: np.ndarray) -> float:
    """Through the curve: adds to the gradients of its settings, and returns that of the level's energy."""
    reduction, over, bent = _reduction(level, c, sign)
    if reduction >= c[RANGE]:
        sums[RANGE] += given
        return 0.0
    half = 0.5 * c[KNEE]
    share = 0.5 * max(0.0, over + half) / c[KNEE]
    along = -given * c[SLOPE] * (1.0 if over > half else 2.0 * share)
    sums[SLOPE] -= given * bent
    sums[THRESHOLD] -= sign * along
    if over <= half:
        sums[KNEE] -= given * c[SLOPE] * share * (1.0 - 2.0 * share)
    return sign * along * DB_PER_LOG / (level + ENERGY_FLOOR)


@numba.njit(cache=True, error_model="numpy")
def _smoothed_backward(
    x: float, before: float, up: float, down: float, adjoint: float, columns: tuple[int, int], sums: np.ndarray
) -> tuple[float, float]:
    """Through one step of smoothing: adjoints of its input and of the state before it."""
    rising = x > before
    alpha = up if rising else down
    sums[columns[0] if rising else columns[1]] += adjoint * (before - x)
    return (1.0 - alpha) * adjoint, alpha * adjoint


@numba.njit(cache=True, error_model="numpy")
def _block_backward(
    u: np.ndarray, gy: np.ndarray, gu: np.ndarray, start: int, count: int, row: int, c: np.ndarray, modes: np.ndarray,
    before: np.ndarray, work: np.ndarray, carried: np.ndarray, sums: np.ndarray,
) -> None:  # fmt: skip
    """One block from its end; ``carried`` are the adjoints of the state behind it, then of that before it."""
    sign, amplitude, apart = 1.0 if modes[4] == 0 else -1.0, modes[2] == 1, modes[0] == APART
    makeup, wet = math.exp(LOG_PER_DB * c[MAKEUP]), c[WET]
    first, last = (row, row + 1) if apart else (0, 2)
    to_mean, to_level, to_reduction, to_energy = carried[0], carried[1], carried[2], carried[3]
    for k in range(count - 1, -1, -1):
        at, gain = start + k, work[_GAIN, k]
        left, right = np.float64(u[0, at]), np.float64(u[1, at])
        by_left, by_right = slope_of_energy(gain * left, gain * right, modes[0], modes[1] == 0, row)
        of_gain = to_energy * (by_left * left + by_right * right)
        gu[0, at] += to_energy * by_left * gain
        gu[1, at] += to_energy * by_right * gain
        along = 0.0
        for channel in range(first, last):
            gu[channel, at] += gy[channel, at] * (1.0 - wet + wet * makeup * gain)
            along += np.float64(gy[channel, at]) * np.float64(u[channel, at])
        sums[WET] += along * (makeup * gain - 1.0)
        sums[MAKEUP] += along * wet * makeup * gain * LOG_PER_DB
        of_gain += along * wet * makeup
        to_reduction += -of_gain if amplitude else -of_gain * gain * LOG_PER_DB
        previous = before[2] if k == 0 else work[_REDUCTION, k - 1]
        given, to_reduction = _smoothed_backward(
            work[_TARGET, k], previous, c[GROW], c[SHRINK], to_reduction, (GROW, SHRINK), sums
        )
        if amplitude:
            given *= LOG_PER_DB * (1.0 - work[_TARGET, k])
        to_level += _target_backward(work[_LEVEL, k], c, sign, given, sums)
        previous = before[1] if k == 0 else work[_LEVEL, k - 1]
        given, to_level = _smoothed_backward(
            work[_AVERAGE, k], previous, c[RISE], c[FALL], to_level, (RISE, FALL), sums
        )
        to_mean += given
        previous = before[0] if k == 0 else work[_AVERAGE, k - 1]
        to_energy, to_mean = _smoothed_backward(
            work[_ENERGY, k], previous, c[MEAN], c[MEAN], to_mean, (MEAN, MEAN), sums
        )
    carried[0], carried[1], carried[2], carried[3] = to_mean, to_level, to_reduction, to_energy


@numba.njit(parallel=True, cache=True, error_model="numpy")
def feedback_backward(
    u: np.ndarray, c: np.ndarray, modes: np.ndarray, kept: np.ndarray, gy: np.ndarray, gu: np.ndarray,
    grad_c: np.ndarray,
) -> None:  # fmt: skip
    """As :func:`graphmix.dsp.ballistics.play_backward`."""
    samples = u.shape[2]
    for i in numba.prange(u.shape[0]):
        work = np.empty((6, BLOCK))
        for row in range(2 if modes[i, 0] == APART else 1):
            carried = np.zeros(4)
            for start in range((samples - 1) // BLOCK * BLOCK, -1, -BLOCK):
                count = min(BLOCK, samples - start)
                before = kept[i, row, start // BLOCK]
                _run(u[i], start, count, row, c[i], modes[i], before.copy(), work)
                _block_backward(u[i], gy[i], gu[i], start, count, row, c[i], modes[i], before, work, carried, grad_c[i])
