"""Songs that each have a folder of their own, as :mod:`graphmix.audio.song_folder` finds their files.

Plain folders, exports of a DAW and the archives of the Mixing Secrets library are collections of such folders; they
differ in how they are recognised and in what the name of a folder says.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from graphmix.audio.listing import audio_files, some_names, subfolders, track_name
from graphmix.audio.mix_names import called_after
from graphmix.audio.song_folder import find_files
from graphmix.audio.song_places import holds_song, is_mined, walk
from graphmix.audio.subgroups import Correspondence, find_correspondence
from graphmix.errors import SongError
from graphmix.songs.layouts.base import FoundCollection, FoundSong, empty_layout, parts_of, read_or_report

Called = Callable[[Path], tuple[str | None, str | None]]
"""Title and artist from a folder's name, None where it does not say."""


def nothing_in_the_name(folder: Path) -> tuple[None, None]:
    """A folder's name is the song's, and says no artist."""
    return None, None


def find_songs(root: Path, called: Called = nothing_in_the_name) -> FoundCollection:
    """List the songs at or below the root; title and artist hold where a song.json says nothing."""
    collection = find_correspondence(root)

    def read(folder: Path, root: Path) -> FoundSong:
        return _read_song(folder, root, collection, called)

    if holds_song(root):
        return FoundCollection([read_or_report(read, root, root)])
    found = list(walk(root, _is_listed))
    mined = [folder for folder in found if is_mined(folder)]
    notices = []
    if stray := _strays(root):
        notices.append(f"{some_names(stray)} beside the songs belongs to none of them.")
    if mined:
        names = [folder.relative_to(root).as_posix() for folder in mined]
        notices.append(f"mined folders were left out: {some_names(names)}.")
    folders = [folder for folder in found if folder not in mined]
    return FoundCollection([read_or_report(read, folder, root) for folder in folders], tuple(notices))


def _is_listed(folder: Path) -> bool:
    """Whether a folder is a song, the output of a search, or likely meant as a song: with audio, and no songs in it."""
    if is_mined(folder) or holds_song(folder):
        return True
    return bool(audio_files(folder)) and next(walk(folder, holds_song), None) is None


def _read_song(folder: Path, root: Path, collection: Correspondence | None, called: Called) -> FoundSong:
    """Read one song's folder; what is missing becomes its problems."""
    parts = parts_of(folder, root)
    name, artist = called(folder)
    try:
        found = find_files(folder, collection=collection, names=("/".join(parts),))
    except SongError as error:
        return FoundSong(folder, empty_layout(name or folder.name), parts, artist, problems=(str(error),))
    layout = found.layout
    if name and not found.is_named:
        layout = replace(layout, name=name)
    return FoundSong(
        folder,
        layout,
        parts,
        found.artist or artist,
        found.genre,
        problems=found.problems,
        guess=found.guess,
    )


def _strays(root: Path) -> list[str]:
    """Audio files in a collection's folder that are the mix of no song below it."""
    songs = subfolders(root)
    return [track_name(path) for path in audio_files(root) if not any(called_after(path, song) for song in songs)]
