r"""Compressors and expanders with every kind of detector and ballistics, in one compiled pass forward and one backward.

.. math::

    e[n] = E(u[n + L]), \quad q = \mathrm{smooth}_{\rho}(e), \quad l = \mathrm{smooth}_{a, b}(q), \quad
    G = \max(-R, s \cdot \mathrm{knee}(\pm(10 \log_{10}(l + \epsilon) - T)))

    d = \mathrm{smooth}_{c, f}(-G), \quad y[n] = (1 - w + w \, 10^{(M - d[n]) / 20}) \, u[n]

with the energy E of what is listened to (:mod:`graphmix.dsp.level_detector`), a look-ahead of L samples (linear between
two energies), and two constants for smoothing: the first where the signal rises, the second where it falls. What is not
wanted has the constant 0, so that the same pass smooths levels, gains or both. With ``amplitude`` the share
:math:`1 - 10^{G / 20}` is smoothed in the place of the decibels. Giannoulis, Massberg and Reiss, "Digital dynamic range
compressor design" (2012), call these return-to-zero detectors with branching smoothing. Detectors that listen to the
output are in :mod:`graphmix.dsp.feedback_gain`.

Recursions, their adjoints and all sums are float64 whatever the signal is; the rest has the signal's precision. States
are kept at the beginning of each block, from which the backward pass computes it again.
"""

import math
from typing import NamedTuple

import numba
import numpy as np
from torch import Tensor

from graphmix.dsp.dynamics import ENERGY_FLOOR
from graphmix.dsp.level_detector import APART, detect, detect_backward
from graphmix.dsp.one_pole import smooth, smooth_backward, smooth_ballistic
from graphmix.dsp.powers import FASTMATH, exp2, log2

BLOCK = 512
"""Samples of a block, a multiple of four."""
SETTINGS = (
    "threshold", "slope", "knee", "range", "mean", "rise", "fall", "grow", "shrink", "ahead", "makeup", "wet",
)  # fmt: skip
"""Columns: the curve and its floor, coefficients of mean, level and reduction, samples, decibels, weight."""
THRESHOLD, SLOPE, KNEE, RANGE, MEAN, RISE, FALL, GROW, SHRINK, AHEAD, MAKEUP, WET = range(len(SETTINGS))
STATES = 4
"""Of each row: smoothed energy, level and reduction, and the last energy of the output."""
FORGOTTEN = 1e-200
DB_PER_OCTAVE = 10 * math.log10(2)
"""Level for a factor of two in energy."""
DB_PER_LOG = 10 / math.log(10)
"""Level for a factor of e in energy."""
LOG_PER_DB = math.log(10) / 20
"""Natural logarithm of an amplitude for each dB."""
OCTAVES_PER_DB = math.log2(10) / 20
"""Binary logarithm of an amplitude for each dB."""


class Ballistics(NamedTuple):
    """Settings of a batch of nodes, [nodes] each, in the order of :data:`SETTINGS`.

    Args:
        threshold_db: level where the gain begins to change.
        slope: dB of gain for each dB beyond it, 0 or below.
        knee_db: full width of the knee, above 0.
        range_db: most dB that are taken off.
        mean: one-pole coefficient of the energy's mean; 0 for peaks.
        rise, fall: of the level where it rises and falls; 0 where it is not smoothed.
        grow, shrink: of the reduction where it grows and shrinks; 0 where it is not smoothed.
        ahead: look-ahead in samples, 0 or more.
        makeup_db: gain behind it all.
        wet: dry/wet weight.
    """

    threshold_db: Tensor
    slope: Tensor
    knee_db: Tensor
    range_db: Tensor
    mean: Tensor
    rise: Tensor
    fall: Tensor
    grow: Tensor
    shrink: Tensor
    ahead: Tensor
    makeup_db: Tensor
    wet: Tensor


