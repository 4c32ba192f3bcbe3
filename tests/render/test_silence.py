"""Leaving out what receives silence changes nothing: neither the mix nor gradients nor gain-staging."""

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from graphmix.graph import mixing_console
from graphmix.processors import Gain, Rack
from graphmix.render import Renderer
from graphmix.render.silence import silent_rows, without_silence
from graphmix.search import gain_staging
from graphmix.spec import NodeType
from tests.render.random_consoles import NUM_INPUTS, random_console, random_sources

RATE = 30000
SAMPLES = 2000
RACK = Rack.standard(RATE)
RENDERER = Renderer(RACK)
ALL = (*RACK.names, "mix")


def gradients(loss: Tensor, leaves: dict[str, Tensor]) -> list[Tensor]:
    """All but those of the delay's radius, which has a pull of its own (equation 26) even where nothing sounds."""
    if not loss.requires_grad:
        return [torch.zeros_like(leaf) for leaf in leaves.values()]
    found = dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values()), allow_unused=True), strict=True))
    grads = {name: torch.zeros_like(leaf) if found[name] is None else found[name] for name, leaf in leaves.items()}
    if "delay" in grads:
        grads["delay"][:, RACK["delay"].node_type.columns("radius")] = 0
    return list(grads.values())


@settings(max_examples=15, derandomize=True, deadline=None, database=None)
@given(st.integers(0, 10**6), st.integers(3, 14))
def test_mix_gradients_and_gain_staging_are_those_of_the_whole_plan(seed: int, num_nodes: int) -> None:
    graph, sources = random_console(RACK, seed, ALL, num_nodes), random_sources(seed, SAMPLES)
    silent = random.Random(seed).sample(range(NUM_INPUTS), 1 + seed % NUM_INPUTS)
    sources[silent] = 0
    leaves = {"wet": graph.wet.requires_grad_()}
    leaves |= {name: values.requires_grad_() for name, values in graph.params.items() if values.numel()}
    plan = RENDERER.plan(graph)
    quiet = without_silence(plan, RACK, silent_rows(sources))
    assert sum(len(s.nodes) for s in quiet.stages) < sum(len(s.nodes) for s in plan.stages)
    results = []
    for p in (plan, quiet):
        rendered = RENDERER.run(p, graph, sources)
        staging = gain_staging(rendered.wet_energy, rendered.dry_energy)
        loss = (rendered.mix * random_sources(seed + 1, SAMPLES, len(rendered.mix))).sum() + staging
        results.append([rendered.mix, staging, *gradients(loss, leaves)])
    for whole, without in zip(*results, strict=True):
        torch.testing.assert_close(without, whole, rtol=1e-4, atol=1e-4 * float(whole.detach().abs().max() + 1e-6))


def test_a_song_in_which_nothing_rests_keeps_its_plan() -> None:
    graph, sources = random_console(RACK, 1, ALL, 5), random_sources(1, SAMPLES)
    plan = RENDERER.plan(graph)
    assert without_silence(plan, RACK, silent_rows(sources)) is plan


def test_all_silent_renders_silence() -> None:
    graph = random_console(RACK, 2, ALL, 6)
    sources = torch.zeros(NUM_INPUTS, 2, 100)
    plan = without_silence(RENDERER.plan(graph), RACK, silent_rows(sources))
    assert {stage.kind for stage in plan.stages} == {"out"}
    mix = RENDERER.run(plan, graph, sources).mix
    torch.testing.assert_close(mix, torch.zeros(len(graph.nodes_of("out")), 2, 100))


def test_buses_whose_tracks_all_rest_are_left_out() -> None:
    graph = mixing_console(RACK, {"a": ["1", "2"], "b": ["3"]}, "eg")
    plan = without_silence(RENDERER.plan(graph), RACK, silent_rows(torch.tensor([0.0, 0.0, 1.0])[:, None, None]))
    assert [(s.kind, len(s.nodes)) for s in plan.stages if s.kind == "equalizer"] == [("equalizer", 1)] * 2


class Hum(Gain):
    """Adds a constant: a generator."""

    keeps_silence = False

    def __init__(self, sample_rate: int = RATE) -> None:
        super().__init__(sample_rate)
        self.node_type = NodeType("hum", "h", self.node_type.parameters)


@pytest.mark.parametrize("kind", ["hum", "gain"])
def test_a_generator_is_rendered_in_silence(kind: str) -> None:
    rack = Rack([Gain(RATE), Hum(RATE)])
    graph = mixing_console(rack, {"a": ["1"]}, "h" if kind == "hum" else "g")
    plan = without_silence(Renderer(rack).plan(graph), rack, silent_rows(torch.zeros(1, 2, 10)))
    assert (kind in {stage.kind for stage in plan.stages}) == (kind == "hum")
