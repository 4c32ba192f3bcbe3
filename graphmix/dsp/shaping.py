r"""Curves of saturation as compiled loops, with gradients: one pass over memory forward and one backward.

A curve adds a residue to its argument, with :math:`t = \tanh(d x)` where there is a drive d:

* :func:`bend`: :math:`t / (d (1 + \beta t)) - x`; constants of a node are d and beta.
* :func:`clip`: :math:`r \tanh(o / r) - o` with :math:`o = \max(0, x - k)`, and mirrored below zero; k and r above zero,
  then those below.
* :func:`add_powers`: :math:`\frac1d \sum_{k=2}^{K} a_k t^k`; d, a from order 2 on.
* :func:`add_harmonics`: :math:`\frac1d \sum_{k=2}^{K} a_k (T_k(t) - T_k(0))`; d, a from order 2 on.

In float32 the hyperbolic tangent is written out so that it is computed in vectors, to a few units in the last place of
its result, however small; in float64 it is the library's. Sums of gradients are float64 beyond a block of samples.

Conventions: signals on the CPU, [nodes, ...]; constants [nodes, numbers] in the precision of the signal.
"""

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import torch
from numba import types
from numba.extending import overload
from torch import Tensor
from torch.autograd.function import once_differentiable

from graphmix.dsp.powers import FASTMATH

BLOCK = 512
"""Samples that are computed at a time."""
_BLOCKS_OF_JOB = 16
_TURNING_POINT = np.float32(9.1)
"""Beyond it the tangent is 1 in float32."""
_OCTAVES = np.float32(2 / math.log(2))
_ONE, _TWO, _HALF, _ZERO = (np.float32(x) for x in (1, 2, 0.5, 0))
_C1, _C2, _C3, _C4, _C5, _C6, _C7 = (np.float32(math.log(2) ** k / math.factorial(k)) for k in range(1, 8))
"""2^f - 1 = C1 f + C2 f^2 + ..."""
_TANH, _CLIP, _POWERS, _HARMONICS = range(4)


def tangent(x: float) -> float:
    """Hyperbolic tangent."""
    return math.tanh(x)


def _single_tangent(x: Any) -> Any:
    size = abs(x)
    size = size if size < _TURNING_POINT else _TURNING_POINT
    octaves = size * _OCTAVES
    whole = np.floor(octaves + _HALF)
    f = octaves - whole
    series = f * (_C1 + f * (_C2 + f * (_C3 + f * (_C4 + f * (_C5 + f * (_C6 + f * _C7))))))
    power = np.int32((np.int32(whole) + 127) << 23).view(np.float32)
    more = power * series + (power - _ONE)  # e^(2 size) - 1
    found = more / (more + _TWO)
    return -found if x < _ZERO else found


def _double_tangent(x: float) -> float:
    return math.tanh(x)


@overload(tangent, jit_options={"fastmath": {"contract"}, "error_model": "numpy"}, strict=False)
def _tangent(x: types.Type) -> Callable[[Any], Any]:
    return _single_tangent if x == types.float32 else _double_tangent


@numba.njit(cache=True, fastmath={"contract"}, error_model="numpy")
def _tangents(x: np.ndarray, drive: float, t: np.ndarray) -> None:
    for k in range(t.size):
        t[k] = tangent(drive * x[k])


@numba.njit(cache=True, fastmath={"contract"}, error_model="numpy")
def _bend(x: np.ndarray, c: np.ndarray, whole: bool, t: np.ndarray, out: np.ndarray) -> None:
    one = x.dtype.type(1)
    drive, beta, less = c[0], c[1], x.dtype.type(0 if whole else 1)
    _tangents(x, drive, t)
    for k in range(out.size):
        out[k] = t[k] / (drive * (one + beta * t[k])) - less * x[k]


@numba.njit(cache=True, fastmath=FASTMATH, error_model="numpy")
def _bend_back(
    x: np.ndarray, g: np.ndarray, c: np.ndarray, whole: bool, t: np.ndarray, to: np.ndarray, sums: np.ndarray
) -> None:
    real = x.dtype.type
    one, of_drive, of_beta = real(1), real(0), real(0)
    drive, beta, less = c[0], c[1], real(0 if whole else 1)
    _tangents(x, drive, t)
    for k in range(to.size):
        share = one / (one + beta * t[k])
        slope = (one - t[k] * t[k]) * share * share
        to[k] = g[k] * (slope - less)
        of_drive += g[k] * (x[k] * slope - t[k] * share / drive)
        of_beta -= g[k] * t[k] * t[k] * share * share
    sums[0] += of_drive / drive
    sums[1] += of_beta / drive


