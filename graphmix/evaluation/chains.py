"""A console taken apart into chains, in a form in which two consoles that sound alike look alike.

A *place* is a track or a bus; its chain is what stands between it and the next sum. The chain of a bus that has one
track belongs to this track. What stands behind the sum of all buses is the place ``master``. What a search adds to a
console (rides, ducking, sends and their returns, alignment, an equalizer for the top octave) is left out: see
:mod:`graphmix.evaluation.records`. Made equal, so that none of these counts as a difference:

- *Nothing.* A processor that does nothing (dry/wet near 0, a gain of 0 dB, a ratio of 1, …) is absent.
- *Two of a kind.* Gains, equalizers and imagers that stand in a row, or with nothing but commuting processors between
  them, are one whose decibels add up. Dry/wet of these is part of their decibels.
- *Order.* Processors that commute (:mod:`graphmix.rewrite.commuting`) stand in the console's order, other filters
  beside the equalizer, other types behind.
- *Gains of a bus* are gains of its tracks, if nothing but commuting processors lie between and each track has one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from graphmix.errors import GraphError
from graphmix.graph.editing import remove_nodes
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.topology import Neighbours, follow, neighbours
from graphmix.rewrite.commuting import FILTERS, commute
from graphmix.rewrite.rates import TOP_OCTAVE
from graphmix.search.sends import without_unfed
from graphmix.spec import DB_PER_NEPER

NEUTRAL_DB = 0.1
"""A gain, side gain or equalizer that stays within this does nothing."""
NEUTRAL_WET = 0.005
"""As little of a processor does nothing."""
NEUTRAL_RATIO = 1.01
MASTER = "master"
"""The place behind the sum."""
ADDED = ("ride", "sidechain_compressor", "send", "align")
CONSOLE_ORDER = ("equalizer", "compressor", "noisegate", "imager", "gain", "delay", "reverb")
_FOLDED = {"gain": "gain_db", "imager": "side_db", "equalizer": "gain_db"}
"""Kinds whose dry/wet is part of their decibels, and the parameter that holds them."""


@dataclass(frozen=True)
class Piece:
    """A processor of a chain; of gain, imager and equalizer with dry/wet folded into the decibels.

    Args:
        kind: name of its type.
        wet: dry/wet weight; of several that were made one, the largest.
        values: parameter -> physical values.
        folded: whether dry/wet is part of the decibels already.
    """

    kind: str
    wet: float
    values: Mapping[str, Tensor]
    folded: bool = False


@dataclass(frozen=True)
class Chains:
    """The chains of a console by place, in canonical form.

    Args:
        by_place: place (``"track NAME"`` or ``"bus NAME"``) -> its processors, in order.
        skeleton: pairs (place, where its chain leads); ``"out"`` at the end.
        sample_rate: in Hz.
    """

    by_place: Mapping[str, tuple[Piece, ...]]
    skeleton: frozenset[tuple[str, str]]
    sample_rate: int = field(default=30000)

    def kinds(self, place: str) -> tuple[str, ...]:
        """Types of a chain; empty where there is no such place."""
        return tuple(piece.kind for piece in self.by_place.get(place, ()))

    def audible_kinds(self, place: str) -> tuple[str, ...]:
        """The same without what sound cannot tell apart: filters are of one type, and gains as far behind as they go.

        A zero-phase equalizer and a parametric one of the same curve differ in phase alone, which no magnitude
        spectrogram shows, and two filters in a row can be one. A gain that is equal on both sides may stand before or
        behind a compressor or a saturation, whose threshold or drive takes it up.
        """
        chain = list(self.by_place.get(place, ()))
        for start in reversed(range(len(chain))):
            at = start
            while chain[at].kind == "gain" and at + 1 < len(chain) and _commute(chain[at], chain[at + 1], levels=True):
                chain[at : at + 2] = chain[at + 1], chain[at]
                at += 1
        kinds = ["equalizer" if piece.kind in FILTERS else piece.kind for piece in chain]
        once = ("equalizer", "gain")
        return tuple(kind for k, kind in enumerate(kinds) if not (k and kind == kinds[k - 1] and kind in once))


def take_apart(graph: MixGraph, like: MixGraph | None = None) -> Chains:
    """The chains of a console in canonical form.

    Args:
        graph: tracks through chains to buses, buses through chains to the output, with or without a chain behind the
            sum; buses may be missing.
        like: which buses have one track is read from this graph, the true one; from `graph` itself by default.

    Raises:
        GraphError: a graph that is no console: a processor with several inputs or readers.
    """
    raw, skeleton = _raw_chains(graph)
    _, reference = (raw, skeleton) if like is None else _raw_chains(like)
    joined = _single_tracks(reference)
    tracks_of: dict[str, list[str]] = {}
    for place, target in skeleton:
        tracks_of.setdefault(target, []).append(place)
    chains = {place: canonical(pieces) for place, pieces in raw.items() if place not in joined}
    for bus, track in joined.items():
        if bus in raw and track in raw:
            chains[track] = canonical((*raw[track], *raw[bus]))
        elif bus in raw:
            chains[bus] = canonical(raw[bus])
    for bus in [place for place in chains if place.startswith("bus ")]:
        _absorb(chains, bus, tracks_of.get(bus, []))
    return Chains(chains, frozenset(skeleton), graph.sample_rate)


def canonical(pieces: Iterable[Piece]) -> tuple[Piece, ...]:
    """A chain without what does nothing, with two of a kind made one and commuting processors in order."""
    chain = [piece for piece in map(_folded, pieces) if not is_neutral(piece)]
    while (shorter := _with_two_merged(chain)) is not None:
        chain = shorter
    return tuple(_ordered([piece for piece in chain if not is_neutral(piece)]))


def is_neutral(piece: Piece) -> bool:
    """Whether it does nothing to any signal."""
    if piece.wet <= NEUTRAL_WET:
        return True
    if piece.kind in _FOLDED:
        return bool(piece.values[_FOLDED[piece.kind]].abs().max() <= NEUTRAL_DB)
    if "ratio" in piece.values:
        return float(piece.values["ratio"].max()) <= NEUTRAL_RATIO
    return False


def _raw_chains(graph: MixGraph) -> tuple[dict[str, tuple[Piece, ...]], set[tuple[str, str]]]:
    """Chains as they stand in the graph, and where each leads."""
    graph = _console_of(graph)
    before, after = neighbours(graph.node_type.numel(), graph.edges())
    rows, names = graph.rows().tolist(), graph.names
    kinds = [graph.types[index].name for index in graph.node_type.tolist()]
    chains: dict[str, tuple[Piece, ...]] = {}
    skeleton = set()
    for start, kind in enumerate(kinds):
        if kind not in ("in", "mix"):
            continue
        place = _place(kind, names[start], start)
        if place in chains:
            raise GraphError(f"two nodes of this graph are {place!r}; chains need names of their own.")
        pieces, node = [], start
        for node in follow(after, start):
            if kinds[node] in ("mix", "out"):
                break
            if len(before[node]) != 1:
                if not _leads_out(node, kinds, before, after):
                    raise GraphError(
                        f"{graph.describe(node)} has {len(before[node])} inputs: this graph is no console."
                    )
                behind = [node, *(n for n in follow(after, node) if kinds[n] != "out")]
                chains[MASTER] = tuple(_piece(graph, n, kinds[n], rows[n]) for n in behind)
                break
            pieces.append(_piece(graph, node, kinds[node], rows[node]))
        else:
            raise GraphError(f"{graph.describe(node)} leads to {len(after[node])} nodes: this graph is no console.")
        chains[place] = tuple(pieces)
        skeleton.add((place, _place("mix", names[node], node) if kinds[node] == "mix" else "out"))
    return chains, skeleton


def _leads_out(start: int, kinds: Sequence[str], before: Neighbours, after: Neighbours) -> bool:
    """Whether one chain of processors leads from a node to an output."""
    for node in follow(after, start):
        if kinds[node] == "out":
            return True
        if kinds[node] == "mix" or len(before[node]) != 1:
            return False
    return False


def _console_of(graph: MixGraph) -> MixGraph:
    """The graph without what a search adds to a console."""
    kinds = [graph.types[index].name for index in graph.node_type.tolist()]
    added = [n for n, kind in enumerate(kinds) if kind in ADDED or graph.names[n] == TOP_OCTAVE]
    return without_unfed(remove_nodes(graph, added)) if added else graph


def _place(kind: str, name: str, node: int) -> str:
    return f"{'track' if kind == 'in' else 'bus'} {name or f'number {node}'}"


def _piece(graph: MixGraph, node: int, kind: str, row: int) -> Piece:
    node_type = graph.type_of(node)
    values = graph.params[kind][row].detach().cpu().double()
    by_name = {p.name: values[node_type.columns(p.name)] for p in node_type.parameters}
    return Piece(kind, float(graph.wet[node]), by_name)


def _single_tracks(skeleton: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Buses that have one track and nothing else -> this track."""
    members: dict[str, list[str]] = {}
    for place, target in skeleton:
        members.setdefault(target, []).append(place)
    return {
        bus: places[0]
        for bus, places in members.items()
        if bus.startswith("bus ") and len(places) == 1 and places[0].startswith("track ")
    }


