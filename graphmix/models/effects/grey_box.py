r"""A grey box: filters and waveshapers in turn, and a gain computer, whose parameters can be read.

.. math:: y = G(L) \cdot h_S * s_S(\dots s_2(h_1 * s_1(h_0 * x)))

with impulse responses :math:`h` (what an engineer would call tone before and after the drive), curves :math:`s`, and a
gain :math:`G` that depends on the smoothed level :math:`L` of the input: a Wiener-Hammerstein model (Eichas & Zölzer
2016) with the static curve of a compressor. An equalizer, a saturator, a clipper, a tape machine or a compressor is
such a thing; a plot of responses, curves and gain says what the device does.

Filters are combinations of few functions, which resolve frequency as an ear does (:mod:`graphmix.dsp.kautz`). Curves go
through points that lie closer together near zero, where a drive bends them, and are smooth between them.
"""

import math
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from graphmix.dsp.curve import through_points
from graphmix.dsp.envelope import smooth
from graphmix.dsp.fft import good_length, irfft, rfft
from graphmix.dsp.kautz import filter_basis
from graphmix.models.effects.effect import EffectConfig, EffectModel, State

DENSITY = 30.0
"""How much closer together the points of a waveshaper's curve are at zero than linear: asinh(30 x)."""
LOWEST_DB, STEP_DB, LEVEL_POINTS = -72.0, 3.0, 27
"""Levels at which the gain computer's curve has its points."""
LEVEL_FLOOR = 1e-8
"""Added to the energy: -80 dB."""
TIMES_MS = (10.0, 100.0)
"""Attack and release at the beginning."""


class GreyBoxConfig(EffectConfig):
    """Sizes of a :class:`GreyBoxEffect`.

    Args:
        model: ``"grey_box"``.
        taps: samples of a filter's response.
        direct: of which so many first ones are free.
        resonances: what is after them is a combination of so many.
        shapers: waveshapers of a branch; 0 for a filter.
        branches: of filters and waveshapers in parallel, whose outputs are added.
        points: of a waveshaper's curve.
        dynamics: it has a gain computer.
        hidden: units of the MLP by which controls move the parameters.
    """

    model: Literal["grey_box"] = "grey_box"
    taps: int = Field(default=4096, ge=1, le=1 << 15)
    direct: int = Field(default=32, ge=1, le=1024)
    resonances: int = Field(default=24, ge=0, le=64)
    shapers: int = Field(default=1, ge=0, le=8)
    branches: int = Field(default=1, ge=1, le=8)
    points: int = Field(default=41, ge=3, le=1025)
    dynamics: bool = True
    hidden: int = Field(default=24, ge=1, le=512)


