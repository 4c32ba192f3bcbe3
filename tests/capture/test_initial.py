"""Starting points: what has a closed form is found, a drive and a compressor's times are found nearly."""

import numpy as np
import pytest
import torch
from scipy import signal

from graphmix.capture.grey_box_start import start_grey_box
from graphmix.capture.initial import impulse_response, initialize
from graphmix.models.effects import build_effect
from tests.capture.devices import RATE, music

SIZES = {"model": "grey_box", "taps": 512, "direct": 16, "resonances": 12, "sample_rate": RATE}


def pair(device) -> tuple[torch.Tensor, torch.Tensor]:
    dry = music()
    return torch.from_numpy(dry)[None], torch.from_numpy(device(dry).astype(np.float32))[None]


def error_of(model, dry: torch.Tensor, wet: torch.Tensor) -> float:
    with torch.no_grad():
        return float((model(dry) - wet).square().sum() / wet.square().sum())


def test_an_impulse_response_is_found():
    response = np.array([0.0, 1.0, -0.5, 0.0, 0.2])
    dry, wet = pair(lambda x: signal.lfilter(response, 1, x))
    assert np.allclose(impulse_response([(dry, wet)], 8), np.append(response, [0, 0, 0]), atol=1e-3)
    model = build_effect({"model": "linear", "taps": 8, "sample_rate": RATE})
    initialize(model, [(dry, wet)])
    assert error_of(model, dry, wet) < 1e-5


def test_a_filter_is_solved():
    dry, wet = pair(lambda x: signal.lfilter(*signal.butter(2, 1000, fs=RATE), x))
    model = build_effect(SIZES)
    tried = start_grey_box(model, [(dry, wet)])
    assert error_of(model, dry, wet) < 1e-3
    assert tried["filter"] < 1e-3


def test_a_drive_is_found():
    dry, wet = pair(lambda x: 0.3 * np.tanh(20 * x))
    model = build_effect(SIZES)
    tried = start_grey_box(model, [(dry, wet)])
    assert min(tried, key=lambda name: tried[name]) == "waveshaper"
    assert error_of(model, dry, wet) < 0.02


def test_bands_with_drives_of_their_own_are_found():
    crossover = [signal.butter(3, 500, kind, fs=RATE, output="sos") for kind in ("lowpass", "highpass")]
    dry, wet = pair(lambda x: sum(0.2 * np.tanh(20 * signal.sosfilt(band, x)) for band in crossover))
    model = build_effect({**SIZES, "branches": 2})
    tried = start_grey_box(model, [(dry, wet)])
    assert min(tried, key=lambda name: tried[name]) == "bands"
    assert tried["bands"] < 0.7 * tried["waveshaper"]
    assert error_of(model, dry, wet) < tried["filter"]  # of all of it, not of the excerpts alone


def test_the_times_of_a_compressor_are_found():
    def compress(x: np.ndarray) -> np.ndarray:
        gains, envelope = np.ones_like(x), 0.0
        attack, release = (np.exp(-1000 / (time * RATE)) for time in (5.0, 80.0))
        for n, energy in enumerate(np.square(x.astype(np.float64))):
            envelope = energy + (attack if energy > envelope else release) * (envelope - energy)
            gains[n] = (max(envelope, 1e-3) / 1e-3) ** -0.375
        return gains * x

    dry, wet = pair(compress)
    model = build_effect(SIZES)
    tried = start_grey_box(model, [(dry, wet)])
    assert min(tried, key=lambda name: tried[name]) == "gain computer"
    assert model.times.exp().tolist() == pytest.approx([5.0, 80.0], rel=0.1)
    assert error_of(model, dry, wet) < 1e-3


@pytest.mark.parametrize("name", ["lstm", "tcn"])
def test_networks_take_their_levels_from_the_recordings(name: str):
    torch.manual_seed(0)
    dry, wet = pair(lambda x: 0.01 * x)
    model = build_effect({"model": name, "sample_rate": RATE})
    before = {key: value.clone() for key, value in model.state_dict().items()}
    initialize(model, [(dry, wet)])
    changed = [key for key, value in model.state_dict().items() if not torch.equal(value, before[key])]
    assert changed
    with torch.no_grad():
        assert model(dry).isfinite().all()
