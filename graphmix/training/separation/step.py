"""The loss of one step: mixtures through a separator, its estimates against the stems."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from graphmix.models.masks.separator import MaskEstimator, MaskOutput
from graphmix.training.separation.config import SeparationLoss
from graphmix.training.separation.losses import (
    PairLoss,
    deep_clustering,
    dominant_source,
    is_audible,
    magnitude_loss,
    permutation_invariant,
    si_sdr,
)
from graphmix.training.separation.remix import Mixtures

SDR_UNIT_DB = 10.0


class SeparationStep(nn.Module):
    """A separator and its losses.

    Args:
        model: to be trained.
        loss: weights of the terms.

    Shape:
        mixtures and their stems -> the terms, and their weighted sum as ``"total"``.
    """

    def __init__(self, model: MaskEstimator, loss: SeparationLoss) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, batch: Mixtures) -> dict[str, Tensor]:
        """The terms of a step."""
        mixture, stems = as_channels(batch.mixture, self.model.channels), as_channels(batch.stems, self.model.channels)
        model, weights = self.model, self.loss.weights
        sources = stems.size(1)
        targets = model.representation.encode(stems.flatten(0, 1)).unflatten(0, stems.shape[:2])
        output = model(mixture)
        estimates = output.estimates
        scale = _level(output.mixture)
        order: Sequence[int] | Tensor = range(sources)
        terms: dict[str, Tensor] = {}
        if weights["magnitude_l1"] or self.loss.permutation_invariant:
            terms["magnitude_l1"], order = self._sources(_magnitude(1), estimates / scale, targets / scale)
        placed = _in_order(estimates, order)
        if weights["magnitude_mse"]:
            terms["magnitude_mse"] = magnitude_loss(
                (placed / scale).flatten(0, 1), (targets / scale).flatten(0, 1), 2
            ).mean()
        if weights["spectral_sdr"]:
            terms["spectral_sdr"] = _negative_sdr(placed, targets, stems)
        if weights["si_sdr"]:
            decoded = model.representation.decode(placed.flatten(0, 1), mixture.size(-1))
            terms["si_sdr"] = _negative_sdr(decoded.unflatten(0, stems.shape[:2]), stems, stems)
        if weights["deep_clustering"]:
            terms["deep_clustering"] = self._clustering(output, targets)
        total = torch.stack([weights[name] * value for name, value in terms.items() if weights[name]]).sum()
        return {"total": total, **terms}

    def _sources(self, loss: PairLoss, estimates: Tensor, targets: Tensor) -> tuple[Tensor, Sequence[int] | Tensor]:
        """The mean loss over examples and sources, and the order of the sources."""
        if not self.loss.permutation_invariant:
            return loss(estimates.flatten(0, 1), targets.flatten(0, 1)).mean(), range(targets.size(1))
        value, order = permutation_invariant(loss, estimates, targets)
        return value.mean(), order

    def _clustering(self, output: MaskOutput, targets: Tensor) -> Tensor:
        assert output.embedding is not None, "the configuration allows deep clustering for such models alone"
        features = self.model.representation.features(targets.flatten(0, 1)).unflatten(0, targets.shape[:2])
        best, weights = dominant_source(features)
        return deep_clustering(output.embedding, best, weights).mean()


def as_channels(audio: Tensor, channels: int) -> Tensor:
    """Stereo audio [..., 2, samples] for a separator of so many channels: as it is, or its mid."""
    return audio if channels == audio.size(-2) else audio.mean(dim=-2, keepdim=True)


def _magnitude(power: int) -> PairLoss:
    return lambda estimates, targets: magnitude_loss(estimates, targets, power)


def _level(mixture: Tensor) -> Tensor:
    """Mean magnitude of each mixture, so that soft examples count like loud ones, [N, 1, 1, 1, 1]."""
    return mixture.abs().mean(dim=(1, 2, 3)).clamp(min=1e-6)[:, None, None, None, None]


def _in_order(estimates: Tensor, order: Sequence[int] | Tensor) -> Tensor:
    """Estimates [N, sources, ...] as the targets that they were given to."""
    if not isinstance(order, Tensor):
        return estimates
    return estimates[torch.arange(len(order), device=order.device)[:, None], order]


def _negative_sdr(estimates: Tensor, targets: Tensor, stems: Tensor) -> Tensor:
    """Mean of negative SI-SDR over sources that can be heard, divided by 10 dB; zero where there is none."""
    audible = is_audible(stems.flatten(0, 1))
    ratio = si_sdr(estimates.flatten(0, 1), targets.flatten(0, 1), eps=1e-3)
    return -(ratio * audible).sum() / audible.sum().clamp(min=1) / SDR_UNIT_DB
