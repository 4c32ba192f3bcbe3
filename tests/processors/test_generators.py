"""Generators and controls: the laws of all processors, and what each of them makes."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal.windows import blackmanharris
from torch import Tensor
from torch_geometric.data import Batch

from graphmix.audio import load_stems, write_audio
from graphmix.errors import GraphError
from graphmix.graph import MixGraph
from graphmix.processors import Rack
from graphmix.processors.base import Processor
from graphmix.render import Renderer
from graphmix.render.blocks import render_song
from graphmix.render.voices import split
from tests.random_parameters import random_parameters

RATE = 44100
RACK = Rack.generators(RATE)
SMALL = Rack.generators(3000)
NAMES = [name for name in RACK.names if RACK[name].node_type.inlets]
GENERATORS = ["oscillator", "noise", "operator", "envelope", "segment_envelope", "lfo"]
NO_GRADIENT = {"oscillator": ("phase",), "lfo": ("square",)}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def signal_for(processor: Processor, nodes: int, samples: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Noise; the gate, which is the last inlet of what has one, opens and closes."""
    inlets = processor.node_type.inlets
    audio = 0.3 * torch.randn(nodes, len(inlets), 2, samples, generator=seeded(1), dtype=dtype)
    if "gate" in inlets:
        gate = torch.zeros(samples, dtype=dtype)
        gate[samples // 8 : samples // 2] = 0.7
        audio[:, inlets.index("gate")] = gate
    return audio if len(inlets) > 1 else audio[:, 0]


def usual(processor: Processor, nodes: int) -> Tensor:
    return random_parameters(processor.node_type, nodes, seeded())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shape_and_dtype_are_kept(name: str, dtype: torch.dtype):
    processor = RACK[name]
    out = processor(signal_for(processor, 3, 500, dtype), usual(processor, 3).to(dtype))
    assert (out.shape, out.dtype) == ((3, 2, 500), dtype)


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_is_its_nodes_one_by_one(name: str):
    processor = RACK[name]
    audio, params = signal_for(processor, 3, 800), usual(processor, 3)
    alone = torch.cat([processor(audio[i : i + 1], params[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(processor(audio, params), alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", GENERATORS)
def test_a_generator_adds_its_sound_to_what_comes_in(name: str):
    processor = RACK[name]
    audio, params = signal_for(processor, 2, 600), usual(processor, 2)
    silent = audio.clone()
    (silent[:, 0] if silent.dim() == 4 else silent)[...] = 0
    dry = audio[:, 0] if audio.dim() == 4 else audio
    added = processor(audio, params) - dry
    torch.testing.assert_close(added, processor(silent, params), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(added[:, 0], added[:, 1], rtol=1e-5, atol=1e-5)
    assert not processor.keeps_silence


@pytest.mark.parametrize("name", NAMES)
def test_raw_and_physical_values_map_to_each_other(name: str):
    processor = RACK[name]
    for params in (usual(processor, 4), processor.node_type.neutral()[None], torch.stack(processor.node_type.bounds())):
        torch.testing.assert_close(processor.from_raw(processor.to_raw(params)), params, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("level", [0.0, 1.0, 1e-41, -3.0], ids=["silence", "open", "subnormal", "negative"])
def test_output_and_gradients_are_finite_at_the_ends_of_every_range(name: str, level: float):
    processor = RACK[name]
    low, high = processor.node_type.bounds()
    params = torch.stack([processor.node_type.neutral(), low, high]).requires_grad_()
    inlets = len(processor.node_type.inlets)
    audio = torch.full((3, inlets, 2, 700) if inlets > 1 else (3, 2, 700), level).requires_grad_()
    out = processor(audio, params)
    assert out.isfinite().all()
    for gradient in torch.autograd.grad(out.square().sum() * 1e-6, (audio, params), allow_unused=True):
        assert gradient is None or gradient.isfinite().all()


@pytest.mark.parametrize("name", [name for name in NAMES if name != "oscillator"])
def test_gradients_agree_with_finite_differences(name: str):
    processor = SMALL[name]
    audio = signal_for(processor, 2, 48, torch.float64)
    params = usual(processor, 2).double()
    if name == "lfo":
        params[:, processor.node_type.columns("square")] = 0
        params[:, processor.node_type.columns("saw")] = 0
        params[:, processor.node_type.columns("phase")] = 0.31  # away from corners
        params[:, processor.node_type.columns("rate_hz")] = 3.3
    low, high = processor.node_type.bounds()
    inside = low.double() + (high - low).double() * 0.01, high.double() - (high - low).double() * 0.01
    params = params.clamp(*inside)
    if name == "operator":
        params[:, processor.node_type.columns("by_hz")] = torch.tensor([[0.1], [0.9]])
        params[:, processor.node_type.columns("by_ratio")] = 0.5
        params[:, processor.node_type.columns("feedback")] = 0.8  # far above it is chaotic
    fixed = [i for i, key in enumerate(processor.node_type.inlets) if key == "gate"]

    def run(audio_: Tensor, params_: Tensor) -> Tensor:
        if fixed and audio_.dim() == 4:
            audio_ = torch.cat([audio_[:, : fixed[0]], audio[:, fixed[0] : fixed[0] + 1], audio_[:, fixed[0] + 1 :]], 1)
        return processor(audio_, params_)

    inputs = audio.clone().requires_grad_(), params.clone().requires_grad_()
    assert torch.autograd.gradcheck(run, inputs, fast_mode=True)


def test_an_oscillators_gradients_agree_with_finite_differences_of_its_float32_tables():
    processor = SMALL["oscillator"]
    params = usual(processor, 1).double()
    params[:, 1:6] = 0.5
    audio = signal_for(processor, 1, 40, torch.float64) * 0.1
    leaf = params.clone().requires_grad_()
    weight = torch.randn(1, 2, 40, generator=seeded(4), dtype=torch.float64)
    (gradient,) = torch.autograd.grad((processor(audio, leaf) * weight).sum(), leaf)
    for column in range(params.size(1)):
        step = 1e-4 * max(1.0, float(params[0, column].abs()))
        moved = [params.clone() for _ in range(2)]
        moved[0][0, column] += step
        moved[1][0, column] -= step
        difference = float(((processor(audio, moved[0]) - processor(audio, moved[1])) * weight).sum()) / (2 * step)
        assert float(gradient[0, column]) == pytest.approx(difference, rel=0.03, abs=0.02)


# --- what they make


def spectrum(audio: Tensor) -> np.ndarray:
    window = blackmanharris(audio.size(-1))
    return np.abs(np.fft.rfft(audio.double().numpy() * window)) / window.sum() * 2


@pytest.mark.parametrize("shape", ["saw", "pulse"])
def test_at_4_khz_nothing_below_15_khz_is_an_alias(shape: str):
    oscillator = RACK["oscillator"]
    params = oscillator.node_type.neutral()[None].clone()
    for name in oscillator.SHAPES:
        params[:, oscillator.node_type.columns(name)] = float(name == shape)
    params[:, oscillator.node_type.columns("width")] = 0.37
    audio = torch.zeros(1, 5, 2, RATE)
    audio[:, 1] = 12 * math.log2(4000 / 440)
    found = spectrum(oscillator(audio, params)[0, 0])
    for harmonic in (1, 2, 3):
        found[4000 * harmonic - 8 : 4000 * harmonic + 9], fundamental = 0, max(found[3992:4009].max(), 1e-9)
        level = fundamental if harmonic == 1 else level  # noqa: F821, of the first one
    found[:8] = 0
    assert 20 * math.log10(found[:15000].max() / level) < -75


def test_a_note_has_pitch_and_gate():
    out = RACK["note"](torch.zeros(1, 2, 1000), torch.tensor([[72.0, 5.0, 10.0, 0.6]]))
    assert out.shape == (1, 2, 2, 1000)
    assert (out[0, 0] == 3).all()
    gate = out[0, 1, 0]
    assert gate[:220].abs().max() == 0
    torch.testing.assert_close(gate[221:661], torch.full((440,), 0.6))
    assert not gate[662:].any()


def test_without_pitch_an_oscillator_plays_a4():
    oscillator = RACK["oscillator"]
    out = oscillator(torch.zeros(1, 5, 2, RATE), oscillator.node_type.neutral()[None])
    assert int(spectrum(out[0, 0]).argmax()) == 440


def test_an_operator_modulates_by_an_index_of_four_pi():
    """Bessel functions: J_k(4 pi) are the amplitudes of the sidebands of a full-level modulator."""
    from scipy.special import jv

    operator = RACK["operator"]
    values = operator.node_type.neutral()[None].repeat(2, 1).clone()
    audio = torch.zeros(1, 4, 2, RATE)
    audio[:, 2] = 12 * math.log2(4000 / 440)
    audio[:, 3] = 1.0
    values[:, operator.node_type.columns("levels")] = 1.0
    values[0, operator.node_type.columns("ratio")] = 0.1  # 400 Hz
    modulator = operator(audio, values[:1])
    audio[:, 1] = modulator
    found = spectrum(operator(audio, values[1:])[0, 0])
    for k in range(9):
        assert found[4000 + 400 * k - 3 : 4000 + 400 * k + 4].max() == pytest.approx(abs(jv(k, 4 * math.pi)), abs=2e-3)


def test_a_filter_follows_pitch_and_modulation():
    filter_ = RACK["filter"]
    params = filter_.node_type.neutral()[None].clone()
    values = {"cutoff_hz": 500.0, "tracking": 1.0, "modulation_octaves": 2.0}
    for name, value in values.items():
        params[:, filter_.node_type.columns(name)] = value
    audio = torch.zeros(1, 3, 2, RATE)
    audio[0, 0, :, 0] = 1
    audio[:, 1] = 3  # C5, an octave above C4
    audio[:, 2] = 0.5
    response = np.abs(np.fft.rfft(filter_(audio, params)[0, 0].double().numpy()))
    assert response[2000] == pytest.approx(math.sqrt(0.5), rel=2e-3)  # an octave by pitch, an octave by modulation


def test_a_graph_of_generators_and_inputs_is_rendered_together():
    rack = Rack([*Rack.console("g", RATE), *Rack.generators(RATE)])
    graph = MixGraph(rack.types, RATE)
    voice, note, tone = graph.add("in", name="voice"), graph.add("note", length_ms=10.0), graph.add("oscillator")
    amplifier, out = graph.add("amplifier", offset=0.0), graph.add("out")
    graph.connect(note, tone, "pitch", "pitch").connect(note, amplifier, "gate", "control")
    graph.chain(tone, amplifier, out).chain(voice, graph.add("gain", gain_db=-6.0), out)
    audio = torch.randn(1, 2, 1000, generator=seeded(5))
    mix = Renderer(rack)(graph, audio)[0]
    torch.testing.assert_close(mix[:, 500:], audio[0, :, 500:] * 10 ** (-6 / 20), rtol=1e-4, atol=1e-5)
    assert (mix[:, :400] - audio[0, :, :400] * 10 ** (-6 / 20)).abs().max() > 0.5


def graph_of_everything(rack: Rack, rate: int) -> MixGraph:
    """Each generator and control with what it remembers, a track, and a delay, which looks back."""
    graph = MixGraph(rack.types, rate)
    note, out = graph.add("note", start_ms=700.0, length_ms=900.0), graph.add("out")
    tone = graph.add("oscillator", vibrato_semitones=1.0, saw=0.5, pulse=0.3, table=0.2, width_modulation=0.3)
    one = graph.add("operator", feedback=1.2, times_ms=[50.0, 300.0, 200.0, 400.0], levels=[0.0, 1.0, 0.5, 0.7, 0.0])
    other = graph.add("operator", ratio=3.0, times_ms=[50.0, 300.0, 200.0, 400.0], levels=[0.0, 1.0, 0.5, 0.7, 0.0])
    lfo, shape, bend = graph.add("lfo", fade_ms=800.0), graph.add("envelope"), graph.add("segment_envelope")
    amplifier, filter_ = graph.add("amplifier", offset=0.0), graph.add("filter", cutoff_hz=900.0, resonance=8.0)
    ring = graph.add("ring_modulator", wet=0.4)
    graph.params["segment_envelope"][:, 4:9] = torch.tensor([0.0, 0.9, -0.3, 0.5, 0.1])
    graph.params["filter"][:, rack["filter"].node_type.columns("modulation_octaves")] = 2.0
    for node in (tone, one, other):
        graph.connect(note, node, "pitch", "pitch")
    for node in (one, other, shape, bend):
        graph.connect(note, node, "gate", "gate")
    graph.connect(lfo, tone, 0, "modulation").connect(bend, tone, 0, "shape").connect(other, one, 0, "modulation")
    graph.connect(bend, filter_, 0, "modulation").connect(shape, amplifier, 0, "control").connect(lfo, ring, 0, 1)
    graph.chain(graph.add("noise", level_db=-30.0), tone, one, ring, filter_, amplifier, graph.add("delay"), out)
    return graph.chain(graph.add("in", name="a.wav"), filter_)


@pytest.mark.parametrize("seconds", [0.05, 0.3, 0.77])
def test_a_song_with_generators_in_blocks_is_the_song_at_once(
    seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    rate = 8000
    rack = Rack([*Rack.console("gd", rate), *Rack.generators(rate)])
    graph = graph_of_everything(rack, rate)
    write_audio(tmp_path / "a.wav", 0.1 * torch.randn(2, 3 * rate + 5, generator=seeded(6)), rate)
    song = load_stems(tmp_path, rate)
    whole = Renderer(rack)(graph, song.read(0, song.num_samples).stems)[0]
    monkeypatch.setattr("graphmix.render.blocks.BLOCK_SECONDS", seconds)
    torch.testing.assert_close(render_song(graph, song, rack), whole, rtol=1e-4, atol=2e-6)
    assert float((whole - song.read(0, song.num_samples).stems[0]).abs().max()) > 0.1


@pytest.mark.parametrize("name", ["note", *NAMES])
@given(data=st.data())
@settings(max_examples=8, deadline=None)
def test_parts_of_any_lengths_are_the_whole(name: str, data: st.DataObject):
    processor = SMALL[name]
    lengths = data.draw(st.lists(st.integers(1, 700), min_size=1, max_size=5))
    ahead = data.draw(st.integers(0, 50), label="samples that a part has beyond the next one's beginning")
    samples = sum(lengths)
    audio = signal_for(processor, 2, samples) if name != "note" else torch.zeros(2, 2, samples)
    params = usual(processor, 2) if name != "note" else torch.tensor([[60.0, 30.0, 90.0, 0.5], [40.0, 0.0, 1e4, 1.0]])
    whole, state, parts, begin = processor(audio, params), None, [], 0
    for length in lengths:
        part, state = processor.resume(audio[..., begin : begin + length + ahead], params, state, length)
        parts.append(part[..., :length])
        begin += length
    torch.testing.assert_close(torch.cat(parts, dim=-1), whole, rtol=1e-5, atol=2e-6)


def test_notes_together_are_notes_one_by_one_with_their_gradients(monkeypatch: pytest.MonkeyPatch):
    """Parts of a batch, a few notes each, and all in one part, and the plain renderer, which stacks inlets."""
    graphs = [graph_of_voices(pitch) for pitch in (50.0, 57.0, 61.0, 70.0, 75.0)]
    batch = Batch.from_data_list(graphs)
    found = {}
    for key, size in (("parts", 1), ("whole", 2**40), ("plain", 0)):
        monkeypatch.setattr("graphmix.render.voices.PART_BYTES", size)
        monkeypatch.setattr(Renderer, "voices", key != "plain")
        monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
        graph = batch.clone()
        graph.params = {kind: values.clone().requires_grad_() for kind, values in batch.params.items()}
        graph.wet = batch.wet.clone().requires_grad_()
        renderer = Renderer(RACK)
        out = renderer(graph, torch.zeros(0, 2, 900))
        if key != "plain":
            assert len(split(renderer.plan(graph), RACK, 900)) == (3 if key == "parts" else 1)
        used = {kind: values for kind, values in graph.params.items() if values.numel()}
        gradients = torch.autograd.grad(out.square().sum(), [graph.wet, *used.values()], allow_unused=True)
        found[key] = out, *(g for g in gradients if g is not None)
    alone = torch.cat([Renderer(RACK)(graph, torch.zeros(0, 2, 900)) for graph in graphs])
    torch.testing.assert_close(found["parts"][0], alone, rtol=1e-5, atol=1e-6)
    for key in ("whole", "plain"):
        for one, other in zip(found["parts"], found[key], strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5 * float(other.detach().abs().max()))


def graph_of_voices(pitch: float) -> MixGraph:
    graph = MixGraph(RACK.types, RATE)
    note, tone = graph.add("note", pitch=pitch, length_ms=10.0), graph.add("oscillator", saw=0.5, wet=0.7)
    shape, filter_ = graph.add("envelope"), graph.add("filter", cutoff_hz=900.0, modulation_octaves=3.0, wet=0.9)
    both, amplifier = graph.add("mix"), graph.add("amplifier", offset=0.1)
    graph.connect(note, tone, "pitch", "pitch").connect(graph.add("lfo"), both).connect(shape, both)
    graph.connect(both, filter_, 0, "modulation").connect(note, shape, "gate", "gate")
    graph.connect(note, filter_, "pitch", "pitch").connect(shape, amplifier, 0, "control")
    return graph.chain(
        graph.add("noise"), tone, filter_, amplifier, graph.add("ring_modulator", wet=0.3), graph.add("out")
    )


def test_bypassed_generators_are_wires():
    graph = MixGraph(RACK.types, RATE)
    nodes = [graph.add("noise", level_db=-10.0), graph.add("oscillator", wet=0.0), graph.add("out")]
    graph.chain(*nodes)
    alone = MixGraph(RACK.types, RATE)
    alone.chain(alone.add("noise", level_db=-10.0), alone.add("out"))
    render = Renderer(RACK)
    torch.testing.assert_close(render(graph, torch.zeros(0, 2, 300)), render(alone, torch.zeros(0, 2, 300)))


def test_a_note_out_of_range_is_refused_by_name():
    graph = MixGraph(RACK.types, RATE)
    graph.chain(graph.add("oscillator", width=5.0), graph.add("out"))
    with pytest.raises(GraphError, match=r"oscillator 0: width is 5; it is a number between 0\.02 and 0\.98"):
        Renderer(RACK)(graph, torch.zeros(0, 2, 10))
