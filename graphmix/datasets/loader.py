"""Graphs together with their sound: segments of stems and mix as tensors::

    loader = SegmentLoader(graphs, length=114_000, batch_size=4, shuffle=True, seed=1, num_workers=2)
    for batch in loader:
        mix = renderer(batch, batch.stems, batch.position)  # batch.stems [inputs of all graphs, 2, length]
        loss = mix_loss(prediction=mix, target=batch.mix)          # batch.mix [graphs, 2, length]

Only the requested samples are decoded (except for MP3, which is decoded whole). Beyond the end of a song there is
silence. The start of a random segment depends on seed, epoch and graph, not on the batch or the number of workers.

A segment has no past, so that reverbs start without a tail: leave the first second out of a loss, as the search does.
"""

import copy
import os
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from operator import index
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler
from torch_geometric.data import Batch

from graphmix.audio.files import AudioInfo, read_audio, read_info
from graphmix.audio.listing import some_names
from graphmix.datasets.reference import AudioReference, AudioRoot
from graphmix.datasets.shards import AUDIO
from graphmix.errors import GraphmixError, SongError
from graphmix.graph.mixgraph import MixGraph

RANDOM = "random"


def add_segment(
    graph: MixGraph, length: int, start: int = 0, audio_root: AudioRoot | None = None, with_mix: bool = True
) -> MixGraph:
    """The graph with the attributes ``stems`` [inputs, 2, length], ``mix`` [1, 2, length] and ``position`` [1].

    PyG's batching stacks them along the first axis: stems in the order of the batch's inputs, one mix a graph.

    Args:
        graph: of a dataset, with its ``audio``.
        length: samples at the graph's rate.
        start: first sample, counted from the start of the section that ``audio`` names.
        audio_root: where the audio is now, if it has moved; see :attr:`MinedGraphs.audio_roots`.
        with_mix: False reads the stems alone.

    Raises:
        SongError: files that are missing or cannot be decoded, a graph without audio, an input without a track.
    """
    reference = _reference(graph)
    length, start = _length(length), _whole("start", start)
    stems, mix = _files(graph, reference, audio_root, with_mix)
    result = copy.copy(graph)
    rate, first = graph.sample_rate, reference.start + start
    read = partial(read_audio, start=first, length=length, sample_rate=rate)
    result.position = torch.tensor([start])
    result.stems = torch.stack([read(info) for info in stems]) if stems else torch.zeros(0, 2, length)
    if mix is not None:
        result.mix = read(mix)[None]
    return result


def num_samples(graph: MixGraph, audio_root: AudioRoot | None = None) -> int:
    """How many samples the audio of a graph has, at the graph's rate.

    Raises:
        SongError: as :func:`add_segment`.
    """
    reference = _reference(graph)
    if reference.length is not None:
        return reference.length
    stems, mix = _files(graph, reference, audio_root, reference.mix is not None)
    infos = [mix] if mix is not None else stems
    return max((info.num_samples_at(graph.sample_rate) for info in infos), default=0) - reference.start


def _reference(graph: MixGraph) -> AudioReference:
    reference = graph.get(AUDIO)
    if not isinstance(reference, AudioReference):
        raise SongError("this graph has no audio: only single graphs of a dataset have.")
    return reference


def _files(
    graph: MixGraph, reference: AudioReference, audio_root: AudioRoot | None, with_mix: bool
) -> tuple[list[AudioInfo], AudioInfo | None]:
    """Headers of the files of the graph's inputs and of the mix; all missing ones are one error."""
    names = graph.input_names
    unknown = [name for name in names if name not in reference.tracks]
    if unknown or (with_mix and reference.mix is None):
        what = f"a track for the inputs {some_names(unknown)}" if unknown else "a mix"
        raise SongError(
            f"the dataset does not say where song {reference.song_id} has {what}: it was mined without a record of "
            "its audio. Mine it again, or load without what is missing."
        )
    paths = [reference.path(reference.tracks[name], audio_root) for name in names]
    if with_mix and reference.mix is not None:
        paths.append(reference.path(reference.mix, audio_root))
    missing = [path for path in paths if not os.path.isfile(path)]
    if missing:
        raise SongError(_missing(reference, missing, len(paths)))
    infos = [read_info(path) for path in paths]
    return (infos[:-1], infos[-1]) if with_mix else (infos, None)


def _missing(reference: AudioReference, missing: list[Path], total: int) -> str:
    return (
        f"song {reference.song_id}: {len(missing)} of {total} audio files are missing, first {missing[0]}. If the "
        f"audio has moved, pass audio_root, the folder that stands for {reference.root or 'its collection'!r} now."
    )


