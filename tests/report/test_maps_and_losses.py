"""Spectrograms and losses of a page against signals whose error is known."""

import numpy as np
import pytest
import torch

from graphmix.report.error_map import BANDS, FLOOR_DB, HIGHEST_HZ, LOWEST_HZ, level_maps
from graphmix.report.losses import measure_losses
from graphmix.report.sound import RATE, prepare
from graphmix.search import mix_loss

NOISE = 0.1 * torch.randn(2, 2 * RATE, generator=torch.Generator().manual_seed(1))


def levels(code: bytes) -> np.ndarray:
    return FLOOR_DB + np.frombuffer(code, dtype=np.uint8).reshape(BANDS, -1) * (-FLOOR_DB / 255)


def test_a_softer_version_has_the_error_that_it_is_softer_by() -> None:
    maps = level_maps([prepare(NOISE, RATE), prepare(0.5 * NOISE, RATE)])
    loud, soft = (levels(code) for code in maps.levels)
    np.testing.assert_allclose(soft - loud, -6.02, atol=0.4)
    assert maps.mean_error_db == [0.0, pytest.approx(6.02, abs=0.1)]


def test_a_tone_lies_in_its_band() -> None:
    tone = torch.sin(2 * torch.pi * 1000 * torch.arange(RATE) / RATE)[None].expand(2, -1)
    found = levels(level_maps([prepare(tone, RATE)]).levels[0]).mean(1).argmax()
    hz = LOWEST_HZ * (HIGHEST_HZ / LOWEST_HZ) ** (found / (BANDS - 1))
    assert hz == pytest.approx(1000, rel=0.06)


def test_a_version_that_equals_the_target_costs_nothing() -> None:
    losses = measure_losses(NOISE, [("same", NOISE, RATE), ("half", 0.5 * NOISE, RATE)], RATE, RATE, start=3.0)
    assert losses is not None
    assert losses.terms[0] == [0, 0, 0, 0]
    assert losses.segments == [(3.0, 5.0)]


def test_the_loss_is_that_of_the_search() -> None:
    other = NOISE.roll(1000, 1) * 0.7
    losses = measure_losses(NOISE[:, :60000], [("other", other[:, :60000], 30000)], 30000, 30000, start=0.0)
    assert losses is not None
    wanted = mix_loss(prediction=other[None, :, :60000], target=NOISE[None, :, :60000]).to_list()
    assert losses.terms[0] == pytest.approx(wanted, abs=2e-4)
    total, left_right, mid, side = losses.terms[0]
    assert total == pytest.approx(left_right / 2 + mid / 4 + side / 4, abs=2e-4)
    assert losses.by_segment == [[pytest.approx(total, abs=1e-4)]]


def test_segments_tile_the_stretch_and_their_mean_is_the_loss() -> None:
    long = torch.cat([NOISE, 2 * NOISE, NOISE], 1)
    losses = measure_losses(long, [("half", 0.5 * long, RATE)], RATE, 30000, start=1.0)
    assert losses is not None
    ends = [end for _, end in losses.segments]
    assert [begin for begin, _ in losses.segments] == [1.0, *ends[:-1]]
    assert ends[-1] == 7.0
    weights = np.diff([1.0, *ends])
    assert np.average(losses.by_segment[0], weights=weights) == pytest.approx(losses.terms[0][0], abs=2e-3)


def test_a_stretch_too_short_to_be_scored_has_no_loss() -> None:
    assert measure_losses(NOISE[:, :5000], [("x", NOISE[:, :5000], RATE)], RATE, RATE, 0.0) is None
