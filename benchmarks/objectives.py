"""Objectives: do they rank known degradations by size, what do they cost, and what does a search with them reach?

    python benchmarks/objectives.py --songs 10 --log objectives.jsonl
    python benchmarks/objectives.py --songs 10 --errors 2 --log with_errors.jsonl
    python benchmarks/objectives.py --read objectives.jsonl
    python benchmarks/objectives.py --cost
    python benchmarks/objectives.py --mine mined --steps 40

Degradations are those of graphmix.evaluation.degradations, on songs of a songbook that have a voice or a lead. The log
has the distance of each part of the objectives; an objective is their sum with its weights. With --errors the levels of
all other tracks are off by normal errors of so many dB, as in a search that has not ended, and each step is compared
with the mix without it as well (which is trivial where that is the true mix).
With --cost, processor seconds of loss and gradient on one segment, in turns in one process.
With --mine, one song of compressors and gains alone is mined by each objective, and the terms of each are evaluated.
"""

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean, median
from time import thread_time
from typing import Any

import numpy as np
import torch
from report import make_table, read_log
from rich.console import Console
from torch import Tensor

from graphmix.audio import load_song
from graphmix.evaluation.degradations import Order, Step, degradations, order_across, order_within, with_errors
from graphmix.graph.mixgraph import MixGraph
from graphmix.processors import Rack
from graphmix.render import Renderer
from graphmix.search import DRAFT, OBJECTIVES, DynamicsLoss, LoudnessLoss, MixLoss, Objective, WeightedLoss, mine
from graphmix.search.objective import SEGMENT_SECONDS, WARMUP_SECONDS
from graphmix.search.objectives import AudioLoss, SongDistance
from graphmix.songbook import SongbookSettings
from graphmix.songbook.book_song import BookSong, make_song
from graphmix.songbook.effects import dynamics, panned_gain
from graphmix.songbook.files import write_song
from graphmix.songbook.mixing import Mixed, build_console

RATE = 30_000
PARTS = {"paper": MixLoss, "dynamics": DynamicsLoss, "loudness": LoudnessLoss}
LEADS = ("vocal", "lead")
SCORED = round((SEGMENT_SECONDS - WARMUP_SECONDS) * RATE)
MEDIUM = {
    "lead softer": (2.0,),
    "lead brighter": (1.0,),
    "lead compressed too much": (3.0,),
    "compression missing": (0.5, 1.0),
    "lead moved aside": (0.25,),
    "a track moved to the middle": (0.5,),
    "mix narrower": (3.0,),
    "reverb missing": (0.5, 1.0),
    "delay missing": (1.0,),
}
Row = dict[str, Any]


def lead_of(song: BookSong) -> str | None:
    """The first voice, else the first lead."""
    roles = {role: track for track, role in reversed(song.session.roles.items())}
    return next((roles[role] for role in LEADS if role in roles), None)


def render(graph: MixGraph, song: BookSong) -> Tensor:
    stems = torch.stack([song.session.stems[name].expand(2, -1) for name in graph.input_names])
    with torch.no_grad():
        return Renderer(Rack.for_types(graph.types.types, graph.sample_rate))(graph, stems)[0]


def measure_song(song: BookSong, lead: str, losses: dict[str, AudioLoss], errors_db: float) -> Row:
    """The distances of all degradations of a song."""
    graph, stems = song.mixed.graph, {name: stem.expand(2, -1) for name, stem in song.session.stems.items()}
    target = render(graph, song)
    distances = {name: SongDistance(loss, target, SCORED) for name, loss in losses.items()}
    if errors_db:
        graph = with_errors(graph, lead, errors_db, song.index)
    base = {name: float(distance(render(graph, song)).total) for name, distance in distances.items()}
    steps = []
    for step, edited in degradations(graph, stems, lead):
        mix = render(edited, song)
        found = {name: float(distance(mix).total) for name, distance in distances.items()}
        steps.append({"step": asdict(step), "distances": found})
    facts = {"song": song.index, "tracks": len(stems), "lead": lead, "errors_db": errors_db}
    return {**facts, "base": base, "steps": steps}


def measure(options: argparse.Namespace) -> list[Row]:
    """So many songs, what the log holds left out."""
    rows = read_log(options.log)
    losses: dict[str, AudioLoss] = {name: make(RATE) for name, make in PARTS.items()}
    settings = settings_of(options)
    index = 1 + max((row["song"] for row in rows), default=-1)
    while len(rows) < options.songs:
        song = make_song(settings, index)
        index += 1
        lead = lead_of(song)
        if lead is None:
            continue
        rows.append(measure_song(song, lead, losses, options.errors))
        if options.log:
            with open(options.log, "a") as file:
                file.write(json.dumps(rows[-1]) + "\n")
    return rows


