"""Ratios, distances and roles over songs, against SciPy and by hand."""

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from graphmix.evaluation.comparison import distances, ratios, role_levels
from graphmix.evaluation.mix_features import FEATURES
from graphmix.evaluation.scores import COLUMNS, Score


def scores() -> list[Score]:
    rng = np.random.default_rng(0)
    rows = []
    for song in range(6):
        wanted = dict.fromkeys(FEATURES, float(rng.normal()))
        for model, factor in (("levelled", 1.0), ("better", 0.5)):
            numbers: dict[str, float | None] = dict.fromkeys(COLUMNS)
            numbers |= {"audio_loss": factor * (1 + song), "track_level_lu": None if song else 3.0}
            features = dict.fromkeys(FEATURES, float(rng.normal()))
            roles = {"drums": [1.0, 3.0]} | ({"bass": [float(song)]} if song < 2 else {})
            rows.append(Score(model, f"song {song}", False, numbers, None, features, wanted, roles, "least squares"))
    return rows


def test_a_ratio_is_of_means_on_the_same_songs_and_its_interval_is_paired() -> None:
    found = ratios([s for s in scores() if s.song_id != "song 5" or s.model == "better"], "levelled")
    assert list(found) == ["better"]
    ratio = found["better"]["audio_loss"]
    assert ratio is not None
    assert (ratio.mean, ratio.low, ratio.high) == pytest.approx((0.5, 0.5, 0.5))
    assert found["better"]["audio_loss_levelled"] is None
    level = found["better"]["track_level_lu"]
    assert level is not None
    assert level.mean == pytest.approx(1.0)


def test_distances_are_those_of_scipy() -> None:
    rows = scores()
    found = distances(rows)
    for model in ("levelled", "better"):
        own = [s for s in rows if s.model == model]
        expected = wasserstein_distance([s.features["crest_db"] for s in own], [s.wanted["crest_db"] for s in own])
        distance = found[model]["crest_db"]
        assert distance is not None
        assert distance.mean == pytest.approx(expected)


def test_roles_are_means_of_songs_that_have_them() -> None:
    found = role_levels(scores())["better"]
    assert found["drums"] is not None
    assert found["bass"] is not None
    assert (found["drums"].mean, found["bass"].mean) == (2.0, 0.5)
