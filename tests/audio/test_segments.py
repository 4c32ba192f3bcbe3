"""Segments: the scored parts tile the song, only real samples count, starts depend on seed and step alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphmix.audio import MIN_SCORED_SAMPLES, evaluation_segments, training_start
from graphmix.audio.segments import encoder_blocks
from graphmix.errors import SearchError


@st.composite
def settings_of_a_song(draw):
    warmup = draw(st.integers(0, 40_000))
    length = warmup + draw(st.integers(MIN_SCORED_SAMPLES, 100_000))
    return draw(st.integers(1, 500_000)), warmup, length


@given(settings_of_a_song())
def test_scored_parts_tile_the_song(settings):
    num_samples, warmup, length = settings
    segments = evaluation_segments(num_samples, warmup, length)
    position = 0
    for segment in segments:
        assert segment.start + segment.score_to - segment.weight == position  # what is new follows what was
        position += segment.weight
        assert segment.length == length
        assert segment.score_from >= warmup
        assert segment.start >= -warmup
        assert 0 <= segment.start + segment.score_from < segment.start + segment.score_to <= num_samples
        assert segment.score_to - segment.score_from >= min(MIN_SCORED_SAMPLES, num_samples)
    assert position == num_samples
    assert segments[0].start == -warmup
    for segment in segments[:-1]:
        assert segment.score_to - segment.score_from == segment.weight


@given(settings_of_a_song())
def test_the_last_of_several_windows_ends_with_the_song(settings):
    num_samples, warmup, length = settings
    segments = evaluation_segments(num_samples, warmup, length)
    if len(segments) > 1:
        assert segments[-1].start + length == num_samples
    else:
        assert num_samples <= length - warmup


def test_a_short_song_is_one_window_scored_on_real_samples():
    (segment,) = evaluation_segments(9_000, warmup=30_000, length=114_000)
    assert (segment.start, segment.length) == (-30_000, 114_000)
    assert (segment.score_from, segment.score_to, segment.weight) == (30_000, 39_000, 9_000)


def test_a_song_of_whole_windows_has_no_extra_one():
    segments = evaluation_segments(30_000, warmup=1_000, length=11_000)
    assert [segment.start for segment in segments] == [-1_000, 9_000, 19_000]
    assert {segment.weight for segment in segments} == {10_000}


def test_a_single_new_sample_is_scored_on_enough_but_weighs_one():
    *_, last = evaluation_segments(30_001, warmup=1_000, length=11_000)
    assert (last.start, last.score_from, last.score_to, last.weight) == (19_001, 11_000 - 8_192, 11_000, 1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((0, 0, 10_000), "num_samples is 0"),
        ((10, -1, 10_000), "warmup is -1 samples"),
        ((10, 5_000, 10_000), "leaves 5000 after its warm-up of 5000: at least 8192"),
    ],
)
def test_impossible_settings_are_refused(values, message):
    num_samples, warmup, length = values
    with pytest.raises(SearchError, match=message):
        evaluation_segments(num_samples, warmup, length)
    with pytest.raises(SearchError, match=message):
        training_start(0, 0, num_samples, length, warmup)


def test_training_starts_visit_every_part_of_the_song_equally_often():
    num_samples, length, warmup = 100_000, 30_000, 10_000  # five windows that score 20,000 samples each
    for epoch in range(20):
        steps = range(5 * epoch, 5 * epoch + 5)
        starts = sorted(training_start(3, step, num_samples, length, warmup) for step in steps)
        for stratum, start in enumerate(starts):
            center = 20_000 * stratum - warmup
            assert max(-warmup, center - 10_000) <= start <= min(num_samples - length, center + 10_000)


def test_training_starts_are_uniform_within_their_part():
    starts = [training_start(5, step, 100_000, 30_000, 10_000) for step in range(4000)]
    inner = np.array([start for start in starts if 0 < start < 60_000])
    counts, _ = np.histogram(inner, bins=12, range=(0, 60_000))
    expected = counts.mean()
    assert ((counts - expected) ** 2 / expected).sum() < 31  # 11 degrees of freedom, p = 0.001


def test_training_starts_depend_on_seed_and_step_alone():
    forward = [training_start(7, step, 600_000, 114_000, 30_000) for step in range(20)]
    assert forward[::-1] == [training_start(7, step, 600_000, 114_000, 30_000) for step in reversed(range(20))]
    assert forward != [training_start(8, step, 600_000, 114_000, 30_000) for step in range(20)]
    assert len(set(forward)) > 14  # the first and the last part often start at the song's ends


@given(settings_of_a_song(), st.integers(0, 2**63), st.integers(0, 10**6))
def test_training_segments_lie_within_the_song(settings, seed, step):
    num_samples, warmup, length = settings
    start = training_start(seed, step, num_samples, length, warmup)
    assert start >= -warmup
    assert start + length <= num_samples or start == -warmup


def test_negative_seeds_and_steps_are_refused():
    with pytest.raises(SearchError, match="seed is -1 and step is 0"):
        training_start(-1, 0, 100_000, 20_000, 100)
    with pytest.raises(SearchError, match="seed is 0 and step is -4"):
        training_start(0, -4, 100_000, 20_000, 100)


@given(st.integers(1, 10**7), st.sampled_from([8000, 30000, 48000]), st.integers(1, 60))
def test_blocks_to_hear_tile_a_song_in_whole_seconds(num_samples: int, sample_rate: int, seconds: int) -> None:
    blocks = encoder_blocks(num_samples, sample_rate, seconds)
    ends = [start + length for start, length in blocks]
    assert [start for start, _ in blocks] == [0, *ends[:-1]]
    assert ends[-1] == num_samples
    assert all(0 < length <= (1.5 * seconds + 1) * sample_rate for _, length in blocks)
    assert all(length % sample_rate == 0 for _, length in blocks[:-1])


def test_a_song_of_three_quarters_of_a_minute_is_encoded_at_once() -> None:
    assert encoder_blocks(44 * 30000, 30000) == [(0, 44 * 30000)]
    assert len(encoder_blocks(240 * 30000, 30000)) == 8
