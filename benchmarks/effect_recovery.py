"""Does mining find a captured effect again? Songs of a songbook, some tracks of which pass through it.

    python benchmarks/effect_recovery.py --book book --log effects.jsonl
    python benchmarks/effect_recovery.py --book book --effect amp/effect.safetensors --songs 20 --log effects.jsonl
    python benchmarks/effect_recovery.py --read effects.jsonl --json

The songs are those of ``graphmix songbook --effect a=FILE``: half of the tracks, at random, pass through the effect
with a dry/wet weight of 0.5 to 1, and then through the usual console; each song is mined as ``graphmix mine --chain
aecnsgdr --effect a=FILE`` does, by the preset ``draft`` (or by --steps and --rounds). Without --effect the device is an
overdrive written down here: a grey box of 18 dB of drive between a high-pass and a low-pass filter.

An effect node of the mined graph is *found* where it is kept (with a dry/wet weight above 0.005), true where the true
graph has one on that track; on a bus of several tracks it is never true. With --log a line of JSON is appended for
each song as it is done, and what the log holds already is not done again.
"""

import argparse
import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from recovery import number, without_nan
from report import make_table, read_log
from rich.console import Console
from step import cpu_name

from graphmix.audio import load_song
from graphmix.evaluation.chains import take_apart
from graphmix.evaluation.recovery import TypeScore, compare
from graphmix.graph import MixGraph, mixing_console
from graphmix.graph.storage import load_graph, save_graph
from graphmix.models.effects import CapturedEffect, build_effect, captured_effect, save_effect
from graphmix.models.effects.grey_box import GreyBoxEffect
from graphmix.processes import keep_memory
from graphmix.processors import Rack
from graphmix.search import DRAFT, Objective, SearchSettings, find_baselines, fit, prune, start_graph
from graphmix.songbook import SongbookSettings, write_songbook

LETTER = "a"
CHAIN = "aecnsgdr"
RATE = 30000
DRIVE_DB = 18.0
HIGH_PASS_HZ, LOW_PASS_HZ = 80.0, 5000.0
TAPS = 512
Row = dict[str, Any]


def overdrive(path: Path) -> Path:
    """A device with a closed form: one-pole high-pass, hyperbolic tangent with a bias, one-pole low-pass."""
    sizes = {"taps": TAPS, "direct": TAPS, "resonances": 0, "points": 1025, "dynamics": False}
    model = build_effect({"model": "grey_box", "sample_rate": RATE, **sizes})
    assert isinstance(model, GreyBoxEffect), "as it was asked for"
    times = torch.arange(TAPS)
    low = math.exp(-2 * math.pi * LOW_PASS_HZ / RATE)
    slow = math.exp(-2 * math.pi * HIGH_PASS_HZ / RATE)
    high_pass = -(1 - slow) * slow**times
    high_pass[0] += 1
    with torch.no_grad():
        responses = torch.stack([high_pass, (1 - low) * low**times])
        model.filters.copy_(torch.linalg.lstsq(model.basis.t().double(), responses.t().double()).solution.t())
        drive = DRIVE_DB / 20 * math.log(10)
        scale, bias = 4.0, 0.2
        model.curves[0] = 0.35 * (torch.tanh(scale * model.axis + bias) - math.tanh(bias))
        model.gains[0] = drive - math.log(scale)
    return save_effect(model, path)


def measure_song(folder: Path, effect: CapturedEffect, settings: SearchSettings, out: Path | None) -> Row:
    """Mine a song, and compare the effect nodes with the true ones."""
    song = load_song(folder, settings.sample_rate)
    true = load_graph(folder / "graph.safetensors")
    rack = Rack.console(settings.chain, song.sample_rate, [effect])
    objective = Objective(song, rack)
    begun = perf_counter()
    answers = find_baselines(objective, with_gains=True)
    console = start_graph(mixing_console(rack, song.subgroups, settings.chain), objective, answers, settings.seed)
    fitted = fit(console, song, rack, settings)
    fitting = perf_counter() - begun
    pruned = prune(fitted.graph, song, rack, settings)
    seconds = perf_counter() - begun
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        save_graph(fitted.graph, out / f"{folder.name}_console.safetensors")
        save_graph(pruned.graph, out / f"{folder.name}.safetensors")
    recovery = compare(true, pruned.graph)
    name = effect.node_type.name
    truth = Objective(song, Rack.for_types(true.types.types, true.sample_rate, [effect]))
    return {
        "song": folder.name,
        "tracks": song.num_tracks,
        "by_type": {kind: asdict(score) for kind, score in recovery.by_type.items()},
        "places": places(name, true, fitted.graph, pruned.graph),
        "true_loss": float(truth.evaluate(true).total),
        "start_loss": float(min(answer.loss.total for answer in answers)),
        "console_loss": float(fitted.loss.total),
        "audio_loss": float(pruned.loss.total),
        "seconds": seconds,
        "fitting": fitting,
    }