class GreyBoxEffect(EffectModel):
    """Interpretable blocks in the place of a device; see the module."""

    config: GreyBoxConfig
    basis: Tensor
    axis: Tensor

    def __init__(self, config: GreyBoxConfig) -> None:
        super().__init__(config)
        basis = filter_basis(config.taps, config.direct, config.resonances, config.sample_rate)
        self.register_buffer("basis", torch.from_numpy(basis).float(), persistent=False)
        axis = torch.linspace(-1, 1, config.points, dtype=torch.float64) * math.asinh(DENSITY)
        self.register_buffer("axis", (torch.sinh(axis) / DENSITY).float(), persistent=False)
        identity = torch.from_numpy(np.linalg.lstsq(basis.T, np.eye(config.taps, 1)[:, 0], rcond=None)[0]).float()
        filters = config.branches * (config.shapers + 1)
        self.filters = nn.Parameter(identity.repeat(filters, 1))
        """Coefficients of each filter, one branch after the other, [branches * filters, functions]."""
        self.gains = nn.Parameter(torch.zeros(filters))
        """Of each filter, in nepers."""
        if config.branches > 1:  # all but one are silent to begin with
            with torch.no_grad():
                self.filters[2 * config.shapers + 1 :: config.shapers + 1] = 0
        self.curves = nn.Parameter(self.axis.repeat(config.branches * config.shapers, 1))
        """Outputs of each waveshaper at the inputs of :attr:`axis`, [branches * shapers, points]."""
        self.level_curve = nn.Parameter(torch.zeros(LEVEL_POINTS if config.dynamics else 0))
        """Gains in nepers at levels from :data:`LOWEST_DB` on, :data:`STEP_DB` apart."""
        self.times = nn.Parameter(torch.tensor(TIMES_MS if config.dynamics else ()).log())
        """Logarithms of attack and release in ms."""
        self.moves: nn.Sequential | None = None
        if config.controls:
            values = sum(value.numel() for value in self._values())
            last = nn.Linear(config.hidden, values)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
            self.moves = nn.Sequential(nn.Linear(len(config.controls), config.hidden), nn.Tanh(), last)
            """By which controls move all parameters."""

    def _values(self) -> tuple[Tensor, ...]:
        return self.filters, self.gains, self.curves, self.level_curve, self.times

    def settings(self, controls: Tensor) -> tuple[Tensor, ...]:
        """Parameters of each row, or of all in one; [rows or 1, ...] each, filters as responses [.., filters, taps]."""
        values: Any = [value[None] for value in self._values()]
        if self.moves is not None:
            parts = self.moves(controls).split([value.numel() for value in values], dim=-1)
            values = [value + part.view(-1, *value.shape[1:]) for value, part in zip(values, parts, strict=True)]
        filters, gains, curves, level_curve, times = values
        return (filters @ self.basis) * gains.exp()[..., None], curves, level_curve, times

    def rest(self, controls: Tensor) -> State:
        """What a long silence leaves before each filter, and an envelope of zero."""
        responses, curves, _, _ = self.settings(controls)
        state = []
        for filters, shapers in self.branches():
            constant = controls.new_zeros(controls.size(0), 1)
            for i, filter_ in enumerate(filters):
                state.append(constant.expand(-1, self.config.taps - 1))
                constant = constant * responses[:, filter_].sum(-1, keepdim=True)
                if i < len(shapers):
                    constant = self.shape(constant, curves[:, shapers[i]])
        return (*state, controls.new_zeros(controls.size(0), 1))

    def branches(self) -> list[tuple[range, range]]:
        """The numbers of each branch's filters and waveshapers."""
        size = self.config.shapers
        return [
            (range(i * (size + 1), (i + 1) * (size + 1)), range(i * size, (i + 1) * size))
            for i in range(self.config.branches)
        ]

    def run(self, audio: Tensor, controls: Tensor, state: State) -> tuple[Tensor, State]:
        """One block; the state is what came into each filter before, and the envelope."""
        responses, curves, level_curve, times = self.settings(controls)
        after = list(state)
        gains: Tensor | float = 1.0
        if self.config.dynamics:
            gains, after[-1] = self.dynamic_gains(audio, state[-1], level_curve, times)
        total = torch.zeros_like(audio)
        for filters, shapers in self.branches():
            signal = audio
            for i, filter_ in enumerate(filters):
                signal = torch.cat([state[filter_], signal], dim=-1)
                after[filter_] = signal[:, signal.size(-1) - self.config.taps + 1 :]
                signal = self._filter(signal, responses[:, filter_])
                if i < len(shapers):
                    signal = self.shape(signal, curves[:, shapers[i]])
            total = total + signal
        return total * gains, tuple(after)

    def shape(self, audio: Tensor, curve: Tensor) -> Tensor:
        """A waveshaper, [rows, samples] by a curve [rows or 1, points]."""
        return through_points(curve, (torch.asinh(audio * DENSITY) / math.asinh(DENSITY) + 1) * (curve.size(1) - 1) / 2)

    def level(self, envelope: Tensor) -> Tensor:
        """Places of smoothed energies among the points of the gain computer's curve."""
        return (10 * torch.log10(envelope + LEVEL_FLOOR) - LOWEST_DB) / STEP_DB

    def _filter(self, signal: Tensor, response: Tensor) -> Tensor:
        """What has all its past of a signal [rows, samples], by responses [rows or 1, taps]."""
        n_fft = good_length(signal.size(-1))  # what wraps around falls into the past
        out = irfft(rfft(signal, n_fft) * rfft(response, n_fft), n_fft, signal.size(-1))
        return out[:, self.config.taps - 1 :]

    def dynamic_gains(self, audio: Tensor, before: Tensor, curve: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
        """What the gain computer makes of audio [rows, samples]: gains, and the envelope after the last sample.

        Args:
            audio: [rows, samples].
            before: the envelope before the first sample, [rows, 1].
            curve: gains in nepers at levels, [rows or 1, points].
            times: logarithms of attack and release in ms, [rows or 1, 2].

        The recursion starts from silence; from another state it starts by a sample that brings it there.
        """
        per_ms = self.config.sample_rate / 1000
        both = torch.exp(-1 / (times.clamp(-4, 9).exp().double() * per_ms)).expand(audio.size(0), -1)
        attack, release = both.unbind(1)
        first = before / (1 - attack[:, None]).to(before.dtype)  # rises from zero to the envelope in one sample
        envelope = smooth(torch.cat([first, audio.square()], dim=-1), attack, release)[:, 1:]
        return through_points(curve, self.level(envelope)).exp(), envelope[:, -1:].detach()
