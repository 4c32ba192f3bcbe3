r"""Equalizers whose bands follow the level in them: dynamic equalizer and de-esser.

Each band is taken out of the signal by a filter B, and put back with another gain:

.. math:: y = x + (10^{(g - d) / 20} - 1) \, B x

B is a band pass with 0 dB at its center, or a low or high pass of first order, so that with a constant gain the whole
is a bell, a low or a high shelf: :math:`1 + (G - 1) B`. The reduction d follows the level of B x as a compressor's:
linked peaks, attack and release on the gain in dB (:mod:`graphmix.dsp.ballistics`). This form of equalizer is Regalia
and Mitra's (1987); the parallel path keeps it stable however fast the gain moves (Wise, "Concept, design and
implementation of a general dynamic parametric equalizer", 2009).
"""

import torch
from torch import Tensor

from graphmix.dsp.ballistics import Ballistics
from graphmix.dsp.biquad_design import BAND_PASS, design_bands, design_first_order
from graphmix.dsp.biquads import filter_sections
from graphmix.dsp.envelope import coefficient
from graphmix.dsp.level_gain import Modes, apply_level_gain
from graphmix.processors.base import State
from graphmix.processors.biquads import START_HZ, frequency_spec, gain_spec, q_spec, spread
from graphmix.processors.dynamics import AUDIBLE_DB, FORGOTTEN_AFTER, Dynamics
from graphmix.spec import DB_PER_NEPER, Exponential, Linear, NodeType, ParameterSpec, choice

DYNAMIC_SHAPES = ("bell", "low_shelf", "high_shelf")
BELL, LOW_SHELF, HIGH_SHELF = range(len(DYNAMIC_SHAPES))
KNEE_DB = 6.0
"""Width of the knee of every band."""


