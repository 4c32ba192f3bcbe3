"""Removing, keeping and bypassing nodes: what follows, what is re-routed, and that the mix stays the same."""

from dataclasses import replace
from random import Random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch

from graphmix.errors import GraphError
from graphmix.graph import MixGraph, bypass_nodes, keep_nodes, mixing_console, remove_nodes, validate
from graphmix.graph.editing import renumber
from graphmix.processors import Rack
from tests.graph.random_mixgraphs import AMP, NASTY, TYPES, assert_same, evaluate, random_graphs


def chosen(graph: MixGraph, seed: int) -> torch.Tensor:
    """About half of the nodes that can be bypassed."""
    pick = torch.rand(graph.num_nodes, generator=torch.Generator().manual_seed(seed)) < 0.5
    able = torch.tensor([graph.type_of(node).can_be_bypassed for node in range(graph.num_nodes)])
    return pick & able


# --- laws


@settings(max_examples=150, deadline=None)
@given(random_graphs, st.integers(0, 999))
def test_removing_is_bypassing(graph: MixGraph, seed: int) -> None:
    mask = chosen(graph, seed)
    removed = validate(remove_nodes(graph, mask))
    assert evaluate(removed) == pytest.approx(evaluate(bypass_nodes(graph, mask)), rel=1e-9)


@settings(max_examples=50, deadline=None)
@given(random_graphs, st.integers(0, 999))
def test_the_given_graph_is_not_changed(graph: MixGraph, seed: int) -> None:
    before, mask = graph.clone(), chosen(graph, seed)
    remove_nodes(graph, mask)
    bypass_nodes(graph, mask)
    keep_nodes(graph, mask)
    assert_same(before, graph)


@settings(max_examples=50, deadline=None)
@given(random_graphs, st.integers(0, 999))
def test_the_order_of_removals_does_not_matter(graph: MixGraph, seed: int) -> None:
    graph.info = replace(graph.info, names=tuple(f"node {i}" for i in range(graph.num_nodes)))
    mask = chosen(graph, seed)
    at_once, one_by_one = remove_nodes(graph, mask), graph
    for node in reversed(mask.nonzero().flatten().tolist()):
        name = f"node {node}"
        if name in one_by_one.names:  # else it went with a sidechain that it fed
            one_by_one = remove_nodes(one_by_one, [one_by_one.names.index(name)])
    assert one_by_one.names == at_once.names
    assert evaluate(one_by_one) == pytest.approx(evaluate(at_once), rel=1e-9)
    for name in at_once.params:
        assert torch.equal(one_by_one.params[name], at_once.params[name])


@settings(max_examples=50, deadline=None)
@given(random_graphs, st.integers(0, 999))
def test_parameters_weights_and_names_follow_their_nodes(graph: MixGraph, seed: int) -> None:
    keep = torch.rand(graph.num_nodes, generator=torch.Generator().manual_seed(seed)) < 0.5
    part, old = keep_nodes(graph, keep), keep.nonzero().flatten().tolist()
    assert part.num_nodes == len(old)
    for new, node in enumerate(old):
        assert part.type_of(new) == graph.type_of(node)
        assert part.wet[new] == graph.wet[node]
        assert part.names[new] == graph.names[node]
        for p in graph.type_of(node).parameters:
            assert torch.equal(part.parameter(new, p.name), graph.parameter(node, p.name))


@settings(max_examples=30, deadline=None)
@given(random_graphs)
def test_removing_nothing_changes_nothing(graph: MixGraph) -> None:
    assert_same(remove_nodes(graph, []), graph)
    assert_same(keep_nodes(graph, range(graph.num_nodes)), graph)
    assert_same(bypass_nodes(graph, []), graph)


# --- by hand


def test_a_removed_processor_lets_its_input_through() -> None:
    graph = MixGraph([AMP])
    a, b = graph.add("amp", gain_db=1), graph.add("amp", gain_db=2)
    graph.chain(graph.add("in", "voice"), a, b, graph.add("out"))
    short = remove_nodes(graph, [a])
    assert short.edge_index.tolist() == [[1, 0], [0, 2]]
    assert short.parameter(0, "gain_db").tolist() == [2, 2]
    assert short.names == ["", "voice", ""]


