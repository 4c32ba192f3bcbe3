"""Modulation: closed forms of what moves, the loops behind it, and where in the song a signal lies."""

import math

import numpy as np
import pytest
import torch
from scipy.signal import lfilter
from torch import Tensor

from graphmix.audio.song import load_song
from graphmix.dsp.all_pass import all_pass_chain
from graphmix.dsp.delay_line import delay_line, rest
from graphmix.dsp.oversampling import MARGIN
from graphmix.graph.mixgraph import MixGraph
from graphmix.processors import Rack
from graphmix.processors.modulation import AutoPan, Flanger, Modulated, Phaser, Tremolo, Vibrato
from graphmix.render import Renderer, render_song
from graphmix.render.reference import render_reference
from tests.random_parameters import params
from tests.small_song import dry_tracks, write_song

RATE = 30000
MOVING = ("chorus", "flanger", "vibrato", "phaser", "tremolo", "auto_pan")
CARRIED = (*MOVING, "tape", "feedback_delay")
"""Types whose past has no end, or whose settings move."""
RACK = Rack.console("".join(f"[{kind}]" for kind in (*CARRIED, "haas")), RATE)
SETTINGS = {
    "tape": {"drive_db": 12.0, "hysteresis": 0.6},
    "feedback_delay": {"time_ms": [70.3, 45.1], "feedback": 0.7, "cross": 0.4},
}
MOVED = {"rate_hz": 3.1, "depth": 0.7, "spread": 0.2, "phase": 0.1}


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_vibrato_moves_the_time_at_which_a_sine_is_read() -> None:
    time = torch.arange(6000, dtype=torch.float64) / RATE
    vibrato = Vibrato(RATE)
    audio = torch.sin(2 * math.pi * 440 * time).expand(1, 2, -1)
    output = vibrato(audio, params(vibrato, rate_hz=6.0, depth=0.5, center_ms=4.0, spread=0.5))
    for channel, sign in enumerate((1, -1)):  # half a period apart
        late = 0.004 * (1 + sign * 0.5 * torch.sin(2 * math.pi * 6 * time))
        expected = torch.sin(2 * math.pi * 440 * (time - late))
        torch.testing.assert_close(output[0, channel, 200:], expected[200:], atol=1e-4, rtol=0)


def test_a_still_flanger_is_a_comb() -> None:
    flanger = Flanger(RATE)
    audio = torch.zeros(1, 2, 400, dtype=torch.float64)
    audio[..., 0] = 1
    output = flanger(audio, params(flanger, center_ms=2.0, feedback=-0.6))[0, 0]
    expected = torch.zeros(400, dtype=torch.float64)
    expected[60::60] = torch.tensor([(-0.6) ** k for k in range(6)])
    torch.testing.assert_close(output, expected, atol=1e-7, rtol=0)  # its time is a float32 parameter


def test_a_still_phaser_is_a_cascade_of_all_pass_filters() -> None:
    phaser, audio = Phaser(RATE), noise(1, 2, 3000)
    output = phaser(audio, params(phaser, center_hz=900.0))[0].numpy()
    tangent = math.tan(math.pi * 900 / RATE)
    a, expected = (tangent - 1) / (tangent + 1), audio[0].numpy()
    for _ in range(6):
        expected = lfilter([a, 1], [1, a], expected)
    np.testing.assert_allclose(output, expected, atol=1e-10)


def test_a_tremolo_goes_down_by_its_depth_and_an_auto_pan_keeps_the_power() -> None:
    audio = torch.ones(1, 2, RATE, dtype=torch.float64)
    gain = Tremolo(RATE)(audio, params(Tremolo(RATE), rate_hz=4.0, depth=0.6))
    assert float(gain.min()) == pytest.approx(0.4, abs=1e-6)
    assert float(gain.max()) == pytest.approx(1.0, abs=1e-6)
    panned = AutoPan(RATE)(audio, params(AutoPan(RATE), rate_hz=1.0, depth=1.0))
    torch.testing.assert_close(panned.square().sum(1), torch.full((1, RATE), 2.0, dtype=torch.float64))
    assert float(panned[0, 0].min()) == pytest.approx(0.0, abs=1e-6)


# --- loops