class DynamicEqualizer(Dynamics):
    r"""Dynamic equalizer: bands that are turned down while they are loud.

    .. math:: y_i = y_{i-1} + \big(10^{(g_i - d_i) / 20} - 1\big) B_i y_{i-1}, \quad
        d_i = \mathrm{smooth}\big(\min(\mathrm{range}_i, (1 - 1/R_i) \, \mathrm{knee}(L_i - T_i))\big)

    for one band after the other, with the peak level :math:`L_i` of :math:`B_i y_{i-1}`; see the top of this file.

    Args:
        sample_rate: in Hz.
        bands: how many. Graphmix's racks have four.

    Params:
        shape        [nodes, bands]: bell, low_shelf or high_shelf (of first order).
        frequency_hz [nodes, bands]: center or corner.
        q            [nodes, bands]: quality of a bell.
        gain_db      [nodes, bands]: gain of the band below the threshold.
        threshold_db [nodes, bands]: level in the band above which it is turned down.
        ratio        [nodes, bands]: input dB per output dB above it, 1 or more.
        range_db     [nodes, bands]: most dB that are taken off.
        attack_ms, release_ms [nodes, bands]: time constants while the reduction grows and shrinks.

    Shape:
        audio [nodes, 2, samples] -> the same.
    """

    name, neutral = "dynamic_eq", (1000.0, 5.0, 80.0)
    """Of frequency, attack and release."""
    start_quantile = 0.6

    def __init__(self, sample_rate: int = 30000, bands: int = 4) -> None:
        super().__init__(sample_rate)
        if bands < 1:
            raise ValueError(f"a dynamic equalizer has one band or more, not {bands}")
        self.bands = bands
        self.node_type = NodeType(self.name, "", self._specs())

    def _specs(self) -> tuple[ParameterSpec, ...]:
        n, (center_hz, attack_ms, release_ms) = self.bands, self.neutral
        return (
            choice("shape", DYNAMIC_SHAPES, "bell", n),
            frequency_spec(self.sample_rate, n, center_hz),
            q_spec(n),
            gain_spec(n),
            ParameterSpec("threshold_db", n, "dB", -80.0, 0.0, -30.0, Linear(DB_PER_NEPER)),
            ParameterSpec("ratio", n, "", 1.0, 100.0, 1.0, Exponential()),
            ParameterSpec("range_db", n, "dB", 0.0, 60.0, 12.0, Linear(DB_PER_NEPER)),
            ParameterSpec("attack_ms", n, "ms", 0.05, 2000.0, attack_ms, Exponential()),
            ParameterSpec("release_ms", n, "ms", 0.05, 5000.0, release_ms, Exponential()),
        )

    def start(self, params: Tensor, generator: torch.Generator) -> Tensor:
        """Bands at equal steps in octaves."""
        if self.bands == 1:
            return params
        params, columns = params.clone(), self.node_type.columns("frequency_hz")
        high = float(self.node_type.bounds()[1][columns][0])
        params[:, columns] = spread(START_HZ[0], min(START_HZ[1], high), self.bands + 2)[1:-1].to(params)
        return params

    def fit_levels(self, params: Tensor, levels_db: list[Tensor]) -> Tensor:
        """Put the thresholds of all bands to the level at the node's input, less its share of so many bands."""
        params, columns = params.clone(), self.node_type.columns("threshold_db")
        for row, levels in enumerate(levels_db):
            audible = levels[levels > AUDIBLE_DB]
            if audible.numel():
                share = 10 * torch.tensor(float(self.bands)).log10()
                threshold = audible.double().quantile(self.start_quantile) - share
                params[row, columns] = threshold.clamp(-80.0, 0.0).to(params)
        return params

    def _filters(self, params: Tensor) -> Tensor:
        """Sections of the filters B, [nodes, bands, 5]."""
        shape, frequency, q = self.choice(params, "shape"), self.get(params, "frequency_hz"), self.get(params, "q")
        band = design_bands(torch.full_like(shape, BAND_PASS), frequency, torch.zeros_like(q), q, self.sample_rate)
        shelf = design_first_order(shape == HIGH_SHELF, frequency.double(), self.sample_rate)
        return torch.where((shape == BELL)[..., None], band, shelf)

    def _settings(self, params: Tensor, band: int) -> tuple[Ballistics, Modes]:
        values = {p.name: self.get(params, p.name)[:, band] for p in self.node_type.parameters}
        zero = torch.zeros_like(params[:, 0])
        attack, release = (coefficient(values[name], self.sample_rate) for name in ("attack_ms", "release_ms"))
        ballistics = Ballistics(
            threshold_db=values["threshold_db"],
            slope=1 / values["ratio"] - 1,
            knee_db=zero + KNEE_DB,
            range_db=values["range_db"],
            mean=zero,
            rise=zero,
            fall=zero,
            grow=attack,
            shrink=release,
            ahead=zero,
            makeup_db=values["gain_db"],
            wet=zero + 1,
        )
        return ballistics, Modes(*[zero.long()] * 5)

    def _play(self, audio: Tensor, params: Tensor, state: State | None) -> tuple[Tensor, State]:
        """All bands, and the states of filters and levels behind them."""
        filters, states = self._filters(params), []
        for band in range(self.bands):
            own = (None, None) if state is None else state[2 * band : 2 * band + 2]
            inside, filtered = filter_sections(audio, filters[:, band : band + 1], own[0])
            changed, level = apply_level_gain(inside, *self._settings(params, band), own[1])
            audio = audio + (changed - inside)
            states += [filtered, level]
        return audio, tuple(states)

    def forward(self, audio: Tensor, params: Tensor) -> Tensor:
        """Process a batch of nodes; wet only. Recursions are computed on the CPU."""
        return self._play(audio, params, None)[0]

    def memory(self, params: Tensor) -> tuple[int, int]:
        """Until filters and levels have forgotten; it does not look ahead."""
        times_ms = torch.cat([self.get(params, name).flatten() for name in ("attack_ms", "release_ms")])
        longest_ms = float(times_ms.max()) if times_ms.numel() else 0.0
        return round(FORGOTTEN_AFTER * longest_ms * self.sample_rate / 1000), 0

    @property
    def resumable(self) -> bool:
        """The states of filters and levels are all that it needs to know."""
        return type(self).forward is DynamicEqualizer.forward

    def resume(self, audio: Tensor, params: Tensor, state: State | None, mark: int) -> tuple[Tensor, State]:
        """One part of a longer signal; the state holds those of each band's filter and level."""
        first, at_mark = self._play(audio[..., :mark], params, state)
        second, _ = self._play(audio[..., mark:], params, at_mark)
        return torch.cat([first, second], dim=-1), at_mark

    def at_rate(self, sample_rate: int) -> "DynamicEqualizer":
        """As many bands."""
        return type(self)(sample_rate, self.bands)


class DeEsser(DynamicEqualizer):
    r"""De-esser: one band of a :class:`DynamicEqualizer`, around the sibilants of a voice.

    .. math:: y = x + \big(10^{(g - d) / 20} - 1\big) B x

    Only the band is turned down, and by its own level: what engineers call split-band. A search starts it at 6.5 kHz.

    Params:
        those of :class:`DynamicEqualizer`, [nodes, 1] each.

    Shape:
        audio [nodes, 2, samples] -> the same.
    """

    name, neutral = "de_esser", (6500.0, 1.0, 50.0)

    def __init__(self, sample_rate: int = 30000, bands: int = 1) -> None:
        super().__init__(sample_rate, bands)
