"""One description of a session, from which every format is written and into which every format is read.

A :class:`Session` is what an engineer sees: *channels* (tracks, busses, the master) with their devices in order, and
the *connections* between them. Any :class:`~graphmix.graph.MixGraph` has one, consoles or not:

* an input node is a track, a mix node a bus, and all output nodes together are the master;
* a node goes on in the channel of the node before it where that one feeds nothing else and nothing else feeds it;
* all other nodes begin a bus: where signals meet, where one parts (a send behind the fader, a parallel chain), at
  a node with two inlets (sidechain, send), and at each outlet of a crossover.

Levels are in dB, times in the units of the node types' parameters; dry/wet weights are those of equation 2.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from torch import Tensor

from graphmix.errors import GraphError
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.topology import topological_order
from graphmix.graph.validation import validate
from graphmix.spec import NodeType


class Role(StrEnum):
    """What a channel is."""

    track = "track"
    bus = "bus"
    master = "master"


@dataclass(frozen=True, eq=False)
class Device:
    """A processor in a channel.

    Args:
        node_type: its node type; type and parameters are graphmix's.
        params: physical values in float64, [width].
        wet: dry/wet weight in [0, 1].
        node: its index in the graph.
        label: what messages call it.
        outlet: which outlet of the node the channel goes on with.
        name: the node's name.
    """

    node_type: NodeType
    params: Tensor
    wet: float
    node: int
    label: str
    outlet: int = 0
    name: str = ""

    @property
    def kind(self) -> str:
        """Name of the node type."""
        return self.node_type.name

    def values(self, name: str) -> list[float]:
        """Physical values of one parameter."""
        return self.params[self.node_type.columns(name)].tolist()

    def value(self, name: str) -> float:
        """A parameter of one number."""
        (value,) = self.values(name)
        return value


@dataclass(frozen=True)
class Channel:
    """A track, a bus or the master.

    Args:
        name: unique in the session.
        role: what it is.
        devices: in the order of the signal.
        node: the graph's node with which it begins; None for the master of several outputs.
        track: name of the song's track that plays in it; None in a bus.
        inlets: 2 where its first device has a second inlet (sidechain, send).
        label: name of its first node in the graph, which need not be unique.
    """

    name: str
    role: Role
    devices: tuple[Device, ...] = ()
    node: int | None = None
    track: str | None = None
    inlets: int = 1
    label: str = ""


@dataclass(frozen=True)
class Connection:
    """What leaves one channel at its end enters an inlet of another; both by index."""

    source: int
    target: int
    inlet: int = 0


@dataclass(frozen=True)
class Session:
    """Channels in an order in which each comes behind all that feed it; the master is the last one.

    Args:
        name: of the session.
        sample_rate: in Hz.
        channels: tracks, busses, the master.
        connections: between them.
        graph: that it describes.
    """

    name: str
    sample_rate: int
    channels: tuple[Channel, ...]
    connections: tuple[Connection, ...]
    graph: MixGraph

    def into(self, target: int) -> list[Connection]:
        """What enters a channel."""
        return [c for c in self.connections if c.target == target]

    def out_of(self, source: int) -> list[Connection]:
        """What leaves a channel."""
        return [c for c in self.connections if c.source == source]

    def devices(self) -> Iterator[Device]:
        """All devices."""
        for channel in self.channels:
            yield from channel.devices


def describe_session(graph: MixGraph, name: str) -> Session:
    """The session of a graph.

    Args:
        graph: any valid graph, no batch.
        name: of the session.

    Raises:
        GraphError: a batch or an invalid graph.

    Example:
        >>> from graphmix.processors import Rack
        >>> graph = MixGraph(Rack.console("g").types)
        >>> voice, fader, bus = graph.add("in", name="voice"), graph.add("gain"), graph.add("mix", name="all")
        >>> session = describe_session(graph.chain(voice, fader, bus, graph.add("out")), "song")
        >>> [(channel.name, len(channel.devices)) for channel in session.channels]
        [('voice', 1), ('all', 0), ('Master', 0)]
    """
    if isinstance(graph.info, list):
        raise GraphError("a session is made from one graph: this is a batch; use batch.to_data_list() first.")
    return _Description(validate(graph)).session(name)


Port = tuple[int, int]
"""A node and an outlet of it."""


class _Description:
    """A walk through a graph that collects channels."""

    def __init__(self, graph: MixGraph) -> None:
        self.graph = graph
        self.edges = graph.edges()
        self.kinds = [graph.types[index] for index in graph.node_type.tolist()]
        self.rows = graph.rows().tolist()
        self.wet = graph.wet.detach().double().tolist()
        self.feeds: dict[int, list[tuple[Port, int]]] = {node: [] for node in range(len(self.kinds))}
        self.leaves: dict[Port, list[int]] = {}
        for source, target, outlet, inlet in self.edges:
            self.feeds[target].append(((source, outlet), inlet))
            self.leaves.setdefault((source, outlet), []).append(target)
        self.channels: list[Channel] = []
        self.channel_of: dict[Port, int] = {}
        self.names: set[str] = {"Master"}

    def session(self, name: str) -> Session:
        order = topological_order(len(self.kinds), self.edges)
        begins: list[tuple[int, list[tuple[Port, int]]]] = []
        for node in order:
            if self.kinds[node].name == "out":
                continue
            if self._goes_on(node):
                self._append(node)
                continue
            for outlet in range(len(self.kinds[node].outlets)):
                if (node, outlet) in self.leaves or self.kinds[node].name == "in":
                    begins.append((len(self.channels), self.feeds[node]))
                    self._begin(node, outlet)
        outputs = self.graph.nodes_of("out").tolist()
        only = outputs[0] if len(outputs) == 1 else None
        master = Channel("Master", Role.master, node=only, label="" if only is None else self.graph.names[only])
        begins.append((len(self.channels), [feed for node in outputs for feed in self.feeds[node]]))
        connections = [
            Connection(self.channel_of[port], target, inlet) for target, feeds in begins for port, inlet in feeds
        ]
        return Session(name, self.graph.sample_rate, (*self.channels, master), tuple(connections), self.graph)

    def _goes_on(self, node: int) -> bool:
        """Whether a node continues the channel of the one before it."""
        kind = self.kinds[node]
        if not kind.is_processor or len(kind.inlets) != 1 or len(kind.outlets) != 1 or len(self.feeds[node]) != 1:
            return False
        ((port, _),) = self.feeds[node]
        return len(self.leaves[port]) == 1

    def _append(self, node: int) -> None:
        ((port, _),) = self.feeds[node]
        index = self.channel_of[port]
        channel = self.channels[index]
        self.channels[index] = replace(channel, devices=(*channel.devices, self._device(node, 0)))
        self.channel_of[node, 0] = index

    def _begin(self, node: int, outlet: int) -> None:
        kind, name = self.kinds[node], self.graph.names[node]
        is_track = kind.name == "in"
        label = name or f"{'track' if is_track else 'bus' if kind.name == 'mix' else kind.name} {node}"
        if len(kind.outlets) > 1:
            label += f" {kind.outlets[outlet]}"
        self.channel_of[node, outlet] = len(self.channels)
        self.channels.append(
            Channel(
                self._unique(label),
                Role.track if is_track else Role.bus,
                (self._device(node, outlet),) if kind.is_processor else (),
                node,
                name if is_track else None,
                max(1, len(kind.inlets)),
                name,
            )
        )

    def _device(self, node: int, outlet: int) -> Device:
        kind = self.kinds[node]
        params = self.graph.params[kind.name][self.rows[node]].detach().cpu().double()
        return Device(kind, params, self.wet[node], node, self.graph.describe(node), outlet, self.graph.names[node])

    def _unique(self, label: str) -> str:
        name, count = label, 1
        while name in self.names:
            count += 1
            name = f"{label} {count}"
        self.names.add(name)
        return name
