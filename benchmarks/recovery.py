"""How well does a search recover the true graph? Songs of a songbook, mined by each policy.

    python benchmarks/recovery.py --book book --songs 20 --log recovery.jsonl
    python benchmarks/recovery.py --book book --songs 200 --steps 100 --rounds 2 --policies hybrid first-order
    python benchmarks/recovery.py --read recovery.jsonl --json

The songbook is generated where it is not there yet. For each song the console ecnsgdr is fitted once, by the preset
``draft`` (or by --steps), and pruned once with each policy. Beside them stand the answers that need no search: the
fitted console with nothing pruned, the plain sum with everything pruned, the levels by least squares.

With --log a line of JSON is appended for every song and answer, and what the log holds already is not done again. The
table gives precision, recall and F1 by type, over all songs together, the mean of F1 over types, edit distance per node
and edge of the true graph, and the mean audio loss; a second one the median parameter errors.
"""

import argparse
import json
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from time import perf_counter
from typing import Any

from report import make_table, read_log
from rich.console import Console
from step import cpu_name

from graphmix.audio import load_song
from graphmix.evaluation.recovery import Recovery, TypeScore, audio_loss, combine, compare, empty_answer, full_answer
from graphmix.graph import MixGraph, mixing_console
from graphmix.graph.storage import load_graph
from graphmix.processes import keep_memory
from graphmix.processors import Rack
from graphmix.search import DRAFT, Objective, SearchSettings, find_baselines, fit, prune, start_graph
from graphmix.songbook import SongbookSettings, write_songbook

CHAIN = "ecnsgdr"
POLICIES = ("brute-force", "dry-wet", "hybrid", "leave-one-out", "first-order")
TRIVIAL = ("nothing pruned", "everything pruned", "levels only")
TYPES = ("equalizer", "compressor", "noisegate", "imager", "gain", "delay", "reverb")
Row = dict[str, Any]


def measure_song(folder: Path, policies: Iterable[str], settings: SearchSettings, have: set[str]) -> Iterable[Row]:
    """One row for each answer that is not there yet."""
    wanted = [policy for policy in policies if policy not in have]
    if not wanted and set(TRIVIAL) <= have:
        return
    song = load_song(folder, settings.sample_rate)
    true = load_graph(folder / "graph.safetensors")
    rack = Rack.console(CHAIN, song.sample_rate)
    console = mixing_console(rack, song.subgroups, CHAIN)
    objective = Objective(song, rack)
    answers = find_baselines(objective, with_gains=True)
    begun = perf_counter()
    fitted = fit(start_graph(console, objective, answers, settings.seed), song, rack, settings)
    fitting = perf_counter() - begun
    facts = {"song": folder.name, "tracks": song.num_tracks, "subgroups": len(song.subgroups)}
    facts |= {"seconds_of_song": song.num_samples / song.sample_rate, "true_loss": audio_loss(true, song)}
    levels = min(answers[1:], key=lambda answer: float(answer.loss.total))
    trivial = {
        "nothing pruned": (full_answer(true, CHAIN), float(fitted.loss.total), fitting),
        "everything pruned": (empty_answer(true), float(answers[0].loss.total), 0.0),
        "levels only": (levels.graph, float(levels.loss.total), 0.0),
    }
    for name, (graph, loss, seconds) in trivial.items():
        if name not in have:
            yield facts | row(name, true, graph, loss, seconds)
    for policy in wanted:
        begun = perf_counter()
        pruned = prune(fitted.graph, song, rack, replace(settings, policy=policy))
        yield facts | row(policy, true, pruned.graph, float(pruned.loss.total), fitting + perf_counter() - begun)


def row(name: str, true: MixGraph, found: MixGraph, loss: float, seconds: float) -> Row:
    """The metrics of one answer, as JSON."""
    recovery = compare(true, found)
    return {
        "answer": name,
        "by_type": {kind: asdict(score) for kind, score in recovery.by_type.items()},
        "errors": [[*key, list(values)] for key, values in recovery.errors.items()],
        "edit_distance": recovery.edit_distance,
        "edit_is_exact": recovery.edit_is_exact,
        "true_size": recovery.true_size,
        "audio_loss": loss,
        "seconds": seconds,
    }


def recovery_of(line: Row) -> Recovery:
    """The inverse of :func:`row`."""
    return Recovery(
        by_type={kind: TypeScore(**score) for kind, score in line["by_type"].items()},
        errors={(kind, name): tuple(values) for kind, name, values in line["errors"]},
        edit_distance=line["edit_distance"],
        edit_is_exact=line["edit_is_exact"],
        true_size=line["true_size"],
    )


