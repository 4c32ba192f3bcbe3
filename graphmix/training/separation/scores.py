"""How well sources are separated: SI-SDR beside the mixture itself (lower end) and the ideal ratio mask (upper end).

One number a source and song, in dB, of the whole stretch at once and of both channels together. A source that is silent
has none. *Improvement* is what is gained over the mixture as the estimate of each source.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from graphmix.models.masks.representation import Representation
from graphmix.models.masks.separator import MaskEstimator
from graphmix.training.separation.losses import is_audible, si_sdr

SCORE_EPS = 1e-12
_TINY = 1e-10


def ideal_ratio_masks(representation: Representation, stems: Tensor) -> Tensor:
    """What a real mask can reach: each source's share of the magnitudes, applied to the mixture, [sources, C, L].

    Args:
        representation: where masks are.
        stems: true sources, [sources, channels, samples].
    """
    coefficients = representation.encode(stems)
    magnitudes = coefficients.abs()
    masks = magnitudes / magnitudes.sum(dim=0, keepdim=True).clamp(min=_TINY)
    return representation.decode(masks * coefficients.sum(dim=0, keepdim=True), stems.size(-1))


@torch.no_grad()
def separate_whole(model: MaskEstimator, mixture: Tensor) -> Tensor:
    """Sources of a stereo mixture [2, samples], [sources, 2, samples]; a mono separator takes each channel alone."""
    if model.channels == mixture.size(0):
        return model.separate(mixture[None])[0]
    return model.separate(mixture[:, None])[:, :, 0].transpose(0, 1)


def source_scores(estimates: Tensor, stems: Tensor) -> Tensor:
    """SI-SDR of each source in dB, [sources]; not a number for a silent source."""
    scores = si_sdr(estimates, stems, eps=SCORE_EPS)
    return torch.where(is_audible(stems), scores, torch.nan)


@torch.no_grad()
def score_song(model: MaskEstimator, stems: Tensor) -> Mapping[str, Tensor]:
    """SI-SDR in dB of the separator, of the ideal ratio mask and of the mixture, [sources] each.

    Args:
        model: in evaluation mode.
        stems: true sources, [sources, 2, samples]; their sum is what is separated.
    """
    mixture = stems.sum(dim=0)
    return {
        "model": source_scores(separate_whole(model, mixture), stems),
        "ideal": source_scores(ideal_ratio_masks(model.representation, stems), stems),
        "mixture": source_scores(mixture.expand_as(stems), stems),
    }


def improvement(scores: Mapping[str, Tensor], of: str = "model") -> Tensor:
    """Mean improvement over the mixture, over all sources that are audible."""
    gains = (scores[of] - scores["mixture"]).flatten()
    return gains[gains.isfinite()].mean()
