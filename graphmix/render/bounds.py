r"""What is known about the shortest type sequence before any search: a smaller graph and lower bounds.

A sequence of types, with every stage maximal, runs node *v* at the first stage of v's type after the
stages of all its predecessors. So the sequence renders the graph exactly when it contains, as a
subsequence, the type string of every path (appendix C of the pruning paper asks for the shortest such
sequence; it is a shortest common supersequence over a graph). Two things follow, and this file holds them.

*Contraction* (:func:`contract`): nodes with equal pasts, or equal futures, are one node, and whatever
only adds subsequences of other paths can go. The same type sequences render the contracted graph.

*Lower bounds* (:class:`PathCounts`, :class:`PairBound`), which hold for any set of remaining nodes.

Conventions: nodes are in topological order; a set of nodes is a Python integer, whose bit *v* is node *v*.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class TypeDag:
    """A directed acyclic graph of typed nodes, numbered in topological order.

    Attributes:
        types: the type of each node, an integer of 0 or more.
        preds: for each node its distinct predecessors, all of smaller number.
    """

    types: list[int]
    preds: list[list[int]]

    def __len__(self) -> int:
        return len(self.types)

    @property
    def size(self) -> tuple[int, int]:
        """Number of nodes and of edges."""
        return len(self.types), sum(map(len, self.preds))

    def find_succs(self) -> list[list[int]]:
        """For each node its successors."""
        succs: list[list[int]] = [[] for _ in self.types]
        for node, preds in enumerate(self.preds):
            for pred in preds:
                succs[pred].append(node)
        return succs

    def reverse(self) -> "TypeDag":
        """The graph with every edge turned around; node *v* becomes ``len(self) - 1 - v``."""
        last = len(self.types) - 1
        succs = self.find_succs()
        return TypeDag(self.types[::-1], [[last - succ for succ in succs[last - v]] for v in range(last + 1)])


def members(nodes: int) -> Iterator[int]:
    """The nodes of a set, in rising order.

    >>> list(members(0b1101))
    [0, 2, 3]
    """
    while nodes:
        lowest = nodes & -nodes
        yield lowest.bit_length() - 1
        nodes ^= lowest


def find_type(dag: TypeDag, node_type: int) -> int:
    """The set of the nodes of a type."""
    return sum([1 << node for node, kind in enumerate(dag.types) if kind == node_type])


def contract(dag: TypeDag) -> TypeDag:
    """A smaller graph that exactly the same type sequences render.

    Args:
        dag: any typed graph.

    Returns:
        The graph after merging and dropping, on it and on its reverse, until neither changes it.

    >>> two_chains = TypeDag([0, 0, 1, 1, 2, 2], [[], [], [0], [1], [2], [3]])
    >>> contract(two_chains)
    TypeDag(types=[0, 1, 2], preds=[[], [0], [1]])
    """
    dag = _merge(_merge(dag).reverse()).reverse()
    size = (-1, -1)
    while size != dag.size:
        size = dag.size
        for _ in range(2):
            dag = _merge(_drop(dag)).reverse()
    return dag


def _merge(dag: TypeDag) -> TypeDag:
    """Make one node of all that have the same type and the same (merged) predecessors."""
    classes: dict[tuple[int, frozenset[int]], int] = {}
    class_of: list[int] = []
    for node_type, preds in zip(dag.types, dag.preds, strict=True):
        key = node_type, frozenset([class_of[pred] for pred in preds])
        class_of.append(classes.setdefault(key, len(classes)))
    return TypeDag([key[0] for key in classes], [sorted(key[1]) for key in classes])


def _drop(dag: TypeDag) -> TypeDag:
    """Drop each edge, and each last node, that another of the same target implies."""
    implied = _find_implied(dag)
    has_succ = {pred for preds in dag.preds for pred in preds}
    lasts = _find_strongest([v for v in range(len(dag)) if v not in has_succ], implied)
    preds = [_find_strongest(before, implied) for before in dag.preds]
    kept = set(lasts)
    for node in range(len(dag) - 1, -1, -1):
        if node in kept:
            kept.update(preds[node])
    number = {node: i for i, node in enumerate(sorted(kept))}
    return TypeDag([dag.types[v] for v in number], [[number[p] for p in preds[v]] for v in number])


def _find_implied(dag: TypeDag) -> list[int]:
    """For each node the set of nodes that are done whenever it is done, under every type sequence.

    They are those that its predecessors imply, and the nodes of its own type that need no more than these.
    """
    same_type: dict[int, list[tuple[int, int]]] = {}
    for node, (node_type, preds) in enumerate(zip(dag.types, dag.preds, strict=True)):
        same_type.setdefault(node_type, []).append((1 << node, sum([1 << pred for pred in preds])))
    implied: list[int] = []
    for node_type, preds in zip(dag.types, dag.preds, strict=True):
        before = 0
        for pred in preds:
            before |= implied[pred]
        missing, found = ~before, before
        for bit, needs in same_type[node_type]:
            if not needs & missing:
                found |= bit
        implied.append(found)
    return implied


def _find_strongest(nodes: list[int], implied: list[int]) -> list[int]:
    """The fewest of these nodes that imply all of them."""
    if len(nodes) < 2:
        return nodes
    kept = sum([1 << node for node in nodes])
    for node in nodes:
        if kept >> node & 1:
            kept &= ~implied[node] | 1 << node
    return list(members(kept))


class PathCounts:
    """The bound h1: for each type, how many of its nodes follow each other on one path; summed over types.

    A stage of type *t* shortens only the paths' count of *t*, and by at most one, so a search keeps the
    counts of a set up to date with one look (:meth:`step`).
    """

    def __init__(self, dag: TypeDag) -> None:
        self.types = sorted(set(dag.types))
        #: at_least[t][k]: nodes from which a path leads over more than k nodes of type t (itself included)
        self.at_least: dict[int, list[int]] = {t: [] for t in self.types}
        succs = dag.find_succs()
        counts: list[dict[int, int]] = [{}] * len(dag)
        for node in range(len(dag) - 1, -1, -1):
            count = dict(counts[succs[node][0]]) if succs[node] else {}
            for succ in succs[node][1:]:
                for t, number in counts[succ].items():
                    if number > count.get(t, 0):
                        count[t] = number
            count[dag.types[node]] = count.get(dag.types[node], 0) + 1
            counts[node] = count
        reached: dict[tuple[int, int], int] = {}
        for node, count in enumerate(counts):
            for t, number in count.items():
                reached[t, number] = reached.get((t, number), 0) | 1 << node
        for t in self.types:
            longest = max(number for kind, number in reached if kind == t)
            nodes = 0
            for number in range(longest, 0, -1):
                nodes |= reached.get((t, number), 0)
                self.at_least[t].insert(0, nodes)

    @property
    def root(self) -> int:
        """The bound for the whole graph."""
        return sum(map(len, self.at_least.values()))

    def count(self, node_type: int, remaining: int) -> int:
        """The largest number of nodes of a type on one path through the remaining nodes."""
        levels = self.at_least[node_type]
        number = len(levels)
        while number and not remaining & levels[number - 1]:
            number -= 1
        return number


class PairBound:
    """The shortest sequence of two types that renders the paths with all other types left out.

    The stages of these two types in any sequence are such a sequence; so bounds of disjoint pairs add up.

    Args:
        dag: the graph.
        counts: its path counts.
        pair: the two types.
        effort: sets of nodes to look at for one answer; beyond it the answer is a weaker bound.
    """

    def __init__(self, dag: TypeDag, counts: PathCounts, pair: tuple[int, int], effort: int = 300) -> None:
        self.pair, self.counts, self.effort = pair, counts, effort
        self.mask = {t: find_type(dag, t) for t in pair}
        both = self.mask[pair[0]] | self.mask[pair[1]]
        before: list[int] = []
        for preds in dag.preds:
            found = 0
            for pred in preds:
                found |= before[pred] | 1 << pred
            before.append(found)
        self.both = both
        self.nodes = {t: [(1 << v, before[v] & both) for v in members(self.mask[t])] for t in pair}
        self.known: dict[int, int] = {0: 0}

    def __call__(self, remaining: int) -> int:
        """A number of stages of the two types that no sequence for the remaining nodes goes below."""
        start = remaining & self.both
        if start not in self.known:
            self.known[start] = self._search(start)
        return self.known[start]

    def _search(self, start: int) -> int:
        """A*: a stage that lowers its type's count keeps the bound (front of the queue), else raises it."""
        first, second = (self.counts.count(t, start) for t in self.pair)
        queue = deque([(first + second, start, 0)])
        seen: set[int] = set()
        while True:
            bound, remaining, done = queue.popleft()
            if remaining in self.known:
                if self.known[remaining] + done <= bound:
                    return bound
                queue.append((bound + 1, remaining, done))
                continue
            if len(seen) > self.effort:
                return bound
            if remaining in seen:
                continue
            seen.add(remaining)
            for t in self.pair:
                after, finished = self._run(t, remaining)
                if after != remaining:
                    lowers = self.counts.count(t, after) < self.counts.count(t, remaining)
                    (queue.appendleft if lowers else queue.append)((bound + (not lowers), after, done + 1))
                    if finished:
                        break

    def _run(self, node_type: int, remaining: int) -> tuple[int, bool]:
        """What remains after a stage of this type, and whether the stage finished the type."""
        ran = 0
        for bit, before in self.nodes[node_type]:
            if remaining & bit and not remaining & before:
                ran |= bit
        after = remaining ^ ran
        return after, not after & self.mask[node_type]


def find_pairs(dag: TypeDag, counts: PathCounts) -> list[PairBound]:
    """Disjoint pairs of types whose joint bounds exceed the sum of their counts, the largest gain first."""
    everything = (1 << len(dag)) - 1
    gains: list[tuple[int, PairBound]] = []
    for i, first in enumerate(counts.types):
        for second in counts.types[i + 1 :]:
            bound = PairBound(dag, counts, (first, second))
            gain = bound(everything) - len(counts.at_least[first]) - len(counts.at_least[second])
            if gain > 0:
                gains.append((gain, bound))
    gains.sort(key=lambda entry: -entry[0])
    chosen: list[PairBound] = []
    taken: set[int] = set()
    for _, bound in gains:
        if taken.isdisjoint(bound.pair):
            chosen.append(bound)
            taken.update(bound.pair)
    return chosen
