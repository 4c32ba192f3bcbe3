"""What ``mine-all`` and ``stats`` show, called as the command line calls them."""

from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console

from graphmix.cli.mine_all_command import duration, line_on, picture, run_mine_all
from graphmix.cli.stats_command import run_stats
from graphmix.mining.driver import Standing
from graphmix.mining.song_task import Outcome, Status
from graphmix.mining.worker import Progress
from tests.driver_processes import HERE, write_collection, write_tiny

OPTIONS: dict[str, Any] = {"steps": 2, "rounds": 1, "changes": {"chain": "g"}, **HERE}


def test_songs_are_told_one_by_one_and_counted_and_a_failure_is_the_exit_status(tmp_path: Path, capsys: Any) -> None:
    songs, out = write_collection(tmp_path / "songs", 2), tmp_path / "out"
    (write_tiny(songs, "no mix", 0.6) / "mix.wav").unlink()
    with pytest.raises(typer.Exit) as ended:
        run_mine_all(songs, out, **OPTIONS)
    assert ended.value.exit_code == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("3 songs in")
    assert lines[1].startswith("[1/3] no mix: failed: ")
    assert lines[2].startswith("[2/3] song 1: L_a ")
    assert lines[4].startswith("3 songs: 2 mined now, 1 failed; ")
    with pytest.raises(typer.Exit):
        run_mine_all(songs, out, **OPTIONS)
    assert "3 songs: 0 mined now, 2 mined before, 1 failed" in capsys.readouterr().out
    run_stats([out], tmp_path / "statistics")
    said = capsys.readouterr().out
    assert "ρ_g" in said
    assert "2 runs; in" in said
    assert (tmp_path / "statistics" / "pruning.csv").exists()
    assert (tmp_path / "statistics" / "counts.png").exists()


@pytest.mark.parametrize("option", ["--plots", "--no-plots"])
def test_pictures_are_drawn_unless_they_are_declined(tmp_path: Path, program: Any, option: str) -> None:
    songs, out = write_collection(tmp_path / "songs", 1), tmp_path / "out"
    brief = ["--chain", "g", "--steps", "1", "--rounds", "0", "--workers", "0", "--device", "cpu"]
    assert program("mine-all", songs, "--out", out, *brief, option).status == 0
    assert any(out.rglob("metrics.json"))
    assert any(out.rglob("*.png")) is (option == "--plots")


def test_ctrl_c_says_how_far_it_is_and_how_to_resume(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    songs = write_collection(tmp_path / "songs", 2)

    def interrupt(*args: Any, **more: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("graphmix.mining.pool.do_task", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_mine_all(songs, tmp_path / "out", **OPTIONS)
    assert "stopped: 0 of 2 songs are done; the same command resumes." in capsys.readouterr().out


def test_the_picture_shows_the_whole_and_each_worker() -> None:
    standing = Standing(12, ["a", "b"], failed={"c": "no mix"}, waiting=["d"], seconds=60, remaining=7200)
    standing.workers = [Progress("worker 1", "x [y]", "pruning 1/4", 3, 9, 0.25), Progress("worker 2", "z")]
    console = Console(width=100, record=True)
    console.print(picture(standing))
    text = console.export_text()
    assert "0.2500" in text
    for words in ("3/12 songs, 1 failed", "60 s so far", "2.0 h left", "x [y]", "3/9", "with another driver: 1"):
        assert words in text


def test_lines_and_durations() -> None:
    standing = Standing(5, ["a"])
    failed = Outcome("a", Status.FAILED, "it is silent.")
    assert line_on(failed, standing) == "[1/5] a: failed: it is silent."
    metrics = {"audio_loss": 0.25, "pruning_ratio": {"all": 0.5}}
    assert (
        line_on(Outcome("a", Status.MINED, metrics=metrics, seconds=3.2), standing)
        == "[1/5] a: L_a 0.2500, ρ 0.50, 3 s"
    )
    elsewhere = Outcome("a", Status.ALREADY, metrics=metrics, worker="another driver")
    assert line_on(elsewhere, standing).endswith("ρ 0.50, by another driver")
    assert [duration(x) for x in (None, 5, 130, 4000, 90000, 400000)] == [
        "?",
        "5 s",
        "2 min",
        "1.1 h",
        "25.0 h",
        "4 d 15 h",
    ]
