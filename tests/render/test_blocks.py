"""A whole song, block by block: the same as in one piece, with bounded memory."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from graphmix.audio import Song, load_stems, write_audio
from graphmix.errors import GraphError
from graphmix.graph import MixGraph, mixing_console
from graphmix.processors import Compressor, Rack
from graphmix.render import Renderer
from graphmix.render.blocks import BLOCK_SECONDS, BlockRenderer, render_song
from tests.random_parameters import random_parameters

RATE = 4000
RACK = Rack.standard(RATE)
REACH_SECONDS = 2 + 2 + 1023 / 30000
"""Of a delay, a reverb and an equalizer in series."""


class WarmedUp(Compressor):
    """A compressor of one's own: its gain is not the class's, so that it is given a warm-up."""

    def gain(self, detector: Tensor, params: Tensor) -> Tensor:
        return super().gain(detector, params)


def song_of(folder: Path, stems: Tensor) -> Song:
    for name, stem in zip("abcd", stems, strict=False):
        write_audio(folder / f"{name}.wav", stem, RATE)
    return load_stems(folder, RATE)


def long_console(names: list[str]) -> MixGraph:
    """Echo into room on the track and again on its bus, and compressors between."""
    graph = mixing_console(RACK, {"bus": names}, "ecdr")
    for t in RACK.types:
        values = random_parameters(t, graph.params[t.name].size(0), torch.Generator().manual_seed(0))
        if t.name == "reverb":
            values[:, t.columns("decay_db_per_s")] = -2.0
        if t.name == "compressor":
            values[:, t.columns("time_ms")] = 20.0
        graph.params[t.name] = values
    return graph


def slow_dynamics(rack: Rack) -> MixGraph:
    """Five with their longest times in series, one of them fed by a sidechain, and a send beside them."""
    graph = MixGraph(rack.types, RATE)
    voice, drums, out = graph.add("in", "a.wav"), graph.add("in", "b.wav"), graph.add("out")
    slow = {"threshold_db": -40.0, "ratio": 4.0, "time_ms": 2000.0}
    own = [graph.add("compressor", **slow), graph.add("compressor", wet=0.6, **slow)]
    duck = graph.add("sidechain_compressor", **slow)
    gate = graph.add("ballistic_gate", threshold_db=-20.0, ratio=2.0, attack_ms=2000.0, release_ms=5000.0)
    late = graph.add("ballistic_compressor", threshold_db=-40.0, ratio=8.0, attack_ms=50.0, release_ms=5000.0)
    graph.chain(voice, *own, duck, gate, late, out).connect(drums, duck, inlet="sidechain")
    return graph.chain(drums, graph.add("delay", wet=0.5), graph.add("compressor", **slow), out)


def loud_then_soft(seconds: int) -> Tensor:
    """Two tracks that are loud for five seconds in twenty: the detectors have much to remember."""
    stems = 0.5 * torch.randn(2, 2, seconds * RATE, generator=torch.Generator().manual_seed(0))
    second = torch.arange(seconds * RATE) // RATE
    return stems * torch.where(second % 20 < 5, 1.0, 0.01)


def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lengths of all that is read of songs from now on."""
    lengths: list[int] = []
    read = Song.read

    def counted(song: Song, start: int, length: int) -> object:
        lengths.append(length)
        return read(song, start, length)

    monkeypatch.setattr(Song, "read", counted)
    return lengths


def assert_same_sound(part: Tensor, whole: Tensor) -> None:
    torch.testing.assert_close(part, whole, rtol=1e-4, atol=1e-5 * float(whole.abs().max()))


@torch.no_grad()
def test_a_song_in_blocks_is_the_song_at_once(tmp_path: Path) -> None:
    song = song_of(tmp_path, 0.1 * torch.randn(2, 2, 22 * RATE))
    graph = long_console(list(song.track_names))
    whole = Renderer(RACK)(graph, song.read(0, song.num_samples).stems).sum(0)
    assert_same_sound(render_song(graph, song, RACK), whole)


@torch.no_grad()
def test_compressors_with_long_times_in_series_need_no_warmup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four with their longest time once had a warm-up of 160 seconds, and a block as long."""
    song, graph = song_of(tmp_path, loud_then_soft(70)), slow_dynamics(RACK)
    whole = Renderer(RACK)(graph, song.read(0, song.num_samples).stems).sum(0)
    lengths = reads(monkeypatch)
    assert_same_sound(render_song(graph, song, RACK), whole)
    assert len(lengths) == 7
    assert max(lengths) <= (BLOCK_SECONDS + 2.1) * RATE, "a block, and what the delay remembers"


@torch.no_grad()
def test_dynamics_with_a_gain_of_their_own_are_warmed_up(tmp_path: Path) -> None:
    rack = Rack([WarmedUp(RATE)])
    song, graph = song_of(tmp_path, loud_then_soft(30)[:1]), MixGraph(rack.types, RATE)
    compressor = graph.add("compressor", threshold_db=-40.0, ratio=4.0, time_ms=200.0)
    graph.chain(graph.add("in", "a.wav"), compressor, graph.add("out"))
    assert BlockRenderer(rack, graph).warmup == 20 * 0.2 * RATE
    whole = Renderer(rack)(graph, song.read(0, song.num_samples).stems).sum(0)
    assert_same_sound(render_song(graph, song, rack), whole)


@torch.no_grad()
def test_a_segment_after_its_warmup_is_that_of_the_whole_song() -> None:
    graph = long_console(["a"])
    graph.params["compressor"][:, 1] = 1.0  # does nothing: its state need not be carried
    renderer = BlockRenderer(RACK, graph)
    before, ahead = renderer.warmup, renderer.ahead
    assert before / RATE == pytest.approx(2 * REACH_SECONDS, abs=0.02)
    song = 0.2 * torch.randn(1, 2, before + 6000)
    whole = Renderer(RACK)(graph, song)
    start, stop = before + 1000, before + 3000
    part = Renderer(RACK)(graph, song[..., start - before : stop + ahead])[..., before : before + stop - start]
    assert_same_sound(part, whole[..., start:stop])


def test_a_graph_without_memory_needs_no_warmup() -> None:
    graph = mixing_console(RACK, {"bus": ["a"]}, "gscn")
    renderer = BlockRenderer(RACK, graph)
    assert (renderer.warmup, renderer.ahead) == (0, 0)


def test_a_song_at_another_rate_is_refused(tmp_path: Path) -> None:
    song = song_of(tmp_path, torch.zeros(1, 2, 100) + 0.1)
    with pytest.raises(GraphError, match="the song is at 4000 Hz and the graph at 30000 Hz; load the song at"):
        render_song(mixing_console(Rack.console("g"), {"bus": ["a.wav"]}, "g"), song)
