"""One training step of the paper's console: graphmix, GRAFX as installed, GRAFX made exact, and the floor.

    python benchmarks/step.py --tracks 16 --subgroups 5 --json
    python benchmarks/step.py --sizes 4,2 8,3 16,5 32,8 --picture step.png
    python benchmarks/step.py --consoles ../shared/consoles/consoles.json
    python benchmarks/step.py --growth 8,3 16,5 32,8 64,12
    python benchmarks/step.py --fits 133,26

A step is: gain-staging and audio loss included, render, backward, AdamW; 30 kHz, 3.8 s of stereo, the same graph,
settings and audio for all. Forward is rendering the mix without gradients. Every contender lives in a process of its
own, so that it has its own allocator and its own peak memory; they work in turn, one at a time, round by round.

- ``grafx``: GRAFX 0.6 as it is installed, with the loss as the paper's code computes it (auraloss's and librosa's
  filters, one batch for all channels).
- ``grafx_exact``: its convolution (which is not exact, see docs/peers.md) replaced by an exact one of a length at
  which FFTs are fast, and glibc's allocator set as for graphmix.
- ``floor``: the unavoidable FFTs and memory traffic; see floor.py.
"""

import argparse
import json
import os
import platform
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from peers.contest import Contest, serve, summarize, versions
from report import print_growth, print_steps, save_steps

CONTENDERS = ("graphmix", "grafx", "grafx_exact", "floor")
PACKAGES = ("graphmix", "grafx", "torch", "torchaudio", "torch_geometric", "auraloss", "librosa", "numba", "numpy")
PRUNED_SONGS = 3
REMOVED = 0.7


def build(name: str, work: Mapping[str, Any], imported: Callable[[], None]) -> Mapping[str, Callable[[], object]]:
    """The jobs of a contender, in its process."""
    from peers.work import CHAIN, SAMPLE_RATE, SAMPLES, WARMUP, make_audio, make_graph

    from graphmix.processes import keep_memory
    from graphmix.processors import Rack

    kept = name != "grafx" and keep_memory()
    if name.startswith("grafx"):
        from peers.contenders import GrafxStep as Step
        from peers.grafx_console import exact_convolve, use_convolution

        if name == "grafx_exact":
            use_convolution(exact_convolve)
    else:
        from peers.contenders import GraphmixStep as Step
    from floor import Floor, FloorCount

    imported()
    rack = Rack.console(CHAIN, SAMPLE_RATE)
    graph = make_graph(rack, work)
    if name == "floor":
        from graphmix.render import Renderer

        plan = Renderer(rack).plan(graph)
        contender: Any = Floor(FloorCount(plan, graph, rack, SAMPLES, SAMPLES - WARMUP))
    else:
        contender = Step(graph, *make_audio(len(graph.nodes_of("in")), work["seed"]))
    facts = {"processors": len(graph.processors), "tracks": len(graph.nodes_of("in")), "allocator_kept": kept}
    return {"step": contender.step, "forward": contender.forward, "facts": lambda: facts}


def measure(work: Mapping[str, Any], names: tuple[str, ...], repeats: int, threads: int) -> dict[str, Any]:
    """All numbers of one graph."""
    row: dict[str, Any] = {"work": "training step", **{k: v for k, v in work.items() if k != "song"}}
    with Contest(__file__, names, work, threads) as contest:
        facts = contest.run("facts", 1, warmup=0)
        row |= {key: facts[names[0]][0][key] for key in ("processors", "tracks")}
        for job, suffix in (("step", "_s"), ("forward", "_forward_s")):
            for name, runs in contest.run(job, repeats).items():
                numbers = summarize(runs)
                row |= {f"{name}{suffix}": numbers["median"]}
                row |= {f"{name}{suffix}_{end}": numbers[end] for end in ("min", "max")}
                row["repeats"] = numbers["repeats"]
                if job == "step" and name == "floor":
                    row |= {f"floor_{part}_s": summarize(runs, part)["median"] for part in ("fft", "bytes", "by_stage")}
                elif job == "step":
                    row[f"{name}_loss"] = runs[-1]["loss"]
        for name in names:
            if name != "floor":
                row |= {f"{name}_{key}": value for key, value in contest.memory(name).items()}
                row[f"{name}_allocator_kept"] = facts[name][0]["allocator_kept"]
    return row | {"threads": threads, "cpu": cpu_name(), "versions": versions(PACKAGES)}


def cpu_name() -> str:
    """What the processor calls itself."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.processor()


def list_works(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Descriptions of the graphs that were asked for."""
    sizes = options.fits or options.growth or options.sizes
    if not sizes and not options.consoles:
        sizes = [(options.tracks, options.subgroups)]
    for tracks, subgroups in sizes or ():
        yield {"graph": "full console", "tracks": tracks, "subgroups": subgroups, "seed": options.seed}
    if options.consoles:
        songs = sorted(json.loads(options.consoles.read_text()), key=lambda song: len(song["tracks"]))
        for i in range(PRUNED_SONGS):  # the middles of the lower, middle and upper third by tracks
            song = songs[(2 * i + 1) * len(songs) // (2 * PRUNED_SONGS)]
            yield {
                "graph": f"pruned {song['song']}",
                "subgroups": len(song["subgroups"]),
                "removed": REMOVED,
                "seed": options.seed,
                "song": song,
            }


def size(text: str) -> tuple[int, int]:
    """``16,5`` -> 16 tracks and 5 subgroups."""
    tracks, subgroups = (int(part) for part in text.split(","))
    return tracks, subgroups


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracks", type=int, default=16)
    parser.add_argument("--subgroups", type=int, default=5)
    parser.add_argument("--sizes", type=size, nargs="+", help="several consoles, each as TRACKS,SUBGROUPS")
    parser.add_argument("--consoles", type=Path, help=f"{PRUNED_SONGS} pruned songs of consoles.json")
    parser.add_argument("--growth", type=size, nargs="+", help="graphmix alone: seconds for each track")
    parser.add_argument("--fits", type=size, nargs="+", help="graphmix alone: does a large console fit?")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="one JSON object for each graph instead of a table")
    parser.add_argument("--picture", type=Path, help="a bar chart as well")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    options = parse()
    if options.worker:
        serve(options.worker, build)
        return
    alone = options.growth or options.fits
    rows = []
    for work in list_works(options):
        rows.append(measure(work, ("graphmix",) if alone else CONTENDERS, options.repeats, options.threads))
        if options.json:
            print(json.dumps(rows[-1]), flush=True)
    if not options.json:
        (print_growth if alone else print_steps)(rows)
    if options.picture:
        save_steps(rows, options.picture)


if __name__ == "__main__":
    main()
