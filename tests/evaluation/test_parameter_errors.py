"""Errors of parameters in their units: by hand."""

import pytest
import torch

from graphmix.evaluation.recovery import compare
from tests.evaluation.small_consoles import BINS, LEVEL, RATE, SQUASH, TILT, WIDER, console


def test_parameter_errors_in_their_units() -> None:
    true = console(
        [SQUASH, ("gain", {"gain_db": [-6.0, -6.0]})],
        [WIDER, ("reverb", {"wet": 0.3, "decay_db_per_s": -60.0})],
        [("delay", {"wet": 0.2, "delay_ms": [100.0 * k + 30 for k in range(20)] * 2})],
    )
    found = console(
        [
            ("compressor", {"threshold_db": -27.0, "ratio": 6.0, "knee_db": 8.0, "time_ms": 35.0}),
            ("gain", {"gain_db": [-2.0, -4.0]}),
        ],
        [("imager", {"side_db": 4.5}), ("reverb", {"wet": 0.25, "decay_db_per_s": -120.0})],
        [("delay", {"wet": 0.15, "delay_ms": [100.0 * k + 37 for k in range(20)] * 2})],
    )
    errors = {key: values[0] for key, values in compare(true, found).errors.items()}
    expected = {
        ("compressor", "threshold_db"): 3.0, ("compressor", "ratio"): 2.0, ("compressor", "knee_db"): 2.0,
        ("compressor", "time_ms"): 15.0, ("compressor", "wet"): 0.0, ("gain", "level_db"): 3.0,
        ("gain", "balance_db"): 1.0, ("imager", "side_db"): 1.5, ("reverb", "rt60_ms"): 500.0,
        ("reverb", "wet"): 0.05, ("delay", "echo_ms"): 7.0, ("delay", "wet"): 0.05,
    }  # fmt: skip
    assert errors.keys() == expected.keys()
    for key, value in expected.items():
        assert errors[key] == pytest.approx(value, abs=1e-4), key


def test_a_flat_gain_may_be_the_equalizers() -> None:
    flat = ("equalizer", {"gain_db": (torch.linspace(-6, 6, BINS) + 5).tolist()})
    lower = ("compressor", {**SQUASH[1], "threshold_db": -25.0})
    true, found = console([TILT, SQUASH, LEVEL], [], []), console([flat, lower, ("gain", {"gain_db": -1.0})], [], [])
    errors = compare(true, found).errors
    assert errors["equalizer", "shape_db"][0] < 1e-4
    assert errors["compressor", "threshold_db"][0] < 1e-3
    assert errors["gain", "level_db"][0] < 1e-3


def test_the_corner_of_a_low_cut_is_found() -> None:
    def cut(corner_hz: float) -> tuple[str, dict]:
        hz = torch.arange(BINS).clamp(min=1) * (RATE / (2 * BINS - 1))
        return "equalizer", {"gain_db": (-10 * torch.log10(1 + (corner_hz / hz) ** 4)).clamp(min=-36).tolist()}

    errors = compare(console([cut(120)], [], []), console([cut(160)], [], [])).errors
    assert errors["equalizer", "low_cut_hz"][0] == pytest.approx(40, abs=8)
    assert ("equalizer", "low_cut_hz") not in compare(console([TILT], [], []), console([TILT], [], [])).errors
