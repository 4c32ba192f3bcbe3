r"""Compressors and gates in one compiled pass forward and one backward: detector, knee, gain and dry/wet.

.. math:: y = (1 - w + w \cdot 10^{G / 20}) \, u, \quad G = s \cdot \mathrm{knee}(\pm(10 \log_{10}(g + \epsilon) - T))

with g the smoothed energy of :mod:`graphmix.dsp.envelope` and the quadratic knee of equations 20 to 23 of the pruning
paper. Signals are read and written once, in blocks that stay in the nearest cache. What is kept for the backward pass
is the smoothed energy; the rest is computed again. The recursion, its adjoint and the sums over blocks are float64
whatever the signal is.
"""

import math
from typing import Any, NamedTuple

import numba
import numpy as np
import torch
from torch import Tensor

from graphmix.dsp.one_pole import smooth, smooth_backward, smooth_ballistic
from graphmix.dsp.powers import FASTMATH, exp2, log2

ENERGY_FLOOR = 1e-8
"""Added to the energy before the logarithm: -80 dB, below which a level is silence to a detector."""
_BLOCK = 512
"""Samples of a block, a multiple of four: all that it touches, forward or backward, fits into 32 KiB."""
_DB_PER_OCTAVE = 10 * math.log10(2)
"""Level for a factor of two in energy."""
_DB_PER_LOG = 10 / math.log(10)
"""Level for a factor of e in energy."""
_LOG_PER_DB = math.log(10) / 20
"""Natural logarithm of an amplitude for each dB."""
_OCTAVES_PER_DB = math.log2(10) / 20
"""Binary logarithm of an amplitude for each dB."""
_FORGOTTEN = 1e-200
"""A state or adjoint below it becomes zero at the next block: subnormal numbers, into which it would fade, are slow."""


class GainComputer(NamedTuple):
    """Settings of a detector and of the curve behind it, [nodes] each.

    Args:
        threshold_db: level where the gain begins to change, in the middle of the knee.
        slope: dB of gain for each dB beyond the threshold, 0 or below.
        knee_db: full width of the knee, above 0.
        attack: one-pole coefficient in [0, 1) where the energy rises.
        release: the same where it does not.
    """

    threshold_db: Tensor
    slope: Tensor
    knee_db: Tensor
    attack: Tensor
    release: Tensor


@numba.njit(cache=True, fastmath=FASTMATH, error_model="numpy")
def _detect(left: np.ndarray, right: np.ndarray, out: np.ndarray) -> None:
    """Energy of mid."""
    for k in range(left.size):
        mid = 0.5 * (np.float64(left[k]) + np.float64(right[k]))
        out[k] = mid * mid


@numba.njit(cache=True, fastmath=FASTMATH, error_model="numpy")
def _gains(energy: np.ndarray, settings: np.ndarray, sign: float, out: np.ndarray) -> None:
    """What both channels are multiplied by, dry/wet included."""
    real = out.dtype.type
    one, zero, floor = real(1), real(0), real(ENERGY_FLOOR)
    per_octave, threshold = real(sign * _DB_PER_OCTAVE), real(sign * settings[0])
    slope, half, bend = real(_OCTAVES_PER_DB * settings[1]), real(settings[2] / 2), real(0.5 / settings[2])
    wet = real(settings[5])
    for k in range(out.size):
        over = per_octave * log2(energy[k] + floor) - threshold
        inside = zero if over + half < zero else over + half
        gain = exp2(slope * (over if over > half else bend * inside * inside))
        out[k] = one - wet + wet * gain


