"""Gain that moves: fades, rides and mutes, as breakpoints in dB over the time of the song."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from graphmix.errors import GraphError
from graphmix.processors.base import Processor
from graphmix.processors.levels import LEVEL_RANGE_DB, LEVEL_RATE
from graphmix.spec import DB_PER_NEPER, Linear, NodeType, ParameterSpec

BREAKPOINTS = 32
"""Of each node; those that are not used repeat the last one's time."""
MAX_SECONDS = 36000.0


class Ride(Processor):
    r"""A gain, the same on both channels, that follows breakpoints over the time of the song.

    .. math:: y[n] = 10^{g(t) / 20} u[n], \quad t = (n_0 + n) / f_s

    with *g* through the breakpoints :math:`(t_k, g_k)`: linear in dB between them, constant before the first and behind
    the last. :math:`n_0` is where in the song the signal begins; the renderer is given it and calls :meth:`placed`.
    Times do not fall, and a breakpoint at the time of the one before it counts for nothing: a node with fewer than 32
    repeats its last time (:func:`breakpoints` does so). The gains have a gradient; the times are taken as given.

    Params:
        time_s [nodes, 32]: of the breakpoints, from the beginning of the song.
        gain_db [nodes, 32]: there.

    Shape:
        audio [nodes, 2, samples] -> the same.

    Not for: a gain that stays, or differs from left to right; see :class:`Gain`.
    """

    is_placed = True
    wet_rate = 1e-3
    """A ride is there or not: part of the dry signal would fill what it mutes."""

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        time = ParameterSpec("time_s", BREAKPOINTS, "s", 0.0, MAX_SECONDS, 0.0, Linear(1.0), ascending=True)
        gain = ParameterSpec("gain_db", BREAKPOINTS, "dB", *LEVEL_RANGE_DB, 0.0, Linear(DB_PER_NEPER))
        self.node_type = NodeType("ride", "v", (time, gain))

    def rates(self) -> Tensor:
        """Gains as slow as other levels; the times stay where they are."""
        return torch.cat([torch.ones(BREAKPOINTS), torch.full((BREAKPOINTS,), LEVEL_RATE)])

    def placed(self, params: Tensor, seconds: Tensor) -> Tensor:
        """Times from the beginning of the signal, in float64."""
        time = self.get(params, "time_s").double() - seconds[:, None]
        return torch.cat([time, self.get(params, "gain_db").double()], dim=1)

    def curve(self, params: Tensor, samples: int) -> Tensor:
        """The gain in dB at each sample, [nodes, samples] in float64."""
        place = self.get(params, "time_s").detach().double() * self.sample_rate
        gain = self.get(params, "gain_db").double()
        first = torch.searchsorted(place, place)  # of those at one time
        gain = gain.gather(1, first)
        now = torch.arange(samples, dtype=torch.float64, device=place.device).expand(len(place), -1).contiguous()
        after = torch.searchsorted(place, now, right=True)
        before = (after - 1).clamp(min=0)
        after = after.clamp(max=BREAKPOINTS - 1)
        begin, end = place.gather(1, before), place.gather(1, after)
        share = ((now - begin) / (end - begin).clamp(min=1e-9)).clamp(0, 1)
        return torch.lerp(gain.gather(1, before), gain.gather(1, after), share)

    def forward(self, audio: Tensor, params: Tensor) -> Tensor:
        """Process a batch of nodes; wet only."""
        gain = (self.curve(params, audio.size(-1)) / DB_PER_NEPER).exp()
        return audio * gain.to(audio.dtype)[:, None]


def breakpoints(points: Sequence[tuple[float, float]]) -> dict[str, list[float]]:
    """Values of a ride through some breakpoints, e.g. for :meth:`MixGraph.add`.

    Args:
        points: seconds and dB of each, 1 to 32 of them in order.

    Raises:
        GraphError: none, too many, or out of order.

    Example:
        >>> fade_out = breakpoints([(170.0, 0.0), (180.0, -80.0)])
        >>> fade_out["time_s"][:3], fade_out["gain_db"][:3]
        ([170.0, 180.0, 180.0], [0.0, -80.0, -80.0])
    """
    if not 1 <= len(points) <= BREAKPOINTS:
        raise GraphError(f"a ride has 1 to {BREAKPOINTS} breakpoints, not {len(points)}; leave out the least of them.")
    for (before, _), (after, _) in pairwise(points):
        if after <= before:
            raise GraphError(f"breakpoints of a ride: {after:g} s comes after {before:g} s; sort them by time.")
    filled = [*points, *[points[-1]] * (BREAKPOINTS - len(points))]
    return {"time_s": [float(time) for time, _ in filled], "gain_db": [float(gain) for _, gain in filled]}


def used_points(params: Tensor) -> list[tuple[float, float]]:
    """The inverse of :func:`breakpoints`: seconds and dB of what one node [64] uses."""
    time, gain = params.detach().double().view(2, BREAKPOINTS).tolist()
    return [(t, g) for k, (t, g) in enumerate(zip(time, gain, strict=True)) if k == 0 or t > time[k - 1]]
