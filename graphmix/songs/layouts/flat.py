"""Songs whose tracks and mix lie side by side in one folder, as DAWs export them and archives unpack.

What the folder means is found in this order, the first that says something wins:

==========  ===========================================================================================
subgroups   `subgroups` in its song.json; a correspondence file in it; the collection's; a guess by name
mix         `mix` in its song.json; a file called mix (mixdown, mixture, master); a file called after the
            folder, with or without such a word; a file that ends in such a word and names no instrument;
            a file beside the folder, called after it
==========  ===========================================================================================

Files that look like a mix and were not chosen are left out, with a notice. Tracks may lie in the one subfolder
of a folder in which there is nothing but a mix.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphmix.audio.song_folder import DESCRIPTION, Layout, audio_files, some_names
from graphmix.errors import SongError
from graphmix.songs.layouts.base import (
    FoundCollection,
    FoundSong,
    inside,
    is_plain_song,
    parts_of,
    read_description,
    read_or_report,
    subfolders,
    text_of,
    walk,
)
from graphmix.songs.layouts.correspondence import (
    Correspondence,
    Grouping,
    find_correspondence,
    group,
    groups_in,
    subgroups_of,
)
from graphmix.songs.layouts.guess import OTHER, guess_notice, guess_subgroup, guess_subgroups
from graphmix.songs.layouts.plain import read_plain_song

MIX_NAMES = ("mix", "mixdown", "mixture", "master", "fullmix", "finalmix", "stereomix", "fullpreview", "preview")
"""Letters and digits of the names that mean a mix, alone or at the end of a longer name."""
_PREVIEW = ("fullpreview", "unmasteredpreview")


@dataclass(frozen=True)
class _Files:
    """The audio of a song: candidates for its mix, best first, and its tracks."""

    mixes: list[Path]
    tracks: list[Path]
    place: Path


def song_folders(root: Path) -> list[Path]:
    """The folders at or below the root that hold a song."""
    return [root] if holds_song(root) else list(walk(root, holds_song))


def holds_song(folder: Path) -> bool:
    """Whether a folder is a song: plain, or with tracks in it and not several folders of them, or around one."""
    if is_plain_song(folder):
        return True
    files = audio_files(folder)
    if not files:
        return False
    below = [child for child in subfolders(folder) if audio_files(child) or is_plain_song(child)]
    if any(_rank(path, folder) is None for path in files):
        return len(below) < 2
    return len(below) == 1 and not any(_called_after(path, below[0]) for path in files)


def find_flat(root: Path, called: Callable[[Path], tuple[str | None, str | None]]) -> FoundCollection:
    """List the songs at or below the root; `called` gives title and artist from a folder's name."""
    collection = find_correspondence(root)

    def read(folder: Path, root: Path) -> FoundSong:
        return read_flat_song(folder, root, collection, *called(folder))

    folders = song_folders(root)
    stray = _strays(root) if root not in folders else []
    notices = (f"{some_names(stray)} beside the songs belongs to none of them.",) if stray else ()
    return FoundCollection([read_or_report(read, folder, root) for folder in folders], notices)


def read_flat_song(
    folder: Path, root: Path, collection: Correspondence | None, name: str | None = None, artist: str | None = None
) -> FoundSong:
    """Read one song; a plain one is read as such. `name` and `artist` hold where its song.json does not say.

    Raises:
        SongError: its song.json or its correspondence file cannot be used.
    """
    if is_plain_song(folder):
        return read_plain_song(folder, root)
    described = folder / DESCRIPTION
    description = read_description(folder)
    files = _files(folder)
    mix, problems = _mix(folder, description, files)
    unused = [path for path in files.mixes if path != mix]
    tracks = {unicodedata.normalize("NFC", path.name): path for path in files.tracks if path != mix}
    if not tracks:
        problems.append(f"{folder} has no tracks: put the dry tracks into it.")
    notices = [f"{some_names([path.name for path in unused])} left out: not tracks, by name."] if unused else []
    if ignored := [child.name for child in subfolders(files.place) if audio_files(child)]:
        notices.append(f"audio in the folders {some_names(ignored)} was left out.")
    parts = parts_of(folder, root)
    grouping, guess = _grouping(folder, description, list(tracks), collection, parts)
    title = text_of(description, "name", described) or name or parts[-1]
    layout = Layout(title, mix, tracks, grouping.subgroups, (*notices, *grouping.notices))
    return FoundSong(
        folder,
        layout,
        parts,
        text_of(description, "artist", described) or artist,
        text_of(description, "genre", described),
        problems=(*problems, *grouping.problems),
        guess=guess,
    )


