"""Files that say which subgroup each track belongs to, for one song or for a whole collection.

JSON or YAML, for one song, either way round; or for many, under their names, or as a list::

    {"drums": ["01_Kick.wav", "02_Snare.wav"], "bass": ["03_Bass.wav"]}
    {"01_Kick.wav": "drums", "02_Snare.wav": "drums", "03_Bass.wav": "bass"}
    {"Artist_Song": {"drums": ["01_Kick.wav"]}, "Artist_Other": {"01_Vox.wav": "vocals"}}
    [{"song": "Artist_Song", "subgroups": {"drums": ["01_Kick.wav"]}, "offset": 0.35}]

CSV (comma, semicolon or tab) with a header line; the column `song` may be left out in a song's own folder::

    song,track,subgroup
    Artist_Song,01_Kick.wav,drums

A name that is written exactly as the track's holds for that track; otherwise case, spaces at its ends and the
extension do not matter as long as one track fits. A song may also be named without a trailing ``_Full``, which the
archives of the Mixing Secrets library carry, and by its path below the collection's folder. `offset` is how far the
song's mix lies behind its tracks (:mod:`graphmix.audio.offset`).

A table that this module writes has every cell in quotation marks, and then spaces at the ends of subgroups are kept.
"""

import csv
import io
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from graphmix.audio.files import AUDIO_EXTENSIONS
from graphmix.audio.listing import some_names
from graphmix.audio.offset import Offset, parse_offset
from graphmix.errors import SongError
from graphmix.io import read_json, read_text, write_atomically

DEFAULT_BUS = "mix bus"
UNGROUPED_BUS = "ungrouped"
NAMES = tuple(
    f"{stem}.{ending}" for stem in ("subgroups", "correspondence") for ending in ("json", "yaml", "yml", "csv", "tsv")
)
"""What such a file is called where it is looked for: in the collection's folder and in a song's."""
_TRACK_COLUMNS = ("track", "file", "filename")
_BUS_COLUMNS = ("subgroup", "bus", "group")

Groups = dict[str, tuple[str, ...]]
"""Bus -> names of its tracks."""


@dataclass(frozen=True)
class SongEntry:
    """What a file says of one song: track -> subgroup, subgroups without tracks, the offset of the mix."""

    bus_of: Mapping[str, str]
    empty: tuple[str, ...] = ()
    offset: Offset | None = None


@dataclass(frozen=True)
class Correspondence:
    """Song -> what a file says of it; under the name "" for a file of one song."""

    source: Path
    songs: Mapping[str, SongEntry]

    def of(self, *names: str) -> SongEntry | None:
        """The entry of the song with one of these names, or None where the file does not name it.

        Raises:
            SongError: no entry is called exactly so, and several but for case or ``_Full``.
        """
        for name in names:
            if name in self.songs:
                return self.songs[name]
        for key in map(song_key, names):
            alike = [name for name in self.songs if name and song_key(name) == key]
            if len(alike) > 1:
                twice = f"{self.source} has the song '{names[0]}' twice ({some_names(alike)}): keep one of them."
                raise SongError(twice)
            if alike:
                return self.songs[alike[0]]
        return self.songs.get("")


@dataclass(frozen=True)
class Grouping:
    """Subgroups of a song's tracks, and what is wrong with them or worth mentioning."""

    subgroups: Groups
    problems: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


def song_key(name: str) -> str:
    """A song's name for a loose comparison: composed, lower case, without ``_Full``."""
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
    """Read a correspondence file, .json, .yaml (.yml) or .csv (.tsv, .txt).

    Raises:
        SongError: it cannot be read, is not of the form above, or gives one track two subgroups.
    """
    ending = path.suffix.lower()
    if ending in (".yaml", ".yml"):
        from graphmix.audio.yaml_documents import read_yaml  # here, because most songs do without PyYAML

        songs = _from_document(read_yaml(path), path)
    else:
        songs = _from_document(read_json(path, error=SongError), path) if ending == ".json" else _from_table(path)
    if not any(entry.bus_of for entry in songs.values()):
        raise SongError(f"{path} names no tracks: list the tracks of each subgroup.")
    return Correspondence(path, songs)


def group(tracks: Iterable[str], entry: SongEntry, source: str, as_listed: bool = False) -> Grouping:
    """Subgroups of tracks; `source` is the file that the entry is from.

    A track that is named and not there is a problem, one that is there and not named goes to a bus of its own. Buses
    stand in the order of their first track, or of the entry if `as_listed`.
    """
    tracks = list(tracks)
    find = _finder(tracks)
    placed: dict[str, str] = {}
    missing, problems = [], []
    for named, bus in entry.bus_of.items():
        found = find(named)
        if not found:
            missing.append(named)
        elif len(found) > 1:
            problems.append(f"{source} names '{named}', which may be {some_names(found)}: write the name exactly.")
        elif placed.setdefault(found[0], bus) != bus:
            problems.append(f"{source} puts {found[0]} into '{placed[found[0]]}' and into '{bus}': keep one.")
    if missing:
        problems.append(_missing(missing, entry.bus_of, tracks, source))
    notices = [f"Subgroup '{bus}' of {source} has no tracks and was left out." for bus in entry.empty]
    left = [name for name in tracks if name not in placed]
    if left:
        notices.append(f"{some_names(left)} in no subgroup of {source}: put on the bus '{UNGROUPED_BUS}'.")
    subgroups = subgroups_of(placed | dict.fromkeys(left, UNGROUPED_BUS), tracks)
    if as_listed:
        order = [*dict.fromkeys(entry.bus_of.values()), UNGROUPED_BUS]
        subgroups = {bus: subgroups[bus] for bus in dict.fromkeys(order) if bus in subgroups}
    return Grouping(subgroups, tuple(problems), tuple(notices))


