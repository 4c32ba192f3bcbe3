r"""What a removal does to what is audible of each track, beside what it does to the loss over the mix.

The loss of a mix hardly notices a soft track: its processors can be removed for less than the tolerance although the
removal is audible (the pruning paper's own complaint, section 4). So a trial is also judged track by track. The level
of a track at the output, in cells of time and frequency, is

.. math:: P_t \prod_m \frac{P_m^{out}}{P_m^{in}}

with the power :math:`P_t` behind its own chain and, for each summing point m on its way (its bus, the sum), the powers
of what is summed there and of what arrives at the next one. So the level does not change where a gain moves from a
track to its bus. The others, at each summing point all that is summed there less the track's way, come to the output
likewise and mask it (:mod:`graphmix.search.masking`). What is audible of a track is the larger of its level and of its
masked threshold, in dB; a *change* is the mean of its absolute difference over the cells in which the track is audible
before or after. The mean is weighted by how many dB the track is above its threshold, before or after: cells in which
it is hardly audible, of which there are many, hardly count.

Changes are counted from the fitted console, from which all rounds descend, so that small ones do not add up; its masked
thresholds hold for the whole search. A removal does not stand if a track then differs by more than the limit. Where
training has moved a track farther than that already, it may not move farther still.

A way follows the first inlets and outlets; a send or a key of a sidechain leaves it. Where a signal takes several ways
(a crossover), the way ends, and what lies behind it counts for the loss alone.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from graphmix.audio.segments import EvalSegment
from graphmix.graph.mixgraph import MixGraph
from graphmix.render.taps import Tap
from graphmix.search.masking import SILENCE, Bands
from graphmix.search.objective import Objective
from graphmix.search.trial_losses import Judge

LEAST_CELLS = 60
"""A track with fewer audible cells is not audible: three frames in ten bands of both channels are a tenth of a
second."""

Powers = Mapping[Tap, Tensor]
"""Powers in cells at some places of a graph, [2, frames, bands] each."""


@dataclass(frozen=True)
class Way:
    """How a track gets to the output.

    Args:
        nodes: all on it, from the input on.
        ends: the last place before each summing point, and the last one of all.
        sums: the summing points, between two ends each.
    """

    nodes: tuple[int, ...]
    ends: tuple[Tap, ...]
    sums: tuple[Tap, ...]

    @property
    def taps(self) -> set[Tap]:
        """Places whose signals are needed for the level and the others."""
        return {*self.ends, *self.sums}

    @property
    def level_taps(self) -> set[Tap]:
        """Places whose signals are needed for the level alone."""
        transfers = (pair for pair in zip(self.sums, self.ends[1:], strict=True) if pair[0] != pair[1])
        return {self.ends[0], *(tap for pair in transfers for tap in pair)}

    def level(self, powers: Powers) -> Tensor:
        """The track's power at the output, [2, frames, bands]."""
        level = powers[self.ends[0]]
        for place, end in zip(self.sums, self.ends[1:], strict=True):
            level = level * _transfer(powers, place, end)
        return level

    def others(self, powers: Powers, signals: Mapping[Tap, Tensor], bands: Bands, scored: slice) -> Tensor:
        """Power of all others at the output, [2, frames, bands]."""
        total = torch.zeros_like(powers[self.ends[0]])
        for before, place, end in zip(self.ends, self.sums, self.ends[1:], strict=False):
            others = bands.powers((signals[place] - signals[before])[..., scored])
            total = (total + others) * _transfer(powers, place, end)
        return total


def _transfer(powers: Powers, place: Tap, end: Tap) -> Tensor | float:
    return 1.0 if end == place else (powers[end] + SILENCE) / (powers[place] + SILENCE)


