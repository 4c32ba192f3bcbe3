"""Degradations of a mix in known sizes, and whether a distance ranks them by size.

A check of objectives without listeners: of two errors of one kind at one place the larger one has to be farther from
the mix. Each degradation is an edit of the true graph of a song, rendered from its dry tracks; those of one kind and
direction, small to large, are the steps of a *ladder*. Every pair of steps of a ladder is compared. Pairs of two
ladders are compared only where their sizes mean the same, and one is at least twice the other (:data:`FACTOR`):

- a lead that is too loud and one that is too soft, both in dB;
- those and a lead whose spectrum is tilted, by the mean of the absolute gain error over the octaves from 125 Hz to
  8 kHz, in dB;
- a mix that is too wide and one that is too narrow, in dB of its side.

Other sizes (a share of a reverb, a ratio, a place) have no common unit, and are not compared with one another.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from graphmix.errors import GraphError
from graphmix.graph.editing import insert_after, insert_before, with_type
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.strips import find_strips
from graphmix.processors.rack import Rack
from graphmix.render.renderer import Renderer

LEVELS_DB = (0.5, 1.0, 2.0, 4.0, 6.0)
TILTS_DB_PER_OCTAVE = (0.5, 1.0, 2.0)
WIDTHS_DB = (1.5, 3.0, 6.0)
PLACES = (0.1, 0.25, 0.6)
"""How far a track in the middle is moved aside; 1 is all the way."""
SHARES = (0.25, 0.5, 1.0)
"""How much of a reverb, an echo, a compression or a panning is missing, or of the first two too much."""
RATIOS = (1.5, 3.0, 10.0)
"""Of a compressor that should not be there, with its level made up for."""
FACTOR = 2.0

_TILT_OCTAVES = 3
_MEAN_OCTAVES = 12 / 7
"""Mean distance of the octaves from 125 Hz to 8 kHz from 1 kHz."""
_THRESHOLD_QUANTILE = 0.25
_FRAME_SECONDS = 0.02
_SILENT_DB = -60.0
_PANNED = 0.2


@dataclass(frozen=True)
class Step:
    """One step of a ladder.

    Args:
        kind: what is wrong, a row of a table.
        ladder: kind and direction.
        size: of the error.
        unit: of the size.
        group: ladders whose amounts can be compared; empty if none can.
        amount: the size in the unit of the group.
    """

    kind: str
    ladder: str
    size: float
    unit: str
    group: str = ""
    amount: float = 0.0


class Degradation(NamedTuple):
    """A step, and the true graph edited by it."""

    step: Step
    graph: MixGraph


def degradations(graph: MixGraph, stems: Mapping[str, Tensor], lead: str) -> list[Degradation]:
    """All degradations that a song allows; those of what it has not (a reverb, a panned track) are left out.

    Args:
        graph: the true graph, in console form.
        stems: track -> its samples, [2, samples].
        lead: the track that is degraded where only one is.

    Raises:
        GraphError: the graph has no such track.
    """
    if lead not in graph.input_names:
        raise GraphError(f"the graph has no track {lead!r}; its tracks are: {', '.join(graph.input_names)}.")
    console = Rack.console("ecsg", graph.sample_rate)
    for kind in ("equalizer", "compressor", "imager", "gain"):
        if kind not in graph.types.names:
            graph = with_type(graph, console[kind].node_type)
    makers = (_levels, _tilts, _over_compressed, _moved_aside)
    found = [degradation for make in makers for degradation in make(graph, stems, lead)]
    for make_from_graph in (_widths, _wet, _less_compressed, _moved_to_the_middle):
        found += make_from_graph(graph)
    return found


def with_errors(graph: MixGraph, lead: str, level_db: float, seed: int) -> MixGraph:
    """The graph with the levels of all tracks but the lead off, as in a search that has not ended.

    Args:
        graph: the true graph.
        lead: the track that stays as it is.
        level_db: standard deviation of the errors.
        seed: of the errors.
    """
    rng = np.random.default_rng((23, seed))
    for track in graph.input_names:
        error = level_db * float(rng.standard_normal())
        if track != lead:
            graph = insert_after(graph, _end(graph, track), "gain", gain_db=[error] * 2)
    return graph


# --- the lead


def _levels(graph: MixGraph, _: Mapping[str, Tensor], lead: str) -> Iterator[Degradation]:
    for direction, sign in (("louder", 1), ("softer", -1)):
        for size in LEVELS_DB:
            edited = insert_after(graph, _end(graph, lead), "gain", gain_db=[sign * size] * 2)
            yield Degradation(Step("lead level", f"lead {direction}", size, "dB", "lead", size), edited)


def _tilts(graph: MixGraph, _: Mapping[str, Tensor], lead: str) -> Iterator[Degradation]:
    bins = graph.types[graph.types.index("equalizer")].width
    hertz = torch.arange(bins).clamp(min=1) * (graph.sample_rate / (2 * bins - 1))
    octaves = (hertz / 1000).log2().clamp(-_TILT_OCTAVES, _TILT_OCTAVES)
    for direction, sign in (("brighter", 1), ("darker", -1)):
        for size in TILTS_DB_PER_OCTAVE:
            gains = (sign * size * octaves).tolist()
            edited = insert_after(graph, _end(graph, lead), "equalizer", gain_db=gains)
            amount = size * _MEAN_OCTAVES
            yield Degradation(Step("equalizer tilt", f"lead {direction}", size, "dB/octave", "lead", amount), edited)


def _over_compressed(graph: MixGraph, stems: Mapping[str, Tensor], lead: str) -> Iterator[Degradation]:
    """A compressor before the lead's chain, and a gain that makes up for its level."""
    audio, rack = stems[lead], Rack.console("cg", graph.sample_rate)
    threshold = _quantile_db(audio, graph.sample_rate)
    start = graph.nodes_of("in")[graph.input_names.index(lead)].item()
    for ratio in RATIOS:
        settings = {"threshold_db": threshold, "ratio": ratio, "knee_db": 6.0, "time_ms": 20.0}
        alone = MixGraph(rack.types, graph.sample_rate)
        alone.chain(alone.add("in", name=lead), alone.add("compressor", **settings), alone.add("out", name="mix"))
        with torch.no_grad():
            compressed = Renderer(rack)(alone, audio[None])[0]
        lost_db = 10 * math.log10(float(audio.square().mean()) / float(compressed.square().mean()))
        edited = insert_after(graph, int(start), "gain", gain_db=[lost_db] * 2)
        edited = insert_after(edited, int(start), "compressor", **settings)
        yield Degradation(Step("compression", "lead compressed too much", ratio, ": 1"), edited)