@numba.njit(cache=True, fastmath=FASTMATH, error_model="numpy")
def _curve(level: np.ndarray, c: np.ndarray, sign: float, out: np.ndarray) -> None:
    """Reductions in dB, 0 or more."""
    real = out.dtype.type
    zero, floor = real(0), real(ENERGY_FLOOR)
    per_octave, threshold = real(sign * DB_PER_OCTAVE), real(sign * c[THRESHOLD])
    slope, half, bend = real(-c[SLOPE]), real(c[KNEE] / 2), real(0.5 / c[KNEE])
    most = real(c[RANGE])
    for k in range(out.size):
        over = per_octave * log2(real(level[k]) + floor) - threshold
        inside = zero if over + half < zero else over + half
        reduction = slope * (over if over > half else bend * inside * inside)
        out[k] = reduction if reduction < most else most


@numba.njit(cache=True, fastmath=FASTMATH, error_model="numpy")
def _curve_backward(level: np.ndarray, c: np.ndarray, sign: float, adjoint: np.ndarray, sums: np.ndarray) -> None:
    """The adjoint of the reductions becomes that of the energies; add to the gradients of the curve."""
    real = adjoint.dtype.type
    zero, one, floor = real(0), real(1), real(ENERGY_FLOOR)
    per_octave, threshold = real(sign * DB_PER_OCTAVE), real(sign * c[THRESHOLD])
    slope, half, bend = real(-c[SLOPE]), real(c[KNEE] / 2), real(0.5 / c[KNEE])
    most, to_energy = real(c[RANGE]), real(sign * DB_PER_LOG)
    of_threshold, of_slope, of_knee, of_range = zero, zero, zero, zero
    for k in range(adjoint.size):  # choices between numbers, not between ways, so that it is computed in vectors
        floored = real(level[k]) + floor
        over = per_octave * log2(floored) - threshold
        inside = over + half
        inside = zero if inside < zero else inside
        share = bend * inside
        bent = over if over > half else share * inside
        given = adjoint[k] * (one if slope * bent < most else zero)
        of_range += adjoint[k] - given
        along = given * slope * (one if over > half else share + share)
        of_slope -= given * bent
        of_threshold += along
        by_knee = given * slope * share * (one - share - share)
        of_knee += zero if over > half else by_knee
        adjoint[k] = along * to_energy / floored
    sums[THRESHOLD] -= sign * of_threshold
    sums[SLOPE] += of_slope
    sums[KNEE] += of_knee
    sums[RANGE] += of_range


@numba.njit(cache=True, fastmath=FASTMATH, error_model="numpy")
def _shares(reduction: np.ndarray) -> None:
    """Decibels taken off -> share of the amplitude that is taken off, in place."""
    real = reduction.dtype.type
    per_db, one = real(-OCTAVES_PER_DB), real(1)
    for k in range(reduction.size):
        reduction[k] = one - exp2(per_db * reduction[k])


@numba.njit(cache=True, fastmath=FASTMATH, error_model="numpy")
def _gains(reduction: np.ndarray, makeup: float, amplitude: bool, out: np.ndarray) -> None:
    """What is multiplied, wet only."""
    real = out.dtype.type
    per_db, one = real(OCTAVES_PER_DB), real(1)
    if amplitude:
        scale = exp2(real(OCTAVES_PER_DB * makeup))
        for k in range(out.size):
            out[k] = scale * (one - real(reduction[k]))
    else:
        offset = real(makeup)
        for k in range(out.size):
            out[k] = exp2(per_db * (offset - real(reduction[k])))


@numba.njit(cache=True, fastmath=FASTMATH, error_model="numpy")
def _smoothed(x: np.ndarray, up: float, down: float, state: float, out: np.ndarray) -> None:
    """With two constants, in any precision of the input; as it is where both are 0."""
    if up == 0.0 and down == 0.0:
        for k in range(out.size):
            out[k] = x[k]
    elif up == down:
        smooth(x, up, state, out)
    else:
        smooth_ballistic(x, up, down, state, out)


