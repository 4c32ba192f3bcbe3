"""Multitap delay with delay lengths that gradient descent can move (appendix B.7 of the pruning paper)."""

import math
from typing import Any

import torch
from torch import Tensor

from graphmix.dsp.fir import odd_taps, zero_phase_fir
from graphmix.processors.base import LTIProcessor
from graphmix.processors.reverb import unit_energy
from graphmix.spec import DB_PER_NEPER, Linear, NodeType, ParameterSpec

NUM_TAPS = 20
SEGMENT_SECONDS = 0.1
FILTER_SECONDS = 39 / 30000
RADIUS_PULL = 0.01
"""gamma of equation 26."""
START_RADIUS = 0.01


class _Taps(torch.autograd.Function):
    """Sum of filters shifted by whole samples; its gradient with respect to the shifts is a surrogate's.

    Forward: equation 24 with each delay rounded to a sample. Backward: equations 25 and 26. The surrogate of
    ``delta[n - d]`` is the inverse FFT of ``z ** k``, k = 0 to S / 2, over the S samples of the tap's segment;
    the tap's filter acts circularly within it.
    """

    @staticmethod
    def forward(ctx: Any, z: Tensor, filters: Tensor, segment: int) -> Tensor:
        """z [nodes, 2, taps, (real, imag)], filters [nodes, 2, taps, F] -> [nodes, 2, taps * segment + F - 1]."""
        n, channels, taps, width = filters.shape
        turn = (-torch.atan2(z[..., 1], z[..., 0]) / (2 * math.pi)) % 1.0
        place = turn * segment
        # A delay at the very start of its segment may come back from its angle as just below a full turn.
        shift = torch.where(place > segment - 0.02, 0, place.round()).long().clamp(max=segment - 1)
        shift = shift + segment * torch.arange(taps, device=z.device)
        index = shift[..., None] + torch.arange(width, device=z.device)
        out = filters.new_zeros(n, channels, taps * segment + width - 1)
        out.scatter_add_(2, index.flatten(2), filters.flatten(2))
        ctx.save_for_backward(z, filters, index)
        ctx.segment = segment
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        z, filters, index = ctx.saved_tensors
        grad, segment = grads[0], ctx.segment
        taps, width = filters.shape[2:]
        grad_filters = grad.gather(2, index.flatten(2)).view_as(filters)
        half = width // 2
        windows = grad[..., half : half + taps * segment].unflatten(2, (taps, segment))
        centered = torch.zeros_like(windows)
        centered[..., : width - half] = filters[..., half:]
        centered[..., segment - half :] = filters[..., :half]
        spectrum = torch.fft.rfft(windows) * torch.fft.rfft(centered).real
        point = torch.view_as_complex(z.contiguous())
        slope = (_power_series(point.conj(), spectrum.size(-1)) * spectrum).sum(-1)
        direction = torch.where(slope.abs() > 0, slope / slope.abs().clamp(min=1e-30), 0)
        radius = point.abs()
        pull = RADIUS_PULL * (radius - 1) * point / radius.clamp(min=1e-12)
        return torch.view_as_real(direction + pull), grad_filters, None


def _power_series(z: Tensor, count: int) -> Tensor:
    """``k * z ** (k - 1)`` for k = 0 to count - 1, [..., count], by an outer product of small powers."""
    step = math.isqrt(count) + 1
    small = torch.cumprod(
        torch.cat([torch.ones_like(z)[..., None], z[..., None].expand(*z.shape, step)], -1), -1
    )
    large = torch.cumprod(
        torch.cat([torch.ones_like(z)[..., None], small[..., step:].expand(*z.shape, step - 1)], -1), -1
    )
    powers = (large[..., :, None] * small[..., None, :step]).flatten(-2)[..., : count - 1]
    k = torch.arange(1, count, device=z.device, dtype=powers.real.dtype)
    return torch.nn.functional.pad(powers * k, (1, 0))


class MultitapDelay(LTIProcessor):
    r"""Twenty filtered echoes on each channel, one in every 100 ms.

    .. math:: h_d[n] = \sum_{m=1}^M c_m[n] * \delta[n - d_m]

    Equation 24; each :math:`c_m` is a zero-phase FIR of 39 taps at 30 kHz. Delays are rounded to whole samples.
    The response has unit energy (the mean over left and right is 1): dry/wet sets the level.

    Their gradient is that of damped sinusoids (equations 25 and 26): a delay is the angle of a complex number z
    whose radius says how sharply the surrogate knows its place. The radius does not change the sound; it is kept
    so that a search can go on where it stopped. Raw numbers are the real and imaginary parts of z.

    Params:
        delay_ms  [nodes, 2 * 20]: left taps, then right; tap m lies between 100 m and 100 (m + 1) ms.
        radius    [nodes, 2 * 20]: of the surrogate, 0 to 1.
        filter_db [nodes, 2 * 20 * 20]: gain of each tap at 20 frequencies from 0 to half the sample rate.

    Shape:
        audio [nodes, 2, samples] -> the same.
    """

    gain_staged = True
    start_wet = 0.0

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        self.segment = 2 * round(SEGMENT_SECONDS * sample_rate / 2)
        self.filter_taps = odd_taps(FILTER_SECONDS, sample_rate)
        self.bins = (self.filter_taps + 1) // 2
        total_ms = 1000.0 * NUM_TAPS * self.segment / sample_rate
        delay = ParameterSpec("delay_ms", 2 * NUM_TAPS, "ms", 0.0, total_ms, 0.0)
        radius = ParameterSpec("radius", 2 * NUM_TAPS, "", 0.0, 1.0, START_RADIUS)
        filters = ParameterSpec(
            "filter_db", 2 * NUM_TAPS * self.bins, "dB", -100.0, 60.0, 0.0, Linear(DB_PER_NEPER)
        )
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
        n = params.size(0)
        log_magnitude = self.get(params, "filter_db").view(n, 2, NUM_TAPS, self.bins) / DB_PER_NEPER
        filters = zero_phase_fir(log_magnitude, self.filter_taps)
        return unit_energy(_Taps.apply(self._z(params).view(n, 2, NUM_TAPS, 2), filters, self.segment))

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
        raw[:, 4 * NUM_TAPS :] = raw[:, 4 * NUM_TAPS :].clamp(
            filters.low / DB_PER_NEPER, filters.high / DB_PER_NEPER
        )
