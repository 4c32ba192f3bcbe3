"""Files that end before their samples do, and headers that were never completed."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from graphmix.audio import check_audio, read_info
from graphmix.audio.containers import refuse_cut_file
from graphmix.errors import SongError

FORMATS = {
    "riff": ("WAV", "PCM_16", "FILE"),
    "rifx": ("WAV", "PCM_16", "BIG"),
    "float": ("WAV", "FLOAT", "FILE"),
    "wavex": ("WAVEX", "PCM_24", "FILE"),
    "rf64": ("RF64", "PCM_24", "FILE"),
    "w64": ("W64", "PCM_16", "FILE"),
    "aiff": ("AIFF", "PCM_16", "FILE"),
    "aifc": ("AIFF", "FLOAT", "FILE"),
    "au": ("AU", "PCM_16", "FILE"),
    "au little": ("AU", "PCM_16", "LITTLE"),
    "caf": ("CAF", "PCM_16", "FILE"),
    "flac": ("FLAC", "PCM_16", "FILE"),
    "ogg": ("OGG", "VORBIS", "FILE"),
}
SIZE_FIELDS = {  # what comes before the size of the samples, its bytes, their order
    "riff": (b"data", 4, "little"),
    "rifx": (b"data", 4, "big"),
    "float": (b"data", 4, "little"),
    "w64": (bytes.fromhex("f3acd3118cd100c04f8edb8a"), 8, "little"),
    "aiff": (b"SSND", 4, "big"),
    "caf": (b"data", 8, "big"),
}


def write(folder: Path, kind: str, samples: int = 20_000) -> Path:
    container, subtype, endian = FORMATS[kind]
    path = folder / f"{kind}.audio"
    noise = 0.2 * np.random.default_rng(0).standard_normal((samples, 2))
    soundfile.write(path, noise, 48000, subtype, endian, container)
    return path


def set_size(path: Path, kind: str, size: int) -> None:
    """Write another size of the samples into the header."""
    before, width, order = SIZE_FIELDS[kind]
    content = bytearray(path.read_bytes())
    place = content.rindex(before, 0, 5000) + len(before)
    content[place : place + width] = size.to_bytes(width, order)
    path.write_bytes(content)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_whole_file_is_accepted(tmp_path, kind):
    info = read_info(write(tmp_path, kind))
    assert info.num_samples == 20_000
    assert check_audio(info) > 0.1


@pytest.mark.parametrize("share", [0.5, 0.999])
@pytest.mark.parametrize("kind", FORMATS)
def test_a_cut_file_is_refused(tmp_path, kind, share):
    path = write(tmp_path, kind)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(SongError, match=r"cut off.*again"):
        check_audio(read_info(path))


@pytest.mark.parametrize("kind", SIZE_FIELDS)
def test_a_header_that_says_zero_before_audio_is_explained(tmp_path, kind):
    path = write(tmp_path, kind)
    set_size(path, kind, 0)
    with pytest.raises(SongError, match=r"says in its header that it holds 0 bytes of samples, and \d+ bytes follow"):
        read_info(path)


def test_an_au_file_that_says_zero_before_audio_is_explained(tmp_path):
    path = write(tmp_path, "au")
    content = bytearray(path.read_bytes())
    content[8:12] = bytes(4)
    path.write_bytes(content)
    with pytest.raises(SongError, match="holds 0 bytes of samples"):
        read_info(path)


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFF000, 0x80000000])
def test_a_size_that_stands_for_an_unknown_one_is_read_to_the_end(tmp_path, size):
    path = write(tmp_path, "riff")
    set_size(path, "riff", size)
    info = read_info(path)
    assert info.num_samples == 20_000
    check_audio(info)


def test_an_au_file_of_unknown_size_is_read_to_the_end(tmp_path):
    path = write(tmp_path, "au")
    content = bytearray(path.read_bytes())
    content[8:12] = b"\xff" * 4
    path.write_bytes(content)
    assert read_info(path).num_samples == 20_000


@pytest.mark.parametrize("kind", ["riff", "aiff", "w64", "caf", "rf64", "au"])
def test_a_file_that_is_really_empty_says_so(tmp_path, kind):
    with pytest.raises(SongError, match="holds 0 samples"):
        read_info(write(tmp_path, kind, 0))


def test_an_empty_file_with_a_tag_behind_is_empty_and_not_broken(tmp_path):
    path = write(tmp_path, "riff", 0)
    path.write_bytes(path.read_bytes() + b"LIST\x04\x00\x00\x00INFO")
    with pytest.raises(SongError, match="holds 0 samples"):
        read_info(path)


@pytest.mark.parametrize("content", [b"RIFF", b"RIFF1234WAVE", b"caff\0\1\0\0", b".snd", b"riff", b"FORM0000AIFFSSND"])
def test_a_header_alone_is_no_traceback(tmp_path, content):
    path = tmp_path / "short.wav"
    path.write_bytes(content)
    refuse_cut_file(path)
    with pytest.raises(SongError, match="cannot be decoded as audio"):
        read_info(path)
