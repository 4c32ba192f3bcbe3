"""The grey box: neutral when new, its parameters as an engineer reads them."""

import numpy as np
import torch

from graphmix.models.effects import build_effect
from graphmix.models.effects.grey_box import LOWEST_DB, STEP_DB, GreyBoxEffect

SIZES = {"model": "grey_box", "taps": 64, "direct": 8, "resonances": 4, "sample_rate": 8000}


def a_box(**sizes: object) -> GreyBoxEffect:
    model = build_effect({**SIZES, **sizes})
    assert isinstance(model, GreyBoxEffect)
    return model.requires_grad_(False)


def test_new_it_passes_audio_through():
    audio = (0.3 * torch.randn(2, 500)).clamp(-0.9, 0.9)
    torch.testing.assert_close(a_box(shapers=2)(audio), audio, rtol=1e-2, atol=5e-4)  # between the points


def test_new_it_has_one_branch_that_sounds():
    audio = (0.3 * torch.randn(2, 500)).clamp(-0.9, 0.9)
    torch.testing.assert_close(a_box(branches=3)(audio), a_box()(audio))


def test_branches_add_up():
    torch.manual_seed(1)
    audio, both = 0.3 * torch.randn(1, 400), a_box(branches=2, dynamics=False)
    both.filters += 0.05 * torch.randn_like(both.filters)
    total = torch.zeros_like(audio)
    for filters, shapers in both.branches():
        one = a_box(dynamics=False)
        one.filters[:] = both.filters[list(filters)]
        one.curves[:] = both.curves[list(shapers)]
        total += one(audio)
    torch.testing.assert_close(both(audio), total, rtol=1e-4, atol=1e-5)


def test_the_level_curve_is_read_in_decibels():
    model = a_box(shapers=0)
    point = round((-24 - LOWEST_DB) / STEP_DB)
    model.level_curve[point] = -0.5
    model.times[:] = -4.0  # the level follows at once
    constant = torch.full((1, 200), 10 ** (-24 / 20))
    assert np.isclose(float(model(constant)[0, -1]), 10 ** (-24 / 20) * np.exp(-0.5), rtol=1e-3)


def test_without_dynamics_it_does_not_depend_on_the_past_beyond_its_filters():
    model = a_box(dynamics=False)
    audio = torch.randn(1, 300)
    changed = audio.clone()
    changed[:, :50] = 0
    torch.testing.assert_close(model(audio)[:, 50 + 2 * 64 :], model(changed)[:, 50 + 2 * 64 :])
