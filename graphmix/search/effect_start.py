"""Where captured effects start: on the tracks that a least-squares fit finds to have passed through them.

A device has no neutral setting, and its distortion looks to an equalizer like a boost of what the dry track lacks. So
before the equalizers are set, the mix is fitted by the dry tracks and by the same tracks through each effect, as in
:mod:`graphmix.search.levels`: of a track that is mixed with gain g and passes through an effect of dry/wet weight w,
the two gains are g (1 - w) and g w. That is exact where the mix has nothing but effects, gains and panning; else it is
a start, which the loss over the song has to confirm.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.base import Processor
from graphmix.search.levels import nodes_after_inputs, waveform_gains
from graphmix.search.objective import Objective

LEAST_WEIGHT = 0.2
"""Dry/wet weight from which a track counts as one that has passed through an effect: less is what an equalizer of a dry
track may look like."""


@dataclass(frozen=True)
class EffectStart:
    """What least squares found.

    Args:
        gains: of each track and channel, [tracks, 2].
        weights: effect -> dry/wet weight of each track, [tracks]; 0 for all but the strongest effect of a track.
    """

    gains: Tensor
    weights: dict[str, Tensor]

    @property
    def played(self) -> Tensor:
        """Whether each track passes through an effect, bool [tracks]."""
        return torch.stack(list(self.weights.values())).amax(0) > 0

    def on(self, graph: MixGraph, tracks: tuple[str, ...]) -> MixGraph:
        """The graph with these weights on the first node of the effect behind each track that has it."""
        graph = graph.clone()
        for name, weights in self.weights.items():
            for track, node, _ in nodes_after_inputs(graph, name, tracks):
                if float(weights[track]) > 0:
                    graph.wet[node] = float(weights[track])
        return graph


def captured_in(objective: Objective) -> list[Processor]:
    """The processors of the rack whose sound comes from a file, and that take one signal."""
    return [p for p in objective.rack if p.node_type.source and p.node_type.can_be_bypassed]


@torch.no_grad()
def find_effects(objective: Objective) -> EffectStart | None:
    """The tracks that have passed through a captured effect at its neutral settings; None if there is no such track."""
    effects, tracks = captured_in(objective), objective.song.num_tracks
    if not effects:
        return None

    def sources(stems: Tensor) -> Tensor:
        here = stems.to(objective.device)
        return torch.cat([stems, *(_through(effect, here).to(stems) for effect in effects)])

    gains = waveform_gains(objective, sources).unflatten(0, (1 + len(effects), tracks))
    total = gains.sum(0)
    shares = gains[1:].norm(dim=2) / total.norm(dim=1).clamp(min=1e-12)
    strongest = shares == shares.amax(0)
    shares = torch.where(strongest & (shares >= LEAST_WEIGHT), shares.clamp(max=1.0), 0.0)
    if not bool((shares > 0).any()):
        return None
    return EffectStart(total, {e.node_type.name: row for e, row in zip(effects, shares, strict=True)})


def _through(effect: Processor, stems: Tensor) -> Tensor:
    """Tracks [tracks, 2, samples] through an effect, wet only."""
    return effect(stems, effect.node_type.neutral().expand(stems.size(0), -1).to(stems))
