"""The shape of a graph, as far as its edges give it: order, depth, reach, chains.

Conventions: nodes are numbered from 0, and an edge is a tuple that begins with (source, target), such as an
:class:`Edge`. Several edges may join the same two nodes. Nothing here knows node types or parameters; tracks and
subgroups are found by :mod:`graphmix.graph.strips`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import NamedTuple

from graphmix.errors import GraphError

NAMED_NODES = 6
"""The most nodes of a cycle that an error message names."""

Neighbours = Sequence[Sequence[int]]
"""For each node its sources, or its targets, once for each edge."""


class Edge(NamedTuple):
    """One edge: from an outlet of a node to an inlet of another."""

    source: int
    target: int
    outlet: int = 0
    inlet: int = 0


def neighbours(num_nodes: int, edges: Iterable[tuple[int, ...]]) -> tuple[list[list[int]], list[list[int]]]:
    """The sources and the targets of each node, once for each edge, in the order of the edges.

    Example:
        >>> neighbours(3, [(0, 2), (1, 2)])
        ([[], [], [0, 1]], [[2], [2], []])
    """
    before: list[list[int]] = [[] for _ in range(num_nodes)]
    after: list[list[int]] = [[] for _ in range(num_nodes)]
    for source, target, *_ in edges:
        before[target].append(source)
        after[source].append(target)
    return before, after


def topological_order(
    num_nodes: int, edges: Iterable[tuple[int, ...]], describe: Callable[[int], str] = str
) -> list[int]:
    """All nodes, each after its sources; of two that could come next, the one that was free first.

    Args:
        num_nodes: of the graph.
        edges: of the graph.
        describe: the name of a node in the error message.

    Raises:
        GraphError: the graph has a cycle, whose nodes are named.

    Example:
        >>> topological_order(3, [(2, 0), (0, 1)])
        [2, 0, 1]
    """
    sorter: TopologicalSorter[int] = TopologicalSorter({node: () for node in range(num_nodes)})
    for source, target, *_ in edges:
        sorter.add(target, source)
    try:
        return list(sorter.static_order())
    except CycleError as error:
        raise GraphError(_describe_cycle(error.args[1][1:], describe)) from None


def _describe_cycle(cycle: list[int], describe: Callable[[int], str]) -> str:
    first = cycle.index(min(cycle))
    cycle = cycle[first:] + cycle[:first]
    shown = " -> ".join(describe(node) for node in cycle[:NAMED_NODES])
    more = f" -> … ({len(cycle)} nodes)" if len(cycle) > NAMED_NODES else ""
    return (
        f"the graph has a cycle: {shown}{more} -> {describe(cycle[0])}. "
        "Remove one of these edges; feedback cannot be rendered."
    )


def depths(num_nodes: int, edges: Sequence[tuple[int, ...]]) -> list[int]:
    """For each node the number of edges on the longest path that ends there.

    Raises:
        GraphError: the graph has a cycle.

    Example:
        >>> depths(4, [(0, 1), (1, 2), (0, 2)])
        [0, 1, 2, 0]
    """
    _, after = neighbours(num_nodes, edges)
    depth = [0] * num_nodes
    for node in topological_order(num_nodes, edges):
        for target in after[node]:
            depth[target] = max(depth[target], depth[node] + 1)
    return depth


def reversed_edges(edges: Iterable[tuple[int, ...]]) -> list[tuple[int, int]]:
    """(target, source) of each edge."""
    return [(target, source) for source, target, *_ in edges]


def reachable(after: Neighbours, starts: Iterable[int]) -> set[int]:
    """The starts, and every node to which a path leads from one of them; with sources for targets, against the flow.

    Example:
        >>> sorted(reachable([[1], [2], [], [2]], [1]))
        [1, 2]
    """
    found = set(starts)
    pending = list(found)
    while pending:
        for node in after[pending.pop()]:
            if node not in found:
                found.add(node)
                pending.append(node)
    return found


def follow(after: Neighbours, start: int) -> Iterator[int]:
    """The nodes behind a start, as long as exactly one edge leads on; the start itself is left out.

    Example:
        >>> list(follow([[1], [2], [3, 4], [], []], 0))
        [1, 2]
    """
    node = start
    while len(after[node]) == 1:
        node = after[node][0]
        yield node