@numba.njit(cache=True, fastmath={"contract"}, error_model="numpy")
def _clip(x: np.ndarray, c: np.ndarray, t: np.ndarray, out: np.ndarray) -> None:
    zero = x.dtype.type(0)
    knee, room, low_knee, low_room = c[0], c[1], c[2], c[3]
    for k in range(out.size):
        below = x[k] < zero
        beyond = abs(x[k]) - (low_knee if below else knee)
        beyond = beyond if beyond > zero else zero
        own = low_room if below else room
        added = own * tangent(beyond / own) - beyond
        out[k] = -added if below else added


@numba.njit(cache=True, fastmath=FASTMATH, error_model="numpy")
def _clip_back(x: np.ndarray, g: np.ndarray, c: np.ndarray, t: np.ndarray, to: np.ndarray, sums: np.ndarray) -> None:
    real = x.dtype.type
    zero, one = real(0), real(1)
    knee, room, low_knee, low_room = c[0], c[1], c[2], c[3]
    of_knee, of_room, of_low_knee, of_low_room = zero, zero, zero, zero
    for k in range(to.size):
        below = x[k] < zero
        beyond = abs(x[k]) - (low_knee if below else knee)
        beyond = beyond if beyond > zero else zero
        share = beyond / (low_room if below else room)
        own = tangent(share)
        square = own * own
        given = -g[k] if below else g[k]
        by_knee, by_room = given * square, given * (own - share * (one - square))
        to[k] = -g[k] * square
        of_knee += zero if below else by_knee
        of_room += zero if below else by_room
        of_low_knee += by_knee if below else zero
        of_low_room += by_room if below else zero
    sums[0] += of_knee
    sums[1] += of_room
    sums[2] += of_low_knee
    sums[3] += of_low_room


@numba.njit(cache=True, fastmath=FASTMATH, error_model="numpy")
def _next_order(t: np.ndarray, order: int, harmonics: bool, before: np.ndarray, now: np.ndarray) -> None:
    """The order above the one that is in ``now``, in its place; the one that was there goes to ``before``."""
    two = t.dtype.type(2)
    if harmonics:
        for k in range(t.size):
            after = two * t[k] * now[k] - before[k]
            before[k] = now[k]
            now[k] = after
    else:
        for k in range(t.size):
            now[k] *= t[k]


@numba.njit(cache=True, error_model="numpy")
def _at_zero(order: int, harmonics: bool) -> int:
    """Of a polynomial."""
    if not harmonics or order % 2 == 1:
        return 0
    return 1 if order % 4 == 0 else -1


@numba.njit(cache=True, fastmath=FASTMATH, error_model="numpy")
def _polynomial(
    x: np.ndarray, c: np.ndarray, harmonics: bool, t: np.ndarray, rows: np.ndarray, out: np.ndarray
) -> None:  # fmt: skip
    real, count = x.dtype.type, out.size
    before, now = rows[0, :count], rows[1, :count]
    _tangents(x, c[0], t)
    before[:] = real(1)
    now[:] = t
    out[:] = real(0)
    for order in range(2, c.size + 1):
        _next_order(t, order, harmonics, before, now)
        amount, still = c[order - 1] / c[0], real(_at_zero(order, harmonics))
        for k in range(count):
            out[k] += amount * (now[k] - still)


@numba.njit(cache=True, fastmath=FASTMATH, error_model="numpy")
def _polynomial_back(
    x: np.ndarray, g: np.ndarray, c: np.ndarray, harmonics: bool, t: np.ndarray, rows: np.ndarray, to: np.ndarray,
    sums: np.ndarray,
) -> None:  # fmt: skip
    """Slopes of Chebyshev's polynomials: T'[k + 1] = 2 T[k] + 2 t T'[k] - T'[k - 1]; of powers: k t^(k - 1)."""
    real, count = x.dtype.type, to.size
    before, now, slope, last, total = (
        rows[0, :count],
        rows[1, :count],
        rows[2, :count],
        rows[3, :count],
        rows[4, :count],
    )
    two, one = real(2), real(1)
    _tangents(x, c[0], t)
    before[:] = one
    now[:] = t
    slope[:] = one  # of the first order
    last[:] = real(0)
    total[:] = real(0)
    to[:] = real(0)
    for order in range(2, c.size + 1):
        if harmonics:
            for k in range(count):
                after = two * (now[k] + t[k] * slope[k]) - last[k]
                last[k] = slope[k]
                slope[k] = after
        else:
            for k in range(count):
                slope[k] = real(order) * now[k]
        _next_order(t, order, harmonics, before, now)
        amount, still, found = c[order - 1], real(_at_zero(order, harmonics)), real(0)
        for k in range(count):
            found += g[k] * (now[k] - still)
            total[k] += amount * (now[k] - still)
            to[k] += amount * slope[k]
        sums[order - 1] += found / c[0]
    of_drive = real(0)
    for k in range(count):
        along = to[k] * (one - t[k] * t[k])
        to[k] = g[k] * along
        of_drive += g[k] * (along * x[k] - total[k] / c[0])
    sums[0] += of_drive / c[0]


