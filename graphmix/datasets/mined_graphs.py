"""Datasets of mixing graphs for PyTorch Geometric, in memory or on the disk::

    graphs = MinedGraphs("mined", split="train", transform=DropNodes(0.1))
    for batch in DataLoader(graphs, batch_size=32, shuffle=True, num_workers=2):
        ...

Every graph has the attribute ``audio``, an :class:`graphmix.datasets.reference.AudioReference`; a batch has a list of
them. :mod:`graphmix.datasets.loader` reads that audio.

PyG itself would store processed graphs as pickles, which can run any code; these are safetensors and JSON.
"""

import os
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Dataset, InMemoryDataset
from torch_geometric.data.separate import separate

from graphmix.datasets.build import INDEX, Filter, Index, Transform, ensure_built
from graphmix.datasets.shards import AUDIO, Shard, Slices, write_shard
from graphmix.datasets.splits import RATIOS, SPLITS, Splits, artist_key, split_by_artist, split_name
from graphmix.graph.mixgraph import MixGraph
from graphmix.spec import TypeTable

Folder = str | os.PathLike[str]


class _Mined(Dataset):
    """Common part of both datasets: the folder, the index, and the splits."""

    index: Index
    _folder: Path | None = None
    _indices: Sequence[int] | None

    @property
    def processed_dir(self) -> str:
        """Folder of the processed files."""
        return os.path.join(self.root, "processed") if self._folder is None else str(self._folder)

    @property
    def processed_file_names(self) -> list[str]:
        """Name of the index, which lists the others."""
        return [INDEX]

    def process(self) -> None:
        """Build the processed files again."""
        self.force_reload = True
        self._process()

    def _process(self) -> None:
        """Replaces PyG's own, which writes and reads pickles."""
        root, folder = Path(self.root), Path(self.processed_dir)
        self.index = ensure_built(root, folder, self.pre_transform, self.pre_filter, self.force_reload)

    @property
    def types(self) -> TypeTable:
        """Node types, the same for all graphs."""
        return self.index.types

    @property
    def sample_rate(self) -> int:
        """In Hz, the same for all graphs."""
        return self.index.sample_rate

    @property
    def songs(self) -> list[str]:
        """Id of the song of each graph."""
        return [self.index.songs[i] for i in self.indices()]

    @property
    def artists(self) -> list[str | None]:
        """Artist of each graph, None where unknown."""
        return [self.index.artists[i] for i in self.indices()]

    @property
    def skipped(self) -> tuple[tuple[str, str], ...]:
        """(folder, reason) of the graphs that could not be read when the dataset was built."""
        return self.index.skipped

    @property
    def audio_roots(self) -> Mapping[str, str]:
        """By collection ("" for songs without one) the folder that a moved ``audio_root`` stands for."""
        return self.index.roots

    def split(self, ratios: Sequence[float] = RATIOS, seed: int = 0) -> Splits["_Mined"]:
        """Training, validation and test set, without an artist in two of them; see :mod:`graphmix.datasets.splits`."""
        labels = self._labels(ratios, seed)
        return Splits(
            {name: self.index_select([i for i, label in enumerate(labels) if label == name]) for name in SPLITS}
        )

    def _labels(self, ratios: Sequence[float], seed: int) -> list[str]:
        index = self.index
        keys = [artist_key(index.artists[i], index.songs[i], index.collections[i]) for i in self.indices()]
        return split_by_artist(keys, ratios, seed)

    def _choose(self, split: str | None, ratios: Sequence[float], seed: int) -> None:
        if split is not None:
            name = split_name(split)
            self._indices = [i for i, label in enumerate(self._labels(ratios, seed)) if label == name]