def test_parallel_paths_keep_both_edges() -> None:
    graph = MixGraph([AMP])
    voice, a, b, out = graph.add("in"), graph.add("amp"), graph.add("amp"), graph.add("out")
    graph.chain(voice, a, out).chain(voice, b, out)
    assert remove_nodes(graph, [a, b]).edge_index.tolist() == [[0, 0], [1, 1]]


def test_a_removed_mix_sends_each_of_its_inputs_on() -> None:
    graph = MixGraph([AMP])
    one, two, mix, out = graph.add("in"), graph.add("in"), graph.add("mix"), graph.add("out")
    graph.chain(one, mix, out).connect(two, mix)
    assert sorted(remove_nodes(graph, [mix]).edge_index.t().tolist()) == [[0, 2], [1, 2]]


def ducking() -> MixGraph:
    """voice 0 -> duck 2 -> out 3; kick 1 -> amp 4 -> mix 5 -> the duck's sidechain."""
    graph = MixGraph(TYPES)
    voice, kick, duck, out = graph.add("in", "voice"), graph.add("in", "kick"), graph.add("duck"), graph.add("out")
    amp, mix = graph.add("amp"), graph.add("mix")
    return graph.chain(voice, duck, out).chain(kick, amp, mix).connect(mix, duck, inlet="sidechain")


def test_a_removed_sidechain_takes_its_source_chain_along_but_no_input() -> None:
    graph = validate(remove_nodes(ducking(), [2]))
    assert graph.names == ["voice", "kick", ""]
    assert graph.edge_index.tolist() == [[0], [2]]
    assert graph.params["amp"].shape == (0, 3)


def test_a_source_that_is_also_heard_outlives_its_sidechain() -> None:
    graph = ducking().connect(4, 3)
    short = validate(remove_nodes(graph, [2]))
    assert [short.type_of(node).name for node in range(short.num_nodes)] == ["in", "in", "out", "amp"]
    assert sorted(short.edge_index.t().tolist()) == [[0, 2], [1, 3], [3, 2]]


def test_a_node_behind_a_sidechain_passes_the_edge_on_to_it() -> None:
    short = remove_nodes(ducking(), [4, 5])
    assert short.edge_index.t().tolist() == [[0, 2], [2, 3], [1, 2]]
    assert short.edge_port.tolist() == [[0, 0], [0, 0], [0, 1]]


def test_the_outlet_of_a_crossover_survives_the_removal_behind_it() -> None:
    graph = MixGraph(TYPES)
    split, amp, out = graph.add("split"), graph.add("amp"), graph.add("out")
    graph.connect(graph.add("in"), split).connect(split, amp, "high").connect(amp, out).connect(split, out)
    short = remove_nodes(graph, [amp])
    assert sorted(zip(short.edge_index.t().tolist(), short.edge_port.tolist(), strict=True)) == [
        ([0, 1], [0, 0]),
        ([0, 1], [1, 0]),
        ([2, 0], [0, 0]),
    ]


def test_bypassing_sets_weights_to_zero_and_no_more() -> None:
    graph = ducking()
    quiet = bypass_nodes(graph, [2, 4])
    assert quiet.wet.tolist() == [1, 1, 0, 1, 0, 1]
    quiet.wet = graph.wet
    assert_same(quiet, graph)


def test_keeping_cuts_edges() -> None:
    part = keep_nodes(ducking(), [0, 3])
    assert (part.num_nodes, part.num_edges) == (2, 0)


def test_a_chain_of_two_hundred_nodes_can_go() -> None:
    graph = MixGraph([AMP])
    middle = [graph.add("amp") for _ in range(200)]
    graph.chain(graph.add("in"), *middle, graph.add("out"))
    assert remove_nodes(graph, middle).edge_index.tolist() == [[0], [1]]


