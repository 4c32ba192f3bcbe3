"""Random graphs of one output over processors with few parameters and all kinds of ports, in any numbering.

It lies beside the tests that use it.
"""

import numpy as np
import torch

from graphmix.graph import MixGraph
from graphmix.processors import Compressor, Crossover, Gain, Imager, Rack, SidechainCompressor
from tests.random_parameters import random_parameters

RACK = Rack([Gain(), Compressor(), Imager(), SidechainCompressor(), Crossover()])
KINDS = ("mix", *RACK.names)


def random_dag(seed: int, num_inputs: int = 2, num_inner: int = 6) -> MixGraph:
    """Every inlet that is first is fed, no edge is doubled, and everything leads to the one output."""
    rng = np.random.default_rng(seed)
    graph = MixGraph(RACK.types, RACK.sample_rate)
    kinds = ["in"] * num_inputs + [str(kind) for kind in rng.choice(KINDS, num_inner)] + ["out"]
    numbers = rng.permutation(len(kinds))  # place in the signal flow -> number of the node
    place_of = np.argsort(numbers)
    for number in range(len(kinds)):
        kind = kinds[place_of[number]]
        name = f"track {place_of[number]}" if kind == "in" else ""
        graph.add(kind, name, wet=float(rng.uniform()) if kind in RACK.names else 1.0)
    laid, connected = set[tuple[int, int, int, int]](), set[int]()

    def connect(source: int, target: int, inlet: int) -> None:
        a, b = int(numbers[source]), int(numbers[target])
        outlet = int(rng.integers(len(graph.type_of(a).outlets)))
        if (a, b, outlet, inlet) not in laid:
            laid.add((a, b, outlet, inlet))
            graph.connect(a, b, outlet, inlet)
            connected.add(source)

    for place in range(num_inputs, len(kinds) - 1):
        inlets = len(graph.type_of(int(numbers[place])).inlets)
        connect(int(rng.integers(place)), place, 0)
        for _ in range(int(rng.integers(0, 3))):
            connect(int(rng.integers(place)), place, int(rng.integers(inlets)))
    last = len(kinds) - 1
    for place in range(last):
        if place not in connected:
            connect(place, last, 0)
    if not any(target == int(numbers[last]) for _, target, _, _ in laid):
        connect(0, last, 0)
    generator = torch.Generator().manual_seed(seed)
    for t in RACK.types:
        graph.params[t.name] = random_parameters(t, graph.params[t.name].size(0), generator)
    return graph


def renumbered(graph: MixGraph, numbers: list[int]) -> MixGraph:
    """The same graph whose node ``i`` is node ``numbers[i]`` of the given one."""
    other = MixGraph((t for t in graph.types.types if t.is_processor), graph.sample_rate)
    rows = graph.rows().tolist()
    for node in numbers:
        t = graph.type_of(node)
        values = {} if not t.is_processor else dict(_values(graph, node, rows[node]))
        other.add(t.name, graph.names[node], wet=float(graph.wet[node]), **values)
    place = {node: i for i, node in enumerate(numbers)}
    for (source, target), (outlet, inlet) in zip(graph.edge_index.t().tolist(), graph.edge_port.tolist(), strict=True):
        other.connect(place[source], place[target], outlet, inlet)
    return other


def _values(graph: MixGraph, node: int, row: int) -> list[tuple[str, list[float]]]:
    t = graph.type_of(node)
    return [(p.name, graph.params[t.name][row, t.columns(p.name)].tolist()) for p in t.parameters]
