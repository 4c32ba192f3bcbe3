r"""A whole oscillator in one compiled loop: pitch, phase, waveforms and their sum, with gradients.

.. math:: y[n] = u[n] + A \sum_k a_k \, w_k(\phi[n]), \quad \phi[n] = \phi_0 + m[n] + \sum_{i \leq n} f[i]

with the tables of :mod:`graphmix.dsp.wavetable`. Rows are voices and are computed one after the other, some hundred
samples at a time, so that nothing between the inputs and the output goes through memory. Nothing is kept for the
backward pass but the inputs and the phases at which these parts begin: it goes through the same steps again.

Conventions: signals are [rows, samples], or [rows, 1] where they do not change. Settings are [rows, :data:`SETTINGS`].
The frequency in periods a sample is :math:`f = \min(r \, 2^{p / 12}, 1/2)` for the pitch *p* in semitones that the
settings and signals add up to; the first sample has the phase at which the oscillator starts.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from graphmix.dsp.oscillator_backward import back
from graphmix.dsp.oscillator_forward import CHUNK, SETTINGS, play
from graphmix.dsp.rows import only_wanted, room_for, summed
from graphmix.dsp.wavetable import Wavetable

__all__ = ["SETTINGS", "Bank", "make_bank", "oscillator"]


class _Oscillator(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        bank: "Bank",
        rate: float,
        samples: int,
        state: Tensor,
        needed: NDArray[np.int64],
        settings: Tensor,
        *signals: Tensor,
    ) -> Tensor:
        settings, dry, *moving = (t.detach().contiguous() for t in (settings, *signals))
        out = torch.empty(len(settings), samples, dtype=settings.dtype)
        begins, resumed = torch.empty(len(settings), -(-samples // CHUNK), dtype=torch.float64), state[:, 1] > 0
        ctx.bank, ctx.rate, ctx.dry = bank, rate, dry.size(1)
        needed = np.full_like(needed, samples) if any(ctx.needs_input_grad) else needed
        ctx.save_for_backward(settings, *moving, begins, resumed)
        arrays = [t.numpy() for t in (dry, *moving, settings)]
        play(*arrays, *bank, rate, needed, state.numpy(), begins.numpy(), out.numpy())
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        settings, *moving, begins, resumed = ctx.saved_tensors
        wanted = ctx.needs_input_grad[7:]
        results = room_for(moving, wanted)
        to_settings = torch.zeros(settings.shape, dtype=torch.float64)
        arrays = [t.numpy() for t in (grad.contiguous(), *moving, settings)]
        back(*arrays, *ctx.bank, ctx.rate, *(t.numpy() for t in (begins, resumed, *results, to_settings)))
        to_dry = summed(grad, ctx.dry) if ctx.needs_input_grad[6] else None
        return None, None, None, None, None, to_settings.to(settings.dtype), to_dry, *only_wanted(results, wanted)


class Bank(NamedTuple):
    """The tables of an oscillator.

    Args:
        tables: of sine, saw and triangle, one after the other for all levels, [3, points].
        frames: of the wavetable, in the same manner and one after the other, [frames * points].
        limits: of the levels.
    """

    tables: NDArray[np.float32]
    frames: NDArray[np.float32]
    limits: NDArray[np.float64]


def make_bank(sine: Wavetable, saw: Wavetable, triangle: Wavetable, frames: Sequence[Wavetable]) -> Bank:
    """Tables in the order in which they are read; of two frames or more, all of one shape."""
    waves, steps = (np.stack([wave.tables.ravel() for wave in own]) for own in ((sine, saw, triangle), frames))
    return Bank(waves, steps.ravel(), saw.limits)


def oscillator(
    bank: Bank, rate: float, samples: int, settings: Tensor, signals: Sequence[Tensor], state: Tensor | None = None,
    needed: NDArray[np.int64] | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Play.

    Args:
        bank: the tables.
        rate: frequency for a pitch of 0, in periods a sample.
        samples: how many.
        settings: [rows, :data:`SETTINGS`].
        signals: what it is added to, pitch, modulation, shape, phase in periods, in the precision of the settings,
            [rows, samples] or [rows, 1] each.
        state: what is returned for the samples before, where these are not the first ones.
        needed: how many samples of each row are, [rows]; the others are 0, and the state is that behind the former.
            With gradients all are.

    Returns:
        [rows, samples], with gradients of settings and signals; and the state behind them, float64 [rows, 2].
    """
    needed = np.full(len(settings), samples) if needed is None else needed
    state = torch.zeros(len(settings), 2, dtype=torch.float64) if state is None else state.clone()
    out = _Oscillator.apply(bank, rate, samples, state, needed, settings.cpu(), *(t.cpu() for t in signals))
    assert isinstance(out, Tensor)
    return out.to(settings.device), state
