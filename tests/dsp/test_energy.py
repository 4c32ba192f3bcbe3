"""Unit energy and the layout on a circle, compiled, against tensor operations."""

import pytest
import torch

from graphmix.dsp.energy import by_tensors, unit_energy

NODES, TAPS = 3, 11


@pytest.mark.parametrize("length", [TAPS, 40])
@pytest.mark.parametrize("center", [0, 3, TAPS - 1])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_compiled_passes_are_the_tensor_operations(dtype: torch.dtype, center: int, length: int) -> None:
    taps = torch.randn(NODES, 2, TAPS, dtype=dtype, requires_grad=True)
    weight = torch.randn(NODES, 2, length, dtype=dtype)
    results = []
    for circle in (unit_energy(taps, center, length), by_tensors(taps, center, length)):
        results.append([circle, *torch.autograd.grad((circle * weight).sum(), taps)])
    for mine, plain in zip(*results, strict=True):
        assert mine.dtype == dtype
        torch.testing.assert_close(mine, plain)


def test_the_energies_of_left_and_right_have_mean_1() -> None:
    taps = torch.randn(NODES, 2, TAPS, dtype=torch.float64) * torch.tensor([1e-6, 1.0, 1e6])[:, None, None]
    energy = unit_energy(taps).square().sum(-1).mean(1)
    torch.testing.assert_close(energy, torch.ones(NODES, dtype=torch.float64), rtol=1e-6, atol=0)


def test_time_zero_comes_first_and_what_lies_before_it_last() -> None:
    taps = torch.tensor([[[1.0, 2.0, 3.0], [0.0, 0.0, 2.0]]])
    expected = torch.tensor([[[2.0, 3.0, 0.0, 0.0, 1.0], [0.0, 2.0, 0.0, 0.0, 0.0]]]) / 3
    torch.testing.assert_close(unit_energy(taps, 1, 5), expected)


def test_gradients_agree_with_finite_differences() -> None:
    taps = torch.randn(NODES, 2, TAPS, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda taps: unit_energy(taps, 2, 15), (taps,))


def test_silence_stays_silent_with_a_finite_gradient() -> None:
    taps = torch.zeros(1, 2, TAPS, requires_grad=True)
    circle = unit_energy(taps)
    assert not circle.any()
    assert torch.isfinite(torch.autograd.grad(circle.sum(), taps)[0]).all()


def test_a_circle_shorter_than_the_response_is_refused() -> None:
    with pytest.raises(ValueError, match="11 taps do not fit onto a circle of 10 samples"):
        unit_energy(torch.ones(1, 2, TAPS), 0, 10)
