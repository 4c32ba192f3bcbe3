r"""What the objectives beside the paper's have in common: a pattern of four signals is compared.

.. math:: L = \tfrac12 L_{lr} + \tfrac14 L_m + \tfrac14 L_s, \qquad
    L_x = u \operatorname{mean} |Q_x - \hat Q_x|

Q is the pattern of a signal, u its unit. Signals are left, right, mid = (left + right) / 2 and side =
(left - right) / 2, so that a mono mix is as loud in its mid as in its left; left and right count together, by the mean
of both. The weights are those of equation 3 of the pruning paper.

A pattern is made of *powers*, which know no level, and of the level at which they are to be seen, the mean square of
left and right. That is the song's where it is known, else the target's own. So nothing is divided by what may be
silent: a silent target has a pattern like any other, and what leaks into it counts as much as it would elsewhere.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from graphmix.errors import SearchError
from graphmix.search.losses import LossTerms

SOFTEST_POWER = 1e-6
"""Mean square, -60 dB, below which no song is taken to be: digital silence has no level."""
WEIGHTS = (0.5, 0.25, 0.25)
"""Of left and right together, mid, side."""


@dataclass(frozen=True)
class TargetPattern:
    """What a :class:`PatternLoss` needs of targets.

    Shape:
        powers  [batch, 4 (left, right, mid, side), ...]
        levels  [batch, 3 (left and right together, mid, side)], root mean squares
        power   [batch] or [1], the mean square at which the pattern was made
        pattern as ``powers``, or with further axes
    """

    powers: Tensor
    levels: Tensor
    power: Tensor
    pattern: Tensor
    num_samples: int

    @property
    def batch_size(self) -> int:
        """Number of targets."""
        return self.powers.size(0)


class PatternLoss(nn.Module, ABC):
    """A loss that compares patterns of left, right, mid and side.

    Args:
        sample_rate: in Hz.
        shortest: samples that it needs at the least.

    Shape:
        prediction and target [..., 2, samples] -> four numbers, means over all items. A single target may meet several
        predictions.
    """

    num_levels = 1
    unit = 1.0

    def __init__(self, sample_rate: int, shortest: int) -> None:
        super().__init__()
        self.sample_rate, self.shortest = sample_rate, shortest

    @abstractmethod
    def measure(self, audio: Tensor) -> Tensor:
        """Powers, [batch, 2, samples] -> [batch, 4, ...]."""

    @abstractmethod
    def pattern(self, powers: Tensor, power: Tensor) -> Tensor:
        """What is compared, made of powers [batch, 4, ...] and a mean square [batch] or [1]."""

    @torch.no_grad()
    def features(self, audio: Tensor, song_level: Tensor | None = None) -> TargetPattern:
        """What the loss needs of a target, computed once, without gradients.

        Args:
            audio: [..., 2, samples].
            song_level: of the song that it is cut from, [1, 3] or one for each item, [batch, 1, 3]; without it, the
                target's own.
        """
        audio = self._checked(audio)
        powers = self.measure(audio)
        levels = four_signals(audio).square().mean(-1)
        levels = torch.cat((levels[:, :2].mean(1, keepdim=True), levels[:, 2:]), 1).sqrt()
        features = TargetPattern(powers, levels, levels[:, 0].square(), powers, audio.size(-1))
        return self.with_song_level(features, levels[:, None] if song_level is None else song_level)

    @torch.no_grad()
    def with_song_level(self, features: TargetPattern, song_level: Tensor) -> TargetPattern:
        """The features of a target, seen at the level of its song."""
        power = song_level[..., 0, 0].reshape(-1).to(features.powers).square().clamp(min=SOFTEST_POWER)
        return replace(features, power=power, pattern=self.pattern(features.powers, power))

    def levels(self, features: TargetPattern) -> Tensor:
        """Root mean squares of targets, [batch, 1, 3]."""
        return features.levels[:, None]

    def per_item(
        self, *, prediction: Tensor, target: Tensor | TargetPattern, song_level: Tensor | None = None
    ) -> LossTerms:
        """As a call, but each term has shape [batch]: one number for each item, e.g. for each trial."""
        features = target if isinstance(target, TargetPattern) else self.features(target, song_level)
        audio = self._checked(prediction)
        if features.num_samples != audio.size(-1) or features.batch_size not in (1, len(audio)):
            raise SearchError(
                f"the prediction has {len(audio)} items of {audio.size(-1)} samples, the target "
                f"{features.batch_size} of {features.num_samples}: cut both to the same segment."
            )
        pattern = self.pattern(self.measure(audio), features.power)
        terms = self.unit * (pattern - features.pattern).abs().flatten(2).mean(-1)
        left_right, mid, side = terms[:, :2].mean(1), terms[:, 2], terms[:, 3]
        total = WEIGHTS[0] * left_right + WEIGHTS[1] * mid + WEIGHTS[2] * side
        return LossTerms(total, left_right, mid, side)

    def forward(
        self, *, prediction: Tensor, target: Tensor | TargetPattern, song_level: Tensor | None = None
    ) -> LossTerms:
        """The loss and its three parts, each the mean over the items; ``song_level`` as in :meth:`features`."""
        terms = self.per_item(prediction=prediction, target=target, song_level=song_level)
        return LossTerms(*(term.mean() for term in terms))

    def _checked(self, audio: Tensor) -> Tensor:
        """The audio as [batch, 2, samples]."""
        if audio.dim() < 2 or audio.size(-2) != 2:
            raise SearchError(f"the loss compares stereo, shape [..., 2, samples], and this has {list(audio.shape)}.")
        if audio.size(-1) < self.shortest:
            raise SearchError(f"the segment has {audio.size(-1)} samples: {type(self).__name__} needs {self.shortest}.")
        like = next(self.buffers())
        if audio.dtype != like.dtype or audio.device != like.device:
            raise SearchError(
                f"the audio is {audio.dtype} on {audio.device}, the loss {like.dtype} on {like.device}: "
                "move one with .to(...)."
            )
        return audio.reshape(-1, 2, audio.size(-1))


def four_signals(audio: Tensor) -> Tensor:
    """Left, right, and half their sum and difference: [batch, 2, samples] -> [batch, 4, samples]."""
    left, right = audio.unbind(-2)
    return torch.stack((left, right, (left + right) / 2, (left - right) / 2), -2)
