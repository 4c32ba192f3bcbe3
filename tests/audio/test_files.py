"""Audio files: a block at any rate equals the slice of the whole; faults are named; writing is atomic."""

import math
import os
import resource
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import torchaudio

from graphmix.audio import check_audio, read_audio, read_info, write_audio
from graphmix.audio import files as files_module
from graphmix.errors import SongError


def noise(num_samples: int, channels: int = 2, seed: int = 0) -> np.ndarray:
    return (0.2 * np.random.default_rng(seed).standard_normal((num_samples, channels))).astype(np.float32)


def tone(num_samples: int) -> np.ndarray:
    return np.repeat(0.3 * np.sin(0.05 * np.arange(num_samples, dtype=np.float32))[:, None], 2, axis=1)


def save(path: Path, samples: np.ndarray, sample_rate: int = 44100) -> Path:
    """Write as the name ends; float where WAV; skip where this libsndfile lacks the encoder."""
    if path.suffix == ".mp3" and "MP3" not in soundfile.available_formats():
        pytest.skip("this libsndfile writes no MP3")
    subtype = {".wav": "FLOAT", ".opus": "OPUS"}.get(path.suffix)
    container = "OGG" if path.suffix == ".opus" else None
    soundfile.write(path, samples, sample_rate, subtype=subtype, format=container)
    return path


