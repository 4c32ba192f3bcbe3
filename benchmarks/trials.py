"""Trials: one pass over the segments, the loss without each processor, and one pruning round by each policy.

    python benchmarks/trials.py --tracks 8 --subgroups 3 --graph console_8_3.safetensors
    python benchmarks/trials.py --song ../shared/audio/final_step --graph final_step.safetensors --picture trials.png

The console is the full one of a song, or of the first tracks of a song dealt to some buses; then a random console with
70 % of its processors removed makes the mix. It is fitted by a few steps of the preset ``draft``, once: with --graph
the fitted console is kept in that file, and taken from it the next time. All is measured on the same fitted console and
segments, in one process, with glibc's allocator set to keep memory:

- a full evaluation pass as it was: each segment rendered on its own, all responses recomputed;
- a full evaluation pass as it is: Objective.evaluate, which computes responses once for all segments;
- exact leave-one-out losses of all processors, render caches included, as a multiple of both;
- one round by each policy, each from the same console, with the same tolerance; "full renders" renders the graph
  without its candidates from the sources for each trial. Where trials use a part of the song, the end of a round
  restores removals that the whole song does not tolerate, and this counts in its seconds. L_a on the trial segments
  and over the whole song is measured afterwards.

Passes and losses are medians, rounds are single runs.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

from peers.contest import Contest, serve, summarize, versions
from report import print_trials, save_trials
from step import cpu_name

PACKAGES = ("graphmix", "torch", "torchaudio", "torch_geometric", "auraloss", "numba", "numpy")
HIDDEN = 0.7
"""Share of the processors that the console behind a synthetic mix lacks."""


class Round(NamedTuple):
    """How a round is done: policy, whether hopeless trials end early, whether trials are rendered in full."""

    policy: str
    race: bool = True
    full: bool = False


ROUNDS = {
    "brute force, full renders": Round("brute-force", race=False, full=True),
    "brute force": Round("brute-force", race=False),
    "brute force, racing": Round("brute-force"),
    "dry/wet, racing": Round("dry-wet"),
    "leave-one-out, racing": Round("leave-one-out"),
    "first-order, racing": Round("first-order"),
}
REFERENCE = "brute force, full renders"


class FullRenders:
    """Judges a trial by rendering the graph without its nodes from the sources."""

    def __init__(self, objective: Any, graph: Any, segments: list[Any]) -> None:
        self.objective, self.graph, self.segments = objective, graph, segments
        self.removed: list[int] = []

    def loss(self) -> float:
        """Of the graph as it is now."""
        return self.judge(()).loss

    def judge(self, nodes: Collection[int], limit: float | None = None) -> Any:
        """Loss without some more nodes; never ends early."""
        from graphmix.graph.editing import remove_nodes
        from graphmix.search import Verdict

        assert limit is None, "full renders do not race"
        graph = remove_nodes(self.graph, [*self.removed, *nodes])
        count = len(self.segments)
        return Verdict(float(self.objective.evaluate(graph, self.segments).total), count, count)

    def remove(self, nodes: Collection[int]) -> None:
        """Remove nodes for good."""
        self.removed += nodes


def build(_: str, work: Mapping[str, Any], imported: Callable[[], None]) -> Mapping[str, Callable[[], object]]:
    """The jobs, in their process: ``fresh``, ``pass``, ``leave-one-out``, and the rounds by their labels."""
    from graphmix.processes import keep_memory
    from graphmix.search import Judge, Objective
    from graphmix.search.rounds import count_processors, prunable_nodes, trial_segments

    keep_memory()
    imported()
    objective = Objective(*load(work))
    graph, steps = fitted_console(objective, work)
    segments, nodes = trial_segments(objective, work["segments"]), prunable_nodes(graph)
    objective.first_order_importance(graph, segments[:1])  # what is compiled for backward is loaded before any round
    song = objective.song
    facts = {"song": song.name, "tracks": song.num_tracks, "subgroups": len(song.subgroups), "fit_steps": steps}
    facts |= {"processors": len(nodes), "by_type": count_processors(graph)}
    facts |= {"segments": len(segments), "of_segments": len(objective.segments)}
    facts["console"] = losses_of(objective, graph, segments)
    return {
        "facts": lambda: facts,
        "fresh": lambda: [objective.evaluate(graph, [segment]) for segment in segments],
        "pass": lambda: objective.evaluate(graph, segments),
        "leave-one-out": lambda: Judge(objective, graph, segments).leave_one_out(nodes),
    } | {label: lambda how=how: run_round(objective, graph, how, work) for label, how in ROUNDS.items()}


def load(work: Mapping[str, Any]) -> tuple[Any, Any]:
    """The song, real or synthetic, and the rack."""
    from peers.work import CHAIN, SAMPLE_RATE

    from graphmix.audio import load_song
    from graphmix.processors import Rack

    rack = Rack.console(CHAIN, SAMPLE_RATE)
    if work["song"]:
        return load_song(work["song"], SAMPLE_RATE), rack
    with tempfile.TemporaryDirectory() as folder:
        write_song(Path(folder), rack, work)
        return load_song(folder, SAMPLE_RATE, preload_bytes=2**40), rack


def write_song(folder: Path, rack: Any, work: Mapping[str, Any]) -> None:
    """The first recorded stems of a song, dealt to buses, and their mix by a random sparse console."""
    import numpy as np
    import torch
    from peers.work import CHAIN, SAMPLE_RATE, dial

    from graphmix.audio import load_song, write_audio
    from graphmix.graph import mixing_console
    from graphmix.graph.editing import remove_nodes
    from graphmix.render import Renderer

    recorded = load_song(work["stems"], SAMPLE_RATE, need_mix=False)
    stems = recorded.read(0, recorded.num_samples).stems[: work["tracks"]]
    if len(stems) < work["tracks"]:
        raise SystemExit(f"{work['stems']} has {len(stems)} tracks, {work['tracks']} are asked for.")
    names = [f"{i:02d} {Path(name).stem}.wav" for i, name in enumerate(recorded.track_names[: work["tracks"]])]
    groups = {f"bus {i}": names[i :: work["subgroups"]] for i in range(work["subgroups"])}
    console = mixing_console(rack, groups, CHAIN)
    processors = console.processors.numpy()
    removed = np.random.default_rng(work["seed"]).choice(processors, round(HIDDEN * len(processors)), replace=False)
    hidden = dial(remove_nodes(console, torch.from_numpy(removed)), rack, work["seed"])
    order = [names.index(hidden.names[node]) for node in hidden.nodes_of("in").tolist()]
    with torch.no_grad():
        mix = Renderer(rack)(hidden, stems[order])[0]
    (folder / "dry").mkdir()
    for name, stem in zip(names, stems, strict=True):
        write_audio(folder / "dry" / name, stem, SAMPLE_RATE)
    write_audio(folder / "mix.wav", mix, SAMPLE_RATE)
    label = f"{work['tracks']} tracks of {recorded.name}, synthetic mix"
    song = {"name": label, "mix": "mix.wav", "stems": "dry", "subgroups": groups}
    (folder / "song.json").write_text(json.dumps(song))


def fitted_console(objective: Any, work: Mapping[str, Any]) -> tuple[Any, int]:
    """From its file, or fitted now and kept there; and by how many steps."""
    from peers.work import CHAIN

    from graphmix.graph import mixing_console
    from graphmix.graph.storage import load_graph, save_graph
    from graphmix.search import DRAFT, find_baselines, fit, start_graph

    path = Path(work["graph"]) if work["graph"] else None
    if path and path.exists():
        graph = load_graph(path)
        return graph, graph.provenance["steps"]
    song = objective.song
    console = mixing_console(objective.rack, song.subgroups, CHAIN)
    start = start_graph(console, objective, find_baselines(objective, True), work["seed"])
    graph = fit(start, song, objective.rack, DRAFT.scaled(work["steps"])).graph
    if path:
        info = graph.info
        provenance = {"song": song.name, "steps": work["steps"], "made_by": "benchmarks/trials.py"}
        graph.info = type(info)(info.types, info.sample_rate, info.names, provenance)
        save_graph(graph, path)
    return graph, work["steps"]


def losses_of(objective: Any, graph: Any, segments: list[Any]) -> dict[str, float]:
    """L_a on the trial segments and over the whole song."""
    trials, whole = (float(objective.evaluate(graph, some).total) for some in (segments, None))
    return {"L_a_trials": trials, "L_a": whole}


def run_round(objective: Any, graph: Any, how: Round, work: Mapping[str, Any]) -> dict[str, Any]:
    """One round from the fitted console."""
    from dataclasses import replace

    from graphmix.search import DRAFT, POLICIES
    from graphmix.search.rounds import PruningRound, count_processors, pruning_ratio, trial_segments

    tolerance, count = work["tolerance"], work["segments"]
    settings = replace(DRAFT, master="", tolerance=tolerance, trial_segments=count, race=how.race, seed=work["seed"])
    segments = trial_segments(objective, count)
    before = losses_of(objective, graph, segments)
    begun = perf_counter()
    judge = FullRenders(objective, graph, segments) if how.full else None
    trials = PruningRound(objective, graph, POLICIES[how.policy](), settings, 0, before["L_a_trials"], judge)
    trials.begin()
    prepared, records = perf_counter(), []
    while (record := trials.advance()) is not None:
        records.append(record)
    tried = perf_counter()
    restored = 0 if trials.uses_whole_song else trials.restore(before["L_a"])
    end = perf_counter()
    result = trials.result()
    return {
        "seconds": end - begun,
        "begin_s": prepared - begun,
        "trials_s": tried - prepared,
        "restore_s": end - tried,
        "trials": len(records),
        "segments_rendered": sum(record["segments"][0] for record in records),
        "restored": restored,
        "rho": pruning_ratio(result, count_processors(graph))["all"],
        **losses_of(objective, result, segments),
    }


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All numbers."""
    keys = ("tracks", "subgroups", "seed", "segments", "steps", "tolerance")
    work = {key: getattr(options, key) for key in keys}
    work |= {key: str(value) if (value := getattr(options, key)) else None for key in ("song", "stems", "graph")}
    with Contest(__file__, ("graphmix",), work, options.threads) as contest:

        def run(job: str, repeats: int, warmup: int) -> list[dict[str, Any]]:
            return contest.run(job, repeats, warmup)["graphmix"]

        (result,) = run("facts", 1, 0)
        del result["seconds"]
        result = {"work": "trials", **result, "tolerance": options.tolerance}
        for job in ("fresh", "pass", "leave-one-out"):
            result[job] = summarize(run(job, options.repeats, 1))
        for job in ("fresh", "pass"):
            result[f"leave_one_out_in_{job}"] = result["leave-one-out"]["median"] / result[job]["median"]
        result["rounds"] = {}
        for label in options.rounds:
            (own,) = run(label, 1, 0)
            result["rounds"][label] = own
            if REFERENCE in result["rounds"]:
                own["times_faster"] = result["rounds"][REFERENCE]["seconds"] / own["seconds"]
            if options.log:
                with options.log.open("a") as file:
                    file.write(json.dumps({"song": result["song"], "round": label, **own}) + "\n")
        result |= contest.memory("graphmix")
    repeats = result["pass"]["repeats"]
    return result | {"threads": options.threads, "repeats": repeats, "cpu": cpu_name(), "versions": versions(PACKAGES)}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--song", type=Path, help="folder of a song with a mix, instead of a synthetic mix")
    parser.add_argument("--tracks", type=int, default=8)
    parser.add_argument("--subgroups", type=int, default=3)
    parser.add_argument("--stems", type=Path, default=Path("../shared/audio/mauiwowi"), help="of a synthetic mix")
    parser.add_argument("--graph", type=Path, help=".safetensors file of the fitted console; made if it is not there")
    parser.add_argument("--steps", type=int, default=60, help="of the fit")
    parser.add_argument("--segments", type=int, default=0, help="number of the song's segments for trials; 0 is all")
    parser.add_argument("--tolerance", type=float, default=0.01)
    parser.add_argument("--rounds", nargs="*", choices=list(ROUNDS), default=list(ROUNDS), metavar="ROUND")
    parser.add_argument("--repeats", type=int, default=5, help="of passes and leave-one-out losses")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log", type=Path, help="append each round here as a line of JSON")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    parser.add_argument("--picture", type=Path, help="a bar chart of the rounds as well")
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
        print_trials(result)
    if options.picture:
        save_trials(result, options.picture)


if __name__ == "__main__":
    main()
