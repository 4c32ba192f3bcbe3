"""Starts and step sizes: the loss of the full console against seconds, on real songs.

    python benchmarks/convergence.py --songs ../shared/audio --json convergence.jsonl --picture convergence.png
    python benchmarks/convergence.py --only final_step --variants levels default --steps 100
    python benchmarks/convergence.py --read convergence.jsonl --picture convergence.png

Each variant fits the console ``ecnsgdr`` by the same number of steps on the same segments:

- ``paper``: the paper's start (raw numbers near zero, every node half wet) and its constant rate of 0.01;
- ``levels``: levels by least squares, a rate of 0.01 that falls along half a cosine: graphmix's default before;
- ``equalizers``: the same, and equalizers from spectra;
- ``rates``: levels, and the rates of today's default;
- ``default``: everything, as the preset ``draft`` has it.

A point of a learning curve is the L_a of the current graph over the whole song, and the seconds so far: those of the
start (levels included) and of the steps, not of these evaluations. The tables give losses by steps and by seconds, and
how long each variant takes to reach the losses that ``levels`` has after 100, 200 and 300 steps.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from report import make_table, read_log
from rich.console import Console
from step import cpu_name

from graphmix.audio import load_song
from graphmix.audio.segments import EvalSegment
from graphmix.graph import MixGraph, mixing_console
from graphmix.processes import keep_memory
from graphmix.processors import Rack
from graphmix.search import DRAFT, PAPER, Objective, SearchSettings, Training, find_baselines, start_graph
from graphmix.search.initialization import with_fitted_thresholds, with_start_values
from graphmix.search.levels import with_levels
from graphmix.search.losses import LossTerms

CHAIN = "ecnsgdr"
SONGS = ("reggae_try", "mauiwowi", "final_step", "krem_kaakkuja")
REFERENCE = "levels"
MILESTONES = (100, 200, 300)
EVERY = 25
BEFORE = replace(DRAFT, learning_rate=PAPER.learning_rate, momentum=PAPER.momentum, own_rates=PAPER.own_rates)
COLOURS = {
    "paper": "#b8b8b8",
    "levels": "#b5523b",
    "equalizers": "#e2a24a",
    "rates": "#7a9e4f",
    "default": "#1f6f8b",
}
Row = dict[str, Any]
Starter = Callable[[Objective, MixGraph, int], MixGraph]


class TimedObjective(Objective):
    """An objective that knows how long its evaluations took."""

    evaluation_s = 0.0

    def evaluate(self, graph: MixGraph, segments: list[EvalSegment] | None = None) -> LossTerms:
        """As an objective does."""
        begun = perf_counter()
        loss = super().evaluate(graph, segments)
        self.evaluation_s += perf_counter() - begun
        return loss


def start_as_paper(objective: Objective, console: MixGraph, seed: int) -> MixGraph:
    """Raw numbers near the neutral ones, from N(0, 0.01²), and every node half wet."""
    graph = console.clone()
    generator = torch.Generator().manual_seed(seed)
    for processor in objective.rack:
        name = processor.node_type.name
        raw = processor.to_raw(processor.start(graph.params[name], generator))
        raw += 0.01 * torch.randn(raw.shape, generator=generator)
        processor.project(raw)
        graph.params[name] = processor.from_raw(raw)
        graph.wet[graph.nodes_of(name)] = 0.5
    return graph


def start_with_equalizers(objective: Objective, console: MixGraph, seed: int) -> MixGraph:
    """As graphmix starts."""
    return start_graph(console, objective, find_baselines(objective, with_gains=True), seed)


def start_from_levels_alone(objective: Objective, console: MixGraph, seed: int) -> MixGraph:
    """As graphmix would start if it had no equalizers from spectra."""
    best = min(find_baselines(objective, with_gains=True), key=lambda answer: float(answer.loss.total))
    graph = with_start_values(console, objective.rack, seed)
    if best.gains is not None:
        graph = with_levels(graph, best.gains, objective.song.track_names)
    return with_fitted_thresholds(graph, objective)


VARIANTS: dict[str, tuple[Starter, SearchSettings]] = {
    "paper": (start_as_paper, PAPER),
    "levels": (start_from_levels_alone, BEFORE),
    "equalizers": (start_with_equalizers, BEFORE),
    "rates": (start_from_levels_alone, DRAFT),
    "default": (start_with_equalizers, DRAFT),
}


def measure(folder: Path, variant: str, steps: int, seed: int) -> Row:
    """One learning curve: (step, seconds, L_a) at the start and every 25 steps."""
    song = load_song(folder)
    rack = Rack.console(CHAIN, song.sample_rate)
    objective = TimedObjective(song, rack)
    console = mixing_console(rack, song.subgroups, CHAIN)
    start, settings = VARIANTS[variant]
    begun = perf_counter()
    graph = start(objective, console, seed)
    seconds, objective.evaluation_s = perf_counter() - begun, 0.0
    training = Training(objective, graph, replace(settings, seed=seed, evaluate_every=EVERY), 0, steps)
    history = [(0, seconds, float(training.best_loss.total))]
    begun, objective.evaluation_s = perf_counter(), 0.0
    while not training.done:
        loss = training.advance()
        if loss is not None:
            spent = perf_counter() - begun - objective.evaluation_s
            history.append((training.step, seconds + spent, float(loss.total)))
    return {"song": folder.name, "variant": variant, "seed": seed, "steps": steps, "history": history}


def at_step(row: Row, step: int) -> float | None:
    """L_a after so many steps."""
    return next((loss for done, _, loss in row["history"] if done == step), None)


def at_seconds(row: Row, limit: float) -> float:
    """The smallest L_a until then; that of the start where even that took longer."""
    return min([loss for _, seconds, loss in row["history"] if seconds <= limit] or [row["history"][0][2]])


def reached(row: Row, loss: float) -> tuple[int, float] | None:
    """Steps and seconds to the first evaluation that is at most this."""
    return next(((step, seconds) for step, seconds, own in row["history"] if own <= loss), None)


def print_rows(rows: Sequence[Row]) -> None:
    """Losses at steps and at seconds, then the way to the reference's losses."""
    console = Console(width=150)
    steps = sorted({step for row in rows for step, _, _ in row["history"] if step % 50 == 0 or step == EVERY})
    references = {(r["song"], r["seed"]): r for r in rows if r["variant"] == REFERENCE}
    clock = [10.0, 20.0, 40.0, 80.0, 160.0]
    columns = ("song", "seed", "variant", *(f"{step}" for step in steps), *(f"{t:g} s" for t in clock))
    losses = make_table("L_a over the song after so many steps, and within so many seconds", columns)
    ways = make_table(
        f"steps (seconds) to what {REFERENCE!r} has after so many steps",
        ("song", "seed", "variant", *(f"{step} steps" for step in MILESTONES)),
    )
    for row in rows:
        head = row["song"], str(row["seed"]), row["variant"]
        after = [f"{loss:.4f}" if (loss := at_step(row, step)) is not None else "–" for step in steps]
        losses.add_row(*head, *after, *(f"{at_seconds(row, t):.4f}" for t in clock))
        reference = references.get((row["song"], row["seed"]))
        if reference:
            ways.add_row(*head, *(_way(row, at_step(reference, step)) for step in MILESTONES))
    console.print(losses)
    console.print(ways)


