"""Toy node types, random graphs of them, and a plain scalar evaluation that knows nothing of the renderer."""

import numpy as np
import torch
from hypothesis import strategies as st

from graphmix.graph import MixGraph
from graphmix.spec import Exponential, Linear, NodeType, ParameterSpec

AMP = NodeType(
    "amp",
    "a",
    (
        ParameterSpec("gain_db", 2, "dB", -60.0, 20.0, 0.0, Linear(2.5)),
        ParameterSpec("time_ms", 1, "ms", 0.1, 900.0, 10.0, Exponential()),
    ),
)
NASTY = NodeType("batch_index_face", "b", (ParameterSpec("value", 2, "", -9.0, 9.0, 0.0),))
DUCK = NodeType("duck", "d", (ParameterSpec("depth_db", 1, "dB", -40.0, 0.0, -6.0),), inlets=("in", "sidechain"))
SPLIT = NodeType("split", "s", (ParameterSpec("corner_hz", 1, "Hz", 20.0, 9000.0, 500.0),), outlets=("low", "high"))
PLAIN = NodeType("plain", "p")
UNUSED = NodeType("unused", "u", (ParameterSpec("value", 3, "", -1.0, 1.0, 0.5),))
TYPES = (AMP, NASTY, DUCK, SPLIT, PLAIN, UNUSED)


def random_graph(seed: int, num_inputs: int = 2, num_inner: int = 7) -> MixGraph:
    """Any toy type but UNUSED, in any node order; parallel edges, sidechains and unheard outlets may occur."""
    rng = np.random.default_rng(seed)
    graph = MixGraph(TYPES, 44100)
    kinds = ["in"] * num_inputs + list(rng.choice(["mix", *(t.name for t in TYPES[:-1])], num_inner)) + ["out"]
    order = rng.permutation(len(kinds))  # place in the signal flow -> number of the node
    for number in range(len(kinds)):
        kind = str(kinds[int(np.flatnonzero(order == number)[0])])
        name = f"track {number}" if kind == "in" else ""
        graph.add(kind, name, wet=1.0 if kind in ("in", "mix", "out") else float(rng.uniform()))
    for t in TYPES[:-1]:
        low, high = t.bounds()
        graph.params[t.name] = low + (high - low) * torch.from_numpy(rng.random(graph.params[t.name].shape)).float()
    used = set()
    for place in range(num_inputs, len(kinds)):
        for _ in range(int(rng.integers(1, 4))):
            source = int(rng.integers(0, place))
            used.add(source)
            _connect(graph, int(order[source]), int(order[place]), rng)
    for place in range(len(kinds) - 1):
        if place not in used:
            _connect(graph, int(order[place]), int(order[-1]), rng)
    return graph


def _connect(graph: MixGraph, source: int, target: int, rng: np.random.Generator) -> None:
    outlet = int(rng.integers(0, len(graph.type_of(source).outlets)))
    graph.connect(source, target, outlet, int(rng.integers(0, len(graph.type_of(target).inlets))))


random_graphs = st.builds(random_graph, st.integers(0, 10**6), st.integers(1, 3), st.integers(0, 8))


def evaluate(graph: MixGraph) -> list[float]:
    """What comes out if input number i is the constant 1 + i and each processor is some function of its numbers."""
    node_type, edges = graph.node_type.tolist(), graph.edge_index.t().tolist()
    inputs = graph.nodes_of("in").tolist()
    incoming: dict[int, list[tuple[int, int, int]]] = {}
    for (source, target), (outlet, inlet) in zip(edges, graph.edge_port.tolist(), strict=True):
        incoming.setdefault(target, []).append((source, outlet, inlet))
    seen: dict[int, float] = {}

    def value(node: int) -> float:
        if node not in seen:
            kind = graph.types[node_type[node]]
            sums = [0.0] * max(len(kind.inlets), 1)
            for source, outlet, inlet in incoming.get(node, []):
                sums[inlet] += value(source) * (1 + outlet)
            if kind.name == "in":
                sums[0] = 1.0 + inputs.index(node)
            if kind.is_processor:
                numbers = [float(x) for p in kind.parameters for x in graph.parameter(node, p.name)]
                wet = float(np.cos(sum((1 + i) * x for i, x in enumerate([*numbers, *sums]))))
                weight = float(graph.wet[node])
                sums[0] = weight * wet + (1 - weight) * sums[0]
            seen[node] = sums[0]
        return seen[node]

    return [value(node) for node in graph.nodes_of("out").tolist()]


def assert_same(first: MixGraph, second: MixGraph) -> None:
    """The same graph to the bit."""
    assert type(first) is type(second)
    assert first.info == second.info
    for name in ("node_type", "edge_index", "edge_port", "wet"):
        assert_same_bits(first[name], second[name], name)
    assert list(first.params) == list(second.params)
    for name in first.params:
        assert_same_bits(first.params[name], second.params[name], name)


def assert_same_bits(first: torch.Tensor, second: torch.Tensor, name: str) -> None:
    assert first.dtype == second.dtype, name
    assert first.shape == second.shape, name
    assert first.numpy().tobytes() == second.numpy().tobytes(), name
