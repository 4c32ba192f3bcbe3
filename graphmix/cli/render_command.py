"""``graphmix render``: the sound of a graph."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from graphmix.cli.compiling import announcing_compilation
from graphmix.cli.effects import rack_for
from graphmix.cli.files import check_file, find_graph
from graphmix.cli.terminal import new_console, say, say_notices

if TYPE_CHECKING:
    from graphmix.audio.song import Song

ENDINGS = (".wav", ".flac", ".ogg")


@announcing_compilation()
def run_render(
    graph_path: Path,
    stems: Path,
    output: Path,
    force: bool = False,
    effects: Sequence[str] = (),
    sample_rate: int | None = None,
) -> None:
    """``graphmix render``.

    Args:
        graph_path: a graph file, or a folder that holds one.
        stems: a folder of dry tracks, or of a song.
        output: audio file to be written.
        force: replace the output file if it exists.
        effects: captured effects of the graph, each as ``letter=FILE``.
        sample_rate: of the sound; that of the graph by default.

    Raises:
        GraphmixError: bad input, or an output file that exists.
    """
    from graphmix.audio import load_stems, write_audio
    from graphmix.graph.storage import load_graph
    from graphmix.render.blocks import render_song
    from graphmix.rewrite.rates import at_rate

    graph_path = find_graph(graph_path)
    check_file(output, ENDINGS, _inputs(graph_path, stems), force)
    graph = load_graph(graph_path)
    if sample_rate is not None:
        graph = at_rate(graph, sample_rate)
    rack = rack_for(graph, effects)
    song = _with_residual(load_stems(stems, graph.sample_rate), graph.input_names, graph_path)
    console = new_console()
    say_notices(console, song.notices)
    started = time.perf_counter()
    # Stems alone do not say how long their effects ring on; the song from which the graph was mined does.
    length = song.num_samples if song.mix else max(song.num_samples, int(graph.provenance.get("num_samples", 0)))
    mix = render_song(graph, song, rack, num_samples=length)
    write_audio(output, mix, graph.sample_rate)
    seconds = mix.size(1) / graph.sample_rate
    say(
        console,
        f"{output}: {seconds:.1f} s at {graph.sample_rate} Hz, peak {float(mix.abs().max()):.3f}, "
        f"rendered in {time.perf_counter() - started:.1f} s",
    )


def _with_residual(song: "Song", names: Sequence[str], graph_path: Path) -> "Song":
    """The tracks, and the residual that mining left beside its graph if the graph takes it and they lack it."""
    from graphmix.audio import read_audio
    from graphmix.search.residual import RESIDUAL_TRACK, add_track

    path = graph_path.with_name(RESIDUAL_TRACK)
    if RESIDUAL_TRACK not in names or RESIDUAL_TRACK in song.track_names or not path.is_file():
        return song
    return add_track(song, path, read_audio(path, 0, song.num_samples, song.sample_rate))


def _inputs(graph_path: Path, stems: Path) -> list[Path]:
    """Files that the command may read, known before it reads them."""
    return [graph_path, *(path for path in stems.rglob("*") if path.is_file())]
