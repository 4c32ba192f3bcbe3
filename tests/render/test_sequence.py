"""Type sequences: the laws of appendix C for every method, and lengths against brute force."""

import json
from itertools import pairwise
from pathlib import Path
from time import process_time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphmix.errors import GraphError
from graphmix.render.bounds import PairBound, PathCounts, TypeDag, contract
from graphmix.render.exact_sequence import find_exactly
from graphmix.render.sequence import (
    METHODS,
    Beam,
    Exact,
    FixedOrder,
    Greedy,
    OneByOne,
    SequenceMethod,
    TypeSequence,
    find_sequence,
)

ALL_METHODS = [OneByOne(), Greedy(), FixedOrder((2, 0, 1)), Beam(), Beam(1), Exact(), Exact(0.0, width=1)]
Graph = tuple[list[int], np.ndarray]

# A console in miniature: in, equalizer, compressor, mix, out.
IN, EQ, COMP, MIX, OUT = range(5)


def to_edges(pairs: list[tuple[int, int]]) -> np.ndarray:
    return np.array(pairs, dtype=np.int64).reshape(-1, 2).T


def random_graph(num_nodes: int, num_types: int, seed: int) -> Graph:
    """Nodes in shuffled order, each but the first fed by one to three before it (maybe twice by one)."""
    rng = np.random.default_rng(seed)
    ids = rng.permutation(num_nodes)
    pairs = [(ids[rng.integers(0, v)], ids[v]) for v in range(1, num_nodes) for _ in range(rng.integers(1, 4))]
    return rng.integers(0, num_types, num_nodes).tolist(), to_edges(pairs)


def pruned_console(song: dict, kept: float, rng: np.random.Generator) -> Graph:
    """The song's console with the chain 1 to 7 on each track and subgroup, keeping a share of it."""
    types: list[int] = []
    pairs: list[tuple[int, int]] = []

    def add(node_type: int, sources: list[int]) -> int:
        types.append(node_type)
        pairs.extend((source, len(types) - 1) for source in sources)
        return len(types) - 1

    def add_chain(node: int) -> int:
        for processor in range(1, 8):
            if rng.random() < kept:
                node = add(processor, [node])
        return node

    buses = []
    for tracks in song["subgroups"].values():
        buses.append(add_chain(add(8, [add_chain(add(0, [])) for _ in tracks])))
    add(9, buses)
    return types, to_edges(pairs)


def brute_force_length(types: list[int], edges: np.ndarray) -> int:
    """Breadth-first over all type strings, on plain sets."""
    preds = [{int(u) for u, v in edges.T if v == node} for node in range(len(types))]
    level, length = {frozenset(range(len(types)))}, 0
    while frozenset() not in level:
        following = set()
        for remaining in level:
            ready = {node for node in remaining if not preds[node] & remaining}
            for t in {types[node] for node in ready}:
                following.add(remaining - {node for node in ready if types[node] == t})
        level, length = following, length + 1
    return length


def assert_lawful(sequence: TypeSequence, types: list[int], edges: np.ndarray) -> None:
    stage_of = np.full(len(types), -1)
    for i, stage in enumerate(sequence.stages):
        assert len(stage.nodes) > 0
        assert (np.diff(stage.nodes) > 0).all(), "rising order"
        assert (stage_of[stage.nodes] == -1).all(), "each node once"
        assert all(types[node] == stage.type for node in stage.nodes), "homogeneous"
        stage_of[stage.nodes] = i
    assert (stage_of >= 0).all(), "every node"
    assert all(stage_of[u] < stage_of[v] for u, v in edges.T), "causal"
    assert sequence.lower_bound <= len(sequence)


def assert_maximal(sequence: TypeSequence, types: list[int], edges: np.ndarray) -> None:
    done: set[int] = set()
    for stage in sequence.stages:
        ready = [
            v
            for v in range(len(types))
            if v not in done and types[v] == stage.type and {int(u) for u in edges[0][edges[1] == v]} <= done
        ]
        assert stage.nodes.tolist() == ready
        done.update(ready)


@st.composite
def small_graphs(draw: st.DrawFn) -> Graph:
    """At most nine nodes of three types, with any edges that make no cycle, some of them twice."""
    num_nodes = draw(st.integers(0, 9))
    types = draw(st.lists(st.integers(0, 2), min_size=num_nodes, max_size=num_nodes))
    possible = [(u, v) for v in range(num_nodes) for u in range(v)]
    pairs = draw(st.lists(st.sampled_from(possible), max_size=20)) if possible else []
    ids = draw(st.permutations(range(num_nodes)))
    return types, to_edges([(ids[u], ids[v]) for u, v in pairs])


@settings(max_examples=300, deadline=None)
@given(small_graphs())
def test_exact_is_as_short_as_brute_force_and_proves_it(graph: Graph) -> None:
    sequence = find_sequence(*graph, Exact())
    assert len(sequence) == sequence.lower_bound == brute_force_length(*graph)
    assert sequence.optimal


