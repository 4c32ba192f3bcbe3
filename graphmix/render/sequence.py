r"""In which order to run the nodes of a graph, many of one type at a time.

A *type sequence* is a list of stages, each the nodes of one type that are computed together (appendix C of
the pruning paper). It is a *partition* of the nodes; it is *causal*: each node comes after all its
predecessors; it is *homogeneous*: a stage holds one type. Fewer stages render faster, and the shortest
sequence is NP-hard to find; the methods here trade time for length:

================  ==============================================================================
`OneByOne()`      as many stages as nodes; the reference for tests
`Greedy()`        the type with most ready nodes first; long sequences
`FixedOrder(..)`  the console's own processor order, over and over
`Beam()`          default; the shortest on mixing consoles, close to it elsewhere
`Exact()`         the shortest with a proof, or the best and a lower bound by a time limit
================  ==============================================================================

A method of your own is any object with a `name` and a method `find(dag)` (:class:`SequenceMethod`).
Conventions: node types are integers of 0 or more; edges are [2, num_edges], source above target.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from graphmix.errors import GraphError
from graphmix.graph.topology import neighbours, topological_order
from graphmix.render.bounds import PathCounts, TypeDag
from graphmix.render.exact_sequence import find_by_beam, find_exactly


class SequenceStage(NamedTuple):
    """Nodes of one type that run together: the type, and the node ids [nodes] in rising order."""

    type: int
    nodes: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TypeSequence:
    """Stages in the order in which they run.

    Attributes:
        stages: (type, nodes) of each stage.
        lower_bound: no sequence of maximal stages for this graph has fewer, proven.
        seconds: the time that finding it took.
        method: name of the method that found it.
    """

    stages: tuple[SequenceStage, ...]
    lower_bound: int
    seconds: float
    method: str

    def __len__(self) -> int:
        return len(self.stages)

    @property
    def types(self) -> tuple[int, ...]:
        """The type of each stage."""
        return tuple([stage.type for stage in self.stages])

    @property
    def optimal(self) -> bool:
        """True if the sequence is proven to be as short as possible."""
        return len(self.stages) == self.lower_bound


class FoundSequence(NamedTuple):
    """What a method answers: stages of (type, nodes of the dag) and a proven lower bound on their number."""

    stages: list[tuple[int, list[int]]]
    lower_bound: int


class SequenceMethod(Protocol):
    """A way to find a type sequence."""

    @property
    def name(self) -> str:
        """Name in reports."""

    def find(self, dag: TypeDag) -> FoundSequence:
        """Stages that partition the dag's nodes, are causal, and hold one type each."""


@dataclass(frozen=True)
class OneByOne:
    """Every node on its own, in topological order."""

    name = "one-by-one"

    def find(self, dag: TypeDag) -> FoundSequence:
        """See :class:`SequenceMethod`."""
        return FoundSequence([(t, [node]) for node, t in enumerate(dag.types)], PathCounts(dag).root)


@dataclass(frozen=True)
class Greedy:
    """The type with the largest number of ready nodes first; of equals the lowest type."""

    name = "greedy"

    def find(self, dag: TypeDag) -> FoundSequence:
        """See :class:`SequenceMethod`."""
        run = _Run(dag)
        while any(run.ready.values()):
            run.step(min(run.ready, key=lambda t: (-len(run.ready[t]), t)))
        return FoundSequence(run.stages, PathCounts(dag).root)


@dataclass(frozen=True)
class FixedOrder:
    """The types of `order` one after the other, again from the start until all is done.

    A type without ready nodes is skipped. The shortest for consoles whose chains follow this order.

    Args:
        order: types; each type of the graph at least once.
    """

    order: tuple[int, ...]

    name = "fixed-order"

    def find(self, dag: TypeDag) -> FoundSequence:
        """See :class:`SequenceMethod`.

        Raises:
            GraphError: a type of the graph is not in the order.
        """
        if missing := sorted(set(dag.types) - set(self.order)):
            raise GraphError(f"the fixed order {self.order} lacks the graph's types {missing}. Add them.")
        run = _Run(dag)
        while any(run.ready.values()):
            for node_type in self.order:
                if run.ready.get(node_type):
                    run.step(node_type)
        return FoundSequence(run.stages, PathCounts(dag).root)


@dataclass(frozen=True)
class Beam:
    """The `width` best states of each length; see :func:`graphmix.render.exact_sequence.find_by_beam`."""

    width: int = 64

    name = "beam"

    def __post_init__(self) -> None:
        if self.width < 1:
            raise GraphError(f"a beam has a width of 1 or more, found {self.width}.")

    def find(self, dag: TypeDag) -> FoundSequence:
        """See :class:`SequenceMethod`."""
        found = find_by_beam(dag, self.width)
        return FoundSequence(_run(dag, found.types), found.lower_bound)


@dataclass(frozen=True)
class Exact:
    """Beam, then A*, until the shortest sequence is proven or the time is up.

    Args:
        time_limit_s: seconds; a small graph needs milliseconds of them.
        width: of the first beam.
    """

    time_limit_s: float = 10.0
    width: int = 64

    name = "exact"

    def __post_init__(self) -> None:
        if not self.time_limit_s >= 0 or self.width < 1:
            raise GraphError(f"an exact search needs a limit of 0 s or more and a width of 1 or more: {self}.")

    def find(self, dag: TypeDag) -> FoundSequence:
        """See :class:`SequenceMethod`."""
        found = find_exactly(dag, self.time_limit_s, self.width)
        return FoundSequence(_run(dag, found.types), found.lower_bound)


