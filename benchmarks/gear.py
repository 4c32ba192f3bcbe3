"""Processors, one type at a time, beside the peers that have it: forward, and with backward.

    python benchmarks/gear.py --threads 1
    python benchmarks/gear.py --only parametric_eq studio_compressor --nodes 4 --json
    python benchmarks/gear.py --all

16 nodes, 2^17 samples of stereo at 44.1 kHz (types of the paper's console: 30 kHz), gradients of settings and audio.
Contenders of one row work in turn, in one process (repeats are interleaved), with the same threads, in single
precision; figures are medians, after one run that compiles and is not counted. Seconds of the process (CPU) stand
beside those of the clock: on a busy machine only the former can be compared, and only with one thread. What a peer
computes, and where that is something else, is said in its note (peers/gear.py). Types that no peer has are measured
with ``--all``.
"""

import argparse
import json
import statistics
import time
from collections.abc import Mapping
from typing import Any

import torch
from peers.contest import versions
from peers.gear import ROWS, Row, Work, contenders, names_of
from step import cpu_name
from torch import Tensor

from graphmix.processes import prepare_to_render
from graphmix.processors import Processor
from graphmix.processors.gear import MORE

SAMPLES = 2**17
PACKAGES = ("graphmix", "grafx", "dasp-pytorch", "torchcomp", "torchlpc", "flamo", "torch", "torchaudio", "numba")
FEWER, LONG_S = 5, 4.0
"""Repeats of a row whose contenders together take so long."""
TYPES = names_of([kind().node_type.name for kind in MORE])
JOBS = (("forward", False), ("both", True))


def values_of(processor: Processor, nodes: int) -> Tensor:
    """Values in the middle of each range, drawn."""
    low, high = processor.node_type.bounds()
    share = 0.35 + 0.3 * torch.rand(nodes, processor.node_type.width, generator=torch.Generator().manual_seed(0))
    raw = torch.lerp(processor.to_raw(low[None]), processor.to_raw(high[None]), share)
    values = processor.from_raw(raw)
    for p in processor.node_type.parameters:
        if p.choices:
            values[:, processor.node_type.columns(p.name)] = p.neutral
    return values


def once(work: Work, backward: bool) -> tuple[float, float]:
    """Seconds of one run: of the clock, and of the process."""
    for tensor in work.leaves:
        tensor.grad = None
    begin, worked = time.perf_counter(), time.process_time()
    if backward:
        work.run().square().mean().backward()
    else:
        with torch.no_grad():
            work.run()
    return time.perf_counter() - begin, time.process_time() - worked


def measure(name: str, nodes: int, samples: int, repeats: int) -> dict[str, Any]:
    """Median seconds forward and with backward of each contender, by turns."""
    row = ROWS.get(name, Row())
    audio = 0.3 * torch.randn(nodes, 2, samples, generator=torch.Generator().manual_seed(1))
    rows = contenders(row, name, audio, values_of)
    result: dict[str, Any] = {"recursion": row.recursion, "rate": row.rate, "by": {}}
    for who, work in rows.items():
        result["by"][who] = {"note": work.note}
    for job, backward in JOBS:
        able = {who: work for who, work in rows.items() if work.backward or not backward}
        first = {who: once(work, backward) for who, work in able.items()}  # compiles
        count = min(repeats, FEWER) if sum(spent for spent, _ in first.values()) > LONG_S else repeats
        runs: dict[str, list[tuple[float, float]]] = {who: [] for who in able}
        for _ in range(count):
            for who, work in able.items():
                runs[who].append(once(work, backward))
        for who, spent in runs.items():
            wall, cpu = (statistics.median(own) for own in zip(*spent, strict=True))
            result["by"][who] |= {f"{job}_s": wall, f"{job}_cpu_s": cpu, f"{job}_first_s": first[who][0]}
            result["by"][who][f"{job}_range_s"] = [min(own for own, _ in spent), max(own for own, _ in spent)]
            result["by"][who]["repeats"] = count
    return result


def print_row(name: str, row: Mapping[str, Any]) -> None:
    """Milliseconds by the clock and by the process, and how many times those of graphmix a peer takes."""
    base = row["by"]["graphmix"]
    for who, own in row["by"].items():
        line = f"{name if who == 'graphmix' else '':<21}{who:<15}"
        for job, _ in JOBS:
            if f"{job}_s" not in own:
                line += f"{'-':>9}{'':>7}" * 2
                continue
            wall, cpu = own[f"{job}_s"], own[f"{job}_cpu_s"]
            times = "" if who == "graphmix" else f"{wall / base[f'{job}_s']:.2f}"
            of_cpu = "" if who == "graphmix" else f"{cpu / base[f'{job}_cpu_s']:.2f}"
            line += f"{1e3 * wall:>9.1f}{times:>7}{1e3 * cpu:>9.1f}{of_cpu:>7}"
        print(f"{line}  {own['note'] or ('recursion' if row['recursion'] else '')}", flush=True)


def print_markdown(found: Mapping[str, Mapping[str, Any]], unit: str) -> None:
    """The table of docs/benchmarks.md: milliseconds of graphmix, and how many times as long each peer takes."""
    print("| type | graphmix, ms | with backward | peer | forward | with backward | what the peer computes |")
    print("|---|---|---|---|---|---|---|")
    for name, row in found.items():
        base = row["by"]["graphmix"]
        first = f"`{name}`{', recursion' if row['recursion'] else ''}"
        first += "".join(f" | {1e3 * base[f'{job}{unit}']:.1f}" for job, _ in JOBS)
        for who, own in row["by"].items():
            if who != "graphmix":
                jobs = [f"{job}{unit}" for job, _ in JOBS]
                times = [f"× {own[job] / base[job]:.1f}" if job in own else "–" for job in jobs]
                print(f"| {first} | {who} | {' | '.join(times)} | {own['note']} |")
                first = " | | "


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=TYPES, default=list(ROWS), help="some of the types")
    parser.add_argument("--all", action="store_true", help="those that no peer has as well")
    parser.add_argument("--nodes", type=int, default=16)
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1, help="for all of them")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--markdown", choices=("wall", "cpu"), help="the table of the documentation, of these seconds")
    options = parser.parse_args()
    prepare_to_render(options.threads)
    facts = {"nodes": options.nodes, "samples": options.samples, "threads": options.threads, "cpu": cpu_name()}
    facts["versions"] = versions(PACKAGES)
    if not options.json:
        print(", ".join(f"{key} {value}" for key, value in facts.items()))
        columns = "".join(f"{job:>9}{'times':>7}{'cpu':>9}{'times':>7}" for job in ("forward", "both"))
        print(f"{'type':<21}{'by':<15}{columns}  note")
    found = {}
    for name in TYPES if options.all else options.only:
        found[name] = measure(name, options.nodes, options.samples, options.repeats)
        if not options.json:
            print_row(name, found[name])
    if options.json:
        print(json.dumps(facts | {"types": found}))
    if options.markdown:
        print_markdown(found, "_s" if options.markdown == "wall" else "_cpu_s")


if __name__ == "__main__":
    main()
