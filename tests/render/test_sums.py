"""Sums that wait for their readers, against the plain renderer, which computes the signal of each node."""

import pytest
import torch
from torch_geometric.data import Batch

from graphmix.graph import MixGraph
from graphmix.processors import Rack
from graphmix.render import Renderer

RACK = Rack.generators(8000)


def modulation_matrix(pitch: float) -> MixGraph:
    """Two envelopes and an LFO, whose amplifier has a control signal, move three things by different amounts."""
    graph = MixGraph(RACK.types, 8000)
    note, out = graph.add("note", pitch=pitch, length_ms=40.0), graph.add("out")
    sources = [graph.add("envelope", attack_ms=time) for time in (5.0, 20.0)]
    faded, lfo = graph.add("amplifier", offset=0.1), graph.add("lfo", rate_hz=20.0, wet=0.8)
    graph.chain(lfo, faded).connect(sources[0], faded, 0, "control")
    for source in sources:
        graph.connect(note, source, "gate", "gate")
    sources.append(faded)
    levels = []
    for inlet in ("modulation", "shape"):
        tone, total = graph.add("oscillator", vibrato_semitones=3.0, pulse=0.5, width_modulation=0.3), graph.add("mix")
        levels.append(graph.add("amplifier", offset=0.2))
        for i, source in enumerate(sources):
            graph.chain(source, graph.add("amplifier", level_db=-6.0 * i - pitch / 10, wet=0.9), total)
        graph.connect(note, tone, "pitch", "pitch").connect(total, tone, 0, inlet)
        graph.chain(tone, levels[-1], graph.add("amplifier", level_db=-3.0), out)
    twice = graph.add("amplifier", level_db=-12.0)
    graph.chain(sources[1], twice)
    for level in levels:
        graph.connect(twice, level, 0, "control")
    return graph.chain(graph.add("noise", level_db=-20.0), graph.add("ring_modulator", wet=0.4), out)


def test_a_modulation_matrix_sounds_as_if_each_node_were_computed(monkeypatch: pytest.MonkeyPatch):
    batch = Batch.from_data_list([modulation_matrix(pitch) for pitch in (40.0, 55.0, 63.0)])
    found = []
    for voices in (True, False):
        monkeypatch.setattr(Renderer, "voices", voices)
        graph = batch.clone()
        graph.params = {kind: values.clone().requires_grad_() for kind, values in batch.params.items()}
        graph.wet = batch.wet.clone().requires_grad_()
        out = Renderer(RACK)(graph, torch.zeros(0, 2, 700))
        used = [graph.wet, *(values for values in graph.params.values() if values.numel())]
        found.append(
            (out, *(g for g in torch.autograd.grad(out.square().sum(), used, allow_unused=True) if g is not None))
        )
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5 * float(other.detach().abs().max()))


def test_outputs_are_in_node_order_whatever_is_rendered_first():
    """Two output nodes of a graph with one and two amplifiers before them, and of a batch."""
    graph = MixGraph(RACK.types, 8000)
    long, short = graph.add("out"), graph.add("out")
    graph.chain(graph.add("oscillator", sine=1.0), graph.add("amplifier", level_db=-6.0), graph.add("noise"), long)
    graph.chain(graph.add("oscillator", saw=1.0), short)
    batch = Batch.from_data_list([graph, graph])
    both, alone = (Renderer(RACK)(g, torch.zeros(0, 2, 200)) for g in (batch, graph))
    torch.testing.assert_close(both, alone.repeat(2, 1, 1))
    assert float((alone[0] - alone[1]).abs().max()) > 0.1
