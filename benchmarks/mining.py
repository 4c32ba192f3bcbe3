"""Mining a song end to end: how long until graphmix reaches the result of the paper's recipe on GRAFX?

    python benchmarks/mining.py --song ../shared/audio/mauiwowi --log mining.jsonl --picture mining.png

First the recipe (peers/grafx_recipe.py) runs to its end, on GRAFX with an exact convolution of fast length and with
glibc's allocator set as for graphmix. Its budget is the paper's 6,000 steps and 12 rounds of 500, scaled down in the
same proportions (SearchSettings.scaled): by default to 150 steps and 1 round of 150. Its result is the target: the L_a
of its last graph, by graphmix's loss over the whole song, and its pruning ratio. With few steps its levels are not yet
found, and with few steps a round its trials take most of the time; a larger budget is more meaningful.

Then graphmix mines the same song with its preset ``draft``, once with each policy, until a graph has at most that L_a +
0.002 and at least that ratio - 0.02. Its clock starts with the levels; a point of its history is the best graph so far
at an evaluation over the whole song. A run that never reaches the target is reported as such.

Each has a process of its own, one after the other. Reading the song and a first step, which loads what is compiled,
come before the clocks start. One run each: nothing is repeated, and nothing is extrapolated to the paper's budget. With
--log every point is appended as a line of JSON at once; --peer takes the recipe's result from such a file.
"""

import argparse
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

from peers.contest import Contest, serve, versions
from report import print_mining, save_mining
from step import PACKAGES, cpu_name

CHAIN = "ecnsgdr"
LOSS_SLACK, RATIO_SLACK = 0.002, 0.02
POLICIES = ("hybrid", "dry-wet", "leave-one-out", "first-order")
Job = Callable[[], dict[str, Any]]
Note = Callable[[dict[str, Any]], None]


class Reached(Exception):
    """The target is met."""


def build(name: str, work: Mapping[str, Any], imported: Callable[[], None]) -> Mapping[str, Callable[[], object]]:
    """The one job of a contender, in its process: ``mine``."""
    from graphmix.audio import load_song
    from graphmix.graph import mixing_console
    from graphmix.processes import keep_memory
    from graphmix.processors import Rack
    from graphmix.search import Objective
    from graphmix.search.rounds import count_processors

    keep_memory()
    make = make_peer if name == "grafx_exact" else make_graphmix
    imported()
    song = load_song(work["song"])
    rack = Rack.console(CHAIN, song.sample_rate)
    console = mixing_console(rack, song.subgroups, CHAIN)
    history: list[dict[str, Any]] = []

    def note(point: dict[str, Any]) -> None:
        history.append(point)
        append(work["log"], {"contender": name, **point})

    run = make(work, Objective(song, rack), console, note)
    facts = {"song": song.name, "tracks": song.num_tracks, "subgroups": len(song.subgroups)}
    facts["processors"] = sum(count_processors(console).values())
    return {"mine": lambda: facts | run() | {"history": history}}


def make_peer(work: Mapping[str, Any], objective: Any, console: Any, note: Note) -> Job:
    """The recipe, warmed up by a step of another one."""
    from dataclasses import asdict, replace

    from peers.grafx_console import exact_convolve, use_convolution
    from peers.grafx_recipe import GrafxRecipe

    from graphmix.search import PAPER

    use_convolution(exact_convolve)
    settings = replace(PAPER, seed=work["seed"], policy=work["policy"]).scaled(work["steps"], work["rounds"])
    GrafxRecipe(objective, console, settings, note).train(1)
    recipe = GrafxRecipe(objective, console, settings, note)
    return lambda: recipe.run() | {"settings": asdict(settings)}


def make_graphmix(work: Mapping[str, Any], objective: Any, console: Any, note: Note) -> Job:
    """graphmix's search, warmed up by a step of another one; ends when the target is met."""
    from dataclasses import asdict, replace

    from graphmix.search import DRAFT, Search, find_baselines, fit, start_graph
    from graphmix.search.search_state import ScoredGraph, SearchState

    settings = replace(DRAFT, seed=work["seed"], policy=work["policy"]).scaled(work["steps"], work["rounds"])
    fit(console, objective.song, objective.rack, replace(settings, steps=1))

    def run() -> dict[str, Any]:
        history = History(work["target"], note, work["whole"])
        try:
            start = start_graph(console, objective, find_baselines(objective, True), settings.seed)
            Search(objective, settings, SearchState(ScoredGraph(start)), save=history).run()
        except Reached:
            pass
        end = history.reached or history.last
        return {**end, "reached": history.reached is not None, "settings": asdict(settings)}

    return run


