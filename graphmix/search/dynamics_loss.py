r"""How the levels of a mix move: short-term against long-term energy, in two time scales.

.. math:: D_{\tau, T}[n] = \tfrac12 \log \frac{E_\tau[n] + \epsilon}{E_T[n] + \epsilon}, \qquad
    L_x = \operatorname{mean}_{(\tau, T)} \operatorname{mean}_n |D_{\tau, T}[n] - \hat D_{\tau, T}[n]|

E is the mean energy of the A-weighted signal over a window of that length around n. A compressor holds D together, an
expander drives it apart, a reverb fills its valleys; a gain leaves it as it is.

Source: the loudness dynamic range of Skovenborg (2012, "Measures of microdynamics") in several scales as an objective,
as in DiffVox (Yu et al. 2025), whose scales are taken: 50 against 1000 ms and 100 against 2000 ms. Where it differs
from theirs: windows are rectangular and centered, cut at the ends of the segment, where theirs are one-pole averages
(which need longer than a segment of 2.8 s to settle); amplitudes are A-weighted as in the audio loss, else the bass
drum alone would be measured; left, right, mid and side as there; and ε lies 50 dB below the song, so that noise in
pauses has no dynamics.
"""

import torch
from torch import Tensor

from graphmix.search.pattern_loss import PatternLoss, four_signals
from graphmix.search.weighted_spectra import SymmetricFilter, a_weighting, banded

HOP_MS = 12.5
SCALES_MS = ((50.0, 1000.0), (100.0, 2000.0))
"""(short, long) windows, even multiples of the hop: so all of them are centered on the same samples."""
FLOOR = 1e-5
"""Share of the song's mean square, -50 dB, below which differences hardly count."""


class DynamicsLoss(PatternLoss):
    """Mean difference of short-term against long-term levels, in nepers; see :mod:`graphmix.search.dynamics_loss`.

    >>> loss = DynamicsLoss(30_000)
    >>> mix = torch.sin(torch.arange(30_000) * 0.2).expand(1, 2, -1)
    >>> float(loss(prediction=0.5 * mix, target=mix).total) < 1e-4  # a gain is no dynamics
    True
    """

    def __init__(self, sample_rate: int) -> None:
        self.hop = round(HOP_MS * sample_rate / 1000)
        super().__init__(sample_rate, shortest=self.hop)
        self.scales = [(round(short / HOP_MS), round(long / HOP_MS)) for short, long in SCALES_MS]
        self.register_buffer("banded_taps", banded(a_weighting(sample_rate)), persistent=False)

    def measure(self, audio: Tensor) -> Tensor:
        """Energies of successive hops, [batch, 2, samples] -> [batch, 4, hops]."""
        weighted = four_signals(SymmetricFilter.apply(audio, self.get_buffer("banded_taps")))
        hops = weighted.size(-1) // self.hop
        return weighted[..., : hops * self.hop].unflatten(-1, (hops, self.hop)).square().mean(-1)

    def pattern(self, powers: Tensor, power: Tensor) -> Tensor:
        """D in each time scale, [batch, 4, scales, hops + 1]."""
        floor = FLOOR * power[:, None, None]
        means = {width: (moving_mean(powers, width) + floor).log() for pair in self.scales for width in pair}
        return torch.stack([(means[short] - means[long]) / 2 for short, long in self.scales], 2)


def moving_mean(signal: Tensor, width: int) -> Tensor:
    """Means over windows around the borders of samples: [batch, signals, samples] -> [..., samples + 1].

    Args:
        signal: of which the mean is taken.
        width: even; windows are cut at the ends.
    """
    half = width // 2
    return torch.nn.functional.avg_pool1d(signal, width, stride=1, padding=half, count_include_pad=False)
