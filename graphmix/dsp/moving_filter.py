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
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from graphmix.dsp.distinct import pick, put
from graphmix.dsp.elementary import SUMS, exp2, quarter_sine
from graphmix.dsp.filter_states import (
    CHUNK,
    LANES,
    ROOM,
    fill,
    fill_back,
    gradients_of,
    recur,
    recur_back,
    set_states,
    states_of,
)
from graphmix.dsp.rows import end_of_sound, leave_silent, only_wanted, room_for

SETTINGS = ("cutoff", "tracking", "octaves", "damping", "direct", "band", "low")
"""Cutoff as a share of the sample rate; octaves for an octave of pitch, and for a modulation of 1; 1 / Q; amounts."""
_CUTOFF, _TRACKING, _OCTAVES, _DAMPING, _DIRECT, _BAND, _LOW = range(len(SETTINGS))
LOWEST, HIGHEST = 1e-5, 0.49
"""Limits of the cutoff, as shares of the sample rate."""
_MOST_OCTAVES = 20.0
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
        d[i] = quarter_sine(f)
    for i in range(count):
        f = share[i] if share[i] > lowest else lowest
        f = half * (f if f < highest else highest)
        product = d[i] * quarter_sine(quarter - f)
        b[i] = two * product / (one + k * product)
    for i in range(count):
        d[i] = two * d[i] * d[i] * (one - half * k * b[i])
    if count < share.size:
        b[:], d[:] = b[0], d[0]


