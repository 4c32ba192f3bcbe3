r"""Which segments of a long song stand for all of it, and what a loss on them says of the whole.

Loud and quiet, dense and sparse passages, and each track where it is most exposed: segments are chosen one by one, so
that the sum of two measures grows most (both are submodular, so that this comes within 1 - 1/e of the best choice):

* *how well the song is represented*: the mean over its segments of the greatest similarity :math:`e^{-d^2 / 2 m}` to
  one that is chosen, *m* the median of :math:`d^2`, the squared distance of two segments by the levels of the tracks,
  the level of the mix, and a little by their time;
* *how exposed the tracks are*: the mean over tracks of the largest share of the sounding power that the track has in a
  chosen segment, against the largest that it has anywhere.

Powers of a track are taken relative to its mean over the song, so that levels of files do not matter. Each segment of
the song then counts for the chosen one that it is most similar to, whose weight is the sum of theirs. Nothing is
random, and fewer segments of a song are the first of more.

A loss over the whole song is estimated by regression on another one that is known for all segments
(:func:`estimate_whole`); the residuals, as if independent and of one variance, give the confidence.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from graphmix.audio.segments import EvalSegment

CONFIDENCE = 0.95
"""Of the intervals that are given."""
LEAST_SAMPLED = 4
"""Fewer segments give no confidence."""
_FLOOR = 1e-3
"""Of a track's mean power: 30 dB below, all is silence."""
_LEVEL_DB, _QUIETEST_DB = 20.0, -40.0
_TIME = 0.5
_EXPOSURE = 1.0

Powers = NDArray[np.float64]


class Estimate(NamedTuple):
    """A loss over a whole song from some of its segments: the value, and how far the truth may be from it."""

    value: float
    within: float


def segment_powers(segments: Sequence[EvalSegment], powers: Powers, block: int) -> Powers:
    """Mean powers over what is new in each segment, [signals, segments], from those of blocks, [signals, blocks]."""
    means = []
    for segment in segments:
        end = segment.start + segment.score_to
        first, last = (end - segment.weight) // block, -(-end // block)
        means.append(powers[:, first : max(first + 1, last)].mean(1))
    return np.stack(means, axis=1)


def choose_segments(
    segments: Sequence[EvalSegment], tracks: Powers, mix: Powers, count: int
) -> tuple[list[EvalSegment], Powers]:
    """Segments that stand for a song; ``weight`` of each is how many samples it stands for.

    Args:
        segments: of the song.
        tracks: powers of the tracks, [tracks, segments].
        mix: power of the mix, [segments].
        count: how many to choose; all if 0.

    Returns:
        The chosen, the most telling first, and the shares that the tracks have in each, [tracks, chosen].
    """
    relative = tracks / np.maximum(tracks.mean(1, keepdims=True), 1e-30)
    share = relative / np.maximum(relative.sum(0), _FLOOR)
    if count <= 0 or count >= len(segments):
        return list(segments), share
    weights = np.array([segment.weight for segment in segments], dtype=np.float64)
    alike = _similarities(relative, mix)
    exposed = share / np.maximum(share.max(1, keepdims=True), 1e-30)
    chosen: list[int] = []
    nearest, most = np.zeros(len(segments)), np.zeros(len(tracks))
    for _ in range(count):
        represented = np.maximum(alike, nearest) @ weights / weights.sum()
        gained = represented + _EXPOSURE * np.maximum(exposed, most[:, None]).mean(0)
        gained[chosen] = -1.0
        best = int(gained.argmax())
        chosen.append(best)
        nearest, most = np.maximum(nearest, alike[best]), np.maximum(most, exposed[:, best])
    alike[chosen, chosen] = 2.0  # each stands for itself
    stands_for = alike[chosen].argmax(0)
    totals = [int(weights[stands_for == i].sum()) for i in range(count)]
    return [replace(segments[i], weight=total) for i, total in zip(chosen, totals, strict=True)], share[:, chosen]


def _similarities(relative: Powers, mix: Powers) -> Powers:
    """Of all pairs of segments, [segments, segments]."""
    levels = 10 * np.log10(np.maximum(relative, _FLOOR)) / _LEVEL_DB
    loudness = np.maximum(10 * np.log10(np.maximum(mix / max(mix.max(), 1e-30), 1e-30)), _QUIETEST_DB) / _LEVEL_DB
    time = _TIME * np.arange(len(mix)) / len(mix)
    distance = np.square(loudness[:, None] - loudness) + np.square(time[:, None] - time)
    for level in levels:
        distance += np.square(level[:, None] - level) / len(levels)
    usual = float(np.median(distance[~np.eye(len(mix), dtype=bool)]))
    return np.exp(-distance / max(2 * usual, 1e-12))


def estimate_whole(
    losses: Sequence[float],
    weights: Sequence[float],
    known: Sequence[float],
    known_everywhere: Sequence[float],
    weights_everywhere: Sequence[float],
) -> Estimate:
    """A loss over a song from some of its segments, given another loss on these and on all.

    Args:
        losses: on the sampled segments.
        weights: how much each of these stands for.
        known: the other loss on these.
        known_everywhere: the other loss on all segments.
        weights_everywhere: of all segments.
    """
    own, stands = np.asarray(losses), np.asarray(weights) / np.sum(weights)
    other, every = np.asarray(known), np.asarray(weights_everywhere) / np.sum(weights_everywhere)
    if len(own) < LEAST_SAMPLED:
        return Estimate(float(stands @ own), math.inf)
    around = other - other.mean()
    spread = float(around @ around)
    slope = float(around @ own) / spread if spread > 0 else 0.0
    value = float(stands @ own) + slope * float(every @ np.asarray(known_everywhere) - stands @ other)
    if len(own) == len(every):
        return Estimate(value, 0.0)
    left = own - own.mean() - slope * around
    variance = float(left @ left) / (len(own) - 2)
    usual = 1 / len(every)
    factor = float(np.square(stands - usual).sum()) + (len(every) - len(own)) * usual**2
    return Estimate(value, _quantile(len(own) - 2) * math.sqrt(variance * factor))


def _quantile(freedom: int) -> float:
    """Of Student's t."""
    from scipy.special import stdtrit  # here: only long songs need it

    return float(stdtrit(freedom, 0.5 + CONFIDENCE / 2))