def _finder(tracks: list[str]) -> Callable[[str], list[str]]:
    """A function from a name in a file to the tracks that it may mean: the exact one, or all that fit loosely."""
    exact = {unicodedata.normalize("NFC", name): name for name in tracks}
    loose: dict[str, list[str]] = {}
    bare: dict[str, list[str]] = {}
    for name in tracks:
        loose.setdefault(_key(name), []).append(name)
        bare.setdefault(_bare(name), []).append(name)

    def find(named: str) -> list[str]:
        composed = unicodedata.normalize("NFC", named)
        return [exact[composed]] if composed in exact else loose.get(_key(named)) or bare.get(_bare(named)) or []

    return find


def _missing(missing: list[str], bus_of: Mapping[str, str], tracks: list[str], source: str) -> str:
    """The problem of tracks that are named and not there."""
    shown = some_names([f"'{name}' of subgroup '{bus_of[name]}'" for name in missing])
    if any(bus_of[name] in tracks for name in missing):
        fix = "give each subgroup a list of its tracks: {" + f'"{missing[0]}": ["{bus_of[missing[0]]}"]' + "}."
    else:
        fix = f"correct the names, or add the files; there are {some_names(tracks)}."
    return f"{len(missing)} of {len(bus_of)} tracks that {source} names are missing ({shown}): {fix}"


def subgroups_of(bus_of: Mapping[str, str], tracks: Iterable[str]) -> Groups:
    """Turn track -> bus round, in the order of the tracks."""
    members: dict[str, list[str]] = {}
    for track in tracks:
        members.setdefault(bus_of[track], []).append(track)
    return {bus: tuple(names) for bus, names in members.items()}


def read_entry(value: Any, where: str, offset: Any = None) -> SongEntry:
    """The entry of one song from its part of a document, whichever way round its subgroups are.

    Raises:
        SongError: it has another form.
    """
    parsed = None if offset is None else parse_offset(offset, f"{where} offset")
    if isinstance(value, dict) and value and all(isinstance(bus, str) and bus for bus in value.values()):
        return SongEntry(dict(value), offset=parsed)
    if not isinstance(value, dict) or not all(_is_list_of_names(names) for names in value.values()):
        raise SongError(
            f"{where} is neither bus -> list of tracks nor track -> bus: give an object of one of these forms."
        )
    bus_of: dict[str, str] = {}
    for bus, names in value.items():
        for name in names or []:
            if bus_of.setdefault(name, bus) != bus:
                raise SongError(f"{where} puts '{name}' into '{bus_of[name]}' and into '{bus}': keep one.")
    return SongEntry(bus_of, tuple(bus for bus, names in value.items() if not names), parsed)


def _is_list_of_names(value: Any) -> bool:
    """Whether it is a list of texts; YAML has an empty text, and JSON null, for a key without a value."""
    return value in ("", None) or (isinstance(value, list) and all(isinstance(name, str) for name in value))


def _from_document(content: Any, path: Path) -> dict[str, SongEntry]:
    """Entries from the content of a JSON or YAML file."""
    if isinstance(content, list):
        return _from_list(content, path)
    if not isinstance(content, dict):
        raise SongError(f"{path} holds a {type(content).__name__}, expected an object of songs or of subgroups.")
    if not any(isinstance(value, dict) for value in content.values()):
        return {"": read_entry(content, str(path))} if content else {}
    songs = {}
    for name, value in content.items():
        described = isinstance(value, dict) and "subgroups" in value
        groups, offset = (value["subgroups"], value.get("offset")) if described else (value, None)
        songs[name] = read_entry(groups, f"{path}, song '{name}',", offset)
    return songs


def _from_list(rows: list[Any], path: Path) -> dict[str, SongEntry]:
    songs: dict[str, SongEntry] = {}
    for number, row in enumerate(rows, start=1):
        name = row.get("song") if isinstance(row, dict) else None
        if not isinstance(name, str) or "subgroups" not in row:
            raise SongError(f'{path}: entry {number} lacks "song" or "subgroups": give both.')
        if name in songs:
            raise SongError(f"{path} has the song '{name}' twice: keep one of them.")
        songs[name] = read_entry(row["subgroups"], f"{path}, song '{name}',", row.get("offset"))
    return songs


def _from_table(path: Path) -> dict[str, SongEntry]:
    text = read_text(path, error=SongError)
    header = text.split("\n", 1)[0]
    is_ours = header.startswith('"')
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
        cells = dict(enumerate(row))
        name, group_name = cells.get(track, ""), cells.get(bus, "")
        if not name.strip() or not group_name.strip():
            raise SongError(f"{path}, line {number}, lacks a track or its subgroup: fill in both.")
        group_name = group_name if is_ours else group_name.strip()
        of_song = songs.setdefault(cells.get(song, "").strip() if song is not None else "", {})
        if of_song.setdefault(name, group_name) != group_name:
            raise SongError(f"{path}, line {number}, puts '{name}' into a second subgroup: keep one.")
    return {name: SongEntry(bus_of) for name, bus_of in songs.items()}


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
        GraphmixError: the file cannot be written.
    """
    if path.suffix.lower() != ".csv":
        raise SongError(f"{path}: the file of subgroups ends in .csv, not in {path.suffix!r}.")
    text = io.StringIO(newline="")
    rows = csv.writer(text, quoting=csv.QUOTE_ALL)
    rows.writerow(["song", "track", "subgroup"])
    for song, groups in songs.items():
        rows.writerows([song, track, bus] for bus, tracks in groups.items() for track in tracks)
    write_atomically(path, text.getvalue().encode("utf-8"))
