"""MedleyDB, versions 1 and 2: songs with a mix, processed stems and the raw tracks behind each stem.

::

    Audio/                                         (or V1/ and V2/, or the songs themselves)
      Artist_Title/
        Artist_Title_MIX.wav
        Artist_Title_STEMS/Artist_Title_STEM_01.wav ...
        Artist_Title_RAW/Artist_Title_RAW_01_01.wav ...
    Metadata/Artist_Title_METADATA.yaml            (or beside the mix)

Raw tracks are the dry tracks, and each stem is the subgroup of its raw tracks: it is what the engineer's bus gave.
With ``tracks="stems"`` the stems themselves are the tracks, on one bus. What the metadata names and the copy has
not is a problem of the song. The repository with the metadata describes more songs than were published, so
metadata without audio is only counted.
"""

from pathlib import Path

from graphmix.audio.listing import audio_files, some_names, subfolders
from graphmix.audio.song_folder import Layout, link_problems
from graphmix.audio.subgroups import DEFAULT_BUS, Groups
from graphmix.errors import SongError
from graphmix.songs.layouts.base import (
    CollectionKind,
    FoundCollection,
    FoundSong,
    ReadOptions,
    empty_layout,
    read_or_report,
)
from graphmix.songs.layouts.medleydb_metadata import SUFFIX, Metadata, read_metadata

AUDIO_FOLDERS = ("Audio", "V1", "V2")
METADATA_FOLDERS = ("Metadata", "data/Metadata", "medleydb/data/Metadata")
"""Where metadata is looked for: beside the audio folders, or in a clone of the repository."""


def recognise(root: Path) -> str | None:
    """Are there songs with a _MIX file or _STEMS and _RAW folders named after them?"""
    song = next((folder for folder, _ in _folders(root) if _is_song(folder)), None)
    where = "it" if song == root else song and str(song.relative_to(root))
    return f"{where} has {song.name}_MIX.wav, _STEMS or _RAW" if song else None


def find(root: Path, options: ReadOptions) -> FoundCollection:
    """List the songs of all audio folders, and the metadata that has no audio."""
    metadata = _metadata_files(root, options.metadata)
    if options.tracks not in ("raw", "stems"):
        raise SongError(f"tracks is {options.tracks!r}: MedleyDB has 'raw' and 'stems'.")

    def read(folder: Path, place: Path) -> FoundSong:
        beside = folder / f"{folder.name}{SUFFIX}"
        path = beside if beside.is_file() else metadata.get(folder.name)
        return _read_song(folder, path, use_stems=options.tracks == "stems")

    folders = [(folder, place) for folder, place in _folders(root) if _is_song(folder) or folder.name in metadata]
    described = set() if _is_alone(root) else set(metadata)
    absent = tuple(sorted(described - {folder.name for folder, _ in folders}))
    about = (f"{len(absent)} metadata files have no audio in this copy: {some_names(list(absent))}.",) if absent else ()
    return FoundCollection([read_or_report(read, folder, place) for folder, place in folders], about, absent)


def _folders(root: Path) -> list[tuple[Path, Path]]:
    """Folders that may be songs, each with the folder that it lies in; the root alone, if it is itself a song."""
    if _is_alone(root):
        return [(root, root.parent)]
    return [(folder, place) for place in _audio_places(root) for folder in subfolders(place)]


def _audio_places(root: Path) -> list[Path]:
    places = [root / name for name in AUDIO_FOLDERS if (root / name).is_dir()]
    return places or [root]


def _is_song(folder: Path) -> bool:
    name = folder.name
    return any((folder / f"{name}{ending}").exists() for ending in ("_MIX.wav", "_STEMS", "_RAW", SUFFIX))


def _is_alone(root: Path) -> bool:
    """Whether the root is itself a song; a mix called after its folder alone is also what a DAW exports."""
    return any((root / f"{root.name}{ending}").is_dir() for ending in ("_STEMS", "_RAW"))


