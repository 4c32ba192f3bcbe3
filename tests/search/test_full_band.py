"""The result at the song's own rate: its top octave is fitted, nothing below moves, and files are at that rate."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from graphmix.audio import load_song, read_info, write_audio
from graphmix.audio.song import Song
from graphmix.dsp.resampling import resample
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.storage import load_graph
from graphmix.processors.rack import Rack
from graphmix.render.blocks import render_song
from graphmix.rewrite.rates import TOP_OCTAVE, at_rate, at_working_rate
from graphmix.search import SearchSettings, mine
from graphmix.search.full_band import fit_top, mean_powers, own_rate

RATE, SEARCHED = 44100, 30000
SECONDS = 3.0
TRACKS = ("1_hat.wav", "2_pad.wav")


def tracks() -> list[Tensor]:
    """Two stereo noises, the second softer, [2, samples] each."""
    generator = torch.Generator().manual_seed(1)
    return [level * torch.randn(2, round(SECONDS * RATE), generator=generator) for level in (0.1, 0.03)]


def brighter(audio: Tensor, db: float) -> Tensor:
    """Raised above 14 kHz, in one FFT."""
    spectrum = torch.fft.rfft(audio)
    frequency = torch.arange(spectrum.size(-1)) * (RATE / audio.size(-1))
    gain = 10 ** (db / 20 * ((frequency - 13500) / 1000).clamp(0, 1))
    return torch.fft.irfft(spectrum * gain, n=audio.size(-1))


def write_bright_song(folder: Path, db: float) -> Path:
    """Two tracks, and a mix whose first track is brighter by some dB above 14 kHz."""
    (folder / "dry").mkdir(parents=True)
    first, second = tracks()
    for name, audio in zip(TRACKS, (first, second), strict=True):
        write_audio(folder / "dry" / name, audio, RATE)
    write_audio(folder / "mix.wav", 0.5 * (brighter(first, db) + second), RATE)
    about = {"name": "bright", "mix": "mix.wav", "stems": "dry", "subgroups": {"all": list(TRACKS)}}
    (folder / "song.json").write_text(json.dumps(about))
    return folder


def levelled(rack: Rack, *, equalized: bool) -> MixGraph:
    """The song's console as a search finds it: a gain on each track, maybe an equalizer on the first."""
    graph = MixGraph(rack.types, rack.sample_rate)
    out = graph.add("out")
    for name in TRACKS:
        nodes = [graph.add("gain", gain_db=-6.0206)]
        if equalized and name == TRACKS[0]:
            nodes.insert(0, graph.add("equalizer"))
        graph.chain(graph.add("in", name=name), *nodes, out)
    return graph


def band_db(audio: Tensor, low: float, high: float) -> float:
    """Mean power between two frequencies."""
    power = mean_powers(audio).numpy()
    at = np.arange(len(power)) * RATE / (2 * (len(power) - 1))
    return float(10 * np.log10(power[(at >= low) & (at < high)].mean()))


def full_song(folder: Path) -> Song:
    song = load_song(folder, SEARCHED)
    assert own_rate(song) == RATE
    return song.at_rate(RATE)


def test_a_song_at_another_rate_is_read_from_its_files(tmp_path: Path) -> None:
    song = full_song(write_bright_song(tmp_path / "song", 6.0))
    audio = song.read(1000, 500)
    torch.testing.assert_close(audio.stems, torch.stack(tracks())[..., 1000:1500])
    assert song.num_samples == round(SECONDS * RATE)
    late = replace(song, sample_rate=SEARCHED, offset=150).at_rate(RATE)
    assert late.offset == 220


@pytest.mark.parametrize("equalized", [True, False])
def test_the_top_is_fitted_and_nothing_below_moves(tmp_path: Path, equalized: bool) -> None:
    song = full_song(write_bright_song(tmp_path / "song", 6.0))
    found = at_rate(levelled(Rack.console("eg", SEARCHED), equalized=equalized), RATE)
    rack = Rack.for_types(found.types.types, RATE)
    before = render_song(found, song, rack)
    top = fit_top(found, song, rack, SEARCHED)
    target = song.read_mix(0, song.num_samples)
    assert abs(band_db(before, 14500, 20000) - band_db(target, 14500, 20000)) > 4
    assert abs(band_db(top.mix, 14500, 20000) - band_db(target, 14500, 20000)) < 0.5
    low = [resample(mix, RATE, 24000) for mix in (before, top.mix)]
    assert float((low[0] - low[1]).norm() / low[0].norm()) < 1e-3
    inside = slice(2000, -2000)  # at its ends the last filter receives no more than the mix that is written
    torch.testing.assert_close(render_song(top.graph, song)[:, inside], top.mix[:, inside], rtol=0, atol=1e-5)
    assert (TOP_OCTAVE in top.graph.names) is top.added
    if equalized:
        assert top.losses is not None
        assert top.losses[1] < top.losses[0]
    else:
        assert top.losses is None
        assert top.added


def test_a_graph_that_is_right_already_gets_nothing(tmp_path: Path) -> None:
    song = full_song(write_bright_song(tmp_path / "song", 0.0))
    found = at_rate(levelled(Rack.console("eg", SEARCHED), equalized=False), RATE)
    top = fit_top(found, song, Rack.for_types(found.types.types, RATE), SEARCHED)
    assert not top.added
    assert torch.equal(top.graph.params["gain"], found.params["gain"])


@pytest.mark.slow
def test_a_mined_song_lives_at_its_own_rate(tmp_path: Path) -> None:
    folder = write_bright_song(tmp_path / "song", 6.0)
    settings = SearchSettings(chain="cg", steps=4, rounds=1, round_steps=2, ramp_steps=4, evaluate_every=2)
    mined = mine(folder, tmp_path / "out", settings, plots=False)
    graph = load_graph(tmp_path / "out" / "graph.safetensors")
    assert graph.sample_rate == mined.graph.sample_rate == RATE
    info = read_info(tmp_path / "out" / "mix.wav")
    assert (info.sample_rate, info.num_samples) == (RATE, round(SECONDS * RATE))
    assert mined.metrics["full_band"]["searched_at"] == SEARCHED
    assert float(graph.wet[graph.nodes_of("gain")].min()) == 1.0
    back = at_working_rate(graph)
    assert back.sample_rate == SEARCHED
    assert TOP_OCTAVE not in back.names
    kept = mine(folder, tmp_path / "kept", settings, plots=False, full_band=False)
    assert kept.graph.sample_rate == SEARCHED
    assert kept.metrics["audio_loss"] == mined.metrics["audio_loss"]
    assert "full_band" not in kept.metrics
