"""The output folder of a training: new, unfinished, finished, another's."""

import json
from pathlib import Path
from typing import Any

import pytest

from graphmix.errors import GraphmixError
from graphmix.runs import RunStatus
from graphmix.training.data import songs_in, split_songs
from graphmix.training.folder import RESULT, describe_run, flatten, read_result, run_folder
from tests.training.tiny_songbook import DMC, tiny_config


@pytest.fixture
def run(songbook: Path) -> dict[str, Any]:
    parts = split_songs(songs_in([songbook]), 0.3)
    return describe_run(tiny_config(songbook, DMC).model_dump(mode="json"), parts)


def test_a_folder_is_new_then_unfinished_then_finished(run: dict[str, Any], tmp_path: Path) -> None:
    output = run_folder(tmp_path / "out", run)
    assert output.status() is RunStatus.NEW
    output.begin()
    assert output.status() is RunStatus.UNFINISHED
    (tmp_path / "out" / RESULT).write_text("{}")
    assert output.status() is RunStatus.FINISHED
    assert read_result(tmp_path / "out") == {}


def test_other_songs_or_another_value_are_named(run: dict[str, Any], tmp_path: Path) -> None:
    run_folder(tmp_path, run).begin()
    with pytest.raises(GraphmixError, match="holds a training on other songs"):
        run_folder(tmp_path, {**run, "songs": "other"}).status()
    config = json.loads(json.dumps(run["config"]))
    config["training"]["seed"] = 9
    with pytest.raises(GraphmixError, match=r"holds a training with training.seed = 0, not 9.* to resume it"):
        run_folder(tmp_path, {**run, "config": config}).status()


def test_a_run_written_with_an_old_key_is_the_same_run(run: dict[str, Any], tmp_path: Path) -> None:
    old = json.loads(json.dumps(run))
    old["config"]["data"]["hear"] = old["config"]["data"].pop("encode")
    run_folder(tmp_path, old).begin()
    assert run_folder(tmp_path, run).status() is RunStatus.UNFINISHED


def test_a_damaged_result_is_named(tmp_path: Path) -> None:
    (tmp_path / RESULT).write_text("{")
    with pytest.raises(GraphmixError, match=r"training.json is damaged. Remove .* to train again"):
        read_result(tmp_path)


def test_tables_are_flattened_with_dots() -> None:
    assert flatten({"a": 1, "b": {"c": {"d": 2}}}) == {"a": 1, "b.c.d": 2}