def test_a_console_without_processors_is_tracks_into_buses_into_the_mix() -> None:
    rack = Rack.console()
    console = mixing_console(rack, {"drums": ["kick", "snare"], "band": ["bass"]})
    bare = validate(remove_nodes(console, console.processors))
    assert [bare.describe(node) for node in range(bare.num_nodes)] == [
        "in 0 'kick'",
        "in 1 'snare'",
        "in 2 'bass'",
        "mix 3 'drums'",
        "mix 4 'band'",
        "out 5 'mix'",
    ]
    assert sorted(bare.edge_index.t().tolist()) == [[0, 3], [1, 3], [2, 4], [3, 5], [4, 5]]
    assert all(values.shape == (0, rack[name].node_type.width) for name, values in bare.params.items())


def test_what_somebody_added_to_nodes_and_edges_follows() -> None:
    graph = ducking()
    graph.position = torch.arange(12.0).view(6, 2)
    graph.edge_length = torch.arange(5.0)
    graph.title = "a song"
    short = remove_nodes(graph, [4])
    assert short.position.tolist() == [[0, 1], [2, 3], [4, 5], [6, 7], [10, 11]]
    assert short.edge_length.tolist() == [0, 1, 3, 4]  # the edge into the mix took the place of both
    assert short.title == "a song"


def test_gradients_reach_the_parameters_of_the_first_graph() -> None:
    graph = MixGraph([AMP])
    a, b = graph.add("amp"), graph.add("amp")
    graph.chain(graph.add("in"), a, b, graph.add("out"))
    graph.params["amp"].requires_grad_()
    remove_nodes(graph, [a]).params["amp"].sum().backward()
    assert graph.params["amp"].grad.tolist() == [[0, 0, 0], [1, 1, 1]]


# --- errors


@pytest.mark.parametrize("node", [0, 3])
def test_inputs_and_outputs_cannot_be_removed(node: int) -> None:
    with pytest.raises(GraphError, match=f"(in|out) {node}.* cannot be bypassed: it has no dry signal"):
        remove_nodes(ducking(), [node])
    with pytest.raises(GraphError, match="cannot be bypassed"):
        bypass_nodes(ducking(), [node])


def test_a_crossover_cannot_be_removed() -> None:
    graph = MixGraph(Rack.standard().types)
    graph.chain(graph.add("in"), graph.add("crossover"), graph.add("out"))
    with pytest.raises(GraphError, match="crossover 1 cannot be bypassed: it has no dry signal to let through"):
        remove_nodes(graph, [1])
    with pytest.raises(GraphError, match="crossover 1 cannot be bypassed"):
        bypass_nodes(graph, [1])


@pytest.mark.parametrize("edit", [remove_nodes, keep_nodes, bypass_nodes])
def test_nodes_that_are_not_there_are_named(edit: object) -> None:
    graph = ducking()
    for node in (6, -1):
        with pytest.raises(GraphError, match=f"there is no node {node}: the nodes are 0 to 5"):
            edit(graph, [2, node])  # type: ignore[operator]
    with pytest.raises(GraphError, match=r"the mask has shape \[3\], but the graph has 6 nodes"):
        edit(graph, torch.ones(3, dtype=torch.bool))  # type: ignore[operator]


def test_a_batch_is_edited_graph_by_graph() -> None:
    graph = MixGraph([NASTY])
    graph.chain(graph.add("in"), graph.add("b"), graph.add("out"))
    batch = Batch.from_data_list([graph, graph])
    with pytest.raises(GraphError, match="edit graphs one by one: this is a batch"):
        remove_nodes(batch, [1])
    assert bypass_nodes(batch, [1]).wet.tolist() == [1, 0, 1, 1, 1, 1]


@settings(max_examples=60, deadline=None)
@given(random_graphs, st.randoms())
def test_renumbering_back_gives_the_graph_again(graph: MixGraph, rng: Random) -> None:
    order = list(range(graph.node_type.numel()))
    rng.shuffle(order)
    moved = renumber(graph, order)
    assert [moved.type_of(i).name for i in range(len(order))] == [graph.type_of(node).name for node in order]
    assert moved.names == [graph.names[node] for node in order]
    back = [order.index(node) for node in range(len(order))]
    assert_same(renumber(moved, back), renumber(graph, list(range(len(order)))))


def test_an_order_that_is_none_is_refused() -> None:
    console = mixing_console(Rack.console("g"), {"bus": ["voice"]}, "g")
    with pytest.raises(GraphError, match="is no order of 5 nodes"):
        renumber(console, [0, 0, 1])
