"""Offsets of a mix against its tracks: how they are written, and that a song is read by them."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from graphmix.audio import load_song, load_stems
from graphmix.audio.offset import Offset, parse_offset
from graphmix.errors import SongError
from graphmix.search.mine_song import fingerprint
from graphmix.songs.collection import open_collection

RATE = 30000
DELAY = 4500


@pytest.mark.parametrize(
    ("value", "offset"),
    [
        (0.35, Offset(0.35)),
        (-1, Offset(-1.0)),
        ("0.35", Offset(0.35)),
        (" .5 s", Offset(0.5)),
        ("-350 ms", Offset(-0.35)),
        ("15435 samples", Offset(samples=15435)),
        ("-3smp", Offset(samples=-3)),
    ],
)
def test_offsets_are_seconds_or_samples(value: object, offset: Offset) -> None:
    assert parse_offset(value, "here") == offset


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("soon", "here is 'soon': give seconds"),
        (True, "here is True: give seconds"),
        (float("nan"), "here is nan: give seconds"),
        ("1.5 samples", "give whole samples"),
        (15435, 'more than an hour: seconds are meant, or say "15435 samples"'),
        ([1], "give seconds"),
    ],
)
def test_other_offsets_are_refused(value: object, message: str) -> None:
    with pytest.raises(SongError, match=message):
        parse_offset(value, "here")


def test_samples_count_at_the_rate_of_the_mix() -> None:
    assert Offset(samples=44100).at(30000, 44100) == 30000
    assert Offset(0.5).at(30000, 44100) == 15000


def write_song(folder: Path, rate: int = RATE) -> Path:
    """A song whose mix begins DELAY samples after its tracks do."""
    (folder / "dry").mkdir(parents=True)
    tracks = 0.1 * np.random.default_rng(0).standard_normal((2, 2 * rate)).astype(np.float32)
    for number, track in enumerate(tracks):
        soundfile.write(folder / "dry" / f"{number}.wav", track, rate, subtype="FLOAT")
    mix = np.concatenate([np.zeros(DELAY, np.float32), tracks.sum(0)])
    soundfile.write(folder / "mix.wav", mix, rate, subtype="FLOAT")
    return folder


@pytest.mark.parametrize("preload_bytes", [0, 1 << 30])
@pytest.mark.parametrize("offset", [DELAY / RATE, f"{DELAY} samples", f"{1000 * DELAY / RATE} ms"])
def test_a_song_is_read_by_its_offset(tmp_path: Path, offset: float | str, preload_bytes: int) -> None:
    folder = write_song(tmp_path)
    (folder / "song.json").write_text(json.dumps({"offset": offset}))
    song = load_song(folder, RATE, preload_bytes=preload_bytes)
    assert song.offset == DELAY
    for start, length in ((0, song.num_samples), (-100, 6000), (50_000, 20_000)):
        segment = song.read(start, length)
        assert segment.mix is not None
        torch.testing.assert_close(segment.stems.sum(0), segment.mix)
    assert any("0.1500 s behind the tracks" in notice for notice in song.notices)


def test_a_negative_offset_cuts_the_beginning_of_the_tracks(tmp_path: Path) -> None:
    folder = write_song(tmp_path)
    mix, _ = soundfile.read(folder / "mix.wav", dtype="float32")
    soundfile.write(folder / "mix.wav", mix[2 * DELAY :], RATE, subtype="FLOAT")
    segment = load_song(folder, RATE, offset=-DELAY / RATE).read(0, 40_000)
    assert segment.mix is not None
    torch.testing.assert_close(segment.stems.sum(0), segment.mix)


def test_a_given_offset_goes_before_that_of_the_song(tmp_path: Path) -> None:
    folder = write_song(tmp_path)
    (folder / "song.json").write_text('{"offset": 1}')
    assert load_song(folder, RATE, offset="4500 samples").offset == DELAY
    assert load_song(folder, RATE, offset=0).offset == 0


def test_a_song_of_a_collection_is_read_by_its_offset(tmp_path: Path) -> None:
    folder = write_song(tmp_path / "A")
    described = {"subgroups": {"all": ["0.wav", "1.wav"]}, "offset": "4500 samples"}
    (tmp_path / "subgroups.json").write_text(json.dumps({"A": described}))
    (song,) = open_collection(tmp_path)
    assert song.load(RATE).offset == load_song(folder, RATE).offset == DELAY
    assert str(song.layout.offset) == "4500 samples"


def test_an_offset_beyond_the_mix_is_refused(tmp_path: Path) -> None:
    folder = write_song(tmp_path)
    for offset in (100, -2):
        with pytest.raises(SongError, match=r"leaves nothing of the tracks in the mix, which lasts 2\.150 s"):
            load_song(folder, RATE, offset=offset)


def test_an_offset_without_a_mix_changes_nothing(tmp_path: Path) -> None:
    folder = write_song(tmp_path)
    (folder / "mix.wav").unlink()
    (folder / "song.json").write_text('{"offset": 0.1}')
    assert load_stems(folder, RATE).offset == 0


def test_a_run_with_an_offset_is_another_run_and_one_without_is_that_of_earlier_versions(tmp_path: Path) -> None:
    folder = write_song(tmp_path)
    assert "offset" not in fingerprint(load_song(folder, RATE))
    assert fingerprint(load_song(folder, RATE, offset=0.1))["offset"] == 3000