def _length(length: Any) -> int:
    number = _whole("length", length)
    if number < 1:
        raise SongError(f"length is {number}; a segment has 1 sample or more.")
    return number


def _whole(name: str, value: Any, otherwise: str = "") -> int:
    """A whole number of any type but bool."""
    if not isinstance(value, bool):
        with suppress(TypeError):
            return index(value)
    hint = " Did you give seconds?" if isinstance(value, float) else ""
    raise SongError(
        f"{name} is {value!r}; give a whole number{' of samples' if name != 'seed' else ''}{otherwise}.{hint}"
    )


# --- the loader


class _Failure:
    """An error on its way from a worker to the process that iterates."""

    def __init__(self, error: GraphmixError) -> None:
        self.kind, self.message = type(error), str(error)


class _Segments(Dataset):
    """Graphs with a segment each, by (epoch, number of the graph)."""

    def __init__(
        self,
        graphs: Any,
        length: int,
        start: int | str,
        seed: int,
        audio_root: AudioRoot | None,
        with_mix: bool,
    ) -> None:
        self.graphs, self.length, self.start, self.seed = graphs, length, start, seed
        self.audio_root, self.with_mix = audio_root, with_mix

    def __len__(self) -> int:
        return len(self.graphs)

    def __getitem__(self, key: tuple[int, int]) -> MixGraph | _Failure:
        epoch, number = key
        try:
            graph = self.graphs[number]
            return add_segment(graph, self.length, self._begin(graph, epoch, number), self.audio_root, self.with_mix)
        except GraphmixError as error:
            return _Failure(error)

    def _begin(self, graph: MixGraph, epoch: int, number: int) -> int:
        if isinstance(self.start, int):
            return self.start
        room = max(0, num_samples(graph, self.audio_root) - self.length)
        return int(np.random.default_rng([self.seed, epoch, number]).integers(room + 1))


class _Epochs(Sampler):
    """(epoch, number) of every graph, in order or shuffled; each pass is the next epoch."""

    def __init__(self, count: int, shuffle: bool, seed: int) -> None:
        self.count, self.shuffle, self.seed, self.epoch = count, shuffle, seed, 0

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[tuple[int, int]]:
        epoch, self.epoch = self.epoch, self.epoch + 1
        order = np.arange(self.count)
        if self.shuffle:
            np.random.default_rng([self.seed, epoch]).shuffle(order)
        return ((epoch, int(number)) for number in order)


def _collate(items: list[Any]) -> Any:
    failure = next((item for item in items if isinstance(item, _Failure)), None)
    return Batch.from_data_list(items) if failure is None else failure


class SegmentLoader(DataLoader):
    """Batches of graphs with ``stems`` [inputs, 2, length], ``mix`` [graphs, 2, length] and ``position`` [graphs].

    Args:
        graphs: a dataset, or a list of its graphs.
        length: samples of a segment, at the graphs' rate.
        batch_size: graphs in a batch.
        shuffle: another order in each epoch.
        start: ``"random"``, or the same first sample for all.
        seed: of order and starts, 0 or more.
        audio_root: where the audio is now, if it has moved: a folder, or one for each collection.
        with_mix: False reads the stems alone.
        options: what ``torch.utils.data.DataLoader`` takes, e.g. ``num_workers``.

    Raises:
        SongError: invalid options; while iterating, files that are missing or damaged, as one error of one sentence,
            whichever process finds them.
    """

    def __init__(
        self,
        graphs: Any,
        length: int,
        batch_size: int = 1,
        shuffle: bool = False,
        *,
        start: int | str = RANDOM,
        seed: int = 0,
        audio_root: AudioRoot | None = None,
        with_mix: bool = True,
        **options: Any,
    ) -> None:
        length = _length(length)
        if start != RANDOM:
            start = _whole("start", start, f", or {RANDOM!r}")
        seed = _whole("seed", seed)
        if seed < 0:
            raise SongError(f"seed is {seed}; give 0 or more.")
        segments = _Segments(graphs, length, start, seed, audio_root, with_mix)
        self.epochs = _Epochs(len(graphs), shuffle, seed)
        super().__init__(segments, batch_size, sampler=self.epochs, collate_fn=_collate, **options)

    def __repr__(self) -> str:
        data: _Segments = self.dataset  # type: ignore[assignment]
        return f"{type(self).__name__}({len(data)} graphs, length={data.length}, batch_size={self.batch_size})"

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next pass, e.g. to resume a training."""
        self.epochs.epoch = epoch

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """Batches; an error in a worker is raised here, without the worker's traceback."""
        for batch in super().__iter__():
            if isinstance(batch, _Failure):
                raise batch.kind(batch.message)
            yield batch
