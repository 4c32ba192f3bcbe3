"""The base class of recursive linear filters: second-order sections in a row.

Such a filter rings without end. Among processors in the time domain, and whenever a song is rendered in blocks, it is
the exact recursion. Before or behind a filter that works on spectra, a search multiplies its spectrum by the response,
sampled at the bins of the FFT: what rings on for more than :data:`RING_SECONDS` behind the end of a segment then comes
back at the segment's beginning. At that time a band of quality Q at f Hz has fallen by 8.686 * pi * f * RING_SECONDS /
Q dB: by 136 dB with Q = 2 at 20 Hz, by 27 dB with Q = 10 at 20 Hz.

A recursion begins with the segment. In blocks it therefore does not see what a filter with zero phase puts before the
first sample of the song, as little as a compressor does.
"""

from abc import abstractmethod

import torch
from torch import Tensor

from graphmix.dsp.biquad_response import section_response
from graphmix.dsp.biquads import check_stable, filter_sections, ring_samples
from graphmix.errors import GraphError
from graphmix.processors.base import LTIProcessor, State

RING_SECONDS = 0.5
"""For which an FFT has room behind a segment."""
FORGOTTEN_DB = -160.0
"""Level at which a ring no longer counts."""


class RecursiveFilter(LTIProcessor):
    """Linear and time-invariant with feedback, the same on both channels."""

    ring_seconds = RING_SECONDS
    """For which an FFT has room."""

    @abstractmethod
    def sections(self, params: Tensor) -> Tensor:
        """Sections as :mod:`graphmix.dsp.biquads` has them, float64 [nodes, sections, 5]."""

    def stable_sections(self, params: Tensor) -> Tensor:
        """The sections; unstable ones are refused, where that needs no waiting for a device.

        Raises:
            GraphError: with the pole.
        """
        sections = self.sections(params)
        if sections.device.type == "cpu":
            try:
                check_stable(sections, self.sample_rate)
            except ValueError as error:
                raise GraphError(f"{self.node_type.name}: {error}") from None
        return sections

    @property
    def extent(self) -> tuple[int, int]:
        """As far as an FFT has room; see the top of this file."""
        return 0, round(self.ring_seconds * self.sample_rate)

    def impulse_response(self, params: Tensor) -> Tensor:
        """Its first samples, [nodes, 1, taps]."""
        impulse = torch.zeros(params.size(0), 2, sum(self.extent) + 1, dtype=params.dtype, device=params.device)
        impulse[..., 0] = 1
        return filter_sections(impulse, self.stable_sections(params))[0][:, :1]

    def response(self, params: Tensor, n_fft: int) -> Tensor:
        """Sampled response, complex [nodes, 1, n_fft // 2 + 1]."""
        complex_of = torch.complex64 if params.dtype == torch.float32 else torch.complex128
        return section_response(self.stable_sections(params), n_fft)[:, None].to(complex_of)

    def forward(self, audio: Tensor, params: Tensor) -> Tensor:
        """Process a batch of nodes by recursion, on other devices than the CPU by FFT; wet only."""
        if audio.device.type != "cpu":
            return super().forward(audio, params)
        return filter_sections(audio, self.stable_sections(params))[0]

    def memory(self, params: Tensor) -> tuple[int, int]:
        """Until the ring has fallen to -160 dB."""
        return ring_samples(self.sections(params), FORGOTTEN_DB), 0

    @property
    def resumable(self) -> bool:
        """The last samples of each section are all that it needs to know."""
        return type(self).forward is RecursiveFilter.forward

    def resume(self, audio: Tensor, params: Tensor, state: State | None, mark: int) -> tuple[Tensor, State]:
        """One part of a longer signal; the state is that of the sections, [nodes, 2, sections + 1, 2]."""
        sections = self.stable_sections(params)
        first, at_mark = filter_sections(audio[..., :mark], sections, None if state is None else state[0])
        second, _ = filter_sections(audio[..., mark:], sections, at_mark)
        return torch.cat([first, second], dim=-1), (at_mark,)
