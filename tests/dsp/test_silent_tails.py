"""Loops that stop where nothing is needed and begin where gradients do: as if the signals ended there."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from graphmix.dsp import low_frequency, moving_filter, operators, oscillator, wavetable
from graphmix.dsp.rows import end_of_sound

SAMPLES, CUT = 1400, 901
BANK = oscillator.make_bank(wavetable.sine(), wavetable.saw(), wavetable.triangle(), [wavetable.sine()] * 2)
Player = Callable[[list[Tensor], int, np.ndarray | None], Tensor]


def filled(names: tuple[str, ...], **values: float) -> Tensor:
    return torch.tensor([[values.get(name, 0.1) for name in names]] * 2, dtype=torch.float64)


def play_oscillator(leaves: list[Tensor], samples: int, needed: np.ndarray | None) -> Tensor:
    own, *moving = leaves
    return oscillator.oscillator(BANK, 0.01, samples, own, [s[:, :samples] for s in moving], None, needed)[0]


def play_operator(leaves: list[Tensor], samples: int, needed: np.ndarray | None) -> Tensor:
    own, dry, *moving = leaves
    signals = [s[:, :samples] for s in (dry, *moving[:3])]
    return operators.added_operator(0.01, samples, own, signals, None, needed)[0]


def play_filter(leaves: list[Tensor], samples: int, needed: np.ndarray | None) -> Tensor:
    own, x, pitch, modulation, *_ = leaves
    signals = x[:, None, :samples], pitch[:, :samples], modulation[:, :samples]
    return moving_filter.moving_filter(*signals, own, 0.0, None, needed)[0][:, 0]


def play_lfo(leaves: list[Tensor], samples: int, needed: np.ndarray | None) -> Tensor:
    own, *_ = leaves
    return low_frequency.oscillation(torch.zeros(2, 1, dtype=torch.float64), own, samples, 0, needed)


PLAYERS: dict[str, tuple[Player, Tensor]] = {
    "oscillator": (play_oscillator, filled(oscillator.SETTINGS, amplitude=0.5, saw=0.4, vibrato=1.0)),
    "operator": (play_operator, filled(operators.SETTINGS, amplitude=0.5, is_fixed=0.0, depth=1.0, feedback=0.0)),
    "feedback": (play_operator, filled(operators.SETTINGS, amplitude=0.5, is_fixed=0.0, depth=1.0, feedback=0.7)),
    "filter": (play_filter, filled(moving_filter.SETTINGS, cutoff=0.05, damping=0.5)),
    "lfo": (play_lfo, filled(low_frequency.SETTINGS, frequency=0.003, fade=300.0)),
}


def leaves_of(settings: Tensor) -> list[Tensor]:
    torch.manual_seed(3)
    signals = [torch.randn(2, SAMPLES, dtype=torch.float64) * 0.3 for _ in range(5)]
    return [leaf.clone().requires_grad_() for leaf in (settings, *signals)]


@pytest.mark.parametrize("name", PLAYERS)
def test_gradients_that_end_early_are_those_of_a_shorter_signal(name: str):
    player, settings = PLAYERS[name]
    weight = torch.randn(2, SAMPLES, dtype=torch.float64)
    weight[:, CUT:] = 0
    whole, short = leaves_of(settings), leaves_of(settings)
    given = torch.autograd.grad((player(whole, SAMPLES, None) * weight).sum(), whole, allow_unused=True)
    expected = torch.autograd.grad((player(short, CUT, None) * weight[:, :CUT]).sum(), short, allow_unused=True)
    for ours, theirs in zip(given, expected, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None and theirs is not None:
            torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
            assert float(ours.abs().max()) > 0


@pytest.mark.parametrize("name", ["oscillator", "operator", "feedback", "filter"])
def test_with_gradients_all_samples_are_needed(name: str):
    player, settings = PLAYERS[name]
    leaves, again = leaves_of(settings), leaves_of(settings)
    whole, part = player(leaves, SAMPLES, None), player(again, SAMPLES, np.array([CUT, 0]))
    assert torch.equal(whole, part)
    for ours, theirs in zip(
        torch.autograd.grad(part.square().sum(), again, allow_unused=True),
        torch.autograd.grad(whole.square().sum(), leaves, allow_unused=True),
        strict=True,
    ):
        assert ours is theirs is None or torch.equal(ours, theirs)


@pytest.mark.parametrize("name", PLAYERS)
def test_samples_that_are_needed_are_those_of_all(name: str):
    player, settings = PLAYERS[name]
    leaves = [leaf.detach() for leaf in leaves_of(settings)]
    whole, part = player(leaves, SAMPLES, None), player(leaves, SAMPLES, np.array([CUT, 0]))
    torch.testing.assert_close(part[0, :CUT], whole[0, :CUT], rtol=0, atol=1e-12)
    if name != "filter":  # which goes on as long as the longest of a few nodes
        behind = leaves[1] if name in ("operator", "feedback") else torch.zeros_like(part)
        assert torch.equal(part[1], behind[1])
        assert torch.equal(part[0, CUT:], behind[0, CUT:])


@pytest.mark.parametrize("end", [0, 1, 255, 256, 257, 1000])
def test_the_end_of_a_sound_is_behind_its_last_sample_that_is_not_zero(end: int):
    row = np.zeros(1000, np.float32)
    row[max(0, end - 1) : end] = np.nan if end == 257 else -1e-30
    assert end_of_sound(row) == end
