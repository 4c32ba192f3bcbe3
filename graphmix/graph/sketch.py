"""A graph as lists of nodes and edges, for edits in several places whose nodes keep their identity.

Node numbers of a :class:`~graphmix.graph.mixgraph.MixGraph` change with every node that goes. In a sketch each node has
an id for as long as it lives: those of a graph are its node numbers, new ones count on. :meth:`Sketch.graph` gives the
graph of a sketch, and which id each of its nodes has.
"""

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from graphmix.errors import GraphError
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.topology import Edge
from graphmix.spec import STRUCTURAL, NodeType, TypeTable


@dataclass(frozen=True)
class Part:
    """A node with all that belongs to it.

    Args:
        type: its node type.
        values: physical values, [width].
        wet: dry/wet weight.
        name: its label.
    """

    type: NodeType
    values: Tensor
    wet: float = 1.0
    name: str = ""

    def is_same(self, other: "Part") -> bool:
        """Whether both are the same node type with the same settings."""
        return self.type == other.type and self.wet == other.wet and torch.equal(self.values, other.values)


class Sketch:
    """The nodes and edges of one graph, which is not changed.

    Args:
        graph: one graph.
        ids: of its nodes, in node order; by default their numbers.
        next_id: of the first node that is added; by default one more than the largest.

    Example:
        >>> from graphmix.graph import mixing_console
        >>> from graphmix.processors import Rack
        >>> sketch = Sketch(mixing_console(Rack.console("eg"), {"band": ["voice"]}, "eg"))
        >>> sketch.replace([1, 2], [2, 1])
        >>> [sketch.parts[node].type.name for node in sketch.chains()[0]]
        ['gain', 'equalizer']
    """

    def __init__(self, graph: MixGraph, ids: Sequence[int] | None = None, next_id: int | None = None) -> None:
        count = graph.node_type.numel()
        own = list(range(count)) if ids is None else list(ids)
        if len(own) != count or len(set(own)) != count:
            raise GraphError(f"{len(own)} ids do not name {count} nodes; give each node one of its own.")
        graph = graph.clone().cpu()
        self._like, rows = graph, graph.rows().tolist()
        self.parts: dict[int, Part] = {}
        for node, name in enumerate(graph.names):
            kind = graph.type_of(node)
            values = graph.params[kind.name][rows[node]] if kind.is_processor else torch.zeros(0)
            self.parts[own[node]] = Part(kind, values.detach().clone(), float(graph.wet[node]), name)
        self.edges = [Edge(own[s], own[t], o, i) for s, t, o, i in graph.edges()]
        self.next_id = max(own, default=-1) + 1 if next_id is None else next_id

    def copy(self) -> "Sketch":
        """Another sketch of the same."""
        other = copy.copy(self)
        other.parts, other.edges = dict(self.parts), list(self.edges)
        return other

    def add(self, part: Part) -> int:
        """A new node without edges, the last; its id."""
        self.parts[self.next_id] = part
        self.next_id += 1
        return self.next_id - 1

    def is_run(self, nodes: Sequence[int]) -> bool:
        """Whether some nodes follow each other in a chain, with nothing that comes in or leaves between them."""
        if not nodes or any(node not in self.parts for node in nodes):
            return False
        links = self._links()
        return all(links.get(a) == b for a, b in pairwise(nodes))

    def replace(self, run: Sequence[int], nodes: Sequence[int]) -> None:
        """Put other nodes in the place of a run, new ones or those of the run in another order; the rest of it goes.

        What came into the run's first inlet comes into the first of them, and what left its last outlet leaves the
        last of them.

        Args:
            run: ids that follow each other, at least one.
            nodes: ids of what takes their place; none: the run is bypassed.

        Raises:
            GraphError: the nodes are no run.
        """
        if not self.is_run(run):
            raise GraphError(f"nodes {list(run)} do not follow each other in a chain.")
        first, last, inner = run[0], run[-1], set(pairwise(run))
        comes = [e for e in self.edges if e.target == first and e.inlet == 0]
        leaves = [e for e in self.edges if e.source == last and e.outlet == 0]
        gone = set(run) - set(nodes)
        moved = {*comes, *leaves}
        kept = [e for e in self.edges if e not in moved and (e.source, e.target) not in inner]
        self.edges = [e for e in kept if e.source not in gone and e.target not in gone]
        if nodes:
            self.edges += [Edge(e.source, nodes[0], e.outlet, 0) for e in comes]
            self.edges += [Edge(a, b) for a, b in pairwise(nodes)]
            self.edges += [Edge(nodes[-1], e.target, 0, e.inlet) for e in leaves]
        else:
            self.edges += [Edge(a.source, b.target, a.outlet, b.inlet) for a in comes for b in leaves]
        for node in gone:
            del self.parts[node]

    def insert_after(self, node: int, new: int) -> None:
        """Let a new node take what leaves another one's first outlet to where it went."""
        self.edges = [Edge(new, t, 0, i) if s == node and o == 0 else Edge(s, t, o, i) for s, t, o, i in self.edges]
        self.edges.append(Edge(node, new))

    def insert_before(self, node: int, new: int) -> None:
        """Let a new node take what comes into another one's first inlet."""
        self.edges = [Edge(s, new, o, 0) if t == node and i == 0 else Edge(s, t, o, i) for s, t, o, i in self.edges]
        self.edges.append(Edge(new, node))

    def chains(self) -> list[tuple[int, ...]]:
        """The longest runs of processors, in the order of their first nodes."""
        links = self._links()
        behind = set(links.values())
        chains = []
        for node, part in self.parts.items():
            if part.type.is_processor and node not in behind:
                chain = [node]
                while chain[-1] in links:
                    chain.append(links[chain[-1]])
                chains.append(tuple(chain))
        return chains

    def _links(self) -> dict[int, int]:
        """Processor -> the processor that alone it leads to, and that takes nothing else."""
        leaving: dict[int, list[Edge]] = {}
        arriving: dict[int, int] = {}
        for edge in self.edges:
            leaving.setdefault(edge.source, []).append(edge)
            arriving[edge.target] = arriving.get(edge.target, 0) + (edge.inlet == 0)
        links = {}
        for source, edges in leaving.items():
            (edge, *more) = edges
            pair = self.parts[source].type, self.parts[edge.target].type
            alone = not more and edge.inlet == 0 and arriving[edge.target] == 1 and len(pair[0].outlets) == 1
            if alone and all(node_type.is_processor for node_type in pair):
                links[source] = edge.target
        return links

    def graph(self, order: Iterable[int] | None = None) -> tuple[MixGraph, list[int]]:
        """The graph of the sketch, and the ids of its nodes in node order.

        Types that the sketched graph lacked come behind its own, in the order of their names.

        Args:
            order: the ids in the order that the nodes shall have; by default as they came.
        """
        ids = list(self.parts) if order is None else list(order)
        place = {node: i for i, node in enumerate(ids)}
        known = self._like.types.types
        more = {self.parts[node].type.name: self.parts[node].type for node in ids}
        types = TypeTable((*known, *(more[name] for name in sorted(more) if more[name] not in known)))
        return self._build(ids, place, types), ids

    def _build(self, ids: list[int], place: Mapping[int, int], types: TypeTable) -> MixGraph:
        graph = MixGraph(types.types[len(STRUCTURAL) :], self._like.sample_rate)
        numbers = {t.name: index for index, t in enumerate(types.types)}
        graph.node_type = torch.tensor([numbers[self.parts[node].type.name] for node in ids], dtype=torch.long)
        graph.wet = torch.tensor([self.parts[node].wet for node in ids])
        edges = sorted((place[s], place[t], o, i) for s, t, o, i in self.edges if s in place and t in place)
        table = torch.tensor(edges, dtype=torch.long).reshape(-1, 4)
        graph.edge_index, graph.edge_port = table[:, :2].t().contiguous(), table[:, 2:].contiguous()
        for name in graph.params:
            values = [self.parts[node].values for node in ids if self.parts[node].type.name == name]
            if values:
                graph.params[name] = torch.stack(values)
        names = tuple(self.parts[node].name for node in ids)
        graph.info = replace(self._like.info, types=types, names=names)
        return graph