def base_name(folder: Path) -> str:
    """A folder's name without the ``_Full`` of the Mixing Secrets archives."""
    return re.sub(r"[_ -]full$", "", folder.name, flags=re.IGNORECASE)


def is_preview(path: Path) -> bool:
    """Whether a file is called as the previews of the Mixing Secrets library are."""
    return _squash(path.stem).endswith(_PREVIEW)


def _files(folder: Path) -> _Files:
    """Divide the audio in a folder; tracks may lie in its one subfolder."""
    found = audio_files(folder)
    ranks = {path: _rank(path, folder) for path in found}
    mixes = sorted((path for path in found if ranks[path] is not None), key=lambda path: ranks[path] or 0)
    tracks = [path for path in found if ranks[path] is None]
    below = [child for child in subfolders(folder) if audio_files(child)]
    if not tracks and len(below) == 1:
        return _Files(mixes, audio_files(below[0]), below[0])
    return _Files(mixes, tracks, folder)


def _mix(folder: Path, description: dict[str, Any], files: _Files) -> tuple[Path | None, list[str]]:
    """Choose the mix -> mix, problems."""
    named = text_of(description, "mix", folder / DESCRIPTION)
    if named:
        mix = inside(folder, named)
        if mix is None:
            return None, [f"{folder / DESCRIPTION} names {named!r}, which leads out of the song's folder."]
        return (mix, []) if mix.is_file() else (None, [f"the mix {named!r} of {folder / DESCRIPTION} is missing."])
    candidates = files.mixes or _beside(folder)
    best = [path for path in candidates if _rank(path, folder) == _rank(candidates[0], folder)]
    if "mix" in description or not best:
        return None, [f'{folder} has no mix: call it mix.wav (.flac, .mp3), or name it under "mix" in {DESCRIPTION}.']
    if len(best) > 1:
        names = some_names([path.name for path in best])
        return None, [f"{folder} has {len(best)} files that may be the mix ({names}): name one in {DESCRIPTION}."]
    return best[0], []


def _grouping(
    folder: Path,
    description: dict[str, Any],
    tracks: list[str],
    collection: Correspondence | None,
    parts: tuple[str, ...],
) -> tuple[Grouping, str | None]:
    """Subgroups from the first source that has them -> grouping, sentence about a guess."""
    described = description.get("subgroups")
    if described is not None:
        return group(tracks, groups_in(described, f"{folder / DESCRIPTION}, subgroups,"), DESCRIPTION), None
    in_folder = find_correspondence(folder)
    for source in (in_folder, collection):
        bus_of = source.of("/".join(parts), folder.name) if source else None
        if source and bus_of is not None:
            return group(tracks, bus_of, source.source.name), None
    guesses = guess_subgroups(tracks)
    subgroups = subgroups_of({track: guess.bus for track, guess in guesses.items()}, tracks)
    return Grouping(subgroups), guess_notice(guesses) if tracks else None


def _rank(path: Path, folder: Path) -> int | None:
    """How surely a file is the mix, 0 most; None for a track."""
    name = _squash(path.stem)
    if name in MIX_NAMES:
        return 0
    if _called_after(path, folder):
        return 1
    if is_preview(path):
        return 2
    instrument = path.stem[:1].isdigit() or guess_subgroup(path.name).bus != OTHER
    return 3 if name.endswith(MIX_NAMES) and not instrument else None


def _called_after(path: Path, folder: Path) -> bool:
    """Whether a file is called as a folder is, with or without a word that means a mix."""
    name, base = _squash(path.stem), _squash(base_name(folder))
    rest = name.removeprefix(base).removeprefix("full")
    return bool(base) and name.startswith(base) and rest in ("", *MIX_NAMES)


def _beside(folder: Path) -> list[Path]:
    """Files beside a folder that are called after it."""
    try:
        return [path for path in audio_files(folder.parent) if _called_after(path, folder)]
    except SongError:
        return []


def _strays(root: Path) -> list[str]:
    """Audio files in a collection's folder that are the mix of no song below it."""
    songs = subfolders(root)
    return [path.name for path in audio_files(root) if not any(_called_after(path, song) for song in songs)]


def _squash(name: str) -> str:
    """Letters and digits alone, lower case."""
    return "".join(letter for letter in unicodedata.normalize("NFC", name).casefold() if letter.isalnum())
