"""``graphmix evaluate-separator``: separators beside the mixture and the ideal ratio mask."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from graphmix.cli.app import app
from graphmix.cli.progress import ProgressListener
from graphmix.cli.terminal import new_console, say


@app.command(name="evaluate-separator", epilog="Example: graphmix evaluate-separator separator --songs book")
def evaluate_separator(
    models: Annotated[list[str], typer.Argument(help="Folders that train wrote, files, or names.")],
    songs: Annotated[list[Path], typer.Option(help="Songbook, MUSDB18-HQ, songs with subgroups; may be repeated.")],
    dry: Annotated[bool, typer.Option("--dry", help="Sum the dry tracks, also where a graph is known.")] = False,
    bss_eval: Annotated[bool, typer.Option("--bss-eval", help="Also BSSEval's SDR, by fast_bss_eval.")] = False,
    seconds: Annotated[float, typer.Option(min=0.1, help="Longest stretch of a song, from its middle.")] = 60.0,
) -> None:
    """Compare separators on the same songs: SI-SDR improvement in dB, beside the ideal ratio mask."""
    from graphmix.evaluation.separation import evaluate_separators, summarize_separation

    console = new_console()
    with ProgressListener(console) as listener:
        listener.phase("songs", None)
        rows = evaluate_separators(
            dict(zip(models, models, strict=True)),
            songs,
            wet=not dry,
            longest_seconds=seconds,
            bss_eval=bss_eval,
            progress=listener.progress,
        )
    summary = summarize_separation(rows)
    sources = [name for name in next(iter(summary.values())) if name not in ("mean", "share")]
    table = Table("SI-SDR improvement / dB", *sources, "mean", "share of ideal")
    for name, values in summary.items():
        cells = [f"{values[source]:.2f}" for source in (*sources, "mean")]
        table.add_row(name, *cells, f"{100 * values['share']:.0f} %")
    console.print(table)
    if bss_eval:
        for name in summary:
            ratios = [row.sdr_db for row in rows if row.model == name and row.sdr_db is not None]
            say(console, f"{name}: BSSEval SDR {sum(ratios) / len(ratios):.2f} dB on average")
