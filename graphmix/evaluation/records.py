"""What a search finds of a record beside its console: sends, ducking, the chain behind the sum, alignment.

Each is a set of facts that two graphs have or have not in common, whatever the numbers of their nodes:

- *sends*: which track feeds a return of which effect;
- *ducking*: which track's sidechain compressor is keyed by which;
- *master*: types of the processors that every track passes, but for gains, which a track's own may replace;
- *alignment*: by how much a track or the whole mix is moved, to half a sample, and whether it is inverted.
"""

from collections.abc import Callable, Hashable

from graphmix.evaluation.recovery import TypeScore
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.strips import sound_edges
from graphmix.graph.topology import neighbours, reachable

Facts = dict[Hashable, float]
"""What a graph has, and a number that has to agree with the other graph's."""
EFFECTS = ("delay", "reverb")
"""What makes a return."""
_NO_MASTER = ("in", "mix", "out", "gain", "align", "ride", "send")
_LEAST_WET = 0.02
"""Of a processor that counts."""
_HALF_SAMPLE = 0.5


def compare_records(true: MixGraph, found: MixGraph) -> dict[str, TypeScore]:
    """Counts of what two graphs over the same tracks have, and have in common, by ``sends``, ``ducking``, …

    Args:
        true: the graph that made the record.
        found: the one that was mined.
    """
    kinds: dict[str, Callable[[_Walk], Facts]] = {
        "sends": _sends,
        "ducking": _ducking,
        "master": _master,
        "alignment": _alignment,
    }
    there, ours = _Walk(true), _Walk(found)
    scores = {}
    for name, facts in kinds.items():
        wanted, have = facts(there), facts(ours)
        matched = sum(fact in have and abs(have[fact] - number) <= _HALF_SAMPLE for fact, number in wanted.items())
        scores[name] = TypeScore(len(wanted), len(have), matched)
    return scores


class _Walk:
    """A graph and what leads to what in it."""

    def __init__(self, graph: MixGraph) -> None:
        self.graph, self.edges = graph, graph.edges()
        self.kinds = [graph.types[index].name for index in graph.node_type.tolist()]
        self.before, self.after = neighbours(graph.node_type.numel(), sound_edges(graph))
        self.rows, self.wet = graph.rows().tolist(), graph.wet.tolist()
        self.inputs = dict(zip(graph.nodes_of("in").tolist(), graph.input_names, strict=True))

    def nodes(self, kind: str) -> list[int]:
        """The nodes of a type that do something."""
        return [n for n, own in enumerate(self.kinds) if own == kind and self.wet[n] >= _LEAST_WET]

    def tracks(self, node: int) -> frozenset[str]:
        """The tracks that lead to a node."""
        return frozenset(self.inputs[n] for n in reachable(self.before, [node]) & self.inputs.keys())

    def is_behind_the_sum(self, node: int) -> bool:
        """Whether no track reaches an output by another way, in a graph of several tracks."""
        before = [[] if target == node else sources for target, sources in enumerate(self.before)]
        outputs = self.graph.nodes_of("out").tolist()
        return len(self.inputs) > 1 and not reachable(before, outputs) & self.inputs.keys()

    def entering(self, node: int, inlet: int) -> frozenset[str]:
        """The tracks that lead to an inlet."""
        return frozenset().union(*(self.tracks(s) for s, t, _, i in self.edges if t == node and i == inlet))

    def value(self, node: int, name: str) -> float:
        """First number of a parameter."""
        kind = self.graph.type_of(node)
        return float(self.graph.params[kind.name][self.rows[node], kind.columns(name)][0])


def _sends(walk: _Walk) -> Facts:
    found: Facts = {}
    for node in walk.nodes("send"):
        behind = reachable(walk.after, walk.after[node])
        effects = [walk.kinds[n] for n in behind if walk.kinds[n] in EFFECTS and walk.wet[n] >= _LEAST_WET]
        returned = [kind for kind in EFFECTS if kind in effects]
        for track in walk.entering(node, 1):
            found |= {("send", track, kind): 0.0 for kind in returned[:1]}
    return found


def _ducking(walk: _Walk) -> Facts:
    return {
        ("duck", track, key): 0.0
        for node in walk.nodes("sidechain_compressor")
        for key in walk.entering(node, 1)
        for track in walk.entering(node, 0)
    }


def _master(walk: _Walk) -> Facts:
    found: Facts = {}
    for node, kind in enumerate(walk.kinds):
        if kind not in _NO_MASTER and walk.wet[node] >= _LEAST_WET and walk.is_behind_the_sum(node):
            number = sum(isinstance(fact, tuple) and fact[1] == kind for fact in found)
            found["master", kind, number] = 0.0
    return found


def _alignment(walk: _Walk) -> Facts:
    """Of a track that is moved; of the mix where all tracks are."""
    found: Facts = {}
    rate = walk.graph.sample_rate
    for node in walk.nodes("align"):
        samples, inverted = walk.value(node, "delay_ms") * rate / 1000, walk.value(node, "polarity") < 0
        if walk.is_behind_the_sum(node):
            found["moved", "mix", inverted] = samples
        elif samples or inverted:
            found |= {("moved", track, inverted): samples for track in walk.tracks(node)}
    return found
