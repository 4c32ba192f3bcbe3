r"""Gain staging: tracks are encoded at a standard level, and their settings corrected for what was changed.

Dry tracks come at any level, and a fader has first of all to undo that. With x' = g x a chain does to x' what it did to
x if its thresholds move by g, and makes the same sound if its fader takes g back:

.. math:: f(g\,x;\ T + g_{dB},\ G - g_{dB}) = f(x;\ T, G)

(for a fader that is wholly wet, as faders are). So a model need not learn it from examples: features are those of the
track at :data:`STANDARD_DB`, the heads predict settings for it, and thresholds before the fader and the fader itself
are moved by the *excess*, the level of the track above the standard. Without a fader, thresholds are moved all the
same. Buses are left as they are.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from graphmix.audio.loudness import k_weighting
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.strips import find_strips
from graphmix.models.features import (
    OFFSET_DB,
    SCALE_DB,
    SILENCE,
    band_centers,
    loud_frames,
)
from graphmix.models.mixing.basis import clamp_inward
from graphmix.processors.rack import Rack
from graphmix.spec import NodeType

STANDARD_DB = -30.0
"""Loudness of an encoded track, in dB re full scale: about the mean of dry tracks."""
_FADER, _FADER_LEVEL, _THRESHOLD = "gain", "gain_db", "threshold_db"
_DEVIATION = 4
"""Row of :class:`Levels` that holds no level."""
Offsets = Mapping[str, Tensor]
"""Corrections added to the settings of a track at the standard level: {type: [nodes of the type, width]}, physical."""


class GainStaging(nn.Module):
    """The loudness of tracks by their features, and their features at the standard level.

    Loudness is that of the mean power over the loud frames, bands weighted as in ITU-R BS.1770.

    Args:
        sample_rate: in Hz.
        mels: number of bands.
        of_frames: features are spectrograms (:class:`LogMel`), else :class:`Levels`.
    """

    weights: Tensor

    def __init__(self, sample_rate: int, mels: int, of_frames: bool) -> None:
        super().__init__()
        self.of_frames = of_frames
        weights = torch.from_numpy(k_weighting(band_centers(sample_rate, mels))).float()
        self.register_buffer("weights", weights, persistent=False)

    def excess_db(self, features: Tensor) -> Tensor:
        """Level of tracks above the standard in dB, [tracks, 2, rows, bands] -> [tracks]."""
        return torch.stack([self._excess_db(track) for track in features]) if len(features) else features.new_zeros(0)

    def _excess_db(self, track: Tensor) -> Tensor:
        power = 10 ** ((track[:, :, : self.weights.numel()] * SCALE_DB - OFFSET_DB) / 10)
        power = power[:, loud_frames(power.sum(-1))].mean(1) if self.of_frames else power[:, 0]
        return 10 * (power @ self.weights).sum().log10() - STANDARD_DB

    def staged(self, features: Tensor, excess_db: Tensor) -> Tensor:
        """The features of the same tracks at the standard level, none below silence."""
        moved = (features - excess_db[:, None, None, None] / SCALE_DB).clamp(min=SILENCE)
        if not self.of_frames:
            moved[:, :, _DEVIATION] = features[:, :, _DEVIATION]
        return moved


def offsets_of(graph: MixGraph, tracks: Sequence[str], excess_db: Tensor) -> dict[str, Tensor]:
    """Corrections of the settings of tracks that were encoded at the standard level.

    Args:
        graph: on the CPU; inputs are named after the tracks.
        tracks: names.
        excess_db: of each, [tracks].
    """
    types, kinds, rows = graph.types.types, graph.node_type.tolist(), graph.rows().tolist()
    track = {name: number for number, name in enumerate(tracks)}
    moved: dict[str, tuple[list[int], list[int]]] = {t.name: ([], []) for t in types}
    for name, strip in find_strips(graph).tracks.items():
        for node in strip if name in track else ():
            kind = types[kinds[node]]
            moved[kind.name][0].append(rows[node])
            moved[kind.name][1].append(track[name])
            if kind.name == _FADER:
                break  # what follows receives the track as it is in the mix
    offsets = {}
    for t in types:
        if t.is_processor:
            here, of = moved[t.name]
            own = excess_db.new_zeros(graph.params[t.name].shape)
            for columns, sign in _levels(t):
                own[here, columns] = sign * excess_db[of, None]
            offsets[t.name] = own
    return offsets


def _levels(kind: NodeType) -> list[tuple[slice, float]]:
    """Columns of a type that are levels, and the sign with which each follows the level of the track."""
    signs = {_THRESHOLD: 1.0, **({_FADER_LEVEL: -1.0} if kind.name == _FADER else {})}
    return [(kind.columns(p.name), signs[p.name]) for p in kind.parameters if p.name in signs]


def put_back(params: Mapping[str, Tensor], offsets: Offsets, rack: Rack) -> dict[str, Tensor]:
    """Settings of tracks as they are, from those of the tracks at the standard level, within their ranges."""
    moved = {}
    for name, values in params.items():
        low, high = (bound.to(values) for bound in rack[name].node_type.bounds())
        moved[name] = clamp_inward(values + offsets[name].to(values), low, high)
    return moved
