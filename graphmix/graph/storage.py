"""Graphs on disk: a compact ``.safetensors`` file, or a readable ``.json`` one. Both give back the same bits.

====================  ==============  ==============================================================
``.safetensors``      ``node_type``   int64 [num_nodes]
                      ``edge_index``  int64 [2, num_edges]
                      ``edge_port``   int64 [num_edges, 2]
                      ``wet``         float32 [num_nodes]
                      ``params.X``    float32 [nodes of type X, width], one for each processor type
                      metadata        one JSON object: format, schema version, types, names, ...
``.json``             nodes, edges    in physical units, see :mod:`graphmix.graph.document`
====================  ==============  ==============================================================

Neither holds code: nothing is unpickled. Writing is atomic: the file is the old one or the new one, whatever
happens. Further attributes of the ``Data`` object have no place in a file, and saving says so.

A file may come from anybody. Before anything is read, its size, and before anything is made, the sizes that its header
claims are held against limits, so that no file takes more than a few seconds or about a gigabyte to load or to refuse.
"""

import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save as to_safetensors
from torch import Tensor

from graphmix.errors import GraphError
from graphmix.graph.document import FORMAT, check_size, graph_from_plain, header, info_from_header, plain_graph, take
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.validation import validate
from graphmix.io import check_tensor_file, decode_text, open_tensors, parse_json, regular_file_size, write_atomically

_DTYPES = {
    "node_type": torch.int64,
    "edge_index": torch.int64,
    "edge_port": torch.int64,
    "wet": torch.float32,
}
_FIELDS = frozenset({*_DTYPES, "params", "info"})
_LINE = 100
"""A JSON value that fits into so many characters stays on one line."""
_SURROGATE = re.compile("[\ud800-\udfff]")
MAX_TENSOR_BYTES = 1 << 28
MAX_HEADER_BYTES = 1 << 24
MAX_JSON_BYTES = 1 << 25
"""Largest files that are read: 256 MiB of tensors with a header of 16 MiB, or 32 MiB of JSON, which takes twenty times
as much memory. A console of 189 chains of seven processors takes 2 and 6 MB."""
_NAMES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32",
    "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip
"""What torch calls the types of the file format."""


def save_graph(graph: MixGraph, path: str | os.PathLike[str]) -> Path:
    """Write one graph, as ``.safetensors`` or ``.json``, whichever ``path`` ends with, and return the path.

    Raises:
        GraphError: a graph that :func:`graphmix.graph.validation` refuses or that a file cannot hold, another ending.
        FileError: a folder that cannot be written, a full disk.
    """
    path = Path(path)
    encode, _ = _codec(path)
    try:
        _check_storable(graph)
        validate(graph)
        content = encode(graph)
    except GraphError as error:
        raise GraphError(f"cannot save {path}: {error}") from None
    write_atomically(path, content)
    return path


def load_graph(path: str | os.PathLike[str]) -> MixGraph:
    """Read what :func:`save_graph` wrote, and validate it.

    Raises:
        GraphError: names the file and what is wrong with it.
    """
    path = Path(path)
    _, decode = _codec(path)
    try:
        return validate(decode(path))
    except GraphError as error:
        raise GraphError(f"cannot load {path}: {_brief(error, 1000)}") from None
    except FileNotFoundError:
        raise GraphError(f"cannot load {path}: there is no such file.") from None
    except MemoryError:
        raise GraphError(f"cannot load {path}: it does not fit into memory.") from None
    except OSError as error:
        raise GraphError(f"cannot load {path}: {error.strerror or error}.") from None


def read_header(path: str | os.PathLike[str]) -> Mapping[str, Any]:
    """The JSON header of a ``.safetensors`` graph file, without its tensors: types, names, sample rate, provenance.

    Raises:
        GraphError: names the file and what is wrong with it.
    """
    path = Path(path)
    try:
        check_tensor_file(path, MAX_TENSOR_BYTES, MAX_HEADER_BYTES, GraphError)
        with open_tensors(path) as file:
            return _header_of(file)
    except GraphError as error:
        raise GraphError(f"cannot load {path}: {error}") from None
    except SafetensorError as error:
        raise GraphError(f"cannot load {path}: the file is damaged or cut off ({_brief(error)}).") from None
    except OSError as error:
        raise GraphError(f"cannot load {path}: {error.strerror or error}.") from None


def _codec(path: Path) -> tuple[Callable[[MixGraph], bytes], Callable[[Path], MixGraph]]:
    try:
        return _CODECS[path.suffix.lower()]
    except KeyError:
        known = " or ".join(_CODECS)
        raise GraphError(f"{path}: a graph file ends in {known}, not in {path.suffix!r}.") from None


def _check_storable(graph: MixGraph) -> None:
    if isinstance(graph.info, list):
        raise GraphError("this is a batch; save its graphs one by one (batch.to_data_list()).")
    extra = sorted(key for key in graph.keys() if key not in _FIELDS)  # noqa: SIM118, a method of Data
    if extra:
        raise GraphError(f"the graph has the attribute {extra[0]!r}, which a graph file does not hold; delete it.")
    num_values = sum(values.numel() for values in graph.params.values())
    check_size(graph.node_type.numel(), graph.edge_index.size(-1), num_values)
    info_from_header(header(graph), graph.names)  # what could not be read is not written
    for name, dtype in _DTYPES.items():
        _check_dtype(name, graph[name], dtype)
    for name, values in graph.params.items():
        _check_dtype(f"params[{name!r}]", values, torch.float32)


