"""Domains and FFT lengths of the nodes of a graph, and where signals are cut between two of them.

*Domain.* LTI processors work on spectra, general ones on samples, as do inputs and outputs. Mixes and matrices work
on either: on spectra where they read one and a filter follows, or where all that they read fits into one FFT length.
Recursive filters work on spectra where they read one or another filter follows, else by their recursion.

*Component.* Spectral nodes that hand spectra on share an FFT, which holds the segment and all responses in a row.
With ``before`` and ``after`` the accumulated reach of a node, content lies in ``[-before, samples + after)``; on a
circle of ``samples + max(before, after)`` nothing that goes round hits the segment. A longer FFT costs all nodes on it.
So a node may also *cut*: take a spectrum back to samples, and begin a component of its own.

*Margin.* A cut keeps ``[-margin, samples + margin)``, where the margin is the largest sum of ``before`` along any
spectral path, cuts included. Nothing before is lost, because nothing lies there. What is lost lies at
``samples + margin`` or later; filters bring it forward by at most the margin, so it never reaches the segment, however
many cuts follow. The circle of a component gets one margin for what enters through cuts, and one for what leaves
through them unspoiled.

*Choice.* Causally, node by node: what reads spectra joins the longest of the components that it reads, or the longest
two, and so on, or none, and cuts the others; whichever costs least in rows of transforms times their length. Only
speed depends on that choice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.base import LTIProcessor, MatrixProcessor
from graphmix.processors.rack import Rack
from graphmix.processors.recursive import RecursiveFilter

SEGMENT_SECONDS = 3.8
"""For which the choices are made; the paper's segments."""
FILTER_COST = 3.0
"""A filter's response and its product with the signal, in rows of transforms."""
CHANNELS = 2
"""Rows of transforms for a stereo signal."""
ALIKE = 1 / 16
"""Reaches that differ by less than this part of a segment share an FFT length, so that their nodes run together."""

Key = TypeVar("Key")
"""What a node or a port is counted by."""


@dataclass(frozen=True)
class Domains:
    """What is decided about a graph.

    Args:
        fft_groups: number of the FFT group of each node, -1 in the time domain, [nodes].
        cut: for each edge whether it brings a spectrum of which only the segment and the margins are kept, [edges].
        reaches: for each FFT group by how much its FFT is longer than a segment, in samples.
        taps: for each FFT group the length of its longest response, which the FFT has to hold.
        margin: samples that a cut keeps on either side of the segment.
    """

    fft_groups: np.ndarray
    cut: np.ndarray
    reaches: tuple[int, ...]
    taps: tuple[int, ...]
    margin: int


@dataclass
class _Node:
    """A node whose FFT group is sought; ``ahead`` is its chain down to where signals meet (``sums``), or to samples.

    ``sampled_ahead``: a filter follows that has no recursion, so that it works on spectra anyway.
    """

    linear: bool
    extent: tuple[int, int] | None
    sums: bool
    recursive: bool = False
    sources: list[int] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    component: int | None = None
    before: int = 0
    after: int = 0
    acausal: int = 0
    ahead: tuple[int, int] = (0, 0)
    work_ahead: float = 0.0
    filter_ahead: bool = False
    sampled_ahead: bool = False


@dataclass
class _Component:
    """Nodes that share a circle: the rows that are transformed on it, how far it reaches, and its nodes."""

    reach: int = 0
    rows: float = 0.0
    nodes: list[int] = field(default_factory=list)


def choose_domains(graph: MixGraph, rack: Rack, order: Sequence[int], recursions_in_time: bool = False) -> Domains:
    """Decide on domains, FFT lengths and cuts.

    Args:
        graph: a valid graph.
        rack: its processors.
        order: its nodes, each after its sources.
        recursions_in_time: recursive filters never work on spectra.
    """
    segment = round(SEGMENT_SECONDS * graph.sample_rate)
    choice = DomainChoice(_read_nodes(graph, rack, recursions_in_time), segment)
    choice.look_ahead(order)
    for node in order:
        choice.place(node)
    return choice.result(graph.edge_index.cpu().numpy())


def group_alike(reaches: Mapping[Key, int], tolerance: float) -> list[list[Key]]:
    """Keys whose numbers differ by at most a tolerance, the largest numbers first."""
    groups: list[list[Key]] = []
    for key in sorted(reaches, key=lambda k: -reaches[k]):
        if not groups or reaches[groups[-1][0]] - reaches[key] > tolerance:
            groups.append([])
        groups[-1].append(key)
    return groups


def _read_nodes(graph: MixGraph, rack: Rack, recursions_in_time: bool) -> list[_Node]:
    faces: dict[int, tuple[bool, tuple[int, int] | None, bool, bool]] = {}
    for index in graph.node_type.unique().tolist():
        kind = graph.types[index].name
        processor = rack.get(kind)
        recursive = isinstance(processor, RecursiveFilter)
        in_time = recursive and recursions_in_time
        extent = processor.extent if isinstance(processor, LTIProcessor) and not in_time else None
        linear = kind == "mix" or (isinstance(processor, LTIProcessor | MatrixProcessor) and not in_time)
        faces[index] = linear, extent, kind == "mix", recursive
    nodes = [_Node(*faces[index]) for index in graph.node_type.tolist()]
    for source, target in sorted({(edge.source, edge.target) for edge in graph.edges()}):
        nodes[source].targets.append(target)
        nodes[target].sources.append(source)
    for node in nodes:
        node.sums = node.sums or len(node.sources) > 1
    return nodes


