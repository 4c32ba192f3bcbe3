"""Domains and FFT lengths belong to nodes, and cuts between two lengths lose nothing of the segment."""

import copy
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import Batch

from graphmix.graph import MixGraph, bypass_nodes, mixing_console, remove_nodes
from graphmix.processors import Rack
from graphmix.render import Plan, Renderer, schedule
from graphmix.render.domains import group_alike
from graphmix.render.reference import render_reference
from graphmix.render.render_cache import TrialRenderer
from tests.random_parameters import random_parameters
from tests.render.random_consoles import random_console, random_sources

RATE = 30000
SEGMENT = 114000
SAMPLES = 3000
RACK = Rack.standard(RATE)
RENDERER = Renderer(RACK)
LINEAR = (
    "gain",
    "imager",
    "equalizer",
    "equalizer",
    "crossover",
    "delay",
    "reverb",
    "reverb",
    "compressor",
    "mix",
    "mix",
)
GROUPS = {"a": ["1", "2", "3"], "b": ["4", "5"], "c": ["6"]}
NUM_TRACKS = 6

seeds = st.integers(0, 10**6)
few = settings(max_examples=8, derandomize=True, deadline=None, database=None)


def relative_error(value: Tensor, reference: Tensor) -> float:
    assert value.shape == reference.shape
    return float((value - reference).abs().max() / reference.abs().max().clamp(min=1e-9))


def dial(graph: MixGraph, seed: int = 0) -> MixGraph:
    """Random settings."""
    generator = torch.Generator().manual_seed(seed)
    for t in RACK.types:
        graph.params[t.name] = random_parameters(t, graph.params[t.name].size(0), generator)
    graph.wet[:] = 0.2 + 0.8 * torch.rand(graph.wet.shape, generator=generator)
    return graph


def pruned_console(seed: int) -> MixGraph:
    console = mixing_console(RACK, GROUPS, "ecnsgdr")
    removed = [n for n in console.processors.tolist() if random.Random(seed * 1000 + n).random() < 0.7]
    return dial(remove_nodes(console, removed), seed)


def tracks_into_a_bus(*tracks: str, bus: str) -> MixGraph:
    """Each track is a chain of letters; all meet in one mix, and go through the bus's chain."""
    graph = MixGraph(RACK.types, RATE)
    mix = graph.add("mix")
    for letters in tracks:
        graph.chain(graph.add("in"), *(graph.add(letter) for letter in letters), mix)
    graph.chain(mix, *(graph.add(letter) for letter in bus), graph.add("out"))
    return dial(graph)


def lengths(graph: MixGraph, plan: Plan | None = None) -> list[int | None]:
    """FFT length for a segment of 3.8 s, or None, of each node."""
    plan = plan or schedule(graph, RACK)
    result: dict[int, int | None] = {}
    for stage in plan.stages:
        n_fft = None if stage.fft_group is None else plan.n_fft(stage.fft_group, SEGMENT)
        result |= dict.fromkeys(stage.nodes.tolist(), n_fft)
    return [result[node] for node in range(graph.num_nodes)]


def lengths_of(graph: MixGraph, kind: str) -> list[int | None]:
    every = lengths(graph)
    return [every[node] for node in graph.nodes_of(kind).tolist()]


def num_cuts(plan: Plan) -> int:
    return sum(len(c.rows) for stage in plan.stages for c in stage.inputs if c.cut)


def error_of(graph: MixGraph, samples: int = SAMPLES) -> float:
    sources = random_sources(1, samples, len(graph.nodes_of("in")))
    return relative_error(RENDERER(graph, sources), torch.from_numpy(render_reference(graph, sources.numpy())))


# --- laws

CUT = [
    tracks_into_a_bus("dr", "dr", "g", bus="dr"),
    tracks_into_a_bus("er", "r", "r", "edr", "e", "g", bus="edre"),
    tracks_into_a_bus("rrerre", bus="erere"),
    tracks_into_a_bus("dre", "re", "e", "e", "e", bus="erderde"),
    tracks_into_a_bus("r", "dr", "erx", "xe", bus="erdrerdr"),
]


@pytest.mark.parametrize("graph", CUT, ids=range(len(CUT)))
@pytest.mark.parametrize("samples", [*(pytest.param(few, marks=pytest.mark.slow) for few in (1, 700)), SAMPLES])
def test_signals_that_are_cut_sound_as_the_reference(graph: MixGraph, samples: int) -> None:
    """Equalizers, which look ahead, after mixes after reverbs, several in a row."""
    assert num_cuts(schedule(graph, RACK))
    assert error_of(graph, samples) < 1e-5


def test_a_signal_of_one_sample_is_cut_as_well() -> None:
    assert error_of(CUT[-1], 1) < 1e-5


@few
@given(seeds)
def test_pruned_consoles_sound_as_the_reference(seed: int) -> None:
    assert error_of(pruned_console(seed)) < 1e-5