def whole(path: Path, sample_rate: int) -> torch.Tensor:
    """The reference: one read of the whole file, resampled at once."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return torchaudio.functional.resample(torch.from_numpy(samples.T.copy()), rate, sample_rate)


@pytest.mark.parametrize("ratio", [(44100, 30000), (48000, 30000), (22050, 30000), (30000, 44100), (32000, 16000)])
@pytest.mark.parametrize("length", [1, 99, 30_011])
def test_a_resampled_block_equals_the_slice_of_the_resampled_file(tmp_path, ratio, length):
    path = save(tmp_path / "a.wav", noise(length), ratio[0])
    reference = whole(path, ratio[1])
    total = math.ceil(length * ratio[1] / ratio[0])
    assert read_audio(path, sample_rate=ratio[1]).shape == (2, total) == reference.shape
    late = [(max(0, total - 3), 3), (max(0, total - 777), 777)]
    for start, count in [(0, total), (1, 7), (total // 2, 1000), *late]:
        block = read_audio(path, start, count, ratio[1])
        inside = reference[:, start : start + count]
        torch.testing.assert_close(block[:, : inside.shape[1]], inside, atol=1e-5, rtol=0)
        assert not block[:, inside.shape[1] :].any()


def test_long_reads_go_in_blocks_and_equal_the_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(files_module, "RESAMPLE_BLOCK", 1000)
    path = save(tmp_path / "a.flac", noise(20_000))
    torch.testing.assert_close(read_audio(path, sample_rate=30000), whole(path, 30000), atol=1e-5, rtol=0)


def test_a_sine_keeps_its_frequency_and_level_when_resampled(tmp_path):
    time = np.arange(44100) / 44100
    path = save(tmp_path / "a.wav", np.sin(2 * np.pi * 1000 * time)[:, None].astype(np.float32))
    expected = np.sin(2 * np.pi * 1000 * np.arange(5000, 25000) / 30000)
    np.testing.assert_allclose(read_audio(path, 5000, 20000, 30000)[0].numpy(), expected, atol=2e-3)


def test_outside_the_file_is_silence(tmp_path):
    samples = noise(100)
    block = read_audio(save(tmp_path / "a.wav", samples), -5, 200)
    torch.testing.assert_close(block[:, 5:105], torch.from_numpy(samples.T.copy()), atol=0, rtol=0)
    assert not block[:, :5].any()
    assert not block[:, 105:].any()
    assert not read_audio(tmp_path / "a.wav", 500, 10).any()
    resampled = read_audio(tmp_path / "a.wav", -50, 200, 30000)
    assert not resampled[:, :50].any()
    assert not resampled[:, 50 + 69 :].any()


def test_a_mono_file_becomes_two_equal_channels(tmp_path):
    samples = noise(500, channels=1)
    for rate in (44100, 30000):
        left, right = read_audio(save(tmp_path / "a.wav", samples), sample_rate=rate)
        assert torch.equal(left, right)
    left = read_audio(tmp_path / "a.wav")[0]
    np.testing.assert_array_equal(left.numpy(), samples[:, 0])


@pytest.mark.parametrize("extension", ["wav", "flac", "ogg", "opus", "mp3", "aiff"])
@pytest.mark.parametrize("sound", [noise, tone])
def test_blocks_of_every_format_equal_one_read_of_the_whole(tmp_path, extension, sound):
    path = save(tmp_path / f"a.{extension}", sound(150_000), 48000)
    reference = whole(path, 48000)
    for start in (
        0,
        1,
        70_001,
        110_000,
        140_003,
        149_500,
    ):  # libsndfile seeks wrongly in MP3, and late in Ogg
        block = read_audio(path, start, 4000)
        inside = reference[:, start : start + 4000]
        torch.testing.assert_close(block[:, : inside.shape[1]], inside, atol=1e-6, rtol=0)


def test_info_tells_rate_channels_and_length(tmp_path):
    info = read_info(save(tmp_path / "a.flac", noise(1234, 1), 48000))
    assert (info.sample_rate, info.channels, info.num_samples, info.container) == (48000, 1, 1234, "FLAC")
    assert info.num_samples_at(30000) == 772  # 771.25 rounded up
    assert info.seconds == pytest.approx(1234 / 48000)


def test_the_length_at_another_rate_is_exact_for_hours_of_audio(tmp_path):
    info = files_module.AudioInfo(tmp_path, 44100, 2, 44100 * 36000 + 1)
    assert info.num_samples_at(30000) == 30000 * 36000 + 1


def test_check_returns_the_peak_over_all_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(files_module, "SCAN_BLOCK", 100)
    samples = np.zeros((1000, 2), np.float32)
    samples[777, 1] = -0.75
    assert check_audio(read_info(save(tmp_path / "a.wav", samples))) == 0.75


# --- broken files ---


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_sample_that_is_not_finite_is_located(tmp_path, monkeypatch, value):
    monkeypatch.setattr(files_module, "SCAN_BLOCK", 100)
    samples = noise(44100)
    samples[22050, 1] = value
    info = read_info(save(tmp_path / "bad.wav", samples))
    message = r"bad\.wav holds .*(nan|inf).* at sample 22050 \(0\.50 s\).*render it again"
    with pytest.raises(SongError, match=message):
        check_audio(info)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SongError, match=r"none\.wav is not a file"):
        read_info(tmp_path / "none.wav")


@pytest.mark.parametrize("name", ["text.wav", "text.raw"])
@pytest.mark.parametrize("content", [b"", b"this is no audio at all, whatever its name says"])
def test_a_file_that_is_no_audio_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SongError, match=rf"{name} cannot be decoded as audio .*export it again"):
        read_info(tmp_path / name)


def test_more_than_two_channels_are_refused(tmp_path):
    with pytest.raises(SongError, match=r"a\.wav has 6 channels: mix it down"):
        read_info(save(tmp_path / "a.wav", noise(100, 6)))


def test_an_empty_file_is_refused(tmp_path):
    with pytest.raises(SongError, match=r"a\.wav holds 0 samples"):
        read_info(save(tmp_path / "a.wav", noise(0)))


@pytest.mark.parametrize("extension", ["wav", "aiff", "ogg", "opus"])
def test_a_cut_file_is_refused_by_its_header(tmp_path, extension):
    path = save(tmp_path / f"cut.{extension}", noise(100_000), 48000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    with pytest.raises(SongError, match=rf"cut\.{extension} is cut off: .*missing.*again"):
        read_info(path)


def test_a_cut_flac_is_refused_when_its_samples_are_checked(tmp_path):
    path = save(tmp_path / "cut.flac", noise(100_000), 48000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    with pytest.raises(SongError, match=r"cut\.flac is damaged or cut off.*again"):
        check_audio(read_info(path))


def test_a_damaged_flac_is_refused(tmp_path):
    path = save(tmp_path / "bad.flac", noise(100_000))
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 300] = bytes(300)
    path.write_bytes(content)
    with pytest.raises(SongError, match=r"bad\.flac is damaged or cut off between 0\.00 s and .*again"):
        check_audio(read_info(path))


def test_a_flac_that_does_not_say_its_length_is_refused(tmp_path):
    path = save(tmp_path / "piped.flac", noise(10_000))
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0  # the 36 bits of STREAMINFO that count the samples
    content[22:26] = bytes(4)
    path.write_bytes(content)
    with pytest.raises(SongError, match=r"piped\.flac does not say how long it is"):
        read_info(path)


def test_a_piped_wav_whose_size_is_unknown_is_read(tmp_path):
    path = save(tmp_path / "piped.wav", noise(1000))
    content = bytearray(path.read_bytes())
    place = content.index(b"data") + 4
    content[place : place + 4] = b"\xff" * 4
    path.write_bytes(content)
    assert read_info(path).num_samples == 1000


@pytest.mark.parametrize("rate", [0, -1])
def test_an_impossible_rate_is_refused(tmp_path, rate):
    with pytest.raises(SongError, match=f"sample_rate is {rate}"):
        read_audio(save(tmp_path / "a.wav", noise(100)), sample_rate=rate)


def test_a_ratio_whose_filters_fill_the_memory_is_refused(tmp_path):
    path = save(tmp_path / "a.wav", noise(100), 44101)
    with pytest.raises(SongError, match=r"ratio 44101 to 30000: the filters would take 5\.3 GB"):
        read_audio(path, sample_rate=30000)


def test_a_negative_length_is_refused(tmp_path):
    with pytest.raises(SongError, match="cannot read -1 samples"):
        read_audio(save(tmp_path / "a.wav", noise(100)), 0, -1)


# --- writing ---


@pytest.mark.parametrize(("extension", "tolerance"), [("wav", 0.0), ("flac", 2**-23), ("WAV", 0.0)])
@pytest.mark.parametrize("channels", [1, 2])
def test_what_is_written_reads_back(tmp_path, extension, tolerance, channels):
    audio = torch.rand(channels, 100_001) * 2 - 1
    write_audio(tmp_path / f"a.{extension}", audio, 30000)
    read, rate = soundfile.read(tmp_path / f"a.{extension}", dtype="float32", always_2d=True)
    assert rate == 30000
    np.testing.assert_allclose(read.T, audio.numpy(), atol=tolerance, rtol=0)
    assert os.listdir(tmp_path) == [f"a.{extension}"]


def test_wav_holds_what_exceeds_full_scale(tmp_path):
    write_audio(tmp_path / "a.wav", torch.full((2, 10), 3.5), 30000)
    assert read_audio(tmp_path / "a.wav").eq(3.5).all()


def test_ogg_keeps_length_and_nearly_the_sound_of_a_long_song(tmp_path):
    audio = torch.from_numpy(tone(1_000_003).T.copy())  # written at once this would overflow libvorbis' stack
    write_audio(tmp_path / "a.ogg", audio, 30000)
    read = read_audio(tmp_path / "a.ogg")
    assert read.shape == audio.shape
    assert (read - audio).square().mean() < 1e-3 * audio.square().mean()


def test_writing_replaces_an_older_file(tmp_path):
    write_audio(tmp_path / "a.wav", torch.zeros(2, 50), 30000)
    write_audio(tmp_path / "a.wav", torch.ones(2, 20), 30000)
    assert read_audio(tmp_path / "a.wav").shape == (2, 20)


@pytest.mark.parametrize("extension", ["wav", "flac", "ogg"])
def test_a_full_disk_leaves_the_old_file_and_no_half_one(tmp_path, extension):
    path = tmp_path / f"a.{extension}"
    write_audio(path, torch.zeros(2, 50), 30000)
    old = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))  # writing past it fails as on a full disk
    try:
        with pytest.raises(SongError, match=rf"a\.{extension} cannot be written .*disk has room"):
            write_audio(path, torch.from_numpy(noise(300_000).clip(-1, 1).T.copy()), 30000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == [path.name]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(SongError, match=r"the folder .*nowhere is missing\. Create it first"):
        write_audio(tmp_path / "nowhere" / "a.wav", torch.zeros(2, 5), 30000)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_forbidden_folder_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(SongError, match=r"a\.wav cannot be written .*folder may be written to"):
        write_audio(tmp_path / "a.wav", torch.zeros(2, 5), 30000)


def test_a_target_that_is_a_folder_is_refused(tmp_path):
    (tmp_path / "a.wav").mkdir()
    with pytest.raises(SongError, match=r"a\.wav cannot be written \(Is a directory\)"):
        write_audio(tmp_path / "a.wav", torch.zeros(2, 5), 30000)
    assert os.listdir(tmp_path) == ["a.wav"]


@pytest.mark.parametrize("shape", [(5,), (2, 0), (3, 100), (1, 2, 100)])
def test_audio_of_another_shape_is_refused(tmp_path, shape):
    with pytest.raises(SongError, match=r"expected \[1 or 2 channels, samples\]"):
        write_audio(tmp_path / "a.wav", torch.zeros(shape), 30000)


def test_audio_that_cannot_be_kept_is_refused(tmp_path):
    with pytest.raises(SongError, match=r"a\.m4a ends in '\.m4a': name it \.wav, \.flac, \.ogg"):
        write_audio(tmp_path / "a.m4a", torch.zeros(2, 5), 30000)
    with pytest.raises(SongError, match="not finite"):
        write_audio(tmp_path / "a.wav", torch.full((2, 5), torch.nan), 30000)
    with pytest.raises(SongError, match=r"peaks at 1\.500, and FLAC clips above 1: write \.wav"):
        write_audio(tmp_path / "a.flac", torch.full((2, 5), 1.5), 30000)
    with pytest.raises(SongError, match="takes 2 channels at 0 Hz"):
        write_audio(tmp_path / "a.wav", torch.zeros(2, 5), 0)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_numpy_arrays_of_floats_are_written(tmp_path, dtype):
    write_audio(tmp_path / "a.wav", np.full((2, 10), 0.5, dtype), np.int64(30000))
    assert read_audio(tmp_path / "a.wav").eq(0.5).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_tensors_of_every_floating_type_are_written(tmp_path, dtype):
    write_audio(tmp_path / "a.wav", torch.full((2, 10), 0.5, dtype=dtype), 30000)
    assert read_audio(tmp_path / "a.wav").eq(0.5).all()


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (np.zeros((2, 10), np.int16), r"is of int16 values: convert it to floats .*32768"),
        (torch.zeros(2, 10, dtype=torch.int32), "is of int32 values: convert it to floats"),
        (torch.zeros(2, 10, dtype=torch.complex64), "is of complex64 values"),
        (np.zeros((2, 10), bool), "is of bool values"),
        (np.zeros((2, 10), complex), "is of type ndarray, expected a tensor or a NumPy array of floats"),
        ([[0.0, 0.1]], "is of type list, expected a tensor or a NumPy array of floats"),
    ],
)
def test_audio_that_is_not_of_floats_is_refused(tmp_path, audio, message):
    with pytest.raises(SongError, match=rf"audio for .*a\.wav {message}"):
        write_audio(tmp_path / "a.wav", audio, 30000)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("rate", [30000.0, "30000", None, True])
def test_a_rate_that_is_no_whole_number_is_refused(tmp_path, rate):
    with pytest.raises(SongError, match="give a whole number of Hz"):
        write_audio(tmp_path / "a.wav", torch.zeros(2, 10), rate)


def test_a_file_whose_name_is_not_utf8_is_written_and_read(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.wav")
    write_audio(path, torch.ones(2, 20), 30000)
    assert read_audio(path).eq(1).all()
    assert check_audio(read_info(path)) == 1
    assert os.listdir(os.fsencode(tmp_path)) == [b"caf\xe9.wav"]
