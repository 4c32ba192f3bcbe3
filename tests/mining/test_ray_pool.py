"""Mining on Ray: a killed worker and a lost node cost time and nothing else."""

import time
from pathlib import Path

import psutil
import pytest

from graphmix.errors import SearchError
from graphmix.mining.catalogue import read_catalogue
from graphmix.mining.mine_collection import mine_all
from tests.driver_processes import HERE, TINY, Drivers, digests, write_collection

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def _ray():
    return pytest.importorskip("ray")


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_collection(tmp_path_factory.mktemp("collection") / "songs")


@pytest.fixture(scope="module")
def whole(songs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    out = tmp_path_factory.mktemp("whole") / "out"
    mine_all(songs, out, TINY, **HERE)
    return digests(out)


@pytest.fixture
def drivers(tmp_path: Path):
    made = Drivers(tmp_path)
    yield made
    made.stop()


def wait_until(condition, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)


def mining(out: Path) -> set[int]:
    """Processes that hold the lock of a song's folder."""
    held = set()
    for path in out.glob("*/.lock"):
        for process in psutil.process_iter():
            try:
                if any(file.path == str(path) for file in process.open_files()):
                    held.add(process.pid)
            except psutil.Error:
                continue
    return held


def check(out: Path, whole: dict[str, str], said: dict) -> None:
    assert len(said["mined"]) == 4, said
    assert not said["failed"]
    assert digests(out) == whole
    assert {row["song_id"]: row["status"] for row in read_catalogue(out)} == dict.fromkeys(whole, "mined")
    assert not list(out.glob(".progress*"))


def test_on_a_local_cluster_a_killed_worker_is_survived(songs, whole, tmp_path, drivers):
    out = tmp_path / "out"

    process = drivers.start(songs, out, ray="local", workers=1)
    wait_until(lambda: bool(mining(out)) or process.poll() is not None)
    victims = mining(out)
    for pid in victims:
        psutil.Process(pid).kill()
    said = drivers.finish(process)
    assert victims, "it was over before it could be disturbed"
    check(out, whole, said)


def test_a_node_that_is_lost_is_survived(songs, whole, tmp_path, drivers):
    from ray.cluster_utils import Cluster

    out = tmp_path / "out"
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        lost = cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        process = drivers.start(songs, out, ray=cluster.address)
        wait_until(lambda: len(list(out.glob("*/run.json"))) >= 2 or process.poll() is not None)
        assert process.poll() is None
        cluster.remove_node(lost, allow_graceful=False)
        check(out, whole, drivers.finish(process))
    finally:
        cluster.shutdown()


def test_a_cluster_that_is_not_there_is_told(songs, tmp_path):
    with pytest.raises(SearchError, match=r"cannot reach a Ray cluster at '127\.0\.0\.1:9'"):
        mine_all(songs, tmp_path / "out", TINY, ray="127.0.0.1:9")
