r"""Fewer nodes, the same sound: gains in a row, and processors that others can do the work of.

The pruning paper finds two tracks and their bus with a gain each (figure 5b), of which one is redundant: "Since there
is no nonlinear or time-varying processor between those, at least one can be 'absorbed' by the others." That is this
post-processing. Gains (with panning) and imagers are matrices on (left, right). With its dry/wet weight a node is

.. math:: M = w A + (1 - w) I

which is one gain, or one imager, of weight 1 again, and so is the product of two of a kind. A matrix moves along the
edges to one of its kind where it commutes with everything on the way, and where nothing else leads to or from the nodes
on the way:

====================================  ==========================================================================
past a mix                            any matrix; upstream into all that it sums, if each of them ends in a match
past a filter, the same on both       any matrix: equalizer, crossover
sides
past a filter for each side           gains: delay, reverb; an imager mixes the sides
past a matrix                         where the two commute: gains and gains, imagers and imagers, an imager and a
                                      gain without panning
past a compressor, gate, or what is   nothing
not known
====================================  ==========================================================================

Dry/wet of a filter changes none of this: :math:`w H + 1 - w` is a filter of the same kind. What does nothing (weight
zero, 0 dB) goes too.
"""

import copy
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from graphmix.errors import GraphError
from graphmix.graph.editing import remove_nodes
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.topology import Edge
from graphmix.processors.base import LTIProcessor, MatrixProcessor
from graphmix.processors.levels import Gain, Imager
from graphmix.processors.rack import Rack
from graphmix.spec import DB_PER_NEPER, NodeType

COMMUTES = 1e-12
DOES_NOTHING = 1e-7
"""Entries of a matrix that differ less from the identity change float32 audio by less than its resolution."""
MERGED = {"gain": "gain_db", "imager": "side_db"}
MIX, SCALAR, DIAGONAL, MATRIX, UNKNOWN = "mix", "scalar", "diagonal", "matrix", "unknown"
Matrix = NDArray[np.float64]


def without_idle(graph: MixGraph) -> MixGraph:
    """The graph without processors of weight zero."""
    idle = graph.prunable & (graph.wet == 0)
    return remove_nodes(graph, idle) if bool(idle.any()) else graph


def check_kinds(kinds: Iterable[str]) -> tuple[str, ...]:
    """Names of types that can be absorbed.

    Raises:
        GraphError: a kind that cannot be.
    """
    kinds = tuple(kinds)
    unknown = next((kind for kind in kinds if kind not in MERGED), None)
    if unknown is not None:
        raise GraphError(f"processors of type {unknown!r} cannot be absorbed; these can: {', '.join(MERGED)}.")
    return kinds


def absorb(
    graph: MixGraph,
    kinds: Iterable[str] = ("gain", "imager"),
    rack: Rack | None = None,
    *,
    moves: bool = True,
    across_mixes: bool = True,
) -> MixGraph:
    """Absorb gains, pannings and imagers that others can do the work of, until there is none left.

    Args:
        graph: one graph.
        kinds: which to absorb: "gain", "imager" or both.
        rack: with your own processors; nothing moves past a type that it lacks. graphmix's processors by default.
        moves: False: only gains (imagers) that one edge joins become one.
        across_mixes: False: nothing moves past a mix that sums several signals, so that a subgroup keeps its fader.

    Raises:
        GraphError: a batch, or a kind that cannot be absorbed.
    """
    kinds = check_kinds(kinds)
    if isinstance(graph.info, list):
        raise GraphError("simplify graphs one by one: this is a batch; use batch.to_data_list() first.")
    while True:
        wiring = _Wiring(graph, kinds, rack, across_mixes=across_mixes)
        for node in wiring.candidates():
            if moves and wiring.does_nothing(node):
                graph = remove_nodes(graph, [node])
                break
            absorbers = wiring.upstream(node, moves) or wiring.downstream(node, moves)
            if absorbers:
                graph = remove_nodes(wiring.multiplied(absorbers, node), [node])
                break
        else:
            return graph


