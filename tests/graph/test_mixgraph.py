"""Building by hand, asking, and what PyG does to a graph: copying, batching, collating."""

import copy
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader

from graphmix.errors import GraphError
from graphmix.graph import MixGraph, validate
from graphmix.spec import NodeType, ParameterSpec
from tests.graph.random_mixgraphs import AMP, DUCK, NASTY, SPLIT, TYPES, assert_same, random_graph, random_graphs


def small() -> MixGraph:
    graph = MixGraph(TYPES, 44100)
    voice, amp, duck = graph.add("in", "voice"), graph.add("amp", gain_db=[-6, 3], wet=0.5), graph.add("d")
    return graph.chain(voice, amp, duck, graph.add("out")).connect(voice, duck, inlet="sidechain")


# --- building


def test_a_new_graph_is_empty_and_has_a_table_for_each_type() -> None:
    graph = MixGraph(TYPES, 44100)
    assert graph.num_nodes == 0
    assert graph.num_edges == 0
    assert graph.sample_rate == 44100
    assert graph.types.names == ("in", "mix", "out", *(t.name for t in TYPES))
    assert {name: list(values.shape) for name, values in graph.params.items()} == {t.name: [0, t.width] for t in TYPES}


def test_added_nodes_are_numbered_and_carry_what_was_given() -> None:
    graph = small()
    assert graph.node_type.tolist() == [0, 3, 5, 2]
    assert graph.names == ["voice", "", "", ""]
    assert graph.wet.tolist() == [1, 0.5, 1, 1]
    assert graph.parameter(1, "gain_db").tolist() == [-6, 3]
    assert graph.parameter(1, "time_ms").tolist() == [10]  # neutral
    assert graph.parameter(2, "depth_db").tolist() == [-6]
    assert graph.edge_index.tolist() == [[0, 1, 2, 0], [1, 2, 3, 2]]
    assert graph.edge_port.tolist() == [[0, 0], [0, 0], [0, 0], [0, 1]]
    assert graph.processors.tolist() == [1, 2]
    assert validate(graph) is graph


def test_one_number_sets_all_entries_of_a_parameter() -> None:
    graph = MixGraph([AMP])
    assert graph.parameter(graph.add("amp", gain_db=-3.0), "gain_db").tolist() == [-3, -3]


def test_rows_count_the_nodes_of_each_type_in_node_order() -> None:
    graph = MixGraph([AMP, NASTY])
    for letter in "abaab":
        graph.add(letter)
    assert graph.rows().tolist() == [0, 0, 1, 2, 1]
    assert graph.nodes_of("amp").tolist() == [0, 2, 3]
    assert graph.nodes_of("b").tolist() == [1, 4]


def test_two_nodes_may_share_several_edges() -> None:
    graph = MixGraph([AMP])
    a, b = graph.add("in"), graph.add("out")
    assert graph.connect(a, b).connect(a, b).num_edges == 2