def _check_dtype(name: str, value: Tensor, dtype: torch.dtype) -> None:
    if value.dtype != dtype:
        raise GraphError(f"{name} has type {_plain(value.dtype)}, expected {_plain(dtype)}.")


def _plain(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


# --- safetensors


def _encode_tensors(graph: MixGraph) -> bytes:
    tensors = {name: graph[name] for name in _DTYPES}
    tensors |= {f"params.{name}": values for name, values in graph.params.items()}
    tensors = {name: values.detach().cpu().contiguous() for name, values in tensors.items()}
    head = {**header(graph), "names": graph.names}
    return to_safetensors(tensors, {FORMAT: _dumps(head)})


def _header_of(file: Any) -> Mapping[str, Any]:
    metadata = file.metadata() or {}
    if FORMAT not in metadata:
        raise GraphError("this is no graphmix graph: the file holds other tensors.")
    return _loads(metadata[FORMAT])


def _decode_tensors(path: Path) -> MixGraph:
    check_tensor_file(path, MAX_TENSOR_BYTES, MAX_HEADER_BYTES, GraphError)
    try:
        with open_tensors(path) as file:
            head = _header_of(file)
            names = take(head, "names", list)
            if not all(isinstance(name, str) for name in names):
                raise GraphError("its node names are not all strings.")
            info = info_from_header(head, names)
            processors = tuple(t for t in info.types.types if t.is_processor)
            graph = MixGraph(processors, info.sample_rate)
            graph.info = info
            stored = frozenset(file.keys())
            for name, dtype in _DTYPES.items():
                graph[name] = _tensor(file, stored, name, dtype)
            for t in processors:
                graph.params[t.name] = _tensor(file, stored, f"params.{t.name}", torch.float32)
            return graph
    except SafetensorError as error:
        raise GraphError(f"the file is damaged or cut off ({_brief(error)}).") from None


def _tensor(file: Any, stored: frozenset[str], name: str, dtype: torch.dtype) -> Tensor:
    """One tensor, whose type and size are looked at before it is read."""
    if name not in stored:
        raise GraphError(f"the tensor {name[:60]!r} is missing.")
    found = file.get_slice(name)
    kind, shape = _NAMES.get(found.get_dtype(), found.get_dtype()), found.get_shape()
    if kind != _plain(dtype):
        raise GraphError(f"{name[:60]} has type {kind}, expected {_plain(dtype)}.")
    if len(shape) > 2 or any(size > MAX_TENSOR_BYTES for size in shape):
        raise GraphError(f"{name[:60]} has shape {shape[:4]}, which no graph has.")
    size = max(shape, default=0)
    check_size(size if name in ("node_type", "wet") else 0, size if name.startswith("edge_") else 0, 0)
    return file.get_tensor(name).clone()


def _brief(error: Exception, length: int = 200) -> str:
    """What an error says, however long the names are that it repeats."""
    text = str(error)
    return text if len(text) <= length else f"{text[:length]} …"


# --- JSON


def _encode_json(graph: MixGraph) -> bytes:
    return (_readable(plain_graph(graph)) + "\n").encode()


def _decode_json(path: Path) -> MixGraph:
    regular_file_size(path, MAX_JSON_BYTES, GraphError)
    with open(path, "rb") as file:
        content = file.read(MAX_JSON_BYTES)
    return graph_from_plain(_loads(decode_text(content, "the file is damaged or in another encoding: it", GraphError)))


def _loads(text: str) -> Mapping[str, Any]:
    try:
        value = parse_json(text)
    except (ValueError, RecursionError) as error:
        raise GraphError(f"the file is damaged or cut off: it is no JSON ({_brief(error)}).") from None
    if not isinstance(value, dict):
        raise GraphError("this is no graphmix graph: it is no JSON object.")
    return value


def _dumps(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        return json.dumps(value, allow_nan=False) if _SURROGATE.search(text) else text
    except (TypeError, ValueError, RecursionError) as error:
        raise GraphError(f"JSON cannot hold its types or its provenance: {error}.") from None


def _readable(value: Any, indent: str = "") -> str:
    """JSON with one short entry, or one list of numbers, on a line."""
    line = _dumps(value)
    nested = isinstance(value, dict) or (isinstance(value, list) and any(isinstance(v, (dict, list)) for v in value))
    if not nested or len(line) + len(indent) <= _LINE:
        return line
    deeper = indent + " "
    if isinstance(value, dict):
        parts = [f"{_dumps(str(key))}: {_readable(entry, deeper)}" for key, entry in value.items()]
    else:
        parts = [_readable(entry, deeper) for entry in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{opening}\n" + ",\n".join(deeper + part for part in parts) + f"\n{indent}{closing}"


_CODECS = {".safetensors": (_encode_tensors, _decode_tensors), ".json": (_encode_json, _decode_json)}
