"""Encoders of log-mel spectrograms, by the second and averaged over time; and an encoder of levels.

Convolutional ones split the spectrogram into seconds, embed each by itself, and average (as the DMC's encoder, which
weighs every second alike). Batch normalization learns its statistics in training and keeps them
afterwards, so that in evaluation a second's embedding depends on nothing but that second.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from graphmix.models.config import EncoderConfig
from graphmix.models.features import FRAMES_PER_SECOND, LEVELS, SILENCE, Levels, LogMel

_CHANNELS = 2
"""Mid and side."""


class Encoder(nn.Module, ABC):
    """Spectrograms to embeddings.

    Shape:
        features [tracks, 2, frames, mels] -> [tracks, embedding]
    """

    def __init__(self, embedding: int) -> None:
        super().__init__()
        self.embedding = embedding

    @abstractmethod
    def embed(self, seconds: Tensor) -> Tensor:
        """Embeddings of single seconds, [seconds, 2, 100 frames, mels] -> [seconds, embedding]; one or more."""

    def forward(self, features: Tensor) -> Tensor:
        """Embeddings of tracks of one length."""
        return self.encode([features])[0]

    def encode(self, songs: Sequence[Tensor]) -> list[Tensor]:
        """Embeddings of several songs, which may differ in length, in one pass.

        Args:
            songs: features of each, [tracks, 2, frames, mels]; a song may have no track.

        Returns:
            [tracks, embedding] for each song.
        """
        parts = [split_seconds(features) for features in songs]
        counts = [part.size(0) * part.size(1) for part in parts]
        if not sum(counts):
            weight = next(self.parameters())
            return [weight.new_zeros(part.size(0), self.embedding) for part in parts]
        embedded = self.embed(torch.cat([part.flatten(0, 1) for part in parts])).split(counts)
        return [
            own.reshape(part.size(0), part.size(1), self.embedding).mean(1)
            for own, part in zip(embedded, parts, strict=True)
        ]


def split_seconds(features: Tensor) -> Tensor:
    """Whole seconds of a spectrogram, [tracks, 2, frames, mels] -> [tracks, seconds, 2, 100, mels].

    A last half second or more is filled up with silence, less is left out; a first one is always kept.
    """
    tracks, channels, frames, mels = features.shape
    count = max(1, round(frames / FRAMES_PER_SECOND))
    missing = count * FRAMES_PER_SECOND - frames
    if missing > 0:
        silence = features.new_full((tracks, channels, missing, mels), SILENCE)
        features = torch.cat([features, silence], dim=2)
    whole = features[:, :, : count * FRAMES_PER_SECOND]
    return whole.unflatten(2, (count, FRAMES_PER_SECOND)).transpose(1, 2)


def _convolution(before: int, after: int, stride: int = 1) -> nn.Sequential:
    """3 × 3 convolution and batch normalization."""
    return nn.Sequential(nn.Conv2d(before, after, 3, stride, padding=1, bias=False), nn.BatchNorm2d(after))


class VGGish(Encoder):
    """VGGish (Hershey et al., "CNN architectures for large-scale audio classification", 2017), narrower.

    Six 3 × 3 convolutions in four groups, each group followed by max pooling, then two dense layers. Its 64, 128, 256,
    256, 512, 512 channels are here ``width`` times 1, 2, 4, 4, 8, 8, with batch normalization, which the original does
    not have; the last layer is linear.

    Args:
        mels: bands of the spectrogram.
        width: channels of the first convolution.
        embedding: size of the result.
        dropout: on the inputs of the dense layers.
    """

    def __init__(self, mels: int = 64, width: int = 12, embedding: int = 128, dropout: float = 0.0) -> None:
        super().__init__(embedding)
        layers: list[nn.Module] = []
        channels = _CHANNELS
        for group in ((1,), (2,), (4, 4), (8, 8)):
            for factor in group:
                layers += [_convolution(channels, factor * width), nn.ReLU()]
                channels = factor * width
            layers.append(nn.MaxPool2d(2))
        self.convolutions = nn.Sequential(*layers)
        cells = (FRAMES_PER_SECOND // 16) * (mels // 16)
        self.dense = nn.Sequential(
            nn.Linear(channels * cells, 2 * embedding), nn.ReLU(), nn.Linear(2 * embedding, embedding)
        )
        self.dropout = nn.Dropout(dropout)

    def embed(self, seconds: Tensor) -> Tensor:
        """Embeddings of single seconds."""
        embedded: Tensor = self.dense(self.dropout(self.convolutions(seconds).flatten(1)))
        return embedded


class _Residual(nn.Module):
    """Two convolutions beside a shortcut (He et al. 2016)."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(_convolution(before, after, stride), nn.ReLU(), _convolution(after, after))
        same = before == after and stride == 1
        self.shortcut: nn.Module = (
            nn.Identity()
            if same
            else nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.branch(x) + self.shortcut(x))


