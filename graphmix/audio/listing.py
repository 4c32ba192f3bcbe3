"""Audio files in a folder: which there are, which are not read, and names that only look different.

What listing a folder would pass over in silence is found here, so that it can be named: links that lead to no file,
audio in formats that are not read or without an ending, audio in subfolders. Hidden files, and the ``._`` files that
Macs leave on other disks, are ignored.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from graphmix.audio.files import AUDIO_EXTENSIONS, UNREAD_EXTENSIONS
from graphmix.errors import SongError
from graphmix.text import name_as_text, natural_key

MAX_DEPTH = 3
"""Songs, and audio of a song, lie at most so many folders below the root: genre/artist/song."""
_MAGIC_BYTES = 12


def audio_files(folder: Path) -> list[Path]:
    """Audio files directly in a folder, in natural order; hidden and other files are ignored.

    Raises:
        SongError: there is no such folder, or it may not be read.
    """
    files = [path for path in _entries(folder) if path.suffix.lower() in AUDIO_EXTENSIONS and path.is_file()]
    return sorted(files, key=lambda path: natural_key(path.name))


def subfolders(folder: Path) -> list[Path]:
    """Folders in a folder, by name, without hidden ones and what Macs leave behind.

    Raises:
        SongError: it is no folder, or may not be read.
    """
    found = [path for path in _entries(folder) if path.name != "__MACOSX" and path.is_dir()]
    return sorted(found, key=lambda path: (path.name.casefold(), path.name))


def holds_audio(folder: Path, depth: int = MAX_DEPTH) -> bool:
    """Whether there is an audio file in a folder or below it; folders that cannot be read hold none."""
    try:
        return bool(audio_files(folder)) or (
            depth > 0 and any(holds_audio(child, depth - 1) for child in subfolders(folder))
        )
    except SongError:
        return False


def unread_audio(folder: Path) -> list[Path]:
    """Audio files directly in a folder that are not read: in other formats, or without an ending."""
    files = [path for path in _entries(folder) if path.is_file()]
    return sorted(path for path in files if path.suffix.lower() in UNREAD_EXTENSIONS or _is_unnamed_audio(path))


def broken_links(folder: Path) -> list[Path]:
    """Links to audio files that are not there."""
    links = [path for path in _entries(folder) if path.suffix.lower() in AUDIO_EXTENSIONS and path.is_symlink()]
    return sorted(path for path in links if not path.exists())


def track_name(path: Path) -> str:
    """A track's name: that of its file in Unicode's composed form (a Mac may store "é" as two characters)."""
    return name_as_text(unicodedata.normalize("NFC", path.name))


def tracks_by_name(files: Iterable[Path]) -> tuple[dict[str, Path], list[str]]:
    """Name -> file, and a problem for each file whose name equals another's but for the form of its accents."""
    tracks: dict[str, Path] = {}
    problems = []
    for path in files:
        if tracks.setdefault(track_name(path), path) != path:
            problems.append(
                f"{path.parent} has two files called {path.name} that differ in the Unicode form of their accents "
                "alone: rename one, or remove it if it is a copy."
            )
    return tracks, problems


def some_names(names: Sequence[str], shown: int = 4) -> str:
    """Names joined for a message: the first few, and how many more there are."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def _entries(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise SongError(f"{folder} is not a folder: check the name.")
    try:
        return [path for path in folder.iterdir() if path.name[0] != "."]
    except OSError as error:
        raise SongError(f"{folder} cannot be read ({error.strerror}): check its permissions.") from error


def _is_unnamed_audio(path: Path) -> bool:
    """Whether a file without an ending begins as WAV, AIFF, FLAC, Ogg or tagged MP3 does."""
    if path.suffix:
        return False
    try:
        with path.open("rb") as file:
            start = file.read(_MAGIC_BYTES)
    except OSError:
        return False
    container = (start[:4], start[8:])
    return container in ((b"RIFF", b"WAVE"), (b"FORM", b"AIFF"), (b"FORM", b"AIFC")) or start.startswith(
        (b"fLaC", b"OggS", b"ID3", b"RF64", b"BW64")
    )
