"""Training a separator: it learns, resumes where it was, and keeps its folder to itself."""

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from graphmix.cli import app as cli
from graphmix.errors import GraphmixError
from graphmix.models.masks import load_separator
from graphmix.training.separation import load_separator_config, train_separator
from graphmix.training.separation.config import (
    SeparatorTraining,
    find_separator_config,
    known_separator_configs,
    parse_separator_config,
)
from graphmix.training.separation.scores import ideal_ratio_masks, improvement, score_song
from graphmix.training.separation.sources import find_source_songs
from graphmix.training.separation.trainer import rate_at, split_source_songs
from tests.training.separation.small_songs import RATE, write_songs

MODEL = {
    "model": "mask_inference",
    "sources": ["drums", "bass", "other"],
    "sample_rate": RATE,
    "representation": {"kind": "mel", "n_fft": 256, "hop": 128, "bands": 32},
    "recurrent": {"hidden": 12, "layers": 1},
}
SOURCES = {"drums": ["drums"], "bass": ["bass"], "other": ["*"]}


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_songs(tmp_path_factory.mktemp("songs"), 5)


def settings(songs: Path, steps: int = 6, **tables: dict[str, Any]) -> SeparatorTraining:
    values: dict[str, Any] = {
        "model": MODEL,
        "sources": SOURCES,
        "data": {"songs": [str(songs)], "validation": 0.2, "segment_seconds": 0.5, "validation_seconds": 1.0},
        "loss": {"magnitude_l1": 0.0, "spectral_snr": 1.0},
        "training": {"steps": steps, "batch_size": 4, "evaluate_every": 4, "learning_rate": 1e-2, "warmup_steps": 2},
    }
    for name, changes in tables.items():
        values[name] = {**values.get(name, {}), **changes}
    return parse_separator_config(values, "test")


class Interrupt:
    """A listener that acts at a step as Ctrl-C does."""

    def __init__(self, at: int) -> None:
        self.at, self.name = at, ""

    def phase(self, name: str, total: int | None, done: int = 0) -> None:
        self.name = name

    def progress(self, done: int, total: int | None = None, **numbers: float) -> None:
        if self.name == "training" and done == self.at:
            import signal

            signal.raise_signal(signal.SIGINT)


def test_it_learns_to_separate_what_differs_plainly(songs: Path, tmp_path: Path) -> None:
    trained = train_separator(settings(songs, 60), tmp_path / "out")
    first, *_, last = trained.facts["evaluations"]
    assert first["step"] == 0
    assert last["si_sdr_improvement_db"] > first["si_sdr_improvement_db"] + 3
    assert last["si_sdr_improvement_db"] < last["ideal_improvement_db"] + 0.5
    assert trained.facts["songs"] == {"train": 4, "validation": 1, "test": 0}
    model, record = load_separator(tmp_path / "out")
    assert record["value"] == pytest.approx(max(e["si_sdr_improvement_db"] for e in trained.facts["evaluations"]))
    assert not (tmp_path / "out" / "state.safetensors").exists()
    rows = [row for log in (tmp_path / "out" / "log").rglob("*.csv") for row in csv.DictReader(log.open())]
    assert any(row.get("train/spectral_snr") for row in rows)
    again = train_separator(settings(songs, 60), tmp_path / "out")
    assert again.already_done
    for name, value in again.model.state_dict().items():
        assert torch.equal(value, model.state_dict()[name])


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_a_resumed_training_ends_in_the_numbers_of_an_uninterrupted_one(
    songs: Path, tmp_path: Path, average: float
) -> None:
    config = settings(songs, training={"average": average}, remix={"speed_semitones": 2.0, "color_db": 3.0})
    whole = train_separator(config, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train_separator(config, tmp_path / "parts", listener=Interrupt(3))
    assert (tmp_path / "parts" / "state.safetensors").exists()
    assert not (tmp_path / "parts" / "training.json").exists()
    parts = train_separator(config, tmp_path / "parts")
    assert [e["si_sdr_improvement_db"] for e in parts.facts["evaluations"]] == [
        e["si_sdr_improvement_db"] for e in whole.facts["evaluations"]
    ]
    theirs = load_file(tmp_path / "whole" / "model.safetensors")
    for name, value in load_file(tmp_path / "parts" / "model.safetensors").items():
        assert torch.equal(value, theirs[name]), name


def test_another_run_in_the_folder_is_refused(songs: Path, tmp_path: Path) -> None:
    train_separator(settings(songs, 1), tmp_path / "out")
    with pytest.raises(GraphmixError, match=r"a training with training\.steps = 1, not 2"):
        train_separator(settings(songs, 2), tmp_path / "out")


def test_training_starts_from_a_separator_of_the_same_configuration(songs: Path, tmp_path: Path) -> None:
    first = train_separator(settings(songs, 8), tmp_path / "first")
    start = {"start": str(tmp_path / "first"), "learning_rate": 1e-9}
    second = train_separator(settings(songs, 1, training=start), tmp_path / "second")
    assert second.facts["evaluations"][0]["si_sdr_improvement_db"] == pytest.approx(
        max(e["si_sdr_improvement_db"] for e in first.facts["evaluations"]), abs=1e-3
    )
    with pytest.raises(GraphmixError, match=r"model\.mask = sigmoid, and this training softmax"):
        train_separator(settings(songs, 1, training=start, model={"mask": "softmax"}), tmp_path / "third")


def test_means_from_data_are_those_of_mixtures(songs: Path, tmp_path: Path) -> None:
    trained = train_separator(settings(songs, 1, model={"normalization": "data"}), tmp_path / "out")
    state = trained.model.state_dict()
    assert -80 <= state["level.1.mean"].min() < state["level.1.mean"].max() <= 0
    assert state["level.1.deviation"].std() > 0


def test_artists_are_in_one_part_and_a_test_part_stays_one(songs: Path) -> None:
    found = find_source_songs([songs], {name: tuple(labels) for name, labels in SOURCES.items()})
    parts = split_source_songs(found, settings(songs, data={"test": 0.2}))
    assert {name: len(part) for name, part in parts.items()} == {"train": 3, "validation": 1, "test": 1}
    assert len({song.artist for part in parts.values() for song in part}) == 5


@pytest.mark.parametrize("name", known_separator_configs())
def test_configurations_that_come_with_graphmix(name: str) -> None:
    config = load_separator_config(name)
    assert config.model.sources == tuple(config.labels)
    assert find_separator_config(name) is not None


def test_the_rate_warms_up_and_falls(songs: Path) -> None:
    run = settings(songs, 100, training={"learning_rate": 1.0, "warmup_steps": 10, "final_rate": 0.1}).training
    rates = [rate_at(run, step) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[10] == pytest.approx(1.0)
    assert rates[55] == pytest.approx(0.55)
    assert rates[100] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"loss": {"spectral_snr": 0.0}}, "nothing to minimise"),
        ({"loss": {"deep_clustering": 1.0}}, "needs an embedding"),
        ({"model": {"sources": ["drums", "flute"]}}, "'flute' has no labels"),
        ({"training": {"batch_size": 0}}, r"training\.batch_size is 0"),
        ({"data": {"validation": 0.6, "test": 0.5}}, "take less than 1"),
        ({"model": {"model": "magic"}}, "no separator 'magic'"),
        ({"remix": {"color_db": 3.0, "target": "dry"}}, r"remix\.color_db is 3"),
    ],
)
def test_bad_configurations_are_said(songs: Path, tables: dict[str, Any], message: str) -> None:
    with pytest.raises(GraphmixError, match=message):
        settings(songs, **tables)


