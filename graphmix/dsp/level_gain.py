"""The operation of :mod:`graphmix.dsp.ballistics` and :mod:`graphmix.dsp.feedback_gain` with gradients.

A batch may hold nodes of every kind: those whose detector listens to the input and those whose listens to the output
are computed one after the other.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from graphmix.dsp.ballistics import BLOCK, STATES, Ballistics, play_backward, play_forward
from graphmix.dsp.feedback_gain import feedback_backward, feedback_forward

_FEEDBACK = 3


class Modes(NamedTuple):
    """What a batch of nodes does, whole numbers [nodes] each.

    Args:
        listen: number in :data:`graphmix.dsp.level_detector.LISTEN`.
        rms: 0: peak detector, the larger of two linked channels; 1: their mean energy.
        amplitude: 1: shares of the amplitude are smoothed, not decibels.
        feedback: 1: the detector listens to the output.
        downward: 1: the gain changes below the threshold.
    """

    listen: Tensor
    rms: Tensor
    amplitude: Tensor
    feedback: Tensor
    downward: Tensor


def reach_of(ballistics: Ballistics) -> int:
    """Samples that the furthest look ahead of a batch needs."""
    ahead = ballistics.ahead.detach()
    return math.ceil(float(ahead.max())) if ahead.numel() else 0


def _parts(modes: np.ndarray) -> list[tuple[bool, np.ndarray]]:
    """Rows of the nodes without feedback, and of those with it."""
    found = [(with_feedback, np.flatnonzero(modes[:, _FEEDBACK] == with_feedback)) for with_feedback in (False, True)]
    return [(with_feedback, rows) for with_feedback, rows in found if len(rows)]


class _Play(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, settings: Tensor, modes: Tensor, state: Tensor, samples: int) -> Tensor:
        u, settings, modes = (t.detach().contiguous() for t in (u, settings, modes))
        blocks = -(-samples // BLOCK) if any(ctx.needs_input_grad) else 0
        y, kept = u.new_empty(len(u), 2, samples), state.new_zeros(len(u), 2, blocks, STATES)
        for with_feedback, rows in _parts(modes.numpy()):
            run = feedback_forward if with_feedback else play_forward
            if len(rows) == len(u):
                run(*(t.numpy() for t in (u, settings, modes, state, kept, y)))
                continue
            own = [t.numpy()[rows] for t in (u, settings, modes, state, kept, y)]
            run(*own)
            for whole, part in zip((state, kept, y), own[3:], strict=True):
                whole[rows] = torch.from_numpy(part)
        ctx.save_for_backward(u, settings, modes, kept)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gy: Tensor) -> tuple[Tensor | None, ...]:
        u, settings, modes, kept = ctx.saved_tensors
        gu, grad_settings = torch.zeros_like(u), torch.zeros_like(settings)
        for with_feedback, rows in _parts(modes.numpy()):
            run = feedback_backward if with_feedback else play_backward
            if len(rows) == len(u):
                run(*(t.numpy() for t in (u, settings, modes, kept, gy.contiguous(), gu, grad_settings)))
                continue
            own = [t.numpy()[rows] for t in (u, settings, modes, kept, gy, gu, grad_settings)]
            run(*own)
            gu[rows], grad_settings[rows] = torch.from_numpy(own[5]), torch.from_numpy(own[6])
        return gu, grad_settings, None, None, None


def apply_level_gain(
    audio: Tensor, ballistics: Ballistics, modes: Modes, state: Tensor | None = None, samples: int | None = None
) -> tuple[Tensor, Tensor]:
    """Process a batch of compressors or expanders, dry/wet included; computed on the CPU.

    Args:
        audio: float32 or float64, [nodes, 2, samples].
        ballistics: the settings.
        modes: what each node does.
        state: what is returned for the samples before, where these are not the first ones.
        samples: how many to process, all by default; a look-ahead sees those behind them. Gradients need all.

    Returns:
        The signals [nodes, 2, samples] on the device of ``audio``, and the state behind them, without gradients.
    """
    settings = torch.stack([setting.cpu().double() for setting in ballistics], dim=1)
    numbers = torch.stack([mode.cpu().long() for mode in modes], dim=1)
    rest = torch.zeros(len(audio), 2, STATES, dtype=torch.float64)
    state = rest if state is None else state.to(rest).clone()
    y = _Play.apply(audio.cpu(), settings, numbers, state, audio.size(-1) if samples is None else samples)
    assert isinstance(y, Tensor)
    return y.to(audio.device), state
