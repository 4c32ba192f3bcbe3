"""Segments that stand for a song, and the loss of the whole from them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphmix.audio.segments import EvalSegment, evaluation_segments
from graphmix.search.chosen_segments import choose_segments, estimate_whole, segment_powers

SEGMENTS = evaluation_segments(num_samples=840_000, warmup=30_000, length=114_000)


def powers(seed: int, tracks: int = 5, count: int = len(SEGMENTS)) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    own = np.exp(2 * rng.standard_normal((tracks, count))) * (rng.random((tracks, count)) < 0.7)
    return own, own.sum(0)


def test_powers_of_segments_are_means_of_their_blocks() -> None:
    segments = evaluation_segments(num_samples=90_000, warmup=0, length=30_000)
    blocks = np.arange(90, dtype=np.float64)[None]
    assert segment_powers(segments, blocks, 1000).tolist() == [[14.5, 44.5, 74.5]]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 9))
def test_the_weights_of_the_chosen_are_the_song(seed: int, count: int) -> None:
    chosen, share = choose_segments(SEGMENTS, *powers(seed), count)
    assert len({s.start for s in chosen}) == len(chosen) == count == share.shape[1]
    assert sum(s.weight for s in chosen) == sum(s.weight for s in SEGMENTS)
    assert all(s.weight > 0 for s in chosen)


def test_fewer_are_the_first_of_more_and_all_are_all() -> None:
    own = powers(3)
    starts = [[s.start for s in choose_segments(SEGMENTS, *own, count)[0]] for count in (2, 5, 8)]
    assert starts[0] == starts[1][:2]
    assert starts[1] == starts[2][:5]
    for count in (0, len(SEGMENTS), 100):
        assert choose_segments(SEGMENTS, *own, count)[0] == SEGMENTS


def test_a_track_that_sounds_once_and_a_passage_that_is_quiet_are_chosen() -> None:
    own = np.ones((4, len(SEGMENTS)))
    own[3] = 1e-9
    own[3, 6] = 1e-3  # soft in its file, and alone of its kind
    own[:3, 2] = 1e-6
    chosen, _ = choose_segments(SEGMENTS, own, own.sum(0), 3)
    assert {SEGMENTS.index(EvalSegment(s.start, s.length, s.score_from, s.score_to, 84_000)) for s in chosen} >= {2, 6}


def test_levels_of_files_do_not_matter() -> None:
    own, mix = powers(5)
    louder = own * np.array([1, 1e3, 1e-3, 10, 1])[:, None]
    assert choose_segments(SEGMENTS, own, mix, 4)[0] == choose_segments(SEGMENTS, louder, mix, 4)[0]


def losses(seed: int, count: int = 86, noise: float = 0.02) -> tuple[np.ndarray, np.ndarray]:
    """A loss on each segment of a song, and another one that goes with it."""
    rng = np.random.default_rng(seed)
    other = 0.3 + 0.1 * rng.random(count)
    return 0.4 * other + 0.02 + noise * rng.standard_normal(count), other


def test_the_truth_lies_within_the_confidence_as_often_as_it_says() -> None:
    inside, errors, widths = 0, [], []
    for seed in range(400):
        loss, other = losses(seed)
        places = np.random.default_rng(1000 + seed).choice(86, 16, replace=False)
        found = estimate_whole(loss[places].tolist(), [1.0] * 16, other[places].tolist(), other.tolist(), [1.0] * 86)
        errors.append(abs(found.value - loss.mean()))
        widths.append(found.within)
        inside += errors[-1] <= found.within
    assert 0.92 * 400 <= inside <= 0.98 * 400
    assert np.mean(widths) < 0.014  # 2.1 standard errors of 0.02 from 16 of 86


def test_a_loss_that_follows_the_other_one_is_known_exactly() -> None:
    loss, other = losses(0, noise=0.0)
    found = estimate_whole(loss[:8].tolist(), [1.0] * 8, other[:8].tolist(), other.tolist(), [1.0] * 86)
    assert found.value == pytest.approx(loss.mean(), abs=1e-12)
    assert found.within == pytest.approx(0, abs=1e-12)


def test_all_segments_leave_nothing_open_and_few_say_nothing() -> None:
    loss, other = (x.tolist() for x in losses(1, count=6))
    weights = [3.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    found = estimate_whole(loss, weights, other, other, weights)
    assert found.value == pytest.approx(np.average(loss, weights=weights))
    assert found.within == 0
    assert math.isinf(estimate_whole(loss[:3], [1.0] * 3, other[:3], other, weights).within)