def places(name: str, true: MixGraph, fitted: MixGraph, pruned: MixGraph) -> dict[str, list[float]]:
    """Place -> dry/wet weight of the effect in the true graph, in the fitted console and in the pruned graph."""
    weights = []
    for graph in (true, fitted, pruned):
        chains = take_apart(graph, like=true).by_place
        weights.append({p: sum(x.wet for x in pieces if x.kind == name) for p, pieces in chains.items()})
    return {place: [w.get(place, 0.0) for w in weights] for place in sorted({p for w in weights for p in w})}


def total(lines: list[Row], kind: str) -> TypeScore:
    """Counts of one type over all songs."""
    return sum((TypeScore(**line["by_type"][kind]) for line in lines if kind in line["by_type"]), TypeScore())


def print_summary(lines: list[Row], name: str) -> None:
    out = Console(width=max(Console().width, 130))
    losses = ("L_a start", "console", "mined", "true")
    header = ("song", "tracks", "true", "found", "matched", *losses, "s", "true > fitted > mined weight")
    songs = make_table(f"{name}: tracks that pass through it", header)
    for line in lines:
        score = total([line], name)
        detail = ", ".join(f"{p.split()[-1]} {w[0]:.2f} > {w[1]:.2f} > {w[2]:.2f}" for p, w in line["places"].items()
                           if w[0] or w[2])  # fmt: skip
        songs.add_row(line["song"], str(line["tracks"]), str(score.true), str(score.found), str(score.matched),
                      f"{line['start_loss']:.3f}", f"{line['console_loss']:.3f}", f"{line['audio_loss']:.3f}",
                      f"{line['true_loss']:.3f}", f"{line['seconds']:.0f}", detail)  # fmt: skip
    out.print(songs)
    table = make_table("all songs", ["type", "true", "found", "precision", "recall", "F1", "wet F1"])
    for kind in (name, *sorted({kind for line in lines for kind in line["by_type"]} - {name})):
        s = total(lines, kind)
        table.add_row(kind, str(s.true), str(s.found), *map(number, (s.precision, s.recall, s.f1, s.wet_f1)))
    out.print(table)


def measure(options: argparse.Namespace) -> tuple[list[Row], str]:
    """All songs, those of the log left out."""
    options.book.mkdir(parents=True, exist_ok=True)
    path = options.effect or overdrive(options.book.with_name(options.book.name + "_overdrive.safetensors"))
    effect = captured_effect(path, LETTER, RATE, "overdrive" if options.effect is None else None)
    book = SongbookSettings(
        seed=options.seed, min_tracks=4, max_tracks=6, seconds=tuple(options.seconds), chance=options.chance
    )
    folders = write_songbook(options.book, options.songs, book, workers=options.workers, effects=[effect])
    settings = replace(DRAFT, seed=options.seed, chain=options.chain, master="").scaled(options.steps, options.rounds)
    lines = read_log(options.log)
    done = {line["song"] for line in lines}
    for folder in folders[options.first :]:
        if folder.name in done:
            continue
        lines.append(measure_song(folder, effect, settings, options.out))
        if options.log:
            with open(options.log, "a") as file:
                file.write(json.dumps(lines[-1]) + "\n")
        print_summary(lines[-1:], effect.node_type.name)
    return lines, effect.node_type.name


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--book", type=Path, default=Path("effect_songbook"), help="generated if it is not there")
    parser.add_argument("--effect", type=Path, help="a captured effect, instead of the overdrive")
    parser.add_argument("--songs", type=int, default=8)
    parser.add_argument("--first", type=int, default=0, help="leave out the songs before this one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--chance", type=float, default=0.3)
    parser.add_argument("--seconds", type=float, nargs=2, default=(5.0, 10.0))
    parser.add_argument("--chain", default=CHAIN)
    parser.add_argument("--workers", type=int, default=1, help="for the generation")
    parser.add_argument("--steps", type=int, help="of the console, instead of the preset draft's")
    parser.add_argument("--rounds", type=int, help="of pruning, instead of the preset draft's")
    parser.add_argument("--log", type=Path, help="append a line of JSON for each song; resumed from")
    parser.add_argument("--out", type=Path, help="folder for the fitted and the pruned graphs")
    parser.add_argument("--read", type=Path, help="only summarize such a log")
    parser.add_argument("--name", default="overdrive", help="name of the effect in that log")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    return parser.parse_args()


def main() -> None:
    options = parse()
    keep_memory()
    lines, name = (read_log(options.read), options.name) if options.read else measure(options)
    if not options.json:
        print_summary(lines, name)
        return
    score = total(lines, name)
    values = {"songs": len(lines), **asdict(score), "precision": score.precision, "recall": score.recall}
    work = {"work": "effect_recovery", "effect": name, "cpu": cpu_name(), "threads": torch.get_num_threads()}
    print(json.dumps(without_nan({**work, **values, "f1": score.f1, "wet_f1": score.wet_f1})))


if __name__ == "__main__":
    main()
