"""What a DAW exports: a folder of tracks and a mix, or several such folders.

::

    Song/
      Kick.wav, Snare Top.wav, Bass DI.wav, ...
      mix.wav

Subgroups are guessed from the names of the tracks by :mod:`graphmix.audio.subgroup_guess`, and the guess is
stated. A `song.json` in the folder overrides it (`subgroups`, and `mix`, `name`, `artist`, `genre`), and so does a
file :mod:`subgroups.json or .csv <graphmix.audio.subgroups>` in the folder or above it.
"""

from pathlib import Path

from graphmix.audio.song_places import song_folders
from graphmix.songs.layouts.base import CollectionKind, FoundCollection, ReadOptions
from graphmix.songs.layouts.song_folders import find_songs


def recognise(root: Path) -> str | None:
    """Are there audio files, in the folder itself or in folders below it?"""
    folders = song_folders(root)
    if not folders:
        return None
    where = "it" if folders[0] == root else str(folders[0].relative_to(root))
    return f"{where} holds audio files without stems/ or dry/"


def find(root: Path, options: ReadOptions) -> FoundCollection:
    """List the songs."""
    return find_songs(root)


DAW = CollectionKind(
    name="daw",
    expects="folders of audio files, one for each track, with a mix among them",
    recognise=recognise,
    find=find,
    of_its_own=True,
)
