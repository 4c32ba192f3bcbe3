"""The running average of weights."""

import pytest
import torch
from torch import nn

from graphmix.training.average import AveragedModel


def test_the_average_is_the_weighted_sum_of_all_weights_so_far() -> None:
    model, decay = nn.Linear(1, 1), 0.5
    average = AveragedModel(model, decay)
    values = [model.weight.item()]
    for step in range(100, 106):  # where the decay is no longer limited
        with torch.no_grad():
            model.weight.fill_(float(step))
        average.update(model, step)
        values.append(float(step))
    shares = [decay ** (len(values) - 1)] + [0.5 * decay ** (len(values) - 1 - i) for i in range(1, len(values))]
    assert sum(shares) == pytest.approx(1.0)
    expected = sum(share * value for share, value in zip(shares, values, strict=True))
    assert average.model.weight.item() == pytest.approx(expected, rel=1e-5)
    assert not average.model.weight.requires_grad


def test_the_beginning_is_soon_forgotten() -> None:
    model = nn.Linear(1, 1)
    average = AveragedModel(model, 0.9999)
    with torch.no_grad():
        model.weight.fill_(100.0)
    for step in range(30):
        average.update(model, step)
    assert average.model.weight.item() == pytest.approx(100.0, abs=0.01)


def test_counters_are_copied_and_statistics_averaged() -> None:
    model = nn.BatchNorm1d(3).train()
    average = AveragedModel(model, 0.75)
    model(torch.randn(8, 3, generator=torch.Generator().manual_seed(0)) + 5)
    average.update(model, 100)
    assert average.model.num_batches_tracked == 1
    torch.testing.assert_close(average.model.running_mean, 0.25 * model.running_mean)
    other = AveragedModel(nn.BatchNorm1d(3), 0.75)
    other.restore(average.tensors())
    assert torch.equal(other.model.running_mean, average.model.running_mean)
    with pytest.raises(RuntimeError, match="running_mean"):
        other.restore({})
