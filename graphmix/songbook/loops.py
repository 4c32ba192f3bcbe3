"""Songbooks of your own loops and stems: audio files by role, in place of the synthesized parts.

A library is a folder with a subfolder for each role (``kick/``, ``electric_piano/``, …, names of
:data:`graphmix.songbook.roles.ROLES` with any of space, underscore and hyphen), or a folder and a mapping of
roles to file names in it, in which ``*`` stands for anything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
from numpy.random import Generator

from graphmix.audio.files import read_audio, read_info
from graphmix.audio.listing import audio_files
from graphmix.errors import SongError
from graphmix.io import read_json
from graphmix.songbook.playing import Audio, faded
from graphmix.songbook.roles import ROLES, find_role

_SILENT_PEAK = 1e-4
_TRIES = 8


@dataclass(frozen=True)
class LoopLibrary:
    """Audio files by role; `folder` is what they lie in."""

    folder: Path
    files: Mapping[str, tuple[Path, ...]]

    def names(self) -> dict[str, list[str]]:
        """Role -> file names relative to the folder (JSON values)."""
        return {
            role: [path.relative_to(self.folder).as_posix() for path in paths] for role, paths in self.files.items()
        }


def find_loops(folder: str | Path, mapping: str | Path | Mapping[str, Sequence[str]] | None = None) -> LoopLibrary:
    """The library in a folder.

    Args:
        folder: with a subfolder for each role, unless there is a mapping.
        mapping: role -> file names relative to the folder, or a JSON file of that.

    Raises:
        SongError: a role or file that there is not, a name that leads out of the folder, no file at all.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise SongError(f"{folder} is not a folder: give one with loops, in a subfolder for each role.")
    files = _by_mapping(folder, _read(mapping)) if mapping is not None else _by_subfolder(folder)
    if not files:
        raise SongError(
            f"{folder} holds no loops: put audio files into subfolders named after roles "
            f"({', '.join(list(ROLES)[:4])}, …), or give a mapping of roles to files."
        )
    return LoopLibrary(folder, files)


def cut_loop(library: LoopLibrary, role: str, rng: Generator, seconds: float, sample_rate: int) -> tuple[Audio, str]:
    """One track from a file of a role -> [1 or 2, samples], and the file's name in the library.

    A longer file is cut at a random place, a shorter one is repeated; of places that are silent another is tried.
    """
    paths = library.files[role]
    path = paths[int(rng.integers(len(paths)))]
    info = read_info(path)
    length, available = round(seconds * sample_rate), info.num_samples_at(sample_rate)
    for _ in range(_TRIES):
        start = int(rng.integers(0, max(1, available - length + 1)))
        audio = read_audio(info, start, min(length, available), sample_rate).numpy().astype(np.float64)
        if np.abs(audio).max() > _SILENT_PEAK:
            break
    else:
        raise SongError(f"{path} is silent, so that it makes no track: take it out of the loops.")
    audio = np.tile(audio, (1, -(-length // audio.shape[1])))[:, :length]
    if np.array_equal(audio[0], audio[1]):
        audio = audio[:1]
    return faded(audio.copy(), sample_rate), path.relative_to(library.folder).as_posix()


def _by_subfolder(folder: Path) -> dict[str, tuple[Path, ...]]:
    by_name = {_plain(name): name for name in ROLES}
    found: dict[str, tuple[Path, ...]] = {}
    for child in sorted(path for path in folder.iterdir() if path.is_dir()):
        role = by_name.get(_plain(child.name))
        if role is not None and (files := tuple(audio_files(child))):
            found[role] = (*found.get(role, ()), *files)
    return {role: found[role] for role in ROLES if role in found}


def _by_mapping(folder: Path, mapping: Mapping[str, Sequence[str]]) -> dict[str, tuple[Path, ...]]:
    found: dict[str, tuple[Path, ...]] = {}
    for role, names in mapping.items():
        find_role(role)
        paths: list[Path] = []
        for name in names:
            pure = PurePath(name)
            if pure.is_absolute() or ".." in pure.parts or not name:
                raise SongError(f"the loops of {role!r} name {name!r}, which leads out of {folder}: move it there.")
            here = sorted(path for path in folder.glob(name) if path.is_file())
            if not here:
                raise SongError(f"the loops of {role!r} name {name!r}, but {folder} has no such file.")
            paths += here
        if paths:
            found[role] = tuple(paths)
    return {role: found[role] for role in ROLES if role in found}


def _read(mapping: str | Path | Mapping[str, Sequence[str]]) -> Mapping[str, Sequence[str]]:
    if isinstance(mapping, Mapping):
        return mapping
    loaded = read_json(Path(mapping), error=SongError)
    good = isinstance(loaded, dict) and all(
        isinstance(names, list) and all(isinstance(name, str) for name in names) for names in loaded.values()
    )
    if not good:
        raise SongError(f'the mapping {mapping} is not of the form {{"kick": ["kick_*.wav", …], …}}.')
    result: Mapping[str, Sequence[str]] = loaded
    return result


def _plain(name: str) -> str:
    return name.casefold().replace("_", " ").replace("-", " ").strip()
