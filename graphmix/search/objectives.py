"""What a search may minimise: the audio losses by name, what they have in common, and sums of them.

An *objective* is an audio loss: a distance of a mix from its target. The default is that of the pruning paper,
:class:`graphmix.search.MixLoss`. The others add to it what it hardly notices:

- ``dynamics``: how levels move (:mod:`graphmix.search.dynamics_loss`);
- ``loudness``: what is audible (:mod:`graphmix.search.loudness_loss`).

All are of the same order of size and have the same four terms, so that tolerances, rates and regularizations keep their
meaning. Whatever is minimised, the L_a of tables and of ``metrics.json`` is the paper's.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from graphmix.audio.segments import evaluation_segments
from graphmix.errors import SearchError
from graphmix.search.dynamics_loss import DynamicsLoss
from graphmix.search.losses import LossTerms, MixLoss, gated_level
from graphmix.search.loudness_loss import LoudnessLoss

PAPER_OBJECTIVE = "paper"
DYNAMICS_WEIGHT = 2.0
"""Beside the paper's loss: a compressor that should not be there then costs about as much by either."""
LOUDNESS_WEIGHTS = (0.5, 2.0)
"""Of the paper's loss and of the loudness: a lead at another level costs about as much by either."""


class AudioLoss(Protocol):
    """A distance of a prediction from a target, differentiable in the prediction, zero where they are equal.

    Features of a target are computed once and given in place of it. They may be compared with the level of the song
    that the target is cut from, of which each loss has its own idea: :meth:`levels` of a song's segments, put together
    by :func:`graphmix.search.losses.gated_level`.
    """

    @property
    def num_levels(self) -> int:
        """Rows of a level."""

    def features(self, audio: Tensor, song_level: Tensor | None = None) -> Any:
        """What the loss needs of targets, [..., 2, samples]; ``song_level`` is [rows, 3] or [batch, rows, 3]."""

    def with_song_level(self, features: Any, song_level: Tensor) -> Any:
        """The features of targets, compared with the level of their song."""

    def levels(self, features: Any) -> Tensor:
        """Levels of targets: left and right together, mid, side, [batch, rows, 3]."""

    def per_item(self, *, prediction: Tensor, target: Any, song_level: Tensor | None = None) -> LossTerms:
        """The loss of each item, terms [batch]; a target is audio or its features."""

    def __call__(self, *, prediction: Tensor, target: Any, song_level: Tensor | None = None) -> LossTerms:
        """The loss, the mean over the items."""

    def to(self, device: torch.device) -> "AudioLoss":
        """The same on a device."""


