"""Mix-Wave-U-Net: a network that makes the mix itself, without a graph: the baseline of a fixed number of inputs.

A Wave-U-Net (Stoller, Ewert, Dixon, ISMIR 2018) whose input channels are the tracks of a song, as for drum mixing
(Martínez Ramírez, Stoller, Moffat, JAES 2021). Its number of inputs and their order are part of what it learns: one
track is something else than another. So the laws of the other models do not hold here, on purpose; the Differentiable
Mixing Console was made to do without this.
"""

import math
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from graphmix.models.config import ModelConfig
from graphmix.models.mixing.estimator import Estimator, register
from graphmix.models.mixing.stems import Stems, resample
from graphmix.processors.rack import Rack

_LEAK = 0.2


class MixWaveUNetConfig(ModelConfig):
    """A Mix-Wave-U-Net; ``chain`` is empty, since it has no processors.

    Args:
        tracks: how many inputs.
        excess: what becomes of further tracks: ``"cut"`` leaves them out, ``"sum"`` adds them to the last input.
        levels: how often time is halved.
        width: channels of the first level; level l has l times as many.
        down_taps: of the convolutions on the way down, odd.
        up_taps: of those on the way up, odd.
        block_seconds: what is processed at once where no gradient is asked for.
    """

    name: Literal["waveunet"] = "waveunet"
    chain: str = ""
    tracks: int = Field(default=16, ge=1)
    excess: Literal["cut", "sum"] = "cut"
    levels: int = Field(default=7, ge=1, le=14)
    width: int = Field(default=12, ge=1)
    down_taps: Literal[3, 5, 7, 9, 11, 13, 15] = 15
    up_taps: Literal[1, 3, 5, 7] = 5
    block_seconds: float = Field(default=20.0, gt=0)


@register
class MixWaveUNet(Estimator):
    """Stereo tracks in a fixed number and order -> stereo mix.

    It proposes no graph: call :meth:`mix`. Untrained, it is the sum of its inputs.

    Args:
        config: its size.
        rack: none, or an empty one.

    Raises:
        GraphmixError: on a call, and wherever a graph is asked for.

    Example:
        >>> model = MixWaveUNet(MixWaveUNetConfig(tracks=4, levels=3, width=4))
        >>> stems = Stems(torch.randn(2, 2, 1000), ("bass", "voice"), 30000)
        >>> model.mix(stems).shape
        torch.Size([2, 1000])
    """

    config_type: ClassVar[type[ModelConfig]] = MixWaveUNetConfig
    proposes_graph: ClassVar[bool] = False
    config: MixWaveUNetConfig

    def __init__(self, config: ModelConfig, rack: Rack | None = None) -> None:
        super().__init__(config, rack)
        own = self.config
        sizes = [own.width * level for level in range(1, own.levels + 2)]
        inputs = 2 * own.tracks
        self.down = nn.ModuleList(
            nn.Conv1d(before, after, own.down_taps, padding=own.down_taps // 2)
            for before, after in zip([inputs, *sizes[:-2]], sizes[:-1], strict=True)
        )
        self.bottom = nn.Conv1d(sizes[-2], sizes[-1], own.down_taps, padding=own.down_taps // 2)
        self.up = nn.ModuleList(
            nn.Conv1d(before + beside, beside, own.up_taps, padding=own.up_taps // 2)
            for before, beside in zip(sizes[:0:-1], sizes[-2::-1], strict=True)
        )
        self.last = nn.Conv1d(sizes[0] + inputs, 2, 1)
        self._start_as_sum(inputs)

    @torch.no_grad()
    def _start_as_sum(self, inputs: int) -> None:
        """Left is the sum of the left channels, right that of the right ones, and nothing of the network."""
        self.last.weight.zero_()
        if self.last.bias is not None:
            self.last.bias.zero_()
        direct = self.last.weight[:, -inputs:, 0]
        direct[0, 0::2] = 1
        direct[1, 1::2] = 1

    def mix(self, stems: Stems) -> Tensor:
        """The mix of the tracks in the order in which they are given, [2, samples] at the model's rate; differentiable.

        Missing tracks are silence.
        """
        audio = resample(stems.audio, stems.sample_rate, self.sample_rate)
        inputs = self.inputs(audio.to(self.last.weight))
        if torch.is_grad_enabled():
            return self.transform(inputs[None])[0]
        return self._by_blocks(inputs)

    def inputs(self, audio: Tensor) -> Tensor:
        """Tracks [tracks, 2, samples] as the fixed number of inputs, [inputs, 2, samples]."""
        missing = self.config.tracks - audio.size(0)
        if missing >= 0:
            return functional.pad(audio, (0, 0, 0, 0, 0, missing))
        fitting = audio[: self.config.tracks]
        if self.config.excess == "cut":
            return fitting
        rest = audio[self.config.tracks :].sum(0, keepdim=True)
        return torch.cat([fitting[:-1], fitting[-1:] + rest])

    def transform(self, audio: Tensor) -> Tensor:
        """Inputs to mixes, [songs, inputs, 2, samples] -> [songs, 2, samples]."""
        samples, step = audio.size(-1), 2**self.config.levels
        tracks = functional.pad(audio.flatten(1, 2), (0, -samples % step))
        signal, beside = tracks, []
        for convolution in self.down:
            signal = functional.leaky_relu(convolution(signal), _LEAK)
            beside.append(signal)
            signal = signal[..., ::2]
        signal = functional.leaky_relu(self.bottom(signal), _LEAK)
        for convolution, skipped in zip(self.up, reversed(beside), strict=True):
            signal = functional.interpolate(signal, scale_factor=2.0, mode="linear", align_corners=False)
            signal = functional.leaky_relu(convolution(torch.cat([signal, skipped], dim=1)), _LEAK)
        return self.last(torch.cat([signal, tracks], dim=1))[..., :samples]

    @property
    def reach(self) -> int:
        """How many samples before and after a moment the mix there depends on, at most."""
        down, up, levels = self.config.down_taps // 2, self.config.up_taps // 2, self.config.levels
        return sum((down + up + 2) * 2**level for level in range(levels)) + down * 2**levels

    def _by_blocks(self, inputs: Tensor) -> Tensor:
        """As :meth:`transform`, block by block, each with what its edges depend on; blocks fall on whole frames."""
        step = 2**self.config.levels
        block = step * math.ceil(self.config.block_seconds * self.sample_rate / step)
        margin = step * math.ceil(self.reach / step)
        parts = []
        for begin in range(0, inputs.size(-1), block):
            start = max(0, begin - margin)
            part = self.transform(inputs[None, ..., start : begin + block + margin])[0]
            parts.append(part[:, begin - start : begin - start + block])
        return torch.cat(parts, dim=1)
