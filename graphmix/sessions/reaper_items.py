"""The audio of a REAPER project's tracks: items laid out on the timeline, read from their files."""

from collections.abc import Iterator
from pathlib import Path, PureWindowsPath

import numpy as np
from numpy.typing import NDArray

from graphmix.audio.files import AUDIO_EXTENSIONS, AudioInfo, read_audio, read_info
from graphmix.errors import FileError
from graphmix.sessions.clips import MOST_SECONDS, check_length
from graphmix.sessions.reaper_project import Node

FADES = {0: (1, False), 1: (2, True), 2: (2, False), 3: (4, True), 4: (4, False)}
"""Shapes of fades: the exponent of a ramp, and whether it is upside down; other shapes begin and end slowly."""
REVERSED = (2, 3)
"""Modes of a section that plays backwards."""
Stereo = NDArray[np.float64]


class Take:
    """What an item plays: its active take.

    Args:
        item: its block.
    """

    def __init__(self, item: Node) -> None:
        takes: list[list[list[str] | Node]] = [[]]
        active = 0
        for part in item.content:
            if isinstance(part, list) and part[0] == "TAKE":
                takes.append([])
                if "SEL" in part:
                    active = len(takes) - 1
            takes[-1].append(part)
        self.item = item
        self.lines = Node("ITEM", (), takes[active], item.file)
        self.is_first = active == 0
        self.name = "".join(self.lines.line("NAME")[:1]) or "an item"
        source = self.lines.block("SOURCE")
        self.section = source if source is not None and source.words[:1] == ["SECTION"] else None
        self.source = source if self.section is None else self.section.block("SOURCE")

    @property
    def file(self) -> str | None:
        """The audio file that it plays; None for MIDI, video and empty items."""
        path = "" if self.source is None else "".join(self.source.line("FILE")[:1])
        return path if PureWindowsPath(path).suffix.lower() in AUDIO_EXTENSIONS else None

    @property
    def is_stretched(self) -> bool:
        """Whether it plays faster, slower or at another pitch."""
        return self.lines.number("PLAYRATE", 0, 1.0) != 1 or self.lines.number("PLAYRATE", 2) != 0

    @property
    def is_playing(self) -> bool:
        """Whether its audio is read."""
        return not self.item.number("MUTE") and self.file is not None and not self.is_stretched

    @property
    def level(self) -> tuple[float, float]:
        """Factor and pan."""
        key, pan, level = ("VOLPAN", 1, 2) if self.is_first else ("TAKEVOLPAN", 0, 1)
        trim = self.item.number("VOLPAN", 0, 1.0)
        return trim * self.lines.number(key, level, 1.0), self.lines.number(key, pan)


def is_playing(item: Node) -> bool:
    """Whether an item has audio that is read."""
    return Take(item).is_playing


def item_notices(root: Node) -> Iterator[str]:
    """What is not read of the items of a project."""
    for track in root.blocks("TRACK"):
        name = "".join(track.line("NAME")[:1])
        for item in track.blocks("ITEM"):
            take = Take(item)
            if take.source is None and not item.line("NAME"):
                continue
            what = f"{name}: {take.name!r}"
            if take.file is None:
                yield f"{what} is no audio and is left out."
            elif take.is_stretched:
                yield f"{what} is stretched or transposed and is left out."
            if take.lines.block("TAKEFX") is not None or take.lines.block("VOLENV") is not None:
                yield f"{what}: effects and envelopes of items are not read."


def rate_of(root: Node, folder: Path) -> int:
    """The project's rate; that of most of its files where it has none.

    Raises:
        FileError: a file that is missing.
    """
    rate = round(root.number("SAMPLERATE"))
    if root.number("SAMPLERATE", 1) and rate >= 8000:
        return rate
    takes = [Take(item) for item in root.walk() if item.tag == "ITEM"]
    rates = [_info(take, folder).sample_rate for take in takes if take.is_playing]
    return max(set(rates), key=rates.count) if rates else 48000


