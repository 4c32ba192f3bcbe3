"""Tracks in an order that follows from their sound."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphmix.audio.subgroups import DEFAULT_BUS, UNGROUPED_BUS
from graphmix.errors import SongError
from graphmix.models.mixing.canonical import (
    EmbeddedSong,
    block_weights,
    canonical_buses,
    canonical_song,
    join_blocks,
    mean_level,
)
from tests.models.small_stems import make_stems, with_silent_track

STEMS = make_stems(6, seconds=0.1, silent=(1,))


@settings(deadline=None, max_examples=30)
@given(order=st.permutations(range(6)))
def test_the_order_does_not_depend_on_how_tracks_are_given(order: list[int]) -> None:
    one, other = canonical_song(STEMS), canonical_song(STEMS.permuted(order))
    assert one.names == other.names
    assert one.silent == other.silent == ("track 1",)
    assert torch.equal(one.audio, other.audio)


def test_equal_tracks_stand_in_the_order_of_their_names() -> None:
    audio = STEMS.audio[:1].expand(3, -1, -1)
    stems = replace(STEMS, audio=audio, names=("b", "c", "a"), subgroups=None)
    assert canonical_song(stems).names == ("a", "b", "c")


def test_silent_tracks_change_nothing_but_their_list() -> None:
    one, other = canonical_song(STEMS), canonical_song(with_silent_track(STEMS))
    assert (one.names, one.digests) == (other.names, other.digests)
    assert other.silent == ("nothing", "track 1")


def test_features_follow_their_tracks() -> None:
    features = torch.arange(6.0)[:, None, None, None].expand(-1, 2, 3, 4)
    song = canonical_song(replace(STEMS, features=features).permuted([5, 4, 3, 2, 1, 0]))
    assert song.features is not None
    assert [f"track {int(row)}" for row in song.features[:, 0, 0, 0]] == list(song.names)


def test_buses_come_in_the_order_of_their_first_track() -> None:
    groups = {"strings": ["a", "gone"], "drums": ["d", "b"], "empty": []}
    assert canonical_buses(("d", "a", "b"), groups) == {"drums": ("d", "b"), "strings": ("a",)}


def test_tracks_in_no_subgroup_share_a_bus() -> None:
    assert canonical_buses(("d", "a"), {"drums": ["d"]}) == {"drums": ("d",), UNGROUPED_BUS: ("a",)}


def test_unknown_subgroups_are_one_bus() -> None:
    assert canonical_buses(("d", "a"), None) == {DEFAULT_BUS: ("d", "a")}
    assert canonical_buses((), None) == {}


def embedded(names: str, values: list[float], silent: str = "", samples: int = 1) -> EmbeddedSong:
    digests = tuple(f"{name}{value}".encode() for name, value in zip(names, values, strict=True))
    return EmbeddedSong(tuple(names), digests, tuple(silent), None, torch.tensor(values)[:, None], None, samples)


def test_blocks_are_averaged_by_their_length_where_a_track_is_active() -> None:
    joined = join_blocks([embedded("ab", [1.0, 5.0], "c", samples=3), embedded("b", [9.0], "ac", samples=1)])
    assert joined.silent == ("c",)
    assert dict(zip(joined.names, joined.tracks[:, 0].tolist(), strict=True)) == {"a": 1.0, "b": 6.0}
    assert joined.samples == 4


def test_blocks_far_below_the_loudest_count_by_their_power() -> None:
    loud, quiet, off = embedded("a", [1.0]), embedded("a", [5.0]), embedded("a", [9.0])
    energies = {"loud": 1.0, "quiet": 0.2, "off": 1e-6}
    blocks = [
        replace(block, energy=torch.tensor([energy], dtype=torch.float64))
        for block, energy in zip((loud, quiet, off), energies.values(), strict=True)
    ]
    assert float(join_blocks(blocks).tracks) == pytest.approx(3.0, abs=1e-4)
    assert block_weights([2, 2], [0.0, 0.0]) == [2.0, 2.0]


def test_levels_are_averaged_over_powers() -> None:
    level = mean_level([torch.tensor(-20.0), torch.tensor(-80.0)], [1.0, 1.0])
    assert float(level) == pytest.approx(-23.01, abs=0.01)


def test_a_muted_mix_adds_nothing() -> None:
    blocks = [
        replace(embedded("a", [1.0]), mix=torch.tensor([value]), mix_energy=energy)
        for value, energy in ((2.0, 1.0), (7.0, 0.0))
    ]
    assert join_blocks(blocks).mix == torch.tensor([2.0])


def test_the_order_of_joined_blocks_does_not_depend_on_that_within_them() -> None:
    one = join_blocks([embedded("ab", [1.0, 5.0]), embedded("ab", [2.0, 3.0])])
    other = join_blocks([embedded("ba", [5.0, 1.0]), embedded("ba", [3.0, 2.0])])
    assert one.names == other.names
    assert torch.equal(one.tracks, other.tracks)


def test_blocks_of_different_tracks_are_refused() -> None:
    with pytest.raises(SongError, match="different tracks"):
        join_blocks([embedded("ab", [1.0, 5.0]), embedded("a", [1.0])])
    with pytest.raises(SongError, match="no blocks"):
        join_blocks([])
