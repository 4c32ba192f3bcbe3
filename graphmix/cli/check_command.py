"""``graphmix check``: what is wrong with a song or a graph, and what is not used."""

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from graphmix.errors import GraphmixError
from graphmix.text import name_as_text

if TYPE_CHECKING:
    from graphmix.audio.song import Song

GRAPH_FILE = "graph.safetensors"
"""The graph in a folder that a search wrote."""


def graph_file(path: Path) -> Path:
    """The graph file of a path: itself, or the one in a folder that a search wrote.

    Raises:
        GraphmixError: it is a folder without a graph.
    """
    if not path.is_dir():
        return path
    if (path / GRAPH_FILE).is_file():
        return path / GRAPH_FILE
    raise GraphmixError(
        f"{path} is a folder without {GRAPH_FILE}: give a graph file, or a folder that mine has finished."
    )


def run_check(
    path: Path, sample_rate: int, mix: Path | None = None, offset: str | None = None, quick: bool = False
) -> None:
    """Validate a song's folder, a graph file or a mined folder, and print what it is.

    Args:
        path: what is checked.
        sample_rate: working rate for a song.
        mix: a song's mix, in place of its own.
        offset: how far the mix lies behind the tracks, in place of what the song says.
        quick: do without the comparison of mix and tracks.

    Raises:
        GraphmixError: it cannot be used.
    """
    from graphmix.audio.song import load_song
    from graphmix.audio.song_places import is_mined

    if not path.exists():
        raise GraphmixError(f"{path} does not exist; give a song's folder or a graph file.")
    console = Console(highlight=False)
    if path.is_dir() and not is_mined(path):
        song = load_song(path, sample_rate, mix=mix, offset=offset)
        warnings = [] if quick else _warnings(console, song)
        _print_song(console, song, warnings)
        found = {"warning": len(warnings), "note": len(song.notices)}
    else:
        _check_graph(console, graph_file(path))
        found = {}
    counts = [f"{count} {what}{'s' * (count > 1)}" for what, count in found.items() if count]
    _say(console, "; ".join(["no errors", *counts]))


def _warnings(console: Console, song: "Song") -> list[str]:
    """What the samples show of a mix and tracks that do not belong together, or are damaged."""
    from graphmix.audio.alignment import find_faults

    with console.status("comparing mix and tracks (--quick does without)"):
        return [finding.text for finding in find_faults(song)]


def _print_song(console: Console, song: "Song", warnings: list[str]) -> None:
    """Print what a song is, after what is to be noted about it."""
    for warning in warnings:
        _say(console, f"warning: {warning}")
    for notice in song.notices:
        _say(console, f"note: {notice}")
    buses = ", ".join(f"{bus} ({len(tracks)})" for bus, tracks in song.subgroups.items())
    seconds = song.num_samples / song.sample_rate
    name = song.mix.path.name if song.mix else "none"
    _say(console, f"{song.name}: {song.num_tracks} tracks, {seconds:.1f} s, mix: {name}, subgroups: {buses}")


def _check_graph(console: Console, path: Path) -> None:
    """Load a graph, schedule it, and print what it is."""
    from graphmix.cli.commands import headline
    from graphmix.graph.storage import load_graph
    from graphmix.processors.rack import Rack
    from graphmix.render.schedule import schedule

    graph = load_graph(path)
    plan = schedule(graph, Rack.for_types(graph.types.types, graph.sample_rate))
    _say(console, f"{len(plan.stages)} rendering stages")
    for line in headline(graph):
        _say(console, line)


def _say(console: Console, line: str) -> None:
    console.print(name_as_text(line), markup=False, soft_wrap=True)
