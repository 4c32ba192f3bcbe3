"""Sound inside of a page: Ogg Opus, written by libsndfile, at 48 kHz.

A coder wants samples within full scale, and what a graph makes may be far louder or softer. So every piece is coded
with its peak at -1 dB and carries the gain that restores its level. Two equal channels are coded as one.
"""

import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import soundfile
import torch
from torch import Tensor

from graphmix.audio.loudness import loudness
from graphmix.dsp.resampling import can_resample, resample
from graphmix.errors import GraphmixError

RATE = 48000
"""Of Opus. A browser that plays at this rate need not resample."""
CODED_PEAK = 10 ** (-1 / 20)
MONO_SHARE = 0.6
"""Of a stereo bit rate that one channel gets."""
_LOWEST_KBPS, _HIGHEST_KBPS = 6, 256
"""Of a channel, for libsndfile."""
_WRITE_BLOCK = 1 << 16
_THREADS = min(4, os.cpu_count() or 1)
SILENT = 1e-6


@dataclass(frozen=True)
class Sound:
    """A piece of sound at :data:`RATE`, ready to be coded.

    Attributes:
        samples: [1 or 2, samples].
        start: where in the song it begins, in seconds.
        loudness: integrated, in LUFS.
        peak: largest magnitude.
    """

    samples: Tensor
    start: float
    loudness: float
    peak: float

    @property
    def seconds(self) -> float:
        """Length."""
        return self.samples.size(-1) / RATE

    @property
    def channels(self) -> int:
        """1 where both were equal."""
        return self.samples.size(0)

    @property
    def restore(self) -> float:
        """What the decoded samples are multiplied by."""
        return self.peak / CODED_PEAK if self.peak > SILENT else 1.0


def prepare(audio: Tensor, sample_rate: int, start: float = 0.0) -> Sound:
    """Audio [2, samples] at any rate as a piece of sound.

    Args:
        audio: finite.
        sample_rate: of the audio in Hz.
        start: where in the song it begins, in seconds.

    Raises:
        GraphmixError: a rate from which audio cannot go to 48 kHz.
    """
    if not can_resample(sample_rate, RATE):
        raise GraphmixError(f"a report plays at {RATE} Hz, to which audio at {sample_rate} Hz cannot be resampled.")
    audio = audio.detach().float().cpu()
    if audio.size(0) == 2 and torch.equal(audio[0], audio[1]):
        audio = audio[:1]
    length = round(audio.size(-1) * RATE / sample_rate)
    samples = torch.nan_to_num(resample(audio, sample_rate, RATE))[:, :length]
    both = samples.expand(2, -1)
    return Sound(samples, start, loudness(both, RATE), float(samples.abs().max()) if samples.numel() else 0.0)


def encode(sound: Sound, kbps: float) -> bytes:
    """Code a piece as Ogg Opus at a mean bit rate, that of stereo."""
    each = kbps * MONO_SHARE if sound.channels == 1 else kbps / 2
    each = min(max(each, _LOWEST_KBPS), _HIGHEST_KBPS)
    level = 1 - (each - _LOWEST_KBPS) / (_HIGHEST_KBPS - _LOWEST_KBPS)
    gain = 1 / sound.restore
    samples = np.ascontiguousarray((sound.samples * gain).T.numpy())
    target = io.BytesIO()
    with soundfile.SoundFile(target, "w", RATE, sound.channels, "OPUS", format="OGG", compression_level=level) as file:
        for begin in range(0, len(samples), _WRITE_BLOCK):
            file.write(samples[begin : begin + _WRITE_BLOCK])
    return target.getvalue()


def encode_all(sounds: Sequence[Sound], kbps: Sequence[float]) -> list[bytes]:
    """Code pieces, several at a time: libsndfile works outside of the interpreter's lock."""
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(encode, sounds, kbps))


def common_loudness(sounds: Sequence[Sound]) -> float:
    """The loudness to which pieces are brought: that of the first, or less where another one would clip there."""
    sounding = [s for s in sounds if s.peak > SILENT]
    if not sounding:
        return 0.0
    room = [s.loudness - 20 * float(np.log10(s.peak)) for s in sounding]
    return min(sounding[0].loudness, *room)


def matched_db(sound: Sound, loudness: float) -> float:
    """The gain in dB that brings a piece to a loudness; 0 for silence."""
    return loudness - sound.loudness if sound.peak > SILENT else 0.0


def plain_db(sounds: Sequence[Sound]) -> float:
    """The gain in dB, 0 or less, at which none of the pieces clips."""
    loudest = max((s.peak for s in sounds), default=0.0)
    return -20 * float(np.log10(loudest)) if loudest > 1 else 0.0
