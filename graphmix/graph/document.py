"""A graph as plain JSON values: dictionaries, lists, strings and numbers, in physical units.

The readable file format and the header of the compact one (:mod:`graphmix.graph.storage`) are made of these.
Conventions: a number is the shortest decimal that is the same float32, so that reading gives the same bits; a
parameter whose entries are all equal is one number; infinite bounds are the strings ``"inf"`` and ``"-inf"``,
which JSON has no numbers for.

A file may come from anybody. What it claims is held against the limits below before anything of that size is made.
"""

import math
import reprlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphmix.errors import GraphError
from graphmix.graph.mixgraph import GraphInfo, MixGraph
from graphmix.spec import STRUCTURAL, Curve, Exponential, Linear, NodeType, ParameterSpec, TypeTable

FORMAT = "graphmix"
SCHEMA_VERSION = 1
MAX_NODES, MAX_EDGES = 100_000, 1_000_000
"""Two hundred times the largest console of the paper's data."""
MAX_VALUES = 1 << 26
"""Parameters of a graph in all: 256 MiB."""
MAX_TYPES, MAX_PARAMETERS, MAX_ENTRIES, MAX_CHOICES = 256, 256, 1 << 20, 256
"""Node types of a graph, parameters of a type, entries and choices of a parameter."""
MAX_SAMPLE_RATE = 10_000_000
_FLOAT32_MAX = float(np.finfo(np.float32).max)
_SHOWN = reprlib.Repr()
_SHOWN.maxlevel, _SHOWN.maxstring, _SHOWN.maxother = 2, 60, 60


def check_size(nodes: int, edges: int, values: int) -> None:
    """Refuse what no mix needs, before it is built.

    Args:
        nodes: of the graph.
        edges: of the graph.
        values: numbers in its parameters.

    Raises:
        GraphError: more than :data:`MAX_NODES`, :data:`MAX_EDGES` or :data:`MAX_VALUES`.
    """
    sizes = (("nodes", nodes, MAX_NODES), ("edges", edges, MAX_EDGES), ("parameter values", values, MAX_VALUES))
    for what, count, limit in sizes:
        if not 0 <= count <= limit:
            raise GraphError(f"it has {_shown(count)} {what}; a graph file holds up to {limit}.")


def _shown(value: Any) -> str:
    """A value for a message, short however large or deep it is."""
    return str(value)[:60] if isinstance(value, (str, float)) else _SHOWN.repr(value)


def _quoted(value: Any) -> str:
    """The same, a text in quotes."""
    return repr(value[:60]) if isinstance(value, str) else _shown(value)


# --- header: format, version, types


def header(graph: MixGraph) -> dict[str, Any]:
    """All that both file formats begin with."""
    return {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "sample_rate": graph.sample_rate,
        "provenance": dict(graph.provenance),
        "types": [plain_type(node_type) for node_type in graph.types.types],
    }


def info_from_header(head: Mapping[str, Any], names: Sequence[str]) -> GraphInfo:
    """The inverse of :func:`header`.

    Raises:
        GraphError: another format, a newer version, or an entry that is missing or of the wrong kind.
    """
    if head.get("format") != FORMAT:
        raise GraphError("this is no graphmix graph: its header does not say so.")
    version = take(head, "schema_version", int)
    if version > SCHEMA_VERSION:
        raise GraphError(
            f"made by a newer graphmix, schema {_shown(version)}; this one reads up to {SCHEMA_VERSION}: "
            "upgrade graphmix."
        )
    if version < 1:
        raise GraphError(f"its schema is {_shown(version)}; the first is 1.")
    entries = take(head, "types", list)
    if len(entries) > MAX_TYPES:
        raise GraphError(f"it has {len(entries)} node types; a graph file holds up to {MAX_TYPES}.")
    types = tuple(type_from_plain(entry) for entry in entries)
    if types[: len(STRUCTURAL)] != STRUCTURAL:
        raise GraphError("its node types do not begin with in, mix and out.")
    try:
        table = TypeTable(types)
    except ValueError as error:
        raise GraphError(f"{str(error)[:300]}.") from None
    return GraphInfo(table, _rate(head, "sample_rate"), tuple(names), take(head, "provenance", dict))


def _rate(entry: Mapping[str, Any], key: str) -> int:
    """A sample rate in Hz."""
    rate: int = take(entry, key, int)
    if not 0 < rate <= MAX_SAMPLE_RATE:
        raise GraphError(
            f"its {key.replace('_', ' ')} is {_shown(rate)}; it is a positive number of Hz, {MAX_SAMPLE_RATE} or less."
        )
    return rate


