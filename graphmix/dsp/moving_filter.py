r"""The state-variable filter together with what moves its cutoff: one compiled loop, with gradients.

.. math:: f[n] = f_0 \, 2^{\, t (p[n] - p_0) / 12 + o \, m[n]}, \quad
    y = c_x x + c_b v_1 + c_l v_2

with the band-pass :math:`v_1` and the low-pass :math:`v_2` of :mod:`graphmix.dsp.state_variable`, which is its plain
version. With sine and cosine of :math:`\pi f` in place of the tangent, a step of the recursion is

.. math:: s_1' = s_1 + b \, (x - s_2 - k s_1) - d \, s_1, \quad s_2' = s_2 + b \, s_1 + d \, (x - s_2) \\
    b = \frac{2 \sin \pi f \cos \pi f}{1 + k \sin \pi f \cos \pi f}, \quad
    d = \frac{2 \sin^2 \pi f}{1 + k \sin \pi f \cos \pi f}

whose coefficients are computed beforehand, some hundred samples at a time, in the precision of the signal, and
:math:`v_i = (s_i + s_i') / 2`. Nothing between inputs and output goes through memory. For the backward pass the states
at the beginning of each part are kept, from which it goes through the same steps again: its recursion gives the
gradients of all states, and the rest of it is sums and products of samples, which are computed in vectors. Loops store
into one array each: of more the compiler would not know that they do not overlap.

Conventions: signals are [nodes, channels, samples] or, for what moves, [nodes, samples] or [nodes, 1]; settings are
float64 [nodes, :data:`SETTINGS`].
"""

import math
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from graphmix.dsp.elementary import SUMS, exp2, quarter_sine
from graphmix.dsp.rows import only_wanted, room_for

SETTINGS = ("cutoff", "tracking", "octaves", "damping", "direct", "band", "low")
"""Cutoff as a share of the sample rate; octaves for an octave of pitch, and for a modulation of 1; 1 / Q; amounts."""
_CUTOFF, _TRACKING, _OCTAVES, _DAMPING, _DIRECT, _BAND, _LOW = range(len(SETTINGS))
LOWEST, HIGHEST = 1e-5, 0.49
"""Limits of the cutoff, as shares of the sample rate."""
_MOST_OCTAVES = 20.0
_CHUNK = 512
_LN_2 = math.log(2)


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def _find_shares(
    pitch: np.ndarray, modulation: np.ndarray, c: np.ndarray, center: float, n: int, share: np.ndarray
) -> None:
    """Cutoffs before they are limited."""
    kind = share.dtype.type
    by_pitch, by_modulation = kind(c[_TRACKING] / 12), kind(c[_OCTAVES])
    still, count = -c[_TRACKING] * center / 12, share.size
    if pitch.size == 1:
        still += c[_TRACKING] / 12 * pitch[0]
    if modulation.size == 1:
        still += c[_OCTAVES] * modulation[0]
    share[:] = kind(still)
    if pitch.size > 1:
        for i in range(count):
            share[i] += by_pitch * pitch[n + i]
    if modulation.size > 1:
        for i in range(count):
            share[i] += by_modulation * modulation[n + i]
    elif pitch.size == 1:
        count = 1
    cutoff, most = kind(c[_CUTOFF]), kind(_MOST_OCTAVES)
    for i in range(count):
        octaves = share[i] if share[i] < most else most
        octaves = octaves if octaves > -most else -most
        share[i] = cutoff * exp2(octaves)
    if count < share.size:
        share[:] = share[0]


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def _find_steps(share: np.ndarray, damping: float, b: np.ndarray, d: np.ndarray) -> None:
    """Coefficients of the recursion."""
    kind = share.dtype.type
    lowest, highest, half, quarter = kind(LOWEST), kind(HIGHEST), kind(0.5), kind(0.25)
    k, one, two = kind(damping), kind(1), kind(2)
    count = 1 if share[0] == share[share.size - 1] and _is_constant(share) else share.size
    for i in range(count):
        f = share[i] if share[i] > lowest else lowest
        f = half * (f if f < highest else highest)
        s, c = quarter_sine(f), quarter_sine(quarter - f)
        b[i] = two * s * c / (one + k * s * c)
    for i in range(count):
        f = share[i] if share[i] > lowest else lowest
        f = half * (f if f < highest else highest)
        s = quarter_sine(f)
        d[i] = two * s * s * (one - half * k * b[i])
    if count < share.size:
        b[:], d[:] = b[0], d[0]


