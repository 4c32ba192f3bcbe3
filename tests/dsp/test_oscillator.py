"""The compiled oscillator against sums of waveforms read from tables at phases summed by torch."""

import pytest
import torch

from graphmix.dsp import wavetable
from graphmix.dsp.oscillator import SETTINGS, make_bank, oscillator

WAVES = wavetable.sine(), wavetable.saw(), wavetable.triangle()
BANK = make_bank(*WAVES, [WAVES[0], WAVES[2], WAVES[1]])
RATE = 440 / 44100
SAMPLES = 1300


def settings(**values: float) -> torch.Tensor:
    return torch.tensor([[values.get(name, 0.0) for name in SETTINGS]] * 2, dtype=torch.float64)


def signals(still: bool) -> list[torch.Tensor]:
    torch.manual_seed(1)
    sizes = (1, 1) if still else (SAMPLES, SAMPLES)
    moving = [torch.randn(2, size).double() * scale for size, scale in zip(sizes, (12.0, 0.3), strict=True)]
    dry, shape, moved = (torch.rand(2, SAMPLES).double() for _ in range(3))
    return [dry, *moving, shape, moved]


@pytest.mark.parametrize("still", [False, True])
def test_it_is_a_sum_of_tables_read_at_its_phases(still: bool):
    own = settings(
        amplitude=0.7, sine=0.5, saw=0.2, pulse=0.3, triangle=0.1, table=0.4, width=0.5, width_modulation=0.6,
        position=0.1, position_modulation=0.8, transpose=3.0, detune=0.1, vibrato=2.0, phase=0.2,
    )  # fmt: skip
    dry, pitch, modulation, shape, moved = signals(still)
    out, _ = oscillator(BANK, RATE, SAMPLES, own, [dry, pitch, modulation, shape, moved])
    step = ((((pitch + 3.1 + 2 * modulation) / 12).exp2() * RATE).clamp(max=0.5)).expand(2, SAMPLES)
    phase = torch.cumsum(step, 1) - step[:, :1] + 0.2 + moved
    sine, saw, triangle = (wavetable.read(wave, phase, step, torch.float64) for wave in WAVES)
    later = wavetable.read(WAVES[1], phase + (0.5 + 0.6 * shape).clamp(0.02, 0.98), step, torch.float64)
    place = (0.1 + 0.8 * shape).clamp(0, 1) * 2
    table = sum(wave * (1 - (place - i).abs()).clamp(min=0) for i, wave in enumerate((sine, triangle, saw)))
    total = 0.5 * sine + 0.2 * saw + 0.3 * (saw - later) + 0.1 * triangle + 0.4 * table
    torch.testing.assert_close(out, dry + 0.7 * total, rtol=0, atol=2e-6)


def test_gradients_of_pitches_agree_with_finite_differences():
    """Of a sine: the tables are float32, and their slopes good to some 1e-4."""
    own = settings(amplitude=1.0, sine=1.0)
    dry, pitch, modulation, shape, moved = signals(False)
    leaf = (pitch / 12).requires_grad_()
    weight = torch.randn(2, SAMPLES).double()

    def play(pitches: torch.Tensor) -> torch.Tensor:
        return (oscillator(BANK, RATE, SAMPLES, own, [dry, pitches, modulation, shape, moved])[0] * weight).sum()

    (gradient,) = torch.autograd.grad(play(leaf), leaf)
    for row, n in ((0, 1), (1, 600), (0, 1298)):
        moved_by = torch.zeros_like(pitch)
        moved_by[row, n] = 1e-2
        difference = float(play(leaf.detach() + moved_by) - play(leaf.detach() - moved_by)) / 2e-2
        assert float(gradient[row, n]) == pytest.approx(difference, rel=0.02, abs=1e-3)
    assert float(gradient[:, 0].abs().max()) == 0
