"""Moves: small edits of a graph's chains that a search may try, beside removing processors.

===========  ==============================================================================================  =====
move         what it does                                                                                    added
===========  ==============================================================================================  =====
``swap``     two neighbours of a chain change places                                                          0
``shift``    a processor goes to another place of its chain                                                   0
``replace``  another type takes a processor's place, with its settings as far as both have them               0
``insert``   a processor of any type at any place of a chain                                                  1
``split``    two of a type, each half as far from neutral, in the place of one                                1
``merge``    one in the place of two neighbours of one type, twice as far from neutral as their mean         -1
``gather``   one on a bus in the place of those of its type on most of its tracks                             < 0
``scatter``  one on each track of a bus in the place of one on the bus                                        > 0
===========  ==============================================================================================  =====

A move names nodes by the ids of a :class:`~graphmix.graph.sketch.Sketch`, so that it can still be made when others have
been made before it. Its new processors are numbered from -1 downwards. Which of its nodes are *free* is part of the
move: a trial fits their settings, and only theirs.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from graphmix.graph.sketch import Part, Sketch
from graphmix.spec import NodeType


@dataclass(frozen=True)
class Splice:
    """One place of a move.

    Args:
        run: ids that follow each other and are replaced; none: something is inserted.
        nodes: what takes their place: ids of the run, or -1 for the first new processor, -2 for the second, …
        behind: id of the node behind which something is inserted.
        before: id of the node before which something is inserted.
    """

    run: tuple[int, ...] = ()
    nodes: tuple[int, ...] = ()
    behind: int | None = None
    before: int | None = None


@dataclass(frozen=True)
class Move:
    """One edit.

    Args:
        name: of its kind.
        where: it happens, in words.
        splices: its places, in the order in which they are carried out.
        parts: new processors; the settings that they begin with.
        free: ids, or -1 and below, of the nodes whose settings a trial fits.
        added: how many processors the graph has more.
        raw_start: numbers of the new processors whose thresholds are to be fitted to the levels that come in.
        tracks: names of the inputs that pass its places.
    """

    name: str
    where: str
    splices: tuple[Splice, ...]
    parts: tuple[Part, ...] = ()
    free: tuple[int, ...] = ()
    added: int = 0
    raw_start: tuple[int, ...] = ()
    tracks: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells it from other moves of the same graph."""
        return self.name, self.splices, tuple(part.type.name for part in self.parts)

    def apply(self, sketch: Sketch, settings: Mapping[int, Part] | None = None) -> tuple[Sketch, dict[int, int]] | None:
        """The sketch after the move, and the id of each free node; None where it can no longer be made.

        Args:
            sketch: is not changed.
            settings: of free nodes, in the place of what they have.
        """
        settings, after = settings or {}, sketch.copy()
        ids: dict[int, int] = {}
        for number, part in enumerate(self.parts, 1):
            ids[-number] = after.add(settings.get(-number, part))
        for splice in self.splices:
            nodes = [ids.get(node, node) for node in splice.nodes]
            if not _carry_out(after, splice, nodes):
                return None
        for node in self.free:
            ids.setdefault(node, node)
            if node >= 0 and node in settings:
                after.parts[node] = settings[node]
        return after, {node: ids[node] for node in self.free}

    def to_json(self) -> dict[str, Any]:
        """Values from which :meth:`from_json` makes it again."""
        return {
            "name": self.name,
            "where": self.where,
            "splices": [[list(s.run), list(s.nodes), s.behind, s.before] for s in self.splices],
            "parts": [part_to_json(part) for part in self.parts],
            "free": list(self.free),
            "added": self.added,
            "raw_start": list(self.raw_start),
            "tracks": list(self.tracks),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any], types: Mapping[str, NodeType]) -> "Move":
        """The inverse of :meth:`to_json`, given the node types by name."""
        splices = tuple(Splice(tuple(run), tuple(nodes), *ends) for run, nodes, *ends in values["splices"])
        parts = tuple(part_from_json(part, types) for part in values["parts"])
        lists = {name: tuple(values[name]) for name in ("free", "raw_start", "tracks")}
        return cls(values["name"], values["where"], splices, parts, added=values["added"], **lists)