def plain_type(node_type: NodeType) -> dict[str, Any]:
    """One node type as JSON values."""
    source = {"source": node_type.source} if node_type.source else {}
    return {
        "name": node_type.name,
        "letter": node_type.letter,
        **source,
        **({} if node_type.bypassable else {"bypassable": False}),
        **({"base_rate": node_type.base_rate} if node_type.base_rate else {}),
        "inlets": list(node_type.inlets),
        "outlets": list(node_type.outlets),
        "parameters": [
            {
                "name": p.name,
                "size": p.size,
                "unit": p.unit,
                "low": _bound(p.low),
                "high": _bound(p.high),
                "neutral": p.neutral,
                "curve": _plain_curve(node_type, p),
                **({"ascending": True} if p.ascending else {}),
                **({"choices": list(p.choices)} if p.choices else {}),
            }
            for p in node_type.parameters
        ],
    }


def type_from_plain(entry: Any) -> NodeType:
    """The inverse of :func:`plain_type`."""
    plain = take(entry, "parameters", list)
    if len(plain) > MAX_PARAMETERS:
        raise GraphError(f"a node type has {len(plain)} parameters; it has up to {MAX_PARAMETERS}.")
    parameters = [_parameter_from_plain(p) for p in plain]
    ports = {side: tuple(take(entry, side, list)) for side in ("inlets", "outlets")}
    if not all(isinstance(port, str) for names in ports.values() for port in names):
        raise GraphError("its ports need to have strings as names.")
    source = take(entry, "source", str) if "source" in entry else ""
    bypassable = entry.get("bypassable", True)
    if not isinstance(bypassable, bool):
        raise GraphError(f"the entry 'bypassable' is {_shown(bypassable)!r}; it is true or false.")
    base_rate = _rate(entry, "base_rate") if "base_rate" in entry else 0
    name, letter = take(entry, "name", str), take(entry, "letter", str)
    return NodeType(
        name,
        letter,
        tuple(parameters),
        inlets=ports["inlets"],
        outlets=ports["outlets"],
        source=source,
        bypassable=bypassable,
        base_rate=base_rate,
    )


def _parameter_from_plain(entry: Any) -> ParameterSpec:
    low, high, neutral = (_number(take(entry, key, (int, float, str)), key) for key in ("low", "high", "neutral"))
    size = take(entry, "size", int)
    if not 1 <= size <= MAX_ENTRIES:
        raise GraphError(f"a parameter has size {_shown(size)}; it has one entry or more, up to {MAX_ENTRIES}.")
    name, unit = take(entry, "name", str), take(entry, "unit", str)
    for key, value in (("low", low), ("high", high), ("neutral", neutral)):
        if _FLOAT32_MAX < abs(value) < math.inf or (key == "neutral" and math.isinf(value)):
            raise GraphError(f"{name[:60]}: {key} is {value:g}, which is no float32.")
    curve = _curve(take(entry, "curve", dict))
    ascending = entry.get("ascending", False)
    if not isinstance(ascending, bool):
        raise GraphError(f"the entry 'ascending' is {_shown(ascending)!r}; it is true or false.")
    choices = take(entry, "choices", list) if "choices" in entry else []
    if len(choices) > MAX_CHOICES or not all(isinstance(choice, str) for choice in choices):
        raise GraphError(f"the choices of {name[:60]} are names, up to {MAX_CHOICES} of them.")
    try:
        return ParameterSpec(name, size, unit, low, high, neutral, curve, ascending, tuple(choices))
    except ValueError as error:
        raise GraphError(f"{str(error)[:300]}.") from None


def _plain_curve(node_type: NodeType, parameter: ParameterSpec) -> dict[str, Any]:
    match parameter.curve:
        case Linear(unit):
            return {"kind": "linear", "unit": unit}
        case Exponential():
            return {"kind": "exponential"}
    raise GraphError(
        f"{node_type.name}: the curve of {parameter.name} is a {type(parameter.curve).__name__}, which a file "
        "cannot hold; use Linear or Exponential."
    )


def _curve(entry: dict[str, Any]) -> Curve:
    kind = take(entry, "kind", str)
    if kind == "linear":
        unit = _number(take(entry, "unit", (int, float)), "unit")
        if not 0 < abs(unit) <= _FLOAT32_MAX:
            raise GraphError(f"the unit of a linear curve is {unit:g}; it is a number other than 0.")
        return Linear(unit)
    if kind == "exponential":
        return Exponential()
    raise GraphError(f"a parameter has the curve {_shown(kind)!r}; known are linear and exponential.")


def _bound(value: float) -> float | str:
    return value if np.isfinite(value) else str(float(value))


