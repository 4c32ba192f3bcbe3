r"""Second-order sections in a row: the exact recursion, and the frequency response, both with gradients.

.. math:: y[n] = b_0 x[n] + b_1 x[n - 1] + b_2 x[n - 2] - a_1 y[n - 1] - a_2 y[n - 2]

for each section on the output of the one before. With :math:`\lambda` the gradient of *y* filtered backwards in time by
:math:`1 / A`, the gradients are :math:`\sum_n \lambda[n] x[n - i]` of :math:`b_i`, :math:`-\sum_n \lambda[n] y[n - i]`
of :math:`a_i` and :math:`\sum_i b_i \lambda[n + i]` of the input. Forward and backward are compiled loops in float64
(near the unit circle float32 knows a coefficient too coarsely), a chunk of samples and both channels at a time. For the
backward pass the last samples before each chunk are kept, from which it computes the chunk again.

Conventions: a section is the five numbers b0, b1, b2, a1, a2 with a0 = 1, :data:`NUMBERS` in float64; signals are
[nodes, 2, samples] and start at rest. The state behind a signal is the last two samples of the input of each section
and of the last output, [nodes, 2, sections + 1, 2].
"""

import math
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

NUMBERS = 5
"""Numbers of a section."""
IDENTITY = (1.0, 0.0, 0.0, 0.0, 0.0)
_CHUNK = 512
"""Samples that are computed at a time: what a section touches stays in the nearest cache."""
_FORGOTTEN = 1e-200
"""A sample below it is zero at the next chunk: subnormal numbers, into which it would fade, are slow."""
_CHANNELS = 2


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def _zeros(x: np.ndarray, c: np.ndarray, out: np.ndarray) -> None:
    """The part without feedback; ``x`` has two samples more, in front."""
    b0, b1, b2 = c[0], c[1], c[2]
    for n in range(out.size):
        out[n] = b0 * x[n + 2] + b1 * x[n + 1] + b2 * x[n]


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def _poles(left: np.ndarray, right: np.ndarray, c: np.ndarray, count: int) -> None:
    """Feedback, in place, of both channels side by side; their first two samples are those before."""
    a1, a2 = -c[3], -c[4]
    p1, p2, q1, q2 = left[1], left[0], right[1], right[0]
    for n in range(2, count + 2):
        p = a1 * p1 + (a2 * p2 + left[n])
        q = a1 * q1 + (a2 * q2 + right[n])
        left[n], right[n] = p, q
        p2, p1, q2, q1 = p1, p, q1, q


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def _poles_back(left: np.ndarray, right: np.ndarray, c: np.ndarray, count: int) -> None:
    """The same from the end to the beginning; the two samples after the last are those behind."""
    a1, a2 = -c[3], -c[4]
    p1, p2, q1, q2 = left[count], left[count + 1], right[count], right[count + 1]
    for n in range(count - 1, -1, -1):
        p = a1 * p1 + (a2 * p2 + left[n])
        q = a1 * q1 + (a2 * q2 + right[n])
        left[n], right[n] = p, q
        p2, p1, q2, q1 = p1, p, q1, q


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def _zeros_back(adjoint: np.ndarray, c: np.ndarray, out: np.ndarray) -> None:
    """Gradient of a section's input."""
    b0, b1, b2 = c[0], c[1], c[2]
    for n in range(out.size):
        out[n] = b0 * adjoint[n] + b1 * adjoint[n + 1] + b2 * adjoint[n + 2]


