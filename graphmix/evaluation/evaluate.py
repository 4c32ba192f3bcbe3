"""Models beside one another on the same songs: one row for each model and song, means with intervals, one table.

Every model mixes every song as :func:`graphmix.training.propose` does, whole, at its own sample rate. What comes out is
compared with the song's mix (:mod:`.measures`) and, where the true graph is known, with that (:mod:`.agreement`).

Means are over songs. Intervals are 95 % percentile bootstrap intervals: songs are drawn anew with replacement. The F1
of keeping and dropping is that of all songs' decisions together, and its interval is found in the same way.
"""

import csv
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from graphmix.audio.files import read_audio
from graphmix.audio.song import Song
from graphmix.datasets.records import Record, find_record_folders
from graphmix.datasets.splits import artist_key
from graphmix.errors import GraphmixError
from graphmix.evaluation.agreement import Agreement, agree, merge_agreements
from graphmix.graph.consoles import CONSOLE_CHAIN
from graphmix.graph.mixgraph import MixGraph
from graphmix.io import write_atomically
from graphmix.models.mixing.estimator import Estimator
from graphmix.processors.rack import Rack
from graphmix.search.mix_measures import UNITS, compare_mixes
from graphmix.songs.collection import SongFiles, open_collection
from graphmix.training.data import artist_of, load_audio, load_truth, songs_in
from graphmix.training.proposal import propose

OF_GRAPHS = ("f1", "keep_f1", "best_constant_f1", "parameter_error")
COLUMNS = (*UNITS, *OF_GRAPHS, "seconds")
"""What is measured of each song, in the order of tables; ``None`` where it cannot be."""
DRAWS, LEVEL = 2000, 0.95


@dataclass(frozen=True)
class EvaluationSong:
    """A song to be mixed by models: with its mix, and with its true graph where there is one.

    Args:
        song_id: in its collection.
        artist: as training parts songs by.
        source: where it is.
    """

    song_id: str
    artist: str
    source: Record | SongFiles

    def load(self, sample_rate: int) -> tuple[Song, MixGraph | None]:
        """The song at a sample rate, and its true graph, if it is known.

        Raises:
            GraphmixError: files that cannot be used.
        """
        if isinstance(self.source, SongFiles):
            return self.source.load(sample_rate), None
        graph, subgroups = load_truth(self.source, sample_rate)
        return load_audio(self.source, sample_rate, subgroups), graph


@dataclass(frozen=True)
class Score:
    """One model on one song.

    Args:
        model: as the caller names it.
        song_id: of the song.
        artist_in_training: whether the model was trained on songs of this artist.
        numbers: by :data:`COLUMNS`.
        agreement: with the true graph, or None.
    """

    model: str
    song_id: str
    artist_in_training: bool
    numbers: Mapping[str, float | None]
    agreement: Agreement | None = None

    def row(self) -> dict[str, Any]:
        """JSON values."""
        plain = {name: None if x is None else round(x, 6) for name, x in self.numbers.items()}
        return {"model": self.model, "song": self.song_id, "artist_in_training": self.artist_in_training, **plain}


@dataclass(frozen=True)
class Interval:
    """A mean and its bootstrap interval."""

    mean: float
    low: float
    high: float


def songs_to_evaluate(folder: str | Path, max_tracks: int | None = None) -> list[EvaluationSong]:
    """Songs with a mix in a folder: a songbook or mined songs (with true graphs), a collection, or one song.

    Args:
        folder: to look in.
        max_tracks: leave out songs with more tracks.

    Raises:
        GraphmixError: the folder holds none.
    """
    folder = Path(folder)
    if folder.is_dir() and find_record_folders(folder):
        return [EvaluationSong(r.song_id, artist_of(r), r) for r in songs_in([folder], max_tracks)]
    found = [song for song in open_collection(folder).usable if song.layout.mix is not None]
    songs = [song for song in found if max_tracks is None or len(song.layout.tracks) <= max_tracks]
    if not songs:
        raise GraphmixError(f"{folder} holds no song with a mix to compare with; give a songbook or a collection.")
    return [EvaluationSong(s.id, artist_key(s.artist, s.id, s.collection), s) for s in songs]


def evaluate(
    models: Mapping[str, Estimator],
    songs: Sequence[EvaluationSong],
    *,
    trained_on: Mapping[str, frozenset[str]] | None = None,
    chain: str = CONSOLE_CHAIN,
    progress: Callable[[int, int], object] | None = None,
) -> Iterator[Score]:
    """Every model on every song, song by song.

    Args:
        models: name -> model.
        songs: see :func:`songs_to_evaluate`.
        trained_on: name -> artists of the training songs, as a checkpoint says; see :func:`artists_of`.
        chain: letters of the console in which decisions on keeping are counted, as far as a true graph has the types.
        progress: told how many of how many pairs are done.
    """
    trained_on = trained_on or {}
    done, total = 0, len(models) * len(songs)
    for song in songs:
        loaded: dict[int, tuple[Song, MixGraph | None]] = {}
        for name, model in models.items():
            rate = model.sample_rate
            if rate not in loaded:
                loaded[rate] = song.load(rate)
            numbers, agreement = score_song(model, *loaded[rate], chain)
            yield Score(name, song.song_id, song.artist in trained_on.get(name, frozenset()), numbers, agreement)
            done += 1
            if progress is not None:
                progress(done, total)


