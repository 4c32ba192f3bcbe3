"""Where a song's files are: what its `song.json` says, or what the folder shows.

The description is JSON; all keys may be left out, and others are ignored::

    {"name": "Title", "mix": "mix.flac", "stems": "dry",
     "subgroups": {"drums": ["01_kick.wav", "02_snare.wav"], "bass": ["03_bass.wav"]}}

`mix` is null for a song without one. Without the key, the mix is the audio file called `mix` (mix.wav,
mix.flac, ...) or else the one audio file in the folder. Without `stems`, the tracks are in `stems/` or
`dry/`. Without subgroups, all tracks share one bus. Names are file names with their extension, in Unicode's
composed form (a Mac may store "é" as two characters), and lead to nowhere outside the folder.
"""

import json
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from graphmix.audio.files import AUDIO_EXTENSIONS
from graphmix.errors import SongError
from graphmix.text import name_as_text

DESCRIPTION = "song.json"
STEM_FOLDERS = ("stems", "dry")
MAX_NAME_BYTES = 255  # of one file or folder, on every common file system
MAX_PATH = 1024  # characters of a path inside a song's folder
DEFAULT_BUS = "mix bus"
UNGROUPED_BUS = "ungrouped"


@dataclass(frozen=True)
class Layout:
    """A song's name, mix, dry tracks by name in natural order, and subgroups (bus -> names of tracks)."""

    name: str
    mix: Path | None
    tracks: dict[str, Path]
    subgroups: dict[str, tuple[str, ...]]
    notices: tuple[str, ...] = ()


def find_layout(folder: Path, need_mix: bool = True, mix: Path | None = None) -> Layout:
    """Find a song's files; `mix` is a path that stands for the song's own.

    Raises:
        SongError: the folder or what it must hold is missing, or its song.json is wrong.
    """
    described = folder / DESCRIPTION
    _existing(folder)
    text = _read_description(described) if described.exists() else {}
    name = _typed(text, "name", str, described) or name_as_text(folder.resolve().name)
    says_none = "mix" in text and text["mix"] is None
    if mix is None and not says_none:
        given = _typed(text, "mix", str, described)
        mix = _inside(folder, given, described) if given else _guess_mix(folder, need_mix)
    if mix is None and need_mix:
        raise SongError(
            f'{folder} has no mix: put mix.wav (or .flac, .ogg, .mp3) into it, or name it under "mix" in {DESCRIPTION}.'
        )
    stems = _typed(text, "stems", str, described)
    stem_folder = _inside(folder, stems, described) if stems else _guess_stems(folder)
    tracks = _tracks(stem_folder, [mix] if mix else [])
    groups = _typed(text, "subgroups", dict, described) or {}
    subgroups, notices = _subgroups(groups, tracks, described)
    return Layout(name, mix, tracks, subgroups, notices)


def flat_layout(folder: Path) -> Layout:
    """Take all audio files in a bare folder as dry tracks, but for one that is called mix."""
    mixes = [path for path in audio_files(folder) if path.stem.lower() == "mix"]
    tracks = _tracks(folder, mixes)
    notices = tuple(f"{path} lies among the tracks and was left out." for path in mixes)
    return Layout(name_as_text(folder.resolve().name), None, tracks, {DEFAULT_BUS: tuple(tracks)}, notices)


def is_song(folder: Path) -> bool:
    """Whether a folder has the files of a song, rather than tracks alone."""
    return (folder / DESCRIPTION).exists() or any((folder / name).is_dir() for name in STEM_FOLDERS)


def audio_files(folder: Path) -> list[Path]:
    """List the audio files directly in a folder, in natural order; hidden and other files are ignored.

    Raises:
        SongError: there is no such folder, or it may not be read.
    """
    try:
        found = [path for path in _existing(folder).iterdir() if path.suffix.lower() in AUDIO_EXTENSIONS]
        return sorted((path for path in found if path.name[0] != "." and path.is_file()), key=_natural)
    except OSError as error:
        raise SongError(f"{folder} cannot be read ({error.strerror}): check its permissions.") from error


def _natural(path: Path) -> tuple[list[str | int], str]:
    pieces = re.split("([0-9]+)", path.name.casefold())  # text and digits by turns: like compares with like
    return [int(piece) if index % 2 else piece for index, piece in enumerate(pieces)], path.name


def _existing(folder: Path) -> Path:
    if not folder.is_dir():
        raise SongError(f"{folder} is not a folder: check the name.")
    return folder


