"""Filters of second-order sections: one band, many bands, state-variable, poles and zeros.

The shapes of bands and their equations are in :mod:`graphmix.dsp.biquad_design`, how they are rendered in
:mod:`graphmix.processors.recursive`. All have minimum phase but the all pass.
"""

import torch
from torch import Tensor

from graphmix.dsp.biquad_design import (
    BELL,
    BUTTERWORTH_Q,
    HIGH_PASS,
    HIGH_SHELF,
    LOW_PASS,
    LOW_SHELF,
    MOST_ORDER,
    SHAPES,
    design_bands,
    design_pairs,
    design_passes,
    design_state_variable,
)
from graphmix.processors.recursive import RecursiveFilter
from graphmix.spec import DB_PER_NEPER, Exponential, Linear, NodeType, ParameterSpec, choice

LOWEST_HZ, HIGHEST_HZ = 20.0, 20000.0
HIGHEST_SHARE = 0.45
"""Of the sample rate: closer to its half the bilinear transform squeezes what lies above a corner into nothing."""
GAIN_RANGE_DB = (-40.0, 40.0)
Q_RANGE = (0.1, 40.0)
START_HZ = (60.0, 10000.0)
"""Between which a search spreads the bands of an equalizer."""
BANDWIDTHS_HZ = (2.0, 20000.0)
"""Of zeros and poles: the narrowest rings for 1.1 s."""


def frequency_spec(
    sample_rate: int, size: int = 1, neutral: float = 1000.0, name: str = "frequency_hz"
) -> ParameterSpec:
    """A frequency that a band can have, within 20 Hz to 20 kHz and 0.45 of the sample rate."""
    high = min(HIGHEST_HZ, HIGHEST_SHARE * sample_rate)
    return ParameterSpec(name, size, "Hz", LOWEST_HZ, high, min(neutral, high), Exponential())


def q_spec(size: int = 1, neutral: float = BUTTERWORTH_Q) -> ParameterSpec:
    """The quality of a band."""
    return ParameterSpec("q", size, "", *Q_RANGE, neutral, Exponential())


def gain_spec(size: int = 1, name: str = "gain_db") -> ParameterSpec:
    """The gain of a band."""
    return ParameterSpec(name, size, "dB", *GAIN_RANGE_DB, 0.0, Linear(DB_PER_NEPER))


def spread(low_hz: float, high_hz: float, bands: int) -> Tensor:
    """Frequencies at equal steps in octaves, both ends included, [bands]."""
    return torch.logspace(0, 1, bands, base=high_hz / low_hz) * low_hz


class Filter(RecursiveFilter):
    r"""One filter of any shape: low or high pass of 6 to 48 dB an octave, band pass, notch, all pass, bell, shelf.

    .. math:: H(z) = \prod_k \frac{b_{k0} + b_{k1} z^{-1} + b_{k2} z^{-2}}{1 + a_{k1} z^{-1} + a_{k2} z^{-2}}

    with the sections of Bristow-Johnson's cookbook; passes of other orders than the second are Butterworth's.

    Params:
        shape        [nodes, 1]: low_pass, high_pass, band_pass, notch, all_pass, bell, low_shelf or high_shelf.
        frequency_hz [nodes, 1]: corner or center.
        gain_db      [nodes, 1]: of a bell or a shelf; others do not use it.
        q            [nodes, 1]: quality: center frequency over bandwidth; of passes and shelves 0.7071 is as steep as
            it gets without a peak.
        order        [nodes, 1]: of a pass, a whole number; 6 dB an octave each. Others have order 2.

    Shape:
        audio [nodes, 2, samples] -> the same.
    """

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        order = ParameterSpec("order", 1, "", 1.0, float(MOST_ORDER), 2.0, Linear())
        parameters = (choice("shape", SHAPES, "bell"), frequency_spec(sample_rate), gain_spec(), q_spec(), order)
        self.node_type = NodeType("biquad", "", parameters)

    def sections(self, params: Tensor) -> Tensor:
        """Four, of which those that are not needed are the identity."""
        shape, order = self.choice(params, "shape"), self.choice(params, "order")[:, 0]
        frequency, gain, q = (self.get(params, name) for name in ("frequency_hz", "gain_db", "q"))
        passes = design_passes(shape[:, 0] == HIGH_PASS, frequency[:, 0], q[:, 0], order, self.sample_rate)
        band = design_bands(shape, frequency, gain, q, self.sample_rate)
        rest = torch.zeros_like(passes[:, 1:])
        rest[..., 0] = 1
        is_pass = (shape == LOW_PASS) | (shape == HIGH_PASS)
        return torch.where(is_pass[..., None], passes, torch.cat([band, rest], dim=1))


