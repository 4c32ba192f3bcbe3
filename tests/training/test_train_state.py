"""A training's state: what is written comes back to the last bit."""

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from graphmix.errors import GraphmixError
from graphmix.training.config import RunConfig
from graphmix.training.train_state import Progress, read_state, restore, save_state, seed_step
from graphmix.training.trainer import rate_at


def make_model() -> tuple[nn.Module, torch.optim.AdamW]:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    return model, torch.optim.AdamW(model.parameters(), lr=0.01)


def step(model: nn.Module, optimizer: torch.optim.Optimizer, number: int) -> None:
    seed_step(0, number)
    optimizer.zero_grad()
    model(torch.randn(8, 3)).square().mean().backward()
    optimizer.step()


def test_going_on_from_a_state_ends_in_the_same_numbers(tmp_path: Path) -> None:
    model, optimizer = make_model()
    for number in range(3):
        step(model, optimizer, number)
    save_state(tmp_path / "s.safetensors", {"a": 1}, Progress(step=3, best=0.5, best_step=2), model, optimizer)
    for number in range(3, 6):
        step(model, optimizer, number)
    run, progress, tensors = read_state(tmp_path / "s.safetensors")
    assert (run, progress.step, progress.best, progress.best_step) == ({"a": 1}, 3, 0.5, 2)
    torch.manual_seed(99)
    other, its_optimizer = make_model()
    restore(tensors, other, its_optimizer, tmp_path)
    for number in range(3, 6):
        step(other, its_optimizer, number)
    for name, value in model.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_random_numbers_depend_on_seed_step_and_process() -> None:
    def draw(*numbers: int) -> list[float]:
        seed_step(*numbers)
        return torch.rand(3).tolist()

    assert draw(1, 2, 0) == draw(1, 2, 0)
    assert len({tuple(draw(*numbers)) for numbers in ((1, 2, 0), (2, 1, 0), (1, 2, 1), (1, 3, 0))}) == 4


def test_the_best_evaluation_is_kept() -> None:
    progress = Progress()
    kept = []
    for number, value in enumerate([0.9, 0.7, 0.8, math.nan, 0.6]):
        progress.step = number
        kept.append(progress.note(value))
    assert kept == [True, True, False, False, True]
    assert (progress.best, progress.best_step, progress.waited) == (0.6, 4, 0)


def test_the_first_weights_are_kept_whatever_they_are_worth() -> None:
    progress = Progress()
    assert progress.note(math.nan)
    assert (progress.best, progress.best_step) == (None, 0)
    progress.step = 1
    assert progress.note(3.0)


def test_a_file_that_is_no_state_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(GraphmixError, match="no state of a training, or damaged"):
        read_state(path)


def test_a_state_of_another_model_is_refused(tmp_path: Path) -> None:
    model, optimizer = make_model()
    save_state(tmp_path / "s.safetensors", {}, Progress(), model, optimizer)
    _, _, tensors = read_state(tmp_path / "s.safetensors")
    with pytest.raises(GraphmixError, match="does not fit this model"):
        restore(tensors, nn.Linear(2, 2), None, tmp_path / "s.safetensors")


def test_the_rate_rises_and_falls() -> None:
    settings = RunConfig(steps=100, warmup_steps=10, learning_rate=1.0, final_rate=0.1)
    rates = [rate_at(settings, step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == pytest.approx(1.0)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rate_at(settings, 100) == pytest.approx(0.1)
    assert rate_at(RunConfig(steps=0, warmup_steps=0), 0) > 0