class DomainChoice:
    """State of the choice of domains: the nodes, and the components so far."""

    def __init__(self, nodes: list[_Node], segment: int) -> None:
        self.nodes, self.segment = nodes, segment
        self.components: dict[int, _Component] = {}
        self.cuts: set[tuple[int, int]] = set()

    def look_ahead(self, order: Sequence[int]) -> None:
        """What follows each linear node before signals meet again."""
        for index in reversed(order):
            node = self.nodes[index]
            if not node.linear:
                continue
            linear = [self.nodes[t] for t in node.targets if self.nodes[t].linear]
            chain = [t for t in linear if not t.sums]
            own = node.extent or (0, 0)
            node.ahead = (
                own[0] + max((t.ahead[0] for t in chain), default=0),
                own[1] + max((t.ahead[1] for t in chain), default=0),
            )
            leaves = CHANNELS if len(linear) < len(node.targets) else 0
            node.work_ahead = FILTER_COST * (node.extent is not None) + leaves + sum(t.work_ahead for t in chain)
            node.filter_ahead = node.extent is not None or any(t.filter_ahead for t in linear)
            sampled = node.extent is not None and not node.recursive
            node.sampled_ahead = sampled or any(t.sampled_ahead for t in linear)

    def place(self, index: int) -> None:
        """Give a node its domain, and its component if that is spectral."""
        node = self.nodes[index]
        spectral = {s: c for s in node.sources if (c := self.nodes[s].component) is not None}
        if not node.linear or (not spectral and (node.extent is None or (node.recursive and not node.sampled_ahead))):
            return
        groups = group_alike({c: self.components[c].reach for c in set(spectral.values())}, ALIKE * self.segment)
        from_samples = len(spectral) < len(node.sources)
        if not node.filter_ahead and (from_samples or len(groups) > 1):
            return
        best = min(range(len(groups), -1, -1), key=lambda count: self.cost(node, spectral, groups, count))
        joined = {c for group in groups[:best] for c in group}
        self.cuts.update((s, index) for s, c in spectral.items() if c not in joined)
        self._join(index, joined, enters=from_samples or best < len(groups) or not spectral)

    def _reach(self, node: _Node, joined: set[int]) -> tuple[int, int]:
        """How far content spreads before and after a node that joins some components, its own response left out."""
        previous = [self.nodes[s] for s in node.sources if self.nodes[s].component in joined]
        return max((p.before for p in previous), default=0), max((p.after for p in previous), default=0)

    def cost(self, node: _Node, spectral: Mapping[int, int], groups: Sequence[Sequence[int]], count: int) -> float:
        """Rows times length if a node joins the first ``count`` groups of components and cuts the others."""
        joined = [self.components[c] for group in groups[:count] for c in group]
        before, after = self._reach(node, {c for group in groups[:count] for c in group})
        reach = max(before + node.ahead[0], after + node.ahead[1], *(c.reach for c in joined), 0)
        cost = sum(c.rows * (reach - c.reach) for c in joined)
        cost += sum(CHANNELS * (self.segment + self.components[group[0]].reach) for group in groups[count:])
        enters = len(spectral) < len(node.sources) or count < len(groups)
        return cost + (CHANNELS * enters + node.work_ahead) * (self.segment + reach)

    def _join(self, index: int, joined: set[int], enters: bool) -> None:
        """Make a node part of components, which become one; of none: the first of a new one."""
        node = self.nodes[index]
        before, after = self._reach(node, joined)
        own = node.extent or (0, 0)
        node.before, node.after = before + own[0], after + own[1]
        node.acausal = own[0] + max((self.nodes[s].acausal for s in node.sources), default=0)
        key, *others = sorted(joined, key=lambda c: -len(self.components[c].nodes)) or [index]
        component = self.components.setdefault(key, _Component())
        for old in (self.components.pop(c) for c in others):
            for member in old.nodes:
                self.nodes[member].component = key
            component.nodes += old.nodes
            component.rows, component.reach = component.rows + old.rows, max(component.reach, old.reach)
        component.nodes.append(index)
        component.rows += CHANNELS * enters + FILTER_COST * (node.extent is not None)
        component.reach = max(component.reach, node.before, node.after)
        node.component = key

    def result(self, edges: np.ndarray) -> Domains:
        """FFT groups: components of nearly the same reach, with the margins of their cuts."""
        margin = max((node.acausal for node in self.nodes), default=0) if self.cuts else 0
        enter = {self.nodes[target].component for _, target in self.cuts}
        leave = {self.nodes[source].component for source, _ in self.cuts}
        reaches = {
            key: max(c.reach + margin * ((key in enter) + (key in leave)), 2 * margin * (key in enter | leave))
            for key, c in self.components.items()
        }
        groups = group_alike(reaches, ALIKE * self.segment)
        fft_groups = np.full(len(self.nodes), -1)
        taps = []
        for number, group in enumerate(groups):
            members = [member for key in group for member in self.components[key].nodes]
            fft_groups[members] = number
            taps.append(max(sum(self.nodes[m].extent or (0, 0)) + 1 for m in members))
        cut = np.array([edge in self.cuts for edge in map(tuple, edges.T.tolist())], dtype=bool)
        return Domains(fft_groups, cut, tuple(reaches[group[0]] for group in groups), tuple(taps), margin)