class ResidualEncoder(Encoder):
    """A residual network, the stronger encoder: eight residual blocks in four groups.

    The first convolution and each group but the first halve frames and bands; groups have ``width`` times 1, 2, 4, 8
    channels. The result is pooled over time (mean and maximum) but not over frequency, so that positions in the
    spectrum are kept.

    Args:
        mels: bands of the spectrogram.
        width: channels of the first group.
        embedding: size of the result.
        blocks: residual blocks in each group.
        dropout: on the input of the last layer.
    """

    def __init__(
        self, mels: int = 64, width: int = 12, embedding: int = 128, blocks: int = 2, dropout: float = 0.0
    ) -> None:
        super().__init__(embedding)
        layers: list[nn.Module] = [_convolution(_CHANNELS, width, stride=2), nn.ReLU()]
        channels, bands = width, -(-mels // 2)
        for group, factor in enumerate((1, 2, 4, 8)):
            for block in range(blocks):
                stride = 2 if group and not block else 1
                layers.append(_Residual(channels, factor * width, stride))
                channels, bands = factor * width, -(-bands // stride)
        self.convolutions = nn.Sequential(*layers)
        self.dense = nn.Linear(2 * channels * bands, embedding)
        self.dropout = nn.Dropout(dropout)

    def embed(self, seconds: Tensor) -> Tensor:
        """Embeddings of single seconds."""
        maps = self.convolutions(seconds)
        pooled = torch.cat([maps.mean(2), maps.amax(2)], dim=1)
        embedded: Tensor = self.dense(self.dropout(pooled.flatten(1)))
        return embedded


class StatisticsEncoder(Encoder):
    """Three dense layers on :class:`graphmix.models.features.Levels`; for few songs and few cores.

    It costs next to nothing, and ignores how a track changes over time. An excerpt of any length has one embedding.

    Args:
        mels: bands of the spectrogram.
        width: a sixteenth of the units of the hidden layers.
        embedding: size of the result.
        dropout: on the inputs of the second and third layer.

    Shape:
        features [tracks, 2, 6, mels + 1] -> [tracks, embedding]
    """

    def __init__(self, mels: int = 64, width: int = 16, embedding: int = 128, dropout: float = 0.0) -> None:
        super().__init__(embedding)
        hidden = 16 * width
        self.dense = nn.Sequential(
            nn.Linear(_CHANNELS * LEVELS * (mels + 1), hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, embedding),
        )
        self.dropout = nn.Dropout(dropout)

    def embed(self, seconds: Tensor) -> Tensor:
        """Embeddings of excerpts."""
        seen = seconds.flatten(1)
        for layer in self.dense:
            seen = layer(seen)
            if isinstance(layer, nn.ReLU):
                seen = self.dropout(seen)
        return seen

    def encode(self, songs: Sequence[Tensor]) -> list[Tensor]:
        """Embeddings of several songs, in one pass."""
        if not songs:
            return []
        return list(self.embed(torch.cat(list(songs))).split([len(song) for song in songs]))


def build_encoder(config: EncoderConfig, mels: int) -> Encoder:
    """The encoder that a configuration describes."""
    sizes = {"mels": mels, "width": config.width, "embedding": config.embedding}
    kinds = {"statistics": StatisticsEncoder, "residual": ResidualEncoder, "vggish": VGGish}
    encoder: Encoder = kinds[config.kind](**sizes, dropout=config.dropout)
    return encoder


def build_features(config: EncoderConfig, sample_rate: int, mels: int) -> LogMel | Levels:
    """The features that a configured encoder takes; a pure function of each track."""
    return (Levels if config.kind == "statistics" else LogMel)(sample_rate, mels)