@numba.njit(cache=True, fastmath=FASTMATH, error_model="numpy")
def _gains_backward(
    energy: np.ndarray,
    settings: np.ndarray,
    sign: float,
    adjoint: np.ndarray,
    gains: np.ndarray,
    sums: np.ndarray,
) -> None:
    """The adjoint of the gains becomes that of the smoothed energies; the gains again; add to the settings' sums."""
    real = gains.dtype.type
    one, zero, floor = real(1), real(0), real(ENERGY_FLOOR)
    per_octave, threshold = real(sign * _DB_PER_OCTAVE), real(sign * settings[0])
    slope, half, bend = real(_OCTAVES_PER_DB * settings[1]), real(settings[2] / 2), real(0.5 / settings[2])
    wet, to_slope = real(settings[5]), real(settings[5] * _LOG_PER_DB)
    to_over, to_energy = real(settings[1]), real(sign * _DB_PER_LOG)
    of_threshold, of_slope, of_knee, of_wet = zero, zero, zero, zero
    for k in range(gains.size):
        floored = energy[k] + floor
        over = per_octave * log2(floored) - threshold
        inside = zero if over + half < zero else over + half
        share = bend * inside
        bent = over if over > half else share * inside
        gain = exp2(slope * bent)
        gains[k] = one - wet + wet * gain
        in_db = adjoint[k] * to_slope * gain
        along = in_db * to_over * (one if over > half else share + share)
        of_wet += adjoint[k] * (gain - one)
        of_slope += in_db * bent
        of_threshold += along
        of_knee += zero if over > half else in_db * to_over * share * (one - share - share)
        adjoint[k] = along * to_energy / floored
    sums[0] -= sign * of_threshold
    sums[1] += of_slope
    sums[2] += of_knee
    sums[5] += of_wet


@numba.njit(cache=True, fastmath=FASTMATH, error_model="numpy")
def _constants(left: np.ndarray, right: np.ndarray, before: np.ndarray, settings: np.ndarray, out: np.ndarray) -> None:
    """The smoothing constant that was in force at each sample."""
    attack, release = settings[3], settings[4]
    half = left.dtype.type(0.5)
    for k in range(left.size):
        mid = half * (left[k] + right[k])
        out[k] = attack if mid * mid > before[k] else release


@numba.njit(cache=True, fastmath=FASTMATH, error_model="numpy")
def _detect_backward(
    left: np.ndarray,
    right: np.ndarray,
    before: np.ndarray,
    alpha: np.ndarray,
    adjoint: np.ndarray,
    carried: np.ndarray,
    out: np.ndarray,
    sums: np.ndarray,
) -> None:
    """Gradient of the detector, the same for both channels; add to those of the constants."""
    of_attack, of_both = 0.0, 0.0
    for k in range(left.size):
        mid = 0.5 * (np.float64(left[k]) + np.float64(right[k]))
        change = before[k] - mid * mid
        total = adjoint[k] + carried[k + 1]
        of_attack += total * min(change, 0.0)
        of_both += total * change
        out[k] = (1.0 - alpha[k]) * total * mid
    sums[3] += of_attack
    sums[4] += of_both - of_attack


@numba.njit(cache=True, fastmath=FASTMATH, error_model="numpy")
def _add(x: np.ndarray, to_left: np.ndarray, to_right: np.ndarray) -> None:
    for k in range(x.size):
        to_left[k] += x[k]
        to_right[k] += x[k]


@numba.njit(cache=True, fastmath=FASTMATH, error_model="numpy")
def _times(left: np.ndarray, right: np.ndarray, gains: np.ndarray, to_left: np.ndarray, to_right: np.ndarray) -> None:
    for k in range(gains.size):
        to_left[k] = gains[k] * left[k]
        to_right[k] = gains[k] * right[k]


@numba.njit(cache=True, fastmath=FASTMATH, error_model="numpy")
def _dot(a_left: np.ndarray, a_right: np.ndarray, b_left: np.ndarray, b_right: np.ndarray, out: np.ndarray) -> None:
    for k in range(out.size):
        out[k] = a_left[k] * b_left[k] + a_right[k] * b_right[k]


@numba.njit(parallel=True, cache=True, fastmath=FASTMATH, error_model="numpy")
def _forward(u: np.ndarray, settings: np.ndarray, sign: float, y: np.ndarray, energy: np.ndarray) -> None:
    last, samples = u.shape[1] - 1, u.shape[3]
    for i in numba.prange(u.shape[0]):
        attack, release = settings[i, 3], settings[i, 4]
        energies, gains = np.zeros(_BLOCK), np.empty(_BLOCK, u.dtype)
        energy[i, 0] = 0
        state = 0.0 * (attack + release)  # undefined if a constant is
        for start in range(0, samples, _BLOCK):
            stop = min(samples, start + _BLOCK)
            smoothed, m = energy[i, start + 1 : start + _BLOCK + 1], gains[: stop - start]
            _detect(u[i, last, 0, start:stop], u[i, last, 1, start:stop], energies)
            if state < _FORGOTTEN:
                state = 0.0
            if attack == release:
                state = smooth(energies, attack, state, smoothed)
            else:
                state = smooth_ballistic(energies, attack, release, state, smoothed)
            _gains(smoothed, settings[i], sign, m)
            _times(u[i, 0, 0, start:stop], u[i, 0, 1, start:stop], m, y[i, 0, start:stop], y[i, 1, start:stop])


