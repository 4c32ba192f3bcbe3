"""The code that runs in a worker of ``mine-all``: it does a task and writes its progress for the driver to read."""

import contextlib
import json
import os
import platform
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from graphmix.io import finite, to_json

if TYPE_CHECKING:
    from graphmix.mining.song_task import Outcome, SongTask

_WRITE_EVERY_SECONDS = 0.5


def work(task: "SongTask", progress: Path | None, worker: str = "") -> "Outcome":
    """Do a task and write its progress into a folder."""
    from graphmix.mining.song_task import do_task

    if progress is None:
        return do_task(task, None, worker)
    listener = ProgressWriter(progress, worker or f"{platform.node()}-{os.getpid()}", task.song.id)
    try:
        return do_task(task, listener, listener.now.worker)
    finally:
        listener.remove()


# --- progress, from worker to driver through small files, so that a killed worker leaves no lock behind


@dataclass
class Progress:
    """The progress of a worker.

    Args:
        worker: name of the worker.
        song_id: id of the song that it mines.
        phase: current phase of the search.
        done: units of the phase that are done.
        total: units of the phase, if known.
        loss: the training loss, if known.
        started: when it began with the song, in seconds since the epoch.
        pid: id of its process.
    """

    worker: str
    song_id: str
    phase: str = "loading"
    done: int = 0
    total: int | None = None
    loss: float | None = None
    started: float = 0.0
    pid: int = 0


class ProgressWriter:
    """A :class:`graphmix.progress.Listener` that keeps a small file up to date, where that can be written."""

    def __init__(self, folder: Path, worker: str, song_id: str) -> None:
        self.now = Progress(worker, song_id, started=time.time(), pid=os.getpid())
        self.path = folder / f"{worker}.json"
        self._last = -_WRITE_EVERY_SECONDS
        self._write()

    def phase(self, name: str, total: int | None, done: int = 0) -> None:
        """Show the phase."""
        self.now.phase, self.now.total, self.now.done = name, total, done
        self._write()

    def progress(self, done: int, total: int | None = None, **numbers: float) -> None:
        """Show the units done, at most twice a second."""
        self.now.done = done
        self.now.total = self.now.total if total is None else total
        self.now.loss = numbers.get("loss", self.now.loss)
        if time.monotonic() - self._last >= _WRITE_EVERY_SECONDS:
            self._write()

    def remove(self) -> None:
        """Remove the file: the song has ended."""
        with contextlib.suppress(OSError):
            self.path.unlink()

    def _write(self) -> None:
        self._last = time.monotonic()
        beside = self.path.with_suffix(".part")
        with contextlib.suppress(OSError):
            beside.write_text(to_json(finite(asdict(self.now))))
            os.replace(beside, self.path)


def read_progress(folder: Path) -> Iterator[Progress]:
    """The progress of the workers that write into a folder."""
    for path in sorted(folder.glob("*.json")):
        with contextlib.suppress(OSError, ValueError, TypeError):
            yield Progress(**json.loads(path.read_text()))
