"""A plain folder of songs, each as :mod:`graphmix.audio.song_folder` reads it, up to three folders deep.

A `song.json` may also say `artist` and `genre`. Songs of the songbook are of this form.
"""

from pathlib import Path

from graphmix.audio.song_folder import DESCRIPTION, Layout, audio_files, find_layout
from graphmix.errors import SongError
from graphmix.songs.layouts.base import (
    CollectionKind,
    FoundCollection,
    FoundSong,
    ReadOptions,
    empty_layout,
    is_plain_song,
    parts_of,
    read_description,
    read_or_report,
    subfolders,
    text_of,
    walk,
)


def recognise(root: Path) -> str | None:
    """Is it a song, or are there songs with their tracks in stems/ or dry/ below it?"""
    if is_plain_song(root):
        return "it is itself a song, with stems/, dry/ or song.json"
    song = next(walk(root, is_plain_song), None)
    return f"{song.relative_to(root)} has stems/, dry/ or song.json" if song and is_plain_song(song) else None


def find(root: Path, options: ReadOptions) -> FoundCollection:
    """List the songs, and folders with audio that are no songs, with the reason."""
    folders = [root] if is_plain_song(root) else list(walk(root, _may_be_song))
    return FoundCollection([read_or_report(read_plain_song, folder, root) for folder in folders])


def read_plain_song(folder: Path, root: Path) -> FoundSong:
    """Read one song's folder; what is missing becomes its problems."""
    problems: list[str] = []
    try:
        layout = find_layout(folder)
    except SongError as error:
        problems.append(str(error))
        layout = _what_is_there(folder)
    artist = genre = None
    try:
        description = read_description(folder)
        artist, genre = (text_of(description, key, folder / DESCRIPTION) for key in ("artist", "genre"))
    except SongError as error:
        problems += [str(error)] if not problems else []
    return FoundSong(folder, layout, parts_of(folder, root), artist, genre, problems=tuple(problems))


def _what_is_there(folder: Path) -> Layout:
    """The tracks of a song that has no usable mix, if they can be had."""
    try:
        return find_layout(folder, need_mix=False)
    except SongError:
        return empty_layout(folder.name)


def _may_be_song(folder: Path) -> bool:
    """A song, or a folder of audio that holds no songs and so is likely meant to be one."""
    if is_plain_song(folder):
        return True
    return bool(audio_files(folder)) and not any(map(is_plain_song, subfolders(folder)))


PLAIN = CollectionKind(
    name="folder",
    expects="folders with a mix and stems/ or dry/, or with a song.json",
    recognise=recognise,
    find=find,
    of_its_own=True,
)
