"""The driver of a collection: hands the tasks to a pool and records the outcomes.

Drivers do not communicate with one another: the process that works on a song holds the lock of its folder, and a driver
comes back later to songs that another one is mining. So several drivers may share one output folder, on one machine or
on several that share a disk.
"""

import sqlite3
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from graphmix.locks import is_locked
from graphmix.mining.catalogue import Catalogue, failed_row, mined_row
from graphmix.mining.pool import Pool, in_flight
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
from graphmix.search.mine_song import FAILURE

_POLL_SECONDS = 0.25
_RECHECK_SECONDS = 2.0
"""How often to check the songs that another driver is mining."""
_FAILED_BEFORE = "failed in an earlier run"


@dataclass
class Standing:
    """The state of the mining of a collection.

    Args:
        total: number of songs of the collection.
        mined: songs that this driver mined in this run.
        already: songs that were finished when it began.
        elsewhere: songs that another driver finished meanwhile.
        failed: reason by song, failures of earlier runs included.
        waiting: songs that another driver is mining.
        notices: problems that stopped no song, such as a catalogue that cannot be written.
        workers: progress of each worker.
        seconds: time since the beginning.
        remaining: estimated seconds that are left, by the bytes of audio done so far; None until a song is done.
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
    """An observer of the mining of a collection."""

    def update(self, standing: Standing) -> None:
        """Show the state; called a few times a second."""

    def ended(self, outcome: Outcome, standing: Standing) -> None:
        """Show that a song has ended: mined, finished by another driver, or failed."""


class Driver:
    """Mines the songs of a collection on a pool.

    Args:
        folder: output folder.
        tasks: one for each song.
        retry_failed: try songs again that failed in an earlier run.
        watcher: shown the progress.

    Raises:
        GraphmixError: the catalogue cannot be opened.
    """

    def __init__(self, folder: Path, tasks: list[SongTask], retry_failed: bool, watcher: Watcher) -> None:
        self.folder, self.retry_failed, self.watcher = folder, retry_failed, watcher
        self.standing = Standing(len(tasks))
        self.tasks = {task.song.id: task for task in tasks}
        self.todo: deque[SongTask] = deque()
        self.waiting: dict[str, SongTask] = {}
        self.in_flight: dict[str, SongTask] = {}
        self.deaths: dict[str, int] = {}
        self.catalogue = Catalogue(folder)
        self._began = self._checked = time.monotonic()
        self._began_at = time.time()

    @property
    def has_work(self) -> bool:
        """Whether there is a song that is neither finished nor failed."""
        return bool(self.todo or self.waiting or self.in_flight)

    def close(self) -> None:
        """Close the catalogue."""
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
                if known.get(song.id) != "mined":  # a driver was killed before it could record that
                    self._record_mined(task, read_metrics(task.folder) or {}, None)
            elif song.problems:
                self._fail(Outcome(song.id, Status.FAILED, " ".join(song.problems)), "problem")
            elif failure is not None and failure.get("kind") != "problem" and not self.retry_failed:
                self.standing.failed[song.id] = f"{_FAILED_BEFORE}: {failure.get('reason')}"
                if song.id not in known:
                    self._record(failed_row(song.id, song.id, failure), None)
            else:
                self.todo.append(task)
        self.todo = deque(sorted(self.todo, key=lambda task: (-task.song.size_bytes, task.song.id)))
        self._show()

    # --- meanwhile

    def run(self, pool: Pool) -> None:
        """Mine until every song is finished or failed."""
        try:
            while self.has_work:
                self._submit(pool)
                if (outcome := pool.next_outcome(_POLL_SECONDS)) is not None:
                    self._settle(outcome, pool.retries)
                if self.waiting and time.monotonic() - self._checked > _RECHECK_SECONDS:
                    self._check_waiting()
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

    def _settle(self, outcome: Outcome, retries: int) -> None:
        """Record the outcome of a task; one whose worker died is submitted again."""
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

    def _check_waiting(self) -> None:
        """Find the songs that other drivers have finished or left."""
        self._checked = time.monotonic()
        for song_id, task in list(self.waiting.items()):
            if is_finished(task):
                self._finished_elsewhere(task)
            elif not is_locked(task.folder):
                failure = read_failure(task.folder)
                if failure is not None and _modified(task) >= self._began_at:
                    self.standing.failed[song_id] = str(failure.get("reason"))
                    self._show_end(Outcome(song_id, Status.FAILED, str(failure.get("reason")), worker="another driver"))
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
        self._show_end(Outcome(task.song.id, Status.ALREADY, metrics=metrics, worker="another driver"))

    # --- recording

    def _record_mined(self, task: SongTask, metrics: dict[str, Any], outcome: Outcome | None) -> None:
        row = mined_row(task.song.id, task.song.id, metrics)
        row |= {"collection": task.song.collection, "artist": task.song.artist}
        self._record(row, outcome)
        if outcome is not None:
            self._show_end(outcome)

    def _fail(self, outcome: Outcome, kind: str) -> None:
        task = self.tasks[outcome.song_id]
        unwritten = write_failure(task, outcome.reason, kind, outcome.details)
        if unwritten is not None:
            self.standing.notices.append(f"{outcome.song_id}: the reason of its failure is not stored ({unwritten})")
        self.standing.failed[outcome.song_id] = outcome.reason
        failure = {"reason": outcome.reason, "settings": task.settings.to_dict()}
        row = failed_row(outcome.song_id, outcome.song_id, failure)
        self._record(row | {"collection": task.song.collection, "artist": task.song.artist}, outcome)
        self._show_end(outcome)

    def _record(self, row: dict[str, Any], outcome: Outcome | None) -> None:
        with self._without_stopping():
            event, worker = (str(outcome.status), outcome.worker) if outcome else (None, "")
            self.catalogue.record(row, event, worker)

    def _note(self, song_id: str, event: str, outcome: Outcome | None = None) -> None:
        with self._without_stopping():
            if outcome is None:
                self.catalogue.note(song_id, event)
            else:
                self.catalogue.note(song_id, event, outcome.worker, outcome.seconds, outcome.reason)

    @contextmanager
    def _without_stopping(self) -> Iterator[None]:
        """A catalogue that cannot be written is a notice."""
        try:
            yield
        except sqlite3.Error as error:
            notice = f"{self.catalogue.path} cannot be written ({error}); it is completed when the command is run again"
            if notice not in self.standing.notices:
                self.standing.notices.append(notice)

    # --- showing

    def _show_end(self, outcome: Outcome) -> None:
        self._estimate()
        self.watcher.ended(outcome, self.standing)

    def _show(self) -> None:
        self._estimate()
        self.watcher.update(self.standing)

    def _estimate(self) -> None:
        """Update the seconds so far, and those left at the pace of the songs that this driver has done."""
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
