"""Sources by two mixes: true sources and gains found again, the dense Gaussian formula, and nothing made worse."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from graphmix.dsp.two_mixes import _FLOOR, _LEAST_NOISE, filter_two_mixes, find_gains, unexplained_energy

GAINS_DB = torch.tensor([[-4.0, 2.0], [3.0, -5.0], [-1.0, -6.0]], dtype=torch.float64)


def spectra(sources: int = 3, channels: int = 2, seed: int = 0) -> Tensor:
    """Sources that seldom sound together, each at its own place, [sources, channels, bins, frames]."""
    generator = torch.Generator().manual_seed(seed)
    power = (2.5 * torch.randn(sources, 1, 60, 80, generator=generator, dtype=torch.float64)).exp()
    place = 0.3 + torch.rand(sources, channels, 1, 1, generator=generator, dtype=torch.float64)
    tone = torch.randn(sources, 1, 60, 80, generator=generator, dtype=torch.complex128)
    return power * place * tone


def disturbed_masks(true: Tensor, sure: float = 0.6) -> Tensor:
    share = true.abs() / true.abs().sum(0)
    return sure * share + (1 - sure) / len(true)


def sdr(estimates: Tensor, true: Tensor) -> Tensor:
    return 10 * (true.abs().square().sum((1, 2, 3)) / (estimates - true).abs().square().sum((1, 2, 3))).log10()


@pytest.mark.parametrize("channels", [1, 2])
def test_gains_of_the_sources_are_found_to_a_tenth_of_a_decibel(channels: int) -> None:
    true, gains = spectra(channels=channels), 10 ** (GAINS_DB[:, :channels] / 20)
    found = find_gains(disturbed_masks(true), true.sum(0), (gains[..., None, None] * true).sum(0))
    error = 20 * (found.gains / gains).log10()
    assert float(error.abs().max()) < 0.1
    assert found.share > 0.4


def test_two_sources_are_two_equations_whatever_the_masks_say() -> None:
    true, gains = spectra(2), 10 ** (GAINS_DB[:2] / 20)
    one, two = true.sum(0), (gains[..., None, None] * true).sum(0)
    solved = torch.stack([(two - gains[1, :, None, None] * one), (gains[0, :, None, None] * one - two)])
    solved = solved / (gains[0] - gains[1])[:, None, None]
    torch.testing.assert_close(solved, true)  # the closed form
    masks = torch.full(true.shape, 0.5, dtype=torch.float64)
    assert float(sdr(masks * one, true).max()) < 6
    assert float(sdr(filter_two_mixes(masks, one, two, gains), solved).min()) > 30


def test_one_iteration_is_the_conditional_mean_of_gaussians() -> None:
    true, gains = spectra(), 10 ** (GAINS_DB / 20)
    one, two = true.sum(0), (gains[..., None, None] * true).sum(0) + 0.1 * spectra(1, seed=5)[0]
    peak = one.abs().max()
    x, y, g = (one / peak).numpy(), (two / peak).numpy(), gains.numpy()
    masks = disturbed_masks(true)
    m = (masks + _FLOOR).numpy()
    m = m / m.sum(0)
    found = (filter_two_mixes(masks, one, two, gains, iterations=1) / peak).numpy()
    loud = (np.abs(x) ** 2 + np.abs(y) ** 2) / 2
    for c, f in ((0, 0), (1, 7), (0, 31)):
        v = m[:, c, f] * np.abs(x[c, f]) ** 2
        rows = np.stack([np.ones(3), g[:, c]])
        surprise = np.abs(y[c, f] - (g[:, c] @ v) / v.sum(0) * x[c, f]) ** 2
        known = np.array([rows @ np.diag(v[:, t]) @ rows.T for t in range(80)])
        conditional = known[:, 1, 1] - known[:, 0, 1] ** 2 / known[:, 0, 0]
        noise = max((surprise - conditional).sum() / loud[c, f].sum(), _LEAST_NOISE) * loud[c, f]
        for t in (0, 40, 79):
            covariance = known[t] + np.diag([0, noise[t]])
            expected = np.diag(v[:, t]) @ rows.T @ np.linalg.solve(covariance, np.array([x[c, f, t], y[c, f, t]]))
            np.testing.assert_allclose(found[:, c, f, t], expected, rtol=1e-5, atol=1e-12)


def test_true_sources_come_closer_and_add_up_to_the_first_mix() -> None:
    true, gains = spectra(), 10 ** (GAINS_DB / 20)
    one, two = true.sum(0), (gains[..., None, None] * true).sum(0)
    masks = disturbed_masks(true)
    found = filter_two_mixes(masks, one, two, find_gains(masks, one, two).gains)
    assert found.dtype == torch.complex128
    torch.testing.assert_close(found.sum(0), one, rtol=1e-9, atol=1e-9 * float(one.abs().max()))
    assert float((sdr(found, true) - sdr(masks * one, true)).min()) > 3
    left, before = (unexplained_energy(part, two, gains) for part in (found, masks * one))
    assert left < 0.5 * before
    single = filter_two_mixes(masks.float(), one.cfloat(), two.cfloat(), gains)
    assert single.dtype == torch.complex64


def test_equal_gains_leave_masks_times_the_mix() -> None:
    true = spectra()
    masks = torch.full(true.shape, 1 / 3, dtype=torch.float64)
    masks[0] += 0.2
    masks[1] -= 0.2
    found = filter_two_mixes(masks, true.sum(0), 0.7 * true.sum(0), torch.full((3, 2), 0.7))
    expected = (masks + _FLOOR) / (masks + _FLOOR).sum(0) * true.sum(0)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6 * float(expected.abs().max()))


def test_a_mix_of_something_else_has_a_small_share_and_changes_little() -> None:
    true, other = spectra(), spectra(seed=9)
    masks = disturbed_masks(true)
    found = find_gains(masks, true.sum(0), other.sum(0))
    assert found.share < 0.15
    kept = sdr(filter_two_mixes(masks, true.sum(0), other.sum(0), found.gains, 1), true) - sdr(
        masks * true.sum(0), true
    )
    assert float(kept.mean()) > -1


def test_silence_and_a_source_that_is_silent_are_finite() -> None:
    true, gains = spectra(), 10 ** (GAINS_DB / 20)
    true[2] = 0
    masks = disturbed_masks(true, 0.9)
    one, two = true.sum(0), (gains[..., None, None] * true).sum(0)
    found = find_gains(masks, one, two)
    assert float((20 * (found.gains / gains).log10())[:2].abs().max()) < 0.3
    assert bool(filter_two_mixes(masks, one, two, found.gains).isfinite().all())
    silent = torch.zeros_like(one)
    assert find_gains(masks, silent, silent).share == 0
    assert not filter_two_mixes(masks, silent, two, gains).any()
    assert math.isfinite(find_gains(masks, one, silent).share)
