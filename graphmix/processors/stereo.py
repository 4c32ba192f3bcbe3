r"""Where a signal lies between left and right: pan, balance, rotation, mid/side, polarity, Haas, width of the bass.

Most are one 2×2 matrix on (left, right). Positions go from -1 (left) to 1 (right), angles are in degrees.
"""

import math

import torch
from torch import Tensor

from graphmix.dsp.fft import good_length, irfft, rfft
from graphmix.dsp.fir import odd_taps, windowed_fir
from graphmix.dsp.zero_phase import zero_phase_response
from graphmix.processors.align import HALF, interpolation
from graphmix.processors.base import LTIProcessor, MatrixProcessor, Processor
from graphmix.processors.filters import FILTER_SECONDS
from graphmix.processors.levels import LEVEL_RANGE_DB
from graphmix.spec import DB_PER_NEPER, Exponential, Linear, NodeType, ParameterSpec

POSITION = ParameterSpec("position", 1, "", -1.0, 1.0, 0.0)
HAAS_MS = 40.0
"""Beyond it an ear takes the second sound for an echo of its own."""


class Pan(MatrixProcessor):
    r"""Constant-power pan, 0 dB in the middle.

    .. math:: y_l = \sqrt2 \cos \theta \; u_l, \quad y_r = \sqrt2 \sin \theta \; u_r, \quad
        \theta = \frac{\pi}{4} (1 + p)

    The sine/cosine law: the power of a mono signal is the same wherever it is; at a side it is 3 dB up there. A stereo
    signal keeps its channels apart.

    Params:
        position [nodes, 1]: p.

    Shape:
        audio [nodes, 2, samples] -> the same.
    """

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        self.node_type = NodeType("pan", "", (POSITION,))

    def matrix(self, params: Tensor) -> Tensor:
        """Diagonal matrices, [nodes, 2, 2]."""
        angle = (self.get(params, "position")[:, 0] + 1) * (math.pi / 4)
        return torch.diag_embed(math.sqrt(2) * torch.stack([angle.cos(), angle.sin()], dim=1))


class Balance(MatrixProcessor):
    r"""A balance knob: turns the other side down, and leaves its own as it is.

    .. math:: y_l = \min(1, 1 - p) \; u_l, \quad y_r = \min(1, 1 + p) \; u_r

    Params:
        position [nodes, 1]: p.

    Shape:
        audio [nodes, 2, samples] -> the same.
    """

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        self.node_type = NodeType("balance", "", (POSITION,))

    def matrix(self, params: Tensor) -> Tensor:
        """Diagonal matrices, [nodes, 2, 2]."""
        position = self.get(params, "position")
        return torch.diag_embed(1 - torch.cat([position, -position], dim=1).clamp(min=0))


class Rotation(MatrixProcessor):
    r"""Turns the stereo image as a whole.

    .. math:: y_l = \cos \alpha \; u_l - \sin \alpha \; u_r, \quad y_r = \sin \alpha \; u_l + \cos \alpha \; u_r

    What lay on the left comes to the middle at 45°. The power stays.

    Params:
        angle_deg [nodes, 1]: alpha.

    Shape:
        audio [nodes, 2, samples] -> the same.
    """

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        angle = ParameterSpec("angle_deg", 1, "°", -180.0, 180.0, 0.0, Linear(180 / math.pi))
        self.node_type = NodeType("rotation", "", (angle,))

    def matrix(self, params: Tensor) -> Tensor:
        """Rotations, [nodes, 2, 2]."""
        angle = self.get(params, "angle_deg")[:, 0] * (math.pi / 180)
        cosine, sine = angle.cos(), angle.sin()
        return torch.stack([torch.stack([cosine, -sine], 1), torch.stack([sine, cosine], 1)], dim=1)


class Polarity(MatrixProcessor):
    """Inverts channels.

    Params:
        polarity [nodes, 2]: of left and right; below 0 is inverted. It has no gradient, as of
            :class:`graphmix.processors.align.Align`.

    Shape:
        audio [nodes, 2, samples] -> the same.
    """

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        self.node_type = NodeType("polarity", "", (ParameterSpec("polarity", 2, "", -1.0, 1.0, 1.0),))

    def matrix(self, params: Tensor) -> Tensor:
        """Diagonal matrices of ±1, [nodes, 2, 2]."""
        signs = torch.where(params.detach() < 0, -1.0, 1.0).to(params.dtype)
        return torch.diag_embed(signs + 0 * params)


class _MidSide(MatrixProcessor):
    """A matrix without parameters, which is taken as given."""

    rows: tuple[tuple[float, float], tuple[float, float]]
    name: str

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        self.node_type = NodeType(self.name, "", bypassable=False)

    def matrix(self, params: Tensor) -> Tensor:
        """The same for all nodes, [nodes, 2, 2]."""
        return params.new_tensor(self.rows) + 0 * params.sum(1)[:, None, None]


class MidSideEncoder(_MidSide):
    r"""Left and right to mid and side, in their place.

    .. math:: y_l = (u_l + u_r) / 2, \quad y_r = (u_l - u_r) / 2

    What follows works on mid (left) and side (right) until a :class:`MidSideDecoder` undoes it. Never bypassed.

    Params: none.

    Shape:
        audio [nodes, 2, samples] -> the same.
    """

    name, rows = "mid_side_encoder", ((0.5, 0.5), (0.5, -0.5))


