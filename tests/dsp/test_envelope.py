"""Envelopes against SciPy's filter and a plain Python loop."""

import math

import numpy as np
import pytest
import torch
from scipy.signal import lfilter

from graphmix.dsp.envelope import coefficient, one_pole_scan, smooth

ALPHA = torch.tensor([0.0, 0.5, 0.99, 0.99999], dtype=torch.float64)


def energy(rows: int = 4, samples: int = 500) -> torch.Tensor:
    return torch.rand(rows, samples, dtype=torch.float64)


def plain_loop(x: np.ndarray, attack: np.ndarray, release: np.ndarray) -> np.ndarray:
    out = np.zeros_like(x)
    for row in range(len(x)):
        g = 0.0
        for n, value in enumerate(x[row]):
            alpha = attack[row] if value > g else release[row]
            g = alpha * g + (1 - alpha) * value
            out[row, n] = g
    return out


def test_one_constant_is_scipys_one_pole_filter() -> None:
    x = energy()
    expected = np.stack([lfilter([1 - a], [1, -a], row) for a, row in zip(ALPHA.numpy(), x.numpy(), strict=True)])
    np.testing.assert_allclose(smooth(x, ALPHA), expected, rtol=1e-12, atol=1e-14)
    single = smooth(x.float(), ALPHA)
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("samples", [1, 2, 99, 100, 500])
def test_the_scan_for_gpus_is_the_loop(samples: int) -> None:
    x = energy(samples=samples)
    torch.testing.assert_close(one_pole_scan(x, ALPHA), smooth(x, ALPHA), rtol=1e-11, atol=1e-14)
    torch.testing.assert_close(one_pole_scan(x.float(), ALPHA), smooth(x, ALPHA).float(), rtol=1e-5, atol=1e-7)


def test_attack_and_release_are_a_plain_loop() -> None:
    x, release = energy(), ALPHA.flip(0)
    expected = plain_loop(x.numpy(), ALPHA.numpy(), release.numpy())
    np.testing.assert_allclose(smooth(x, ALPHA, release), expected, rtol=1e-12, atol=1e-14)


def test_gradients_agree_with_finite_differences() -> None:
    x = energy(3, 20).requires_grad_()
    attack = torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64, requires_grad=True)
    release = torch.tensor([0.8, 0.5, 0.95], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(smooth, (x, attack))
    assert torch.autograd.gradcheck(one_pole_scan, (x, attack))
    assert torch.autograd.gradcheck(smooth, (x, attack, release))


def test_loop_and_scan_have_the_same_gradients() -> None:
    x, weights = energy(4, 300).requires_grad_(), torch.randn(4, 300, dtype=torch.float64)
    alpha = ALPHA.clone().requires_grad_()
    loop = torch.autograd.grad((smooth(x, alpha) * weights).sum(), (x, alpha))
    scan = torch.autograd.grad((one_pole_scan(x, alpha) * weights).sum(), (x, alpha))
    torch.testing.assert_close(loop, scan)


@pytest.mark.parametrize("sample_rate", [30000, 44100, 48000])
def test_a_step_reaches_its_share_after_the_time_constant(sample_rate: int) -> None:
    time_ms = torch.tensor([1.0, 20.0, 100.0])
    envelope = smooth(torch.ones(3, sample_rate // 5), coefficient(time_ms, sample_rate))
    for row, ms in enumerate(time_ms.tolist()):
        after = round(ms * sample_rate / 1000)
        assert float(envelope[row, after - 1]) == pytest.approx(1 - 1 / math.e, abs=1e-2)


def test_two_seconds_of_time_constant_are_exact_in_float32() -> None:
    alpha = coefficient(torch.tensor([2000.0]), 30000)
    envelope = smooth(torch.ones(1, 60000), alpha)
    assert float(envelope[0, -1]) == pytest.approx(1 - 1 / math.e, rel=1e-6)
