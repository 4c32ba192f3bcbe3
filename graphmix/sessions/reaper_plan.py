"""From a session to the tracks of REAPER: where a channel is cut, what is a folder, what is a receive.

A channel is one track: its devices are the effects in front of the fader, its last gain is the fader (with the panner),
a ride the volume envelope, which acts with the fader. Where a device follows behind a ride, a second track goes on: the
first one is inside of it.

What a channel feeds becomes its folder, where it can have but one; everything else that it feeds receives from it. The
bus that alone feeds the master is the master track itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from graphmix.sessions.session import Channel, Connection, Device, Role, Session


@dataclass(frozen=True, eq=False)
class Strip:
    """A track of REAPER.

    Args:
        name: of the track.
        entry: ``in`` (it has the audio), ``mix``, or nothing: it begins with a processor, or goes on another's signal.
        node: of the graph, of an entry; else None.
        label: that node's name.
        effects: devices in front of the fader.
        levels: the gain that is the fader and the ride that is the envelope, at most one each, in their order.
        send: the device that is the fader of its only receive.
        inlets: 2 where a receive comes in on channels 3 and 4.
    """

    name: str
    entry: Literal["in", "mix", ""] = ""
    node: int | None = None
    label: str = ""
    effects: tuple[Device, ...] = ()
    levels: tuple[Device, ...] = ()
    send: Device | None = None
    inlets: int = 1

    @property
    def gain(self) -> Device | None:
        """The fader."""
        return next((device for device in self.levels if device.kind == "gain"), None)

    @property
    def ride(self) -> Device | None:
        """The envelope."""
        return next((device for device in self.levels if device.kind == "ride"), None)


@dataclass(frozen=True, eq=False)
class StripPlan:
    """Tracks and what connects them.

    Args:
        strips: in the order of the project, folders in front of what is in them.
        depths: in how many folders each one is.
        receives: which one receives from which (by index), at which inlet.
        sends: whether each one goes to its folder, or to the master where it is in none.
        master: effects and levels of the master track.
        output: the graph's output, node and name.
    """

    strips: tuple[Strip, ...]
    depths: tuple[int, ...]
    receives: tuple[Connection, ...]
    sends: tuple[bool, ...]
    master: Strip | None
    output: tuple[int | None, str]


MASTER = -1
"""Index of the master track."""


def plan_strips(session: Session) -> StripPlan:
    """The tracks of a session with one output."""
    strips: list[Strip] = []
    links: list[Connection] = []
    first: dict[int, int] = {len(session.channels) - 1: MASTER}
    last: dict[int, int] = {}
    for index, channel in enumerate(session.channels[:-1]):
        first[index] = len(strips)
        for number, strip in enumerate(_strips_of(session, index, channel)):
            if number:
                links.append(Connection(len(strips) - 1, len(strips)))
            strips.append(strip)
        last[index] = len(strips) - 1
    links += [Connection(last[c.source], first[c.target], c.inlet) for c in session.connections]
    own = _is_master(session, strips, last)
    if own is not None:
        links = [
            Connection(c.source, MASTER if c.target == own else c.target, c.inlet) for c in links if c.source != own
        ]
    links = _one_way_to_the_master(strips, links)
    tree = _Tree(strips, links, own)
    order = tree.order()
    place = {index: number for number, index in enumerate(order)}
    receives = sorted(
        (Connection(place[c.source], place[c.target], c.inlet) for c in tree.receives),
        key=lambda c: (c.target, c.source),
    )
    return StripPlan(
        tuple(strips[index] for index in order),
        tuple(tree.depth[index] for index in order),
        tuple(receives),
        tuple(index in tree.main for index in order),
        None if own is None else strips[own],
        (session.channels[-1].node, session.channels[-1].label),
    )


def _strips_of(session: Session, index: int, channel: Channel) -> list[Strip]:
    """The tracks of one channel, in the order of the signal."""
    devices = list(channel.devices)
    begins_with_one = bool(devices) and devices[0].node == channel.node
    entry: Literal["in", "mix", ""] = "in" if channel.role is Role.track else "" if begins_with_one else "mix"
    send = None
    is_send = begins_with_one and devices[0].kind == "send" and devices[0].wet == 1
    if is_send and [c.inlet for c in session.into(index)] == [1]:
        send = devices.pop(0)
    node, label = (channel.node, channel.label) if entry else (None, "")
    inlets = channel.inlets if send is None else 1
    (effects, levels), *others = _cut(devices)
    result = [Strip(channel.name, entry, node, label, effects, levels, send, inlets)]
    for effects, levels in others:
        name = f"{channel.name} behind {result[-1].levels[-1].label}"
        result.append(Strip(name, effects=effects, levels=levels))
    return result


def _cut(devices: Sequence[Device]) -> list[tuple[tuple[Device, ...], tuple[Device, ...]]]:
    """Effects and levels of each track."""
    result: list[tuple[tuple[Device, ...], tuple[Device, ...]]] = []
    effects: list[Device] = []
    place = 0
    while place < len(devices):
        levels = _levels_at(devices, place)
        if levels:
            result.append((tuple(effects), levels))
            effects = []
        else:
            effects.append(devices[place])
        place += max(1, len(levels))
    return [*result, (tuple(effects), ())] if effects or not result else result


def _levels_at(devices: Sequence[Device], place: int) -> tuple[Device, ...]:
    """A ride with a gain beside it, or the last gain."""

    def is_fader(index: int) -> bool:
        return index < len(devices) and devices[index].kind == "gain" and devices[index].wet == 1

    if devices[place].kind == "ride":
        return tuple(devices[place : place + 2 if is_fader(place + 1) else place + 1])
    if is_fader(place) and place + 1 == len(devices):
        return (devices[place],)
    if is_fader(place) and devices[place + 1].kind == "ride":
        return tuple(devices[place : place + 2])
    return ()


def _is_master(session: Session, strips: list[Strip], last: dict[int, int]) -> int | None:
    """The track that is the master's: of the bus that alone feeds the master and feeds nothing else."""
    into = session.into(len(session.channels) - 1)
    if len(into) != 1:
        return None
    (feed,) = into
    strip = strips[last[feed.source]]
    is_bus = session.channels[feed.source].role is Role.bus and strip.entry != "in"
    outlets = max((len(device.node_type.outlets) for device in strip.effects), default=1)
    is_simple = strip.inlets == 1 and strip.send is None and outlets == 1
    return last[feed.source] if is_bus and is_simple and len(session.out_of(feed.source)) == 1 else None


