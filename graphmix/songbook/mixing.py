"""Mixing a session: measure the tracks, decide, render each bus, measure it, decide, sum, set the master level.

The result is one graph and its sound. The master level has no node: it is taken up by the last linear gains before
the sum, which is the same to the ear.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from graphmix.errors import SongError
from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.base import Processor
from graphmix.songbook.effects import Setting, studio
from graphmix.songbook.engineer import Wish, decide_bus, decide_gain, decide_track
from graphmix.songbook.features import Features, measure
from graphmix.songbook.roles import Role, find_role
from graphmix.songbook.session import Luck, MixingStyle, Session
from graphmix.spec import NodeType

MIX_LOUDNESS_DB = -18.0
PEAK_CEILING_DB = -1.0
LEAD_LOUDNESS_DB = -21.0
"""Loudness of the lead in a small song."""
CROWDED_FROM = 6
"""With more tracks than this, each is mixed softer."""
_NONLINEAR = frozenset({"compressor", "noisegate"})


@dataclass(frozen=True)
class Mixed:
    """A mix: the console that made it, and its sound [2, samples]."""

    graph: MixGraph
    mix: Tensor


def mix_session(
    session: Session, style: MixingStyle, chance: float, seed: tuple[int, ...], *, gain_only: bool = False
) -> Mixed:
    """Mix as an engineer would.

    Args:
        session: dry tracks, roles and subgroups.
        style: of the engineer.
        chance: 0 to 1; 0 is what follows from the content and nothing else.
        seed: of chance; tracks are numbered in the session's order, buses after them.
        gain_only: nothing but gain and panning on each track.
    """
    roles = {track: find_role(role) for track, role in session.roles.items()}
    tracks = list(session.stems)
    played = through_gear(session)
    measured = {track: measure(played[track].numpy(), session.sample_rate) for track in tracks}
    wishes = find_wishes(measured, roles, style)
    chains: dict[str, list[Setting]] = {}
    for number, track in enumerate(tracks):
        luck = Luck((*seed, number), chance)
        if gain_only:
            chains[track] = decide_gain(measured[track], wishes[track], luck)
        else:
            f, role = measured[track], roles[track]
            chains[track] = decide_track(f, role, wishes[track], style, luck, session.sample_rate)
        if track in session.gear:
            chains[track] = [session.gear[track], *chains[track]]
    with torch.no_grad():
        buses = {bus: _render_bus(session, members, chains) for bus, members in session.subgroups.items()}
        bus_chains: dict[str, list[Setting]] = {bus: [] for bus in buses}
        for number, (bus, members) in enumerate(session.subgroups.items(), start=len(tracks)):
            if len(members) > 1 and not gain_only:
                f, luck = measure(buses[bus].numpy(), session.sample_rate), Luck((*seed, number), chance)
                family = roles[members[0]].family
                bus_chains[bus] = decide_bus(f, family, style, luck, session.sample_rate)
        mix = _render_mix(buses, bus_chains, session.sample_rate)
    master_db = _master(mix, session.sample_rate)
    chains, bus_chains = _with_master(session.subgroups, chains, bus_chains, master_db)
    graph = build_console(session.subgroups, chains, bus_chains, session.sample_rate, session.effects)
    return Mixed(graph, mix * 10 ** (master_db / 20))


def render_whole(session: Session, mixed: Mixed) -> Mixed:
    """The mix again, from its graph at once.

    A mix is made bus by bus, so that what its tracks' effects ring on after the song's end does not reach the effects
    of the bus. Where tracks sound to their end (noise, rooms), that would be a difference from the graph's own sound.
    """
    if all(len(members) < 2 for members in session.subgroups.values()):
        return mixed
    order = [track for members in session.subgroups.values() for track in members]
    sources = torch.stack([session.stems[track].expand(2, -1) for track in order])
    with torch.no_grad():
        return Mixed(mixed.graph, studio(session.sample_rate, session.effects)(mixed.graph, sources)[0])


def build_console(
    subgroups: Mapping[str, Sequence[str]],
    chains: Mapping[str, Sequence[Setting]],
    bus_chains: Mapping[str, Sequence[Setting]],
    sample_rate: int,
    effects: tuple[Processor, ...] = (),
    types: tuple[NodeType, ...] | None = None,
) -> MixGraph:
    """Tracks through their chains to their bus, buses through theirs to the output; of a console's types by default."""
    graph = MixGraph(studio(sample_rate, effects).rack.types if types is None else types, sample_rate)
    inputs = {track: graph.add("in", name=track) for members in subgroups.values() for track in members}
    out = graph.add("out", name="mix")
    for bus, members in subgroups.items():
        mix = graph.add("mix", name=bus)
        for track in members:
            graph.chain(inputs[track], *_add(graph, chains[track]), mix)
        graph.chain(mix, *_add(graph, bus_chains[bus]), out)
    return graph


def _add(graph: MixGraph, chain: Sequence[Setting]) -> list[int]:
    return [graph.add(kind, wet=wet, **values) for kind, wet, values in chain]


