"""Layout of any acyclic graph.

Sugiyama's scheme: the longest path from the inputs gives the column; an edge that crosses columns gets a
placeholder in each; sweeps that sort every column by the mean place of its neighbours (barycenters) remove
crossings; last, rows are the least-squares fit to the neighbours' rows that keeps order and distance (pool
adjacent violators), which makes chains straight and puts a mix midway between its sources.
"""

import itertools
from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass, replace

from graphmix.graph import MixGraph
from graphmix.graph.topology import Edge, neighbours, topological_order
from graphmix.plots.placement import Layout, height_of, port_offset

_PLACEHOLDER_HEIGHT = 0.55
_SORTING_SWEEPS = 8
_FITTING_SWEEPS = 10


@dataclass(frozen=True)
class _Link:
    """A piece of an edge from one column to the next; offsets are those of the ports, in rows."""

    left: int
    right: int
    left_offset: float = 0.0
    right_offset: float = 0.0


def layered_layout(graph: MixGraph, edges: Sequence[Edge]) -> Layout:
    """Place any acyclic graph.

    Raises:
        GraphError: the graph has a cycle.
    """
    n = graph.node_type.numel()
    column = _longest_paths(graph, edges)
    links, routes, columns = _split(graph, edges, column)
    order = _sort_columns(_first_order(columns, links, n), links)
    heights = [height_of(graph.type_of(v)) for v in range(n)]
    row = _fit_rows(order, links, heights + [_PLACEHOLDER_HEIGHT] * (len(columns) - n))
    top = min((row[v] - (h - 1) / 2 for v, h in enumerate(heights)), default=0.0)
    row = [value - min(top, *row) for value in row]
    bends = {i: [(columns[v], row[v]) for v in route] for i, route in enumerate(routes) if route}
    return Layout(column, row[:n], edges, angled=False, bends=bends)


def _longest_paths(graph: MixGraph, edges: Sequence[Edge]) -> list[int]:
    n = graph.node_type.numel()
    before, after = neighbours(n, edges)
    order = topological_order(n, edges, graph.describe)
    column = [0] * len(order)
    for v in order:
        column[v] = max((column[u] + 1 for u in before[v]), default=0)
    last = max(column, default=0)
    for v in reversed(order):
        if graph.type_of(v).name == "out" and not after[v] and before[v]:
            column[v] = last
        elif graph.type_of(v).name != "in" and not before[v] and after[v]:
            column[v] = min(column[w] for w in after[v]) - 1  # a node without source stands at what it feeds
    return column


def _split(graph: MixGraph, edges: Sequence[Edge], column: list[int]) -> tuple[list[_Link], list[list[int]], list[int]]:
    """Links between neighbouring columns, the placeholders of each edge, the column of every item."""
    columns = list(column)
    links, routes = [], []
    for edge in edges:
        route = list(range(len(columns), len(columns) + column[edge.target] - column[edge.source] - 1))
        columns += range(column[edge.source] + 1, column[edge.target])
        stops = [edge.source, *route, edge.target]
        outlets, inlets = graph.type_of(edge.source).outlets, graph.type_of(edge.target).inlets
        pieces = [_Link(a, b) for a, b in itertools.pairwise(stops)]
        pieces[0] = replace(pieces[0], left_offset=port_offset(edge.outlet, len(outlets)))
        pieces[-1] = replace(pieces[-1], right_offset=port_offset(edge.inlet, len(inlets)))
        links += pieces
        routes.append(route)
    return links, routes, columns


def _first_order(columns: list[int], links: list[_Link], num_nodes: int) -> list[list[int]]:
    """Items of each column as a walk from the outputs back to the tracks meets them."""
    sources: dict[int, list[_Link]] = {}
    targets = {link.left for link in links}
    for link in links:
        sources.setdefault(link.right, []).append(link)
    order: list[list[int]] = [[] for _ in range(max(columns, default=-1) + 1)]
    seen: set[int] = set()
    pending = [v for v in reversed(range(num_nodes)) if v not in targets]
    while pending:
        v = pending.pop()
        if v in seen:
            continue
        seen.add(v)
        order[columns[v]].append(v)
        ranked = sorted(sources.get(v, []), key=lambda link: (link.right_offset, link.left_offset))
        pending.extend(link.left for link in reversed(ranked))
    return order


