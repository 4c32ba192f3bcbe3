"""MP3 files: lengths come from their frames, whatever their headers say, and the delay that is left is stated."""

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from graphmix.audio import check_audio, load_song, read_audio, read_info
from graphmix.audio.mpeg import DECODER_DELAY, TYPICAL_DELAY, count_frames, parse_frame
from graphmix.errors import SongError

pytestmark = pytest.mark.skipif("MP3" not in soundfile.available_formats(), reason="this libsndfile writes no MP3")
SECONDS = 6


def song(rate: int, channels: int = 2) -> np.ndarray:
    """Near silence, then a sweep, then noise: frames of unequal sizes."""
    time = np.arange(SECONDS * rate) / rate
    sweep = 0.3 * np.sin(2 * np.pi * (200 + 100 * time) * time)
    noise = 0.2 * np.random.default_rng(0).standard_normal(time.size)
    mono = np.where(time < 2, 1e-3 * sweep, np.where(time < 4, sweep, noise))
    return np.stack([mono, 0.5 * mono][:channels], 1)


def write(path: Path, mode: str = "VARIABLE", rate: int = 44100, channels: int = 2) -> Path:
    with soundfile.SoundFile(
        path, "w", rate, channels, "MPEG_LAYER_III", format="MP3", bitrate_mode=mode, compression_level=0.3
    ) as file:
        file.write(song(rate, channels))
    return path


def without_info(path: Path) -> Path:
    """Take the first frame out, which has no sound."""
    content = path.read_bytes()
    first = parse_frame(content, 0)
    assert first is not None
    assert re.search(b"Xing|Info", content[: first.size])
    path.write_bytes(content[first.size :])
    return path


def lag(found: torch.Tensor, wanted: np.ndarray) -> int:
    size = 2 ** (len(wanted) - 1).bit_length() * 2
    spectra = [np.fft.rfft(x, size) for x in (found.numpy(), wanted)]
    return int(np.argmax(np.fft.irfft(spectra[0] * spectra[1].conj(), size)))


@pytest.mark.parametrize("rate", [44100, 48000, 22050, 16000, 11025])
@pytest.mark.parametrize(
    ("channels", "mode"),
    [
        (1, "VARIABLE"),
        *((2, mode) for mode in ("CONSTANT", "VARIABLE", "AVERAGE")),
        *(pytest.param(1, mode, marks=pytest.mark.slow) for mode in ("CONSTANT", "AVERAGE")),
    ],
)
def test_the_length_without_an_info_frame_is_that_of_the_frames(tmp_path, rate, mode, channels):
    path = without_info(write(tmp_path / "a.mp3", mode, rate, channels))
    stream = count_frames(path.read_bytes())
    assert stream is not None
    info = read_info(path)
    assert info.num_samples == stream.frames * (1152 if rate >= 32000 else 576) - DECODER_DELAY
    assert 0 <= info.num_samples - SECONDS * rate < 3 * 1152  # all of the song, and less than three frames more
    assert info.is_late
    check_audio(info)
    assert lag(read_audio(info)[0], song(rate)[:, 0]) == TYPICAL_DELAY


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_with_an_info_frame_length_and_place_are_exact(tmp_path, mode):
    info = read_info(write(tmp_path / "a.mp3", mode))
    assert (info.num_samples, info.is_late) == (SECONDS * 44100, False)
    assert lag(read_audio(info)[0], song(44100)[:, 0]) == 0


def test_tags_before_and_after_the_frames_do_not_count(tmp_path):
    path = without_info(write(tmp_path / "a.mp3"))
    bare = read_info(path).num_samples
    tag = b"ID3\x04\x00\x00\x00\x00\x02\x0a" + b"\xff\xfb\x90\x04" * 66 + bytes(2)  # 266 bytes that look like frames
    path.write_bytes(tag + path.read_bytes() + b"TAG".ljust(128, b"\0"))
    info = read_info(path)
    assert info.num_samples == bare
    check_audio(info)


def test_a_header_that_promises_less_than_there_is_does_not_cut_the_song(tmp_path):
    first, second = (write(tmp_path / f"{name}.mp3") for name in "ab")
    length = read_info(first).num_samples
    first.write_bytes(first.read_bytes() + without_info(second).read_bytes())
    info = read_info(first)
    assert info.num_samples >= 2 * length
    assert info.is_late
    check_audio(info)


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_file_that_promises_more_frames_than_it_has_is_cut(tmp_path, share):
    path = write(tmp_path / "a.mp3")
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(SongError, match=r"a\.mp3 is cut off: \d+ of \d+ frames that its header promises are missing"):
        read_info(path)


def test_a_file_that_ends_within_a_frame_is_cut(tmp_path):
    path = without_info(write(tmp_path / "a.mp3"))
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(SongError, match=r"a\.mp3 is cut off: 7 bytes of its last frame are missing"):
        read_info(path)


def test_damage_between_frames_is_found_when_the_samples_are_checked(tmp_path):
    path = without_info(write(tmp_path / "a.mp3", "CONSTANT"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 3000] = bytes(3000)
    path.write_bytes(content)
    with pytest.raises(SongError, match=r"a\.mp3 is damaged or cut off .*again"):
        check_audio(read_info(path))


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"\xff\xfb", b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f", b"\xff\xfb\x90\x04"]
)
def test_what_has_no_frames_is_no_stream(content):
    assert count_frames(content) is None or count_frames(content).missing


def test_flac_behind_an_id3_tag_is_no_mpeg_stream(tmp_path):
    soundfile.write(tmp_path / "a.flac", song(44100), 44100)
    assert count_frames(b"ID3\x04\x00\x00\x00\x00\x00\x00" + (tmp_path / "a.flac").read_bytes()) is None


def test_a_song_says_which_files_are_late(tmp_path):
    (tmp_path / "stems").mkdir()
    soundfile.write(tmp_path / "mix.wav", song(44100), 44100)
    without_info(write(tmp_path / "stems" / "1_kick.mp3"))
    write(tmp_path / "stems" / "2_bass.mp3")
    song_ = load_song(tmp_path)
    late = [notice for notice in song_.notices if "come late" in notice]
    assert len(late) == 1
    assert "1 of 3 files" in late[0]
    assert "576 samples): 1_kick.mp3" in late[0]
