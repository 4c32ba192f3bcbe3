"""What a graph does, in an engineer's units: for each track and each subgroup its chain of processors.

A *chain* begins at an input, at a mix or wherever edges branch or meet, and goes on for as long as one edge leads
from one processor to the next. Every node is in exactly one chain, so that any graph can be shown. What is said of
each processor is in :mod:`graphmix.graph.engineering`. How many dB a compressor or gate takes off depends on the song:
mining measures it (:mod:`graphmix.search.reductions`) and keeps it beside the graph, in ``metrics.json``.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from rich.table import Table
from rich.text import Text

from graphmix.graph.engineering import describe_settings
from graphmix.graph.mixgraph import MixGraph
from graphmix.spec import NodeType
from graphmix.text import natural_key


class Reduction(NamedTuple):
    """How many dB a compressor or gate takes off: on average while its input sounds, and at most."""

    mean_db: float
    most_db: float


Reductions = Mapping[int, Reduction]
"""By number of the node."""


@dataclass(frozen=True)
class ProcessorRow:
    """One processor.

    Attributes:
        node: its index in the graph.
        type: its type.
        settings: as text.
        wet: dry/wet weight.
        numbers: the settings as JSON values.
        folded: whether the settings say what the weight does.
    """

    node: int
    type: NodeType
    settings: str
    wet: float
    numbers: Mapping[str, Any] = field(default_factory=dict)
    folded: bool = False


@dataclass(frozen=True)
class ChainRow:
    """A chain of processors.

    Attributes:
        node: index of its first node: the input, mix, output or first processor.
        kind: ``"track"``, ``"subgroup"``, ``"output"`` or ``"other"``, a chain that begins at a processor.
        label: name of the input, mix, output or first processor.
        inputs: what leads into its first node.
        processors: in the order of the signal; empty if none.
        outputs: where its last node leads.
    """

    node: int
    kind: str
    label: str
    inputs: tuple[str, ...]
    processors: tuple[ProcessorRow, ...]
    outputs: tuple[str, ...]


def describe_graph(graph: MixGraph, reductions: Reductions | None = None) -> list[ChainRow]:
    """The chains of a graph: tracks in the order of the song, subgroups, others, outputs.

    The song's order is that of ``tracks`` in the graph's provenance; without it the natural order of the names, which
    is that of a song whose description gives none.

    Args:
        graph: any graph.
        reductions: what compressors and gates take off, where it is known.
    """
    n = graph.node_type.numel()
    kinds = [graph.types[index] for index in graph.node_type.tolist()]
    before: list[list[str]] = [[] for _ in range(n)]
    after: list[list[str]] = [[] for _ in range(n)]
    successor: dict[int, int] = {}
    labels = _labels(graph, kinds)
    edges = graph.edges()
    for source, target, outlet, inlet in edges:
        a, b = kinds[source], kinds[target]
        before[target].append(labels[source] + (f".{a.outlets[outlet]}" if len(a.outlets) > 1 else ""))
        after[source].append(labels[target] + (f".{b.inlets[inlet]}" if len(b.inlets) > 1 else ""))
    for source, target, _, _ in edges:
        if len(after[source]) == 1 and len(before[target]) == 1 and kinds[target].is_processor:
            successor[source] = target
    inner, rows = set(successor.values()), graph.rows().tolist()
    order = {"track": 0, "subgroup": 1, "other": 2, "output": 3}
    chains = []
    for start in range(n):
        if start in inner:
            continue
        nodes = [start]
        while nodes[-1] in successor:
            nodes.append(successor[nodes[-1]])
        own = [node for node in nodes if kinds[node].is_processor]
        processors = [_processor_row(graph, node, rows[node], (reductions or {}).get(node)) for node in own]
        kind = {"in": "track", "mix": "subgroup", "out": "output"}.get(kinds[start].name, "other")
        ends = tuple(before[start]), tuple(processors), tuple(after[nodes[-1]])
        chains.append(ChainRow(start, kind, labels[start], *ends))
    place = {name: i for i, name in enumerate(_tracks(graph))}

    def key(chain: ChainRow) -> tuple[Any, ...]:
        if chain.kind != "track":
            return order[chain.kind], chain.node
        return order[chain.kind], place.get(chain.label, len(place)), *natural_key(chain.label)

    return sorted(chains, key=key)


def _tracks(graph: MixGraph) -> list[str]:
    """Names of the song's tracks in its order, where the graph has them."""
    tracks = graph.provenance.get("tracks")
    return [name for name in tracks if isinstance(name, str)] if isinstance(tracks, list) else []


