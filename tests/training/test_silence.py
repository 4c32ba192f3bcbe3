"""Songs with silence: training, prediction, evaluation and starts end well, in finite numbers, without a warning."""

import json
import math
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
import torch

from graphmix.audio import load_song, read_audio
from graphmix.evaluation.evaluate import evaluate, songs_to_evaluate
from graphmix.evaluation.scores import save_scores
from graphmix.graph.consoles import mixing_console
from graphmix.graph.mixgraph import MixGraph
from graphmix.models.config import model_config
from graphmix.models.mixing.estimator import build_estimator
from graphmix.processors.rack import Rack
from graphmix.search.objective import Objective
from graphmix.training.checkpoint import load_estimator
from graphmix.training.data import SongSegments, songs_in
from graphmix.training.estimator_start import EstimatorStart, segment_to_compare
from graphmix.training.losses import audio_loss, song_level_of
from graphmix.training.prediction import predict
from graphmix.training.trainer import train
from tests.quiet_songs import KINDS, RATE, write_quiet_songs
from tests.training.tiny_songbook import CHAIN, DMC, GRAPH, WAVEUNET, tiny_config

pytestmark = [
    pytest.mark.filterwarnings("error"),
    pytest.mark.filterwarnings("ignore:.*torch.jit.script.*"),
]
STATISTICS: dict[str, Any] = {**GRAPH, "encoder": {"kind": "statistics", "width": 1, "embedding": 8}}
RESPONSES: dict[str, Any] = {**STATISTICS, "reverse": True, "responses": True}


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_quiet_songs(tmp_path_factory.mktemp("quiet"))


def folder_of(quiet: Path, kind: str) -> Path:
    return quiet / kind.replace(" ", "_")


def assert_finite(value: Any, where: str = "") -> None:
    if isinstance(value, dict):
        for key, entry in value.items():
            assert_finite(entry, f"{where}.{key}")
    elif isinstance(value, list):
        for entry in value:
            assert_finite(entry, where)
    elif isinstance(value, float):
        assert math.isfinite(value), where


def sounds(graph: MixGraph) -> bool:
    return all(bool(values.isfinite().all()) for values in (*graph.params.values(), graph.wet))


@pytest.mark.parametrize(
    ("kind", "model"), list(zip(KINDS[1::2], cycle([STATISTICS, {**RESPONSES, "gain_staging": True}]), strict=False))
)
def test_predictions_are_finite(quiet: Path, tmp_path: Path, kind: str, model: dict[str, Any]) -> None:
    predicted = predict(folder_of(quiet, kind), build_estimator(model_config(model)), tmp_path / "out", plots=False)
    assert_finite(json.loads((tmp_path / "out" / "metrics.json").read_text()))
    assert predicted.metrics["against_mix"]["audio_loss"] < 15 or kind == "mono mix"  # its side is silent throughout
    assert bool(read_audio(tmp_path / "out" / "mix.wav").isfinite().all())
    assert predicted.proposal.graph is not None
    assert sounds(predicted.proposal.graph)


def test_pictures_of_songs_with_silence_are_drawn(quiet: Path, tmp_path: Path) -> None:
    predict(folder_of(quiet, "break"), load_estimator("loudness_sum"), tmp_path / "out")
    assert (tmp_path / "out" / "plots" / "spectrograms.png").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_starts_are_finite(quiet: Path, kind: str) -> None:
    song = load_song(folder_of(quiet, kind), RATE)
    rack = Rack.console(CHAIN, RATE)
    console = mixing_console(rack, song.subgroups, CHAIN)
    assert sounds(EstimatorStart(build_estimator(model_config(RESPONSES)))(console, song, rack))


