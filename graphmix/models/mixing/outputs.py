"""Outputs of the heads of an estimator: for each node whether it stays, its dry/wet weight and its parameters.

Nodes of all songs of a batch stand one after the other, as in a PyG batch.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from graphmix.graph.mixgraph import MixGraph
from graphmix.models.mixing.gain_staging import Offsets

KEPT_LOGIT = 20.0
"""Log odds with which a model that drops no node keeps all of them: in float32 a probability of 1."""


@dataclass(frozen=True, eq=False)
class Outputs:
    """Predictions for each node of the full graphs over the active tracks of some songs, N nodes in all.

    Args:
        consoles: a graph for each song on the CPU, with neutral parameters: what can be kept, and its names.
        tracks: names of the active tracks of each song, in canonical order.
        silent: names of the silent tracks of each song; they are in no console.
        keep_logit: log odds that a node stays, [N]; 0 for inputs, mixes and outputs.
        wet_logit: logit of its dry/wet weight, [N].
        coefficients: its parameters in the model's basis, {type: [nodes of the type, k]}, rows in node order.
        bus_logits: scores of the bus slots for each song, [active tracks, slots], if the model predicts subgroups.
        offsets: added to the parameters, {type: [nodes of the type, width]}, for models with gain staging; see
            :mod:`graphmix.models.mixing.gain_staging`.
    """

    consoles: tuple[MixGraph, ...]
    tracks: tuple[tuple[str, ...], ...]
    silent: tuple[tuple[str, ...], ...]
    keep_logit: Tensor
    wet_logit: Tensor
    coefficients: Mapping[str, Tensor]
    bus_logits: tuple[Tensor, ...] | None = None
    offsets: Offsets | None = None

    @property
    def node_type(self) -> Tensor:
        """Types of all nodes, [N], on the CPU."""
        return torch.cat([console.node_type for console in self.consoles])

    @property
    def always_kept(self) -> Tensor:
        """Nodes that the model never drops, bool [N]; it turns them down instead."""
        return self.keep_logit >= KEPT_LOGIT

    def weights(self) -> tuple[Tensor, Tensor]:
        """Dry/wet weight of each node, and the probability that it stays, [N] each."""
        return self.wet_logit.sigmoid(), self.keep_logit.sigmoid()

    def split(self) -> Iterator["Outputs"]:
        """The outputs of each song."""
        sizes = [console.node_type.numel() for console in self.consoles]
        keep, wet = self.keep_logit.split(sizes), self.wet_logit.split(sizes)
        rows = split_rows(self.consoles, self.coefficients)
        offsets = None if self.offsets is None else split_rows(self.consoles, self.offsets)
        for i, console in enumerate(self.consoles):
            logits = None if self.bus_logits is None else self.bus_logits[i : i + 1]
            parts = self.tracks[i : i + 1], self.silent[i : i + 1], keep[i], wet[i], rows[i], logits
            yield Outputs((console,), *parts, None if offsets is None else offsets[i])


def split_rows(consoles: Sequence[MixGraph], values: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    """Rows of each type by graph: {type: [nodes of all graphs, ...]} -> {type: [nodes, ...]} for each graph."""
    parts = {name: v.split([c.params[name].size(0) for c in consoles]) for name, v in values.items()}
    return [{name: part[i] for name, part in parts.items()} for i in range(len(consoles))]
