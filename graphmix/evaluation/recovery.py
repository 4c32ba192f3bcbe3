r"""Recovery of a true graph by a found one.

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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median

from graphmix.audio.song import Song
from graphmix.evaluation.chains import Chains, Piece, take_apart
from graphmix.evaluation.edit_distance import EDIT_SECONDS, edit_distance
from graphmix.evaluation.parameter_errors import parameter_errors
from graphmix.graph.consoles import mixing_console
from graphmix.graph.editing import remove_nodes
from graphmix.graph.mixgraph import MixGraph
from graphmix.rewrite.rates import at_rate
from graphmix.spec import NodeTypes


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
        audible_distance: the same sum without what sound cannot tell apart.
        true_size: nodes and edges of the true graphs in canonical form, for a relative distance.
        graphs: how many pairs these are.
    """

    by_type: Mapping[str, TypeScore]
    errors: Mapping[tuple[str, str], tuple[float, ...]] = field(default_factory=dict)
    edit_distance: float = 0.0
    edit_is_exact: bool = True
    true_size: int = 0
    graphs: int = 1
    audible_distance: float = 0.0

    @property
    def all_types(self) -> TypeScore:
        """Counts over all types."""
        return sum(self.by_type.values(), TypeScore())

    @property
    def macro_f1(self) -> float:
        """Mean F1 of the types that occur in a true graph."""
        scores = [score.f1 for score in self.by_type.values() if score.true]
        return fmean(scores) if scores else math.nan

    @property
    def relative_edit_distance(self) -> float:
        """Edit distance over nodes and edges of the true graph."""
        return _ratio(self.edit_distance, self.true_size)

    def median_errors(self) -> dict[tuple[str, str], float]:
        """Median of each kind of error."""
        return {key: median(values) for key, values in sorted(self.errors.items()) if values}


def compare(true: MixGraph, found: MixGraph, *, edit_seconds: float = EDIT_SECONDS) -> Recovery:
    """Compare a found graph with the true one.

    Args:
        true: the console that made the mix.
        found: a console over the same tracks, at any rate; its buses, if it has them, are called as the true one's.
        edit_seconds: time limit for the edit distance of each pair of chains.

    Raises:
        GraphError: one of them is no console.
    """
    found = at_rate(found, true.sample_rate)
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
        audible_distance=edit_distance(wanted, got, edit_seconds, audible=True)[0],
        true_size=_size(wanted),
    )


def combine(recoveries: Iterable[Recovery]) -> Recovery:
    """The recovery of several songs together: counts and distances add up, errors are pooled."""
    by_type: dict[str, TypeScore] = {}
    errors: dict[tuple[str, str], tuple[float, ...]] = {}
    distance, exact, size, graphs, audible = 0.0, True, 0, 0, 0.0
    for one in recoveries:
        for kind, score in one.by_type.items():
            by_type[kind] = by_type.get(kind, TypeScore()) + score
        for key, values in one.errors.items():
            errors[key] = (*errors.get(key, ()), *values)
        distance, size, graphs = distance + one.edit_distance, size + one.true_size, graphs + one.graphs
        exact, audible = exact and one.edit_is_exact, audible + one.audible_distance
    return Recovery(by_type, errors, distance, exact, size, graphs, audible)


def audio_loss(graph: MixGraph, song: Song) -> float:
    """The audio loss of a graph over a whole song (equation 3 of the pruning paper)."""
    from graphmix.processors.rack import Rack
    from graphmix.search.objective import Objective

    return float(Objective(song, Rack.for_types(graph.types.types, graph.sample_rate)).evaluate(graph).total)


def empty_answer(true: MixGraph) -> MixGraph:
    """The true graph's tracks and buses without any processor, as if everything were pruned."""
    return remove_nodes(true, true.processors)


def full_answer(true: MixGraph, chain: str = "ecnsgdr") -> MixGraph:
    """Every processor of the chain on every track and bus, none of them neutral, as if nothing were pruned."""
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


def _size(chains: Chains) -> int:
    """Nodes and edges: places and the output, processors, and an edge behind each place and processor."""
    processors = sum(len(pieces) for pieces in chains.by_place.values())
    places = len(chains.skeleton)
    return places + 1 + processors + places + processors


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