class ParametricEqualizer(RecursiveFilter):
    r"""Parametric equalizer: bands in a row, each of a shape of its own.

    .. math:: H(z) = \prod_{i=1}^{N} H_i(z)

    with a section of Bristow-Johnson's cookbook for each band. A search begins with a low shelf, bells and a high shelf
    at equal steps in octaves; it does not change shapes.

    Args:
        sample_rate: in Hz.
        bands: how many. Graphmix's racks have eight.

    Params:
        shape        [nodes, bands]: as of :class:`Filter`; passes have order 2.
        frequency_hz [nodes, bands]: corner or center.
        gain_db      [nodes, bands]: of bells and shelves.
        q            [nodes, bands]: quality.

    Shape:
        audio [nodes, 2, samples] -> the same.

    Not for: a free curve without phase; see :class:`graphmix.processors.filters.Equalizer`.
    """

    gain_staged = True

    def __init__(self, sample_rate: int = 30000, bands: int = 8) -> None:
        super().__init__(sample_rate)
        if bands < 1:
            raise ValueError(f"a parametric equalizer has one band or more, not {bands}")
        self.bands = bands
        shape = choice("shape", SHAPES, "bell", bands)
        parameters = (shape, frequency_spec(sample_rate, bands), gain_spec(bands), q_spec(bands))
        self.node_type = NodeType("parametric_eq", "", parameters)

    def sections(self, params: Tensor) -> Tensor:
        """One for each band."""
        shape = self.choice(params, "shape")
        frequency, gain, q = (self.get(params, name) for name in ("frequency_hz", "gain_db", "q"))
        return design_bands(shape, frequency, gain, q, self.sample_rate)

    def start(self, params: Tensor, generator: torch.Generator) -> Tensor:
        """Shelves at both ends and bells between them."""
        params = params.clone()
        frequency, shape = self.node_type.columns("frequency_hz"), self.node_type.columns("shape")
        high = self.node_type.bounds()[1][frequency][0]
        params[:, frequency] = spread(START_HZ[0], min(START_HZ[1], float(high)), self.bands).to(params)
        shapes = torch.full((self.bands,), float(BELL))
        if self.bands > 1:
            shapes[0], shapes[-1] = LOW_SHELF, HIGH_SHELF
        params[:, shape] = shapes.to(params)
        return params

    def at_rate(self, sample_rate: int) -> "ParametricEqualizer":
        """As many bands."""
        return ParametricEqualizer(sample_rate, self.bands)


class StateVariableFilter(RecursiveFilter):
    r"""State-variable filter: a mix of low pass, band pass and high pass of one corner.

    .. math:: H(s) = \frac{l + b \, s / Q + h \, s^2}{1 + s / Q + s^2}, \quad
        s = \frac{1}{g} \, \frac{1 - z^{-1}}{1 + z^{-1}}, \quad g = \tan(\pi f / f_s)

    The trapezoidal form of Zavalishin, "The Art of VA Filter Design" (2018), section 4; its three outputs add up to the
    input. The amounts go smoothly from one kind of filter to another: (1, 0, 0) is a low pass, (1, 0, 1) a notch,
    (1, -1, 1) an all pass, (1, A, 1) a bell.

    Params:
        frequency_hz [nodes, 1]: the corner.
        q            [nodes, 1]: quality.
        low, band, high [nodes, 1 each]: amounts; the band pass has 0 dB at its center.

    Shape:
        audio [nodes, 2, samples] -> the same.

    Not for: a corner that moves; see :class:`graphmix.processors.controls.ResonantFilter`.
    """

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        amounts = [ParameterSpec(name, 1, "", -10.0, 10.0, 1.0, Linear()) for name in ("low", "band", "high")]
        self.node_type = NodeType("state_variable", "", (frequency_spec(sample_rate), q_spec(), *amounts))

    def sections(self, params: Tensor) -> Tensor:
        """One."""
        names = ("frequency_hz", "q", "low", "band", "high")
        frequency, q, low, band, high = (self.get(params, name) for name in names)
        return design_state_variable(frequency, q, low, band, high, self.sample_rate)