@settings(max_examples=100, deadline=None)
@given(small_graphs())
def test_no_lower_bound_exceeds_the_brute_force_length(graph: Graph) -> None:
    length = brute_force_length(*graph)
    for method in ALL_METHODS:
        sequence = find_sequence(*graph, method)
        assert sequence.lower_bound <= length <= len(sequence)


@settings(max_examples=100, deadline=None)
@given(small_graphs(), st.sampled_from(ALL_METHODS))
def test_every_method_partitions_causally_by_type(graph: Graph, method: SequenceMethod) -> None:
    sequence = find_sequence(*graph, method)
    assert_lawful(sequence, *graph)
    if not isinstance(method, OneByOne):
        assert_maximal(sequence, *graph)


@pytest.mark.parametrize("seed", range(40))
def test_astar_agrees_where_a_narrow_beam_leaves_it_the_work(seed: int) -> None:
    types, edges = random_graph(18 + seed % 5, 3 + seed % 3, seed)
    assert len(find_sequence(types, edges, Exact(60.0, width=1))) == brute_force_length(types, edges)


@settings(max_examples=100, deadline=None)
@given(small_graphs())
def test_the_contracted_graph_needs_as_many_stages(graph: Graph) -> None:
    types, edges = graph
    order = [node for stage in find_sequence(types, edges, OneByOne()).stages for node in stage.nodes.tolist()]
    place = {node: i for i, node in enumerate(order)}
    preds = [sorted({place[int(u)] for u in edges[0][edges[1] == node]}) for node in order]
    small = contract(TypeDag([types[node] for node in order], preds))
    assert len(small) <= len(types)
    pairs = [(u, v) for v, before in enumerate(small.preds) for u in before]
    assert brute_force_length(small.types, to_edges(pairs)) == brute_force_length(types, edges)


def test_contraction_drops_a_chain_that_is_a_subsequence_of_another() -> None:
    # in e c g -> mix beside in e g -> mix: whatever runs the first runs the second.
    dag = TypeDag([0, 1, 2, 3, 0, 1, 3, 4], [[], [0], [1], [2], [], [4], [5], [3, 6]])
    assert contract(dag) == TypeDag([0, 1, 2, 3, 4], [[], [0], [1], [2], [3]])


def test_the_bound_of_a_pair_of_types_sees_their_order() -> None:
    # Paths "0 1" and "1 0" hold one node of each type but need three stages.
    dag = TypeDag([0, 1, 1, 0], [[], [0], [], [2]])
    counts = PathCounts(dag)
    assert counts.root == 2
    assert PairBound(dag, counts, (0, 1))(0b1111) == 3
    assert PairBound(dag, counts, (0, 1))(0b1010) == 2


def test_greedy_is_longer_where_one_track_lacks_a_compressor() -> None:
    # Tracks: in comp eq, in eq, in eq. Greedy runs the two ready equalizers at once, then needs a stage more.
    types = [IN, IN, IN, COMP, EQ, EQ, EQ, OUT]
    edges = to_edges([(0, 3), (3, 4), (1, 5), (2, 6), (4, 7), (5, 7), (6, 7)])
    greedy, beam = find_sequence(types, edges, Greedy()), find_sequence(types, edges)
    assert greedy.types == (IN, EQ, COMP, EQ, OUT)
    assert beam.types == (IN, COMP, EQ, OUT)
    assert beam.stages[2].nodes.tolist() == [4, 5, 6]
    assert beam.optimal
    assert not greedy.optimal


def test_fixed_order_is_shortest_on_a_full_console() -> None:
    # Two subgroups of two tracks, each track and subgroup with equalizer and compressor.
    chain, pairs, types = [EQ, COMP], [], []
    buses = []
    for _ in range(2):
        ends = []
        for _ in range(2):
            types += [IN, *chain]
            pairs += list(pairwise(range(len(types) - 3, len(types))))
            ends.append(len(types) - 1)
        types += [MIX, *chain]
        pairs += list(pairwise(range(len(types) - 3, len(types)))) + [(end, len(types) - 3) for end in ends]
        buses.append(len(types) - 1)
    types.append(OUT)
    pairs += [(bus, len(types) - 1) for bus in buses]
    sequence = find_sequence(types, to_edges(pairs), FixedOrder((IN, EQ, COMP, MIX, OUT)))
    assert sequence.types == (IN, EQ, COMP, MIX, EQ, COMP, OUT)
    assert [len(stage.nodes) for stage in sequence.stages] == [4, 4, 4, 2, 2, 2, 1]
    assert sequence.optimal


def test_fixed_order_without_a_type_of_the_graph_is_an_error() -> None:
    with pytest.raises(GraphError, match=r"lacks the graph's types \[1\]"):
        find_sequence([0, 1], to_edges([(0, 1)]), FixedOrder((0,)))


