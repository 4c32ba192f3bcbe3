"""Pools that do tasks: in worker processes of this machine, or in this process.

A pool takes tasks by ``submit`` and returns outcomes by ``next_outcome``, in the order in which they end. A worker is a
pebble pool of one spawned process and the thread that feeds it. Workers share no pipe and no lock, so that a killed one
costs only its task.
"""

import os
import queue
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol

from pebble import ProcessExpired, ProcessPool

from graphmix.mining.song_task import Outcome, SongTask, Status, do_task
from graphmix.mining.worker import Progress, read_progress, work
from graphmix.processes import THREAD_VARIABLES, WAIT_POLICY, start_worker, wait_asleep

_STARTS = 5
"""How often to start a process for a task that ends before it has it."""
_STOP_SECONDS = 15
_BYTES_PER_WORKER = 4 << 30
"""Memory that a worker may need: a console of 16 tracks takes 2 to 3 GB."""


class Pool(Protocol):
    """A place where tasks are done."""

    retries: int
    """How often to submit a task again whose worker died."""

    @property
    def slots(self) -> int:
        """How many tasks to hand over at a time."""

    def submit(self, task: SongTask) -> None:
        """Do this task."""

    def next_outcome(self, seconds: float) -> Outcome | None:
        """Wait so long for a task to end."""

    def progress(self) -> list[Progress]:
        """What the workers are doing."""

    def stop(self) -> None:
        """End all workers, at once."""


class InProcess:
    """A pool without workers: tasks are done one by one in this process, when their outcome is requested."""

    retries = 0
    slots = 1

    def __init__(self) -> None:
        self._tasks: deque[SongTask] = deque()

    def submit(self, task: SongTask) -> None:
        """Keep it for :meth:`next_outcome`."""
        self._tasks.append(task)

    def next_outcome(self, seconds: float) -> Outcome | None:
        """Do the next task."""
        if not self._tasks:
            time.sleep(seconds)
            return None
        return do_task(self._tasks.popleft(), worker="this process")

    def progress(self) -> list[Progress]:
        """None: nothing runs between two calls."""
        return []

    def stop(self) -> None:
        """Do nothing."""


