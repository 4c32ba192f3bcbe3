"""Tasks on a Ray cluster: this machine's own, or one that runs already.

Ray is an extra (``pip install "graphmix[ray]"``). Every node needs graphmix, and sees the songs and the output folder
under the same paths. A task whose worker or node dies is run again by Ray, up to :data:`RETRIES` times, and resumes
from its last checkpoint. Ray's processes listen on the network, on all interfaces: see docs/mining_at_scale.md. Its
usage statistics are turned off.
"""

import os
import shutil
import socket
import time
import uuid
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from graphmix.errors import SearchError
from graphmix.mining.pool import in_flight
from graphmix.mining.song_task import Outcome, SongTask, Status
from graphmix.mining.worker import Progress, read_progress, work
from graphmix.processes import prepare_to_render

RETRIES = 3
LOCAL = "local"
_PROBE_SECONDS = 10
_AHEAD = 2
"""Tasks that wait in Ray's queue, so that a cluster with autoscaling sees a demand."""


class RayPool:
    """Workers of a Ray cluster.

    Args:
        address: of the cluster, as ``ray.init`` takes it; ``"local"`` starts one on this machine.
        folder: that all nodes see, for files on the progress.
        threads: CPUs of each task.
        gpus: GPUs of each task; may be a fraction.
        workers: the most tasks to submit at a time; as many as the cluster can do at once by default.

    Raises:
        SearchError: Ray is not installed, or the cluster cannot be reached.
    """

    retries = 0

    def __init__(
        self, address: str, folder: Path, threads: int = 1, gpus: float = 0, workers: int | None = None
    ) -> None:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        try:
            ray: Any = import_module("ray")
        except ImportError:
            raise SearchError('Ray is not installed: pip install "graphmix[ray]", or use --workers.') from None
        self._ray, self._workers, self._cpus = ray, workers, threads
        self._is_ours = not ray.is_initialized()
        if self._is_ours:
            _connect(ray, address)
        self._folder = folder / f".progress-{uuid.uuid4().hex[:8]}"
        self._folder.mkdir(parents=True)
        options = {"num_cpus": threads, "num_gpus": gpus, "max_retries": RETRIES}
        self._remote = ray.remote(**options)(work_on_ray)
        self._songs: dict[Any, str] = {}
        self._slots, self._counted = 1, -1e9

    @property
    def slots(self) -> int:
        """As many as the cluster can do at once, and a few more."""
        if self._workers is not None:
            return self._workers
        if time.monotonic() - self._counted > 5:
            cpus = self._ray.cluster_resources().get("CPU", 1)
            self._slots, self._counted = int(cpus // self._cpus) + _AHEAD, time.monotonic()
        return self._slots

    def submit(self, task: SongTask) -> None:
        """Put a task into Ray's queue."""
        reference = self._remote.options(name=task.song.id).remote(task, self._folder, self._cpus)
        self._songs[reference] = task.song.id

    def next_outcome(self, seconds: float) -> Outcome | None:
        """Wait so long for a task to end."""
        if not self._songs:
            time.sleep(seconds)
            return None
        ready, _ = self._ray.wait(list(self._songs), num_returns=1, timeout=seconds)
        if not ready:
            return None
        song = self._songs.pop(ready[0])
        try:
            outcome: Outcome = self._ray.get(ready[0])
            return outcome
        except self._ray.exceptions.RayError as error:
            lines = str(error).strip().splitlines() or [""]
            return Outcome(song, Status.DIED, f"Ray lost its worker ({type(error).__name__}: {lines[0]}).")

    def progress(self) -> list[Progress]:
        """What the workers are doing."""
        return in_flight(list(read_progress(self._folder)), list(self._songs.values()))

    def stop(self) -> None:
        """Cancel the tasks, and shut the cluster down if this pool started it."""
        for reference in self._songs:
            with suppress(self._ray.exceptions.RayError):
                self._ray.cancel(reference, force=True)
        if self._is_ours:
            self._ray.shutdown()
        shutil.rmtree(self._folder, ignore_errors=True)


def _connect(ray: Any, address: str) -> None:
    try:
        _probe(address)
        dashboard = {"include_dashboard": False} if address == LOCAL else {}
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", **dashboard)
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise SearchError(f"cannot reach a Ray cluster at {address!r} ({lines[0]}).") from None


def _probe(address: str) -> None:
    """Fail at once where nothing answers; Ray itself would try for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PROBE_SECONDS).close()


def work_on_ray(task: SongTask, progress: Path, threads: int) -> Outcome:
    """Do a task in a worker process of Ray."""
    prepare_to_render(threads)
    return work(task, progress)
