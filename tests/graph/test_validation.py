"""Each graph that cannot be rendered, and what is said of it."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from torch_geometric.data import Batch

from graphmix.errors import GraphError
from graphmix.graph import MixGraph, validate
from tests.graph.random_mixgraphs import AMP, DUCK, SPLIT, TYPES, random_graphs


def good() -> MixGraph:
    """in 0 -> amp 1 -> duck 2 -> out 3, and in 0 -> duck 2's sidechain."""
    graph = MixGraph(TYPES)
    voice = graph.add("in", "voice")
    graph.chain(voice, graph.add("amp"), graph.add("duck"), graph.add("out"))
    return graph.connect(voice, 2, inlet="sidechain")


@settings(max_examples=50, deadline=None)
@given(random_graphs)
def test_good_graphs_pass_as_they_are(graph: MixGraph) -> None:
    assert validate(graph) is graph


@pytest.mark.parametrize("graph", [MixGraph(TYPES), MixGraph()], ids=["types only", "nothing"])
def test_the_empty_graph_is_refused(graph: MixGraph) -> None:
    with pytest.raises(GraphError, match=r"the graph has no nodes; add inputs and an out node"):
        validate(graph)


def test_a_muted_input_passes() -> None:
    graph = good()
    graph.add("in", "muted")
    validate(graph)


def test_values_at_the_ends_of_their_range_pass() -> None:
    graph = good()
    for edge in AMP.bounds():
        graph.params["amp"] = edge[None].clone()
        validate(graph)


def _set(name: str, value: object) -> Callable[[MixGraph], None]:
    def change(graph: MixGraph) -> None:
        graph[name] = value

    return change


def _params(value: torch.Tensor) -> Callable[[MixGraph], None]:
    def change(graph: MixGraph) -> None:
        graph.params["amp"] = value

    return change


def _edge(source: int, target: int, outlet: int = 0, inlet: int = 0) -> Callable[[MixGraph], None]:
    def change(graph: MixGraph) -> None:
        graph.edge_index = torch.cat([graph.edge_index, torch.tensor([[source], [target]])], 1)
        graph.edge_port = torch.cat([graph.edge_port, torch.tensor([[outlet, inlet]])])

    return change


def _lose_params(graph: MixGraph) -> None:
    del graph.params["unused"]


def _forget_a_name(graph: MixGraph) -> None:
    node_type = graph.node_type
    graph.node_type = torch.cat([node_type, torch.tensor([1])])
    graph.wet = torch.ones(5)


def _no_output(graph: MixGraph) -> None:
    graph.node_type[3] = 1