def _sort_columns(order: list[list[int]], links: list[_Link]) -> list[list[int]]:
    """Barycenter sweeps; the order with the fewest crossings wins."""
    left_of, right_of = _sides(links)
    best, fewest = order, _crossings(order, left_of)
    for sweep in range(_SORTING_SWEEPS):
        if fewest == 0:
            break
        order = [list(items) for items in order]
        forward = sweep % 2 == 0
        walk = range(1, len(order)) if forward else range(len(order) - 2, -1, -1)
        for c in walk:
            fixed = {v: float(i) for i, v in enumerate(order[c - 1 if forward else c + 1])}
            pulls = left_of if forward else right_of
            wish = {v: _barycenter(pulls.get(v, []), fixed, i) for i, v in enumerate(order[c])}
            order[c] = sorted(order[c], key=wish.__getitem__)
        crossings = _crossings(order, left_of)
        if crossings < fewest:
            best, fewest = order, crossings
    return best


def _sides(links: list[_Link]) -> tuple[dict[int, list[tuple[int, float]]], dict[int, list[tuple[int, float]]]]:
    """For each item its neighbours to the left and to the right, with what to add to a neighbour's row."""
    left_of: dict[int, list[tuple[int, float]]] = {}
    right_of: dict[int, list[tuple[int, float]]] = {}
    for link in links:
        shift = link.left_offset - link.right_offset
        left_of.setdefault(link.right, []).append((link.left, shift))
        right_of.setdefault(link.left, []).append((link.right, -shift))
    return left_of, right_of


def _barycenter(pulls: list[tuple[int, float]], place: dict[int, float] | list[float], own: float) -> float:
    if not pulls:
        return own
    return sum(place[v] + shift for v, shift in pulls) / len(pulls)


def _crossings(order: list[list[int]], left_of: dict[int, list[tuple[int, float]]]) -> int:
    """Pairs of links between neighbouring columns whose ends are in opposite order."""
    total = 0
    for left, right in itertools.pairwise(order):
        place = {v: float(i) for i, v in enumerate(left)}
        seen: list[float] = []
        for v in right:
            starts = [place[u] + shift * 1e-3 for u, shift in left_of.get(v, [])]
            total += sum(len(seen) - bisect_left(seen, start + 1e-9) for start in starts)
            for start in starts:
                insort(seen, start)
    return total


def _fit_rows(order: list[list[int]], links: list[_Link], height: list[float]) -> list[float]:
    """Rows of all items, in the given order within each column."""
    left_of, right_of = _sides(links)
    row = [0.0] * len(height)
    distances = [_distances(items, height) for items in order]
    for items, distance in zip(order, distances, strict=True):
        _place(items, [0.0] * len(items), distance, row)
    for sweep in range(_FITTING_SWEEPS):
        forward = sweep % 2 == 1  # the last sweep goes with the signal: chains are straight from their track
        for c in range(len(order)) if forward else reversed(range(len(order))):
            items = order[c]
            pulls = left_of if forward else right_of
            wanted = [_barycenter(pulls.get(v, []), row, row[v]) for v in items]
            _place(items, wanted, distances[c], row)
    return row


def _distances(items: list[int], height: list[float]) -> list[float]:
    """How far each item of a column stands below the first one if none is left any room."""
    total = [0.0] * len(items)
    for i, (a, b) in enumerate(itertools.pairwise(items)):
        total[i + 1] = total[i] + (height[a] + height[b]) / 2
    return total


def _place(items: list[int], wanted: list[float], distance: list[float], row: list[float]) -> None:
    """Rows nearest to the wanted ones that keep the order and the distances of one column."""
    pools: list[tuple[float, int]] = []  # (mean, size) of the wishes less the distances, increasing
    for wish, offset in zip(wanted, distance, strict=True):
        mean, size = wish - offset, 1
        while pools and pools[-1][0] > mean:
            other, count = pools.pop()
            mean, size = (mean * size + other * count) / (size + count), size + count
        pools.append((mean, size))
    fitted = [mean for mean, size in pools for _ in range(size)]
    for v, value, offset in zip(items, fitted, distance, strict=True):
        row[v] = value + offset
