"""Where the nodes of a mixing graph stand on paper: a column and a row for each, without any drawing.

Signal flows from left to right. A graph in which every node feeds one other (tracks, subgroups, subgroups of
subgroups, output: figures 2 and 5 of the pruning paper) is laid out as a tree: one row for each track, each chain
packed to the left, the mixes of one level in one column. Any other acyclic graph goes to
:mod:`graphmix.plots.layered`. Rows count downwards and may be fractions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from graphmix.errors import GraphError
from graphmix.graph import MixGraph

GROUP_GAP = 0.45
"""Extra space between two subgroups, in rows."""


@dataclass(frozen=True)
class Cable:
    """One edge: its ends, its ports, and the places (column, row) that it passes between its ends."""

    source: int
    target: int
    outlet: int
    inlet: int
    bends: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Layout:
    """Places of nodes and cables.

    Args:
        column: for each node, from 0.
        row: for each node, from 0 downwards.
        cables: in the order of ``edge_index``.
        bands: first and last row of each subgroup, where the subgroups are apart.
        is_tree: cables into a mix may share one vertical line.
    """

    column: Sequence[int]
    row: Sequence[float]
    cables: Sequence[Cable]
    bands: Sequence[tuple[float, float]] = field(default=())
    is_tree: bool = False

    @property
    def rows(self) -> float:
        """Height, in rows."""
        bends = [row for cable in self.cables for _, row in cable.bends]
        return max([*self.row, *bends], default=0.0) + 1


def cables_of(graph: MixGraph) -> list[Cable]:
    """The edges of a graph in their order."""
    ends, ports = graph.edge_index.t().tolist(), graph.edge_port.tolist()
    return [Cable(s, t, o, i) for (s, t), (o, i) in zip(ends, ports, strict=True)]


def neighbours(num_nodes: int, cables: Sequence[Cable]) -> tuple[list[list[int]], list[list[int]]]:
    """Sources and targets of each node, once for each cable."""
    before: list[list[int]] = [[] for _ in range(num_nodes)]
    after: list[list[int]] = [[] for _ in range(num_nodes)]
    for cable in cables:
        before[cable.target].append(cable.source)
        after[cable.source].append(cable.target)
    return before, after


def sorted_by_flow(before: list[list[int]], after: list[list[int]]) -> list[int]:
    """Nodes such that every cable leads forward.

    Raises:
        GraphError: the graph has a cycle.
    """
    missing = [len(sources) for sources in before]
    order = [node for node, count in enumerate(missing) if count == 0]
    for node in order:  # grows while we walk
        for target in after[node]:
            missing[target] -= 1
            if missing[target] == 0:
                order.append(target)
    if len(order) < len(missing):
        raise GraphError(
            f"cannot plot a graph with a cycle ({len(missing) - len(order)} nodes are on it or behind it); "
            "graphmix.graph.validate names the cables to remove."
        )
    return order


def is_tree(graph: MixGraph, after: list[list[int]]) -> bool:
    """Does every node feed at most one other, through one port?"""
    used = [graph.types[index] for index in graph.node_type.unique().tolist()]
    one_port = all(len(t.inlets) <= 1 and len(t.outlets) == 1 for t in used)
    return one_port and all(len(targets) <= 1 for targets in after)


@dataclass(frozen=True)
class Places:
    """Columns and rows of the nodes of a tree, and for each node its subgroup: the last join before the root."""

    column: list[int]
    row: list[float]
    group: list[int]


def tree_layout(graph: MixGraph, cables: Sequence[Cable]) -> Layout:
    """Lay out a graph for which :func:`is_tree` holds."""
    places = tree_places(graph, cables, sorted_by_flow(*neighbours(graph.node_type.numel(), cables)))
    return Layout(places.column, places.row, cables, bands_of(places.group, places.row), is_tree=True)


def tree_places(graph: MixGraph, cables: Sequence[Cable], order: list[int]) -> Places:
    """Place the nodes along these cables, of which at most one leaves each node; ``order`` follows the flow."""
    before, after = neighbours(len(order), cables)
    joins = [bool(s) and (len(s) > 1 or graph.type_of(v).name in ("mix", "out")) for v, s in enumerate(before)]
    row, group = _rows(before, after, joins, order)
    return Places(_columns(graph, before, joins, order), row, group)


def bands_of(group: Sequence[int], row: Sequence[float]) -> list[tuple[float, float]]:
    """First and last row of each subgroup, downwards; none at all if two of them overlap."""
    rows: dict[int, list[float]] = {}
    for key, value in zip(group, row, strict=True):
        if key >= 0:
            rows.setdefault(key, []).append(value)
    bands = sorted((min(values), max(values)) for values in rows.values())
    apart = all(upper[1] + 1 <= lower[0] for upper, lower in zip(bands, bands[1:], strict=False))
    return bands if apart else []


def _columns(graph: MixGraph, before: list[list[int]], joins: list[bool], order: list[int]) -> list[int]:
    """Chains packed to the left; a join stands behind the longest chain of the level before it."""
    level, position = [0] * len(order), [0] * len(order)
    for v in order:
        if joins[v]:
            level[v] = 1 + max(level[u] for u in before[v])
        elif before[v]:
            level[v], position[v] = level[before[v][0]], position[before[v][0]] + 1
    outs = [v for v in order if graph.type_of(v).name == "out" and joins[v]]
    last = max((level[v] for v in outs), default=0)
    if all(level[v] <= last for v in order):
        for v in outs:  # several outputs stand in one column
            level[v] = last
    length = [0] * (max(level, default=0) + 1)
    for v in order:
        length[level[v]] = max(length[level[v]], position[v] + 1)
    start = [sum(length[:i]) for i in range(len(length))]
    return [start[level[v]] + position[v] for v in range(len(order))]


def _rows(
    before: list[list[int]], after: list[list[int]], joins: list[bool], order: list[int]
) -> tuple[list[float], list[int]]:
    """One row for each leaf, in the order of the tracks; a join stands midway between what it joins."""
    first = list(range(len(order)))  # smallest leaf that leads to a node
    group = [-1] * len(order)  # the last join before the root, -1 where there is none
    for v in order:
        if before[v]:
            first[v] = min(first[u] for u in before[v])
    for v in reversed(order):
        if after[v]:
            target = after[v][0]
            outer = group[target]
            group[v] = v if outer < 0 and joins[v] else outer
    leaves: list[int] = []
    pending = sorted((v for v in order if not after[v]), key=lambda v: -first[v])
    while pending:
        v = pending.pop()
        if not before[v]:
            leaves.append(v)
        pending.extend(sorted(before[v], key=lambda u: -first[u]))
    row = [0.0] * len(order)
    height = 0.0
    for i, v in enumerate(leaves):
        if i:
            height += 1 + (GROUP_GAP if group[v] != group[leaves[i - 1]] else 0)
        row[v] = height
    for v in order:
        if before[v]:
            rows = [row[u] for u in before[v]]
            row[v] = (min(rows) + max(rows)) / 2
    return row, group