@numba.njit(cache=True, fastmath=FASTMATH, error_model="numpy")
def _smoothed_backward(
    x: np.ndarray, out: np.ndarray, up: float, down: float, state: float, adjoint: np.ndarray, carried: np.ndarray,
    alphas: np.ndarray, count: int, sums: np.ndarray, columns: tuple[int, int],
) -> None:  # fmt: skip
    """The adjoint of the output becomes that of the input; ``carried`` [block + 1] begins with that of the state."""
    if up == 0.0 and down == 0.0:
        return
    first = x[0] > state
    alphas[0] = up if first else down
    for k in range(1, count):
        alphas[k] = up if x[k] > out[k - 1] else down
    alphas[count:] = 1.0  # behind the end nothing is smoothed
    carried[BLOCK] = 0.0 if abs(carried[0]) < FORGOTTEN else carried[0]
    smooth_backward(alphas[:BLOCK], adjoint, carried[BLOCK], carried)
    total = adjoint[0] + carried[1]
    change = total * (state - x[0])
    of_up, of_down = (change, 0.0) if first else (0.0, change)
    adjoint[0] = (1.0 - alphas[0]) * total
    for k in range(1, count):
        total = adjoint[k] + carried[k + 1]
        change = total * (out[k - 1] - x[k])
        of_up += change if x[k] > out[k - 1] else 0.0
        of_down += 0.0 if x[k] > out[k - 1] else change
        adjoint[k] = (1.0 - alphas[k]) * total
    sums[columns[0]] += of_up
    sums[columns[1]] += of_down


@numba.njit(cache=True, error_model="numpy")
def flush(state: np.ndarray) -> None:
    """Forget what has decayed: subnormal numbers are slow."""
    for k in range(state.size):
        state[k] = 0.0 if abs(state[k]) < FORGOTTEN else state[k]


@numba.njit(cache=True, error_model="numpy")
def _play_block(
    u: np.ndarray, start: int, count: int, row: int, c: np.ndarray, modes: np.ndarray, state: np.ndarray,
    work: np.ndarray, reduction: np.ndarray, gains: np.ndarray,
) -> None:  # fmt: skip
    """One block of a row; ``work`` [4, block] holds energies, their means, levels, smoothed reductions."""
    detect(u, start, count, modes, row, c[AHEAD], work[0])
    _smoothed(work[0], c[MEAN], c[MEAN], state[0], work[1])
    _smoothed(work[1], c[RISE], c[FALL], state[1], work[2])
    _curve(work[2], c, 1.0 if modes[4] == 0 else -1.0, reduction)
    if modes[2] == 1:
        _shares(reduction)
    _smoothed(reduction, c[GROW], c[SHRINK], state[2], work[3])
    _gains(work[3], c[MAKEUP], modes[2] == 1, gains)