def _metadata_files(root: Path, given: Path | None) -> dict[str, Path]:
    """Song name -> metadata file, from the given folder or from where it usually lies."""
    if given is not None and not given.is_dir():
        raise SongError(f"{given}, where the metadata should be, is not a folder: check the name.")
    near = [root, root.parent] if root.name in AUDIO_FOLDERS else [root]
    near += [root.parent, root.parent.parent] if _is_alone(root) else []
    places = [given] if given else [base / name for base in near for name in (".", *METADATA_FOLDERS)]
    found: dict[str, Path] = {}
    for place in reversed(places):
        if place.is_dir():
            files = (path for path in place.glob(f"*{SUFFIX}") if path.name[0] != ".")
            found |= {path.name.removesuffix(SUFFIX): path for path in files}
    return found


def _read_song(folder: Path, metadata_path: Path | None, use_stems: bool) -> FoundSong:
    if metadata_path is None:
        return _undescribed(folder, use_stems)
    metadata = read_metadata(metadata_path)
    name = folder.name
    kind, place = (
        ("stems", folder / (metadata.stem_dir or f"{name}_STEMS"))
        if use_stems
        else ("raw tracks", folder / (metadata.raw_dir or f"{name}_RAW"))
    )
    members = _members(metadata, use_stems)
    named = [track for tracks in members.values() for track in tracks]
    present = {path.name: path for path in audio_files(place)} if place.is_dir() else {}
    mix, problems = _mix(folder, metadata.mix_filename)
    problems += _missing(named, present, kind, place)
    problems += [problem for where in (folder, place) if where.is_dir() for problem in link_problems(where)]
    if not use_stems and (bare := [stem.key for stem in metadata.stems if not stem.raw]):
        problems.append(f"stems {some_names(bare)} have no raw tracks in {metadata_path}: take its stems as tracks.")
    extra = [track for track in present if track not in set(named)]
    notices = (f"{some_names(extra)} in {place.name} are not in the metadata and were left out.",) if extra else ()
    tracks = {track: present[track] for track in named if track in present}
    subgroups = {bus: tuple(t for t in names if t in tracks) for bus, names in members.items()}
    layout = Layout(name, mix, tracks, {bus: names for bus, names in subgroups.items() if names}, notices)
    artist = metadata.artist or name.split("_")[0]
    return FoundSong(folder, layout, (name,), artist, metadata.genre, metadata.has_bleed, problems=tuple(problems))


def _members(metadata: Metadata, use_stems: bool) -> Groups:
    """Bus -> files: the raw tracks of each stem under its key and instrument, or all stems on one bus."""
    if use_stems:
        return {DEFAULT_BUS: tuple(stem.filename for stem in metadata.stems)}
    return {f"{stem.key} {stem.instrument}".strip(): stem.raw for stem in metadata.stems if stem.raw}


def _mix(folder: Path, named: str | None) -> tuple[Path | None, list[str]]:
    mix = folder / (named or f"{folder.name}_MIX.wav")
    return (mix, []) if mix.is_file() else (None, [f"the mix {mix.name} is missing in {folder}: copy it again."])


def _missing(named: list[str], present: dict[str, Path], kind: str, place: Path) -> list[str]:
    if twice := sorted({name for name in named if named.count(name) > 1}):
        return [f"the metadata names {some_names(twice)} twice: correct it."]
    missing = [name for name in named if name not in present]
    if not missing:
        return []
    what = f"all {len(named)}" if not present else f"{len(missing)} of {len(named)}"
    return [f"{what} {kind} are missing in {place} ({some_names(missing)}): copy them again."]


def _undescribed(folder: Path, use_stems: bool) -> FoundSong:
    """A song without metadata: its tracks are shown, but what belongs together is not known."""
    place = folder / f"{folder.name}{'_STEMS' if use_stems else '_RAW'}"
    mix, problems = _mix(folder, None)
    problems.insert(0, f"the metadata {folder.name}{SUFFIX} is missing: take it from MedleyDB's repository.")
    layout = empty_layout(folder.name)
    if place.is_dir() and (tracks := {path.name: path for path in audio_files(place)}):
        layout = Layout(folder.name, mix, tracks, {DEFAULT_BUS: tuple(tracks)})
    return FoundSong(folder, layout, (folder.name,), folder.name.split("_")[0], problems=tuple(problems))


MEDLEYDB = CollectionKind(
    name="medleydb",
    expects="Audio/Artist_Title/Artist_Title_MIX.wav with _RAW and _STEMS, and Metadata/Artist_Title_METADATA.yaml",
    recognise=recognise,
    find=find,
)
