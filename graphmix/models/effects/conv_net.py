"""The two small architectures of Neural Amp Modeler files beside WaveNet and LSTM: plain convolutions, and one FIR.

*ConvNet*: dilated convolutions of two taps, each with batch normalization or a bias and an activation, then a 1×1.
*Linear*: an impulse response, in the order of the samples that it meets (the latest tap last).
"""

from typing import Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from graphmix.models.effects.effect import EffectConfig, EffectModel, State
from graphmix.models.effects.wavenet import ACTIVATIONS, MOST_KEPT, Activation, Dilation

_KERNEL = 2


class ConvNetConfig(EffectConfig):
    """Sizes of a :class:`ConvNetEffect`.

    Args:
        model: ``"conv_net"``.
        channels: of each block.
        dilations: samples between its two taps, one for each block.
        activation: one of :data:`graphmix.models.effects.wavenet.ACTIVATIONS`.
        batchnorm: each block has batch normalization in place of a bias.
    """

    model: Literal["conv_net"] = "conv_net"
    channels: int = Field(default=16, ge=1, le=512)
    dilations: tuple[Dilation, ...] = Field(default=tuple(2**k for k in range(12)), min_length=1, max_length=64)
    activation: Activation = "Tanh"
    batchnorm: bool = True

    @model_validator(mode="after")
    def _limited(self) -> Self:
        kept = self.channels * sum(self.dilations)
        if kept > MOST_KEPT:
            raise ValueError(f"it keeps {kept} values of the past; at most {MOST_KEPT}. Its dilations are too long")
        return self


class Block(nn.Module):
    """Convolution, batch normalization or bias, activation."""

    def __init__(self, inputs: int, config: ConvNetConfig, dilation: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, config.channels, _KERNEL, dilation=dilation, bias=not config.batchnorm)
        self.norm = nn.BatchNorm1d(config.channels) if config.batchnorm else None
        self.activate = ACTIVATIONS[config.activation]

    def forward(self, signal: Tensor) -> Tensor:
        """Shorter by the dilation."""
        signal = self.conv(signal)
        return self.activate(signal if self.norm is None else self.norm(signal))


class FeedForward(EffectModel):
    """A model whose state is the audio that it has seen."""

    def rest(self, controls: Tensor) -> State:
        """Silence."""
        assert self.reach is not None, "it sees so far and no further"
        return (controls.new_zeros(controls.size(0), self.reach),)

    def run(self, audio: Tensor, controls: Tensor, state: State) -> tuple[Tensor, State]:
        """One block; the state is the audio before it."""
        audio = torch.cat([state[0], audio], dim=-1)
        assert self.reach is not None, "it sees so far and no further"
        return self.respond_unit(audio, controls), (audio[:, audio.size(-1) - self.reach :],)

    def respond_unit(self, audio: Tensor, controls: Tensor) -> Tensor:
        """As :meth:`respond`, for controls in units of -1 to 1; without controls there is no difference."""
        return self.respond(audio)


class ConvNetEffect(FeedForward):
    """Dilated convolutions in the place of a device; see the module."""

    config: ConvNetConfig

    def __init__(self, config: ConvNetConfig) -> None:
        super().__init__(config)
        self.blocks: Any = nn.ModuleList(
            Block(config.channels if i else 1, config, dilation) for i, dilation in enumerate(config.dilations)
        )
        self.head = nn.Conv1d(config.channels, 1, 1)
        self.reach = sum(config.dilations)

    def respond(self, audio: Tensor, controls: Tensor | None = None) -> Tensor:
        """Outputs from the sample on that has all its past."""
        signal = audio[:, None]
        for block in self.blocks:
            signal = block(signal)
        return self.head(signal)[:, 0]


class LinearConfig(EffectConfig):
    """Sizes of a :class:`LinearEffect`.

    Args:
        model: ``"linear"``.
        taps: of the impulse response.
        bias: a constant is added.
    """

    model: Literal["linear"] = "linear"
    taps: int = Field(default=8192, ge=1, le=1 << 20)
    bias: bool = False


class LinearEffect(FeedForward):
    """An impulse response in the place of a device."""

    config: LinearConfig

    def __init__(self, config: LinearConfig) -> None:
        super().__init__(config)
        self.taps = nn.Parameter(torch.zeros(1, 1, config.taps))
        self.bias = nn.Parameter(torch.zeros(1)) if config.bias else None
        self.reach = config.taps - 1

    def respond(self, audio: Tensor, controls: Tensor | None = None) -> Tensor:
        """Outputs from the sample on that has all its past."""
        return nn.functional.conv1d(audio[:, None], self.taps, self.bias)[:, 0]
