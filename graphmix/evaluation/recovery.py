r"""How well a graph that was found agrees with the true one.

Both are consoles over the same tracks, brought into the form of :mod:`graphmix.evaluation.chains`, so that what sounds
alike counts alike. A true and a found processor *match* if they are of one type at one place (track or bus); of several
there, the first with the first. Metrics:

- precision, recall and F1 by type: :math:`P = |M| / |F|`, :math:`R = |M| / |T|`, and the same weighted by dry/wet, so
  that a processor that hardly sounds hardly counts;
- parameter errors of matched processors in dB, ms and Hz (:mod:`graphmix.evaluation.parameter_errors`);
- graph edit distance: the fewest insertions, deletions and changes of type of nodes, and insertions and deletions of
  edges, that make one from the other, tracks, buses and output held fast; each at a cost of 1, found by networkx
  chain by chain, and an upper bound where that takes too long;
- audio loss, over a song.

:func:`full_answer` and :func:`empty_answer` are what any search has to beat: nothing pruned, and everything.
"""

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import networkx as nx

from graphmix.audio.song import Song
from graphmix.evaluation.chains import Chains, Piece, take_apart
from graphmix.evaluation.parameter_errors import parameter_errors
from graphmix.graph.consoles import mixing_console
from graphmix.graph.editing import remove_nodes
from graphmix.graph.mixgraph import MixGraph
from graphmix.spec import NodeTypes

EDIT_SECONDS = 1.0
"""For the distance of one pair of chains; after it the best that was found is taken."""


@dataclass(frozen=True)
class TypeScore:
    """Counts of one type; those of several songs add up.

    Args:
        true: processors of the true graph.
        found: of the found one.
        matched: pairs.
        true_wet: sum of the true ones' dry/wet weights.
        found_wet: of the found ones'.
        matched_true_wet: sum of those weights in the true graph that are matched.
        matched_found_wet: in the found one.
    """

    true: int = 0
    found: int = 0
    matched: int = 0
    true_wet: float = 0.0
    found_wet: float = 0.0
    matched_true_wet: float = 0.0
    matched_found_wet: float = 0.0

    def __add__(self, other: "TypeScore") -> "TypeScore":
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return TypeScore(*(a + b for a, b in pairs))

    @property
    def precision(self) -> float:
        """Share of the found that is true; not a number where nothing was found."""
        return _ratio(self.matched, self.found)

    @property
    def recall(self) -> float:
        """Share of the true that was found; not a number where there is nothing to find."""
        return _ratio(self.matched, self.true)

    @property
    def f1(self) -> float:
        """Harmonic mean of both; 0 where one is missing, not a number where there is neither true nor found."""
        return _ratio(2 * self.matched, self.true + self.found)

    @property
    def wet_precision(self) -> float:
        """As :attr:`precision`, each processor by its weight."""
        return _ratio(self.matched_found_wet, self.found_wet)

    @property
    def wet_recall(self) -> float:
        """As :attr:`recall`, each processor by its weight."""
        return _ratio(self.matched_true_wet, self.true_wet)

    @property
    def wet_f1(self) -> float:
        """Harmonic mean of both."""
        return _ratio(self.matched_true_wet + self.matched_found_wet, self.true_wet + self.found_wet)


@dataclass(frozen=True)
class Recovery:
    """Agreement of one or more found graphs with the true ones.

    Args:
        by_type: type -> counts.
        errors: (type, parameter with unit) -> absolute errors of matched processors.
        edit_distance: sum of graph edit distances.
        edit_is_exact: whether it is the least, rather than an upper bound.
        true_size: nodes and edges of the true graphs in canonical form, for a relative distance.
        graphs: how many pairs these are.
    """

    by_type: Mapping[str, TypeScore]
    errors: Mapping[tuple[str, str], tuple[float, ...]] = field(default_factory=dict)
    edit_distance: float = 0.0
    edit_is_exact: bool = True
    true_size: int = 0
    graphs: int = 1

    @property
    def all_types(self) -> TypeScore:
        """Counts over all types."""
        return sum(self.by_type.values(), TypeScore())

    @property
    def macro_f1(self) -> float:
        """Mean F1 of the types that occur in a true graph."""
        scores = [score.f1 for score in self.by_type.values() if score.true]
        return sum(scores) / len(scores) if scores else math.nan

    @property
    def relative_edit_distance(self) -> float:
        """Edit distance over nodes and edges of the true graph."""
        return _ratio(self.edit_distance, self.true_size)

    def median_errors(self) -> dict[tuple[str, str], float]:
        """Median of each kind of error."""
        return {key: _median(values) for key, values in sorted(self.errors.items()) if values}