class MidSideDecoder(_MidSide):
    r"""Mid (left) and side (right) back to left and right.

    .. math:: y_l = u_l + u_r, \quad y_r = u_l - u_r

    Params: none.

    Shape:
        audio [nodes, 2, samples] -> the same.
    """

    name, rows = "mid_side_decoder", ((1.0, 1.0), (1.0, -1.0))


class Haas(LTIProcessor):
    r"""Makes one channel later, and softer or louder: the first sound that arrives says where it is (Haas 1951).

    .. math:: y_l[n] = a_l \, u_l[n - f_s \max(0, -\tau)], \quad y_r[n] = a_r \, u_r[n - f_s \max(0, \tau)]

    with :math:`10^{L/20}` on the later channel and 1 on the other. Between samples a windowed sinc, as of
    :class:`graphmix.processors.align.Align`; a whole number of samples is exact.

    Params:
        later_ms [nodes, 1]: tau; above 0 the right channel is later, below 0 the left one.
        level_db [nodes, 1]: L, of the later channel.

    Shape:
        audio [nodes, 2, samples] -> the same.
    """

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        later = ParameterSpec("later_ms", 1, "ms", -HAAS_MS, HAAS_MS, 0.0)
        level = ParameterSpec("level_db", 1, "dB", -24.0, 24.0, 0.0, Linear(DB_PER_NEPER))
        self.node_type = NodeType("haas", "", (later, level))

    @property
    def extent(self) -> tuple[int, int]:
        """Half of the interpolation, and the longest delay."""
        return HALF, math.ceil(HAAS_MS * self.sample_rate / 1000) + HALF

    def impulse_response(self, params: Tensor) -> Tensor:
        """Taps of left and right, [nodes, 2, taps]."""
        later = self.get(params, "later_ms")
        samples = torch.cat([-later, later], dim=1).clamp(min=0).double() * (self.sample_rate / 1000)
        gain = (self.get(params, "level_db") / DB_PER_NEPER).exp()
        gains = torch.where(torch.cat([later < 0, later > 0], dim=1), gain, torch.ones_like(gain))
        return spread_taps(samples[..., None], gains[..., None], HALF, sum(self.extent) + 1)


def spread_taps(samples: Tensor, gains: Tensor, center: int, length: int) -> Tensor:
    """Impulses between samples, as windowed sincs (:func:`graphmix.processors.align.interpolation`).

    Args:
        samples: their times, 0 or more, [nodes, channels, impulses].
        gains: their amplitudes, in the precision of the result, [nodes, channels, impulses].
        center: index of time zero, at least :data:`graphmix.processors.align.HALF`.
        length: of the result.

    Returns:
        [nodes, channels, length], with gradients of times and gains.
    """
    whole = samples.detach().round()
    kernels = interpolation((samples - whole).flatten()).view(*samples.shape, -1)
    weighted = kernels.to(gains.dtype) * gains[..., None]
    first = (whole.long() + (center - HALF))[..., None] + torch.arange(2 * HALF + 1, device=samples.device)
    taps = gains.new_zeros(*samples.shape[:2], length)
    return taps.scatter_add(-1, first.flatten(-2), weighted.flatten(-2))


class BassWidth(Processor):
    r"""The stereo width below a frequency: mono bass, or a wider one.

    .. math:: y_s = s + (10^{G/20} - 1) \, L * s, \quad L(f) = \frac{1}{1 + (f / f_0)^4}

    on the side channel s; mid stays. The lowpass has zero phase and is the crossover's.

    Params:
        frequency_hz [nodes, 1]: f_0.
        side_db      [nodes, 1]: G, gain of the side channel below it; -100 dB is mono.

    Shape:
        audio [nodes, 2, samples] -> the same.
    """

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        self.taps = odd_taps(FILTER_SECONDS, sample_rate)
        frequency = ParameterSpec("frequency_hz", 1, "Hz", 30.0, sample_rate / 2.5, 120.0, Exponential())
        side = ParameterSpec("side_db", 1, "dB", *LEVEL_RANGE_DB, 0.0, Linear(DB_PER_NEPER))
        self.node_type = NodeType("bass_width", "", (frequency, side))

    def memory(self, params: Tensor) -> tuple[int, int]:
        """Half of the taps on each side."""
        return self.taps // 2, self.taps // 2

    def forward(self, audio: Tensor, params: Tensor) -> Tensor:
        """Process a batch of nodes; wet only."""
        bins = torch.arange((self.taps + 1) // 2, device=params.device, dtype=params.dtype)
        ratio = bins * (self.sample_rate / self.taps) / self.get(params, "frequency_hz")
        n_fft = good_length(audio.size(-1) + self.taps - 1)
        response = zero_phase_response(windowed_fir(1 / (1 + ratio**4), self.taps)[:, None], n_fft)
        gain = (self.get(params, "side_db") / DB_PER_NEPER).exp() - 1
        side = (audio[:, :1] - audio[:, 1:]) / 2
        added = gain[:, :, None].to(audio.dtype) * irfft(rfft(side, n_fft) * response, n_fft, audio.size(-1))
        return audio + torch.cat([added, -added], dim=1)
