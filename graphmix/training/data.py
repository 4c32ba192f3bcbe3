"""Training data: segments of songs whose true graphs are known.

Songs come from a folder that :func:`graphmix.datasets.find_records` reads: a songbook, or mined songs. Splits are
artist-disjoint, so that no voice and no mixing style of the test occurs in training. The songs and segments of a step
depend on its number and the seed alone, so that a resumed training gets the same data as an uninterrupted one, on any
number of devices.
"""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch.utils.data import Dataset, Sampler

from graphmix.audio.files import AudioInfo
from graphmix.audio.segments import evaluation_segments, training_start
from graphmix.audio.song import BYTES_PER_SAMPLE, PRELOAD_BYTES, Song, load_layout
from graphmix.audio.song_description import DESCRIPTION
from graphmix.audio.song_folder import Layout, find_layout
from graphmix.datasets.records import Record, find_records
from graphmix.datasets.splits import SPLITS, Splits, artist_key, split_by_artist
from graphmix.errors import GraphError, GraphmixError
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.storage import load_graph
from graphmix.models.mixing.stems import Stems
from graphmix.rewrite.rates import at_working_rate
from graphmix.training.matching import find_subgroups

Truth = tuple[MixGraph, dict[str, tuple[str, ...]]]
"""A true graph, and the subgroups of its song."""
_ORDER_STREAM, _PLACE_STREAM = 3, 4


@dataclass(frozen=True, eq=False)
class Example:
    """One segment of one song.

    Args:
        song: id in its collection.
        place: the key of this segment: its graph file, and where it begins, in samples.
        stems: the dry tracks of the segment and its mix; None where no sound is asked for.
        graph: the true graph of the song, physical values.
        length: samples of the segment.
        warmup: samples at the beginning that are not scored.
        comes_again: whether this very segment will be asked for again, so that its features are worth keeping.
        mix: file of the whole mix.
        song_samples: length of the whole song.
    """

    song: str
    place: tuple[str, int]
    stems: Stems | None
    graph: MixGraph
    length: int
    warmup: int
    comes_again: bool = False
    mix: AudioInfo | None = None
    song_samples: int = 0

    @property
    def audible(self) -> Stems:
        """The stems, where there is sound."""
        assert self.stems is not None, "this segment was cut without its sound"
        return self.stems