def compare(true: MixGraph, found: MixGraph, *, edit_seconds: float = EDIT_SECONDS) -> Recovery:
    """Compare a found graph with the true one.

    Args:
        true: the console that made the mix.
        found: a console over the same tracks; its buses, if it has them, are called as the true one's.
        edit_seconds: time limit for the edit distance of each pair of chains.

    Raises:
        GraphError: one of them is no console.
    """
    wanted, got = take_apart(true), take_apart(found, like=true)
    by_type: dict[str, TypeScore] = {}
    errors: dict[tuple[str, str], list[float]] = {}
    for place in sorted({*wanted.by_place, *got.by_place}):
        one, other = wanted.by_place.get(place, ()), got.by_place.get(place, ())
        for kind in sorted({piece.kind for piece in (*one, *other)}):
            score, pairs = _match(kind, one, other)
            by_type[kind] = by_type.get(kind, TypeScore()) + score
            for true_at, found_at in pairs:
                for name, error in parameter_errors(one, true_at, other, found_at, true.sample_rate).items():
                    errors.setdefault((kind, name), []).append(error)
    distance, exact = edit_distance(wanted, got, edit_seconds)
    return Recovery(
        by_type=by_type,
        errors={key: tuple(values) for key, values in errors.items()},
        edit_distance=distance,
        edit_is_exact=exact,
        true_size=_size(wanted),
    )


def combine(recoveries: Iterable[Recovery]) -> Recovery:
    """Of several songs together: counts and distances add up, errors are pooled."""
    by_type: dict[str, TypeScore] = {}
    errors: dict[tuple[str, str], tuple[float, ...]] = {}
    distance, exact, size, graphs = 0.0, True, 0, 0
    for one in recoveries:
        for kind, score in one.by_type.items():
            by_type[kind] = by_type.get(kind, TypeScore()) + score
        for key, values in one.errors.items():
            errors[key] = (*errors.get(key, ()), *values)
        distance, size, graphs = distance + one.edit_distance, size + one.true_size, graphs + one.graphs
        exact = exact and one.edit_is_exact
    return Recovery(by_type, errors, distance, exact, size, graphs)


def audio_loss(graph: MixGraph, song: Song) -> float:
    """The audio loss of a graph over a whole song (equation 3 of the pruning paper)."""
    from graphmix.processors.rack import Rack
    from graphmix.search.objective import Objective

    return float(Objective(song, Rack.for_types(graph.types.types, graph.sample_rate)).evaluate(graph).total)


def empty_answer(true: MixGraph) -> MixGraph:
    """Everything pruned: the true graph's tracks and buses without any processor."""
    return remove_nodes(true, true.processors)


def full_answer(true: MixGraph, chain: str = "ecnsgdr") -> MixGraph:
    """Nothing pruned: every processor of the chain on every track and bus, none of them neutral."""
    subgroups: dict[str, list[str]] = {}
    for place, target in sorted(take_apart_skeleton(true)):
        if place.startswith("track "):
            subgroups.setdefault(target.removeprefix("bus "), []).append(place.removeprefix("track "))
    graph = mixing_console(NodeTypes(true.types.types, true.sample_rate), subgroups, chain)
    for kind, values in graph.params.items():
        if values.size(0):
            node_type = graph.types[graph.types.index(kind)]
            for parameter in node_type.parameters:
                values[:, node_type.columns(parameter.name)] = _audible(parameter.name, parameter.neutral)
    return graph


def take_apart_skeleton(graph: MixGraph) -> frozenset[tuple[str, str]]:
    """Where each track and bus of a console leads."""
    return take_apart(graph).skeleton


def _audible(name: str, neutral: float) -> float:
    """A value at which a processor does something."""
    return {"gain_db": 3.0, "side_db": 3.0, "ratio": 4.0}.get(name, neutral)


def _match(kind: str, true: Sequence[Piece], found: Sequence[Piece]) -> tuple[TypeScore, list[tuple[int, int]]]:
    """Counts of one type at one place, and which piece goes with which."""
    one = [at for at, piece in enumerate(true) if piece.kind == kind]
    other = [at for at, piece in enumerate(found) if piece.kind == kind]
    pairs = list(zip(one, other, strict=False))
    score = TypeScore(
        true=len(one),
        found=len(other),
        matched=len(pairs),
        true_wet=sum(true[at].wet for at in one),
        found_wet=sum(found[at].wet for at in other),
        matched_true_wet=sum(true[at].wet for at, _ in pairs),
        matched_found_wet=sum(found[at].wet for _, at in pairs),
    )
    return score, pairs