def _read_description(path: Path) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        for key, _ in pairs:
            if sum(key == other for other, _ in pairs) > 1:
                raise SongError(f"{path} has the key '{key}' twice in one place: keep one of them.")
        return dict(pairs)

    try:
        text = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=unique)
        json.dumps(text, ensure_ascii=False).encode()  # half a surrogate pair can be written in JSON, but not named
    except SongError:
        raise
    except (ValueError, RecursionError) as error:
        raise SongError(f"{path} is not JSON ({error}): correct it, or remove it.") from error
    except OSError as error:
        raise SongError(f"{path} cannot be read ({error.strerror}): check that it is a readable file.") from error
    if not isinstance(text, dict):
        raise SongError(f"{path} holds a {type(text).__name__}, expected an object {{...}} with name, mix and stems.")
    return text


def _typed(text: dict[str, Any], key: str, kind: type, path: Path) -> Any:
    """Return the value of a key, or None where it is absent or null."""
    value = text.get(key)
    if value is not None and not (isinstance(value, kind) and (value or kind is dict)):
        expected = "a name in quotes" if kind is str else "an object of bus names"
        raise SongError(f'{path} has {value!r} under "{key}", expected {expected}.')
    return value


def _inside(folder: Path, name: str, described: Path) -> Path:
    """Join a name from song.json to the folder that it must not leave."""
    pure = PurePath(name.replace("\\", "/"))
    if pure.is_absolute() or ".." in pure.parts or "\0" in name or re.match("[A-Za-z]:", name):
        raise SongError(f"{described} names {name!r}, which leads out of the song's folder: move the file into it.")
    if len(name) > MAX_PATH or any(len(part.encode()) > MAX_NAME_BYTES for part in pure.parts):
        raise SongError(f"{described} has a name of {len(name)} characters, '{name[:40]}…': give a shorter one.")
    return folder / pure


def _guess_mix(folder: Path, need_mix: bool) -> Path | None:
    files = audio_files(folder)
    found = [path for path in files if path.stem.lower() == "mix"] or files
    if len(found) > 1 and need_mix:
        raise SongError(
            f"{folder} has {len(found)} files that may be the mix ({some_names([p.name for p in found])}): "
            f'call one mix{found[0].suffix}, or name it under "mix" in {DESCRIPTION}.'
        )
    return found[0] if len(found) == 1 else None


def _guess_stems(folder: Path) -> Path:
    found = [folder / name for name in STEM_FOLDERS if (folder / name).is_dir()]
    if len(found) != 1:
        raise SongError(
            f"{folder} has {'neither' if not found else 'both'} stems/ {'nor' if not found else 'and'} dry/: "
            f'put the dry tracks into one of them, or name their folder under "stems" in {DESCRIPTION}.'
        )
    return found[0]


def _tracks(folder: Path, excluded: list[Path]) -> dict[str, Path]:
    """Return the tracks in a folder by their names."""
    if not folder.is_dir():
        raise SongError(f"{folder}, where the dry tracks should be, is not a folder: check the name.")
    outside = {path.resolve() for path in excluded}
    tracks = {_composed(path.name): path for path in audio_files(folder) if path.resolve() not in outside}
    if not tracks:
        raise SongError(f"{folder} has no tracks: put the dry tracks into it, as WAV, FLAC, Ogg or MP3.")
    return tracks


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name_as_text(name))


def _subgroups(
    groups: dict[str, Any], tracks: dict[str, Path], described: Path
) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """Check the subgroups and give a bus to each track that is in none -> subgroups, notices."""
    if not groups:
        return {DEFAULT_BUS: tuple(tracks)}, ()
    bus_of: dict[str, str] = {}
    for bus, names in groups.items():
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise SongError(f"{described} has {names!r} under subgroup '{bus}', expected a list of file names.")
        for name in map(_composed, names):
            _inside(described.parent, name, described)
            if name not in tracks:
                raise SongError(
                    f"{described} has a track '{name}' in subgroup '{bus}' that is not among the dry tracks "
                    f"({some_names(list(tracks))}): correct the name (with its extension) or add the file."
                )
            if name in bus_of:
                raise SongError(
                    f"{described} has track '{name}' in subgroup '{bus_of[name]}' and in '{bus}': keep one."
                )
            bus_of[name] = bus
    notices = [f"Subgroup '{bus}' has no tracks and was left out." for bus, names in groups.items() if not names]
    if left := [name for name in tracks if name not in bus_of]:
        notices.append(f"{some_names(left)} in no subgroup: put on the bus '{UNGROUPED_BUS}'.")
        bus_of |= dict.fromkeys(left, UNGROUPED_BUS)
    buses = [bus for bus, names in groups.items() if names]
    if left and UNGROUPED_BUS not in buses:
        buses.append(UNGROUPED_BUS)
    return {bus: tuple(name for name in tracks if bus_of[name] == bus) for bus in buses}, tuple(notices)


def some_names(names: list[str], shown: int = 4) -> str:
    """Join names for a message: the first few, and how many more there are."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
