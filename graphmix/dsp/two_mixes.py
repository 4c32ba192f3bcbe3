r"""Sources separated by two mixes of one song: what differs between the mixes says which source a bin belongs to.

The first mix is the sum of sources, the second that of the same sources at other gains, each channel for itself:
:math:`x = \sum_k s_k` and :math:`x' = \sum_k g_k s_k + n`. Where one source is alone, the ratio :math:`x' / x` is its
gain, so the gains are where ratios gather (as in DUET, Yilmaz and Rickard 2004); masks say which of these places is
which source's (:func:`find_gains`). With the gains known, and sources that are independent Gaussians of power
:math:`v_k = m_k |x|^2`, the sources' conditional mean is a formula (:func:`filter_two_mixes`):

.. math:: y_k = m_k \Big( x + \frac{V (g_k - \bar g)^*}{V \sigma^2 + N} (x' - \bar g x) \Big), \quad
    \bar g = \sum_k m_k g_k, \quad \sigma^2 = \sum_k m_k |g_k - \bar g|^2, \quad V = \sum_k v_k

Their sum is :math:`x` exactly. Equal gains leave masks times mixture, so a second mix without information changes
nothing; nor does one that the gains do not explain, for its noise N, estimated in each bin from what the gains leave,
is large. Expectation-maximization then takes the powers from the conditional means and variances; a source's power has
one course over time for both channels (its place does not move).
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

ITERATIONS = 10
"""Of expectation-maximization; 20 gain little more."""
_WIDTH = 0.03
"""Deviation of a ratio from its source's gain that counts as the same, as a natural logarithm: 0.26 dB, 1.7 degrees."""
_OUTLIER = 0.02
"""How often a ratio is no source's, against the height of one that is exactly a source's."""
_FLOOR = 0.02
"""Added to masks, which may be wrong where they are sure."""
_MOST_BINS = 40_000
"""The loudest bins are looked at, among those down to :data:`_QUIET` of the loudest."""
_QUIET = 1e-3
_STEP_DB, _REACH_DB = 0.5, 18.0
"""Of the grid on which ratios are counted."""
_LEAST_NOISE = 1e-4
_DB = 20 / math.log(10)


class GainsFound(NamedTuple):
    """What two mixes say about the gains of sources.

    Args:
        gains: of each source and channel, [sources, channels].
        share: of the sound (by magnitude) whose ratio is the gain of a source, 0 to 1. It is not far from 1 / 2 for
            changes of faders and panning, and some hundredths if the mixes have nothing to do with each other.
    """

    gains: Tensor
    share: float


@torch.no_grad()
def find_gains(masks: Tensor, first: Tensor, second: Tensor, sweeps: int = 3) -> GainsFound:
    """Gains of the sources from one mix to another one.

    Each source takes, in turn, the gain that makes the ratios of all bins most likely, given those of the others.

    Args:
        masks: of all sources in the first mix, real, [sources, channels, bins, frames].
        first: coefficients of the first mix, [channels, bins, frames].
        second: of the second one.
        sweeps: turns of each source.
    """
    ratios, has, weight, own = _ratios(_normalized(masks), first, second)
    count, channels = own.size(0), ratios.size(0)
    logs = torch.zeros(count, channels, dtype=torch.float64, device=weight.device)
    if not weight.numel():
        return GainsFound(logs.exp(), 0.0)
    heights = torch.zeros_like(own)
    everywhere = _peaks(ratios, has, weight, 20)
    for _ in range(sweeps):
        for k in range(count):
            others = (own * heights).sum(0) - own[k] * heights[k] + _OUTLIER
            left = weight * own[k] * _OUTLIER / others
            tried = [everywhere, _peaks(ratios, has, left, 10), _peaks(ratios, has, weight * own[k].square(), 5)]
            candidates = torch.cat([*tried, logs[k : k + 1]])
            scores = torch.stack(
                [(weight * (own[k] * _height(ratios, has, place) + others).log()).sum() for place in candidates]
            )
            logs[k] = candidates[scores.argmax()]
            for _ in range(5):
                heights[k] = _height(ratios, has, logs[k])
                belongs = weight * own[k] * heights[k] / (own[k] * heights[k] + others) * has
                total = belongs.sum(1)
                logs[k] = torch.where(total > 0, (belongs * ratios.real).sum(1) / total.clamp(min=1e-30), logs[k])
            heights[k] = _height(ratios, has, logs[k])
    explained = (own * heights).sum(0)
    return GainsFound(logs.exp(), float((weight * explained / (explained + _OUTLIER)).sum()))


