"""``graphmix export`` and ``graphmix import``: graphs as sessions of digital audio workstations, and back."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from graphmix.cli.files import find_graph
from graphmix.cli.render_command import with_residual
from graphmix.cli.terminal import new_console, say, say_notices

if TYPE_CHECKING:
    from graphmix.audio.song import Song
    from graphmix.sessions import Exported


def run_export(
    graph_path: Path,
    stems: Path,
    output: Path,
    to: str,
    sample_rate: int | None = None,
    how: str = "exact",
    check: bool = False,
    prints: bool = False,
) -> None:
    """``graphmix export``.

    Args:
        graph_path: a graph file, or a folder that holds one.
        stems: a folder of dry tracks, or of a song.
        output: folder of the session.
        to: name of the format.
        sample_rate: of the session; by default that of the tracks' files.
        how: exact or editable.
        check: render the session with Ardour, and say how far that is from graphmix's render.
        prints: render what the format or other programs lack into the clips.

    Raises:
        GraphmixError: bad input, a folder that holds something, or a processor that the format cannot hold.
    """
    from graphmix.audio import load_stems
    from graphmix.graph.storage import load_graph
    from graphmix.sessions import export_session

    graph_path = find_graph(graph_path)
    graph = load_graph(graph_path)
    song = load_stems(stems, sample_rate or _rate_of(stems))
    song = with_residual(song, graph.input_names, graph_path)
    length = song.num_samples
    if not song.mix:
        ringing = int(graph.provenance.get("num_samples", 0)) * song.sample_rate
        length = max(length, -(-ringing // graph.sample_rate))
    if check:
        _check_can_check(to)
    exported = export_session(graph, song, output, to, length, how, prints)
    console = new_console()
    say_notices(console, (*song.notices, *exported.notices))
    counts = Counter(channel.role.value for channel in exported.session.channels)
    devices = sum(1 for _ in exported.session.devices())
    say(
        console,
        f"{output}: {to} session, {length / song.sample_rate:.1f} s at {song.sample_rate} Hz, "
        f"{_counted(counts['track'], 'track', 'tracks')}, {_counted(counts['bus'], 'bus', 'busses')}, "
        f"{_counted(devices, 'processor', 'processors')}",
    )
    for sentence in exported.approximations:
        say(console, f"  {sentence}")
    if check:
        say(console, _checked(exported, song))


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _check_can_check(to: str) -> None:
    """Refuse a check that cannot be made, before anything is written.

    Raises:
        FileError: Ardour is not installed.
        GraphError: a format that it does not open.
    """
    from graphmix.errors import FileError, GraphError
    from graphmix.sessions.headless import MISSING, find_ardour

    if to != "ardour":
        raise GraphError(f"--check renders Ardour sessions; a session for {to} is not checked.")
    if find_ardour() is None:
        raise FileError(MISSING)


def _checked(exported: "Exported", song: "Song") -> str:
    """What Ardour plays against graphmix's render, in words."""
    import numpy as np
    import torch

    from graphmix.render.blocks import render_song
    from graphmix.search.mix_measures import song_loss
    from graphmix.sessions.headless import render_ardour, shifted_by_latency

    rate = exported.graph.sample_rate
    ours = render_song(exported.graph, song, num_samples=exported.num_samples)
    theirs = render_ardour(exported.folder, exported.session.name, exported.num_samples / rate)
    theirs, wanted = shifted_by_latency(theirs, ours.double().numpy())
    error = np.sqrt(np.mean((theirs - wanted) ** 2) / max(float(np.mean(wanted**2)), 1e-30))
    prediction, target = (torch.from_numpy(np.ascontiguousarray(x)).float() for x in (theirs, wanted))
    loss = song_loss(prediction=prediction, target=target, sample_rate=rate)
    return (
        f"rendered by Ardour, against graphmix's render: audio loss L_a {loss:.4f}, difference "
        f"{20 * np.log10(max(error, 1e-10)):.1f} dB of the mix"
    )


def run_import(session: Path, output: Path) -> None:
    """``graphmix import``.

    Args:
        session: an ``.ardour``, ``.dawproject`` or ``.RPP`` file, or a folder with one.
        output: folder of the song.

    Raises:
        GraphmixError: no session, a damaged one, or a folder that holds something.
    """
    from graphmix.sessions import import_session

    imported = import_session(session, output)
    console = new_console()
    say_notices(console, imported.notices)
    graph = imported.graph
    say(
        console,
        f"{output}: {len(graph.input_names)} tracks in dry/, graph.safetensors with {graph.num_nodes} nodes and "
        f"{graph.num_edges} edges, {graph.sample_rate} Hz",
    )


def _rate_of(stems: Path) -> int:
    """The rate of most of the tracks' files."""
    from graphmix.audio.files import read_info
    from graphmix.audio.song_folder import find_layout, flat_layout
    from graphmix.audio.song_places import is_song

    layout = find_layout(stems, need_mix=False) if is_song(stems) else flat_layout(stems)
    rates = Counter(read_info(path).sample_rate for path in layout.tracks.values())
    return rates.most_common(1)[0][0]
