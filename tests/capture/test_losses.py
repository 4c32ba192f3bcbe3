"""Losses and measures: their closed forms."""

import math

import pytest
import torch

from graphmix.capture.losses import (
    dc_error,
    esr,
    esr_by_level,
    level_error,
    mean_error_ratio,
    mu_law,
    mu_law_error,
    stft_error,
)

TARGET = torch.tensor([[0.5, -0.5, 0.5, -0.5], [0.0, 0.1, 0.0, -0.1]])


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


def test_equal_signals_have_no_error():
    audio = 0.3 * torch.randn(2, 8000)
    assert esr(prediction=audio, target=audio) == 0
    assert level_error(prediction=audio, target=audio, energy=0.1) == 0
    assert mu_law_error(prediction=audio, target=audio) == 0
    assert dc_error(prediction=audio, target=audio) == 0
    assert float(stft_error(prediction=audio, target=audio)) == pytest.approx(0, abs=1e-5)


def test_companding_is_the_formula():
    values = torch.tensor([-1.0, -0.01, 0.0, 0.25, 1.0])
    expected = [math.copysign(math.log1p(255 * abs(x)) / math.log(256), x) for x in values.tolist()]
    assert mu_law(values).tolist() == pytest.approx(expected, abs=1e-6)


def test_a_quiet_segment_weighs_less_against_the_usual_level_and_more_companded():
    loud, quiet = TARGET[:1], TARGET[1:]
    by_level = [float(level_error(prediction=0.9 * t, target=t, energy=0.25)) for t in (loud, quiet)]
    companded = [float((mu_law(0.9 * t) - mu_law(t)).square().mean()) for t in (loud, quiet)]
    assert by_level[0] == pytest.approx(0.01, rel=1e-4)
    assert by_level[1] == pytest.approx(0.01 * 0.005 / 0.25, rel=1e-4)
    assert companded[1] / companded[0] > 10 * by_level[1] / by_level[0]


def test_the_error_of_a_batch_against_the_usual_level_is_the_mean_of_its_rows():
    out = 0.8 * TARGET + 0.01
    rows = [level_error(prediction=out[i : i + 1], target=TARGET[i : i + 1], energy=0.1) for i in range(2)]
    assert float(level_error(prediction=out, target=TARGET, energy=0.1)) == pytest.approx(float(sum(rows)) / 2)


def test_pre_emphasis_takes_a_constant_off():
    constant = torch.full((1, 5), 0.4)
    error = level_error(prediction=constant, target=torch.zeros(1, 5), energy=1.0, pre_emphasis=0.85)
    assert float(error) == pytest.approx((0.15 * 0.4) ** 2, rel=1e-4)
