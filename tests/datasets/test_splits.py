"""Splits by artist: complete, without overlap, near their shares, and the same every time."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphmix.datasets.splits import RATIOS, SPLITS, artist_key, split_by_artist
from graphmix.errors import GraphError

artist_lists = st.lists(st.integers(0, 40).map(lambda i: f"artist {i}"), min_size=1, max_size=200)
ratios = st.tuples(*[st.sampled_from([0.0, 0.1, 0.3, 1.0, 8.0])] * 3).filter(lambda r: sum(r) > 0)


@settings(max_examples=150, deadline=None)
@given(artist_lists, ratios, st.integers(0, 5))
def test_no_artist_is_in_two_splits_and_none_with_a_share_is_empty(
    artists: list[str], ratios: tuple[float, ...], seed: int
) -> None:
    wanted = [name for name, ratio in zip(SPLITS, ratios, strict=True) if ratio > 0]
    if len(set(artists)) < len(wanted):
        with pytest.raises(GraphError, match=r"\d+ artists cannot be split into \d sets"):
            split_by_artist(artists, ratios, seed)
        return
    labels = split_by_artist(artists, ratios, seed)
    assert len(labels) == len(artists)
    assert set(labels) == set(wanted)
    assert len(set(zip(artists, labels, strict=True))) == len(set(artists))


def test_shares_are_met_where_artists_are_small() -> None:
    artists = [f"artist {i // 3}" for i in range(3000)]
    labels = split_by_artist(artists, RATIOS, seed=0)
    shares = [labels.count(name) / len(labels) for name in SPLITS]
    assert shares == pytest.approx(RATIOS, abs=0.002)


def test_the_order_of_graphs_does_not_matter_and_the_seed_does() -> None:
    artists = [f"artist {i % 50}" for i in range(200)]
    first = dict(zip(artists, split_by_artist(artists, seed=1), strict=True))
    again = dict(zip(artists[::-1], split_by_artist(artists[::-1], seed=1), strict=True))
    other = dict(zip(artists, split_by_artist(artists, seed=2), strict=True))
    assert first == again
    assert first != other


def test_a_dataset_that_grows_a_little_keeps_most_artists_where_they_are() -> None:
    artists = [f"artist {i}" for i in range(200)]
    before = split_by_artist(artists)
    after = split_by_artist([*artists, "new 1", "new 2"])[:200]
    assert sum(a != b for a, b in zip(before, after, strict=True)) <= 4


def test_names_are_compared_without_case_and_spaces_and_unknown_artists_are_their_own() -> None:
    assert artist_key("The  Band ", "a", "x") == artist_key("the band", "b", "y")
    assert artist_key(None, "a", "x") != artist_key(None, "b", "x")
    assert artist_key(None, "a", "x") == artist_key("", "a", "x") != artist_key(None, "a", "y")
    assert artist_key("song x/a", "b") != artist_key(None, "a", "x")


@pytest.mark.parametrize("ratios", [(0, 0, 0), (1, -1, 1), (1, 1), (float("inf"), 0, 1), (float("nan"), 1, 1)])
def test_ratios_that_are_no_shares_are_refused(ratios: tuple[float, ...]) -> None:
    with pytest.raises(GraphError, match="the ratios of the splits are"):
        split_by_artist(["a", "b", "c"], ratios)
