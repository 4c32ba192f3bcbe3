r"""Sections of a graphic equalizer whose sliders are what is heard, although its bands overlap.

Each band is a bell with the gain :math:`G^c` at the center of its upper neighbour,

.. math:: H(z) = \frac{1 + G \beta - 2 \cos \omega_0 z^{-1} + (1 - G \beta) z^{-2}}
    {1 + \beta - 2 \cos \omega_0 z^{-1} + (1 - \beta) z^{-2}}, \quad
    \beta = \frac{|\cos \omega_u - \cos \omega_0|}{\sin \omega_u} \sqrt{\frac{G^{2 c} - 1}{G^2 - G^{2 c}}}

(the highest band, whose neighbour lies beyond half the sample rate, takes its lower one). The gains of the bells are
those whose decibels add up to the sliders, and to the mean of two sliders between them, in the least squares: a
constant matrix solves it for bells of 17 dB, and a few steps with the same matrix and the true responses correct it.

Design after Liski and Välimäki, "The quest for the best graphic equalizer" (2017); width and iteration are written
otherwise, such that neighbours are met at any sample rate and gradients are smooth at 0 dB. All in float64.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

NEIGHBOUR_SHARE = 0.4
"""c: dB that a bell has at its neighbour's center, for each dB at its own."""
PROTOTYPE_DB = 17.0
BETWEEN_WEIGHT = 0.5
"""Weight of the errors between two centers."""
STEPS = 3
HIGHEST_SHARE = 0.45
"""Of the sample rate: bands above it are left out."""
_ROOM = 0.49
"""A neighbour above this share of the sample rate is none."""
_NEPERS = math.log(10) / 20


def centers_of(bands_per_octave: int, sample_rate: int) -> Tensor:
    """Centers in Hz, at steps of an octave or a third of one around 1 kHz, from 20 Hz (octaves: 31 Hz) up, [bands]."""
    low, high = -5 * bands_per_octave - (2 if bands_per_octave > 1 else 0), 4 * bands_per_octave + 1
    found = 1000.0 * 2.0 ** (torch.arange(low, high + 1, dtype=torch.float64) / bands_per_octave)
    return found[(found < HIGHEST_SHARE * sample_rate) & (found < 20500)]


@dataclass(frozen=True, eq=False)
class GraphicDesign:
    """What is constant of the bands of an equalizer.

    Args:
        cosine: of each center, [bands].
        width: ``|cos u - cos w| / sin u`` of each, [bands].
        distance: (cos w_i - cos w_j) / sin w_i of each place i and band j, places first the centers, then the middle
            between two of them, [2 bands - 1, bands].
        solver: decibels at the places -> decibels of the bells, [bands, 2 bands - 1].
    """

    cosine: Tensor
    width: Tensor
    distance: Tensor
    solver: Tensor

    def to(self, device: torch.device) -> "GraphicDesign":
        """The same on a device."""
        return GraphicDesign(*(t.to(device) for t in (self.cosine, self.width, self.distance, self.solver)))


@lru_cache(maxsize=16)
def graphic_design(bands_per_octave: int, sample_rate: int) -> GraphicDesign:
    """The constants for a sample rate."""
    centers = centers_of(bands_per_octave, sample_rate)
    step = 2.0 ** (1 / bands_per_octave)
    above = centers * step
    neighbour = torch.where(above < _ROOM * sample_rate, above, centers / step)
    middles = (centers[:-1] * centers[1:]).sqrt()
    turn = 2 * math.pi / sample_rate
    cosine, place = (centers * turn).cos(), torch.cat([centers, middles]) * turn
    width = ((neighbour * turn).cos() - cosine).abs() / (neighbour * turn).sin()
    distance = (place.cos()[:, None] - cosine) / place.sin()[:, None]
    plain = GraphicDesign(cosine, width, distance, torch.zeros(0))
    interaction = _decibels(plain, torch.full_like(centers, PROTOTYPE_DB)) / PROTOTYPE_DB
    weight = torch.ones(len(place), dtype=torch.float64)
    weight[len(centers) :] = BETWEEN_WEIGHT
    weighted = interaction.T * weight
    return GraphicDesign(cosine, width, distance, torch.linalg.solve(weighted @ interaction, weighted))


def _relative(x: Tensor) -> Tensor:
    """(exp(x) - 1) / x, smooth at 0."""
    small = x.abs() < 1e-3
    safe = torch.where(small, 1.0, x)
    return torch.where(small, 1 + x / 2 + x.square() / 6 + x**3 / 24, torch.expm1(safe) / safe)


def _width(design: GraphicDesign, gain_db: Tensor) -> tuple[Tensor, Tensor]:
    """Gain as a factor and beta of each bell."""
    c, gain = NEIGHBOUR_SHARE, gain_db * _NEPERS
    square = c / (1 - c) * torch.exp(-2 * c * gain) * _relative(2 * c * gain) / _relative(2 * (1 - c) * gain)
    return gain.exp(), design.width * square.sqrt()


def _decibels(design: GraphicDesign, gain_db: Tensor) -> Tensor:
    """Of each bell at each place, [..., bands] -> [..., places, bands]."""
    gain, beta = _width(design, gain_db)
    at, inner, outer = design.distance.square(), beta.square()[..., None, :], (gain * beta).square()[..., None, :]
    return ((at + outer) / (at + inner)).log10() * 10


def design_graphic(gain_db: Tensor, bands_per_octave: int, sample_rate: int) -> Tensor:
    """Sections of an equalizer, float64 [nodes, bands, 5].

    Args:
        gain_db: positions of the sliders, [nodes, bands].
        bands_per_octave: 1 or 3.
        sample_rate: in Hz.
    """
    design = graphic_design(bands_per_octave, sample_rate).to(gain_db.device)
    sliders = gain_db.double()
    wanted = torch.cat([sliders, (sliders[:, :-1] + sliders[:, 1:]) / 2], dim=1)
    bells = wanted @ design.solver.T
    for _ in range(STEPS):
        bells = bells + (wanted - _decibels(design, bells).sum(-1)) @ design.solver.T
    gain, beta = _width(design, bells)
    middle = (-2 * design.cosine).expand_as(beta)
    numbers = (1 + gain * beta, middle, 1 - gain * beta, middle, 1 - beta)
    return torch.stack(numbers, dim=-1) / (1 + beta)[..., None]