def _moved_aside(graph: MixGraph, _: Mapping[str, Tensor], lead: str) -> Iterator[Degradation]:
    fader = _fader(graph, lead)
    if fader is None or abs(place := _place(graph, fader)) >= _PANNED:
        return
    for size in PLACES:
        edited = _panned(graph, fader, place + (size if place <= 0 else -size))
        yield Degradation(Step("pan", "lead moved aside", size, ""), edited)


# --- what the graph has


def _moved_to_the_middle(graph: MixGraph) -> Iterator[Degradation]:
    """The track that is farthest from the middle."""
    faders = [fader for track in graph.input_names if (fader := _fader(graph, track)) is not None]
    fader = max(faders, key=lambda node: abs(_place(graph, node)), default=None)
    if fader is None or abs(place := _place(graph, fader)) < _PANNED:
        return
    for share in SHARES:
        edited = _panned(graph, fader, (1 - share) * place)
        yield Degradation(Step("pan", "a track moved to the middle", share, "of its place"), edited)


def _widths(graph: MixGraph) -> Iterator[Degradation]:
    (out,) = graph.nodes_of("out").tolist()
    for direction, sign in (("wider", 1), ("narrower", -1)):
        for size in WIDTHS_DB:
            edited = insert_before(graph, out, "imager", side_db=sign * size)
            yield Degradation(Step("stereo width", f"mix {direction}", size, "dB", "width", size), edited)


def _wet(graph: MixGraph) -> Iterator[Degradation]:
    """Less and more of all reverbs, and of all delays."""
    for kind, name in (("reverb", "reverb level"), ("delay", "delay level")):
        nodes = graph.nodes_of(kind) if kind in graph.types.names else torch.zeros(0, dtype=torch.long)
        if not nodes.numel():
            continue
        for direction, sign in (("missing", -1), ("too much", 1)):
            for share in SHARES:
                edited = graph.clone()
                edited.wet[nodes] = (edited.wet[nodes] * (1 + sign * share)).clamp(max=1.0)
                yield Degradation(Step(name, f"{kind} {direction}", share, "of its level"), edited)