@numba.njit(cache=True, error_model="numpy")
def _is_constant(x: np.ndarray) -> bool:
    changes = 0
    for i in range(x.size):
        changes += x[i] != x[0]
    return changes == 0


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def _recur(
    x: np.ndarray, b: np.ndarray, d: np.ndarray, damping: float, work: np.ndarray, s1: np.ndarray, s2: np.ndarray
) -> None:
    """States before each sample and after the last one, from those before the first; ``work`` is room."""
    first, second, cross, into, straight = work[0], work[1], work[2], work[3], work[4]
    for i in range(x.size):
        first[i] = 1.0 - d[i] - damping * b[i]
    for i in range(x.size):
        second[i] = 1.0 - d[i]
    for i in range(x.size):
        cross[i] = b[i]
    for i in range(x.size):
        into[i] = float(b[i]) * x[i]
    for i in range(x.size):
        straight[i] = float(d[i]) * x[i]
    one, two = s1[0], s2[0]
    for i in range(x.size):
        next_one = first[i] * one + (into[i] - cross[i] * two)
        two = second[i] * two + (straight[i] + cross[i] * one)
        one = next_one
        s1[i + 1], s2[i + 1] = one, two


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def _node(
    x: np.ndarray, pitch: np.ndarray, modulation: np.ndarray, c: np.ndarray, center: float, state: np.ndarray,
    kept: np.ndarray, out: np.ndarray,
) -> None:  # fmt: skip
    """``kept`` [channels, parts, 2] are the states at the beginning of each part, or empty."""
    coefficients, work = np.empty((3, _CHUNK), x.dtype), np.empty((5, _CHUNK))
    ones, twos = np.empty(_CHUNK + 1), np.empty(_CHUNK + 1)
    direct, band, low = c[_DIRECT], 0.5 * c[_BAND], 0.5 * c[_LOW]
    for n in range(0, x.shape[1], _CHUNK):
        count = min(_CHUNK, x.shape[1] - n)
        share, b, d = coefficients[0, :count], coefficients[1, :count], coefficients[2, :count]
        _find_shares(pitch, modulation, c, center, n, share)
        _find_steps(share, c[_DAMPING], b, d)
        for channel in range(x.shape[0]):
            signal, result = x[channel, n : n + count], out[channel, n : n + count]
            if kept.size > 0:
                kept[channel, n // _CHUNK] = state[channel]
            ones[0], twos[0] = state[channel, 0], state[channel, 1]
            _recur(signal, b, d, c[_DAMPING], work, ones, twos)
            state[channel, 0], state[channel, 1] = ones[count], twos[count]
            for i in range(count):
                result[i] = direct * signal[i] + band * (ones[i] + ones[i + 1]) + low * (twos[i] + twos[i + 1])


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def _recur_back(
    grad: np.ndarray, c: np.ndarray, work: np.ndarray, later: np.ndarray, by_one: np.ndarray, by_two: np.ndarray
) -> None:
    """Gradients of the states after each sample; ``later`` are those after the last one, and then before the first.

    ``work`` is what :func:`_recur` left there.
    """
    first, second, cross = work[0], work[1], work[2]
    band, low = work[3], work[4]
    for i in range(grad.size):
        band[i] = 0.5 * c[_BAND] * grad[i]
    for i in range(grad.size):
        low[i] = 0.5 * c[_LOW] * grad[i]
    one, two = later[0], later[1]
    for i in range(grad.size - 1, -1, -1):
        one, two = one + band[i], two + low[i]
        by_one[i], by_two[i] = one, two
        next_one = first[i] * one + (band[i] + cross[i] * two)
        two = second[i] * two + (low[i] - cross[i] * one)
        one = next_one
    later[0], later[1] = one, two


@numba.njit(cache=True, error_model="numpy", fastmath=SUMS)
def _steps_back(
    x: np.ndarray, b: np.ndarray, d: np.ndarray, damping: float, s1: np.ndarray, s2: np.ndarray, by_one: np.ndarray,
    by_two: np.ndarray, by_angle: np.ndarray,
) -> float:  # fmt: skip
    """Add the gradients of pi f through the coefficients of the recursion; what that of the damping is."""
    total = 0.0
    for i in range(x.size):
        own, slow = float(b[i]), float(d[i])
        r = 1.0 - 0.5 * damping * own
        by_b = by_one[i] * (x[i] - s2[i] - damping * s1[i]) + by_two[i] * s1[i]
        by_d = by_two[i] * (x[i] - s2[i]) - by_one[i] * s1[i]
        by_angle[i] += 2.0 * by_b * (r - slow) * r + by_d * (2.0 * own - damping * slow * (r - slow))
    for i in range(x.size):
        own, slow = float(b[i]), float(d[i])
        by_b = by_one[i] * (x[i] - s2[i] - damping * s1[i]) + by_two[i] * s1[i]
        by_d = by_two[i] * (x[i] - s2[i]) - by_one[i] * s1[i]
        total += own * (by_one[i] * s1[i] + 0.5 * (by_b * own + by_d * slow))
    return -total


@numba.njit(cache=True, error_model="numpy", fastmath=SUMS)
def _outputs_back(x: np.ndarray, grad: np.ndarray, s1: np.ndarray, s2: np.ndarray, to: np.ndarray) -> None:
    """Add the gradients of the three amounts."""
    direct, band, low = 0.0, 0.0, 0.0
    for i in range(x.size):
        given = float(grad[i])
        direct += given * x[i]
        band += given * (s1[i] + s1[i + 1])
        low += given * (s2[i] + s2[i + 1])
    to[_DIRECT] += direct
    to[_BAND] += 0.5 * band
    to[_LOW] += 0.5 * low


@numba.njit(cache=True, error_model="numpy", fastmath=SUMS)
def _shares_back(
    by_angle: np.ndarray, share: np.ndarray, pitch: np.ndarray, modulation: np.ndarray, c: np.ndarray, center: float,
    n: int, to: np.ndarray,
) -> None:  # fmt: skip
    """From gradients of pi f to those of the octaves, in place, and of the settings."""
    total, tracking, octaves = 0.0, 0.0, 0.0
    for i in range(share.size):
        inside = share[i] >= LOWEST and share[i] <= HIGHEST
        by_angle[i] *= math.pi * _LN_2 * share[i] if inside else 0.0
    for i in range(share.size):
        total += by_angle[i]
    if pitch.size > 1:
        for i in range(share.size):
            tracking += by_angle[i] * pitch[n + i]
    else:
        tracking = total * pitch[0]
    if modulation.size > 1:
        for i in range(share.size):
            octaves += by_angle[i] * modulation[n + i]
    else:
        octaves = total * modulation[0]
    to[_CUTOFF] += total / (_LN_2 * c[_CUTOFF])
    to[_TRACKING] += (tracking - total * center) / 12
    to[_OCTAVES] += octaves


@numba.njit(cache=True, error_model="numpy", fastmath=SUMS)
def _add_scaled(by: np.ndarray, scale: float, n: int, to: np.ndarray) -> None:
    """Add gradients of some samples to those of a signal that may be one number for all, or not wanted (empty)."""
    if to.size == 1:
        total = 0.0
        for i in range(by.size):
            total += by[i]
        to[0] += scale * total
    elif to.size > 1:
        for i in range(by.size):
            to[n + i] += scale * by[i]


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def _node_back(
    x: np.ndarray, grad: np.ndarray, pitch: np.ndarray, modulation: np.ndarray, c: np.ndarray, center: float,
    kept: np.ndarray, to_x: np.ndarray, to_pitch: np.ndarray, to_modulation: np.ndarray, to: np.ndarray,
) -> None:  # fmt: skip
    """Gradients; those of signals are not wanted where their arrays are empty."""
    coefficients, work = np.empty((3, _CHUNK), x.dtype), np.empty((5, _CHUNK))
    ones, twos = np.empty(_CHUNK + 1), np.empty(_CHUNK + 1)
    by_ones, by_twos, by_angles = np.empty(_CHUNK), np.empty(_CHUNK), np.empty(_CHUNK)
    later = np.zeros((x.shape[0], 2))
    for part in range(kept.shape[1] - 1, -1, -1):
        n = part * _CHUNK
        count = min(_CHUNK, x.shape[1] - n)
        share, b, d = coefficients[0, :count], coefficients[1, :count], coefficients[2, :count]
        by_one, by_two, by_angle = by_ones[:count], by_twos[:count], by_angles[:count]
        _find_shares(pitch, modulation, c, center, n, share)
        _find_steps(share, c[_DAMPING], b, d)
        by_angle[:] = 0
        for channel in range(x.shape[0]):
            signal, given = x[channel, n : n + count], grad[channel, n : n + count]
            ones[0], twos[0] = kept[channel, part, 0], kept[channel, part, 1]
            _recur(signal, b, d, c[_DAMPING], work, ones, twos)
            _recur_back(given, c, work, later[channel], by_one, by_two)
            to[_DAMPING] += _steps_back(signal, b, d, c[_DAMPING], ones, twos, by_one, by_two, by_angle)
            _outputs_back(signal, given, ones, twos, to)
            if to_x.size > 0:
                result = to_x[channel, n : n + count]
                for i in range(count):
                    result[i] = c[_DIRECT] * given[i] + by_one[i] * b[i] + by_two[i] * d[i]
        _shares_back(by_angle, share, pitch, modulation, c, center, n, to)
        _add_scaled(by_angle, c[_TRACKING] / 12, n, to_pitch)
        _add_scaled(by_angle, c[_OCTAVES], n, to_modulation)


@numba.njit(parallel=True, cache=True, error_model="numpy")
def _forward(
    x: np.ndarray, pitch: np.ndarray, modulation: np.ndarray, c: np.ndarray, center: float, state: np.ndarray,
    kept: np.ndarray, out: np.ndarray,
) -> None:  # fmt: skip
    for node in numba.prange(x.shape[0]):
        _node(x[node], pitch[node], modulation[node], c[node], center, state[node], kept[node], out[node])


@numba.njit(parallel=True, cache=True, error_model="numpy")
def _backward(
    x: np.ndarray, grad: np.ndarray, pitch: np.ndarray, modulation: np.ndarray, c: np.ndarray, center: float,
    kept: np.ndarray, to_x: np.ndarray, to_pitch: np.ndarray, to_modulation: np.ndarray, to: np.ndarray,
) -> None:  # fmt: skip
    for node in numba.prange(x.shape[0]):
        _node_back(
            x[node], grad[node], pitch[node], modulation[node], c[node], center, kept[node], to_x[node],
            to_pitch[node], to_modulation[node], to[node],
        )  # fmt: skip


class _MovingFilter(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, center: float, state: Tensor, *inputs: Tensor) -> Tensor:
        x, pitch, modulation, settings = own = tuple(t.detach().contiguous() for t in inputs)
        parts = -(-x.size(2) // _CHUNK) if any(ctx.needs_input_grad) else 0
        kept = torch.empty(*x.shape[:2], parts, 2, dtype=torch.float64)
        out = torch.empty_like(x)
        arrays = (x, pitch, modulation, settings), (state, kept, out)
        _forward(*(t.numpy() for t in arrays[0]), center, *(t.numpy() for t in arrays[1]))
        ctx.save_for_backward(*own, kept)
        ctx.center = center
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, pitch, modulation, settings, kept = ctx.saved_tensors
        wanted = ctx.needs_input_grad[2:5]
        results = room_for((x, pitch, modulation), wanted)
        to = torch.zeros_like(settings)
        arrays = (x, grad.contiguous(), pitch, modulation, settings), (kept, *results, to)
        _backward(*(t.numpy() for t in arrays[0]), ctx.center, *(t.numpy() for t in arrays[1]))
        return None, None, *only_wanted(results, wanted), to


def moving_filter(
    x: Tensor, pitch: Tensor, modulation: Tensor, settings: Tensor, center: float, state: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Filter.

    Args:
        x: [nodes, channels, samples].
        pitch: in semitones, [nodes, samples] or [nodes, 1].
        modulation: as the pitch.
        settings: float64 [nodes, :data:`SETTINGS`].
        center: the pitch at which tracking leaves the cutoff alone.
        state: what is returned for the samples before, where these are not the first ones.

    Returns:
        As ``x``, with gradients of all but the center; and the state behind it, float64 [nodes, channels, 2].
    """
    state = torch.zeros(*x.shape[:2], 2, dtype=torch.float64) if state is None else state.clone()
    out = _MovingFilter.apply(center, state, *(t.cpu() for t in (x, pitch, modulation, settings)))
    assert isinstance(out, Tensor)
    return out.to(x.device), state
