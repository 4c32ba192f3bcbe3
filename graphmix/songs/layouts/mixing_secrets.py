"""The Mixing Secrets library of Cambridge Music Technology: one folder of WAV files for each song.

::

    correspondence.json                  (or .csv: which subgroup each track goes to)
    Artist_Title_Full/                   (or Artist_Title/)
      01_Kick.wav, 02_Snare.wav, ...
      Artist_Title_FullPreview.mp3       (the mix, as the user supplies it: here, or beside the folder)

The library has audio only; the authors of the pruning paper grouped its tracks by hand. Without a correspondence
file (:mod:`graphmix.songs.layouts.correspondence`) subgroups are guessed from the names of the tracks.
"""

from pathlib import Path

from graphmix.audio.song_folder import audio_files
from graphmix.songs.layouts.base import CollectionKind, FoundCollection, ReadOptions
from graphmix.songs.layouts.flat import base_name, find_flat, is_preview, song_folders


def recognise(root: Path) -> str | None:
    """Is there a correspondence file, a folder called ..._Full, or a ..._FullPreview file?"""
    for folder in [root, *song_folders(root)]:
        if any((folder / f"correspondence.{ending}").is_file() for ending in ("json", "csv", "tsv")):
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

    return find_flat(root, called)


MIXING_SECRETS = CollectionKind(
    name="mixing-secrets",
    expects="folders of WAV files with a mix (..._FullPreview.mp3), and a correspondence file track -> subgroup",
    recognise=recognise,
    find=find,
)
