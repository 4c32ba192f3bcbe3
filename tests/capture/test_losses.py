"""Measures: their closed forms."""

import pytest
import torch

from graphmix.capture.losses import dc_error, esr, esr_by_level, mean_error_ratio


def noise() -> torch.Tensor:
    return torch.randn(1, 16384, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("pre_emphasis", [0.0, 0.85])
def test_the_ratio_of_a_scaled_copy_is_the_square_of_the_difference(pre_emphasis: float):
    x = noise()
    assert float(esr(prediction=x, target=x, pre_emphasis=pre_emphasis)) == 0
    assert float(esr(prediction=0.9 * x, target=x, pre_emphasis=pre_emphasis)) == pytest.approx(0.01, rel=1e-3)


def test_the_difference_of_means_sees_nothing_else():
    x = noise()
    x = x - x.mean()
    assert float(dc_error(prediction=2 * x, target=x)) == pytest.approx(0, abs=1e-9)
    assert float(dc_error(prediction=x + 0.1, target=x)) == pytest.approx(0.01, rel=0.05)


def test_mean_error_ratio():
    x = noise()
    assert mean_error_ratio(prediction=1.1 * x, target=x) == pytest.approx(0.1, rel=1e-4)


def test_errors_are_grouped_by_the_level_of_the_input():
    """Two levels with an error of their own, and a silence in which only the model sounds."""
    loud, soft = noise()[:, :8192], 0.01 * noise()[:, :8192]
    audio = torch.cat([loud, soft, torch.zeros(1, 4096)], dim=1)
    out = torch.cat([0.9 * loud, 0.5 * soft, torch.full((1, 4096), 1e-3)], dim=1)
    table = esr_by_level(prediction=out, target=audio, audio=audio)
    assert min(level for level, _ in table) > -50
    by_level = dict(table)
    assert all(error == pytest.approx(0.01 if level > -20 else 0.25, rel=1e-3) for level, error in by_level.items())
