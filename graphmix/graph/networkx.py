"""To networkx and back, for its algorithms and its drawing.

A node carries ``type``, ``letter``, ``name``, ``wet`` and ``params`` (name -> list of physical values); an edge
``outlet`` and ``inlet`` (names of ports), and its key is the index of the edge; the graph ``sample_rate``, ``types``
(a tuple of :class:`graphmix.spec.NodeType`) and ``provenance``. Nothing is lost either way.
"""

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import networkx as nx

from graphmix.errors import GraphError
from graphmix.graph.document import assemble, parameter_row
from graphmix.graph.mixgraph import GraphInfo, MixGraph
from graphmix.graph.validation import validate
from graphmix.spec import STRUCTURAL, NodeType, TypeTable


def to_networkx(graph: MixGraph) -> nx.MultiDiGraph:
    """One graph as a ``networkx.MultiDiGraph``; its nodes are numbered as in ``graph``.

    Example:
        >>> from graphmix.graph import mixing_console
        >>> from graphmix.processors import Rack
        >>> graph = mixing_console(Rack.console("g"), {"band": ["voice"]}, "g")
        >>> to_networkx(graph).nodes[1]
        {'type': 'gain', 'letter': 'g', 'name': '', 'wet': 1.0, 'params': {'gain_db': [0.0, 0.0]}}
    """
    if isinstance(graph.info, list):
        raise GraphError("convert graphs one by one: this is a batch; use batch.to_data_list() first.")
    types, rows = graph.types, graph.rows().tolist()
    result = nx.MultiDiGraph(sample_rate=graph.sample_rate, types=types.types, provenance=dict(graph.provenance))
    kinds = [types[index] for index in graph.node_type.tolist()]
    for node, (node_type, name, wet) in enumerate(zip(kinds, graph.names, graph.wet.tolist(), strict=True)):
        params = {}
        if node_type.is_processor:
            row = graph.params[node_type.name][rows[node]]
            params = {p.name: row[node_type.columns(p.name)].tolist() for p in node_type.parameters}
        result.add_node(node, type=node_type.name, letter=node_type.letter, name=name, wet=wet, params=params)
    for key, (source, target, outlet, inlet) in enumerate(graph.edges()):
        ports = {"outlet": kinds[source].outlets[outlet], "inlet": kinds[target].inlets[inlet]}
        result.add_edge(source, target, key=key, **ports)
    return result


def from_networkx(graph: nx.DiGraph, types: Iterable[NodeType] | None = None) -> MixGraph:
    """A mixing graph from a directed networkx graph, made by :func:`to_networkx` or by hand.

    Args:
        graph: each node needs the attribute ``type`` (a name or letter); ``name``, ``wet`` and ``params`` are as in
            :func:`to_networkx` and may be missing, as may ``outlet`` and ``inlet`` (names or indices) of edges. Nodes
            are numbered in networkx's order.
        types: processor types, e.g. ``rack.types``; by default those that the graph carries.

    Raises:
        GraphError: a type, parameter or port that is missing or unknown, or a graph that cannot be rendered.
    """
    if not graph.is_directed():
        raise GraphError("edges have a direction: this networkx graph has none; use nx.MultiDiGraph.")
    carried = graph.graph.get("types", ()) if types is None else types
    table = TypeTable(STRUCTURAL + tuple(t for t in carried if t.is_processor))
    number: dict[Hashable, int] = {}
    indices, values = [], []
    for label, attributes in graph.nodes(data=True):
        number[label] = len(number)
        indices.append(_type_index(label, attributes, table))
        params = {name: _as_list(value) for name, value in attributes.get("params", {}).items()}
        values.append(parameter_row(table[indices[-1]], params, f"node {label!r}"))
    names = tuple(str(name) for _, name in graph.nodes(data="name", default=""))
    wet = [float(weight) for _, weight in graph.nodes(data="wet", default=1.0)]
    edges = []
    for source, target, attributes in _edges(graph):
        a, b = number[source], number[target]
        outlet = _port(attributes, "outlet", table[indices[a]].outlets, f"edge {source!r} -> {target!r}")
        inlet = _port(attributes, "inlet", table[indices[b]].inlets, f"edge {source!r} -> {target!r}")
        edges.append((a, b, outlet, inlet))
    default = GraphInfo(table)
    rate = int(graph.graph.get("sample_rate", default.sample_rate))
    info = GraphInfo(table, rate, names, dict(graph.graph.get("provenance", {})))
    return validate(assemble(info, indices, wet, values, edges))


def _type_index(label: Hashable, attributes: Mapping[str, Any], table: TypeTable) -> int:
    if "type" not in attributes:
        raise GraphError(f"node {label!r} has no attribute 'type'; give it one of: {', '.join(table.names)}.")
    try:
        return table.index(attributes["type"])
    except KeyError:
        raise GraphError(
            f"node {label!r} has the unknown type {attributes['type']!r}; known are: {', '.join(table.names)}. "
            "Pass others as `types`, e.g. rack.types."
        ) from None


def _edges(graph: nx.DiGraph) -> list[tuple[Hashable, Hashable, Mapping[str, Any]]]:
    """Edges in the order of their keys where these number the edges, else in networkx's order."""
    if not graph.is_multigraph():
        return list(graph.edges(data=True))
    edges = list(graph.edges(keys=True, data=True))
    if {key for _, _, key, _ in edges} == set(range(len(edges))):
        edges.sort(key=lambda edge: edge[2])
    return [(source, target, attributes) for source, target, _, attributes in edges]


def _as_list(value: Any) -> Any:
    """Lists, tuples, arrays and tensors as lists; numbers as they are."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return list(value) if isinstance(value, tuple) else value


def _port(attributes: Mapping[str, Any], side: str, ports: tuple[str, ...], where: str) -> int:
    port = attributes.get(side, 0)
    if port in ports:
        return ports.index(port)
    if isinstance(port, int) and (port == 0 or 0 <= port < len(ports)):
        return port  # a missing first port is the concern of `validate`
    raise GraphError(f"{where} has the {side} {port!r}; known are: {', '.join(ports) or 'none'}.")