def _way(row: Row, loss: float | None) -> str:
    if loss is None:
        return "–"
    found = reached(row, loss)
    return "not reached" if found is None else f"{found[0]} ({found[1]:.0f} s)"


def save_rows(rows: Sequence[Row], path: Path) -> None:
    """L_a against seconds, one picture for each song, one line for each variant and seed."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    songs = list(dict.fromkeys(row["song"] for row in rows))
    columns = min(2, len(songs))
    shape = -(-len(songs) // columns), columns
    figure, grid = plt.subplots(*shape, figsize=(6 * shape[1], 4 * shape[0]), squeeze=False, layout="constrained")
    for axes, song in zip(grid.flat, songs, strict=False):
        for row in (row for row in rows if row["song"] == song):
            _, seconds, losses = zip(*row["history"], strict=True)
            axes.plot(seconds, losses, ".-", color=COLOURS[row["variant"]], label=row["variant"])
        axes.set(title=song, yscale="log", xlabel="seconds", ylabel="L_a over the song")
    handles = dict(zip(*reversed(grid[0, 0].get_legend_handles_labels()), strict=True))
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=len(handles), frameon=False)
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--songs", type=Path, default=Path("../shared/audio"), help="folder of song folders")
    parser.add_argument("--only", nargs="*", default=SONGS, help="names of song folders")
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--json", type=Path, help="append rows here as JSON lines")
    parser.add_argument("--read", type=Path, help="measure nothing; show the rows of such a file")
    parser.add_argument("--picture", type=Path)
    arguments = parser.parse_args()
    if arguments.read:
        rows = read_log(arguments.read)
    else:
        keep_memory()
        rows = []
        measure(arguments.songs / arguments.only[0], "default", 1, 0)  # loads what is compiled
        for name, seed, variant in product(arguments.only, arguments.seeds, arguments.variants):
            rows.append(measure(arguments.songs / name, variant, arguments.steps, seed))
            step, seconds, loss = rows[-1]["history"][-1]
            print(f"{name} {variant} seed {seed}: L_a {loss:.4f} after {step} steps, {seconds:.0f} s", flush=True)
            if arguments.json:
                with arguments.json.open("a") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
        threads, cpu = torch.get_num_threads(), cpu_name()
        print(f"{threads} threads, {cpu}, torch {torch.__version__}; single runs")
    print_rows(rows)
    if arguments.picture:
        save_rows(rows, arguments.picture)


if __name__ == "__main__":
    main()
