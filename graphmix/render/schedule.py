"""From a graph to a plan: which nodes are rendered together, in which order and domain, and from which edges.

A plan is frozen, holds no audio and prints itself. It depends on the graph's structure and on what the rack
declares of its processors, not on parameters. Section C of the pruning paper, with three additions: ports, domains
and FFT lengths.

Domains. LTI processors work on spectra, general ones on samples, all other nodes (mixes, gains, imagers, recursive
filters) on either. A signal changes domain only where an edge crosses. Signals live on an unbounded time axis: between
two general processors nothing that reaches the segment is lost, so that its samples equal linear convolution. Which FFT
lengths there are, and where one is left for another, is decided in :mod:`graphmix.render.domains`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from graphmix.dsp.fft import good_length
from graphmix.errors import GraphError
from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.rack import Rack
from graphmix.render.domains import CHANNELS, choose_domains
from graphmix.render.sequence import Beam, SequenceMethod, TypeSequence, find_sequence
from graphmix.spec import NodeType

Way = tuple[int | None, bool]
"""How a signal arrives: the FFT group of its spectra, or None for samples; and whether they are cut."""


@dataclass(frozen=True)
class StageEdges:
    """All edges from one stage into another that bring their signals in the same way.

    Args:
        source: index of the stage that sends.
        rows: rows of its output that are read, [edges].
        targets: (node, inlet) rows of the receiving stage, in rising order, [edges].
        passes_through: the output as a whole *is* the input; nothing needs to be copied.
        cut: of these spectra only the segment and the plan's margins are kept.
    """

    source: int
    rows: Tensor
    targets: Tensor
    passes_through: bool
    cut: bool


@dataclass(frozen=True)
class Stage:
    """Nodes of one type and one domain that are rendered at once.

    Args:
        kind: name of the type.
        nodes: their indices in the graph, [nodes].
        rows: their rows in ``params[kind]``, [nodes].
        inlets: ports in.
        outlets: ports out.
        inputs: edges by sending stage.
        fft_group: number of the FFT group, whose length the stage uses, or None in the time domain.
    """

    kind: str
    nodes: Tensor
    rows: Tensor
    inlets: int
    outlets: int
    inputs: tuple[StageEdges, ...]
    fft_group: int | None


@dataclass(frozen=True)
class Flow:
    """Edges into one stage whose signals are summed before they are transformed.

    Args:
        fft_group: of the stages that send, None for samples.
        cut: of these spectra only the segment and the plan's margins are kept.
        rows: rows of the stage that receive them, or None for all, [size].
        slots: the same among those rows that receive something transformed, or None for all of these, [size].
        size: how many rows.
        edges: by sending stage; their targets are rows of the flow.
    """

    fft_group: int | None
    cut: bool
    rows: Tensor | None
    slots: Tensor | None
    size: int
    edges: tuple[StageEdges, ...]


@dataclass(frozen=True)
class Inflow:
    """All that comes into one stage.

    Args:
        entering: rows that receive something transformed, or None for all; in the time domain always None.
        flows: by domain.
    """

    entering: Tensor | None
    flows: tuple[Flow, ...]


class InletEdges(NamedTuple):
    """All edges from one outlet of a stage into one inlet of another.

    Args:
        source: index of the stage that sends.
        outlet: which outlet.
        rows: nodes of that stage, [edges].
        targets: nodes of the receiving stage, in rising order, [edges].
        whole: what leaves *is* what comes in.
    """

    source: int
    outlet: int
    rows: Tensor
    targets: Tensor
    whole: bool


@dataclass(frozen=True)
class Plan:
    """A schedule ready to render; see :func:`schedule`.

    Args:
        stages: in order.
        reaches: for each FFT group by how much its FFT is longer than a segment, in samples.
        taps: for each FFT group the length of its longest response, which the FFT has to hold.
        margin: samples that a cut keeps on either side of the segment.
        sequence: how the order was found and how good it is.
    """

    stages: tuple[Stage, ...]
    reaches: tuple[int, ...]
    taps: tuple[int, ...]
    margin: int
    sequence: TypeSequence

    def n_fft(self, fft_group: int, samples: int) -> int:
        """FFT length of an FFT group for a segment of so many samples."""
        return good_length(max(samples + self.reaches[fft_group], self.taps[fft_group]))

    @cached_property
    def inflows(self) -> tuple[Inflow, ...]:
        """What comes into each stage, sorted by how it has to be transformed."""
        return tuple(_sort_inputs(stage, self.stages) for stage in self.stages)

    @cached_property
    def by_inlet(self) -> tuple[tuple[tuple[InletEdges, ...], ...], ...]:
        """The edges into each inlet of each stage, for stages that get their inlets one by one."""
        return tuple(_sort_by_inlet(stage, self.stages) for stage in self.stages)

    @cached_property
    def parts(self) -> dict[int, tuple["Plan", ...]]:
        """Plans of some of the graph's components each, by how many; see :mod:`graphmix.render.voices`."""
        return {}

    @cached_property
    def programs(self) -> dict[int, object]:
        """Compiled programs by the number of threads; see :mod:`graphmix.render.programs`."""
        return {}

    @cached_property
    def reads(self) -> tuple[np.ndarray, ...]:
        """How many edges read each row that leaves each stage, [nodes * outlets]."""
        counts = [np.zeros(len(stage.nodes) * stage.outlets, int) for stage in self.stages]
        for edges in (edges for stage in self.stages for edges in stage.inputs):
            np.add.at(counts[edges.source], edges.rows.cpu().numpy(), 1)
        return tuple(counts)

    def describe(self, samples: int) -> str:
        """The plan as a table: stage, nodes, domain, transforms and bytes for a segment of so many samples."""
        lines = [f"{'stage':>5}  {'type':<22}{'nodes':>6}  {'domain':<18}{'transforms':>10}{'MB':>9}"]
        transforms, total = 0, 0.0
        for i, stage in enumerate(self.stages):
            crossing = self.count_transforms(i)
            rows = len(stage.nodes) * stage.outlets * CHANNELS
            if stage.fft_group is None:
                domain, size = "time", 4 * samples * rows
            else:
                n_fft = self.n_fft(stage.fft_group, samples)
                domain, size = f"spectrum {n_fft}", 8 * (n_fft // 2 + 1) * rows
            transforms, total = transforms + crossing, total + size / 1e6
            lines.append(f"{i:>5}  {stage.kind:<22}{len(stage.nodes):>6}  {domain:<18}{crossing:>10}{size / 1e6:>9.1f}")
        lines.append(f"{self.count_stages()}, {transforms} transforms, {total:.1f} MB of signals")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from graphmix.render.notebook import plan_html  # here: it is needed in notebooks only

        return plan_html(self)

    def count_stages(self) -> str:
        """Stages by type, how good that number is, and how many they are by domain."""
        found = "optimal" if self.sequence.optimal else f"at least {self.sequence.lower_bound} are needed"
        by_domain = f", {len(self.stages)} by domain" if len(self.stages) > len(self.sequence) else ""
        return f"{len(self.sequence)} stages ({found}){by_domain}"

    def count_transforms(self, index: int) -> int:
        """Transforms of signals (left and right) at the inputs of a stage."""
        stage, inflow = self.stages[index], self.inflows[index]
        crossing = [flow for flow in inflow.flows if flow.cut or flow.fft_group != stage.fft_group]
        rows = sum(flow.size for flow in crossing if flow.fft_group is not None)
        if crossing and stage.fft_group is not None:
            rows += len(stage.nodes) * stage.inlets if inflow.entering is None else len(inflow.entering)
        return CHANNELS * rows

    def __str__(self) -> str:
        return self.describe(samples=114000)

    def to(self, device: torch.device) -> "Plan":
        """The same plan with its index tensors on a device."""
        moved = tuple(
            Stage(
                s.kind,
                s.nodes.to(device),
                s.rows.to(device),
                s.inlets,
                s.outlets,
                tuple(replace(c, rows=c.rows.to(device), targets=c.targets.to(device)) for c in s.inputs),
                s.fft_group,
            )
            for s in self.stages
        )
        return replace(self, stages=moved)


def _sort_by_inlet(stage: Stage, stages: Sequence[Stage]) -> tuple[tuple[InletEdges, ...], ...]:
    """The edges into a stage, for each inlet."""
    result: list[list[InletEdges]] = [[] for _ in range(stage.inlets)]
    nodes = torch.arange(len(stage.nodes))
    for edges in stage.inputs:
        sender = stages[edges.source]
        rows, targets = edges.rows.cpu(), edges.targets.cpu()
        for inlet in range(stage.inlets):
            for outlet in range(sender.outlets):
                own = (targets % stage.inlets == inlet) & (rows % sender.outlets == outlet)
                if own.any():
                    ends = rows[own] // sender.outlets, targets[own] // stage.inlets
                    whole = len(sender.nodes) == len(nodes) and all(torch.equal(end, nodes) for end in ends)
                    sent, received = (end.to(edges.rows.device) for end in ends)
                    result[inlet].append(InletEdges(edges.source, outlet, sent, received, whole))
    return tuple(tuple(own) for own in result)


def _sort_inputs(stage: Stage, stages: Sequence[Stage]) -> Inflow:
    """The inputs of a stage by domain."""
    by_way: dict[Way, list[StageEdges]] = {}
    for edges in stage.inputs:
        by_way.setdefault((stages[edges.source].fft_group, edges.cut), []).append(edges)
    targets = {way: torch.cat([c.targets for c in own]).cpu().numpy() for way, own in by_way.items()}
    size, device = len(stage.nodes) * stage.inlets, stage.nodes.device
    entering, receiving = sort_rows(targets, stage.fft_group, size)
    flows = []
    for way, (rows, slots) in receiving.items():
        edges_in = tuple(_into_flow(c, rows, stages[c.source]) for c in by_way[way])
        indices = unless_all(rows, size, device), unless_all(slots, len(entering), device)
        flows.append(Flow(*way, *indices, len(rows), edges_in))
    return Inflow(unless_all(entering, size, device), tuple(flows))


def sort_rows(
    targets: Mapping[Way, np.ndarray], own: int | None, size: int
) -> tuple[np.ndarray, dict[Way, tuple[np.ndarray, np.ndarray]]]:
    """The rows of a stage that receive each signal.

    Args:
        targets: for each way the rows that receive it.
        own: FFT group of the stage, None in the time domain.
        size: how many rows it has.

    Returns:
        The rows that receive something transformed (in the time domain all); and for each way the rows that receive it
        in rising order, all if it needs no transform, and their places among the former.
    """
    every = np.arange(size)
    crossing = [rows for way, rows in targets.items() if way != (own, False)]
    entering = every if own is None or not crossing else np.unique(np.concatenate(crossing))
    receiving = {way: every if way == (own, False) else np.unique(rows) for way, rows in targets.items()}
    return entering, {way: (rows, np.searchsorted(entering, rows)) for way, rows in receiving.items()}


def _into_flow(edges: StageEdges, rows: np.ndarray, source: Stage) -> StageEdges:
    """Edges into a stage, as edges into those of its rows that a flow has."""
    slots = np.searchsorted(rows, edges.targets.cpu().numpy())
    whole = _is_whole(edges.rows.cpu().numpy(), slots, len(source.nodes) * source.outlets, len(rows))
    return replace(edges, targets=torch.from_numpy(slots).to(edges.targets.device), passes_through=whole)


def _is_whole(rows: np.ndarray, targets: np.ndarray, num_rows: int, num_targets: int) -> bool:
    """Do edges bring each row to the target of the same number?"""
    every = np.arange(num_rows)
    return num_rows == num_targets and np.array_equal(rows, every) and np.array_equal(targets, every)


def unless_all(rows: np.ndarray, count: int, device: torch.device) -> Tensor | None:
    """Indices into ``count`` rows, or None if they are all of these."""
    return None if len(rows) == count else torch.from_numpy(rows).to(device)


def schedule(
    graph: MixGraph, rack: Rack, method: SequenceMethod | None = None, recursions_in_time: bool = False
) -> Plan:
    """Plan the rendering of a graph (or batch of graphs).

    Args:
        graph: a valid graph; see :func:`graphmix.graph.validation`.
        rack: the processors.
        method: how to order the types; a beam search by default.
        recursions_in_time: recursive filters work on samples only, exactly.

    Raises:
        GraphError: the rack lacks a type of the graph, or has it with other ports or parameters.
    """
    _check_rack(graph, rack)
    node_type = graph.node_type.cpu().numpy()
    edges = graph.edge_index.cpu().numpy()
    sequence = find_sequence(node_type, edges, method or Beam(), graph.describe)
    order = [node for _, nodes in sequence.stages for node in nodes]
    domains = choose_domains(graph, rack, order, recursions_in_time)
    stages = _order_nodes(_split(sequence, domains.fft_groups, graph), edges)
    inputs = _add_edges(graph, stages, domains.cut)
    rows = graph.rows().cpu()
    result = []
    for (kind, nodes), incoming in zip(stages, inputs, strict=True):
        index, fft_group = torch.from_numpy(nodes), int(domains.fft_groups[nodes[0]])
        ports = max(1, len(kind.inlets)), len(kind.outlets)
        result.append(Stage(kind.name, index, rows[index], *ports, incoming, None if fft_group < 0 else fft_group))
    return Plan(tuple(result), domains.reaches, domains.taps, domains.margin, sequence)


def _check_rack(graph: MixGraph, rack: Rack) -> None:
    """Does the rack hold the types that the graph uses, as the graph knows them, at its rate?"""
    if graph.sample_rate != rack.sample_rate:
        raise GraphError(
            f"the graph is made for {graph.sample_rate} Hz and the rack for {rack.sample_rate} Hz; build both at one "
            "rate."
        )
    for index in graph.node_type.unique().tolist():
        kind = graph.types[index]
        if not kind.is_processor:
            continue
        own = rack[kind.name].node_type
        if _face(own) != _face(kind):
            raise GraphError(
                f"the graph's {kind.name!r} has {_face(kind)} and the rack's has {_face(own)}; "
                "render it with the rack that it was made for."
            )


def _face(kind: NodeType) -> str:
    """Ports and parameters, in words."""
    parameters = ", ".join(f"{p.name} [{p.size}]" for p in kind.parameters) or "no parameters"
    return f"inlets {', '.join(kind.inlets)}; outlets {', '.join(kind.outlets)}; {parameters}"


def _split(sequence: TypeSequence, fft_groups: np.ndarray, graph: MixGraph) -> list[tuple[NodeType, np.ndarray]]:
    """The nodes of each stage by domain and FFT length; they do not depend on each other."""
    return [
        (graph.types[stage.type], nodes[fft_groups[nodes] == fft_group])
        for stage in sequence.stages
        for nodes in (np.asarray(stage.nodes),)
        for fft_group in np.unique(fft_groups[nodes])
    ]


def _order_nodes(stages: Sequence[tuple[NodeType, np.ndarray]], edges: np.ndarray) -> list[tuple[NodeType, np.ndarray]]:
    """Sort the nodes of each stage by where their first input lies, so that reading becomes passing through."""
    place: dict[int, tuple[int, int]] = {}
    first: dict[int, list[int]] = {}
    for source, target in edges.T.tolist():
        first.setdefault(target, []).append(source)
    result = []
    for i, (kind, nodes) in enumerate(stages):
        key = {n: min((place[s] for s in first.get(n, [])), default=(-1, -1)) for n in nodes.tolist()}
        ordered = nodes if kind.name in ("in", "out") else np.array(sorted(nodes.tolist(), key=lambda n: (key[n], n)))
        place.update({n: (i, row) for row, n in enumerate(ordered.tolist())})
        result.append((kind, ordered.astype(np.int64)))
    return result


def _add_edges(
    graph: MixGraph, stages: Sequence[tuple[NodeType, np.ndarray]], cut: np.ndarray
) -> list[tuple[StageEdges, ...]]:
    """The edges into each stage, by sending stage and by whether they are cut."""
    edges, ports = graph.edge_index.cpu().numpy(), graph.edge_port.cpu().numpy()
    stage_of, row_of = (np.zeros(graph.node_type.numel(), dtype=np.int64) for _ in range(2))
    for i, (_, nodes) in enumerate(stages):
        stage_of[nodes], row_of[nodes] = i, np.arange(len(nodes))
    inlets = np.array([max(1, len(kind.inlets)) for kind, _ in stages], dtype=np.int64)
    outlets = np.array([len(kind.outlets) for kind, _ in stages], dtype=np.int64)
    (senders, receivers), (source_rows, target_rows) = stage_of[edges], row_of[edges]
    rows, targets = source_rows * outlets[senders] + ports[:, 0], target_rows * inlets[receivers] + ports[:, 1]
    order = np.lexsort((rows, targets, cut, senders, receivers))
    result: list[tuple[StageEdges, ...]] = [() for _ in stages]
    ways = np.stack([receivers, senders, cut])[:, order]
    for own in np.split(order, np.flatnonzero((ways[:, 1:] != ways[:, :-1]).any(0)) + 1) if len(order) else []:
        source, target = int(senders[own[0]]), int(receivers[own[0]])
        sizes = len(stages[source][1]) * int(outlets[source]), len(stages[target][1]) * int(inlets[target])
        whole = _is_whole(rows[own], targets[own], *sizes)
        ends = torch.from_numpy(rows[own]), torch.from_numpy(targets[own])
        result[target] += (StageEdges(source, *ends, whole, bool(cut[own[0]])),)
    return result
