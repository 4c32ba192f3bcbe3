"""Features: computed once, of segments or of whole songs, within the memory that they may take."""

from pathlib import Path

import pytest
import torch

from graphmix.errors import GraphmixError
from graphmix.models.mixing.estimator import Estimator, build_estimator
from graphmix.models.mixing.stems import Stems
from graphmix.training.data import SongSegments, songs_in
from graphmix.training.features import FeatureStore, SongFeatures
from tests.small_song import RATE
from tests.training.tiny_songbook import DMC, GRAPH, LEVELS, tiny_config


@pytest.fixture
def songs(songbook: Path) -> SongSegments:
    return SongSegments(songs_in([songbook]), RATE, segment_seconds=1.0, warmup_seconds=0.3)


def built(songbook: Path, model: dict[str, object]) -> Estimator:
    return build_estimator(tiny_config(songbook, model).model).eval()


class Counting:
    """An estimator's method that counts its calls."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, estimator: Estimator, name: str) -> None:
        self.calls, self.method = 0, getattr(estimator, name)
        monkeypatch.setattr(estimator, name, self)

    def __call__(self, *args: object) -> object:
        self.calls += 1
        return self.method(*args)


def test_features_that_come_again_are_computed_once(
    songbook: Path, songs: SongSegments, monkeypatch: pytest.MonkeyPatch
) -> None:
    estimator = built(songbook, GRAPH)
    (example,) = songs.fixed(0, 1)
    fresh = FeatureStore(estimator, 0).with_features(example).features
    store, counting = FeatureStore(estimator), Counting(monkeypatch, estimator, "features")
    first, second = (store.with_features(example).features for _ in range(2))
    assert counting.calls == 1
    assert first is not None
    assert second is not None
    assert fresh is not None
    assert torch.equal(first, second)
    assert torch.equal(first, fresh)


@pytest.mark.parametrize("model", [DMC, LEVELS], ids=["vggish", "statistics"])
def test_segments_of_a_song_that_is_encoded_whole_have_equal_embeddings(
    songbook: Path, songs: SongSegments, model: dict[str, object]
) -> None:
    estimator = built(songbook, model)
    store = FeatureStore(estimator)
    store.encode_songs(songs)
    whole = estimator.embed([Stems.from_song(songs.song(1))])[0]
    for start in (0, 9000):
        (found,) = store.embed([songs.cut(1, start)])
        assert found.names == whole.names
        assert torch.equal(found.tracks, whole.tracks)


def test_of_a_long_song_the_block_around_a_segment_is_encoded(songbook: Path, songs: SongSegments) -> None:
    estimator = built(songbook, LEVELS)
    store = FeatureStore(estimator)
    store.encode_songs(songs, block_seconds=1)
    halves = [estimator.embed([Stems.from_song(songs.song(1), start, RATE)])[0].tracks for start in (0, RATE)]
    assert not torch.equal(*halves)
    for start, half in ((-9000, 0), (RATE // 2 - 1, 0), (RATE // 2, 1), (RATE, 1)):
        (found,) = store.embed([songs.cut(1, start)])
        assert torch.equal(found.tracks, halves[half])


def test_features_computed_before_are_not_computed_again(
    songbook: Path, songs: SongSegments, monkeypatch: pytest.MonkeyPatch
) -> None:
    known: SongFeatures = {}
    FeatureStore(built(songbook, LEVELS)).encode_songs(songs, known=known)
    assert len(known) == len(songs)
    second = built(songbook, LEVELS)
    counting = Counting(monkeypatch, second, "analyze")
    FeatureStore(second).encode_songs(songs, known=known)
    assert counting.calls == 0
    FeatureStore(built(songbook, {**LEVELS, "mels": 20})).encode_songs(songs, known=known)  # other features
    assert len(known) == 2 * len(songs)


def test_features_of_whole_songs_need_room(songbook: Path, songs: SongSegments) -> None:
    store = FeatureStore(built(songbook, DMC), size_bytes=100)
    with pytest.raises(GraphmixError, match=r"the features of 1 of 4 songs take all .* set data.encode to"):
        store.encode_songs(songs)
