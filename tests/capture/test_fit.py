"""Training: it learns closed forms, keeps the best, stops, resumes; controls make one model of several settings."""

import copy
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from graphmix.capture.fit import FitState, fit_effect, split
from graphmix.capture.recording import CaptureError, Recording
from graphmix.capture.settings import DRAFTS, CaptureSettings
from tests.capture.devices import RATE, lowpass, music, saturate
from tests.interrupting import Interrupted, Interrupting

SHORT = CaptureSettings(
    model={"model": "lstm", "hidden": 4},
    steps=60,
    batch=4,
    segment=512,
    validate_every=20,
    learning_rate=0.02,
    stft=0.0,
)


def recording(device=saturate, seconds: float = 4.0, **controls: float) -> Recording:
    dry = music(seconds)
    wet = torch.from_numpy(np.ascontiguousarray(device(dry)))[None]
    return Recording(torch.from_numpy(dry)[None], wet, RATE, controls, 0, False, None, ())


def test_a_network_learns_a_device():
    fitted = fit_effect([recording()], SHORT)
    first, last = fitted.state.history[0][3], fitted.esr[0]
    assert last < 0.6
    assert last <= first
    assert fitted.state.best == min(row[3] for row in fitted.state.history)
    assert last == pytest.approx(fitted.state.best, rel=1e-6)
    assert not any(p.requires_grad for p in fitted.model.parameters())


@pytest.mark.parametrize("name", [name for name in DRAFTS if name != "linear"])
def test_every_network_trains(name: str):
    tiny = {
        "wavenet": {"model": "wavenet", "arrays": ({"channels": 4, "head": 1, "dilations": (1, 2, 4)},)},
        "feedback": {"model": "feedback", "window": 8, "hidden": 16, "layers": 1},
        "grey_box": {"model": "grey_box", "taps": 16, "points": 17},
        "multiband": {"model": "grey_box", "taps": 16, "points": 17, "branches": 2},
        "tcn": {"model": "tcn", "width": 2, "channels": 2, "taps": 3, "dilations": (1, 4)},
    }.get(name, {"model": name, "hidden": 4})
    few = {"model": tiny, "steps": 15, "validate_every": 5, "segment": 256, "batch": 4, "stft": 0.0}
    settings = DRAFTS[name].model_copy(update=few)
    fitted = fit_effect([recording(seconds=2.0)], settings)
    looks = [row for row in fitted.state.history if row[0] > 0]
    assert len(looks) == 3
    assert all(math.isfinite(row[2]) and math.isfinite(row[3]) for row in looks)


def test_training_that_goes_wrong_leaves_the_fitted_start():
    grey = {"model": "grey_box", "taps": 64, "dynamics": False}
    changes = {"model": grey, "steps": 4, "validate_every": 2, "segment": 512, "learning_rate": 1.0}
    fitted = fit_effect([recording(lowpass)], DRAFTS["grey_box"].model_copy(update=changes))
    errors = [row[3] for row in fitted.state.history]
    assert errors[0] == min(errors) < 0.1 < max(errors[1:])
    assert fitted.esr[0] == pytest.approx(errors[0], rel=1e-6)


@pytest.mark.parametrize("loss", ["esr", "level", "mu_law"])
def test_every_loss_makes_the_error_smaller(loss: str):
    fitted = fit_effect([recording()], SHORT.model_copy(update={"loss": loss, "stft": 1e-3, "segment": 2400}))
    assert fitted.esr[0] < 0.9


def test_a_filter_is_solved_without_a_step():
    settings = DRAFTS["linear"].model_copy(update={"model": {"model": "linear", "taps": 512}})
    fitted = fit_effect([recording(lowpass)], settings)
    assert fitted.state.step == 0
    assert fitted.esr[0] < 1e-5


def test_a_one_hot_output_trains_and_runs():
    model = {"model": "feedback", "window": 8, "hidden": 16, "layers": 1, "output": "one_hot", "companding": "mu_law"}
    settings = SHORT.model_copy(update={"model": model, "steps": 10, "validate_every": 5, "segment": 256})
    assert math.isfinite(fit_effect([recording(seconds=2.0)], settings).esr[0])


def test_what_is_judged_was_not_trained_on():
    training, validation = split(recording(), 0.1, ())
    assert validation.dry.size(-1) == round(0.1 * 4 * RATE)
    assert training.dry.size(-1) < 4 * RATE - validation.dry.size(-1)  # a guard between them


def test_a_quiet_end_is_not_what_it_is_judged_by():
    quiet = recording(lambda x: saturate(x) * (np.arange(len(x)) < 3 * RATE))
    _, validation = split(quiet, 0.1, ())
    assert float(validation.wet.square().mean()) > 0.01 * float(quiet.wet.square().mean())


def test_too_short_a_recording_is_refused():
    with pytest.raises(CaptureError, match=r"a recording of 0\.10 s is too short"):
        fit_effect([recording(seconds=0.1)], SHORT)


@pytest.mark.parametrize("parts", [1, 7])
def test_a_resumed_training_ends_as_an_uninterrupted_one(monkeypatch: pytest.MonkeyPatch, parts: int):
    settings = SHORT.model_copy(update={"parts": parts})
    whole = fit_effect([recording()], settings)
    kept: list[FitState] = []
    monkeypatch.setattr("graphmix.capture.fit.SAVE_EVERY_SECONDS", -1.0)
    interrupting = Interrupting(step=31)
    with pytest.raises(Interrupted):
        fit_effect([recording()], settings, listener=interrupting, save=lambda s: kept.append(copy.deepcopy(s)))
    resumed = fit_effect([recording()], settings, state=kept[-1])
    for name, value in whole.model.state_dict().items():
        torch.testing.assert_close(resumed.model.state_dict()[name], value, rtol=1e-4, atol=1e-6)


def test_settings_of_a_control_make_one_model(tmp_path: Path):
    takes = [recording(lambda x, g=g: saturate(g * x), drive=g) for g in (0.5, 1.0, 2.0)]
    fitted = fit_effect(takes, SHORT.model_copy(update={"steps": 120}), ["drive"])
    assert [c.name for c in fitted.model.config.controls] == ["drive"]
    assert (fitted.model.config.controls[0].low, fitted.model.config.controls[0].high) == (0.5, 2.0)
    with torch.no_grad():
        low, high = (fitted.model(takes[0].dry[:, :2000], torch.tensor([[g]])) for g in (0.5, 2.0))
    assert float(high.square().mean()) > 1.2 * float(low.square().mean())


def test_it_is_deterministic():
    a, b = (fit_effect([recording(lowpass)], SHORT.model_copy(update={"steps": 20})) for _ in range(2))
    assert a.esr == b.esr
