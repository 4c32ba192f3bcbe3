"""Audio files: what they hold, their samples at any rate, and writing them so that no half file is ever left.

Samples are float32 in [-1, 1], shaped [channels, samples]; what leaves this module for a song is stereo, a
mono file as two equal channels. Positions count samples at the rate that was asked for; outside the file is
silence.

Resampling is torchaudio's windowed sinc, read in blocks: its output sample n depends on few input samples,
and its filters repeat with the period of the reduced ratio (44,100 to 30,000 Hz: 147 in, 100 out). A block
that starts on this grid, with a margin of one filter, therefore equals the same slice of the whole file
resampled at once.

Two facts about libsndfile (1.2) decide how files are decoded. A seek in an MP3 file may land on the wrong
sample, and soundfile seeks after each read: an MP3 file is decoded whole, by one read. A seek into the last
page of an Ogg file lands wrong too: near its end such a file is decoded from well before.
"""

import math
import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from io import BytesIO
from pathlib import Path

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor

from graphmix.audio.containers import refuse_cut_file
from graphmix.audio.mpeg import MpegStream, count_frames, decodable, is_mpeg
from graphmix.audio.samples import float_tensor, whole_rate
from graphmix.errors import SongError

AUDIO_EXTENSIONS = {
    ".wav", ".wave", ".bwf", ".w64", ".rf64", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc",
    ".caf", ".au", ".snd",
}  # fmt: skip
UNREAD_EXTENSIONS = {
    ".m4a", ".m4b", ".aac", ".mp4", ".wma", ".ape", ".wv", ".mp2", ".webm", ".mka", ".amr", ".ac3", ".dts", ".mpc",
    ".tta", ".shn", ".dsf", ".dff", ".mogg", ".sd2", ".ra",
}  # fmt: skip
"""Endings of audio that libsndfile does not read: such a file is named, so that no track vanishes silently."""
WRITTEN_AS = {".wav": ("WAV", "FLOAT"), ".flac": ("FLAC", "PCM_24"), ".ogg": ("OGG", "VORBIS")}

SCAN_BLOCK = 1 << 19  # samples decoded at a time when a whole file is checked: 12 s, 4 MB in stereo
RESAMPLE_BLOCK = 1 << 18  # samples resampled at a time; torchaudio counts in float32, exact below 2 ** 24
WRITE_BLOCK = 1 << 16  # samples written at a time: libvorbis overflows its stack on a whole song
LARGEST_WAV = (1 << 32) - (1 << 16)  # bytes of samples whose number fits into a WAV header; more are written as RF64
LARGEST_KERNEL = 1 << 26  # filter taps of a resampler: 256 MB
LAST_OGG_PAGE_SECONDS = 20  # longer than any last page: 255 packets of at most 60 ms are 15 s
UNKNOWN_FRAMES = 1 << 62  # libsndfile's answer for a FLAC stream that does not say its length is 2 ** 63 - 1

Reader = Callable[[int, int], Tensor]  # (from, to) in samples of the file -> [channels, to - from]


