r"""Envelopes of straight or exponential segments that follow a gate, exact between samples and differentiable.

While the gate is open an envelope goes through its segments one after the other and stays at the target of the last
but one; when the gate closes it goes from where it is to the last target. A segment from level *a* towards *b* with
time *T* and curvature *c* is

.. math:: e(t) = a + (b - a) \, \frac{1 - e^{-c t / T}}{1 - e^{-c}}, \quad 0 \leq t \leq T

straight for *c* near 0; a capacitor that is charged to 95 % in the given time has *c* = 3. ADSR is the case of three
segments before the sustain: to 1, to the sustain level, and back to 0 after the gate.

Conventions: times are in samples and may be fractions of one; gates are [rows, samples], open where above 0, and the
height at the moment of opening scales the envelope (velocity). An envelope that opens again begins at its first level.
Gradients flow to levels and times, and to the gate's height.
"""

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_STRAIGHT = 1e-4
"""Curvature below which a segment counts as straight."""


@numba.njit(cache=True, error_model="numpy", inline="always")
def _shape(place: float, curve: float) -> float:
    if curve < _STRAIGHT:
        return place
    return (1.0 - np.exp(-curve * place)) / (1.0 - np.exp(-curve))


@numba.njit(cache=True, error_model="numpy", inline="always")
def _slope(place: float, curve: float) -> float:
    if curve < _STRAIGHT:
        return 1.0
    return curve * np.exp(-curve * place) / (1.0 - np.exp(-curve))


@numba.njit(cache=True, error_model="numpy")
def _at(levels: np.ndarray, times: np.ndarray, curve: float, t: float) -> tuple[int, float, float]:
    """Segment of an open envelope at time t, place within it from 0 to 1, and level; the last one waits."""
    last = times.size - 1
    for i in range(last):
        if t < times[i]:
            place = t / times[i]
            return i, place, levels[i] + (levels[i + 1] - levels[i]) * _shape(place, curve)
        t -= times[i]
    return last, 0.0, levels[last]


@numba.njit(parallel=True, cache=True, error_model="numpy")
def _forward(gate: np.ndarray, levels: np.ndarray, times: np.ndarray, curve: float, out: np.ndarray) -> None:
    """``levels`` [rows, segments + 1], ``times`` [rows, segments]; the last segment is the release."""
    for row in numba.prange(gate.shape[0]):
        last = times.shape[1] - 1
        opened, closed, height, start = -1, -1, 0.0, 0.0
        for n in range(gate.shape[1]):
            is_open = gate[row, n] > 0
            if is_open and (n == 0 or not gate[row, n - 1] > 0):
                opened, closed, height = n, -1, float(gate[row, n])
            if opened < 0:
                out[row, n] = 0.0
                continue
            if not is_open and closed < 0:
                closed = n
                _, _, start = _at(levels[row], times[row], curve, float(closed - opened))
            if closed < 0:
                _, _, level = _at(levels[row], times[row], curve, float(n - opened))
            else:
                place = (n - closed) / times[row, last]
                end = levels[row, last + 1]
                level = end if place >= 1.0 else start + (end - start) * _shape(place, curve)
            out[row, n] = height * level


@numba.njit(cache=True, error_model="numpy")
def _back(
    levels: np.ndarray,
    times: np.ndarray,
    curve: float,
    t: float,
    grad: float,
    to_levels: np.ndarray,
    to_times: np.ndarray,
) -> None:
    """Add the gradient of the level of an open envelope at time t."""
    i, place, _ = _at(levels, times, curve, t)
    if i == times.size - 1:
        to_levels[i] += grad
        return
    share = _shape(place, curve)
    to_levels[i] += grad * (1.0 - share)
    to_levels[i + 1] += grad * share
    by_place = grad * (levels[i + 1] - levels[i]) * _slope(place, curve)
    to_times[i] -= by_place * place / times[i]
    for j in range(i):  # the segment began when those before it had ended
        to_times[j] -= by_place / times[i]


@numba.njit(parallel=True, cache=True, error_model="numpy")
def _backward(
    gate: np.ndarray,
    levels: np.ndarray,
    times: np.ndarray,
    curve: float,
    grad: np.ndarray,
    to_gate: np.ndarray,
    to_levels: np.ndarray,
    to_times: np.ndarray,
) -> None:
    for row in numba.prange(gate.shape[0]):
        last = times.shape[1] - 1
        opened, closed, height, start, to_start = -1, -1, 0.0, 0.0, 0.0
        for n in range(gate.shape[1] + 1):
            ended = n == gate.shape[1]
            is_open = not ended and gate[row, n] > 0
            opens = is_open and (n == 0 or not gate[row, n - 1] > 0)
            if (opens or ended) and closed >= 0:  # what the release owes to the level it came from
                _back(levels[row], times[row], curve, float(closed - opened), to_start, to_levels[row], to_times[row])
            if ended:
                break
            if opens:
                opened, closed, height, to_start = n, -1, float(gate[row, n]), 0.0
            if opened < 0:
                continue
            if not is_open and closed < 0:
                closed = n
                _, _, start = _at(levels[row], times[row], curve, float(closed - opened))
            given = float(grad[row, n])
            if closed < 0:
                _, _, level = _at(levels[row], times[row], curve, float(n - opened))
                _back(levels[row], times[row], curve, float(n - opened), given * height, to_levels[row], to_times[row])
            else:
                place = (n - closed) / times[row, last]
                end = levels[row, last + 1]
                if place >= 1.0:
                    level = end
                    to_levels[row, last + 1] += given * height
                else:
                    share = _shape(place, curve)
                    level = start + (end - start) * share
                    to_levels[row, last + 1] += given * height * share
                    to_start += given * height * (1.0 - share)
                    by_place = given * height * (end - start) * _slope(place, curve)
                    to_times[row, last] -= by_place * place / times[row, last]
            to_gate[row, opened] += given * level


class _Envelope(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate: Tensor, levels: Tensor, times: Tensor, curve: float) -> Tensor:
        gate, levels, times = gate.detach().contiguous(), levels.detach().double(), times.detach().double()
        out = torch.empty_like(gate)
        _forward(gate.numpy(), levels.contiguous().numpy(), times.contiguous().numpy(), curve, out.numpy())
        ctx.save_for_backward(gate, levels.contiguous(), times.contiguous())
        ctx.curve = curve
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        gate, levels, times = ctx.saved_tensors
        results = tuple(torch.zeros_like(t) for t in (gate, levels, times))
        arrays = (gate, levels, times), (grad.contiguous(), *results)
        _backward(*(t.numpy() for t in arrays[0]), ctx.curve, *(t.numpy() for t in arrays[1]))
        return *results, None


def envelope(gate: Tensor, levels: Tensor, times: Tensor, curve: float = 3.0) -> Tensor:
    """Envelopes of gates.

    Args:
        gate: [rows, samples].
        levels: before, between and after the segments, [rows, segments + 1].
        times: of the segments in samples, positive, [rows, segments]; the last one is the release.
        curve: 0 for straight segments.

    Returns:
        [rows, samples], with gradients of all three.
    """
    out = _Envelope.apply(gate.cpu(), levels.cpu().double(), times.cpu().double(), curve)
    assert isinstance(out, Tensor)
    return out.to(gate.device)