class PoleZero(RecursiveFilter):
    r"""Pairs of zeros and poles, by frequency and bandwidth.

    .. math:: H(z) = 10^{g / 20} \prod_k \frac{1 - 2 r_k \cos \omega_k z^{-1} + r_k^2 z^{-2}}
        {1 - 2 \rho_k \cos \phi_k z^{-1} + \rho_k^2 z^{-2}}, \quad r = e^{-\pi B / f_s}, \quad \omega = 2 \pi f / f_s

    and the poles' :math:`\rho, \phi` likewise: the factored form of a rational transfer function, with radii by the
    width at -3 dB of a resonance (e.g. Smith, "Introduction to Digital Filters", 2007). Phase is minimum. A pole rings
    for 2.2 / B seconds until -60 dB.

    Args:
        sample_rate: in Hz.
        pairs: how many. Graphmix's racks have four.

    Params:
        zero_hz, zero_bandwidth_hz [nodes, pairs]: frequency and bandwidth of each zero and of its mirror image.
        pole_hz, pole_bandwidth_hz [nodes, pairs]: the same of the poles. Where a zero and a pole meet they cancel.
        gain_db [nodes, 1].

    Shape:
        audio [nodes, 2, samples] -> the same.
    """

    def __init__(self, sample_rate: int = 30000, pairs: int = 4) -> None:
        super().__init__(sample_rate)
        if pairs < 1:
            raise ValueError(f"a filter of poles and zeros has one pair or more, not {pairs}")
        self.pairs = pairs
        parameters = [gain_spec()]
        for name in ("zero", "pole"):
            parameters.append(frequency_spec(sample_rate, pairs, name=f"{name}_hz"))
            parameters.append(ParameterSpec(f"{name}_bandwidth_hz", pairs, "Hz", *BANDWIDTHS_HZ, 1000.0, Exponential()))
        self.node_type = NodeType("pole_zero", "", tuple(parameters))

    def sections(self, params: Tensor) -> Tensor:
        """One for each pair; the gain is in the first."""
        names = ("zero_hz", "zero_bandwidth_hz", "pole_hz", "pole_bandwidth_hz")
        zeros, zero_widths, poles, pole_widths = (self.get(params, name) for name in names)
        sections = design_pairs(zeros, zero_widths, poles, pole_widths, self.sample_rate)
        gain = (self.get(params, "gain_db").double() / DB_PER_NEPER).exp()[..., None]
        scale = torch.cat([gain.expand(-1, 1, 3), torch.ones_like(sections[:, :1, 3:])], dim=2)
        return torch.cat([sections[:, :1] * scale, sections[:, 1:]], dim=1)

    def start(self, params: Tensor, generator: torch.Generator) -> Tensor:
        """Zeros and poles at the same places, at equal steps in octaves: they cancel."""
        params = params.clone()
        for name in ("zero", "pole"):
            columns = self.node_type.columns(f"{name}_hz")
            high = float(self.node_type.bounds()[1][columns][0])
            params[:, columns] = spread(START_HZ[0], min(START_HZ[1], high), self.pairs).to(params)
            params[:, self.node_type.columns(f"{name}_bandwidth_hz")] = params[:, columns] / 2
        return params

    def at_rate(self, sample_rate: int) -> "PoleZero":
        """As many pairs."""
        return PoleZero(sample_rate, self.pairs)
