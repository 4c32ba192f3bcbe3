r"""Second-order sections by design: the shapes of an equalizer's bands, and low and high passes of any order.

Shapes after Bristow-Johnson, "Cookbook formulae for audio equalizer biquad filter coefficients" (W3C note, 2021), with
:math:`\omega = 2 \pi f / f_s`, :math:`\alpha = \sin \omega / 2 Q`, :math:`A = 10^{g / 40}`; the band pass is the one
with 0 dB at its center. Passes of order n are Butterworth's, whose pairs of poles have the quality
:math:`1 / (2 \sin \theta_k)` with :math:`\theta_k = (2 k - 1) \pi / 2 n`, by the bilinear transform, which keeps the
corner.

Conventions: all in float64, frequencies in Hz; sections are [..., 5] as :mod:`graphmix.dsp.biquads` has them.
"""

import math

import torch
from torch import Tensor

SHAPES = ("low_pass", "high_pass", "band_pass", "notch", "all_pass", "bell", "low_shelf", "high_shelf")
"""What a band can be; the number of a shape is its place here."""
LOW_PASS, HIGH_PASS, BAND_PASS, NOTCH, ALL_PASS, BELL, LOW_SHELF, HIGH_SHELF = range(len(SHAPES))
BUTTERWORTH_Q = math.sqrt(0.5)
MOST_ORDER = 8


def design_bands(shape: Tensor, frequency_hz: Tensor, gain_db: Tensor, q: Tensor, sample_rate: float) -> Tensor:
    """One section for each band.

    Args:
        shape: number in :data:`SHAPES`, any shape [...].
        frequency_hz: corner or center, below half the sample rate.
        gain_db: of bells and shelves; others have none.
        q: quality, above 0.
        sample_rate: in Hz.

    Returns:
        [..., 5], with gradients of all but the shape.
    """
    angle = frequency_hz.double() * (2 * math.pi / sample_rate)
    cosine, alpha = angle.cos(), angle.sin() / (2 * q.double())
    a = torch.exp(gain_db.double() * (math.log(10) / 40))
    root = 2 * a.sqrt() * alpha
    one, zero = torch.ones_like(cosine), torch.zeros_like(cosine)
    plain = 1 + alpha, -2 * cosine, 1 - alpha
    up, down, much, less = a + 1, a - 1, (a + 1) * cosine, (a - 1) * cosine
    all_shapes = (
        ((1 - cosine) / 2, 1 - cosine, (1 - cosine) / 2, *plain),
        ((1 + cosine) / 2, -1 - cosine, (1 + cosine) / 2, *plain),
        (alpha, zero, -alpha, *plain),
        (one, -2 * cosine, one, *plain),
        (1 - alpha, -2 * cosine, 1 + alpha, *plain),
        (1 + alpha * a, -2 * cosine, 1 - alpha * a, 1 + alpha / a, -2 * cosine, 1 - alpha / a),
        (
            *(a * (up - less + root), 2 * a * (down - much), a * (up - less - root)),
            *(up + less + root, -2 * (down + much), up + less - root),
        ),
        (
            *(a * (up + less + root), -2 * a * (down + much), a * (up + less - root)),
            *(up - less + root, 2 * (down - much), up - less - root),
        ),
    )
    numbers = torch.stack([torch.stack(numbers, dim=-1) for numbers in all_shapes])
    index = shape.expand_as(cosine)[None, ..., None].expand(1, *cosine.shape, 6)
    return normalized(numbers.gather(0, index)[0])


def normalized(numbers: Tensor) -> Tensor:
    """b0, b1, b2, a0, a1, a2 [..., 6] -> sections [..., 5]."""
    return torch.cat([numbers[..., :3], numbers[..., 4:]], dim=-1) / numbers[..., 3:4]