@torch.no_grad()
def score_song(
    model: Estimator, song: Song, true: MixGraph | None, chain: str = CONSOLE_CHAIN
) -> tuple[dict[str, float | None], Agreement | None]:
    """All :data:`COLUMNS` of one model on one song with a mix, and how its graph agrees with the true one."""
    assert song.mix is not None, "songs without a mix are not evaluated"
    proposal = propose(model, song)
    target = read_audio(song.mix, 0, song.num_samples, song.sample_rate)
    numbers: dict[str, float | None] = dict.fromkeys(COLUMNS)
    numbers |= compare_mixes(prediction=proposal.mix, target=target, sample_rate=song.sample_rate)
    numbers["seconds"] = sum(proposal.seconds.values())
    if true is None or proposal.graph is None:
        return numbers, None
    letters = {t.letter for t in true.types.types}
    chain = "".join(letter for letter in chain if letter in letters)
    rack = Rack.for_types((t for t in true.types.types if t.letter in chain), true.sample_rate)
    agreement = agree(proposal.graph, true, song.subgroups, rack, chain)
    return numbers | {name: getattr(agreement, name) for name in OF_GRAPHS}, agreement


def artists_of(description: Mapping[str, Any]) -> frozenset[str]:
    """Artists that a checkpoint was trained on, from its description; empty where it does not say."""
    training = description.get("training") or {}
    artists = training.get("artists") if isinstance(training, Mapping) else None
    return frozenset(artists) if isinstance(artists, list) else frozenset()


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
            summary[name] = None if exact is None else _interval_of(exact, cells, statistic, seed)
        best = together.best_constant_f1
        summary["best_constant_f1"] = None if best is None else Interval(best, best, best)
    return summary


def bootstrap(values: Sequence[float | None], seed: int = 0) -> Interval | None:
    """Mean of the values that there are, with a percentile bootstrap interval; None if there is none."""
    known = np.array([value for value in values if value is not None and math.isfinite(value)])
    if not known.size:
        return None
    means = known[_draws(known.size, seed)].mean(1)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(known.mean()), float(low), float(high))


def _draws(count: int, seed: int) -> npt.NDArray[np.int64]:
    """Which songs each draw takes, [draws, songs]."""
    return np.random.default_rng(seed).integers(0, count, (DRAWS, count))


def _cells(agreements: Sequence[Agreement]) -> npt.NDArray[np.float64]:
    """Hits, false keeps, misses and true drops, [songs, types, 4]."""
    names = list(dict.fromkeys(name for agreement in agreements for name in agreement.counts))
    cells = np.zeros((len(agreements), len(names), 4))
    for row, agreement in enumerate(agreements):
        for column, name in enumerate(names):
            if name in agreement.counts:
                counts = agreement.counts[name]
                cells[row, column] = counts.hits, counts.false_keeps, counts.misses, counts.true_drops
    return cells


Cells = npt.NDArray[np.float64]


def _interval_of(exact: float, cells: Cells, statistic: Callable[[Cells], Cells], seed: int) -> Interval:
    found = statistic(cells[_draws(len(cells), seed)].sum(1))
    found = found[np.isfinite(found)]
    if not found.size:
        return Interval(exact, exact, exact)
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(exact, float(low), float(high))


def _class_f1(hits: Cells, false: Cells, missed: Cells) -> Cells:
    total = 2 * hits + false + missed
    return np.divide(2 * hits, total, out=np.full_like(total, np.nan), where=total > 0)


def _mean_of_known(values: Cells, axis: int) -> Cells:
    known = np.isfinite(values)
    count = known.sum(axis)
    total: Cells = np.where(known, values, 0.0).sum(axis)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def _keep_f1(cells: Cells) -> Cells:
    """F1 of keeping, macro over types, [..., types, 4] -> [...]."""
    return _mean_of_known(_class_f1(cells[..., 0], cells[..., 1], cells[..., 2]), -1)


def _both_f1(cells: Cells) -> Cells:
    """Mean of the F1 of keeping and of dropping, macro over types, [..., types, 4] -> [...]."""
    keep = _class_f1(cells[..., 0], cells[..., 1], cells[..., 2])
    drop = _class_f1(cells[..., 3], cells[..., 2], cells[..., 1])
    return _mean_of_known(_mean_of_known(np.stack([keep, drop]), 0), -1)


# --- files


def save_scores(scores: Sequence[Score], path: str | Path, seed: int = 0) -> Path:
    """Write rows and means, as ``.csv`` (rows, then a row of means for each model) or ``.json``, and return the path.

    Raises:
        GraphmixError: another ending, or a file that cannot be written.
    """
    path = Path(path)
    summary = summarize(scores, seed)
    if path.suffix.lower() == ".json":
        text = json.dumps({"songs": [score.row() for score in scores], "means": plain_summary(summary)}, indent=1)
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
            name: None if x is None else [round(x.mean, 6), round(x.low, 6), round(x.high, 6)]
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