class History:
    """Observer of every step and trial of a search that records each new best graph.

    Args:
        target: L_a and pruning ratio.
        note: called with each point.
        whole: continue after the target is met.
    """

    def __init__(self, target: Mapping[str, float], note: Note, whole: bool) -> None:
        self.target, self.note, self.whole = target, note, whole
        self.last: dict[str, Any] = {}
        self.reached: dict[str, Any] | None = None
        self._begun, self._trials = perf_counter(), 0

    def __call__(self, state: Any) -> None:
        """As ``save`` of a search."""
        from graphmix.search.rounds import pruning_ratio

        if not state.training:  # trials, whose graph is not yet evaluated
            return
        phase = f"fine-tuning {state.round}" if state.round else "console"
        loss = float(state.best.terms.total)
        if (phase, loss) == (self.last.get("phase"), self.last.get("L_a")):
            return
        ratio = pruning_ratio(state.best.graph, state.counts)["all"]
        trials = sum(record["event"] == "trial" for record in state.trace)
        seconds = perf_counter() - self._begun
        self.last = {"phase": phase, "seconds": seconds, "L_a": loss, "rho": ratio, "step": state.step}
        self.last["trials"] = trials
        self.note(self.last)
        good = loss <= self.target["L_a"] + LOSS_SLACK and ratio >= self.target["rho"] - RATIO_SLACK
        if good and self.reached is None:
            self.reached = self.last
            if not self.whole:
                raise Reached


def append(path: str | None, line: Mapping[str, Any]) -> None:
    """Add a line of JSON to the log, if there is one."""
    if path:
        with open(path, "a") as file:
            file.write(json.dumps(line) + "\n")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """The recipe, then graphmix with each policy."""
    log = str(options.log) if options.log else None
    shared = {"song": str(options.song), "seed": options.seed, "log": log, "whole": options.whole}
    peer_work = {"steps": options.steps, "rounds": options.rounds, "policy": options.peer_policy}
    peer = read_peer(options.peer) if options.peer else mine("grafx_exact", shared | peer_work, options.threads)
    target = {key: peer[key] for key in ("L_a", "rho")}
    result: dict[str, Any] = {"work": "mining", **{k: peer[k] for k in ("song", "tracks", "subgroups", "processors")}}
    result |= {"target": target, "grafx_exact": peer, "graphmix": {}, "threads": options.threads, "repeats": 1}
    budget = {"steps": options.draft_steps, "rounds": options.draft_rounds, "target": target}
    for policy in options.policies:
        own = mine("graphmix", shared | budget | {"policy": policy}, options.threads)
        own["times_faster"] = peer["seconds"] / own["seconds"] if own["reached"] else None
        result["graphmix"][policy] = own
    return result | {"cpu": cpu_name(), "versions": versions(PACKAGES)}


def mine(name: str, work: Mapping[str, Any], threads: int) -> dict[str, Any]:
    """One contender alone, in a process of its own."""
    with Contest(__file__, (name,), work, threads) as contest:
        (end,) = contest.run("mine", 1, warmup=0)[name]
        end |= contest.memory(name)
    append(work["log"], {"end": name, **end})
    return end


def read_peer(path: Path) -> dict[str, Any]:
    """The last end of the recipe in a log."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    ends = [line for line in lines if line.get("end") == "grafx_exact"]
    if not ends:
        raise SystemExit(f"{path} does not hold the end of a recipe.")
    return ends[-1]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--song", type=Path, default=Path("../shared/audio/mauiwowi"))
    parser.add_argument("--steps", type=int, default=150, help="of the recipe on the full console")
    parser.add_argument("--rounds", type=int, default=1, help="of the recipe")
    parser.add_argument("--peer-policy", default="hybrid", choices=("brute-force", "dry-wet", "hybrid"))
    parser.add_argument("--policies", nargs="+", default=["hybrid", "leave-one-out"], choices=POLICIES)
    parser.add_argument("--draft-steps", type=int, help="of graphmix, instead of the preset's")
    parser.add_argument("--draft-rounds", type=int, help="of graphmix, instead of the preset's")
    parser.add_argument("--whole", action="store_true", help="let graphmix go on to its end")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log", type=Path, help="append points and ends here as JSON lines")
    parser.add_argument("--peer", type=Path, help="a log that holds the recipe's end, instead of running it")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--picture", type=Path, help="draw the learning curves into this file")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    options = parse()
    if options.worker:
        serve(options.worker, build)
        return
    result = measure(options)
    if options.json:
        print(json.dumps(result))
    else:
        print_mining(result)
    if options.picture:
        save_mining(result, options.picture)


if __name__ == "__main__":
    main()
