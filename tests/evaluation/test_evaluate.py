"""Scores of models on songs."""

from pathlib import Path

import pytest

from graphmix.errors import GraphmixError
from graphmix.evaluation.agreement import Counts, merge_agreements
from graphmix.evaluation.evaluate import (
    EvaluationSong,
    artists_of,
    evaluate,
    songs_to_evaluate,
)
from graphmix.evaluation.scores import COLUMNS, Score
from graphmix.models.config import model_config
from graphmix.models.mixing.estimator import Estimator, build_estimator
from graphmix.training.checkpoint import load_estimator
from tests.small_song import RATE, write_tiny_song
from tests.training.tiny_songbook import CHAIN, GRAPH


@pytest.fixture(scope="session")
def songs(songbook: Path) -> list[EvaluationSong]:
    return songs_to_evaluate(songbook)


@pytest.fixture(scope="session")
def models() -> dict[str, Estimator]:
    return {"sum": load_estimator("sum"), "graph": build_estimator(model_config(GRAPH)).eval()}


@pytest.fixture(scope="session")
def scores(models: dict[str, Estimator], songs: list[EvaluationSong]) -> list[Score]:
    return list(evaluate(models, songs, trained_on={"graph": frozenset({"artist ann"})}, chain=CHAIN))


def test_every_model_is_scored_on_every_song(scores: list[Score]) -> None:
    assert [(score.song_id, score.model) for score in scores] == [
        (f"song_{i}", name) for i in range(4) for name in ("sum", "graph")
    ]
    for score in scores:
        assert set(score.numbers) == set(COLUMNS)
        assert score.numbers["audio_loss"] is not None
        assert score.numbers["audio_loss"] > 0
        assert score.numbers["seconds"] is not None
        assert score.numbers["seconds"] > 0
        assert score.agreement is not None


def test_the_sum_keeps_nothing(scores: list[Score]) -> None:
    together = merge_agreements([s.agreement for s in scores if s.model == "sum" and s.agreement is not None])
    # 3 tracks and 2 buses; gains on all tracks, an equalizer in each song
    assert together.counts["gain"] == Counts(misses=12, true_drops=8)
    assert together.counts["equalizer"] == Counts(misses=4, true_drops=16)
    assert together.parameter_error is None


def test_songs_by_artists_of_the_training_are_marked(scores: list[Score]) -> None:
    marked = {score.song_id for score in scores if score.artist_in_training}
    assert marked == {"song_0", "song_1"}
    assert all(score.model == "graph" for score in scores if score.artist_in_training)


def test_a_model_that_answers_truly_is_perfect(songs: list[EvaluationSong]) -> None:
    class Oracle(Estimator):
        def forward_blocks(self, blocks):  # type: ignore[no-untyped-def]
            return songs[0].load(RATE)[1]

    oracle = Oracle(model_config({"name": "sum"}))
    oracle.rack = build_estimator(model_config(GRAPH)).rack
    (score,) = evaluate({"oracle": oracle}, songs[:1], chain=CHAIN)
    for name in ("audio_loss", "spectral_db", "loudness_lu", "width_db", "crest_db", "dynamics_db"):
        assert score.numbers[name] == pytest.approx(0, abs=0.02), name
    assert score.numbers["f1"] == 1
    assert score.numbers["parameter_error"] == pytest.approx(0, abs=1e-5)


def test_a_plain_song_is_scored_without_a_true_graph(tmp_path: Path, models: dict[str, Estimator]) -> None:
    folder = write_tiny_song(tmp_path / "tiny")
    (song,) = songs_to_evaluate(folder)
    (score,) = evaluate({"sum": models["sum"]}, [song])
    assert score.agreement is None
    assert score.numbers["f1"] is None
    assert score.numbers["audio_loss"] is not None


def test_a_folder_without_songs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GraphmixError):
        songs_to_evaluate(tmp_path)


def test_artists_are_read_from_a_description() -> None:
    assert artists_of({"training": {"artists": ["a", "b"]}}) == {"a", "b"}
    assert artists_of({"training": None}) == artists_of({}) == frozenset()
