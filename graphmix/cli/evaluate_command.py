"""``graphmix evaluate``: models beside one another on the same songs, in one table."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich import box
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from graphmix.cli.files import check_file
from graphmix.cli.terminal import new_console, say
from graphmix.errors import GraphmixError
from graphmix.evaluation.intervals import Interval
from graphmix.evaluation.scores import COLUMNS

HEADINGS: Mapping[str, str] = {
    "audio_loss": "audio loss L_a",
    "audio_loss_paper": "L_a, silence as in the paper",
    "spectral_db": "log-spectral distance, dB",
    "loudness_lu": "loudness, LU off",
    "width_db": "stereo width, dB off",
    "crest_db": "crest factor, dB off",
    "dynamics_db": "dynamic range, dB off",
    "f1": "keep/drop F1",
    "keep_f1": "F1 of keeping alone",
    "best_constant_f1": "F1 of the best constant answer",
    "parameter_error": "parameter error, raw units",
    "seconds": "seconds a song",
}


def run_evaluate(
    models: Sequence[str],
    songs: Path,
    out: Path | None = None,
    *,
    held_out: bool = False,
    max_tracks: int | None = None,
    device: str = "auto",
    force: bool = False,
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

    Raises:
        GraphmixError: bad input.
    """
    from graphmix.evaluation.evaluate import artists_of, evaluate, songs_to_evaluate
    from graphmix.evaluation.scores import save_scores, summarize
    from graphmix.search.mine_song import choose_device
    from graphmix.training.checkpoint import find_checkpoint, load_estimator, read_description

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
    console = new_console(wide=True)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("songs", total=len(found) * len(loaded))
        scores = list(
            evaluate(loaded, found, trained_on=artists, progress=lambda done, total: bar.update(task, completed=done))
        )
    console.print(as_table(summarize(scores), len(found)))
    biased = sorted({score.model for score in scores if score.artist_in_training})
    if biased:
        say(
            console,
            f"note: some of these artists were in the training songs of {', '.join(biased)}; --held-out leaves their "
            "songs out.",
        )
    if out is not None:
        save_scores(scores, out)
        say(console, f"{len(scores)} rows and their means: {out}")


def as_table(summary: Mapping[str, Mapping[str, Interval | None]], songs: int) -> Table:
    """Measures down, models across: mean [low, high]."""
    title = Text(f"mean over {songs} songs [95 % bootstrap interval]")
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for model in summary:
        table.add_column(Text(model), justify="right", no_wrap=True)
    for name in COLUMNS:
        cells = [columns.get(name) for columns in summary.values()]
        if any(cell is not None for cell in cells):
            table.add_row(HEADINGS[name], *(Text(_cell(cell)) for cell in cells))
    return table


def _cell(interval: Interval | None) -> str:
    if interval is None:
        return "–"
    if interval.low == interval.high:
        return f"{interval.mean:.3f}"
    return f"{interval.mean:.3f} [{interval.low:.3f}, {interval.high:.3f}]"
