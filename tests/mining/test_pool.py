"""Workers: their number, their environment, their deaths; after SIGKILL and a restart every song is there once."""

import os
import random
import subprocess
import time
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path

import psutil
import pytest

from graphmix.mining.catalogue import read_catalogue, read_events
from graphmix.mining.driver import Standing
from graphmix.mining.mine_collection import mine_all
from graphmix.mining.pool import LocalPool, default_workers, describe_death, find_devices, in_flight
from graphmix.mining.song_task import SongTask, Status
from graphmix.mining.worker import Progress
from graphmix.songs.collection import open_collection
from tests.driver_processes import (
    HERE,
    TINY,
    Drivers,
    assert_complete,
    digests,
    workers_of,
    write_collection,
    write_tiny,
)


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_collection(tmp_path_factory.mktemp("collection") / "songs")


@pytest.fixture(scope="module")
def whole(songs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Digests of the graphs of an undisturbed run."""
    out = tmp_path_factory.mktemp("whole") / "out"
    finish_here(songs, out)
    return digests(out)


@pytest.fixture
def drivers(tmp_path: Path):
    made = Drivers(tmp_path)
    yield made
    made.stop()


def wait_until(condition, seconds: float = 180) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def test_one_worker_for_each_gpu_and_otherwise_for_each_core(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    assert find_devices("auto") == ["cuda:0", "cuda:1", "cuda:2"]
    assert default_workers(find_devices("auto")) == 3
    assert find_devices("cuda:1") == ["cuda:1"]
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert default_workers(find_devices("auto"), cores=16, memory=24 << 30) == 6
    assert default_workers(["cpu"], cores=16, memory=1 << 30) == 1
    assert default_workers(["cpu"]) >= 1


def test_a_pool_leaves_the_environment_as_it_was(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    for name in ("OPENBLAS_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY"):
        monkeypatch.delenv(name, raising=False)
    pool = LocalPool(1, 3)
    assert (os.environ["OMP_NUM_THREADS"], os.environ["OPENBLAS_NUM_THREADS"]) == ("3", "3")
    assert os.environ["OMP_WAIT_POLICY"] == "passive"
    pool.stop()
    assert "OMP_WAIT_POLICY" not in os.environ
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "OPENBLAS_NUM_THREADS" not in os.environ


def test_deaths_are_described():
    from pebble import ProcessExpired

    assert "killed by SIGKILL (did the machine run out of memory?)" in describe_death(ProcessExpired("x", code=-9))
    assert "ended with exit status 3" in describe_death(ProcessExpired("x", code=3))
    assert "lost (RuntimeError: broken pipe)" in describe_death(RuntimeError("broken\npipe"))
    assert "no worker could be started" in describe_death(BrokenProcessPool())


class Broken:
    """A process pool whose process never starts."""

    starts = 0

    def __init__(self, *args, **more):
        Broken.starts += 1

    def schedule(self, *args, **more):
        raise BrokenProcessPool("all workers expired")

    def stop(self):
        pass

    def join(self):
        pass


def test_a_worker_that_cannot_be_started_is_reported_after_five_attempts(songs, tmp_path):
    pool = LocalPool(1, 1, ["cpu"], make_pool=Broken)
    pool.submit(SongTask(open_collection(songs)["song 0"], tmp_path / "out", TINY, plots=False))
    outcome = pool.next_outcome(60)
    pool.stop()
    assert outcome.status is Status.DIED
    assert "no worker could be started for it, 5 times" in outcome.reason
    assert Broken.starts == 5


def test_of_several_entries_on_a_song_the_newest_is_shown():
    entries = [Progress("a", "x", started=2.0), Progress("b", "x", started=1.0), Progress("c", "y")]
    assert [entry.worker for entry in in_flight(entries, ["x"])] == ["a"]


@pytest.mark.slow
def test_a_killed_worker_costs_only_its_attempt(songs, whole, tmp_path, drivers):
    out = tmp_path / "out"
    process = drivers.start(songs, out, slowly=1.0)
    wait_until(lambda: (out / "song 3" / "run.json").exists())
    (worker,) = workers_of(process)
    worker.kill()
    said = drivers.finish(process)
    assert len(said["mined"]) == 4
    assert not said["failed"]
    assert_complete(out, whole)
    events = [(event["song_id"], event["event"]) for event in read_events(out)]
    assert events.count(("song 3", "died")) == 1
    assert drivers.finished() == dict.fromkeys(whole, 1)


@pytest.mark.slow
def test_a_song_that_kills_its_worker_twice_is_recorded_and_the_others_are_mined(tmp_path, drivers):
    collection = write_collection(tmp_path / "songs", 1)
    write_tiny(collection, "always deadly", 0.6)
    write_tiny(collection, "once deadly", 0.7)
    said = drivers.run(collection, tmp_path / "out")
    assert sorted(said["mined"]) == ["once deadly", "song 0"]
    assert list(said["failed"]) == ["always deadly"]
    assert "killed by SIGKILL" in said["failed"]["always deadly"]
    assert "attempt 2" in said["failed"]["always deadly"]
    rows = {row["song_id"]: row for row in read_catalogue(tmp_path / "out")}
    assert rows["always deadly"]["status"] == "failed"
    assert rows["once deadly"]["status"] == "mined"
    again = drivers.run(collection, tmp_path / "out")
    assert "failed in an earlier run" in again["failed"]["always deadly"]
    deaths = [event["song_id"] for event in read_events(tmp_path / "out") if event["event"] == "died"]
    assert deaths.count("once deadly") == 1


def has_begun(process: subprocess.Popen[str]) -> bool:
    return bool(workers_of(process)) or process.poll() is not None


def is_mining(process: subprocess.Popen[str], out: Path) -> bool:
    return any(out.glob("*/.lock")) or process.poll() is not None


def kill_and_restart(songs: Path, whole: dict[str, str], out: Path, drivers: Drivers, kills: int, workers: int) -> None:
    """Kill now the driver, now a worker, at random moments; start again after each driver; then let it finish.

    Three of four moments are while a song is mined, the others while processes start.
    """
    chance = random.Random(kills)
    seen: dict[Path, tuple[int, int]] = {}
    process, killed = None, 0
    while killed < kills:
        if process is None or process.poll() is not None:
            process = drivers.start(songs, out, slowly=0.5, workers=workers)
            wait_until(partial(has_begun, process))
        if chance.random() < 0.75:
            wait_until(partial(is_mining, process, out))
        time.sleep(chance.uniform(0, 3))
        check_unchanged(out, seen)
        children = workers_of(process)
        if process.poll() is None:
            victim = process if killed % 3 == 0 or not children else chance.choice([process, *children])
            victim.kill()
            killed += 1
            if victim is process:
                process.wait()
                assert not psutil.wait_procs(children, timeout=120)[1], "workers end with their driver"
        else:  # all songs are mined: there is nothing more to disturb
            settle(process, songs, whole, out, drivers, seen)
            out, process = out.with_name(f"{out.name}+"), None
    settle(process, songs, whole, out, drivers, seen)


def finish_here(songs: Path, out: Path, **options: bool) -> Standing:
    return mine_all(songs, out, TINY, **HERE, **options)


def settle(
    process: subprocess.Popen[str],
    songs: Path,
    whole: dict[str, str],
    out: Path,
    drivers: Drivers,
    seen: dict[Path, tuple[int, int]],
) -> None:
    """Let it finish, in this process if it was killed, and look at what came of it."""
    was_killed = process.poll() not in (None, 0)
    failed = finish_here(songs, out).failed if was_killed else drivers.finish(process)["failed"]
    assert all("SIGKILL" in reason for reason in failed.values()), failed
    if failed:  # a song may be hit twice by chance
        finish_here(songs, out, retry_failed=True)
    check_unchanged(out, seen)
    assert_complete(out, whole)
    assert {row["song_id"]: row["status"] for row in read_catalogue(out)} == dict.fromkeys(whole, "mined")
    events = [event["song_id"] for event in read_events(out) if event["event"] == "mined"]
    assert all(events.count(song) <= 1 for song in whole)
    assert all(count == 1 for count in drivers.finished().values()), "a song was mined twice"
    drivers.log.write_text("")


def check_unchanged(out: Path, seen: dict[Path, tuple[int, int]]) -> None:
    """What was finished once is not written again."""
    for path in out.glob("*/metrics.json"):
        status = path.stat()
        now = status.st_ino, status.st_mtime_ns
        assert seen.setdefault(path, now) == now, f"{path} was written again"


@pytest.mark.slow
def test_killed_at_random_it_goes_on_and_ends_the_same(songs, whole, tmp_path, drivers):
    kill_and_restart(songs, whole, tmp_path / "out", drivers, kills=1, workers=1)


@pytest.mark.slow
def test_killed_twenty_times_at_random_it_ends_the_same(songs, whole, tmp_path, drivers):
    kill_and_restart(songs, whole, tmp_path / "out", drivers, kills=20, workers=2)