def _dead_end(graph: MixGraph) -> None:
    graph.connect(0, graph.add("amp"))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_set("node_type", torch.tensor([0, 3, 9, 2])), "node_type has values up to 9, but there are 9 types"),
        (_set("node_type", torch.zeros(4, 1, dtype=torch.long)), r"node_type has shape \[4, 1\], expected \[num"),
        (_set("wet", torch.ones(3)), r"wet has shape \[3\], expected \[4\]: one weight for each node"),
        (_set("edge_index", torch.zeros(4, 2, dtype=torch.long)), r"edge_index has shape \[4, 2\], expected \[2, "),
        (_set("edge_port", torch.zeros(3, 2, dtype=torch.long)), r"edge_port has shape \[3, 2\], expected \[4, 2\]"),
        (_forget_a_name, "4 names for 5 nodes; give each node one"),
        (_lose_params, r"params lacks 'unused'; store \[0, 3\]"),
        (_params(torch.zeros(2, 3)), r"params\['amp'\] has shape \[2, 3\], expected \[1, 3\].*from before pruning"),
        (_params(torch.zeros(1, 4)), r"params\['amp'\] has shape \[1, 4\], expected \[1, 3\]"),
        (_set("wet", torch.tensor([1, 1, 1.5, 1])), "duck 2 has wet 1.5; it lies between 0 and 1"),
        (_set("wet", torch.tensor([1, 1, float("nan"), 1])), "duck 2 has wet nan"),
        (_params(torch.tensor([[0.0, 30.0, 10.0]])), "amp 1: gain_db is 30; it is a number between -60 and 20 dB"),
        (_params(torch.tensor([[0.0, 0.0, 0.0]])), "amp 1: time_ms is 0; it is a number between 0.1 and 900 ms"),
        (_params(torch.tensor([[float("nan"), 0.0, 1.0]])), "amp 1: gain_db is nan"),
        (_params(torch.tensor([[float("inf"), 0.0, 1.0]])), "amp 1: gain_db is inf"),
        (_edge(1, 4), "edge 4 joins nodes 1 and 4, but the nodes are 0 to 3"),
        (_edge(-1, 1), "edge 4 joins nodes -1 and 1"),
        (_edge(1, 0), r"edge 4 \(amp 1 -> in 0 'voice'\) ends at an input node.*Connect it to a mix or out"),
        (_edge(3, 1), r"edge 4 \(out 3 -> amp 1\) starts at an output node.*Use a mix node there"),
        (_edge(1, 2, 1), r"edge 4 \(amp 1 -> duck 2\) leaves outlet 1; amp has 1: out"),
        (_edge(1, 2, 0, 2), r"edge 4 \(amp 1 -> duck 2\) enters inlet 2; duck has 2: in, sidechain"),
        (_edge(2, 1), "the graph has a cycle: (amp 1 -> duck 2 -> amp 1|duck 2 -> amp 1 -> duck 2). Remove one"),
        (_edge(2, 2), "the graph has a cycle: duck 2 -> duck 2. Remove one"),
        (_no_output, "the graph has no out node; add one"),
        (_dead_end, "amp 4 reaches no output; connect it towards an out node or remove it"),
    ],
)
def test_what_is_wrong_is_named(spoil: Callable[[MixGraph], None], message: str) -> None:
    graph = validate(good())
    spoil(graph)
    with pytest.raises(GraphError, match=message):
        validate(graph)


def test_a_long_cycle_is_shown_in_part() -> None:
    graph = MixGraph([AMP])
    loop = [graph.add("amp") for _ in range(40)]
    graph.chain(graph.add("in"), *loop, graph.add("out")).connect(loop[-1], loop[0])
    with pytest.raises(GraphError, match=r"cycle: (amp \d+ -> ){6}… \(40 nodes\) -> amp \d+\."):
        validate(graph)


def test_what_hangs_behind_a_cycle_is_not_blamed() -> None:
    graph = MixGraph([AMP])
    a, b, c = (graph.add("amp") for _ in range(3))
    graph.chain(a, b, c, graph.add("out")).connect(b, a)
    with pytest.raises(GraphError, match=r"cycle: (amp 0 -> amp 1 -> amp 0|amp 1 -> amp 0 -> amp 1)\."):
        validate(graph)


def test_an_input_whose_processor_leads_nowhere_is_a_mistake() -> None:
    graph = good()
    graph.connect(graph.add("in", "lost"), graph.add("amp"))
    with pytest.raises(GraphError, match="in 4 'lost' reaches no output"):
        validate(graph)


def test_an_outlet_without_a_edge_passes() -> None:
    graph = MixGraph([SPLIT])
    split, out = graph.add("split"), graph.add("out")
    validate(graph.connect(graph.add("in"), split).connect(split, out, "high"))


def test_a_sidechain_without_a_edge_passes() -> None:
    graph = MixGraph([DUCK])
    validate(graph.chain(graph.add("in"), graph.add("duck"), graph.add("out")))


def test_batches_are_validated_as_one_graph() -> None:
    batch = Batch.from_data_list([good(), good()])
    validate(batch)
    batch.wet[6] = 2
    with pytest.raises(GraphError, match="duck 6 has wet 2"):
        validate(batch)


def test_a_chain_of_two_thousand_nodes_is_no_cycle() -> None:
    graph = MixGraph([AMP])
    n = 2000
    graph.node_type = torch.cat([torch.tensor([0]), torch.full((n,), 3), torch.tensor([2])])
    graph.wet, graph.params = torch.ones(n + 2), {"amp": AMP.neutral().repeat(n, 1)}
    graph.edge_index = torch.stack([torch.arange(n + 1), torch.arange(1, n + 2)])
    graph.edge_port = torch.zeros(n + 1, 2, dtype=torch.long)
    graph.info = type(graph.info)(graph.types, names=("",) * (n + 2))
    validate(graph)
