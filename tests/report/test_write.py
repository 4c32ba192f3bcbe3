"""The file: its size, what it says, what is missing in it where files are missing, and errors."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from graphmix.errors import FileError, GraphmixError
from graphmix.report import Limits, write_report
from graphmix.report.page import Content, Version, build, script_json
from graphmix.report.sound import RATE, prepare
from graphmix.report.write import REPORT, find_run, try_report
from tests.report.pages import check_page, page_data, sounds_of
from tests.small_song import TRACKS


def content(title: str = "song", seconds: float = 2.0, versions: int = 2) -> Content:
    noise = 0.1 * torch.randn(2, round(seconds * RATE), generator=torch.Generator().manual_seed(0))
    made = [Version(f"version {i}", prepare(noise, RATE)) for i in range(versions)]
    return Content(title, "made", "A test.", [("length", "2 s")], made, seconds)


def test_a_mined_song_has_all_versions_tracks_and_nodes(report: Path) -> None:
    data = check_page(report, "target", "mined mix", "plain sum", "full console")
    assert [track["name"] for track in data["tracks"]] == TRACKS
    assert all(node["after"] is not None for node in data["nodes"])
    assert {"data:audio", "http://", "https://", "fetch("}.isdisjoint(report.read_text(encoding="utf-8").split('"'))
    assert len(data["course"]["rounds"]) == 3
    assert data["losses"]["names"] == ["mined mix", "plain sum", "full console"]


def test_the_losses_of_the_page_are_those_of_the_search(report: Path, mined: Path) -> None:
    data, metrics = page_data(report), json.loads((mined / "metrics.json").read_text())
    by_name = dict(zip(data["losses"]["names"], data["losses"]["terms"], strict=True))
    assert by_name["mined mix"][0] == pytest.approx(metrics["audio_loss"], rel=0.05)
    assert by_name["plain sum"][0] == pytest.approx(metrics["baselines"]["plain sum"], rel=0.05)
    assert by_name["full console"][0] == pytest.approx(metrics["console_loss"], rel=0.05)


def test_without_the_song_the_mined_mix_is_left_and_the_page_says_so(mined: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(mined, tmp_path / "moved", ignore=shutil.ignore_patterns(REPORT, "console*")))
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["source"]["tracks"] = {name: f"/nowhere/{name}" for name in TRACKS}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    path = write_report(folder)
    check_page(path, "mined mix")
    text = path.read_text(encoding="utf-8")
    assert "/nowhere/1_drum.wav is not a file" in text
    assert "Without the full console" in text


def test_a_run_that_is_none_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(GraphmixError, match="holds no finished run"):
        find_run(tmp_path)
    (tmp_path / "metrics.json").write_text("{}")
    with pytest.raises(GraphmixError, match="none of mine, predict, program or capture"):
        write_report(tmp_path)


def test_a_demo_is_found_in_its_folder(mined: Path, tmp_path: Path) -> None:
    (tmp_path / "mined").symlink_to(mined)
    assert find_run(tmp_path) == tmp_path / "mined"


def test_what_goes_wrong_is_said_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    try_report(tmp_path, said.append)
    assert said[0].startswith("note: the run is complete, but its report.html could not be written: ")

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("graphmix.report.write.write_report", broken)
    try_report(tmp_path, said.append)
    assert said[1].endswith("ZeroDivisionError")


def test_nothing_half_written_is_left_where_the_file_cannot_be(mined: Path, tmp_path: Path) -> None:
    with pytest.raises(FileError, match="there is no folder"):
        write_report(mined, tmp_path / "none" / "page.html", limits=Limits(3_000_000, 1.0))
    assert list(tmp_path.iterdir()) == []


def test_names_cannot_break_out_of_the_page() -> None:
    name = "</script><script>alert(1)</script> & <b>"
    html = build(content(name))
    assert "<script>alert" not in html
    assert "&lt;/script&gt;" in html
    assert json.loads(script_json({"a": name, "b": float("nan")})) == {"a": name, "b": None}
    assert "<" not in script_json(name)


def test_a_page_stays_within_its_limit() -> None:
    limits = Limits(3_000_000)
    html = build(content(seconds=75.0, versions=2), limits)
    assert 1_500_000 < len(html.encode()) <= limits.size


@pytest.mark.parametrize(("pieces", "seconds"), [(0, 240.0), (101, 240.0), (400, 600.0)])
def test_versions_and_pieces_are_planned_within_the_limit(pieces: int, seconds: float) -> None:
    limits = Limits()
    each, kbps = limits.pieces(max(1, pieces))
    stretch = limits.stretch(4, pieces, seconds)
    coded = pieces * each * kbps * 125 + 4 * stretch * 64 * 125
    assert coded <= limits.sound_bytes * 1.001
    assert stretch > 60


def test_limits_that_make_no_sense_are_errors() -> None:
    with pytest.raises(GraphmixError, match="has no room for sound"):
        Limits(1000)
    with pytest.raises(GraphmixError, match="1 s of the song or more"):
        Limits(seconds=0.1)


def test_the_command_writes_the_page(program: Callable[..., object], mined: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    outcome = program("report", mined, "-o", page, "--seconds", 1, "--megabytes", 3)
    assert outcome.status == 0, outcome.err
    assert "opens in any browser" in outcome.out
    assert len(sounds_of(page)) > 4
    refused = program("report", mined, "-o", page)
    assert (refused.status, "exists already" in refused.err) == (2, True)
