"""One processor of each type, beside the peers that do the same work: forward, and forward with backward.

    python benchmarks/processors.py --picture processors.png
    python benchmarks/processors.py --only compressor reverb --json

16 nodes, 3.8 s of stereo at 30 kHz, from samples to samples; gradients of settings and audio. graphmix's go through its
renderer, transforms included. Each contender lives in a process of its own, and they work in turn (peers/contest.py);
graphmix and ``grafx_exact`` (GRAFX with an exact convolution of fast length) with glibc's allocator set to keep memory.
Where a peer computes something else, the table says what.
"""

import argparse
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from peers.contest import Contest, serve, summarize, versions
from peers.single import MAKERS, ROWS
from report import print_processors, save_processors
from step import cpu_name

PACKAGES = ("graphmix", "grafx", "dasp-pytorch", "torchcomp", "pedalboard", "torch", "numba", "numpy")
KEEP_MEMORY = ("graphmix", "grafx_exact")


def build(name: str, work: Mapping[str, Any], imported: Callable[[], None]) -> Mapping[str, Callable[[], object]]:
    """The jobs of a contender, in its process: ``forward TYPE`` and ``both TYPE``."""
    from graphmix.processes import keep_memory

    if name in KEEP_MEMORY:
        keep_memory()
    if name == "grafx_exact":
        from peers.grafx_console import exact_convolve, use_convolution

        use_convolution(exact_convolve)
    items = {row: item for row, item in MAKERS[name](work["nodes"]).items() if row in work["rows"]}
    imported()
    facts = {
        row: {"note": item.note, "nodes": item.nodes, "backward": bool(item.leaves)} for row, item in items.items()
    }
    jobs: dict[str, Callable[[], object]] = {"facts": lambda: facts}
    for row, item in items.items():
        jobs |= {f"forward {row}": item.forward, f"both {row}": item.both}
    return jobs


def measure(rows: list[str], nodes: int, repeats: int, threads: int) -> dict[str, Any]:
    """Numbers of every type: by contender seconds forward and forward with backward, and what it computes."""
    result: dict[str, Any] = {"work": "processors", "nodes": nodes, "types": {}}
    with Contest(__file__, tuple(MAKERS), {"nodes": nodes, "rows": rows}, threads) as contest:
        facts = {name: runs[0] for name, runs in contest.run("facts", 1, warmup=0).items()}
        for row in rows:
            own: dict[str, dict[str, Any]] = {
                name: {key: facts[name][row][key] for key in ("note", "nodes")} for name in MAKERS if row in facts[name]
            }
            for job in ("forward", "both"):
                names = tuple(name for name in own if job == "forward" or facts[name][row]["backward"])
                for name, runs in contest.run(f"{job} {row}", repeats, names=names).items():
                    own[name][job] = summarize(runs)
            result["types"][row] = own
    return result | {"threads": threads, "cpu": cpu_name(), "versions": versions(PACKAGES)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS), help="some of the types")
    parser.add_argument("--nodes", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--picture", type=Path, help="a bar chart as well")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        serve(options.worker, build)
        return
    result = measure(options.only, options.nodes, options.repeats, options.threads)
    if options.json:
        print(json.dumps(result))
    else:
        print_processors(result)
    if options.picture:
        save_processors(result, options.picture)


if __name__ == "__main__":
    main()
