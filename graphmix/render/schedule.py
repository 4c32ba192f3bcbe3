"""From a graph to a plan: which nodes are rendered together, in which order and domain, and from which cables.

A plan is frozen, holds no audio and prints itself. It depends on the graph's structure and on what the rack
declares of its processors, not on parameters. Section C of the pruning paper, with three additions: ports, domains
and FFT lengths.

Domains. LTI processors work on spectra, general ones on samples, all other nodes (mixes, gains, imagers) on
either. A signal changes domain only where a cable crosses. Signals live on an unbounded time axis: between two
general processors nothing is cut, and the FFT of each *island* of connected spectral stages is long enough for
all responses in a row, so that the samples of the segment equal linear convolution.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from graphmix.dsp.fft import good_length
from graphmix.errors import GraphError
from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.base import LTIProcessor, MatrixProcessor, Processor
from graphmix.processors.rack import Rack
from graphmix.render.sequence import Beam, SequenceMethod, TypeSequence, find_sequence
from graphmix.spec import NodeType


@dataclass(frozen=True)
class Cables:
    """All cables from one stage into another.

    Args:
        source: index of the stage that sends.
        rows: rows of its output that are read, [edges].
        targets: (node, inlet) rows of the receiving stage, in rising order, [edges].
        passes_through: the output as a whole *is* the input; nothing needs to be copied.
    """

    source: int
    rows: Tensor
    targets: Tensor
    passes_through: bool


@dataclass(frozen=True)
class Stage:
    """Nodes of one type that are rendered at once.

    Args:
        kind: name of the type.
        nodes: their indices in the graph, [nodes].
        rows: their rows in ``params[kind]``, [nodes].
        inlets: ports in.
        outlets: ports out.
        inputs: cables by sending stage.
        island: number of the island whose FFT length the stage uses, or None in the time domain.
    """

    kind: str
    nodes: Tensor
    rows: Tensor
    inlets: int
    outlets: int
    inputs: tuple[Cables, ...]
    island: int | None


@dataclass(frozen=True)
class Plan:
    """A schedule ready to render; see :func:`schedule`.

    Args:
        stages: in order.
        reaches: for each island how far its responses reach in a row, in samples.
        taps: for each island the length of its longest response, which the FFT has to hold.
        sequence: how the order was found and how good it is.
    """

    stages: tuple[Stage, ...]
    reaches: tuple[int, ...]
    taps: tuple[int, ...]
    sequence: TypeSequence

    def n_fft(self, island: int, samples: int) -> int:
        """FFT length of an island for a segment of so many samples."""
        return good_length(max(samples + self.reaches[island], self.taps[island]))

    def describe(self, samples: int) -> str:
        """The plan as a table: stage, nodes, domain, transforms and bytes for a segment of so many samples."""
        lines = [f"{'stage':>5}  {'type':<22}{'nodes':>6}  {'domain':<18}{'transforms':>10}{'MB':>9}"]
        transforms, total = 0, 0.0
        for i, stage in enumerate(self.stages):
            crossing = self._crossing(stage)
            rows = len(stage.nodes) * stage.outlets * 2
            if stage.island is None:
                domain, size = "time", 4 * samples * rows
            else:
                n_fft = self.n_fft(stage.island, samples)
                domain, size = f"spectrum {n_fft}", 8 * (n_fft // 2 + 1) * rows
            transforms, total = transforms + crossing, total + size / 1e6
            lines.append(f"{i:>5}  {stage.kind:<22}{len(stage.nodes):>6}  {domain:<18}{crossing:>10}{size / 1e6:>9.1f}")
        found = "optimal" if self.sequence.optimal else f"at least {self.sequence.lower_bound} are needed"
        lines.append(f"{len(self.stages)} stages ({found}), {transforms} transforms, {total:.1f} MB of signals")
        return "\n".join(lines)

    def _crossing(self, stage: Stage) -> int:
        """Transforms of signals (left and right) at the inputs of a stage."""
        crossing = [c for c in stage.inputs if self.stages[c.source].island != stage.island]
        rows = {int(t) for c in crossing for t in c.targets}
        return 2 * len(rows)

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
                tuple(Cables(c.source, c.rows.to(device), c.targets.to(device), c.passes_through) for c in s.inputs),
                s.island,
            )
            for s in self.stages
        )
        return Plan(moved, self.reaches, self.taps, self.sequence)


def schedule(graph: MixGraph, rack: Rack, method: SequenceMethod | None = None) -> Plan:
    """Plan the rendering of a graph (or batch of graphs).

    Args:
        graph: a valid graph; see :func:`graphmix.graph.validate`.
        rack: the processors.
        method: how to order the types; a beam search by default.

    Raises:
        GraphError: the rack lacks a type of the graph, or has it with other ports or parameters.
    """
    _check_rack(graph, rack)
    node_type = graph.node_type.cpu().numpy()
    edges = graph.edge_index.cpu().numpy()
    ports = graph.edge_port.cpu().numpy()
    sequence = find_sequence(node_type, edges, method or Beam())
    stages = _order_nodes([(graph.types[kind].name, np.asarray(nodes)) for kind, nodes in sequence.stages], edges)
    stage_of, row_of = np.zeros(len(node_type), dtype=np.int64), np.zeros(len(node_type), dtype=np.int64)
    for i, (_, nodes) in enumerate(stages):
        stage_of[nodes], row_of[nodes] = i, np.arange(len(nodes))
    spectral = _choose_domains([name for name, _ in stages], stage_of, edges, rack)
    islands, reaches, taps = _islands(stages, spectral, stage_of, edges, rack)
    rows = graph.rows().cpu()
    result = []
    for i, (name, nodes) in enumerate(stages):
        node_kind = graph.types.by_letter(name)
        mine = np.flatnonzero(stage_of[edges[1]] == i)
        inputs = _cables(mine, edges, ports, stage_of, row_of, stages, graph, len(node_kind.inlets))
        index = torch.from_numpy(nodes)
        result.append(
            Stage(
                name,
                index,
                rows[index],
                max(1, len(node_kind.inlets)),
                len(node_kind.outlets),
                inputs,
                islands[i],
            )
        )
    return Plan(tuple(result), reaches, taps, sequence)


def _check_rack(graph: MixGraph, rack: Rack) -> None:
    """Does the rack hold the types that the graph uses, as the graph knows them?"""
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


def _order_nodes(stages: Sequence[tuple[str, np.ndarray]], edges: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Sort the nodes of each stage by where their first input lies, so that reading becomes passing through."""
    place: dict[int, tuple[int, int]] = {}
    first: dict[int, list[int]] = {}
    for source, target in edges.T.tolist():
        first.setdefault(target, []).append(source)
    result = []
    for i, (name, nodes) in enumerate(stages):
        key = {n: min((place[s] for s in first.get(n, [])), default=(-1, -1)) for n in nodes.tolist()}
        ordered = nodes if name in ("in", "out") else np.array(sorted(nodes.tolist(), key=lambda n: (key[n], n)))
        place.update({n: (i, row) for row, n in enumerate(ordered.tolist())})
        result.append((name, ordered.astype(np.int64)))
    return result