def take(entry: Any, key: str, kind: type | tuple[type, ...]) -> Any:
    """``entry[key]`` if it is there and of this kind (a bool is no number), else a :class:`GraphError`."""
    if not isinstance(entry, Mapping) or key not in entry:
        raise GraphError(f"an entry {key!r} is missing.")
    value = entry[key]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise GraphError(f"the entry {key!r} is {_shown(value)!r}, a {type(value).__name__}.")
    return value


# --- the whole graph


def plain_graph(graph: MixGraph) -> dict[str, Any]:
    """Header, nodes and edges as JSON values; parameters by name, ports by name where not the first."""
    types, names, rows = graph.types, graph.names, graph.rows().tolist()
    arrays = {name: values.detach().cpu().numpy() for name, values in graph.params.items()}
    wet = graph.wet.detach().cpu().numpy()
    nodes = []
    for node, index in enumerate(graph.node_type.tolist()):
        node_type = types[index]
        entry: dict[str, Any] = {
            "id": node,
            "type": node_type.name,
            "name": names[node],
            "wet": _shortest(wet[node]),
        }
        if node_type.is_processor:
            row = arrays[node_type.name][rows[node]]
            entry["parameters"] = {p.name: _values(row[node_type.columns(p.name)], p) for p in node_type.parameters}
        nodes.append(entry)
    kinds = [types[index] for index in graph.node_type.tolist()]
    edges = []
    for source, target, outlet, inlet in graph.edges():
        edge: dict[str, Any] = {"from": source, "to": target}
        if outlet:
            edge["outlet"] = kinds[source].outlets[outlet]
        if inlet:
            edge["inlet"] = kinds[target].inlets[inlet]
        edges.append(edge)
    return {**header(graph), "nodes": nodes, "edges": edges}


def graph_from_plain(document: Any) -> MixGraph:
    """The inverse of :func:`plain_graph`; also reads what was written by hand.

    ``name`` and ``wet`` may be missing, and parameters that are missing are neutral. An id is any number or string.

    Raises:
        GraphError: anything that is not as described, with the node or edge at fault.
    """
    if not isinstance(document, Mapping):
        raise GraphError("this is no graphmix graph: it is no JSON object.")
    info = info_from_header(document, ())
    plain_nodes, plain_edges = take(document, "nodes", list), take(document, "edges", list)
    check_size(len(plain_nodes), len(plain_edges), 0)
    kinds = [_kind(entry, info.types) for entry in plain_nodes]
    makers = [_RowMaker(t) for t in info.types.types]
    check_size(len(plain_nodes), len(plain_edges), sum(makers[kind].width for kind in kinds))
    nodes = [_Node(entry, kind, makers[kind]) for entry, kind in zip(plain_nodes, kinds, strict=True)]
    number: dict[Any, int] = {}
    for node in nodes:
        if number.setdefault(node.id, len(number)) != len(number) - 1:
            raise GraphError(f"two nodes have the id {_quoted(node.id)}.")
    edges = [_edge(e, entry, nodes, number) for e, entry in enumerate(plain_edges)]
    return assemble(
        GraphInfo(info.types, info.sample_rate, tuple(node.name for node in nodes), info.provenance),
        [node.type_index for node in nodes],
        [node.wet for node in nodes],
        [node.values for node in nodes],
        edges,
    )


def assemble(
    info: GraphInfo,
    type_indices: Sequence[int],
    wet: Sequence[float],
    values: Sequence[Tensor],
    edges: Sequence[tuple[int, int, int, int]],
) -> MixGraph:
    """A graph from its parts: for each node type, weight and parameters [width]; (source, target, outlet, inlet)."""
    graph = MixGraph((t for t in info.types.types if t.is_processor), info.sample_rate)
    graph.info = info
    graph.node_type = torch.tensor(list(type_indices), dtype=torch.long)
    graph.wet = torch.tensor(list(wet), dtype=torch.float32)
    table = torch.tensor(list(edges), dtype=torch.long).reshape(-1, 4)
    graph.edge_index, graph.edge_port = table[:, :2].t().contiguous(), table[:, 2:].contiguous()
    rows: dict[int, list[Tensor]] = {}
    for index, row in zip(type_indices, values, strict=True):
        rows.setdefault(index, []).append(row)
    for index, own in rows.items():
        if info.types[index].is_processor:
            graph.params[info.types[index].name] = torch.stack(own)
    return graph


def _kind(entry: Any, types: TypeTable) -> int:
    """Index of the type of a node of a document."""
    node, kind = take(entry, "id", (int, str)), take(entry, "type", str)
    try:
        return types.names.index(kind)
    except ValueError:
        known = ", ".join(types.names)[:300]
        node = _quoted(node)
        raise GraphError(f"node {node} has the unknown type {_quoted(kind)}; known are: {known}.") from None


