"""Ardour sessions back: graphmix's own lose nothing, those of others become what graphmix has.

====================================  ==========================================================================
track with a playlist, bus, master    input, mix, output
fader and panner, trim                gain; a panner that mixes left and right an imager and a gain
automation of a fader                 ride of at most 32 points
aux send                              send
``a-eq``                              equalizer with the curve of its bands
``a-comp``, ``a-exp``                 ballistic compressor, ballistic gate
graphmix's own plugins                their processors
any other plugin                      a bypassed gain of its name, and a notice says so
muted or switched off route           feeds nothing
====================================  ==========================================================================
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as Xml

from graphmix.errors import FileError
from graphmix.graph.mixgraph import MixGraph
from graphmix.sessions.ardour_levels import RouteLevels, pan_nodes, read_fader, ride_of_plugin
from graphmix.sessions.ardour_plugins import plugin_nodes
from graphmix.sessions.ardour_regions import Clock
from graphmix.sessions.rebuild import FoundNode, Link, rebuild, tell_apart

_PORT = re.compile(r"(.+)/audio_(in|out) (\d+)")
PLUGINS = ("lv2", "luaproc", "ladspa", "windows-vst", "lxvst", "mac-vst", "vst3", "audiounit")
PASSING = (
    "amp",
    "trim",
    "polarity",
    "meter",
    "main-outs",
    "diskreader",
    "diskwriter",
    "triggerbox",
    "capture",
    "monitor",
)
"""Processors that are read elsewhere or do nothing to a mix."""
ASIDE = {"MonitorOut", "Auditioner", "SurroundMaster"}
"""Routes that are no part of a mix."""


@dataclass(frozen=True, eq=False)
class Document:
    """A session's file.

    Args:
        root: the document.
        folder: of the session.
        clock: its units of time.
        begin: first sample of the song on the timeline.
    """

    root: Xml.Element
    folder: Path
    clock: Clock
    begin: int

    @property
    def sample_rate(self) -> int:
        """In Hz."""
        return self.clock.sample_rate


@dataclass(frozen=True, eq=False)
class ReadSession:
    """What a session holds.

    Args:
        graph: its mixer.
        playlists: name of an input node -> what plays in it.
        notices: sentences for the user.
    """

    graph: MixGraph
    playlists: Mapping[str, Xml.Element]
    notices: tuple[str, ...]


Known = Mapping[str, list[FoundNode]]
"""Number of a plugin in the file -> the nodes for which it stands, where that is known."""


def read_mixer(document: Document, known: Known | None = None) -> ReadSession:
    """The mixer of a session as a graph.

    Raises:
        FileError: no track with audio, or a number that is none.
        GraphError: routes that feed each other in a loop.
    """
    return _Reader(document, known or {}).session()


def mixer_routes(document: Document) -> dict[str, Xml.Element]:
    """The routes of a session that are part of its mix, by number."""
    routes = document.root.findall("Routes/Route")
    return {str(route.get("id")): route for route in routes if not _flags(route) & ASIDE}


def connections(document: Document) -> list[tuple[str, str, int]]:
    """What feeds what: numbers of routes, and the inlet; the outputs of the sound card are left out."""
    reader = _Reader(document, {})
    reader.find_routes()
    numbers = {name: str(route.element.get("id")) for name, route in reader.routes.items()}
    links = []
    for name, route in reader.routes.items():
        links += [
            (numbers[name], numbers[target], inlet) for target, inlet in reader.leaves(route) if target in numbers
        ]
    return links


@dataclass(eq=False)
class _Route:
    """A route: its nodes in order, its sends, and where they leave the chain."""

    element: Xml.Element
    name: str
    nodes: list[FoundNode] = field(default_factory=list)
    sends: list[tuple[Xml.Element, FoundNode]] = field(default_factory=list)
    is_silent: bool = False

    @property
    def is_master(self) -> bool:
        return "MasterOut" in _flags(self.element)

    @property
    def end(self) -> FoundNode:
        return self.nodes[-1]


class _Reader:
    def __init__(self, document: Document, known: Known) -> None:
        self.document, self.root, self.known = document, document.root, known
        self.file = document.clock.file
        self.notices: list[str] = []
        self.playlists = {str(p.get("id")): p for p in self.root.findall("Playlists/Playlist")}
        self.routes: dict[str, _Route] = {}
        self.found: dict[str, Xml.Element] = {}

    def find_routes(self) -> None:
        for element in mixer_routes(self.document).values():
            name = element.get("name") or ""
            if element.get("default-type", "audio") != "audio":
                self.notices.append(f"{name}: routes of MIDI are not read.")
            else:
                self.routes[name] = _Route(element, name)

    def session(self) -> ReadSession:
        self.find_routes()
        if self.root.findall("VCAManager/VCA"):
            self.notices.append("VCAs are not read; their faders count for nothing.")
        for route in self.routes.values():
            self._fill(route)
        inputs = [route.nodes[0] for route in self.routes.values() if route.nodes and route.nodes[0].kind == "in"]
        if not inputs:
            raise FileError(f"{self.file}: there is no audio track with regions in it.")
        tell_apart(inputs)
        playlists = {}
        for route in self.routes.values():
            if route.nodes and route.nodes[0].kind == "in":
                playlists[route.nodes[0].name] = self.found[route.name]
        out = FoundNode("out")
        links = [link for route in self.routes.values() for link in self._links(route, out)]
        nodes = _in_order(
            [*(n for r in self.routes.values() for n in r.nodes), *(n for x in links for n in x[:2]), out]
        )
        graph = rebuild(nodes, links, self.document.sample_rate)
        return ReadSession(graph, playlists, tuple(dict.fromkeys(self.notices)))

    # --- nodes

    def _fill(self, route: _Route) -> None:
        element = route.element
        playlist = self.playlists.get(element.get("audio-playlist") or "-")
        nodes = route.nodes
        if playlist is not None and playlist.find("Region") is not None:
            nodes.append(FoundNode("in", route.name))
            self.found[route.name] = playlist
        else:
            nodes.append(FoundNode("mix", "" if route.is_master else route.name))
        levels = RouteLevels(element, self.document.clock, self.document.begin)
        for processor in element.findall("Processor"):
            kind = processor.get("type", "")
            if kind in ("trim", "amp", "polarity"):
                nodes += read_fader(levels, processor, self.notices)
            elif kind in PLUGINS:
                found = self.known.get(str(processor.get("id"))) or ride_of_plugin(levels, processor, self.notices)
                nodes += found or plugin_nodes(processor, route.name, self.document.sample_rate, self.notices)
            elif kind == "intsend" and processor.get("role") == "Aux" and processor.get("active", "1") == "1":
                route.sends.append((processor, nodes[-1]))
            elif kind not in PASSING and processor.get("role") != "Listen" and processor.get("active", "1") == "1":
                self.notices.append(f"{route.name}: {processor.get('name') or kind!r} ({kind}) is not read.")
        if not route.is_master:
            nodes += pan_nodes(levels, element, self.notices)
        if len(nodes) > 1 and len(_inlets(nodes[1])) > 1 and nodes[0].kind == "mix":
            del nodes[0]
        solo = levels.value("solo", "self-solo")
        if solo:
            self.notices.append(f"{route.name}: it is soloed, which is not read: all routes are.")
        route.is_silent = bool(levels.value("mute")) or element.get("active", "1") == "0"
        if route.is_silent:
            self.notices.append(f"{route.name}: it is muted or switched off and feeds nothing.")

    # --- connections

    def _links(self, route: _Route, out: FoundNode) -> Iterable[Link]:
        nodes = route.nodes
        for before, after in pairwise(nodes):
            yield before, after, 0, 0
        if route.is_silent:
            return
        if route.is_master:
            yield route.end, out, 0, 0
            return
        for (target, inlet), pairs in self.leaves(route).items():
            end = route.end
            gains = self._sides(route, target, pairs)
            if gains is not None:
                part = FoundNode("gain", f"{route.name} to {target}", {"gain_db": gains})
                yield end, part, 0, 0
                end = part
            head = out if target == "system" else self.routes[target].nodes[0]
            if inlet and len(_inlets(head)) < 2:
                self.notices.append(f"{route.name}: it goes into inputs 3 and 4 of {target}, which are not read.")
                continue
            yield end, head, 0, inlet
        by_number = {str(r.element.get("id")): r for r in self.routes.values()}
        for processor, source in route.sends:
            aim = by_number.get(str(processor.get("target")))
            if aim is None:
                raise FileError(
                    f"{self.file}: {route.name} sends to route {processor.get('target')!r}, which is not there."
                )
            levels = RouteLevels(processor, self.document.clock, self.document.begin)
            node = FoundNode("send", processor.get("name") or "", {"gain_db": levels.send_gains(self.notices)})
            yield source, node, 0, 1
            yield node, aim.nodes[0], 0, 0

    def leaves(self, route: _Route) -> dict[tuple[str, int], set[tuple[int, int]]]:
        """Where a route's outputs go: (route or "system", inlet) -> pairs of output and input, from 0."""
        pairs: dict[tuple[str, int], set[tuple[int, int]]] = {}

        def note(source_port: int, other: str) -> None:
            match = _PORT.fullmatch(other)
            if match is not None and match[2] == "in" and match[1] in self.routes:
                port = int(match[3]) - 1
                pairs.setdefault((match[1], port // 2), set()).add((source_port, port % 2))
            elif other.startswith("system:playback_"):
                played = other.removeprefix("system:playback_")
                if played in ("1", "2"):
                    pairs.setdefault(("system", 0), set()).add((source_port, int(played) - 1))

        for port in route.element.findall("IO[@direction='Output']/Port[@type='audio']"):
            match = _PORT.fullmatch(port.get("name") or "")
            for other in port.findall("Connection") if match else ():
                note(int(match[3]) - 1, other.get("other") or "")  # type: ignore[index]
        for target in self.routes.values():
            for port in target.element.findall("IO[@direction='Input']/Port[@type='audio']"):
                for other in port.findall("Connection"):
                    match = _PORT.fullmatch(other.get("other") or "")
                    if match is not None and match[2] == "out" and match[1] == route.name:
                        note(int(match[3]) - 1, port.get("name") or "")
        if not any(r.is_master for r in self.routes.values()):
            return pairs
        return {key: found for key, found in pairs.items() if key[0] != "system" or len(pairs) == 1}

    def _sides(self, route: _Route, target: str, pairs: set[tuple[int, int]]) -> list[float] | None:
        """Gains in dB that stand for a connection which is not left to left and right to right."""
        outputs = len(route.element.findall("IO[@direction='Output']/Port[@type='audio']"))
        whole = {(0, 0), (0, 1)} if outputs == 1 else {(0, 0), (1, 1)}
        if pairs == whole or (outputs == 1 and pairs == {(0, 0)} and target != "system" and self._is_mono(target)):
            return None
        if pairs in ({(0, 0)}, {(1, 1)}, {(0, 1)} if outputs == 1 else None):
            ((_, side),) = pairs
            return [0.0, -120.0] if side == 0 else [-120.0, 0.0]
        self.notices.append(f"{route.name}: its connection to {target} crosses left and right; it is read as straight.")
        return None

    def _is_mono(self, target: str) -> bool:
        return len(self.routes[target].element.findall("IO[@direction='Input']/Port[@type='audio']")) == 1


def _flags(element: Xml.Element) -> set[str]:
    info = element.find("PresentationInfo")
    return set((info.get("flags") or "").split(",")) if info is not None else set()


def _inlets(node: FoundNode) -> tuple[str, ...]:
    return ("in", "second") if node.kind in ("send", "sidechain_compressor") else ("in",)


def _in_order(nodes: Iterable[FoundNode]) -> list[FoundNode]:
    """Each node once, as they first come."""
    return list({id(node): node for node in nodes}.values())
