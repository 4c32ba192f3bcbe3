"""Finding gains that move: fades, rides and mutes of tracks, of subgroups and of the whole mix.

After the console's training the error of the graph is measured block by block as a function of a gain on each track
(:mod:`graphmix.search.ride_frames`). Where one moving gain (on a track, on all tracks of a subgroup, on all) explains
so much more than the best gain that stays, a sparse curve is fitted (:mod:`graphmix.search.ride_curve`), the place that
explains most first. Each is then a trial: its ride is inserted, and stays if the loss over the song falls by more than
:data:`LEAST_GAIN` of itself. A song in which none stays is searched as it would be without.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from graphmix.graph.editing import insert_after, insert_before, with_type
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.strips import sound_edges
from graphmix.graph.topology import neighbours, reachable
from graphmix.processors.ride import Ride, breakpoints, used_points
from graphmix.search.losses import LossTerms
from graphmix.search.objective import Objective
from graphmix.search.ride_curve import NEPER_DB, Curve, constant, find_curve
from graphmix.search.ride_frames import RideFrames, frames_of

MIX_NODE = "mix ride"
"""Name of the node before the output."""
POINT_COST = 2.0
"""Of a breakpoint: so many times what no gain could explain of the error of a block, 0.1 s,"""
POINT_SHARE = 0.004
"""and this share of the whole error."""
FEW_POINTS, SECONDS_A_POINT = 4, 8.0
"""A ride has so many breakpoints at the most, and one more for each so many seconds of the song."""
LEAST_SHARE = 0.02
"""Of the error that a curve has to explain beyond a gain that stays, to be tried."""
LEAST_GAIN = 0.01
"""Share of the loss by which a ride has to lower it."""
LEAST_RANGE_DB = 1.0
"""A curve that moves less, where the track sounds, is none."""
EARLY_GAIN, EARLY_SHARE = 0.1, 0.1
"""The same before the console is fitted, where only what is plain is looked for, of as few breakpoints as may be."""
MOST_RIDES = 12
"""Of one pass."""
_SAME_DB = 1.0
_SEEN_DB = -50.0
"""Of a ride that is known, softer is taken for this: nothing sounds there that could be measured."""

Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Place:
    """Where a ride may go: behind a node, or before an output.

    Args:
        node: number of the node.
        name: of the track, the subgroup or the mix.
        tracks: numbers of the inputs that pass here.
        before: whether the ride goes before the node.
        points: of the ride that the node is already.
    """

    node: int
    name: str
    tracks: tuple[int, ...]
    before: bool = False
    points: Points | None = None

    def insert(self, graph: MixGraph, points: Points) -> MixGraph:
        """The graph with a ride here, its last node, or with other breakpoints of the ride that is here."""
        values: Any = breakpoints(points)
        if self.points is not None:
            graph = graph.clone()
            row = int(graph.rows()[self.node])
            graph.params["ride"][row] = torch.tensor([*values["time_s"], *values["gain_db"]])
            return graph
        if self.before:
            return insert_before(graph, self.node, "ride", name=MIX_NODE, **values)
        return insert_after(graph, self.node, "ride", **values)


@dataclass(frozen=True)
class Found:
    """A curve worth a trial.

    Args:
        place: where.
        points: seconds and dB, relative to the best gain that stays.
        steady_db: that gain. The graph's own levels may have been fitted by another measure.
        share: of the error that it explains.
    """

    place: Place
    points: Points
    steady_db: float
    share: float


def find_places(graph: MixGraph) -> list[Place]:
    """The end of the chain of each track, each mix and the whole, each set of tracks once."""
    before, after = neighbours(graph.node_type.numel(), sound_edges(graph))
    inputs = graph.nodes_of("in").tolist()
    number = {node: row for row, node in enumerate(inputs)}
    places: list[Place] = []
    for start in [*inputs, *graph.nodes_of("mix").tolist()]:
        if not after[start] or (not before[start] and graph.type_of(start).name != "in"):
            continue
        tracks = _tracks_of(start, before, number)
        node = start
        while len(after[node]) == 1 and _leads_on(graph, after[node][0], before):
            node = after[node][0]
        places.append(Place(node, graph.names[start] or graph.describe(start), tracks, points=_points_of(graph, node)))
    for out in graph.nodes_of("out").tolist():
        if len(before[out]) == 1 and graph.type_of(before[out][0]).name == "ride":
            places.append(_whole(graph, before[out][0], out, before, number))
        elif before[out]:
            places.append(Place(out, graph.names[out] or "mix", _tracks_of(out, before, number), before=True))
    unique: dict[tuple[int, ...], Place] = {}
    for place in places:
        unique.setdefault(place.tracks, place)
    return list(unique.values())


def _whole(graph: MixGraph, ride: int, out: int, before: list[list[int]], number: dict[int, int]) -> Place:
    """The ride of the whole mix as a place."""
    name = graph.names[out] or "mix"
    return Place(ride, name, _tracks_of(out, before, number), points=_points_of(graph, ride))


def _points_of(graph: MixGraph, node: int) -> Points | None:
    """Breakpoints of a ride; None for other nodes."""
    if graph.type_of(node).name != "ride":
        return None
    return used_points(graph.params["ride"][int(graph.rows()[node])])


def _leads_on(graph: MixGraph, node: int, before: list[list[int]]) -> bool:
    """Whether a chain goes on through this node."""
    kind = graph.type_of(node)
    return kind.is_processor and len(before[node]) == 1 and len(kind.outlets) == 1 and len(kind.inlets) == 1


def _tracks_of(node: int, before: list[list[int]], number: dict[int, int]) -> tuple[int, ...]:
    return tuple(sorted(number[n] for n in reachable(before, [node]) if n in number))


def find_rides(frames: RideFrames, places: Iterable[Place], *, early: bool = False) -> list[Found]:
    """Curves that explain more than gains that stay, the most first; each given those before it.

    Args:
        frames: of a graph.
        places: of the same.
        early: only what is plain, of a graph that is not fitted yet.
    """
    most = FEW_POINTS + (0 if early else int(len(frames.energy) * frames.block_seconds / SECONDS_A_POINT))
    places = list(places)
    blocks, tracks = frames.right.shape
    steady = _steady_gains(frames)
    gains = np.broadcast_to(steady, (blocks, tracks)).copy()
    found: list[Found] = []
    left, least = places, (EARLY_SHARE if early else LEAST_SHARE) * float(frames.errors(gains).sum())
    while left and len(found) < MOST_RIDES:
        error = max(float(frames.errors(gains).sum()), 1e-30)
        tried = [_try_place(frames, gains, place, error, most) for place in left]
        index = int(np.argmax([share for share, _ in tried]))
        (share, curve), place = tried[index], left[index]
        if share * error < least or _range_db(frames, gains, place, curve) < LEAST_RANGE_DB:
            break
        found.append(Found(place, _points(frames, curve), _level_db(frames, steady, place), share))
        gains[:, place.tracks] *= np.exp((curve.at(blocks) - _known_db(frames, place)) / NEPER_DB)[:, None]
        left = [other for other in left if other is not place]
    return found


def _steady_gains(frames: RideFrames) -> np.ndarray:
    """The best gain of each track over the song, drawn a little to what it has, [tracks]."""
    gram, right = frames.gram.sum(0), frames.right.sum(0)
    ridge = 1e-3 * np.diag(gram) + 1e-12 * np.trace(gram) + 1e-30
    return np.clip(np.linalg.solve(gram + np.diag(ridge), right + ridge), 0.05, 4.0)


def _level_db(frames: RideFrames, steady: np.ndarray, place: Place) -> float:
    """The steady gain of what passes a place, in dB."""
    own = list(place.tracks)
    energy = np.einsum("fii->i", frames.gram)[own] + 1e-30
    return float(NEPER_DB * np.log((energy * steady[own]).sum() / energy.sum()))


def _moments(frames: RideFrames, gains: np.ndarray, place: Place) -> tuple[np.ndarray, np.ndarray]:
    """Of a gain on what passes a place: its square's and its own coefficient in each block, [blocks] each."""
    own, now = list(place.tracks), gains
    passing = np.zeros_like(now)
    passing[:, own] = now[:, own]
    products = np.einsum("fij,fj->fi", frames.gram, passing)
    gram = (passing * products).sum(1)
    rest = now - passing
    right = (passing * frames.right).sum(1) - (rest * products).sum(1)
    return gram, right