def settings_of(options: argparse.Namespace) -> SongbookSettings:
    fewest, most = options.tracks
    seconds = (options.seconds, options.seconds)
    return SongbookSettings(seed=options.seed, min_tracks=fewest, max_tracks=most, seconds=seconds, sample_rate=RATE)


def weights_of(name: str) -> dict[str, float]:
    """Weight of each part of an objective."""
    loss = OBJECTIVES[name](RATE)
    return dict(zip(loss.parts, loss.weights, strict=True)) if isinstance(loss, WeightedLoss) else {name: 1.0}


def orders(rows: list[Row], weights: dict[str, float]) -> tuple[dict[str, Order], dict[str, Order]]:
    """Pairs in order over all songs: within ladders by kind, across ladders by group."""
    within: dict[str, Order] = {}
    across: dict[str, Order] = {}
    for row in rows:
        steps = steps_of(row, weights)
        for total, found in ((within, order_within(steps)), (across, order_across(steps))):
            for name, order in found.items():
                total[name] = total.get(name, Order()) + order
    return within, across


def steps_of(row: Row, weights: dict[str, float]) -> list[tuple[Step, float]]:
    """The steps of a song with their distances; where the rest of the mix is off, each ladder begins with size 0."""

    def distance(distances: dict[str, float]) -> float:
        return sum(weight * distances[part] for part, weight in weights.items())

    steps = [(Step(**entry["step"]), distance(entry["distances"])) for entry in row["steps"]]
    if not row.get("errors_db"):
        return steps
    ladders = {(step.kind, step.ladder): step for step, _ in steps}.values()
    return steps + [(replace(step, size=0.0, group=""), distance(row["base"])) for step in ladders]


def relative(rows: list[Row], weights: dict[str, float]) -> dict[str, float]:
    """Mean distance of each medium step, relative to that of a lead that is 2 dB too loud."""
    total: dict[str, list[float]] = {}
    for row in rows:
        found = {(step.ladder, step.size): value for step, value in steps_of({**row, "errors_db": 0}, weights)}
        for (ladder, size), value in found.items():
            if size in MEDIUM.get(ladder, ()):
                total.setdefault(f"{ladder}, {size:g}", []).append(value / found["lead louder", 2.0])
    return {name: fmean(values) for name, values in total.items()}


def summarize(rows: list[Row], extra: dict[str, dict[str, float]]) -> dict[str, Any]:
    """Objective -> kind -> pairs in order, of how many."""
    weights = {name: weights_of(name) for name in OBJECTIVES} | extra
    result: dict[str, Any] = {}
    for name, own in weights.items():
        within, across = orders(rows, own)
        totals = {"all within": sum(within.values(), Order()), "all across": sum(across.values(), Order())}
        named = {f"across: {group}": order for group, order in across.items()}
        result[name] = {key: [o.right, o.of] for key, o in {**within, **named, **totals}.items()}
    counts = {"songs": len(rows), "steps": sum(len(row["steps"]) for row in rows)}
    sizes = {name: relative(rows, own) for name, own in weights.items()}
    return {**counts, "weights": weights, "pairs": result, "relative": sizes}


def print_summary(result: dict[str, Any]) -> None:
    objectives = list(result["pairs"])
    table = make_table(f"pairs in order, {result['songs']} songs, {result['steps']} mixes", ["pairs of", *objectives])
    for kind in result["pairs"][objectives[0]]:
        cells = [result["pairs"][name][kind] for name in objectives]
        table.add_row(kind, *(f"{right} of {of} ({100 * right / of:.1f} %)" for right, of in cells))
    sizes = make_table("mean distance relative to that of a lead 2 dB too loud", ["step", *objectives])
    for step in result["relative"][objectives[0]]:
        sizes.add_row(step, *(f"{result['relative'][name][step]:.2f}" for name in objectives))
    console = Console(width=max(Console().width, 160))
    console.print(table)
    console.print(sizes)