@numba.njit(parallel=True, cache=True, fastmath=FASTMATH, error_model="numpy")
def _backward(
    u: np.ndarray,
    settings: np.ndarray,
    sign: float,
    energy: np.ndarray,
    gy: np.ndarray,
    gu: np.ndarray,
    grad_settings: np.ndarray,
) -> None:
    last, samples = u.shape[1] - 1, u.shape[3]
    for i in numba.prange(u.shape[0]):
        gains, adjoints = np.empty(_BLOCK, u.dtype), np.zeros(_BLOCK, u.dtype)
        alphas, carried = np.zeros(_BLOCK), np.zeros(_BLOCK + 1)
        sums = np.zeros(settings.shape[1])
        for start in range((samples - 1) // _BLOCK * _BLOCK, -1, -_BLOCK):
            stop = min(samples, start + _BLOCK)
            m, adjoint = gains[: stop - start], adjoints[: stop - start]
            left, right = u[i, last, 0, start:stop], u[i, last, 1, start:stop]
            gy_left, gy_right = gy[i, 0, start:stop], gy[i, 1, start:stop]
            before, after = energy[i, start:stop], energy[i, start + 1 : stop + 1]
            _dot(u[i, 0, 0, start:stop], u[i, 0, 1, start:stop], gy_left, gy_right, adjoint)
            _gains_backward(after, settings[i], sign, adjoint, m, sums)
            _times(gy_left, gy_right, m, gu[i, 0, 0, start:stop], gu[i, 0, 1, start:stop])
            _constants(left, right, before, settings[i], alphas)
            carried[_BLOCK] = carried[0] if abs(carried[0]) > _FORGOTTEN else 0.0
            smooth_backward(alphas, adjoints, carried[_BLOCK], carried)
            _detect_backward(left, right, before, alphas, adjoint, carried, m, sums)
            _add(m, gu[i, last, 0, start:stop], gu[i, last, 1, start:stop])
        grad_settings[i] = sums


class _ApplyGainComputer(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, settings: Tensor, sign: float) -> Tensor:
        u, settings = u.contiguous(), settings.contiguous()
        nodes, _, channels, samples = u.shape
        y = u.new_empty(nodes, channels, samples)
        energy = u.new_empty(nodes, -(-samples // _BLOCK) * _BLOCK + 1)
        _forward(u.detach().numpy(), settings.detach().numpy(), sign, y.numpy(), energy.numpy())
        ctx.save_for_backward(u, settings, energy)
        ctx.sign = sign
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        u, settings, energy = ctx.saved_tensors
        gu = torch.empty_like(u) if u.size(1) == 1 else torch.zeros_like(u)
        grad_settings = torch.empty_like(settings)
        arrays = [t.detach().numpy() for t in (energy, grads[0].contiguous(), gu, grad_settings)]
        _backward(u.detach().numpy(), settings.detach().numpy(), ctx.sign, *arrays)
        return gu, grad_settings, None


def apply_gain_computer(audio: Tensor, computer: GainComputer, wet: Tensor, sign: int) -> Tensor:
    """Process a batch of compressors or gates on the CPU, dry/wet included.

    Args:
        audio: float32 or float64, [nodes, inlets, 2, samples]. The last inlet is the detector's.
        computer: the settings, each [nodes].
        wet: dry/wet weights, [nodes].
        sign: 1 if the gain changes above the threshold, -1 if below.

    Returns:
        The signals, [nodes, 2, samples].
    """
    settings = torch.stack([setting.double() for setting in (*computer, wet)], dim=1)
    return _ApplyGainComputer.apply(audio, settings, float(sign))