@pytest.mark.parametrize(("kind", "expected"), [("start", 1), ("break", 1), ("end", 0), ("hiss", 1)])
def test_starts_are_compared_where_the_mix_sounds(quiet: Path, kind: str, expected: int) -> None:
    """Segments of 2.8 s; the middle one is silent where the song ends after two seconds."""
    objective = Objective(load_song(folder_of(quiet, kind), RATE), Rack.console(CHAIN, RATE))
    segment = segment_to_compare(objective)
    assert objective.segments.index(segment) == expected


def test_evaluations_are_finite(quiet: Path, tmp_path: Path) -> None:
    """The models take the songs in turn."""
    models = {"loudness_sum": load_estimator("loudness_sum"), "graph": build_estimator(model_config(STATISTICS)).eval()}
    songs = songs_to_evaluate(quiet)
    scores = [
        score
        for place, (name, model) in enumerate(models.items())
        for score in evaluate({name: model}, songs[place :: len(models)], chain=CHAIN)
    ]
    assert len(scores) == len(KINDS)
    for score in scores:
        assert_finite(dict(score.numbers), f"{score.model} {score.song_id}")
        assert score.numbers["audio_loss"] is not None
        assert score.numbers["audio_loss"] < 10 or score.song_id == "mono_mix", score
    assert "NaN" not in save_scores(scores, tmp_path / "scores.json").read_text()


@pytest.mark.parametrize(
    ("model", "loss", "data"),
    [
        (DMC, {}, {}),
        (STATISTICS, {"audio": 1.0, "keep": 1.0, "coefficients": 1.0}, {"encode": "song"}),
        (RESPONSES, {"audio": 0.0, "keep": 1.0, "wet": 1.0}, {}),
        pytest.param(WAVEUNET, {}, {}, marks=pytest.mark.slow),
        pytest.param({"name": "nearest_song", "chain": CHAIN}, {}, {}, marks=pytest.mark.slow),
        pytest.param({"name": "loudness_sum"}, {}, {}, marks=pytest.mark.slow),
    ],
    ids=["dmc", "graph", "reverse", "waveunet", "nearest", "loudness"],
)
def test_trainings_are_finite(
    quiet: Path, tmp_path: Path, model: dict[str, Any], loss: dict[str, float], data: dict[str, Any]
) -> None:
    trained = train(tiny_config(quiet, model, loss=loss, data=data), tmp_path / "out")
    assert trained.facts["skipped_steps"] == 0
    assert_finite(trained.facts)
    assert all(value.isfinite().all() for value in trained.estimator.state_dict().values())


@pytest.mark.parametrize("kind", ["muted mix", "faded mix"])
def test_a_silent_segment_of_a_song_costs_no_more_than_one_that_sounds(quiet: Path, kind: str) -> None:
    """The tracks go on under it; the paper's loss is 47 and more there."""
    index = sorted(k.replace(" ", "_") for k in KINDS).index(kind.replace(" ", "_"))
    songs = SongSegments(songs_in([quiet]), RATE, segment_seconds=1.5, warmup_seconds=0.5)
    assert songs.records[index].song_id == kind.replace(" ", "_")
    costs = []
    for start in (0, 4 * RATE):
        example = songs.cut(index, start)
        prediction = example.audible.audio.sum(0)
        costs.append(float(audio_loss(prediction, example.audible, example.warmup, RATE, song_level_of(example, RATE))))
        paper = float(audio_loss(prediction, example.audible, example.warmup, RATE))
    assert costs[1] < 2 * costs[0]
    assert paper > 20


def test_a_loss_of_silence_has_a_finite_gradient(quiet: Path) -> None:
    songs = SongSegments(songs_in([quiet]), RATE, segment_seconds=1.5, warmup_seconds=0.5)
    for index in range(len(songs)):
        example = songs.cut(index, 4 * RATE)
        gain = torch.ones(len(example.audible.names), 1, 1, requires_grad=True)
        prediction = (gain * example.audible.audio).sum(0)
        audio_loss(prediction, example.audible, example.warmup, RATE, song_level_of(example, RATE)).backward()
        assert gain.grad is not None
        assert bool(gain.grad.isfinite().all())
