"""``graphmix evaluate``: models beside one another on the same songs, in one table."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from graphmix.cli.files import check_file
from graphmix.cli.terminal import new_console, say
from graphmix.errors import GraphmixError
from graphmix.evaluation.intervals import Interval
from graphmix.evaluation.scores import COLUMNS, LEVELLED, TRACK_LEVEL, Score

HEADINGS: Mapping[str, str] = {
    "audio_loss": "audio loss L_a",
    "audio_loss_paper": "L_a, silence as in the paper",
    LEVELLED: "L_a at the mix's loudness",
    TRACK_LEVEL: "levels of tracks, LU off",
    "spectral_db": "log-spectral distance, dB",
    "loudness_lu": "loudness, LU off",
    "range_lu": "loudness range, LU off",
    "width_db": "stereo width, dB off",
    "crest_db": "crest factor, dB off",
    "dynamics_db": "dynamic range, dB off",
    "centroid_oct": "spectral centroid, octaves off",
    "rolloff_oct": "spectral roll-off, octaves off",
    "flatness_db": "spectral flatness, dB off",
    "pan_rms": "panning RMS, off",
    "pan_low": "panning RMS below 250 Hz, off",
    "pan_mid": "panning RMS to 2.5 kHz, off",
    "pan_high": "panning RMS above, off",
    "f1": "keep/drop F1",
    "keep_f1": "F1 of keeping alone",
    "best_constant_f1": "F1 of the best constant answer",
    "parameter_error": "parameter error, raw units",
    "seconds": "seconds a song",
}
BASELINE = "loudness_sum"


def run_evaluate(
    models: Sequence[str],
    songs: Path,
    out: Path | None = None,
    *,
    held_out: bool = False,
    max_tracks: int | None = None,
    device: str = "auto",
    force: bool = False,
    mined: Path | None = None,
    against: str = BASELINE,
    rules: bool = False,
) -> None:
    """``graphmix evaluate``.

    Args:
        models: folders, files or names.
        songs: a songbook, mined songs, a collection, or one song.
        out: ``.csv`` or ``.json`` file for every row.
        held_out: leave out songs by artists that one of the models was trained on.
        max_tracks: leave out songs with more tracks.
        device: where to compute.
        force: replace the file `out`.
        mined: folder of graphs that were mined of the songs, which are rendered again beside the models.
        against: model that the others are compared with, if it is among them.
        rules: let proposals keep the rules of :mod:`graphmix.training.rules`, as ``predict`` does.

    Raises:
        GraphmixError: bad input.
    """
    from graphmix.evaluation.evaluate import artists_of, evaluate, songs_to_evaluate
    from graphmix.evaluation.human_mix import MinedFolder
    from graphmix.evaluation.scores import save_scores, summarize
    from graphmix.search.mine_song import choose_device
    from graphmix.training.checkpoint import find_checkpoint, load_estimator, read_description
    from graphmix.training.rules import Rules

    if out is not None:
        check_file(out, (".csv", ".json"), force=force)
    where = choose_device(device)
    loaded = {name: load_estimator(name, where) for name in dict.fromkeys(models)}
    paths = {name: find_checkpoint(name) for name in loaded}
    artists = {name: artists_of(read_description(path)) for name, path in paths.items() if path is not None}
    found = songs_to_evaluate(songs, max_tracks)
    if held_out:
        found = [song for song in found if all(song.artist not in own for own in artists.values())]
        if not found:
            raise GraphmixError(f"every song of {songs} is by an artist that a model was trained on; give other songs.")
    graphs = None if mined is None else MinedFolder(mined)
    console = new_console(wide=True)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("songs", total=len(found) * (len(loaded) + (graphs is not None)))
        scores = list(
            evaluate(
                loaded,
                found,
                trained_on=artists,
                mined=graphs,
                rules=Rules() if rules else None,
                progress=lambda done, total: bar.update(task, completed=done),
            )
        )
    console.print(as_table(summarize(scores), len(found)))
    further = _show_comparison(console, scores, against)
    biased = sorted({score.model for score in scores if score.artist_in_training})
    if biased:
        say(
            console,
            f"note: some of these artists were in the training songs of {', '.join(biased)}; --held-out leaves their "
            "songs out.",
        )
    if out is not None:
        save_scores(scores, out, further=further)
        say(console, f"{len(scores)} rows and their means: {out}")


def _show_comparison(console: Console, scores: Sequence[Score], against: str) -> dict[str, Any]:
    """Ratios to a baseline, distances of distributions, errors by role; and the same as JSON values."""
    from graphmix.evaluation.comparison import by_model, distances, ratios, role_levels
    from graphmix.evaluation.mix_features import FEATURES
    from graphmix.evaluation.scores import plain_summary

    count = max(len(own) for own in by_model(scores).values())
    tables = {}
    if against in by_model(scores) and len(by_model(scores)) > 1:
        tables["ratios"] = ratios(scores, against)
        title = f"mean over that of {against} on the same songs; below 1 is better"
        console.print(plain_table(title, tables["ratios"], HEADINGS))
    if count > 1:
        tables["distances"] = distances(scores)
        title = f"distance of the distributions over {count} songs from that of the songs' own mixes"
        console.print(plain_table(title, tables["distances"], FEATURES))
    tables["roles"] = role_levels(scores)
    if any(tables["roles"].values()):
        console.print(plain_table("levels of tracks by role, LU off", tables["roles"], {}))
    sources = Counter(score.level_source for score in {s.song_id: s for s in scores if s.level_source}.values())
    if sources:
        known = ", ".join(f"{source} ({number})" for source, number in sources.items())
        say(console, f"levels of tracks in the songs' own mixes are those of: {known}")
    return {name: plain_summary(table) for name, table in tables.items()} | {"level_sources": dict(sources)}


def as_table(summary: Mapping[str, Mapping[str, Interval | None]], songs: int) -> Table:
    """Measures down, models across: mean [low, high]."""
    ordered = {model: {name: columns.get(name) for name in COLUMNS} for model, columns in summary.items()}
    return plain_table(f"mean over {songs} songs [95 % bootstrap interval]", ordered, HEADINGS)


def plain_table(title: str, summary: Mapping[str, Mapping[str, Interval | None]], headings: Mapping[str, str]) -> Table:
    """Numbers down, models across; rows that no model has are left out."""
    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for model in summary:
        table.add_column(Text(model), justify="right", no_wrap=True)
    for name in dict.fromkeys(name for columns in summary.values() for name in columns):
        cells = [columns.get(name) for columns in summary.values()]
        if any(cell is not None for cell in cells):
            table.add_row(headings.get(name, name), *(Text(_cell(cell)) for cell in cells))
    return table


def _cell(interval: Interval | None) -> str:
    if interval is None:
        return "–"
    if interval.low == interval.high:
        return f"{interval.mean:.3f}"
    return f"{interval.mean:.3f} [{interval.low:.3f}, {interval.high:.3f}]"
