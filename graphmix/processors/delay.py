"""Multitap delay with delay lengths that gradient descent can move (appendix B.7 of the pruning paper)."""

import math

import torch
from torch import Tensor

from graphmix.dsp.echoes import echoes
from graphmix.dsp.energy import unit_energy
from graphmix.dsp.fft import rfft
from graphmix.dsp.fir import odd_taps, zero_phase_fir
from graphmix.processors.base import StartsBypassed
from graphmix.processors.resampled import RateBound
from graphmix.spec import DB_PER_NEPER, Linear, NodeType, ParameterSpec

NUM_TAPS = 20
SEGMENT_SECONDS = 0.1
FILTER_SECONDS = 39 / 30000
START_RADIUS = 0.01


class MultitapDelay(StartsBypassed, RateBound):
    r"""Twenty filtered echoes on each channel, one in every 100 ms.

    .. math:: h_d[n] = \sum_{m=1}^M c_m[n] * \delta[n - d_m]

    Equation 24; each :math:`c_m` is a zero-phase FIR of 39 taps at 30 kHz. Delays are rounded to whole samples.
    The response has unit energy (the mean over left and right is 1): dry/wet sets the level.

    Their gradient is that of damped sinusoids (equations 25 and 26): a delay is the angle of a complex number z
    whose radius says how sharply the surrogate knows its place. The radius does not change the sound; it is kept
    so that a search can be resumed. Raw numbers are the real and imaginary parts of z.

    Params:
        delay_ms  [nodes, 2 * 20]: left taps, then right; tap m lies between 100 m and 100 (m + 1) ms.
        radius    [nodes, 2 * 20]: of the surrogate, 0 to 1.
        filter_db [nodes, 2 * 20 * 20]: gain of each tap at 20 frequencies from 0 to half the sample rate.

    Shape:
        audio [nodes, 2, samples] -> the same.
    """

    gain_staged = True

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        self.segment = 2 * round(SEGMENT_SECONDS * sample_rate / 2)
        self.filter_taps = odd_taps(FILTER_SECONDS, sample_rate)
        self.bins = (self.filter_taps + 1) // 2
        total_ms = 1000.0 * NUM_TAPS * self.segment / sample_rate
        delay = ParameterSpec("delay_ms", 2 * NUM_TAPS, "ms", 0.0, total_ms, 0.0)
        radius = ParameterSpec("radius", 2 * NUM_TAPS, "", 0.0, 1.0, START_RADIUS)
        filters = ParameterSpec("filter_db", 2 * NUM_TAPS * self.bins, "dB", -100.0, 60.0, 0.0, Linear(DB_PER_NEPER))
        self.node_type = NodeType("delay", "d", (delay, radius, filters))

    @property
    def extent(self) -> tuple[int, int]:
        """The filters ring by half of their length before and after the taps."""
        half = self.filter_taps // 2
        return half, NUM_TAPS * self.segment + half - 1

    def _z(self, params: Tensor) -> Tensor:
        """(real, imag) of each tap, [nodes, 2 * taps, 2]."""
        segment_ms = 1000.0 * self.segment / self.sample_rate
        angle = self.get(params, "delay_ms") * (-2 * math.pi / segment_ms)
        radius = self.get(params, "radius")
        return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=-1)

    def impulse_response(self, params: Tensor) -> Tensor:
        """Left and right taps, [nodes, 2, 20 * segment + filter taps - 1]."""
        return unit_energy(self._taps(params))

    def response(self, params: Tensor, n_fft: int) -> Tensor:
        """Complex responses of left and right, [nodes, 2, n_fft // 2 + 1]."""
        return rfft(unit_energy(self._taps(params), self.extent[0], n_fft), n_fft)

    def _taps(self, params: Tensor) -> Tensor:
        """The impulse response before it is scaled to unit energy."""
        n = params.size(0)
        log_magnitude = self.get(params, "filter_db").view(n, 2, NUM_TAPS, self.bins) / DB_PER_NEPER
        filters = zero_phase_fir(log_magnitude, self.filter_taps)
        return echoes(self._z(params).view(n, 2, NUM_TAPS, 2), filters, self.segment)

    def to_raw(self, params: Tensor) -> Tensor:
        """z in place of delay and radius; its radius stays off zero, where it would have no angle."""
        columns = self.node_type.columns("radius")
        params = params.clone()
        params[:, columns] = params[:, columns].clamp(min=1e-4)
        return torch.cat([self._z(params).flatten(1), self.get(params, "filter_db") / DB_PER_NEPER], dim=1)

    def from_raw(self, raw: Tensor) -> Tensor:
        """Angle and radius of z; each tap in its own segment."""
        z = raw[:, : 4 * NUM_TAPS].unflatten(1, (-1, 2))
        turn = (-torch.atan2(z[..., 1], z[..., 0]) / (2 * math.pi)) % 1.0
        first = torch.arange(NUM_TAPS, device=raw.device).repeat(2)
        delay_ms = (turn + first) * (1000.0 * self.segment / self.sample_rate)
        return torch.cat([delay_ms, z.norm(dim=-1), raw[:, 4 * NUM_TAPS :] * DB_PER_NEPER], dim=1)

    def start(self, params: Tensor, generator: torch.Generator) -> Tensor:
        """Random delays: near the center of the disk the surrogate sees the whole segment."""
        params = params.clone()
        turn = torch.rand(params.size(0), 2 * NUM_TAPS, generator=generator)
        first = torch.arange(NUM_TAPS).repeat(2)
        delay_ms = (turn + first) * (1000.0 * self.segment / self.sample_rate)
        params[:, self.node_type.columns("delay_ms")] = delay_ms.to(params)
        return params

    @torch.no_grad()
    def project(self, raw: Tensor) -> None:
        """Bring z back into the unit disk and the filters into their range."""
        z = raw[:, : 4 * NUM_TAPS].view(raw.size(0), -1, 2)
        z /= z.norm(dim=-1, keepdim=True).clamp(min=1.0)
        filters = self.node_type.parameters[2]
        raw[:, 4 * NUM_TAPS :] = raw[:, 4 * NUM_TAPS :].clamp(filters.low / DB_PER_NEPER, filters.high / DB_PER_NEPER)
