"""Envelopes against their formula, gradients against finite differences."""

import math

import pytest
import torch

from graphmix.dsp.segments import envelope


def gate(*spans: tuple[int, int, float], samples: int = 60) -> torch.Tensor:
    out = torch.zeros(1, samples, dtype=torch.float64)
    for begin, end, height in spans:
        out[0, begin:end] = height
    return out


LEVELS = torch.tensor([[0.1, 1.0, 0.4, 0.05]], dtype=torch.float64)
TIMES = torch.tensor([[7.3, 11.9, 9.7]], dtype=torch.float64)


def shape(place: float, curve: float) -> float:
    return place if curve == 0 else (1 - math.exp(-curve * place)) / (1 - math.exp(-curve))


def expected(t: float, held: float, curve: float) -> float:
    """Level t samples after the key went down, which it did for ``held`` samples."""
    if t >= held:
        start = expected(held - 1e-12, math.inf, curve)
        return start + (0.05 - start) * shape(min(1.0, (t - held) / 9.7), curve)
    if t < 7.3:
        return 0.1 + 0.9 * shape(t / 7.3, curve)
    return 1 - 0.6 * shape(min(1.0, (t - 7.3) / 11.9), curve)


@pytest.mark.parametrize("curve", [0.0, 3.0])
@pytest.mark.parametrize("held", [3, 12, 30])
def test_it_goes_through_its_segments(held: int, curve: float):
    out = envelope(gate((5, 5 + held, 0.5)), LEVELS, TIMES, curve)[0]
    assert not out[:5].any()
    wanted = [0.5 * expected(n - 5, held, curve) for n in range(5, 60)]
    torch.testing.assert_close(out[5:], torch.tensor(wanted, dtype=torch.float64))


def test_a_second_note_begins_anew():
    out = envelope(gate((0, 10, 1.0), (30, 40, 0.5)), LEVELS, TIMES)[0]
    torch.testing.assert_close(out[30:60] * 2, out[:30])


@pytest.mark.parametrize("curve", [0.0, 3.0])
def test_gradients_agree_with_finite_differences(curve: float):
    heights = torch.tensor([[1.0], [0.6]], dtype=torch.float64, requires_grad=True)
    masks = torch.cat([gate((2, 14, 1.0), (35, 60, 1.0)), gate((0, 26, 1.0))]) > 0
    levels = LEVELS.repeat(2, 1).requires_grad_()
    times = torch.cat([TIMES, TIMES * 0.83]).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda h, level, time: envelope(h * masks, level, time, curve), (heights, levels, times)
    )
