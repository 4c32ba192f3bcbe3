"""A mixing graph as a PyG ``Data`` object.

Nodes are processors, inputs, mixes or outputs; edges carry signals. The node axis is the batch axis: signals are
``[nodes, channels, samples]``, and PyG's batching joins many graphs into one disconnected graph.

==============  =====================  ==================================================================
``node_type``   [num_nodes]            index into ``graph.types``
``edge_index``  [2, num_edges]         edges, from row 0 to row 1; two nodes may share several
``edge_port``   [num_edges, 2]         (outlet, inlet); zeros where a node has one of each
``params``      {type: [n, width]}     physical values; row *i* belongs to the *i*-th node of that type
``wet``         [num_nodes]            dry/wet weight in [0, 1], equation 2 of the pruning paper
``info``        :class:`GraphInfo`     all that is no tensor: types, sample rate, node names, provenance
==============  =====================  ==================================================================

Not for: audio. A graph holds none; see :class:`graphmix.audio.Song` and :class:`graphmix.render.Renderer`.
"""

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphmix.errors import GraphError
from graphmix.graph.topology import Edge
from graphmix.spec import STRUCTURAL, NodeType, TypeTable

_BARE = TypeTable(STRUCTURAL)
_OWN_FIELDS = frozenset({"node_type", "wet", "edge_index", "edge_port"})
Values = Sequence[float | str] | float | str
_FIELDS = _OWN_FIELDS | {"params", "info"}


@dataclass(frozen=True)
class GraphInfo:
    """All of a graph that is no tensor: types, sample rate, names of nodes, provenance."""

    types: TypeTable = _BARE
    sample_rate: int = 30000
    names: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"({len(self.types)} types, {self.sample_rate} Hz, {len(self.names)} names)"