def test_ports_go_by_name_or_index() -> None:
    graph = MixGraph([DUCK, SPLIT])
    split, duck = graph.add("split"), graph.add("duck")
    graph.connect(split, duck, "high", "sidechain").connect(split, duck, 1, 1)
    assert graph.edge_port.tolist() == [[1, 1], [1, 1]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "flanger"}, "no node type 'flanger'; this rack has: i in, m mix, o out, a amp"),
        ({"kind": "amp", "wet": 1.5}, "amp 0: wet is 1.5; it lies between 0 and 1"),
        ({"kind": "amp", "wet": float("nan")}, "wet is nan"),
        ({"kind": "amp", "gain_db": [1, 2, 3]}, r"amp: gain_db takes 2 values in dB, got shape \[3\]"),
        ({"kind": "amp", "treble_db": 1}, "amp has no parameter 'treble_db'; it has: gain_db, time_ms"),
        ({"kind": "mix", "gain_db": 1}, "mix has no parameter 'gain_db'; it has: none"),
    ],
)
def test_what_cannot_be_added(arguments: dict, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        MixGraph(TYPES).add(**arguments)


def test_what_cannot_be_connected() -> None:
    graph = small()
    with pytest.raises(GraphError, match="cannot connect node 4: this graph has nodes 0 to 3"):
        graph.connect(0, 4)
    with pytest.raises(GraphError, match="duck 2 has no inlet 'key'; it has 0 'in', 1 'sidechain'"):
        graph.connect(1, 2, inlet="key")
    with pytest.raises(GraphError, match="amp 1 has no outlet 1; it has 0 'out'"):
        graph.connect(1, 2, outlet=1)
    with pytest.raises(GraphError, match="in 0 'voice' has no inlet 0; it has no inlets"):
        graph.connect(1, 0)
    assert graph.num_edges == 4


def test_types_need_letters_of_their_own() -> None:
    with pytest.raises(ValueError, match="names and letters of their own"):
        MixGraph([AMP, NodeType("another", "a")])


# --- copying


def test_copies_hold_the_same_and_clones_share_no_memory() -> None:
    graph = small()
    for other in (copy.copy(graph), copy.deepcopy(graph), graph.clone(), graph.to("cpu"), graph.contiguous()):
        assert_same(graph, other)
    clone = graph.clone()
    clone.params["amp"] += 1
    clone.wet.zero_()
    assert graph.parameter(1, "gain_db").tolist() == [-6, 3]
    assert graph.wet.tolist() == [1, 0.5, 1, 1]


def test_adding_to_a_copy_leaves_the_first_graph_alone() -> None:
    graph = small()
    other = graph.clone()
    other.connect(other.add("in", "bass"), 2)
    assert (graph.num_nodes, graph.num_edges, len(graph.names)) == (4, 4, 4)
    assert (other.num_nodes, other.num_edges, other.names[-1]) == (5, 5, "bass")


def test_moving_to_another_dtype_reaches_the_parameters() -> None:
    graph = small().apply(lambda t: t.double() if t.is_floating_point() else t)
    assert graph.params["amp"].dtype == torch.float64
    assert graph.edge_index.dtype == torch.int64


# --- batching


@settings(max_examples=30, deadline=None)
@given(st.lists(random_graphs, min_size=1, max_size=4))
def test_a_batch_gives_back_its_graphs_to_the_bit(graphs: list[MixGraph]) -> None:
    batch = Batch.from_data_list(graphs)
    assert batch.num_nodes == sum(graph.num_nodes for graph in graphs)
    assert batch.names == [name for graph in graphs for name in graph.names]
    validate(batch)
    for before, after in zip(graphs, batch.to_data_list(), strict=True):
        assert_same(before, after)


def test_a_batch_is_the_graphs_side_by_side() -> None:
    graphs = [small(), small()]
    batch = Batch.from_data_list(graphs)
    assert batch.edge_index.tolist() == [[0, 1, 2, 0, 4, 5, 6, 4], [1, 2, 3, 2, 5, 6, 7, 6]]
    assert batch.edge_port.tolist() == graphs[0].edge_port.tolist() * 2
    assert batch.params["amp"].tolist() == [[-6, 3, 10]] * 2
    assert batch.rows().tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert batch.sample_rate == 44100
    assert batch.batch.tolist() == [0] * 4 + [1] * 4


@pytest.mark.parametrize(
    "name",
    ["batch_index_face", "edge_index", "index", "ptr", "batch", "num_nodes", "face", "adj_t", "node_type", "wet"],
)
def test_a_type_may_have_any_name(name: str) -> None:
    """Inner keys of a dictionary go through PyG's ``__cat_dim__`` and ``__inc__`` as if they were attributes."""
    types = [NodeType(name, "q", (ParameterSpec("value", 3, "", -9.0, 9.0, 0.0),))]
    graphs = []
    for count in (2, 0, 3):
        graph = MixGraph(types)
        processors = [graph.add("q", value=[k, 1, 2]) for k in range(count)]
        graphs.append(graph.chain(graph.add("in"), *processors, graph.add("out")))
    batch = validate(Batch.from_data_list(graphs))
    assert batch.params[name].tolist() == [[k, 1, 2] for k in (0, 1, 0, 1, 2)]
    for before, after in zip(graphs, batch.to_data_list(), strict=True):
        assert_same(before, after)


def test_two_nodes_with_two_channels_are_not_mixed_up() -> None:
    graphs = []
    for value in (1.0, 2.0):
        graph = MixGraph([NASTY])
        graph.chain(graph.add("b", value=[value, 10 * value]), graph.add("b", value=[-value, 0]))
        graphs.append(graph)
    batch = Batch.from_data_list(graphs)
    assert batch.params[NASTY.name].tolist() == [[1, 10], [-1, 0], [2, 20], [-2, 0]]
    assert batch.edge_index.tolist() == [[0, 2], [1, 3]]


def test_a_first_graph_without_a_type_does_not_hide_it_from_the_batch() -> None:
    """PyG collates the keys of the first graph."""
    bare = MixGraph(TYPES, 44100)
    bare.chain(bare.add("in"), bare.add("out"))
    batch = Batch.from_data_list([bare, small()])
    assert batch.params["amp"].tolist() == [[-6, 3, 10]]
    assert batch.nodes_of("amp").tolist() == [3]


def test_a_data_loader_collates_graphs() -> None:
    graphs = [random_graph(seed) for seed in range(5)]
    loaded = [graph for batch in DataLoader(graphs, batch_size=2) for graph in batch.to_data_list()]
    for before, after in zip(graphs, loaded, strict=True):
        assert_same(before, after)


def test_graphs_of_one_batch_share_types_and_sample_rate() -> None:
    with pytest.raises(GraphError, match="different node types; build them all from one rack"):
        _ = Batch.from_data_list([MixGraph([AMP]), MixGraph([AMP, NASTY])]).types
    with pytest.raises(GraphError, match=r"sample rates \[30000, 44100\]; batch equal ones"):
        _ = Batch.from_data_list([MixGraph([AMP], 44100), MixGraph([AMP])]).sample_rate


# --- what PyG offers on nodes and edges


def test_pyg_subgraph_takes_parameters_and_names_along() -> None:
    graph = small()
    for subset in (torch.tensor([True, False, True, True]), torch.tensor([0, 2, 3])):
        part = graph.subgraph(subset)
        assert part.node_type.tolist() == [0, 5, 2]
        assert part.names == ["voice", "", ""]
        assert part.params["amp"].shape == (0, 3)
        assert part.params["duck"].tolist() == [[-6]]
        assert part.edge_index.tolist() == [[1, 0], [2, 1]]
        assert part.edge_port.tolist() == [[0, 0], [0, 1]]
        validate(part)


def test_pyg_edge_subgraph_takes_ports_along() -> None:
    part = small().edge_subgraph(torch.tensor([1, 3]))
    assert part.edge_index.tolist() == [[1, 0], [2, 2]]
    assert part.edge_port.tolist() == [[0, 0], [0, 1]]


def test_pyg_knows_which_fields_are_of_nodes_and_which_of_edges() -> None:
    graph = small()
    assert set(graph.node_attrs()) == {"node_type", "wet"}
    assert set(graph.edge_attrs()) == {"edge_index", "edge_port"}


def test_a_graph_and_a_batch_print_in_a_line() -> None:
    graph = small()
    assert repr(graph) == "MixGraph(4 nodes, 4 edges, 44100 Hz)"
    graph.heat = torch.zeros(4, 2)
    graph.remark = "loud"
    assert repr(graph) == "MixGraph(4 nodes, 4 edges, 44100 Hz, heat=[4, 2], remark=...)"
    assert "8 nodes, 8 edges" in repr(Batch.from_data_list([small(), small()]))
    assert repr(MixGraph()) == "MixGraph()"


def test_what_is_read_off_a_graph_follows_node_order() -> None:
    graph = MixGraph(TYPES, 44100)
    out, late, split, amp, early = (graph.add(kind) for kind in ("out", "in", "split", "amp", "in"))
    graph.info = replace(graph.info, names=("mix", "late", "", "", "early"))
    graph.connect(late, split).connect(split, amp, outlet=1).chain(early, out).chain(amp, out)
    assert graph.input_names == ["late", "early"]
    assert graph.prunable.tolist() == [False, False, False, True, False], "a node with two outlets has no bypass"
    assert graph.edges() == [(late, split, 0, 0), (split, amp, 1, 0), (early, out, 0, 0), (amp, out, 0, 0)]
    assert graph.edges()[1].outlet == 1
