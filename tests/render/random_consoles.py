"""Random graphs of real processors: ports, parallel edges, unconnected inlets, several outputs."""

import random
from collections.abc import Sequence

import torch
from torch import Tensor

from graphmix.graph import MixGraph
from graphmix.processors import Rack
from tests.random_parameters import random_parameters

NUM_INPUTS = 3


def random_console(rack: Rack, seed: int, kinds: Sequence[str], num_nodes: int) -> MixGraph:
    """A random DAG over some node types, with usual parameters and any dry/wet weights."""
    rng = random.Random(seed)
    graph = MixGraph(rack.types, rack.sample_rate)
    nodes = [graph.add("in") for _ in range(NUM_INPUTS)]
    for _ in range(num_nodes):
        node = graph.add(rng.choice(kinds), wet=rng.random())
        for inlet in range(len(graph.type_of(node).inlets)):
            for _ in range(rng.choice([0, 1, 1, 2, 2])):
                near = nodes[-6:] if rng.random() < 0.7 else nodes
                source = rng.choice(near)
                outlet = rng.randrange(len(graph.type_of(source).outlets))
                graph.connect(source, node, outlet, inlet)
        nodes.append(node)
    ends = sorted(set(nodes) - set(graph.edge_index[0].tolist()))
    outs = [graph.add("out") for _ in range(rng.choice([1, 2, 3]))]
    for end in ends:
        for outlet in range(len(graph.type_of(end).outlets)):
            graph.connect(end, rng.choice(outs), outlet)
    generator = torch.Generator().manual_seed(seed)
    for t in rack.types:
        graph.params[t.name] = random_parameters(t, graph.params[t.name].size(0), generator)
    return graph


def random_sources(seed: int, samples: int, num_inputs: int = NUM_INPUTS) -> Tensor:
    """Noise that goes on and off."""
    noise = torch.randn(num_inputs, 2, samples, generator=torch.Generator().manual_seed(seed))
    return 0.2 * noise * (0.1 + (torch.arange(samples) // 400 % 2))
