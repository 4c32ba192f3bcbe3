"""Absorbing redundant processors: by hand what goes and what stays, and the sound to 1e-5 on random consoles."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import Batch

from graphmix.datasets.merge import AbsorbRedundant, MergeGains
from graphmix.errors import GraphError
from graphmix.graph.consoles import mixing_console
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.validation import validate
from graphmix.processors.base import MatrixProcessor
from graphmix.processors.levels import Gain
from graphmix.processors.rack import Rack
from graphmix.render.reference import render_reference
from graphmix.render.renderer import Renderer
from graphmix.spec import NodeType, ParameterSpec
from tests.random_parameters import random_parameters
from tests.render.random_consoles import random_console

RATE = 30000
RACK = Rack.standard(RATE)
RENDERER = Renderer(RACK)
SAMPLES = 3000


def noise(count: int, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(count, 2, SAMPLES, generator=torch.Generator().manual_seed(seed))


def assert_sounds_the_same(one: MixGraph, other: MixGraph, seed: int = 0) -> None:
    """To 1e-5 of the peak, in float64 so that only the graphs differ."""
    validate(other)
    assert other.nodes_of("in").numel() == one.nodes_of("in").numel()
    sources = noise(one.nodes_of("in").numel(), seed)
    first, second = RENDERER(one, sources), RENDERER(other, sources)
    assert float((first - second).abs().max()) <= 1e-5 * max(1.0, float(first.abs().max()))


def line(*nodes: tuple[str, dict]) -> MixGraph:
    """A track, processors in a row, the output."""
    graph = MixGraph(RACK.types, RATE)
    ids = [graph.add(kind, **values) for kind, values in nodes]
    return graph.chain(graph.add("in", name="track"), *ids, graph.add("out"))


def kinds(graph: MixGraph) -> list[str]:
    """Names of the processors, sorted."""
    return sorted(graph.type_of(node).name for node in graph.processors.tolist())


GAIN, OTHER = ("gain", {"gain_db": [-6.0, 3.0]}), ("gain", {"gain_db": [2.0, -1.0], "wet": 0.3})
LEVEL = ("gain", {"gain_db": -6.0})
WIDER, NARROWER = ("imager", {"side_db": 5.0, "wet": 0.7}), ("imager", {"side_db": -9.0})
COMPRESSOR = ("compressor", {"threshold_db": -40.0, "ratio": 4.0})


def equalizer(wet: float = 1.0) -> tuple[str, dict]:
    width = RACK["equalizer"].node_type.width
    return "equalizer", {"gain_db": torch.linspace(-9, 6, width).tolist(), "wet": wet}


def filtered(kind: str, wet: float = 0.5) -> tuple[str, dict]:
    """A reverb or delay that differs between left and right."""
    row = random_parameters(RACK[kind].node_type, 1, torch.Generator().manual_seed(1))[0]
    node_type = RACK[kind].node_type
    return kind, {p.name: row[node_type.columns(p.name)].tolist() for p in node_type.parameters} | {"wet": wet}


# --- by hand


@pytest.mark.parametrize(
    ("nodes", "left"),
    [
        ([GAIN, OTHER], ["gain"]),
        ([GAIN, OTHER, GAIN, OTHER], ["gain"]),
        ([WIDER, NARROWER], ["imager"]),
        ([GAIN, equalizer(), OTHER], ["equalizer", "gain"]),
        ([GAIN, equalizer(0.4), OTHER], ["equalizer", "gain"]),
        ([WIDER, equalizer(), NARROWER], ["equalizer", "imager"]),
        ([GAIN, filtered("delay"), OTHER], ["delay", "gain"]),
        ([GAIN, filtered("reverb"), OTHER], ["gain", "reverb"]),
        ([LEVEL, WIDER, filtered("delay"), NARROWER, LEVEL], ["delay", "gain", "imager", "imager"]),
        ([LEVEL, WIDER, LEVEL], ["gain", "imager"]),
        ([WIDER, LEVEL, NARROWER], ["gain", "imager"]),
        ([GAIN, WIDER, OTHER], ["gain", "gain", "imager"]),
        ([GAIN, COMPRESSOR, OTHER], ["compressor", "gain", "gain"]),
        ([WIDER, filtered("reverb"), NARROWER], ["imager", "imager", "reverb"]),
        ([("gain", {"gain_db": 0.0}), COMPRESSOR], ["compressor"]),
        ([("imager", {"side_db": 0.0, "wet": 0.5}), COMPRESSOR], ["compressor"]),
        ([("gain", {"gain_db": 9.0, "wet": 0.0}), ("reverb", {"wet": 0.0}), COMPRESSOR], ["compressor"]),
        ([("gain", {"gain_db": 6.0}), WIDER, ("gain", {"gain_db": -6.0})], ["imager"]),
        ([("gain", {"gain_db": 50.0}), ("gain", {"gain_db": 50.0})], ["gain", "gain"]),
        ([GAIN, ("mix", {}), OTHER], ["gain"]),
    ],
)
def test_a_row_of_processors(nodes: list[tuple[str, dict]], left: list[str]) -> None:
    graph = line(*nodes)
    absorbed = AbsorbRedundant()(graph)
    assert kinds(absorbed) == left
    assert_sounds_the_same(graph, absorbed)


def test_the_values_of_a_merged_gain_are_the_sum_in_db() -> None:
    merged = MergeGains()(line(("gain", {"gain_db": [-6.0, 3.0]}), ("gain", {"gain_db": [2.0, -1.0]})))
    torch.testing.assert_close(merged.params["gain"], torch.tensor([[-4.0, 2.0]]))
    half = MergeGains()(line(("gain", {"gain_db": 0.0}), ("gain", {"gain_db": 20.0, "wet": 0.5})))
    torch.testing.assert_close(half.params["gain"], torch.full((1, 2), 20 * torch.log10(torch.tensor(5.5)).item()))
    assert half.wet.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("nodes", "left"),
    [
        ([GAIN, OTHER, OTHER], ["gain"]),
        ([GAIN, equalizer(), OTHER], ["equalizer", "gain", "gain"]),
        ([WIDER, NARROWER], ["imager", "imager"]),
        ([("gain", {"gain_db": 0.0}), COMPRESSOR], ["compressor", "gain"]),
    ],
)
def test_merging_gains_touches_gains_in_a_row_alone(nodes: list[tuple[str, dict]], left: list[str]) -> None:
    graph = line(*nodes)
    merged = MergeGains()(graph)
    assert kinds(merged) == left
    assert_sounds_the_same(graph, merged)


def bus_of_two(on_bus: list[tuple[str, dict]], before_bus: list[tuple[str, dict]]) -> MixGraph:
    """Two tracks, the first with a gain, the second with a gain and more, summed onto a bus."""
    graph = MixGraph(RACK.types, RATE)
    bus = graph.add("mix")
    graph.chain(graph.add("in"), graph.add("gain", gain_db=[-3.0, 1.0]), bus)
    more = [graph.add(kind, **values) for kind, values in before_bus]
    graph.chain(graph.add("in"), graph.add("gain", gain_db=[4.0, -2.0], wet=0.6), *more, bus)
    graph.chain(bus, *(graph.add(kind, **values) for kind, values in on_bus), graph.add("out"))
    return graph


@pytest.mark.parametrize(
    ("on_bus", "before_bus", "gains"),
    [
        ([GAIN], [], 2),  # the case of the paper: three gains for two tracks
        ([equalizer(), filtered("reverb"), GAIN], [], 2),
        ([GAIN], [equalizer(0.5)], 2),
        ([GAIN], [WIDER], 3),
        ([GAIN], [COMPRESSOR], 3),
        ([LEVEL], [WIDER], 2),
        ([COMPRESSOR, GAIN], [], 3),
    ],
)
def test_the_gain_of_a_bus_is_absorbed_by_those_of_its_tracks(
    on_bus: list[tuple[str, dict]], before_bus: list[tuple[str, dict]], gains: int
) -> None:
    graph = bus_of_two(on_bus, before_bus)
    absorbed = AbsorbRedundant()(graph)
    assert kinds(absorbed).count("gain") == gains
    assert_sounds_the_same(graph, absorbed)


def test_a_bus_whose_track_has_no_gain_keeps_its_own() -> None:
    graph = bus_of_two([GAIN], [])
    graph.connect(graph.add("in"), 0)
    assert kinds(AbsorbRedundant()(graph)).count("gain") == 3


def test_a_send_keeps_the_gain_before_it_unless_both_ways_can_take_it() -> None:
    def build(send_kind: str) -> MixGraph:
        graph = MixGraph(RACK.types, RATE)
        track, trim, out = graph.add("in"), graph.add("gain", gain_db=[-6.0, 1.0]), graph.add("out")
        graph.chain(track, trim, graph.add("gain", gain_db=-2.0), out)
        graph.chain(trim, graph.add(send_kind), graph.add("gain", gain_db=3.0), out)
        return graph

    for send_kind, gains in (("reverb", 2), ("compressor", 3)):
        graph = build(send_kind)
        absorbed = AbsorbRedundant()(graph)
        assert kinds(absorbed).count("gain") == gains
        assert_sounds_the_same(graph, absorbed)


def test_a_gain_that_a_sidechain_hears_stays() -> None:
    graph = MixGraph(RACK.types, RATE)
    kick, bass, out = graph.add("in"), graph.add("in"), graph.add("out")
    level, duck = graph.add("gain", gain_db=-6.0), graph.add("sidechain_compressor", threshold_db=-40.0)
    graph.chain(kick, level, graph.add("gain", gain_db=[3.0, 1.0]), out)
    graph.chain(bass, duck, out)
    graph.connect(level, duck, inlet="sidechain")
    absorbed = AbsorbRedundant()(graph)
    assert kinds(absorbed).count("gain") == 2
    assert_sounds_the_same(graph, absorbed)


def test_a_gain_moves_past_a_crossover_into_all_bands() -> None:
    graph = MixGraph(RACK.types, RATE)
    split, out = graph.add("crossover", frequency_hz=[300.0, 3000.0]), graph.add("out")
    graph.chain(graph.add("in"), graph.add("gain", gain_db=[-6.0, 2.0]), split)
    for outlet in ("low", "mid", "high"):
        band = graph.add("gain", gain_db=[1.0, -2.0])
        graph.connect(split, band, outlet=outlet).connect(band, out)
    absorbed = AbsorbRedundant()(graph)
    assert kinds(absorbed).count("gain") == 3
    assert_sounds_the_same(graph, absorbed)


def test_only_the_kinds_that_are_asked_for_go() -> None:
    graph = line(GAIN, OTHER, equalizer(), WIDER, NARROWER)
    assert kinds(AbsorbRedundant(["gain"])(graph)) == ["equalizer", "gain", "imager", "imager"]
    assert kinds(AbsorbRedundant(["imager"])(graph)) == ["equalizer", "gain", "gain", "imager"]
    with pytest.raises(GraphError, match="type 'reverb' cannot be absorbed; these can: gain, imager"):
        AbsorbRedundant(["reverb"])


def test_nothing_moves_past_what_the_rack_does_not_know() -> None:
    class Swap(MatrixProcessor):
        node_type = NodeType("swap", "w", (ParameterSpec("amount", 1, "", 0.0, 1.0, 1.0),))

        def matrix(self, params: Tensor) -> Tensor:
            return torch.tensor([[0.0, 1.0], [1.0, 0.0]]).to(params).expand(params.size(0), 2, 2)

    rack = Rack([Gain(RATE), Swap(RATE)])
    graph = MixGraph(rack.types, RATE)
    ids = [graph.add("gain", gain_db=-3.0), graph.add("swap"), graph.add("gain", gain_db=[-3.0, -3.0])]
    graph.chain(graph.add("in"), *ids, graph.add("out"))
    assert kinds(AbsorbRedundant()(graph)) == ["gain", "gain", "swap"]
    assert kinds(AbsorbRedundant(rack=rack)(graph)) == ["gain", "swap"]
    graph.params["gain"][:, 0] = 4.0  # panning does not commute with an exchange of sides
    assert kinds(AbsorbRedundant(rack=rack)(graph)) == ["gain", "gain", "swap"]


def test_the_graph_that_was_given_and_gradients_are_left_alone() -> None:
    graph = line(GAIN, OTHER)
    before = graph.params["gain"].clone()
    graph.params["gain"].requires_grad_()
    AbsorbRedundant()(graph)
    assert torch.equal(graph.params["gain"], before)
    with pytest.raises(GraphError, match="simplify graphs one by one"):
        AbsorbRedundant()(Batch.from_data_list([graph]))


def test_settings_are_in_the_repr() -> None:
    assert repr(MergeGains()) == "MergeGains()"
    assert repr(AbsorbRedundant()) == "AbsorbRedundant(kinds=('gain', 'imager'))"
    assert "rack=" in repr(AbsorbRedundant(rack=RACK))


# --- random graphs

FAST = (
    "gain",
    "gain",
    "gain",
    "imager",
    "imager",
    "mix",
    "equalizer",
    "compressor",
    "sidechain_compressor",
    "crossover",
)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 14))
def test_any_graph_sounds_the_same(seed: int, nodes: int) -> None:
    graph = random_console(RACK, seed, FAST, nodes)
    absorbed = AbsorbRedundant()(graph)
    assert_sounds_the_same(graph, absorbed, seed)
    merged = MergeGains()(graph)
    assert_sounds_the_same(graph, merged, seed)
    assert max(absorbed.num_nodes, merged.num_nodes) <= graph.num_nodes
    again = AbsorbRedundant()(absorbed)
    assert again.num_nodes == absorbed.num_nodes


def test_the_reference_renderer_agrees() -> None:
    graph = bus_of_two([equalizer(), filtered("delay"), GAIN], [WIDER, LEVEL])
    absorbed = AbsorbRedundant()(graph)
    assert absorbed.num_nodes < graph.num_nodes
    sources = noise(2).numpy()
    first, second = (render_reference(g, sources) for g in (graph, absorbed))
    assert abs(first - second).max() <= 1e-6


def test_a_console_keeps_its_sound_and_loses_gains_of_buses() -> None:
    rack = Rack.console("ecsg", RATE)
    console = mixing_console(rack, {"a": ["1", "2"], "b": ["3"]}, "gescg")
    generator = torch.Generator().manual_seed(2)
    for t in rack.types:
        console.params[t.name] = random_parameters(t, console.params[t.name].size(0), generator)
    absorbed = AbsorbRedundant()(console)
    assert_sounds_the_same(console, absorbed)
    assert kinds(absorbed).count("gain") < kinds(console).count("gain")
