"""One training step beside a busy program: what the threads of OpenMP do while they wait for one another.

    python benchmarks/busy.py
    python benchmarks/busy.py --tracks 8 --subgroups 3 --repeats 9 --json

After each parallel loop, threads wait at a barrier. By default they spin, which is fastest on a quiet machine; beside
another program, the thread that lost its core is waited for by all others, which spin meanwhile. Each policy has a
process of its own, since OpenMP reads its variables once, when it is loaded. All are alive and work in turn, round by
round, first on the quiet machine and then beside processes that never wait.

- ``default``: no variable set, what a script has that imports graphmix;
- ``passive``: OMP_WAIT_POLICY=passive, threads sleep at once; the choice of graphmix's command line and workers;
- ``spin N``: GOMP_SPINCOUNT=N, threads spin N times and then sleep.

A step is that of step.py: render, loss, gain-staging, backward, AdamW; 30 kHz, 3.8 s of stereo.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from peers.contest import Contest, serve, summarize, versions
from report import make_table
from rich.console import Console
from step import cpu_name

UNSET = {"OMP_WAIT_POLICY": None, "GOMP_SPINCOUNT": None, "KMP_BLOCKTIME": None, "KMP_LIBRARY": None}
POLICIES: dict[str, dict[str, str | None]] = {
    "default": UNSET,
    "passive": UNSET | {"OMP_WAIT_POLICY": "passive"},
    "spin 1000": UNSET | {"GOMP_SPINCOUNT": "1000"},
    "spin 5000": UNSET | {"GOMP_SPINCOUNT": "5000"},
    "spin 30000": UNSET | {"GOMP_SPINCOUNT": "30000"},
}
PACKAGES = ("graphmix", "torch", "numba", "numpy")
BUSY = "while True: pass"
"""A program that never waits."""


def build(name: str, work: Mapping[str, Any], imported: Callable[[], None]) -> Mapping[str, Callable[[], object]]:
    """The jobs of a policy, in its process."""
    from peers.contenders import GraphmixStep
    from peers.work import CHAIN, SAMPLE_RATE, make_audio, make_graph

    from graphmix.processes import keep_memory
    from graphmix.processors import Rack

    keep_memory()
    imported()
    graph = make_graph(Rack.console(CHAIN, SAMPLE_RATE), work)
    step = GraphmixStep(graph, *make_audio(len(graph.nodes_of("in")), work["seed"]))
    return {"step": step.step}


@contextmanager
def busy_beside(count: int) -> Iterator[None]:
    """Processes that keep a core busy each."""
    started = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each policy."""
    work = {"graph": "full console", "tracks": options.tracks, "subgroups": options.subgroups, "seed": options.seed}
    with Contest(__file__, options.policies, work, options.threads, POLICIES) as contest:
        quiet = contest.run("step", options.repeats)
        with busy_beside(options.busy):
            beside = contest.run("step", options.repeats)
    rows = []
    for name in options.policies:
        row: dict[str, Any] = {"policy": name}
        for when, runs in (("quiet", quiet[name]), ("busy", beside[name])):
            numbers = summarize(runs)
            row |= {f"{when}_s": numbers["median"], f"{when}_s_min": numbers["min"], f"{when}_s_max": numbers["max"]}
        first = rows[0] if rows else row
        row |= {"ratio": row["busy_s"] / row["quiet_s"], "cost_when_quiet": row["quiet_s"] / first["quiet_s"] - 1}
        rows.append(row)
    return rows


def print_rows(rows: list[dict[str, Any]], options: argparse.Namespace, facts: Mapping[str, Any]) -> None:
    """The table, and what it was measured on."""
    title = f"a training step in s, ({options.tracks}, {options.subgroups}), median of {options.repeats}"
    table = make_table(title, ("policy", "quiet", f"beside {options.busy} busy", "ratio", "cost when quiet"))
    for row in rows:
        cells = [f"{row[f'{w}_s']:.3f} ({row[f'{w}_s_min']:.3f}-{row[f'{w}_s_max']:.3f})" for w in ("quiet", "busy")]
        table.add_row(row["policy"], *cells, f"{row['ratio']:.2f}", f"{row['cost_when_quiet']:+.1%}")
    console = Console(width=120)
    console.print(table)
    console.print(", ".join(f"{name} {value}" for name, value in facts.items()), markup=False, soft_wrap=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracks", type=int, default=4)
    parser.add_argument("--subgroups", type=int, default=2)
    parser.add_argument("--policies", nargs="+", choices=POLICIES, default=list(POLICIES))
    parser.add_argument("--busy", type=int, default=1, help="how many busy processes")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="one JSON object for each policy instead of a table")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    options = parse()
    if options.worker:
        serve(options.worker, build)
        return
    facts = {"threads": options.threads, "cores": os.cpu_count(), "cpu": cpu_name(), **versions(PACKAGES)}
    rows = measure(options)
    if options.json:
        for row in rows:
            print(json.dumps(row | {"tracks": options.tracks, "subgroups": options.subgroups, **facts}))
    else:
        print_rows(rows, options, facts)


if __name__ == "__main__":
    main()
