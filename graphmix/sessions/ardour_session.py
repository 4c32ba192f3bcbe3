"""A session's file of Ardour as a graph and the audio of its tracks: one that graphmix wrote, or any other."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from xml.etree import ElementTree as Xml

import numpy as np
from numpy.typing import NDArray

from graphmix.errors import FileError
from graphmix.graph.editing import without_dead_ends
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.validation import validate
from graphmix.io import regular_file_size
from graphmix.sessions.archive import MOST_XML, parse_xml
from graphmix.sessions.ardour_import import Document, connections, mixer_routes, read_mixer
from graphmix.sessions.ardour_kept import read_kept
from graphmix.sessions.ardour_moves import Marks, Moves, what_changed
from graphmix.sessions.ardour_regions import Clock, read_playlist
from graphmix.sessions.rebuild import FoundNode

ENDING = ".ardour"


@dataclass(frozen=True, eq=False)
class ArdourSession:
    """What a session's file holds.

    Args:
        graph: its mixer.
        audio: by the name of an input: reads what plays there, [2, samples].
        notices: sentences for the user.
    """

    graph: MixGraph
    audio: Mapping[str, Callable[[], NDArray[np.float64]]]
    notices: tuple[str, ...]


def read_ardour(path: Path) -> ArdourSession:
    """Read the file of a session.

    Raises:
        FileError: it is none, or a number, a route or a track in it is none; no track has audio.
        GraphError: routes that feed each other in a loop.
    """
    document = _read_document(path)
    sources = {str(source.get("id")): source for source in document.root.findall("Sources/Source")}

    def reader(playlist: Xml.Element) -> Callable[[], NDArray[np.float64]]:
        return partial(read_playlist, playlist, document.folder, sources, document.clock, document.begin)

    kept = read_kept(document.root, str(path))
    known: dict[str, list[FoundNode]] = {}
    changed = ""
    if kept is not None:
        graph, marks = kept
        routes = mixer_routes(document)
        changed = what_changed(marks, routes, connections(document))
        if not changed:
            moves = Moves(graph, document.clock, document.begin)
            graph = validate(without_dead_ends(moves.apply(marks, routes)))
            playlists = {str(p.get("id")): p for p in document.root.findall("Playlists/Playlist")}
            audio = {}
            for number, mark in marks["routes"].items():
                if mark["track"] is not None:
                    playlist = playlists.get(routes[number].get("audio-playlist") or "-")
                    if playlist is None:
                        raise FileError(f"{path}: the track {mark['name']!r} has no playlist.")
                    audio[graph.names[mark["track"]]] = reader(playlist)
            return ArdourSession(graph, audio, tuple(moves.notices))
        known = _known(graph, marks)
    found = read_mixer(document, known)
    notices = found.notices
    if changed:
        notices = (f"the session is no more as graphmix wrote it ({changed}): it is read as one of others.", *notices)
    return ArdourSession(found.graph, {name: reader(p) for name, p in found.playlists.items()}, notices)


def _read_document(path: Path) -> Document:
    try:
        regular_file_size(path, MOST_XML)
        content = path.read_bytes()
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}.") from None
    root = parse_xml(content, str(path))
    if root.tag != "Session":
        raise FileError(f"{path} holds <{root.tag}>, and an Ardour session <Session>.")
    try:
        rate = int(root.get("sample-rate") or "")
    except ValueError:
        rate = 0
    if not 8000 <= rate <= 192000:
        raise FileError(f"{path}: its sample rate is {root.get('sample-rate')!r}; 8000 to 192000 Hz are read.")
    tempo = root.find("TempoMap/Tempos/Tempo")
    try:
        quarters = float(tempo.get("npm", "120")) if tempo is not None else 120.0
    except ValueError:
        quarters = 120.0
    clock = Clock(rate, quarters if 1 <= quarters <= 1000 else 120.0, str(path))
    begin = 0
    for location in root.findall("Locations/Location"):
        if "IsSessionRange" in (location.get("flags") or ""):
            begin = clock.samples(location.get("start"), "the start of the session")
    return Document(root, path.parent, clock, begin)


def _known(graph: MixGraph, marks: Marks) -> dict[str, list[FoundNode]]:
    """The nodes for which the plugins of a session stand that graphmix wrote."""
    known: dict[str, list[FoundNode]] = {}
    for mark in marks["routes"].values():
        for number, plugin in mark["plugins"].items():
            known[number] = []
            for node in plugin["nodes"]:
                kind = graph.type_of(node)
                if node == mark["fader_node"] or len(kind.outlets) > 1:
                    continue  # a part of it is in the fader; a band of a crossover is no node by itself
                values = {p.name: graph.parameter(node, p.name).double().tolist() for p in kind.parameters}
                wet = float(graph.wet[node])
                known[number].append(FoundNode(kind.name, graph.names[node], values, wet, base_rate=kind.base_rate))
    return {number: nodes for number, nodes in known.items() if nodes}
