"""Graph edit distance of two consoles: the fewest changes of nodes and edges that make one from the other.

Insertions, deletions and changes of type of nodes, and insertions and deletions of edges, cost 1 each; tracks, buses
and output stay where they are. Found by networkx chain by chain, and an upper bound where that takes too long.
"""

import math
import time
from collections.abc import Mapping
from functools import lru_cache

import networkx as nx

from graphmix.evaluation.chains import Chains

EDIT_SECONDS = 1.0
"""Time limit for the distance of one pair of chains; after it the best one found so far is taken."""


def edit_distance(
    true: Chains, found: Chains, seconds: float = EDIT_SECONDS, *, audible: bool = False
) -> tuple[float, bool]:
    """Graph edit distance of two consoles taken apart -> distance, whether it is exact.

    With ``audible``, chains are without what sound cannot tell apart:
    :meth:`graphmix.evaluation.chains.Chains.audible_kinds`.

    Places are held fast and no processor is taken from one chain to another, so that the distances of chains add up. A
    chain that leads elsewhere costs two edges more, and a bus that one of them lacks a node and an edge; then the sum
    is an upper bound.
    """
    total, exact = 0.0, true.skeleton == found.skeleton
    for place in {*true.by_place, *found.by_place}:
        pair = [c.audible_kinds(place) if audible else c.kinds(place) for c in (true, found)]
        distance, sure = chain_distance(pair[0], pair[1], seconds)
        total, exact = total + distance, exact and sure
    places = {place for place, _ in true.skeleton}, {place for place, _ in found.skeleton}
    total += 2 * len(places[0] ^ places[1])
    both = places[0] & places[1]
    total += 2 * sum(1 for pair in true.skeleton - found.skeleton if pair[0] in both)
    return total, exact


@lru_cache(maxsize=4096)
def chain_distance(true: tuple[str, ...], found: tuple[str, ...], seconds: float) -> tuple[float, bool]:
    """Edit distance of two chains between fixed ends -> distance, whether it is exact."""
    if true == found:
        return 0.0, True
    bound = chain_bound(true, found)
    started = time.monotonic()
    distance = nx.graph_edit_distance(
        path_graph(true),
        path_graph(found),
        node_subst_cost=change_cost,
        roots=("start", "start"),
        upper_bound=bound,
        timeout=seconds,
    )
    sure = time.monotonic() - started < 0.95 * seconds
    return (bound if distance is None else float(min(distance, bound))), sure


def path_graph(kinds: tuple[str, ...]) -> nx.DiGraph:
    """A chain between its two ends, as networkx compares it."""
    graph = nx.DiGraph()
    nodes = ["start", *range(len(kinds)), "end"]
    for node, kind in zip(nodes, ("start", *kinds, "end"), strict=True):
        graph.add_node(node, kind=kind)
    nx.add_path(graph, nodes)
    return graph


def change_cost(one: Mapping[str, str], other: Mapping[str, str]) -> float:
    """Cost of taking one node for another; ends are only themselves."""
    if one["kind"] == other["kind"]:
        return 0.0
    return 1000.0 if {"start", "end"} & {one["kind"], other["kind"]} else 1.0


def chain_bound(true: tuple[str, ...], found: tuple[str, ...]) -> float:
    """What it costs by the best alignment that keeps the order: an upper bound.

    Nodes: 1 for each inserted, deleted or changed. Edges: all but those between neighbours that stay neighbours.
    """
    rows, columns = ("", *true, ""), ("", *found, "")
    infinite = math.inf
    # cost so far at (i, j) with the last pair aligned (0) or not (1); each edge costs 1 on each side unless kept
    best = [[[infinite, infinite] for _ in columns] for _ in rows]
    best[0][0][0] = 0.0
    for i in range(len(rows)):
        for j in range(len(columns)):
            for state in (0, 1):
                cost = best[i][j][state]
                if cost == infinite:
                    continue
                if i + 1 < len(rows) - 1:
                    best[i + 1][j][1] = min(best[i + 1][j][1], cost + 2)
                if j + 1 < len(columns) - 1:
                    best[i][j + 1][1] = min(best[i][j + 1][1], cost + 2)
                last = (i + 1 == len(rows) - 1, j + 1 == len(columns) - 1)
                if i + 1 < len(rows) and j + 1 < len(columns) and last[0] == last[1]:
                    pair = (0.0 if rows[i + 1] == columns[j + 1] else 1.0) + (0.0 if state == 0 else 2.0)
                    best[i + 1][j + 1][0] = min(best[i + 1][j + 1][0], cost + pair)
    return best[-1][-1][0]