class MixGraph(Data):
    r"""A directed acyclic graph of audio processors.

    Args:
        types: processor types beside ``in``, ``mix`` and ``out`` (which every graph has), e.g. ``rack.types``.
        sample_rate: in Hz; times and taps of the processors refer to it.

    Example:
        >>> from graphmix.processors import Rack
        >>> graph = MixGraph(Rack.console("g").types)
        >>> voice = graph.add("in", name="voice")
        >>> fader = graph.add("gain", gain_db=[-6.0, -3.0])
        >>> graph.chain(voice, fader, graph.add("out")).num_edges
        2
    """

    def __init__(self, types: Iterable[NodeType] | None = None, sample_rate: int = 30000, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if types is None:  # PyG makes empty ones before it fills them
            return
        extra = tuple(t for t in types if t.is_processor)
        table = TypeTable(STRUCTURAL + extra)
        self.info = GraphInfo(table, int(sample_rate))
        self.node_type = torch.zeros(0, dtype=torch.long)
        self.edge_index = torch.zeros(2, 0, dtype=torch.long)
        self.edge_port = torch.zeros(0, 2, dtype=torch.long)
        self.params = {t.name: torch.zeros(0, t.width) for t in extra}
        self.wet = torch.zeros(0)

    def __repr__(self) -> str:
        """Nodes, edges, sample rate and the attributes that were added, in a line."""
        if "node_type" not in self or "info" not in self:
            return f"{type(self).__name__}()"
        added = sorted(key for key in self.keys() if key not in _FIELDS)
        parts = [f"{self.node_type.numel()} nodes", f"{self.edge_index.size(1)} edges", f"{self.sample_rate} Hz"]
        parts += [f"{key}={list(self[key].shape) if isinstance(self[key], Tensor) else '...'}" for key in added]
        return f"{type(self).__name__}({', '.join(parts)})"

    def _repr_svg_(self) -> str | None:
        """Its picture, in a notebook; None for what has none: a batch, and a graph without nodes."""
        if "info" not in self or isinstance(self.info, list) or not self.node_type.numel():
            return None
        from graphmix.plots import plot_graph, to_svg

        return to_svg(plot_graph(self))

    # --- for PyG; inner keys of `params` come here too, whatever a type is called

    def __cat_dim__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        return 1 if _is_edges(key, value) else 0

    def __inc__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        return self.node_type.size(0) if _is_edges(key, value) else 0

    def subgraph(self, subset: Tensor | Iterable[int]) -> "MixGraph":
        """Nodes of ``subset`` (mask or indices) and the edges among them, with parameters and names."""
        keep = self.mask_of(subset)
        inside = keep[self.edge_index[0]] & keep[self.edge_index[1]]
        origin = inside.nonzero().flatten()
        return self.rewired(keep, self.edge_index[:, origin], self.edge_port[origin], origin)

    def rewired(self, keep: Tensor, edge_index: Tensor, edge_port: Tensor, origin: Tensor) -> "MixGraph":
        """Some of the nodes, with edges of their own; this graph is not changed.

        Args:
            keep: which nodes stay, a mask [num_nodes].
            edge_index: edges among the nodes that stay, in today's numbers, [2, edges].
            edge_port: their ports, [edges, 2].
            origin: for each edge the edge of this graph whose further attributes it takes, [edges].
        """
        if isinstance(self.info, list):
            raise GraphError("edit graphs one by one: this is a batch; use batch.to_data_list() first.")
        result = copy.copy(self)
        for key, value in self:
            if isinstance(value, Tensor) and key not in _OWN_FIELDS:
                if self.is_node_attr(key):
                    result[key] = value[keep]
                elif self.is_edge_attr(key):
                    result[key] = value[origin]
        new_index = torch.cumsum(keep.long(), 0) - 1
        result.node_type = self.node_type[keep]
        result.wet = self.wet[keep]
        result.edge_index = new_index[edge_index] if edge_index.numel() else edge_index
        result.edge_port = edge_port
        result.params = {
            name: values[keep[self.nodes_of(name)]] if values.size(0) else values
            for name, values in self.params.items()
        }
        names = tuple(name for name, kept in zip(self.names, keep.tolist(), strict=True) if kept)
        result.info = replace(self.info, names=names)
        return result

    def mask_of(self, nodes: Tensor | Iterable[int]) -> Tensor:
        """A mask [num_nodes] of nodes that are given as a mask or as indices."""
        nodes = torch.as_tensor(nodes if isinstance(nodes, Tensor) else list(nodes), device=self.node_type.device)
        if nodes.dtype == torch.bool:
            if nodes.shape != self.node_type.shape:
                raise GraphError(f"the mask has shape {list(nodes.shape)}, but the graph has {self.num_nodes} nodes.")
            return nodes
        mask = torch.zeros(self.node_type.numel(), dtype=torch.bool, device=self.node_type.device)
        if nodes.numel():
            wrong = next((node for node in nodes.tolist() if not 0 <= node < mask.numel()), None)
            if wrong is not None:
                raise GraphError(f"there is no node {wrong}: the nodes are 0 to {mask.numel() - 1}.")
            mask[nodes.long()] = True
        return mask

    # --- reading

    @property
    def _infos(self) -> list[GraphInfo]:
        return self.info if isinstance(self.info, list) else [self.info]

    @property
    def types(self) -> TypeTable:
        """Node types; the same for all graphs of a batch."""
        if isinstance(self.info, GraphInfo):
            return self.info.types
        table = self._infos[0].types
        if any(info.types != table for info in self._infos[1:]):
            raise GraphError(
                "the graphs of this batch have different node types; build them all from one rack, "
                "which gives every graph every type."
            )
        return table

    @property
    def sample_rate(self) -> int:
        """In Hz; the same for all graphs of a batch."""
        rates = {info.sample_rate for info in self._infos}
        if len(rates) > 1:
            raise GraphError(f"the graphs of this batch have sample rates {sorted(rates)}; batch equal ones.")
        return rates.pop()

    @property
    def names(self) -> list[str]:
        """A label for each node: the track of an input, the subgroup of a mix, else ``""``."""
        return [name for info in self._infos for name in info.names]

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Where the graph comes from (JSON values)."""
        return self._infos[0].provenance

    def type_of(self, node: int) -> NodeType:
        """The type of one node."""
        return self.types[int(self.node_type[node])]

    def nodes_of(self, name: str) -> Tensor:
        """Indices of the nodes of a type (by name or letter), in node order: the rows of its parameters."""
        return (self.node_type == self.types.index(name)).nonzero().flatten()

    @property
    def input_names(self) -> list[str]:
        """The tracks: names of the input nodes, in node order."""
        names = self.names
        return [names[node] for node in self.nodes_of("in").tolist()]

    @property
    def prunable(self) -> Tensor:
        """Which nodes can be bypassed, and so be removed by a search: a mask [num_nodes]."""
        able = torch.tensor([t.can_be_bypassed for t in self.types.types], device=self.node_type.device)
        return able[self.node_type]

    def edges(self) -> list[Edge]:
        """The edges in their order."""
        ends, ports = self.edge_index.t().tolist(), self.edge_port.tolist()
        return [Edge(s, t, o, i) for (s, t), (o, i) in zip(ends, ports, strict=True)]

    @property
    def processors(self) -> Tensor:
        """Indices of all nodes that process (neither in, mix nor out)."""
        return (self.node_type >= len(STRUCTURAL)).nonzero().flatten()

    def rows(self) -> Tensor:
        """For each node its row in ``params`` of its type, [num_nodes]."""
        rows = torch.zeros_like(self.node_type)
        for index in self.node_type.unique().tolist():
            mask = self.node_type == index
            rows[mask] = torch.arange(int(mask.sum()), device=rows.device)
        return rows

    def parameter(self, node: int, name: str) -> Tensor:
        """Physical values of one parameter of one node, [size]."""
        node_type = self.type_of(node)
        row = int((self.node_type[:node] == self.node_type[node]).sum())
        return self.params[node_type.name][row, node_type.columns(name)]

    def describe(self, node: int) -> str:
        """The name of a node in messages, e.g. ``compressor 12`` or ``in 0 'voice'``."""
        name = self.names[node]
        return f"{self.type_of(node).name} {node}" + (f" {name!r}" if name else "")

    # --- building

    @classmethod
    def from_lists(
        cls,
        types: Iterable[NodeType],
        kinds: Sequence[str],
        edges: Sequence[tuple[int, int]],
        names: Sequence[str],
        sample_rate: int = 30000,
    ) -> "MixGraph":
        """A graph in one go, which :meth:`add` and :meth:`connect` build node by node: neutral and all wet.

        Args:
            types: processor types, e.g. ``rack.types``.
            kinds: name or letter of the type of each node.
            edges: (source, target) of each, from the first outlet to the first inlet.
            names: a label for each node.
            sample_rate: in Hz.
        """
        graph = cls(types, sample_rate)
        table = graph.types
        number = {kind: table.index(kind) for kind in set(kinds)}
        graph.node_type = torch.tensor([number[kind] for kind in kinds], dtype=torch.long)
        graph.edge_index = torch.tensor(edges, dtype=torch.long).reshape(-1, 2).t().contiguous()
        graph.edge_port = torch.zeros(len(edges), 2, dtype=torch.long)
        counts = torch.bincount(graph.node_type, minlength=len(table)).tolist()
        graph.params = {
            t.name: t.neutral().expand(count, -1).clone()
            for t, count in zip(table.types, counts, strict=True)
            if t.is_processor
        }
        graph.wet = torch.ones(len(kinds))
        graph.info = replace(graph.info, names=tuple(names))
        return graph

    def add(self, kind: str, name: str = "", wet: float = 1.0, **parameters: Values) -> int:
        """Add a node and return its index.

        Args:
            kind: name or letter of its type.
            name: label.
            wet: dry/wet weight in [0, 1].
            parameters: physical values by name, a number or one for each entry, choices also by their names; neutral
                where not given.
        """
        try:
            index = self.types.index(kind)
        except KeyError as error:
            raise GraphError(str(error.args[0])) from None
        node_type = self.types[index]
        if not 0 <= wet <= 1:
            raise GraphError(f"{node_type.name} {self.node_type.numel()}: wet is {wet}; it lies between 0 and 1.")
        values = node_type.neutral()
        for key, value in parameters.items():
            columns = self._columns(node_type, key)
            values[columns] = self._entry(node_type, key, value)
        self.node_type = torch.cat([self.node_type, torch.tensor([index])])
        self.wet = torch.cat([self.wet, torch.tensor([float(wet)])])
        if node_type.is_processor:
            self.params[node_type.name] = torch.cat([self.params[node_type.name], values[None]])
        self.info = replace(self.info, names=(*self.info.names, name))
        return self.node_type.numel() - 1

    @staticmethod
    def _columns(node_type: NodeType, key: str) -> slice:
        try:
            return node_type.columns(key)
        except KeyError as error:
            raise GraphError(f"{error.args[0]}.") from None

    @staticmethod
    def _entry(node_type: NodeType, key: str, value: Values) -> Tensor:
        spec = next(p for p in node_type.parameters if p.name == key)
        try:
            numbers = spec.numbers_of(value)
        except KeyError as error:
            raise GraphError(f"{node_type.name}: {error.args[0]}.") from None
        tensor = torch.as_tensor(numbers, dtype=torch.float32)
        if tensor.dim() > 1 or tensor.numel() not in (1, spec.size):
            raise GraphError(
                f"{node_type.name}: {key} takes {spec.size} values in {spec.unit}, got shape {list(tensor.shape)}."
            )
        return tensor.expand(spec.size)

    def connect(self, source: int, target: int, outlet: int | str = 0, inlet: int | str = 0) -> "MixGraph":
        """Add an edge from an outlet of ``source`` to an inlet of ``target``; ports by index or name."""
        for node in (source, target):
            if not 0 <= node < self.node_type.numel():
                raise GraphError(f"cannot connect node {node}: this graph has nodes 0 to {self.num_nodes - 1}.")
        ports = [
            self._port(source, "outlet", self.type_of(source).outlets, outlet),
            self._port(target, "inlet", self.type_of(target).inlets, inlet),
        ]
        self.edge_index = torch.cat([self.edge_index, torch.tensor([[source], [target]])], dim=1)
        self.edge_port = torch.cat([self.edge_port, torch.tensor([ports])])
        return self

    def _port(self, node: int, side: str, ports: tuple[str, ...], port: int | str) -> int:
        if isinstance(port, str) and port in ports:
            return ports.index(port)
        if isinstance(port, int) and 0 <= port < len(ports):
            return port
        known = ", ".join(f"{i} {name!r}" for i, name in enumerate(ports)) or f"no {side}s"
        raise GraphError(f"{self.describe(node)} has no {side} {port!r}; it has {known}.")

    def chain(self, *nodes: int) -> "MixGraph":
        """Connect nodes in a row, first outlet to first inlet."""
        for source, target in pairwise(nodes):
            self.connect(source, target)
        return self


def _is_edges(key: str, value: Any) -> bool:
    """Is this ``edge_index``, and not the parameters of a type of that name?"""
    return key == "edge_index" and not (isinstance(value, Tensor) and value.is_floating_point())
