r"""A song on disk: its dry tracks, their subgroups and the mix to match, at one working rate.

Where the files of a song are is :mod:`graphmix.audio.song_folder`'s to say.

Conventions: a track is named by its file, extension included, with bytes that are not UTF-8 written as ``\x..``;
tracks stand in natural order ("2" before "10"). The song is as long as its mix (without one, as its longest track),
and a track that is not is padded or cut. Every sample is checked once, when the song is loaded. A song that fits the
budget is decoded in the same pass and kept in memory. A longer one is kept in an unnamed file, where a folder for it is
given; else each read decodes what it needs.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from graphmix.audio.files import AudioInfo, check_audio, read_audio, read_info
from graphmix.audio.listing import some_names
from graphmix.audio.loading import load_checked
from graphmix.audio.mpeg import TYPICAL_DELAY
from graphmix.audio.offset import Offset, parse_offset
from graphmix.audio.samples import whole_rate
from graphmix.audio.segments import MIN_SCORED_SAMPLES
from graphmix.audio.song_folder import Layout, find_layout, flat_layout
from graphmix.audio.song_places import is_song
from graphmix.audio.stored import Samples, StoredSamples, put_row
from graphmix.errors import SongError
from graphmix.text import name_as_text

PRELOAD_BYTES = 2 << 30  # decoded songs up to this size stay in memory: 30 tracks of 5 minutes at 30 kHz
SILENT_PEAK = 1e-5  # -100 dB re full scale: below the last bit of 16-bit audio
BYTES_PER_SAMPLE = 4  # float32
DECODERS = min(4, os.cpu_count() or 1)  # threads: libsndfile decodes outside the interpreter's lock

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
    """Tracks in natural order, subgroups (bus -> track names), the mix, and the length at the working rate.

    `notices` are sentences for the user about what was padded, cut, silent or regrouped. `offset` is how many samples
    the mix lies behind the tracks: the song's time is the mix's, and its sample n is sample n - offset of each track.
    """

    name: str
    folder: Path
    sample_rate: int
    tracks: tuple[Track, ...]
    subgroups: dict[str, tuple[str, ...]]
    mix: AudioInfo | None
    num_samples: int
    notices: tuple[str, ...] = ()
    offset: int = 0
    # [tracks, then the mix, 2, num_samples]
    _decoded: Samples | None = field(default=None, repr=False, compare=False)

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
        """Whether the decoded song is in memory."""
        return isinstance(self._decoded, Tensor)

    @property
    def stored_bytes(self) -> int:
        """Size of the file in which the decoded song is; 0 where there is none."""
        return self._decoded.num_bytes if isinstance(self._decoded, StoredSamples) else 0

    def _repr_html_(self) -> str:
        """A player and a table, in a notebook."""
        from graphmix.audio.notebook import song_html

        return song_html(self)

    def to(self, device: torch.device | str) -> "Song":
        """The same song with its decoded samples on a device, where :meth:`read` then cuts segments.

        A song that is not in memory stays on disk, and its segments come from the host.
        """
        return replace(self, _decoded=self._decoded.to(device)) if isinstance(self._decoded, Tensor) else self

    def at_rate(self, sample_rate: int) -> "Song":
        """The same song at another rate, read from its files; its offset is rounded to whole samples of it."""
        if sample_rate == self.sample_rate:
            return self
        infos = [self.mix] if self.mix else [track.info for track in self.tracks]
        length = max(info.num_samples_at(sample_rate) for info in infos)
        offset = round(self.offset * sample_rate / self.sample_rate)
        return replace(self, sample_rate=sample_rate, num_samples=length, offset=offset, _decoded=None)

    def alone(self, name: str) -> "Song":
        """The song as if one of its tracks were all there is, without the mix.

        Raises:
            SongError: there is no such track.
        """
        if name not in self.track_names:
            raise SongError(f"song {self.name!r} has no track {name!r}; it has: {', '.join(self.track_names[:6])}.")
        row = self.track_names.index(name)
        buses: dict[str, tuple[str, ...]] = {bus: (name,) for bus, members in self.subgroups.items() if name in members}
        decoded = self._decoded[row : row + 1] if isinstance(self._decoded, Tensor) else None
        return replace(self, tracks=self.tracks[row : row + 1], subgroups=buses, mix=None, _decoded=decoded)

    def with_mix(self, mix: Tensor) -> "Song":
        """The song in memory, with other samples in place of its mix's, [2, num_samples].

        Raises:
            SongError: the song has no mix, or the samples have another shape.
        """
        if self.mix is None or list(mix.shape) != [2, self.num_samples]:
            raise SongError(
                f"the mix has shape {list(mix.shape)}, expected [2, {self.num_samples}] of a song with one."
            )
        stems = self.read(0, self.num_samples).stems
        return replace(self, _decoded=torch.cat([stems, mix[None].to(stems)]))

    def read(self, start: int, length: int) -> Segment:
        """Read [start, start + length) at the working rate; before and after the song is silence.

        Shape:
            -> stems [tracks, 2, length], mix [2, length] or None; float32, the caller's own copy, on the
            device of the decoded samples.

        Raises:
            SongError: length is negative, or a file cannot be decoded any more.
        """
        if length < 0:
            raise SongError(f"cannot read {length} samples of {self.name}: give 0 or more.")
        begin, end = max(start, 0), min(start + length, self.num_samples)
        audio = torch.zeros(self.num_tracks + (self.mix is not None), 2, length, device=self._device)
        if begin < end:
            inside = audio[:, :, begin - start : end - start]
            if isinstance(self._decoded, Tensor):
                inside.copy_(self._decoded[:, :, begin:end])
            elif self._decoded is not None:
                self._decoded.read_into(inside, begin)
            else:
                starts = [begin - self.offset] * self.num_tracks + [begin] * (self.mix is not None)
                sources = zip(_sources(self.tracks, self.mix), starts, strict=True)
                parts = _on_threads(lambda at: read_audio(at[0], at[1], end - begin, self.sample_rate), sources)
                for row, part in zip(inside, parts, strict=True):
                    row.copy_(part)
        return Segment(audio[: self.num_tracks], None if self.mix is None else audio[-1])

    def read_mix(self, start: int, length: int) -> Tensor:
        """Read the mix alone as :meth:`read` does, [2, length]; the tracks, which may be many, are not touched.

        Raises:
            SongError: there is no mix, or its file cannot be decoded any more.
        """
        if self.mix is None:
            raise SongError(f"song {self.name!r} has no mix.")
        return self._read_row(self.num_tracks, start, length)

    def read_track(self, row: int, start: int, length: int) -> Tensor:
        """Read one track alone, as :meth:`read_mix` does."""
        return self._read_row(row, start, length)

    def _read_row(self, row: int, start: int, length: int) -> Tensor:
        begin, end = max(start, 0), min(start + length, self.num_samples)
        audio = torch.zeros(2, length, device=self._device)
        if begin < end:
            inside = audio[:, begin - start : end - start]
            if isinstance(self._decoded, Tensor):
                inside.copy_(self._decoded[row, :, begin:end])
            elif self._decoded is not None:
                self._decoded.read_into(inside[None], begin, row)
            else:
                info, place = _sources(self.tracks, self.mix)[row], begin - self.offset * (row < self.num_tracks)
                inside.copy_(read_audio(info, place, end - begin, self.sample_rate))
        return audio

    @property
    def _device(self) -> torch.device | None:
        return self._decoded.device if isinstance(self._decoded, Tensor) else None


def load_song(
    folder: str | Path,
    sample_rate: int = 30000,
    *,
    need_mix: bool = True,
    mix: str | Path | None = None,
    offset: float | str | Offset | None = None,
    preload_bytes: int = PRELOAD_BYTES,
    store_in: str | Path | None = None,
) -> Song:
    """Load a song's folder and check every sample; keep it decoded if that takes at most `preload_bytes`.

    Args:
        folder: with `song.json`, or with a mix and `stems/` or `dry/`; see :mod:`graphmix.audio.song_folder`.
        sample_rate: working rate in Hz; files of other rates are resampled.
        need_mix: False accepts a song without a mix; one that is there is loaded all the same.
        mix: path of the mix, instead of the song's own.
        offset: how far the mix lies behind the tracks, instead of what the song says: seconds, or a text with a unit
            (:mod:`graphmix.audio.offset`).
        preload_bytes: 0 never keeps it in memory.
        store_in: a folder in which a longer song is kept decoded, in an unnamed file; by default it is decoded again by
            each read.

    Raises:
        SongError: the folder, its description or a file cannot be used.
    """
    if offset is not None and not isinstance(offset, Offset):
        offset = parse_offset(offset, "the offset")
    layout = find_layout(Path(folder), need_mix, None if mix is None else Path(mix), offset)
    return load_layout(layout, folder, sample_rate, preload_bytes=preload_bytes, store_in=store_in)


def load_stems(folder: str | Path, sample_rate: int = 30000, *, preload_bytes: int = PRELOAD_BYTES) -> Song:
    """Load a song that needs no mix, or a bare folder of dry tracks (a file called mix is none of them).

    Raises:
        SongError: as :func:`load_song`.
    """
    folder = Path(folder)
    layout = find_layout(folder, need_mix=False) if is_song(folder) else flat_layout(folder)
    return load_layout(layout, folder, sample_rate, preload_bytes=preload_bytes)


def load_layout(
    layout: Layout,
    folder: str | Path,
    sample_rate: int = 30000,
    *,
    preload_bytes: int = PRELOAD_BYTES,
    store_in: str | Path | None = None,
) -> Song:
    """Load a song whose files are known already: read all headers, then check all samples once.

    Args:
        layout: its mix, tracks and subgroups, from `find_layout` or from a collection.
        folder: the folder that the song is said to be in; no file is looked for there.
        sample_rate: working rate in Hz; files of other rates are resampled.
        preload_bytes: the song stays decoded in memory if that takes at most so much.
        store_in: as :func:`load_song`.

    Raises:
        SongError: there is no track, or a file cannot be used.
    """
    folder = Path(folder)
    if not layout.tracks:
        raise SongError(f"{folder} has no tracks: a song needs at least one dry track.")
    sample_rate = whole_rate(sample_rate)
    if sample_rate < 1:
        raise SongError(f"sample_rate is {sample_rate}: give a whole number of Hz, such as 30000 or 44100.")
    tracks = tuple(Track(name_as_text(name), read_info(path)) for name, path in layout.tracks.items())
    if twice := [name for name, count in Counter(track.name for track in tracks).items() if count > 1]:
        raise SongError(f"{folder} has several tracks called '{twice[0]}': rename all but one.")
    mix = read_info(layout.mix) if layout.mix else None
    if mix and mix.num_samples_at(sample_rate) < MIN_SCORED_SAMPLES:
        raise SongError(
            f"{mix.path} lasts {mix.seconds:.3f} s: {mix.num_samples_at(sample_rate)} samples at "
            f"{sample_rate} Hz are too short to score, which takes {MIN_SCORED_SAMPLES}. "
            "Use a longer song or a higher rate."
        )
    sources = _sources(tracks, mix)
    lengths = [info.num_samples_at(sample_rate) for info in sources]
    num_samples = lengths[-1] if mix else max(lengths)
    fits = len(sources) * 2 * num_samples * BYTES_PER_SAMPLE <= preload_bytes
    decoded: Samples | None = torch.empty(len(sources), 2, num_samples) if fits else None
    offset = layout.offset.at(sample_rate, mix.sample_rate) if mix else 0
    _check_offset(offset, lengths, num_samples, sample_rate)
    if decoded is None and store_in is not None:
        decoded = StoredSamples(Path(store_in), len(sources), num_samples)
    starts = [-offset] * len(tracks) + [0] * (mix is not None)
    peaks = _check_all(sources, starts, decoded, sample_rate)
    notices = [*layout.notices, *_length_notices(tracks, [n + offset for n in lengths], num_samples, sample_rate)]
    if offset:
        notices.append(f"The mix is taken to lie {offset / sample_rate:.4f} s behind the tracks, as its offset says.")
    notices += _silence_notices(folder, tracks, mix, peaks)
    if late := [info.path.name for info in sources if info.is_late]:
        notices.append(
            f"{len(late)} of {len(sources)} files do not say by how much their MP3 encoder delayed them, and come late "
            f"(after LAME by {TYPICAL_DELAY} samples): {some_names(late)}. Export them as WAV or FLAC to align them."
        )
    whole = [info.path.name for info in sources if info.is_decoded_whole]
    if whole and decoded is None:
        notices.append(f"MP3 is decoded whole at each read ({some_names(whole)}): convert it to FLAC to go faster.")
    name, notices = name_as_text(layout.name), [name_as_text(notice) for notice in notices]
    subgroups = {name_as_text(bus): tuple(map(name_as_text, members)) for bus, members in layout.subgroups.items()}
    return Song(name, folder, sample_rate, tracks, subgroups, mix, num_samples, tuple(notices), offset, decoded)


def _sources(tracks: Sequence[Track], mix: AudioInfo | None) -> list[AudioInfo]:
    """List the files in the order of the rows that hold their samples: tracks, then the mix."""
    return [track.info for track in tracks] + ([mix] if mix else [])


def _check_offset(offset: int, lengths: Sequence[int], num_samples: int, sample_rate: int) -> None:
    """Refuse an offset that leaves none of the tracks, the last of `lengths` apart, within the mix."""
    if offset >= num_samples or (offset < 0 and max(lengths[:-1]) + offset <= 0):
        raise SongError(
            f"an offset of {offset / sample_rate:.3f} s leaves nothing of the tracks in the mix, which lasts "
            f"{num_samples / sample_rate:.3f} s: give seconds (0.35), or samples with their unit."
        )


def _check_all(
    sources: list[AudioInfo], starts: Sequence[int], decoded: Samples | None, sample_rate: int
) -> list[float]:
    """Check every sample of all files, keep those from each start on in `decoded` if it is there -> the peaks."""

    def check(row: int) -> float:
        if decoded is None:
            return check_audio(sources[row])
        audio, peak = load_checked(sources[row], decoded.shape[-1], sample_rate, starts[row])
        put_row(decoded, row, audio)
        return peak

    return list(_on_threads(check, range(len(sources))))


def _on_threads(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Apply a function to items on a few threads; results keep the order, the first error is raised."""
    pool = ThreadPoolExecutor(DECODERS)
    try:
        yield from pool.map(function, items)
    finally:
        pool.shutdown(cancel_futures=True)


