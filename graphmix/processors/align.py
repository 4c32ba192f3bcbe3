"""Delay and polarity of a track or of a whole mix: what lies between a recording and its place in the song."""

import torch
from torch import Tensor
from torch.nn import functional

from graphmix.processors.base import Processor
from graphmix.spec import Linear, NodeType, ParameterSpec

MAX_SECONDS = 60.0
HALF = 32
"""Taps of the interpolation on either side."""
_BETA = 8.0
_UNIT_MS = 1e-3
_PRECISION = 2.0**-23
"""Of a delay in float32: nearer to a whole number of samples it is that number."""


class Align(Processor):
    r"""A delay by any number of samples, forwards or backwards, and a polarity.

    .. math:: y[n] = s \sum_{k=-K+1}^{K} w(k - \varphi) \, \mathrm{sinc}(k - \varphi) \, u[n - d - k],
        \quad d + \varphi = \tau f_s, \quad -1/2 \leq \varphi \leq 1/2

    with a Kaiser window *w* of :math:`2 K = 64` samples (beta 8). A whole number of samples is exact; else the
    response is flat to 2e-4 (-74 dB) up to 0.45 of the sample rate. The delay has a gradient; the polarity is the sign
    of its parameter and has none. A search takes it as given: it is never bypassed or pruned, and moves by thousandths
    of a millisecond.

    Params:
        delay_ms [nodes, 1]: how much later it sounds; below 0 earlier.
        polarity [nodes, 1]: below 0 is inverted.

    Shape:
        audio [nodes, 2, samples] -> the same.
    """

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        limit = 1000 * MAX_SECONDS
        delay = ParameterSpec("delay_ms", 1, "ms", -limit, limit, 0.0, Linear(_UNIT_MS))
        polarity = ParameterSpec("polarity", 1, "", -1.0, 1.0, 1.0)
        self.node_type = NodeType("align", "t", (delay, polarity), bypassable=False)

    def _split(self, params: Tensor) -> tuple[Tensor, Tensor]:
        """Whole samples, and the rest with its gradient, in float64, [nodes] each."""
        samples = self.get(params, "delay_ms")[:, 0].double() * (self.sample_rate / 1000)
        whole = samples.detach().round()
        known = (samples.detach() - whole).abs() > _PRECISION * whole.abs()
        return whole.long(), torch.where(known, samples - whole, samples - samples.detach())

    def memory(self, params: Tensor) -> tuple[int, int]:
        """As far as the longest delays reach either way, and half of the interpolation."""
        whole, rest = self._split(params.detach())
        half = torch.where(rest == 0, 0, HALF)
        return max(0, *(whole + half).tolist()), max(0, *(half - whole).tolist())

    def forward(self, audio: Tensor, params: Tensor) -> Tensor:
        """Process a batch of nodes; wet only."""
        whole, rest = self._split(params)
        sign = torch.where(self.get(params, "polarity")[:, 0].detach() < 0, -1.0, 1.0).to(audio)
        if not params.requires_grad and not bool(rest.any()):
            return sign[:, None, None] * _shifted(audio, whole, 0)
        moved = _shifted(audio, whole, HALF)
        nodes, channels, length = moved.shape
        kernel = (sign[:, None] * interpolation(rest).to(audio)).repeat_interleave(channels, 0)
        return functional.conv1d(
            moved.reshape(1, nodes * channels, length), kernel[:, None].flip(-1), groups=nodes * channels
        ).view(nodes, channels, -1)


def interpolation(rest: Tensor) -> Tensor:
    """Taps from -K to K of a delay by a part of a sample, [nodes] -> [nodes, 2 K + 1]."""
    place = torch.arange(-HALF, HALF + 1, device=rest.device, dtype=rest.dtype) - rest[:, None]
    inside = (1 - (place / (HALF + 0.5)).square()).clamp(min=0)
    beta = torch.tensor(_BETA, dtype=rest.dtype, device=rest.device)
    return torch.sinc(place) * torch.special.i0(beta * (inside + 1e-30).sqrt()) / torch.special.i0(beta)


def _shifted(audio: Tensor, whole: Tensor, margin: int) -> Tensor:
    """Each node's audio, so many samples later, with a margin on both sides; silence comes in from outside."""
    length = audio.size(-1)
    rows = []
    for row, delay in zip(audio, whole.tolist(), strict=True):
        begin, end = -margin - delay, length + margin - delay  # of what is read
        inside = row[:, min(max(begin, 0), length) : min(max(end, 0), length)]
        missing = min(max(-begin, 0), length + 2 * margin)
        rows.append(functional.pad(inside, (missing, length + 2 * margin - missing - inside.size(-1))))
    return torch.stack(rows) if rows else audio
