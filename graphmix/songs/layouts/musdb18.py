"""MUSDB18-HQ: 150 songs of four processed stems each.

::

    train/Artist - Title/{mixture,vocals,drums,bass,other}.wav     100 songs
    test/Artist - Title/{mixture,vocals,drums,bass,other}.wav       50 songs

The four stems are the tracks, on one bus. The compressed MUSDB18 (.stem.mp4) is another data set and is refused.
"""

from pathlib import Path

from graphmix.audio.listing import some_names, subfolders
from graphmix.audio.song_folder import Layout, link_problems
from graphmix.audio.subgroups import DEFAULT_BUS
from graphmix.errors import SongError
from graphmix.songs.layouts.base import (
    CollectionKind,
    FoundCollection,
    FoundSong,
    ReadOptions,
    parts_of,
    read_or_report,
)

SPLITS = {"train": 100, "test": 50}
"""The two folders and how many songs the published archive has in each."""
MIX = "mixture.wav"
STEMS = ("vocals.wav", "drums.wav", "bass.wav", "other.wav")


def recognise(root: Path) -> str | None:
    """Are there songs with a mixture.wav or drums.wav and vocals.wav in train/ and test/, or directly?"""
    for place in _places(root):
        _refuse_compressed(place)
        song = next((folder for folder in subfolders(place) if _is_song(folder, in_split=place != root)), None)
        if song:
            return f"{song.relative_to(root)} holds mixture.wav, vocals.wav, drums.wav, bass.wav or other.wav"
    return None


def find(root: Path, options: ReadOptions) -> FoundCollection:
    """List the songs of both splits."""
    songs, notices = [], []
    for place in _places(root):
        _refuse_compressed(place)
        found = [read_or_report(_read_song, folder, root) for folder in subfolders(place)]
        expected = SPLITS.get(place.name)
        if expected is not None and len(found) != expected:
            notices.append(f"{place.name}/ has {len(found)} songs; the published data set has {expected}.")
        songs += found
    if root not in _places(root):
        lacking = [f"{name}/" for name in SPLITS if not (root / name).is_dir()]
        notices += [f"{name} is missing." for name in lacking]
    return FoundCollection(songs, tuple(notices))


def _places(root: Path) -> list[Path]:
    return [root / name for name in SPLITS if (root / name).is_dir()] or [root]


def _is_song(folder: Path, in_split: bool) -> bool:
    """Two of the five names make a song, as one may be missing; outside train/ and test/ one is mixture.wav."""
    present = [name for name in (MIX, *STEMS) if (folder / name).is_file()]
    return len(present) >= 2 and (in_split or MIX in present)


def _refuse_compressed(place: Path) -> None:
    packed = next(place.glob("*.stem.mp4"), None)
    if packed:
        raise SongError(f"{packed} is of the compressed MUSDB18, which is not read: get MUSDB18-HQ.")


def _read_song(folder: Path, root: Path) -> FoundSong:
    missing = [name for name in (MIX, *STEMS) if not (folder / name).is_file()]
    problems = link_problems(folder)
    if missing:
        problems.insert(
            0, f"{len(missing)} of 5 files are missing in {folder} ({some_names(missing, 5)}): copy them again."
        )
    tracks = {name: folder / name for name in STEMS if name not in missing}
    mix = None if MIX in missing else folder / MIX
    layout = Layout(folder.name, mix, tracks, {DEFAULT_BUS: tuple(tracks)} if tracks else {})
    parts = parts_of(folder, root)
    split = next((name for name in SPLITS if name == folder.parent.name), None)
    artist = folder.name.split(" - ")[0] if " - " in folder.name else None
    return FoundSong(folder, layout, parts, artist, split=split, problems=tuple(problems))


MUSDB18 = CollectionKind(
    name="musdb18-hq",
    expects="train/ and test/ with Artist - Title/{mixture,vocals,drums,bass,other}.wav",
    recognise=recognise,
    find=find,
)
