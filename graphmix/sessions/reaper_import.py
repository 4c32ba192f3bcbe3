"""REAPER projects back: graphmix's own lose nothing, those of others become what graphmix has.

A track with audio becomes an input; one that receives, or has tracks in it, a mix; fader and pan a gain, a volume
envelope a ride, a receive with a level a ``send``, an inverted phase an ``align``. Effects of graphmix are what they
were; every other plugin becomes a bypassed gain of its name, and a notice says so.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from graphmix.errors import FileError
from graphmix.graph.mixgraph import MixGraph
from graphmix.sessions.reaper import KEY, SECTION
from graphmix.sessions.reaper_nodes import Found, NodeReader
from graphmix.sessions.reaper_project import Node
from graphmix.sessions.reaper_state import State, Track, Whole
from graphmix.sessions.rebuild import FoundNode, Link, rebuild, tell_apart

UNREAD = ("PANENV", "PANENV2", "WIDTHENV", "WIDTHENV2", "DUALPANENV", "DUALPANENV2", "MUTEENV")
BALANCE, HYBRID = 3, 3
"""Pan mode and taper of new projects."""
SIDECHAIN = 2
"""A receive's first channel, from 0, where it goes to channels 3 and 4."""

S = TypeVar("S", bound=State)


@dataclass(frozen=True, eq=False)
class Project:
    """What a project holds: its mixer, the tracks with audio by the names of their inputs, sentences for the user."""

    graph: MixGraph
    tracks: tuple[tuple[str, Node], ...]
    notices: tuple[str, ...]


def read_mixer(root: Node, sample_rate: int, is_playing: Callable[[Node], bool]) -> Project:
    """The mixer of a project.

    Args:
        root: its text.
        sample_rate: of the graph.
        is_playing: whether an item has audio that plays.

    Raises:
        FileError: no track has audio; a number that is none, a state that is damaged.
        GraphError: tracks that feed each other in a loop.
    """
    return _Reader(root, sample_rate, is_playing).project()


