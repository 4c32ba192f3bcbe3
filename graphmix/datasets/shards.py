"""Many graphs in one file: PyG's collated form, as ``.safetensors`` with JSON beside the tensors. No pickle.

====================  ======================  =================================================================
``<name>``            as collated             ``node_type``, ``edge_index``, …, ``params.<type>``, and tensors
                                              added by users
``slices.<name>``     int64 [graphs + 1]      where each graph begins
``texts``             uint8 [bytes]           one JSON object for each graph: names, sample rate, provenance,
                                              audio, and what else is no tensor
``slices.texts``      int64 [graphs + 1]      where each begins
metadata              one JSON object         format, version, node types, names of the other values
====================  ======================  =================================================================

A shard is read by mapping it into memory: only the requested graphs are read from the disk.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import save as to_safetensors
from torch import Tensor
from torch_geometric.data.collate import collate
from torch_geometric.data.separate import separate

from graphmix.datasets.reference import AudioReference, from_plain, to_plain, under
from graphmix.errors import GraphError
from graphmix.graph.document import MAX_TYPES, plain_type, type_from_plain
from graphmix.graph.mixgraph import GraphInfo, MixGraph
from graphmix.io import open_tensors, to_json, write_atomically
from graphmix.spec import STRUCTURAL, TypeTable

FORMAT, VERSION = "graphmix shard", 1
AUDIO = "audio"
_REQUIRED = {"node_type": torch.int64, "edge_index": torch.int64, "edge_port": torch.int64, "wet": torch.float32}
_OWN = frozenset({*_REQUIRED, "params", "info", AUDIO})
Slices = dict[str, Any]


# --- writing


def write_shard(graphs: Sequence[MixGraph], types: TypeTable, path: Path) -> int:
    """Write graphs of the same types and attributes, and return the bytes of the file.

    Raises:
        GraphError: graphs that differ in their attributes, a value that is neither tensor nor JSON.
        FileError: a full disk.
    """
    others = check_attributes(graphs[0])
    for graph in graphs[1:]:
        check_attributes(graph, others)
    plain = sorted(key for key in others if not isinstance(graphs[0][key], Tensor))
    excluded = ["info", AUDIO, *plain]
    try:
        data, slices, _ = collate(MixGraph, list(graphs), increment=False, add_batch=False, exclude_keys=excluded)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise GraphError(f"the attributes of these graphs do not go together: {error}.") from None
    tensors: dict[str, Tensor] = {}
    for key, value in data.to_dict().items():
        for name, tensor in _leaves(key, value):
            tensors[name] = tensor.detach().cpu().contiguous()
            tensors[f"slices.{name}"] = _slices_of(slices, name)
    texts = [_text(graph, plain) for graph in graphs]
    tensors["texts"] = torch.frombuffer(bytearray(b"".join(texts)), dtype=torch.uint8)
    tensors["slices.texts"] = torch.tensor(np.cumsum([0, *map(len, texts)]), dtype=torch.int64)
    head = {
        "format": FORMAT,
        "version": VERSION,
        "graphs": len(graphs),
        "types": [plain_type(t) for t in types.types],
        "plain": plain,
    }
    content = to_safetensors(tensors, {FORMAT: to_json(head)})
    write_atomically(path, content)
    return len(content)


def check_attributes(graph: MixGraph, expected: set[str] | None = None) -> set[str]:
    """Names of the attributes that users added to a graph; the same for all graphs of a dataset.

    Raises:
        GraphError: they are others than expected, or a file cannot hold one.
    """
    own = {key for key in graph.keys() if key not in _OWN}  # noqa: SIM118, a method of Data
    dotted = sorted(key for key in own if "." in key or key == "texts")
    if dotted:
        raise GraphError(f"a dataset cannot hold the attribute {dotted[0]!r}: its name has a dot, or is taken.")
    if expected is not None and own != expected:
        key = sorted(own ^ expected)[0]
        raise GraphError(f"some graphs have the attribute {key!r} and some do not; let pre_transform give it to all.")
    return own


def _leaves(key: str, value: Any) -> list[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        return [(key, value)]
    if key == "params":
        return [(f"params.{name}", tensor) for name, tensor in value.items()]
    raise GraphError(f"a dataset cannot hold the attribute {key!r}: it is a {type(value).__name__}.")


def _slices_of(slices: Mapping[str, Any], name: str) -> Tensor:
    key, _, inner = name.partition(".")
    found = slices[key][inner] if key == "params" else slices[key]
    return torch.as_tensor(found, dtype=torch.int64)


def _text(graph: MixGraph, plain: Sequence[str]) -> bytes:
    info: GraphInfo = graph.info
    entry: dict[str, Any] = {"names": list(info.names), "sample_rate": info.sample_rate}
    entry["provenance"] = dict(info.provenance)
    if AUDIO in graph:
        entry[AUDIO] = to_plain(graph[AUDIO])
    if plain:
        entry["values"] = {key: graph[key] for key in plain}
    try:
        return json.dumps(entry, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise GraphError(
            f"a dataset cannot hold the attributes {list(plain)} or the provenance of a graph: {error}."
        ) from None


# --- reading


class Shard:
    """One shard, mapped into memory and checked.

    Args:
        path: of the file.
        types: node types of the dataset; those of the shard are its first ones.

    Raises:
        GraphError: a file that is damaged, or that another version wrote.
    """

    def __init__(self, path: Path, types: TypeTable | None = None) -> None:
        self.path = path
        try:
            self._open()
            self._check()
        except GraphError as error:
            raise GraphError(f"cannot load {path}: {error} Build the dataset again with force_reload=True.") from None
        except (SafetensorError, OSError, ValueError, LookupError, TypeError, RuntimeError, OverflowError) as error:
            raise GraphError(
                f"cannot load {path}: the file is damaged or cut off ({str(error)[:200]}). Build the dataset again "
                "with force_reload=True."
            ) from None
        self.types = types or self.own_types
        self.data, self.slices = self._collated()

    def __len__(self) -> int:
        return self.graphs

    def _open(self) -> None:
        with open_tensors(self.path) as file:
            head = json.loads((file.metadata() or {})[FORMAT])
            self.tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if head["format"] != FORMAT or head["version"] != VERSION:
            raise GraphError(f"it has version {head['version']!r}, and this graphmix reads {VERSION}.")
        self.graphs = int(head["graphs"])
        self.plain = [str(key) for key in head["plain"]]
        self.own_types = TypeTable(tuple(type_from_plain(entry) for entry in head["types"]))

    def _check(self) -> None:
        """Does every graph lie within the tensors, and every index within its graph?"""
        if len(self.own_types) > MAX_TYPES or self.own_types.types[: len(STRUCTURAL)] != STRUCTURAL:
            raise GraphError("its node types do not begin with in, mix and out.")
        kinds = {**_REQUIRED, "texts": torch.uint8}
        kinds |= {f"params.{t.name}": torch.float32 for t in self.own_types.types if t.is_processor}
        for name in sorted({*kinds, *(name for name in self.tensors if not name.startswith("slices."))}):
            tensor, slices = self.tensors[name], self.tensors[f"slices.{name}"]
            if tensor.dtype != kinds.get(name, tensor.dtype) or slices.dtype != torch.int64:
                raise GraphError(f"its tensor {name!r} has type {tensor.dtype}.")
            size = tensor.size(1 if name == "edge_index" else 0)
            if slices.shape != (self.graphs + 1,) or int(slices[0]) or int(slices[-1]) != size:
                raise GraphError(f"its tensor {name!r} has {size} rows, and its graphs have others.")
            if bool((slices.diff() < 0).any()):
                raise GraphError(f"the rows of its tensor {name!r} are in no order.")
        self._check_structure()

    def _check_structure(self) -> None:
        node_type, edges = self.tensors["node_type"], self.tensors["edge_index"]
        sizes = {name: self.tensors[f"slices.{name}"].diff() for name in _REQUIRED}
        if not torch.equal(sizes["wet"], sizes["node_type"]) or not torch.equal(
            sizes["edge_port"], sizes["edge_index"]
        ):
            raise GraphError("its graphs have other numbers of weights than of nodes, or of ports than of edges.")
        if node_type.dim() != 1 or edges.size(0) != 2 or self.tensors["edge_port"].size(1) != 2:
            raise GraphError("its tensors have other shapes than those of graphs.")
        count = len(self.own_types)
        if node_type.numel() and not 0 <= int(node_type.min()) <= int(node_type.max()) < count:
            raise GraphError("a node has a type that is not there.")
        owner = torch.repeat_interleave(torch.arange(self.graphs), sizes["node_type"])
        table = torch.bincount(owner * count + node_type, minlength=self.graphs * count).view(self.graphs, count)
        for index, t in enumerate(self.own_types.types):
            if not t.is_processor:
                continue
            rows = self.tensors[f"slices.params.{t.name}"].diff()
            width = self.tensors[f"params.{t.name}"].shape[1:]
            if not torch.equal(rows, table[:, index]) or width != (t.width,):
                raise GraphError(f"its graphs have other numbers of {t.name} nodes than of parameters.")
        last = torch.repeat_interleave(sizes["node_type"], sizes["edge_index"])
        if edges.numel() and bool(((edges < 0) | (edges >= last)).any()):
            raise GraphError("an edge joins nodes that are not there.")

    def _collated(self) -> tuple[MixGraph, Slices]:
        """PyG's collated object without texts, and its slices; types that the shard lacks are empty."""
        data, slices = MixGraph(), Slices()
        for name in [*_REQUIRED, *self._extra()]:
            data[name], slices[name] = self.tensors[name], self.tensors[f"slices.{name}"]
        params, rows = {}, {}
        for t in self.types.types:
            if t.is_processor:
                name = f"params.{t.name}"
                params[t.name] = self.tensors.get(name, torch.zeros(0, t.width))
                rows[t.name] = self.tensors.get(f"slices.{name}", torch.zeros(self.graphs + 1, dtype=torch.int64))
        data["params"], slices["params"] = params, rows
        return data, slices

    def _extra(self) -> list[str]:
        known = {*_REQUIRED, "texts"}
        return [n for n in self.tensors if not n.startswith(("slices.", "params.")) and n not in known]

    def get(self, index: int, roots: Mapping[str, str]) -> MixGraph:
        """One graph, with tensors of its own.

        Args:
            index: in the shard.
            roots: the audio's folder by collection.
        """
        graph = separate(MixGraph, self.data, index, self.slices, decrement=False)
        graph = graph.clone()
        for key, value in self.read_text(index, roots).items():
            graph[key] = value
        return graph

    def read_text(self, index: int, roots: Mapping[str, str]) -> dict[str, Any]:
        """What is no tensor of one graph: ``info``, ``audio`` and others.

        Raises:
            GraphError: it is damaged.
        """
        start, stop = self.tensors["slices.texts"][index : index + 2].tolist()
        try:
            entry = json.loads(self.tensors["texts"][start:stop].numpy().tobytes())
            names = tuple(str(name) for name in entry["names"])
            values: dict[str, Any] = {
                "info": GraphInfo(self.types, int(entry["sample_rate"]), names, entry["provenance"])
            }
            if AUDIO in entry:
                values[AUDIO] = _rooted(from_plain(entry[AUDIO]), roots)
            nodes = self.tensors["slices.node_type"][index : index + 2].diff()
            if len(names) != int(nodes):
                raise ValueError(f"{len(names)} names for {int(nodes)} nodes")
            return values | {key: entry["values"][key] for key in self.plain}
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise GraphError(
                f"graph {index} of {self.path} is damaged ({str(error)[:200]}). Build the dataset again with "
                "force_reload=True."
            ) from None


def _rooted(reference: AudioReference, roots: Mapping[str, str]) -> AudioReference:
    """Seen from the folder of its collection, where that is above."""
    root = roots.get(reference.collection or "", reference.root)
    try:
        return under(reference, root)
    except ValueError:
        raise ValueError(f"its audio does not lie in {root!r}") from None