def _carry_out(sketch: Sketch, splice: Splice, nodes: Sequence[int]) -> bool:
    """Make one change in place, if that is possible."""
    if splice.run:
        if not sketch.is_run(splice.run):
            return False
        sketch.replace(splice.run, nodes)
        return True
    anchor = splice.behind if splice.behind is not None else splice.before
    if anchor not in sketch.parts:
        return False
    for node in nodes:
        if splice.behind is not None:
            sketch.insert_after(anchor, node)
        else:
            sketch.insert_before(anchor, node)
    return True


def part_to_json(part: Part) -> list[Any]:
    """JSON values of a processor."""
    return [part.type.name, part.values.tolist(), part.wet, part.name]


def part_from_json(values: Sequence[Any], types: Mapping[str, NodeType]) -> Part:
    """The inverse of :func:`part_to_json`."""
    name, numbers, wet, label = values
    return Part(types[name], torch.tensor(numbers, dtype=torch.float32), float(wet), label)


# --- the moves of one place


def swap(sketch: Sketch, chain: Sequence[int], place: int, where: str) -> Move:
    """The node at a place and the next one change places; both are free."""
    pair = chain[place], chain[place + 1]
    names = " and ".join(sketch.parts[node].type.name for node in pair)
    return Move("swap", f"{names} of {where}", (Splice(pair, pair[::-1]),), free=pair)


def shift(sketch: Sketch, chain: Sequence[int], place: int, to: int, where: str) -> Move:
    """The node at one place of a chain goes to another one; it is free."""
    low, high = sorted((place, to))
    run = tuple(chain[low : high + 1])
    rest = [node for node in run if node != chain[place]]
    nodes = (*rest, chain[place]) if to > place else (chain[place], *rest)
    name = sketch.parts[chain[place]].type.name
    return Move("shift", f"{name} of {where} to place {to + 1}", (Splice(run, nodes),), free=(chain[place],))


def substitute(sketch: Sketch, node: int, part: Part, where: str, *, fresh: bool) -> Move:
    """Another processor takes a node's place.

    Args:
        sketch: of the graph.
        node: that goes.
        part: the other processor.
        where: in words.
        fresh: the part has start values, whose thresholds are to be fitted.
    """
    text = f"{sketch.parts[node].type.name} of {where} by {part.type.name}"
    return Move("replace", text, (Splice((node,), (-1,)),), (part,), (-1,), raw_start=(-1,) if fresh else ())


def insert(splice: Splice, part: Part, where: str) -> Move:
    """A processor at a place where there is none."""
    return Move("insert", f"{part.type.name} on {where}", (splice,), (part,), (-1,), 1, raw_start=(-1,))


def split(sketch: Sketch, node: int, halves: tuple[Part, Part], where: str) -> Move:
    """Two processors in the place of one."""
    name = sketch.parts[node].type.name
    return Move("split", f"{name} of {where}", (Splice((node,), (-1, -2)),), halves, (-1, -2), 1)


def merge(sketch: Sketch, pair: Sequence[int], part: Part, where: str) -> Move:
    """One processor in the place of two neighbours."""
    name = sketch.parts[pair[0]].type.name
    return Move("merge", f"two {name}s of {where}", (Splice(tuple(pair), (-1,)),), (part,), (-1,), -1)


def gather(bus: Splice, part: Part, nodes: Sequence[int], where: str) -> Move:
    """One processor on a bus in the place of those of its type on the tracks."""
    splices = (*(Splice((node,)) for node in nodes), bus)
    text = f"{len(nodes)} {part.type.name}s of {where}"
    return Move("gather", text, splices, (part,), (-1,), 1 - len(nodes))


def scatter(node: int, part: Part, tracks: Sequence[Splice], where: str) -> Move:
    """One processor on each track in the place of one on their bus."""
    numbers = tuple(range(-1, -len(tracks) - 1, -1))
    splices = (Splice((node,)), *(replace(s, nodes=(n,)) for s, n in zip(tracks, numbers, strict=True)))
    text = f"{part.type.name} of {where} to {len(tracks)} tracks"
    return Move("scatter", text, splices, (part,) * len(tracks), numbers, len(tracks) - 1)


def places_of(sketch: Sketch, chain: Sequence[int]) -> Iterator[Splice]:
    """Where something may be inserted into a chain of one processor or more."""
    yield Splice(nodes=(-1,), before=chain[0])
    for node in chain:
        if len(sketch.parts[node].type.outlets) == 1:
            yield Splice(nodes=(-1,), behind=node)
