"""To networkx and back."""

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch_geometric.data import Batch

from graphmix.errors import GraphError
from graphmix.graph import MixGraph
from graphmix.graph.networkx import from_networkx, to_networkx
from tests.graph.random_mixgraphs import AMP, DUCK, SPLIT, TYPES, assert_same, random_graph, random_graphs


@settings(max_examples=60, deadline=None)
@given(random_graphs)
def test_nothing_is_lost(graph: MixGraph) -> None:
    assert_same(from_networkx(to_networkx(graph)), graph)


@settings(max_examples=20, deadline=None)
@given(random_graphs)
def test_networkx_sees_the_same_graph(graph: MixGraph) -> None:
    other = to_networkx(graph)
    assert list(other.nodes) == list(range(graph.num_nodes))
    assert sorted(other.edges(keys=False)) == sorted(map(tuple, graph.edge_index.t().tolist()))
    assert nx.is_directed_acyclic_graph(other)


def test_attributes_are_plain_and_named() -> None:
    graph = MixGraph([AMP, DUCK, SPLIT], 44100)
    voice, split, duck = graph.add("in", "voice"), graph.add("split"), graph.add("duck", wet=0.5, depth_db=-3)
    graph.chain(voice, split).connect(split, duck, "low").connect(split, duck, "high", "sidechain")
    graph.connect(duck, graph.add("out"))
    other = to_networkx(graph)
    assert other.graph == {"sample_rate": 44100, "types": graph.types.types, "provenance": {}}
    assert other.nodes[2] == {
        "type": "duck", "letter": "d", "name": "", "wet": 0.5, "params": {"depth_db": [-3.0]},
    }  # fmt: skip
    assert other.nodes[0] == {"type": "in", "letter": "i", "name": "voice", "wet": 1.0, "params": {}}
    assert [other.edges[1, 2, key] for key in other[1][2]] == [
        {"outlet": "low", "inlet": "in"},
        {"outlet": "high", "inlet": "sidechain"},
    ]


@pytest.mark.parametrize("kind", [nx.DiGraph, nx.MultiDiGraph])
def test_a_graph_made_by_hand_needs_types_only(kind: type) -> None:
    other = kind()
    other.add_node("voice", type="in")
    other.add_node("amp", type="amp")
    other.add_node("out", type="o")
    nx.add_path(other, ["voice", "amp", "out"])
    graph = from_networkx(other, [AMP])
    assert graph.node_type.tolist() == [0, 3, 2]
    assert graph.edge_index.tolist() == [[0, 1], [1, 2]]
    assert graph.params["amp"].tolist() == [[0, 0, 10]]
    assert graph.wet.tolist() == [1, 1, 1]


def test_a_graph_made_by_hand_may_say_more() -> None:
    other = nx.MultiDiGraph(sample_rate=48000)
    other.add_node("voice", type="in", name="voice")
    other.add_node("amp", type="a", wet=0.5, params={"gain_db": np.array([-1.0, 2.0]), "time_ms": torch.tensor(3.0)})
    other.add_node("duck", type="duck", params={"depth_db": (-9,)})
    other.add_node("out", type="out")
    nx.add_path(other, ["voice", "amp", "duck", "out"])
    other.add_edge("voice", "duck", inlet="sidechain")
    other.add_edge("voice", "duck", inlet=1)
    graph = from_networkx(other, TYPES)
    assert graph.sample_rate == 48000
    assert graph.params["amp"].tolist() == [[-1, 2, 3]]
    assert graph.params["duck"].tolist() == [[-9]]
    assert sorted(graph.edge_port[:, 1].tolist()) == [0, 0, 0, 1, 1]
    assert graph.num_edges == 5


def test_editing_in_networkx_comes_back() -> None:
    other = to_networkx(random_graph(1))
    first = next(node for node, kind in other.nodes(data="type") if kind == "in")
    other.add_node("new", type="amp", params={"gain_db": -3})
    out = next(node for node, kind in other.nodes(data="type") if kind == "out")
    other.add_edge(first, "new")
    other.add_edge("new", out)
    graph = from_networkx(other)
    assert graph.num_nodes == random_graph(1).num_nodes + 1
    assert graph.params["amp"][-1].tolist() == [-3, -3, 10]


@pytest.mark.parametrize(
    ("node", "edge", "message"),
    [
        ({}, {}, "node 'x' has no attribute 'type'; give it one of: in, mix, out, amp"),
        ({"type": "fuzz"}, {}, r"node 'x' has the unknown type 'fuzz'; known are: .*Pass others as `types`"),
        ({"type": "amp", "params": {"fuzz": 1}}, {}, "node 'x': amp has no parameter 'fuzz'"),
        ({"type": "amp", "params": {"gain_db": [1, 2, 3]}}, {}, "node 'x': gain_db has 3 values, but amp takes 2"),
        ({"type": "amp", "params": {"gain_db": "loud"}}, {}, "node 'x': gain_db is 'loud', which is no number"),
        ({"type": "amp", "wet": 2}, {}, "amp 1 has wet 2"),
        ({"type": "amp"}, {"inlet": "key"}, "edge 'voice' -> 'x' has the inlet 'key'; known are: in"),
        ({"type": "in"}, {}, r"edge 0 \(in 0 -> in 1\) ends at an input node"),
    ],
)
def test_what_is_no_mixing_graph_is_named(node: dict, edge: dict, message: str) -> None:
    other = nx.DiGraph()
    other.add_node("voice", type="in")
    other.add_node("x", **node)
    other.add_node("out", type="out")
    other.add_edge("voice", "x", **edge)
    other.add_edge("x", "out")
    with pytest.raises(GraphError, match=message):
        from_networkx(other, [AMP])


def test_graphs_without_direction_or_with_a_cycle_are_refused() -> None:
    with pytest.raises(GraphError, match="edges have a direction"):
        from_networkx(nx.Graph())
    other = nx.DiGraph([(0, 1), (1, 0)])
    nx.set_node_attributes(other, "mix", "type")
    with pytest.raises(GraphError, match="the graph has a cycle"):
        from_networkx(other)


def test_a_batch_is_converted_graph_by_graph() -> None:
    with pytest.raises(GraphError, match="this is a batch"):
        to_networkx(Batch.from_data_list([random_graph(1)]))
