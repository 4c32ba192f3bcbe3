r"""Losses of separators. Each is a number for each example, so that a batch's loss is the mean of its examples'.

Conventions: estimates and targets are [N, sources, ...]. SI-SDR (Le Roux et al. 2019) is in dB, larger is better:

.. math:: 10 \log_{10} \frac{\|\alpha s\|^2}{\|\alpha s - \hat s\|^2}, \quad
    \alpha = \frac{\langle \hat s, s \rangle}{\|s\|^2}
"""

from collections.abc import Callable
from itertools import permutations

import torch
from torch import Tensor

_EPS, _TINY = 1e-8, 1e-12
SILENT = 1e-7
"""Mean power below which a target counts as silent: -70 dB; it has no SI-SDR."""
PairLoss = Callable[[Tensor, Tensor], Tensor]
"""Estimates and targets [N, ...] -> [N]."""


def magnitude_loss(estimates: Tensor, targets: Tensor, power: int = 1) -> Tensor:
    """Mean error of magnitudes, absolute (power 1) or squared (2).

    Args:
        estimates: complex coefficients, [N, ...].
        targets: likewise.
        power: of the error.

    Returns:
        [N]
    """
    error = _magnitude(estimates) - targets.abs()
    return (error.abs() if power == 1 else error.square()).flatten(1).mean(dim=1)


def _magnitude(values: Tensor) -> Tensor:
    """Magnitude with a gradient at zero, which is zero."""
    if not values.is_complex():
        return values.abs()
    power = values.real.square() + values.imag.square()
    return power.clamp(min=1e-20).sqrt()


def si_sdr(estimates: Tensor, targets: Tensor, eps: float = _EPS) -> Tensor:
    """Scale-invariant signal-to-distortion ratio over all axes but the first, in dB, [N].

    Args:
        estimates: signals or complex coefficients, [N, ...].
        targets: likewise; silence gives a value of no meaning, see :func:`is_audible`.
        eps: keeps the ratio finite, relative to the target's energy.
    """
    a, s = estimates.flatten(1), targets.flatten(1)
    return si_sdr_of_products(_dot(a, a), _dot(a, s), _dot(s, s), eps)


def si_sdr_of_products(estimate: Tensor, cross: Tensor, target: Tensor, eps: float = _EPS) -> Tensor:
    """SI-SDR in dB from the energy of an estimate, its inner product with the target, and the target's energy."""
    found = cross.square() / (target + 1e-20)
    # By Pythagoras, so that no signal of the error is written out; rounding may take it below zero.
    error = (estimate - found).clamp(min=0)
    floor = eps * target + 1e-20
    return 10 * torch.log10((found + floor) / (error + floor))


def snr_of_products(estimate: Tensor, cross: Tensor, target: Tensor, floor: Tensor) -> Tensor:
    """Signal-to-noise ratio in dB, from energies and the inner product, which also levels and silent targets count in.

    .. math:: 10 \\log_{10} \\frac{\\|s\\|^2 + f}{\\|s - \\hat s\\|^2 + f}

    Args:
        estimate, cross, target: energy of the estimate, inner product with the target, energy of the target.
        floor: f; what lies below it is neither asked for nor missed.
    """
    error, floor = (estimate - 2 * cross + target).clamp(min=0), floor + _TINY
    return 10 * torch.log10((target + floor) / (error + floor))


def _dot(a: Tensor, b: Tensor) -> Tensor:
    if a.is_complex():
        return (a.real * b.real + a.imag * b.imag).sum(dim=1)
    return (a * b).sum(dim=1)


def is_audible(targets: Tensor) -> Tensor:
    """Whether signals are more than silence, over all axes but the first, [N]."""
    return targets.flatten(1).square().mean(dim=1) > SILENT


def permutation_invariant(loss: PairLoss, estimates: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The loss in the order of sources that makes it least.

    Args:
        loss: of one source.
        estimates: [N, sources, ...], up to four sources.
        targets: likewise.

    Returns:
        The mean loss of the sources [N], and for each target the estimate that it got, [N, sources].
    """
    sources = targets.size(1)
    pairs = torch.stack(
        [torch.stack([loss(estimates[:, i], targets[:, j]) for i in range(sources)], dim=1) for j in range(sources)],
        dim=1,
    )  # [N, target, estimate]
    orders = torch.tensor(list(permutations(range(sources))), device=pairs.device)
    totals = torch.stack([pairs[:, range(sources), order].mean(dim=1) for order in orders], dim=1)
    best = totals.argmin(dim=1)
    return totals.gather(1, best[:, None]).squeeze(1), orders[best]


def deep_clustering(embedding: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    r"""Deep clustering (Hershey et al. 2016), the efficient form, divided by the squared sum of weights.

    .. math:: \|V V^T - Y Y^T\|^2 = \|V^T V\|^2 - 2 \|V^T Y\|^2 + \|Y^T Y\|^2

    Args:
        embedding: unit vectors of bins, [N, bins, size].
        targets: to which source a bin belongs, one-hot, [N, bins, sources].
        weights: of bins, [N, bins]; 1 if not given.

    Returns:
        [N], from 0 to 1.
    """
    if weights is None:
        weights = embedding.new_ones(embedding.shape[:2])
    root = weights.sqrt().unsqueeze(-1)
    v, y = embedding * root, targets * root
    affinity = (v.mT @ v).square().sum(dim=(1, 2)) - 2 * (v.mT @ y).square().sum(dim=(1, 2))
    return (affinity + (y.mT @ y).square().sum(dim=(1, 2))) / weights.sum(dim=1).square().clamp(min=1e-12)


def dominant_source(magnitudes: Tensor) -> tuple[Tensor, Tensor]:
    """Which source is loudest at each bin, and how much a bin weighs.

    Args:
        magnitudes: features of the sources, [N, sources, channels, bins, frames].

    Returns:
        One-hot [N, frames * channels * bins, sources], and the share of the mixture's magnitude [N, the same], in the
        order of embeddings.
    """
    rows = magnitudes.permute(0, 4, 2, 3, 1).flatten(1, 3)
    best = torch.nn.functional.one_hot(rows.argmax(dim=-1), rows.size(-1)).to(rows.dtype)
    weights = rows.sum(dim=-1)
    return best, weights / weights.sum(dim=1, keepdim=True).clamp(min=1e-12)