def _length_notices(
    tracks: Sequence[Track], lengths: Sequence[int], num_samples: int, sample_rate: int
) -> Iterator[str]:
    """Say which tracks are padded or cut; one sample is the rounding of resampling."""
    off = {track.name: length - num_samples for track, length in zip(tracks, lengths, strict=False)}
    for sign, relation, deed in ((-1, "shorter", "padded with silence"), (1, "longer", "cut")):
        names = [name for name, excess in off.items() if sign * excess > 1]
        if names:
            most = max(sign * off[name] for name in names) / sample_rate
            yield (
                f"{len(names)} of {len(tracks)} tracks are {relation} than the song "
                f"({num_samples / sample_rate:.2f} s), by up to {most:.3f} s, and {deed}: "
                f"{some_names(names)}."
            )


def _silence_notices(
    folder: Path, tracks: Sequence[Track], mix: AudioInfo | None, peaks: Sequence[float]
) -> Iterator[str]:
    """Say which tracks are silent, and refuse a silent mix or nothing but silence."""
    if mix and peaks[-1] < SILENT_PEAK:
        raise SongError(f"{mix.path} is silent (its peak is {peaks[-1]:.1e}): give the mix that these tracks made.")
    silent = [track.name for track, peak in zip(tracks, peaks, strict=False) if peak < SILENT_PEAK]
    if len(silent) == len(tracks):
        raise SongError(f"all {len(tracks)} tracks of {folder} are silent: export them again.")
    if silent:
        yield f"{len(silent)} of {len(tracks)} tracks are silent: {some_names(silent)}."
