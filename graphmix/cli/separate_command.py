"""``graphmix separate``: the sources of a mix as stems."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from graphmix.cli.app import Force, Report, app
from graphmix.cli.progress import ProgressListener
from graphmix.cli.report_command import report_at_end
from graphmix.cli.terminal import new_console, say, say_notices

Model = Annotated[str, typer.Option(help="Separator: folder that train wrote, file, or name.")]
Iterations = Annotated[int, typer.Option(min=0, help="Of the multichannel Wiener filter.")]


@app.command(epilog="Example: graphmix separate song.flac -o song-stems")
def separate(
    mix: Annotated[Path, typer.Argument(help="Audio file, or folder of a song, whose mix is taken.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Output folder; resumed if unfinished.")],
    model: Model = "separator",
    source: Annotated[
        list[str] | None, typer.Option(help="Source that becomes a stem, by default all; may be repeated.")
    ] = None,
    iterations: Iterations = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, …")] = "auto",
    force: Force = False,
    report: Report = True,
) -> None:
    """Separate a mix into stems that add up to it: a song folder that check and mine take."""
    from graphmix.separation import separate as run_separate

    console = new_console()
    with ProgressListener(console) as listener:
        separated = run_separate(
            mix, output, model, sources=source or (), iterations=iterations, device=device, force=force,
            listener=listener,
        )  # fmt: skip
    say_notices(console, separated.about["notices"])
    if separated.already_done:
        say(console, f"{output} is finished already; nothing to do.")
    console.print(stems_table(separated.about))
    say(console, f"mix.wav, stems/, song.json: {output}/")
    report_at_end(console, output, wanted=report)


def stems_table(about: dict[str, Any]) -> Table:
    """The stems of a separated mix, with their share of its energy."""
    title = f"{about['song']}: {about['duration']:.1f} s separated in {about['seconds']:.1f} s"
    table = Table("stem", title=Text(title), title_justify="left")
    table.add_column("share of the mix's energy", justify="right")
    for name, stem in about["stems"].items():
        table.add_row(Text(name), f"{100 * stem['share_of_energy']:.1f} %")
    return table