class _Wiring:
    """A graph as lists: the edges into and out of each node, its nature, and its matrix."""

    def __init__(self, graph: MixGraph, kinds: tuple[str, ...], rack: Rack | None, *, across_mixes: bool) -> None:
        self.graph, self.kinds, self.across_mixes = graph, kinds, across_mixes
        rack = rack or _standard_rack(graph.sample_rate)
        count = graph.node_type.numel()
        self.into: list[list[Edge]] = [[] for _ in range(count)]
        self.out_of: list[list[Edge]] = [[] for _ in range(count)]
        for edge in graph.edges():
            self.into[edge.target].append(edge)
            self.out_of[edge.source].append(edge)
        self.types = [graph.types[index] for index in graph.node_type.tolist()]
        nature = {t.name: _nature(t, rack) for t in graph.types.types}
        self.nature = [nature[t.name] for t in self.types]
        self.matrix = self._matrices(rack)

    def _matrices(self, rack: Rack) -> dict[int, Matrix]:
        """The matrix of each matrix node, with dry/wet, in float64."""
        graph, result = self.graph, dict[int, Matrix]()
        for t in {t for t, nature in zip(self.types, self.nature, strict=True) if nature == MATRIX}:
            processor, nodes = rack[t.name], graph.nodes_of(t.name)
            assert isinstance(processor, MatrixProcessor), "its nature is a matrix"
            matrices = processor.matrix(graph.params[t.name].detach().double())
            wet = graph.wet[nodes].detach().double()[:, None, None]
            mixed = torch.lerp(torch.eye(2, dtype=torch.float64).to(matrices), matrices, wet).cpu().numpy()
            result |= dict(zip(nodes.tolist(), mixed, strict=True))
        return result

    def candidates(self) -> list[int]:
        """Nodes that may be absorbed, the last of the flow first where nodes are numbered along it."""
        return [node for node in reversed(range(len(self.types))) if self._is_merged(node)]

    def _is_merged(self, node: int) -> bool:
        return self.nature[node] == MATRIX and self.types[node].name in self.kinds

    def does_nothing(self, node: int) -> bool:
        """Is it the identity?"""
        return bool(np.abs(self.matrix[node] - np.eye(2)).max() <= DOES_NOTHING)

    def upstream(self, node: int, moves: bool) -> list[int]:
        """The nodes before it that can take it over together; none if there is a way on which there is no such node."""
        found, pending = [], list(self.into[node])
        if not pending or (len(pending) > 1 and not moves):
            return []
        while pending:
            other = pending.pop().source
            if len(self.out_of[other]) != 1:
                return []
            if self._takes(other, node):
                found.append(other)
            elif moves and self._lets_pass(other, node) and self.into[other]:
                pending += self.into[other]
            else:
                return []
        return found

    def downstream(self, node: int, moves: bool) -> list[int]:
        """The same for the nodes after it."""
        found, pending = [], list(self.out_of[node])
        if not pending or (len(pending) > 1 and not moves):
            return []
        while pending:
            other = pending.pop().target
            if len(self.into[other]) != 1 or len(self.types[other].inlets) != 1:
                return []
            if self._takes(other, node):
                found.append(other)
            elif moves and self._lets_pass(other, node) and self.out_of[other]:
                pending += self.out_of[other]
            else:
                return []
        return found

    def _takes(self, other: int, node: int) -> bool:
        """Can ``other`` be a node of the same kind that does both?"""
        if self.types[other] != self.types[node] or not self._is_merged(other):
            return False
        spec, values = self.types[other].parameters[0], self._values(other, node)
        return bool((values >= spec.low).all() and (values <= spec.high).all())

    def _lets_pass(self, other: int, node: int) -> bool:
        matrix, nature = self.matrix[node], self.nature[other]
        scale = np.abs(matrix).max()
        if nature == MATRIX:
            theirs = self.matrix[other]
            apart = np.abs(matrix @ theirs - theirs @ matrix).max()
            return bool(apart <= COMMUTES * scale * np.abs(theirs).max())
        if nature == DIAGONAL:
            return bool(max(abs(matrix[0, 1]), abs(matrix[1, 0])) <= COMMUTES * scale)
        if nature == MIX:
            return self.across_mixes or len(self.into[other]) == 1
        return nature == SCALAR

    def _values(self, other: int, node: int) -> Matrix:
        """Parameters in dB of one node of weight 1 that does the work of both."""
        both = self.matrix[node] @ self.matrix[other]
        factors = np.diag(both) if self.types[node].name == "gain" else both[:1, 0] - both[:1, 1]
        return np.log(factors) * DB_PER_NEPER

    def multiplied(self, absorbers: list[int], node: int) -> MixGraph:
        """The graph in which some nodes do the work of one more."""
        graph, name = copy.copy(self.graph), self.types[node].name
        graph.wet, values = graph.wet.clone(), graph.params[name].clone()
        rows = self.graph.rows()
        for other in absorbers:
            values[rows[other]] = torch.from_numpy(self._values(other, node)).to(values)
            graph.wet[other] = 1.0
        graph.params = {**graph.params, name: values}
        return graph


@lru_cache(maxsize=4)
def _standard_rack(sample_rate: int) -> Rack:
    return Rack.standard(sample_rate)


def _nature(node_type: NodeType, rack: Rack) -> str:
    """What a matrix may do with a node of this type."""
    if node_type.name == "mix":
        return MIX
    processor = rack.get(node_type.name)
    if processor is None or processor.node_type != node_type:
        return UNKNOWN
    if isinstance(processor, MatrixProcessor):
        own = {"gain": Gain, "imager": Imager}.get(node_type.name, MatrixProcessor)
        return MATRIX if isinstance(processor, own) else UNKNOWN
    if isinstance(processor, LTIProcessor):
        return SCALAR if _channels(processor) == 1 else DIAGONAL
    return UNKNOWN


@lru_cache(maxsize=64)
def _channels(processor: LTIProcessor) -> int:
    """1 for a filter that is the same on both sides."""
    with torch.no_grad():
        return processor.impulse_response(processor.node_type.neutral()[None]).size(-2)
