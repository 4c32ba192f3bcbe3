import pytest
import torch

from graphmix.errors import GraphError
from graphmix.graph import MixGraph, add_multiband, validate
from graphmix.processors import Rack
from graphmix.render import Renderer

RACK = Rack.full(8000)
LOUD: dict[str, float | str] = {"threshold_db": -50.0, "ratio": 10.0, "attack_ms": 1.0, "listen": "mid"}


def multiband(*bands: dict[str, float | str]) -> MixGraph:
    graph = MixGraph(RACK.types, 8000)
    nodes = add_multiband(graph, (300.0, 1500.0), bands)
    graph.chain(graph.add("in", "voice"), nodes.first).chain(nodes.last, graph.add("out"))
    return validate(graph)


def test_neutral_bands_add_up_to_the_input() -> None:
    audio = torch.randn(1, 2, 3000, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(Renderer(RACK)(multiband({}, {}, {}), audio), audio, rtol=1e-4, atol=1e-5)


def test_only_the_band_that_is_loud_is_compressed() -> None:
    time = torch.arange(8000) / 8000
    bass, air = torch.sin(2 * torch.pi * 80 * time), 0.2 * torch.sin(2 * torch.pi * 3000 * time)
    audio = (bass + air).expand(1, 2, -1)
    mix = Renderer(RACK)(multiband(LOUD, {}, {}), audio)[0, 0, 4000:]
    spectrum, before = (torch.fft.rfft(x.double()).abs() for x in (mix, audio[0, 0, 4000:]))
    assert float(spectrum[1500] / before[1500]) == pytest.approx(1, abs=0.02)  # 3 kHz
    assert float(spectrum[40] / before[40]) < 0.02  # 80 Hz: 45 dB of 50 are taken off


def test_other_numbers_than_the_crossover_has_are_refused() -> None:
    graph = MixGraph(RACK.types, 8000)
    with pytest.raises(GraphError, match=r"1 corners and 2 bands given; .* has 2 corners and 3 bands"):
        add_multiband(graph, (300.0,), ({}, {}))
    with pytest.raises(GraphError, match="do not rise"):
        add_multiband(graph, (3000.0, 300.0), ({}, {}, {}))
    with pytest.raises(GraphError, match="needs a crossover"):
        add_multiband(MixGraph(Rack.console("c").types), (300.0, 3000.0), ({}, {}, {}), kind="compressor")
