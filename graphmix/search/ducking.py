"""Finding ducking: a track that makes way for another, such as a bass for the kick.

The error of a graph is known block by block as a function of a gain on each track (:mod:`graphmix.search.ride_frames`).
A sidechain compressor's gain follows from the level of its key, so a few thousand curves (key, time, threshold, slope)
are compared with the best gain that stays; the one that explains most is a trial: the compressor is inserted, and stays
if the loss over the song falls by more than a stated share of itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import torch

from graphmix.dsp.envelope import coefficient, smooth
from graphmix.graph.editing import insert_after, with_type
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.strips import find_strips
from graphmix.processors.dynamics import SidechainCompressor, knee
from graphmix.search.losses import LossTerms
from graphmix.search.objective import Objective
from graphmix.search.ride_frames import RideFrames, frames_of
from graphmix.search.rides import Grown, Place, find_places
from graphmix.spec import DB_PER_NEPER

KIND = "sidechain_compressor"
TIMES_MS = (20.0, 60.0, 120.0)
SLOPES = (0.35, 0.6, 0.85)
"""dB of gain that a dB of the key above the threshold takes away."""
BELOW_LOUD_DB = (6.0, 10.0, 15.0, 20.0)
"""Thresholds, below what the key exceeds in one block of twenty."""
KNEE_DB = 6.0
LEAST_SHARE = 0.035
"""Of the error that a curve has to explain beyond a gain that stays, to be tried."""
BEYOND_ITSELF = 1.5
"""So many times what a compressor on the track itself explains, whose level may go with the key's."""
LEAST_GAIN = 0.01
"""Share of the loss by which a compressor has to lower it."""
MOST_LEVEL_DB = 12.0
"""By which a track's fader may move with it."""
MOST = 4
"""Compressors at the most."""
_FLOOR_DB = -80.0


@dataclass(frozen=True)
class Ducking:
    """A compressor worth a trial.

    Args:
        place: what is ducked.
        key: number of the input that ducks it.
        threshold_db: of the key's level.
        slope: dB of gain for each dB above it.
        time_ms: of the smoothing.
        level_db: by which the track should be louder with it: its fader has made up for the dips.
        share: of the error that it explains.
    """

    place: Place
    key: int
    threshold_db: float
    slope: float
    time_ms: float
    level_db: float
    share: float


@torch.no_grad()
def key_levels(objective: Objective, graph: MixGraph, blocks: int, block_seconds: float) -> np.ndarray:
    """Smoothed level in dB at the end of each track's chain, [times, tracks, blocks]; tracks as the graph's inputs."""
    alone = _tracks_apart(graph)
    rate, count = graph.sample_rate, len(graph.input_names)
    total, frames = torch.zeros(len(TIMES_MS), count, blocks, dtype=torch.float64), torch.zeros(blocks)
    plan = objective.renderer.plan(alone.to(objective.device))
    for segment in objective.spread:
        stems = objective.read(segment.start, segment.length).stems
        signals = objective.renderer.run(plan, alone, objective.stems_for(alone, stems)).mix
        energy = signals.mean(1).square()
        scored = slice(segment.score_to - segment.weight, segment.score_to)
        place = torch.arange(segment.start + scored.start, segment.start + scored.stop)
        place = place.div(rate * block_seconds).long().clamp(0, blocks - 1)
        for row, time_ms in enumerate(TIMES_MS):
            alpha = coefficient(torch.full((count,), time_ms), rate)
            total[row].index_add_(1, place, smooth(energy.cpu(), alpha)[:, scored].double())
        frames.index_add_(0, place, torch.ones(len(place)))
    return np.asarray(10 * (total / frames.clamp(min=1) + 10 ** (_FLOOR_DB / 10)).log10())