@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_joined_or_cut_sounds_the_same(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The choice is a matter of speed alone: here it is made by lot."""
    rng, graph = random.Random(seed), random_console(RACK, seed, LINEAR, 14)
    monkeypatch.setattr("graphmix.render.domains.DomainChoice.cost", lambda *_: rng.random())
    plan = schedule(graph, RACK)
    sources = random_sources(seed, SAMPLES)
    expected = torch.from_numpy(render_reference(graph, sources.numpy()))
    assert relative_error(RENDERER.run(plan, graph, sources).mix, expected) < 1e-5


def test_a_batch_of_pruned_consoles_is_its_graphs_one_by_one() -> None:
    graphs, sources = [pruned_console(seed) for seed in range(3)], random_sources(0, SAMPLES, NUM_TRACKS)
    separate = torch.cat([RENDERER(graph, sources) for graph in graphs])
    together = RENDERER(Batch.from_data_list(graphs), sources.repeat(3, 1, 1))
    assert relative_error(together, separate) < 1e-5


@pytest.mark.parametrize("graph", CUT[:2], ids=range(2))
def test_trials_cross_cuts(graph: MixGraph) -> None:
    sources = random_sources(1, SAMPLES, len(graph.nodes_of("in")))
    nodes = graph.processors.tolist()
    loudest = float(RENDERER(graph, sources).abs().max())
    mixes = TrialRenderer(RENDERER, graph).render(sources).without([[node] for node in nodes])
    for node, mix in zip(nodes, mixes, strict=True):
        whole = RENDERER(bypass_nodes(graph, [node]), sources)
        assert float((mix - whole).abs().max()) < 2e-5 * loudest


@pytest.mark.parametrize("graph", CUT[:2], ids=range(2))
def test_gradients_through_cuts_are_those_of_one_long_fft(graph: MixGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    """In double precision, and but for the surrogates of a delay: of echoes behind the segment these are rounding."""
    sources = random_sources(1, 500, len(graph.nodes_of("in"))).double().requires_grad_()
    graph = copy.copy(graph)
    graph.params = {name: values.double().requires_grad_() for name, values in graph.params.items()}
    graph.wet = graph.wet.double().requires_grad_()
    leaves = {name: graph.params[name] for name in RACK.names if len(graph.nodes_of(name))}

    def gradients() -> list[Tensor]:
        loss = RENDERER.run(schedule(graph, RACK), graph, sources).mix.pow(3).sum()
        return list(torch.autograd.grad(loss, [*leaves.values(), graph.wet, sources]))

    cut = gradients()
    monkeypatch.setattr("graphmix.render.domains.DomainChoice.cost", lambda *arguments: -arguments[-1])
    assert not num_cuts(schedule(graph, RACK))
    for name, mine, expected in zip([*leaves, "wet", "sources"], cut, gradients(), strict=True):
        if name == "delay":
            mine, expected = (RACK[name].get(gradient, "filter_db") for gradient in (mine, expected))
        assert relative_error(mine, expected) < 1e-9


# --- the choice


def test_the_full_console_has_one_length_for_equalizers_of_tracks_and_one_for_all_that_follows() -> None:
    console = mixing_console(RACK, {f"bus {i}": [f"{i}.{j}" for j in range(3)] for i in range(3)})
    plan = schedule(console, RACK)
    assert num_cuts(plan) == 0
    assert len(plan.stages) == len(plan.sequence)
    assert len(plan.reaches) == 2
    buses = lengths_of(console, "mix")
    assert set(buses) == set(lengths_of(console, "reverb")) == {240000}


def test_delay_and_reverb_on_tracks_and_on_their_bus_do_not_add_up() -> None:
    graph = tracks_into_a_bus("dr", "dr", bus="dr")
    assert num_cuts(schedule(graph, RACK)) > 0
    assert {*lengths_of(graph, "delay"), *lengths_of(graph, "reverb")} == {240000}


def test_a_track_with_an_equalizer_keeps_the_short_length_beside_one_with_a_reverb() -> None:
    graph = tracks_into_a_bus("e", "r", bus="g")
    assert lengths_of(graph, "equalizer") == [115200]


def test_many_short_tracks_are_cut_for_a_bus_that_is_long() -> None:
    graph = tracks_into_a_bus("r", *("e" for _ in range(8)), bus="r")
    assert set(lengths_of(graph, "equalizer")) == {120000}
    assert set(lengths_of(graph, "reverb")) == {184320}


def test_gains_of_what_comes_as_samples_stay_in_the_time_domain() -> None:
    graph = tracks_into_a_bus("g", "eg", "cg", "rg", bus="cg")
    first, *others = lengths_of(graph, "gain")
    assert first is None
    assert [length is None for length in others] == [False, True, False, True]


def test_a_mix_before_the_output_hears_samples_where_it_hears_several_kinds() -> None:
    one_kind, several = tracks_into_a_bus("r", "r", bus="g"), tracks_into_a_bus("r", "r", "g", bus="g")
    assert None not in lengths_of(one_kind, "mix")
    assert lengths_of(several, "mix") == lengths_of(several, "gain")[:1] == [None]


def test_a_plan_counts_stages_by_type_and_by_domain_and_both_transforms_of_a_cut() -> None:
    lines = str(schedule(tracks_into_a_bus("dr", "dr", bus="r"), RACK)).splitlines()
    assert lines[-1].startswith("6 stages (optimal), 10 transforms, "), "into 2 tracks, over the cut, out of the bus"
    # Into three tracks; into the mix, which reads two lengths and leads to no filter, as samples.
    mixed = str(schedule(tracks_into_a_bus("e", "r", "er", bus="g"), RACK)).splitlines()
    assert mixed[-1].startswith("6 stages (optimal), 7 by domain, 10 transforms, ")


def test_numbers_are_grouped_with_the_largest() -> None:
    assert group_alike({"a": 10, "b": 31, "c": 12, "d": 30, "e": 13}, 2) == [["b", "d"], ["e", "c"], ["a"]]