def find_ways(graph: MixGraph) -> dict[str, Way]:
    """The way of each track of a graph, by its name.

    Example:
        >>> from graphmix.graph import mixing_console
        >>> from graphmix.processors import Rack
        >>> way = find_ways(mixing_console(Rack.console("eg"), {"band": ["voice", "guitar"]}, "eg"))["voice"]
        >>> way.nodes, [tap.node for tap in way.ends], [tap.node for tap in way.sums]
        ((0, 2, 3, 6, 7, 8, 9), [3, 9], [6])
    """
    leads_to: dict[int, list[int]] = {}
    arriving: dict[int, int] = {}
    for source, target, _, inlet in graph.edges():
        if inlet == 0:
            leads_to.setdefault(source, []).append(target)
            arriving[target] = arriving.get(target, 0) + 1
    inputs = graph.nodes_of("in").tolist()
    return {name: _way(graph, node, leads_to, arriving) for node, name in zip(inputs, graph.input_names, strict=True)}


def _way(graph: MixGraph, start: int, leads_to: Mapping[int, list[int]], arriving: Mapping[int, int]) -> Way:
    nodes, ends, sums = [start], list[Tap](), list[Tap]()
    last = Tap(start)
    while len(following := leads_to.get(nodes[-1], [])) == 1:
        (node,) = following
        kind = graph.type_of(node)
        if len(kind.outlets) > 1:
            break
        nodes.append(node)
        if arriving[node] > 1:
            ends.append(last)
            sums.append(Tap(node, incoming=True))
        last = Tap(node, incoming=kind.name == "out")  # nothing leaves an output but what comes in
    return Way(tuple(nodes), (*ends, last), tuple(sums))


class Audibility:
    """What is audible of each track in a fitted console, and how far something else differs from it.

    Args:
        objective: the song.
        console: the fitted console.
        segments: on which tracks are compared.
        limit_db: a track may change by this much.
    """

    def __init__(
        self, objective: Objective, console: MixGraph, segments: Sequence[EvalSegment], limit_db: float
    ) -> None:
        self.objective, self.segments, self.limit_db = objective, list(segments), limit_db
        self.bands = Bands.at(objective.song.sample_rate).to(objective.device)
        self.ways = find_ways(console)
        self.tracks = tuple(self.ways)
        self._thresholds: dict[EvalSegment, Tensor] = {}
        self._levels_db: dict[EvalSegment, Tensor] = {}
        judge = Judge(objective, console, self.segments, kept_bytes=0)
        mix_power = self._mix_power()
        for segment in self.segments:
            self._measure(judge, segment, mix_power)

    @torch.no_grad()
    def _measure(self, judge: Judge, segment: EvalSegment, mix_power: float) -> None:
        """Levels and masked thresholds on one segment."""
        signals = judge.signals(segment, set().union(*(way.taps for way in self.ways.values())))
        scored = slice(segment.score_from, segment.score_to)
        powers = {tap: self.bands.powers(signal[..., scored]) for tap, signal in signals.items()}
        others = torch.stack([way.others(powers, signals, self.bands, scored) for way in self.ways.values()])
        self._thresholds[segment] = self.bands.threshold(others, mix_power)
        levels = torch.stack([way.level(powers) for way in self.ways.values()])
        self._levels_db[segment] = self._db(levels.maximum(self._thresholds[segment]))

    def _mix_power(self) -> float:
        """Mean square of the mix on the segments, a channel."""
        total = samples = 0.0
        for segment in self.segments:
            mix = self.objective.read(segment.start, segment.length).mix
            assert mix is not None, "an objective has a mix"
            scored = mix[:, segment.score_from : segment.score_to]
            total, samples = total + float(scored.double().square().sum()), samples + scored.numel()
        return total / samples

    @staticmethod
    def _db(power: Tensor) -> Tensor:
        return 10 * power.log10()

    @torch.no_grad()
    def changes(self, ways: Mapping[str, Way], powers: Mapping[EvalSegment, Powers]) -> dict[str, float]:
        """Change of each track in dB; tracks that are not audible before or after are left out.

        Args:
            ways: of the graph that is compared.
            powers: in cells, at all taps of the ways, on all segments.
        """
        changed = torch.zeros(len(self.tracks), dtype=torch.float64, device=self.objective.device)
        total, cells = torch.zeros_like(changed), torch.zeros_like(changed)
        for segment in self.segments:
            threshold = self._thresholds[segment]
            levels = torch.stack([ways[name].level(powers[segment]) for name in self.tracks])
            now, before = self._db(levels.maximum(threshold)), self._levels_db[segment]
            above = now.maximum(before) - self._db(threshold)
            changed += (above * (now - before).abs()).double().sum((1, 2, 3))
            total += above.double().sum((1, 2, 3))
            cells += (above > 0).sum((1, 2, 3))
        found = zip(self.tracks, (changed / total).tolist(), cells.tolist(), strict=True)
        return {name: change for name, change, count in found if count >= LEAST_CELLS}


