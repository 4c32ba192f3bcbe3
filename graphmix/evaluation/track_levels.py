"""How loud each track is in a mix, relative to the mix: the decision that every listener hears first.

The relative level of a track is the loudness (BS.1770) of what the mix holds of it minus that of the mix, in LU, at
least :data:`LEAST_LU`. The level of a master cancels. What a mix holds of a track is known in two ways:

* *graph*: the track alone through its part of the graph;
* *fit*: the track times the gains of least squares that bring the sum of the tracks closest to the mix, on waveforms
  or on band powers, whichever of both sums has the smaller audio loss. Exact where the mix is gains and panning only;
  of effects it knows nothing.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from graphmix.audio.loudness import loudness
from graphmix.audio.song import Song
from graphmix.audio.subgroup_guess import guess_subgroup
from graphmix.graph.mixgraph import MixGraph
from graphmix.models.mixing.autoregressive import part_with_tracks
from graphmix.processors.rack import Rack
from graphmix.render.blocks import render_song
from graphmix.search.initialization import find_baselines
from graphmix.search.objective import Objective

LEAST_LU = -40.0
"""Softer than this beside the mix is as good as off."""
Source = Literal["graph", "fit"]


@dataclass(frozen=True)
class TrackLevels:
    """Relative levels of the tracks of one mix.

    Args:
        levels: name of a track -> its loudness minus that of the mix, in LU.
        source: how they are known.
    """

    levels: dict[str, float]
    source: Source


@torch.no_grad()
def levels_of_graph(graph: MixGraph, song: Song, rack: Rack | None = None, mix: Tensor | None = None) -> TrackLevels:
    """Relative levels by a graph: each track alone through its part of it.

    Args:
        graph: at the song's rate.
        song: the tracks.
        rack: processors of the graph; graphmix's own by default.
        mix: what the graph makes of the song, if it is known already.
    """
    mix = render_song(graph, song, rack) if mix is None else mix
    of_mix = loudness(mix, song.sample_rate)
    levels = {}
    for name in song.track_names:
        alone = render_song(part_with_tracks(graph, [name]), song.alone(name), rack, song.num_samples)
        levels[name] = max(LEAST_LU, loudness(alone, song.sample_rate) - of_mix)
    return TrackLevels(levels, "graph")


@torch.no_grad()
def levels_of_mix(song: Song, mix: Tensor | None = None) -> TrackLevels:
    """Relative levels in a mix whose graph is not known, by least squares.

    Args:
        song: with its mix.
        mix: another mix of the same tracks, [2, samples]; the song's own by default.
    """
    if mix is not None:
        song = song.with_mix(mix)
    levelled = find_baselines(Objective(song, Rack.console("g", song.sample_rate)), with_gains=True)[1:]
    gains = min(levelled, key=lambda baseline: float(baseline.loss.total)).gains
    assert gains is not None, "levelled sums have gains"
    whole = song.read(0, song.num_samples)
    assert whole.mix is not None, "the song has a mix"
    of_mix = loudness(whole.mix, song.sample_rate)
    scaled = zip(song.track_names, whole.stems, gains.to(whole.stems), strict=True)
    found = {name: loudness(track * gain[:, None], song.sample_rate) - of_mix for name, track, gain in scaled}
    return TrackLevels({name: max(LEAST_LU, level) for name, level in found.items()}, "fit")


def level_error(found: TrackLevels, wanted: TrackLevels) -> float:
    """Mean absolute difference of the relative levels over the tracks, in LU."""
    return sum(abs(found.levels[name] - level) for name, level in wanted.levels.items()) / len(wanted.levels)


def role_errors(found: TrackLevels, wanted: TrackLevels) -> dict[str, list[float]]:
    """Absolute differences by role: what the names of the tracks say they are, "drums", "bass", "lead vocals", …"""
    errors: dict[str, list[float]] = {}
    for name, level in wanted.levels.items():
        errors.setdefault(guess_subgroup(name).bus, []).append(abs(found.levels[name] - level))
    return errors
