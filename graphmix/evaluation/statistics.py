"""Statistics of mined songs, as in tables 2, 3 and 6 and figures 3, 4, 6, 10 and 11 of the pruning paper.

They are computed from any output of ``mine`` and ``mine-all``, and from several of them together: the same songs with
other tolerances, policies or seeds; see :mod:`graphmix.evaluation.runs`. A pruning ratio is the mean of the songs'
ratios (not the ratio of the sums), and repeated runs of a song count as one.
"""

import csv
import io
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any, TypeVar

from graphmix.errors import SearchError
from graphmix.evaluation.runs import ALL, Place, Run
from graphmix.io import check_output, name_as_text, write_atomically

TYPE_ORDER = ("gain", "imager", "equalizer", "reverb", "compressor", "noisegate", "delay")
"""Columns of the paper's tables: g s e r c n d."""
SHOWN_SONGS = 24
"""In the picture of histories, as in figure 3 of the paper."""
SHOWN_SCATTERS = 6
SHOWN_REPEATS = 12
Item = TypeVar("Item")


@dataclass(frozen=True)
class Table:
    """Rows of values under headings; ``name`` is also that of its CSV file."""

    name: str
    title: str
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]] = field(default_factory=list)

    def write(self, folder: Path) -> Path:
        """Write the table as CSV, in UTF-8; an empty cell is an unknown value."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows([list(map(_cell, row)) for row in self.rows])
        path = folder / f"{self.name}.csv"
        write_atomically(path, text.getvalue().encode())
        return path


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return name_as_text(value)
    return "" if value is None else value


def types_of(runs: Iterable[Run]) -> list[str]:
    """Processor types that occur, the paper's first and in its order."""
    seen = {name for run in runs for name in run.ratio if name != ALL}
    return [name for name in TYPE_ORDER if name in seen] + sorted(seen - set(TYPE_ORDER))


# --- tables


def runs_table(runs: Sequence[Run]) -> Table:
    """One row for each run, with all its numbers."""
    types = types_of(runs)
    columns = (
        "song_id", "collection", "artist", "settings", "policy", "tolerance", "seed", "steps", "tracks", "subgroups",
        "processors_before", "processors_left", "nodes_before", "nodes_left", "audio_loss", "audio_loss_paper",
        "console_loss", "loss_increase", "si_sdr_db", "pruning_ratio", *(f"pruning_ratio_{name}" for name in types),
        *(f"left_{name}" for name in types), "is_baseline", "seconds", "folder",
    )  # fmt: skip
    rows = []
    for run in runs:
        m, settings = run.metrics, run.metrics["settings"]
        left = m.get("left_by_type") or {}
        rows.append((
            run.song_id, run.collection, run.artist, run.settings_name, settings.get("policy"),
            settings.get("tolerance"), run.seed, m.get("steps"), m["tracks"], m.get("subgroups"),
            m["processors_before"], m["processors_left"], run.nodes("processors_before"), run.nodes("processors_left"),
            m["audio_loss"], m.get("audio_loss_paper"), m["console_loss"], round(run.loss_increase, 6),
            m.get("si_sdr_db"), run.ratio[ALL],
            *(run.ratio.get(name) for name in types), *(left.get(name, 0) if name in run.ratio else None
            for name in types), m.get("is_baseline"), round(sum((m.get("seconds") or {}).values()), 2),
            str(run.folder),
        ))  # fmt: skip
    return Table("runs", "every run", columns, rows)


def pruning_table(runs: Sequence[Run]) -> Table:
    """Mean losses and pruning ratios by settings and collection (tables 2, 3 and 6 of the paper)."""
    types = types_of(runs)
    columns = ("settings", "collection", "songs", "L_a console", "L_a", "ρ", *(f"ρ {name}" for name in types))
    rows = []
    for settings, chosen in _grouped(runs, lambda run: run.settings_name):
        groups = _grouped(chosen, lambda run: run.collection)
        for collection, members in [*groups, *([(ALL, chosen)] if len(groups) > 1 else [])]:
            rows.append(
                (
                    settings,
                    collection,
                    len({(run.collection, run.song_id) for run in members}),
                    _mean_over_songs(members, lambda run: run.metrics["console_loss"]),
                    _mean_over_songs(members, lambda run: run.metrics["audio_loss"]),
                    *(_mean_over_songs(members, partial(_ratio, name)) for name in (ALL, *types)),
                )
            )
    return Table("pruning", "audio loss L_a and pruning ratio ρ, means over songs", columns, rows)


