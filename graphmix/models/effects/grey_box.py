r"""A grey box: filter, waveshaper, filter and gain computer in series, whose parameters can be read.

.. math:: y = G \cdot h_2 * s(h_1 * x), \qquad G = \exp(\text{slope} \cdot \max(0, L - \text{threshold}))

with :math:`h_1, h_2` impulse responses (what an engineer would call tone before and after the drive), :math:`s` a curve
through equally spaced points, and :math:`L` the smoothed level of the input in nepers: a Wiener-Hammerstein model
(Eichas & Zölzer 2016) with an envelope follower. A saturator, a clipper, an equalizer or a compressor is such a thing;
a plot of the two responses, the curve and the gain says what the device does.
"""

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from graphmix.dsp.dynamics import ENERGY_FLOOR
from graphmix.dsp.envelope import smooth
from graphmix.dsp.fft import good_length, irfft, rfft
from graphmix.models.effects.effect import EffectConfig, EffectModel, State


class GreyBoxConfig(EffectConfig):
    """Sizes of a :class:`GreyBoxEffect`.

    Args:
        model: ``"grey_box"``.
        taps: of each filter.
        points: of the waveshaper's curve over -1 to 1.
        hidden: units of the MLP by which controls move the parameters.
    """

    model: Literal["grey_box"] = "grey_box"
    taps: int = Field(default=512, ge=1, le=1 << 16)
    points: int = Field(default=65, ge=3, le=1025)
    hidden: int = Field(default=16, ge=1, le=512)


class GreyBoxEffect(EffectModel):
    """Interpretable blocks in the place of a device; see the module."""

    config: GreyBoxConfig

    def __init__(self, config: GreyBoxConfig) -> None:
        super().__init__(config)
        taps = torch.zeros(2, config.taps)
        taps[:, 0] = 1
        self.filters = nn.Parameter(taps)
        """Before and after the waveshaper, [2, taps]; the earliest tap first."""
        self.curve = nn.Parameter(torch.linspace(-1, 1, config.points))
        """Outputs of the waveshaper at equally spaced inputs from -1 to 1; beyond, it goes on along its last piece."""
        self.drive = nn.Parameter(torch.zeros(()))
        """Gain before the waveshaper, in nepers."""
        self.dynamics = nn.Parameter(torch.tensor([0.0, -2.0, math.log(20.0), math.log(100.0)]))
        """Slope, threshold (nepers), logarithms of attack and release in ms."""
        inputs = len(config.controls)
        self.moves = (
            nn.Sequential(nn.Linear(inputs, config.hidden), nn.GELU(), nn.Linear(config.hidden, 5)) if inputs else None
        )
        """By which controls move the drive and the dynamics."""
        self.reach = None

    def settings(self, controls: Tensor) -> Tensor:
        """Drive, slope, threshold, attack, release of each row, [rows, 5]."""
        values = torch.cat([self.drive[None], self.dynamics])[None].expand(controls.size(0), -1)
        return values if self.moves is None else values + self.moves(controls)

    def rest(self, controls: Tensor) -> State:
        """Silence before both filters, and an envelope of zero."""
        silence = controls.new_zeros(controls.size(0), self.config.taps - 1)
        shaped = self.shape(silence[:, :1]).expand_as(silence) if self.config.taps > 1 else silence
        return silence, shaped.detach().clone(), controls.new_zeros(controls.size(0), 1)

    def run(self, audio: Tensor, controls: Tensor, state: State) -> tuple[Tensor, State]:
        """One block; the state is what came into each filter before, and the envelope."""
        before, shaped_before, envelope = state
        drive, slope, threshold, attack, release = self.settings(controls).unbind(1)
        gains, envelope = self._gains(audio, envelope, slope, threshold, attack, release)
        filtered, before = self._filter(audio, before, 0)
        shaped = self.shape(filtered * drive.exp()[:, None])
        out, shaped_before = self._filter(shaped, shaped_before, 1)
        return out * gains, (before, shaped_before, envelope)

    def shape(self, audio: Tensor) -> Tensor:
        """The waveshaper: a piecewise linear curve."""
        steps = self.config.points - 1
        place = (audio + 1) * (steps / 2)
        piece = place.detach().floor().clamp(0, steps - 1)
        below, above = self.curve[piece.long()], self.curve[piece.long() + 1]
        return below + (place - piece) * (above - below)

    def _filter(self, audio: Tensor, before: Tensor, number: int) -> tuple[Tensor, Tensor]:
        signal = torch.cat([before, audio], dim=-1)
        n_fft = good_length(signal.size(-1))
        out = irfft(rfft(signal, n_fft) * rfft(self.filters[number], n_fft), n_fft, signal.size(-1))
        reach = self.config.taps - 1
        return out[:, reach:], signal[:, signal.size(-1) - reach :]

    def _gains(
        self, audio: Tensor, envelope: Tensor, slope: Tensor, threshold: Tensor, attack: Tensor, release: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Gains [rows, samples], and the envelope after the last sample.

        The recursion starts from silence; from another state it starts by a sample that brings it there.
        """
        rate = self.config.sample_rate / 1000
        attack, release = (torch.exp(-1 / (t.clamp(-3, 8).exp().double() * rate)) for t in (attack, release))
        energy = audio.square()
        first = envelope / (1 - attack[:, None]).to(envelope.dtype)  # rises from zero to the envelope in one sample
        smoothed = smooth(torch.cat([first, energy], dim=-1), attack, release)[:, 1:]
        level = 0.5 * (smoothed + ENERGY_FLOOR).log()
        over = torch.nn.functional.softplus((level - threshold[:, None]) * 4) / 4
        return torch.exp(slope[:, None] * over), smoothed[:, -1:].detach()
