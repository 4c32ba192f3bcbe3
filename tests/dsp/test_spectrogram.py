import math

import pytest
import torch

from graphmix.dsp.spectrogram import pooled_power, power_to_db

RATE = 30000


def test_a_sine_has_its_power_in_its_bin() -> None:
    wave = torch.sin(2 * math.pi * 5000 * torch.arange(RATE) / RATE)
    (power,) = pooled_power(wave[None], RATE)
    middle = power[:, power.size(1) // 2]
    assert int(middle.argmax()) / len(middle) * RATE / 2 == pytest.approx(5000, abs=60)


@pytest.mark.parametrize("samples", [1, 100, RATE, 40 * RATE])
def test_the_size_is_bounded_and_the_mean_power_stays(samples: int) -> None:
    noise = torch.randn(2, samples, generator=torch.Generator().manual_seed(1))
    power = pooled_power(noise, RATE)
    assert power.shape[0] == 2
    assert power.shape[1] <= 384
    assert power.shape[2] <= 600
    if samples >= RATE:
        assert power.mean() == pytest.approx(1024 * 3 / 8, rel=0.05)  # the energy of a Hann window of 1024 samples


def test_silence_lies_at_the_floor() -> None:
    silence = pooled_power(torch.zeros(2, 3000), RATE)
    assert (power_to_db(silence, float(silence.max()), -80.0) == -80).all()
