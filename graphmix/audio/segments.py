"""Which stretches of a song are rendered: to score all of it, and to train on random ones.

Positions are samples at the working rate; a segment may start before the song, where :meth:`Song.read` gives
silence. The first `warmup` samples of a segment let reverbs and envelopes settle and are never scored;
before the song there is silence, so that its first sample is scored too, with effects at rest. The paper's
code never scores the first second, and a last segment of padding counts there like a full one: here only
real samples count, each once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from graphmix.errors import SearchError

MIN_SCORED_SAMPLES = 8192  # an STFT of 4,096 with a hop of a quarter, and its reflected edges, fit well inside

ENCODER_SECONDS = 30.0


@dataclass(frozen=True)
class EvalSegment:
    """One window to render, [start, start + length), and what of it to score.

    Scored is [score_from, score_to) relative to `start`. `weight` counts the samples that no earlier window
    has scored; it is less than score_to - score_from only where a short last window is scored on more than
    is new.
    """

    start: int
    length: int
    score_from: int
    score_to: int
    weight: int


def _check(num_samples: int, warmup: int, length: int) -> None:
    if num_samples < 1:
        raise SearchError(f"num_samples is {num_samples}: a song has 1 sample or more.")
    if warmup < 0:
        raise SearchError(f"warmup is {warmup} samples: give 0 or more.")
    if length - warmup < MIN_SCORED_SAMPLES:
        raise SearchError(
            f"a segment of {length} samples leaves {length - warmup} after its warm-up of {warmup}: "
            f"at least {MIN_SCORED_SAMPLES} must be left to score. Make it longer."
        )


def evaluation_segments(num_samples: int, warmup: int, length: int) -> list[EvalSegment]:
    """Cover a song by windows of equal length whose scored parts tile [0, num_samples).

    The first window begins `warmup` samples before the song. The last one is moved back to end with the song
    and scored on what is new, or on the last MIN_SCORED_SAMPLES where that is less. A song that fits in one
    window gets one, silent after the song's end.

    Raises:
        SearchError: the song is empty, or less than MIN_SCORED_SAMPLES of a window would be scored.

    >>> for segment in evaluation_segments(num_samples=40_000, warmup=5_000, length=20_000): print(segment)
    EvalSegment(start=-5000, length=20000, score_from=5000, score_to=20000, weight=15000)
    EvalSegment(start=10000, length=20000, score_from=5000, score_to=20000, weight=15000)
    EvalSegment(start=20000, length=20000, score_from=10000, score_to=20000, weight=10000)
    """
    _check(num_samples, warmup, length)
    hop = length - warmup
    if num_samples <= hop:
        return [EvalSegment(-warmup, length, warmup, warmup + num_samples, num_samples)]
    segments = [
        EvalSegment(begin - warmup, length, warmup, length, hop) for begin in range(0, num_samples - hop + 1, hop)
    ]
    if new := num_samples % hop:
        scored = max(new, min(MIN_SCORED_SAMPLES, num_samples))
        segments.append(EvalSegment(num_samples - length, length, length - scored, length, new))
    return segments


def training_start(seed: int, step: int, num_samples: int, length: int, warmup: int) -> int:
    """Where the segment of a training step starts, at random in [-warmup, num_samples - length].

    Starts are stratified: as many successive steps as there are evaluation segments take one each near every one
    of them, in random order, so that the ends of a song are trained on as often as its middle. A start depends
    on `seed` and `step` alone, so that a resumed run trains on what an undisturbed one would. A song that fits in
    one window always starts at -warmup.

    Raises:
        SearchError: as :func:`evaluation_segments`, or seed or step is negative.
    """
    _check(num_samples, warmup, length)
    if seed < 0 or step < 0:
        raise SearchError(f"seed is {seed} and step is {step}: give 0 or more.")
    hop = length - warmup
    count = -(-num_samples // hop)
    order = np.random.default_rng(np.random.SeedSequence((seed, 0, step // count))).permutation(count)
    shift = np.random.default_rng(np.random.SeedSequence((seed, 1, step))).uniform(-0.5, 0.5)
    start = round((int(order[step % count]) + shift) * hop) - warmup
    return max(-warmup, min(start, num_samples - length))


def encoder_blocks(num_samples: int, sample_rate: int, seconds: float = ENCODER_SECONDS) -> list[tuple[int, int]]:
    """Stretches of about the same length in which a model encodes a song, (start, length) each.

    Lengths are whole seconds, the windows of encoders, but for the last, which ends with the song; none is longer than
    one and a half times ``seconds`` and the second that rounding adds.

    >>> encoder_blocks(num_samples=100, sample_rate=1, seconds=30)
    [(0, 34), (34, 34), (68, 32)]
    """
    count = max(1, round(num_samples / (seconds * sample_rate)))
    length = -(-num_samples // (count * sample_rate)) * sample_rate
    starts = range(0, num_samples, length)
    return [(start, min(length, num_samples - start)) for start in starts]


def spread_segments(segments: Sequence[EvalSegment], count: int) -> list[EvalSegment]:
    """So many segments at most, evenly spread over a song."""
    count = min(count, len(segments))
    return [segments[round((i + 0.5) * len(segments) / count - 0.5)] for i in range(count)]
