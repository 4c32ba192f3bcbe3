"""``graphmix report``: a page to listen on; and the page that other commands write at their end."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from graphmix.cli.app import Effect, Force, app
from graphmix.cli.compiling import announcing_compilation
from graphmix.cli.progress import ProgressListener
from graphmix.cli.terminal import new_console, say
from graphmix.errors import GraphmixError

if TYPE_CHECKING:
    from graphmix.processors.base import Processor

MEGABYTE = 1_000_000


@app.command(epilog="Example: graphmix report mined/RockSteady")
@announcing_compilation()
def report(
    run: Annotated[Path, typer.Argument(help="Folder that mine, predict, program, capture, separate or demo wrote.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="HTML file; report.html in the folder by default.")
    ] = None,
    song: Annotated[
        Path | None, typer.Option(help="Folder of the song, or the sound, where its files are not where they were.")
    ] = None,
    megabytes: Annotated[float, typer.Option(min=3, help="Largest size of the page.")] = 12,
    seconds: Annotated[float | None, typer.Option(min=1, help="Of the song at most; else as much as fits.")] = None,
    effect: Effect = None,
    force: Force = False,
) -> None:
    """Write a page to listen on: versions in sync, the graph, what was removed and why, in one HTML file."""
    from graphmix.cli.files import check_file
    from graphmix.report import Limits, write_report
    from graphmix.report.write import find_run

    folder = find_run(run)
    if output is not None:
        check_file(output, (".html", ".htm"), [], force)
    if song is not None and not song.exists():
        raise GraphmixError(f"{song} is not there: check the name.")
    limits = Limits(round(megabytes * MEGABYTE), seconds)
    console = new_console()
    with ProgressListener(console) as listener:
        path = write_report(
            run, output, limits=limits, song=song, effects=_effects(folder, effect or []), listener=listener
        )
    say(console, f"{path}: {path.stat().st_size / MEGABYTE:.1f} MB, opens in any browser, without network")


def _effects(folder: Path, given: Sequence[str]) -> "list[Processor]":
    """Captured effects and plugins, at the rate of the run's graph."""
    if not given:
        return []
    from graphmix.cli.effects import load_effects
    from graphmix.cli.files import find_graph
    from graphmix.graph.storage import load_graph

    return load_effects(given, load_graph(find_graph(folder)).sample_rate)


def report_at_end(
    console: Console, run: Path, effects: "Sequence[Processor]" = (), *, wanted: bool = True, replace: bool = False
) -> None:
    """Write the page of a run that has just ended, unless it is there already or not wanted.

    Args:
        console: what happens is said there.
        run: its folder.
        effects: captured effects and plugins of the graph.
        wanted: whether to write it.
        replace: also where there is one, of an earlier run into the same folder.
    """
    from graphmix.report.write import REPORT, try_report

    if not wanted or ((run / REPORT).exists() and not replace):
        return
    with ProgressListener(console) as listener:
        try_report(run, lambda text: say(console, text), effects=effects, listener=listener)