def _choose_domains(kinds: Sequence[str], stage_of: np.ndarray, edges: np.ndarray, rack: Rack) -> list[bool]:
    """True for stages that work on spectra: LTI ones, and free ones that read a spectrum."""
    sources: list[set[int]] = [set() for _ in kinds]
    for source, target in zip(stage_of[edges[0]].tolist(), stage_of[edges[1]].tolist(), strict=True):
        sources[target].add(source)
    spectral: list[bool] = []
    for i, kind in enumerate(kinds):
        processor = rack.get(kind)
        if isinstance(processor, LTIProcessor):
            spectral.append(True)
        elif kind == "in" or (isinstance(processor, Processor) and not isinstance(processor, MatrixProcessor)):
            spectral.append(False)
        else:
            spectral.append(any(spectral[s] for s in sources[i]))
    return spectral


def _islands(
    stages: Sequence[tuple[str, np.ndarray]],
    spectral: Sequence[bool],
    stage_of: np.ndarray,
    edges: np.ndarray,
    rack: Rack,
) -> tuple[list[int | None], tuple[int, ...], tuple[int, ...]]:
    """Group spectral stages that pass spectra on; how far each group's responses reach, and the longest response."""
    parent = list(range(len(stages)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    before = np.zeros(len(stage_of), dtype=np.int64)
    after = np.zeros(len(stage_of), dtype=np.int64)
    incoming: dict[int, list[int]] = {}
    for source, target in edges.T.tolist():
        incoming.setdefault(target, []).append(source)
    for i, (kind, nodes) in enumerate(stages):
        if not spectral[i]:
            continue
        processor = rack.get(kind)
        extent = processor.extent if isinstance(processor, LTIProcessor) else (0, 0)
        for node in nodes.tolist():
            previous = [s for s in incoming.get(node, []) if spectral[stage_of[s]]]
            before[node] = extent[0] + max((before[s] for s in previous), default=0)
            after[node] = extent[1] + max((after[s] for s in previous), default=0)
            for s in previous:
                parent[root(int(stage_of[s]))] = root(i)
    reach: dict[int, int] = {}
    taps: dict[int, int] = {}
    for i, (kind, nodes) in enumerate(stages):
        if spectral[i]:
            processor = rack.get(kind)
            longest = int(max(before[nodes].max(), after[nodes].max()))
            reach[root(i)] = max(reach.get(root(i), 0), longest)
            own = sum(processor.extent) + 1 if isinstance(processor, LTIProcessor) else 1
            taps[root(i)] = max(taps.get(root(i), 1), own)
    number = {r: j for j, r in enumerate(reach)}
    islands = [number[root(i)] if spectral[i] else None for i in range(len(stages))]
    return islands, tuple(reach.values()), tuple(taps.values())


def _cables(
    mine: np.ndarray,
    edges: np.ndarray,
    ports: np.ndarray,
    stage_of: np.ndarray,
    row_of: np.ndarray,
    stages: Sequence[tuple[str, np.ndarray]],
    graph: MixGraph,
    inlets: int,
) -> tuple[Cables, ...]:
    """The cables ``mine`` (indices of edges) into one stage, by sending stage."""
    result = []
    if not len(mine):
        return ()
    target_stage = int(stage_of[edges[1, mine[0]]])
    num_targets = len(stages[target_stage][1]) * max(1, inlets)
    for source in np.unique(stage_of[edges[0, mine]]).tolist():
        own = mine[stage_of[edges[0, mine]] == source]
        outlets = len(graph.types.by_letter(stages[source][0]).outlets)
        rows = row_of[edges[0, own]] * outlets + ports[own, 0]
        targets = row_of[edges[1, own]] * max(1, inlets) + ports[own, 1]
        order = np.lexsort((rows, targets))
        rows, targets = rows[order], targets[order]
        num_rows = len(stages[source][1]) * outlets
        every = np.arange(num_rows)
        whole = num_rows == num_targets and np.array_equal(rows, every) and np.array_equal(targets, every)
        result.append(Cables(source, torch.from_numpy(rows), torch.from_numpy(targets), whole))
    return tuple(result)