@numba.njit(parallel=True, cache=True, error_model="numpy")
def _forward(x: np.ndarray, c: np.ndarray, kind: int, whole: bool, out: np.ndarray) -> None:
    """Rows of samples; ``whole``: with what the residue is added to."""
    samples = x.shape[1]
    length = BLOCK * _BLOCKS_OF_JOB
    jobs = -(-samples // length)
    for job in numba.prange(x.shape[0] * jobs):
        row, part = job // jobs, job % jobs
        work, rows = np.empty(BLOCK, x.dtype), np.empty((2, BLOCK), x.dtype)
        for start in range(part * length, min(samples, (part + 1) * length), BLOCK):
            end = min(samples, start + BLOCK)
            own, to, t = x[row, start:end], out[row, start:end], work[: end - start]
            if kind == _TANH:
                _bend(own, c[row], whole, t, to)
            elif kind == _CLIP:
                _clip(own, c[row], t, to)
            else:
                _polynomial(own, c[row], kind == _HARMONICS, t, rows, to)
            if whole and kind != _TANH:
                for k in range(to.size):
                    to[k] += own[k]


@numba.njit(parallel=True, cache=True, error_model="numpy")
def _backward(
    x: np.ndarray, g: np.ndarray, c: np.ndarray, kind: int, whole: bool, to: np.ndarray, sums: np.ndarray
) -> None:
    """``sums`` [rows, jobs, numbers] is zero before."""
    samples, jobs = x.shape[1], sums.shape[1]
    length = BLOCK * _BLOCKS_OF_JOB
    for job in numba.prange(x.shape[0] * jobs):
        row, part = job // jobs, job % jobs
        work, rows = np.empty(BLOCK, x.dtype), np.empty((5, BLOCK), x.dtype)
        for start in range(part * length, min(samples, (part + 1) * length), BLOCK):
            end = min(samples, start + BLOCK)
            own, given, result, t = x[row, start:end], g[row, start:end], to[row, start:end], work[: end - start]
            if kind == _TANH:
                _bend_back(own, given, c[row], whole, t, result, sums[row, part])
            elif kind == _CLIP:
                _clip_back(own, given, c[row], t, result, sums[row, part])
            else:
                _polynomial_back(own, given, c[row], kind == _HARMONICS, t, rows, result, sums[row, part])
            if whole and kind != _TANH:
                for k in range(result.size):
                    result[k] += given[k]


class _Shape(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, constants: Tensor, kind: int, whole: bool) -> Tensor:
        x, constants = x.detach().contiguous(), constants.detach().contiguous()
        out = torch.empty_like(x)
        rows = x.flatten(1), constants, kind, whole, out.flatten(1)
        _forward(*(t.numpy() if isinstance(t, Tensor) else t for t in rows))
        ctx.save_for_backward(x, constants)
        ctx.kind = kind, whole
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        x, constants = ctx.saved_tensors
        to = torch.empty_like(x)
        rows, given = x.flatten(1), grad.contiguous().flatten(1)
        jobs = -(-rows.size(1) // (BLOCK * _BLOCKS_OF_JOB))
        sums = torch.zeros(len(rows), jobs, constants.size(1), dtype=torch.float64)
        known = (t.numpy() for t in (rows, given, constants))
        _backward(*known, *ctx.kind, to.flatten(1).numpy(), sums.numpy())
        return to, sums.sum(1).to(constants.dtype), None, None


def _shape(x: Tensor, constants: Tensor, kind: int, whole: bool) -> Tensor:
    out = _Shape.apply(x, constants.to(x.dtype), kind, whole)
    assert isinstance(out, Tensor)
    return out


def bend(x: Tensor, constants: Tensor, whole: bool = False) -> Tensor:
    """Soft saturation by the hyperbolic tangent.

    Args:
        x: [nodes, ...].
        constants: drive as an amplitude, and asymmetry, [nodes, 2].
        whole: the curve instead of its residue.

    Returns:
        As ``x``, with gradients of both.
    """
    return _shape(x, constants, _TANH, whole)


def clip(x: Tensor, constants: Tensor, whole: bool = False) -> Tensor:
    """Straight up to a knee, and then bent within the room above it; arguments as of :func:`bend`.

    Constants are knee and room above zero, and (as magnitudes) below, [nodes, 4].
    """
    return _shape(x, constants, _CLIP, whole)


def add_powers(x: Tensor, constants: Tensor, whole: bool = False) -> Tensor:
    """A power series of the tangent; constants are the drive and the amounts from order 2 on, [nodes, orders]."""
    return _shape(x, constants, _POWERS, whole)


def add_harmonics(x: Tensor, constants: Tensor, whole: bool = False) -> Tensor:
    """Chebyshev polynomials of the tangent; constants as of :func:`add_powers`."""
    return _shape(x, constants, _HARMONICS, whole)
