"""The choice of a network: by a trial, judged on audio that training does not use."""

from collections.abc import Callable

import pytest
import torch

from graphmix.capture.choice import choose_network
from graphmix.capture.fit import fit_effect
from graphmix.capture.settings import AUTO, DRAFTS, presets
from tests.capture.devices import lowpass, saturate
from tests.capture.test_fit import recording

GREY = {"model": "grey_box", "taps": 64, "dynamics": False}
SMALL = {
    "linear": DRAFTS["linear"].model_copy(update={"model": {"model": "linear", "taps": 512}}),
    "grey_box": DRAFTS["grey_box"].model_copy(update={"model": GREY, "steps": 4, "segment": 512, "validate_every": 2}),
}


@pytest.mark.parametrize(("device", "expected"), [(lowpass, "linear"), (saturate, "grey_box")])
def test_the_closest_network_is_chosen(device: Callable, expected: str):
    state, errors = choose_network([recording(device)], SMALL)
    assert list(errors) == (["linear"] if expected == "linear" else ["linear", "grey_box"])  # a filter is exact
    assert state.chosen == expected == min(errors, key=errors.__getitem__)
    assert state.best == errors[expected]


def test_the_chosen_network_is_trained_on_from_its_trial(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("graphmix.capture.choice.TRIAL_STEPS", 2)
    take = recording()
    state, _ = choose_network([take], SMALL)
    assert state.step == 2
    resumed = fit_effect([take], SMALL["grey_box"], state=state)
    whole = fit_effect([take], SMALL["grey_box"])
    assert resumed.state.step == whole.state.step == 4
    for name, value in whole.model.state_dict().items():
        torch.testing.assert_close(resumed.model.state_dict()[name], value, rtol=1e-4, atol=1e-6)


def test_auto_stands_for_what_has_a_starting_point():
    assert tuple(presets("auto")) == AUTO
    assert presets("gru", "full") == {"gru": presets("gru", "full")["gru"]}
    assert presets("auto", "full")["grey_box"].steps == 100_000
