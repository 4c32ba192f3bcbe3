r"""Envelopes of straight or exponential segments that follow a gate, exact between samples and differentiable.

While the gate is open an envelope goes through its segments one after the other and stays at the target of the last
but one; when the gate closes it goes from where it is to the last target. A segment from level *a* towards *b* with
time *T* and curvature *c* is

.. math:: e(t) = a + (b - a) \, \frac{1 - e^{-c t / T}}{1 - e^{-c}}, \quad 0 \leq t \leq T

straight for *c* near 0; a capacitor that is charged to 95 % in the given time has *c* = 3. ADSR is the case of three
segments before the sustain: to 1, to the sustain level, and back to 0 after the gate.

Conventions: times are in samples and may be fractions of one; gates are [rows, samples] or [rows, 1], open where above
0, and the height at the moment of opening scales the envelope (velocity). An envelope that opens again begins at its
first level. Gradients flow to levels and times, and to the gate's height.

Compiled loops go from one change of the gate to the next, and from segment to segment between them.
"""

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from graphmix.dsp.elementary import SUMS, exp2
from graphmix.dsp.rows import summed

_STRAIGHT = 1e-4
"""Curvature below which a segment counts as straight."""
_PER_OCTAVE = 1 / np.log(2)
_BLOCK = 64
"""Samples of an exponential that are multiples of those of the block before."""
STATE = 5
"""Numbers that an envelope remembers: 0 before the first note, 1 while the gate is open, 2 after it; samples since it
opened and since it closed; the height; the level at which it closed."""


@numba.njit(cache=True, error_model="numpy", inline="always")
def _norm(curve: float) -> float:
    return 1.0 / (1.0 - np.exp(-curve))


@numba.njit(cache=True, error_model="numpy")
def _at(levels: np.ndarray, times: np.ndarray, curve: float, t: float) -> float:
    """Level of an open envelope at time t; the last segment waits."""
    last = times.size - 1
    for i in range(last):
        if t < times[i]:
            place = t / times[i]
            share = place if curve < _STRAIGHT else (1.0 - np.exp(-curve * place)) * _norm(curve)
            return levels[i] + (levels[i + 1] - levels[i]) * share
        t -= times[i]
    return levels[last]


@numba.njit(cache=True, error_model="numpy")
def _falls(scale: float, count: int) -> np.ndarray:
    """How far an exponential with so many octaves a sample has fallen after 0, 1, … samples of a block."""
    falls = np.empty(count if count < _BLOCK else _BLOCK)
    for i in range(falls.size):
        falls[i] = exp2(-scale * i)
    return falls


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def _ramp(t: float, time: float, a: float, b: float, curve: float, out: np.ndarray) -> None:
    """A segment from level a to b, from t on."""
    if curve < _STRAIGHT:
        for i in range(out.size):
            out[i] = a + (b - a) * ((t + i) / time)
        return
    scale, change = curve / time * _PER_OCTAVE, (b - a) * _norm(curve)
    falls = _falls(scale, out.size)
    for n in range(0, out.size, _BLOCK):
        begin, part = change * exp2(-scale * (t + n)), out[n : n + _BLOCK]
        for i in range(part.size):
            part[i] = (a + change) - begin * falls[i]


@numba.njit(cache=True, error_model="numpy", inline="always")
def _samples_until(end: float, most: int) -> int:
    """How many samples from 0 on lie before a moment."""
    return int(min(max(np.ceil(end), 0.0), float(most)))


@numba.njit(cache=True, error_model="numpy")
def _end_of(gate: np.ndarray, n: int, is_open: bool) -> int:
    """The first sample from n on at which a gate is no longer open, or no longer closed."""
    while n + _BLOCK <= gate.size:
        changes, part = False, gate[n : n + _BLOCK]
        for i in range(_BLOCK):
            changes |= (part[i] > 0) != is_open
        if changes:
            break
        n += _BLOCK
    while n < gate.size and (gate[n] > 0) == is_open:
        n += 1
    return n


@numba.njit(cache=True, error_model="numpy")
def _open(t: int, levels: np.ndarray, times: np.ndarray, curve: float, gain: float, out: np.ndarray) -> None:
    """An open envelope times a gain, from t on."""
    last, n, begin = times.size - 1, 0, float(t)
    for i in range(last):
        stop = max(n, _samples_until(times[i] - begin + n, out.size))
        _ramp(begin, times[i], gain * levels[i], gain * levels[i + 1], curve, out[n:stop])
        begin += stop - n - times[i]
        n = stop
    out[n:] = gain * levels[last]