def _less_compressed(graph: MixGraph) -> Iterator[Degradation]:
    """All compressors of the graph."""
    rows = graph.params["compressor"].size(0)
    if not rows:
        return
    column = graph.types[graph.types.index("compressor")].columns("ratio")
    for share in SHARES:
        edited = graph.clone()
        ratio = edited.params["compressor"][:, column]
        edited.params["compressor"][:, column] = 1 + (1 - share) * (ratio - 1)
        yield Degradation(Step("compression", "compression missing", share, "of the ratio"), edited)


# --- places


def _end(graph: MixGraph, track: str) -> int:
    """The last node of a track's strip; its input if it has no processors."""
    strip = find_strips(graph).tracks[track]
    return strip[-1] if strip else int(graph.nodes_of("in")[graph.input_names.index(track)])


def _fader(graph: MixGraph, track: str) -> int | None:
    """The last gain of a track's strip."""
    gains = [node for node in find_strips(graph).tracks[track] if graph.type_of(node).name == "gain"]
    return gains[-1] if gains else None


def _place(graph: MixGraph, fader: int) -> float:
    """Where a gain puts a mono track by equal powers, -1 (left) to 1 (right)."""
    left, right = (10 ** (graph.params["gain"][int(graph.rows()[fader])].double() / 20)).tolist()
    return math.atan2(right, left) * 4 / math.pi - 1


def _panned(graph: MixGraph, fader: int, place: float) -> MixGraph:
    """The graph with a gain at another place, of the same power."""
    edited = graph.clone()
    gains = edited.params["gain"][int(edited.rows()[fader])]
    power_db = 10 * math.log10(float((10 ** (gains.double() / 10)).sum()))
    angle = (max(-1.0, min(1.0, place)) + 1) * math.pi / 4
    sides = torch.tensor([math.cos(angle), math.sin(angle)]).clamp(min=1e-3)
    gains.copy_(power_db + 20 * sides.log10())
    return edited


def _quantile_db(audio: Tensor, sample_rate: int) -> float:
    """The level below which a quarter of the frames lie that sound."""
    frame = round(_FRAME_SECONDS * sample_rate)
    mid = audio.mean(0)
    power = mid[: mid.numel() // frame * frame].view(-1, frame).square().mean(1)
    levels = 10 * power.clamp(min=1e-12).log10()
    loud = levels[levels > _SILENT_DB]
    return float(loud.quantile(_THRESHOLD_QUANTILE)) if loud.numel() else _SILENT_DB


# --- ranking


@dataclass(frozen=True)
class Order:
    """How many pairs are in the order of their sizes."""

    right: int = 0
    of: int = 0

    def __add__(self, other: "Order") -> "Order":
        return Order(self.right + other.right, self.of + other.of)

    @property
    def share(self) -> float:
        """1 where there is no pair."""
        return self.right / self.of if self.of else 1.0


def order_within(steps: Iterable[tuple[Step, float]]) -> dict[str, Order]:
    """Pairs of the same ladder, by kind; a pair of equal distances is not in order.

    Args:
        steps: of one song, each with its distance from the true mix.

    >>> steps = [(Step("level", "louder", size, "dB"), size**2) for size in (1.0, 2.0, 4.0)]
    >>> order_within(steps)
    {'level': Order(right=3, of=3)}
    """
    orders: dict[str, Order] = {}
    for (one, near), (other, far) in combinations(steps, 2):
        if (one.kind, one.ladder) == (other.kind, other.ladder) and one.size != other.size:
            right = (near < far) if one.size < other.size else (far < near)
            orders[one.kind] = orders.get(one.kind, Order()) + Order(int(right), 1)
    return orders


def order_across(steps: Iterable[tuple[Step, float]]) -> dict[str, Order]:
    """Pairs of different ladders whose amounts can be compared, by group; arguments as :func:`order_within`."""
    orders: dict[str, Order] = {}
    for (one, near), (other, far) in combinations(steps, 2):
        if not one.group or one.group != other.group or (one.kind, one.ladder) == (other.kind, other.ladder):
            continue
        if one.amount > other.amount:
            (one, near), (other, far) = (other, far), (one, near)
        if other.amount >= FACTOR * one.amount:
            orders[one.group] = orders.get(one.group, Order()) + Order(int(near < far), 1)
    return orders
