"""Transforms that drop, add and permute: what stays, what changes, and how the sound changes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch
from torch_geometric.transforms import BaseTransform, Compose

from graphmix.datasets.merge import AbsorbRedundant, MergeGains
from graphmix.datasets.positions import AddDagPositions, AddSpectralPositions
from graphmix.datasets.transforms import AddNodes, DropNodes, PermuteTracks, renumber
from graphmix.errors import GraphError
from graphmix.graph.editing import remove_nodes
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.validation import validate
from graphmix.render.renderer import Renderer
from tests.graph.random_mixgraphs import assert_same, evaluate, random_graph
from tests.mining.mined_folders import RACK, small_graph

seeds = st.integers(0, 10**6)


def sound(graph: MixGraph, sources: torch.Tensor) -> torch.Tensor:
    return Renderer(RACK)(graph, sources)


@pytest.mark.parametrize("transform", [DropNodes(0.5), AddNodes(3), PermuteTracks()])
def test_they_are_transforms_of_pyg_that_leave_the_graph_they_are_given(transform: BaseTransform) -> None:
    graph, same = random_graph(5, 3, 8), random_graph(5, 3, 8)
    for _ in range(10):
        validate(transform(graph))
        assert_same(graph, same)
    assert eval(repr(transform)).__dict__ == transform.__dict__
    assert Compose([transform, transform])(graph).num_nodes


@settings(max_examples=60, deadline=None)
@given(seeds)
def test_the_same_seed_gives_the_same_graph(seed: int) -> None:
    transform = Compose([DropNodes(0.5), AddNodes(3), PermuteTracks()])
    results = []
    for _ in range(2):
        torch.manual_seed(seed)
        results.append(transform(random_graph(seed, 3, 8)))
    assert_same(*results)


# --- drop


@settings(max_examples=60, deadline=None)
@given(seeds)
def test_dropping_all_leaves_what_cannot_be_bypassed(seed: int) -> None:
    graph = DropNodes(1.0)(random_graph(seed, 2, 8))
    validate(graph)
    assert all(not graph.type_of(node).can_be_bypassed for node in range(graph.num_nodes))
    assert graph.nodes_of("in").numel() == 2


def test_dropping_nothing_and_only_some_kinds() -> None:
    graph = small_graph(3)
    assert_same(DropNodes(0.0)(graph), graph)
    assert_same(DropNodes(1.0, kinds=["g"])(graph), remove_nodes(graph, graph.nodes_of("gain")))
    assert_same(DropNodes(1.0, kinds=["imager"])(graph), remove_nodes(graph, graph.nodes_of("imager")))
    assert_same(DropNodes(1.0, kinds=["no such type"])(graph), graph)


def test_the_probability_is_that_of_each_node() -> None:
    graph = small_graph(3)
    left = sum(DropNodes(0.3)(graph).processors.numel() for _ in range(500)) / 500
    assert left == pytest.approx(0.7 * 4, abs=0.15)


# --- add


@settings(max_examples=60, deadline=None)
@given(seeds, st.integers(0, 5))
def test_added_nodes_of_weight_zero_do_nothing(seed: int, count: int) -> None:
    torch.manual_seed(seed)
    graph = random_graph(seed, 2, 6)
    more = validate(AddNodes(count)(graph))
    assert more.num_nodes == graph.num_nodes + count
    assert evaluate(more) == pytest.approx(evaluate(graph), rel=1e-6, abs=1e-6)


def test_added_nodes_of_weight_zero_leave_the_sound_as_it_is() -> None:
    graph, sources = small_graph(3), torch.randn(3, 2, 2000)
    torch.testing.assert_close(sound(AddNodes(6)(graph), sources), sound(graph, sources), atol=1e-6, rtol=0)
    torch.testing.assert_close(sound(AddNodes(6, wet=1.0)(graph), sources), sound(graph, sources), atol=1e-6, rtol=0)


def test_only_some_kinds_are_added() -> None:
    more = AddNodes(20, kinds=["s"])(small_graph())
    assert more.nodes_of("imager").numel() == 21
    assert more.nodes_of("gain").numel() == 2


def test_what_cannot_be_added() -> None:
    with pytest.raises(GraphError, match="there is no type to add"):
        AddNodes(kinds=["x"])(small_graph())
    with pytest.raises(GraphError, match="cannot add -1 nodes of weight 0"):
        AddNodes(-1)
    with pytest.raises(GraphError, match="weight between 0 and 1"):
        AddNodes(1, wet=2)
    with pytest.raises(GraphError, match=r"the probability to drop a node is 1\.5"):
        DropNodes(1.5)
    with pytest.raises(GraphError, match=r"has the attribute 'dag_pe', which they lack. Add it after them"):
        AddNodes(1)(AddDagPositions()(small_graph()))
    assert "dag_pe" in AddDagPositions()(AddNodes(1)(small_graph()))


# --- permute


@settings(max_examples=60, deadline=None)
@given(seeds)
def test_permuted_tracks_sound_the_same_with_permuted_sources(seed: int) -> None:
    torch.manual_seed(seed)
    graph = random_graph(seed, 3, 7)
    inputs = graph.nodes_of("in").tolist()
    permuted = validate(PermuteTracks()(graph))
    assert permuted.nodes_of("in").tolist() == inputs
    back = [graph.names.index(permuted.names[node]) for node in inputs]
    order = list(range(graph.num_nodes))
    for node, old in zip(inputs, back, strict=True):
        order[node] = old
    inverse = [order.index(node) for node in range(graph.num_nodes)]
    assert_same(renumber(permuted, inverse), graph)


def test_permuted_tracks_with_their_stems_sound_the_same() -> None:
    graph = small_graph(4)
    graph.stems = torch.randn(4, 2, 1000)
    expected, seen = sound(graph, graph.stems), set()
    for _ in range(10):
        permuted = PermuteTracks()(graph)
        seen.add(tuple(permuted.names))
        torch.testing.assert_close(sound(permuted, permuted.stems), expected)
    assert len(seen) > 3


@settings(max_examples=80, deadline=None)
@given(seeds)
def test_renumbering_changes_no_signal_and_can_be_undone(seed: int) -> None:
    graph = AddDagPositions()(random_graph(seed, 1, 8))
    order = torch.randperm(graph.num_nodes, generator=torch.Generator().manual_seed(seed))
    other = validate(renumber(graph, order))
    assert evaluate(other) == pytest.approx(evaluate(graph))
    assert torch.equal(other.dag_pe, AddDagPositions()(other).dag_pe)
    assert_same(renumber(other, order.argsort()), graph)


def test_an_order_that_is_none() -> None:
    for order in ([0, 0, 1], list(range(8)), [-1, *range(6)]):
        with pytest.raises(GraphError, match="the new order is no order of the 7 nodes"):
            renumber(small_graph(), order)
    with pytest.raises(GraphError, match="renumber graphs one by one"):
        renumber(Batch.from_data_list([small_graph()]), list(range(7)))


def test_every_transform_has_a_repr_that_says_its_settings() -> None:
    transforms = (DropNodes(0.2, ["g"]), AddNodes(2, ["s"], 0.5), PermuteTracks(), AddSpectralPositions(3, "a"))
    assert [repr(t) for t in transforms] == [
        "DropNodes(p=0.2, kinds=('g',))",
        "AddNodes(count=2, kinds=('s',), wet=0.5)",
        "PermuteTracks()",
        "AddSpectralPositions(k=3, attr_name='a')",
    ]


def without_processors() -> MixGraph:
    graph = MixGraph([], 30000)
    graph.chain(graph.add("in", name="0.wav"), graph.add("mix"), graph.add("out", name="mix"))
    return graph


@pytest.mark.parametrize(
    "transform",
    [DropNodes(1.0), PermuteTracks(), AddNodes(0, wet=1.0), AbsorbRedundant(), MergeGains()],
    ids=lambda transform: type(transform).__name__,
)
@pytest.mark.parametrize("types", ["none", "unused"])
def test_a_graph_without_a_processor_stays_as_it_is(transform: BaseTransform, types: str) -> None:
    if types == "none":
        graph = without_processors()
        if isinstance(transform, AddNodes):
            with pytest.raises(GraphError, match="there is no type to add"):
                transform(graph)
            return
    else:
        graph = small_graph(2)
        graph = remove_nodes(graph, graph.processors.tolist())
    result = transform(graph)
    assert validate(result).num_nodes == graph.num_nodes
    assert torch.equal(result.edge_index, graph.edge_index) or isinstance(transform, PermuteTracks)


@pytest.mark.parametrize("transform", [AddDagPositions(), AddDagPositions(logarithmic=True), AddSpectralPositions(3)])
def test_positions_of_graphs_without_processors_and_without_nodes_are_finite(transform: BaseTransform) -> None:
    for graph in (without_processors(), MixGraph([], 30000)):
        positions = transform(graph)[transform.attr_name]
        assert positions.shape[0] == graph.node_type.numel()
        assert bool(positions.isfinite().all())
