"""Mining a collection: one song a task, longest first, on the workers of a pool.

Each song has its folder in the output folder, named by its id, as :func:`graphmix.mine` writes it, or with a
``failure.json`` that says why there is nothing. Beside them are ``catalogue.sqlite`` (see
:mod:`graphmix.mining.catalogue`) and ``mine_all.json``: which collection and which settings the output folder belongs
to. Run again, what is finished is left alone, what was begun is continued, what failed is left until asked for.

The one who hands out the tasks is the *driver*. Drivers do not talk to one another: who works on a song holds the lock
of its folder, and a driver comes back later to songs that another has in hand. So several drivers may share one output
folder, on one machine or on several that share a disk.
"""

import contextlib
import sqlite3
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from graphmix.errors import SearchError
from graphmix.locks import is_locked
from graphmix.mining.catalogue import FILE as CATALOGUE
from graphmix.mining.catalogue import Catalogue, failed_row, mined_row
from graphmix.mining.pool import InProcess, LocalPool, Pool, available_cores, default_workers, find_devices, in_flight
from graphmix.mining.song_task import (
    Outcome,
    SongTask,
    Status,
    is_finished,
    read_failure,
    read_metrics,
    tidy,
    write_failure,
)
from graphmix.mining.worker import Progress
from graphmix.processes import device_name
from graphmix.processors.rack import Rack
from graphmix.progress import Silent
from graphmix.runs import RUN as SONG_RUN
from graphmix.runs import RunFolder, RunStatus, first_difference
from graphmix.search.mine_song import FAILURE, choose_device
from graphmix.search.settings import SearchSettings
from graphmix.songs.collection import Collection, open_collection

RUN = "mine_all.json"
_POLL_SECONDS = 0.25
_LOOK_SECONDS = 2.0
"""How often to look after songs that another driver has in hand."""
_FAILED_BEFORE = "failed in an earlier run"


@dataclass
class Standing:
    """How far the mining of a collection is.

    Args:
        total: songs of the collection.
        mined: by this driver, in this run.
        already: finished when it began.
        elsewhere: finished by another driver meanwhile.
        failed: reason by song, those of earlier runs included.
        waiting: songs that another driver has in hand.
        notices: trouble that stopped no song, such as a catalogue that cannot be written.
        workers: what each is doing.
        seconds: since the beginning.
        remaining: seconds that are left, by the bytes of audio done so far; None until a song is done.
    """

    total: int
    mined: list[str] = field(default_factory=list)
    already: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    waiting: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    workers: list[Progress] = field(default_factory=list)
    seconds: float = 0.0
    remaining: float | None = None

    @property
    def done(self) -> int:
        """Songs that need nothing more, failed ones included."""
        return len(self.mined) + len(self.already) + len(self.elsewhere) + len(self.failed)


class Watcher(Protocol):
    """Who is shown how the mining of a collection goes."""

    def update(self, standing: Standing) -> None:
        """Called a few times a second."""

    def ended(self, outcome: Outcome, standing: Standing) -> None:
        """A song is done with: mined, finished by another driver, or failed."""


def mine_all(
    collection: Collection | str | Path,
    out: str | Path,
    settings: SearchSettings | None = None,
    *,
    workers: int | None = None,
    threads: int | None = None,
    ray: str | None = None,
    device: str = "auto",
    retry_failed: bool = False,
    watcher: Watcher | None = None,
) -> Standing:
    """Mine every song of a collection into a folder, or go on with it.

    Processes are started anew (spawned): a script that calls this needs ``if __name__ == "__main__":``.

    Args:
        collection: opened, or where it is.
        out: output folder; made if it is not there.
        settings: the same for all songs; the paper's by default.
        workers: processes; 0 mines in this process, one song after another. By default one for each GPU or else one
            for each core, fewer where memory is short. With Ray the most songs at a time; by default all it can.
        threads: of each worker; by default the cores are shared out; 1 with Ray.
        ray: address of a Ray cluster instead of a local pool; ``"local"`` starts one on this machine.
        device: on which to compute; ``"auto"`` deals the GPUs out to the workers.
        retry_failed: try again what failed in an earlier run.
        watcher: shown the progress.

    Raises:
        SongError, GraphError, SearchError: no collection, settings that cannot be, an output folder of another run.
            What is wrong with one song is no error; see :attr:`Standing.failed`.
    """
    settings = settings or SearchSettings()
    Rack.console(settings.chain or "g", settings.sample_rate)  # a wrong letter is cheaper to hear of first
    for name, value, least in (("workers", workers, 0), ("threads", threads, 1)):
        if value is not None and value < least:
            raise SearchError(f"{name} is {value}; give {least} or more.")
    if not isinstance(collection, Collection):
        collection = open_collection(collection)
    folder, device = Path(out), device_name(device)
    _claim(folder, collection, settings)
    tasks = [SongTask(song, folder / song.id, settings, device) for song in collection]
    driver = _Driver(folder, tasks, retry_failed, watcher or Silent())
    try:
        driver.plan()
        if driver.has_work:
            driver.run(_make_pool(folder, len(driver.todo), workers, threads, ray, device))
    finally:
        driver.close()
    return driver.standing