def read_items(track: Node, folder: Path, sample_rate: int) -> Stereo:
    """Audio of one track, [2, samples]; items that overlap add up.

    Args:
        track: its block.
        folder: of the project.
        sample_rate: of the result.

    Raises:
        FileError: a file that is missing, or a time out of range.
        SongError: a file that is no audio.
    """
    takes = [take for take in map(Take, track.blocks("ITEM")) if take.is_playing]
    ends = [sum(_samples(take, key, 0, sample_rate) for key in ("POSITION", "LENGTH")) for take in takes]
    check_length(max(ends, default=1), f"{track.file}: the track {''.join(track.line('NAME')[:1])!r}")
    parts = [(_samples(take, "POSITION", 0, sample_rate), _clip(take, folder, sample_rate)) for take in takes]
    result = np.zeros((2, max((start + audio.shape[1] for start, audio in parts), default=1)))
    for start, audio in parts:
        result[:, start : start + audio.shape[1]] += audio
    return result


def _clip(take: Take, folder: Path, sample_rate: int) -> Stereo:
    """What an item plays over its length."""
    audio = _source(take, folder, sample_rate)
    length = _samples(take, "LENGTH", 0, sample_rate)
    place = np.arange(length) + round(take.lines.number("SOFFS") * sample_rate)
    if take.item.number("LOOP", default=1.0) and audio.shape[1]:
        result = audio[:, place % audio.shape[1]]
    else:
        inside = (place >= 0) & (place < audio.shape[1])
        result = np.zeros((2, length))
        result[:, inside] = audio[:, place[inside]]
    level, pan = take.level
    result = result * level * np.array([[min(1.0, 1 - pan)], [min(1.0, 1 + pan)]])
    for key, is_in in (("FADEIN", True), ("FADEOUT", False)):
        automatic = take.item.number(key, 2)
        samples = min(
            _seconds(take, automatic if automatic > 0 else take.item.number(key, 1), key, sample_rate), length
        )
        if samples:
            ramp = _ramp(round(take.item.number(key)), samples)
            part = slice(0, samples) if is_in else slice(length - samples, length)
            result[:, part] *= ramp if is_in else ramp[::-1]
    return result


def _ramp(shape: int, samples: int) -> NDArray[np.float64]:
    """A fade in, [samples]."""
    x = (np.arange(samples) + 0.5) / samples
    if shape not in FADES:
        return x * x * (3 - 2 * x)
    power, is_upside_down = FADES[shape]
    return 1 - (1 - x) ** power if is_upside_down else x**power


def _source(take: Take, folder: Path, sample_rate: int) -> Stereo:
    """The file of a take, or its section, as stereo at the rate."""
    info = _info(take, folder)
    begin, end, is_backwards = 0, info.num_samples_at(sample_rate), False
    if take.section is not None:
        section = take.section
        begin = min(end, max(0, round(section.number("STARTPOS") * sample_rate)))
        if section.number("LENGTH") > 0:
            end = min(end, begin + round(section.number("LENGTH") * sample_rate))
        is_backwards = round(section.number("MODE")) in REVERSED
    check_length(end - begin, f"{take.item.file}: {take.file!r}")
    audio = read_audio(info, begin, end - begin, sample_rate).double().numpy()
    if is_backwards:
        audio = audio[:, ::-1]
    left, right = audio
    mode = round(take.lines.number("CHANMODE"))
    chosen = {1: (right, left), 2: ((left + right) / 2,) * 2, 3: (left, left), 4: (right, right)}
    return np.stack(chosen.get(mode, (left, right)))


def _info(take: Take, folder: Path) -> AudioInfo:
    """The file of a take: where the project says, else beside it under its name.

    Raises:
        FileError: it is not there.
    """
    written = take.file or ""
    windows = PureWindowsPath(written)
    name = Path(*windows.parts) if not windows.drive else Path(windows.name)
    places = [folder / name, folder / windows.name, folder / "Media" / windows.name, folder / "Audio" / windows.name]
    for place in places:
        try:
            if place.is_file():
                return read_info(place)
        except (OSError, ValueError):
            if place.exists():
                raise
    raise FileError(
        f"{take.item.file}: the file {written!r} of {take.name!r} is missing; save the project with its media."
    )


def _samples(take: Take, key: str, index: int, sample_rate: int) -> int:
    return _seconds(take, take.item.number(key, index), key, sample_rate)


def _seconds(take: Take, value: float, key: str, sample_rate: int) -> int:
    """Seconds as samples."""
    if not 0 <= value <= MOST_SECONDS:
        raise FileError(f"{take.item.file}: {take.name!r} has {key} {value:g} s; 0 to {MOST_SECONDS:g} s are read.")
    return round(value * sample_rate)
