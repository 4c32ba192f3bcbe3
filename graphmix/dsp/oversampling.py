r"""Curves without aliasing: a nonlinear function of samples, evaluated at a multiple of the sample rate.

A curve :math:`f(x) = x + r(x)` makes harmonics, and those above half of the sample rate would come back as other tones.
So :math:`y = u + \downarrow r(\uparrow u)`: the signal is interpolated to M = 8 times the rate by a windowed sinc, the
*residue* r is evaluated there (between these samples once more where it has corners, by linear interpolation), and what
it adds is filtered and brought back. The linear part does not pass the filters: a curve that does nothing is the
identity to the last bit, and there is no latency, since both filters are symmetric around time zero.

The filter: a sinc of :data:`HALF` zero crossings a side with its corner at 0.49 of the rate and a Kaiser window: -70 dB
from 0.56 of the rate on.

A function of any kind is applied in pieces of time, and for its gradient computed a second time, so that what it keeps
in between is small.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import conv1d, pad

FACTOR = 8
HALF = 16
"""Samples on either side that each of the two filters reads."""
MARGIN = 2 * HALF + 1
"""Samples before and after a moment that matter there: both filters, and one for what lies between two samples."""
CORNER = 0.49
BETA = 6.755
"""Of the Kaiser window, for -70 dB."""
_PIECE = 4096

Residue = Callable[[Tensor, Tensor], Tensor]
"""(samples [nodes, ...], parameters [nodes, width]) -> what the curve adds to the samples."""


def low_pass(place: np.ndarray) -> np.ndarray:
    """The filter at places in samples of the original rate, 0 beyond :data:`HALF`; its integral is 1."""
    inside = np.clip(1 - (place / HALF) ** 2, 0, None)
    window = np.where(np.abs(place) <= HALF, np.i0(BETA * np.sqrt(inside)) / np.i0(BETA), 0.0)
    return np.asarray(2 * CORNER * np.sinc(2 * CORNER * place) * window)


@lru_cache(maxsize=8)
def _filters(points: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Weights of interpolation [M, 1, taps] and of what brings back [1, M * points, taps]."""
    reach, phases = np.arange(-HALF, HALF + 1), np.arange(FACTOR)
    up = low_pass(phases[:, None] / FACTOR - reach)  # x[m + k] weighs low_pass(place - k)
    share = _shares(points)
    place = (phases[:, None] + share).reshape(-1) / FACTOR
    down = low_pass(reach + place[:, None]) / (FACTOR * points)
    taps_up, taps_down = (torch.as_tensor(taps, dtype=dtype, device=device) for taps in (up, down))
    return taps_up[:, None], taps_down[None]


def _shares(points: int) -> np.ndarray:
    """Where between two samples of the higher rate the curve is evaluated; at the samples for one point."""
    return np.zeros(1) if points == 1 else (np.arange(points) + 0.5) / points


def upsample(audio: Tensor) -> Tensor:
    """[nodes, channels, samples + 2 * HALF] -> [nodes, channels, M, samples], phase by phase."""
    nodes, channels, _ = audio.shape
    up, _ = _filters(1, audio.dtype, audio.device)
    return conv1d(audio.flatten(0, 1)[:, None], up).unflatten(0, (nodes, channels))


def downsample(phases: Tensor, points: int = 1) -> Tensor:
    """[nodes, channels, M * points, samples + 2 * HALF] -> [nodes, channels, samples]."""
    nodes, channels = phases.shape[:2]
    if phases.size(-1) <= 2 * HALF:
        return phases[..., 0, :0]
    _, down = _filters(points, phases.dtype, phases.device)
    return conv1d(phases.flatten(0, 1), down).view(nodes, channels, -1)


def between(phases: Tensor, points: int) -> Tensor:
    """Linear interpolation to so many points from each sample to the next, [..., M, samples + 1] -> [..., samples]."""
    if points == 1:
        return phases[..., :-1]
    after = torch.cat([phases[..., 1:, :-1], phases[..., :1, 1:]], dim=-2)
    share = torch.as_tensor(_shares(points), dtype=phases.dtype, device=phases.device)[:, None]
    return torch.lerp(phases[..., :-1].unsqueeze(-2), after.unsqueeze(-2), share).flatten(-3, -2)


def saturate(audio: Tensor, params: Tensor, residue: Residue, points: int = 1) -> Tensor:
    """A curve applied at a multiple of the sample rate.

    Args:
        audio: [nodes, channels, samples].
        params: [nodes, width], given to the residue.
        residue: what the curve adds to its argument; of each sample alone.
        points: how many places between two samples of the higher rate; more for a curve with corners.

    Returns:
        As ``audio``, with gradients of both.
    """

    def added(x: Tensor, values: Tensor) -> Tensor:
        return downsample(residue(between(upsample(x), points), values), points)

    return audio + _Pieces.apply(audio, params, added)


class _Pieces(torch.autograd.Function):
    """A function that reads :data:`MARGIN` samples on either side, in pieces of time."""

    @staticmethod
    def forward(ctx: Any, audio: Tensor, params: Tensor, function: Residue) -> Tensor:
        audio, params = audio.detach(), params.detach()
        ctx.save_for_backward(audio, params)
        ctx.function = function
        padded, out = pad(audio, (MARGIN - 1, MARGIN)), torch.empty_like(audio)
        for begin, end in _pieces(audio.size(-1)):
            out[..., begin:end] = function(padded[..., begin : end + 2 * MARGIN - 1], params)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        audio, params = ctx.saved_tensors
        padded = pad(audio, (MARGIN - 1, MARGIN))
        to_audio, to_params = torch.zeros_like(padded), torch.zeros_like(params)
        for begin, end in _pieces(audio.size(-1)):
            span = slice(begin, end + 2 * MARGIN - 1)
            with torch.enable_grad():
                inputs = padded[..., span].clone().requires_grad_(), params.clone().requires_grad_()
                out = ctx.function(*inputs)
            of_audio, of_params = torch.autograd.grad(out, inputs, grad[..., begin:end], materialize_grads=True)
            to_audio[..., span] += of_audio
            to_params += of_params
        return to_audio[..., MARGIN - 1 : to_audio.size(-1) - MARGIN], to_params, None


def _pieces(samples: int) -> list[tuple[int, int]]:
    return [(begin, min(begin + _PIECE, samples)) for begin in range(0, samples, _PIECE)]


def amplitudes(db: Tensor, like: Tensor) -> Tensor:
    """Decibels [nodes] to amplitudes that multiply ``like`` [nodes, ...]."""
    return (db * (math.log(10) / 20)).exp().to(like.dtype).view(-1, *[1] * (like.dim() - 1))
