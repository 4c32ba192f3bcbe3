"""Sketches: what is edited in them has the edges that it should have, and the rest stays as it is."""

import pytest
import torch

from graphmix.errors import GraphError
from graphmix.graph import validate
from graphmix.graph.consoles import mixing_console
from graphmix.graph.editing import remove_nodes
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.sketch import Part, Sketch
from graphmix.processors import Rack
from graphmix.render.renderer import Renderer
from tests.small_song import same_graph

RACK = Rack.console("ecgsl")
SUBGROUPS = {"band": ["voice", "guitar"], "rest": ["drums"]}


def console(chain: str = "ecg", master: str = "") -> MixGraph:
    graph = mixing_console(RACK, SUBGROUPS, chain, master)
    generator = torch.Generator().manual_seed(0)
    graph.params["gain"] = -6 * torch.rand(graph.params["gain"].shape, generator=generator)
    graph.wet = torch.rand(graph.wet.shape, generator=generator)
    return graph


def kinds(graph: MixGraph) -> list[tuple[str, str, int]]:
    """Edges by the types of their ends."""
    return sorted((graph.type_of(s).name, graph.type_of(t).name, i) for s, t, _, i in graph.edges())


@pytest.mark.parametrize("master", ["", "sl"])
def test_a_sketch_gives_the_graph_back(master: str) -> None:
    graph = console(master=master)
    found, ids = Sketch(graph).graph()
    assert ids == list(range(graph.node_type.numel()))
    sources = torch.randn(3, 2, 3000, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(Renderer(RACK)(found, sources), Renderer(RACK)(graph, sources))
    again, _ = Sketch(found).graph()
    assert same_graph(found, again)


def test_chains_are_those_of_tracks_and_buses_and_behind_the_sum() -> None:
    sketch = Sketch(console(master="sl"))
    named = [[sketch.parts[node].type.letter for node in chain] for chain in sketch.chains()]
    assert sorted(map("".join, named)) == ["ecg"] * 5 + ["sl"]


def test_another_order_of_every_chain_is_the_console_of_that_order() -> None:
    sketch = Sketch(console("ecg", "sl"))
    for chain in sketch.chains():
        sketch.replace(chain, chain[::-1])
    graph = validate(sketch.graph()[0])
    assert kinds(graph) == kinds(mixing_console(RACK, SUBGROUPS, "gce", "ls"))


def test_a_run_that_is_bypassed_sounds_like_removed_nodes() -> None:
    graph = console("cg", "sl")
    sketch, renderer = Sketch(graph), Renderer(RACK)
    first = sketch.chains()[-1][0]  # sums the buses
    sketch.replace([first], [])
    sources = torch.randn(3, 2, 3000, generator=torch.Generator().manual_seed(1))
    expected = renderer(remove_nodes(graph, [first]), sources)
    torch.testing.assert_close(renderer(validate(sketch.graph()[0]), sources), expected)


def test_what_is_inserted_takes_all_that_came_in_or_left() -> None:
    graph = console("", "")
    gain = RACK["gain"].node_type
    sketch = Sketch(graph)
    out = next(node for node, part in sketch.parts.items() if part.type.name == "out")
    sketch.insert_before(out, sketch.add(Part(gain, torch.tensor([-6.0, -6.0]))))
    sketch.insert_after(0, sketch.add(Part(gain, torch.tensor([-20.0, -20.0]))))
    sources = torch.ones(3, 2, 10)
    half, tenth = 10 ** (-6 / 20), 0.1
    mix = Renderer(RACK)(validate(sketch.graph()[0]), sources)
    torch.testing.assert_close(mix, torch.full((1, 2, 10), half * (tenth + 2)))


def test_a_type_that_the_graph_lacked_comes_last() -> None:
    full = Rack.full()
    sketch = Sketch(console("g"))
    sketch.insert_after(0, sketch.add(Part(full["tanh"].node_type, full["tanh"].node_type.neutral())))
    graph, _ = sketch.graph()
    assert graph.types.names[-1] == "tanh"
    assert graph.params["tanh"].shape == (1, full["tanh"].node_type.width)


def test_nodes_that_do_not_follow_each_other_are_no_run() -> None:
    sketch = Sketch(console("ecg"))
    a, b, c = sketch.chains()[0]
    assert sketch.is_run([a, b, c])
    assert not sketch.is_run([a, c])
    assert not sketch.is_run([])
    assert not sketch.is_run([999])
    with pytest.raises(GraphError, match="do not follow each other"):
        sketch.replace([a, c], [c, a])


def test_ids_of_another_number_are_refused() -> None:
    with pytest.raises(GraphError, match="2 ids do not name"):
        Sketch(console("g"), [0, 1])
