"""Refinement by the Wiener filter: never worse than the masks' own estimates, whether they are good or know nothing."""

import math

import pytest
import torch
from torch import Tensor

from graphmix.models.masks.block_separation import refine
from graphmix.models.masks.separator import MaskOutput


def panned_sources() -> Tensor:
    """Four sources with powers that change in time and frequency, each at its own place, [sources, 2, bins, frames]."""
    generator = torch.Generator().manual_seed(1)
    power = (1.5 * torch.randn(4, 1, 40, 60, generator=generator)).exp()
    angle = torch.tensor([0.1, 0.6, 0.9, 1.4])[:, None, None, None]
    tone = torch.randn(4, 1, 40, 60, generator=generator, dtype=torch.complex64)
    return power * tone * torch.cat([angle.cos(), angle.sin()], dim=1)


def sdr(estimates: Tensor, true: Tensor) -> float:
    errors = (estimates - true).abs().square().sum((1, 2, 3))
    return float((10 * (true.abs().square().sum((1, 2, 3)) / errors).log10()).mean())


@pytest.mark.parametrize(("sure", "least"), [(1.0, 1.0), (0.7, 0.0), (0.4, 0.0), (0.0, 0.0)])
@pytest.mark.parametrize("iterations", [1, 3])
def test_good_masks_gain_and_those_that_know_nothing_do_not_lose(sure: float, least: float, iterations: int) -> None:
    true = panned_sources()
    mixture = true.sum(0, keepdim=True)
    share = true.abs() / true.abs().sum(0)
    masks = (sure * share + (1 - sure) / 4)[None]
    output = MaskOutput(masks, mixture)
    gain = sdr(refine(output, iterations)[0], true) - sdr(output.estimates[0], true)
    assert math.isfinite(gain)
    assert gain >= least


def test_no_iteration_is_mask_times_mixture() -> None:
    true = panned_sources()
    output = MaskOutput(torch.full((1, *true.shape), 0.25), true.sum(0, keepdim=True))
    assert torch.equal(refine(output, 0), output.estimates)
