"""The same sound by other processors: what a search finds as what engineers have, and back.

===============  ==================================================================  ===================================
kind             what becomes what                                                   error in dB, root mean square
===============  ==================================================================  ===================================
parametric       equalizer -> parametric_eq                                          of the curve, 50 Hz to 12 kHz
zero-phase       parametric_eq, graphic_eq, octave_eq, biquad, state_variable,       of the curve; its phase is lost
                 pole_zero -> equalizer
attack-release   compressor, ballistic_compressor -> studio_compressor,              of the gain over the signal
                 noisegate, ballistic_gate -> expander
one-time         studio_compressor, ballistic_compressor -> compressor,              of the gain over the signal
                 expander, ballistic_gate -> noisegate
network          reverb -> feedback_network (and parametric_eq)                      of the decay of energy in octaves
noise            feedback_network, velvet_reverb -> reverb                           of the decay of energy in octaves
===============  ==================================================================  ===================================

How each is done, and what its error is, is written in :mod:`graphmix.rewrite.convert_equalizers`,
:mod:`graphmix.rewrite.convert_dynamics` and :mod:`graphmix.rewrite.convert_reverbs`. With the signals that pass, errors
are weighted by them and settings are fitted to them. All signals are those of the graph that is given, so that the
conversions of its nodes do not depend on each other. All is deterministic.
"""

import copy
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch

from graphmix.errors import GraphError
from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.gear import FILTERS
from graphmix.processors.rack import Rack
from graphmix.processors.recursive import RecursiveFilter
from graphmix.rewrite.conversion import Array, Given, NewNode, NotConverted, Replacement
from graphmix.rewrite.convert_dynamics import to_attack_release, to_one_time
from graphmix.rewrite.convert_equalizers import to_parametric, to_zero_phase
from graphmix.rewrite.convert_reverbs import to_network, to_noise
from graphmix.spec import STRUCTURAL, NodeType, TypeTable

SignalInto = Callable[[int], Array]
"""What comes into the first inlet of a node, [2, samples] at the graph's rate."""


@dataclass(frozen=True)
class Kind:
    """A conversion.

    Args:
        sources: types that it converts.
        targets: types that it needs.
        max_error_db: most that it may be off where nothing else is asked for.
        make: the conversion of one node.
    """

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    max_error_db: float
    make: Callable[[Given], Replacement]


_RECURSIVE = tuple(kind().node_type.name for kind in FILTERS if issubclass(kind, RecursiveFilter))
KINDS: dict[str, Kind] = {
    "parametric": Kind(("equalizer",), ("parametric_eq",), 1.0, to_parametric),
    "zero-phase": Kind(_RECURSIVE, ("equalizer",), 1.0, to_zero_phase),
    "attack-release": Kind(
        ("compressor", "noisegate", "ballistic_compressor", "ballistic_gate"),
        ("studio_compressor", "expander"),
        1.0,
        to_attack_release,
    ),
    "one-time": Kind(
        ("studio_compressor", "expander", "ballistic_compressor", "ballistic_gate"),
        ("compressor", "noisegate", "gain"),
        1.0,
        to_one_time,
    ),
    "network": Kind(("reverb",), ("feedback_network", "parametric_eq", "send", "gain"), 3.0, to_network),
    "noise": Kind(("feedback_network", "velvet_reverb"), ("reverb",), 3.0, to_noise),
}
"""By name."""
PHYSICAL = ("parametric", "attack-release", "network")
"""What a search finds as what engineers have."""


@dataclass(frozen=True)
class Row:
    """What became of one node.

    Attributes:
        node: its number in the graph that was given.
        label: its type and number.
        becomes: types of what stands for it, in a row; empty where it stays.
        error_db: see :data:`KINDS`; None where nothing was tried.
        words: how, or why not.
    """

    node: int
    label: str
    becomes: tuple[str, ...]
    error_db: float | None
    words: str


@dataclass(frozen=True)
class Converted:
    """A graph whose nodes were converted, and what became of each.

    Attributes:
        graph: the new graph.
        rows: the nodes of the types asked for, in node order.
    """

    graph: MixGraph
    rows: tuple[Row, ...]


