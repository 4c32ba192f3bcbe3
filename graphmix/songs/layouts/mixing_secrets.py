"""The Mixing Secrets library of Cambridge Music Technology: one folder of WAV files for each song.

::

    correspondence.json                  (or .yaml, .csv: which subgroup each track goes to)
    Artist_Title_Full/                   (or Artist_Title/)
      01_Kick.wav, 02_Snare.wav, ...
      Artist_Title_FullPreview.mp3       (the mix, as the user supplies it: here, or beside the folder)

The library has audio only; the authors of the pruning paper grouped its tracks by hand. Their own copy, as the code
that they published reads it, has a folder around each archive, and is read too::

    Artist_Title/
      correspondence.yaml, mix.wav
      Artist_Title_Full/01_Kick.wav, ...

Without a correspondence file (:mod:`graphmix.audio.subgroups`) subgroups are guessed from the names of the tracks.
"""

from pathlib import Path

from graphmix.audio.listing import audio_files
from graphmix.audio.mix_names import base_name, is_preview
from graphmix.audio.song_places import song_folders
from graphmix.audio.subgroups import NAMES
from graphmix.songs.layouts.base import CollectionKind, FoundCollection, ReadOptions
from graphmix.songs.layouts.song_folders import find_songs


def recognise(root: Path) -> str | None:
    """Is there a correspondence file, a folder called ..._Full, or a ..._FullPreview file?"""
    for folder in [root, *song_folders(root)]:
        if any((folder / name).is_file() for name in NAMES if name.startswith("correspondence")):
            return f"{folder.name} holds a correspondence file"
        preview = next(filter(is_preview, audio_files(folder)), None)
        if preview:
            return f"{preview.name} is called as the library's previews are"
        if folder != root and base_name(folder) != folder.name:
            return f"{folder.name} is called as the library's archives are"
    return None


def find(root: Path, options: ReadOptions) -> FoundCollection:
    """List the songs; a song's artist is what its folder's name has before the underscore."""

    def called(folder: Path) -> tuple[str, str | None]:
        name = base_name(folder)
        return name, name.split("_")[0] if "_" in name else None

    return find_songs(root, called)


MIXING_SECRETS = CollectionKind(
    name="mixing-secrets",
    expects="folders of WAV files with a mix (..._FullPreview.mp3), and a correspondence file track -> subgroup",
    recognise=recognise,
    find=find,
)
