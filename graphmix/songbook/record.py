"""Records: a mixed session with what lies between a real multitrack and its master.

A console's mix becomes a record: effects are shared by sends, a drum ducks another track, some tracks are nearly
masked, a chain on the master brings the mix to the level of a release, and the files do not fit one another: the mix is
late, tracks have moved, one is inverted. All of it is in the graph. Shares of songs are in :data:`CHANCES`.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.nn.functional import pad

from graphmix.graph.editing import insert_after, insert_before, keep_nodes, remove_nodes, retype
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.strips import find_strips
from graphmix.graph.topology import neighbours, reachable
from graphmix.processors.align import Align
from graphmix.processors.rack import Rack
from graphmix.render.blocks import BlockRenderer
from graphmix.songbook.effects import dynamics, echoes, equalizer, room
from graphmix.songbook.features import measure
from graphmix.songbook.mixing import Mixed
from graphmix.songbook.session import Session
from graphmix.spec import STRUCTURAL, TypeTable

CHANCES = {
    "reverb return": 0.6,
    "delay return": 0.3,
    "ducking": 0.3,
    "quiet track": 0.4,
    "master equalizer": 0.5,
    "master compressor": 0.6,
    "master limiter": 0.8,
    "late mix": 0.4,
    "moved track": 0.25,
    "inverted track": 0.2,
}
"""Share of the songs that have it."""
MASTER_LOUDNESS_DB = (-16.0, -11.0)
CEILING_DB = -1.0
QUIET_DB = (10.0, 16.0)
"""By how much a quiet track is softer than its role wants."""
DUCKED = ("bass", "synths", "keys", "guitars")
"""Families that a drum ducks."""
_SENT = ("vocals", "backing", "lead", "keys", "guitars", "synths")
"""Families that use returns."""


def make_record(session: Session, mixed: Mixed, families: dict[str, str], rng: Generator) -> Mixed:
    """The record of a mixed session: its graph with all that was added, and its sound.

    Args:
        session: dry tracks.
        mixed: its console and mix.
        families: of the tracks.
        rng: random numbers.
    """
    chances = {name: float(rng.random()) for name in CHANCES}
    wanted = {name for name, chance in CHANCES.items() if chances[name] < chance}
    desk = _Desk(session, _with_all_types(mixed.graph, session), families, rng)
    for kind in ("reverb", "delay"):
        if f"{kind} return" in wanted:
            desk.add_return(kind)
    if "quiet track" in wanted:
        desk.soften_a_track()
    if "ducking" in wanted:
        desk.duck()
    desk.add_master(wanted)
    if "moved track" in wanted or "inverted track" in wanted:
        desk.move_tracks("moved track" in wanted, "inverted track" in wanted)
    if "late mix" in wanted:
        desk.delay_mix()
    return _with_peaks_below(Mixed(desk.graph, desk.render()), CEILING_DB)


def _with_all_types(graph: MixGraph, session: Session) -> MixGraph:
    rack = Rack.standard(session.sample_rate)
    own = {t.name for t in rack.types}
    extra = [t for t in graph.types.types if t.is_processor and t.name not in own]
    aligned = Align(session.sample_rate).node_type
    return retype(graph, TypeTable((*STRUCTURAL, *rack.types, *extra, aligned)))


@dataclass
class _Desk:
    """A console that is being extended."""

    session: Session
    graph: MixGraph
    families: dict[str, str]
    rng: Generator

    @torch.no_grad()
    def render(self) -> Tensor:
        """The sound of the graph, [2, samples]."""
        rack = Rack.for_types(self.graph.types.types, self.session.sample_rate, self.session.effects)
        stems = torch.stack([self.session.stems[name].expand(2, -1) for name in self.graph.input_names])
        renderer = BlockRenderer(rack, self.graph)  # which knows how far the graph looks ahead
        ahead = pad(stems, (0, renderer.ahead))
        return renderer.render_block(ahead, 0, stems.size(-1))[0, :, : stems.size(-1)]

    def add_return(self, kind: str) -> None:
        """A shared effect in place of the tracks' own, fed by two or more of them."""
        tracks = [track for track in self.graph.input_names if self.families[track] in _SENT]
        if len(tracks) < 2:
            return
        count = int(self.rng.integers(2, min(5, len(tracks)) + 1))
        chosen = sorted(self.rng.choice(len(tracks), count, replace=False).tolist())
        for track in (tracks[index] for index in chosen):
            own = [n for n in find_strips(self.graph).tracks[track] if self.graph.type_of(n).name == kind]
            self.graph = remove_nodes(self.graph, own)
        rate = self.session.sample_rate
        if kind == "reverb":
            setting = room(rate, 1.0, round(float(self.rng.uniform(0.8, 2.4)), 2))
        else:
            setting = echoes(rate, 1.0, round(float(self.rng.uniform(0.2, 0.45)), 4))
        graph = self.graph = self.graph.clone()
        effect = graph.add(kind, **setting[2])
        low_cut = equalizer(rate, round(float(self.rng.uniform(120, 350)), 1), None, -3.0)
        returned = graph.add("mix", name=f"{kind} return")
        graph.chain(returned, effect, graph.add("equalizer", **low_cut[2]), int(graph.nodes_of("out")[0]))
        for track in (tracks[index] for index in chosen):
            level = round(float(self.rng.uniform(-14, -4)), 2)
            send = graph.add("send", gain_db=[level, level])
            graph.connect(self._end_of(track), send, inlet=1).connect(send, returned)

    def _end_of(self, track: str) -> int:
        """The last node of a track's chain."""
        strip = find_strips(self.graph).tracks[track]
        return strip[-1] if strip else self._input(track)

    def _input(self, track: str) -> int:
        return int(self.graph.nodes_of("in")[self.graph.input_names.index(track)])

    def soften_a_track(self) -> None:
        """One track that others nearly mask."""
        tracks = [track for track in self.graph.input_names if self.families[track] not in ("drums", "bass", "vocals")]
        if not tracks or len(self.graph.input_names) < 3:
            return
        track = tracks[int(self.rng.integers(len(tracks)))]
        faders = [n for n in find_strips(self.graph).tracks[track] if self.graph.type_of(n).name == "gain"]
        if faders:
            self.graph = self.graph.clone()
            row = int(self.graph.rows()[faders[-1]])
            self.graph.params["gain"][row] -= round(float(self.rng.uniform(*QUIET_DB)), 2)

    def duck(self) -> None:
        """A sidechain compressor on one track, keyed by the first drum, which is the kick where there is one."""
        keys = [track for track in self.graph.input_names if self.families[track] in ("drums", "percussion")]
        ducked = [track for track in self.graph.input_names if self.families[track] in DUCKED]
        if not keys or not ducked:
            return
        track = ducked[int(self.rng.integers(len(ducked)))]
        key = self._end_of(keys[0])
        loud_db = measure(self._signal_at(key).numpy(), self.session.sample_rate).loud_db
        values: dict[str, Any] = {
            "threshold_db": round(loud_db - float(self.rng.uniform(12, 18)), 2),
            "ratio": round(float(self.rng.uniform(3, 8)), 2),
            "knee_db": 6.0,
            "time_ms": round(float(self.rng.uniform(40, 140)), 1),
        }
        self.graph = insert_after(self.graph, self._end_of(track), "sidechain_compressor", **values)
        self.graph.connect(key, self.graph.num_nodes - 1, inlet=1)

    def _signal_at(self, node: int) -> Tensor:
        """What leaves a node, [2, samples]."""
        before, _ = neighbours(self.graph.node_type.numel(), self.graph.edges())
        kept = sorted(reachable(before, [node]))
        graph = keep_nodes(self.graph, kept)
        graph.connect(kept.index(node), graph.add("out"))
        return _Desk(self.session, graph, self.families, self.rng).render()

    def add_master(self, wanted: set[str]) -> None:
        """The chain behind the sum: equalizer, compressor, gain to the level of a release, limiter."""
        rate = self.session.sample_rate
        if "master equalizer" in wanted:
            bell = (round(float(self.rng.uniform(300, 3000)), 1), round(float(self.rng.uniform(-3, 3)), 2), 0.9)
            self._behind_the_sum("equalizer", equalizer(rate, 28.0, bell, round(float(self.rng.uniform(-1, 3)), 2))[2])
        if "master compressor" in wanted:
            f = measure(self.render().numpy(), rate)
            ratio, time_ms = float(self.rng.uniform(1.5, 3.0)), float(self.rng.uniform(15, 60))
            self._behind_the_sum("compressor", dynamics("compressor", f.loud_db - 5, ratio, 8.0, time_ms)[2])
        if "master limiter" not in wanted:
            return
        f = measure(self.render().numpy(), rate)
        level = float(self.rng.uniform(*MASTER_LOUDNESS_DB)) - f.loudness_db
        self._behind_the_sum("gain", {"gain_db": [round(level, 3)] * 2})
        times = {"lookahead_ms": round(float(self.rng.uniform(1, 5)), 2)}
        times["release_ms"] = round(float(self.rng.uniform(30, 200)), 1)
        self._behind_the_sum("limiter", {"ceiling_db": CEILING_DB, **times})

    def _behind_the_sum(self, kind: str, values: dict[str, Any]) -> None:
        self.graph = insert_before(self.graph, int(self.graph.nodes_of("out")[0]), kind, **values)

    def move_tracks(self, moved: bool, inverted: bool) -> None:
        """One track late or early, another one inverted."""
        names = self.graph.input_names
        order = self.rng.permutation(len(names)).tolist()
        for name, wanted in ((names[order[0]], moved), (names[order[-1]], inverted and len(names) > 1)):
            if not wanted:
                continue
            late = name == names[order[0]]
            sign = 1 if self.rng.random() < 0.7 else -1
            delay = sign * float(np.exp(self.rng.uniform(math.log(1.0), math.log(60.0)))) if late else 0.0
            samples = round(delay * self.session.sample_rate / 1000)
            delay_ms, polarity = 1000 * samples / self.session.sample_rate, 1.0 if late else -1.0
            self.graph = insert_after(
                self.graph, self._input(name), "align", f"{name} alignment", delay_ms=delay_ms, polarity=polarity
            )

    def delay_mix(self) -> None:
        """The look-ahead of a limiter, or an export that begins at another bar."""
        rate = self.session.sample_rate
        bounds = (40, 400) if self.rng.random() < 0.6 else (rate // 10, rate)
        samples = int(self.rng.integers(*bounds))
        self._behind_the_sum("align", {"delay_ms": 1000 * samples / rate})


def _with_peaks_below(mixed: Mixed, ceiling_db: float) -> Mixed:
    """A mix without a limiter may pass full scale: a gain before the output brings it below."""
    peak = float(mixed.mix.abs().max())
    limit = 10 ** (ceiling_db / 20)
    if peak <= limit:
        return mixed
    gain_db = 20 * math.log10(limit / peak)
    graph = insert_before(mixed.graph, int(mixed.graph.nodes_of("out")[0]), "gain", gain_db=[gain_db, gain_db])
    return replace(mixed, graph=graph, mix=mixed.mix * limit / peak)