def test_scores_of_the_ideal_mask_and_of_the_mixture(songs: Path) -> None:
    model = train_config_model(songs)
    time = torch.arange(2 * RATE) / RATE
    stems = torch.stack(
        [0.3 * torch.sin(2 * torch.pi * hertz * time).expand(2, -1) for hertz in (100.0, 900.0, 2000.0)]
    )
    ideal = ideal_ratio_masks(model.representation, stems)
    assert ideal.shape == stems.shape
    torch.testing.assert_close(ideal.sum(dim=0), stems.sum(dim=0), atol=1e-5, rtol=0)
    scores = score_song(model, stems)
    torch.testing.assert_close(
        scores["mixture"], torch.full((3,), 10 * torch.log10(torch.tensor(0.5))), atol=0.01, rtol=0
    )
    assert (scores["ideal"] > 25).all()
    stems[1] = 0
    scores = score_song(model, stems)
    assert scores["model"].isnan().tolist() == [False, True, False]
    assert improvement(scores, "mixture") == 0


def train_config_model(songs: Path) -> Any:
    from graphmix.models.masks import build_separator

    return build_separator(settings(songs).model).eval()


def test_the_command_line(songs: Path, tmp_path: Path) -> None:
    lines = ["[model]", 'model = "mask_inference"', 'sources = ["drums", "bass", "other"]', f"sample_rate = {RATE}"]
    lines += ['representation = { kind = "mel", n_fft = 256, hop = 128, bands = 32 }']
    lines += ["recurrent = { hidden = 4, layers = 1 }", "[data]", "segment_seconds = 0.5", "validation = 0.2"]
    (tmp_path / "my.toml").write_text("\n".join(lines))
    command = [
        "train",
        str(tmp_path / "my.toml"),
        "--songs",
        str(songs),
        "--out",
        str(tmp_path / "out"),
        "--steps",
        "2",
    ]
    result = CliRunner().invoke(cli.app, command)
    assert result.exit_code == 0, result.output
    assert "mask_inference of drums, bass, other" in result.output
    assert "SI-SDR" in result.output
    refused = CliRunner().invoke(cli.app, [*command, "--chain", "e"])
    assert refused.exit_code == 2
    assert "has no --chain" in refused.output + refused.stderr
