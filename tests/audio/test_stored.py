"""Decoded samples in a file: the same song as in memory."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from graphmix.audio import files as files_module
from graphmix.audio import load_song
from graphmix.audio.files import read_audio, read_info
from graphmix.audio.lags import TrackLag
from graphmix.audio.loading import load_checked
from graphmix.audio.stored import StoredSamples, put_row, room_like, take_row
from graphmix.errors import SongError
from graphmix.search.alignment import Alignment, Lags
from graphmix.search.residual import add_track
from tests.small_song import RATE, write_tiny_song


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_song(tmp_path_factory.mktemp("stored") / "song")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    audio = torch.randn(3, 2, 1000, generator=torch.Generator().manual_seed(0))
    samples = StoredSamples(tmp_path, 3, 1000)
    for row in (2, 0, 1):
        put_row(samples, row, audio[row])
    samples.write(1, 2 * audio[1, :, 10:20], start=10)
    audio[1, :, 10:20] *= 2
    out = torch.zeros(2, 2, 600)
    samples.read_into(out[:, :, 100:500], 300, first_row=1)
    assert torch.equal(out[:, :, 100:500], audio[1:, :, 300:700])
    assert not out[:, :, :100].any()
    assert torch.equal(take_row(samples, 2), audio[2])
    assert samples.num_bytes == 3 * 2 * 1000 * 4
    assert room_like(samples, 1, 5).shape == (1, 2, 5) == tuple(room_like(None, 1, 5).shape)


def test_the_file_has_no_name(tmp_path: Path) -> None:
    samples = StoredSamples(tmp_path, 1, 1000)
    assert list(tmp_path.iterdir()) == []
    assert samples.row(0).shape == (2, 1000)


def test_no_room_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(SongError, match=r"No space left.*make room, or give more --memory"):
        StoredSamples(tmp_path, 1, 1000)


@pytest.mark.parametrize("rate", [RATE, 22050])
def test_a_song_in_a_file_is_that_in_memory(folder: Path, tmp_path: Path, rate: int) -> None:
    memory, stored = load_song(folder, rate), load_song(folder, rate, preload_bytes=0, store_in=tmp_path)
    assert memory.is_preloaded
    assert not stored.is_preloaded
    assert stored.stored_bytes == 3 * 2 * stored.num_samples * 4 > memory.stored_bytes == 0
    for start, length in ((-100, 500), (rate // 2, rate), (2 * rate, 10)):
        one, other = memory.read(start, length), stored.read(start, length)
        assert torch.equal(one.stems, other.stems)
        assert one.mix is not None
        assert other.mix is not None
        assert torch.equal(one.mix, other.mix)
        assert torch.equal(stored.read_mix(start, length), one.mix)
        assert torch.equal(stored.read_track(1, start, length), one.stems[1])
        assert torch.equal(memory.read_track(1, start, length), one.stems[1])


def test_tracks_are_aligned_in_a_file_as_in_memory(folder: Path, tmp_path: Path) -> None:
    memory, stored = load_song(folder, RATE), load_song(folder, RATE, preload_bytes=0, store_in=tmp_path)
    lags = Lags(mix=3.5, tracks={memory.track_names[1]: TrackLag(-20.0, inverted=True)})
    one, other = (Alignment(lags, RATE).align(song) for song in (memory, stored))
    assert one.is_preloaded
    assert other.stored_bytes
    assert torch.equal(one.read(0, RATE).stems, other.read(0, RATE).stems)
    assert not torch.equal(one.read(0, RATE).stems, memory.read(0, RATE).stems)


def test_a_track_is_added_in_a_file_as_in_memory(folder: Path, tmp_path: Path) -> None:
    memory, stored = load_song(folder, RATE), load_song(folder, RATE, preload_bytes=0, store_in=tmp_path)
    audio = torch.randn(2, memory.num_samples, generator=torch.Generator().manual_seed(0))
    one, other = (add_track(song, folder / "mix.wav", audio) for song in (memory, stored))
    assert torch.equal(one.read(0, RATE).stems, other.read(0, RATE).stems)
    assert torch.equal(other.read_mix(0, RATE), memory.read_mix(0, RATE))
    assert torch.equal(other.read_track(2, 0, RATE), audio[:, :RATE])


@pytest.mark.parametrize("start", [-700, 0, 5000])
@pytest.mark.parametrize("rate", [RATE, 22050])
def test_decoding_in_blocks_is_decoding_whole(
    folder: Path, monkeypatch: pytest.MonkeyPatch, start: int, rate: int
) -> None:
    monkeypatch.setattr(files_module, "SCAN_BLOCK", 1000)
    monkeypatch.setattr(files_module, "RESAMPLE_BLOCK", 2500)
    info = read_info(folder / "mix.wav")
    audio, peak = load_checked(info, 15000, rate, start)
    assert torch.equal(audio, read_audio(info, start, 15000, rate))
    assert peak == float(read_audio(info).abs().max())


def test_a_stored_song_at_another_rate_is_read_from_its_files(folder: Path, tmp_path: Path) -> None:
    stored = load_song(folder, RATE, preload_bytes=0, store_in=tmp_path).at_rate(22050)
    assert stored.stored_bytes == 0
    assert torch.equal(stored.read_mix(0, 1000), replace(stored).read_mix(0, 1000))