@dataclass(frozen=True)
class AudioInfo:
    """What the header of an audio file says.

    Args:
        path: of the file.
        sample_rate: in Hz.
        channels: 1 or 2.
        num_samples: length at `sample_rate`.
        container: libsndfile's name of the format ("WAV", "FLAC", "OGG", "MP3", ...); the file's name may differ.
        is_late: whether the delay of an encoder, of unknown length, comes before the sound (MP3 without a LAME tag).
    """

    path: Path
    sample_rate: int
    channels: int
    num_samples: int
    container: str = "WAV"
    is_late: bool = False

    @property
    def is_decoded_whole(self) -> bool:
        """Whether each read decodes all of the file (MP3), so that reading it in blocks is slow."""
        return self.container == "MP3"

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.num_samples / self.sample_rate

    def num_samples_at(self, sample_rate: int) -> int:
        """Length in samples after resampling to `sample_rate`: rounded up, in integers."""
        return -(-self.num_samples * sample_rate // self.sample_rate)


def read_info(path: str | Path) -> AudioInfo:
    """Read a file's header; the frames of an MP3 file are counted.

    Raises:
        SongError: there is no such file, it is no audio, it has more than two channels, no samples or an
            unknown length, or it is shorter than its header says.
    """
    path = Path(path)
    if not path.is_file():
        raise SongError(f"{path} is not a file: check the name.")
    refuse_cut_file(path)
    with _open(path) as file:
        info = AudioInfo(path, file.samplerate, file.channels, file.frames, file.format)
    if info.container == "MP3":
        info = _with_counted_length(info)
    if info.channels > 2:
        raise SongError(f"{path} has {info.channels} channels: mix it down to one or two.")
    if info.num_samples <= 0:
        raise SongError(f"{path} holds 0 samples: export it again, or take it out of the song.")
    if info.num_samples >= UNKNOWN_FRAMES:
        raise SongError(f"{path} does not say how long it is (a piped encoder leaves 0 there): encode it again.")
    return info


def _read_mpeg(path: Path) -> tuple[bytes, MpegStream] | None:
    """The content of a file that is an MPEG stream, and its frames."""
    with path.open("rb") as file:
        head = file.read(4)
        content = head + file.read() if is_mpeg(head) else b""
    stream = count_frames(content) if content else None
    return None if stream is None else (content, stream)


def _with_counted_length(info: AudioInfo) -> AudioInfo:
    """What is known of an MP3 file when its frames are counted.

    Raises:
        SongError: it has fewer frames than it promises, or a part of one at its end.
    """
    found = _read_mpeg(info.path)
    if found is None:
        return info
    stream = found[1]
    lost = 0 if stream.promised is None else stream.promised - stream.frames
    if lost > 0 or stream.missing:
        what = f"{lost} of {stream.promised} frames that its header promises" if lost > 0 else ""
        what = what or f"{stream.missing} bytes of its last frame"
        raise SongError(f"{info.path} is cut off: {what} are missing. Copy or export it again.")
    if stream.says_its_length:
        return replace(info, is_late=not stream.has_delay)
    return replace(info, num_samples=stream.samples, is_late=True)


def _source(path: Path) -> bytes | BytesIO:
    """What libsndfile shall open: the name of the file, as bytes because it need not be UTF-8, or its content."""
    found = _read_mpeg(path)
    if found is None or found[1].says_its_length:
        return os.fsencode(path)
    return BytesIO(decodable(*found))


def _open(path: Path) -> soundfile.SoundFile:
    try:
        return soundfile.SoundFile(_source(path))
    except (soundfile.SoundFileError, OSError, TypeError) as error:  # TypeError: headerless .raw
        raise SongError(
            f"{path} cannot be decoded as audio ({_reason(error)}): export it again, as WAV or FLAC."
        ) from error


def _reason(error: Exception) -> str:
    """Say why; libsndfile's own text is without the path and often empty."""
    if isinstance(error, soundfile.LibsndfileError):
        return str(error.error_string).strip().rstrip(".") or "libsndfile gives no reason"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _decode(info: AudioInfo, start: int, stop: int) -> Tensor:
    """Decode [start, stop), which lies inside the file, at the file's own rate and channels."""
    first, last = start, stop
    if info.container == "OGG":
        first = max(0, min(start, info.num_samples - LAST_OGG_PAGE_SECONDS * info.sample_rate))
    elif info.is_decoded_whole:
        first, last = 0, info.num_samples
    with _open(info.path) as file:
        try:
            if first:
                file.seek(first)
            samples = file.read(last - first, dtype="float32", always_2d=True)
        except (soundfile.SoundFileError, OSError) as error:
            raise SongError(
                f"{info.path} is damaged or cut off between {first / info.sample_rate:.2f} s and "
                f"{last / info.sample_rate:.2f} s ({_reason(error)}): copy or export it again."
            ) from error
    if len(samples) < last - first or samples.shape[1] != info.channels:
        raise SongError(
            f"{info.path} is damaged or cut off: it promises {info.num_samples} samples and ends after "
            f"{first + len(samples)}. Copy or export it again."
        )
    return torch.from_numpy(np.ascontiguousarray(samples[start - first : stop - first].T))


def _file_reader(info: AudioInfo) -> Reader:
    """Return a reader of the file, which stays on the disk unless it must be decoded whole."""
    if info.is_decoded_whole:
        return _memory_reader(_decode(info, 0, info.num_samples))

    def read(start: int, stop: int) -> Tensor:
        inside = max(0, start), min(stop, info.num_samples)
        if inside[0] >= inside[1]:
            return torch.zeros(info.channels, stop - start)
        return torch.nn.functional.pad(_decode(info, *inside), (inside[0] - start, stop - inside[1]))

    return read


def _memory_reader(samples: Tensor) -> Reader:
    """Return a reader of samples [channels, length] that are in memory, with silence around them."""

    def read(start: int, stop: int) -> Tensor:
        out = samples.new_zeros(samples.shape[0], stop - start)
        inside = max(0, start), min(stop, samples.shape[1])
        if inside[0] < inside[1]:
            out[:, inside[0] - start : inside[1] - start] = samples[:, inside[0] : inside[1]]
        return out

    return read


@lru_cache(maxsize=16)
def _resampler(old: int, new: int) -> tuple[torch.nn.Module, int]:
    """Return torchaudio's resampler of a ratio and the reach of its filters in periods of `old` samples."""
    # here, because it takes a second and songs at their own rate do without
    from torchaudio.transforms import Resample

    half_width = math.ceil(6 * old / (0.99 * min(old, new)))  # torchaudio's lowpass_filter_width and rolloff
    if new * (2 * half_width + old) > LARGEST_KERNEL:
        raise SongError(
            f"audio cannot be resampled in the ratio {old} to {new}: the filters would take "
            f"{new * (2 * half_width + old) * 4 / 1e9:.1f} GB. Choose a working rate that shares a large "
            "factor with the files' (44100 with 30000, 48000 or 22050)."
        )
    return Resample(old, new), math.ceil(half_width / old)


def read_at(read: Reader, info: AudioInfo, start: int, length: int, sample_rate: int) -> Tensor:
    """Read [start, start + length) at `sample_rate` by a reader of the file, block after block -> [2, length]."""
    if sample_rate == info.sample_rate:
        return read(start, start + length).expand(2, length)
    out = torch.empty(info.channels, length)
    for begin in range(0, length, RESAMPLE_BLOCK):
        end = min(begin + RESAMPLE_BLOCK, length)
        out[:, begin:end] = _resampled_block(read, info, start + begin, start + end, sample_rate)
    return out.expand(2, length)


def _resampled_block(read: Reader, info: AudioInfo, start: int, stop: int, sample_rate: int) -> Tensor:
    """Resample the periods that cover [start, stop) with a margin on both sides, and cut the block out."""
    factor = math.gcd(info.sample_rate, sample_rate)
    old, new = info.sample_rate // factor, sample_rate // factor
    resample, margin = _resampler(old, new)
    first, last = start // new - margin, -(-stop // new) + margin
    block = resample(read(first * old, last * old))[:, start - first * new : stop - first * new]
    total = info.num_samples_at(sample_rate)  # the filters ring past both ends; a resampled file stops there
    block[:, : max(0, -start)] = 0
    block[:, max(0, total - start) :] = 0
    return block


def read_audio(
    source: str | Path | AudioInfo, start: int = 0, length: int | None = None, sample_rate: int | None = None
) -> Tensor:
    """Read samples [start, start + length) of a file as stereo, at any rate.

    Args:
        source: the file, or what :func:`read_info` said about it.
        start: first sample, at `sample_rate`; negative is before the file, which is silence.
        length: number of samples, at `sample_rate`; None is up to the end.
        sample_rate: in Hz; None is the file's own.

    Shape:
        -> [2, length], float32; both channels of a mono file are equal.

    Raises:
        SongError: as :func:`read_info`, or the samples cannot be decoded.
    """
    info = source if isinstance(source, AudioInfo) else read_info(source)
    rate = info.sample_rate if sample_rate is None else sample_rate
    if rate < 1:
        raise SongError(f"sample_rate is {rate}: a rate is 1 Hz or more.")
    count = info.num_samples_at(rate) - start if length is None else length
    if count < 0:
        raise SongError(f"cannot read {count} samples of {info.path} from {start} on: it has {info.num_samples}.")
    return read_at(_file_reader(info), info, start, count, rate).clone()


def checked_blocks(info: AudioInfo) -> Iterator[Tensor]:
    """Decode the whole file once, in blocks [channels, samples] at its own rate, and check every sample.

    Raises:
        SongError: a sample is NaN or infinite, or cannot be decoded.
    """
    read = _file_reader(info)
    for start in range(0, info.num_samples, SCAN_BLOCK):
        block = read(start, min(start + SCAN_BLOCK, info.num_samples))
        finite = block.isfinite().all(0)
        if not finite.all():
            first = int(finite.logical_not().nonzero()[0])
            raise SongError(
                f"{info.path} holds {block[:, first].tolist()} at sample {start + first} "
                f"({(start + first) / info.sample_rate:.2f} s), not finite numbers: render it again."
            )
        yield block


def check_audio(info: AudioInfo) -> float:
    """Check every sample of a file and return the largest magnitude; a block at a time is in memory."""
    return max(float(block.abs().max()) for block in checked_blocks(info))


def write_audio(path: str | Path, audio: Tensor | NDArray[np.floating], sample_rate: int) -> None:
    """Write audio [channels, samples] as float WAV, 24-bit FLAC or Ogg Vorbis, as the name ends.

    The file appears whole or not at all: a hidden file beside it is written, checked and renamed. Audio may be a tensor
    or a NumPy array of any floating-point type.

    Raises:
        SongError: the name ends otherwise, the audio has another shape, is of integers, not finite or too loud for
            FLAC, the rate is no whole number, or the folder cannot be written (missing, forbidden, full).
    """
    path = Path(path)
    samples = _writable_samples(path, audio)
    blocks = (samples[start : start + WRITE_BLOCK] for start in range(0, len(samples), WRITE_BLOCK))
    _write_blocks(path, blocks, whole_rate(sample_rate), samples.shape[1], len(samples))


def write_audio_blocks(path: str | Path, blocks: Iterable[Tensor], sample_rate: int, channels: int, count: int) -> None:
    """Write audio that comes in blocks [channels, samples], of any length in all, as :func:`write_audio` does.

    Args:
        path: ends in .wav.
        blocks: of finite samples.
        sample_rate: in Hz.
        channels: 1 or 2.
        count: samples of all blocks together.

    Raises:
        SongError: as :func:`write_audio`, or the blocks have another length in all.
    """
    path = Path(path)
    if path.suffix.lower() != ".wav":
        raise SongError(f"{path} ends in '{path.suffix}': audio that comes in blocks is written as .wav.")
    arrays = (_writable_samples(path, block) for block in blocks)
    _write_blocks(path, arrays, whole_rate(sample_rate), channels, count)


def _write_blocks(path: Path, blocks: Iterable[np.ndarray], sample_rate: int, channels: int, count: int) -> None:
    """Write blocks [samples, channels], beside the file and then in its place."""
    if not path.parent.is_dir():
        raise SongError(f"{path} cannot be written: the folder {path.parent} is missing. Create it first.")
    partial = path.parent / f".{uuid.uuid4().hex}.part"
    container, subtype = WRITTEN_AS[path.suffix.lower()]
    if container == "WAV" and count * channels * 4 > LARGEST_WAV:
        container = "RF64"
    try:
        with soundfile.SoundFile(os.fsencode(partial), "w", sample_rate, channels, subtype, format=container) as file:
            for block in blocks:
                file.write(block)
        if read_info(partial).num_samples != count:
            raise OSError("the written file is too short")
        os.replace(partial, path)
    except (soundfile.SoundFileError, OSError, AssertionError, TypeError, ValueError) as error:
        if isinstance(error, SongError):
            raise
        # soundfile asserts that all was written; libsndfile says only "System error" for a full disk
        raise SongError(
            f"{path} cannot be written ({_reason(error)}): check that the disk has room, that the folder may "
            f"be written to and that {container} takes {channels} channels at {sample_rate} Hz."
        ) from error
    finally:
        with suppress(OSError):  # no such file after a success, or the folder forbids it
            partial.unlink()


def _writable_samples(path: Path, audio: Tensor | NDArray[np.floating]) -> np.ndarray:
    """Check what is to be written and return it as soundfile wants it, [samples, channels]."""
    if path.suffix.lower() not in WRITTEN_AS:
        raise SongError(f"{path} ends in '{path.suffix}': name it {', '.join(WRITTEN_AS)}.")
    samples = float_tensor(audio, f"audio for {path}").detach().to("cpu", torch.float32)
    if audio.ndim != 2 or not 1 <= audio.shape[0] <= 2 or audio.shape[1] == 0:
        raise SongError(
            f"audio for {path} has shape {list(audio.shape)}, expected [1 or 2 channels, samples]. "
            "Is it transposed, or a batch?"
        )
    if not samples.isfinite().all():
        raise SongError(f"audio for {path} is not finite: the render that made it diverged.")
    if path.suffix.lower() == ".flac" and float(samples.abs().max()) > 1:
        raise SongError(
            f"audio for {path} peaks at {float(samples.abs().max()):.3f}, and FLAC clips above 1: "
            "write .wav, which holds it, or turn it down."
        )
    return samples.T.contiguous().numpy()