class _Node:
    """One node of a document, checked."""

    def __init__(self, entry: Any, kind: int, maker: "_RowMaker") -> None:
        self.id = take(entry, "id", (int, str))
        self.type_index, self.type = kind, maker.type
        self.name = take(entry, "name", str) if "name" in entry else ""
        self.wet = _number(take(entry, "wet", (int, float)), "wet") if "wet" in entry else 1.0
        parameters = take(entry, "parameters", dict) if "parameters" in entry else {}
        self.values = maker.row(parameters, f"node {_quoted(self.id)}")


class _RowMaker:
    """Rows of parameters of one node type; what they share is made once."""

    def __init__(self, node_type: NodeType) -> None:
        self.type, self.width = node_type, node_type.width
        self.specs = {p.name: p for p in node_type.parameters}
        starts = [0, *accumulate(p.size for p in node_type.parameters)]
        self.columns = {p.name: slice(a, b) for p, (a, b) in zip(node_type.parameters, pairwise(starts), strict=True)}

    @cached_property
    def neutral(self) -> Tensor:
        """Neutral values, [width]."""
        return self.type.neutral()

    def row(self, parameters: Mapping[str, Any], where: str) -> Tensor:
        """Physical values by name -> [width]."""
        row = self.neutral.clone()
        for name, value in parameters.items():
            if name not in self.specs:
                known = ", ".join(self.specs)[:300] or "none"
                raise GraphError(f"{where}: {self.type.name} has no parameter {_quoted(name)}; it has: {known}.")
            size, numbers = self.specs[name].size, value if isinstance(value, list) else [value]
            if self.specs[name].choices:
                numbers = _numbers_of(self.specs[name], numbers, where)
            if len(numbers) not in ({1, size} if isinstance(value, list) else {1}):
                raise GraphError(f"{where}: {name} has {len(numbers)} values, but {self.type.name} takes {size}.")
            row[self.columns[name]] = torch.tensor([_number(v, f"{where}: {name}") for v in numbers])
        return row


def _numbers_of(spec: ParameterSpec, values: list[Any], where: str) -> list[Any]:
    """Values with the names of choices replaced by their numbers."""
    try:
        return [spec.number_of(value) if isinstance(value, str) else value for value in values]
    except KeyError as error:
        raise GraphError(f"{where}: {str(error.args[0])[:300]}.") from None


def parameter_row(node_type: NodeType, parameters: Mapping[str, Any], where: str) -> Tensor:
    """Physical values by name -> [width]; neutral where a name is missing.

    Raises:
        GraphError: an unknown name, or a value that is neither a number nor one number for each entry.
    """
    return _RowMaker(node_type).row(parameters, where)


def _edge(index: int, entry: Any, nodes: Sequence[_Node], number: Mapping[Any, int]) -> tuple[int, int, int, int]:
    ends = [take(entry, key, (int, str)) for key in ("from", "to")]
    for end in ends:
        if end not in number:
            first, second, missing = (_quoted(x) for x in (*ends, end))
            raise GraphError(f"edge {index} joins {first} and {second}, but there is no node {missing}.")
    source, target = number[ends[0]], number[ends[1]]
    outlet = _port(entry, "outlet", nodes[source].type.outlets, index)
    return source, target, outlet, _port(entry, "inlet", nodes[target].type.inlets, index)


def _port(entry: Mapping[str, Any], side: str, ports: tuple[str, ...], index: int) -> int:
    if side not in entry:
        return 0
    port = take(entry, side, (int, str))
    if port in ports:
        return ports.index(port)
    if isinstance(port, int) and 0 <= port < len(ports):
        return port
    known = ", ".join(ports)[:300] or "none"
    raise GraphError(f"edge {index} has the {side} {_quoted(port)}; known are: {known}.")


# --- numbers


def _values(row: np.ndarray, spec: ParameterSpec) -> float | str | list[float | str]:
    if row.size and np.array_equal(row.view(np.uint32), np.full_like(row, row[0]).view(np.uint32)):
        return _value(row[0], spec)
    return [_value(value, spec) for value in row]


def _value(value: np.float32, spec: ParameterSpec) -> float | str:
    """A number, or the name of the choice that has it."""
    if float(value) in range(len(spec.choices)):
        return spec.choice_of(float(value))
    return _shortest(value)


def _shortest(value: np.float32) -> float:
    """The float whose decimal is short and reads as the same float32."""
    short = float(str(value))
    return short if np.float32(short).tobytes() == value.tobytes() else float(value)


def _number(value: Any, where: str) -> float:
    if (isinstance(value, (int, float)) and not isinstance(value, bool)) or value in ("inf", "-inf"):
        with suppress(OverflowError):
            return float(value)
    raise GraphError(f"{where} is {_shown(value)!r}, which is no number.")
