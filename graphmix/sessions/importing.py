"""A session of a digital audio workstation as a song folder and a graph."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from graphmix.audio.files import write_audio
from graphmix.errors import FileError
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.storage import save_graph
from graphmix.io import write_json
from graphmix.sessions.archive import open_archive
from graphmix.sessions.clips import read_clips, tempo_of
from graphmix.sessions.dawproject import ENDING
from graphmix.sessions.dawproject_import import read_project
from graphmix.sessions.export import check_folder, whole_folder
from graphmix.sessions.names import safe_names


@dataclass(frozen=True)
class Imported:
    """What a session became: the folder with ``dry/`` and ``graph.safetensors``, the graph, sentences for the user."""

    folder: Path
    graph: MixGraph
    notices: tuple[str, ...]


def import_session(path: str | os.PathLike[str], folder: str | os.PathLike[str]) -> Imported:
    """Read a session into a song folder with its graph.

    Args:
        path: a ``.dawproject`` file, or a folder with one.
        folder: of the song, new or empty.

    Raises:
        FileError: no session, a damaged or harmful one, or a folder that holds something.
        GraphError: channels that feed each other in a loop.
    """
    path, folder = _find(Path(path)), Path(folder)
    check_folder(folder)
    with whole_folder(folder) as partial:
        with open_archive(path) as archive:
            project = read_project(archive)
            lanes = {lanes.get("track"): lanes for lanes in project.root.iter("Lanes") if lanes.get("track")}
            outer = next((x.get("timeUnit") for x in project.root.iter("Lanes") if x.get("timeUnit")), "beats")
            files = safe_names(name.removesuffix(".wav") for name in project.tracks.values())
            names = dict(zip(project.tracks.values(), [f"{file}.wav" for file in files], strict=True))
            graph = _renamed(project.graph, names)
            (partial / "dry").mkdir()
            for track, file in zip(project.tracks, files, strict=True):
                audio = read_clips(archive, lanes[track], str(outer), tempo_of(project.root), graph.sample_rate)
                write_audio(partial / "dry" / f"{file}.wav", audio, graph.sample_rate)
        save_graph(graph, partial / "graph.safetensors")
        write_json(partial / "song.json", {"name": path.stem, "mix": None, "stems": "dry"})
    return Imported(folder, graph, project.notices)


def _find(path: Path) -> Path:
    """The file of a session."""
    if path.is_dir():
        found = sorted(path.glob(f"*{ENDING}"))
        if len(found) != 1:
            raise FileError(f"{path} holds {len(found)} {ENDING} files; name one.")
        return found[0]
    if path.suffix.lower() != ENDING:
        raise FileError(f"{path}: sessions are read from {ENDING} files, not from {path.suffix or 'this'!r}.")
    return path


def _renamed(graph: MixGraph, names: dict[str, str]) -> MixGraph:
    """The graph with its inputs named after the files of their tracks."""
    inputs = set(graph.nodes_of("in").tolist())
    new = tuple(names.get(name, name) if node in inputs else name for node, name in enumerate(graph.names))
    graph.info = replace(graph.info, names=new)
    return graph
