"""Files that say which subgroup each track belongs to, for one song or for a whole collection.

JSON, for one song, either way round; or for many, under their names, or as a list::

    {"drums": ["01_Kick.wav", "02_Snare.wav"], "bass": ["03_Bass.wav"]}
    {"01_Kick.wav": "drums", "02_Snare.wav": "drums", "03_Bass.wav": "bass"}
    {"Artist_Song": {"drums": ["01_Kick.wav"]}, "Artist_Other": {"01_Vox.wav": "vocals"}}
    [{"song": "Artist_Song", "subgroups": {"drums": ["01_Kick.wav"]}}]

CSV (comma, semicolon or tab) with a header line; the column `song` may be left out in a song's own folder::

    song,track,subgroup
    Artist_Song,01_Kick.wav,drums

Names match whatever their case, with or without the track's extension, and a song also without a trailing
``_Full``, which the archives of the Mixing Secrets library carry. Songs may be named by their folder or by its
path below the collection's.
"""

import csv
import io
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from graphmix.audio.files import AUDIO_EXTENSIONS
from graphmix.audio.song_folder import UNGROUPED_BUS, some_names
from graphmix.errors import SongError
from graphmix.io import write_atomically
from graphmix.songs.layouts.base import Groups, read_json, read_text

NAMES = tuple(f"{stem}.{ending}" for stem in ("subgroups", "correspondence") for ending in ("json", "csv", "tsv"))
"""What such a file is called where it is looked for: in the collection's folder and in a song's."""
_TRACK_COLUMNS = ("track", "file", "filename")
_BUS_COLUMNS = ("subgroup", "bus", "group")


@dataclass(frozen=True)
class Correspondence:
    """Track -> subgroup for each song that a file names; under the name "" for a file of one song."""

    source: Path
    songs: Mapping[str, Mapping[str, str]]

    def of(self, *names: str) -> Mapping[str, str] | None:
        """Track -> subgroup of the song with one of these names, or None where the file does not name it."""
        return next((self.songs[key] for key in map(song_key, names) if key in self.songs), self.songs.get(""))


@dataclass(frozen=True)
class Grouping:
    """Subgroups of a song's tracks, and what was wrong or worth saying about them."""

    subgroups: Groups
    problems: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


def song_key(name: str) -> str:
    """A song's name as files are compared: composed, lower case, without ``_Full``."""
    return unicodedata.normalize("NFC", name).casefold().strip().removesuffix("_full")


def find_correspondence(folder: Path) -> Correspondence | None:
    """Read the correspondence file in a folder, where there is one.

    Raises:
        SongError: there are several, or it cannot be used.
    """
    found = [folder / name for name in NAMES if (folder / name).is_file()]
    if len(found) > 1:
        raise SongError(f"{folder} has both {found[0].name} and {found[1].name}: keep one of them.")
    return read_correspondence(found[0]) if found else None


def read_correspondence(path: Path) -> Correspondence:
    """Read a correspondence file, .json or .csv (.tsv, .txt).

    Raises:
        SongError: it cannot be read, is not of the form above, or gives one track two subgroups.
    """
    songs = _from_json(path) if path.suffix.lower() == ".json" else _from_table(path)
    if not songs:
        raise SongError(f"{path} names no tracks: list the tracks of each subgroup.")
    return Correspondence(path, songs)


def group(tracks: Iterable[str], bus_of: Mapping[str, str], source: str) -> Grouping:
    """Put tracks on buses; `bus_of` may name them without extension, `source` is the file that said so.

    A track that is named and not there is a problem, one that is there and not named goes to a bus of its own.
    Buses stand in the order of their first track.
    """
    tracks = list(tracks)
    exact = {_key(name): name for name in tracks}
    bare = {_bare(name): name for name in tracks}
    placed: dict[str, str] = {}
    missing, problems = [], []
    for named, bus in bus_of.items():
        track = exact.get(_key(named)) or bare.get(_bare(named))
        if track is None:
            missing.append(named)
        elif placed.setdefault(track, bus) != bus:
            problems.append(f"{source} puts {track} into '{placed[track]}' and into '{bus}': keep one.")
    if missing:
        problems.append(
            f"{len(missing)} of {len(bus_of)} tracks that {source} names are missing ({some_names(missing)}): "
            "copy them again, or correct the names."
        )
    left = [name for name in tracks if name not in placed]
    notices = [f"{some_names(left)} in no subgroup of {source}: put on the bus '{UNGROUPED_BUS}'."] if left else []
    return Grouping(subgroups_of(placed | dict.fromkeys(left, UNGROUPED_BUS), tracks), tuple(problems), tuple(notices))


