"""Building a dataset of graphs from folders of finished graphs, and detecting that it is stale.

The processed folder holds shards (:mod:`graphmix.datasets.shards`) and ``dataset.json``, which is written last. It
names the shards, the songs of the graphs in their order, the node types that all graphs share, the folders of the
audio, the skipped graphs with reasons, and a digest of the files that the graphs were built from.
"""

import hashlib
import os
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from graphmix.audio.files import read_info
from graphmix.audio.song_description import DESCRIPTION
from graphmix.datasets.records import GRAPH, METRICS, Record, find_record_folders, read_record
from graphmix.datasets.reference import AudioReference, refer
from graphmix.datasets.shards import AUDIO, check_attributes, write_shard
from graphmix.errors import GraphError, SongError
from graphmix.graph.document import plain_type, type_from_plain
from graphmix.graph.editing import retype
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.storage import load_graph
from graphmix.io import read_json, to_json, write_atomically
from graphmix.rewrite.rates import at_working_rate
from graphmix.spec import STRUCTURAL, TypeTable

FORMAT, VERSION = "graphmix dataset", 1
INDEX = "dataset.json"
MAX_INDEX_BYTES = 1 << 28
"""Largest index that is read; one of a million graphs has half of it."""
SHARD_BYTES, SHARD_GRAPHS = 64 << 20, 4096
"""A shard ends with the graph that makes it larger than this."""
_SHOWN = 3

Transform = Callable[[Any], Any]
Filter = Callable[[Any], bool]


@dataclass(frozen=True)
class Index:
    """What ``dataset.json`` says; lists have one entry for each graph, or for each shard."""

    sources: str
    pre_transform: str
    pre_filter: str
    types: TypeTable
    sample_rate: int
    shards: tuple[str, ...] = ()
    graphs_of_shard: tuple[int, ...] = ()
    bytes_of_shard: tuple[int, ...] = ()
    songs: tuple[str, ...] = ()
    artists: tuple[str | None, ...] = ()
    collections: tuple[str | None, ...] = ()
    roots: dict[str, str] = field(default_factory=dict)
    skipped: tuple[tuple[str, str], ...] = ()
    filtered: int = 0

    def __len__(self) -> int:
        return len(self.songs)

    def save(self, folder: Path) -> None:
        """Write it, whole or not at all."""
        values = {**asdict(replace(self, types=TypeTable(STRUCTURAL))), "format": FORMAT, "version": VERSION}
        values["types"] = [plain_type(t) for t in self.types.types]
        write_atomically(folder / INDEX, to_json(values).encode())

    @classmethod
    def load(cls, folder: Path) -> "Index":
        """Read it.

        Raises:
            GraphError: there is none, or it is damaged or of another version.
        """
        path = folder / INDEX
        values = read_json(path, MAX_INDEX_BYTES, GraphError)
        try:
            if (values.pop("format"), values.pop("version")) != (FORMAT, VERSION):
                raise ValueError("another version of graphmix wrote it")
            types = TypeTable(tuple(type_from_plain(entry) for entry in values.pop("types")))
            lists = {key: tuple(value) for key, value in values.items() if isinstance(value, list)}
            index = cls(**{**values, **lists}, types=types)
            index._check()
            return index
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise GraphError(f"{path} is damaged ({str(error)[:200]}).") from None

    def _check(self) -> None:
        if not len(self.songs) == len(self.artists) == len(self.collections) == sum(self.graphs_of_shard):
            raise ValueError("its lists have different lengths")
        if not len(self.shards) == len(self.graphs_of_shard) == len(self.bytes_of_shard):
            raise ValueError("its shards are not as many as their sizes")
        texts = (self.sources, *self.songs, *self.roots, *self.roots.values(), *self.shards)
        numbers = (self.sample_rate, self.filtered, *self.graphs_of_shard, *self.bytes_of_shard)
        if not all(isinstance(text, str) for text in texts) or not all(type(number) is int for number in numbers):
            raise TypeError("an entry is of another kind")
        if any(not re.fullmatch(r"graphs-[\w-]+\.safetensors", name) for name in self.shards):
            raise ValueError("a shard has a name that no shard has")


