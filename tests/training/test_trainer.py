"""The loop: its files, stopping and resuming, on tiny models and songs of two seconds."""

import csv
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from graphmix.audio import Song
from graphmix.errors import GraphmixError
from graphmix.models.mixing.baselines import MeanParameters
from graphmix.models.mixing.estimator import MODELS
from graphmix.models.mixing.nearest_song import NearestSong
from graphmix.models.mixing.stems import Stems
from graphmix.models.mixing.waveunet import MixWaveUNet, MixWaveUNetConfig
from graphmix.training.checkpoint import load_estimator, read_description
from graphmix.training.config import RunConfig
from graphmix.training.trainer import rate_at, train
from tests.training.tiny_songbook import AUTOREGRESSIVE, CHAIN, DMC, GRAPH, LEVELS, WAVEUNET, tiny_config

FILES = {"run.json", "model.json", "model.safetensors", "training.json", "log"}


class Witness:
    """A listener that remembers, and presses Ctrl-C after some steps."""

    def __init__(self, interrupt_at: int | None = None) -> None:
        self.phases: list[str] = []
        self.steps: list[int] = []
        self.interrupt_at = interrupt_at

    def phase(self, name: str, total: int | None, done: int = 0) -> None:
        self.phases.append(name)

    def progress(self, done: int, total: int | None = None, **numbers: float) -> None:
        if "loss" in numbers:
            self.steps.append(done)
            if done == self.interrupt_at:
                os.kill(os.getpid(), signal.SIGINT)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_estimator(folder).state_dict()


