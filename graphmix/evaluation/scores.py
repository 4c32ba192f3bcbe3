"""Scores of models on songs: one row for each pair, means with intervals, tables in files.

Means are over songs, their intervals those of :mod:`.intervals`. The F1 of keeping and dropping is that of all songs'
decisions together, and its interval is found in the same way.
"""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from graphmix.errors import GraphmixError
from graphmix.evaluation.agreement import Agreement, merge_agreements
from graphmix.evaluation.intervals import Interval, bootstrap, bootstrap_songs
from graphmix.evaluation.mix_features import FEATURES
from graphmix.io import write_atomically
from graphmix.search.mix_measures import UNITS

OF_GRAPHS = ("f1", "keep_f1", "best_constant_f1", "parameter_error")
LEVELLED, TRACK_LEVEL = "audio_loss_levelled", "track_level_lu"
"""The audio loss after both mixes have the loudness of the song's, and the error of the relative levels of tracks."""
_OF_MIXES = tuple(name for name in FEATURES if name not in UNITS)
COLUMNS = (*UNITS, LEVELLED, TRACK_LEVEL, *_OF_MIXES, *OF_GRAPHS, "seconds")
"""Measures of each song, in the order of tables; ``None`` where one is not known."""
Cells = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Score:
    """One model on one song.

    Args:
        model: as the caller names it.
        song_id: of the song.
        artist_in_training: whether the model was trained on songs of this artist.
        numbers: by :data:`COLUMNS`.
        agreement: with the true graph, or None.
        features: of the model's mix, by :data:`graphmix.evaluation.mix_features.FEATURES`.
        wanted: of the song's own mix.
        roles: absolute errors of the relative levels of tracks in LU, by role.
        level_source: how the song's own levels are known; see :mod:`graphmix.evaluation.track_levels`.
    """

    model: str
    song_id: str
    artist_in_training: bool
    numbers: Mapping[str, float | None]
    agreement: Agreement | None = None
    features: Mapping[str, float] = field(default_factory=dict)
    wanted: Mapping[str, float] = field(default_factory=dict)
    roles: Mapping[str, Sequence[float]] = field(default_factory=dict)
    level_source: str | None = None

    def row(self) -> dict[str, Any]:
        """JSON values."""
        plain = {name: _plain(x) for name, x in self.numbers.items()}
        return {"model": self.model, "song": self.song_id, "artist_in_training": self.artist_in_training, **plain}


def _plain(number: float | None) -> float | None:
    """A JSON value: rounded, None where it is not a number or infinite."""
    return None if number is None or not math.isfinite(number) else round(number, 6)


# --- means and intervals


def summarize(scores: Sequence[Score], seed: int = 0) -> dict[str, dict[str, Interval | None]]:
    """Model -> column -> mean over the songs with its interval; None where no song has a value."""
    by_model: dict[str, list[Score]] = {}
    for score in scores:
        by_model.setdefault(score.model, []).append(score)
    return {model: _summary(own, seed) for model, own in by_model.items()}


def _summary(scores: Sequence[Score], seed: int) -> dict[str, Interval | None]:
    summary = {name: bootstrap([score.numbers.get(name) for score in scores], seed) for name in COLUMNS}
    agreements = [score.agreement for score in scores if score.agreement is not None]
    if agreements:
        together = merge_agreements(agreements)
        cells = _cells(agreements)
        for name, statistic in (("f1", _both_f1), ("keep_f1", _keep_f1)):
            exact: float | None = getattr(together, name)
            summary[name] = None if exact is None else bootstrap_songs(exact, cells, statistic, seed)
        best = together.best_constant_f1
        summary["best_constant_f1"] = None if best is None else Interval(best, best, best)
    return summary


def _cells(agreements: Sequence[Agreement]) -> Cells:
    """Hits, false keeps, misses and true drops, [songs, types, 4]."""
    names = list(dict.fromkeys(name for agreement in agreements for name in agreement.counts))
    cells = np.zeros((len(agreements), len(names), 4))
    for row, agreement in enumerate(agreements):
        for column, name in enumerate(names):
            if name in agreement.counts:
                counts = agreement.counts[name]
                cells[row, column] = counts.hits, counts.false_keeps, counts.misses, counts.true_drops
    return cells


def _class_f1(hits: Cells, false: Cells, missed: Cells) -> Cells:
    total = 2 * hits + false + missed
    return np.divide(2 * hits, total, out=np.full_like(total, np.nan), where=total > 0)


def _mean_of_known(values: Cells, axis: int) -> Cells:
    known = np.isfinite(values)
    count = known.sum(axis)
    total: Cells = np.where(known, values, 0.0).sum(axis)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def _keep_f1(cells: Cells) -> Cells:
    """F1 of keeping, macro over types: [draws, songs, types, 4] -> [draws]."""
    cells = cells.sum(-3)
    return _mean_of_known(_class_f1(cells[..., 0], cells[..., 1], cells[..., 2]), -1)


def _both_f1(cells: Cells) -> Cells:
    """Mean of the F1 of keeping and of dropping, macro over types: [draws, songs, types, 4] -> [draws]."""
    cells = cells.sum(-3)
    keep = _class_f1(cells[..., 0], cells[..., 1], cells[..., 2])
    drop = _class_f1(cells[..., 3], cells[..., 2], cells[..., 1])
    return _mean_of_known(_mean_of_known(np.stack([keep, drop]), 0), -1)


# --- files


def save_scores(
    scores: Sequence[Score], path: str | Path, seed: int = 0, further: Mapping[str, Any] | None = None
) -> Path:
    """Write rows and means, as ``.csv`` (rows, then a row of means for each model) or ``.json``, and return the path.

    Args:
        scores: of all models and songs.
        path: of the file.
        seed: of the intervals.
        further: more JSON values by name, for a ``.json`` file.

    Raises:
        GraphmixError: another ending, or a file that cannot be written.
    """
    path = Path(path)
    summary = summarize(scores, seed)
    if path.suffix.lower() == ".json":
        means = {"songs": [score.row() for score in scores], "means": plain_summary(summary)}
        text = json.dumps(means | dict(further or {}), indent=1, allow_nan=False)
    elif path.suffix.lower() == ".csv":
        text = _as_csv(scores, summary)
    else:
        raise GraphmixError(f"{path}: a table of scores ends in .csv or .json, not in {path.suffix!r}.")
    write_atomically(path, text.encode())
    return path


def plain_summary(summary: Mapping[str, Mapping[str, Interval | None]]) -> dict[str, dict[str, list[float] | None]]:
    """Model -> column -> [mean, low, high], JSON values."""
    return {
        model: {
            name: None if x is None else [round(number, 6) for number in (x.mean, x.low, x.high)]
            for name, x in columns.items()
        }
        for model, columns in summary.items()
    }


def _as_csv(scores: Sequence[Score], summary: Mapping[str, Mapping[str, Interval | None]]) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, ["model", "song", "artist_in_training", *COLUMNS], lineterminator="\n")
    writer.writeheader()
    for score in scores:
        writer.writerow({name: "" if value is None else value for name, value in score.row().items()})
    for model, columns in summary.items():
        for kind in ("mean", "low", "high"):
            numbers = {name: "" if x is None else round(getattr(x, kind), 6) for name, x in columns.items()}
            writer.writerow({"model": model, "song": f"({kind})", **numbers})
    return file.getvalue()