@numba.njit(cache=True, error_model="numpy")
def _is_constant(x: np.ndarray) -> bool:
    changes = 0
    for i in range(x.size):
        changes += x[i] != x[0]
    return changes == 0


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def prepare(
    x: np.ndarray, pitch: np.ndarray, modulation: np.ndarray, c: np.ndarray, center: float, n: int,
    coefficients: np.ndarray, work: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Cutoffs and coefficients of some samples, and what :func:`recur` needs of them."""
    share, b, d = coefficients[0, : x.size], coefficients[1, : x.size], coefficients[2, : x.size]
    _find_shares(pitch, modulation, c, center, n, share)
    _find_steps(share, c[_DAMPING], b, d)
    fill(x, b, d, c[_DAMPING], work)
    return share, b, d


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def add_outputs(x: np.ndarray, c: np.ndarray, s1: np.ndarray, s2: np.ndarray, out: np.ndarray) -> None:
    """What leaves, from the states before each sample and after the last one."""
    direct, band, low = c[_DIRECT], 0.5 * c[_BAND], 0.5 * c[_LOW]
    for i in range(x.size):
        out[i] = direct * x[i] + band * (s1[i] + s1[i + 1]) + low * (s2[i] + s2[i + 1])


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def _play(
    x: np.ndarray, pitch: np.ndarray, modulation: np.ndarray, c: np.ndarray, center: float, samples: int,
    state: np.ndarray, kept: np.ndarray, out: np.ndarray,
) -> None:  # fmt: skip
    """So many samples of a few nodes; ``kept`` are the states where each part begins, [nodes, channels, parts, 2]."""
    nodes, channels, _ = x.shape
    coefficients, work = np.empty((3, CHUNK), x.dtype), np.empty(LANES * ROOM)
    for channel in range(channels):
        for n in range(0, samples, CHUNK):
            count = min(CHUNK, samples - n)
            for k in range(nodes):
                own = work[k * ROOM : (k + 1) * ROOM]
                prepare(x[k, channel, n : n + count], pitch[k], modulation[k], c[k], center, n, coefficients, own)
                if kept.size > 0:
                    kept[k, channel, n // CHUNK] = state[k, channel]
                set_states(own, state[k, channel])
            recur(work, nodes, count)
            for k in range(nodes):
                s1, s2 = states_of(work[k * ROOM : (k + 1) * ROOM], count)
                state[k, channel, 0], state[k, channel, 1] = s1[count], s2[count]
                add_outputs(x[k, channel, n : n + count], c[k], s1, s2, out[k, channel, n : n + count])


@numba.njit(cache=True, error_model="numpy", fastmath=SUMS)
def _samples_back(
    x: np.ndarray, grad: np.ndarray, share: np.ndarray, b: np.ndarray, d: np.ndarray, damping: float, s1: np.ndarray,
    s2: np.ndarray, by_one: np.ndarray, by_two: np.ndarray, to: np.ndarray, by_octave: np.ndarray,
) -> float:  # fmt: skip
    """Gradients of the octaves by which the cutoff is moved, their sum, and those of damping and amounts.

    All in one loop over arrays that do not overlap: each of them is read once.
    """
    moved, damped, direct, band, low = 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(x.size):
        own, slow, one, two = float(pick(b, i)), float(pick(d, i)), pick(s1, i), pick(s2, i)
        first, second, signal, given = pick(by_one, i), pick(by_two, i), float(pick(x, i)), float(pick(grad, i))
        r = 1.0 - 0.5 * damping * own
        by_b = first * (signal - two - damping * one) + second * one
        by_d = second * (signal - two) - first * one
        by_angle = 2.0 * by_b * (r - slow) * r + by_d * (2.0 * own - damping * slow * (r - slow))
        cutoff = float(pick(share, i))
        by = by_angle * (math.pi * _LN_2) * cutoff if (cutoff >= LOWEST) & (cutoff <= HIGHEST) else 0.0
        put(by_octave, i, by)
        moved += by
        damped += own * (first * one + 0.5 * (by_b * own + by_d * slow))
        direct += given * signal
        band += given * (one + pick(s1, i + 1))
        low += given * (two + pick(s2, i + 1))
    to[_DAMPING] -= damped
    to[_DIRECT] += direct
    to[_BAND] += 0.5 * band
    to[_LOW] += 0.5 * low
    return moved


@numba.njit(cache=True, error_model="numpy", fastmath=SUMS)
def _octaves_back(
    by_octave: np.ndarray, total: float, pitch: np.ndarray, modulation: np.ndarray, c: np.ndarray, center: float,
    n: int, to: np.ndarray,
) -> None:  # fmt: skip
    """Gradients of the settings that move the cutoff."""
    tracking, octaves = 0.0, 0.0
    if pitch.size > 1:
        for i in range(by_octave.size):
            tracking += by_octave[i] * pitch[n + i]
    else:
        tracking = total * pitch[0]
    if modulation.size > 1:
        for i in range(by_octave.size):
            octaves += by_octave[i] * modulation[n + i]
    else:
        octaves = total * modulation[0]
    to[_CUTOFF] += total / (_LN_2 * c[_CUTOFF])
    to[_TRACKING] += (tracking - total * center) / 12
    to[_OCTAVES] += octaves


@numba.njit(cache=True, error_model="numpy", fastmath=SUMS)
def _give(by: np.ndarray, scale: float, n: int, begun: bool, to: np.ndarray) -> None:
    """Write gradients of some samples to those of a signal that may be not wanted (empty); add them where it has
    ``begun``, or is one number for all."""
    if to.size == 1:
        total = 0.0
        for i in range(by.size):
            total += by[i]
        to[0] += scale * total
    elif to.size > 1 and begun:
        for i in range(by.size):
            to[n + i] += scale * by[i]
    elif to.size > 1:
        for i in range(by.size):
            to[n + i] = scale * by[i]


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def _chunk_back(
    x: np.ndarray, grad: np.ndarray, pitch: np.ndarray, modulation: np.ndarray, c: np.ndarray, center: float, n: int,
    coefficients: np.ndarray, work: np.ndarray, by_octave: np.ndarray, begun: bool, to_x: np.ndarray,
    to_pitch: np.ndarray, to_modulation: np.ndarray, to: np.ndarray,
) -> None:  # fmt: skip
    """What the gradients of the states, which are in ``work``, mean for all else."""
    share, b, d = coefficients[0, : x.size], coefficients[1, : x.size], coefficients[2, : x.size]
    s1, s2 = states_of(work, x.size)
    by_one, by_two = gradients_of(work, x.size)
    total = _samples_back(x, grad, share, b, d, c[_DAMPING], s1, s2, by_one, by_two, to, by_octave)
    if to_x.size > 0:
        for i in range(x.size):
            to_x[i] = c[_DIRECT] * grad[i] + by_one[i] * b[i] + by_two[i] * d[i]
    _octaves_back(by_octave, total, pitch, modulation, c, center, n, to)
    _give(by_octave, c[_TRACKING] / 12, n, begun, to_pitch)
    _give(by_octave, c[_OCTAVES], n, begun, to_modulation)


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def _play_back(
    x: np.ndarray, grad: np.ndarray, pitch: np.ndarray, modulation: np.ndarray, c: np.ndarray, center: float,
    kept: np.ndarray, to_x: np.ndarray, to_pitch: np.ndarray, to_modulation: np.ndarray, to: np.ndarray,
) -> None:  # fmt: skip
    """Gradients of a few nodes; those of signals are not wanted where their arrays are empty."""
    nodes, channels, _ = x.shape
    coefficients, work = np.empty((LANES, 3, CHUNK), x.dtype), np.empty(LANES * ROOM)
    by_octaves, later = np.empty(CHUNK), np.zeros((LANES, 2))
    for channel in range(channels):
        later[:] = 0
        end = 0
        for k in range(nodes):
            end = max(end, end_of_sound(grad[k, channel]))
        for k in range(nodes):
            to_x[k, channel, end:] = 0
            if channel == 0 and to_pitch.shape[1] > 1:
                to_pitch[k, end:] = 0
            if channel == 0 and to_modulation.shape[1] > 1:
                to_modulation[k, end:] = 0
        for part in range(-(-end // CHUNK) - 1, -1, -1):
            n = part * CHUNK
            count = min(CHUNK, end - n)
            for k in range(nodes):
                own = work[k * ROOM : (k + 1) * ROOM]
                signal = x[k, channel, n : n + count]
                prepare(signal, pitch[k], modulation[k], c[k], center, n, coefficients[k], own)
                set_states(own, kept[k, channel, part])
            recur(work, nodes, count)
            for k in range(nodes):
                given = grad[k, channel, n : n + count]
                fill_back(given, c[k, _BAND], c[k, _LOW], work[k * ROOM : (k + 1) * ROOM])
            recur_back(work, nodes, count, later)
            for k in range(nodes):
                by_octave, result = by_octaves[:count], to_x[k, channel, : min(count, to_x.shape[2])]
                if result.size > 0:
                    result = to_x[k, channel, n : n + count]
                _chunk_back(
                    x[k, channel, n : n + count], grad[k, channel, n : n + count], pitch[k], modulation[k], c[k],
                    center, n, coefficients[k], work[k * ROOM : (k + 1) * ROOM], by_octave, channel > 0, result,
                    to_pitch[k], to_modulation[k], to[k],
                )  # fmt: skip


@numba.njit(cache=True, error_model="numpy")
def _leave_silent(out: np.ndarray, begin: int) -> None:
    for k in range(out.shape[0]):
        for channel in range(out.shape[1]):
            leave_silent(out[k, channel], begin)


@numba.njit(parallel=True, cache=True, error_model="numpy")
def _forward(
    x: np.ndarray, pitch: np.ndarray, modulation: np.ndarray, c: np.ndarray, center: float, needed: np.ndarray,
    state: np.ndarray, kept: np.ndarray, out: np.ndarray, each: int,
) -> None:  # fmt: skip
    for job in numba.prange(-(-x.shape[0] // each)):
        own = slice(job * each, (job + 1) * each)
        samples = needed[own].max()
        _play(x[own], pitch[own], modulation[own], c[own], center, samples, state[own], kept[own], out[own])
        _leave_silent(out[own], samples)


@numba.njit(parallel=True, cache=True, error_model="numpy")
def _backward(
    x: np.ndarray, grad: np.ndarray, pitch: np.ndarray, modulation: np.ndarray, c: np.ndarray, center: float,
    kept: np.ndarray, to_x: np.ndarray, to_pitch: np.ndarray, to_modulation: np.ndarray, to: np.ndarray, each: int,
) -> None:  # fmt: skip
    for job in numba.prange(-(-x.shape[0] // each)):
        own = slice(job * each, (job + 1) * each)
        _play_back(
            x[own], grad[own], pitch[own], modulation[own], c[own], center, kept[own], to_x[own], to_pitch[own],
            to_modulation[own], to[own],
        )  # fmt: skip


def _nodes_together(nodes: int) -> int:
    """How many nodes one thread computes side by side."""
    return max(1, min(LANES, -(-nodes // numba.get_num_threads())))


class _MovingFilter(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, center: float, state: Tensor, needed: NDArray[np.int64], *inputs: Tensor) -> Tensor:
        x, pitch, modulation, settings = saved = tuple(t.detach().contiguous() for t in inputs)
        parts = -(-x.size(2) // CHUNK) if any(ctx.needs_input_grad) else 0
        kept = torch.empty(*x.shape[:2], parts, 2, dtype=torch.float64)
        out = torch.empty_like(x)
        needed = np.full_like(needed, x.size(2)) if parts else needed
        arrays = (x, pitch, modulation, settings), (state, kept, out)
        ours, others = ([t.numpy() for t in own] for own in arrays)
        _forward(*ours, center, needed, *others, _nodes_together(len(x)))
        ctx.save_for_backward(*saved, kept)
        ctx.center = center
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, pitch, modulation, settings, kept = ctx.saved_tensors
        wanted = ctx.needs_input_grad[3:6]
        results = room_for((x, pitch, modulation), wanted)
        to = torch.zeros_like(settings)
        arrays = (x, grad.contiguous(), pitch, modulation, settings), (kept, *results, to)
        _backward(*(t.numpy() for t in arrays[0]), ctx.center, *(t.numpy() for t in arrays[1]), _nodes_together(len(x)))
        return None, None, None, *only_wanted(results, wanted), to


def moving_filter(
    x: Tensor, pitch: Tensor, modulation: Tensor, settings: Tensor, center: float, state: Tensor | None = None,
    needed: NDArray[np.int64] | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Filter.

    Args:
        x: [nodes, channels, samples].
        pitch: in semitones, [nodes, samples] or [nodes, 1].
        modulation: as the pitch.
        settings: float64 [nodes, :data:`SETTINGS`].
        center: the pitch at which tracking leaves the cutoff alone.
        state: what is returned for the samples before, where these are not the first ones.
        needed: how many samples of each node are, [nodes]; the others may be any, and so may the state. With
            gradients all are.

    Returns:
        As ``x``, with gradients of all but the center; and the state behind it, float64 [nodes, channels, 2].
    """
    state = torch.zeros(*x.shape[:2], 2, dtype=torch.float64) if state is None else state.clone()
    needed = np.full(len(x), x.size(2)) if needed is None else needed
    out = _MovingFilter.apply(float(center), state, needed, *(t.cpu() for t in (x, pitch, modulation, settings)))
    assert isinstance(out, Tensor)
    return out.to(x.device), state