@numba.njit(cache=True, error_model="numpy")
def follow(
    gate: np.ndarray, levels: np.ndarray, times: np.ndarray, curve: float, velocity: float, scale: float,
    dry: np.ndarray, state: np.ndarray, out: np.ndarray,
) -> None:  # fmt: skip
    """One row, from the state on, which is moved on."""
    last = times.size - 1
    status, opened, closed, height, start = int(state[0]), -int(state[1]), -int(state[2]), state[3], state[4]
    n = 0
    while n < out.size:
        is_open, stop = gate[0 if gate.size == 1 else n] > 0, out.size
        if gate.size > 1:
            stop = _end_of(gate, n, is_open)
        if is_open:
            if status != 1:
                opened, status = n, 1
                height = float(gate[0 if gate.size == 1 else n]) * velocity + (1.0 - velocity)
            _open(n - opened, levels, times, curve, height * scale, out[n:stop])
        elif status == 0:
            out[n:stop] = 0.0
        else:
            if status == 1:
                closed, status, start = n, 2, _at(levels, times, curve, float(n - opened))
            ended = n + _samples_until(times[last] - (n - closed), stop - n)
            gain, end = height * scale, height * scale * levels[last + 1]
            _ramp(float(n - closed), times[last], gain * start, end, curve, out[n:ended])
            out[ended:stop] = end
        n = stop
    if dry.size > 1:
        for i in range(out.size):
            out[i] += dry[i]
    elif dry[0] != 0:
        for i in range(out.size):
            out[i] += dry[0]
    state[0], state[1], state[2], state[3], state[4] = status, out.size - opened, out.size - closed, height, start


@numba.njit(cache=True, error_model="numpy", fastmath=SUMS)
def _ramp_sums(t: float, time: float, curve: float, grad: np.ndarray) -> tuple[float, float, float, float]:
    """Sums of gradients, and of their products with share, slope and slope times place."""
    all_, shares, slopes, places = 0.0, 0.0, 0.0, 0.0
    if curve < _STRAIGHT:
        for i in range(grad.size):
            place = (t + i) / time
            all_ += grad[i]
            shares += grad[i] * place
        return all_, shares, all_, shares
    scale, norm = curve / time * _PER_OCTAVE, _norm(curve)
    falls = _falls(scale, grad.size)
    for n in range(0, grad.size, _BLOCK):
        own, fallen, moment, part = 0.0, 0.0, 0.0, grad[n : n + _BLOCK]
        for i in range(part.size):
            own += part[i]
            fallen += falls[i] * part[i]
            moment += falls[i] * part[i] * i
        begin = exp2(-scale * (t + n))
        all_ += own
        slopes += begin * fallen
        places += begin * (moment + (t + n) * fallen)
    return all_, (all_ - slopes) * norm, slopes * curve * norm, places * curve * norm / time


@numba.njit(cache=True, error_model="numpy", fastmath=SUMS)
def _sum(grad: np.ndarray) -> float:
    total = 0.0
    for i in range(grad.size):
        total += grad[i]
    return total


@numba.njit(cache=True, error_model="numpy")
def _open_back(
    t: int, levels: np.ndarray, times: np.ndarray, curve: float, height: float, grad: np.ndarray,
    to_levels: np.ndarray, to_times: np.ndarray,
) -> float:  # fmt: skip
    """Add the gradients of an open envelope from t on; what that of the height is."""
    last, n, begin, total = times.size - 1, 0, float(t), 0.0
    for i in range(last):
        stop = max(n, _samples_until(times[i] - begin + n, grad.size))
        if stop > n:
            all_, shares, slopes, places = _ramp_sums(begin, times[i], curve, grad[n:stop])
            change = levels[i + 1] - levels[i]
            total += levels[i] * all_ + change * shares
            to_levels[i] += height * (all_ - shares)
            to_levels[i + 1] += height * shares
            to_times[i] -= height * change * places / times[i]
            for j in range(i):  # the segment began when those before it had ended
                to_times[j] -= height * change * slopes / times[i]
        begin += stop - n - times[i]
        n = stop
    rest = _sum(grad[n:])
    to_levels[last] += height * rest
    return total + levels[last] * rest


@numba.njit(cache=True, error_model="numpy")
def _row_back(
    gate: np.ndarray, levels: np.ndarray, times: np.ndarray, curve: float, velocity: float, scale: float,
    state: np.ndarray, grad: np.ndarray, to_gate: np.ndarray, to_levels: np.ndarray, to_times: np.ndarray,
    to: np.ndarray,
) -> None:  # fmt: skip
    """Gradients; ``to`` are those of velocity and scale. The gate's are not wanted where their array is empty."""
    last = times.size - 1
    status, opened, closed, height, start = int(state[0]), -int(state[1]), -int(state[2]), state[3], state[4]
    one, n, top = np.ones(1), 0, 0.0
    while n < grad.size:
        is_open, stop = gate[0 if gate.size == 1 else n] > 0, grad.size
        if gate.size > 1:
            stop = _end_of(gate, n, is_open)
        given, total = grad[n:stop], 0.0
        if is_open:
            if status != 1:
                opened, status, top = n, 1, float(gate[0 if gate.size == 1 else n])
                height = top * velocity + (1.0 - velocity)
            total = _open_back(n - opened, levels, times, curve, height * scale, given, to_levels, to_times)
        elif status != 0:
            if status == 1:
                closed, status, start = n, 2, _at(levels, times, curve, float(n - opened))
            stopped, end = _samples_until(times[last] - (n - closed), stop - n), levels[last + 1]
            all_, shares, _, places = _ramp_sums(float(n - closed), times[last], curve, given[:stopped])
            rest = _sum(given[stopped:])
            total = start * all_ + (end - start) * shares + end * rest
            to_levels[last + 1] += height * scale * (shares + rest)
            to_times[last] -= height * scale * (end - start) * places / times[last]
            one[0] = height * scale * (all_ - shares)  # what the release owes to the level it came from
            if closed >= 0:
                _open_back(closed - opened, levels, times, curve, 1.0, one, to_levels, to_times)
        to[1] += height * total
        if status != 0 and opened >= 0:
            to[0] += scale * total * (top - 1.0)
            if to_gate.size > 0:
                to_gate[0 if gate.size == 1 else opened] += scale * total * velocity
        n = stop


