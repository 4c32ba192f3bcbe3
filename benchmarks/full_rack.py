"""A training step of the paper's console with a rack of its seven types, and with one of all types that exist.

    python benchmarks/full_rack.py --pairs 20
    python benchmarks/full_rack.py --alone console --pairs 20

The same graph of (16, 5), settings and audio; steps of the two go by turns in one process, and the ratio is that of
each pair. With ``--alone`` one of the two is measured, for comparing commits: run it with the ``PYTHONPATH`` of one and
of the other by turns, and compare the medians.
"""

import argparse
import json
import statistics
import time

from peers.contenders import GraphmixStep
from peers.work import CHAIN, SAMPLE_RATE, make_audio, make_graph

from graphmix.processes import prepare_to_render
from graphmix.processors import Rack

WARMUP_STEPS = 3


def steps_of(name: str, tracks: int, subgroups: int) -> GraphmixStep:
    """What takes steps with one of the racks."""
    rack = Rack.full(SAMPLE_RATE) if name == "full" else Rack.console(CHAIN, SAMPLE_RATE)
    drawn = Rack.console(CHAIN, SAMPLE_RATE)
    graph = make_graph(drawn, {"tracks": tracks, "subgroups": subgroups, "seed": 0})
    if name == "full":
        other = make_graph(rack, {"tracks": tracks, "subgroups": subgroups, "seed": 0})
        other.params |= {kind: values.clone() for kind, values in graph.params.items()}
        graph = other
    return GraphmixStep(graph, *make_audio(tracks, 0), rack)


def timed(stepper: GraphmixStep) -> tuple[float, float, float]:
    """Seconds by the clock and of the process, and the loss."""
    begin, worked = time.perf_counter(), time.process_time()
    loss = stepper.step()["loss"]
    return time.perf_counter() - begin, time.process_time() - worked, loss


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alone", choices=("console", "full"))
    parser.add_argument("--tracks", type=int, default=16)
    parser.add_argument("--subgroups", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    prepare_to_render(options.threads)
    names = (options.alone,) if options.alone else ("console", "full")
    steppers = {name: steps_of(name, options.tracks, options.subgroups) for name in names}
    runs: dict[str, list[tuple[float, float, float]]] = {name: [] for name in names}
    for turn in range(options.pairs + WARMUP_STEPS):
        for name in names if turn % 2 else reversed(names):
            found = timed(steppers[name])
            if turn >= WARMUP_STEPS:
                runs[name].append(found)
    result: dict[str, object] = {"pairs": options.pairs, "threads": options.threads}
    for name, spent in runs.items():
        wall, cpu, _ = (statistics.median(own) for own in zip(*spent, strict=True))
        result[name] = {"seconds": wall, "cpu_seconds": cpu, "last_loss": spent[-1][2]}
    if len(names) == 2:
        for index, unit in enumerate(("seconds", "cpu_seconds")):
            ratios = [b[index] / a[index] for a, b in zip(runs["console"], runs["full"], strict=True)]
            result[f"full / console, {unit}"] = statistics.median(ratios)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
