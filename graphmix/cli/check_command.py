"""``graphmix check``: what is wrong with a song or a graph, and what is not used."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from graphmix.cli.effects import rack_for
from graphmix.cli.files import find_graph
from graphmix.cli.show_command import headline
from graphmix.cli.terminal import new_console, say, say_notices
from graphmix.errors import GraphmixError

if TYPE_CHECKING:
    from graphmix.audio.song import Song


def run_check(
    path: Path,
    sample_rate: int,
    mix: Path | None = None,
    offset: str | None = None,
    quick: bool = False,
    effects: Sequence[str] = (),
) -> None:
    """Validate a song's folder, a graph file or a mined folder, and print what it is.

    Args:
        path: what is checked.
        sample_rate: working rate for a song.
        mix: a song's mix, in place of its own.
        offset: how far the mix lies behind the tracks, in place of what the song says.
        quick: do without the comparison of mix and tracks.
        effects: captured effects of a graph, each as ``letter=FILE``.

    Raises:
        GraphmixError: it cannot be used.
    """
    if not path.exists():
        raise GraphmixError(f"{path} does not exist; give a song's folder or a graph file.")
    from graphmix.audio.song import load_song
    from graphmix.audio.song_places import is_mined

    console = new_console()
    if path.is_dir() and not is_mined(path):
        song = load_song(path, sample_rate, mix=mix, offset=offset)
        warnings = [] if quick else _warnings(console, song)
        _print_song(console, song, warnings)
        found = {"warning": len(warnings), "note": len(song.notices)}
    else:
        found = {"note": _check_graph(console, find_graph(path), effects)}
    counts = [f"{count} {what}{'s' * (count > 1)}" for what, count in found.items() if count]
    say(console, "; ".join(["no errors", *counts]))


def _warnings(console: Console, song: "Song") -> list[str]:
    """What the samples show of a mix and tracks that do not belong together, or are damaged."""
    from graphmix.audio.alignment import find_faults

    with console.status("comparing mix and tracks (--quick does without)"):
        return [finding.text for finding in find_faults(song)]


def _print_song(console: Console, song: "Song", warnings: list[str]) -> None:
    """Print what a song is, after what is to be noted about it."""
    for warning in warnings:
        say(console, f"warning: {warning}")
    say_notices(console, song.notices)
    buses = ", ".join(f"{bus} ({len(tracks)})" for bus, tracks in song.subgroups.items())
    seconds = song.num_samples / song.sample_rate
    name = song.mix.path.name if song.mix else "none"
    say(console, f"{song.name}: {song.num_tracks} tracks, {seconds:.1f} s, mix: {name}, subgroups: {buses}")


def _check_graph(console: Console, path: Path, effects: Sequence[str]) -> int:
    """Load a graph, schedule it, and print what it is; the number of notes on what could not be checked.

    A captured effect whose file is not given is none of the graph's faults: it is noted, and the rest is checked.
    """
    from graphmix.graph.storage import load_graph
    from graphmix.render.schedule import schedule

    graph = load_graph(path)
    captured = [t for t in graph.types.types if t.source]
    if captured and not effects:
        for t in captured:
            say(console, f"note: {t.name!r} is the captured effect {t.source}; check it with --effect {t.letter}=FILE.")
    else:
        plan = schedule(graph, rack_for(graph, effects))
        say(console, f"{len(plan.stages)} rendering stages")
    for line in headline(graph):
        say(console, line)
    return 0 if effects else len(captured)
