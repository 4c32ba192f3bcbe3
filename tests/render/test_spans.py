"""What is not computed behind the end of a note, and that nothing is missing for it."""

import pytest
import torch
from torch_geometric.data import Batch

from graphmix.graph import MixGraph
from graphmix.processors import Rack
from graphmix.render import Renderer, spans
from graphmix.render import renderer as renderer_module
from graphmix.render.spans import find_needed
from graphmix.render.voices import find_voices
from graphmix.synthesizers import SYNTHESIZERS
from graphmix.synthesizers.candidates import random_patches
from graphmix.synthesizers.notes import Note

RATE, SAMPLES = 8000, 4000


def needed_of(graph: MixGraph, renderer: Renderer) -> dict[str, int]:
    """By node's name."""
    plan = renderer.plan(graph)
    counts = find_needed(plan, renderer.rack, graph, find_voices(plan, renderer.rack), SAMPLES)
    return {
        graph.names[int(n)]: int(c) for i, own in counts.items() for n, c in zip(plan.stages[i].nodes, own, strict=True)
    }


def voice(rack: Rack, offset: float = 0.0, lfo: bool = False) -> MixGraph:
    """A note of 100 ms from 50 ms on, with 20 ms of release."""
    graph = MixGraph(rack.types, RATE)
    note = graph.add("note", "note", start_ms=50.0, length_ms=100.0)
    tone, amplifier = graph.add("oscillator", "tone"), graph.add("amplifier", "amplifier", offset=offset)
    envelope = graph.add("envelope", "envelope", release_ms=20.0)
    graph.connect(note, envelope, "gate", "gate").connect(note, tone, "pitch", "pitch")
    if lfo:
        graph.connect(graph.add("lfo", "lfo"), envelope)
    graph.connect(envelope, amplifier, 0, "control").chain(tone, amplifier, graph.add("out", "out"))
    return graph


def test_an_oscillator_ends_with_the_envelope_of_its_amplifier():
    renderer = Renderer(Rack.generators(RATE))
    needed = needed_of(voice(renderer.rack), renderer)
    assert needed["tone"] == round(0.17 * RATE) + 1
    assert needed["amplifier"] == needed["envelope"] == needed["out"] == SAMPLES
    assert needed_of(voice(renderer.rack, offset=0.1), renderer)["tone"] == SAMPLES
    assert needed_of(voice(renderer.rack, lfo=True), renderer)["tone"] == SAMPLES


@pytest.mark.parametrize("name", SYNTHESIZERS)
@pytest.mark.parametrize("melody", [False, True])
def test_without_gradients_the_sound_is_the_same(name: str, melody: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(spans, "LEAST_SAMPLES", 0)
    monkeypatch.setattr(renderer_module, "render_program", lambda *given: None)
    renderer, synthesizer = Renderer(Rack.generators(RATE)), SYNTHESIZERS[name]
    notes = [Note(50.0, 60.0, 20.0), Note(57.0, 80.0, 200.0)][: 1 + melody]
    graphs = [synthesizer.patch(values, RATE, notes=notes) for values in random_patches(synthesizer, 3, 5)]
    batch, silence = Batch.from_data_list(graphs), torch.zeros(0, 2, SAMPLES)
    with torch.no_grad():
        short = renderer(batch, silence)
    whole = renderer(batch, silence)
    torch.testing.assert_close(short, whole, rtol=0, atol=2e-6)
    assert float(whole.abs().max()) > 0.01


def test_a_released_envelope_is_zero_from_its_end_on_and_not_before():
    rack = Rack.generators(RATE)
    graph = voice(rack)
    renderer = Renderer(rack)
    audio = renderer(graph, torch.zeros(0, 2, SAMPLES))[0, 0]
    end = needed_of(graph, renderer)["tone"]
    assert float(audio[end - 1 :].abs().max()) == 0 < float(audio[end - 20 : end - 1].abs().max())
