"""The audio of an Ardour session's tracks: regions of playlists laid out on the timeline.

Times are ``a<n>`` in ticks of 1/282,240,000 s, ``b<n>`` in ticks of 1/1920 quarter (at one tempo), or, in sessions
before version 7, plain numbers of samples. An opaque region hides what lies in layers below it, and its fades are
cross-fades with them. Files lie in the session's folder; what lies elsewhere is not read.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as Xml

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

from graphmix.dsp.resampling import resample
from graphmix.errors import FileError
from graphmix.sessions.ardour_xml import TICKS
from graphmix.sessions.clips import MOST_SECONDS, check_length

QUARTER_TICKS = 1920
_TIME = re.compile(r"([ab]?)(-?\d+)")
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Clock:
    """Units of times.

    Args:
        sample_rate: of the session.
        quarters_per_minute: its tempo.
        file: what messages name.
    """

    sample_rate: int
    quarters_per_minute: float
    file: str

    def samples(self, text: str | None, what: str) -> int:
        """A time or a length in samples.

        Raises:
            FileError: no time, or one outside of what is read.
        """
        match = _TIME.fullmatch(text or "")
        if match is None:
            raise FileError(f"{self.file}: {what} is {text!r}, and a time such as a282240000 is expected.")
        number = int(match[2])
        if match[1] == "a":
            seconds = number / TICKS
        elif match[1] == "b":
            seconds = number / QUARTER_TICKS * 60 / self.quarters_per_minute
        else:
            seconds = number / self.sample_rate
        if abs(seconds) > MOST_SECONDS:
            raise FileError(f"{self.file}: {what} is {seconds:g} s; at most {MOST_SECONDS:g} s are read.")
        return round(seconds * self.sample_rate)


def read_playlist(
    playlist: Xml.Element, folder: Path, sources: Mapping[str, Xml.Element], clock: Clock, begin: int
) -> Array:
    """Audio of a playlist from a sample of the timeline on, [2, samples], 1 at least.

    Args:
        playlist: its regions.
        folder: of the session.
        sources: by number.
        clock: of the session.
        begin: first sample that is kept.

    Raises:
        FileError: a file that is missing, lies elsewhere or cannot be read, a number that is none.
    """
    regions = [region for region in playlist.findall("Region") if region.get("muted", "0") != "1"]
    regions.sort(key=lambda region: _number(region, "layering-index", clock.file, "0"))
    laid = [_Laid.read(region, folder, sources, clock) for region in regions]
    stop = max((one.position + one.audio.shape[1] for one in laid), default=begin + 1)
    check_length(stop - begin, f"{clock.file}: a track")
    result = np.zeros((2, max(1, stop - begin)))
    for one in laid:
        first, last = max(one.position, begin), min(one.position + one.audio.shape[1], stop)
        if first >= last:
            continue
        inside = slice(first - one.position, last - one.position)
        below = result[:, first - begin : last - begin]
        below *= one.under[inside]
        below += one.audio[:, inside]
    return result


@dataclass(frozen=True, eq=False)
class _Laid:
    """A region with its gains: where it begins, what it plays, and what it leaves of the layers below."""

    position: int
    audio: Array
    under: Array

    @staticmethod
    def read(region: Xml.Element, folder: Path, sources: Mapping[str, Xml.Element], clock: Clock) -> "_Laid":
        name = region.get("name")
        length_text, _, position_text = (region.get("length") or "").partition("@")
        position = clock.samples(position_text or region.get("position"), "the position of a region")
        length = clock.samples(length_text, "the length of a region")
        start = clock.samples(region.get("start", "a0"), "the start of a region")
        if length <= 0 or start < 0:
            raise FileError(f"{clock.file}: region {name!r} has length {length} and start {start}.")
        check_length(length, f"{clock.file}: region {name!r}")
        channels = []
        for channel in range(max(1, int(_number(region, "channels", clock.file, "1")))):
            source = sources.get(region.get(f"source-{channel}", ""))
            if source is None:
                raise FileError(
                    f"{clock.file}: region {region.get('name')!r} has no source; was the session saved whole?"
                )
            channels.append(_read_source(source, folder, start, length, clock))
        if len(channels) > 2:
            raise FileError(
                f"{clock.file}: region {region.get('name')!r} has {len(channels)} channels; 1 or 2 are read."
            )
        audio = np.stack([channels[0], channels[-1]])
        gain = np.full(length, _number(region, "scale-amplitude", clock.file, "1"))
        if region.get("envelope-active") == "1":
            gain = gain * _curve(region.find("Envelope"), length, clock, 1.0)
        fade, under = np.ones(length), np.zeros(length)
        for tag, active, is_in in (("FadeIn", "fade-in-active", True), ("FadeOut", "fade-out-active", False)):
            if region.get(active) != "1":
                continue
            line = region.find(tag)
            size = min(length, _last_time(line, clock) or 0)
            if size:
                inside = slice(0, size) if is_in else slice(length - size, length)
                curve = _curve(line, size, clock, 1.0)
                fade[inside] *= curve
                under[inside] = 1 - curve
        if region.get("opaque", "1") != "1":
            under = np.ones(length)
        return _Laid(position, audio * (gain * fade), under)


def _read_source(source: Xml.Element, folder: Path, start: int, length: int, clock: Clock) -> Array:
    """So many samples of a channel of a file from one on; silence behind its end."""
    name = source.get("name", "")
    if not name or "/" in name or "\\" in name or name in (".", ".."):
        raise FileError(
            f"{clock.file}: the file {name!r} does not lie in the session's folder; bring it in by Ardour's "
            "'Bring all media into session folder'."
        )
    found = sorted(folder.glob(f"interchange/*/audiofiles/{_literal(name)}"))
    if not found:
        raise FileError(f"{clock.file}: there is no audio file {name!r} in its folder; was the session copied whole?")
    path = found[0]
    try:
        if path.is_symlink() or not path.is_file():
            raise FileError(f"{clock.file}: {path} is no regular file.")
        info = soundfile.info(str(path))
        scale = info.samplerate / clock.sample_rate
        with soundfile.SoundFile(str(path)) as file:
            file.seek(min(file.frames, round(start * scale)))
            samples = file.read(round(length * scale), dtype="float64", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError, TypeError, OSError) as error:
        raise FileError(f"{clock.file}: {path.name!r} is no audio that can be read ({error}).") from None
    if round(length * scale) - len(samples) > info.samplerate:
        raise FileError(f"{clock.file}: a region plays {length} samples of {path.name!r}, which has {info.frames}.")
    channel = int(_number(source, "channel", clock.file, "0"))
    if not 0 <= channel < max(1, samples.shape[1]):
        raise FileError(f"{clock.file}: {path.name!r} has no channel {channel}.")
    signal = samples[:, channel] * _number(source, "gain", clock.file, "1")
    if info.samplerate != clock.sample_rate:
        stereo = torch.from_numpy(np.stack([signal, signal]))
        signal = resample(stereo, info.samplerate, clock.sample_rate)[0].numpy()
    if not np.isfinite(signal).all():
        raise FileError(f"{clock.file}: {path.name!r} holds samples that are not finite.")
    return np.pad(signal[:length], (0, max(0, length - len(signal))))


def events_of(line: Xml.Element | None, clock: Clock) -> list[tuple[int, float]]:
    """Points of an automation: samples and values.

    Raises:
        FileError: a line that is no point.
    """
    element = None if line is None else next(line.iter("events"), None)
    points = []
    for row in ((element.text if element is not None else None) or "").split("\n"):
        fields = row.split()
        if not fields:
            continue
        try:
            when, value = fields
            number = float(value)
        except ValueError:
            number = float("nan")
            when = fields[0]
        if not np.isfinite(number):
            raise FileError(
                f"{clock.file}: an automation has the point {row.strip()!r}; a time and a number are expected."
            )
        points.append((clock.samples(when.partition(".")[0], "the time of a point"), number))
    return points


def _last_time(line: Xml.Element | None, clock: Clock) -> int | None:
    points = events_of(line, clock)
    return points[-1][0] if points else None


def _curve(line: Xml.Element | None, length: int, clock: Clock, default: float) -> Array:
    """Values of an automation at each sample, straight between its points."""
    points = events_of(line, clock)
    if not points:
        return np.full(length, default)
    times, values = zip(*points, strict=True)
    return np.interp(np.arange(length), times, values)


def _number(element: Xml.Element, key: str, file: str, default: str) -> float:
    text = element.get(key, default)
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise FileError(f"{file}: {element.tag} has {key}={text!r}, and a number is expected.")
    return value


def _literal(name: str) -> str:
    """A name in which no character is a pattern."""
    return re.sub(r"([\[\]*?])", r"[\1]", name)
