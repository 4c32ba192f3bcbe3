"""Mining a collection: every song once, in its folder and in the catalogue, whatever happened before."""

import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch

from graphmix.audio import load_song
from graphmix.errors import FolderBusyError, SearchError
from graphmix.graph.storage import load_graph
from graphmix.locks import alone_in, is_locked
from graphmix.mining.catalogue import read_catalogue, read_events
from graphmix.mining.driver import Standing
from graphmix.mining.mine_collection import mine_all
from graphmix.mining.song_task import Outcome, SongTask, Status, do_task, is_finished
from graphmix.search import mine
from graphmix.search.settings import LookFor
from graphmix.songs.collection import open_collection
from tests.driver_processes import (
    CONSOLE_ALONE,
    FILES,
    HERE,
    TINY,
    Drivers,
    assert_complete,
    digests,
    workers_of,
    write_collection,
)
from tests.small_song import same_graph


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_collection(tmp_path_factory.mktemp("collection") / "tiny songs")


@pytest.fixture(scope="module")
def whole(songs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed run in this process."""
    out = tmp_path_factory.mktemp("whole") / "out"
    mine_all(songs, out, TINY, **HERE)
    return out


@pytest.fixture
def drivers(tmp_path: Path):
    made = Drivers(tmp_path)
    yield made
    made.stop()


class Watching:
    def __init__(self) -> None:
        self.ended_songs: list[tuple[str, Status]] = []
        self.last = Standing(0)

    def update(self, standing: Standing) -> None:
        self.last = standing

    def ended(self, outcome: Outcome, standing: Standing) -> None:
        self.ended_songs.append((outcome.song_id, outcome.status))


# --- in one process


def test_every_song_has_its_folder_and_its_row(songs, whole):
    names = [song.id for song in open_collection(songs)]
    assert len(names) == 4
    assert_complete(whole, digests(whole))
    assert set(digests(whole)) == set(names)
    rows = {row["song_id"]: row for row in read_catalogue(whole)}
    assert set(rows) == set(names)
    for name, row in rows.items():
        metrics = json.loads((whole / name / "metrics.json").read_text())
        assert (row["status"], row["path"], row["collection"]) == ("mined", name, "tiny songs")
        assert row["audio_loss"] == metrics["audio_loss"]
        assert row["pruning_ratio"] == metrics["pruning_ratio"]["all"]
        assert row["settings"] == TINY.to_dict()
        assert row["versions"]["torch"] == torch.__version__.split("+")[0] or row["versions"]["torch"]
        assert metrics["source"]["song_id"] == name
        assert metrics["source"]["collection"] == "tiny songs"
        assert Path(metrics["source"]["mix"]) == (songs / name / "mix.wav").absolute()


def test_the_graph_is_that_of_mine_and_knows_its_song(songs, whole, tmp_path):
    alone = mine(load_song(songs / "song 1"), tmp_path / "out", TINY, device="cpu", plots=False, **CONSOLE_ALONE)
    graph = load_graph(whole / "song 1" / "graph.safetensors")
    assert same_graph(graph, alone.graph)
    assert graph.provenance["song_id"] == "song 1"
    assert graph.provenance["collection"] == "tiny songs"
    assert "artist" not in graph.provenance


def test_the_longest_song_comes_first(songs, tmp_path):
    watching = Watching()
    mine_all(
        songs,
        tmp_path / "out",
        replace(TINY, steps=0, rounds=0),
        **HERE,
        watcher=watching,
    )
    assert [song for song, _ in watching.ended_songs] == ["song 3", "song 2", "song 1", "song 0"]
    assert watching.last.done == watching.last.total == 4


def test_again_it_does_nothing_and_reads_no_audio(songs, whole, monkeypatch):
    monkeypatch.setattr("graphmix.songs.collection.SongFiles.load", lambda *args, **more: pytest.fail("loaded"))
    times = {path: path.stat().st_mtime_ns for path in whole.rglob("metrics.json")}
    standing = mine_all(songs, whole, TINY, **{**HERE, "workers": 2})
    assert (len(standing.already), standing.mined, standing.failed) == (4, [], {})
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("metrics.json")} == times


def test_files_that_are_newer_but_the_same_are_finished_and_others_are_not(songs, whole, tmp_path):
    song = open_collection(songs)["song 0"]
    task = SongTask(song, whole / song.id, TINY, look_for=LookFor(**CONSOLE_ALONE))
    assert is_finished(task)
    mix = song.layout.mix
    later = (whole / song.id / "metrics.json").stat().st_mtime + 100
    before = mix.stat()
    content = mix.read_bytes()
    try:
        os.utime(mix, (later, later))
        assert is_finished(task)
        mix.write_bytes(content[:-4] + b"\0\0\0\x3f")
        os.utime(mix, (later, later))
        assert not is_finished(task)
        assert "holds another song" in do_task(task).reason
    finally:
        mix.write_bytes(content)
        os.utime(mix, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize(
    ("change", "message"),
    [({"tolerance": 0.1}, "mined with tolerance = 0.05, not 0.1"), ({"seed": 3}, "mined with seed = 0, not 3")],
)
def test_an_output_folder_is_for_one_set_of_settings(songs, whole, change, message):
    with pytest.raises(SearchError, match=message):
        mine_all(songs, whole, replace(TINY, **change), **HERE)


def test_an_output_folder_is_for_one_collection(whole, tmp_path):
    other = write_collection(tmp_path / "others", 1)
    with pytest.raises(SearchError, match="holds the collection 'tiny songs', not 'others'"):
        mine_all(other, whole, TINY, **HERE)


def test_wrong_numbers_are_refused_before_anything_is_written(songs, tmp_path):
    for options, message in (({"workers": -1}, "workers is -1"), ({"threads": 0}, "threads is 0")):
        with pytest.raises(SearchError, match=message):
            mine_all(songs, tmp_path / "out", TINY, **options)
    assert not (tmp_path / "out").exists()


def test_what_a_kill_left_beside_a_finished_song_is_removed(songs, whole, tmp_path):
    (whole / "song 2" / "checkpoint.safetensors").write_bytes(b"left over")
    (whole / "song 2" / ".lock").touch()
    mine_all(songs, whole, TINY, **HERE)
    assert {path.name for path in (whole / "song 2").iterdir()} == FILES


def test_a_song_that_is_not_in_the_catalogue_is_entered(songs, whole):
    (whole / "catalogue.sqlite").unlink()
    mine_all(songs, whole, TINY, **HERE)
    assert [row["status"] for row in read_catalogue(whole)] == ["mined"] * 4


def test_a_damaged_run_file_is_named(songs, tmp_path):
    (tmp_path / "mine_all.json").write_text("{")
    with pytest.raises(SearchError, match=r"mine_all.json is damaged"):
        mine_all(songs, tmp_path, TINY, **HERE)


# --- one process in a folder at a time


def test_a_folder_that_is_held_is_busy_and_free_afterwards(songs, tmp_path):
    look_for = LookFor(**CONSOLE_ALONE)
    task = SongTask(open_collection(songs)["song 0"], tmp_path / "out", TINY, "cpu", plots=False, look_for=look_for)
    with alone_in(tmp_path / "out"):
        assert is_locked(tmp_path / "out")
        assert do_task(task).status is Status.BUSY
        with pytest.raises(FolderBusyError, match="another process is at work in"):
            mine(songs / "song 0", tmp_path / "out", TINY, device="cpu")
    assert not is_locked(tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    assert do_task(task).status is Status.MINED


def test_a_lock_file_without_a_holder_is_free(tmp_path):
    (tmp_path / ".lock").touch()
    assert not is_locked(tmp_path)
    assert not (tmp_path / ".lock").exists()


# --- worker processes


@pytest.mark.parametrize("count", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_ctrl_c_ends_the_workers_and_the_same_command_goes_on(songs, whole, tmp_path, drivers, count):
    process = drivers.start(songs, tmp_path / "out", slowly=30, workers=count)
    while len(list((tmp_path / "out").glob("*/run.json"))) < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    workers = workers_of(process)
    assert len(workers) == count
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert errors == ""
    _, alive = psutil.wait_procs(workers, timeout=5)
    assert not alive
    assert not drivers.finished()
    standing = mine_all(songs, tmp_path / "out", TINY, **HERE)
    assert (len(standing.mined), standing.already) == (4, [])
    assert_complete(tmp_path / "out", digests(whole))
    events = [event["event"] for event in read_events(tmp_path / "out")]
    assert (events.count("submitted"), events.count("mined")) == (4 + count, 4)


def test_two_drivers_share_an_output_folder(songs, whole, tmp_path, drivers):
    other = drivers.start(songs, tmp_path / "out", slowly=0.5, workers=0)
    while not list((tmp_path / "out").glob("*/run.json")):
        assert other.poll() is None, other.communicate()
        time.sleep(0.02)
    here = mine_all(songs, tmp_path / "out", TINY, **HERE)
    there = drivers.finish(other)
    assert len(here.mined) + len(here.already) + len(here.elsewhere) == 4
    assert len(there["mined"]) + len(there["already"]) + len(there["elsewhere"]) == 4
    assert not here.failed
    assert not there["failed"]
    assert here.mined
    assert there["mined"]
    assert sorted([*here.mined, *there["mined"]]) == sorted(digests(whole))
    assert_complete(tmp_path / "out", digests(whole))
