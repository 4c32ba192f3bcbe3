"""Folding dry/wet and absorbing neighbours: closed forms by hand, and the sound of random consoles to 1e-5."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import Batch

from graphmix.errors import GraphError
from graphmix.graph.consoles import mixing_console
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.validation import validate
from graphmix.processors.filters import Equalizer
from graphmix.processors.levels import Gain
from graphmix.processors.rack import Rack
from graphmix.render.renderer import Renderer
from graphmix.rewrite import fold_dry_wet, simplify
from tests.random_parameters import random_parameters
from tests.render.random_consoles import NUM_INPUTS, random_console, random_sources

RACK = Rack.standard(30000)
KINDS = [t.name for t in RACK.types if t.name not in ("crossover", "sidechain_compressor", "send")]


def line(*nodes: tuple[str, dict]) -> MixGraph:
    """A track, processors in a row, the output."""
    graph = MixGraph(RACK.types, RACK.sample_rate)
    ids = [graph.add(kind, **values) for kind, values in nodes]
    return graph.chain(graph.add("in", name="track"), *ids, graph.add("out"))


def kinds(graph: MixGraph) -> list[str]:
    """Names of the processors, sorted."""
    return sorted(graph.type_of(node).name for node in graph.processors.tolist())


def assert_sounds_the_same(one: MixGraph, other: MixGraph, sources: Tensor) -> None:
    validate(other)
    first, second = Renderer(RACK)(one, sources), Renderer(RACK)(other, sources)
    assert float((first - second).abs().max()) <= 1e-5 * max(1.0, float(first.abs().max()))


def test_a_fader_shows_what_sounds() -> None:
    folded = fold_dry_wet(line(("gain", {"gain_db": [-6.9, 6.0], "wet": 0.345})), RACK)
    left, right = (20 * math.log10(0.345 * 10 ** (db / 20) + 0.655) for db in (-6.9, 6.0))
    torch.testing.assert_close(folded.params["gain"], torch.tensor([[left, right]]))
    assert folded.wet[1] == 1.0
    assert abs(left + 1.8) < 0.05


def test_an_equalizer_takes_in_its_dry_signal_exactly() -> None:
    width = RACK["equalizer"].node_type.width
    gain_db = torch.linspace(-30, 12, width).tolist()
    graph = line(("equalizer", {"gain_db": gain_db, "wet": 0.3}))
    folded = fold_dry_wet(graph, RACK)
    assert float(folded.wet.min()) == 1.0
    taps = {
        w: Equalizer(RACK.sample_rate).impulse_response(g.params["equalizer"].double())[0, 0]
        for w, g in ((0.3, graph), (1.0, folded))
    }
    dry = torch.zeros_like(taps[1.0])
    dry[len(dry) // 2] = 1.0
    torch.testing.assert_close(taps[1.0], 0.3 * taps[0.3] + 0.7 * dry, rtol=0, atol=1e-6)


def test_the_weight_of_a_send_is_a_part_of_its_gain() -> None:
    graph = MixGraph(RACK.types, RACK.sample_rate)
    track, send, out = graph.add("in"), graph.add("send", wet=0.25, gain_db=[-6.0, -3.0]), graph.add("out")
    graph.connect(track, send, 0, "send").connect(send, out)
    folded = fold_dry_wet(graph, RACK)
    torch.testing.assert_close(folded.params["send"], torch.tensor([[-18.0412, -15.0412]]))
    assert_sounds_the_same(graph, folded, random_sources(1, 500, 1))


@pytest.mark.parametrize("kind", ["delay", "reverb", "compressor", "noisegate", "limiter"])
def test_what_has_no_dry_path_in_its_family_keeps_its_weight(kind: str) -> None:
    graph = line((kind, {"wet": 0.25}))
    folded = fold_dry_wet(graph, RACK)
    assert torch.equal(folded.wet, graph.wet)
    assert torch.equal(folded.params[kind], graph.params[kind])


def test_a_processor_with_a_sound_of_its_own_is_not_folded_by_the_rule_of_its_parent() -> None:
    class Doubled(Gain):
        def matrix(self, params: Tensor) -> Tensor:
            return 2 * super().matrix(params)

    graph = line(("gain", {"gain_db": -6.0, "wet": 0.5}))
    assert float(fold_dry_wet(graph, Rack([Doubled()])).wet.min()) == 0.5
    assert float(fold_dry_wet(graph, Rack([Gain()])).wet.min()) == 1.0


def test_a_value_beyond_its_range_is_not_folded_and_the_graph_given_stays_as_it_is() -> None:
    graph = line(("gain", {"gain_db": -119.0, "wet": 1.0 - 2.0**-24}), ("imager", {"side_db": 6.0, "wet": 0.5}))
    before = graph.clone()
    folded = fold_dry_wet(graph, RACK)
    assert float(folded.wet[graph.nodes_of("imager")]) == 1.0
    assert torch.equal(graph.wet, before.wet)
    assert torch.equal(graph.params["imager"], before.params["imager"])


def test_neighbours_become_one_and_subgroups_keep_their_faders() -> None:
    lone = line(("gain", {"gain_db": -6.0}), ("mix", {}), ("gain", {"gain_db": 2.0, "wet": 0.5}))
    assert kinds(simplify(lone, RACK)) == ["gain"]
    graph = MixGraph(RACK.types, RACK.sample_rate)
    bus, fader, out = graph.add("mix"), graph.add("gain", gain_db=-3.0), graph.add("out")
    for name in ("kick", "snare"):
        graph.chain(graph.add("in", name=name), graph.add("gain", gain_db=1.0, wet=0.7), bus)
    graph.chain(bus, fader, out)
    simple = simplify(graph, RACK)
    assert kinds(simple) == ["gain", "gain", "gain"]
    assert float(simple.wet.min()) == 1.0
    assert_sounds_the_same(graph, simple, random_sources(1, 3000, 2))


def test_a_weight_of_zero_goes() -> None:
    assert kinds(simplify(line(("reverb", {"wet": 0.0}), ("gain", {"gain_db": 3.0, "wet": 0.0})), RACK)) == []


def test_a_batch_is_folded_and_not_absorbed() -> None:
    batch = Batch.from_data_list([line(("gain", {"gain_db": -6.0, "wet": 0.5}))] * 2)
    assert float(fold_dry_wet(batch, RACK).wet.min()) == 1.0
    with pytest.raises(GraphError, match="one by one"):
        simplify(batch, RACK)


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10_000))
def test_random_graphs_sound_as_before(seed: int) -> None:
    graph = random_console(RACK, seed, KINDS, 12)
    simple = simplify(graph, RACK)
    linear = [name for name in ("gain", "imager", "equalizer") if simple.nodes_of(name).numel()]
    assert all(float(simple.wet[simple.nodes_of(name)].min()) == 1.0 for name in linear)
    assert_sounds_the_same(graph, simple, random_sources(seed, 4000, NUM_INPUTS))


def test_a_whole_console_sounds_as_before_and_loses_nothing_but_neighbours() -> None:
    graph = mixing_console(RACK, {"drums": ("kick", "snare"), "lead": ("vocal",)}, "ecnsgdr")
    generator = torch.Generator().manual_seed(3)
    for t in RACK.types:
        graph.params[t.name] = random_parameters(t, graph.params[t.name].size(0), generator)
    graph.wet[graph.prunable] = torch.rand(int(graph.prunable.sum()), generator=generator)
    simple = simplify(graph, RACK)
    assert_sounds_the_same(graph, simple, random_sources(3, 6000, 3))
    again = simplify(simple, RACK)
    assert torch.equal(again.wet, simple.wet)
    assert kinds(again) == kinds(simple)
