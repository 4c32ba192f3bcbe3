"""The temporal convolutional network of the proxy as a model of a device: causal, its controls by FiLM.

Blocks have short kernels whose dilation grows from block to block (Steinmetz & Reiss 2021). One side of the network
is used: rows are mono signals. Silence stays silence.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from graphmix.models.effects.conv_net import FeedForward
from graphmix.models.effects.effect import EffectConfig
from graphmix.models.effects.tcn import TCN, BlockConfig, TCNConfig


class TCNEffectConfig(EffectConfig):
    """Sizes of a :class:`TCNEffect`.

    Args:
        model: ``"tcn"``.
        width: signals between the blocks.
        channels: kernels of each block.
        taps: of a kernel.
        dilations: samples between taps, one for each block.
        hidden: width of the MLP on the controls.
    """

    model: Literal["tcn"] = "tcn"
    width: int = Field(default=8, ge=1, le=512)
    channels: int = Field(default=16, ge=1, le=512)
    taps: int = Field(default=9, ge=1, le=64)
    dilations: tuple[int, ...] = Field(default=(1, 4, 16, 64, 256), min_length=1, max_length=64)
    hidden: int = Field(default=32, ge=1, le=1024)


class TCNEffect(FeedForward):
    """A temporal convolutional network in the place of a device; see the module."""

    config: TCNEffectConfig
    reach: int

    def __init__(self, config: TCNEffectConfig) -> None:
        super().__init__(config)
        blocks = tuple(
            BlockConfig(channels=config.channels, taps=config.taps, dilation=dilation) for dilation in config.dilations
        )
        sizes = TCNConfig(sample_rate=config.sample_rate, width=config.width, hidden=config.hidden, blocks=blocks)
        self.network = TCN(sizes, max(1, len(config.controls)))
        self.reach = self.network.reach[0]

    def respond(self, audio: Tensor, controls: Tensor | None = None) -> Tensor:
        """Outputs from the sample on that has all its past."""
        return self.respond_unit(audio, self.normalized(controls, audio))

    def respond_unit(self, audio: Tensor, controls: Tensor) -> Tensor:
        """As :meth:`respond`, for controls in units of -1 to 1."""
        return self.network(audio[:, None], self._settings(controls))[:, 0, self.reach :]

    @torch.no_grad()
    def calibrate(self, audio: Tensor, controls: Tensor) -> None:
        """Take a batch into the statistics of batch normalization; controls in units of -1 to 1."""
        self.network.calibrate(audio[:, None], self._settings(controls))

    @staticmethod
    def _settings(controls: Tensor) -> Tensor:
        """A device without controls has one that stands still."""
        return controls if controls.size(1) else controls.new_zeros(controls.size(0), 1)