def as_plain(graph: MixGraph, reductions: Reductions | None = None) -> dict[str, Any]:
    """:func:`describe_graph` as JSON values."""
    chains = []
    for chain in describe_graph(graph, reductions):
        plain = {key: value for key, value in asdict(chain).items() if key != "processors"}
        plain["processors"] = [
            {"node": row.node, "type": row.type.name, "settings": row.settings, "wet": row.wet, **row.numbers}
            for row in chain.processors
        ]
        chains.append(plain)
    return {"sample_rate": graph.sample_rate, "provenance": dict(graph.provenance), "chains": chains}


def as_table(graph: MixGraph, reductions: Reductions | None = None) -> Table:
    """:func:`describe_graph` as a table for the terminal."""
    table = Table(title=_title(graph))
    table.add_column("node", justify="right", no_wrap=True)
    table.add_column("chain", overflow="fold")
    table.add_column("processor", no_wrap=True)
    table.add_column("settings", overflow="fold")
    table.add_column("wet", justify="right", no_wrap=True)
    for chain in describe_graph(graph, reductions):
        heading = Text(f"{chain.label} ({chain.kind})" if chain.kind != "output" else chain.label, style="bold")
        where = f"from {', '.join(chain.inputs)}" if chain.inputs else ""
        if chain.outputs:
            where += f"{'; ' if where else ''}to {', '.join(chain.outputs)}"
        number = "" if chain.kind == "other" else str(chain.node)
        table.add_row(number, heading, "", Text(where, style="dim"), "")
        for row in chain.processors:
            weight = "" if row.folded else f"{100 * row.wet:.3g} %"
            table.add_row(str(row.node), "", Text(row.type.label), Text(row.settings), weight)
        table.add_section()
    return table


def _title(graph: MixGraph) -> str:
    counts = [(graph.nodes_of(t.name).numel(), t.name) for t in graph.types.types]
    nodes = ", ".join(f"{count} {name}" for count, name in counts if count)
    edges = graph.edge_index.size(1)
    return f"{graph.node_type.numel()} nodes ({nodes}), {edges} edges, {graph.sample_rate} Hz"


def _labels(graph: MixGraph, kinds: list[NodeType]) -> list[str]:
    return [name or f"{kind.name} {node}" for node, (name, kind) in enumerate(zip(graph.names, kinds, strict=True))]


def _processor_row(graph: MixGraph, node: int, row: int, reduction: Reduction | None) -> ProcessorRow:
    node_type = graph.types[int(graph.node_type[node])]
    stored = graph.params[node_type.name][row].detach().double().cpu().numpy()
    values = {p.name: stored[node_type.columns(p.name)] for p in node_type.parameters}
    wet = float(graph.wet[node])
    found = describe_settings(node_type, values, graph.sample_rate, wet)
    text, numbers = found.text, dict(found.numbers)
    if reduction is not None:
        text += f"; takes off {reduction.mean_db:.1f} dB on average, {reduction.most_db:.1f} dB at most"
        numbers |= {"takes_off_mean_db": reduction.mean_db, "takes_off_most_db": reduction.most_db}
    return ProcessorRow(node, node_type, text, wet, numbers, found.folded)
