"""Which moves to try: drawn at random, where there is most to gain and of each kind some.

A chain is drawn in proportion to the root of the share that its tracks have of what sounds, so that a subgroup and the
chain behind the sum come up more often than a track, and a loud track more often than a soft one. Then a kind of move
is drawn, and its place and type, evenly. All follows from a seed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from graphmix.graph.sketch import Part, Sketch
from graphmix.processors.base import Processor
from graphmix.rewrite.commuting import Kind, commute
from graphmix.search.moves import (
    Move,
    Splice,
    gather,
    insert,
    merge,
    places_of,
    scatter,
    shift,
    split,
    substitute,
    swap,
)
from graphmix.search.moves_settings import converted_part, halves_of, mean_part, merged_part, start_part

KINDS: Mapping[str, float] = {
    "swap": 3.0, "shift": 1.0, "replace": 3.0, "insert": 3.0, "merge": 1.0, "split": 0.5, "gather": 1.0, "scatter": 0.5,
}  # fmt: skip
"""Kind of move -> how often it is drawn, relative to the others."""
MOST_TRACKS = 0.6
"""Share of a bus's tracks that have a processor of one type, from which it may be moved to the bus."""
MOST_SCATTERED = 4
"""Tracks of a bus at the most to which a processor is moved from it."""
_TRIES = 30
"""Draws for each move that is wanted: some find nothing, and some what was drawn before."""


@dataclass(frozen=True)
class Chain:
    """A place for processors.

    Args:
        nodes: ids of its processors, in order.
        where: it is, in words.
        weight: how often it is drawn, relative to the others.
        head: id of what leads to it alone, an input or a bus; None behind the sum of several.
        end: id of what it leads to.
        tracks: names of the inputs that pass it.
    """

    nodes: tuple[int, ...]
    where: str
    weight: float
    head: int | None
    end: int
    tracks: frozenset[str]


def find_chains(sketch: Sketch, exposure: Mapping[str, float]) -> list[Chain]:
    """The chains of a graph, also the empty ones behind inputs and buses.

    Args:
        sketch: of the graph.
        exposure: share of each track in what sounds.
    """
    before: dict[int, list[int]] = {node: [] for node in sketch.parts}
    after: dict[int, list[int]] = {node: [] for node in sketch.parts}
    for source, target, _, inlet in sketch.edges:
        after[source].append(target)
        if inlet == 0:
            before[target].append(source)
    found = [(nodes, nodes[0], nodes[-1]) for nodes in sketch.chains()]
    heads = [node for node, part in sketch.parts.items() if part.type.name in ("in", "mix")]
    found += [((), node, node) for node in heads if _is_bare(sketch, after[node], before)]
    chains = []
    for nodes, first, last in found:
        tracks = frozenset(sketch.parts[node].name for node in _inputs_of(sketch, first, before))
        if not tracks or not after[last]:
            continue
        sources = before[first] if nodes else []
        head = first if not nodes else sources[0] if len(sources) == 1 and sources[0] in heads else None
        weight = sum(exposure.get(track, 0.0) for track in tracks) ** 0.5
        chains.append(Chain(nodes, _where(sketch, head, tracks), weight, head, after[last][0], tracks))
    return chains


def _is_bare(sketch: Sketch, after: Sequence[int], before: Mapping[int, Sequence[int]]) -> bool:
    """Whether what leads to these has no chain of its own."""
    return bool(after) and not any(sketch.parts[n].type.is_processor and len(before[n]) == 1 for n in after)


def _inputs_of(sketch: Sketch, node: int, before: Mapping[int, Sequence[int]]) -> set[int]:
    """The inputs whose sound comes to a node."""
    seen, waiting = {node}, [node]
    while waiting:
        for source in before[waiting.pop()]:
            if source not in seen:
                seen.add(source)
                waiting.append(source)
    return {n for n in seen if sketch.parts[n].type.name == "in"}


def _where(sketch: Sketch, head: int | None, tracks: frozenset[str]) -> str:
    name = sketch.parts[head].name if head is not None else ""
    if name:
        return name
    return next(iter(tracks)) if len(tracks) == 1 else "the sum"


def _described(part: Part) -> Kind:
    """Type and values of a node."""
    return part.type.name, {p.name: part.values[part.type.columns(p.name)] for p in part.type.parameters}