@numba.njit(parallel=True, cache=True, error_model="numpy")
def _forward(
    gate: np.ndarray, levels: np.ndarray, times: np.ndarray, curve: float, amounts: np.ndarray, dry: np.ndarray,
    state: np.ndarray, out: np.ndarray,
) -> None:  # fmt: skip
    """``levels`` [rows, segments + 1], ``times`` [rows, segments]; the last segment is the release."""
    for row in numba.prange(out.shape[0]):
        velocity, scale = amounts[row, 0], amounts[row, 1]
        follow(gate[row], levels[row], times[row], curve, velocity, scale, dry[row], state[row], out[row])


@numba.njit(parallel=True, cache=True, error_model="numpy")
def _backward(
    gate: np.ndarray, levels: np.ndarray, times: np.ndarray, curve: float, amounts: np.ndarray, state: np.ndarray,
    grad: np.ndarray, to_gate: np.ndarray, to_levels: np.ndarray, to_times: np.ndarray, to: np.ndarray,
) -> None:  # fmt: skip
    for row in numba.prange(grad.shape[0]):
        velocity, scale = amounts[row, 0], amounts[row, 1]
        _row_back(
            gate[row], levels[row], times[row], curve, velocity, scale, state[row], grad[row], to_gate[row],
            to_levels[row], to_times[row], to[row],
        )  # fmt: skip


class _Envelope(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, curve: float, samples: int, state: Tensor, *inputs: Tensor) -> Tensor:
        gate, levels, times, amounts, dry = (t.detach().contiguous() for t in inputs)
        out = torch.empty(len(gate), samples, dtype=gate.dtype)
        ctx.begun, ctx.curve, ctx.dry = state.clone(), curve, dry.size(1)
        arrays = (gate, levels, times), (amounts, dry, state, out)
        _forward(*(t.numpy() for t in arrays[0]), curve, *(t.numpy() for t in arrays[1]))
        ctx.save_for_backward(gate, levels, times, amounts)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        gate, levels, times, amounts = ctx.saved_tensors
        _, _, _, wants_gate, *_, wants_dry = ctx.needs_input_grad
        to_gate = torch.zeros_like(gate) if wants_gate else gate[:, :0]
        results = to_gate, *(torch.zeros_like(t) for t in (levels, times, amounts))
        arrays = (gate, levels, times), (amounts, ctx.begun, grad.contiguous(), *results)
        _backward(*(t.numpy() for t in arrays[0]), ctx.curve, *(t.numpy() for t in arrays[1]))
        to_dry = summed(grad, ctx.dry) if wants_dry else None
        return None, None, None, to_gate if wants_gate else None, *results[1:], to_dry


def added_envelope(
    gate: Tensor, levels: Tensor, times: Tensor, curve: float, amounts: Tensor, dry: Tensor, samples: int,
    state: Tensor | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Envelopes of gates, scaled and added to signals.

    Args:
        gate: [rows, samples] or [rows, 1].
        levels: before, between and after the segments, [rows, segments + 1].
        times: of the segments in samples, positive, [rows, segments]; the last one is the release.
        curve: 0 for straight segments.
        amounts: by how much the gate's height counts, from 0 to 1, and the scale, [rows, 2].
        dry: as the gate.
        samples: how many.
        state: what is returned for the samples before, where these are not the first ones.

    Returns:
        [rows, samples], with gradients of all but the curve; and the state behind it, float64 [rows, STATE].
    """
    state = torch.zeros(len(gate), STATE, dtype=torch.float64) if state is None else state.clone()
    numbers = (t.cpu().double() for t in (levels, times, amounts))
    out = _Envelope.apply(curve, samples, state, gate.cpu(), *numbers, dry.cpu())
    assert isinstance(out, Tensor)
    return out.to(gate.device), state


def envelope(gate: Tensor, levels: Tensor, times: Tensor, curve: float = 3.0) -> Tensor:
    """Envelopes of gates, [rows, samples]; arguments as of :func:`added_envelope`."""
    dry = torch.zeros(len(gate), 1, dtype=gate.dtype, device=gate.device)
    return added_envelope(gate, levels, times, curve, torch.ones(len(gate), 2), dry, gate.size(1))[0]
