"""What a `song.json` says of the song in its folder.

The description is JSON; all keys may be left out::

    {"name": "Title", "mix": "mix.flac", "stems": "dry", "offset": 0.35, "artist": "Anna", "genre": "Folk",
     "subgroups": {"drums": ["01_kick.wav", "02_snare.wav"], "bass": ["03_bass.wav"]}}

`mix` is null for a song without one; `offset` is how far it lies behind the tracks (:mod:`graphmix.audio.offset`);
`subgroups` has one of the forms of :mod:`graphmix.audio.subgroups`. Names are file names with their extension and lead
to nowhere outside the folder. Other keys are ignored; one that looks mistyped is pointed out.
"""

import difflib
import re
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from graphmix.audio.offset import Offset, parse_offset
from graphmix.audio.subgroups import SongEntry, read_entry
from graphmix.errors import SongError
from graphmix.io import read_json

DESCRIPTION = "song.json"
KEYS = ("name", "mix", "stems", "subgroups", "offset", "artist", "genre")
MAX_NAME_BYTES = 255  # of one file or folder, on every common file system
MAX_PATH = 1024  # characters of a path inside a song's folder
_SIMILAR = 0.75
_OTHER_WORDS = {
    "title": "name", "song": "name", "tracks": "stems", "dry": "stems", "multitrack": "stems", "groups": "subgroups",
    "buses": "subgroups", "busses": "subgroups", "delay": "offset", "mixdown": "mix", "master": "mix", "band": "artist",
}  # fmt: skip
"""What people write for a key -> the key."""


@dataclass(frozen=True)
class Description:
    """The values of a `song.json`, None where it does not say; without the file, nothing but its would-be path."""

    path: Path
    name: str | None = None
    mix: Path | None = None
    has_no_mix: bool = False
    stems: Path | None = None
    subgroups: SongEntry | None = None
    offset: Offset | None = None
    artist: str | None = None
    genre: str | None = None
    notices: tuple[str, ...] = ()


def read_description(folder: Path) -> Description:
    """Read the `song.json` of a folder; without one, nothing.

    Raises:
        SongError: it cannot be read, is no object, or has a value of another form.
    """
    path = folder / DESCRIPTION
    if not path.exists():
        return Description(path)
    content = read_json(path, error=SongError)
    if not isinstance(content, dict):
        raise SongError(
            f"{path} holds a {type(content).__name__}, expected an object {{...}} with name, mix and stems."
        )
    mix, stems = _text(content, "mix", path), _text(content, "stems", path)
    groups, offset = content.get("subgroups"), content.get("offset")
    return Description(
        path,
        name=_text(content, "name", path),
        mix=_inside(folder, mix, path) if mix else None,
        has_no_mix="mix" in content and content["mix"] is None,
        stems=_inside(folder, stems, path) if stems else None,
        subgroups=read_entry(groups, f"{path}, subgroups,") if groups not in (None, {}) else None,
        offset=parse_offset(offset, f'{path}: "offset"') if offset is not None else None,
        artist=_text(content, "artist", path, may_be_empty=True),
        genre=_text(content, "genre", path, may_be_empty=True),
        notices=tuple(_mistyped(content, path)),
    )


def _text(content: dict[str, Any], key: str, path: Path, may_be_empty: bool = False) -> str | None:
    """The text under a key, or None where it is absent or null."""
    value = content.get(key)
    if value is not None and not (isinstance(value, str) and (value or may_be_empty)):
        raise SongError(f'{path} has {value!r} under "{key}", expected a name in quotes.')
    return value.strip() or None if value and may_be_empty else value or None


def _mistyped(content: dict[str, Any], path: Path) -> list[str]:
    """A sentence for each unknown key that is likely meant to be a known one that is absent."""
    found = []
    absent = [key for key in KEYS if key not in content]
    for key in content:
        if key in KEYS:
            continue
        plain = re.sub("[^a-z]", "", key.casefold())
        near = difflib.get_close_matches(plain, KEYS, n=1, cutoff=_SIMILAR)
        meant = near[0] if near else _OTHER_WORDS.get(plain)
        if meant in absent:
            found.append(f'{path} has the key "{key}", which is not read: "{meant}" is meant?')
    return found


def _inside(folder: Path, name: str, described: Path) -> Path:
    """The path of a name in the folder that it must not leave."""
    pure = PurePath(name.replace("\\", "/"))
    if pure.is_absolute() or ".." in pure.parts or "\0" in name or re.match("[A-Za-z]:", name):
        raise SongError(f"{described} names {name!r}, which leads out of the song's folder: move the file into it.")
    if len(name) > MAX_PATH or any(len(part.encode()) > MAX_NAME_BYTES for part in pure.parts):
        raise SongError(f"{described} has a name of {len(name)} characters, '{name[:40]}…': give a shorter one.")
    return folder / pure
