"""The heads of separators: from an embedding of each frame to masks, and to unit vectors for clustering."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from graphmix.models.masks.config import MaskActivation


def activate_masks(values: Tensor, activation: MaskActivation) -> Tensor:
    """Masks from any numbers.

    Args:
        values: [N, sources, channels, bins, frames]; twice as many sources for ``"tanh_complex"``, real parts first.
        activation: ``"sigmoid"`` each from 0 to 1; ``"softmax"`` likewise, and the sources' masks add up to 1;
            ``"tanh_complex"`` real and imaginary part each from -1 to 1.

    Returns:
        [N, sources, channels, bins, frames]
    """
    if activation == "sigmoid":
        return values.sigmoid()
    if activation == "softmax":
        return values.softmax(dim=1)
    real, imaginary = values.tanh().chunk(2, dim=1)
    return torch.complex(real, imaginary)


def numbers_of(activation: MaskActivation) -> int:
    """How many numbers a mask takes at each bin."""
    return 2 if activation == "tanh_complex" else 1


class EmbeddingToMasks(nn.Module):
    """Masks from an embedding of each frame.

    Args:
        inputs: size of the embedding.
        sources: how many.
        channels: of the mixture.
        bins: of the features.
        activation: of the masks.

    Shape:
        [N, frames, inputs] -> [N, sources, channels, bins, frames].

    Example:
        >>> EmbeddingToMasks(8, sources=3, channels=2, bins=5, activation="softmax")(torch.zeros(1, 4, 8)).shape
        torch.Size([1, 3, 2, 5, 4])
    """

    def __init__(self, inputs: int, sources: int, channels: int, bins: int, activation: MaskActivation) -> None:
        super().__init__()
        self.shape, self.activation = (numbers_of(activation) * sources, channels, bins), activation
        self.linear = nn.Linear(inputs, numbers_of(activation) * sources * channels * bins)

    def forward(self, embedding: Tensor) -> Tensor:
        """Project and activate."""
        return activate_masks(self.linear(embedding).mT.unflatten(1, self.shape), self.activation)


class ClusteringEmbedding(nn.Module):
    """A vector of length 1 for each bin of each channel: bins of one source come to lie close to each other.

    Args:
        inputs: size of the embedding of a frame.
        channels: of the mixture.
        bins: of the features.
        size: of the vectors.

    Shape:
        [N, frames, inputs] -> [N, frames * channels * bins, size].
    """

    def __init__(self, inputs: int, channels: int, bins: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.linear = nn.Linear(inputs, channels * bins * size)

    def forward(self, embedding: Tensor) -> Tensor:
        """Project to the unit sphere."""
        vectors = self.linear(embedding).tanh().unflatten(-1, (-1, self.size)).flatten(1, 2)
        return functional.normalize(vectors, dim=-1)


class BandsToMasks(nn.Module):
    """Masks of bands of their own widths, from the features of each.

    Args:
        widths: bins of each band.
        inputs: numbers of a band and frame.
        hidden: units before the masks.
        sources: how many.
        channels: of the mixture.
        activation: of the masks.

    Shape:
        [N, bands, frames, inputs] -> [N, sources, channels, sum of widths, frames].
    """

    def __init__(
        self,
        widths: tuple[int, ...],
        inputs: int,
        hidden: int,
        sources: int,
        channels: int,
        activation: MaskActivation,
    ) -> None:
        super().__init__()
        self.rows, self.activation = (numbers_of(activation) * sources, channels), activation
        numbers = numbers_of(activation) * sources * channels
        self.bands = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(inputs), nn.Linear(inputs, hidden), nn.Tanh(), nn.Linear(hidden, numbers * width)
            )
            for width in widths
        )

    def forward(self, bands: Tensor) -> Tensor:
        """Project each band and activate."""
        parts = [
            band(rows).mT.unflatten(1, (*self.rows, -1)) for band, rows in zip(self.bands, bands.unbind(1), strict=True)
        ]
        return activate_masks(torch.cat(parts, dim=3), self.activation)
