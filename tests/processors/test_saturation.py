"""Saturation: aliasing, harmonics, hysteresis and straight-through gradients, by closed forms and measurements."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from graphmix.dsp.hysteresis import play
from graphmix.processors.saturation import (
    BitCrusher,
    Chebyshev,
    Clipper,
    Power,
    Saturation,
    Tanh,
    Tape,
    WaveShaper,
)
from tests.random_parameters import params

RATE = 44100
DRIVEN = {
    Tanh: {"drive_db": 24.0, "asymmetry": 0.3},
    Clipper: {"ceiling_db": -24.0, "hardness": 0.99},
    Power: {"drive_db": 24.0, "amount": 0.3},
    Chebyshev: {"drive_db": 24.0, "amount": 0.3},
    WaveShaper: {"drive_db": 24.0, "offset": np.random.default_rng(0).normal(0, 0.1, 33)},
    Tape: {"drive_db": 24.0, "hysteresis": 0.5, "width_db": -20.0},
}


def stereo(x: Tensor) -> Tensor:
    return x.expand(1, 2, -1)


def aliasing_db(kind: type[Saturation], antialiased: bool) -> float:
    """All that is no multiple of 5 kHz, against the whole, of a full-scale sine that is driven by 24 dB."""
    around, bins = 1000, RATE // 10  # 10 Hz each
    time = torch.arange(-around, bins + around, dtype=torch.float64) / RATE
    processor = kind(RATE, antialiased)
    output = processor(stereo(torch.sin(2 * math.pi * 5000 * time)), params(processor, **DRIVEN[kind]))
    power = np.abs(np.fft.rfft(output[0, 0, around:-around].numpy())) ** 2
    harmonics = np.zeros(len(power), bool)
    harmonics[::500] = True
    return 10 * math.log10(power[~harmonics].sum() / power.sum())


@pytest.mark.parametrize("kind", DRIVEN)
def test_aliasing_of_5_khz_driven_by_24_db_is_60_db_down(kind: type[Saturation]) -> None:
    assert aliasing_db(kind, antialiased=True) < -60


def test_without_antialiasing_it_is_there() -> None:
    assert aliasing_db(Tanh, antialiased=False) > -20
    assert Tanh(RATE, antialiased=False).node_type.name == "aliased_tanh"
    assert Tanh(RATE, antialiased=False).at_rate(48000).node_type.name == "aliased_tanh"


def test_well_below_the_rate_the_curve_is_that_of_the_samples() -> None:
    """A sine of 100 Hz, whose harmonics all fit: with and without oversampling the same."""
    audio = stereo(torch.sin(2 * math.pi * 100 * torch.arange(4000, dtype=torch.float64) / RATE))
    for kind, values in DRIVEN.items():
        soft = {"ceiling_db": -3.0, "hardness": 0.2} if kind is Clipper else {**values, "drive_db": 6.0}
        if kind is Tape:
            continue  # its corners make harmonics without end
        both = [kind(RATE, antialiased) for antialiased in (True, False)]
        fine, plain = (p(audio, params(p, **soft)) for p in both)
        torch.testing.assert_close(fine[..., 100:-100], plain[..., 100:-100], atol=2e-3, rtol=0)


@pytest.mark.parametrize("order", [2, 3, 7, 10])
def test_chebyshev_makes_the_harmonic_of_its_number(order: int) -> None:
    phase = torch.linspace(0.01, 3.1, 500, dtype=torch.float64)
    processor = Chebyshev(RATE, antialiased=False)
    amount = [0.25 * (k == order) for k in range(2, 11)]
    audio = stereo(torch.atanh(torch.cos(phase)))
    added = processor(audio, params(processor, amount=amount)) - audio
    expected = 0.25 * (torch.cos(order * phase) - math.cos(order * math.pi / 2))
    torch.testing.assert_close(added[0, 0], expected, atol=1e-9, rtol=0)


def test_a_clipper_never_passes_its_ceilings_and_leaves_what_lies_below_alone() -> None:
    processor = Clipper(RATE, antialiased=False)
    audio = stereo(torch.linspace(-3, 3, 601, dtype=torch.float64))
    output = processor(audio, params(processor, ceiling_db=[0.0, -6.0206], hardness=[0.5, 0.9]))[0, 0]
    assert float(output.max()) <= 1
    assert float(output.min()) >= -0.5001
    inside = (audio[0, 0] <= 0.5) & (audio[0, 0] >= -0.45)
    torch.testing.assert_close(output[inside], audio[0, 0][inside], atol=1e-12, rtol=0)


def test_a_wave_shaper_learns_a_curve() -> None:
    audio = stereo(torch.linspace(-1, 1, 400, dtype=torch.float64))
    target = audio.clamp(-0.3, 0.5)
    processor = WaveShaper(RATE, antialiased=False)
    offset = torch.zeros(1, 33, dtype=torch.float64, requires_grad=True)
    drive = torch.full((1, 1), 6.0, dtype=torch.float64)
    optimizer = torch.optim.Adam([offset], lr=0.03)
    for _ in range(200):
        optimizer.zero_grad()
        error = (processor(audio, torch.cat([drive, offset], 1)) - target).square().mean()
        error.backward()
        optimizer.step()
    assert float(error.detach().sqrt()) < 0.01


def test_tape_falls_another_way_than_it_rises_and_its_loop_closes() -> None:
    processor = Tape(RATE, antialiased=False)
    audio = stereo(torch.sin(2 * math.pi * torch.arange(4000, dtype=torch.float64) / 1000))
    areas = []
    for hysteresis in (0.0, 0.4, 0.8):
        values = params(processor, drive_db=0.0, hysteresis=hysteresis, width_db=-10.0)
        output = processor(audio, values)[0, 0]
        x, y = audio[0, 0, 2000:3001], output[2000:3001]
        areas.append(abs(float(torch.trapezoid(y, x))))
        torch.testing.assert_close(output[2000:3000], output[3000:], atol=1e-9, rtol=0)
    assert areas[0] < 1e-9
    assert areas[1] > 0.05
    assert areas[2] > 1.5 * areas[1]


def test_gradients_of_play_operators_agree_with_finite_differences() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 40, generator=generator, dtype=torch.float64, requires_grad=True)
    widths = torch.rand(2, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, b: play(a, b)[0], (x, widths))


def test_play_operators_resume() -> None:
    x, widths = torch.randn(2, 90, dtype=torch.float64), torch.rand(2, 3, dtype=torch.float64)
    first, state = play(x[:, :50], widths)
    rest, end = play(x[:, 50:], widths, state)
    whole, last = play(x, widths)
    assert torch.equal(torch.cat([first, rest], 1), whole)
    assert torch.equal(end, last)


def test_bits_are_steps_with_a_straight_through_gradient() -> None:
    crusher = BitCrusher(RATE)
    audio = (torch.rand(1, 2, 1000, dtype=torch.float64) * 1.9 - 0.95).requires_grad_()
    values = params(crusher, bits=4.0).requires_grad_()
    output = crusher(audio, values)
    assert len(output.unique()) <= 17
    torch.testing.assert_close(output * 8, (output * 8).round(), atol=1e-9, rtol=0)
    of_audio, of_bits = torch.autograd.grad(output.sum(), (audio, values))
    assert torch.equal(of_audio, torch.ones_like(audio))
    step = 2.0**-3
    expected = -math.log(2) * step * ((audio.detach() / step).round() - audio.detach() / step).sum()
    torch.testing.assert_close(of_bits.sum(), expected, atol=1e-6, rtol=1e-6)


def test_a_search_begins_a_little_below_where_a_curve_bends() -> None:
    levels = [torch.linspace(-40, -20, 100), torch.zeros(0)]
    values = Tanh(RATE).fit_levels(Tanh(RATE).node_type.neutral().expand(2, -1), levels)
    assert float(values[0, 0]) == pytest.approx(15, abs=0.1)  # 6 dB below: -21 + 15
    assert float(values[1, 0]) == -60
    ceilings = Clipper(RATE).fit_levels(Clipper(RATE).node_type.neutral().expand(2, -1), levels)
    assert ceilings[0, :2].tolist() == pytest.approx([-15, -15], abs=0.1)
