"""The compiled compressor and gate against plain loops, closed forms and finite differences."""

import math
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from graphmix.dsp.dynamics import _BLOCK, ENERGY_FLOOR, GainComputer, apply_gain_computer

NODES = 3


class Case(NamedTuple):
    audio: Tensor
    settings: list[Tensor]
    wet: Tensor


def case(samples: int, inlets: int = 1, ballistic: bool = True) -> Case:
    """Noise that gets loud and silent; thresholds near its level; attack faster, slower, and as fast as release."""
    loudness = 0.02 + 0.9 * (torch.arange(samples, dtype=torch.float64) * 7 // samples % 2)
    audio = loudness * torch.randn(NODES, inlets, 2, samples, dtype=torch.float64)
    attack = torch.tensor([0.5, 0.95, 0.8], dtype=torch.float64)
    release = torch.tensor([0.9, 0.3, 0.8], dtype=torch.float64) if ballistic else attack.clone()
    threshold_db, slope, knee_db = [-20.0, -15.0, -6.0], [-0.75, -3.0, -0.2], [6.0, 20.0, 0.5]
    return Case(
        audio,
        [*torch.tensor([threshold_db, slope, knee_db], dtype=torch.float64), attack, release],
        torch.tensor([1.0, 0.6, 0.0], dtype=torch.float64),
    )


def applied(case: Case, sign: int) -> Tensor:
    return apply_gain_computer(case.audio, GainComputer(*case.settings), case.wet, sign)


def by_a_plain_loop(case: Case, sign: int) -> np.ndarray:
    audio, wet = case.audio.numpy(), case.wet.numpy()
    out = np.empty_like(audio[:, 0])
    for i in range(NODES):
        threshold, slope, knee, attack, release = (float(setting[i]) for setting in case.settings)
        state = 0.0
        for n, (left, right) in enumerate(audio[i, -1].T):
            energy = ((left + right) / 2) ** 2
            alpha = attack if energy > state else release
            state = alpha * state + (1 - alpha) * energy
            over = sign * (10 * math.log10(state + ENERGY_FLOOR) - threshold)
            bent = over if over > knee / 2 else max(over + knee / 2, 0) ** 2 / (2 * knee)
            out[i, :, n] = (1 - wet[i] + wet[i] * 10 ** (slope * bent / 20)) * audio[i, 0, :, n]
    return out


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("inlets", [1, 2])
@pytest.mark.parametrize("samples", [1, 6, _BLOCK, 2 * _BLOCK + 3])
def test_it_is_a_plain_loop(samples: int, inlets: int, sign: int) -> None:
    noise = case(samples, inlets)
    expected = by_a_plain_loop(noise, sign)
    np.testing.assert_allclose(applied(noise, sign), expected, rtol=1e-11, atol=1e-14)
    single = applied(noise._replace(audio=noise.audio.float()), sign)
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single, expected, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("inlets", [1, 2])
@pytest.mark.parametrize("ballistic", [True, False])
def test_gradients_agree_with_finite_differences(ballistic: bool, inlets: int, sign: int) -> None:
    noise = case(22, inlets, ballistic)

    def run(audio: Tensor, threshold: Tensor, slope: Tensor, knee: Tensor, wet: Tensor, *alphas: Tensor) -> Tensor:
        attack, release = alphas if ballistic else alphas * 2
        return applied(Case(audio, [threshold, slope, knee, attack, release], wet), sign)

    inputs = noise.audio, *noise.settings[:3], noise.wet, *noise.settings[3 : 5 if ballistic else 4]
    assert torch.autograd.gradcheck(run, [t.clone().requires_grad_() for t in inputs])


@pytest.mark.parametrize("cut", [1, _BLOCK - 1, _BLOCK, _BLOCK + 1])
def test_gradients_go_back_over_blocks(cut: int) -> None:
    """A sample changes the output long after it; the direction of steepest ascent says by how much."""
    noise = case(2 * _BLOCK + 50)
    noise.settings[3][:], noise.settings[4][:] = 0.99, 0.999
    weights = torch.zeros(NODES, 2, noise.audio.size(-1), dtype=torch.float64)
    weights[..., cut:] = torch.randn_like(weights[..., cut:])
    audio = noise.audio.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((applied(noise._replace(audio=audio), 1) * weights).sum(), audio)
    step = 1e-6 * torch.randn_like(audio[..., :cut])
    there, back = noise.audio.clone(), noise.audio.clone()
    there[..., :cut] += step
    back[..., :cut] -= step
    ahead, behind = (applied(noise._replace(audio=moved), 1) for moved in (there, back))
    expected = ((ahead - behind) * weights).sum() / 2
    torch.testing.assert_close((gradient[..., :cut] * step).sum(), expected, rtol=1e-5, atol=1e-11)


@pytest.mark.parametrize("ballistic", [True, False])
def test_gradients_in_float32_are_those_in_float64(ballistic: bool) -> None:
    noise = case(4 * _BLOCK + 1, ballistic=ballistic)
    weights = torch.randn(NODES, 2, noise.audio.size(-1), dtype=torch.float64)
    results = []
    for dtype in (torch.float32, torch.float64):
        inputs = [t.to(dtype).requires_grad_() for t in (noise.audio, *noise.settings, noise.wet)]
        output = applied(Case(inputs[0], inputs[1:-1], inputs[-1]), 1)
        results.append(torch.autograd.grad((output * weights.to(dtype)).sum(), inputs))
    for mine, exact in zip(*results, strict=True):
        assert float((mine - exact).abs().max()) < 2e-5 * float(exact.abs().max())


def test_weight_zero_and_slope_zero_change_no_bit() -> None:
    noise = case(700)._replace(wet=torch.zeros(NODES))
    assert torch.equal(applied(noise, 1), noise.audio[:, 0])
    flat = noise._replace(wet=torch.ones(NODES))
    flat.settings[1].zero_()
    assert torch.equal(applied(flat, -1), flat.audio[:, 0])


def test_a_constant_signal_is_turned_down_by_the_slope() -> None:
    settings = [torch.tensor([value]) for value in (-20.0, -0.75, 6.0, 0.9, 0.99)]
    audio = torch.full((1, 1, 2, 3000), 0.5)
    level = 20 * math.log10(0.5)
    output = apply_gain_computer(audio, GainComputer(*settings), torch.ones(1), 1)
    assert 20 * math.log10(float(output[0, 0, -1])) == pytest.approx(level - 0.75 * (level + 20), abs=1e-4)


def test_after_the_music_comes_silence_that_stays_finite() -> None:
    """The state fades to nothing, and so does its adjoint before the first sample that counts."""
    noise = case(40 * _BLOCK)
    noise.audio[..., 5 * _BLOCK : 30 * _BLOCK] = 0
    audio = noise.audio.clone().requires_grad_()
    output = applied(noise._replace(audio=audio), -1)
    assert not output[..., 5 * _BLOCK : 30 * _BLOCK].any()
    (gradient,) = torch.autograd.grad(output[..., -3 * _BLOCK :].sum(), audio)
    assert torch.isfinite(gradient).all()
    assert not gradient[..., : 30 * _BLOCK].any()


@pytest.mark.parametrize("broken", range(5))
def test_an_undefined_setting_is_not_hidden(broken: int) -> None:
    noise = case(600)
    noise.settings[broken][0] = math.nan
    output = applied(noise._replace(audio=noise.audio.float(), wet=torch.ones(NODES)), 1)
    assert output[0].isnan().all()
    assert torch.isfinite(output[1:]).all()
