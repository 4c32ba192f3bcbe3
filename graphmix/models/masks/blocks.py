"""The bodies of separators: recurrent and convolutional stacks, and the levels of a U-Net."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from graphmix.models.masks.config import Cell, RecurrentConfig

_CELLS: dict[Cell, type[nn.LSTM | nn.GRU]] = {"lstm": nn.LSTM, "gru": nn.GRU}


def as_frames(features: Tensor) -> Tensor:
    """All features of a frame in one row, [N, channels, bins, frames] -> [N, frames, channels * bins]."""
    return features.flatten(1, 2).mT


class RecurrentStack(nn.Module):
    """Recurrent layers along time.

    Args:
        inputs: numbers of a frame.
        config: cell, width, layers, directions, dropout.

    Shape:
        [N, frames, inputs] -> [N, frames, outputs], outputs = hidden, or twice that in two directions.
    """

    def __init__(self, inputs: int, config: RecurrentConfig) -> None:
        super().__init__()
        self.outputs = config.hidden * (1 + config.bidirectional)
        self.stack = _CELLS[config.cell](
            inputs,
            config.hidden,
            config.layers,
            batch_first=True,
            bidirectional=config.bidirectional,
            dropout=config.dropout if config.layers > 1 else 0.0,
        )

    def forward(self, frames: Tensor) -> Tensor:
        """Run over the frames, from zeros."""
        return self.stack(frames)[0]


class ConvolutionStack(nn.Sequential):
    """Convolutions over bins and frames, each with batch normalization and ReLU.

    Args:
        inputs: channels that come in.
        widths: channels after each convolution.
        kernel: bins and frames that each looks at; an odd number.

    Shape:
        [N, inputs, bins, frames] -> [N, last of widths, bins, frames].
    """

    def __init__(self, inputs: int, widths: tuple[int, ...], kernel: int = 5) -> None:
        layers: list[nn.Module] = []
        for before, after in pairwise((inputs, *widths)):
            layers += [
                nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(inplace=True),
            ]
        super().__init__(*layers)


class DownBlock(nn.Sequential):
    """A level of a U-Net's way down: half the bins, half the frames (rounded up).

    Args:
        inputs: channels that come in.
        outputs: channels that go out.

    Shape:
        [N, inputs, bins, frames] -> [N, outputs, ceil(bins / 2), ceil(frames / 2)].
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 5, stride=2, padding=2, bias=False),
            nn.BatchNorm2d(outputs),
            nn.LeakyReLU(0.2, inplace=True),
        )


class UpBlock(nn.Module):
    """A level of its way up: the bins and frames of the level above, whose signal joins.

    Args:
        inputs: channels that come from below.
        skip: channels that come across.
        outputs: channels that go out.

    Shape:
        [N, inputs, ceil(bins / 2), ceil(frames / 2)], [N, skip, bins, frames] -> [N, outputs, bins, frames].
    """

    def __init__(self, inputs: int, skip: int, outputs: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(inputs, outputs, 5, stride=2, padding=2, output_padding=1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.join = nn.Conv2d(outputs + skip, outputs, 3, padding=1)

    def forward(self, below: Tensor, across: Tensor) -> Tensor:
        """Double the resolution and join."""
        up = self.up(below)[..., : across.size(-2), : across.size(-1)]
        return functional.relu(self.join(torch.cat((functional.relu(self.norm(up)), across), dim=1)))


class UNet(nn.Module):
    """Down, then up, with connections across.

    Args:
        inputs: channels that come in.
        width: channels after the first level down; each further one has twice as many.
        levels: how often the resolution is halved.
        most: channels of a level at the most.

    Shape:
        [N, inputs, bins, frames] -> [N, width, bins, frames], any number of bins and frames.
    """

    def __init__(self, inputs: int, width: int, levels: int, most: int) -> None:
        super().__init__()
        widths = [inputs, *(min(most, width * 2**level) for level in range(levels))]
        self.outputs = width
        self.down = nn.ModuleList(DownBlock(a, b) for a, b in pairwise(widths))
        self.up = nn.ModuleList(
            UpBlock(widths[level + 1], widths[level], max(width, widths[level])) for level in reversed(range(levels))
        )

    def forward(self, features: Tensor) -> Tensor:
        """Run down and up again."""
        signals = [features]
        for down in self.down:
            signals.append(down(signals[-1]))
        result = signals.pop()
        for up in self.up:
            result = up(result, signals.pop())
        return result


class DualPathLayer(nn.Module):
    """A recurrent layer along time, then one across bands, each with a residual connection.

    Args:
        features: numbers of a band and frame.
        hidden: units of a direction.
        cell: ``"lstm"`` or ``"gru"``.

    Shape:
        [N, bands, frames, features] -> the same.
    """

    def __init__(self, features: int, hidden: int, cell: Cell) -> None:
        super().__init__()
        config = RecurrentConfig(cell=cell, hidden=hidden, layers=1, dropout=0.0)
        self.norms = nn.ModuleList(nn.LayerNorm(features) for _ in range(2))
        self.stacks = nn.ModuleList(RecurrentStack(features, config) for _ in range(2))
        self.outputs = nn.ModuleList(nn.Linear(2 * hidden, features) for _ in range(2))

    def forward(self, bands: Tensor) -> Tensor:
        """Along time for each band, across bands for each frame."""
        for norm, stack, output in zip(self.norms, self.stacks, self.outputs, strict=True):
            rows = norm(bands).flatten(0, 1)
            bands = bands + output(stack(rows)).unflatten(0, bands.shape[:2])
            bands = bands.transpose(1, 2)  # twice: as it was
        return bands
