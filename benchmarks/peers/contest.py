"""Contenders in processes of their own, all of them alive, of which one works at a time.

So each has its own allocator setting and its own peak memory, and all are timed in one run, round by round: every
contender once, in turn. A contender answers lines of JSON on its standard input by lines on its standard output, and
waits without load in between.
"""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter
from typing import Any

Job = Callable[[], object]
Build = Callable[[str, Mapping[str, Any], Callable[[], None]], Mapping[str, Job]]
"""From name, work and a function to call after all imports: the jobs of a contender. Values of a dict that a job
returns are reported beside its seconds; with ``seconds`` among them it times itself."""
SLOW_S = 20.0
"""A job that takes longer once it is warm is not repeated: that run is its result."""


class Contest(AbstractContextManager):
    """Start a process for each contender.

    Args:
        script: the file to run; called with ``--worker NAME`` it has to call :func:`serve`.
        names: contenders.
        work: JSON values that every contender gets.
        threads: of each.
        variables: name -> environment variables of that contender; None removes one.
    """

    def __init__(
        self,
        script: str,
        names: Sequence[str],
        work: Mapping[str, Any],
        threads: int,
        variables: Mapping[str, Mapping[str, str | None]] | None = None,
    ) -> None:
        counts = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")}
        self._workers = {
            name: subprocess.Popen(
                [sys.executable, script, "--worker", name],
                env=_environment(os.environ | counts, (variables or {}).get(name, {})),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for name in names
        }
        for name in names:  # one after the other: building is work too
            self._ask(name, {"work": dict(work), "threads": threads})

    def _ask(self, name: str, question: Mapping[str, Any]) -> dict[str, Any]:
        worker = self._workers[name]
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write(json.dumps(question) + "\n")
        worker.stdin.flush()
        answer = worker.stdout.readline()
        if not answer:
            raise SystemExit(f"{name} ended with {worker.wait()}; its messages are above.")
        return json.loads(answer)

    def run(self, job: str, repeats: int, warmup: int = 2, names: Sequence[str] = ()) -> dict[str, list[dict]]:
        """Let every contender do a job ``repeats`` times, in turn; one dict with ``seconds`` for each time."""
        return repeat(lambda name: self._ask(name, {"job": job}), names or tuple(self._workers), repeats, warmup)

    def memory(self, name: str) -> dict[str, float]:
        """Peak resident memory of a contender so far, and what its imports alone took, in GB."""
        return self._ask(name, {"job": "memory"})

    def __exit__(self, *_: object) -> None:
        for worker in self._workers.values():
            assert worker.stdin is not None
            worker.stdin.close()
            worker.wait()


def _environment(inherited: Mapping[str, str], changes: Mapping[str, str | None]) -> dict[str, str]:
    kept = {name: value for name, value in inherited.items() if name not in changes}
    return kept | {name: value for name, value in changes.items() if value is not None}


def repeat(
    ask: Callable[[str], dict[str, Any]], names: Sequence[str], repeats: int, warmup: int
) -> dict[str, list[dict]]:
    """Let contenders work in turn, round by round -> for each what it answered after the warm-up.

    The first of several runs is not representative of a job: loops are compiled, libraries loaded, caches filled.
    It is never a result, and only the second decides whether a job is slow.

    Args:
        ask: lets the contender of a name do its job once; its answer has ``seconds``.
        names: contenders.
        repeats: runs that count.
        warmup: runs before them that do not.
    """
    results: dict[str, list[dict]] = {name: [] for name in names}
    slow: set[str] = set()
    for i in range(warmup + repeats):
        for name in names:
            if name in slow:
                continue
            answer = ask(name)
            if warmup and i == 1 and answer["seconds"] > SLOW_S:
                slow.add(name)
            if i >= warmup or name in slow:
                results[name].append(answer)
    return results


def serve(name: str, build: Build) -> None:
    """The life of a contender: build its jobs, then do them as asked."""
    answers, sys.stdout = sys.stdout, sys.stderr  # what libraries print is no answer
    start = json.loads(sys.stdin.readline())
    memory: dict[str, float] = {}

    def imported() -> None:
        memory["libraries_gb"] = _status_gb("VmRSS")

    def answer(values: Mapping[str, Any]) -> None:
        answers.write(json.dumps(values) + "\n")
        answers.flush()

    import torch

    torch.set_num_threads(start["threads"])
    jobs = build(name, start["work"], imported)
    answer({})
    for line in sys.stdin:
        job = json.loads(line)["job"]
        if job == "memory":
            answer({"peak_gb": _status_gb("VmHWM")} | memory)
            continue
        begun = perf_counter()
        values = jobs[job]()
        seconds = perf_counter() - begun
        answer({"seconds": seconds} | (values if isinstance(values, dict) else {}))


def _status_gb(field: str) -> float:
    """A field of the process's status. (getrusage's peak would include that of the parent, before the exec.)"""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024 / 1e9
    raise SystemExit(f"this system does not report {field}: the benchmark of memory needs Linux.")


def summarize(runs: Sequence[Mapping[str, float]], key: str = "seconds") -> dict[str, float]:
    """Median, smallest and largest of one number of several runs."""
    values = [run[key] for run in runs]
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "repeats": len(values)}


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Versions of Python and of installed packages; ``"-"`` where one is missing."""
    found = {"python": sys.version.split()[0]}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "-"
    return found