# --- edit distance


def edit_distance(true: Chains, found: Chains, seconds: float = EDIT_SECONDS) -> tuple[float, bool]:
    """Graph edit distance of two consoles taken apart -> distance, whether it is exact.

    Places are held fast and no processor is taken from one chain to another, so that the distances of chains add up. A
    chain that leads elsewhere costs two edges more, and a bus that one of them lacks a node and an edge; then the sum
    is an upper bound.
    """
    total, exact = 0.0, true.skeleton == found.skeleton
    for place in {*true.by_place, *found.by_place}:
        distance, sure = _chain_distance(true.kinds(place), found.kinds(place), seconds)
        total, exact = total + distance, exact and sure
    places = {place for place, _ in true.skeleton}, {place for place, _ in found.skeleton}
    total += 2 * len(places[0] ^ places[1])
    both = places[0] & places[1]
    total += 2 * sum(1 for pair in true.skeleton - found.skeleton if pair[0] in both)
    return total, exact


@lru_cache(maxsize=4096)
def _chain_distance(true: tuple[str, ...], found: tuple[str, ...], seconds: float) -> tuple[float, bool]:
    """Edit distance of two chains between fixed ends -> distance, whether it is exact."""
    if true == found:
        return 0.0, True
    bound = _chain_bound(true, found)
    started = time.monotonic()
    distance = nx.graph_edit_distance(
        _path(true),
        _path(found),
        node_subst_cost=_change,
        roots=("start", "start"),
        upper_bound=bound,
        timeout=seconds,
    )
    sure = time.monotonic() - started < 0.95 * seconds
    return (bound if distance is None else float(min(distance, bound))), sure


def _path(kinds: tuple[str, ...]) -> nx.DiGraph:
    graph = nx.DiGraph()
    nodes = ["start", *range(len(kinds)), "end"]
    for node, kind in zip(nodes, ("start", *kinds, "end"), strict=True):
        graph.add_node(node, kind=kind)
    nx.add_path(graph, nodes)
    return graph


def _change(one: Mapping[str, str], other: Mapping[str, str]) -> float:
    """Cost of taking one node for another; ends are only themselves."""
    if one["kind"] == other["kind"]:
        return 0.0
    return 1000.0 if {"start", "end"} & {one["kind"], other["kind"]} else 1.0


def _chain_bound(true: tuple[str, ...], found: tuple[str, ...]) -> float:
    """What it costs by the best alignment that keeps the order: an upper bound.

    Nodes: 1 for each inserted, deleted or changed. Edges: all but those between neighbours that stay neighbours.
    """
    rows, columns = ("", *true, ""), ("", *found, "")
    infinite = math.inf
    # cost so far at (i, j) with the last pair aligned (0) or not (1); each edge costs 1 on each side unless kept
    best = [[[infinite, infinite] for _ in columns] for _ in rows]
    best[0][0][0] = 0.0
    for i in range(len(rows)):
        for j in range(len(columns)):
            for state in (0, 1):
                cost = best[i][j][state]
                if cost == infinite:
                    continue
                if i + 1 < len(rows) - 1:
                    best[i + 1][j][1] = min(best[i + 1][j][1], cost + 2)
                if j + 1 < len(columns) - 1:
                    best[i][j + 1][1] = min(best[i][j + 1][1], cost + 2)
                last = (i + 1 == len(rows) - 1, j + 1 == len(columns) - 1)
                if i + 1 < len(rows) and j + 1 < len(columns) and last[0] == last[1]:
                    pair = (0.0 if rows[i + 1] == columns[j + 1] else 1.0) + (0.0 if state == 0 else 2.0)
                    best[i + 1][j + 1][0] = min(best[i + 1][j + 1][0], cost + pair)
    return best[-1][-1][0]


def _size(chains: Chains) -> int:
    """Nodes and edges: places and the output, processors, and an edge behind each place and processor."""
    processors = sum(len(pieces) for pieces in chains.by_place.values())
    places = len(chains.skeleton)
    return places + 1 + processors + places + processors


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


def _median(values: Sequence[float]) -> float:
    ranked = sorted(values)
    middle = len(ranked) // 2
    return ranked[middle] if len(ranked) % 2 else (ranked[middle - 1] + ranked[middle]) / 2
