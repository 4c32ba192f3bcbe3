"""Trials sound as the graph with the same nodes bypassed, rendered as a whole."""

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from graphmix.graph import MixGraph, bypass_nodes, mixing_console
from graphmix.processors import Rack
from graphmix.render import Renderer
from graphmix.render.reference import render_reference
from graphmix.render.render_cache import TrialRenderer
from tests.render.random_consoles import random_console, random_sources

RATE = 30000
SAMPLES = 3000
RACK = Rack.standard(RATE)
RENDERER = Renderer(RACK)
ALL = (*RACK.names, "mix")

seeds = st.integers(0, 10**6)
few = settings(max_examples=12, derandomize=True, deadline=None, database=None)


def bypassable(graph: MixGraph) -> list[int]:
    return [int(n) for n in graph.processors if graph.type_of(int(n)).can_be_bypassed]


def assert_close(mine: Tensor, whole: Tensor, loudest: float) -> None:
    assert mine.shape == whole.shape
    assert float((mine - whole).abs().max()) <= 2e-5 * max(loudest, 1e-6)


@few
@given(seeds, st.integers(3, 14))
def test_a_take_is_a_rendering(seed: int, num_nodes: int) -> None:
    graph, sources = random_console(RACK, seed, ALL, num_nodes), random_sources(seed, SAMPLES)
    cache = TrialRenderer(RENDERER, graph).render(sources)
    torch.testing.assert_close(cache.mix(), RENDERER(graph, sources), rtol=0, atol=0)
    assert cache.num_bytes > sources.numel() * 4


@few
@given(seeds, st.integers(3, 14))
def test_all_single_removals_at_once_are_the_graphs_rendered_one_by_one(seed: int, num_nodes: int) -> None:
    graph, sources = random_console(RACK, seed, ALL, num_nodes), random_sources(seed, SAMPLES)
    nodes = bypassable(graph)
    mixes = TrialRenderer(RENDERER, graph).render(sources).without([[n] for n in nodes])
    for node, mix in zip(nodes, mixes, strict=True):
        whole = RENDERER(bypass_nodes(graph, [node]), sources)
        assert_close(mix, whole, float(RENDERER(graph, sources).abs().max()))


@few
@given(seeds, st.integers(6, 14))
def test_removals_add_up_over_takes(seed: int, num_nodes: int) -> None:
    graph = random_console(RACK, seed, ALL, num_nodes)
    rng = random.Random(seed)
    nodes = bypassable(graph)
    rng.shuffle(nodes)
    trials = TrialRenderer(RENDERER, graph)
    sources = [random_sources(seed + i, SAMPLES) for i in range(2)]
    caches = [trials.render(x) for x in sources]
    loudest = max(float(cache.mix().abs().max()) for cache in caches)
    gone: list[int] = []
    while nodes:
        batch, nodes = nodes[: rng.randrange(1, 4)], nodes[3:]
        if rng.random() < 0.5:
            caches[0].without([batch])  # its differences are then at hand
        trials.remove(batch, caches)
        gone += batch
        for cache, x in zip(caches, sources, strict=True):
            assert_close(cache.mix(), RENDERER(bypass_nodes(graph, gone), x), loudest)
    late = trials.render(sources[0])
    assert_close(late.mix(), caches[0].mix(), loudest)


def test_a_trial_agrees_with_the_float64_reference() -> None:
    graph, sources = random_console(RACK, 7, ALL, 12), random_sources(7, SAMPLES)
    pair = bypassable(graph)[:2]
    mix = TrialRenderer(RENDERER, graph).render(sources).without([pair])[0]
    reference = torch.from_numpy(render_reference(bypass_nodes(graph, pair), sources.numpy()))
    assert float((mix - reference).abs().max() / reference.abs().max()) < 1e-5


@pytest.mark.parametrize("kinds", [("gain", "compressor"), ("gain", "mix", "compressor", "mix"), ("gain", "equalizer")])
def test_a_removal_counts_once_where_signals_pass_through_without_a_copy(kinds: tuple[str, ...]) -> None:
    """What leaves a stage is then the very memory of what comes into the next one, of mixes and of outputs too."""
    graph = MixGraph(RACK.types, RATE)
    nodes = [graph.add(kind) for kind in kinds]
    graph.params["gain"][:] = -6.0
    graph.chain(graph.add("in"), *nodes, graph.add("out"))
    trials, sources = TrialRenderer(RENDERER, graph), random_sources(0, SAMPLES, 1)
    cache = trials.render(sources)
    removed: list[int] = []
    for node in bypassable(graph):
        trials.remove([node], [cache])
        removed.append(node)
        assert_close(cache.mix(), RENDERER(bypass_nodes(graph, removed), sources), float(sources.abs().max()))


def test_the_memory_of_a_take_is_that_of_whole_tensors_each_once() -> None:
    graph = MixGraph(RACK.types, RATE)
    graph.chain(graph.add("in"), graph.add("mix"), graph.add("out"))
    cache = TrialRenderer(RENDERER, graph).render(random_sources(0, 1000, 1))
    assert cache.num_bytes == 2 * 1000 * 4, "all stages share the memory of the source"


def test_a_trial_of_nothing_changes_nothing() -> None:
    graph, sources = random_console(RACK, 3, ALL, 8), random_sources(3, SAMPLES)
    cache = TrialRenderer(RENDERER, graph).render(sources)
    torch.testing.assert_close(cache.without([[], []]), cache.mix().expand(2, -1, -1, -1), rtol=0, atol=0)


def test_trials_touch_only_what_lies_downstream(monkeypatch: pytest.MonkeyPatch) -> None:
    rack = Rack.console("cg", RATE)
    graph = mixing_console(rack, {"a": ["1", "2"], "b": ["3", "4"]}, "cg")
    renderer = Renderer(rack)
    cache = TrialRenderer(renderer, graph).render(random_sources(0, 400, 4))
    rendered: list[int] = []
    process = renderer.process
    monkeypatch.setattr(
        renderer,
        "process",
        lambda stage, *rest, **more: (rendered.extend(stage.nodes.tolist()), process(stage, *rest, **more))[1],
    )
    first = int(graph.nodes_of("gain")[0])
    cache.without([[first]])
    assert rendered == [int(graph.nodes_of("compressor")[-2])], "one bus compressor, and nothing else that is general"
