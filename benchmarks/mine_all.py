"""Throughput of mine-all: what do a pool and Ray cost compared with plain runs of mine(), and what do two workers gain?

    python benchmarks/mine_all.py --json
    python benchmarks/mine_all.py --collection ../shared/audio --limit 4 --steps 100 --rounds 2

All mine the same songs with the same settings, a thread for each worker, from an empty folder, each in a process of its
own, one after the other:

- ``plain``: one process that calls ``mine()`` for one song after another;
- ``pool``: ``mine_all`` with one worker; ``pool x2``: with two;
- ``ray``: ``mine_all`` on a local Ray cluster with one task at a time.

Seconds are those from the call of ``mine_all``, or of the first ``mine()``, to its return: the start of workers, which
load the libraries while the plain process has them already, is included, and also listed separately (``start_s``, from
the call to the first song's first file), since it does not grow with the number of songs. CPU seconds are of the
process and all its children; they suffer less from what else a machine has to do. Overhead is seconds beyond the plain
run's, as a share of them. Repeated runs alternate, and the median is reported.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter, time
from typing import Any

from step import cpu_name

WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "pool": {"workers": 1},
    "pool x2": {"workers": 2},
    "ray": {"workers": 1, "ray": "local"},
}
BARS = {"pool": 0.03, "ray": 0.10}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--collection", type=Path, help="of songs; the demo songs of several seeds by default")
    parser.add_argument("--limit", type=int, default=4, help="number of songs")
    parser.add_argument("--chain", default="ecnsgdr")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(json.loads(options.work))
        return
    result = contest(options)
    if options.json:
        print(json.dumps(result, indent=1))
    else:
        show(result)


def contest(options: argparse.Namespace) -> dict[str, Any]:
    """Every way in turn, as often as asked for."""
    runs: dict[str, list[dict[str, Any]]] = {way: [] for way in options.ways}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        songs = options.collection or write_songs(folder / "songs", options.limit)
        budget = {"chain": options.chain, "steps": options.steps, "rounds": options.rounds, "limit": options.limit}
        for _ in range(options.repeats):
            for way in options.ways:
                out = folder / "out"
                task = {"way": way, "songs": str(songs), "out": str(out), **budget}
                command = [sys.executable, "-W", "ignore", __file__, "--work", json.dumps(task)]
                threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
                answer = subprocess.run(
                    command, env=os.environ | threads, stdout=subprocess.PIPE, text=True, check=True
                )
                runs[way].append(json.loads(answer.stdout.splitlines()[-1]))
                print(f"{way}: {runs[way][-1]}", file=sys.stderr)
                shutil.rmtree(out)
    ways = {way: {key: statistics.median(run[key] for run in own) for key in own[0]} for way, own in runs.items()}
    for way, own in ways.items():
        if "plain" in ways:
            plain = ways["plain"]
            own["overhead"] = round(own["seconds"] / plain["seconds"] - 1, 4)
            own["overhead_without_start"] = round(
                (own["seconds"] - own["start_s"]) / (plain["seconds"] - plain["start_s"]) - 1, 4
            )
            own["cpu_overhead"] = round(own["cpu_s"] / plain["cpu_s"] - 1, 4)
        own["bar"] = BARS.get(way)
    return {
        "songs": options.limit,
        **budget,
        "repeats": options.repeats,
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "ways": ways,
    }


def write_songs(folder: Path, count: int) -> Path:
    """The demo song with several seeds."""
    from graphmix.songbook.demo import write_demo_song

    for seed in range(count):
        write_demo_song(folder / f"demo {seed}", seed)
    return folder


def work(task: dict[str, Any]) -> None:
    """One way, in this process; prints a line of JSON."""
    from dataclasses import replace

    import torch

    from graphmix.mining.mine_collection import mine_all
    from graphmix.processes import keep_memory
    from graphmix.search import DRAFT, mine
    from graphmix.songs.collection import open_collection

    torch.set_num_threads(1)
    keep_memory()
    collection = open_collection(task["songs"])
    collection = replace(collection, songs=collection.usable[: task["limit"]])
    settings = replace(DRAFT, chain=task["chain"], master="").scaled(task["steps"], task["rounds"])
    out = Path(task["out"])
    warm_up(collection.songs[0], settings, out.with_name("warm-up"))
    before, started, started_at = cpu_seconds(), perf_counter(), time()
    if task["way"] == "plain":
        for song in sorted(collection, key=lambda song: -song.size_bytes):
            mine(song.load(settings.sample_rate), out / song.id, settings, device="cpu")
    else:
        standing = mine_all(collection, out, settings, threads=1, device="cpu", **WAYS[task["way"]])
        assert len(standing.mined) == len(collection), standing
    seconds = perf_counter() - started
    print(
        json.dumps(
            {
                "seconds": round(seconds, 2),
                "start_s": round(max(0.0, start_seconds(out, started_at)), 2),
                "cpu_s": round(cpu_seconds() - before, 2),
                "songs_per_hour": round(3600 * len(collection) / seconds, 1),
            }
        )
    )


def warm_up(song: Any, settings: Any, out: Path) -> None:
    """Load what is compiled, in this process and in the cache on the disk."""
    from graphmix.search import mine

    mine(song.load(settings.sample_rate), out, settings.scaled(2, 1), device="cpu")
    shutil.rmtree(out)


def start_seconds(out: Path, began: float) -> float:
    """From the call to the first song's beginning: before its own seconds, of what passed until it was finished."""
    ends = []
    for path in out.rglob("metrics.json"):
        own = sum(json.loads(path.read_bytes())["seconds"].values())
        ends.append(path.stat().st_mtime - own)
    return min(ends) - began


def cpu_seconds() -> float:
    """Of this process and of its children that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def show(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title=f"{result['songs']} songs, {result['steps']} steps, {result['rounds']} rounds, a thread a worker"
    )
    for heading in ("way", "s", "start, s", "overhead", "without start", "in CPU s", "bar", "songs / h"):
        table.add_column(heading, justify="left" if heading == "way" else "right")
    for way, own in result["ways"].items():
        shares = [
            f"{own[key]:+.1%}" if key in own else "–" for key in ("overhead", "overhead_without_start", "cpu_overhead")
        ]
        bar = f"{own['bar']:.0%}" if own["bar"] else ""
        table.add_row(
            way, f"{own['seconds']:.1f}", f"{own['start_s']:.1f}", *shares, bar, f"{own['songs_per_hour']:.0f}"
        )
    Console(width=120).print(table)
    print(f"{result['cpu']}, {result['cores']} cores, median of {result['repeats']}")


if __name__ == "__main__":
    main()