@dataclass(frozen=True)
class TrackVerdict:
    """Outcome of a trial for the tracks.

    Args:
        track: whose change is largest against what it may be; empty if no track is audible.
        change_db: of it.
        limit_db: what it may be.
        over: all tracks that change by more than they may.
    """

    track: str
    change_db: float
    limit_db: float
    over: tuple[str, ...]

    def describe(self) -> dict[str, str | float]:
        """For the trace."""
        return {"track": self.track, "db": round(self.change_db, 3), "limit_db": round(self.limit_db, 3)}


class RoundAudibility:
    """Judges the trials of one round track by track.

    Args:
        audibility: of the fitted console.
        judge: of the round, whose graph has the same tracks.
    """

    def __init__(self, audibility: Audibility, judge: Judge) -> None:
        self.audibility, self.judge = audibility, judge
        self.ways = find_ways(judge.graph)
        self._taps = set().union(*(way.level_taps for way in self.ways.values()))
        self._powers: dict[EvalSegment, dict[Tap, Tensor]] = {}
        self._last: tuple[frozenset[int], dict[EvalSegment, dict[Tap, Tensor]]] | None = None
        before = audibility.changes(self.ways, self._current())
        self.limits = {name: max(audibility.limit_db, before.get(name, 0.0)) for name in audibility.tracks}

    def try_without(self, nodes: Collection[int]) -> TrackVerdict:
        """What some more nodes change, if they go."""
        powers = {segment: {**own, **self._at(segment, nodes)} for segment, own in self._current().items()}
        self._last = frozenset(nodes), powers
        changes = self.audibility.changes(self.ways, powers)
        excess = {name: change - self.limits[name] for name, change in changes.items()}
        over = tuple(name for name, value in excess.items() if value > 0)
        if not excess:
            return TrackVerdict("", 0.0, self.audibility.limit_db, ())
        worst = max(excess, key=lambda name: excess[name])
        return TrackVerdict(worst, changes[worst], self.limits[worst], over)

    def remove(self, nodes: Collection[int]) -> None:
        """Take note that nodes are removed for good; what was tried last is not measured again."""
        tried, powers = self._last or (frozenset(), {})
        self._powers = powers if tried == frozenset(nodes) else {}
        self._last = None

    def on_the_way(self, nodes: Iterable[int], tracks: Iterable[str]) -> list[int]:
        """Those of some nodes that some tracks pass through."""
        passed = {node for name in tracks for node in self.ways[name].nodes}
        return [node for node in nodes if node in passed]

    def _current(self) -> dict[EvalSegment, dict[Tap, Tensor]]:
        if not self._powers:
            self._powers = {segment: self._at(segment) for segment in self.audibility.segments}
        return self._powers

    def _at(self, segment: EvalSegment, nodes: Collection[int] = ()) -> dict[Tap, Tensor]:
        scored = slice(segment.score_from, segment.score_to)
        signals = self.judge.signals(segment, self._taps, nodes)
        return {tap: self.audibility.bands.powers(signal[..., scored]) for tap, signal in signals.items()}
