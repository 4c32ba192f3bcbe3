r"""Two searches for the shortest type sequence: a beam, and A* with a proof.

Both walk over sets of done nodes (kept as their complement, the remaining nodes, in one Python integer).
A move runs all ready nodes of one type. The problem is NP-hard (a shortest common supersequence over a
graph), so every result comes with a lower bound that is proven, whether or not the search was finished.
What keeps the searches small, beside the contraction and bounds of :mod:`graphmix.render.bounds`:

- when all remaining nodes of a type are ready, running it is never worse than any other move: it must run
  at least once more, and once now is enough;
- a set that leaves a superset of another's remaining nodes, at no lower cost, cannot end earlier.
"""

import heapq
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import NamedTuple

from graphmix.render.bounds import PairBound, PathCounts, TypeDag, contract, find_pairs, find_type, members

#: How many sets of one length A* keeps to compare new ones with; more prune more and cost more.
DOMINANCE_MEMORY = 48
#: The width with which a beam is tried first.
NARROW = 6
#: Share of the time limit that A* gets before wider beams look for a shorter sequence.
ASTAR_SHARE = 0.6


@dataclass(frozen=True)
class Found:
    """A type sequence and the number of stages that no sequence goes below."""

    types: list[int]
    lower_bound: int

    @property
    def optimal(self) -> bool:
        """True if the sequence is proven to be as short as possible."""
        return len(self.types) == self.lower_bound


#: The types run so far, the last first: (type, what came before), None at the start.
_Path = tuple[int, "_Path"] | None


class _State(NamedTuple):
    """After some stages: what remains, which of that is ready, and h1 of what remains."""

    remaining: int
    ready: int
    bound: int
    path: _Path


class _Moves:
    """The stages that can follow each other in one graph."""

    def __init__(self, dag: TypeDag) -> None:
        self.counts = PathCounts(dag)
        self.mask = {t: find_type(dag, t) for t in self.counts.types}
        self.needs = [sum([1 << pred for pred in preds]) for preds in dag.preds]
        self.succs = [[(1 << succ, self.needs[succ]) for succ in succs] for succs in dag.find_succs()]
        ready = sum([1 << v for v, needs in enumerate(self.needs) if not needs])
        self.start = _State((1 << len(dag)) - 1, ready, self.counts.root, None)

    def expand(self, state: _State) -> Iterator[_State]:
        """Every state one stage later; a single one where a type can be finished."""
        remaining, ready = state.remaining, state.ready
        runs: list[tuple[int, int]] = []
        for t, mask in self.mask.items():
            ran = ready & mask
            if ran:
                if ran == remaining & mask:
                    runs = [(t, ran)]
                    break
                runs.append((t, ran))
        for t, ran in runs:
            after, now_ready = remaining ^ ran, ready ^ ran
            for node in members(ran):
                for bit, needs in self.succs[node]:
                    if not needs & after:
                        now_ready |= bit
            yield _State(after, now_ready, state.bound - self._lowers(t, remaining, after), (t, state.path))

    def _lowers(self, node_type: int, before: int, after: int) -> bool:
        """True if the longest path's count of this type fell by its stage (then by exactly one)."""
        for level in reversed(self.counts.at_least[node_type]):
            if before & level:
                return not after & level
        return False


def find_by_beam(dag: TypeDag, width: int, deadline: float = float("inf")) -> Found:
    """Keep the `width` best states of each length, by h1 of what remains, then by how little remains.

    A narrow beam comes first, which proves most consoles.

    Args:
        dag: the graph; it is contracted first.
        width: states to keep, 1 or more.
        deadline: on the clock of `time.perf_counter`; after it one state is kept.

    Returns:
        The best sequence found. Its lower bound is the smallest estimate of any state that was discarded,
        so a beam that overflows only with hopeless states proves its own result.
    """
    moves = _Moves(contract(dag))
    found = _beam(moves, min(width, NARROW), deadline)
    return found if found.optimal or width <= NARROW else _better(found, _beam(moves, width, deadline))


