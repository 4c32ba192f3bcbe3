"""The audio of a DAWproject's tracks: clips laid out on the timeline, read from the archive."""

import io
from xml.etree import ElementTree as Xml
from zipfile import ZipFile

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

from graphmix.dsp.resampling import resample
from graphmix.errors import FileError
from graphmix.sessions.archive import MOST_AUDIO, read_member

MOST_SECONDS = 36000.0
MOST_SAMPLES = 1 << 28
"""Of a track: 93 minutes at 48 kHz."""


def check_length(samples: int, what: str) -> None:
    """Refuse what would fill the memory.

    Args:
        samples: of a track or a file, at the rate of the session.
        what: the file of the session, and what is so long.

    Raises:
        FileError: more than are read.
    """
    if samples > MOST_SAMPLES:
        raise FileError(f"{what} has {samples} samples; at most {MOST_SAMPLES} are read of a track.")


def tempo_of(root: Xml.Element) -> float:
    """Beats a minute; 120 where the project does not say."""
    tempo = root.find("Transport/Tempo")
    try:
        return max(1.0, float(tempo.get("value", "120"))) if tempo is not None else 120.0
    except ValueError:
        return 120.0


def read_clips(archive: ZipFile, lanes: Xml.Element, unit: str, tempo: float, sample_rate: int) -> NDArray[np.float64]:
    """Audio of one track, [2, samples]; clips that overlap add up.

    Args:
        archive: the project.
        lanes: of the track.
        unit: of times where an element does not say: ``seconds`` or ``beats``.
        tempo: beats a minute.
        sample_rate: of the result.

    Raises:
        FileError: a file that is missing, unreadable, or too long.
    """
    parts = []
    for clips in lanes.iter("Clips"):
        own = clips.get("timeUnit") or lanes.get("timeUnit") or unit
        parts += [_clip(archive, clip, own, tempo, sample_rate) for clip in clips.findall("Clip")]
    laid = [part for part in parts if part is not None]
    length = max((start + audio.shape[1] for start, audio in laid), default=1)
    check_length(length, f"{archive.filename}: a track")
    result = np.zeros((2, length))
    for start, audio in laid:
        result[:, start : start + audio.shape[1]] += audio
    return result


def _clip(
    archive: ZipFile, clip: Xml.Element, unit: str, tempo: float, sample_rate: int
) -> tuple[int, NDArray[np.float64]] | None:
    """Where a clip begins and what it plays."""
    audio = clip.find(".//Audio")
    file = None if audio is None else audio.find("File")
    if clip.get("enable") == "false" or file is None:
        return None
    if file.get("external") == "true":
        raise FileError(
            f"{archive.filename}: the file {file.get('path')!r} lies outside of the project; save it with it."
        )

    def seconds(key: str, own_unit: str, default: float) -> float:
        text = clip.get(key)
        try:
            value = default if text is None else float(text) * (60 / tempo if own_unit == "beats" else 1.0)
        except ValueError:
            value = -1.0
        if not 0 <= value <= MOST_SECONDS:
            raise FileError(f"{archive.filename}: a clip has {key}={text!r}; 0 to {MOST_SECONDS:g} s are read.")
        return value

    start = round(seconds("time", unit, 0.0) * sample_rate)
    skipped = round(seconds("playStart", clip.get("contentTimeUnit") or unit, 0.0) * sample_rate)
    samples = _read(archive, file.get("path", ""), sample_rate)[:, skipped:]
    samples = samples[:, : round(seconds("duration", unit, MOST_SECONDS) * sample_rate)]
    for key, is_in in (("fadeInTime", True), ("fadeOutTime", False)):
        length = min(round(seconds(key, clip.get("fadeTimeUnit") or unit, 0.0) * sample_rate), samples.shape[1])
        if length:
            ramp = (np.arange(length) + 0.5) / length
            samples = samples.copy()
            if is_in:
                samples[:, :length] *= ramp
            else:
                samples[:, -length:] *= ramp[::-1]
    return start, samples


def _read(archive: ZipFile, path: str, sample_rate: int) -> NDArray[np.float64]:
    """A file of the archive as stereo at the rate."""
    content = read_member(archive, path, MOST_AUDIO)
    try:
        info = soundfile.info(io.BytesIO(content))
        check_length(round(info.frames * sample_rate / info.samplerate), f"{archive.filename}: {path!r}")
        samples, rate = soundfile.read(io.BytesIO(content), always_2d=True)
    except (soundfile.SoundFileError, RuntimeError, TypeError) as error:
        raise FileError(f"{archive.filename}: {path!r} is no audio that can be read ({error}).") from None
    if samples.shape[1] > 2:
        raise FileError(f"{archive.filename}: {path!r} has {samples.shape[1]} channels; 1 or 2 are read.")
    if not np.isfinite(samples).all():
        raise FileError(f"{archive.filename}: {path!r} holds samples that are not finite.")
    stereo = np.broadcast_to(samples.T, (2, len(samples)))
    if rate == sample_rate:
        return stereo
    return resample(torch.from_numpy(stereo.copy()), rate, sample_rate).numpy()
