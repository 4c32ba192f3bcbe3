"""``graphmix mine-all``: mine a collection, and show the progress of the whole and of each worker."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from graphmix.cli.effects import load_effects
from graphmix.cli.terminal import new_console, say
from graphmix.mining.driver import Standing
from graphmix.mining.mine_collection import mine_all
from graphmix.mining.song_task import Outcome, Status
from graphmix.search.settings import PRESETS
from graphmix.songs.collection import AUTO, open_collection

SOME_FAILED = 1
"""Exit status where songs failed and the others are mined."""
_SHOWN_WORKERS = 24


def run_mine_all(
    path: Path,
    out: Path,
    preset: str = "draft",
    steps: int | None = None,
    rounds: int | None = None,
    kind: str = AUTO,
    reading: dict[str, Any] | None = None,
    changes: dict[str, Any] | None = None,
    effects: Sequence[str] = (),
    **options: Any,
) -> None:
    """``graphmix mine-all``.

    Args:
        path: of the collection.
        out: output folder.
        preset: name of the settings to begin with.
        steps: as ``graphmix mine``.
        rounds: as ``graphmix mine``.
        kind: layout of the collection.
        reading: other arguments of :func:`graphmix.songs.collection.open_collection`.
        changes: settings that differ from the preset's.
        effects: captured effects, each as ``letter=FILE``.
        options: other arguments of :func:`graphmix.mining.mine_collection.mine_all`.

    Raises:
        typer.Exit: with status 1, if songs failed.
    """
    console = new_console()
    settings = replace(PRESETS[preset], **(changes or {})).scaled(steps, rounds)
    captured = load_effects(effects, settings.sample_rate)
    collection = open_collection(path, kind, **(reading or {}))
    say(console, f"{len(collection)} songs in {path}, layout {collection.kind}")
    display = Display(console)
    try:
        with display:
            standing = mine_all(collection, out, settings, effects=captured, watcher=display, **options)
    except KeyboardInterrupt:
        done = display.standing
        say(console, f"stopped: {done.done} of {done.total} songs are done; the same command resumes.")
        raise
    _print_summary(console, standing, out)
    if standing.failed:
        raise typer.Exit(SOME_FAILED)


class Display:
    """A :class:`graphmix.mining.driver.Watcher` that draws with rich.

    On a terminal, a table that is kept up to date below a line for each song; elsewhere the lines alone.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.standing = Standing(0)
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None

    def __enter__(self) -> "Display":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def update(self, standing: Standing) -> None:
        """Draw the table again."""
        self.standing = standing
        if self._live is not None:
            self._live.update(picture(standing), refresh=True)

    def ended(self, outcome: Outcome, standing: Standing) -> None:
        """A line for the song."""
        self.standing = standing
        say(self.console, line_on(outcome, standing))


def line_on(outcome: Outcome, standing: Standing) -> str:
    """What became of a song, and how far the whole is."""
    before = f"[{standing.done}/{standing.total}] {outcome.song_id}: "
    if outcome.status is Status.FAILED or outcome.status is Status.DIED:
        return f"{before}failed: {outcome.reason}"
    numbers = outcome.metrics
    text = f"L_a {numbers['audio_loss']:.4f}, ρ {numbers['pruning_ratio']['all']:.2f}" if numbers else "mined"
    by = f"{outcome.seconds:.0f} s" if outcome.status is Status.MINED else f"by {outcome.worker}"
    left = f", {duration(standing.remaining)} left" if standing.remaining else ""
    return f"{before}{text}, {by}{left}"


def picture(standing: Standing) -> Group:
    """The whole on one line, then each worker."""
    whole = Table.grid(padding=(0, 2))
    left = "" if standing.remaining is None else f"{duration(standing.remaining)} left"
    counts = f"{standing.done}/{standing.total} songs, {len(standing.failed)} failed"
    whole.add_row(
        ProgressBar(total=max(1, standing.total), completed=standing.done, width=30),
        counts,
        f"{duration(standing.seconds)} so far",
        left,
    )
    workers = Table(box=None, pad_edge=False, header_style="dim")
    for heading, justify in (
        ("worker", "left"),
        ("song", "left"),
        ("phase", "left"),
        ("done", "right"),
        ("loss", "right"),
    ):
        workers.add_column(heading, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for note in standing.workers[:_SHOWN_WORKERS]:
        done = f"{note.done}/{note.total}" if note.total else ""
        loss = "" if note.loss is None else f"{note.loss:.4f}"
        workers.add_row(Text(note.worker), Text(note.song_id), note.phase, done, loss)
    parts: list[Any] = [whole, workers]
    if (more := len(standing.workers) - _SHOWN_WORKERS) > 0:
        parts.append(Text(f"and {more} more workers", style="dim"))
    if standing.waiting:
        parts.append(Text(f"with another driver: {len(standing.waiting)}", style="dim"))
    return Group(*parts)


def duration(seconds: float | None) -> str:
    """In the two units that matter."""
    if seconds is None:
        return "?"
    minutes, hours = seconds / 60, seconds / 3600
    if hours >= 48:
        return f"{hours // 24:.0f} d {hours % 24:.0f} h"
    if hours >= 1:
        return f"{hours:.1f} h"
    return f"{minutes:.0f} min" if minutes >= 2 else f"{seconds:.0f} s"


def _print_summary(console: Console, standing: Standing, out: Path) -> None:
    counts = [f"{len(standing.mined)} mined now"]
    if standing.already:
        counts.append(f"{len(standing.already)} mined before")
    if standing.elsewhere:
        counts.append(f"{len(standing.elsewhere)} by another driver")
    counts.append(f"{len(standing.failed)} failed")
    say(console, f"{standing.total} songs: {', '.join(counts)}; {duration(standing.seconds)}")
    for song, reason in standing.failed.items():
        say(console, f"  {song}: {reason}")
    if any(reason.startswith("failed in an earlier run") for reason in standing.failed.values()):
        say(console, "--retry-failed tries them again.")
    for notice in standing.notices:
        say(console, f"note: {notice}")
    say(console, f"catalogue: {out}/catalogue.sqlite; statistics: graphmix stats {out}")