@numba.njit(cache=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz"})
def _add_products(adjoint: np.ndarray, x: np.ndarray, y: np.ndarray, count: int, to: np.ndarray) -> None:
    """Add to the gradients of a section's numbers."""
    of_b0, of_b1, of_b2, of_a1, of_a2 = 0.0, 0.0, 0.0, 0.0, 0.0
    for n in range(count):
        of_b0 += adjoint[n] * x[n + 2]
        of_b1 += adjoint[n] * x[n + 1]
        of_b2 += adjoint[n] * x[n]
        of_a1 += adjoint[n] * y[n + 1]
        of_a2 += adjoint[n] * y[n]
    to[0] += of_b0
    to[1] += of_b1
    to[2] += of_b2
    to[3] -= of_a1
    to[4] -= of_a2


@numba.njit(cache=True, error_model="numpy")
def _run(x: np.ndarray, c: np.ndarray, state: np.ndarray, count: int, work: np.ndarray) -> None:
    """One chunk of a node through all sections: ``work`` [2, sections + 1, 2 + chunk] holds all that lies between."""
    sections = c.shape[0]
    for channel in range(_CHANNELS):
        for k in range(sections + 1):
            for i in range(2):
                before = state[channel, k, i]
                work[channel, k, i] = 0.0 if abs(before) < _FORGOTTEN else before
        for n in range(count):
            work[channel, 0, 2 + n] = x[channel, n]
    for k in range(sections):
        for channel in range(_CHANNELS):
            _zeros(work[channel, k], c[k], work[channel, k + 1, 2 : 2 + count])
        _poles(work[0, k + 1], work[1, k + 1], c[k], count)


@numba.njit(parallel=True, cache=True, error_model="numpy")
def _forward(x: np.ndarray, c: np.ndarray, state: np.ndarray, kept: np.ndarray, y: np.ndarray) -> None:
    """``kept`` [nodes, chunks, 2, sections + 1, 2] are the states before each chunk, or empty."""
    samples, sections = x.shape[2], c.shape[1]
    for i in numba.prange(x.shape[0]):
        work = np.empty((_CHANNELS, sections + 1, 2 + _CHUNK))
        for start in range(0, samples, _CHUNK):
            count = min(_CHUNK, samples - start)
            if kept.size > 0:
                kept[i, start // _CHUNK] = state[i]
            _run(x[i, :, start : start + count], c[i], state[i], count, work)
            for channel in range(_CHANNELS):
                for n in range(count):
                    y[i, channel, start + n] = work[channel, sections, 2 + n]
                for k in range(sections + 1):
                    state[i, channel, k, 0] = work[channel, k, count]
                    state[i, channel, k, 1] = work[channel, k, count + 1]


@numba.njit(parallel=True, cache=True, error_model="numpy")
def _backward(
    x: np.ndarray, c: np.ndarray, kept: np.ndarray, gy: np.ndarray, gx: np.ndarray, grad_c: np.ndarray
) -> None:
    samples, sections = x.shape[2], c.shape[1]
    for i in numba.prange(x.shape[0]):
        work = np.empty((_CHANNELS, sections + 1, 2 + _CHUNK))
        adjoint, given = np.empty((_CHANNELS, _CHUNK + 2)), np.empty((_CHANNELS, _CHUNK))
        behind = np.zeros((_CHANNELS, sections, 2))
        for start in range((samples - 1) // _CHUNK * _CHUNK, -1, -_CHUNK):
            count = min(_CHUNK, samples - start)
            _run(x[i, :, start : start + count], c[i], kept[i, start // _CHUNK], count, work)
            for channel in range(_CHANNELS):
                for n in range(count):
                    given[channel, n] = gy[i, channel, start + n]
            for k in range(sections - 1, -1, -1):
                for channel in range(_CHANNELS):
                    adjoint[channel, :count] = given[channel, :count]
                    for j in range(2):
                        after = behind[channel, k, j]
                        adjoint[channel, count + j] = 0.0 if abs(after) < _FORGOTTEN else after
                _poles_back(adjoint[0], adjoint[1], c[i, k], count)
                for channel in range(_CHANNELS):
                    _add_products(adjoint[channel], work[channel, k], work[channel, k + 1], count, grad_c[i, k])
                    _zeros_back(adjoint[channel], c[i, k], given[channel, :count])
                    behind[channel, k] = adjoint[channel, :2]
            for channel in range(_CHANNELS):
                for n in range(count):
                    gx[i, channel, start + n] = given[channel, n]


class _Filter(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, sections: Tensor, state: Tensor) -> Tensor:
        x, sections = x.detach().contiguous(), sections.detach().contiguous()
        chunks = -(-x.size(2) // _CHUNK) if any(ctx.needs_input_grad) else 0
        kept = state.new_empty(x.size(0), chunks, *state.shape[1:])
        y = torch.empty_like(x)
        _forward(*(t.numpy() for t in (x, sections, state, kept, y)))
        ctx.save_for_backward(x, sections, kept)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gy: Tensor) -> tuple[Tensor, Tensor, None]:
        x, sections, kept = ctx.saved_tensors
        gx, grad_sections = torch.empty_like(x), torch.zeros_like(sections)
        _backward(*(t.numpy() for t in (x, sections, kept, gy.contiguous(), gx, grad_sections)))
        return gx, grad_sections, None


def filter_sections(audio: Tensor, sections: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Filter a batch of signals by sections in a row; the recursion is computed on the CPU.

    Args:
        audio: float32 or float64, [nodes, 2, samples].
        sections: b0, b1, b2, a1, a2 of each, float64 [nodes, sections, 5].
        state: what is returned for the samples before, where these are not the first ones.

    Returns:
        The signals on the device of ``audio``, and the state behind them, without gradients.
    """
    nodes, count = sections.shape[:2]
    rest = torch.zeros(nodes, _CHANNELS, count + 1, 2, dtype=torch.float64)
    state = rest if state is None else state.to(rest).clone()
    y = _Filter.apply(audio.cpu(), sections.cpu().double(), state)
    assert isinstance(y, Tensor)
    return y.to(audio.device), state


def pole_radius(sections: Tensor) -> Tensor:
    """Distance of each section's outer pole from the origin, [nodes, sections]."""
    half, product = sections[..., 3] / 2, sections[..., 4]
    apart = half.square() - product
    real = half.abs() + apart.clamp(min=0).sqrt()
    return torch.where(apart < 0, product.clamp(min=0).sqrt(), real)


def ring_samples(sections: Tensor, level_db: float) -> int:
    """Samples after which the slowest pole has decayed by so many dB (below 0), for warm-ups."""
    radius = float(pole_radius(sections.detach()).max()) if sections.numel() else 0.0
    if radius <= 0.0:
        return 2
    return 2 + math.ceil(level_db / (20 * math.log10(min(radius, 1 - 1e-12))))


def check_stable(sections: Tensor, sample_rate: float) -> None:
    """Refuse sections whose feedback grows.

    Args:
        sections: [nodes, sections, 5].
        sample_rate: in Hz, for the message.

    Raises:
        ValueError: with the pole.
    """
    radius = pole_radius(sections.detach())
    if not radius.numel() or bool((radius < 1).all()):
        return
    node, section = (int(i) for i in (~(radius < 1)).nonzero()[0])
    a1, a2 = (float(number) for number in sections[node, section, 3:])
    found = float(radius[node, section])
    is_real = a1**2 >= 4 * a2
    angle = (0.0 if a1 < 0 else math.pi) if is_real else math.acos(-a1 / (2 * found))
    at = angle * sample_rate / (2 * math.pi)
    raise ValueError(
        f"section {section} of node {node} has a pole of radius {found:g} at {at:.4g} Hz; a filter is stable with all "
        "of its poles inside the unit circle, below 1."
    )
