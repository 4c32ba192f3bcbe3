"""What all layouts share: what one says of a song and of a collection.

A layout is two functions of a folder: one recognises it, one lists its songs from names and descriptions alone.
No audio file is opened here. What is wrong with one song becomes a *problem* of that song, a sentence that says
what is missing and how to fix it; only what is wrong with the whole collection raises.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from graphmix.audio.song_folder import Layout
from graphmix.errors import SongError
from graphmix.text import name_as_text


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
    return Layout(name_as_text(name), None, {}, {})


def parts_of(folder: Path, root: Path) -> tuple[str, ...]:
    """The names of the folders that lead from the root to a song; of the root itself, its own name."""
    return folder.relative_to(root).parts or (root.resolve().name,)


def read_or_report(read: Callable[[Path, Path], FoundSong], folder: Path, root: Path) -> FoundSong:
    """Read one song; whatever stops that becomes its problem, and does not stop the others."""
    try:
        return read(folder, root)
    except SongError as error:
        problem = str(error)
    except OSError as error:
        problem = f"{folder} cannot be read ({error.strerror}): check its permissions."
    return FoundSong(folder, empty_layout(folder.name), parts_of(folder, root), problems=(problem,))
