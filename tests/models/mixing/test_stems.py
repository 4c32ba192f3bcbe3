"""The input of an estimator: checks, selections, signals for a graph."""

import numpy as np
import pytest
import torch

from graphmix.audio.song import load_song
from graphmix.errors import GraphError, SongError
from graphmix.models.mixing.stems import Stems, resample
from tests.models.small_stems import RATE, gains_graph, make_stems, tone, with_silent_track
from tests.small_song import write_small_song


@pytest.mark.parametrize(
    ("audio", "names", "more", "message"),
    [
        (torch.zeros(2, 100), ("a",), {}, r"shape \[2, 100\], expected \[tracks, 2, samples\]"),
        (torch.zeros(1, 1, 100), ("a",), {}, "expected"),
        (torch.zeros(0, 2, 100), (), {}, "one of each or more"),
        (torch.zeros(1, 2, 100, dtype=torch.long), ("a",), {}, "is of int64 values: convert it to floats"),
        (torch.zeros(2, 2, 100), ("a",), {}, "2 tracks and have 1 names"),
        (torch.zeros(2, 2, 100), ("a", "a"), {}, "called 'a'; give each a name"),
        (torch.zeros(1, 2, 100), ("a",), {"sample_rate": 0}, "positive number of Hz"),
        (torch.zeros(1, 2, 100), ("a",), {"mix": torch.zeros(100)}, r"mix has shape \[100\]"),
        (torch.zeros(1, 2, 100), ("a",), {"subgroups": {"x": ("b",)}}, "holds 'b', which is none"),
        (torch.zeros(1, 2, 100), ("a",), {"subgroups": {"x": ("a",), "y": ("a",)}}, "in subgroups 'x' and 'y'"),
        (torch.zeros(1, 2, 100), ("a",), {"subgroups": {"x": "a"}}, "are the text 'a'"),
    ],
)
def test_what_does_not_fit_is_refused(audio, names, more, message) -> None:
    with pytest.raises(SongError, match=message):
        Stems(audio, names, more.pop("sample_rate", RATE), **more)


def test_a_song_becomes_stems(tmp_path) -> None:
    song = load_song(write_small_song(tmp_path / "song"), RATE)
    stems = Stems.from_song(song, start=300, length=5000)
    assert stems.names == song.track_names
    assert stems.subgroups == song.subgroups
    assert stems.sample_rate == RATE
    assert stems.mix is not None
    expected = song.read(300, 5000)
    assert torch.equal(stems.audio, expected.stems)
    assert torch.equal(stems.mix, expected.mix)
    assert Stems.from_song(song).audio.size(2) == song.num_samples


def test_the_one_bus_of_a_song_without_subgroups_counts_as_unknown(tmp_path) -> None:
    folder = write_small_song(tmp_path / "song")
    (folder / "song.json").unlink()
    assert Stems.from_song(load_song(folder, RATE), length=100).subgroups is None


def test_tracks_below_minus_100_db_are_silent() -> None:
    stems = with_silent_track(make_stems(2), level=0.9e-5)
    assert stems.active().tolist() == [False, True, True]
    assert with_silent_track(make_stems(1), level=1.1e-5).active().all()


def test_a_permutation_moves_tracks_and_names_together() -> None:
    stems = make_stems(4)
    moved = stems.permuted([2, 0, 3, 1])
    assert moved.names == ("track 2", "track 0", "track 3", "track 1")
    assert torch.equal(moved.audio, stems.audio[[2, 0, 3, 1]])
    assert moved.subgroups == stems.subgroups
    with pytest.raises(SongError, match="no order of 4 tracks"):
        stems.permuted([0, 1, 2, 2])


def test_sources_follow_the_names_of_a_graph() -> None:
    stems = make_stems(3)
    graph = gains_graph({"track 2": None, "track 0": None})
    assert torch.equal(stems.sources(graph), stems.audio[[2, 0]])
    with pytest.raises(GraphError, match="takes track 'kick', which is none of the stems"):
        stems.sources(gains_graph({"kick": None}))


def test_sources_come_at_the_rate_of_the_graph() -> None:
    stems = make_stems(2, rate=48000)
    sources = stems.sources(gains_graph({"track 0": None, "track 1": None}))
    assert sources.shape == (2, 2, RATE)
    moved = resample(tone(440, rate=48000)[None], 48000, RATE)[0]
    assert torch.allclose(moved[:, 300:-300], tone(440)[:, 300:-300], atol=1e-3)


def test_resampling_a_track_does_not_depend_on_its_neighbours() -> None:
    audio = make_stems(3, rate=44100).audio
    alone = torch.cat([resample(track[None], 44100, RATE) for track in audio])
    assert torch.equal(resample(audio, 44100, RATE), alone)
    assert resample(audio[:0], 44100, RATE).shape == alone[:0].shape


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, np.float16, np.float32])
def test_arrays_and_half_precision_are_converted(dtype) -> None:
    make = np.zeros if dtype in (np.float16, np.float32) else torch.zeros
    stems = Stems(make((2, 2, 100), dtype=dtype), ("a", "b"), 30000, mix=make((2, 100), dtype=dtype))
    assert stems.mix is not None
    assert stems.audio.dtype == stems.mix.dtype == torch.float32