class _Reader:
    def __init__(self, root: Node, sample_rate: int, is_playing: Callable[[Node], bool]) -> None:
        self.root, self.sample_rate, self.is_playing = root, sample_rate, is_playing
        self.notices: list[str] = []
        self.read = NodeReader(sample_rate, root.number("PANLAW", default=1.0), self.notices)
        section = next((inner for outer in root.blocks("EXTSTATE") for inner in outer.blocks(SECTION)), None)
        self.state = self._state(Whole, section)
        self.tracks: list[Found] = []
        self.master = Found("the master", root, self.state.master if self.state else None)
        self.out = FoundNode("out", self.state.name, number=self.state.output) if self.state else FoundNode("out")

    def _state(self, kind: type[S], block: Node | None) -> S | None:
        """What graphmix wrote into a block, if it did."""
        words = [] if block is None else block.line(KEY)
        if not words:
            return None
        try:
            return kind.decoded(words[0])
        except ValueError:
            raise FileError(f"{self.root.file}: the data that graphmix keeps in it are damaged.") from None

    def project(self) -> Project:
        self._find_tracks()
        feeding = {track.parent for track in self.tracks if track.sends}
        for index, track in enumerate(self.tracks):
            is_fed = index in feeding or bool(track.node.lines("AUXRECV"))
            self._fill(track, is_fed, "VOLPAN", "FXCHAIN", ("VOLENV", "VOLENV2", "VOLENV3"))
        self._fill(
            self.master, False, "MASTER_VOLUME", "MASTERFXLIST", ("MASTERVOLENV", "MASTERVOLENV2", "MASTERVOLENV3")
        )
        if self.master.nodes and not self.master.state:
            self.master.nodes.insert(0, FoundNode("mix", "master"))
        inputs = [track.source for track in self.tracks if track.source]
        if not inputs:
            raise FileError(
                f"{self.root.file}: no track has audio that plays; graphmix reads projects with audio tracks."
            )
        tell_apart(inputs)
        links = self._links()
        nodes = [node for track in (*self.tracks, self.master) for node in track.nodes]
        nodes = _unique([*nodes, *(node for link in links for node in link[:2]), self.out])
        if not self.state:
            nodes, links = _with_audio(nodes, links)
        graph = rebuild(nodes, _once_into_crossovers(links), self.sample_rate)
        played = [(track.source.name, track.node) for track in self.tracks if track.source]
        return Project(graph, tuple(played), tuple(dict.fromkeys(self.notices)))

    # --- tracks

    def _find_tracks(self) -> None:
        folders: list[int] = []
        for node in self.root.blocks("TRACK"):
            name = "".join(node.line("NAME")[:1]) or f"track {len(self.tracks) + 1}"
            track = Found(name, node, self._state(Track, node.block("EXT")))
            track.parent = folders[-1] if folders else None
            track.is_mute = node.number("MUTESOLO") != 0
            track.sends = not track.is_mute and node.number("MAINSEND", default=1.0) != 0
            if node.number("MUTESOLO", 1):
                self.notices.append(f"{name}: solo is not read.")
            self._check_panner(node, name)
            depth = round(node.number("ISBUS", 1))
            if depth > 0:
                folders.append(len(self.tracks))
            del folders[max(0, len(folders) + min(0, depth)) :]
            self.tracks.append(track)

    def _check_panner(self, node: Node, name: str) -> None:
        """Say where a track does not pan as the others do."""
        mode = node.number("PANMODE", default=-1.0)
        mode = mode if mode >= 0 else self.root.number("PANMODE", default=float(BALANCE))
        taper = node.number("PANLAWFLAGS", default=self.root.number("PANLAWFLAGS", default=float(HYBRID)))
        if (mode != BALANCE or taper != HYBRID) and node.number("VOLPAN", 1):
            self.notices.append(
                f"{name}: its pan mode or pan law is not REAPER's usual one; the pan is read as if it were."
            )

    def _fill(self, found: Found, is_fed: bool, fader: str, chain: str, envelopes: tuple[str, str, str]) -> None:
        """The nodes of a track or of the master."""
        node, state, is_track = found.node, found.state, found is not self.master
        name, number = (state.name, state.node) if state else (found.name, None)
        if is_track and (state.entry == "in" if state else any(self.is_playing(item) for item in node.blocks("ITEM"))):
            found.source = FoundNode("in", name, number=number)
            found.nodes.append(found.source)
            if is_fed:
                found.nodes.append(FoundNode("mix", found.name))
        elif state.entry == "mix" if state else is_track:
            found.nodes.append(FoundNode("mix", name, number=number))
        if state and state.send:
            found.nodes.append(FoundNode("send", state.send.name, number=state.send.node))
        found.nodes += self.read.ride(node.block(envelopes[0]), found, None)
        found.nodes += self.read.effects(node.block(chain), found, node.number("FX", default=1.0) != 0)
        found.fader = len(found.nodes)
        found.nodes += self.read.levels(
            found, fader, "AUTOMODE" if is_track else "MASTERAUTOMODE", node.block(envelopes[1])
        )
        found.nodes += self.read.ride(node.block(envelopes[2]), found, None)
        if node.number("IPHASE"):
            found.nodes.append(FoundNode("align", f"{found.name} inverted", {"polarity": [-1.0]}))
        for tag in UNREAD:
            if is_track and node.block(tag) is not None:
                self.notices.append(f"{found.name}: its envelope {tag} has no counterpart and is not read.")

    # --- connections

    def _links(self) -> list[Link]:
        links: list[Link] = []
        for found in (*self.tracks, self.master):
            for before, after in zip(found.nodes, found.nodes[1:], strict=False):
                links.append((before, after, found.outlet if before is found.nodes[0] else 0, 0))
        for track in self.tracks:
            if track.sends:
                target = self.master if track.parent is None else self.tracks[track.parent]
                links += self._into(target, self._ends(track), 0)
            for number, line in enumerate(track.node.lines("AUXRECV")):
                links += self._receive(track, line, is_first=number == 0)
        if self.master.nodes:
            links.append((self.master.nodes[-1], self.out, 0, 0))
        if round(self.root.number("MASTERMUTESOLO")) & 1:
            links = [link for link in links if link[1] is not self.out]
        return links

    def _ends(self, track: Found, seen: tuple[int, ...] = ()) -> list[tuple[FoundNode, int]]:
        """The node and outlet that leave a track; what enters it, where it has no nodes."""
        if track.nodes:
            return [(track.nodes[-1], track.outlet if len(track.nodes) == 1 else 0)]
        index = next(k for k, other in enumerate(self.tracks) if other is track)
        if index in seen:
            return []
        inside = [other for other in self.tracks if other.parent == index and other.sends]
        sources = [*inside, *(self._source(track, line) for line in track.node.lines("AUXRECV"))]
        return [end for source in sources for end in self._ends(source, (*seen, index))]

    def _into(self, target: Found, ends: Sequence[tuple[FoundNode, int]], inlet: int) -> list[Link]:
        """What leaves somewhere enters a track, or the output; a track without nodes only passes it on."""
        if target.nodes:
            entry = target.nodes[1] if target.nodes[0].kind == "in" else target.nodes[0]
            return [(node, entry, outlet, inlet) for node, outlet in ends]
        return [(node, self.out, outlet, 0) for node, outlet in ends] if target is self.master else []

    def _source(self, target: Found, line: list[str]) -> Found:
        """The track that a receive comes from."""
        index = round(target.node.as_number(line[0], "AUXRECV")) if line else -1
        if not 0 <= index < len(self.tracks):
            raise FileError(
                f"{self.root.file}: {target.name} receives from track {index + 1}, and there is no such track."
            )
        return self.tracks[index]

    def _receive(self, target: Found, line: list[str], is_first: bool) -> list[Link]:
        """The links of a receive."""
        source = self._source(target, line)
        values = [target.node.as_number(word.split(":")[0], "AUXRECV") for word in line[1:10]]
        neutral = [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0]
        mode, volume, pan, is_mute, is_mono, is_inverted, out_of, channel, law = [*values, *neutral[len(values) :]]
        ends = self._ends(source)
        if is_mute or source.is_mute:
            return []
        if is_first and target.state and target.state.send:
            fader = self.read.gain(volume, pan, law, target.state.send)
            assert fader is not None
            target.nodes[0].values = fader.values
            return self._into(target, ends, 1)
        name = f"{target.name}: its receive from {source.name}"
        if is_mono or is_inverted:
            self.notices.append(f"{name}: mono sum and inverted phase are not read.")
        gain = self.read.gain(volume, pan, law, None)
        if (
            out_of == 0
            and channel == SIDECHAIN
            and target.nodes
            and target.nodes[0].kind in ("sidechain_compressor", "send")
        ):
            if gain is not None:
                self.notices.append(f"{name}: the level of a sidechain is not read.")
            return self._into(target, ends, 1)
        if out_of != 0 or channel != 0:
            self.notices.append(f"{name} is on other channels than 1 and 2 (a sidechain?) and is not read.")
            return []
        if mode == 1 and source.nodes:
            ends = [(source.nodes[0], source.outlet)]
        elif mode == 3 and source.fader:
            ends = [(source.nodes[source.fader - 1], source.outlet if source.fader == 1 else 0)]
        if gain is None:
            return self._into(target, ends, 0)
        send = FoundNode("send", "", gain.values)
        return [*((node, send, outlet, 1) for node, outlet in ends), *self._into(target, [(send, 0)], 0)]


def _unique(nodes: Sequence[FoundNode]) -> list[FoundNode]:
    return list({id(node): node for node in nodes}.values())


def _once_into_crossovers(links: Sequence[Link]) -> list[Link]:
    """Without what feeds a crossover a second time: each of its bands is a track of its own."""
    seen: set[tuple[int, ...]] = set()
    result = []
    for link in links:
        key = id(link[0]), id(link[1]), link[2], link[3]
        if link[1].kind != "crossover" or key not in seen:
            result.append(link)
        seen.add(key)
    return result


def _with_audio(nodes: Sequence[FoundNode], links: Sequence[Link]) -> tuple[list[FoundNode], list[Link]]:
    """Without tracks to which no audio leads."""
    after: dict[int, list[FoundNode]] = {}
    for source, target, _, _ in links:
        after.setdefault(id(source), []).append(target)
    waiting = [node for node in nodes if node.kind == "in"]
    reached = {id(node) for node in waiting}
    while waiting:
        for node in after.get(id(waiting.pop()), []):
            if id(node) not in reached:
                reached.add(id(node))
                waiting.append(node)
    kept = [node for node in nodes if id(node) in reached or node.kind == "out"]
    return kept, [link for link in links if id(link[0]) in reached]
