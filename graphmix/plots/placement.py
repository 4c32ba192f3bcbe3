"""Where the nodes of a mixing graph stand on paper: a column and a row for each, without any drawing.

Signal flows from left to right, rows count downwards and may be fractions. Most mixing graphs are trees (tracks,
subgroups, output) but for a few edges; :mod:`graphmix.plots.tree` places those, :mod:`graphmix.plots.layered` any
acyclic graph. This file holds what both have in common.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from graphmix.graph import MixGraph
from graphmix.graph.topology import Edge
from graphmix.spec import NodeType

PORT_PITCH = 0.62
"""Distance of two ports of a node, in rows."""
_SLACK = 0.15
"""Part of a row that two nodes may do without."""


@dataclass(frozen=True)
class Detour:
    """How an edge that is not part of the tree runs: down or up, along a free row, and to its inlet.

    Args:
        first_track: which of the vertical tracks behind the column of the source it takes.
        lane: the row that it follows; ``None`` if the first track leads straight to the inlet.
        last_track: which of the tracks before the column of the target it takes.
    """

    first_track: int
    lane: float | None = None
    last_track: int = 0


@dataclass(frozen=True)
class Layout:
    """Places of nodes and edges.

    Args:
        column: for each node, from 0.
        row: for each node, from 0 downwards.
        edges: in the order of ``edge_index``.
        angled: edges run level and upright (a tree), not in curves.
        detours: of the edges that need one, by index.
        tracks: number of vertical tracks before a column.
        bends: for curved edges, by index: the (column, row) places between their ends.
        bands: first and last row of each subgroup, where the subgroups are apart.
    """

    column: Sequence[int]
    row: Sequence[float]
    edges: Sequence[Edge]
    angled: bool
    detours: dict[int, Detour] = field(default_factory=dict)
    tracks: dict[int, int] = field(default_factory=dict)
    bends: dict[int, list[tuple[int, float]]] = field(default_factory=dict)
    bands: Sequence[tuple[float, float]] = ()

    @property
    def rows(self) -> float:
        """Height, in rows."""
        lanes = [detour.lane for detour in self.detours.values() if detour.lane is not None]
        bends = [row for places in self.bends.values() for _, row in places]
        return max([*self.row, *lanes, *bends], default=0.0) + 1


def port_offset(port: int, ports: int) -> float:
    """Where a port is, from the middle of its node, in rows."""
    return (port - (ports - 1) / 2) * PORT_PITCH


def height_of(node_type: NodeType) -> float:
    """Space that a node takes, in rows."""
    return max(1.0, (max(len(node_type.inlets), len(node_type.outlets)) - 1) * PORT_PITCH + 1)


def nodes_overlap(graph: MixGraph, layout: Layout) -> bool:
    """Do two nodes of one column come closer than their sizes allow?"""
    columns: dict[int, list[tuple[float, float]]] = {}
    for v, (column, row) in enumerate(zip(layout.column, layout.row, strict=True)):
        columns.setdefault(column, []).append((row, height_of(graph.type_of(v)) - _SLACK))
    return any(
        upper[0] + (upper[1] + lower[1]) / 2 > lower[0]
        for places in columns.values()
        for upper, lower in pairwise(sorted(places))
    )