def _beam(moves: _Moves, width: int, deadline: float) -> Found:
    level, length, discarded = [moves.start], 0, float("inf")
    while level[0].remaining:
        length += 1
        if perf_counter() > deadline:
            width = 1
        children = {child.remaining: child for state in level for child in moves.expand(state)}
        ranked = sorted(children.values(), key=lambda state: (state.bound, state.remaining.bit_count()))
        level = []
        for i, state in enumerate(ranked):
            if len(level) == width:
                discarded = min(discarded, length + ranked[i].bound)
                break
            if not any(not kept.remaining & ~state.remaining for kept in level):
                level.append(state)
    return Found(_read(level[0].path), max(moves.counts.root, int(min(length, discarded))))


def find_exactly(dag: TypeDag, time_limit_s: float, width: int) -> Found:
    """The shortest sequence, or the best one and the highest lower bound by the time limit.

    Args:
        dag: the graph; it is contracted first.
        time_limit_s: seconds to spend; the last stage of a search in progress is finished beyond it.
        width: of the first beam.

    A beam comes first; then A*, which proves or improves; then wider beams while time is left.
    """
    start = perf_counter()
    deadline = start + time_limit_s
    dag = contract(dag)
    moves = _Moves(dag)
    best = _beam(moves, min(width, NARROW), deadline)
    if not best.optimal:
        best = _better(best, _beam(moves, width, deadline))
    backwards = _Moves(dag.reverse()) if not best.optimal else moves
    if not best.optimal:
        best = _better(best, _reversed(_beam(backwards, width, deadline)))
    if not best.optimal:
        best = _better(best, _search(dag, moves, best, start + ASTAR_SHARE * time_limit_s))
    while not best.optimal and perf_counter() < deadline:
        width *= 2
        best = _better(best, _beam(moves, width, deadline))
        if not best.optimal:
            best = _better(best, _reversed(_beam(backwards, width, deadline)))
    return best


def _better(one: Found, other: Found) -> Found:
    """The shorter sequence with the higher bound."""
    types = min(one.types, other.types, key=len)
    return Found(types, max(one.lower_bound, other.lower_bound))


def _reversed(found: Found) -> Found:
    return Found(found.types[::-1], found.lower_bound)


def _search(dag: TypeDag, moves: _Moves, best: Found, deadline: float) -> Found:
    """A* by length + bound, the longest first among equals; stops where `best` is proven."""
    pairs = find_pairs(dag, moves.counts) if perf_counter() < deadline else []
    seen: dict[int, int] = {moves.start.remaining: 0}
    recent: dict[int, deque[int]] = {}
    serial, lower_bound = 0, best.lower_bound
    heap = [(moves.start.bound, 0, serial, False, moves.start)]
    while heap:
        estimate, minus_length, _, refined, state = heapq.heappop(heap)
        lower_bound = max(lower_bound, estimate)
        if lower_bound >= len(best.types):
            break
        if not state.remaining:
            return Found(_read(state.path), lower_bound)
        if perf_counter() > deadline:
            return Found(best.types, lower_bound)
        length = -minus_length
        if seen[state.remaining] < length:
            continue
        if not refined:
            bound = state.bound + sum([_find_gain(pair, state.remaining) for pair in pairs])
            if length + bound > estimate:
                heapq.heappush(heap, (length + bound, minus_length, serial, True, state))
                serial -= 1
                continue
        peers = recent.setdefault(length, deque(maxlen=DOMINANCE_MEMORY))
        outside = ~state.remaining
        if any(not peer & outside for peer in peers):
            continue
        peers.append(state.remaining)
        for child in moves.expand(state):
            if seen.get(child.remaining, length + 2) > length + 1:
                seen[child.remaining] = length + 1
                child_estimate = max(estimate, length + 1 + child.bound)
                if child_estimate < len(best.types):
                    serial -= 1
                    heapq.heappush(heap, (child_estimate, minus_length - 1, serial, False, child))
    return Found(best.types, len(best.types))


def _find_gain(pair: PairBound, remaining: int) -> int:
    """By how much the pair's joint bound exceeds its two counts."""
    return pair(remaining) - sum([pair.counts.count(t, remaining) for t in pair.pair])


def _read(path: _Path) -> list[int]:
    types: list[int] = []
    while path is not None:
        types.append(path[0])
        path = path[1]
    return types[::-1]
