r"""Multichannel Wiener filter, refined by expectation-maximization: estimates that agree with how sources are panned.

Each source is a Gaussian whose covariance in a bin and frame is its power times one spatial matrix of the bin,
:math:`v_j(f, t) R_j(f)` (Duong, Vincent and Gribonval 2010). As in Liutkus, Badeau and Richard (2014) and Nugraha,
Liutkus and Vincent (2016), an iteration takes both from the estimates themselves:

.. math:: v_j = \frac{1}{C} \lVert y_j \rVert^2, \quad
    R_j = \frac{\sum_t y_j y_j^H}{\sum_t v_j}, \quad
    y_j \leftarrow v_j R_j \Big(\sum_k v_k R_k + \sqrt{\epsilon} I\Big)^{-1} x

This is what Open-Unmix's filter does: the exact posterior covariance is left out. Of one channel it is the ratio of
powers. The estimates add up to the mixture, but for the regularization: leave what no source explains in a source of
its own, or the others share it.
"""

import torch
from torch import Tensor

EPSILON = float(torch.finfo(torch.float64).eps)
PEAK = 10.0
"""Largest amplitude of the mixture while it is filtered, against which the regularization is small."""
_VALUES_AT_ONCE = 1 << 16
"""Of all estimates; more bins are filtered group by group, in so many numbers as a cache holds."""


def wiener_filter(estimates: Tensor, mixture: Tensor, iterations: int = 1) -> Tensor:
    """Estimates after some iterations; the level of the mixture does not matter.

    Args:
        estimates: of all sources, the rest among them, complex [N, sources, channels, bins, frames].
        mixture: [N, channels, bins, frames], of one or two channels.
        iterations: 0 leaves the estimates as they are.

    Shape:
        that of the estimates, in their precision; computed in double precision.
    """
    if iterations <= 0 or not estimates.numel():
        return estimates
    peak = mixture.abs().amax((1, 2, 3), keepdim=True)
    scale = PEAK / torch.where(peak > 0, peak, 1.0)
    size = max(1, _VALUES_AT_ONCE * estimates.size(3) // estimates.numel())
    groups = zip(estimates.split(size, 3), mixture.split(size, 2), strict=True)
    parts = [
        expectation_maximization(
            (y * scale[:, None]).to(torch.complex128), (x * scale).to(torch.complex128), iterations
        )
        for y, x in groups
    ]
    return torch.cat([part.to(estimates.dtype) for part in parts], dim=3) / scale[:, None]


def certainty(estimates: Tensor, mixture: Tensor) -> Tensor:
    """How sure the masks behind estimates are: their mean over the source's own bins, 1 where they are all or nothing.

    It is the energy that an estimate has, over the one that it would have if its masks were 0 or 1 by chance, with the
    same mean. A silent estimate is not sure.

    Args:
        estimates: [N, sources, channels, bins, frames].
        mixture: [N, channels, bins, frames].

    Returns:
        0 to 1, [N, sources, 1, 1, 1]
    """
    axes = (2, 3, 4)
    magnitudes, whole = estimates.abs(), mixture.abs().unsqueeze(1)
    drawn = (magnitudes * whole).sum(axes, keepdim=True)
    return (magnitudes.square().sum(axes, keepdim=True) / drawn.clamp(min=torch.finfo(drawn.dtype).tiny)).clamp(max=1)


def expectation_maximization(estimates: Tensor, mixture: Tensor, iterations: int, epsilon: float = EPSILON) -> Tensor:
    """The iterations themselves, at the scale and in the precision of what is given; shapes as above.

    Raises:
        ValueError: more than two channels.
    """
    channels = mixture.size(1)
    if channels not in (1, 2):
        raise ValueError(f"the mixture has {channels} channels; one or two can be filtered")
    for _ in range(iterations):
        estimates = (_mono if channels == 1 else _stereo)(estimates, mixture, epsilon)
    return estimates


def _mono(estimates: Tensor, mixture: Tensor, epsilon: float) -> Tensor:
    """Ratio of powers, each scaled by the spatial variance, which is 1 up to the regularization."""
    power = _power(estimates)
    model = power * _spatial(estimates[:, :, 0], estimates[:, :, 0], power, epsilon).real
    gain = model / (model.sum(1, keepdim=True) + epsilon**0.5 + epsilon)
    return gain[:, :, None] * mixture[:, None]


def _stereo(estimates: Tensor, mixture: Tensor, epsilon: float) -> Tensor:
    """The same with 2×2 matrices, whose inverse is written out."""
    power = _power(estimates)  # [N, sources, bins, frames]
    left, right = estimates.unbind(2)
    own_left = _spatial(left, left, power, epsilon).real
    own_right = _spatial(right, right, power, epsilon).real
    across = _spatial(left, right, power, epsilon)
    a = (power * own_left).sum(1) + epsilon**0.5
    d = (power * own_right).sum(1) + epsilon**0.5
    b = (power * across).sum(1)
    determinant = a * d - b.abs().square()
    x_left, x_right = mixture.unbind(1)
    z_left = ((d * x_left - b * x_right) / determinant)[:, None]
    z_right = ((a * x_right - b.conj() * x_left) / determinant)[:, None]
    y_left = power * (own_left * z_left + across * z_right)
    y_right = power * (across.conj() * z_left + own_right * z_right)
    return torch.stack([y_left, y_right], dim=2)


def _power(estimates: Tensor) -> Tensor:
    """Mean over the channels of the squared magnitude, [N, sources, bins, frames]."""
    return torch.view_as_real(estimates).square().sum(-1).mean(2)


def _spatial(one: Tensor, other: Tensor, power: Tensor, epsilon: float) -> Tensor:
    """An entry of the spatial matrices, [N, sources, bins, 1]."""
    return (one * other.conj()).sum(-1, keepdim=True) / (power.sum(-1, keepdim=True) + epsilon)