@torch.no_grad()
def filter_two_mixes(
    masks: Tensor, first: Tensor, second: Tensor, gains: Tensor, iterations: int = ITERATIONS
) -> Tensor:
    """Coefficients of the sources in the first mix, by both mixes; they add up to the first one.

    Args:
        masks: of all sources in the first mix, real, [sources, channels, bins, frames].
        first: coefficients of the first mix, [channels, bins, frames].
        second: of the second one.
        gains: [sources, channels].
        iterations: 1 is the formula alone.

    Shape:
        that of the masks, in the precision of the first mix; computed in double precision.
    """
    peak = float(first.abs().max()) if first.numel() else 0.0
    if peak == 0:
        return masks * first
    one, two = first.to(torch.complex128) / peak, second.to(torch.complex128) / peak
    loudness = (one.abs().square() + two.abs().square()) / 2
    power = _normalized(masks.double() + _FLOOR) * (one.abs().square() + 1e-20)
    gain = gains.double()[..., None, None]
    estimates = masks * one
    for _ in range(iterations):
        whole = power.sum(0)
        share = power / whole
        mean = (share * gain).sum(0)
        apart = gain - mean
        spread = whole * (share * apart.square()).sum(0)
        surprise = two - mean * one
        unexplained = (surprise.abs().square() - spread).sum(-1) / loudness.sum(-1).clamp(min=1e-20)
        noise = unexplained.clamp(_LEAST_NOISE, 1e3)[..., None] * loudness
        variance = spread + noise + 1e-20
        estimates = share * (one + whole * apart * surprise / variance)
        left = power - power * share - (power * apart).square() / variance
        power = estimates.abs().square() + left.clamp(min=0)
        places = power.sum(-1, keepdim=True) / power.mean(1, keepdim=True).sum(-1, keepdim=True).clamp(min=1e-30)
        power = (power / (places + 1e-9)).mean(1, keepdim=True) * places + 1e-20
    return (estimates * peak).to(first.dtype)


def unexplained_energy(estimates: Tensor, second: Tensor, gains: Tensor) -> float:
    """Energy of the second mix that the sources at these gains leave."""
    left = second - (gains.to(estimates.real.dtype)[..., None, None] * estimates).sum(0)
    return float(left.abs().double().square().sum())


def _normalized(masks: Tensor) -> Tensor:
    """Masks that add up to 1 over the sources."""
    masks = masks.double() + 1e-6
    return masks / masks.sum(0)


def _ratios(masks: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of the loudest bins: logarithms of the mixes' ratio, where a channel has one, weights, and masks.

    Shape:
        [channels, found], [channels, found], [found], [sources, found]
    """
    one, two = first.to(torch.complex128), second.to(torch.complex128)
    level = one.abs().amax(0)
    order = level.flatten().argsort(descending=True)[:_MOST_BINS]
    order = order[level.flatten()[order] > _QUIET * level.max()]
    x, y = (part.flatten(1)[:, order] for part in (one, two))
    size = x.abs()
    ratio = torch.complex((y.abs() / size.clamp(min=1e-30)).clamp(1e-4, 1e4).log(), (y * x.conj()).angle())
    has = (size > 0.1 * size.amax(0)).double()
    weight = size.amax(0)
    energy = size.square()
    own = (masks.flatten(2)[:, :, order] * energy).sum(1) / energy.sum(0)
    own = (own + _FLOOR) / (own + _FLOOR).sum(0)
    return ratio, has, weight / weight.sum().clamp(min=1e-30), own


def _height(ratios: Tensor, has: Tensor, place: Tensor) -> Tensor:
    """How near the ratios of bins are to a gain: 1 where they are equal, [found]."""
    distance = ((ratios - place[:, None]).abs().square() * has).sum(0)
    return (-distance / (2 * _WIDTH**2)).exp()


def _peaks(ratios: Tensor, has: Tensor, weight: Tensor, count: int) -> Tensor:
    """Places where ratios without a turn of phase gather, as natural logarithms, [up to count, channels]."""
    size, channels = round(2 * _REACH_DB / _STEP_DB) + 1, ratios.size(0)
    places = ((ratios.real * _DB + _REACH_DB) / _STEP_DB).round().long()
    inside = (has > 0).all(0) & (ratios.imag.abs() < 0.3).all(0) & (places >= 0).all(0) & (places < size).all(0)
    index = places[0, inside] if channels == 1 else places[0, inside] * size + places[1, inside]
    table = weight.new_zeros(size**channels).index_add_(0, index, weight[inside])
    table = table.reshape(1, 1, size ** (channels - 1), size)
    pad, far = (min(1, channels - 1), 1), (2 * (channels - 1), 2)
    smooth = torch.nn.functional.avg_pool2d(table, (2 * pad[0] + 1, 3), 1, pad)
    top = torch.nn.functional.max_pool2d(smooth, (2 * far[0] + 1, 5), 1, far)
    heights = torch.where((smooth == top) & (smooth > 0), smooth, torch.zeros_like(smooth)).flatten()
    best = heights.topk(min(count, heights.numel()))
    chosen = best.indices[best.values > 0]
    rows = [chosen] if channels == 1 else [chosen // size, chosen % size]
    return (torch.stack(rows, 1) * _STEP_DB - _REACH_DB).to(weight.dtype) / _DB
