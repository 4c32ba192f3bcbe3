"""Which folders are songs, and where in a song's folder its tracks lie.

A folder is a song if it has a `song.json` or a folder called stems or dry, if tracks lie in it, or if it has a mix and
one folder of tracks. What a search wrote is none. :mod:`graphmix.audio.song_folder` reads what is in a song.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from graphmix.audio.listing import MAX_DEPTH, audio_files, holds_audio, some_names, subfolders
from graphmix.audio.mix_names import base_name, called_after, mix_rank, squash
from graphmix.audio.song_description import DESCRIPTION, Description
from graphmix.errors import SongError

STEM_FOLDERS = ("stems", "dry")
OTHER_STEM_FOLDERS = (
    "tracks", "multitracks", "multitrack", "audiofiles", "audio", "raw", "rawtracks", "drytracks", "drystems", "wav",
    "wavs", "files",
)  # fmt: skip
"""Letters and digits of the names, in lower case, that a folder of tracks beside the mix may have."""
MINED_FILES = ("graph.safetensors", "checkpoint.safetensors", "run.json")
MINED_AUDIO = ("mix.wav", "residual.wav")
SEPARATED = "separated"
"""What a search writes, and the folder of the song that it mined where there were no tracks; its folder has no other
audio, while a graph may be saved in the folder of a song."""


@dataclass(frozen=True)
class Place:
    """The folder of the tracks, and whether it was named or called stems or dry."""

    folder: Path | None
    is_plain: bool = False
    problem: str | None = None


# --- songs


def is_song(folder: Path) -> bool:
    """Whether a folder has the files of a song, rather than tracks alone."""
    return (folder / DESCRIPTION).exists() or bool(stem_folders(folder))


def song_folders(root: Path) -> list[Path]:
    """The folders at or below the root that hold a song."""
    return [root] if holds_song(root) else list(walk(root, holds_song))


def holds_song(folder: Path) -> bool:
    """Whether a folder is a song: described, around a folder of tracks, or with the tracks themselves in it."""
    if is_song(folder):
        return True
    if is_mined(folder):
        return False
    files = audio_files(folder)
    below = folders_with_audio(folder)
    if any(map(is_song, subfolders(folder))):
        return False
    if any(mix_rank(path, folder) is None for path in files):
        return len([child for child in below if audio_files(child)]) < 2
    if _named_places(folder, below):
        return True
    if len(below) != 1 or not audio_files(_descended(below[0])):
        return False
    is_nested = squash(base_name(folder)) == squash(base_name(below[0]))
    return is_nested or (bool(files) and not any(called_after(path, below[0]) for path in files))


def is_mined(folder: Path) -> bool:
    """Whether a folder is the output of a search, finished or not, rather than a song (of the songbook, say)."""
    if not any((folder / name).exists() for name in MINED_FILES) or is_song(folder):
        return False
    try:
        has_tracks = any(path.name not in MINED_AUDIO for path in audio_files(folder))
        return not has_tracks and not any(holds_audio(child) for child in subfolders(folder) if child.name != SEPARATED)
    except SongError:
        return False


def walk(root: Path, is_wanted: Callable[[Path], bool], depth: int = 1) -> Iterator[Path]:
    """The songs below a folder, at most `MAX_DEPTH` deep; folders that cannot be read count as songs.

    Nothing inside a song is looked at, so that links in a ring end, and songs do not contain songs.
    """
    for folder in subfolders(root):
        try:
            found = is_wanted(folder)
            is_leaf = found or depth == MAX_DEPTH or is_mined(folder)
            inside = [] if is_leaf else list(walk(folder, is_wanted, depth + 1))
        except (SongError, OSError):
            found, inside = True, []
        yield from [folder] if found else inside


# --- where the tracks are


def find_place(folder: Path, described: Description, mix: Path | None) -> Place:
    """The folder of the tracks of a song whose mix is given, or is not (None)."""
    if described.stems:
        if described.stems.is_dir():
            return Place(described.stems, True)
        return Place(None, True, f"{described.stems}, where the dry tracks should be, is not a folder: check the name.")
    named = stem_folders(folder)
    if len(named) > 1:
        return Place(None, True, f"{folder} has both {named[0].name}/ and {named[1].name}/: {_NAME_ONE}")
    if named:
        return Place(named[0], True)
    files = audio_files(folder)
    tracks = [path for path in files if mix_rank(path, folder) is None and path != mix]
    below = [child for child in folders_with_audio(folder) if mix is None or child not in mix.parents]
    places = _named_places(folder, below)
    if len(tracks) < 2 and len(places) == 1:
        return Place(_descended(places[0]))
    if len(tracks) > 1 or (tracks and (len(files) > 1 or mix or described.has_no_mix)):
        return Place(folder)
    if len(below) == 1 and audio_files(_descended(below[0])):
        return Place(_descended(below[0]))
    if below:
        names = some_names([child.name for child in below])
        return Place(None, False, f"{folder} has no stems/ or dry/, and audio in {names}: {_NAME_ONE}")
    return Place(None, False, f"{folder} has neither stems/ nor dry/: {_NAME_ONE}")


_NAME_ONE = f'put the dry tracks into one of them, or name their folder under "stems" in {DESCRIPTION}.'


def stem_folders(folder: Path) -> list[Path]:
    """Folders called stems or dry, whatever the case; none where the folder cannot be read."""
    try:
        return [child for child in subfolders(folder) if child.name.casefold() in STEM_FOLDERS]
    except SongError:
        return []


def folders_with_audio(folder: Path) -> list[Path]:
    """Subfolders with audio in them or below, without those that a search wrote."""
    return [child for child in subfolders(folder) if holds_audio(child) and not is_mined(child)]


def _named_places(folder: Path, below: list[Path]) -> list[Path]:
    """Those that are called as folders of tracks are and hold some."""
    return [c for c in below if squash(c.name) in OTHER_STEM_FOLDERS and audio_files(_descended(c))]


def _descended(folder: Path) -> Path:
    """The folder, or the one folder in it that holds audio while it has none itself (nested archives)."""
    for _ in range(MAX_DEPTH):
        below = folders_with_audio(folder)
        if audio_files(folder) or len(below) != 1:
            break
        folder = below[0]
    return folder