def test_gradients_of_a_delay_line_agree_with_finite_differences() -> None:
    x = noise(2, 2, 12).requires_grad_()
    delay = (2.2 + 5 * torch.rand(2, 2, 12, generator=torch.Generator().manual_seed(1))).double()
    delay = (delay.floor() + 0.1 + 0.8 * delay.frac()).requires_grad_()  # off whole samples, where the slope jumps
    gains = (0.4 * noise(2, 2, 2, seed=2)).requires_grad_()
    poles = torch.tensor([[0.3, 0.9], [0.5, 0.8]], dtype=torch.float64, requires_grad=True)
    state = rest(2, 8.0)
    state.past[:] = noise(*state.past.shape, seed=3)
    state.filters[:] = noise(*state.filters.shape, seed=4)
    inputs = (x, delay, gains, poles)
    assert torch.autograd.gradcheck(lambda *given: delay_line(*given, state)[0], inputs)
    assert torch.autograd.gradcheck(lambda a, b, c: delay_line(a, b, c, None, state)[0], inputs[:3])
    still = (torch.tensor([[[5.3], [2.7]], [[3.5], [6.1]]], dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: delay_line(a, b, gains, poles, state)[0], (x, still))


def test_gradients_of_moving_all_pass_filters_agree_with_finite_differences() -> None:
    x, a = noise(2, 25).requires_grad_(), (0.8 * torch.tanh(noise(2, 25, seed=1))).requires_grad_()
    feedback = torch.tensor([0.5, -0.7], dtype=torch.float64, requires_grad=True)
    begin = noise(2, 5, seed=2)
    assert torch.autograd.gradcheck(lambda *given: all_pass_chain(*given, begin)[0], (x, a, feedback))


# --- in songs


def console(kinds: tuple[str, ...]) -> MixGraph:
    """A track for each type."""
    graph = MixGraph(RACK.types, RATE)
    out = graph.add("out", name="mix")
    for k, kind in enumerate(kinds):
        values = SETTINGS.get(kind) or {**MOVED, "rate_hz": 3.1 + k}
        graph.chain(graph.add("in", name=f"track{k}.wav"), graph.add(kind, **values), out)
    graph.wet.fill_(0.8)
    return graph


@pytest.mark.parametrize("position", [0, 12345, -600])
def test_a_segment_sounds_as_in_the_whole_song(position: int) -> None:
    graph = MixGraph(RACK.types, RATE)
    nodes = [graph.add(kind, **MOVED) for kind in ("vibrato", "phaser", "tremolo", "auto_pan")]
    graph.chain(graph.add("in"), *nodes, graph.add("out"))
    sources = noise(1, 2, 900)
    expected = torch.from_numpy(render_reference(graph, sources.numpy(), position=position))
    torch.testing.assert_close(Renderer(RACK)(graph, sources, position), expected, atol=2e-6, rtol=0)


def test_the_gradient_of_a_rate_knows_where_in_the_song_it_is() -> None:
    for kind in (Tremolo, Vibrato):
        processor = kind(3000)
        assert isinstance(processor, Modulated)
        audio, seconds = noise(1, 2, 50), torch.tensor([7.3], dtype=torch.float64)
        values = params(processor, rate_hz=2.0, depth=0.5, phase=0.3).requires_grad_()

        def sound(values: Tensor, processor: Modulated, audio: Tensor, seconds: Tensor) -> Tensor:
            return processor(audio, processor.placed(values, seconds))

        assert torch.autograd.gradcheck(sound, (values, processor, audio, seconds), eps=1e-7)


def test_blocks_are_the_whole(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    stems = list(dry_tracks().values())
    tracks = {f"track{k}.wav": stems[k % len(stems)] for k in range(len(CARRIED))}
    graph = console(CARRIED)
    song = load_song(write_song(tmp_path / "song", tracks, sum(tracks.values())), RATE)
    whole = Renderer(RACK)(graph, song.read(0, song.num_samples).stems)[0]
    monkeypatch.setattr("graphmix.render.blocks.BLOCK_SECONDS", 0.23)
    torch.testing.assert_close(render_song(graph, song, RACK), whole, atol=5e-6, rtol=0)


def test_blocks_behind_others_with_a_past_are_the_whole(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A delay before them makes them begin where it has settled, inside of a block."""
    graph = MixGraph(RACK.types, RATE)
    nodes = [graph.add("haas", later_ms=12.3), graph.add("phaser", **MOVED), graph.add("tape", **SETTINGS["tape"])]
    graph.chain(graph.add("in", name="track.wav"), *nodes, graph.add("tremolo", **MOVED), graph.add("out", name="mix"))
    track = next(iter(dry_tracks().values()))
    song = load_song(write_song(tmp_path / "song", {"track.wav": track}, track), RATE)
    whole = Renderer(RACK)(graph, song.read(0, song.num_samples).stems)[0]
    monkeypatch.setattr("graphmix.render.blocks.BLOCK_SECONDS", 0.23)
    blocks = render_song(graph, song, RACK)
    inside = slice(0, -2 * MARGIN)  # at the end the whole cuts what rings on between two processors, and blocks do not
    torch.testing.assert_close(blocks[:, inside], whole[:, inside], atol=5e-6, rtol=0)