@pytest.mark.parametrize("method", [*ALL_METHODS[:2], *ALL_METHODS[3:]], ids=repr)
def test_a_chain_of_200_nodes_runs_one_node_a_stage(method: SequenceMethod) -> None:
    types = [(v * v) % 7 for v in range(200)]
    sequence = find_sequence(types, np.array([range(199), range(1, 200)]), method)
    assert [stage.nodes.tolist() for stage in sequence.stages] == [[v] for v in range(200)]
    assert sequence.optimal


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_the_empty_graph_has_no_stages(method: SequenceMethod) -> None:
    sequence = find_sequence([], np.zeros((2, 0), dtype=np.int64), method)
    assert (len(sequence), sequence.lower_bound, sequence.optimal) == (0, 0, True)


def test_isolated_nodes_run_with_their_type() -> None:
    sequence = find_sequence([5, 0, 5], np.zeros((2, 0)))
    assert [(stage.type, stage.nodes.tolist()) for stage in sequence.stages] in (
        [(5, [0, 2]), (0, [1])],
        [(0, [1]), (5, [0, 2])],
    )


def test_repeated_edges_and_edge_order_do_not_matter() -> None:
    types, edges = random_graph(60, 5, seed=3)
    again = np.concatenate([edges[:, ::-1], edges], axis=1)
    assert find_sequence(types, edges).types == find_sequence(types, again).types


def test_a_union_of_equal_graphs_needs_no_more_stages_than_one() -> None:
    types, edges = random_graph(40, 4, seed=8)
    both = np.concatenate([edges, edges + 40], axis=1)
    one, two = find_sequence(types, edges, Exact()), find_sequence(types * 2, both, Exact())
    assert one.optimal
    assert len(one) == len(two) == two.lower_bound


def test_a_cycle_is_an_error_that_names_its_nodes() -> None:
    edges = to_edges([(0, 1), (1, 2), (2, 3), (3, 1), (3, 4)])
    with pytest.raises(GraphError, match=r"cycle: 1 -> 2 -> 3 -> 1\."):
        find_sequence([0] * 5, edges)


def test_a_node_that_feeds_itself_is_a_cycle() -> None:
    with pytest.raises(GraphError, match=r"cycle: 1 -> 1\."):
        find_sequence([0, 1], to_edges([(0, 1), (1, 1)]))


def test_a_long_cycle_names_its_first_nodes() -> None:
    ring = np.array([range(50), [*range(1, 50), 0]])
    with pytest.raises(GraphError, match=r"cycle: 0 -> 1 -> .* -> 5 -> … \(50 nodes\) -> 0\."):
        find_sequence([0] * 50, ring)


@pytest.mark.parametrize(
    ("types", "edges", "message"),
    [
        ([0, 1], [[0], [2]], r"edge 0 \(0 -> 2\) leaves the graph, which has 2 nodes"),
        ([0, 1], [[-1], [1]], r"edge 0 \(-1 -> 1\) leaves"),
        ([0, 1], [[0, 1, 0]] * 3, r"shape \[2, num_edges\], found int64 \[3, 3\]"),
        ([0, 1], [[0.0], [1.0]], r"edges are integers .* found float64"),
        ([[0, 1]], [[0], [1]], r"shape \[num_nodes\], found int64 \[1, 2\]"),
        ([0.5, 1.0], [[0], [1]], r"node types are integers"),
        ([0, -3], [[0], [1]], r"node 1 has type -3"),
    ],
)
def test_input_that_is_no_graph_is_an_error(types: list, edges: list, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        find_sequence(types, np.array(edges))


def test_methods_refuse_impossible_settings() -> None:
    with pytest.raises(GraphError, match="width of 1 or more, found 0"):
        Beam(0)
    with pytest.raises(GraphError, match="limit of 0 s or more"):
        Exact(-1.0)


def test_exact_keeps_its_time_limit_on_a_hard_graph() -> None:
    types, edges = random_graph(400, 7, seed=0)
    start = process_time()
    sequence = find_sequence(types, edges, Exact(1.0))
    assert process_time() - start < 2.5
    assert_lawful(sequence, types, edges)
    assert len(sequence) <= len(find_sequence(types, edges)) < len(find_sequence(types, edges, Greedy()))
    assert sequence.lower_bound >= find_sequence(types, edges).lower_bound


def test_no_time_at_all_still_gives_a_sequence() -> None:
    types, edges = random_graph(400, 7, seed=1)
    assert_lawful(find_sequence(types, edges, Exact(0.0)), types, edges)


def test_exact_on_a_graph_without_nodes_is_empty() -> None:
    assert find_exactly(TypeDag([], []), 1.0, 64).optimal


def test_beam_is_proven_shortest_on_real_pruned_consoles(shared_consoles: Path) -> None:
    songs = json.loads((shared_consoles / "consoles.json").read_text())
    largest = max(songs, key=lambda song: len(song["tracks"]))
    for i, song in enumerate([*songs[::30], largest]):
        rng = np.random.default_rng(i)
        types, edges = pruned_console(song, rng.uniform(0.3, 0.7), rng)
        beam, exact = find_sequence(types, edges, Beam()), find_sequence(types, edges, Exact())
        assert_lawful(beam, types, edges)
        assert len(beam) == len(exact) == exact.lower_bound == beam.lower_bound
        assert beam.seconds < 0.5
