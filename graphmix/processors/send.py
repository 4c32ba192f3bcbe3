"""Sends: how much of a track a shared return gets."""

import torch
from torch import Tensor

from graphmix.processors.base import Processor
from graphmix.processors.levels import BALANCE_RATE, LEVEL_RANGE_DB, LEVEL_RATE, Gain
from graphmix.spec import DB_PER_NEPER, Linear, NodeType, ParameterSpec

START_DB = -6.0
"""Gain with which a search starts, while the dry/wet weight lets nothing through."""


class Send(Processor):
    r"""Adds a share of the signal at its second inlet to what comes into the first.

    .. math:: y = u_{in} + \exp(p_g) \cdot u_{send}

    The first inlet is usually open, so that a bypassed or pruned send is silence: the return that it feeds loses this
    track, and the track itself stays. Parameters and their raw numbers are those of a gain (equation 10).

    Params:
        gain_db [nodes, 2]: left and right gain of the send in dB; neutral is nothing, -120 dB.

    Shape:
        audio [nodes, 2 inlets, 2, samples] -> [nodes, 2, samples].
    """

    start_wet = 0.0

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        gain = ParameterSpec("gain_db", 2, "dB", *LEVEL_RANGE_DB, LEVEL_RANGE_DB[0], Linear(DB_PER_NEPER))
        self.node_type = NodeType("send", "u", (gain,), inlets=("in", "send"))

    to_raw, from_raw, project = Gain.to_raw, Gain.from_raw, Gain.project

    def fold(self, params: Tensor, wet: Tensor) -> Tensor:
        """The weight as a part of the gain: what comes into the first inlet passes at any weight."""
        return params + wet[:, None].clamp(min=1e-30).log() * DB_PER_NEPER

    def forward(self, audio: Tensor, params: Tensor) -> Tensor:
        """Process a batch of nodes; wet only."""
        factors = (self.get(params, "gain_db") / DB_PER_NEPER).exp()
        return audio[:, 0] + factors[..., None].to(audio.dtype) * audio[:, 1]

    def start(self, params: Tensor, generator: torch.Generator) -> Tensor:
        """A little below the track's own level."""
        return torch.full_like(params, START_DB)

    def rates(self) -> Tensor:
        """As a gain's."""
        return torch.tensor([LEVEL_RATE, BALANCE_RATE])
