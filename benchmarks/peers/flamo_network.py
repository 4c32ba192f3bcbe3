"""graphmix's feedback delay network as flamo builds one: lines and filters in a recursion through the same matrix.

All nodes share the settings: flamo's parameters have no axis of nodes (it solves for each signal all the same). Filters
are first-order with the coefficients as parameters (flamo has no shelf by decay times), gains of the lines' inputs and
outputs are parameters, the matrix and the delays are fixed as ours are.
"""

import torch
from flamo.processor import dsp, system
from torch import Tensor, nn

from graphmix.dsp.fft import good_length
from graphmix.processors.base import Processor
from graphmix.processors.spaces import FeedbackNetwork


class Network(nn.Module):
    """From [nodes, samples, 2] to the same."""

    def __init__(self, processor: Processor, samples: int) -> None:
        super().__init__()
        assert isinstance(processor, FeedbackNetwork), "made for this type"
        n_fft = good_length(samples + processor.samples)
        rate, lines, place = processor.sample_rate, len(processor.lengths), {"nfft": n_fft, "device": "cpu"}
        into = dsp.Gain(size=(lines, 2), requires_grad=True, **place)
        into.assign_value(processor.into.float()[:, None].expand(lines, 2))
        delays = dsp.parallelDelay(
            size=(lines,), max_len=int(processor.lengths.max()), fs=rate, isint=True, unit=1, **place
        )
        delays.assign_value(delays.sample2s(processor.lengths.float()))
        filters = dsp.parallelFilter(size=(2, lines), requires_grad=True, **place)
        filters.assign_value(torch.tensor([[0.6], [0.3]]).expand(2, lines))
        back = dsp.Matrix(size=(lines, lines), matrix_type="random", **place)
        back.assign_value(processor.matrix.float())
        out = dsp.Gain(size=(2, lines), requires_grad=True, **place)
        out.assign_value(processor.signs.float())
        core = system.Series(into, system.Recursion(fF=system.Series(delays, filters), fB=back), out)
        self.samples, self.n_fft = samples, n_fft
        self.shell = system.Shell(core=core, input_layer=dsp.FFT(n_fft), output_layer=dsp.iFFT(n_fft))

    def forward(self, audio: Tensor) -> Tensor:
        """By FFT over the signal and the response; as after a step of an optimizer, no response is known already."""
        with torch.no_grad():
            for own in self.parameters():
                own.add_(0.0)
        padded = torch.nn.functional.pad(audio, (0, 0, 0, self.n_fft - self.samples))
        return self.shell(padded)[:, : self.samples]
