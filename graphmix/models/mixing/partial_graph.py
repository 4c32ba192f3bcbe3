"""A graph under construction: what may be appended next, so that the finished graph can be rendered.

The rules are those of :mod:`graphmix.graph.validation`, put such that a partial graph can always be finished:

* edges come from earlier nodes, so that there is no cycle, and fit the ports of both ends;
* the first edge of a node enters its first inlet, so that nothing is fed by a sidechain alone; no edge is laid twice;
* the ``out`` node ends the graph, and takes an edge of every node that does not lead anywhere yet: so every track, and
  every node, reaches the output;
* a partial graph has room for a number of nodes, and the last place is for the ``out`` node;
* where a fan-out is given, no outlet has more edges than that: 1 forbids sends and parallel chains.

A choice of an edge is one of a table [inlets, places, outlets], read row by row, or "no more edges". Edges are chosen
in that order.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from graphmix.errors import GraphError
from graphmix.graph.mixgraph import MixGraph
from graphmix.models.mixing.linearize import GraphSequence, IncomingEdge
from graphmix.spec import TypeTable


@dataclass(frozen=True)
class EdgeChoice:
    """What is allowed in one choice of an edge.

    Args:
        place: where the node is that the edge enters.
        kind: index of that node's type.
        after: the edge chosen before, or None.
        last_source: the highest place that the edge may come from.
        may_stop: whether the node may do without further edges.
        taken: outlets that can have no further edge, as (place, outlet).
    """

    place: int
    kind: int
    after: IncomingEdge | None
    last_source: int
    may_stop: bool
    taken: frozenset[tuple[int, int]] = frozenset()


class PartialGraph:
    """Nodes and edges that have been decoded so far.

    Args:
        types: of the graph.
        num_inputs: inputs, which come first; one or more.
        room: how many nodes may be appended to the inputs, the ``out`` node included.
        muted: inputs that need not be conditioning.
        fan_out: how many edges an outlet may have; any number by default.
    """

    def __init__(
        self, types: TypeTable, num_inputs: int, room: int, muted: Iterable[int] = (), fan_out: int | None = None
    ) -> None:
        if num_inputs < 1 or room < 1:
            raise GraphError(f"a partial graph has 1 input and room for 1 node or more, not {num_inputs} and {room}.")
        self.types, self.num_inputs, self.room, self.fan_out = types, num_inputs, room, fan_out
        self.node_type = [types.index("in")] * num_inputs
        self.edges: list[tuple[IncomingEdge, ...]] = []
        self.open = set(range(num_inputs)) - set(muted)
        """Places that lead nowhere yet."""
        self._out = types.index("out")
        self.ports = Ports(types)

    def copy(self) -> "PartialGraph":
        """Another partial graph with the same nodes."""
        other = PartialGraph(self.types, self.num_inputs, self.room, fan_out=self.fan_out)
        other.node_type, other.edges, other.open = list(self.node_type), list(self.edges), set(self.open)
        return other

    @property
    def place(self) -> int:
        """Number of the next node."""
        return len(self.node_type)

    @property
    def done(self) -> bool:
        """Whether the ``out`` node has been appended."""
        return self.node_type[-1] == self._out

    def types_allowed(self) -> list[bool]:
        """Which types the next node may have."""
        last = len(self.edges) + 1 >= self.room
        return [t.name == "out" if last else bool(t.inlets and t.outlets) for t in self.types.types]

    def choice(self, kind: int, chosen: Sequence[IncomingEdge]) -> EdgeChoice:
        """What is allowed as the next edge of the next node, after some have been chosen."""
        after, taken = chosen[-1] if chosen else None, self._taken(chosen)
        if kind != self._out:
            return EdgeChoice(self.place, kind, after, self.place - 1, bool(chosen), taken)
        missing = self.open - {edge.source for edge in chosen}
        last, may_stop = min(missing, default=self.place - 1), bool(chosen) and not missing
        return EdgeChoice(self.place, kind, after, last, may_stop, taken)

    def _taken(self, chosen: Sequence[IncomingEdge]) -> frozenset[tuple[int, int]]:
        if self.fan_out is None:
            return frozenset()
        uses = Counter((edge.source, edge.outlet) for edges in (*self.edges, chosen) for edge in edges)
        return frozenset(outlet for outlet, number in uses.items() if number >= self.fan_out)

    def append(self, kind: int, edges: Sequence[IncomingEdge]) -> None:
        """Append the next node.

        Raises:
            GraphError: a type or an edge that is not allowed there.
        """
        if self.done or not self.types_allowed()[kind]:
            raise GraphError(f"{self.types[kind].name} cannot be appended at place {self.place} of this partial graph.")
        for i, edge in enumerate(edges):
            self._check(self.choice(kind, edges[:i]), edge)
        if not self.choice(kind, edges).may_stop:
            left = sorted(self.open - {edge.source for edge in edges})[:6]
            fault = f"leaves {left} without a way out; connect them to it" if edges else "has no edge; connect one"
            raise GraphError(f"{self.types[kind].name} at place {self.place} {fault}.")
        self.open -= {edge.source for edge in edges}
        if kind != self._out:
            self.open.add(self.place)
        self.node_type.append(kind)
        self.edges.append(tuple(edges))

    def _check(self, choice: EdgeChoice, edge: IncomingEdge) -> None:
        ports = self.ports
        table = ports.inlets, self.place, ports.outlets
        inside = all(0 <= number < size for number, size in zip(edge, table, strict=True))
        allowed = inside and bool(ports.allowed([choice], self.node_type)[0, ports.index(edge, self.place)])
        if not allowed:
            raise GraphError(
                f"{self.types[choice.kind].name} at place {choice.place} cannot have an edge from outlet "
                f"{edge.outlet} of place {edge.source} to inlet {edge.inlet}: it goes backwards, fits no port, is "
                "out of order, passes over a node that leads nowhere, or is one too many of its outlet."
            )

    def to_graph(self, sample_rate: int) -> MixGraph:
        """The prototype as a graph: neutral parameters, all wet, no names.

        Raises:
            GraphError: the ``out`` node has not been appended.
        """
        if not self.done:
            raise GraphError("this partial graph has no out node yet; append it.")
        graph = MixGraph((t for t in self.types.types if t.is_processor), sample_rate)
        for kind in self.node_type:
            graph.add(self.types[kind].name)
        for target, edges in enumerate(self.edges, start=self.num_inputs):
            for inlet, source, outlet in edges:
                graph.connect(source, target, outlet, inlet)
        return graph


class Ports:
    """The table [inlets, places, outlets] of edges that some types can have."""

    def __init__(self, types: TypeTable) -> None:
        self.inlets = max(1, *(len(t.inlets) for t in types.types))
        self.outlets = max(1, *(len(t.outlets) for t in types.types))
        self._inlets = torch.tensor([len(t.inlets) for t in types.types])
        self._outlets = torch.tensor([0 if t.name == "out" else len(t.outlets) for t in types.types])

    def size(self, places: int) -> int:
        """Number of edges in the table of so many places; also the number that means "no more edges"."""
        return self.inlets * places * self.outlets

    def index(self, edge: IncomingEdge, places: int) -> int:
        """Index of an edge in the flat table of so many places."""
        return (edge.inlet * places + edge.source) * self.outlets + edge.outlet

    def edge(self, index: int, places: int) -> IncomingEdge:
        """The edge at an index of the flat table."""
        row, outlet = divmod(index, self.outlets)
        inlet, source = divmod(row, places)
        return IncomingEdge(inlet, source, outlet)

    def allowed(self, choices: Sequence[EdgeChoice], node_type: Sequence[int]) -> Tensor:
        """Which edges each choice may take, and last whether it may stop, bool [choices, edges + 1].

        Args:
            choices: all of one partial graph, at any time of its decoding.
            node_type: of all its places.
        """
        places = len(node_type)
        inlet = torch.arange(self.inlets)[:, None, None]
        source = torch.arange(places)[None, :, None]
        outlet = torch.arange(self.outlets)[None, None, :]
        number = (inlet * places + source) * self.outlets + outlet
        has_outlet = outlet < self._outlets[torch.tensor(list(node_type))][None, :, None]
        kinds = torch.tensor([choice.kind for choice in choices])
        column = (-1, 1, 1, 1)
        before = torch.tensor([choice.place for choice in choices]).view(column)
        highest = torch.tensor([choice.last_source for choice in choices]).view(column)
        latest = [-1 if choice.after is None else self.index(choice.after, places) for choice in choices]
        first = torch.tensor([choice.after is None for choice in choices]).view(column)
        mask = has_outlet & (inlet < self._inlets[kinds].view(column)) & (source < before) & (source <= highest)
        mask = mask & (number > torch.tensor(latest).view(column)) & ((inlet == 0) | ~first)
        for row, choice in enumerate(choices):
            for place, used_up in choice.taken:
                mask[row, :, place, used_up] = False
        may_stop = torch.tensor([choice.may_stop for choice in choices])
        return torch.cat([mask.flatten(1), may_stop[:, None]], dim=1)


@dataclass(frozen=True, eq=False)
class DecodingSteps:
    """All choices that decode a known graph, with what was allowed in each, for teacher forcing.

    There are n nodes after the inputs, c choices of edges and p places.

    Args:
        partial: the finished graph.
        kinds: type of each node after the inputs, [n].
        allowed: which types each might have had, bool [n, types].
        open: which places led nowhere before each node, bool [n, p].
        room: how many nodes there was room for, [n].
        choices: of edges, of all nodes; the last of each node is to stop.
        of_node: the node that each choice belongs to, [c].
        chosen: places that were chosen before as sources of that node, bool [c, p].
        targets: what was chosen, as an index into the flat table of :class:`Ports`; its length for "stop", [c].
    """

    partial: PartialGraph
    kinds: Tensor
    allowed: Tensor
    open: Tensor
    room: Tensor
    choices: tuple[EdgeChoice, ...]
    of_node: Tensor
    chosen: Tensor
    targets: Tensor


def decoding_steps(sequence: GraphSequence, room: int) -> DecodingSteps:
    """The choices that decode a known graph.

    Args:
        sequence: of a graph with one output.
        room: nodes after the inputs that there is room for; at least as many as the graph has.

    Raises:
        GraphError: a graph that cannot be decoded: several outputs, the same edge twice, a node whose first inlet
            nothing enters.
    """
    types, places = sequence.info.types, len(sequence.node_type)
    outs = sequence.node_type.count(types.index("out"))
    if outs != 1 or not sequence.num_inputs:
        raise GraphError(f"the graph has {sequence.num_inputs} inputs and {outs} outputs; give one with inputs and 1.")
    connected = {edge.source for edges in sequence.edges for edge in edges}
    muted = set(range(sequence.num_inputs)) - connected
    partial = PartialGraph(types, sequence.num_inputs, max(room, len(sequence.edges)), muted)
    ports, stop = partial.ports, partial.ports.size(places)
    kinds = sequence.node_type[sequence.num_inputs :]
    allowed, opened, rooms = [], [], []
    choices: list[EdgeChoice] = []
    of_node, chosen, targets = list[int](), list[set[int]](), list[int]()
    for node, (kind, edges) in enumerate(zip(kinds, sequence.edges, strict=True)):
        allowed.append(partial.types_allowed())
        opened.append(set(partial.open))
        rooms.append(partial.room - node)
        for i in range(len(edges) + 1):
            choices.append(partial.choice(kind, edges[:i]))
            of_node.append(node)
            chosen.append({edge.source for edge in edges[:i]})
            targets.append(ports.index(edges[i], places) if i < len(edges) else stop)
        partial.append(kind, edges)
    return DecodingSteps(
        partial=partial,
        kinds=torch.tensor(kinds, dtype=torch.long),
        allowed=torch.tensor(allowed),
        open=one_hot_sets(opened, places),
        room=torch.tensor(rooms),
        choices=tuple(choices),
        of_node=torch.tensor(of_node),
        chosen=one_hot_sets(chosen, places),
        targets=torch.tensor(targets),
    )


def one_hot_sets(sets: Sequence[Iterable[int]], places: int) -> Tensor:
    """Sets of places as rows, bool [sets, places]."""
    rows = torch.zeros(len(sets), places, dtype=torch.bool)
    for row, members in zip(rows, sets, strict=True):
        row[list(members)] = True
    return rows
