"""Graphic equalizers: fixed bands of a third of an octave or of an octave, one slider each."""

import torch
from torch import Tensor

from graphmix.dsp.graphic_design import centers_of, design_graphic
from graphmix.processors.base import Processor
from graphmix.processors.recursive import RING_SECONDS, RecursiveFilter
from graphmix.spec import DB_PER_NEPER, Linear, NodeType, ParameterSpec

SLIDER_DB = 20.0
THIRD_OCTAVE_RING_SECONDS = 2.0
"""Bells of a third of an octave at 20 Hz ring longer than what other filters get room for."""


class GraphicEqualizer(RecursiveFilter):
    r"""Graphic equalizer with bands of a third of an octave.

    .. math:: H(z) = \prod_j H_j(z), \quad 20 \log_{10} |H(e^{j \omega_i})| \approx g_i

    with bells whose gains are solved for, so that the response goes through the sliders although the bands overlap; see
    :mod:`graphmix.dsp.graphic_design`, after Liski and Välimäki (2017). With sliders within 12 dB it is within 1 dB of
    them at all centers.

    Args:
        sample_rate: in Hz. Bands above 0.45 of it are left out.

    Params:
        gain_db [nodes, bands]: sliders, from the lowest band up: 19.7 Hz, 24.8 Hz, ... 1 kHz ...

    Shape:
        audio [nodes, 2, samples] -> the same.
    """

    gain_staged = True
    ring_seconds = THIRD_OCTAVE_RING_SECONDS
    bands_per_octave = 3
    name = "graphic_eq"

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        self.centers_hz = tuple(centers_of(self.bands_per_octave, sample_rate).tolist())
        """Centers of the bands."""
        bands = len(self.centers_hz)
        gain = ParameterSpec("gain_db", bands, "dB", -SLIDER_DB, SLIDER_DB, 0.0, Linear(DB_PER_NEPER))
        self.node_type = NodeType(self.name, "", (gain,))

    def sections(self, params: Tensor) -> Tensor:
        """One for each band."""
        return design_graphic(params, self.bands_per_octave, self.sample_rate)

    def params_at(self, params: Tensor, other: Processor) -> Tensor:
        """The same sliders; bands that only the other rate has take the highest one's."""
        known = params[:, : other.node_type.width]
        return torch.cat([known, known[:, -1:].expand(-1, other.node_type.width - known.size(1))], dim=1)


class OctaveEqualizer(GraphicEqualizer):
    """A :class:`GraphicEqualizer` with bands of an octave.

    Params:
        gain_db [nodes, bands]: sliders, from the lowest band up: 31.25 Hz, 62.5 Hz, ... 1 kHz ...

    Shape:
        audio [nodes, 2, samples] -> the same.
    """

    ring_seconds = RING_SECONDS
    bands_per_octave = 1
    name = "octave_eq"