class MinedGraphs(_Mined, InMemoryDataset):
    """Mined graphs in memory.

    The processed files are built when they are missing, and again, with a warning, when the graphs in ``root``,
    ``pre_transform`` or ``pre_filter`` are others than those that they were built from. A function is known by its
    name: after a change inside of one, pass ``force_reload``.

    Args:
        root: output folder of ``mine-all``, or a songbook; graphs may lie at any depth.
        transform: applied whenever a graph is read.
        pre_transform: applied once, before the graphs are stored; what it adds to a graph is a tensor or JSON.
        pre_filter: keeps the graphs for which it is true.
        force_reload: build the processed files again.
        split: "train", "validation" (or "val") or "test", by artist; all graphs by default.
        ratios: shares of the three splits.
        split_seed: another one gives other splits.
        processed: folder of the processed files; ``root/processed`` by default.

    Raises:
        GraphError: no graphs, graphs that do not go together, a folder that cannot be written.
    """

    def __init__(
        self,
        root: Folder,
        transform: Transform | None = None,
        pre_transform: Transform | None = None,
        pre_filter: Filter | None = None,
        force_reload: bool = False,
        *,
        split: str | None = None,
        ratios: Sequence[float] = RATIOS,
        split_seed: int = 0,
        processed: Folder | None = None,
    ) -> None:
        self._folder = None if processed is None else Path(processed)
        super().__init__(str(root), transform, pre_transform, pre_filter, log=False, force_reload=force_reload)
        self._fill([Shard(Path(self.processed_dir) / name, self.index.types) for name in self.index.shards])
        self._choose(split, ratios, split_seed)

    def _fill(self, shards: Sequence[Shard]) -> None:
        """Copy shards into memory as one collated object."""
        data, slices = MixGraph(), Slices()
        for key in shards[0].data.keys():  # noqa: SIM118, a method of Data
            if key == "params":
                pairs = {
                    name: _joined([(s.data.params[name], s.slices["params"][name]) for s in shards], 0)
                    for name in shards[0].data.params
                }
                data[key] = {name: tensor for name, (tensor, _) in pairs.items()}
                slices[key] = {name: rows for name, (_, rows) in pairs.items()}
            else:
                parts = [(shard.data[key], shard.slices[key]) for shard in shards]
                data[key], slices[key] = _joined(parts, 1 if key == "edge_index" else 0)
        texts = [shard.read_text(i, self.index.roots) for shard in shards for i in range(len(shard))]
        for key in texts[0]:
            data[key], slices[key] = [text[key] for text in texts], torch.arange(len(texts) + 1)
        self._data, self.slices, self._data_list = data, slices, None

    def get(self, idx: int) -> MixGraph:
        """One graph, with tensors of its own: changing it leaves the dataset as it is."""
        if self.slices is None:  # PyG's form of a single graph
            return self._data.clone()
        return separate(MixGraph, self._data, idx, self.slices, decrement=False).clone()

    @classmethod
    def save(cls, data_list: Sequence[MixGraph], path: Folder) -> None:
        """Write graphs of the same types and attributes into one file, without pickle."""
        write_shard(data_list, data_list[0].types, Path(path))

    def load(self, path: Folder, data_cls: type = MixGraph) -> None:
        """Take the graphs of such a file in place of one's own."""
        self._indices = None
        self._fill([Shard(Path(path))])

    def to_on_disk_dataset(
        self, root: Folder | None = None, backend: str = "", log: bool = False
    ) -> "MinedGraphsOnDisk":
        """The same graphs, read from the processed files; in place of PyG's database of pickles."""
        dataset = MinedGraphsOnDisk(
            self.root, self.transform, self.pre_transform, self.pre_filter, processed=self.processed_dir
        )
        dataset._indices = self._indices
        return dataset


def _joined(parts: Sequence[tuple[Tensor, Tensor]], dimension: int) -> tuple[Tensor, Tensor]:
    """Tensors of shards one after the other, and the slices of all their graphs."""
    total = torch.cat(
        [tensor for tensor, _ in parts], dim=dimension
    )  # copies, so that the files are not needed any more
    starts = accumulate((int(rows[-1]) for _, rows in parts), initial=0)
    return total, torch.cat(
        [parts[0][1][:1], *(rows[1:] + start for (_, rows), start in zip(parts, starts, strict=False))]
    )


class MinedGraphsOnDisk(_Mined):
    """Mined graphs on the disk, for more of them than fit into memory; else as :class:`MinedGraphs`.

    The same processed files are mapped into memory, and a graph is read when it is accessed.

    Args:
        root: output folder of ``mine-all``, or a songbook; graphs may lie at any depth.
        transform: applied whenever a graph is read.
        pre_transform: applied once, before the graphs are stored.
        pre_filter: keeps the graphs for which it is true.
        force_reload: build the processed files again.
        split: "train", "validation" (or "val") or "test", by artist; all graphs by default.
        ratios: shares of the three splits.
        split_seed: another one gives other splits.
        processed: folder of the processed files; ``root/processed`` by default.

    Raises:
        GraphError: no graphs, graphs that do not go together, a folder that cannot be written.
    """

    def __init__(
        self,
        root: Folder,
        transform: Transform | None = None,
        pre_transform: Transform | None = None,
        pre_filter: Filter | None = None,
        force_reload: bool = False,
        *,
        split: str | None = None,
        ratios: Sequence[float] = RATIOS,
        split_seed: int = 0,
        processed: Folder | None = None,
    ) -> None:
        self._folder = None if processed is None else Path(processed)
        self._shards: dict[int, Shard] = {}
        super().__init__(str(root), transform, pre_transform, pre_filter, log=False, force_reload=force_reload)
        self._starts = [0, *accumulate(self.index.graphs_of_shard)]
        self._choose(split, ratios, split_seed)

    def process(self) -> None:
        """Build the processed files again."""
        super().process()
        self._shards = {}
        self._starts = [0, *accumulate(self.index.graphs_of_shard)]

    def len(self) -> int:
        """Number of graphs before a split."""
        return len(self.index)

    def get(self, idx: int) -> MixGraph:
        """One graph, read from its file."""
        number = bisect_right(self._starts, idx) - 1
        if number not in self._shards:
            path = Path(self.processed_dir) / self.index.shards[number]
            self._shards[number] = Shard(path, self.index.types)
        return self._shards[number].get(idx - self._starts[number], self.index.roots)

    def __getstate__(self) -> dict[str, Any]:
        """A worker process opens the files itself."""
        return {**self.__dict__, "_shards": {}}


__all__ = ["AUDIO", "MinedGraphs", "MinedGraphsOnDisk"]