def test_a_training_leaves_model_log_and_result(songbook: Path, tmp_path: Path) -> None:
    witness = Witness()
    trained = train(tiny_config(songbook, DMC), tmp_path / "out", listener=witness)
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    assert witness.steps == [1, 2, 3, 4]
    facts = json.loads((tmp_path / "out" / "training.json").read_text())
    assert facts == trained.facts
    assert facts["steps"] == 4
    assert [entry["step"] for entry in facts["evaluations"]] == [0, 2, 4]
    values = [entry["proposal"] for entry in facts["evaluations"]]
    assert facts["value"] == min(values)
    assert facts["step"] == 2 * values.index(min(values))
    assert sum(facts["songs"].values()) == 4
    description = read_description(tmp_path / "out" / "model.json")
    assert description["training"]["value"] == facts["value"]
    assert set(description["training"]["artists"]) < {"artist ann", "artist bob", "artist cyd"}
    with open(tmp_path / "out" / "log" / "from_0" / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {int(row["step"]) for row in rows} == {0, 1, 2, 3, 4}
    assert any(row["validation/proposal"] for row in rows)
    assert any(row["train/total"] for row in rows)


def test_sound_is_rendered_after_the_share_of_the_steps_that_was_asked_for(songbook: Path, tmp_path: Path) -> None:
    training = {"audio_after": 0.5, "log_every": 1}
    trained = train(tiny_config(songbook, GRAPH, loss={"audio": 1, "keep": 1}, training=training), tmp_path / "out")
    with open(tmp_path / "out" / "log" / "from_0" / "metrics.csv", newline="") as file:
        rows = {int(row["step"]): row for row in csv.DictReader(file) if row["train/total"]}
    assert [bool(rows[step].get("train/audio")) for step in (1, 2, 3, 4)] == [False, False, True, True]
    assert float(rows[2]["train/total"]) == pytest.approx(float(rows[2]["train/keep"]))
    assert all(entry["audio"] > 0 for entry in trained.facts["evaluations"])


def test_whole_songs_are_encoded_before_the_first_step(songbook: Path, tmp_path: Path) -> None:
    witness = Witness()
    trained = train(tiny_config(songbook, LEVELS, data={"encode": "song"}), tmp_path / "out", listener=witness)
    assert witness.phases.count("encoding the songs") == 2
    assert trained.facts["steps"] == 4


def test_a_training_changes_the_weights_and_lowers_the_loss(songbook: Path, tmp_path: Path) -> None:
    training = {"steps": 20, "evaluate_every": 20, "learning_rate": 0.02, "watch": "total"}
    trained = train(tiny_config(songbook, DMC, training=training), tmp_path / "out")
    first, last = (entry["total"] for entry in trained.facts["evaluations"])
    assert last < first


def test_the_same_seed_gives_the_same_weights_and_another_one_others(songbook: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(tiny_config(songbook, DMC, training={"steps": 2, "seed": seed, "watch": "total"}), tmp_path / name)
    one, same, other = (weights(tmp_path / name) for name in "abc")
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_training_leaves_the_random_numbers_of_its_caller_alone(songbook: Path, tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(tiny_config(songbook, DMC, training={"steps": 1}), tmp_path / "out")
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("model", [pytest.param(DMC, marks=pytest.mark.slow), GRAPH], ids=["dmc", "graph"])
def test_a_training_that_was_interrupted_ends_in_the_same_numbers(
    songbook: Path, tmp_path: Path, model: dict[str, Any]
) -> None:
    config = tiny_config(songbook, model, training={"steps": 6, "evaluate_every": 4})
    train(config, tmp_path / "whole")
    witness = Witness(interrupt_at=3)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "parts", listener=witness)
    assert witness.steps == [1, 2, 3]
    assert (tmp_path / "parts" / "state.safetensors").exists()
    assert not (tmp_path / "parts" / "training.json").exists()
    witness = Witness()
    train(config, tmp_path / "parts", listener=witness)
    assert witness.steps == [4, 5, 6]
    assert {path.name for path in (tmp_path / "parts").iterdir()} == FILES
    assert {path.name for path in (tmp_path / "parts" / "log").iterdir()} == {"from_0", "from_3"}
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert all(torch.equal(one[name], other[name]) for name in one)
    evaluations = [
        json.loads((tmp_path / name / "training.json").read_text())["evaluations"] for name in ("whole", "parts")
    ]
    assert evaluations[0] == evaluations[1]


def test_a_finished_training_is_left_alone(songbook: Path, tmp_path: Path) -> None:
    config = tiny_config(songbook, DMC, training={"steps": 1})
    train(config, tmp_path / "out")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    witness = Witness()
    again = train(config, tmp_path / "out", listener=witness)
    assert again.already_done
    assert witness.phases == []
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == times


def test_patience_ends_a_training_that_does_not_get_better(songbook: Path, tmp_path: Path) -> None:
    training = {"steps": 50, "evaluate_every": 1, "patience": 2, "learning_rate": 1e-12, "watch": "total"}
    trained = train(tiny_config(songbook, WAVEUNET, training=training), tmp_path / "out")
    assert trained.facts["stopped_early"]
    assert trained.facts["steps"] == 2


def test_without_held_out_songs_the_training_loss_is_watched(songbook: Path, tmp_path: Path) -> None:
    trained = train(tiny_config(songbook, DMC, data={"validation": 0.0}), tmp_path / "out")
    assert trained.facts["songs"] == {"train": 4, "validation": 0, "test": 0}
    first, *later = trained.facts["evaluations"]
    assert first["total"] is None
    assert all(entry["total"] > 0 for entry in later)
    assert trained.facts["value"] == min(entry["total"] for entry in later)


@pytest.mark.parametrize(
    ("model", "loss"),
    [
        (GRAPH, {"keep": 1.0, "wet": 0.5, "coefficients": 0.5}),
        ({**GRAPH, "head": "joint", "gnn": "gatv2", "reverse": True}, {"audio": 0.0, "keep": 1.0}),
        (AUTOREGRESSIVE, {"audio": 0.0, "sequence": 1.0}),
        (WAVEUNET, {}),
    ],
    ids=["graph", "reverse", "autoregressive", "waveunet"],
)
def test_every_kind_of_model_trains(
    songbook: Path, tmp_path: Path, model: dict[str, Any], loss: dict[str, float]
) -> None:
    trained = train(tiny_config(songbook, model, loss=loss, training={"steps": 2}), tmp_path / "out")
    assert trained.facts["steps"] == 2
    assert trained.facts["skipped_steps"] == 0
    assert trained.estimator.config.name == model["name"]


@pytest.mark.parametrize("name", ["mean_parameters", "nearest_song", "loudness_sum", "sum"])
def test_baselines_are_fitted_without_steps(songbook: Path, tmp_path: Path, name: str) -> None:
    model = {"name": name} if "sum" in name else {"name": name, "chain": CHAIN}
    trained = train(tiny_config(songbook, model), tmp_path / "out")
    assert (trained.facts["steps"], trained.facts["parameters"]) == (0, 0)
    assert not trained.facts["stopped_early"]
    if isinstance(trained.estimator, MeanParameters):
        assert trained.estimator.keep[0, 1] == 1  # every track has a gain
    if isinstance(trained.estimator, NearestSong):
        assert trained.estimator.song_vectors.size(0) == trained.facts["songs"]["train"]


def test_several_processes_may_decode(songbook: Path, tmp_path: Path) -> None:
    for name, workers in (("none", 0), ("one", 1)):
        config = tiny_config(songbook, DMC, data={"workers": workers}, training={"steps": 2, "watch": "total"})
        train(config, tmp_path / name)
    one, other = weights(tmp_path / "none"), weights(tmp_path / "one")
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_tensorboard_gets_a_log(songbook: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    train(tiny_config(songbook, DMC, training={"steps": 1, "logs": ["csv", "tensorboard"]}), tmp_path / "out")
    names = [path.name for path in (tmp_path / "out" / "log" / "from_0").iterdir()]
    assert any(name.startswith("events.out.tfevents") for name in names)
    assert "metrics.csv" in names


# --- bad input


def test_another_configuration_is_refused(songbook: Path, tmp_path: Path) -> None:
    train(tiny_config(songbook, DMC, training={"steps": 1}), tmp_path / "out")
    with pytest.raises(GraphmixError, match=r"holds a training with training.steps = 1, not 2"):
        train(tiny_config(songbook, DMC, training={"steps": 2}), tmp_path / "out")


def test_a_folder_of_an_older_graphmix_without_a_new_key_is_resumed(songbook: Path, tmp_path: Path) -> None:
    config = tiny_config(songbook, DMC, training={"steps": 2})
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "out", listener=Witness(interrupt_at=1))
    path = tmp_path / "out" / "run.json"
    run = json.loads(path.read_text())
    del run["config"]["training"]["patience"]
    path.write_text(json.dumps(run))
    assert train(config, tmp_path / "out").facts["steps"] == 2


def test_a_folder_that_holds_something_else_is_refused(songbook: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(GraphmixError, match=r"holds something else \('thesis.tex'\)"):
        train(tiny_config(songbook, DMC), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("model", "loss", "message"),
    [
        (DMC, {"keep": 1.0}, r"'dmc' cannot be trained on the term loss\.keep"),
        ({**DMC, "sample_rate": 44100}, {}, "made for 30000 Hz and the model for 44100 Hz"),
    ],
    ids=["term", "rate"],
)
def test_what_cannot_be_trained_leaves_nothing_behind(
    songbook: Path, tmp_path: Path, model: dict[str, Any], loss: dict[str, float], message: str
) -> None:
    with pytest.raises(GraphmixError, match=message):
        train(tiny_config(songbook, model, loss=loss), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_device_that_is_not_there_is_refused(songbook: Path, tmp_path: Path) -> None:
    with pytest.raises(GraphmixError, match=r"device 'cuda' .*cannot be used .*try --device cpu"):
        train(tiny_config(songbook, DMC, device={"accelerator": "cuda"}), tmp_path / "out")


class SpoiledConfig(MixWaveUNetConfig):
    name: Literal["spoiled"] = "spoiled"  # type: ignore[assignment]


class Spoiled(MixWaveUNet):
    """A model whose sound is not a number."""

    config_type = SpoiledConfig

    def mix(self, stems: Stems) -> torch.Tensor:
        return super().mix(stems) * torch.nan


def test_a_loss_that_is_no_number_is_left_out_until_it_is_no_accident(
    songbook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MODELS, "spoiled", Spoiled)
    config = tiny_config(songbook, {**WAVEUNET, "name": "spoiled"}, training={"steps": 60, "evaluate_every": 60})
    with pytest.raises(GraphmixError, match=r"a gradient is not a number, for the 21th time"):
        train(config, tmp_path / "out")


# --- real processes

SCRIPT = """
import sys
sys.path[:0] = {paths!r}
from pathlib import Path
from tests.training.tiny_songbook import DMC, tiny_config
from graphmix.training.trainer import train

if __name__ == "__main__":
    config = tiny_config(Path({songs!r}), DMC, **{tables!r})
    train(config, {out!r})
"""


def write_script(tmp_path: Path, songs: Path, out: Path, tables: dict[str, Any]) -> Path:
    paths = [str(Path(__file__).parents[2])]
    script = tmp_path / "training.py"
    script.write_text(textwrap.dedent(SCRIPT).format(paths=paths, songs=str(songs), out=str(out), tables=tables))
    return script


@pytest.mark.slow
def test_a_killed_training_resumes_from_its_state(songbook: Path, tmp_path: Path) -> None:
    training = {"steps": 40, "evaluate_every": 20, "save_every_seconds": 0.0}
    out = tmp_path / "killed"
    script = write_script(tmp_path, songbook, out, {"training": training})
    process = subprocess.Popen([sys.executable, "-W", "ignore", str(script)])
    try:
        while True:
            assert process.poll() is None, "it ended before it was killed"
            logged = list(out.glob("log/*/metrics.csv"))
            if (out / "state.safetensors").exists() and logged and logged[0].read_text().count("\n") > 8:
                break
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
    assert not (out / "training.json").exists()
    config = tiny_config(songbook, DMC, training=training)
    witness = Witness()
    train(config, out, listener=witness)
    assert witness.steps[0] > 1
    train(config, tmp_path / "whole")
    one, other = weights(out), weights(tmp_path / "whole")
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_two_processes_train_one_model(songbook: Path, tmp_path: Path) -> None:
    """DDP on the CPU: the songs of a step are shared, and the mean of the gradients is that of one process."""
    tables = {"training": {"steps": 3, "evaluate_every": 3, "watch": "total"}}
    out = tmp_path / "two"
    script = write_script(tmp_path, songbook, out, {**tables, "device": {"devices": 2, "accelerator": "cpu"}})
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script)], capture_output=True, text=True, timeout=300, env=environment
    )
    assert done.returncode == 0, done.stderr[-2000:]
    facts = json.loads((out / "training.json").read_text())
    assert (facts["processes"], facts["steps"]) == (2, 3)
    assert {path.name for path in out.iterdir()} == FILES
    alone = train(tiny_config(songbook, DMC, **tables), tmp_path / "one").facts
    # batch normalization sees the songs of its own process, so that the numbers are near and not equal
    assert facts["evaluations"][0]["total"] == pytest.approx(alone["evaluations"][0]["total"], rel=1e-4)
    assert facts["evaluations"][-1]["total"] == pytest.approx(alone["evaluations"][-1]["total"], rel=0.2)


# --- steps without sound


def test_the_rate_falls_once_without_sound_and_once_with_it() -> None:
    settings = RunConfig(steps=100, warmup_steps=10, audio_after=0.6, learning_rate=1.0, final_rate=0.1, audio_rate=0.5)
    rates = [rate_at(settings, step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[10] == pytest.approx(1.0)
    assert rates[59] == pytest.approx(0.1, abs=0.01)
    assert rates[60] == pytest.approx(0.5)
    assert rates[99] == pytest.approx(0.05, abs=0.01)
    for falling in (rates[10:60], rates[60:]):
        assert falling == sorted(falling, reverse=True)


def test_sound_is_read_only_where_it_is_rendered(
    songbook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Song.read
    begun: list[int] = []
    witness = Witness()
    monkeypatch.setattr(Song, "read", lambda *args: begun.append(len(witness.steps)) or read(*args))
    loss, data = {"audio": 1.0, "coefficients": 1.0}, {"encode": "song"}
    training = {"steps": 6, "audio_after": 0.5, "evaluate_every": 6}
    train(tiny_config(songbook, LEVELS, loss=loss, data=data, training=training), tmp_path / "out", listener=witness)
    assert {0, 3, 4, 5} <= set(begun)  # encoding and the first evaluation; the last steps
    assert not {1, 2} & set(begun)