def _try_place(
    frames: RideFrames, gains: np.ndarray, place: Place, error: float, most_points: int
) -> tuple[float, Curve]:
    """Share of the error that a curve here explains beyond a gain that stays, and the curve."""
    gram, right = _moments(frames, gains, place)
    steady = constant(gram, right)
    known = 1 if place.points is None else len(place.points)
    most = steady.error + float((np.maximum(right, 0) ** 2 / np.maximum(gram, 1e-30)).sum())
    if most < LEAST_SHARE * error:
        return 0.0, steady
    cost = POINT_COST * (error - most) / frames.num_measured + POINT_SHARE * error
    old = np.exp(_known_db(frames, place) / NEPER_DB)
    curve = find_curve(gram / old**2, right / old, cost)
    worth = steady.error - curve.error - cost * (len(curve.places) - known)
    moves = 1 < len(curve.places) <= most_points  # what needs more is an effect that follows the sound, such as a gate
    return (worth / error if moves else 0.0), curve


def _known_db(frames: RideFrames, place: Place) -> np.ndarray:
    """The gain of the ride that is there already, [blocks]; 0 where there is none."""
    if place.points is None:
        return np.zeros(len(frames.energy))
    times, gains = zip(*place.points, strict=True)
    return np.asarray(np.maximum(np.interp(frames.times, times, gains), _SEEN_DB))


def _range_db(frames: RideFrames, gains: np.ndarray, place: Place, curve: Curve) -> float:
    """Between the loudest and the softest tenth of the blocks in which the place sounds."""
    gram, _ = _moments(frames, gains, place)
    sounding = gram > 0.01 * gram.mean()
    change = curve.at(len(gram)) - _known_db(frames, place)
    levels = np.quantile(change[sounding], (0.02, 0.98)) if sounding.any() else np.zeros(2)
    return float(levels[1] - levels[0])