class WeightedLoss(nn.Module):
    """A weighted sum of audio losses, each with its own idea of a song's level.

    Args:
        parts: name -> weight and loss.

    >>> loss = WeightedLoss({"paper": (1.0, MixLoss(30_000)), "dynamics": (0.5, DynamicsLoss(30_000))})
    >>> mix = torch.randn(1, 2, 30_000)
    >>> float(loss(prediction=mix, target=loss.features(mix)).total)
    0.0
    """

    def __init__(self, parts: Mapping[str, tuple[float, AudioLoss]]) -> None:
        super().__init__()
        if not parts:
            raise SearchError("a weighted loss has no parts: give one or more.")
        self.weights = tuple(weight for weight, _ in parts.values())
        self._parts = nn.ModuleDict({name: cast(nn.Module, loss) for name, (_, loss) in parts.items()})

    @property
    def parts(self) -> dict[str, AudioLoss]:
        """The losses by name."""
        return {name: cast(AudioLoss, module) for name, module in self._parts.items()}

    @property
    def num_levels(self) -> int:
        """Rows of all parts, one below the other."""
        return sum(part.num_levels for part in self.parts.values())

    def features(self, audio: Tensor, song_level: Tensor | None = None) -> tuple[Any, ...]:
        """Features of each part."""
        features = tuple(part.features(audio) for part in self.parts.values())
        return features if song_level is None else self.with_song_level(features, song_level)

    def with_song_level(self, features: Sequence[Any], song_level: Tensor) -> tuple[Any, ...]:
        """Features of each part, compared with its rows of the level."""
        parts = self.parts.values()
        rows = song_level.split([part.num_levels for part in parts], -2)
        return tuple(part.with_song_level(*own) for part, *own in zip(parts, features, rows, strict=True))

    def levels(self, features: Sequence[Any]) -> Tensor:
        """Levels of all parts, [batch, rows, 3]."""
        return torch.cat([part.levels(own) for part, own in zip(self.parts.values(), features, strict=True)], 1)

    def per_item(self, *, prediction: Tensor, target: Any, song_level: Tensor | None = None) -> LossTerms:
        """As a call, but each term has shape [batch]."""
        features = self.features(target, song_level) if isinstance(target, Tensor) else target
        total: list[Tensor | float] = [0.0] * len(LossTerms._fields)
        for weight, part, own in zip(self.weights, self.parts.values(), features, strict=True):
            terms = part.per_item(prediction=prediction, target=own)
            total = [so_far + weight * term for so_far, term in zip(total, terms, strict=True)]
        return LossTerms(*cast(list[Tensor], total))

    def forward(self, *, prediction: Tensor, target: Any, song_level: Tensor | None = None) -> LossTerms:
        """The weighted sum and its three parts, each the mean over the items."""
        terms = self.per_item(prediction=prediction, target=target, song_level=song_level)
        return LossTerms(*(term.mean() for term in terms))


def dynamics_objective(sample_rate: int) -> WeightedLoss:
    """The paper's loss and the dynamics."""
    return WeightedLoss(
        {
            PAPER_OBJECTIVE: (1.0, MixLoss(sample_rate)),
            "dynamics": (DYNAMICS_WEIGHT, DynamicsLoss(sample_rate)),
        }
    )


def loudness_objective(sample_rate: int) -> WeightedLoss:
    """Half of the paper's loss, and the loudness."""
    return WeightedLoss(
        {
            PAPER_OBJECTIVE: (LOUDNESS_WEIGHTS[0], MixLoss(sample_rate)),
            "loudness": (LOUDNESS_WEIGHTS[1], LoudnessLoss(sample_rate)),
        }
    )


OBJECTIVES: dict[str, Callable[[int], AudioLoss]] = {
    PAPER_OBJECTIVE: MixLoss,
    "dynamics": dynamics_objective,
    "loudness": loudness_objective,
}
"""Name -> what makes the loss for a sample rate in Hz."""


class SongDistance:
    """An audio loss over a whole song: the mean over its segments, weighted by their samples, compared with its level.

    As :meth:`graphmix.search.Objective.evaluate`, of mixes that are there already.

    Args:
        loss: on the device of the audio.
        target: the song's mix, [2, samples].
        segment_samples: of a segment.
    """

    def __init__(self, loss: AudioLoss, target: Tensor, segment_samples: int) -> None:
        segments = evaluation_segments(target.size(-1), 0, segment_samples)
        self.loss, self.weights = loss, [float(segment.weight) for segment in segments]
        self.places = [slice(s.start + s.score_from, s.start + s.score_to) for s in segments]
        features = [loss.features(target[None, :, place]) for place in self.places]
        level = gated_level(torch.cat([loss.levels(own) for own in features]), torch.tensor(self.weights).to(target))
        self.features = [loss.with_song_level(own, level) for own in features]

    @torch.no_grad()
    def __call__(self, prediction: Tensor) -> LossTerms:
        """The loss of a mix, [2, samples]."""
        total = torch.zeros(len(LossTerms._fields), dtype=torch.float64, device=prediction.device)
        for weight, place, features in zip(self.weights, self.places, self.features, strict=True):
            terms = self.loss(prediction=prediction[None, :, place], target=features)
            total += weight * torch.stack(terms).double()
        return LossTerms(*(total / sum(self.weights)))
