"""Graphs as sequences: nothing is lost, and the order does not depend on how nodes were numbered."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch

from graphmix.errors import GraphError
from graphmix.graph import MixGraph, mixing_console, validate
from graphmix.models.mixing.linearize import GraphSequence, IncomingEdge, linearize
from graphmix.processors import Gain, Rack
from graphmix.render import Renderer
from graphmix.spec import NodeType, NodeTypes
from tests.models.random_dags import RACK, random_dag, renumbered

dags = st.builds(random_dag, st.integers(0, 10**6), st.integers(1, 3), st.integers(0, 9))


def assert_same_sequence(one: GraphSequence, other: GraphSequence) -> None:
    assert one.prototype == other.prototype
    assert one.info.names == other.info.names
    assert torch.equal(one.wet, other.wet)
    assert one.params.keys() == other.params.keys()
    for name, values in one.params.items():
        assert torch.equal(values, other.params[name]), name


def in_any_order(graph: MixGraph, seed: int) -> tuple[MixGraph, list[int]]:
    """The graph renumbered at random, and the numbers of the old inputs in it."""
    numbers = np.random.default_rng(seed).permutation(graph.node_type.numel()).tolist()
    return renumbered(graph, numbers), [numbers.index(node) for node in graph.nodes_of("in").tolist()]


@settings(max_examples=40, deadline=None)
@given(dags)
def test_there_and_back_is_the_same_sequence(graph: MixGraph) -> None:
    sequence = linearize(graph)
    again = linearize(validate(sequence.to_graph()))
    assert_same_sequence(sequence, again)
    assert again.order == tuple(range(graph.node_type.numel()))


@settings(max_examples=15, deadline=None)
@given(dags, st.integers(0, 10**6))
def test_there_and_back_sounds_the_same(graph: MixGraph, seed: int) -> None:
    inputs = graph.nodes_of("in").numel()
    sources = 0.3 * torch.randn(inputs, 2, 1000, generator=torch.Generator().manual_seed(seed))
    expected = Renderer(RACK)(graph, sources)
    found = Renderer(RACK)(linearize(graph).to_graph(), sources)
    scale = expected.abs().max().clamp(min=1.0)
    torch.testing.assert_close(found / scale, expected / scale, rtol=0, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(dags, st.integers(0, 10**6))
def test_the_order_does_not_depend_on_how_nodes_are_numbered(graph: MixGraph, seed: int) -> None:
    other, inputs = in_any_order(graph, seed)
    assert_same_sequence(linearize(graph), linearize(other, inputs))


@settings(max_examples=20, deadline=None)
@given(dags)
def test_edges_come_from_earlier_nodes(graph: MixGraph) -> None:
    sequence = linearize(graph)
    out = graph.types.index("out")
    assert sequence.node_type.count(out) == 1
    assert sequence.node_type[-1] == out
    for place, edges in enumerate(sequence.edges, start=sequence.num_inputs):
        assert list(edges) == sorted(edges)
        assert all(edge.source < place for edge in edges)
    assert sum(len(edges) for edges in sequence.edges) == graph.num_edges


def test_a_console_is_ordered_track_by_track() -> None:
    rack = Rack.console("sg")
    console = mixing_console(rack, {"band": ["voice", "guitar"], "solo": ["horn"]}, "sg")
    sequence = linearize(console)
    names = [console.types[kind].name for kind in sequence.node_type]
    strip = ["imager", "gain"]
    bus = ["mix", *strip]
    assert names == ["in"] * 3 + strip + strip + bus + strip + bus + ["out"]
    assert sequence.info.names[7] == "band"
    assert sequence.edges[:3] == ((IncomingEdge(0, 0, 0),), (IncomingEdge(0, 3, 0),), (IncomingEdge(0, 1, 0),))
    assert sequence.edges[4] == (IncomingEdge(0, 4, 0), IncomingEdge(0, 6, 0))  # the bus sums both chains


def test_inputs_come_in_the_order_that_was_asked_for() -> None:
    console = mixing_console(Rack([Gain()]), {"band": ["voice", "guitar"]}, "g")
    sequence = linearize(console, [1, 0])
    assert sequence.info.names[:2] == ("guitar", "voice")
    assert sequence.order[:4] == (1, 0, 3, 2)


def test_ports_are_kept() -> None:
    graph = MixGraph(RACK.types)
    a, b, split, duck, out = (graph.add(kind) for kind in ("in", "in", "crossover", "sidechain_compressor", "out"))
    graph.connect(a, split).connect(split, duck, "high").connect(b, duck, inlet="sidechain")
    graph.connect(split, out, "low").connect(duck, out)
    sequence = linearize(graph)
    assert sequence.edges == (
        (IncomingEdge(0, 0, 0),),
        (IncomingEdge(0, 2, 2), IncomingEdge(1, 1, 0)),
        (IncomingEdge(0, 2, 0), IncomingEdge(0, 3, 0)),
    )


def test_exchangeable_nodes_may_change_places() -> None:
    def parallel(first: float, second: float) -> MixGraph:
        graph = MixGraph(RACK.types)
        source, out = graph.add("in"), graph.add("out")
        for level in (first, second):
            graph.chain(source, graph.add("gain", gain_db=level), out)
        return graph

    assert_same_sequence(linearize(parallel(-3, -3)), linearize(parallel(-3, -3)))
    assert_same_sequence(linearize(parallel(-3, -6)), linearize(parallel(-6, -3)))


def test_doubled_edges_and_muted_inputs_survive() -> None:
    graph = MixGraph(RACK.types)
    voice, gain, out = graph.add("in", "voice"), graph.add("gain"), graph.add("out")
    graph.add("in", "muted")
    graph.chain(voice, gain, out).connect(gain, out)
    sequence = linearize(graph)
    assert sequence.edges[-1] == (IncomingEdge(0, 2, 0), IncomingEdge(0, 2, 0))
    assert sequence.to_graph().num_edges == 3
    assert_same_sequence(sequence, linearize(sequence.to_graph()))


def test_real_consoles_survive_the_round_trip(shared_consoles: Path) -> None:
    songs = json.loads((shared_consoles / "consoles.json").read_text())
    largest = sorted(songs, key=lambda song: -len(song["tracks"]))[:3]
    types = [NodeType("gain", "g"), NodeType("delay", "d")]
    for song in largest:
        console = mixing_console(NodeTypes(types), song["subgroups"], "gd")
        other, inputs = in_any_order(console, 0)
        sequence = linearize(console)
        assert_same_sequence(sequence, linearize(other, inputs))
        assert sequence.to_graph().num_nodes == console.num_nodes


def test_what_cannot_be_linearized() -> None:
    graph = random_dag(0)
    with pytest.raises(GraphError, match="linearize graphs one by one"):
        linearize(Batch.from_data_list([graph, graph]))
    with pytest.raises(GraphError, match=r"the inputs of the graph are the nodes \[.*\], and \[0, 0\] were given"):
        linearize(graph, [0, 0])
    cyclic = MixGraph(RACK.types)
    a, b, out = cyclic.add("gain"), cyclic.add("gain"), cyclic.add("out")
    cyclic.chain(a, b, a).connect(b, out)
    with pytest.raises(GraphError, match="cycle"):
        linearize(cyclic)
