"""Which rules of :mod:`graphmix.training.rules` a proposal breaks, by its sound: measured, not read off its settings.

Low parts are rendered in the graph as it is, all other tracks silent; true peaks are those of the mix at four times its
rate by SciPy's polyphase filters; whether gates stand behind tracks that never pause follows from the edges.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from graphmix.audio.loudness import LOWEST_LUFS, loudness
from graphmix.audio.song import Song
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.topology import neighbours, reachable
from graphmix.processors.rack import Rack
from graphmix.render.renderer import Renderer
from graphmix.training.rules import (
    GATES,
    MONO_DB,
    Rules,
    balance_db,
    is_low_part,
    is_mono,
    pans_nothing,
    sustained_tracks,
    width_db,
)

OFF_MIDDLE_DB = 1.0
"""Difference of left and right from which a part is not in the middle."""
_TOLERANCE_DB = 0.02
_OVERSAMPLING = 4


@dataclass(frozen=True)
class Broken:
    """A broken rule: its name, and what was found, in words."""

    rule: str
    what: str


@torch.no_grad()
def broken_rules(graph: MixGraph, song: Song, rack: Rack, rules: Rules, mix: Tensor | None = None) -> list[Broken]:
    """The rules that a proposal breaks.

    Args:
        graph: at the song's rate, on the CPU.
        song: its tracks; the whole song is in memory at once.
        rack: processors of the graph.
        rules: that it should keep.
        mix: its sound, [2, samples]; rendered in one piece where it is not given.
    """
    stems = song.read(0, song.num_samples).stems
    rows = [song.track_names.index(name) for name in graph.input_names]
    sources, renderer = stems[rows], Renderer(rack)
    mix = renderer(graph, sources).sum(0) if mix is None else mix
    found = []
    for row, name in enumerate(graph.input_names if rules.centered else ()):
        if name in rules.placed or not is_low_part(name):
            continue
        alone = torch.zeros_like(sources)
        alone[row] = sources[row]
        off = balance_db(renderer(graph, alone).sum(0))
        if abs(off) > OFF_MIDDLE_DB:
            found.append(Broken("centered", f"{name}: left is {off:+.1f} dB re right"))
    if rules.mono and is_mono(song) and pans_nothing(graph) and width_db(mix) > MONO_DB + _TOLERANCE_DB:
        found.append(Broken("mono", f"side channel at {width_db(mix):.1f} dB re mid"))
    found += _headroom(mix, song.sample_rate, rules)
    return found + (_gates(graph, song) if rules.gates else [])


def _headroom(mix: Tensor, sample_rate: int, rules: Rules) -> list[Broken]:
    lufs, found = loudness(mix, sample_rate), list[Broken]()
    if lufs <= LOWEST_LUFS:
        return found
    if rules.peak_db is not None:
        from scipy import signal  # here: it takes long to import

        peak = np.abs(signal.resample_poly(mix.double().numpy(), _OVERSAMPLING, 1, axis=1)).max()
        peak_db = 20 * np.log10(max(float(peak), float(mix.abs().max())))
        if peak_db > rules.peak_db + _TOLERANCE_DB:
            found.append(Broken("peak", f"true peak of {peak_db:.2f} dB"))
    if rules.lufs is not None and not rules.lufs[0] - _TOLERANCE_DB <= lufs <= rules.lufs[1] + _TOLERANCE_DB:
        found.append(Broken("loudness", f"{lufs:.2f} LUFS"))
    return found


def _gates(graph: MixGraph, song: Song) -> list[Broken]:
    sustained = sustained_tracks(song)
    before, _ = neighbours(graph.node_type.numel(), graph.edges())
    names, inputs = graph.names, set(graph.nodes_of("in").tolist())
    found = []
    for node in range(graph.node_type.numel()):
        if graph.type_of(node).name in GATES and float(graph.wet[node]) > 0:
            behind = {names[source] for source in reachable(before, [node]) & inputs} & sustained
            found += [Broken("gates", f"{graph.describe(node)} behind {name}") for name in sorted(behind)]
    return found
