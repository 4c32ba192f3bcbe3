"""What all layouts share: what one says of a song, which folders are songs, and small files from strangers.

A layout is two functions of a folder: one recognises it, one lists its songs from names and descriptions alone.
No audio file is opened here. What is wrong with one song becomes a *problem* of that song, a sentence that says
what is missing and how to mend it; only what is wrong with the whole collection raises.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from graphmix.audio.files import AUDIO_EXTENSIONS
from graphmix.audio.song_folder import DESCRIPTION, STEM_FOLDERS, Layout, audio_files
from graphmix.errors import SongError

MAX_DEPTH = 3
"""Songs lie at most so many folders below the root: genre/artist/song."""
MAX_TEXT_BYTES = 16 << 20
"""Largest description that is read; that of 1,000 songs with 30 tracks each is below 2 MB."""

Groups = dict[str, tuple[str, ...]]
"""Bus -> names of its tracks."""


@dataclass(frozen=True)
class FoundSong:
    """What a layout says of one song.

    `parts` are the folder names that make its id. `problems` keep it from being mined. `guess` is the sentence
    about subgroups that were guessed; it is dropped when the user gives others.
    """

    folder: Path
    layout: Layout
    parts: tuple[str, ...]
    artist: str | None = None
    genre: str | None = None
    has_bleed: bool | None = None
    split: str | None = None
    problems: tuple[str, ...] = ()
    guess: str | None = None


@dataclass(frozen=True)
class FoundCollection:
    """The songs of a collection in any order, sentences about the whole, and songs that are named but not there."""

    songs: list[FoundSong]
    notices: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReadOptions:
    """What the user may say about a collection: MedleyDB's tracks are "raw" or "stems"; where metadata lies."""

    tracks: str = "raw"
    metadata: Path | None = None


@dataclass(frozen=True)
class CollectionKind:
    """A layout: its name, what it expects, how it is recognised (a reason, or None) and read.

    `of_its_own` says that a collection of this kind is called after its root folder, not after the kind.
    """

    name: str
    expects: str
    recognise: Callable[[Path], str | None]
    find: Callable[[Path, ReadOptions], FoundCollection]
    of_its_own: bool = False


def empty_layout(name: str) -> Layout:
    """The layout of a song of which nothing but the name is known."""
    return Layout(name, None, {}, {})


def natural(folder: Path) -> tuple[str, str]:
    """Order of folders: by name, whatever the case."""
    return folder.name.casefold(), folder.name


def subfolders(folder: Path) -> list[Path]:
    """List the folders in a folder, without hidden ones and what Macs leave behind.

    Raises:
        SongError: it is no folder, or may not be read.
    """
    try:
        found = [path for path in folder.iterdir() if path.name[0] != "." and path.name != "__MACOSX"]
        return sorted((path for path in found if path.is_dir()), key=natural)
    except OSError as error:
        raise SongError(f"{folder} cannot be read ({error.strerror}): check its name and permissions.") from error


def walk(root: Path, holds_song: Callable[[Path], bool], depth: int = 1) -> Iterator[Path]:
    """The songs below a folder, at most :data:`MAX_DEPTH` deep; folders that cannot be read count as songs.

    Nothing inside a song is looked at, so that links in a ring end, and songs do not contain songs.
    """
    for folder in subfolders(root):
        try:
            found = holds_song(folder)
            inside = [] if found or depth == MAX_DEPTH else list(walk(folder, holds_song, depth + 1))
        except (SongError, OSError):
            found, inside = True, []
        yield from [folder] if found else inside


def parts_of(folder: Path, root: Path) -> tuple[str, ...]:
    """The names of the folders that lead from the root to a song; of the root itself, its own name."""
    return folder.relative_to(root).parts or (root.resolve().name,)


def read_or_report(read: Callable[[Path, Path], FoundSong], folder: Path, root: Path) -> FoundSong:
    """Read one song; whatever stops that is told as its problem, and does not stop the others."""
    try:
        return read(folder, root)
    except SongError as error:
        problem = str(error)
    except OSError as error:
        problem = f"{folder} cannot be read ({error.strerror}): check its permissions."
    return FoundSong(folder, empty_layout(folder.name), parts_of(folder, root), problems=(problem,))


def is_plain_song(folder: Path) -> bool:
    """Whether a folder has its dry tracks where :mod:`graphmix.audio.song_folder` looks for them.

    A song.json alone does not make it so: it may describe a folder in which tracks and mix lie side by side.
    """
    if any((folder / name).is_dir() for name in STEM_FOLDERS):
        return True
    if not (folder / DESCRIPTION).exists():
        return False
    try:
        return "stems" in read_description(folder) or len(audio_files(folder)) < 2
    except SongError:
        return True  # what is wrong is told as that song's problem


def read_text(path: Path, most: int = MAX_TEXT_BYTES) -> str:
    """Read a text file of bounded size, UTF-8 with or without a mark.

    Raises:
        SongError: it cannot be read, is too large or is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise SongError(f"{path} cannot be read ({error.strerror}): check that it is a readable file.") from error
    if len(content) > most:
        raise SongError(f"{path} is larger than {most} bytes: is it the right file?")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SongError(f"{path} is not UTF-8 text (byte {error.start}): save it as UTF-8.") from error


def read_json(path: Path) -> Any:
    """Read a JSON file of bounded size.

    Raises:
        SongError: as :func:`read_text`, or it is not JSON.
    """
    try:
        return json.loads(read_text(path))
    except SongError:
        raise
    except (ValueError, RecursionError) as error:
        raise SongError(f"{path} is not JSON ({error}): correct it, or remove it.") from error


def read_description(folder: Path) -> dict[str, Any]:
    """Read the song.json of a folder; without one, nothing.

    Raises:
        SongError: it cannot be read or is no object.
    """
    path = folder / DESCRIPTION
    if not path.exists():
        return {}
    description = read_json(path)
    if not isinstance(description, dict):
        raise SongError(f"{path} holds a {type(description).__name__}, expected an object {{...}}.")
    return description


def text_of(description: dict[str, Any], key: str, path: Path) -> str | None:
    """A text in a description, or None where it is absent, null or empty.

    Raises:
        SongError: the value is of another type.
    """
    value = description.get(key)
    if value is not None and not isinstance(value, str):
        raise SongError(f'{path} has a {type(value).__name__} under "{key}", expected a name in quotes.')
    return value.strip() or None if value else None


def inside(folder: Path, name: str) -> Path | None:
    """The file of that name in a folder or below it; None if the name leads out of the folder."""
    pure = PurePath(name.replace("\\", "/"))
    if not name or pure.is_absolute() or ".." in pure.parts or "\0" in name or ":" in name:
        return None
    return folder / pure


def dangling(folders: Iterable[Path]) -> list[Path]:
    """Links to audio files that are not there; listing a folder passes them over in silence."""
    found: set[Path] = set()
    for folder in folders:
        if folder.is_dir():
            links = (path for path in folder.iterdir() if path.suffix.lower() in AUDIO_EXTENSIONS)
            found |= {path for path in links if path.name[0] != "." and path.is_symlink() and not path.exists()}
    return sorted(found)