def _one_way_to_the_master(strips: list[Strip], links: list[Connection]) -> list[Connection]:
    """The links, with tracks that only pass a signal on where one track feeds the master several times."""
    seen: set[int] = set()
    result = []
    for link in links:
        if link.target == MASTER and link.source in seen:
            result += [Connection(link.source, len(strips)), Connection(len(strips), MASTER)]
            strips.append(Strip(f"{strips[link.source].name} once more"))
            continue
        if link.target == MASTER:
            seen.add(link.source)
        result.append(link)
    return result


@dataclass(eq=False)
class _Tree:
    """Which track lies in which: what it feeds by its main output.

    Args:
        strips: all tracks.
        links: what feeds what.
        own: the one that is the master's, which is no track of the tree.
    """

    strips: list[Strip]
    links: list[Connection]
    own: int | None
    main: dict[int, int] = field(default_factory=dict)
    receives: list[Connection] = field(default_factory=list)
    depth: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for index in range(len(self.strips)):
            links = [c for c in self.links if c.source == index]
            ways = [c for c in links if c.target == MASTER]
            ways += [c for c in links if c.inlet == 0 and c.target != MASTER and self._is_folder(self.strips[c.target])]
            if ways:
                self.main[index] = ways[0].target
                links.remove(ways[0])
            self.receives += links

    @staticmethod
    def _is_folder(strip: Strip) -> bool:
        """Whether what feeds a track may lie in it: its fader is no receive's, and it is no band of a crossover."""
        return strip.send is None and all(len(device.node_type.outlets) == 1 for device in strip.effects)

    def order(self) -> list[int]:
        """Tracks with folders in front of what is in them; those whose first track comes first come first."""
        inside: dict[int, list[int]] = {}
        tops: list[int] = []
        for index in range(len(self.strips)):
            parent = self.main.get(index, MASTER)
            if index == self.own:
                continue
            (tops if parent == MASTER else inside.setdefault(parent, [])).append(index)
        earliest = list(range(len(self.strips)))
        for index in range(len(self.strips)):  # what lies in a folder has a smaller index, or none follows it
            for child in inside.get(index, []):
                earliest[index] = min(earliest[index], earliest[child])
        result: list[int] = []
        waiting = [(index, 0) for index in sorted(tops, key=earliest.__getitem__, reverse=True)]
        while waiting:
            index, depth = waiting.pop()
            result.append(index)
            self.depth[index] = depth
            children = sorted(inside.get(index, []), key=earliest.__getitem__, reverse=True)
            waiting += [(child, depth + 1) for child in children]
        return result