def _claim(folder: Path, collection: Collection, settings: SearchSettings) -> None:
    """Make the output folder, and see that it is for this collection and these settings."""
    run = {"collection": collection.name, "settings": settings.to_dict()}
    output = RunFolder(folder, run, CATALOGUE, _difference, _may_hold, RUN)
    if output.status() is RunStatus.NEW:
        with output.hold():
            if output.status() is RunStatus.NEW:  # no other driver was faster
                output.begin()


def _difference(found: Mapping[str, Any], ours: Mapping[str, Any]) -> str | None:
    """In what another output folder differs from ours; see :class:`graphmix.runs.RunFolder`."""
    name, settings = found["collection"], dict(found["settings"])
    if name != ours["collection"]:
        return f"the collection {name!r}, not {ours['collection']!r}. Choose another --out."
    different = first_difference(settings, ours["settings"])
    if different is None:
        return None
    key, before, now = different
    return f"songs mined with {key} = {before}, not {now}. Choose another --out, or the same settings to resume them."


def _may_hold(path: Path) -> bool:
    """What may be in an output folder before its first run: songs mined one by one, their statistics, hidden files."""
    is_mined = any((path / name).exists() for name in (SONG_RUN, FAILURE)) or any(path.glob(f"*/{SONG_RUN}"))
    return is_mined or path.name == "statistics" or path.name.startswith(".")