def sizes_table(runs: Sequence[Run]) -> Table:
    """Tracks, subgroups, processors and nodes before and after, by settings and collection (figure 6)."""
    measures: dict[str, Callable[[Run], float]] = {
        "tracks": lambda run: run.metrics["tracks"],
        "subgroups": lambda run: run.metrics.get("subgroups", 0),
        "processors before": lambda run: run.metrics["processors_before"],
        "processors left": lambda run: run.metrics["processors_left"],
        "nodes before": lambda run: run.nodes("processors_before"),
        "nodes left": lambda run: run.nodes("processors_left"),
    }
    columns = ("settings", "collection", "songs", *(f"{name}{of}" for name in measures for of in ("", " min", " max")))
    rows = []
    for settings, chosen in _grouped(runs, lambda run: run.settings_name):
        groups = _grouped(chosen, lambda run: run.collection)
        for collection, members in [*groups, *([(ALL, chosen)] if len(groups) > 1 else [])]:
            cells: list[Any] = [settings, collection, len({(run.collection, run.song_id) for run in members})]
            for measure in measures.values():
                values = [measure(run) for run in members]
                cells += [_mean_over_songs(members, measure), min(values), max(values)]
            rows.append(tuple(cells))
    return Table("sizes", "tracks, subgroups, processors and nodes: mean, least, most", columns, rows)


def tradeoff_table(runs: Sequence[Run]) -> Table:
    """Loss increase over the console against the processors that remain, by song and settings (figure 10)."""
    columns = ("collection", "song_id", "policy", "tolerance", "settings", "runs", "loss increase", "remaining")
    rows = []
    for (collection, song, settings), members in _grouped(runs, lambda r: (r.collection, r.song_id, r.settings_name)):
        own = members[0].metrics["settings"]
        increase, remaining = _mean(run.loss_increase for run in members), _mean(1 - r.ratio[ALL] for r in members)
        rows.append((collection, song, own["policy"], own["tolerance"], settings, len(members), increase, remaining))
    return Table("tradeoff", "loss increase and share of processors that remain", columns, rows)


def variation_table(runs: Sequence[Run]) -> Table:
    """How repeated runs of one song differ (figure 11); songs with at least two runs by the same settings.

    ``agreement`` is the share of processors that two runs both keep among those that either keeps, a mean over pairs
    of runs; processors are identified by the track or subgroup that they are on, their type and their rank there.
    """
    columns = ("collection", "song_id", "settings", "runs", "processors left", "least", "most", "deviation",
               "L_a", "L_a least", "L_a most", "agreement")  # fmt: skip
    rows = []
    for (collection, song, settings), members in repeated(runs):
        left = [int(run.metrics["processors_left"]) for run in members]
        losses = [float(run.metrics["audio_loss"]) for run in members]
        numbers = (_mean(left), min(left), max(left), round(statistics.pstdev(left), 3))
        numbers += (_mean(losses), min(losses), max(losses))  # type: ignore[assignment]
        kept = [found for run in members if (found := run.places()) is not None]
        rows.append((collection, song, settings, len(members), *numbers, _agreement(kept)))
    return Table("variation", "repeated runs of one song", columns, rows)


def repeated(runs: Sequence[Run]) -> list[tuple[tuple[str, str, str], list[Run]]]:
    """Songs with at least two runs by the same settings."""
    groups = _grouped(runs, lambda run: (run.collection, run.song_id, run.settings_name))
    return [(key, members) for key, members in groups if len(members) > 1]


def tables(runs: Sequence[Run]) -> list[Table]:
    """All tables that have rows."""
    several = len({run.settings_name for run in runs}) > 1
    made = [pruning_table(runs), sizes_table(runs), variation_table(runs), runs_table(runs)]
    return [table for table in [*made, *([tradeoff_table(runs)] if several else [])] if table.rows]


def _grouped(runs: Sequence[Run], key: Callable[[Run], Any]) -> list[tuple[Any, list[Run]]]:
    groups: dict[Any, list[Run]] = {}
    for run in runs:
        groups.setdefault(key(run), []).append(run)
    return list(groups.items())


def _mean(values: Iterable[float]) -> float | None:
    values = list(values)
    return round(statistics.fmean(values), 6) if values else None


