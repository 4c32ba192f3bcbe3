"""Stereo: powers, angles and times by hand."""

import math

import pytest
import torch
from torch import Tensor

from graphmix.processors.base import MatrixProcessor
from graphmix.processors.stereo import (
    Balance,
    BassWidth,
    Haas,
    MidSideDecoder,
    MidSideEncoder,
    Pan,
    Polarity,
    Rotation,
)
from tests.random_parameters import params

RATE = 30000


def matrix(kind: type[MatrixProcessor], **values: object) -> Tensor:
    return kind(RATE).matrix(params(kind(RATE), **values))[0]


@pytest.mark.parametrize("position", [-1.0, -0.3, 0.0, 0.7, 1.0])
def test_a_pan_has_the_same_power_everywhere(position: float) -> None:
    gains = matrix(Pan, position=position).diagonal()
    assert float(gains.square().sum()) == pytest.approx(2)
    assert float(gains[1] > gains[0]) == float(position > 0)
    assert position != -1 or float(gains[1]) == pytest.approx(0, abs=1e-7)


def test_a_balance_leaves_its_own_side_alone() -> None:
    assert matrix(Balance, position=0.25).diagonal().tolist() == [0.75, 1.0]
    assert matrix(Balance, position=-1.0).diagonal().tolist() == [1.0, 0.0]


def test_a_rotation_by_45_degrees_brings_the_left_to_the_middle() -> None:
    turned = matrix(Rotation, angle_deg=45.0) @ torch.tensor([1.0, 0.0], dtype=torch.float64)
    assert turned.tolist() == pytest.approx([math.sqrt(0.5)] * 2)


def test_polarity_inverts_each_channel_alone() -> None:
    assert matrix(Polarity, polarity=[-0.4, 1.0]).tolist() == [[-1.0, 0.0], [0.0, 1.0]]


def test_mid_and_side_come_back_as_left_and_right() -> None:
    encoded = matrix(MidSideEncoder)
    assert (encoded @ torch.tensor([1.0, 1.0], dtype=torch.float64)).tolist() == [1.0, 0.0]
    assert torch.equal(matrix(MidSideDecoder) @ encoded, torch.eye(2, dtype=torch.float64))


@pytest.mark.parametrize(("later_ms", "channel"), [(10.0, 1), (-5.5, 0), (10.01, 1)])
def test_haas_makes_one_channel_later_and_softer(later_ms: float, channel: int) -> None:
    haas, audio = Haas(RATE), torch.zeros(1, 2, 1000, dtype=torch.float64)
    time = torch.arange(1000, dtype=torch.float64) / RATE
    audio[:] = torch.sin(2 * math.pi * 300 * time)
    output = haas(audio, params(haas, later_ms=later_ms, level_db=-6.0206))
    torch.testing.assert_close(output[:, 1 - channel], audio[:, 1 - channel], atol=1e-9, rtol=0)
    expected = 0.5 * torch.sin(2 * math.pi * 300 * (time - abs(later_ms) / 1000))
    torch.testing.assert_close(output[0, channel, 400:900], expected[400:900], atol=2e-4, rtol=0)


def test_the_bass_is_mono_below_the_frequency_and_stays_above_it() -> None:
    width, time = BassWidth(RATE), torch.arange(RATE // 2, dtype=torch.float64) / RATE
    middle = slice(5000, -5000)
    for frequency, expected in ((40.0, 0.02), (2000.0, 1.0)):
        side = torch.sin(2 * math.pi * frequency * time)
        output = width(torch.stack([side, -side])[None], params(width, frequency_hz=150.0, side_db=-100.0))[0]
        assert not bool((output[0] + output[1]).abs().gt(1e-12).any())
        assert float(output[0, middle].abs().max()) == pytest.approx(expected, abs=0.02)
