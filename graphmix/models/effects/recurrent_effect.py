r"""LSTM and GRU models of effects (Wright et al. 2019): a recurrent layer over samples, and a linear output.

.. math:: y[n] = w^T h[n] + b \; (+\; x[n])

The inputs of the first layer are the sample and the controls. With ``skip`` the network models what the device adds to
its input. Without it and without controls, an LSTM has a form as Neural Amp Modeler file (:mod:`.nam`).
"""

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from graphmix.dsp.lstm import lstm
from graphmix.dsp.recurrent import gru
from graphmix.models.effects.effect import BLOCK, EffectConfig, EffectModel, State

REST_SECONDS = 0.5
"""Silence after which a recurrent model counts as at rest."""


class RecurrentConfig(EffectConfig):
    """Sizes of a :class:`RecurrentEffect`.

    Args:
        model: ``"lstm"`` or ``"gru"``.
        hidden: units of a layer.
        layers: in series.
        skip: the input is added to the output.
        truncate: gradients reach back over blocks of so many samples.
    """

    model: Literal["lstm", "gru"] = "lstm"
    hidden: int = Field(default=16, ge=1, le=1024)
    layers: int = Field(default=1, ge=1, le=16)
    skip: bool = False
    truncate: int = Field(default=2048, ge=0)


class RecurrentEffect(EffectModel):
    """A recurrent network in the place of a device; see the module."""

    config: RecurrentConfig
    cells: Any
    initial: Tensor
    """State before the silence that brings the model to rest, [outputs and cells, layers, hidden]."""

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__(config)
        layer = nn.LSTM if config.model == "lstm" else nn.GRU
        inputs = 1 + len(config.controls)
        self.cells = nn.ModuleList(
            layer(inputs if i == 0 else config.hidden, config.hidden, batch_first=True) for i in range(config.layers)
        )
        """Holders of weights; the loops of :mod:`graphmix.dsp.recurrent` compute."""
        states = 2 if config.model == "lstm" else 1
        self.register_buffer("initial", torch.zeros(states, config.layers, config.hidden))
        self.output = nn.Linear(config.hidden, 1)
        if config.model == "lstm":
            with torch.no_grad():  # a cell that remembers, to begin with (Jozefowicz et al. 2015)
                cells: Any = list(self.cells)
                for cell in cells:
                    cell.bias_ih_l0[config.hidden : 2 * config.hidden] += 1

    @torch.no_grad()
    def rest(self, controls: Tensor) -> State:
        """The state after half a second of silence, from the initial one."""
        rows = controls.size(0)
        state = tuple(self.initial[:, :, None].expand(-1, -1, rows, -1).flatten(0, 1).to(controls.dtype))
        silence = controls.new_zeros(1, 1).expand(rows, max(1, round(REST_SECONDS * self.config.sample_rate)))
        if not self.config.controls:  # all rows are alike
            state = tuple(part[:1] for part in state)
            state = self._settled(silence[:1], controls[:1], state)
            return tuple(part.expand(rows, -1).contiguous() for part in state)
        return self._settled(silence, controls, state)

    def _settled(self, silence: Tensor, controls: Tensor, state: State) -> State:
        """The state after a silence, however long, in little memory."""
        for block in silence.split(BLOCK, dim=1):
            _, state = self.run(block, controls, state)
        return state

    def run(self, audio: Tensor, controls: Tensor, state: State) -> tuple[Tensor, State]:
        """One block."""
        layers, after = self.config.layers, list(state)
        signal = audio[..., None]
        for i, cell in enumerate(self.cells):
            weight, held = cell.weight_ih_l0, audio.new_zeros(audio.size(0), 1)
            if i == 0:  # controls do not move: their part of the product is a bias of each row
                held = controls @ weight[:, 1:].t()
                weight = weight[:, :1]
            if self.config.model == "lstm":
                bias = (cell.bias_ih_l0 + cell.bias_hh_l0).expand(audio.size(0), -1) + held
                signal, (after[i], after[layers + i]) = lstm(
                    signal, bias, weight, cell.weight_hh_l0, (state[i], state[layers + i]), self.config.truncate
                )
            else:
                width = self.config.hidden
                bias = torch.cat([cell.bias_hh_l0[: 2 * width], torch.zeros_like(cell.bias_hh_l0[:width])])
                pre = signal @ weight.t() + (cell.bias_ih_l0 + bias + held)[:, None]
                signal, after[i] = gru(
                    pre, cell.weight_hh_l0, cell.bias_hh_l0[2 * width :], state[i], self.config.truncate
                )
        out = self.output(signal)[..., 0]
        return out + audio if self.config.skip else out, tuple(after)
