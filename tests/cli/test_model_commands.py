"""``train``, ``predict`` and ``evaluate``: what they print and leave."""

import json
from pathlib import Path
from typing import Any

import pytest

from graphmix.cli.evaluate_command import run_evaluate
from graphmix.cli.predict_command import run_predict
from graphmix.cli.train_command import run_train
from graphmix.errors import GraphmixError
from tests.report.pages import check_page
from tests.small_song import write_tiny_song
from tests.training.tiny_songbook import write_tiny_songbook

CONFIG = """
[model]
name = "dmc"
chain = "g"
mels = 16
hidden = 8
layers = 1
encoder = { kind = "vggish", width = 2, embedding = 8 }

[data]
validation = 0.3
segment_seconds = 1.0
warmup_seconds = 0.3
validation_segments = 1

[training]
steps = 50
batch_size = 2
evaluate_every = 2
"""


@pytest.fixture(scope="module")
def songbook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_songbook(tmp_path_factory.mktemp("songbook"))


@pytest.fixture(scope="module")
def trained(songbook: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    (folder / "tiny.toml").write_text(CONFIG)
    run_train(str(folder / "tiny.toml"), folder / "dmc", [songbook], steps=2, device="cpu")
    return folder / "dmc"


def test_train_says_what_came_out_and_a_second_call_does_nothing(
    songbook: Path, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_train(str(trained.parent / "tiny.toml"), trained, [songbook], steps=2, device="cpu")
    out = capsys.readouterr().out
    assert "is finished already; nothing to do" in out
    assert "2 steps in" in out
    assert "best proposal" in out
    assert f"graphmix predict STEMS --model {trained}" in out
    config = json.loads((trained / "training.json").read_text())["config"]
    assert config["training"]["steps"] == 2
    assert config["data"]["songs"] == [str(songbook)]


def test_predict_says_what_it_made(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_predict(write_tiny_song(tmp_path / "song"), str(trained), tmp_path / "out", "cpu", report=False)
    out = capsys.readouterr().out
    assert "tiny: 2 tracks mixed by" in out
    assert "2 processors (2 gain)" in out
    assert "audio loss" in out
    assert (tmp_path / "out" / "mix.wav").exists()


def test_evaluate_prints_a_table_and_writes_the_rows(
    songbook: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_evaluate([str(trained), "sum"], songbook, tmp_path / "scores.json", device="cpu")
    out = capsys.readouterr().out
    assert "mean over 4 songs" in out
    for text in ("audio loss", "stereo width", "keep/drop F1", "seconds a song", "--held-out"):
        assert text in out
    assert len(json.loads((tmp_path / "scores.json").read_text())["songs"]) == 8


def test_evaluate_leaves_out_artists_of_the_training(
    songbook: Path, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    songs = json.loads((trained / "training.json").read_text())["songs"]
    run_evaluate([str(trained)], songbook, held_out=True, device="cpu")
    assert f"mean over {songs['validation']} songs" in capsys.readouterr().out


def test_bad_input_is_refused_before_the_work(songbook: Path, trained: Path, tmp_path: Path) -> None:
    with pytest.raises(GraphmixError, match=r"ends in .*\.csv.* \.json"):
        run_evaluate(["sum"], songbook, tmp_path / "scores.txt")
    (tmp_path / "mine.csv").write_text("precious")
    with pytest.raises(GraphmixError, match=r"mine.csv exists already; .* --force"):
        run_evaluate(["sum"], songbook, tmp_path / "mine.csv")
    with pytest.raises(GraphmixError, match="there is no model 'bach'"):
        run_evaluate(["bach"], songbook)
    with pytest.raises(GraphmixError, match="there is no configuration 'bach'"):
        run_train("bach", tmp_path / "out", [songbook])
    with pytest.raises(GraphmixError, match=r"the options: training\.steps is -1"):
        run_train("dmc-gain", tmp_path / "out", [songbook], steps=-1)
    assert not (tmp_path / "out").exists()


# --- through the program


def test_the_program_trains_predicts_evaluates_and_mines(
    program: Any, songbook: Path, trained: Path, tmp_path: Path
) -> None:
    """Options reach the functions: each command does its work on what the last one left."""
    options = ["--steps", 1, "--seed", 3, "--device", "cpu", "--precision", "32-true"]
    outcome = program("train", trained.parent / "tiny.toml", "--songs", songbook, "--out", tmp_path / "dmc", *options)
    assert (outcome.status, outcome.err) == (0, "")
    config = json.loads((tmp_path / "dmc" / "training.json").read_text())["config"]
    assert (config["training"]["steps"], config["training"]["seed"]) == (1, 3)
    dry, mixed = songbook / "song_0" / "dry", tmp_path / "mixed"
    outcome = program("predict", dry, "--model", tmp_path / "dmc", "-o", mixed, "--report")
    assert (outcome.status, outcome.err) == (0, "")
    assert (mixed / "graph.safetensors").exists()
    assert check_page(mixed / "report.html", "model's mix", "plain sum", "equal loudness")["tracks"]
    outcome = program(
        "evaluate", tmp_path / "dmc", "sum", "--songs", songbook, "--held-out", "--out", tmp_path / "s.csv"
    )
    assert (outcome.status, outcome.err) == (0, "")
    assert "sum" in (tmp_path / "s.csv").read_text()


def test_mine_takes_a_model_as_its_start(
    program: Any, songbook: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    def stop(*args: object, start: Any, **options: object) -> None:
        seen["start"] = start
        raise KeyboardInterrupt

    monkeypatch.setattr("graphmix.search.mine", stop)
    command = ("mine", songbook / "song_0", "--out", tmp_path / "out", "--start")
    assert program(*command, f"estimator:{trained}").status == 130
    assert seen["start"].name == f"estimator:{trained}"
    outcome = program(*command, "nearest")
    assert outcome.status == 2
    assert outcome.err == "graphmix: there is no start 'nearest'; give levels, estimator, or estimator:MODEL.\n"


def test_predict_keeps_what_is_decided_and_refuses_what_it_does_not_know(trained: Path, tmp_path: Path) -> None:
    song = write_tiny_song(tmp_path / "song")
    run_predict(song, str(trained), tmp_path / "out", report=False, keep=["2_bass=fader:-3"])
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["kept"] == {"2_bass.wav": {"fader_db": -3.0}}
    with pytest.raises(GraphmixError, match=r"'drums' is none of the tracks; the tracks are: 2_bass\.wav"):
        run_predict(song, str(trained), tmp_path / "other", report=False, keep=["drums=off"])
    with pytest.raises(GraphmixError, match="has one proposal for a song"):
        run_predict(song, str(trained), tmp_path / "other", report=False, variants=2)
    assert not (tmp_path / "other").exists()
