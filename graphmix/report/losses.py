"""The audio loss of a page's versions against the target, by term and by segment (equation 3 of the pruning paper).

It is measured on the stretch that the page plays, at the rate of the search, in segments of 2.8 s, the length that a
search scores at a time; a whole song as one sound, where a search renders each segment after a second of warm-up.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from graphmix.audio.segments import MIN_SCORED_SAMPLES, evaluation_segments
from graphmix.dsp.resampling import resample
from graphmix.search.losses import paper_loss
from graphmix.search.objective import SEGMENT_SECONDS, WARMUP_SECONDS, song_level

TERMS = ("total", "left and right", "mid", "side")
WEIGHTS = ("", "½", "¼", "¼")


@dataclass(frozen=True)
class Losses:
    """What was measured.

    Attributes:
        names: of the versions.
        terms: the loss and its three terms of each version.
        segments: begin and end of each segment in seconds of the song.
        by_segment: the loss of each version in each segment.
        sample_rate: at which it was measured.
    """

    names: Sequence[str]
    terms: Sequence[Sequence[float]]
    segments: Sequence[tuple[float, float]]
    by_segment: Sequence[Sequence[float]]
    sample_rate: int


@torch.no_grad()
def measure_losses(
    target: Tensor, versions: Sequence[tuple[str, Tensor, int]], target_rate: int, sample_rate: int, start: float
) -> Losses | None:
    """Losses of versions; None of a stretch that is too short to be scored.

    Args:
        target: [2, samples].
        versions: name, audio [2, samples] and rate of each.
        target_rate: of the target in Hz.
        sample_rate: at which the loss is measured.
        start: where in the song the stretch begins, in seconds.
    """
    wanted = resample(target, target_rate, sample_rate)
    found = [resample(audio, rate, sample_rate) for _, audio, rate in versions]
    samples = min(audio.size(1) for audio in (wanted, *found))
    if samples < MIN_SCORED_SAMPLES:
        return None
    loss, level = paper_loss(sample_rate, wanted.device, wanted.dtype), song_level(wanted[:, :samples], sample_rate)
    segments = evaluation_segments(samples, 0, round((SEGMENT_SECONDS - WARMUP_SECONDS) * sample_rate))
    weights = torch.tensor([float(s.weight) for s in segments], dtype=torch.float64)
    rows = []
    for segment in segments:
        scored = slice(segment.start + segment.score_from, segment.start + segment.score_to)
        features = loss.features(wanted[None, :, scored], level)
        batch = torch.stack([audio[:, scored] for audio in found])
        rows.append(torch.stack(list(loss.per_item(prediction=batch, target=features)), dim=1).double())
    table = torch.stack(rows)  # [segments, versions, terms]
    mean = (table * (weights / weights.sum())[:, None, None]).sum(0)
    places = [
        (round(start + max(0, s.start + s.score_to - s.weight) / sample_rate, 3),
         round(start + (s.start + s.score_to) / sample_rate, 3))
        for s in segments
    ]  # fmt: skip
    return Losses(
        [name for name, *_ in versions],
        [[round(float(x), 4) for x in row] for row in mean],
        places,
        [[round(float(x), 4) for x in table[:, v, 0]] for v in range(len(versions))],
        sample_rate,
    )
