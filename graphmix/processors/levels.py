"""Gain/panning and stereo imager: matrices on (left, right) (appendix B.1 and B.2 of the pruning paper)."""

import torch
from torch import Tensor

from graphmix.processors.base import MatrixProcessor, mixed_db
from graphmix.spec import DB_PER_NEPER, Linear, NodeType, ParameterSpec

LEVEL_RANGE_DB = (-120.0, 60.0)
"""Far beyond any fader, and still without overflow in float32."""
LEVEL_RATE, BALANCE_RATE = 0.3, 0.03
"""Step sizes of a gain. A level moves all that passes the node, and a balance out of tune makes a side channel, which
counts by its share of the target's: where that is weak, a balance that wanders costs more than all else."""


class Gain(MatrixProcessor):
    r"""Gain and panning: one gain for each channel.

    .. math:: y[n] = \exp(p_g) \cdot u[n]

    Equation 10; the parameter is the same number in dB. Raw numbers are level and balance, the half sum and the half
    difference of left and right: an optimizer that scales each number by its own gradient then finds a common level
    without moving the image.

    Params:
        gain_db [nodes, 2]: left and right gain in dB.

    Shape:
        audio [nodes, 2, samples] -> the same.
    """

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        gain = ParameterSpec("gain_db", 2, "dB", *LEVEL_RANGE_DB, 0.0, Linear(DB_PER_NEPER))
        self.node_type = NodeType("gain", "g", (gain,))

    def matrix(self, params: Tensor) -> Tensor:
        """Diagonal matrices, [nodes, 2, 2]."""
        return torch.diag_embed((self.get(params, "gain_db") / DB_PER_NEPER).exp())

    def fold(self, params: Tensor, wet: Tensor) -> Tensor:
        """Each gain mixed with 1."""
        return mixed_db(params, wet)

    def to_raw(self, params: Tensor) -> Tensor:
        """Left and right to level and balance."""
        left, right = (params / DB_PER_NEPER).unbind(1)
        return torch.stack([(left + right) / 2, (left - right) / 2], dim=1)

    def from_raw(self, raw: Tensor) -> Tensor:
        """Level and balance to left and right."""
        level, balance = raw.unbind(1)
        return torch.stack([level + balance, level - balance], dim=1) * DB_PER_NEPER

    def rates(self) -> Tensor:
        """A slow level, and a balance that is slower still."""
        return torch.tensor([LEVEL_RATE, BALANCE_RATE])

    @torch.no_grad()
    def project(self, raw: Tensor) -> None:
        """Bring left and right back into their range."""
        params = self.from_raw(raw)
        low, high = LEVEL_RANGE_DB
        inside = ((params >= low) & (params <= high)).all(dim=1, keepdim=True)
        raw.copy_(torch.where(inside, raw, self.to_raw(params.clamp(low, high))))


class Imager(MatrixProcessor):
    r"""Stereo imager: changes the stereo width by a gain on the side channel.

    .. math:: y_m = u_l + u_r, \quad y_s = \exp(p_s)(u_l - u_r), \quad y_{l,r} = (y_m \pm y_s) / 2

    Equations 11a and 11b. A mono signal passes unchanged, whatever the gain.

    Params:
        side_db [nodes, 1]: gain of the side channel in dB; below 0 is narrower, above 0 wider.

    Shape:
        audio [nodes, 2, samples] -> the same.
    """

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        side = ParameterSpec("side_db", 1, "dB", *LEVEL_RANGE_DB, 0.0, Linear(DB_PER_NEPER))
        self.node_type = NodeType("imager", "s", (side,))

    def matrix(self, params: Tensor) -> Tensor:
        """Mid/side gain written on (left, right), [nodes, 2, 2]."""
        side = (self.get(params, "side_db") / DB_PER_NEPER).exp()[:, :, None]
        ones = torch.ones_like(side)
        same, other = (ones + side) / 2, (ones - side) / 2
        return torch.cat([torch.cat([same, other], 2), torch.cat([other, same], 2)], 1)

    def fold(self, params: Tensor, wet: Tensor) -> Tensor:
        """The side gain mixed with 1."""
        return mixed_db(params, wet)
