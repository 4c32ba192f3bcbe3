"""Compiled programs of voices against the same graphs rendered in float64, which goes stage by stage."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch

from graphmix.dsp.threads import at_most
from graphmix.dsp.voice_program import BLOCK
from graphmix.graph import MixGraph
from graphmix.processors import Rack
from graphmix.render import Renderer, programs
from graphmix.synthesizers import SYNTHESIZERS
from graphmix.synthesizers.candidates import random_patches

RATE, SAMPLES = 8000, 2 * BLOCK + 77


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    with at_most(2):
        yield


def compiled(graphs: list[MixGraph], samples: int = SAMPLES) -> Tensor | None:
    """What a program makes of a batch; None if it has none."""
    renderer, batch = Renderer(Rack.generators(RATE)), Batch.from_data_list(graphs)
    with torch.no_grad():
        return programs.render_program(renderer.plan(batch), renderer.rack, batch, torch.zeros(0, 2, samples))


def by_stages(graph: MixGraph, samples: int = SAMPLES) -> Tensor:
    """One graph by itself, in float64 and with gradients."""
    graph = graph.clone()
    graph.params = {name: values.double() for name, values in graph.params.items()}
    return Renderer(Rack.generators(RATE))(graph, torch.zeros(0, 2, samples, dtype=torch.float64)).float()


def check(graphs: list[MixGraph], atol: float = 2e-4) -> Tensor:
    found = compiled(graphs)
    assert found is not None
    torch.testing.assert_close(found, torch.cat([by_stages(graph) for graph in graphs]), rtol=0, atol=atol)
    assert float(found.abs().amax((1, 2)).min()) > 1e-3
    return found


def voice(*controls: str, start_ms: float = 50.0) -> MixGraph:
    """A note whose oscillator is filtered; the cutoff is moved by all controls together."""
    rack = Rack.generators(RATE)
    graph = MixGraph(rack.types, RATE)
    note = graph.add("note", "note", start_ms=start_ms, length_ms=300.0)
    tone, tone_filter = graph.add("oscillator", "tone"), graph.add("filter", "filter", modulation_octaves=1.0)
    graph.connect(note, tone, "pitch", "pitch")
    for kind in controls:
        control = graph.add(kind, kind)
        graph.connect(control, tone_filter, 0, "modulation")
        if kind == "envelope":
            graph.connect(note, control, "gate", "gate")
    return graph.chain(tone, tone_filter, graph.add("out", "out"))


@pytest.mark.parametrize("name", SYNTHESIZERS)
def test_patches_sound_as_by_stages(name: str):
    synthesizer = SYNTHESIZERS[name]
    patches = enumerate(random_patches(synthesizer, 7, 5))
    check([synthesizer.patch(v, RATE, pitch=50.0 + i, length_ms=250.0) for i, v in patches], 2e-3)


def test_notes_of_different_structures_keep_their_places():
    kinds = [
        ("envelope",),
        (),
        ("lfo", "envelope"),
        (),
        ("lfo", "envelope"),
        ("envelope",),
        ("noise", "lfo", "envelope"),
    ]
    check([voice(*own) for own in kinds])


def test_a_filter_without_a_signal_and_an_output_without_one_are_silent():
    moved, empty = (MixGraph(Rack.generators(RATE).types, RATE) for _ in range(2))
    empty.add("out", "out")
    lfo, tone_filter = moved.add("lfo", "lfo"), moved.add("filter", "filter", modulation_octaves=1.0)
    moved.connect(lfo, tone_filter, 0, "modulation").chain(tone_filter, moved.add("out", "out"))
    found = compiled([moved, voice("lfo"), empty])
    assert found is not None
    assert found[[0, 2]].abs().max() == 0 < found[1].abs().max()


@pytest.mark.parametrize("samples", [1, 100, BLOCK, BLOCK + 1])
def test_any_number_of_samples(samples: int):
    graphs = [voice("envelope", start_ms=0.0), voice("lfo")]
    found = compiled(graphs, samples)
    assert found is not None
    torch.testing.assert_close(found, torch.cat([by_stages(g, samples) for g in graphs]), rtol=0, atol=2e-4)


def test_the_renderer_runs_programs_without_gradients_only(monkeypatch: pytest.MonkeyPatch):
    batch, silence = Batch.from_data_list([voice("lfo"), voice("lfo")]), torch.zeros(0, 2, SAMPLES)
    renderer = Renderer(Rack.generators(RATE))
    with torch.no_grad():
        short = renderer(batch, silence)
    found: list[object] = []
    monkeypatch.setattr(programs, "_run", lambda *given: found.append(given))
    torch.testing.assert_close(renderer(batch, silence), short, rtol=0, atol=2e-6)
    assert not found
    with torch.no_grad():
        renderer(batch, silence)
    assert found


def test_what_has_no_program_goes_by_stages(monkeypatch: pytest.MonkeyPatch):
    melody = MixGraph(Rack.generators(RATE).types, RATE)
    notes, tone = melody.add("melody", "melody"), melody.add("oscillator", "tone")
    melody.connect(notes, tone, "pitch", "pitch").chain(tone, melody.add("out", "out"))
    assert compiled([melody, melody]) is None
    monkeypatch.setattr(programs.numba, "get_num_threads", lambda: 2)
    assert compiled([voice()]) is None, "one note for two threads"
    wide = voice(*["lfo"] * programs.MOST_SLOTS)
    assert compiled([wide, wide]) is None