class Proposals:
    """Draws moves on one graph.

    Args:
        sketch: of the graph.
        processors: that may be brought in, by type.
        movable: names of the types that may be moved, replaced and merged.
        exposure: share of each track in what sounds.
        random: draws.
    """

    def __init__(
        self,
        sketch: Sketch,
        processors: Mapping[str, Processor],
        movable: Mapping[str, Processor],
        exposure: Mapping[str, float],
        random: Random,
    ) -> None:
        self.sketch, self.processors, self.movable, self.random = sketch, processors, movable, random
        self.chains = find_chains(sketch, exposure)
        self._draw: dict[str, Callable[[Chain], Move | None]] = {
            "swap": self._swap, "shift": self._shift, "replace": self._replace, "insert": self._insert,
            "merge": self._merge, "split": self._split, "gather": self._gather, "scatter": self._scatter,
        }  # fmt: skip

    def draw(self, count: int) -> list[Move]:
        """Up to so many moves that differ."""
        moves: dict[object, Move] = {}
        weights = [max(chain.weight, 1e-6) for chain in self.chains]
        for _ in range(_TRIES * count if self.chains else 0):
            if len(moves) >= count:
                break
            (chain,) = self.random.choices(self.chains, weights)
            (kind,) = self.random.choices(list(KINDS), list(KINDS.values()))
            move = self._draw[kind](chain)
            if move is not None:
                moves.setdefault(move.key, replace(move, tracks=tuple(sorted(chain.tracks))))
        return list(moves.values())

    def _kind(self, node: int) -> str:
        return self.sketch.parts[node].type.name

    def _movable(self, chain: Chain) -> list[int]:
        """Places of a chain whose processors may be moved."""
        return [place for place, node in enumerate(chain.nodes) if self._kind(node) in self.movable]

    def _swap(self, chain: Chain) -> Move | None:
        able = set(self._movable(chain))
        pairs = [p for p in able if p + 1 in able and self._matters(chain.nodes[p], chain.nodes[p + 1])]
        return swap(self.sketch, chain.nodes, self.random.choice(sorted(pairs)), chain.where) if pairs else None

    def _matters(self, one: int, other: int) -> bool:
        """Whether the order of two processors does: they are of different types, and do not commute."""
        first, second = _described(self.sketch.parts[one]), _described(self.sketch.parts[other])
        return first[0] != second[0] and not commute(first, second, levels=True)

    def _shift(self, chain: Chain) -> Move | None:
        able, size = self._movable(chain), len(chain.nodes)
        if not able:
            return None
        place = self.random.choice(able)
        low = next((p + 1 for p in range(place - 1, -1, -1) if not self._is_simple(chain.nodes[p])), 0)
        high = next((p for p in range(place + 1, size) if not self._is_simple(chain.nodes[p])), size)
        others = [to for to in range(low, high) if abs(to - place) > 1]
        return shift(self.sketch, chain.nodes, place, self.random.choice(others), chain.where) if others else None

    def _is_simple(self, node: int) -> bool:
        """Whether others may pass it."""
        kind = self.sketch.parts[node].type
        return len(kind.inlets) == 1 and len(kind.outlets) == 1

    def _replace(self, chain: Chain) -> Move | None:
        able = self._movable(chain)
        if not able:
            return None
        node = chain.nodes[self.random.choice(able)]
        others = sorted(name for name in self.processors if name != self._kind(node))
        if not others:
            return None
        processor = self.processors[self.random.choice(others)]
        part = converted_part(self.sketch.parts[node], processor)
        chosen = start_part(processor, self.random) if part is None else part
        return substitute(self.sketch, node, chosen, chain.where, fresh=part is None)

    def _insert(self, chain: Chain) -> Move | None:
        places = list(places_of(self.sketch, chain.nodes)) if chain.nodes else [Splice(nodes=(-1,), behind=chain.head)]
        splice = self.random.choice(places)
        beside = {self._kind(node) for node in self._beside(chain, splice)}
        others = sorted(name for name in self.processors if name not in beside)
        if not others:
            return None
        return insert(splice, start_part(self.processors[self.random.choice(others)], self.random), chain.where)

    @staticmethod
    def _beside(chain: Chain, splice: Splice) -> list[int]:
        """Neighbours of what is inserted."""
        if splice.before is not None:
            return [splice.before]
        if splice.behind not in chain.nodes:
            return []
        place = chain.nodes.index(splice.behind)
        return list(chain.nodes[place : place + 2])

    def _merge(self, chain: Chain) -> Move | None:
        able = set(self._movable(chain))
        pairs = [
            p for p in sorted(able) if p + 1 in able and self._kind(chain.nodes[p]) == self._kind(chain.nodes[p + 1])
        ]
        if not pairs:
            return None
        place = self.random.choice(pairs)
        pair = chain.nodes[place : place + 2]
        one, other = (self.sketch.parts[node] for node in pair)
        return merge(self.sketch, pair, merged_part(one, other, self.movable[one.type.name]), chain.where)

    def _split(self, chain: Chain) -> Move | None:
        able = self._movable(chain)
        if not able:
            return None
        node = chain.nodes[self.random.choice(able)]
        halves = halves_of(self.sketch.parts[node], self.movable[self._kind(node)])
        return None if halves is None else split(self.sketch, node, halves, chain.where)

    def _members(self, bus: Chain) -> list[Chain]:
        """The chains that lead to a bus."""
        return [chain for chain in self.chains if chain is not bus and bus.head is not None and chain.end == bus.head]

    def _gather(self, bus: Chain) -> Move | None:
        members = self._members(bus)
        if len(members) < 2:
            return None
        found: dict[str, list[int]] = {}
        for chain in members:
            for kind in sorted({self._kind(chain.nodes[place]) for place in self._movable(chain)}):
                found.setdefault(kind, []).append(next(n for n in reversed(chain.nodes) if self._kind(n) == kind))
        able = sorted(kind for kind, nodes in found.items() if len(nodes) >= max(2, MOST_TRACKS * len(members)))
        if not able:
            return None
        kind = self.random.choice(able)
        part = mean_part([self.sketch.parts[node] for node in found[kind]], self.movable[kind])
        assert bus.head is not None, "members lead to it"
        return gather(Splice(nodes=(-1,), behind=bus.head), part, found[kind], bus.where)

    def _scatter(self, bus: Chain) -> Move | None:
        members, able = self._members(bus), self._movable(bus)
        if not able or not 2 <= len(members) <= MOST_SCATTERED:
            return None
        node = bus.nodes[self.random.choice(able)]
        ends = [chain.nodes[-1] if chain.nodes else chain.head for chain in members]
        if any(end is None or len(self.sketch.parts[end].type.outlets) > 1 for end in ends):
            return None
        old = self.sketch.parts[node]
        part = Part(old.type, old.values, old.wet)
        return scatter(node, part, [Splice(behind=end) for end in ends], bus.where)
