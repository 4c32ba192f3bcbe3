"""The input of a graph neural network, on consoles small enough to check by hand."""

import torch

from graphmix.graph.consoles import mixing_console
from graphmix.graph.mixgraph import MixGraph
from graphmix.models.mixing.console_input import (
    BACKWARD,
    FORWARD,
    SHORTCUT,
    SHORTCUT_BACK,
    console_input,
    upstream_shares,
)
from graphmix.processors import Rack


def edges_of(console: MixGraph, shortcuts: bool = True) -> dict[int, set[tuple[int, int]]]:
    seen = console_input(console, shortcuts)
    edges = [tuple(edge) for edge in seen.edge_index.t().tolist()]
    kinds = seen.edge_kind.tolist()
    return {kind: {e for e, k in zip(edges, kinds, strict=True) if k == kind} for kind in sorted(set(kinds))}


def test_one_track_one_bus_one_processor() -> None:
    console = mixing_console(Rack.console("g"), {"bus": ["a"]}, "g")  # in 0, gain 1, mix 2, gain 3, out 4
    seen = console_input(console)
    assert seen.depth.tolist() == [0, 1, 2, 3, 4]
    assert seen.height.tolist() == [4, 3, 2, 1, 0]
    assert torch.equal(seen.node_type, console.node_type)
    connections = {(0, 1), (1, 2), (2, 3), (3, 4)}
    assert edges_of(console) == {
        FORWARD: connections,
        BACKWARD: {(b, a) for a, b in connections},
        SHORTCUT: {(0, 2), (2, 4)},
        SHORTCUT_BACK: {(2, 0), (4, 2)},
    }
    assert edges_of(console, shortcuts=False) == {FORWARD: connections, BACKWARD: {(b, a) for a, b in connections}}


def test_shortcuts_end_where_signals_are_summed() -> None:
    console = mixing_console(Rack.console("eg"), {"x": ["a", "b"]}, "eg")
    # in a 0, in b 1, chain of a 2 3, chain of b 4 5, mix 6, chain of the bus 7 8, out 9
    assert edges_of(console)[SHORTCUT] == {(0, 3), (0, 6), (1, 5), (1, 6), (6, 8), (6, 9)}


def test_an_output_alone_is_seen() -> None:
    graph = MixGraph(Rack.console("g").types)
    graph.add("out")
    seen = console_input(graph)
    assert (seen.num_nodes, seen.edge_index.shape, seen.depth.tolist()) == (1, (2, 0), [0])


def test_shares_of_the_tracks_upstream() -> None:
    console = mixing_console(Rack.standard(), {"x": ("a", "b"), "y": ("c",)}, "g")
    shares = upstream_shares(console)  # in a 0, b 1, c 2, their gains 3 to 5, mix x 6, gain 7, mix y 8, gain 9, out 10
    expected = torch.zeros(11, 3)
    expected[[0, 3], 0] = expected[[1, 4], 1] = expected[[2, 5, 8, 9], 2] = 1
    expected[6:8, :2] = 0.5
    expected[10] = 1 / 3
    assert torch.allclose(shares, expected)


def test_nothing_comes_to_an_output_alone() -> None:
    console = MixGraph(Rack.standard().types)
    console.add("out")
    assert upstream_shares(console).shape == (1, 0)
