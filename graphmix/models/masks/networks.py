"""The networks, from these blocks: mask inference, chimera, Open-Unmix-like, band-split, U-Net.

In the order in which they build on each other. Each estimates masks from amplitudes; what is around that is
:class:`graphmix.models.masks.separator.MaskEstimator`.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from graphmix.errors import GraphmixError
from graphmix.models.masks.blocks import DualPathLayer, RecurrentStack, UNet, as_frames
from graphmix.models.masks.config import (
    BandSplitConfig,
    ChimeraConfig,
    ConstantQConfig,
    MaskConfig,
    MaskInferenceConfig,
    OpenUnmixConfig,
    RecurrentConfig,
    UNetConfig,
)
from graphmix.models.masks.heads import BandsToMasks, ClusteringEmbedding, EmbeddingToMasks, activate_masks, numbers_of
from graphmix.models.masks.mel_bands import mel_centers
from graphmix.models.masks.normalization import AmplitudeToDecibel, Level
from graphmix.models.masks.representation import STFT, Mel
from graphmix.models.masks.separator import MaskEstimator


class MaskInference(MaskEstimator):
    """Amplitude in dB, normalized, through a recurrent stack, to masks."""

    config: MaskInferenceConfig

    def __init__(self, config: MaskInferenceConfig) -> None:
        super().__init__(config)
        bins = self.representation.feature_bins
        self.level = Level(config.normalization, config.channels, bins)
        self.stack = RecurrentStack(config.channels * bins, config.recurrent)
        self.masks = EmbeddingToMasks(self.stack.outputs, len(config.sources), config.channels, bins, config.mask)

    def embed(self, features: Tensor) -> Tensor:
        """The embedding of each frame, [mixtures, frames, size]."""
        return self.stack(as_frames(self.level(features)))

    def estimate(self, features: Tensor) -> tuple[Tensor, Tensor | None]:
        """Masks, and no embedding."""
        return self.masks(self.embed(features)), None


class Chimera(MaskInference):
    """Mask inference, and an embedding of each bin from the same stack (Luo et al. 2017).

    The second head is trained by deep clustering, and serves the first one: what tells sources apart is learned also
    where no mask depends on it yet.
    """

    config: ChimeraConfig

    def __init__(self, config: ChimeraConfig) -> None:
        super().__init__(config)
        bins = self.representation.feature_bins
        self.clustering = ClusteringEmbedding(self.stack.outputs, config.channels, bins, config.embedding)

    def estimate(self, features: Tensor) -> tuple[Tensor, Tensor | None]:
        """Masks and embedding."""
        embedding = self.embed(features)
        return self.masks(embedding), self.clustering(embedding)


class OpenUnmixSource(nn.Module):
    """The stack of one source.

    Args:
        channels, bins: of the features; masks are estimated for all of them.
        used: bins that are looked at.
        config: sizes.

    Shape:
        [N, channels, bins, frames] -> masks [N, channels, bins, frames].
    """

    def __init__(self, channels: int, bins: int, used: int, config: OpenUnmixConfig) -> None:
        super().__init__()
        hidden = config.hidden
        self.channels, self.bins = channels, bins
        self.input_offset, self.input_scale = nn.Parameter(torch.zeros(used)), nn.Parameter(torch.ones(used))
        self.encode = nn.Linear(channels * used, hidden, bias=False)
        self.encode_norm = nn.BatchNorm1d(hidden)
        recurrent = RecurrentConfig(
            hidden=hidden // 2 if config.bidirectional else hidden,
            layers=config.layers,
            bidirectional=config.bidirectional,
            dropout=config.dropout,
        )
        self.stack = RecurrentStack(hidden, recurrent)
        self.middle = nn.Linear(2 * hidden, hidden, bias=False)
        self.middle_norm = nn.BatchNorm1d(hidden)
        self.decode = nn.Linear(hidden, channels * bins, bias=False)
        self.decode_norm = nn.BatchNorm1d(channels * bins)

    def forward(self, features: Tensor) -> Tensor:
        """Masks."""
        used = features[:, :, : len(self.input_scale)].mT  # [N, channels, frames, bins]
        inputs = ((used + self.input_offset) * self.input_scale).transpose(1, 2).flatten(2)
        encoded = self.encode_norm(self.encode(inputs).mT).tanh().mT
        joined = torch.cat((encoded, self.stack(encoded)), dim=-1)
        middle = functional.relu(self.middle_norm(self.middle(joined).mT)).mT
        values = self.decode_norm(self.decode(middle).mT)
        return values.sigmoid().unflatten(1, (self.channels, self.bins))


class OpenUnmix(MaskEstimator):
    """A stack for each source: dense, recurrent with a connection around it, dense, dense.

    As in Open-Unmix but for the last step: masks end at 1, where the original's may amplify; and levels in dB come in
    where the original takes amplitudes.
    """

    config: OpenUnmixConfig

    def __init__(self, config: OpenUnmixConfig) -> None:
        super().__init__(config)
        bins = self.representation.feature_bins
        used = self._used()
        self.level = Level("data", config.channels, bins)
        self.stacks = nn.ModuleList(OpenUnmixSource(config.channels, bins, used, config) for _ in config.sources)

    def estimate(self, features: Tensor) -> tuple[Tensor, Tensor | None]:
        """Masks, and no embedding."""
        level = self.level(features)
        return torch.stack([stack(level) for stack in self.stacks], dim=1), None

    def _used(self) -> int:
        config, bins = self.config, self.representation.feature_bins
        if isinstance(config.representation, ConstantQConfig):
            octaves = np.log2(config.bandwidth_hz / config.representation.low_hz)
            return int(np.clip(2 + octaves * config.representation.bins_per_octave, 1, bins))
        half = config.sample_rate / 2
        centers = np.arange(bins) / (bins - 1) * half
        if isinstance(self.representation, Mel):
            full = self.representation.bins
            centers = mel_centers(full, bins, config.sample_rate) / (full - 1) * half
        return max(1, int((centers <= config.bandwidth_hz).sum()))


class BandSplit(MaskEstimator):
    """Each band of bins to a vector, recurrent layers along time and across bands, each vector to its band's masks."""

    config: BandSplitConfig

    def __init__(self, config: BandSplitConfig) -> None:
        super().__init__(config)
        bins = self.representation.feature_bins
        if config.bands > bins:
            raise GraphmixError(f"{config.bands} bands do not fit into {bins} bins; use fewer, or more bins.")
        self.widths = self._widths(bins)
        self.level = AmplitudeToDecibel()
        self.split = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm1d(config.channels * width), nn.Conv1d(config.channels * width, config.features, 1)
            )
            for width in self.widths
        )
        self.layers = nn.ModuleList(
            DualPathLayer(config.features, config.recurrent_hidden, config.cell) for _ in range(config.layers)
        )
        self.masks = BandsToMasks(
            self.widths, config.features, config.mask_hidden, len(config.sources), config.channels, config.mask
        )

    def estimate(self, features: Tensor) -> tuple[Tensor, Tensor | None]:
        """Masks, and no embedding."""
        parts = self.level(features).split(self.widths, dim=2)
        vectors = [split(part.flatten(1, 2)).mT for split, part in zip(self.split, parts, strict=True)]
        bands = torch.stack(vectors, dim=1)
        for layer in self.layers:
            bands = layer(bands)
        return self.masks(bands), None

    def _widths(self, bins: int) -> tuple[int, ...]:
        """Bins of each band; where the features are not linear in frequency they are equal."""
        config = self.config
        if type(self.representation) is STFT:
            edges = mel_centers(bins + 1, config.bands + 1, config.sample_rate)
        else:
            edges = np.linspace(0, bins, config.bands + 1)
        return tuple(int(width) for width in np.diff(np.round(edges).astype(int)))


class UNetSeparator(MaskEstimator):
    """Amplitude in dB, normalized, through a U-Net, to masks."""

    config: UNetConfig

    def __init__(self, config: UNetConfig) -> None:
        super().__init__(config)
        self.level = Level(config.normalization, config.channels, self.representation.feature_bins)
        self.body = UNet(config.channels, config.width, config.levels, config.most)
        numbers = numbers_of(config.mask) * len(config.sources)
        self.rows = (numbers, config.channels)
        self.last = nn.Conv2d(self.body.outputs, numbers * config.channels, 1)

    def estimate(self, features: Tensor) -> tuple[Tensor, Tensor | None]:
        """Masks, and no embedding."""
        values = self.last(self.body(self.level(features)))
        return activate_masks(values.unflatten(1, self.rows), self.config.mask), None


SEPARATORS: dict[str, tuple[type[MaskConfig], type[MaskEstimator]]] = {
    "mask_inference": (MaskInferenceConfig, MaskInference),
    "chimera": (ChimeraConfig, Chimera),
    "open_unmix": (OpenUnmixConfig, OpenUnmix),
    "band_split": (BandSplitConfig, BandSplit),
    "unet": (UNetConfig, UNetSeparator),
}
"""Name of a network -> its configuration and its class."""