#: Milliseconds; on real consoles pruned at random it proved its sequence shortest in all but 1 of 7,542.
DEFAULT_METHOD: SequenceMethod = Beam()

#: The methods that need no argument, by the names of the command line.
METHODS: dict[str, SequenceMethod] = {m.name: m for m in (OneByOne(), Greedy(), DEFAULT_METHOD, Exact())}


def find_sequence(
    node_type: Sequence[int] | NDArray[np.integer],
    edges: NDArray[np.integer] | Sequence[Sequence[int]],
    method: SequenceMethod = DEFAULT_METHOD,
    describe: Callable[[int], str] = str,
) -> TypeSequence:
    """Group the nodes of a graph into stages of one type each.

    Args:
        node_type: type of each node, [num_nodes].
        edges: source and target of each edge, [2, num_edges]; several between two nodes count as one.
        method: how to search.
        describe: the name of a node in the error message about a cycle.

    Returns:
        The stages. The graph may be a union of many.

    Raises:
        GraphError: node types or edges that are no graph, or a graph with a cycle.

    >>> sequence = find_sequence([0, 0, 1, 2, 1, 3], np.array([[0, 2, 1, 3, 4], [2, 3, 4, 5, 5]]))
    >>> [(stage.type, stage.nodes.tolist()) for stage in sequence.stages], sequence.optimal
    ([(0, [0, 1]), (1, [2, 4]), (2, [3]), (3, [5])], True)
    """
    start = perf_counter()
    dag, order = _sort(*_check(node_type, edges), describe)
    plan = method.find(dag)
    stages = tuple([SequenceStage(t, np.sort(order[nodes])) for t, nodes in plan.stages])
    return TypeSequence(stages, plan.lower_bound, perf_counter() - start, method.name)


def _check(
    node_type: Sequence[int] | NDArray[np.integer], edges: NDArray[np.integer] | Sequence[Sequence[int]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Node types and edges as int64 arrays of the right shape."""
    types, pairs = np.asarray(node_type), np.asarray(edges)
    if types.ndim != 1 or not _are_integers(types):
        found = f"{types.dtype} {list(types.shape)}"
        raise GraphError(f"node types are integers of shape [num_nodes], found {found}.")
    if pairs.ndim != 2 or pairs.shape[0] != 2 or not _are_integers(pairs):
        found = f"{pairs.dtype} {list(pairs.shape)}"
        raise GraphError(f"edges are integers of shape [2, num_edges], found {found}. Is it transposed?")
    if types.size and types.min() < 0:
        node = int(types.argmin())
        raise GraphError(f"node {node} has type {types[node]}: types are numbered from 0.")
    bad = np.flatnonzero(((pairs < 0) | (pairs >= types.size)).any(axis=0))
    if bad.size:
        edge = int(bad[0])
        raise GraphError(
            f"edge {edge} ({pairs[0, edge]} -> {pairs[1, edge]}) leaves the graph, "
            f"which has {types.size} nodes, numbered from 0."
        )
    return types.astype(np.int64), pairs.astype(np.int64)


def _are_integers(array: NDArray[np.generic]) -> bool:
    """True for integers, and for nothing at all, which NumPy calls float."""
    return not array.size or np.issubdtype(array.dtype, np.integer)


def _sort(
    types: NDArray[np.int64], edges: NDArray[np.int64], describe: Callable[[int], str]
) -> tuple[TypeDag, NDArray[np.int64]]:
    """The graph in topological order, and the node that stands at each place of it.

    Raises:
        GraphError: a cycle.
    """
    num_nodes = types.size
    pairs = np.unique(edges[0] * max(num_nodes, 1) + edges[1])
    distinct = list(zip(*(part.tolist() for part in np.divmod(pairs, max(num_nodes, 1))), strict=True))
    preds, _ = neighbours(num_nodes, distinct)
    order = topological_order(num_nodes, distinct, describe)
    place = [0] * num_nodes
    for i, node in enumerate(order):
        place[node] = i
    kinds = types.tolist()
    dag = TypeDag([kinds[node] for node in order], [[place[p] for p in preds[node]] for node in order])
    return dag, np.array(order, dtype=np.int64)


class _Run:
    """Runs types on a graph: each stage takes all ready nodes of its type."""

    def __init__(self, dag: TypeDag) -> None:
        self.types, self.succs = dag.types, dag.find_succs()
        self.waiting = [len(preds) for preds in dag.preds]
        self.stages: list[tuple[int, list[int]]] = []
        self.ready: dict[int, list[int]] = {t: [] for t in dag.types}
        for node, count in enumerate(self.waiting):
            if not count:
                self.ready[dag.types[node]].append(node)

    def step(self, node_type: int) -> None:
        """Append the stage of this type."""
        nodes, self.ready[node_type] = self.ready[node_type], []
        self.stages.append((node_type, nodes))
        for node in nodes:
            for succ in self.succs[node]:
                self.waiting[succ] -= 1
                if not self.waiting[succ]:
                    self.ready[self.types[succ]].append(succ)


def _run(dag: TypeDag, types: list[int]) -> list[tuple[int, list[int]]]:
    """The stages of a type sequence that is known to render the graph."""
    run = _Run(dag)
    for node_type in types:
        run.step(node_type)
    assert not any(run.ready.values()), "the sequence of the contracted graph renders the whole graph"
    return run.stages