def design_passes(high: Tensor, frequency_hz: Tensor, q: Tensor, order: Tensor, sample_rate: float) -> Tensor:
    """Low or high passes of order 1 to 8.

    Args:
        high: which are high passes, [nodes].
        frequency_hz: corners, [nodes].
        q: quality of a second-order filter; of a higher order the sharpest pair of poles has its own times
            q / 0.7071, so that 0.7071 is Butterworth's response and more is a peak at the corner. [nodes]
        order: whole numbers, [nodes].
        sample_rate: in Hz.

    Returns:
        [nodes, 4, 5]; sections that an order does not need are the identity.
    """
    place = torch.arange(MOST_ORDER // 2, device=order.device)
    order = order[:, None]
    pairs = place < order // 2
    theta = (2 * place + 1).double() * math.pi / (2 * order)
    sharp = torch.where(place == 0, q.double()[:, None] / BUTTERWORTH_Q, 1.0)
    quality = sharp / (2 * theta.sin().clamp(min=1e-3))
    shape = torch.where(high, HIGH_PASS, LOW_PASS)[:, None].expand_as(quality)
    corner = frequency_hz.double()[:, None].expand_as(quality)
    second = design_bands(shape, corner, torch.zeros_like(corner), quality, sample_rate)
    first = design_first_order(high, frequency_hz.double(), sample_rate)[:, None].expand_as(second)
    identity = torch.zeros_like(second)
    identity[..., 0] = 1
    odd = (place == order // 2) & (order % 2 == 1)
    return torch.where(pairs[..., None], second, torch.where(odd[..., None], first, identity))


def design_first_order(high: Tensor, frequency_hz: Tensor, sample_rate: float) -> Tensor:
    """Low or high passes of 6 dB an octave, which of one corner add up to 1, [...] -> [..., 5]."""
    k = (frequency_hz * (math.pi / sample_rate)).tan()
    zero, one = torch.zeros_like(k), torch.ones_like(k)
    low_pass = torch.stack([k, k, zero, k - 1, zero], dim=-1)
    high_pass = torch.stack([one, -one, zero, k - 1, zero], dim=-1)
    return torch.where(high[..., None], high_pass, low_pass) / (k + 1)[..., None]


def design_state_variable(
    frequency_hz: Tensor, q: Tensor, low: Tensor, band: Tensor, high: Tensor, sample_rate: float
) -> Tensor:
    r"""The state-variable filter as sections: a mix of its three outputs.

    With :math:`g = \tan(\pi f / f_s)`, :math:`k = 1 / Q` and the amounts l, b, h the section is

    .. math:: \frac{l g^2 (1 + z^{-1})^2 + b k g (1 - z^{-2}) + h (1 - z^{-1})^2}
        {g^2 (1 + z^{-1})^2 + k g (1 - z^{-2}) + (1 - z^{-1})^2}

    so that the three add up to the input.

    Args:
        frequency_hz, q, low, band, high: any shape [...]; amounts of low pass, band pass (0 dB at its center) and high
            pass.
        sample_rate: in Hz.
    """
    g = (frequency_hz.double() * (math.pi / sample_rate)).tan()
    k = g / q.double()
    low, band, high = low.double() * g.square(), band.double() * k, high.double()
    numbers = (low + band + high, 2 * (low - high), low - band + high, g.square() + k + 1, 2 * (g.square() - 1))
    return normalized(torch.stack([*numbers, g.square() - k + 1], dim=-1))


def design_pairs(
    zero_hz: Tensor, zero_bandwidth_hz: Tensor, pole_hz: Tensor, pole_bandwidth_hz: Tensor, sample_rate: float
) -> Tensor:
    """Sections of a conjugate pair of zeros and one of poles each, [...] -> [..., 5]; bandwidth 0 is on the circle."""
    numbers = []
    for frequency, bandwidth in ((zero_hz, zero_bandwidth_hz), (pole_hz, pole_bandwidth_hz)):
        radius = torch.exp(bandwidth.double() * (-math.pi / sample_rate))
        cosine = (frequency.double() * (2 * math.pi / sample_rate)).cos()
        numbers += [torch.ones_like(cosine), -2 * radius * cosine, radius.square()]
    return normalized(torch.stack(numbers, dim=-1))
