r"""The state-variable filter together with what moves its cutoff: one compiled loop, with gradients.

.. math:: f[n] = f_0 \, 2^{\, t (p[n] - p_0) / 12 + o \, m[n]}, \quad
    y = c_x x + c_b v_1 + c_l v_2

with the band-pass :math:`v_1` and the low-pass :math:`v_2` of :mod:`graphmix.dsp.state_variable`, which is its plain
version. In matrix form, with :math:`a_1 = 1 / (1 + g (g + k))`, a step of the recursion is

.. math:: s_1' = (2 a_1 - 1) s_1 + 2 a_1 g (x - s_2), \quad s_2' = s_2 + 2 a_1 g s_1 + 2 a_1 g^2 (x - s_2)

whose coefficients are computed beforehand, some hundred samples at a time, and
:math:`v_i = (s_i + s_i') / 2`. Nothing between inputs and output goes through memory. For the backward pass the states
at the beginning of each part are kept, from which it goes through the same steps again.

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

from graphmix.dsp.elementary import SUMS, exp2, sine
from graphmix.dsp.rows import only_wanted, room_for

SETTINGS = ("cutoff", "tracking", "octaves", "damping", "direct", "band", "low")
"""Cutoff as a share of the sample rate; octaves for an octave of pitch, and for a modulation of 1; 1 / Q; amounts."""
_CUTOFF, _TRACKING, _OCTAVES, _DAMPING, _DIRECT, _BAND, _LOW = range(len(SETTINGS))
LOWEST, HIGHEST = 1e-5, 0.49
"""Limits of the cutoff, as shares of the sample rate."""
_MOST_OCTAVES = 20.0
_CHUNK = 512
_LN_2 = math.log(2)


@numba.njit(cache=True, error_model="numpy")
def _find_gains(
    pitch: np.ndarray, modulation: np.ndarray, c: np.ndarray, center: float, n: int, share: np.ndarray, gain: np.ndarray
) -> None:
    """Cutoffs before they are limited, and tan(pi f)."""
    still = pitch.size == 1 and modulation.size == 1
    for i in range(1 if still else gain.size):
        octaves = c[_TRACKING] * (pitch[0 if pitch.size == 1 else n + i] - center) / 12
        octaves += c[_OCTAVES] * modulation[0 if modulation.size == 1 else n + i]
        share[i] = c[_CUTOFF] * exp2(min(max(octaves, -_MOST_OCTAVES), _MOST_OCTAVES))
    for i in range(1 if still else gain.size):
        half = min(max(share[i], LOWEST), HIGHEST) / 2
        gain[i] = sine(half) / sine(half + 0.25)
    if still:
        share[:], gain[:] = share[0], gain[0]


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def _recur(x: np.ndarray, gain: np.ndarray, damping: float, steps: np.ndarray, s1: np.ndarray, s2: np.ndarray) -> None:
    """States before each sample and after the last one, from those before the first; ``steps`` is room for work."""
    a, b, c = steps[0], steps[1], steps[2]
    for i in range(x.size):
        twice = 2.0 / (1.0 + gain[i] * (gain[i] + damping))
        a[i], b[i], c[i] = twice - 1.0, twice * gain[i], twice * gain[i] * gain[i]
    one, two = s1[0], s2[0]
    for i in range(x.size):
        into, straight = x[i] - two, two + b[i] * one
        one, two = a[i] * one + b[i] * into, straight + c[i] * into
        s1[i + 1], s2[i + 1] = one, two


@numba.njit(cache=True, error_model="numpy")
def _node(
    x: np.ndarray, pitch: np.ndarray, modulation: np.ndarray, c: np.ndarray, center: float, state: np.ndarray,
    kept: np.ndarray, out: np.ndarray,
) -> None:  # fmt: skip
    """``kept`` [channels, parts, 2] are the states at the beginning of each part, or empty."""
    shares, gains, ones, twos = np.empty(_CHUNK), np.empty(_CHUNK), np.empty(_CHUNK + 1), np.empty(_CHUNK + 1)
    steps = np.empty((3, _CHUNK))
    for n in range(0, x.shape[1], _CHUNK):
        count = min(_CHUNK, x.shape[1] - n)
        gain = gains[:count]
        _find_gains(pitch, modulation, c, center, n, shares[:count], gain)
        for channel in range(x.shape[0]):
            signal, result = x[channel, n : n + count], out[channel, n : n + count]
            if kept.size > 0:
                kept[channel, n // _CHUNK] = state[channel]
            ones[0], twos[0] = state[channel, 0], state[channel, 1]
            _recur(signal, gain, c[_DAMPING], steps, ones, twos)
            state[channel, 0], state[channel, 1] = ones[count], twos[count]
            for i in range(count):
                band, low = 0.5 * (ones[i] + ones[i + 1]), 0.5 * (twos[i] + twos[i + 1])
                result[i] = c[_DIRECT] * signal[i] + c[_BAND] * band + c[_LOW] * low


@numba.njit(cache=True, error_model="numpy")
def _recur_back(
    x: np.ndarray, grad: np.ndarray, c: np.ndarray, gain: np.ndarray, s1: np.ndarray, s2: np.ndarray,
    later: np.ndarray, by_gain: np.ndarray, to_x: np.ndarray, to: np.ndarray,
) -> None:  # fmt: skip
    """Add the gradients of one channel's samples; ``later`` are those of the states, after the samples and then before.

    Those of the signal are not wanted where their array is empty.
    """
    one, two = later[0], later[1]
    damping, band, low, to_damping = c[_DAMPING], c[_BAND], c[_LOW], 0.0
    to_band, to_low, to_direct = 0.0, 0.0, 0.0
    for i in range(x.size - 1, -1, -1):
        g, given = gain[i], float(grad[i])
        scale = 1.0 / (1.0 + g * (g + damping))
        v1, v2 = 0.5 * (s1[i] + s1[i + 1]), 0.5 * (s2[i] + s2[i + 1])
        by_v2 = low * given + 2.0 * two
        inner = (band * given + 2.0 * one + g * by_v2) * scale
        by_gain[i] += v1 * by_v2 + inner * (x[i] - s2[i] - v1 * (2.0 * g + damping))
        to_damping -= inner * v1 * g
        to_band += given * v1
        to_low += given * v2
        to_direct += given * x[i]
        if to_x.size > 0:
            to_x[i] = c[_DIRECT] * given + g * inner
        one, two = inner - one, by_v2 - g * inner - two
    later[0], later[1] = one, two
    to[_DAMPING] += to_damping
    to[_BAND] += to_band
    to[_LOW] += to_low
    to[_DIRECT] += to_direct


@numba.njit(cache=True, error_model="numpy", fastmath=SUMS)
def _gains_back(
    by_gain: np.ndarray, share: np.ndarray, gain: np.ndarray, pitch: np.ndarray, modulation: np.ndarray,
    c: np.ndarray, center: float, n: int, to: np.ndarray,
) -> None:  # fmt: skip
    """From gradients of tan(pi f) to those of the octaves, in place, and of the settings."""
    total, tracking, octaves = 0.0, 0.0, 0.0
    for i in range(gain.size):
        inside = share[i] >= LOWEST and share[i] <= HIGHEST
        by_gain[i] = by_gain[i] * math.pi * (1.0 + gain[i] * gain[i]) * share[i] if inside else 0.0
        total += by_gain[i]
        by_gain[i] *= _LN_2
        tracking += by_gain[i] * (pitch[0 if pitch.size == 1 else n + i] - center)
        octaves += by_gain[i] * modulation[0 if modulation.size == 1 else n + i]
    to[_CUTOFF] += total / c[_CUTOFF]
    to[_TRACKING] += tracking / 12
    to[_OCTAVES] += octaves


@numba.njit(cache=True, error_model="numpy")
def _node_back(
    x: np.ndarray, grad: np.ndarray, pitch: np.ndarray, modulation: np.ndarray, c: np.ndarray, center: float,
    kept: np.ndarray, to_x: np.ndarray, to_pitch: np.ndarray, to_modulation: np.ndarray, to: np.ndarray,
) -> None:  # fmt: skip
    """Gradients; those of signals are not wanted where their arrays are empty."""
    shares, gains, ones, twos = np.empty(_CHUNK), np.empty(_CHUNK), np.empty(_CHUNK + 1), np.empty(_CHUNK + 1)
    steps, by_gains = np.empty((3, _CHUNK)), np.empty(_CHUNK)
    later = np.zeros((x.shape[0], 2))
    for part in range(kept.shape[1] - 1, -1, -1):
        n = part * _CHUNK
        count = min(_CHUNK, x.shape[1] - n)
        gain, share, by_gain = gains[:count], shares[:count], by_gains[:count]
        _find_gains(pitch, modulation, c, center, n, share, gain)
        by_gain[:] = 0
        for channel in range(x.shape[0]):
            signal = x[channel, n : n + count]
            ones[0], twos[0] = kept[channel, part, 0], kept[channel, part, 1]
            _recur(signal, gain, c[_DAMPING], steps, ones, twos)
            to_signal = to_x[channel, n : n + count] if to_x.size > 0 else to_x[channel, :0]
            _recur_back(
                signal, grad[channel, n : n + count], c, gain, ones, twos, later[channel], by_gain, to_signal, to
            )
        _gains_back(by_gain, share, gain, pitch, modulation, c, center, n, to)
        if to_pitch.size > 0:
            for i in range(count):
                to_pitch[0 if pitch.size == 1 else n + i] += by_gain[i] * c[_TRACKING] / 12
        if to_modulation.size > 0:
            for i in range(count):
                to_modulation[0 if modulation.size == 1 else n + i] += by_gain[i] * c[_OCTAVES]


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
