"""The folder of a run: new, unfinished, finished or another's, by what it holds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from graphmix.errors import FolderBusyError, RunError, SearchError
from graphmix.runs import RunFolder, RunStatus


def difference(found: Mapping[str, Any], ours: Mapping[str, Any]) -> str | None:
    return None if found["seed"] == ours["seed"] else f"seed {found['seed']}."


def folder(path: Path, seed: int = 0) -> RunFolder:
    return RunFolder(path, {"seed": seed}, "result.json", difference, lambda file: file.name == "failure.json")


def test_a_run_is_new_then_unfinished_then_finished(tmp_path: Path) -> None:
    run = folder(tmp_path / "out")
    assert run.status() is RunStatus.NEW
    with run.hold():
        assert run.status() is RunStatus.NEW
        run.begin()
    assert run.status() is RunStatus.UNFINISHED
    (tmp_path / "out" / "result.json").write_text("{}")
    assert run.status() is RunStatus.FINISHED


def test_what_a_killed_process_left_is_cleared_and_no_obstacle(tmp_path: Path) -> None:
    for name in (".lock", ".abc.part", "failure.json"):
        (tmp_path / name).touch()
    run = folder(tmp_path)
    assert run.status() is RunStatus.NEW
    run.begin()
    assert {path.name for path in tmp_path.iterdir()} == {".lock", "failure.json", "run.json"}


def test_foreign_files_and_other_runs_are_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(RunError, match=r"holds something else \('thesis.txt'\)"):
        folder(tmp_path).status()
    folder(tmp_path / "out").begin()
    with pytest.raises(SearchError, match=r"out holds seed 0\."):
        folder(tmp_path / "out", 1).status()


@pytest.mark.parametrize(("content", "message"), [("", "is damaged"), ("[]", "is damaged"), ("{}", "of another kind")])
def test_a_damaged_description_is_named(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(RunError, match=message):
        folder(tmp_path).status()


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with (
        folder(tmp_path).hold(),
        pytest.raises(FolderBusyError, match="another process is at work"),
        folder(tmp_path).hold(),
    ):
        pass


def test_a_description_from_a_checkpoint_is_compared_alike(tmp_path: Path) -> None:
    run = folder(tmp_path)
    assert run.is_same({"seed": 0, "new": 1})
    assert not run.is_same({"seed": 1})
    assert not run.is_same({})
