"""Layout of graphs that are trees but for a few edges: consoles (figures 2 and 5 of the pruning paper).

The tree is that of each node's main edge: its first one into a first inlet. A node that no main edge enters is a
leaf and gets a row; chains are packed to the left, a mix stands midway between its sources, and all mixes of one
level stand in one column. The other edges (sends, sidechains) leave the tree as it is. Each runs upright in a track
between two columns, level in a lane (a row of its own, shared by the edges to one inlet), and upright again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from graphmix.graph import MixGraph
from graphmix.graph.topology import Edge, follow, neighbours, topological_order
from graphmix.plots.placement import Detour, Layout, height_of, port_offset

GROUP_GAP = 0.45
"""Extra space between two subgroups, in rows."""
_APART = 0.3
"""Least distance of two upright pieces in one track, in rows."""
_MOSTLY = 0.6
"""Least share of the main edges among all."""


@dataclass(frozen=True)
class _Lane:
    """A row for edges to one inlet: its number among the leaves, the first of the nodes that it comes from."""

    leaf: int
    source: int


@dataclass(frozen=True)
class _Tree:
    """A graph, its main edges (``before``, ``after``) and its other ones (``extra``, by index).

    ``fed_by`` and ``feeds`` follow all edges, ``flow`` lists the nodes such that every edge leads forward. Lanes
    are leaves with numbers of their own, behind those of the nodes.
    """

    graph: MixGraph
    edges: Sequence[Edge]
    extra: list[int]
    flow: list[int]
    fed_by: list[list[int]]
    feeds: list[list[int]]
    before: list[list[int]]
    after: list[list[int]]

    @property
    def num_nodes(self) -> int:
        return len(self.fed_by)

    def joins(self, v: int) -> bool:
        """Does the node add up what comes along main edges?"""
        mixes = self.graph.type_of(v).name in ("mix", "out")
        return bool(self.before[v]) and (mixes or len(self.before[v]) > 1)


def is_mostly_tree(edges: Sequence[Edge]) -> bool:
    """Is this layout the right one?"""
    return len(_main_edges(edges)) >= _MOSTLY * len(edges)


def tree_layout(graph: MixGraph, edges: Sequence[Edge]) -> Layout:
    """Lay out a graph of which most edges are main ones.

    Raises:
        GraphError: the graph has a cycle.
    """
    main = _main_edges(edges)
    n = graph.node_type.numel()
    fed_by, feeds = neighbours(n, edges)
    before, after = neighbours(n, [edges[i] for i in main])
    extra = sorted(set(range(len(edges))) - set(main))
    flow = topological_order(n, edges, graph.describe)
    tree = _Tree(graph, edges, extra, flow, fed_by, feeds, before, after)
    column = _columns(tree)
    lanes = _lanes(tree, column)
    row, bands = _rows(tree, lanes)
    detours, tracks = _detours(tree, column, row, lanes)
    return Layout(column, row[:n], edges, True, detours, tracks, bands=bands)


def _main_edges(edges: Sequence[Edge]) -> list[int]:
    """For each node the edge that it leaves by: its first one into a first inlet, else its first one."""
    best: dict[int, int] = {}
    for i, edge in enumerate(edges):
        chosen = best.setdefault(edge.source, i)
        if edges[chosen].inlet > 0 and edge.inlet == 0:
            best[edge.source] = i
    return sorted(best.values())


def _columns(tree: _Tree) -> list[int]:
    """Chains packed to the left; a join stands behind the longest chain of the level before it."""
    n = tree.num_nodes
    level, position = [0] * n, [0] * n
    for v in tree.flow:
        if tree.joins(v):
            level[v] = 1 + max(level[u] for u in tree.before[v])
        elif tree.before[v]:
            level[v], position[v] = level[tree.before[v][0]], position[tree.before[v][0]] + 1
    length = [0] * (max(level, default=0) + 1)
    for v in range(n):
        length[level[v]] = max(length[level[v]], position[v] + 1)
    column = [sum(length[: level[v]]) + position[v] for v in range(n)]
    for v in tree.flow:  # the other edges, too, lead to the right
        column[v] = max(column[v], max((column[u] + 1 for u in tree.fed_by[v]), default=0))
    last = max(column, default=0)
    for v in range(n):
        if tree.graph.type_of(v).name == "out" and not tree.feeds[v] and tree.fed_by[v]:
            column[v] = last
    return column


def _lanes(tree: _Tree, column: list[int]) -> dict[tuple[int, int], _Lane]:
    """The lanes that need a row of their own, by the (target, inlet) they lead to.

    None is needed between neighbouring columns, nor to the first inlet of a leaf, whose row is free.
    """
    chosen = set(tree.extra)
    straight = {(c.source, c.target) for i, c in enumerate(tree.edges) if i not in chosen}
    lanes: dict[tuple[int, int], _Lane] = {}
    for edge in (tree.edges[i] for i in tree.extra):
        twin = (edge.source, edge.target) in straight
        near = column[edge.target] == column[edge.source] + 1 and not twin
        own_row = not tree.before[edge.target] and edge.inlet == 0
        if not near and not own_row:
            key = (edge.target, edge.inlet)
            known = lanes.get(key, _Lane(tree.num_nodes + len(lanes), edge.source))
            lanes[key] = _Lane(known.leaf, min(known.source, edge.source))
    return lanes


def _rows(tree: _Tree, lanes: dict[tuple[int, int], _Lane]) -> tuple[list[float], list[tuple[float, float]]]:
    """Rows of all nodes and lanes, and the bands of the subgroups."""
    n, total = tree.num_nodes, tree.num_nodes + len(lanes)
    children = [*map(list, tree.before), *([] for _ in lanes)]
    for (target, _), lane in lanes.items():
        children[target].append(lane.leaf)
    leaves = _leaves(tree, children, _sorting_keys(tree, lanes))
    place = {leaf: i for i, leaf in enumerate(leaves)}
    order = [*range(n, total), *tree.flow]
    reach = [(place.get(v, total), place.get(v, 0)) for v in range(total)]
    for v in order:
        if children[v]:
            reach[v] = (min(reach[u][0] for u in children[v]), max(reach[u][1] for u in children[v]))
    splits = {v: span for v in tree.flow if (span := _split(tree, v, reach)) is not None}
    group = _groups(tree, lanes)
    height = _leaf_heights(tree, len(leaves), {v: splits.get(v, reach[v]) for v in range(n)})
    at = [(height[0] - 1) / 2]
    for i in range(1, len(leaves)):
        gap = GROUP_GAP if group[leaves[i]] != group[leaves[i - 1]] else 0.0
        at.append(at[-1] + (height[i - 1] + height[i]) / 2 + gap)
    row = [at[place[v]] if v in place else 0.0 for v in range(total)]
    for v in order:
        rows = [row[u] for u in children[v] if u < n] or [row[u] for u in children[v]]
        if rows:
            row[v] = (min(rows) + max(rows)) / 2
    for v, (a, b) in splits.items():
        for u in _chain_to(tree, v):
            row[u] = (at[a] + at[b]) / 2
    return row, _bands([group[leaf] for leaf in leaves], at, height)


def _sorting_keys(tree: _Tree, lanes: dict[tuple[int, int], _Lane]) -> list[tuple[int, int]]:
    """What children of a node are sorted by: the first leaf beneath them, so that tracks keep their order.

    A leaf that one node feeds (a band of a crossover) stands next to that node, a lane towards its source.
    """
    keys = [(v, v) for v in range(tree.num_nodes)]
    for v in tree.flow:
        if tree.before[v]:
            keys[v] = min(keys[u] for u in tree.before[v])
        elif len(set(tree.fed_by[v])) == 1:
            keys[v] = (keys[tree.fed_by[v][0]][0], v)
    return [*keys, *((keys[lane.source][0], lane.leaf) for lane in lanes.values())]


def _leaves(tree: _Tree, children: list[list[int]], keys: list[tuple[int, int]]) -> list[int]:
    """All leaves, downwards: a walk through the tree from its roots."""
    leaves: list[int] = []
    pending = sorted((v for v in tree.flow if not tree.after[v]), key=lambda v: keys[v], reverse=True)
    while pending:
        v = pending.pop()
        if not children[v]:
            leaves.append(v)
        pending.extend(sorted(children[v], key=lambda u: keys[u], reverse=True))
    return leaves


def _groups(tree: _Tree, lanes: dict[tuple[int, int], _Lane]) -> list[int]:
    """The subgroup of each node and lane: the last join on its way, the root aside; -1 where there is none."""
    group = [-1] * tree.num_nodes
    for v in reversed(tree.flow):
        if tree.after[v]:
            outer = group[tree.after[v][0]]
            group[v] = v if outer < 0 and tree.joins(v) else outer
    return group + [group[target] for target, _ in lanes]


def _chain_to(tree: _Tree, v: int) -> list[int]:
    """The node and all before it as far as each has one main source."""
    return [v, *follow(tree.before, v)]


def _split(tree: _Tree, v: int, reach: list[tuple[int, int]]) -> tuple[int, int] | None:
    """The leaves that a node alone feeds, if they stand together: it then stands in their middle."""
    targets = set(tree.feeds[v])
    a, b = reach[v]
    if len(targets) < 2 or a != b or any(set(tree.fed_by[t]) != {v} for t in targets):
        return None
    places = sorted({a, *(reach[t][0] for t in targets)})
    return (places[0], places[-1]) if places[-1] - places[0] == len(targets) - 1 == len(places) - 1 else None


def _leaf_heights(tree: _Tree, num_leaves: int, spans: dict[int, tuple[int, int]]) -> list[float]:
    """The room that each leaf needs for the tallest node beside it."""
    height = [1.0] * num_leaves
    for v, (a, b) in spans.items():
        share = height_of(tree.graph.type_of(v)) / (b - a + 1)
        if share > 1:
            height[a : b + 1] = [max(share, known) for known in height[a : b + 1]]
    return height


def _bands(group: list[int], at: list[float], height: list[float]) -> list[tuple[float, float]]:
    """First and last row of each subgroup, whose leaves stand together."""
    bands: dict[int, tuple[float, float]] = {}
    for key, row, tall in zip(group, at, height, strict=True):
        if key >= 0:
            bands[key] = (bands.get(key, (row - (tall - 1) / 2, 0.0))[0], row + (tall - 1) / 2)
    return list(bands.values())


def _detours(
    tree: _Tree, column: list[int], row: list[float], lanes: dict[tuple[int, int], _Lane]
) -> tuple[dict[int, Detour], dict[int, int]]:
    """Tracks and lanes of the edges that are not main, and how many tracks there are before each column."""
    runs: dict[int, tuple[_Run, _Run | None, float | None]] = {}
    for i in tree.extra:
        edge = tree.edges[i]
        key, gap = (edge.target, edge.inlet), column[edge.source] + 1
        start = row[edge.source] + port_offset(edge.outlet, len(tree.graph.type_of(edge.source).outlets))
        end = row[edge.target] + port_offset(edge.inlet, max(1, len(tree.graph.type_of(edge.target).inlets)))
        if key in lanes and (gap < column[edge.target] or edge.source in tree.before[edge.target]):
            lane = row[lanes[key].leaf]
            last = _Run(column[edge.target], (*key, 1), lane, end)
            runs[i] = (_Run(gap, (*key, 0), start, lane), last, lane)
        else:
            runs[i] = (_Run(gap, (*key, 0), start, end), None, None)
    track = _tracks([run for first, last, _ in runs.values() for run in (first, last) if run is not None])
    detours = {
        i: Detour(track[first.gap, first.key], lane, track[last.gap, last.key] if last else 0)
        for i, (first, last, lane) in runs.items()
    }
    count: dict[int, int] = {}
    for (gap, _), number in track.items():
        count[gap] = max(count.get(gap, 0), number + 1)
    return detours, count


@dataclass(frozen=True)
class _Run:
    """An upright piece of an edge before column ``gap``; runs of one key share their track."""

    gap: int
    key: tuple[int, int, int]
    start: float
    end: float


def _tracks(runs: list[_Run]) -> dict[tuple[int, tuple[int, int, int]], int]:
    """(gap, key) -> track, such that runs of different keys do not touch; as few tracks as they come."""
    extent: dict[tuple[int, tuple[int, int, int]], tuple[float, float]] = {}
    for run in runs:
        low, high = extent.get((run.gap, run.key), (run.start, run.end))
        extent[run.gap, run.key] = (min(low, run.start, run.end), max(high, run.start, run.end))
    track: dict[tuple[int, tuple[int, int, int]], int] = {}
    taken: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for (gap, key), (low, high) in extent.items():
        number = 0
        while any(low < b + _APART and a < high + _APART for a, b in taken.get((gap, number), [])):
            number += 1
        track[gap, key] = number
        taken.setdefault((gap, number), []).append((low, high))
    return track