def check_convertible(kinds: Iterable[str]) -> tuple[str, ...]:
    """Names of conversions that go together.

    Raises:
        GraphError: an unknown one, none, or two for one type.
    """
    kinds = tuple(dict.fromkeys(kinds))
    unknown = next((kind for kind in kinds if kind not in KINDS), None)
    if unknown is not None or not kinds:
        raise GraphError(f"there is no conversion {unknown or ''!r}; choose {', '.join(KINDS)}.")
    taken: dict[str, str] = {}
    for kind in kinds:
        for source in KINDS[kind].sources:
            if source in taken:
                raise GraphError(f"{taken[source]} and {kind} both convert {source}; choose one of them.")
            taken[source] = kind
    return kinds


def convert(
    graph: MixGraph,
    kinds: Iterable[str] = PHYSICAL,
    max_error: float | None = None,
    signal_into: SignalInto | None = None,
    rack: Rack | None = None,
) -> Converted:
    """The graph with nodes re-expressed by other types.

    Args:
        graph: one graph.
        kinds: which conversions, of :data:`KINDS`.
        max_error: most that a conversion may be off, in dB; a node that cannot be converted within it stays. Those of
            :data:`KINDS` by default.
        signal_into: what comes into a node of the graph, e.g. :meth:`graphmix.render.signals.Signals.into` as float64;
            without it errors are not weighted, and dynamics are fitted to bursts.
        rack: processors of the graph; graphmix's own by default. Nodes of types that it lacks stay.

    Raises:
        GraphError: a batch, unknown conversions, an error that is no positive number.

    Example:
        >>> from graphmix.graph import MixGraph
        >>> graph = MixGraph(Rack.standard(30000).types)
        >>> node = graph.add("equalizer", gain_db=-3.0)
        >>> found = convert(graph.chain(graph.add("in"), node, graph.add("out")), ["parametric"])
        >>> found.rows[0].becomes, round(found.rows[0].error_db, 1)
        (('parametric_eq',), 0.0)
    """
    kinds = check_convertible(kinds)
    if isinstance(graph.info, list):
        raise GraphError("convert graphs one by one: this is a batch; use batch.to_data_list() first.")
    if max_error is not None and not 0 < max_error < float("inf"):
        raise GraphError(f"an error of {max_error} dB cannot be asked for; give a positive number, such as 1.")
    kind_of = {source: kind for kind in kinds for source in KINDS[kind].sources}
    rack = rack or Rack.for_types([t for t in graph.types.types if t.is_processor and not t.source], graph.sample_rate)
    rows, found = [], dict[int, Replacement]()
    places = graph.rows().tolist()
    for node in range(graph.node_type.numel()):
        node_type = graph.type_of(node)
        processor = rack.get(node_type.name)
        if node_type.name not in kind_of or node_type.source or processor is None:
            continue
        kind = KINDS[kind_of[node_type.name]]
        wet, most = float(graph.wet[node]), kind.max_error_db if max_error is None else max_error
        params = graph.params[node_type.name][places[node]].detach().cpu().double()[None]
        label = f"{node_type.name} {node}"
        if wet == 0:
            rows.append(Row(node, label, (), None, "does nothing: its dry/wet weight is 0"))
            continue
        signal = None if signal_into is None else signal_into(node)
        try:
            one = kind.make(Given(processor, params, wet, signal, most))
        except NotConverted as reason:
            rows.append(Row(node, label, (), None, str(reason)))
            continue
        if one.error_db > most:
            rows.append(Row(node, label, (), one.error_db, f"stays: more than {most:g} dB off ({one.words})"))
            continue
        found[node] = one
        rows.append(Row(node, label, tuple(new.kind for new in one.nodes), one.error_db, one.words))
    needed = {new.kind for one in found.values() for new in one.nodes}
    return Converted(_rebuilt(graph, found, needed) if found else graph, tuple(rows))


def _with_types(types: TypeTable, needed: Collection[str], rate: int) -> TypeTable:
    """A table that also has the types that are needed.

    Raises:
        GraphError: a type of the graph that is called like one of them and is another.
    """
    full = {p.node_type.name: p.node_type for p in Rack.full(rate)}
    known = {t.name: t for t in types.types}
    added = []
    for name in sorted(needed):
        if name not in known:
            added.append(full[name])
        elif known[name] != full[name]:
            raise GraphError(f"the graph's {name!r} is another than graphmix's at {rate} Hz, which is needed.")
    letters = {t.letter for t in types.types if t.letter}
    added = [replace(t, letter="") if t.letter in letters else t for t in added]
    return TypeTable((*types.types, *added))


