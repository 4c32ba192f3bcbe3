"""Order, depth, reach and chains of small graphs whose answer is visible, and laws on random ones."""

import random

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphmix.errors import GraphError
from graphmix.graph.topology import (
    Edge,
    depths,
    follow,
    neighbours,
    reachable,
    reversed_edges,
    topological_order,
)

DIAMOND = [(0, 1), (0, 2), (1, 3), (2, 3), (3, 4)]


@st.composite
def dags(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]]]:
    """Nodes in any numbering, with any edges that make no cycle, some of them twice."""
    n = draw(st.integers(1, 12))
    label = draw(st.permutations(range(n)))
    pairs = [(a, b) for b in range(n) for a in range(b)]
    chosen = draw(st.lists(st.sampled_from(pairs), max_size=30)) if pairs else []
    return n, [(label[a], label[b]) for a, b in chosen]


def test_an_edge_is_a_tuple_that_begins_with_source_and_target() -> None:
    assert Edge(3, 4, inlet=1) == (3, 4, 0, 1)
    assert reversed_edges([Edge(3, 4, inlet=1)]) == [(4, 3)]


def test_neighbours_come_once_for_each_edge_and_in_its_order() -> None:
    before, after = neighbours(3, [Edge(1, 2), Edge(0, 2), Edge(0, 2, inlet=1)])
    assert before == [[], [], [1, 0, 0]]
    assert after == [[2, 2], [2], []]


@given(dags())
def test_every_node_comes_once_and_after_its_sources(dag: tuple[int, list[tuple[int, int]]]) -> None:
    n, edges = dag
    order = topological_order(n, edges)
    assert sorted(order) == list(range(n))
    assert all(order.index(source) < order.index(target) for source, target in edges)


@given(dags())
def test_nodes_come_as_they_become_free(dag: tuple[int, list[tuple[int, int]]]) -> None:
    """The order on which schedules rest: Kahn's algorithm with a queue."""
    n, edges = dag
    before, after = neighbours(n, edges)
    missing = [len(sources) for sources in before]
    queue = [node for node in range(n) if not missing[node]]
    for node in queue:
        for target in after[node]:
            missing[target] -= 1
            if not missing[target]:
                queue.append(target)
    assert topological_order(n, edges) == queue


@given(dags())
def test_depth_and_reach_are_those_of_networkx(dag: tuple[int, list[tuple[int, int]]]) -> None:
    n, edges = dag
    graph = nx.MultiDiGraph(edges)
    graph.add_nodes_from(range(n))
    depth = depths(n, edges)
    _, after = neighbours(n, edges)
    for node in range(n):
        above = nx.ancestors(graph, node) | {node}
        assert depth[node] == nx.dag_longest_path_length(nx.DiGraph(graph.subgraph(above)))
        assert reachable(after, [node]) == nx.descendants(graph, node) | {node}


def test_a_chain_of_many_nodes_has_its_length_as_depth() -> None:
    chain = [(i, i + 1) for i in range(2000)]
    random.Random(0).shuffle(chain)
    assert depths(2001, chain) == list(range(2001))
    assert depths(2, []) == [0, 0]


def test_a_cycle_is_named_from_its_lowest_node_along_the_flow() -> None:
    with pytest.raises(GraphError, match=r"^the graph has a cycle: 1 -> 3 -> 2 -> 1\. Remove one of these edges; feed"):
        topological_order(5, [(0, 1), (1, 3), (3, 2), (2, 1), (2, 4)])
    with pytest.raises(GraphError, match=r"cycle: node 1 -> node 1\."):
        topological_order(2, [(0, 1), (1, 1)], "node {}".format)


def test_a_long_cycle_is_named_in_part() -> None:
    with pytest.raises(GraphError, match=r"cycle: 0 -> 1 -> 2 -> 3 -> 4 -> 5 -> … \(50 nodes\) -> 0\."):
        depths(50, [(i, (i + 1) % 50) for i in range(50)])


def test_a_walk_ends_where_no_edge_or_several_lead_on() -> None:
    before, after = neighbours(5, DIAMOND)
    assert list(follow(after, 0)) == []
    assert list(follow(after, 1)) == [3, 4]
    assert list(follow(before, 4)) == [3]
    assert list(follow(neighbours(2, [(0, 1), (0, 1)])[1], 0)) == []