def _tracks_apart(graph: MixGraph) -> MixGraph:
    """Each track through its own chain to an output of its own, in the order of the inputs."""
    apart = MixGraph([t for t in graph.types.types if t.is_processor], graph.sample_rate)
    rows = graph.rows().tolist()
    for name, strip in find_strips(graph).tracks.items():
        nodes = [apart.add("in", name=name)]
        for node in strip:
            kind = graph.type_of(node)
            own = graph.params[kind.name][rows[node]]
            values: dict[str, Any] = {p.name: own[kind.columns(p.name)].tolist() for p in kind.parameters}
            nodes.append(apart.add(kind.name, wet=float(graph.wet[node]), **values))
        apart.chain(*nodes, apart.add("out", name=name))
    return apart


def find_ducking(frames: RideFrames, levels: np.ndarray, places: list[Place]) -> Ducking | None:
    """The sidechain compressor that explains most of the error, if it explains enough.

    Args:
        frames: measured errors.
        levels: of :func:`key_levels`.
        places: what may be ducked.
    """
    if not places:
        return None
    ones = np.ones_like(frames.right)
    error = max(float(frames.errors(ones).sum()), 1e-30)
    every = [moments(frames, ones, place) for place in places]
    fits = _Fits(np.stack([gram for gram, _ in every]), np.stack([right for _, right in every]))
    steady = fits.left(np.ones((1, len(frames.energy))))
    own = np.zeros((len(places), levels.shape[1]), dtype=bool)
    for row, place in enumerate(places):
        own[row, list(place.tracks)] = True
    shares, curves = [], list(_curves(levels))
    for curve in curves:
        shares.append((steady - fits.left(curve.gains)) / error)
    if not curves:
        return None
    share = np.stack(shares, 1)  # [places, curves, slopes]
    is_own = own[:, [curve.key for curve in curves]][:, :, None]
    by_itself = np.where(is_own, share, 0.0).max((1, 2))
    least = np.maximum(LEAST_SHARE, BEYOND_ITSELF * by_itself)[:, None, None]
    worth = np.where(is_own | (share <= least), -np.inf, share)
    row, number, slope = (int(i) for i in np.unravel_index(int(worth.argmax()), worth.shape))
    if worth[row, number, slope] == -np.inf:
        return None
    curve = curves[number]
    level = float(fits.best_levels(curve.gains)[row, slope])
    level_db = float(np.clip(DB_PER_NEPER * np.log(max(level, 1e-3)), -MOST_LEVEL_DB, MOST_LEVEL_DB))
    where = curve.key, curve.threshold_db, SLOPES[slope], TIMES_MS[curve.time]
    return Ducking(places[row], *where, level_db, float(worth[row, number, slope]))


@dataclass(frozen=True)
class _Curve:
    """What a key's level asks of the gain, for all slopes."""

    key: int
    time: int
    threshold_db: float
    over_db: np.ndarray

    @property
    def gains(self) -> np.ndarray:
        """Of each slope and block, [slopes, blocks]."""
        return np.asarray(np.exp(-np.array(SLOPES)[:, None] * self.over_db / DB_PER_NEPER))


def _curves(levels: np.ndarray) -> Iterator[_Curve]:
    """What each track may do to the others, or to itself."""
    for key, time in product(range(levels.shape[1]), range(len(TIMES_MS))):
        level = levels[time, key]
        loud = float(np.percentile(level, 95))
        if loud > _FLOOR_DB + 20:
            for threshold in (loud - below for below in BELOW_LOUD_DB):
                over = knee(torch.from_numpy(level - threshold), torch.tensor(KNEE_DB)).numpy()
                yield _Curve(key, time, threshold, over)


@dataclass(frozen=True)
class _Fits:
    """Gains fitted to the error at several places; see :func:`moments`.

    Args:
        gram, right: of each place, [places, blocks].
    """

    gram: np.ndarray
    right: np.ndarray

    def left(self, gains: np.ndarray) -> np.ndarray:
        """Error that is left, less a constant, with the best level of gains [slopes, blocks]: [places, slopes]."""
        return np.asarray(-(self.right @ gains.T) * self.best_levels(gains))

    def best_levels(self, gains: np.ndarray) -> np.ndarray:
        """What these gains should be multiplied by, 0 or more, [places, slopes]."""
        return np.asarray((self.right @ gains.T).clip(min=0) / (self.gram @ (gains**2).T).clip(min=1e-30))


