"""Stability of a free run: on networks that are linear recursions, whose errors and roots have a closed form."""

import numpy as np
import pytest
import torch
from scipy import signal

from graphmix.capture.fit import fit_effect
from graphmix.capture.recording import Recording
from graphmix.capture.settings import CaptureSettings
from graphmix.capture.stability import FreeRun, free_run, radius_at_rest
from graphmix.models.effects.feedback import FeedbackConfig, FeedbackEffect
from graphmix.songbook.demo_stems import demo_stems

RATE = 8000


def a_recursion(inputs: list[float], past: list[float]) -> FeedbackEffect:
    """y[n] = sum of inputs[k] x[n-k] + past[k] y[n-1-k], for gelu(z) - gelu(-z) = z."""
    window = len(inputs)
    model = FeedbackEffect(FeedbackConfig(window=window, hidden=2, layers=1, noise=0.0, sample_rate=RATE))
    row = torch.tensor([*inputs[::-1], *past[::-1]])
    with torch.no_grad():
        model.weights[0].copy_(torch.stack([row, -row]) * row.numel() ** 0.5)
        model.weights[1].copy_(torch.tensor([[1.0, -1.0]]) * 2**0.5)
    return model.eval()


def a_lowpass(pole: float, level: float = 0.3) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise before and after y[n] = (1 - pole) x[n] + pole y[n-1]."""
    dry = level * np.random.default_rng(1).standard_normal(2 * RATE)
    wet = signal.lfilter([1 - pole], [1, -pole], dry)
    return torch.from_numpy(dry.astype(np.float32)), torch.from_numpy(wet.astype(np.float32))


@pytest.mark.parametrize("past", [[0.5, 0.0], [-0.97, 0.1], [1.6, -0.9], [0.3, 0.8]])
def test_the_radius_is_the_largest_root(past: list[float]):
    expected = np.abs(np.roots([1, *(-c for c in past)])).max()
    assert radius_at_rest(a_recursion([0.1, 0.0, 0.0], past)) == pytest.approx(expected, rel=1e-5)


def test_the_device_itself_has_no_error():
    run = free_run(a_recursion([0.2, 0.0], [0.8]), *a_lowpass(0.8))
    assert run.error < 1e-5
    assert run.forced.max() < 1e-5
    assert not run.unstable
    assert run.unstable_from is None


def test_a_growing_error_is_found_where_it_begins():
    """The device's recursion times 1 + 1.002 / z: exact if fed the device's outputs, but an error doubles in 350."""
    dry, wet = a_lowpass(0.8)
    run = free_run(a_recursion([0.2, 0.2 * 1.002, 0.0], [0.8 - 1.002, 0.8 * 1.002]), dry, wet, every=5)
    assert run.unstable
    assert run.unstable_from is not None
    assert run.errors[-1] > 1e3 * run.forced[-1]
    begin = round(run.unstable_from / run.window_seconds)
    assert not run.unstable_windows[:begin].any()


def test_an_error_that_teacher_forcing_has_as_well_is_not_instability():
    dry, wet = a_lowpass(0.8)
    run = free_run(a_recursion([0.0, 0.0], [0.0]), dry, wet)
    assert run.error == pytest.approx(1.0, abs=1e-6)
    np.testing.assert_allclose(run.errors, run.forced, rtol=1e-5)
    assert not run.unstable


def test_what_is_not_a_number_is_unstable():
    errors = np.array([0.01, np.nan])
    run = FreeRun(np.array([0.0, np.nan], np.float32), errors, np.full(2, 0.01), float("nan"), 0.1)
    assert run.unstable
    assert run.unstable_from == pytest.approx(0.1)


def song(seed: int, seconds: float) -> np.ndarray:
    mix = sum(track.mean(0) for track in demo_stems(44100, seed, seconds).values())
    audio = signal.fftconvolve(mix, signal.firwin(255, 8000, fs=44100), mode="same")
    return (audio / np.abs(audio).max()).astype(np.float32)


@pytest.mark.slow
def test_noise_in_the_feedback_path_makes_the_free_run_stable():
    """Without it, an error outlives the window many times over, or grows; with it, it dies away, at no loss."""
    dry = song(0, 24.0)
    audio = torch.from_numpy(dry)[None]
    recording = Recording(audio, torch.tanh(5 * audio), 44100, {}, 0, False, None, ())
    unseen = torch.from_numpy(song(100, 4.0))
    radii, runs = [], []
    for noise in (0.0, 0.1):
        settings = CaptureSettings(
            model={"model": "feedback", "window": 32, "hidden": 64, "noise": noise},
            steps=1200,
            minutes=10,
            batch=64,
            segment=4,
            learning_rate=6e-3,
            stft=0.0,
            validate_every=10**6,
            validation=0.05,
            seed=2,
        )
        model = fit_effect([recording], settings).model
        assert isinstance(model, FeedbackEffect)
        radii.append(radius_at_rest(model))
        runs.append(free_run(model, unseen, torch.tanh(5 * unseen)))
    without, with_noise = runs
    assert without.forced.mean() < 0.06
    assert without.error > 1.5 * without.forced.mean()
    assert radii[1] < 0.97 < radii[0]
    assert not with_noise.unstable
    assert with_noise.error < 0.07
