r"""Delay and reverb at another sample rate than that at which their response is made.

Their sound hangs on a rate: the taps of a delay are whole samples, the noise of a reverb is drawn sample by sample and
masked in frames of so many. So a graph that goes to another rate keeps the response of the first one:

.. math:: h' = \mathrm{low}(h) + 10^{T / 20} (\mathrm{full}(h) - \mathrm{low}(h))

*low* and *full* are the response at the new rate (:mod:`graphmix.dsp.tap_rates`), without and with its mirror image
above half of the old one; T is the level of what the new rate adds, in dB. Echoes stay echoes and noise stays noise up
there. Where the new rate is the lower one nothing is added, and there is no T.
"""

from dataclasses import replace

import torch
from torch import Tensor

from graphmix.dsp.tap_rates import convert_taps, converted_extent
from graphmix.processors.base import LTIProcessor, Processor
from graphmix.spec import DB_PER_NEPER, Linear, ParameterSpec

TOP = ParameterSpec("top_db", 1, "dB", -100.0, 20.0, 0.0, Linear(DB_PER_NEPER))
"""Level of the response above half of the rate at which it is made."""


class Resampled(LTIProcessor):
    """A linear processor whose response is made at one rate and used at another.

    Args:
        base: the processor at its own rate.
        sample_rate: in Hz.

    Params:
        those of ``base``, and where the rate is the higher one top_db [nodes, 1].

    Shape:
        audio [nodes, 2, samples] -> the same.
    """

    def __init__(self, base: LTIProcessor, sample_rate: int) -> None:
        super().__init__(sample_rate)
        self.base = base
        self.gain_staged, self.start_wet, self.wet_rate = base.gain_staged, base.start_wet, base.wet_rate
        own = base.node_type
        top = (TOP,) if sample_rate > base.sample_rate else ()
        self.node_type = replace(own, parameters=(*own.parameters, *top), base_rate=base.sample_rate)

    @property
    def extent(self) -> tuple[int, int]:
        """That of the base, with what the interpolation adds."""
        return converted_extent(self.base.extent, self.base.sample_rate, self.sample_rate)

    def _split(self, params: Tensor) -> tuple[Tensor, Tensor]:
        """The base's columns, and the others."""
        width = self.base.node_type.width
        return params[:, :width], params[:, width:]

    def impulse_response(self, params: Tensor) -> Tensor:
        """Taps at the new rate, [nodes, (outlets,) channels, taps]."""
        own, top = self._split(params)
        taps = self.base.impulse_response(own)
        rates = self.base.extent, self.base.sample_rate, self.sample_rate
        low = convert_taps(taps, *rates)
        if not top.size(1):
            return low
        added = convert_taps(taps, *rates, mirrored=True) - low
        return torch.addcmul(low, added, (top / DB_PER_NEPER).exp().view(-1, *[1] * (low.dim() - 1)))

    def to_raw(self, params: Tensor) -> Tensor:
        """The base's raw numbers, then the level of the top."""
        own, top = self._split(params)
        return torch.cat([self.base.to_raw(own), top / DB_PER_NEPER], dim=1)

    def from_raw(self, raw: Tensor) -> Tensor:
        """The base's parameters, then the level of the top."""
        own, top = raw.tensor_split([raw.size(1) - (self.sample_rate > self.base.sample_rate)], dim=1)
        return torch.cat([self.base.from_raw(own), top * DB_PER_NEPER], dim=1)

    def rates(self) -> Tensor:
        """The base's step sizes, and 1 for the level of the top."""
        return torch.cat([self.base.rates(), torch.ones(self.node_type.width - self.base.node_type.width)])

    def start(self, params: Tensor, generator: torch.Generator) -> Tensor:
        """The base's start; the top as loud as what it mirrors."""
        own, top = self._split(params)
        return torch.cat([self.base.start(own, generator), top], dim=1)

    @torch.no_grad()
    def project(self, raw: Tensor) -> None:
        """Bring the base's numbers and the level of the top back into their ranges."""
        own, top = raw.tensor_split([raw.size(1) - (self.sample_rate > self.base.sample_rate)], dim=1)
        self.base.project(own)
        top.clamp_(TOP.low / DB_PER_NEPER, TOP.high / DB_PER_NEPER)

    def at_rate(self, sample_rate: int) -> LTIProcessor:
        """The base where it is its rate; else the base at that rate."""
        return self.base if sample_rate == self.base.sample_rate else Resampled(self.base, sample_rate)

    def params_at(self, params: Tensor, other: Processor) -> Tensor:
        """The base's parameters, and the level of the top where both have one."""
        own, top = self._split(params)
        width = other.node_type.width - own.size(1)
        return torch.cat([own, top if top.size(1) == width else params.new_zeros(len(params), width)], dim=1)


class RateBound(LTIProcessor):
    """A linear processor whose response depends on the sample rate at which it is made; see :class:`Resampled`."""

    def at_rate(self, sample_rate: int) -> LTIProcessor:
        """This processor where it is its rate; else this response at that rate."""
        return self if sample_rate == self.sample_rate else Resampled(self, sample_rate)

    def params_at(self, params: Tensor, other: Processor) -> Tensor:
        """The same, and a top as loud as what it mirrors where the other has one."""
        return torch.cat([params, params.new_zeros(len(params), other.node_type.width - params.size(1))], dim=1)