# --- equivalences


def _folded(piece: Piece) -> Piece:
    """Dry/wet as part of the decibels, where it can be: 20 log10(w g + 1 - w)."""
    name = _FOLDED.get(piece.kind)
    if name is None or piece.folded or piece.wet <= NEUTRAL_WET:
        return piece
    amplitude = torch.lerp(torch.ones_like(piece.values[name]), (piece.values[name] / DB_PER_NEPER).exp(), piece.wet)
    return replace(piece, values={**piece.values, name: amplitude.clamp(min=1e-6).log() * DB_PER_NEPER}, folded=True)


def _commute(one: Piece, other: Piece, *, levels: bool = False) -> bool:
    return commute((one.kind, one.values), (other.kind, other.values), levels=levels)


def _with_two_merged(chain: list[Piece]) -> list[Piece] | None:
    """The chain with the first two of a kind that can be made one; None if there are none."""
    for later in range(1, len(chain)):
        for earlier in range(later):
            at = _meeting(chain, earlier, later)
            if at is not None:
                rest = [*chain[:earlier], *chain[earlier + 1 : at + 1]], [*chain[at + 1 : later], *chain[later + 1 :]]
                return [*rest[0], _merged(chain[earlier], chain[later]), *rest[1]]
    return None


def _meeting(chain: Sequence[Piece], earlier: int, later: int) -> int | None:
    """Behind which place two of a kind can meet: one moves on to it, the other back; None if nowhere."""
    if chain[earlier].kind != chain[later].kind or chain[earlier].kind not in _FOLDED:
        return None
    for at in range(earlier, later):
        onward = all(_commute(chain[earlier], chain[k]) for k in range(earlier + 1, at + 1))
        back = all(_commute(chain[later], chain[k]) for k in range(at + 1, later))
        if onward and back:
            return at
    return None