def subgroups_of(bus_of: Mapping[str, str], tracks: Iterable[str]) -> Groups:
    """Turn track -> bus round, in the order of the tracks."""
    members: dict[str, list[str]] = {}
    for track in tracks:
        members.setdefault(bus_of[track], []).append(track)
    return {bus: tuple(names) for bus, names in members.items()}


def groups_in(value: Any, where: str) -> dict[str, str]:
    """Track -> bus from the JSON of one song, whichever way round it is.

    Raises:
        SongError: it has another form.
    """
    if isinstance(value, dict) and all(isinstance(bus, str) and bus for bus in value.values()):
        return dict(value)
    if not isinstance(value, dict) or not all(_is_list_of_names(names) for names in value.values()):
        raise SongError(
            f"{where} is neither bus -> list of tracks nor track -> bus: give an object of one of these forms."
        )
    bus_of: dict[str, str] = {}
    for bus, names in value.items():
        for name in names:
            if bus_of.setdefault(name, bus) != bus:
                raise SongError(f"{where} puts '{name}' into '{bus_of[name]}' and into '{bus}': keep one.")
    return bus_of


def _is_list_of_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _from_json(path: Path) -> dict[str, dict[str, str]]:
    content = read_json(path)
    if isinstance(content, list):
        content = _by_song(content, path)
    elif not isinstance(content, dict):
        raise SongError(f"{path} holds a {type(content).__name__}, expected an object of songs or of subgroups.")
    elif not any(isinstance(value, dict) for value in content.values()):
        return {"": groups_in(content, str(path))} if content else {}
    songs: dict[str, dict[str, str]] = {}
    for name, value in content.items():
        described = value["subgroups"] if isinstance(value, dict) and "subgroups" in value else value
        if songs.setdefault(song_key(name), groups := groups_in(described, f"{path}, song '{name}',")) is not groups:
            raise SongError(f"{path} has the song '{name}' twice: keep one of them.")
    return songs


def _by_song(rows: list[Any], path: Path) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for number, row in enumerate(rows, start=1):
        name = row.get("song") if isinstance(row, dict) else None
        if not isinstance(name, str) or "subgroups" not in row:
            raise SongError(f'{path}: entry {number} lacks "song" or "subgroups": give both.')
        if name in content:
            raise SongError(f"{path} has the song '{name}' twice: keep one of them.")
        content[name] = row["subgroups"]
    return content


def _from_table(path: Path) -> dict[str, dict[str, str]]:
    text = read_text(path)
    header = text.split("\n", 1)[0]
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=max("\t;,", key=header.count)))
    except csv.Error as error:
        raise SongError(f"{path} is not a table ({error}): save it as CSV with the columns track,subgroup.") from error
    columns = [name.strip().casefold() for name in rows[0]] if rows else []
    track = next((columns.index(name) for name in _TRACK_COLUMNS if name in columns), None)
    bus = next((columns.index(name) for name in _BUS_COLUMNS if name in columns), None)
    if track is None or bus is None:
        raise SongError(f"{path} has the columns {columns[:8]}: its first line must name track and subgroup.")
    song = columns.index("song") if "song" in columns else None
    songs: dict[str, dict[str, str]] = {}
    for number, row in enumerate(rows[1:], start=2):
        if not any(cell.strip() for cell in row):
            continue
        cells = {index: row[index].strip() for index in (track, bus, song) if index is not None and index < len(row)}
        if not cells.get(track) or not cells.get(bus):
            raise SongError(f"{path}, line {number}, lacks a track or its subgroup: fill in both.")
        groups = songs.setdefault(song_key(cells.get(song, "") if song is not None else ""), {})
        if groups.setdefault(cells[track], cells[bus]) != cells[bus]:
            raise SongError(f"{path}, line {number}, puts '{cells[track]}' into a second subgroup: keep one.")
    return songs


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold().strip()


def _bare(name: str) -> str:
    """A track's name without its extension, as a spreadsheet may have it."""
    key = _key(name)
    suffix = PurePosixPath(key).suffix
    return key.removesuffix(suffix) if suffix in AUDIO_EXTENSIONS else key


def write_correspondence(path: Path, songs: Mapping[str, Mapping[str, Iterable[str]]]) -> None:
    """Write song -> bus -> tracks as a .csv file that :func:`read_correspondence` reads.

    Raises:
        SongError: the name does not end in .csv.
        FileError: the file cannot be written.
    """
    if path.suffix.lower() != ".csv":
        raise SongError(f"{path}: the file of subgroups ends in .csv, not in {path.suffix!r}.")
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow(["song", "track", "subgroup"])
    for song, groups in songs.items():
        rows.writerows([song, track, bus] for bus, tracks in groups.items() for track in tracks)
    write_atomically(path, text.getvalue().encode("utf-8"))