class LocalPool:
    """Worker processes on this machine.

    Args:
        workers: number of processes.
        threads: of each; by default the cores of this machine are divided among the workers.
        devices: on which the workers compute, in turn; a task for ``"auto"`` goes to its worker's device.
        make_pool: makes the process of a worker, as :class:`pebble.ProcessPool`.
    """

    retries = 1

    def __init__(
        self,
        workers: int,
        threads: int | None = None,
        devices: Sequence[str] = ("auto",),
        make_pool: Callable[..., Any] = ProcessPool,
    ) -> None:
        threads = threads or max(1, available_cores() // workers)
        self._outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._folder = Path(tempfile.mkdtemp(prefix="graphmix-"))
        self._before = {name: os.environ.get(name) for name in (*THREAD_VARIABLES, WAIT_POLICY)}
        os.environ |= dict.fromkeys(THREAD_VARIABLES, str(threads))  # inherited by the workers, as the next line's
        wait_asleep()
        self._workers = [
            _Worker(f"worker {i + 1}", threads, devices[i % len(devices)], self._folder, self._outcomes, make_pool)
            for i in range(workers)
        ]
        for worker in self._workers:
            worker.start()

    @property
    def slots(self) -> int:
        """One task for each worker."""
        return len(self._workers)

    def submit(self, task: SongTask) -> None:
        """Give a task to an idle worker; there are :attr:`slots` of them."""
        worker = next((worker for worker in self._workers if worker.is_idle), self._workers[0])
        worker.give(task)

    def next_outcome(self, seconds: float) -> Outcome | None:
        """Wait so long for a task to end."""
        with suppress(queue.Empty):
            return self._outcomes.get(timeout=seconds)
        return None

    def progress(self) -> list[Progress]:
        """What the workers are doing."""
        return list(read_progress(self._folder))

    def stop(self) -> None:
        """End all workers; their songs keep their last checkpoints."""
        endings = [worker.stop() for worker in self._workers]
        for ending in endings:
            ending.join(timeout=_STOP_SECONDS)
        shutil.rmtree(self._folder, ignore_errors=True)
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class _Worker(threading.Thread):
    """A thread with a process: gives it one task at a time, and starts another process after one that died."""

    def __init__(
        self,
        name: str,
        threads: int,
        device: str,
        folder: Path,
        outcomes: "queue.SimpleQueue[Outcome]",
        make_pool: Callable[..., Any],
    ) -> None:
        super().__init__(name=name, daemon=True)
        self.is_idle, self._make_pool = True, make_pool
        self._threads, self._device, self._folder, self._outcomes = threads, device, folder, outcomes
        self._tasks: queue.SimpleQueue[SongTask | None] = queue.SimpleQueue()
        self._pool: ProcessPool | None = None
        self._future: Any = None
        self._is_stopped = False

    def give(self, task: SongTask) -> None:
        """Do this task."""
        self.is_idle = False
        self._tasks.put(task)

    def stop(self) -> threading.Thread:
        """Begin to end the process and the thread -> a thread that ends with them."""
        self._is_stopped = True
        self._tasks.put(None)
        if self._future is not None:
            self._future.cancel()
        ending = threading.Thread(target=_end, args=(self._pool,), daemon=True)
        ending.start()
        return ending

    def run(self) -> None:
        """Do tasks until :meth:`stop`."""
        if hasattr(signal, "pthread_sigmask"):  # inherited by the process: the driver alone handles Ctrl-C
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        while (task := self._tasks.get()) is not None and not self._is_stopped:
            outcome = self._do(task)
            self.is_idle = True
            self._outcomes.put(outcome)

    def _do(self, task: SongTask) -> Outcome:
        if task.device == "auto":
            task = replace(task, device=self._device)
        started = time.perf_counter()
        for attempt in range(_STARTS):
            try:
                return self._ask(task)
            except BaseException as error:  # the task itself turns its errors into outcomes
                if not self._is_stopped:  # else the pool is being ended already
                    self._discard()
                # where a process died before it had the task, the song is not the cause
                if not isinstance(error, BrokenProcessPool) or self._is_stopped or attempt == _STARTS - 1:
                    reason = describe_death(error)
                    break
        return Outcome(task.song.id, Status.DIED, reason, seconds=time.perf_counter() - started, worker=self.name)

    def _ask(self, task: SongTask) -> Outcome:
        """Do it in the process, which is started if there is none."""
        if self._pool is None:
            context = get_context("spawn")
            self._pool = self._make_pool(1, initializer=start_worker, initargs=(self._threads,), context=context)
        self._future = self._pool.schedule(work, args=(task, self._folder, self.name))
        outcome: Outcome = self._future.result()
        return outcome

    def _discard(self) -> None:
        """Give up a pool whose process died; the next task gets a new one."""
        pool, self._pool = self._pool, None
        (self._folder / f"{self.name}.json").unlink(missing_ok=True)
        threading.Thread(target=_end, args=(pool,), daemon=True).start()


def _end(pool: ProcessPool | None) -> None:
    """End a pool and its process; this may wait for a message that was cut off, so it is done in a thread."""
    if pool is not None:
        pool.stop()
        pool.join()


def describe_death(error: BaseException) -> str:
    """Why a worker ended without an outcome, in a sentence."""
    if isinstance(error, ProcessExpired):
        code = error.exitcode
        if code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
            memory = " (did the machine run out of memory?)" if name == "SIGKILL" else ""
            return f"its worker was killed by {name}{memory}."
        return f"its worker ended with exit status {code}."
    if isinstance(error, BrokenProcessPool):
        return f"no worker could be started for it, {_STARTS} times; does `import graphmix` work in a new process?"
    return f"its worker was lost ({type(error).__name__}: {' '.join(str(error).split())})."


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def default_workers(devices: Sequence[str], cores: int | None = None, memory: int | None = None) -> int:
    """One worker for each GPU; without GPUs, as many as there are cores and memory for.

    Args:
        devices: as :func:`find_devices` returns them.
        cores: those of this process by default.
        memory: bytes; that of this machine by default.
    """
    if len(devices) > 1 or devices[0].startswith("cuda"):
        return len(devices)
    cores = available_cores() if cores is None else cores
    memory = total_memory() if memory is None else memory
    return max(1, min(cores, memory // _BYTES_PER_WORKER))


def total_memory() -> int:
    """Bytes of memory of this machine; more than any worker needs where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return sys.maxsize


def find_devices(device: str) -> list[str]:
    """The devices that ``"auto"`` or ``"cuda"`` stand for, one for each worker in turn: all GPUs, or the CPU."""
    if device not in ("auto", "cuda"):
        return [device]
    import torch

    found = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    return found or ["cpu" if device == "auto" else device]


def in_flight(progress: Iterable[Progress], songs: Iterable[str]) -> list[Progress]:
    """The newest progress of each song that is being mined."""
    newest = {entry.song_id: entry for entry in sorted(progress, key=lambda entry: entry.started)}
    return [newest[song] for song in songs if song in newest]