def measure_cost(options: argparse.Namespace) -> Row:
    """Processor seconds of loss and gradient on a segment whose features are known, and of the features."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    target, prediction = (0.1 * torch.randn(1, 2, SCORED, generator=generator) for _ in range(2))
    losses = {name: make(RATE) for name, make in OBJECTIVES.items()}
    features = {name: loss.features(target) for name, loss in losses.items()}
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in losses}
    for turn in range(options.repeats + 1):
        for name, loss in losses.items():
            audio = prediction.clone().requires_grad_()
            begun = thread_time()
            loss(prediction=audio, target=features[name]).total.backward()
            ended = thread_time()
            loss.features(target)
            if turn:  # the first compiles
                seconds[name].append((ended - begun, thread_time() - ended))
    step = {name: median(s for s, _ in own) for name, own in seconds.items()}
    ratios = {
        name: median(s / p for (s, _), (p, _) in zip(own, seconds["paper"], strict=True))
        for name, own in seconds.items()
    }
    ms = {name: round(1000 * s, 1) for name, s in step.items()}
    made = {name: round(1000 * median(f for _, f in own), 1) for name, own in seconds.items()}
    return {"step_ms": ms, "ratio_to_paper": {n: round(r, 2) for n, r in ratios.items()}, "features_ms": made}


def compressed_song(options: argparse.Namespace, folder: Path) -> Path:
    """A song of the songbook whose console has nothing but a compressor and a gain on each track."""
    settings = replace(settings_of(options), min_tracks=3, max_tracks=4)
    folder.mkdir(parents=True, exist_ok=True)
    song = make_song(settings, options.song)
    rng = np.random.default_rng((17, options.song))
    chains = {
        track: [
            dynamics("compressor", float(rng.uniform(-38, -28)), float(rng.uniform(3, 8)), 6.0, 20.0),
            panned_gain(float(rng.uniform(2, 8)), float(rng.uniform(-0.6, 0.6))),
        ]
        for track in song.session.stems
    }
    graph = build_console(song.session.subgroups, chains, {bus: [] for bus in song.session.subgroups}, RATE)
    graph.info = replace(graph.info, provenance=song.mixed.graph.info.provenance)
    mixed = Mixed(graph, render(graph, song))
    return write_song(replace(song, mixed=mixed), settings, folder)


def mine_by_each(options: argparse.Namespace) -> dict[str, Row]:
    """Objective -> of the graph that it mines, each part, and how near compressors came."""
    folder = next(iter(sorted((options.mine / "songs").glob("song_*"))), None)
    if folder is None:
        folder = compressed_song(options, options.mine / "songs")
    song = load_song(folder, RATE)
    result: dict[str, Row] = {}
    for name in options.by:
        settings = replace(DRAFT, chain="cg", master="", objective=name).scaled(options.steps, 1)
        looks = {"align": False, "rides": False, "ducking": False, "full_band": False}
        mined = mine(song, options.mine / name, settings, device="cpu", plots=False, **looks)
        objective = Objective(song, Rack.for_types(mined.graph.types.types, RATE))
        terms = {part: objective.with_loss(make(RATE)).evaluate(mined.graph) for part, make in PARTS.items()}
        result[name] = {
            **{part: float(own.total) for part, own in terms.items()},
            "processors": mined.metrics["processors_left"],
            "sdr_db": mined.metrics["sdr_db"],
        }
    return result


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--songs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument("--tracks", type=int, nargs=2, default=(4, 6), help="fewest and most")
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--errors", type=float, default=0.0, help="of the levels of other tracks, in dB")
    parser.add_argument("--log", type=Path, help="append a line of JSON for each song; resumed from")
    parser.add_argument("--read", type=Path, help="only summarize such a log")
    parser.add_argument("--weights", nargs="+", default=[], help='further objectives, such as "loudness=1,paper=0.5"')
    parser.add_argument("--cost", action="store_true", help="measure the cost instead")
    parser.add_argument("--repeats", type=int, default=20, help="of --cost")
    parser.add_argument("--mine", type=Path, help="mine one song by each objective into this folder instead")
    parser.add_argument("--by", nargs="+", default=list(OBJECTIVES), help="objectives of --mine")
    parser.add_argument("--song", type=int, default=0, help="index of the song of --mine")
    parser.add_argument("--steps", type=int, default=40, help="of --mine")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    return parser.parse_args()


def main() -> None:
    options = parse()
    if options.cost or options.mine:
        print(json.dumps(measure_cost(options) if options.cost else mine_by_each(options)))
        return
    extra = {
        text: {name: float(w) for name, w in (pair.split("=") for pair in text.split(","))} for text in options.weights
    }
    result = summarize(read_log(options.read) if options.read else measure(options), extra)
    if options.json:
        print(json.dumps(result))
    else:
        print_summary(result)


if __name__ == "__main__":
    main()
