"""Filters with zero phase: the equalizer (appendix B.3 of the pruning paper), a crossover and a band by design.

A zero-phase filter moves nothing in time, so that wet and dry add without combing; it rings as much before as
after. Its frequency response is real.
"""

import math

import torch
from torch import Tensor

from graphmix.dsp.fir import odd_taps, windowed_fir, zero_phase_fir
from graphmix.dsp.zero_phase import zero_phase_response
from graphmix.processors.base import LTIProcessor, Processor, mixed_db
from graphmix.spec import DB_PER_NEPER, Exponential, Linear, NodeType, ParameterSpec

FILTER_SECONDS = 2047 / 30000
"""The paper's 2047 taps at 30 kHz; at other rates the nearest odd number of the same duration."""
EQUALIZER_RANGE_DB = (-100.0, 40.0)


class Equalizer(LTIProcessor):
    r"""Equalizer: a zero-phase FIR with a free log-magnitude, the same on both channels.

    .. math:: h_e[n] = v^{Hann}[n] \frac{1}{N} \sum_k \exp(p_e[k]) w_N^{kn}

    Equations 12 and 13, N = 2047 at 30 kHz. The symmetric Hann window, which is 1 at time zero and 0 at both
    ends, smooths the magnitude over neighbouring bins.

    Params:
        gain_db [nodes, (N + 1) / 2]: gain in dB at equally spaced frequencies from 0 to half the sample rate.

    Shape:
        audio [nodes, 2, samples] -> the same.
    """

    gain_staged = True

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        self.taps = odd_taps(FILTER_SECONDS, sample_rate)
        gain = ParameterSpec("gain_db", (self.taps + 1) // 2, "dB", *EQUALIZER_RANGE_DB, 0.0, Linear(DB_PER_NEPER))
        self.node_type = NodeType("equalizer", "e", (gain,))

    @property
    def extent(self) -> tuple[int, int]:
        """Half of the taps on each side."""
        return self.taps // 2, self.taps // 2

    def impulse_response(self, params: Tensor) -> Tensor:
        """Centered taps, [nodes, 1, taps]."""
        return zero_phase_fir(self.get(params, "gain_db") / DB_PER_NEPER, self.taps)[:, None]

    def response(self, params: Tensor, n_fft: int) -> Tensor:
        """Real response, [nodes, 1, n_fft // 2 + 1]."""
        return zero_phase_response(self.impulse_response(params), n_fft)

    def fold(self, params: Tensor, wet: Tensor) -> Tensor:
        """Each amplitude mixed with 1: the response is linear in them, and flat amplitudes are the dry signal."""
        return mixed_db(params, wet)

    def params_at(self, params: Tensor, other: Processor) -> Tensor:
        """The same response in the common band; beyond it the highest gain goes on.

        The unwindowed response is a sum of cosines: between its frequencies it is known as well.
        """
        width, rate = other.node_type.width, other.sample_rate
        step = rate / (2 * width - 1)
        amplitude = (params.double() / DB_PER_NEPER).exp()
        taps = torch.fft.irfft(torch.complex(amplitude, torch.zeros_like(amplitude)), n=self.taps)
        half = self.taps // 2
        turns = torch.outer(torch.arange(half + 1, dtype=torch.float64), torch.arange(width) * step / self.sample_rate)
        cosines = (2 * math.pi * (turns % 1)).cos().to(params.device)
        cosines[1:] *= 2
        known = taps[:, : half + 1] @ cosines
        inside = torch.arange(width, device=params.device) * step <= half * self.sample_rate / self.taps
        floor = math.exp(EQUALIZER_RANGE_DB[0] / DB_PER_NEPER)
        gain_db = torch.where(inside, known, amplitude[:, -1:]).clamp(min=floor).log() * DB_PER_NEPER
        return gain_db.clamp(*EQUALIZER_RANGE_DB).to(params)


class Crossover(LTIProcessor):
    r"""Splits a signal into bands that add up to it exactly: one outlet for each band.

    Each corner frequency :math:`f_i` gives a lowpass :math:`L_i(f) = 1 / (1 + (f / f_i)^4)` (the squared magnitude
    of a Butterworth filter of order 2: -6 dB at the corner, 24 dB an octave beyond, without its phase), sampled
    and windowed as the equalizer's. The bands are :math:`L_1,\ L_2 - L_1,\ \dots,\ 1 - L_{last}`.

    Args:
        sample_rate: in Hz.
        bands: how many outlets, 2 or more.

    Params:
        frequency_hz [nodes, bands - 1]: corner frequencies; their order does not matter.

    Shape:
        audio [nodes, 2, samples] -> [nodes, bands, 2, samples].
    """

    def __init__(self, sample_rate: int = 30000, bands: int = 3) -> None:
        super().__init__(sample_rate)
        if bands < 2:
            raise ValueError(f"a crossover has 2 bands or more, not {bands}")
        self.bands = bands
        self.taps = odd_taps(FILTER_SECONDS, sample_rate)
        corner = ParameterSpec("frequency_hz", bands - 1, "Hz", 30.0, sample_rate / 2.5, 1000.0, Exponential())
        names = {2: ("low", "high"), 3: ("low", "mid", "high")}
        outlets = names.get(bands, tuple(f"band{i + 1}" for i in range(bands)))
        self.node_type = NodeType("crossover", "x", (corner,), outlets=outlets)

    @property
    def extent(self) -> tuple[int, int]:
        """Half of the taps on each side."""
        return self.taps // 2, self.taps // 2

    def impulse_response(self, params: Tensor) -> Tensor:
        """Centered taps of each band, [nodes, bands, 1, taps]."""
        corners = self.get(params, "frequency_hz").sort(dim=1).values
        bins = torch.arange((self.taps + 1) // 2, device=params.device, dtype=params.dtype)
        frequency = bins * (self.sample_rate / self.taps)
        lowpass = 1 / (1 + (frequency / corners[:, :, None]) ** 4)
        zero, unity = torch.zeros_like(lowpass[:, :1]), torch.ones_like(lowpass[:, :1])
        magnitude = torch.diff(torch.cat([zero, lowpass, unity], dim=1), dim=1)
        return windowed_fir(magnitude, self.taps)[:, :, None]

    def response(self, params: Tensor, n_fft: int) -> Tensor:
        """Real responses, [nodes, bands, 1, n_fft // 2 + 1]."""
        return zero_phase_response(self.impulse_response(params), n_fft)

    def start(self, params: Tensor, generator: torch.Generator) -> Tensor:
        """Corners spread evenly over the octaves between 200 Hz and 4 kHz."""
        octaves = torch.logspace(0, 1, self.bands + 1, base=20.0)[1:-1] * 200.0
        return octaves.to(params).expand(params.size(0), -1).clone()

    def at_rate(self, sample_rate: int) -> "Crossover":
        """As many bands."""
        return Crossover(sample_rate, self.bands)


class FIRFilter(LTIProcessor):
    r"""A band by windowed design: one gain between two frequencies, another outside, with zero phase.

    .. math:: h[n] = g_o \delta[n] + (g_i - g_o) \frac{\sin(2 \pi n f_2 / f_s) - \sin(2 \pi n f_1 / f_s)}{\pi n} \,
        \frac{I_0(\beta \sqrt{1 - (n / M)^2})}{I_0(\beta)}, \quad |n| \leq M

    The ideal band under Kaiser's window, whose attenuation a gives :math:`\beta = 0.1102 (a - 8.7)` (Oppenheim and
    Schafer, "Discrete-time signal processing", section 7.6). It has as many taps as the equalizer: at 60 dB a step from
    one gain to the other takes 53 Hz. Low pass, high pass, band pass and band stop are settings of it.

    Params:
        low_hz, high_hz [nodes, 1 each]: edges of the band, in any order.
        inside_db, outside_db [nodes, 1 each]: gains.
        attenuation_db [nodes, 1]: how far ripples lie below the difference of the two gains.

    Shape:
        audio [nodes, 2, samples] -> the same.
    """

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        self.taps = odd_taps(FILTER_SECONDS, sample_rate)
        half = sample_rate / 2
        places, gain = {"low_hz": 0.0, "high_hz": half}, (*EQUALIZER_RANGE_DB, 0.0, Linear(DB_PER_NEPER))
        edges = [ParameterSpec(name, 1, "Hz", 0.0, half, edge, Linear(1000.0)) for name, edge in places.items()]
        gains = [ParameterSpec(name, 1, "dB", *gain) for name in ("inside_db", "outside_db")]
        attenuation = ParameterSpec("attenuation_db", 1, "dB", 50.0, 120.0, 60.0, Linear(DB_PER_NEPER))
        self.node_type = NodeType("fir_filter", "", (*edges, *gains, attenuation))

    @property
    def extent(self) -> tuple[int, int]:
        """Half of the taps on each side."""
        return self.taps // 2, self.taps // 2

    def impulse_response(self, params: Tensor) -> Tensor:
        """Centered taps, [nodes, 1, taps]."""
        half = self.taps // 2
        n = torch.arange(-half, half + 1, device=params.device, dtype=torch.float64)
        names = ("low_hz", "high_hz", "inside_db", "outside_db", "attenuation_db")
        first, second, inside, outside, attenuation = (self.get(params, name).double() for name in names)
        edges = [f * (2 / self.sample_rate) for f in (torch.minimum(first, second), torch.maximum(first, second))]
        band = edges[1] * torch.sinc(edges[1] * n) - edges[0] * torch.sinc(edges[0] * n)
        beta = 0.1102 * (attenuation - 8.7)
        window = torch.special.i0(beta * (1 - (n / half) ** 2).sqrt()) / torch.special.i0(beta)
        inside, outside = ((gain / DB_PER_NEPER).exp() for gain in (inside, outside))
        return (outside * (n == 0) + (inside - outside) * band * window)[:, None].to(params.dtype)

    def response(self, params: Tensor, n_fft: int) -> Tensor:
        """Real response, [nodes, 1, n_fft // 2 + 1]."""
        return zero_phase_response(self.impulse_response(params), n_fft)

    def fold(self, params: Tensor, wet: Tensor) -> Tensor:
        """Each gain mixed with 1."""
        result = params.clone()
        for name in ("inside_db", "outside_db"):
            columns = self.node_type.columns(name)
            result[:, columns] = mixed_db(params[:, columns], wet)
        return result

    def params_at(self, params: Tensor, other: Processor) -> Tensor:
        """The same band; one that ends at half of this rate ends at half of the other."""
        result, half = params.clone(), other.sample_rate / 2
        for name in ("low_hz", "high_hz"):
            edge = self.get(params, name)
            moved = torch.where(edge >= self.sample_rate / 2, half, edge.clamp(max=half))
            result[:, self.node_type.columns(name)] = moved
        return result