def _rebuilt(graph: MixGraph, found: dict[int, Replacement], needed: Collection[str]) -> MixGraph:
    """The graph with other nodes in the place of some."""
    grows = any(len(one.nodes) > 1 for one in found.values())
    if grows and any(graph.is_edge_attr(key) for key, _ in graph if key not in ("edge_index", "edge_port")):
        raise GraphError("a graph with further values for its edges cannot get more nodes; leave those out first.")
    types = _with_types(graph.types, needed, graph.sample_rate)
    old_rows, old_types = graph.rows().tolist(), graph.node_type.tolist()
    kinds, wets, names, origin = list[NodeType](), list[float](), list[str](), list[int]()
    values: dict[str, list[torch.Tensor]] = {t.name: [] for t in types.types if t.is_processor}
    first, last = dict[int, int](), dict[int, int]()

    def put(node: int, node_type: NodeType, row: torch.Tensor | None, wet: float, name: str) -> None:
        kinds.append(node_type)
        wets.append(wet)
        names.append(name)
        origin.append(node)
        if row is not None:
            values[node_type.name].append(row)

    for node, index in enumerate(old_types):
        first[node] = len(kinds)
        if node in found:
            for new in found[node].nodes:
                node_type = types[types.index(new.kind)]
                put(node, node_type, _row(node_type, new).to(graph.wet), new.wet, graph.names[node])
        else:
            node_type = types[index]
            row = graph.params[node_type.name][old_rows[node]] if node_type.is_processor else None
            put(node, node_type, row, float(graph.wet[node]), graph.names[node])
        last[node] = len(kinds) - 1
    edges = _edges(graph, found, first, last)
    return _assembled(graph, types, kinds, wets, names, origin, values, edges)


def _edges(
    graph: MixGraph, found: dict[int, Replacement], first: dict[int, int], last: dict[int, int]
) -> list[tuple[int, int, int, int]]:
    """The edges among new nodes: those that were, those of each row, and those that lead past it."""
    edges = []
    for source, target, outlet, inlet in graph.edges():
        edges.append((last[source], first[target], outlet, inlet))
        if target in found and found[target].past:
            edges.append((last[source], last[target] - found[target].behind, outlet, 0))
    for node, one in found.items():
        for place in range(first[node], last[node]):
            meets = one.past and place + 1 == last[node] - one.behind
            edges.append((place, place + 1, 0, int(meets)))
    return edges


def _row(node_type: NodeType, new: NewNode) -> torch.Tensor:
    """Physical values of a new node within its ranges, [width]."""
    row = node_type.neutral().double()
    for name, value in new.values.items():
        spec = next(p for p in node_type.parameters if p.name == name)
        row[node_type.columns(name)] = torch.as_tensor(spec.numbers_of(value), dtype=torch.float64)
    low, high = node_type.bounds()
    return row.clamp(low.double(), high.double())


def _assembled(
    graph: MixGraph,
    types: TypeTable,
    kinds: list[NodeType],
    wets: list[float],
    names: list[str],
    origin: list[int],
    values: dict[str, list[torch.Tensor]],
    edges: list[tuple[int, int, int, int]],
) -> MixGraph:
    result = copy.copy(graph)
    taken = torch.tensor(origin, dtype=torch.long)
    own: dict[str, Any] = {}
    for key, value in graph:
        if isinstance(value, torch.Tensor) and key not in ("node_type", "wet") and graph.is_node_attr(key):
            own[key] = value[taken]
    for key, value in own.items():
        result[key] = value
    table = torch.tensor(edges, dtype=torch.long).reshape(-1, 4)
    result.node_type = torch.tensor([types.index(t.name) for t in kinds])
    result.edge_index, result.edge_port = table[:, :2].t().contiguous(), table[:, 2:].contiguous()
    result.wet = torch.tensor(wets).to(graph.wet)
    result.params = {
        t.name: torch.stack(values[t.name]) if values[t.name] else graph.wet.new_zeros(0, t.width)
        for t in types.types
        if t.is_processor
    }
    table_of = TypeTable((*STRUCTURAL, *(t for t in types.types if t.is_processor)))
    result.info = replace(graph.info, types=table_of, names=tuple(names))
    return result
