"""A graph at another rate: the same below 13 kHz to -60 dB, there and back, against float64, in files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from graphmix.dsp.tap_rates import convert_taps, converted_extent
from graphmix.errors import GraphError
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.storage import load_graph, save_graph
from graphmix.processors import Processor, Rack
from graphmix.processors.align import Align
from graphmix.processors.base import MatrixProcessor
from graphmix.processors.resampled import Resampled
from graphmix.render.reference import render_reference
from graphmix.render.renderer import Renderer
from graphmix.rewrite import at_rate
from graphmix.spec import NodeType
from tests.random_parameters import random_parameters

BASE = 30000
RACK = Rack([*Rack.standard(BASE), Align(BASE)])
SECONDS, HIGHEST_HZ = 0.8, 13000
KINDS = RACK.names
TONES = 60
TOLERANCE = {"ballistic_compressor": 3e-3, "ballistic_gate": 3e-3, "limiter": 3e-2}
"""-50 dB: whether the energy rises or falls is asked at every sample, and samples lie elsewhere at another rate.
-30 dB: the largest sample of a peak is another one."""


def one_of(kind: str, seed: int = 0) -> MixGraph:
    """A track, one processor with random parameters, the output."""
    graph = MixGraph(RACK.types, BASE)
    track, node, out = graph.add("in", name="track"), graph.add(kind), graph.add("out")
    node_type = graph.type_of(node)
    graph.connect(track, node)
    for outlet in range(len(node_type.outlets)):
        graph.connect(node, out, outlet)
    if len(node_type.inlets) > 1:
        graph.connect(track, node, 0, 1)
    if node_type.can_be_bypassed:
        graph.wet[node] = 0.6
    drawn = random_parameters(node_type, 1, torch.Generator().manual_seed(seed)) if kind != "align" else None
    graph.params[kind] = torch.tensor([[3.31234, -1.0]]) if drawn is None else drawn
    return graph


def tones(rate: int) -> Tensor:
    """The same sound at any rate: tones below 13 kHz under a bell, in float64."""
    draw = np.random.default_rng(1)
    frequency, phase = draw.uniform(60, HIGHEST_HZ, TONES), draw.uniform(0, 2 * np.pi, (2, TONES))
    time = np.arange(round(SECONDS * rate)) / rate
    bell = np.clip(1 - ((time - 0.2) / 0.19) ** 2, 0, None) ** 4
    signal = [sum(np.sin(2 * np.pi * f * time + p) for f, p in zip(frequency, own, strict=True)) for own in phase]
    return torch.from_numpy(0.03 * bell * np.stack(signal))[None]


def spectrum(graph: MixGraph) -> np.ndarray:
    """Of a rendering, up to 13 kHz, at frequencies that all rates have."""
    rack = Rack.for_types(graph.types.types, graph.sample_rate)
    audio = Renderer(rack)(graph, tones(graph.sample_rate))[0].numpy()
    return np.fft.rfft(audio)[:, : round(HIGHEST_HZ * SECONDS)] / graph.sample_rate


@pytest.mark.parametrize("kind", KINDS)
def test_the_common_band_is_the_same_to_60_db(kind: str) -> None:
    graph = one_of(kind)
    before, after = spectrum(graph), spectrum(at_rate(graph, 44100, RACK))
    assert np.linalg.norm(after - before) <= TOLERANCE.get(kind, 1e-3) * np.linalg.norm(before)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rate", [32000, 48000, 96000])
def test_the_common_band_is_the_same_to_60_db_at_other_rates(kind: str, rate: int) -> None:
    graph = one_of(kind, seed=rate)
    before, after = spectrum(graph), spectrum(at_rate(graph, rate, RACK))
    assert np.linalg.norm(after - before) <= TOLERANCE.get(kind, 1e-3) * np.linalg.norm(before)


@pytest.mark.parametrize("kind", ["delay", "reverb", "gain", "compressor"])
def test_there_and_back_is_where_one_was(kind: str) -> None:
    graph = one_of(kind)
    for way in ([44100, BASE], [48000, 22050, 44100, BASE]):
        back = graph
        for rate in way:
            back = at_rate(back, rate)
        assert back.types == graph.types
        assert torch.equal(back.params[kind], graph.params[kind])


def test_an_equalizer_comes_back_to_a_thousandth_of_a_db() -> None:
    graph = one_of("equalizer")
    back = at_rate(at_rate(graph, 44100), BASE)
    error = (back.params["equalizer"] - graph.params["equalizer"])[0, : round(HIGHEST_HZ / 15000 * 1024)]
    assert float(error.abs().max()) < 0.05


@pytest.mark.parametrize("kind", ["delay", "reverb"])
def test_a_response_at_another_rate_is_that_of_the_reference(kind: str) -> None:
    graph = at_rate(one_of(kind), 44100)
    graph.params[kind][:, graph.types[graph.types.index(kind)].columns("top_db")] = -7.0
    audio = torch.randn(1, 2, 9000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rack = Rack.for_types(graph.types.types, 44100)
    assert isinstance(rack[kind], Resampled)
    error = Renderer(rack)(graph, audio).numpy() - render_reference(graph, audio.numpy())
    assert np.abs(error).max() < 1e-5


def test_a_resampled_type_survives_a_file(tmp_path: Path) -> None:
    graph = at_rate(one_of("reverb"), 48000)
    for name in ("graph.safetensors", "graph.json"):
        found = load_graph(save_graph(graph, tmp_path / name))
        assert found.types == graph.types
        assert found.types[found.types.index("reverb")].base_rate == BASE
        assert torch.equal(found.params["reverb"], graph.params["reverb"])


def test_raw_numbers_of_a_resampled_type_stand_for_its_parameters() -> None:
    resampled = RACK["delay"].at_rate(44100)
    params = resampled.params_at(random_parameters(resampled.node_type, 2, torch.Generator().manual_seed(3)), resampled)
    raw = resampled.to_raw(params)
    assert len(resampled.rates()) == raw.size(1)
    torch.testing.assert_close(resampled.from_raw(raw), params, rtol=1e-3, atol=1e-2)
    far = raw.clone()
    far[:, -1] = 99.0
    resampled.project(far)
    assert float(resampled.from_raw(far)[0, -1]) == pytest.approx(20.0)


def test_converted_taps_have_a_gradient() -> None:
    taps = torch.randn(1, 9, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: convert_taps(x, (4, 4), 3, 4, mirrored=True), taps)


@pytest.mark.parametrize(("old", "new"), [(30000, 44100), (44100, 30000), (48000, 44100)])
def test_taps_reach_as_far_as_is_said(old: int, new: int) -> None:
    taps = torch.zeros(1, 41, dtype=torch.float64)
    taps[0, 10] = 1.0  # at time zero
    there = convert_taps(taps, (10, 30), old, new)
    before, after = converted_extent((10, 30), old, new)
    assert there.size(-1) == before + 1 + after
    assert int(there[0].argmax()) == before
    assert float(there.sum()) == pytest.approx(1.0, abs=1e-4)


def test_a_rate_without_a_divisor_is_refused() -> None:
    with pytest.raises(ValueError, match="no large common divisor"):
        convert_taps(torch.zeros(1, 3), (1, 1), 44101, 96000)


def test_bad_rates_and_batches_are_refused() -> None:
    with pytest.raises(GraphError, match="positive rate"):
        at_rate(one_of("gain"), 0)


def test_a_processor_that_is_made_otherwise_says_so() -> None:
    class Swap(MatrixProcessor):
        def __init__(self, sample_rate: int, amount: float) -> None:
            super().__init__(sample_rate)
            self.node_type = NodeType("swap", "w")

        def matrix(self, params: Tensor) -> Tensor:
            return torch.eye(2).flip(0).expand(len(params), 2, 2)

    rack = Rack([Swap(BASE, 1.0)])
    graph = MixGraph(rack.types, BASE)
    graph.chain(graph.add("in"), graph.add("swap"), graph.add("out"))
    with pytest.raises(GraphError, match="Give it an at_rate method"):
        at_rate(graph, 44100, rack)


def test_the_length_of_the_song_goes_along() -> None:
    graph = one_of("gain")
    info = graph.info
    graph.info = type(info)(info.types, info.sample_rate, info.names, {"num_samples": 30001})
    assert at_rate(graph, 44100).provenance["num_samples"] == 44102


def test_processors_keep_their_parameters_by_default() -> None:
    assert Processor.params_at(RACK["gain"], torch.ones(1, 2), RACK["gain"]).tolist() == [[1.0, 1.0]]
