"""Separators beside one another on the same songs, with the mixture (lower end) and the ideal ratio mask (upper end).

Numbers are in dB, of each source and song: SI-SDR, its improvement over the mixture, and, with ``fast_bss_eval``
installed, BSSEval's SDR with filters of 512 taps (Vincent et al. 2006), the mean of both channels. A source that is
silent in a song has none and does not count. The mixture of a song is the sum of its stems.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from graphmix.errors import GraphmixError
from graphmix.models.masks.files import load_separator
from graphmix.models.masks.separator import MaskEstimator
from graphmix.training.separation.losses import is_audible
from graphmix.training.separation.scores import ideal_ratio_masks, separate_whole, source_scores
from graphmix.training.separation.sources import SOURCES, SourceSong, find_source_songs
from graphmix.training.separation.stems import load_stems_of

IDEAL, MIXTURE = "ideal ratio mask", "mixture"
BSS_TAPS = 512


@dataclass(frozen=True)
class SeparationScore:
    """One source of one song.

    Args:
        model: name of the separator, :data:`IDEAL` or :data:`MIXTURE`.
        song: its id.
        source: name of the source.
        si_sdr_db: SI-SDR.
        improvement_db: over the mixture's.
        sdr_db: BSSEval's SDR; None where it is not asked for.
    """

    model: str
    song: str
    source: str
    si_sdr_db: float
    improvement_db: float
    sdr_db: float | None = None


def evaluate_separators(
    models: Mapping[str, MaskEstimator | str | Path],
    songs: Sequence[SourceSong | str | Path],
    *,
    labels: Mapping[str, Sequence[str]] | None = None,
    wet: bool = True,
    longest_seconds: float = 60.0,
    bss_eval: bool = False,
    progress: Callable[[int], None] = lambda done: None,
) -> list[SeparationScore]:
    """Score separators of the same sources and rate.

    Args:
        models: name -> separator, its file, or the name of one that comes with graphmix.
        songs: songs, or folders of them.
        labels: source -> labels of its tracks; if not given, those that the first separator was trained with, or
            else :data:`SOURCES`.
        wet: stems as they stand in the mix, where a song's graph is known.
        longest_seconds: of a song, from its middle.
        bss_eval: also BSSEval's SDR, which takes longer.
        progress: called with the number of songs done.

    Raises:
        GraphmixError: separators that differ in sources or rate; no song; ``fast_bss_eval`` is not installed.
    """
    pairs = {name: (m, {}) if isinstance(m, MaskEstimator) else load_separator(m) for name, m in models.items()}
    loaded = {name: model for name, (model, _) in pairs.items()}
    first = _alike(loaded)
    known = labels or _labels_of(next(iter(pairs.values()))[1])
    wanted = {source: known.get(source, (source,)) for source in first.sources}
    folders = [song for song in songs if not isinstance(song, SourceSong)]
    found = [song for song in songs if isinstance(song, SourceSong)]
    found += find_source_songs(folders, wanted) if folders else []
    rows: list[SeparationScore] = []
    for done, song in enumerate(found, start=1):
        stems = load_stems_of(song, first.sources, round(first.sample_rate), wet=wet)
        length = round(longest_seconds * first.sample_rate)
        begin = max(0, (stems.size(-1) - length) // 2)
        rows += score_stems(loaded, song.id, stems[..., begin : begin + length], bss_eval=bss_eval)
        progress(done)
    return rows


@torch.no_grad()
def score_stems(
    models: Mapping[str, MaskEstimator], song: str, stems: Tensor, *, bss_eval: bool = False
) -> list[SeparationScore]:
    """Score separators on one song.

    Args:
        models: name -> separator, in evaluation mode; the ideal mask is that of the first one's representation.
        song: its id.
        stems: true sources, [sources, 2, samples].
        bss_eval: also BSSEval's SDR.
    """
    first = next(iter(models.values()))
    mixture = stems.sum(dim=0)
    estimates = {name: separate_whole(model, mixture) for name, model in models.items()}
    estimates[IDEAL] = ideal_ratio_masks(first.representation, stems)
    estimates[MIXTURE] = mixture.expand_as(stems)
    base = source_scores(estimates[MIXTURE], stems)
    rows = []
    for name, estimate in estimates.items():
        scores = source_scores(estimate, stems)
        ratios = bss_eval_sdr(estimate, stems) if bss_eval else None
        for index, source in enumerate(first.sources):
            score = float(scores[index])
            if math.isfinite(score):
                ratio = None if ratios is None else float(ratios[index])
                rows.append(SeparationScore(name, song, source, score, score - float(base[index]), ratio))
    return rows


def bss_eval_sdr(estimates: Tensor, stems: Tensor) -> Tensor:
    """BSSEval's SDR in dB, [sources], the mean of the channels; not a number for silent sources.

    Raises:
        GraphmixError: ``fast_bss_eval`` is not installed.
    """
    try:
        import fast_bss_eval
    except ModuleNotFoundError:
        raise GraphmixError('BSSEval needs fast_bss_eval; install it: pip install "graphmix[separation]".') from None
    ratios = torch.full(stems.shape[:2], torch.nan, dtype=torch.float64)
    audible = is_audible(stems.flatten(0, 1)).unflatten(0, stems.shape[:2])
    for index, channel in audible.nonzero().tolist():
        pair = (x[index, channel].double()[None] for x in (stems, estimates))
        ratios[index, channel] = float(fast_bss_eval.sdr(*pair, filter_length=BSS_TAPS, load_diag=1e-10)[0])
    return ratios.nanmean(dim=1)


def summarize_separation(rows: Sequence[SeparationScore]) -> dict[str, dict[str, float]]:
    """Mean improvement in dB of each model, by source, over all (``"mean"``), and as a share of the ideal mask's.

    Returns:
        model -> source, ``"mean"`` or ``"share"`` -> value.
    """
    table: dict[str, dict[str, float]] = {}
    for name in dict.fromkeys(row.model for row in rows):
        own = [row for row in rows if row.model == name]
        by_source = {
            source: _mean([row.improvement_db for row in own if row.source == source])
            for source in dict.fromkeys(row.source for row in own)
        }
        table[name] = {**by_source, "mean": _mean([row.improvement_db for row in own])}
    ideal = table.get(IDEAL, {}).get("mean", math.nan)
    for values in table.values():
        values["share"] = values["mean"] / ideal if ideal else math.nan
    return table


def _labels_of(record: Mapping[str, Any]) -> Mapping[str, Sequence[str]]:
    """Labels of the sources, as the training wrote them into the separator's file; the default without."""
    config = record.get("config")
    labels = config.get("sources") if isinstance(config, dict) else None
    return labels if isinstance(labels, dict) else SOURCES


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _alike(models: Mapping[str, MaskEstimator]) -> MaskEstimator:
    """The first separator, when all others have its sources and rate.

    Raises:
        GraphmixError: they do not, or there is none.
    """
    if not models:
        raise GraphmixError("there is no separator to evaluate; name one.")
    (name, first), *others = models.items()
    for other, model in others:
        if (model.sources, model.sample_rate) != (first.sources, first.sample_rate):
            raise GraphmixError(
                f"{other} separates {', '.join(model.sources)} at {model.sample_rate:g} Hz and {name} "
                f"{', '.join(first.sources)} at {first.sample_rate:g} Hz; evaluate them one by one."
            )
    return first