class Batch:
    """Examples of one step, in a class that no collate function and no device mover looks into."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self.examples = tuple(examples)

    def __len__(self) -> int:
        return len(self.examples)

    def __iter__(self) -> Iterator[Example]:
        return iter(self.examples)


class Pick(NamedTuple):
    """Choice of a segment: the index of a song, and how often it was drawn before."""

    song: int
    draw: int


def songs_in(folders: Sequence[str | Path], max_tracks: int | None = None) -> list[Record]:
    """All songs with graph, tracks and mix below some folders, in the order of the folders and of their ids.

    Args:
        folders: songbooks, or output folders of ``graphmix mine-all``.
        max_tracks: leave out songs with more tracks.

    Raises:
        GraphmixError: no folder is given, or one holds no such song, or a description is damaged.
    """
    if not folders:
        raise GraphmixError("there are no songs to learn from; name a folder by --songs or under data.songs.")
    found: list[Record] = []
    for folder in folders:
        records = [record for record in find_records(Path(folder)) if record.mix is not None and record.tracks]
        if not records:
            raise GraphmixError(
                f"{folder} holds no song with graph, tracks and mix; give a songbook (graphmix songbook) or what was "
                "mined (graphmix mine-all)."
            )
        found += records
    kept = [record for record in found if max_tracks is None or len(record.tracks) <= max_tracks]
    if not kept:
        raise GraphmixError(f"all {len(found)} songs have more than {max_tracks} tracks; raise max_tracks.")
    return kept


def artist_of(record: Record) -> str:
    """The artist that splits keep together; a song without one is an artist of its own."""
    return artist_key(record.artist, record.song_id, record.collection)


def split_songs(
    records: Sequence[Record], validation: float = 0.0, test: float = 0.0, seed: int = 0
) -> Splits[list[Record]]:
    """Training, validation and test songs, without an artist in two of them; see :mod:`graphmix.datasets.splits`.

    Args:
        records: the songs; their order is kept.
        validation: share of the songs.
        test: share of the songs; what is left is trained on.
        seed: another one gives another parting.

    Raises:
        GraphmixError: shares that leave nothing, or too few artists.
    """
    try:
        ratios = (1 - validation - test, validation, test)
        part_of = split_by_artist([artist_of(record) for record in records], ratios, seed)
    except GraphError as error:
        raise GraphmixError(f"the songs cannot be split by data.validation and data.test: {error}") from None
    parts: Splits[list[Record]] = Splits({name: [] for name in SPLITS})
    for record, part in zip(records, part_of, strict=True):
        parts[part].append(record)
    return parts


def load_truth(record: Record, sample_rate: int) -> Truth:
    """The true graph of a song, and its subgroups: those of its description, or else those of the graph.

    Raises:
        GraphError: a file that cannot be read.
        GraphmixError: the graph is made for another rate, or does not fit the tracks.
    """
    graph = at_working_rate(load_graph(record.graph_path))
    if graph.sample_rate != sample_rate:
        raise GraphmixError(
            f"{record.graph_path} is made for {graph.sample_rate} Hz and the model for {sample_rate} Hz; make or mine "
            "the songs at the model's rate, or set model.sample_rate."
        )
    names = set(graph.input_names)
    missing = next((name for name in record.tracks if name not in names), None)
    if missing is not None:
        raise GraphmixError(f"{record.graph_path} has no input for the track {missing!r} of song {record.song_id!r}.")
    return graph, _subgroups(record, graph)


def _subgroups(record: Record, graph: MixGraph) -> dict[str, tuple[str, ...]]:
    folder, source = record.graph_path.parent, record.metrics.get("source") or {}
    groups: Mapping[str, Sequence[str]] | None = source.get("subgroups")
    if groups is None and (folder / DESCRIPTION).is_file():
        groups = find_layout(folder, need_mix=False).subgroups
    if groups is None:
        groups = find_subgroups(graph)
    kept = {bus: tuple(name for name in members if name in record.tracks) for bus, members in groups.items()}
    return {bus: members for bus, members in kept.items() if members}


def load_audio(
    record: Record, sample_rate: int, subgroups: Mapping[str, Sequence[str]], preload_bytes: int = PRELOAD_BYTES
) -> Song:
    """The audio of a song; see :func:`graphmix.audio.song.load_layout`.

    Raises:
        SongError: a file that cannot be used.
    """
    groups = {bus: tuple(members) for bus, members in subgroups.items()}
    layout = Layout(record.song_id, record.mix, dict(record.tracks), groups, offset=record.offset)
    return load_layout(layout, record.graph_path.parent, sample_rate, preload_bytes=preload_bytes)


class SongSegments(Dataset[Example]):
    """Segments of songs, by :class:`Pick`.

    A song is opened when it is first asked for (every sample is then checked once), and kept decoded while there is
    room; others are decoded segment by segment.

    Args:
        records: the songs.
        sample_rate: of the model, in Hz.
        segment_seconds: length of a segment.
        warmup_seconds: its beginning, which only lets effects settle.
        seed: of the segments' places.
        memory_bytes: what decoded songs may take in all.
        fixed_places: let segments begin at few fixed places, in random order, and not anywhere: a model then computes
            their features once.

    With :attr:`silent` set, segments are cut without their sound, which is then not read.
    """

    silent = False

    def __init__(
        self,
        records: Sequence[Record],
        sample_rate: int,
        *,
        segment_seconds: float = 3.8,
        warmup_seconds: float = 1.0,
        seed: int = 0,
        memory_bytes: int = PRELOAD_BYTES,
        fixed_places: bool = False,
    ) -> None:
        self.records, self.sample_rate, self.seed = tuple(records), sample_rate, seed
        self.length, self.warmup = round(segment_seconds * sample_rate), round(warmup_seconds * sample_rate)
        self.fixed_places = fixed_places
        self._room = memory_bytes
        self._truths: dict[int, Truth] = {}
        self._songs: dict[int, Song] = {}
        self.lengths: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self.records)

    def truth(self, index: int) -> Truth:
        """The true graph of a song and its subgroups."""
        if index not in self._truths:
            self._truths[index] = load_truth(self.records[index], self.sample_rate)
        return self._truths[index]

    def truths(self) -> Iterator[Truth]:
        """Those of all songs, in order."""
        return (self.truth(index) for index in range(len(self)))

    def song(self, index: int) -> Song:
        """The audio of a song."""
        if index not in self._songs:
            song = load_audio(self.records[index], self.sample_rate, self.truth(index)[1], max(0, self._room))
            if song.is_preloaded:
                self._room -= (song.num_tracks + 1) * 2 * song.num_samples * BYTES_PER_SAMPLE
            self._songs[index] = song
        return self._songs[index]

    def __getitem__(self, pick: Pick) -> Example:
        """A random segment of a song: always the same for the same pick."""
        samples = self.num_samples(pick.song)
        seed = self.seed ^ zlib.crc32(self.records[pick.song].song_id.encode())
        if self.fixed_places:
            starts = self._starts(samples)
            turn, place = divmod(pick.draw, len(starts))
            order = np.random.default_rng(np.random.SeedSequence((seed, _PLACE_STREAM, turn))).permutation(len(starts))
            return self.cut(pick.song, starts[int(order[place])], comes_again=True)
        return self.cut(pick.song, training_start(seed, pick.draw, samples, self.length, self.warmup))

    def num_samples(self, index: int) -> int:
        """How long a song is; of one in :attr:`lengths`, without opening it."""
        if index not in self.lengths:
            self.lengths[index] = self.song(index).num_samples
        return self.lengths[index]

    def _starts(self, samples: int) -> list[int]:
        return [segment.start for segment in evaluation_segments(samples, self.warmup, self.length)]

    def fixed(self, index: int, count: int) -> list[Example]:
        """Up to ``count`` segments of a song, evenly spread, the same at every call."""
        starts = self._starts(self.num_samples(index))
        if count < len(starts):
            starts = [starts[round((i + 0.5) * len(starts) / count - 0.5)] for i in range(count)]
        return [self.cut(index, start, comes_again=True) for start in starts]

    def cut(self, index: int, start: int, comes_again: bool = False) -> Example:
        """The segment of a song that begins at a sample; before and after the song is silence."""
        record, graph = self.records[index], self.truth(index)[0]
        place = (str(record.graph_path), start)
        if self.silent:
            return Example(record.song_id, place, None, graph, self.length, self.warmup, comes_again)
        song = self.song(index)
        stems = Stems.from_song(song, start, self.length)
        whole = song.mix, song.num_samples
        return Example(record.song_id, place, stems, graph, self.length, self.warmup, comes_again, *whole)


class StepSampler(Sampler[list[Pick]]):
    """The segments of each step, from some step on; every song is drawn once before one is drawn again.

    Args:
        num_songs: of the training part.
        batch_size: songs of a step, of all processes together.
        steps: first step and the one after the last.
        seed: of the order.
        rank, world_size: this process gets each ``world_size``-th song of a step.
    """

    def __init__(
        self, num_songs: int, batch_size: int, steps: tuple[int, int], seed: int = 0, rank: int = 0, world_size: int = 1
    ) -> None:
        self.num_songs, self.batch_size, self.steps = num_songs, batch_size, steps
        self.seed, self.rank, self.world_size = seed, rank, world_size
        self._order: tuple[int, list[int]] = (-1, [])

    def __len__(self) -> int:
        return self.steps[1] - self.steps[0]

    def __iter__(self) -> Iterator[list[Pick]]:
        for step in range(*self.steps):
            places = range(step * self.batch_size, (step + 1) * self.batch_size)
            yield [self._pick(place) for place in places[self.rank :: self.world_size]]

    def _pick(self, place: int) -> Pick:
        """The place-th song of all that are ever drawn."""
        draw, position = divmod(place, self.num_songs)
        if self._order[0] != draw:
            generator = np.random.default_rng(np.random.SeedSequence((self.seed, _ORDER_STREAM, draw)))
            self._order = draw, generator.permutation(self.num_songs).tolist()
        return Pick(self._order[1][position], draw)