def ensure_built(
    root: Path, folder: Path, pre_transform: Transform | None, pre_filter: Filter | None, force: bool
) -> Index:
    """The index of a processed folder, which is built where there is none or a stale one.

    A folder whose sources are gone (the processed files alone were copied) is taken as it is.

    Raises:
        GraphError: nothing to build from, graphs that do not go together, a folder that cannot be written.
    """
    folders = find_record_folders(root)
    wanted = {"sources": digest(root, folders), "pre_transform": describe(pre_transform)}
    wanted |= {"pre_filter": describe(pre_filter)}
    index, stale = _look(folder, wanted, bool(folders))
    if index is not None and not stale and not force:
        return index
    if not folders:
        cause = f"its processed files are stale ({stale}), and it" if stale else f"{root}"
        raise GraphError(
            f"{cause} holds no finished graph: a folder with {GRAPH} beside {METRICS} or {DESCRIPTION}. "
            "Mine songs first."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        lock.acquire()
    except OSError as error:
        raise GraphError(
            f"cannot write to {folder}: {error.strerror or error}. Choose another folder: processed=..."
        ) from None
    try:
        again, still_stale = _look(folder, wanted, True)
        if again is not None and not still_stale and (not force or again != index):
            return again  # another process was faster
        if stale:
            warnings.warn(f"{folder} is built again: {stale}.", stacklevel=5)
        return build(root, folders, folder, pre_transform, pre_filter, wanted)
    finally:
        lock.release()


def _look(folder: Path, wanted: dict[str, str], has_sources: bool) -> tuple[Index | None, str]:
    """What is there, and why it is stale."""
    if not (folder / INDEX).exists():
        return None, ""
    try:
        index = Index.load(folder)
    except GraphError as error:
        return None, str(error).rstrip(".")
    if has_sources and index.sources != wanted["sources"]:
        return index, "the graphs that it was built from have changed"
    for name in ("pre_transform", "pre_filter"):
        was = getattr(index, name)
        if was != wanted[name]:
            return index, f"{name} was {was} and is {wanted[name]}"
    for name, size in zip(index.shards, index.bytes_of_shard, strict=True):
        path = folder / name
        if not path.is_file() or path.stat().st_size != size:
            return index, f"{name} is missing or cut off"
    return index, ""


def describe(step: object) -> str:
    """A transform or a filter as its ``repr``, without addresses in memory: a function is known by its name."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(step))


def digest(root: Path, folders: list[Path]) -> str:
    """A digest of the path, size and time of change of every graph and description."""
    total, begin = hashlib.sha256(), len(str(root))
    for folder in map(str, folders):
        for name in (GRAPH, METRICS, DESCRIPTION):
            try:
                status = os.stat(os.path.join(folder, name))
            except OSError:
                continue
            found = f"{folder[begin:]}/{name} {status.st_size} {status.st_mtime_ns}\n"
            total.update(found.encode("utf-8", "surrogatepass"))
    return total.hexdigest()[:32]


# --- building


def build(
    root: Path,
    folders: list[Path],
    folder: Path,
    pre_transform: Transform | None,
    pre_filter: Filter | None,
    wanted: dict[str, str],
) -> Index:
    """Read all graphs, and write shards and index. A graph that cannot be read is skipped, with a warning.

    Raises:
        GraphError: no graph is left, graphs of different node types or sample rates.
        FileError: a full disk.
    """
    old = {path.name for path in folder.glob("graphs-*.safetensors")}
    skipped: list[tuple[str, str]] = []
    writer = _Writer(folder, wanted["sources"][:8])
    filtered = 0
    for record, graph in _graphs(root, folders, skipped):
        if pre_filter is not None and not pre_filter(graph):
            filtered += 1
            continue
        writer.add(record, graph if pre_transform is None else pre_transform(graph))
    index = writer.finish(**wanted, skipped=tuple(skipped), filtered=filtered)
    if skipped:
        some = "; ".join(reason for _, reason in skipped[:_SHOWN])
        warnings.warn(f"{len(skipped)} of {len(folders)} graphs were skipped: {some}", stacklevel=6)
    if not len(index):
        raise GraphError(
            f"no graph of {root} is left: {len(skipped)} could not be read, and pre_filter took {filtered} out."
        )
    index.save(folder)
    for name in old - set(index.shards):
        (folder / name).unlink(missing_ok=True)
    return index


def _graphs(root: Path, folders: list[Path], skipped: list[tuple[str, str]]) -> Iterator[tuple[Record, MixGraph]]:
    for folder in folders:
        try:
            record = read_record(folder, root)
            graph = at_working_rate(load_graph(record.graph_path))
        except (GraphError, SongError) as error:
            skipped.append((folder.relative_to(root).as_posix(), str(error)))
            continue
        graph[AUDIO] = refer(record, _num_samples(record, graph))
        yield record, graph


def _num_samples(record: Record, graph: MixGraph) -> int | None:
    """Length of the song at the graph's rate, where it is known."""
    known = graph.provenance.get("num_samples")
    if isinstance(known, int) and not isinstance(known, bool) and known > 0:
        return known
    if record.mix is not None:
        try:
            return read_info(record.mix).num_samples_at(graph.sample_rate)
        except SongError:
            return None
    return None


class _Writer:
    """Collects graphs, gives them one table of node types, and writes a shard whenever there is enough."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self.types, self.sample_rate = TypeTable(STRUCTURAL), 0
        self.pending: list[MixGraph] = []
        self.pending_bytes = 0
        self.shards: list[tuple[str, int, int]] = []
        self.records: list[AudioReference] = []
        self.roots: dict[str, str] = {}
        self.attributes: set[str] | None = None

    def add(self, record: Record, graph: MixGraph) -> None:
        """One more graph."""
        self.sample_rate = self.sample_rate or graph.sample_rate
        if graph.sample_rate != self.sample_rate:
            raise GraphError(
                f"{record.graph_path} is made for {graph.sample_rate} Hz and graphs before it for {self.sample_rate} "
                "Hz; the graphs of a dataset have one rate. Select them by pre_filter, e.g. by graph.sample_rate."
            )
        self.attributes = check_attributes(graph, self.attributes)
        self.types = join(self.types, graph.types, record.graph_path)
        graph = retype(graph, self.types)
        reference = graph[AUDIO] if AUDIO in graph else refer(record, None)
        if reference.root:
            key = reference.collection or ""
            self.roots[key] = os.path.commonpath([self.roots.get(key, reference.root), reference.root])
        self.records.append(reference)
        self.pending.append(graph)
        self.pending_bytes += _bytes_of(graph)
        if self.pending_bytes >= SHARD_BYTES or len(self.pending) >= SHARD_GRAPHS:
            self._flush()

    def _flush(self) -> None:
        if not self.pending:
            return
        name = f"graphs-{self.name}-{len(self.shards):05d}.safetensors"
        graphs = [graph if graph.types is self.types else retype(graph, self.types) for graph in self.pending]
        size = write_shard(graphs, self.types, self.folder / name)
        self.shards.append((name, len(graphs), size))
        self.pending, self.pending_bytes = [], 0

    def finish(self, **values: Any) -> Index:
        """Write the rest."""
        self._flush()
        names, graphs, sizes = zip(*self.shards, strict=True) if self.shards else ((), (), ())
        return Index(
            types=self.types,
            sample_rate=self.sample_rate,
            shards=names,
            graphs_of_shard=graphs,
            bytes_of_shard=sizes,
            songs=tuple(r.song_id for r in self.records),
            artists=tuple(r.artist for r in self.records),
            collections=tuple(r.collection for r in self.records),
            roots=self.roots,
            **values,
        )


def join(table: TypeTable, other: TypeTable, path: Path) -> TypeTable:
    """The types of a table, and after them those that only the other has.

    Raises:
        GraphError: a type that is another one there, or a letter that two types share.
    """
    if all(t in table.types for t in other.types):
        return table
    known = {t.name: t for t in table.types}
    for t in other.types:
        if known.setdefault(t.name, t).digest != t.digest:
            raise GraphError(
                f"the {t.name!r} of {path} is from {t.source or 'graphmix'}, and that of graphs before it from "
                f"{known[t.name].source or 'graphmix'}: another capture. Select one of them by pre_filter."
            )
        if not t.is_same(known[t.name]):
            raise GraphError(
                f"the {t.name!r} of {path} has other ports or parameters than that of graphs before it; the graphs of "
                "a dataset share their node types. Select them by pre_filter."
            )
    try:
        return TypeTable(tuple(known.values()))
    except ValueError as error:
        raise GraphError(f"{path} does not go with the graphs before it: {error}.") from None


def _bytes_of(graph: MixGraph) -> int:
    tensors = [*graph.params.values(), *(value for _, value in graph if isinstance(value, torch.Tensor))]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
