"""``graphmix convert``: a graph by other processors."""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from graphmix.cli.app import Effect, Force, Graph, app
from graphmix.cli.compiling import announcing_compilation
from graphmix.cli.terminal import new_console, say, say_notices

if TYPE_CHECKING:
    from graphmix.audio.song import Song
    from graphmix.graph.mixgraph import MixGraph
    from graphmix.processors.rack import Rack
    from graphmix.rewrite.convert import Converted

ENDINGS = (".safetensors", ".json")
TABLE_FILE = "conversions.json"


class To(StrEnum):
    """Conversions, as :data:`graphmix.rewrite.convert.KINDS`, whose import would take a second."""

    physical = "physical"
    parametric = "parametric"
    zero_phase = "zero-phase"
    attack_release = "attack-release"
    one_time = "one-time"
    network = "network"
    noise = "noise"


@app.command(epilog="Example: graphmix convert mined/RockSteady songs/RockSteady/dry -o converted.json --to parametric")
@announcing_compilation()
def convert(
    graph: Graph,
    stems: Annotated[
        Path | None, typer.Argument(help="Folder of dry tracks, or of a song: errors are those of what it plays.")
    ] = None,
    *,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Graph file, .json or .safetensors, or a new or empty folder.")
    ],
    to: Annotated[
        list[To] | None,
        typer.Option(help="May be repeated; physical is parametric, attack-release and network, and the default."),
    ] = None,
    max_error: Annotated[
        float | None,
        typer.Option(help="Most dB that a node may be off, else it stays; by default 1, of reverbs 3."),
    ] = None,
    force: Force = False,
    effect: Effect = None,
) -> None:
    """Re-express equalizers, compressors, gates and reverbs by other processors, with the error of each."""
    from graphmix.cli.effects import rack_for
    from graphmix.cli.files import check_file, find_graph
    from graphmix.graph.storage import load_graph, save_graph
    from graphmix.rewrite.convert import PHYSICAL, check_convertible
    from graphmix.rewrite.convert import convert as convert_graph
    from graphmix.sessions.export import check_folder

    path = find_graph(graph)
    is_file = output.suffix.lower() in ENDINGS
    if is_file:
        check_file(output, ENDINGS, [path], force)
    else:
        check_folder(output)
    names = [name for one in to or [To.physical] for name in (PHYSICAL if one is To.physical else (one.value,))]
    kinds = check_convertible(names)
    given = load_graph(path)
    rack = rack_for(given, effect or [])
    console = new_console(wide=True)
    song = None if stems is None else _song(stems, given, path)
    say_notices(console, song.notices if song is not None else ())
    signals = None if song is None else _signals(given, song, rack)
    converted = convert_graph(given, kinds, max_error, signals, rack)
    if is_file:
        save_graph(converted.graph, output)
    else:
        _write_folder(output, converted)
    console.print(as_table(converted, given))
    done = [row for row in converted.rows if row.becomes]
    say(console, f"{output}: {len(done)} of {len(converted.rows)} nodes converted")
    if song is not None and done:
        say(console, _difference(given, converted.graph, song, rack))


def _song(stems: Path, graph: "MixGraph", path: Path) -> "Song":
    from graphmix.audio import load_stems
    from graphmix.cli.render_command import with_residual

    return with_residual(load_stems(stems, graph.sample_rate), graph.input_names, path)


def _signals(graph: "MixGraph", song: "Song", rack: "Rack") -> Callable[[int], Any]:
    """What comes into nodes of the graph."""
    from graphmix.render.signals import Signals

    signals = Signals(graph, song, song.num_samples, rack)
    return lambda node: signals.into(node).double().numpy()


def as_table(converted: "Converted", graph: "MixGraph") -> Table:
    """What became of each node, for the terminal."""
    from rich.text import Text

    from graphmix.graph.strips import place_names
    from graphmix.text import name_as_text

    table = Table()
    table.add_column("node", no_wrap=True)
    table.add_column("of", overflow="fold")
    table.add_column("becomes", overflow="fold")
    table.add_column("error", justify="right", no_wrap=True)
    table.add_column("how", overflow="fold")
    places = place_names(graph)
    for row in converted.rows:
        error = "" if row.error_db is None else f"{row.error_db:.2f} dB"
        cells = row.label, name_as_text(places[row.node]), ", ".join(row.becomes) or "stays", error, row.words
        table.add_row(*map(Text, cells))
    return table


def _write_folder(folder: Path, converted: "Converted") -> None:
    """The graph in both forms, and the table as JSON."""
    from dataclasses import asdict

    from graphmix.graph.storage import save_graph
    from graphmix.io import to_json
    from graphmix.sessions.export import whole_folder

    with whole_folder(folder) as partial:
        save_graph(converted.graph, partial / "graph.safetensors")
        save_graph(converted.graph, partial / "graph.json")
        (partial / TABLE_FILE).write_text(to_json([asdict(row) for row in converted.rows], indent=1), encoding="utf-8")


def _difference(before: "MixGraph", after: "MixGraph", song: "Song", rack: "Rack") -> str:
    """How far the renders of two graphs are apart, in words."""
    from graphmix.processors.rack import Rack
    from graphmix.render.blocks import render_song
    from graphmix.search.mix_measures import song_loss

    extra = [processor for processor in rack if processor.node_type.source]
    new_rack = Rack.for_types(after.types.types, after.sample_rate, extra)
    target, found = render_song(before, song, rack), render_song(after, song, new_rack)
    loss = song_loss(prediction=found, target=target, sample_rate=after.sample_rate)
    return f"audio loss L_a of the render after conversion against the one before: {loss:.4f}"