def _mean_over_songs(runs: Sequence[Run], measure: Callable[[Run], float | None]) -> float | None:
    """Repeated runs of a song count as one, with their mean."""
    songs = _grouped(runs, lambda run: (run.collection, run.song_id))
    values = [_mean(value for run in members if (value := measure(run)) is not None) for _, members in songs]
    return _mean(value for value in values if value is not None)


def _ratio(name: str, run: Run) -> float | None:
    return run.ratio.get(name)


def _agreement(kept: Sequence[set[Place]]) -> float | None:
    """Mean over pairs of runs of the share of processors that both keep among those that either keeps."""
    return _mean(len(one & other) / len(one | other) if one | other else 1.0 for one, other in combinations(kept, 2))


# --- everything at once


def write_statistics(runs: Sequence[Run], out: str | Path, *, force: bool = True) -> list[Path]:
    """Write all tables as CSV and all pictures as PNG -> their paths.

    Args:
        runs: mined songs.
        out: a folder, which is made if it is not there.
        force: replace files of the same names, whatever wrote them; else only those of earlier statistics.

    Raises:
        SearchError: the folder cannot be made.
        FileError: a file cannot be written, or would be replaced.
    """
    from graphmix.plots import saving
    from graphmix.plots import statistics as pictures  # matplotlib is loaded only where something is drawn

    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SearchError(f"cannot write to {folder}: {error.strerror or error}. Choose another --out.") from None
    found, figures = tables(runs), pictures.draw_statistics(_plain(runs))
    if not force and not _is_statistics(folder):
        for name in (*(f"{table.name}.csv" for table in found), *(f"{name}.png" for name in figures)):
            check_output(folder / name)
    written = [table.write(folder) for table in found]
    written += [saving.save(figure, folder / f"{name}.png") for name, figure in figures.items()]
    return written


def _is_statistics(folder: Path) -> bool:
    """Whether the tables in a folder are those of earlier statistics."""
    try:
        with open(folder / "runs.csv", encoding="utf-8") as file:
            return file.readline().startswith("song_id,collection,artist,settings,")
    except (OSError, ValueError):
        return False


def _plain(runs: Sequence[Run]) -> dict[str, Any]:
    """What the pictures need: plain records. Where one run for each song is shown, it is that of :func:`main_runs`."""
    main = main_runs(runs)
    table, tradeoff = runs_table(main), tradeoff_table(runs)
    shown = _spread(main, SHOWN_SONGS)
    importance = {run.song_id: points for run in shown if (points := run.importance())}
    return {
        "settings": main[0].settings_name,
        "records": [dict(zip(table.columns, row, strict=True)) for row in table.rows],
        "types": types_of(main),
        "histories": [(run.song_id, trace) for run in shown if (trace := run.trace())],
        "importance": dict(_spread(list(importance.items()), SHOWN_SCATTERS)),
        "repeats": [
            (song, *_kept_and_losses(members[:SHOWN_REPEATS]))
            for (_, song, settings), members in repeated(runs)
            if settings == main[0].settings_name
        ][:SHOWN_SCATTERS],
        "tradeoff": [dict(zip(tradeoff.columns, row, strict=True)) for row in tradeoff.rows],
    }


def _kept_and_losses(runs: Sequence[Run]) -> tuple[dict[str, set[Place]], list[float]]:
    """The places of each run's processors by a name of the run, and its audio loss, where the graph can be read."""
    kept: dict[str, set[Place]] = {}
    losses = []
    for number, run in enumerate(runs, 1):
        if (found := run.places()) is not None:
            name = f"seed {run.seed}"
            kept[name if name not in kept else f"{name} ({number})"] = found
            losses.append(float(run.metrics["audio_loss"]))
    return kept, losses


def main_runs(runs: Sequence[Run]) -> list[Run]:
    """One run for each song: of the settings with most songs, the one with the smallest seed."""
    groups = _grouped(runs, lambda run: run.settings_name)
    _, chosen = max(groups, key=lambda group: len({(run.collection, run.song_id) for run in group[1]}))
    return [members[0] for _, members in _grouped(chosen, lambda run: (run.collection, run.song_id))]


def _spread(items: Sequence[Item], count: int) -> list[Item]:
    """Up to so many items, evenly spread over the sorted list, so that every collection is in it."""
    if len(items) <= count:
        return list(items)
    return [items[round((i + 0.5) * len(items) / count - 0.5)] for i in range(count)]