@numba.njit(parallel=True, cache=True, error_model="numpy")
def play_forward(
    u: np.ndarray, c: np.ndarray, modes: np.ndarray, state: np.ndarray, kept: np.ndarray, y: np.ndarray
) -> None:
    """``kept`` [nodes, 2, blocks, states] are the states before each block, or empty; ``y`` may be the shorter one."""
    samples = y.shape[2]
    for i in numba.prange(u.shape[0]):
        work, reduction, gains = np.empty((4, BLOCK)), np.empty(BLOCK, u.dtype), np.empty(BLOCK, u.dtype)
        one, wet = u.dtype.type(1), u.dtype.type(c[i, WET])
        apart = modes[i, 0] == APART
        for row in range(2 if apart else 1):
            for start in range(0, samples, BLOCK):
                count = min(BLOCK, samples - start)
                flush(state[i, row])
                if kept.size > 0:
                    kept[i, row, start // BLOCK] = state[i, row]
                _play_block(u[i], start, count, row, c[i], modes[i], state[i, row], work, reduction, gains)
                for k in range(3):
                    state[i, row, k] = work[k + 1, count - 1]
                for channel in range(row if apart else 0, row + 1 if apart else 2):
                    for k in range(count):
                        y[i, channel, start + k] = (one - wet + wet * gains[k]) * u[i, channel, start + k]


@numba.njit(cache=True, fastmath=FASTMATH, error_model="numpy")
def _multiply_backward(
    u: np.ndarray, gy: np.ndarray, gu: np.ndarray, gains: np.ndarray, wet: float, adjoint: np.ndarray
) -> None:
    """Through dry/wet and the product, of one channel; ``adjoint`` is that of the gains, and is added to."""
    real = gains.dtype.type
    weight, dry = real(wet), real(1) - real(wet)
    for k in range(u.size):
        gu[k] += (dry + weight * gains[k]) * gy[k]
        adjoint[k] += gy[k] * u[k]


@numba.njit(cache=True, fastmath=FASTMATH, error_model="numpy")
def _gains_backward(
    gains: np.ndarray, count: int, c: np.ndarray, amplitude: bool, adjoint: np.ndarray, sums: np.ndarray
) -> None:
    """Through the exponential; ``adjoint`` becomes that of the smoothed reductions."""
    scale, wet = -c[WET] * math.exp(LOG_PER_DB * c[MAKEUP]), c[WET] * LOG_PER_DB
    of_wet, of_makeup = 0.0, 0.0
    for k in range(count):
        gain = np.float64(gains[k])
        of_wet += adjoint[k] * (gain - 1.0)
        in_db = adjoint[k] * wet * gain
        of_makeup += in_db
        adjoint[k] = adjoint[k] * scale if amplitude else -in_db
    sums[WET] += of_wet
    sums[MAKEUP] += of_makeup


@numba.njit(cache=True, fastmath=FASTMATH, error_model="numpy")
def _block_backward(
    u: np.ndarray, start: int, count: int, row: int, c: np.ndarray, modes: np.ndarray, before: np.ndarray,
    work: np.ndarray, reduction: np.ndarray, adjoint: np.ndarray, in_curve: np.ndarray, alphas: np.ndarray,
    carried: np.ndarray, gu: np.ndarray, sums: np.ndarray,
) -> None:  # fmt: skip
    """From the smoothed reductions to the detector's input."""
    _smoothed_backward(
        reduction, work[3], c[GROW], c[SHRINK], before[2], adjoint, carried[2], alphas, count, sums, (GROW, SHRINK)
    )
    for k in range(count):
        in_curve[k] = adjoint[k]
    if modes[2] == 1:
        for k in range(count):
            in_curve[k] *= LOG_PER_DB * (1.0 - reduction[k])
    sign = 1.0 if modes[4] == 0 else -1.0
    _curve_backward(work[2], c, sign, in_curve[:count], sums)
    for k in range(count):
        adjoint[k] = in_curve[k]
    _smoothed_backward(
        work[1], work[2], c[RISE], c[FALL], before[1], adjoint, carried[1], alphas, count, sums, (RISE, FALL)
    )
    _smoothed_backward(
        work[0], work[1], c[MEAN], c[MEAN], before[0], adjoint, carried[0], alphas, count, sums, (MEAN, MEAN)
    )
    sums[AHEAD] += detect_backward(u, start, count, modes, row, c[AHEAD], adjoint, gu, alphas)


@numba.njit(parallel=True, cache=True, error_model="numpy")
def play_backward(
    u: np.ndarray, c: np.ndarray, modes: np.ndarray, kept: np.ndarray, gy: np.ndarray, gu: np.ndarray,
    grad_c: np.ndarray,
) -> None:  # fmt: skip
    """``gu`` and ``grad_c`` are zero before."""
    samples = u.shape[2]
    for i in numba.prange(u.shape[0]):
        work, reduction, gains = np.empty((4, BLOCK)), np.empty(BLOCK, u.dtype), np.empty(BLOCK, u.dtype)
        adjoint, in_curve, alphas = np.empty(BLOCK), np.empty(BLOCK, u.dtype), np.empty(BLOCK + 1)
        apart = modes[i, 0] == APART
        for row in range(2 if apart else 1):
            carried = np.zeros((3, BLOCK + 1))
            for start in range((samples - 1) // BLOCK * BLOCK, -1, -BLOCK):
                count = min(BLOCK, samples - start)
                before, end = kept[i, row, start // BLOCK], start + count
                _play_block(u[i], start, count, row, c[i], modes[i], before, work, reduction, gains)
                adjoint[:] = 0.0
                for channel in range(row if apart else 0, row + 1 if apart else 2):
                    _multiply_backward(
                        u[i, channel, start:end], gy[i, channel, start:end], gu[i, channel, start:end], gains,
                        c[i, WET], adjoint,
                    )  # fmt: skip
                _gains_backward(gains, count, c[i], modes[i, 2] == 1, adjoint, grad_c[i])
                _block_backward(
                    u[i], start, count, row, c[i], modes[i], before, work, reduction, adjoint, in_curve, alphas,
                    carried, gu[i], grad_c[i],
                )  # fmt: skip