def _points(frames: RideFrames, curve: Curve) -> Points:
    """Breakpoints in seconds."""
    times = frames.times[curve.places]
    return [(float(t), float(g)) for t, g in zip(times, curve.gains, strict=True)]


# --- trials


@dataclass(frozen=True)
class Grown:
    """A graph with the rides that stay, its loss over the song, what was tried, and an objective that renders it."""

    graph: MixGraph
    loss: LossTerms | None
    trials: list[dict[str, Any]]
    objective: Objective

    @property
    def kept(self) -> int:
        """How many rides stay."""
        return sum(bool(trial["kept"]) for trial in self.trials)


def grow_rides(objective: Objective, graph: MixGraph, loss: LossTerms | None = None, *, early: bool = False) -> Grown:
    """Insert the rides that a song needs into a graph, and place them better once they are there.

    Where a graph is far louder than the mix, its error says little of how far: the end of a fade is known to a dB only
    from a graph that fades.

    Args:
        objective: the song.
        graph: fitted, or as it starts.
        loss: of the graph over the song, if it is known.
        early: the graph is not fitted yet.
    """
    grown = _grow(Grown(graph, loss, [], objective), early=early, known=False)
    return _grow(grown, early=False, known=True) if grown.kept else grown


def _grow(before: Grown, *, early: bool, known: bool) -> Grown:
    """One measurement and the trials that follow from it; of all places, or of rides that are there."""
    graph, objective = before.graph, before.objective
    places = [place for place in find_places(graph) if place.points is not None or not known]
    found = _find(objective, graph, places, early=early, known=known)
    if not found:
        return before
    able = objective.with_processor(Ride(graph.sample_rate))
    judged = objective.spread
    unknown = before.loss is None or objective.is_sampled
    loss = objective.evaluate(graph, judged) if unknown else before.loss
    assert loss is not None, "known"
    current, trials = with_ride_type(graph), list(before.trials)
    for each in found:
        tried, after = _better(able, current, each)
        kept = bool(after.total < (1 - (EARLY_GAIN if early else LEAST_GAIN)) * loss.total)
        trials.append(_record(each, loss, after, kept))
        if kept:
            current, loss = tried, after
    if not any(trial["kept"] for trial in trials):
        return Grown(graph, before.loss if objective.is_sampled else loss, trials, objective)
    return Grown(current, None if objective.is_sampled else loss, trials, able)


def _find(objective: Objective, graph: MixGraph, places: list[Place], *, early: bool, known: bool) -> list[Found]:
    """Curves worth a trial; a long song is measured as a whole only where a part of it shows some."""
    if (
        objective.is_sampled
        and not known
        and not find_rides(frames_of(objective, graph, objective.spread), places, early=early)
    ):
        return []
    return find_rides(frames_of(objective, graph), places, early=early)


def _record(found: Found, before: LossTerms, after: LossTerms, kept: bool) -> dict[str, Any]:
    return {
        "place": found.place.name,
        "points": [[round(t, 3), round(g, 2)] for t, g in found.points],
        "share": round(found.share, 4),
        "loss_before": float(before.total),
        "loss_after": float(after.total),
        "kept": kept,
    }


def _better(objective: Objective, graph: MixGraph, found: Found) -> tuple[MixGraph, LossTerms]:
    """With the ride relative to the graph's level or to the steady gain, where they differ, and its loss."""
    shifts = (0.0, found.steady_db) if abs(found.steady_db) > _SAME_DB else (0.0,)
    graphs = [found.place.insert(graph, [(t, g + shift) for t, g in found.points]) for shift in shifts]
    return min(
        ((tried, objective.evaluate(tried, objective.spread)) for tried in graphs),
        key=lambda pair: float(pair[1].total),
    )


def with_ride_type(graph: MixGraph) -> MixGraph:
    """The graph with rides among its types."""
    return with_type(graph, Ride(graph.sample_rate).node_type)


def describe_rides(graph: MixGraph) -> list[dict[str, Any]]:
    """The rides of a graph for ``metrics.json``: what each moves, and its breakpoints in seconds and dB."""
    if "ride" not in graph.params:
        return []
    before, _ = neighbours(graph.node_type.numel(), sound_edges(graph))
    rows, result = graph.rows().tolist(), []
    for node in graph.nodes_of("ride").tolist():
        points = [[round(t, 3), round(g, 2)] for t, g in used_points(graph.params["ride"][rows[node]])]
        result.append({"of": _moved_by(graph, node, before), "points": points})
    return result


def _moved_by(graph: MixGraph, node: int, before: list[list[int]]) -> str:
    """Name of the track, subgroup or mix that passes a ride."""
    if graph.names[node] == MIX_NODE:
        return "mix"
    while len(before[node]) == 1:
        node = before[node][0]
        if not graph.type_of(node).is_processor:
            return graph.names[node] or graph.describe(node)
    return "mix"
