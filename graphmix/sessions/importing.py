"""A session of a digital audio workstation as a song folder and a graph."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graphmix.audio.files import write_audio
from graphmix.errors import FileError
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.storage import save_graph
from graphmix.io import write_json
from graphmix.sessions.archive import open_archive
from graphmix.sessions.ardour_session import ENDING as ARDOUR_ENDING
from graphmix.sessions.ardour_session import read_ardour
from graphmix.sessions.clips import read_clips, tempo_of
from graphmix.sessions.dawproject import ENDING
from graphmix.sessions.dawproject_import import read_project
from graphmix.sessions.export import check_folder, whole_folder
from graphmix.sessions.names import safe_names
from graphmix.sessions.reaper import ENDING as RPP_ENDING
from graphmix.sessions.reaper_import import read_mixer
from graphmix.sessions.reaper_items import is_playing, item_notices, rate_of, read_items
from graphmix.sessions.reaper_project import read_project as read_rpp


@dataclass(frozen=True)
class Imported:
    """What a session became: the folder with ``dry/`` and ``graph.safetensors``, the graph, sentences for the user."""

    folder: Path
    graph: MixGraph
    notices: tuple[str, ...]


def import_session(path: str | os.PathLike[str], folder: str | os.PathLike[str]) -> Imported:
    """Read a session into a song folder with its graph.

    Args:
        path: an ``.ardour``, ``.dawproject`` or ``.RPP`` file, or a folder with one.
        folder: of the song, new or empty.

    Raises:
        FileError: no session, a damaged or harmful one, or a folder that holds something.
        GraphError: channels that feed each other in a loop.
    """
    path, folder = _find(Path(path)), Path(folder)
    check_folder(folder)
    with whole_folder(folder) as whole:
        graph, notices = READERS[path.suffix.lower()](path, whole / "dry")
        save_graph(graph, whole / "graph.safetensors")
        write_json(whole / "song.json", {"name": path.stem, "mix": None, "stems": "dry"})
    return Imported(folder, graph, notices)


def _read_dawproject(path: Path, dry: Path) -> tuple[MixGraph, tuple[str, ...]]:
    with open_archive(path) as archive:
        project = read_project(archive)
        rate = project.graph.sample_rate
        lanes = {lanes.get("track"): lanes for lanes in project.root.iter("Lanes") if lanes.get("track")}
        outer = next((x.get("timeUnit") for x in project.root.iter("Lanes") if x.get("timeUnit")), "beats")
        audio = {
            name: partial(read_clips, archive, lanes[track], str(outer), tempo_of(project.root), rate)
            for track, name in project.tracks.items()
        }
        return _written(project.graph, audio, dry), project.notices


def _read_reaper(path: Path, dry: Path) -> tuple[MixGraph, tuple[str, ...]]:
    root = read_rpp(path)
    project = read_mixer(root, rate_of(root, path.parent), is_playing)
    rate = project.graph.sample_rate
    audio = {name: partial(read_items, track, path.parent, rate) for name, track in project.tracks}
    return _written(project.graph, audio, dry), (*project.notices, *item_notices(root))


def _read_ardour(path: Path, dry: Path) -> tuple[MixGraph, tuple[str, ...]]:
    session = read_ardour(path)
    return _written(session.graph, session.audio, dry), session.notices


READERS: Mapping[str, Callable[[Path, Path], tuple[MixGraph, tuple[str, ...]]]] = {
    ARDOUR_ENDING: _read_ardour,
    ENDING: _read_dawproject,
    RPP_ENDING.lower(): _read_reaper,
}
"""By the ending of a session's file: what writes the audio of its tracks into a folder and gives graph and notices."""


def _written(graph: MixGraph, audio: Mapping[str, Callable[[], NDArray[np.float64]]], dry: Path) -> MixGraph:
    """The graph with its inputs named after the files of their tracks, which are written."""
    files = safe_names(name.removesuffix(".wav") for name in audio)
    dry.mkdir()
    for file, read in zip(files, audio.values(), strict=True):
        write_audio(dry / f"{file}.wav", read(), graph.sample_rate)
    return _renamed(graph, dict(zip(audio, [f"{file}.wav" for file in files], strict=True)))


def _find(path: Path) -> Path:
    """The file of a session."""
    endings = ", ".join(READERS)
    if path.is_dir():
        main = path / f"{path.resolve().name}{ARDOUR_ENDING}"
        if main.is_file():  # beside it may lie snapshots
            return main
        found = sorted(file for file in path.iterdir() if file.suffix.lower() in READERS)
        if len(found) != 1:
            raise FileError(f"{path} holds {len(found)} {endings} files; name one.")
        return found[0]
    if path.suffix.lower() not in READERS:
        raise FileError(f"{path}: sessions are read from {endings} files, not from {path.suffix or 'this'!r}.")
    return path


def _renamed(graph: MixGraph, names: dict[str, str]) -> MixGraph:
    """The graph with its inputs named after the files of their tracks."""
    inputs = set(graph.nodes_of("in").tolist())
    new = tuple(names.get(name, name) if node in inputs else name for node, name in enumerate(graph.names))
    graph.info = replace(graph.info, names=new)
    return graph
