"""Waveforms against their Fourier series, aliases against the fundamental, gradients against finite differences."""

import numpy as np
import pytest
import torch
from scipy.signal.windows import blackmanharris

from graphmix.dsp import wavetable

RATE = 44100
WAVES = {"sine": wavetable.sine(), "saw": wavetable.saw(), "triangle": wavetable.triangle()}
IDEAL = {
    "sine": lambda p: np.sin(2 * np.pi * p),
    "saw": lambda p: 2 * (p % 1) - 1,
    "triangle": lambda p: 1 - 4 * np.abs((p + 0.25) % 1 - 0.5),
}


def play(name: str, hz: float, samples: int) -> np.ndarray:
    step = torch.full((1, samples), hz / RATE, dtype=torch.float64)
    return wavetable.read(WAVES[name], torch.cumsum(step, 1), step, torch.float64)[0].numpy()


@pytest.mark.parametrize("name", WAVES)
def test_a_low_note_has_the_shape_of_the_waveform(name: str):
    phase = torch.linspace(0, 1, 1001, dtype=torch.float64)[None]
    out = wavetable.read(WAVES[name], phase, torch.full_like(phase, 1e-4), torch.float64)[0].numpy()
    inside = (phase[0].numpy() > 0.02) & (phase[0].numpy() < 0.98)
    assert np.abs(out - IDEAL[name](phase[0].numpy()))[inside].max() < 0.03
    assert np.sqrt(np.mean((out - IDEAL[name](phase[0].numpy()))[inside] ** 2)) < 2e-3


@pytest.mark.parametrize("name", ["saw", "triangle"])
@pytest.mark.parametrize("hz", [27.5, 55.0, 440.0, 1234.5, 3999.0, 4001.0, 7900.0])
def test_below_15_khz_there_are_all_harmonics_and_nothing_else(name: str, hz: float):
    samples = RATE
    window = blackmanharris(samples)
    found = np.abs(np.fft.rfft(play(name, hz, samples) * window)) / window.sum() * 2
    k = np.arange(1, int(15000 / hz) + 1)
    expected = 2 / (np.pi * k) if name == "saw" else np.where(k % 2 == 1, 8 / (np.pi * k) ** 2, 0)
    fundamental, rest = expected[0], found.copy()
    for number, amplitude in zip(k, expected, strict=True):
        near = slice(max(0, int(number * hz) - 6), int(number * hz) + 8)
        if amplitude:
            assert found[near].max() == pytest.approx(amplitude, rel=0.4, abs=1e-4 * fundamental)  # between bins
        rest[near] = 0
    rest[:8] = 0
    assert 20 * np.log10(rest[:15000].max() / fundamental) < -75


def test_a_phase_of_any_size_is_read():
    phase = torch.tensor([[-0.25, 0.75, 1e9 + 0.75]], dtype=torch.float64)
    out = wavetable.read(WAVES["sine"], phase, torch.zeros_like(phase))
    torch.testing.assert_close(out, torch.full((1, 3), -1.0), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", WAVES)
def test_the_gradient_is_the_slope(name: str):
    torch.manual_seed(0)
    phase = torch.rand(2, 40, dtype=torch.float64).requires_grad_()
    step = torch.full((2, 40), 0.02, dtype=torch.float64)
    # the tables are float32: differences of them are good to 1e-7 / 1e-4
    assert torch.autograd.gradcheck(
        lambda p: wavetable.read(WAVES[name], p, step, torch.float64), (phase,), eps=1e-4, atol=0.05, rtol=0.02
    )
