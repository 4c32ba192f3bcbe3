"""What tracks do not explain of a mix: its share, a removed track of known level, and the residual in a search."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from graphmix.audio import load_song, read_audio, write_audio
from graphmix.audio.song import Song
from graphmix.audio.song_places import is_mined
from graphmix.errors import SearchError
from graphmix.graph import mixing_console
from graphmix.graph.storage import load_graph
from graphmix.processors.rack import Rack
from graphmix.render.renderer import Renderer
from graphmix.search import residual
from graphmix.search.residual import RESIDUAL_TRACK, find_unexplained, with_residual
from graphmix.songbook.demo import DEMO_RATE, hidden_console, write_demo_song
from tests.small_song import RATE, SETTINGS, TRACKS, dry_tracks, hidden_graph, mine_without_plots, mixed, write_song

shape_of = residual._shape_of


def level(audio: Tensor) -> float:
    return 10 * math.log10(float(audio.double().square().mean()))


def without(song: Song, track: str) -> Song:
    """The song without one of its tracks; its mix stays."""
    assert song._decoded is not None
    kept = [i for i, name in enumerate(song.track_names) if name != track]
    subgroups = {bus: tuple(t for t in members if t != track) for bus, members in song.subgroups.items()}
    return replace(
        song,
        tracks=tuple(song.tracks[i] for i in kept),
        subgroups={bus: members for bus, members in subgroups.items() if members},
        _decoded=song._decoded[[*kept, song.num_tracks]],
    )


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Song:
    """Three tracks, mixed by gains alone."""
    tracks = dry_tracks()
    folder = write_song(tmp_path_factory.mktemp("small") / "song", tracks, mixed(hidden_graph(False), tracks))
    return load_song(folder, RATE)


def contribution(song: Song, track: str) -> Tensor:
    """What a track adds to the mix, by least squares on all waveforms: gains and panning are all there is."""
    audio = song.read(0, song.num_samples)
    assert audio.mix is not None
    parts = []
    for channel in range(2):
        stems, mix = audio.stems[:, channel].T.double(), audio.mix[channel].double()
        gains = torch.linalg.lstsq(stems, mix[:, None], driver="gelsd").solution
        row = song.track_names.index(track)
        parts.append(stems[:, row] * gains[row])
    return torch.stack(parts)


@pytest.mark.parametrize("missing", TRACKS)
def test_the_residual_is_as_loud_as_the_missing_track(small: Song, missing: str):
    true = level(contribution(small, missing)) - level(small.read_mix(0, small.num_samples))
    found = find_unexplained(without(small, missing), with_audio=True)
    assert found.audio is not None
    assert found.level_db == pytest.approx(true, abs=1)
    assert find_unexplained(without(small, missing)).level_db == pytest.approx(true, abs=1.2)
    error = level(found.audio.double() - contribution(small, missing)) - level(contribution(small, missing))
    assert error < -3, "it is that track, and not merely as loud"


@pytest.mark.parametrize("missing", ["02_Bass_Slap_02.flac", "05_BD_03.flac"])
def test_a_missing_track_of_a_real_song_of_gains_is_not_made_of_others_that_play_with_it(
    shared_audio: Path, missing: str
):
    """Filters that were free made half of the kick of other drums; the bar is 1 dB."""
    song = load_song(shared_audio / "reggae_try", RATE)
    assert find_unexplained(song).level_db < -55
    true = level(contribution(song, missing)) - level(song.read_mix(0, song.num_samples))
    assert find_unexplained(without(song, missing)).level_db == pytest.approx(true, abs=1)


def test_a_complete_multitrack_leaves_little(small: Song):
    assert find_unexplained(small).level_db < -30


@pytest.mark.slow
@pytest.mark.parametrize("missing", ["01_kick.wav", "02_snare.wav", "04_congas.wav", "05_bass.wav", "08_arpeggio.wav"])
def test_the_residual_of_a_song_with_compressors_and_reverbs_is_as_loud_as_the_missing_track(
    missing: str, tmp_path: Path
):
    song = load_song(write_demo_song(tmp_path / "demo"), DEMO_RATE)
    graph = hidden_console()
    renderer = Renderer(Rack.for_types(graph.types.types, DEMO_RATE))
    audio = song.read(0, song.num_samples)
    rows = [song.track_names.index(name) for name in graph.input_names]
    sources = audio.stems[rows]
    muted = sources.clone()
    muted[graph.input_names.index(missing)] = 0
    with torch.no_grad():
        part = renderer(graph, sources)[0] - renderer(graph, muted)[0]
    assert audio.mix is not None
    true = level(part) - level(audio.mix)
    assert find_unexplained(without(song, missing), with_audio=True).level_db == pytest.approx(true, abs=1)


def test_levels_that_a_compressor_changes_are_explained_better_than_by_filters_alone(
    small: Song, monkeypatch: pytest.MonkeyPatch
):
    """A mix of heavily compressed tracks, which no filter makes of the dry ones."""
    rack = Rack.console("c", RATE)
    graph = mixing_console(rack, {"all": list(small.track_names)}, "c")
    graph.params["compressor"][:] = torch.tensor([-40.0, 4.0, 6.0, 30.0])
    audio = small.read(0, small.num_samples)
    with torch.no_grad():
        mix = Renderer(rack)(graph, audio.stems)[0]
    song = replace(small, _decoded=torch.cat([audio.stems, mix[None]]))
    found = find_unexplained(song).level_db
    monkeypatch.setattr(residual, "_shape_of", lambda *args: replace(shape_of(*args), levels=False))
    assert found < find_unexplained(song).level_db - 2


def test_a_song_too_short_for_many_frames_is_explained_by_few_numbers(small: Song):
    assert small._decoded is not None
    short = replace(small, num_samples=9000, _decoded=small._decoded[..., :9000].contiguous())
    found = find_unexplained(short, with_audio=True)
    assert 0 <= found.share < 0.3
    assert found.audio is not None
    assert found.audio.isfinite().all()


def test_a_song_read_from_disk_gives_the_same(small: Song):
    from_disk = load_song(small.folder, RATE, preload_bytes=0)
    one, other = find_unexplained(small, with_audio=True), find_unexplained(from_disk, with_audio=True)
    assert one.audio is not None
    assert other.audio is not None
    torch.testing.assert_close(one.audio, other.audio, rtol=1e-4, atol=1e-5)


def test_the_file_of_a_residual_has_the_time_of_the_tracks(small: Song, tmp_path: Path):
    assert small._decoded is not None
    for offset in (700, -700):
        song = replace(small, offset=offset)
        found = find_unexplained(song, with_audio=True)
        assert found.audio is not None
        made = with_residual(song, found, tmp_path)
        again = read_audio(tmp_path / RESIDUAL_TRACK, -offset, song.num_samples, RATE)
        begin = max(0, offset)
        torch.testing.assert_close(again[:, begin:], found.audio[:, begin:])
        torch.testing.assert_close(made.read(0, song.num_samples).stems[-1], found.audio)


def test_a_search_without_it_is_the_same_and_says_the_share_and_one_with_it_has_the_track(tmp_path: Path):
    tracks = dry_tracks()
    mix = mixed(hidden_graph(False), tracks)
    del tracks[TRACKS[1]]
    song = write_song(tmp_path / "song", tracks, mix)
    plain = mine_without_plots(song, tmp_path / "plain", SETTINGS, device="cpu")
    with_it = mine_without_plots(song, tmp_path / "with", SETTINGS, device="cpu", residual=True)
    assert plain.metrics["unexplained"]["share_of_energy"] > 0.01
    assert not plain.metrics["unexplained"]["is_track"]
    assert "residual" not in (tmp_path / "plain" / "run.json").read_text()
    assert with_it.metrics["unexplained"]["is_track"]
    assert RESIDUAL_TRACK in with_it.metrics["source"]["tracks"]
    assert with_it.metrics["audio_loss"] < 0.7 * plain.metrics["audio_loss"]
    assert RESIDUAL_TRACK in load_graph(tmp_path / "with" / "graph.safetensors").input_names
    assert is_mined(tmp_path / "with")
    assert mine_without_plots(song, tmp_path / "with", SETTINGS, device="cpu", residual=True).already_done
    with pytest.raises(SearchError, match="residual = False, not True"):
        mine_without_plots(song, tmp_path / "plain", SETTINGS, device="cpu", residual=True)


def test_a_track_of_that_name_is_refused(small: Song, tmp_path: Path):
    found = find_unexplained(small, with_audio=True)
    made = with_residual(small, found, tmp_path)
    with pytest.raises(SearchError, match=r"has a track 'residual\.wav' already"):
        with_residual(made, found, tmp_path)


def test_silence_between_tracks_is_nothing_to_explain(small: Song, tmp_path: Path):
    write_audio(tmp_path / "x.wav", torch.zeros(2, 10), RATE)
    assert small._decoded is not None
    quiet = small._decoded.clone()
    quiet[0] = 0  # a silent track
    quiet[..., 30000:60000] = 0
    found = find_unexplained(replace(small, _decoded=quiet), with_audio=True)
    assert math.isfinite(found.level_db)
    assert found.audio is not None
    assert found.audio.isfinite().all()
