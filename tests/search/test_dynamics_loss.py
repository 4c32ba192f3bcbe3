"""The objective of dynamics in closed form and against plain loops."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from graphmix.processors.rack import Rack
from graphmix.search.dynamics_loss import FLOOR, HOP_MS, SCALES_MS, DynamicsLoss, moving_mean

RATE = 30_000


@pytest.fixture(scope="module")
def loss() -> DynamicsLoss:
    return DynamicsLoss(RATE)


def sine(seconds: float = 3.0, level: float = 0.3) -> Tensor:
    return level * torch.sin(torch.arange(round(seconds * RATE)) * (2 * torch.pi * 1000 / RATE)).expand(1, 2, -1)


@pytest.mark.parametrize("gain", [0.1, 0.5, 3.0])
def test_a_steady_sine_has_no_dynamics_whatever_its_level(loss: DynamicsLoss, gain: float) -> None:
    target = sine()
    features = loss.features(target)
    inside = features.pattern[..., 4:-4]
    assert inside.abs().max() < 1e-3
    assert loss(prediction=gain * target, target=features).total < 2e-3


@pytest.mark.parametrize("width", [2, 8, 40, 200])
def test_moving_means_are_those_of_windows_cut_at_the_ends(width: int) -> None:
    signal = torch.rand(2, 3, 50, dtype=torch.float64)
    found = moving_mean(signal, width)
    assert found.size(-1) == 51
    for border in range(51):
        window = signal[..., max(0, border - width // 2) : border + width // 2]
        torch.testing.assert_close(found[..., border], window.mean(-1))


def test_the_pattern_is_that_of_plain_loops() -> None:
    loss = DynamicsLoss(RATE).double()
    energies = np.random.default_rng(0).uniform(0, 1, 230) ** 4
    power = 0.05
    found = loss.pattern(torch.from_numpy(energies).expand(1, 4, -1), torch.tensor([power], dtype=torch.float64))
    assert found.shape == (1, 4, 2, 231)
    for scale, (short_ms, long_ms) in enumerate(SCALES_MS):
        for border in (0, 3, 100, 229):
            means = []
            for window_ms in (short_ms, long_ms):
                half = round(window_ms / HOP_MS / 2)
                means.append(float(np.mean(energies[max(0, border - half) : border + half])))
            expected = 0.5 * math.log((means[0] + FLOOR * power) / (means[1] + FLOOR * power))
            assert float(found[0, 0, scale, border]) == pytest.approx(expected, rel=1e-9)


def test_a_burst_stands_above_its_long_average_by_the_ratio_of_the_windows(loss: DynamicsLoss) -> None:
    """100 ms in silence: the short window is full, the long one by 100 of 1000 and of 2000 ms."""
    audio = torch.zeros(1, 2, 3 * RATE)
    begin = round(1.45 * RATE)
    audio[..., begin : begin + RATE // 10] = sine(0.1)
    middle = loss.features(audio).pattern[0, 0, :, round(1.5 * 1000 / HOP_MS)]
    expected = torch.tensor([math.log(10) / 2, math.log(20) / 2])
    torch.testing.assert_close(middle, expected, rtol=0, atol=0.02)


def test_more_compression_is_farther_away(loss: DynamicsLoss) -> None:
    compressor = Rack.console("c", RATE)["compressor"]
    swell = 0.05 + 0.5 * (torch.arange(3 * RATE) % (RATE // 2) < RATE // 10)
    target = swell * sine()
    distances = []
    for ratio in (1.5, 3.0, 10.0):
        params = torch.tensor([[-30.0, ratio, 6.0, 5.0]])
        assert [p.name for p in compressor.node_type.parameters] == ["threshold_db", "ratio", "knee_db", "time_ms"]
        distances.append(float(loss(prediction=compressor(target, params), target=target).total))
    assert 0.05 < distances[0] < distances[1] < distances[2]


def test_noise_in_pauses_has_no_dynamics(loss: DynamicsLoss) -> None:
    song = loss.levels(loss.features(sine()))[0]
    pause = 1e-4 * torch.randn(1, 2, RATE)
    gated = torch.cat([pause[..., : RATE // 2], 0 * pause[..., RATE // 2 :]], -1)
    assert loss(prediction=gated, target=pause, song_level=song).total < 0.01
    assert loss(prediction=gated, target=pause).total > 0.1