def moments(frames: RideFrames, gains: np.ndarray, place: Place) -> tuple[np.ndarray, np.ndarray]:
    """Of a gain on what passes a place: its square's and its own coefficient in each block, [blocks] each."""
    passing = np.zeros_like(gains)
    passing[:, list(place.tracks)] = gains[:, list(place.tracks)]
    products = np.einsum("fij,fj->fi", frames.gram, passing)
    right = (passing * frames.right).sum(1) - ((gains - passing) * products).sum(1)
    return (passing * products).sum(1), right


# --- trials


def grow_ducking(
    objective: Objective, graph: MixGraph, loss: LossTerms | None = None, least_gain: float = LEAST_GAIN
) -> Grown:
    """Insert the sidechain compressors that a song needs into a graph.

    Args:
        objective: the song.
        graph: fitted, or as it starts.
        loss: of the graph over the song, if it is known.
        least_gain: share of the loss by which a compressor has to lower it.
    """
    trials: list[dict[str, Any]] = []
    extended = objective.with_processor(SidechainCompressor(graph.sample_rate))
    current, known = graph, objective
    tracks = [place for place in find_places(graph) if len(place.tracks) == 1]
    while len(trials) < MOST:
        frames = frames_of(known, current, known.spread)
        levels = key_levels(known, current, len(frames.energy), frames.block_seconds)
        found = find_ducking(frames.only_measured(), levels[..., frames.measured], tracks)
        if found is None:
            break
        loss = known.evaluate(current) if loss is None else loss
        tried, after = _better(extended, with_type(current, SidechainCompressor(graph.sample_rate).node_type), found)
        kept = bool(after.total < (1 - least_gain) * loss.total)
        trials.append(
            _describe(graph, found) | {"loss_before": float(loss.total), "loss_after": float(after.total), "kept": kept}
        )
        if not kept:
            break
        current, known, loss = tried, extended, after
        tracks = [place for place in tracks if place.node != found.place.node]
    return Grown(current, loss, trials, known)


def _better(objective: Objective, graph: MixGraph, found: Ducking) -> tuple[MixGraph, LossTerms]:
    """With the track as loud as before or as it should be with the compressor, and the loss over the song."""
    graphs = [insert_ducking(graph, each) for each in (found, replace(found, level_db=0.0))]
    return min(((tried, objective.evaluate(tried)) for tried in graphs), key=lambda pair: float(pair[1].total))


def insert_ducking(graph: MixGraph, found: Ducking) -> MixGraph:
    """The graph with this compressor behind the chain of a track, keyed from behind the chain of another one."""
    inputs, graph = graph.nodes_of("in").tolist(), graph.clone()
    strip = find_strips(graph).tracks[graph.names[inputs[found.place.tracks[0]]]]
    faders = [node for node in strip if graph.type_of(node).name == "gain"]
    if faders:
        graph.params["gain"][int(graph.rows()[faders[-1]])] += found.level_db
    name = graph.names[inputs[found.key]]
    key = (inputs[found.key], *find_strips(graph).tracks[name])[-1]
    values: dict[str, Any] = {"threshold_db": found.threshold_db, "ratio": 1 / (1 - found.slope), "knee_db": KNEE_DB}
    graph = insert_after(graph, found.place.node, KIND, time_ms=found.time_ms, **values)
    return graph.connect(key, graph.num_nodes - 1, inlet=1)


def _describe(graph: MixGraph, found: Ducking) -> dict[str, Any]:
    names = graph.input_names
    values = {"threshold_db": found.threshold_db, "ratio": 1 / (1 - found.slope), "share": found.share}
    return {"place": found.place.name, "key": names[found.key], **{k: round(v, 4) for k, v in values.items()}}
