"""The part of a song that a page plays: all of it, or its loudest stretch of a length."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from graphmix.audio.files import read_audio, read_info
from graphmix.report.sound import Sound, prepare
from graphmix.report.windows import BLOCK_SECONDS, loudest

_SAME_SECONDS = 1e-4


@dataclass(frozen=True)
class Stretch:
    """A part of a song, in seconds."""

    start: float
    seconds: float

    def cut(self, audio: Tensor, sample_rate: int) -> Tensor:
        """That part of audio [2, samples] of the whole song; silence where there is none."""
        begin, count = self.samples(sample_rate)
        part = audio[:, begin : begin + count]
        return pad(part, (0, count - part.size(1)))

    def samples(self, sample_rate: int) -> tuple[int, int]:
        """First sample and number of samples at a rate."""
        return round(self.start * sample_rate), round(self.seconds * sample_rate)


def choose_stretch(audio: Tensor, sample_rate: int, seconds: float) -> Stretch:
    """The loudest stretch of audio [2, samples] of that length; all of it if it is no longer."""
    whole = audio.size(1) / sample_rate
    if seconds >= whole - _SAME_SECONDS:
        return Stretch(0.0, whole)
    first, _ = loudest(_block_powers(audio, sample_rate), max(1, round(seconds / BLOCK_SECONDS)))
    return Stretch(min(first * BLOCK_SECONDS, whole - seconds), seconds)


def _block_powers(audio: Tensor, sample_rate: int) -> NDArray[np.float64]:
    block = max(1, round(BLOCK_SECONDS * sample_rate))
    padded = pad(audio, (0, -audio.size(1) % block))
    return np.asarray(padded.unflatten(1, (-1, block)).square().sum((0, 2)).double())


def loudest_stretch(path: Path, seconds: float) -> Stretch:
    """The same of a file."""
    info = read_info(path)
    return choose_stretch(read_audio(info), info.sample_rate, seconds)


def cut_file(path: Path, stretch: Stretch) -> Sound:
    """That part of a file as a sound of the page."""
    info = read_info(path)
    begin, count = stretch.samples(info.sample_rate)
    return prepare(read_audio(info, begin, count), info.sample_rate, stretch.start)
