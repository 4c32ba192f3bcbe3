"""A graph as plain JSON values: dictionaries, lists, strings and numbers, in physical units.

The readable file format and the header of the compact one (:mod:`graphmix.graph.storage`) are made of these.
Conventions: a number is the shortest decimal that is the same float32, so that reading gives the same bits; a
parameter whose entries are all equal is one number; infinite bounds are the strings ``"inf"`` and ``"-inf"``,
which JSON has no numbers for.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphmix.errors import GraphError
from graphmix.graph.mixgraph import GraphInfo, MixGraph
from graphmix.spec import STRUCTURAL, Curve, Exponential, Linear, NodeType, ParameterSpec, TypeTable

FORMAT = "graphmix"
SCHEMA_VERSION = 1

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
            f"made by a newer graphmix, schema {version}; this one reads up to {SCHEMA_VERSION}: upgrade graphmix."
        )
    types = tuple(type_from_plain(entry) for entry in take(head, "types", list))
    if types[: len(STRUCTURAL)] != STRUCTURAL:
        raise GraphError("its node types do not begin with in, mix and out.")
    try:
        table = TypeTable(types)
    except ValueError as error:
        raise GraphError(f"{error}.") from None
    rate = take(head, "sample_rate", int)
    if rate <= 0:
        raise GraphError(f"its sample rate is {rate}; it is a positive number of Hz.")
    return GraphInfo(table, rate, tuple(names), take(head, "provenance", dict))


def plain_type(node_type: NodeType) -> dict[str, Any]:
    """One node type as JSON values."""
    return {
        "name": node_type.name,
        "letter": node_type.letter,
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
            }
            for p in node_type.parameters
        ],
    }


def type_from_plain(entry: Any) -> NodeType:
    """The inverse of :func:`plain_type`."""
    parameters = []
    for p in take(entry, "parameters", list):
        low, high, neutral = (_number(take(p, key, (int, float, str)), key) for key in ("low", "high", "neutral"))
        size = take(p, "size", int)
        if size < 1:
            raise GraphError(f"a parameter has size {size}; it has one entry or more.")
        name, unit = take(p, "name", str), take(p, "unit", str)
        try:
            parameters.append(ParameterSpec(name, size, unit, low, high, neutral, _curve(take(p, "curve", dict))))
        except ValueError as error:
            raise GraphError(f"{error}.") from None
    ports = {side: tuple(take(entry, side, list)) for side in ("inlets", "outlets")}
    if not all(isinstance(port, str) for names in ports.values() for port in names):
        raise GraphError("its ports need to have strings as names.")
    return NodeType(take(entry, "name", str), take(entry, "letter", str), tuple(parameters), **ports)


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
        return Linear(float(take(entry, "unit", (int, float))))
    if kind == "exponential":
        return Exponential()
    raise GraphError(f"a parameter has the curve {kind!r}; known are linear and exponential.")


def _bound(value: float) -> float | str:
    return value if np.isfinite(value) else str(float(value))


def take(entry: Any, key: str, kind: type | tuple[type, ...]) -> Any:
    """``entry[key]`` if it is there and of this kind (a bool is no number), else a :class:`GraphError`."""
    if not isinstance(entry, Mapping) or key not in entry:
        raise GraphError(f"an entry {key!r} is missing.")
    value = entry[key]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise GraphError(f"the entry {key!r} is {str(value)[:60]!r}, a {type(value).__name__}.")
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
            entry["parameters"] = {p.name: _values(row[node_type.columns(p.name)]) for p in node_type.parameters}
        nodes.append(entry)
    kinds = [types[index] for index in graph.node_type.tolist()]
    edges = []
    for (source, target), (outlet, inlet) in zip(graph.edge_index.t().tolist(), graph.edge_port.tolist(), strict=True):
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
    nodes = [_Node(entry, info.types) for entry in take(document, "nodes", list)]
    number: dict[Any, int] = {}
    for node in nodes:
        if number.setdefault(node.id, len(number)) != len(number) - 1:
            raise GraphError(f"two nodes have the id {node.id!r}.")
    edges = [_edge(e, entry, nodes, number) for e, entry in enumerate(take(document, "edges", list))]
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
    for index, node_type in enumerate(info.types.types):
        rows = [v for i, v in zip(type_indices, values, strict=True) if i == index]
        if rows and node_type.is_processor:
            graph.params[node_type.name] = torch.stack(rows)
    return graph


class _Node:
    """One node of a document, checked."""

    def __init__(self, entry: Any, types: TypeTable) -> None:
        self.id = take(entry, "id", (int, str))
        kind = take(entry, "type", str)
        if kind not in types.names:
            raise GraphError(f"node {self.id!r} has the unknown type {kind!r}; known are: {', '.join(types.names)}.")
        self.type_index = types.names.index(kind)
        self.type = types[self.type_index]
        self.name = take(entry, "name", str) if "name" in entry else ""
        self.wet = _number(take(entry, "wet", (int, float)), "wet") if "wet" in entry else 1.0
        parameters = take(entry, "parameters", dict) if "parameters" in entry else {}
        self.values = parameter_row(self.type, parameters, f"node {self.id!r}")


def parameter_row(node_type: NodeType, parameters: Mapping[str, Any], where: str) -> Tensor:
    """Physical values by name -> [width]; neutral where a name is missing.

    Raises:
        GraphError: an unknown name, or a value that is neither a number nor one number for each entry.
    """
    row = node_type.neutral()
    for name, value in parameters.items():
        spec = next((p for p in node_type.parameters if p.name == name), None)
        if spec is None:
            known = ", ".join(p.name for p in node_type.parameters) or "none"
            raise GraphError(f"{where}: {node_type.name} has no parameter {name!r}; it has: {known}.")
        numbers = value if isinstance(value, list) else [value]
        if len(numbers) not in ({1, spec.size} if isinstance(value, list) else {1}):
            raise GraphError(f"{where}: {name} has {len(numbers)} values, but {node_type.name} takes {spec.size}.")
        row[node_type.columns(name)] = torch.tensor([_number(v, f"{where}: {name}") for v in numbers])
    return row


def _edge(index: int, entry: Any, nodes: Sequence[_Node], number: Mapping[Any, int]) -> tuple[int, int, int, int]:
    ends = [take(entry, key, (int, str)) for key in ("from", "to")]
    for end in ends:
        if end not in number:
            raise GraphError(f"edge {index} joins {ends[0]!r} and {ends[1]!r}, but there is no node {end!r}.")
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
    raise GraphError(f"edge {index} has the {side} {port!r}; known are: {', '.join(ports) or 'none'}.")


# --- numbers


def _values(row: np.ndarray) -> float | list[float]:
    if row.size and np.array_equal(row.view(np.uint32), np.full_like(row, row[0]).view(np.uint32)):
        return _shortest(row[0])
    return [_shortest(value) for value in row]


def _shortest(value: np.float32) -> float:
    """The float whose decimal is short and reads as the same float32."""
    short = float(str(value))
    return short if np.float32(short).tobytes() == value.tobytes() else float(value)


def _number(value: Any, where: str) -> float:
    if (isinstance(value, (int, float)) and not isinstance(value, bool)) or value in ("inf", "-inf"):
        with suppress(OverflowError):
            return float(value)
    raise GraphError(f"{where} is {str(value)[:60]!r}, which is no number.")