def summarize(lines: list[Row], answers: Iterable[str]) -> dict[str, Row]:
    """Over all songs, for each answer."""
    result = {}
    for answer in answers:
        own = [line for line in lines if line["answer"] == answer]
        if not own:
            continue
        recovery = combine(recovery_of(line) for line in own)
        score = recovery.all_types
        result[answer] = {
            "songs": len(own),
            "by_type": {
                kind: {"true": s.true, "found": s.found, "precision": s.precision, "recall": s.recall, "f1": s.f1,
                       "wet_f1": s.wet_f1}
                for kind, s in sorted(recovery.by_type.items())
            },
            "all": {"precision": score.precision, "recall": score.recall, "f1": score.f1, "wet_f1": score.wet_f1},
            "macro_f1": recovery.macro_f1,
            "edit_distance": recovery.relative_edit_distance,
            "edit_is_exact": recovery.edit_is_exact,
            "median_errors": {f"{kind} {name}": error for (kind, name), error in recovery.median_errors().items()},
            "audio_loss": sum(line["audio_loss"] for line in own) / len(own),
            "seconds": sum(line["seconds"] for line in own) / len(own),
        }  # fmt: skip
    return result


def print_summary(result: dict[str, Row]) -> None:
    out = Console(width=max(Console().width, 160))
    header = ["answer", *(kind[:5] for kind in TYPES), "all: P", "R", "F1", "wet F1", "macro F1", "edit", "L_a", "s"]
    table = make_table("F1 by type and over all", header)
    for answer, r in result.items():
        cells = [number(r["by_type"].get(kind, {}).get("f1")) for kind in TYPES]
        cells += [number(r["all"][key]) for key in ("precision", "recall", "f1", "wet_f1")]
        cells += [number(r["macro_f1"]), number(r["edit_distance"]), f"{r['audio_loss']:.3f}", f"{r['seconds']:.0f}"]
        table.add_row(answer, *cells)
    out.print(table)
    errors = make_table("median errors of matched processors", ["parameter", *result])
    for name in sorted({name for r in result.values() for name in r["median_errors"]}):
        errors.add_row(name, *(number(r["median_errors"].get(name)) for r in result.values()))
    out.print(errors)


def number(value: float | None) -> str:
    return "–" if value is None or value != value else f"{value:.2f}"


def without_nan(value: Any) -> Any:
    """JSON has no word for what is not a number: null."""
    if isinstance(value, dict):
        return {key: without_nan(entry) for key, entry in value.items()}
    return None if isinstance(value, float) and value != value else value


def measure(options: argparse.Namespace) -> list[Row]:
    """All songs, those of the log left out."""
    book = SongbookSettings(
        seed=options.seed, max_tracks=options.max_tracks, seconds=tuple(options.seconds), chance=options.chance
    )
    folders = write_songbook(options.book, options.songs, book, workers=options.workers)
    settings = replace(DRAFT, master="", seed=options.seed).scaled(options.steps, options.rounds)
    lines = read_log(options.log)
    for folder in folders:
        have = {line["answer"] for line in lines if line["song"] == folder.name}
        for line in measure_song(folder, options.policies, settings, have):
            lines.append(line)
            if options.log:
                with open(options.log, "a") as file:
                    file.write(json.dumps(line) + "\n")
    return lines


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--book", type=Path, default=Path("songbook"), help="generated if it is not there")
    parser.add_argument("--songs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--chance", type=float, default=0.3)
    parser.add_argument("--max-tracks", type=int, default=8)
    parser.add_argument("--seconds", type=float, nargs=2, default=(10.0, 15.0))
    parser.add_argument("--workers", type=int, default=1, help="for the generation")
    parser.add_argument("--steps", type=int, help="of the console, instead of the preset draft's")
    parser.add_argument("--rounds", type=int, help="of pruning, instead of the preset draft's")
    parser.add_argument("--policies", nargs="+", default=list(POLICIES), choices=POLICIES)
    parser.add_argument("--log", type=Path, help="append a line of JSON for each song and answer; resumed from")
    parser.add_argument("--read", type=Path, help="only summarize such a log")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    return parser.parse_args()


def main() -> None:
    options = parse()
    keep_memory()
    lines = read_log(options.read) if options.read else measure(options)
    result = summarize(lines, (*TRIVIAL, *POLICIES))
    if options.json:
        print(json.dumps({"work": "recovery", "cpu": cpu_name(), "answers": without_nan(result)}))
    else:
        print_summary(result)


if __name__ == "__main__":
    main()
