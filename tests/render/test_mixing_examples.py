"""Graphs that an engineer would build, and rendering a song piece by piece."""

import math

import pytest
import torch
from torch import Tensor

from graphmix.graph import MixGraph
from graphmix.processors import Rack, Reverb
from graphmix.render import Renderer
from graphmix.render.reference import render_reference

RATE = 30000
RACK = Rack.standard(RATE)
RENDERER = Renderer(RACK)


def sine(frequency_hz: float, seconds: float, amplitude: float = 0.5) -> Tensor:
    """A mono tone, [2, samples]."""
    time = torch.arange(round(seconds * RATE)) / RATE
    return (amplitude * torch.sin(2 * math.pi * frequency_hz * time)).expand(2, -1)


def rms_db(audio: Tensor) -> float:
    return 10 * math.log10(float(audio.double().square().mean()))


def test_the_kick_ducks_the_bass_while_it_sounds() -> None:
    graph = MixGraph(RACK.types, RATE)
    kick, bass = graph.add("in", name="kick"), graph.add("in", name="bass")
    duck = graph.add("k", threshold_db=-30.0, ratio=4.0, knee_db=1.0, time_ms=5.0)
    out = graph.add("out")
    graph.connect(bass, duck).connect(kick, duck, inlet="sidechain").connect(duck, out)
    beat = torch.zeros(2, RATE)
    beat[:, RATE // 4 : RATE // 2] = 0.5  # -6 dB for a quarter of a second
    tone = sine(110, 1)
    ducked = RENDERER(graph, torch.stack([beat, tone]))[0]
    quarter = RATE // 4
    assert torch.equal(ducked[:, :quarter], tone[:, :quarter])
    during, after = slice(quarter + 2000, 2 * quarter), slice(3 * quarter, None)
    expected = -0.75 * (20 * math.log10(0.5) + 30)
    assert rms_db(ducked[:, during]) - rms_db(tone[:, during]) == pytest.approx(expected, abs=0.05)
    torch.testing.assert_close(ducked[:, after], tone[:, after], rtol=1e-4, atol=1e-5)


def three_bands(ratio_of_lows: float) -> MixGraph:
    graph = MixGraph(RACK.types, RATE)
    source, split, out = graph.add("in"), graph.add("crossover", frequency_hz=[250.0, 3000.0]), graph.add("out")
    graph.connect(source, split)
    for band in ("low", "mid", "high"):
        ratio = ratio_of_lows if band == "low" else 1.0
        compressor = graph.add("compressor", name=band, threshold_db=-40.0, ratio=ratio, time_ms=50.0)
        graph.connect(split, compressor, outlet=band).connect(compressor, out)
    return graph


def test_a_multiband_compressor_at_ratio_1_gives_its_input() -> None:
    noise = 0.3 * torch.randn(1, 2, RATE // 2)
    torch.testing.assert_close(RENDERER(three_bands(1.0), noise), noise, rtol=1e-4, atol=1e-5)


def test_a_multiband_compressor_turns_down_its_band_alone() -> None:
    graph, late = three_bands(4.0), slice(RATE // 2, RATE - 2000)
    for frequency_hz, expected in ((60, -0.75 * (rms_db(sine(60, 1)) + 40)), (1000, 0.0), (8000, 0.0)):
        tone = sine(frequency_hz, 1)
        change = rms_db(RENDERER(graph, tone[None])[0, :, late]) - rms_db(tone[:, late])
        assert change == pytest.approx(expected, abs=0.6)  # the mid band lets a little of 60 Hz through


def test_a_send_adds_its_reverb_to_the_dry_signal() -> None:
    graph = MixGraph(RACK.types, RATE)
    voice, send, room, out = graph.add("in"), graph.add("gain", gain_db=-12.0), graph.add("reverb"), graph.add("out")
    graph.connect(voice, out).chain(voice, send, room, out)
    sources = torch.zeros(1, 2, RATE // 2)
    sources[..., 0] = 1.0
    mix = RENDERER(graph, sources)[0]
    reverb = RACK["reverb"]
    assert isinstance(reverb, Reverb)
    wet = 10 ** (-12 / 20) * reverb.impulse_response(graph.params["reverb"])[0, :, : RATE // 2]
    torch.testing.assert_close(mix, sources[0] + wet, rtol=1e-3, atol=1e-6)
    expected = torch.from_numpy(render_reference(graph, sources.numpy())[0]).float()
    torch.testing.assert_close(mix, expected, rtol=1e-4, atol=1e-6)


# --- a song in pieces