def _make_pool(
    folder: Path, tasks: int, workers: int | None, threads: int | None, ray: str | None, device: str
) -> Pool:
    if ray is not None:
        from graphmix.mining.ray_pool import RayPool

        return RayPool(ray, folder, threads or 1, 1.0 if device.startswith("cuda") else 0.0, workers)
    if workers == 0:
        return InProcess()
    devices = find_devices(device)
    choose_device(devices[0])
    workers = default_workers(devices) if workers is None else workers
    threads = threads or max(1, available_cores() // workers)  # however few tasks are left: results depend on it
    return LocalPool(min(workers, max(1, tasks)), threads, devices)


class _Driver:
    """Hands out the tasks and writes down what became of them."""

    def __init__(self, folder: Path, tasks: list[SongTask], retry_failed: bool, watcher: Watcher) -> None:
        self.folder, self.retry_failed, self.watcher = folder, retry_failed, watcher
        self.standing = Standing(len(tasks))
        self.tasks = {task.song.id: task for task in tasks}
        self.todo: deque[SongTask] = deque()
        self.waiting: dict[str, SongTask] = {}
        self.in_flight: dict[str, SongTask] = {}
        self.deaths: dict[str, int] = {}
        self.catalogue = Catalogue(folder)
        self._began = self._looked = time.monotonic()
        self._began_at = time.time()

    @property
    def has_work(self) -> bool:
        """Is there a song that is neither finished nor failed?"""
        return bool(self.todo or self.waiting or self.in_flight)

    def close(self) -> None:
        """Let go of the catalogue."""
        self.catalogue.close()

    # --- before

    def plan(self) -> None:
        """Sort the songs into finished, failed and to be done, longest first."""
        known = self.catalogue.statuses()
        for task in self.tasks.values():
            song = task.song
            failure = read_failure(task.folder)
            if is_finished(task):
                tidy(task.folder)
                self.standing.already.append(song.id)
                if known.get(song.id) != "mined":  # a driver was killed before it could write that down
                    self._record_mined(task, read_metrics(task.folder) or {}, None)
            elif song.problems:
                self._fail(Outcome(song.id, Status.FAILED, " ".join(song.problems)), "problem")
            elif failure is not None and failure.get("kind") != "problem" and not self.retry_failed:
                self.standing.failed[song.id] = f"{_FAILED_BEFORE}: {failure.get('reason')}"
                if song.id not in known:
                    self._write(failed_row(song.id, song.id, failure), None)
            else:
                self.todo.append(task)
        self.todo = deque(sorted(self.todo, key=lambda task: (-task.song.size_bytes, task.song.id)))
        self._show()

    # --- meanwhile

    def run(self, pool: Pool) -> None:
        """Until every song is finished or failed."""
        try:
            while self.has_work:
                self._submit(pool)
                if (outcome := pool.next_outcome(_POLL_SECONDS)) is not None:
                    self._hear(outcome, pool.retries)
                if self.waiting and time.monotonic() - self._looked > _LOOK_SECONDS:
                    self._look()
                self.standing.workers = in_flight(pool.progress(), list(self.in_flight))
                self._show()
        finally:
            pool.stop()

    def _submit(self, pool: Pool) -> None:
        while self.todo and len(self.in_flight) < pool.slots:
            task = self.todo.popleft()
            if is_finished(task):
                self._finished_elsewhere(task)
            elif is_locked(task.folder):
                self._wait_for(task)
            else:
                self.in_flight[task.song.id] = task
                self._note(task.song.id, "submitted")
                pool.submit(task)

    def _hear(self, outcome: Outcome, retries: int) -> None:
        task = self.in_flight.pop(outcome.song_id)
        match outcome.status:
            case Status.MINED:
                tidy(task.folder)
                self.standing.mined.append(outcome.song_id)
                self._record_mined(task, outcome.metrics, outcome)
            case Status.ALREADY:
                self._finished_elsewhere(task)
            case Status.BUSY:
                self._wait_for(task)
            case Status.FAILED:
                self._fail(outcome, "error")
            case Status.DIED:
                deaths = self.deaths[outcome.song_id] = self.deaths.get(outcome.song_id, 0) + 1
                if deaths > retries:
                    again = f" This was attempt {deaths}." if deaths > 1 else ""
                    self._fail(replace(outcome, reason=outcome.reason + again), "died")
                else:
                    self._note(outcome.song_id, "died", outcome)
                    self.todo.appendleft(task)

    def _wait_for(self, task: SongTask) -> None:
        self.waiting[task.song.id] = task
        self.standing.waiting = list(self.waiting)

    def _look(self) -> None:
        """What has become of the songs that others had in hand?"""
        self._looked = time.monotonic()
        for song_id, task in list(self.waiting.items()):
            if is_finished(task):
                self._finished_elsewhere(task)
            elif not is_locked(task.folder):
                failure = read_failure(task.folder)
                if failure is not None and _modified(task) >= self._began_at:
                    self.standing.failed[song_id] = str(failure.get("reason"))
                    self._tell(Outcome(song_id, Status.FAILED, str(failure.get("reason")), worker="another driver"))
                else:  # its process was killed, or its driver stopped
                    self.todo.append(task)
            else:
                continue
            del self.waiting[song_id]
        self.standing.waiting = list(self.waiting)

    def _finished_elsewhere(self, task: SongTask) -> None:
        tidy(task.folder)
        self.standing.elsewhere.append(task.song.id)
        metrics = read_metrics(task.folder) or {}
        self._record_mined(task, metrics, None)
        self._tell(Outcome(task.song.id, Status.ALREADY, metrics=metrics, worker="another driver"))

    # --- writing down

    def _record_mined(self, task: SongTask, metrics: dict[str, Any], outcome: Outcome | None) -> None:
        row = mined_row(task.song.id, task.song.id, metrics)
        row |= {"collection": task.song.collection, "artist": task.song.artist}
        self._write(row, outcome)
        if outcome is not None:
            self._tell(outcome)

    def _fail(self, outcome: Outcome, kind: str) -> None:
        task = self.tasks[outcome.song_id]
        unwritten = write_failure(task, outcome.reason, kind, outcome.details)
        if unwritten is not None:
            self.standing.notices.append(f"{outcome.song_id}: the reason of its failure is not kept ({unwritten})")
        self.standing.failed[outcome.song_id] = outcome.reason
        failure = {"reason": outcome.reason, "settings": task.settings.to_dict()}
        row = failed_row(outcome.song_id, outcome.song_id, failure)
        self._write(row | {"collection": task.song.collection, "artist": task.song.artist}, outcome)
        self._tell(outcome)

    def _write(self, row: dict[str, Any], outcome: Outcome | None) -> None:
        with self._catalogue_is_no_reason_to_stop():
            event, worker = (str(outcome.status), outcome.worker) if outcome else (None, "")
            self.catalogue.record(row, event, worker)

    def _note(self, song_id: str, event: str, outcome: Outcome | None = None) -> None:
        with self._catalogue_is_no_reason_to_stop():
            if outcome is None:
                self.catalogue.note(song_id, event)
            else:
                self.catalogue.note(song_id, event, outcome.worker, outcome.seconds, outcome.reason)

    @contextlib.contextmanager
    def _catalogue_is_no_reason_to_stop(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            notice = f"{self.catalogue.path} cannot be written ({error}); it is made good when the command is run again"
            if notice not in self.standing.notices:
                self.standing.notices.append(notice)

    # --- showing

    def _tell(self, outcome: Outcome) -> None:
        self._reckon()
        self.watcher.ended(outcome, self.standing)

    def _show(self) -> None:
        self._reckon()
        self.watcher.update(self.standing)

    def _reckon(self) -> None:
        """Seconds so far, and those that are left at the pace of the songs that this driver has done."""
        standing = self.standing
        standing.seconds = time.monotonic() - self._began
        done = sum(self.tasks[song].song.size_bytes for song in standing.mined)
        left = sum(task.song.size_bytes for task in [*self.todo, *self.in_flight.values(), *self.waiting.values()])
        standing.remaining = standing.seconds * left / done if done else None


def _modified(task: SongTask) -> float:
    try:
        return (task.folder / FAILURE).stat().st_mtime
    except OSError:
        return 0.0
