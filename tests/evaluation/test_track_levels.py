"""Relative levels of tracks: by a graph, by least squares, of what was mined."""

import json
from pathlib import Path

import pytest
import torch

from graphmix.audio import Song, load_song
from graphmix.audio.loudness import loudness
from graphmix.errors import GraphError
from graphmix.evaluation.evaluate import evaluate, songs_to_evaluate
from graphmix.evaluation.human_mix import MINED, HumanMix, MinedFolder
from graphmix.evaluation.track_levels import LEAST_LU, level_error, levels_of_graph, levels_of_mix, role_errors
from graphmix.graph.storage import save_graph
from graphmix.training.checkpoint import load_estimator
from tests.small_song import GAINS_DB, RATE, dry_tracks, hidden_graph, mixed, write_song


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Song:
    tracks = dry_tracks()
    folder = write_song(tmp_path_factory.mktemp("levels") / "song", tracks, mixed(hidden_graph(False), tracks))
    return load_song(folder, RATE)


def test_graph_and_least_squares_agree_where_the_mix_is_gains_alone(song: Song) -> None:
    by_graph, by_fit = levels_of_graph(hidden_graph(False), song), levels_of_mix(song)
    mix = song.read_mix(0, song.num_samples)
    for name, audio in dry_tracks().items():
        gains = 10 ** (torch.tensor(GAINS_DB[name]) / 20)
        expected = loudness(audio * gains[:, None], RATE) - loudness(mix, RATE)
        assert by_graph.levels[name] == pytest.approx(expected, abs=0.01)
        assert by_fit.levels[name] == pytest.approx(expected, abs=0.1)
    assert level_error(by_fit, by_graph) < 0.1
    assert set(role_errors(by_fit, by_graph)) == {"drums", "bass", "lead vocals"}


def test_the_level_of_the_master_cancels_and_a_muted_track_has_the_least(song: Song) -> None:
    graph = hidden_graph(False)
    graph.params["gain"] = graph.params["gain"] - 7.0
    assert levels_of_graph(graph, song).levels == pytest.approx(
        levels_of_graph(hidden_graph(False), song).levels, abs=0.01
    )
    graph.params["gain"][0] = -120.0
    assert levels_of_graph(graph, song).levels["1_drum.wav"] == LEAST_LU


def test_what_was_mined_is_evaluated_beside_the_models(song: Song, tmp_path: Path) -> None:
    (tmp_path / "mined").mkdir()
    save_graph(hidden_graph(False), tmp_path / "mined" / "graph.safetensors")
    metrics = {"song": song.name, "source": {"mix": str(song.mix.path) if song.mix else "", "tracks": {}}}
    (tmp_path / "mined" / "metrics.json").write_text(json.dumps(metrics))
    mined = MinedFolder(tmp_path / "mined")
    scores = list(evaluate({"sum": load_estimator("sum")}, songs_to_evaluate(song.folder), mined=mined))
    assert [score.model for score in scores] == ["sum", MINED]
    assert scores[0].level_source == "mined graph"
    assert scores[1].numbers["audio_loss"] == pytest.approx(0, abs=1e-3)
    assert scores[1].numbers["track_level_lu"] == pytest.approx(0, abs=1e-2)
    assert (scores[0].numbers["audio_loss_levelled"] or 0) > 0.01
    assert HumanMix(song).level_source == "least squares"


def test_a_folder_without_mined_songs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match="holds no song that was mined"):
        MinedFolder(tmp_path)