def _merged(one: Piece, other: Piece) -> Piece:
    name = _FOLDED[one.kind]
    values = {**one.values, name: one.values[name] + other.values[name]}
    return Piece(one.kind, max(one.wet, other.wet), values, folded=True)


def _ordered(chain: list[Piece]) -> list[Piece]:
    """Neighbours that commute, in the console's order: other filters beside the equalizer, other types behind."""
    rank = dict.fromkeys(FILTERS, 0) | {kind: number for number, kind in enumerate(CONSOLE_ORDER)}
    chain = list(chain)
    for _ in chain:
        for at in range(len(chain) - 1):
            one, other = chain[at], chain[at + 1]
            places = [(rank.get(piece.kind, len(rank)), piece.kind) for piece in (one, other)]
            late = places[0] > places[1]
            if late and _commute(one, other):
                chain[at], chain[at + 1] = other, one
    return chain


def _absorb(chains: dict[str, tuple[Piece, ...]], bus: str, tracks: list[str]) -> None:
    """Move a bus's gain to its tracks, where each has one and everything between commutes with it."""
    at = next((k for k, piece in enumerate(chains[bus]) if piece.kind == "gain"), None)
    if at is None or not tracks:
        return
    gain = chains[bus][at]
    if not all(_commute(piece, gain) for piece in chains[bus][:at]):
        return
    longer = {track: [*chains.get(track, ()), gain] for track in tracks}
    if any(_last_partner(chain) is None for chain in longer.values()):
        return
    for track, chain in longer.items():
        chains[track] = canonical(chain)
    chains[bus] = (*chains[bus][:at], *chains[bus][at + 1 :])


def _last_partner(chain: Sequence[Piece]) -> int | None:
    """The processor that the last one can be merged with; None if there is none."""
    last = len(chain) - 1
    return next((k for k in range(last) if _meeting(chain, k, last) is not None), None)