def through_gear(session: Session) -> dict[str, Tensor]:
    """The tracks as they reach the console, [1 or 2, samples] each.

    Raises:
        SongError: gear whose processor is not among the session's effects, or has other controls.
    """
    known = {effect.node_type.name: effect for effect in session.effects}
    played = dict(session.stems)
    for track, (kind, wet, values) in session.gear.items():
        if kind not in known:
            raise SongError(f"track {track!r} passes through the captured effect {kind!r}: give its file.")
        parameters = known[kind].node_type.parameters
        if {p.name: p.size for p in parameters} != {name: len(given) for name, given in values.items()}:
            names = ", ".join(p.name for p in parameters) or "none"
            raise SongError(f"track {track!r} sets {', '.join(values) or 'nothing'} of {kind!r}; it has: {names}.")
        params = torch.tensor([value for p in parameters for value in values[p.name]]).view(1, -1)
        with torch.no_grad():
            audio, _ = known[kind].mix(played[track].expand(2, -1)[None], params, torch.tensor([wet]))
        played[track] = audio[0] if played[track].size(0) == 2 else audio[0, :1]
    return played


def find_wishes(measured: Mapping[str, Features], roles: Mapping[str, Role], style: MixingStyle) -> dict[str, Wish]:
    """How loud and where: tracks of one role share a loudness, the brightest has its place, others stand around."""
    crowd_db = -10 * math.log10(max(1.0, len(measured) / CROWDED_FROM))
    by_role: dict[str, list[str]] = {}
    for track, role in roles.items():
        by_role.setdefault(role.name, []).append(track)
    wishes = {}
    for members in by_role.values():
        role = roles[members[0]]
        loudness = LEAD_LOUDNESS_DB + role.loudness_db + style.levels_db.get(role.family, 0.0) + crowd_db
        loudness -= 6 * math.log10(len(members))
        ranked = sorted(members, key=lambda track: (-measured[track].bright_db, track))
        for rank, track in enumerate(ranked):
            wishes[track] = Wish(loudness, max(-0.9, min(0.9, style.width * _place(role, rank))))
    return wishes


def _place(role: Role, rank: int) -> float:
    """The first stands where its role does, the next opposite, further ones nearer to the middle."""
    if role.family in ("bass", "drums") and role.place == 0:
        return 0.0
    if role.place == 0:
        return 0.0 if rank == 0 else (0.4 if rank % 2 else -0.4)
    return role.place * (1 if rank % 2 == 0 else -1) / (1 + rank // 2 * 0.5)


def _render_bus(session: Session, members: Sequence[str], chains: Mapping[str, Sequence[Setting]]) -> Tensor:
    """The sum of some tracks after their chains, [2, samples]."""
    graph = build_console({"bus": members}, chains, {"bus": []}, session.sample_rate, session.effects)
    sources = torch.stack([session.stems[track].expand(2, -1) for track in members])
    return studio(session.sample_rate, session.effects)(graph, sources)[0]


def _render_mix(buses: Mapping[str, Tensor], bus_chains: Mapping[str, Sequence[Setting]], sample_rate: int) -> Tensor:
    """The sum of the buses after their chains, [2, samples]; most have none."""
    plain = [audio for bus, audio in buses.items() if not bus_chains[bus]]
    treated = {bus: (bus,) for bus in buses if bus_chains[bus]}
    total = torch.stack(plain).sum(0) if plain else torch.zeros_like(next(iter(buses.values())))
    if not treated:
        return total
    graph = build_console(treated, bus_chains, {bus: [] for bus in treated}, sample_rate)
    return total + studio(sample_rate)(graph, torch.stack([buses[bus] for bus in treated]))[0]


def _master(mix: Tensor, sample_rate: int) -> float:
    """Gain in dB that brings a mix to its loudness, or as near as its peaks allow."""
    f = measure(mix.numpy(), sample_rate)
    return round(min(MIX_LOUDNESS_DB - f.loudness_db, PEAK_CEILING_DB - 0.01 - f.peak_db), 3)


def _with_master(
    subgroups: Mapping[str, Sequence[str]],
    chains: Mapping[str, list[Setting]],
    bus_chains: Mapping[str, list[Setting]],
    master_db: float,
) -> tuple[dict[str, list[Setting]], dict[str, list[Setting]]]:
    """The chains with the master's gain: on the bus where it is not linear, else on its tracks."""
    tracks, buses = dict(chains), dict(bus_chains)
    for bus, members in subgroups.items():
        if any(kind in _NONLINEAR for kind, _, _ in bus_chains[bus]):
            buses[bus] = _raised(bus_chains[bus], master_db)
        else:
            for track in members:
                tracks[track] = _raised(chains[track], master_db)
    return tracks, buses


def _raised(chain: Sequence[Setting], gain_db: float) -> list[Setting]:
    """The chain with its gain raised."""
    return [
        (kind, wet, {"gain_db": [round(g + gain_db, 3) for g in values["gain_db"]]} if kind == "gain" else values)
        for kind, wet, values in chain
    ]
