"""A song on disk: its dry tracks, their subgroups and the mix to match, at one working rate.

A song is a folder. Its `song.json` says where things are; other keys are left alone::

    {"name": "Title", "mix": "mix.flac", "stems": "dry",
     "subgroups": {"drums": ["01_kick.wav", "02_snare.wav"], "bass": ["03_bass.wav"]}}

`mix` may be null, `subgroups` empty. Without `song.json` the tracks are the audio files in `stems/` or `dry/`, the
mix is `mix.wav` (.flac, ...) or the one audio file in the folder, and all tracks share one bus.

Conventions: a track is named by its file, extension included; tracks stand in natural order ("2" before "10"). The
song is as long as its mix (without one, as its longest track), and a track that is not is padded or cut. Every
sample is checked once, when the song is loaded. A song that fits the budget is decoded in the same pass and
kept; a longer one stays on disk and each read decodes what it needs.
"""

import json
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import TypeVar

import torch
from torch import Tensor

from graphmix.audio.files import AUDIO_EXTENSIONS, AudioInfo, check_audio, load_checked, read_audio, read_info
from graphmix.audio.segments import MIN_SCORED_SAMPLES
from graphmix.errors import SongError

PRELOAD_BYTES = 2 << 30  # decoded songs up to this size stay in memory: 30 tracks of 5 minutes at 30 kHz
SILENT_PEAK = 1e-5  # -100 dB re full scale: below the last bit of 16-bit audio
DEFAULT_BUS = "mix bus"
UNGROUPED_BUS = "ungrouped"
STEM_FOLDERS = ("stems", "dry")
DECODERS = min(4, os.cpu_count() or 1)  # threads: libsndfile decodes outside the interpreter's lock
NAMES_SHOWN = 4  # a notice names so many tracks and counts the others

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Track:
    """One dry track: the name of its file, and what its header says."""

    name: str
    info: AudioInfo


@dataclass(frozen=True)
class Segment:
    """A stretch of a song: stems [tracks, 2, length], and mix [2, length] where the song has one."""

    stems: Tensor
    mix: Tensor | None


@dataclass(frozen=True)
class Song:
    """Tracks in natural order, the subgroup of each (bus -> track names), the mix, and the length at the working rate.

    `notices` are sentences for the user about what was padded, cut, silent or regrouped.
    """

    name: str
    folder: Path
    sample_rate: int
    tracks: tuple[Track, ...]
    subgroups: dict[str, tuple[str, ...]]
    mix: AudioInfo | None
    num_samples: int
    notices: tuple[str, ...] = ()
    _decoded: Tensor | None = field(default=None, repr=False, compare=False)  # [tracks (+ mix), 2, num_samples]

    @property
    def num_tracks(self) -> int:
        """Number of dry tracks."""
        return len(self.tracks)

    @property
    def track_names(self) -> tuple[str, ...]:
        """Names of the tracks, in the order of :attr:`Segment.stems`."""
        return tuple(track.name for track in self.tracks)

    @property
    def is_preloaded(self) -> bool:
        """Whether the decoded song is in memory; else each read decodes from disk."""
        return self._decoded is not None

    def read(self, start: int, length: int) -> Segment:
        """Read [start, start + length) at the working rate; before and after the song is silence.

        Shape:
            -> stems [tracks, 2, length], mix [2, length] or None; float32, the caller's own copy.

        Raises:
            SongError: length is negative, or a file cannot be decoded any more.
        """
        if length < 0:
            raise SongError(f"cannot read {length} samples of {self.name}: give 0 or more.")
        begin, end = max(start, 0), min(start + length, self.num_samples)
        audio = torch.zeros(self.num_tracks + (self.mix is not None), 2, length)
        if begin < end:
            inside = audio[:, :, begin - start : end - start]
            if self._decoded is not None:
                inside.copy_(self._decoded[:, :, begin:end])
            else:
                sources = _sources(self.tracks, self.mix)
                parts = _on_threads(lambda info: read_audio(info, begin, end - begin, self.sample_rate), sources)
                for row, part in zip(inside, parts, strict=True):
                    row.copy_(part)
        return Segment(audio[: self.num_tracks], None if self.mix is None else audio[-1])


@dataclass(frozen=True)
class _Layout:
    """Where a song's files are: what song.json says, or the folder shows."""

    name: str
    mix: Path | None
    stems: Path
    subgroups: dict[str, tuple[str, ...]]
    notices: tuple[str, ...] = ()


def load_song(
    folder: str | Path,
    sample_rate: int = 30000,
    *,
    need_mix: bool = True,
    mix: str | Path | None = None,
    preload_bytes: int = PRELOAD_BYTES,
) -> Song:
    """Load a song's folder, check every sample of it, and keep it decoded if that takes at most `preload_bytes`.

    Args:
        folder: with `song.json`, or with a mix and `stems/` or `dry/`.
        sample_rate: working rate in Hz; files of other rates are resampled.
        need_mix: False accepts a song without a mix; one that is there is loaded all the same.
        mix: path of the mix, instead of the song's own.
        preload_bytes: 0 always reads from disk.

    Raises:
        SongError: the folder, its description or a file cannot be used.
    """
    folder = _existing_folder(folder)
    layout = _described(folder, need_mix, mix) if (folder / "song.json").exists() else _found(folder, need_mix, mix)
    return _load(folder, layout, sample_rate, need_mix, preload_bytes)


def load_stems(folder: str | Path, sample_rate: int = 30000, *, preload_bytes: int = PRELOAD_BYTES) -> Song:
    """Load a song that needs no mix, or a bare folder of dry tracks (where a file called mix is none of them).

    Raises:
        SongError: as :func:`load_song`.
    """
    folder = _existing_folder(folder)
    if (folder / "song.json").exists() or any((folder / name).is_dir() for name in STEM_FOLDERS):
        return load_song(folder, sample_rate, need_mix=False, preload_bytes=preload_bytes)
    mixes = [path for path in _audio_files(folder) if path.stem.lower() == "mix"]
    notices = tuple(f"{path.name} lies among the tracks and was left out." for path in mixes)
    layout = _Layout(folder.name, mixes[0] if mixes else None, folder, {}, notices)
    return replace(_load(folder, replace(layout, mix=None), sample_rate, False, preload_bytes))
