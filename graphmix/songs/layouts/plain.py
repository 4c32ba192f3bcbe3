"""A plain folder of songs, each with its tracks in stems/ or dry/ or with a song.json, up to three folders deep.

Songs of the songbook are of this form. A song.json may also say `artist` and `genre`.
"""

from pathlib import Path

from graphmix.audio.listing import audio_files
from graphmix.audio.song_description import DESCRIPTION, read_description
from graphmix.audio.song_places import stem_folders, walk
from graphmix.errors import SongError
from graphmix.songs.layouts.base import CollectionKind, FoundCollection, ReadOptions
from graphmix.songs.layouts.song_folders import find_songs


def recognise(root: Path) -> str | None:
    """Is it a song, or are there songs with their tracks in stems/ or dry/ below it?"""
    if _is_plain(root):
        return "it is itself a song, with stems/, dry/ or song.json"
    song = next(walk(root, _is_plain), None)
    return f"{song.relative_to(root)} has stems/, dry/ or song.json" if song and _is_plain(song) else None


def _is_plain(folder: Path) -> bool:
    """Whether a folder has stems/ or dry/, or a song.json that does not describe tracks and mix side by side."""
    if stem_folders(folder):
        return True
    if not (folder / DESCRIPTION).exists():
        return False
    try:
        return read_description(folder).stems is not None or len(audio_files(folder)) < 2
    except SongError:
        return True  # what is wrong is reported as that song's problem


def find(root: Path, options: ReadOptions) -> FoundCollection:
    """List the songs."""
    return find_songs(root)


PLAIN = CollectionKind(
    name="folder",
    expects="folders with a mix and stems/ or dry/, or with a song.json",
    recognise=recognise,
    find=find,
    of_its_own=True,
)
