"""Random orders and types: does a search over type and place find more of the true graph than a fixed order?

    python benchmarks/random_orders.py --book book --songs 20 --log random_orders.jsonl
    python benchmarks/random_orders.py --book book --songs 4 --types ecg --steps 40 --rounds 2 --searches prune relax
    python benchmarks/random_orders.py --read random_orders.jsonl --json

The songbook of mode ``random-order`` is generated where it is not there yet. Each song is mined by each search from the
same console, with the same steps and rounds of the preset ``draft`` (or --steps, --rounds), and with no minutes.

With --log a line of JSON is appended for every song and search, and what the log holds already is not done again; a
song that was interrupted is resumed in its folder below --mined, and its seconds are then unknown. For each search the
table gives the graph edit distance to the true graph (mean, and over that of ``prune`` on the same songs with a 95 %
bootstrap interval over songs), the same without what sound cannot tell apart (an equalizer and a parametric one of the
same curve; a gain before or behind a threshold that takes it up), F1 by type, the audio loss L_a, how many processors
are left for each true one, and the seconds of CPU that a song took, also over those of ``prune``.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from time import process_time
from typing import Any

import numpy as np
from report import make_table, read_log
from rich.console import Console
from step import cpu_name

from graphmix.evaluation.intervals import bootstrap_songs
from graphmix.evaluation.recovery import compare
from graphmix.graph.storage import load_graph
from graphmix.processes import keep_memory
from graphmix.search import DRAFT, mine
from graphmix.search.settings import SEARCHES, SearchSettings
from graphmix.songbook import SongbookSettings, write_songbook

CHAIN = "ecnsgdr"
Row = dict[str, Any]
RATIOS = {"edit_distance": "of_prune", "audible_distance": "audible_of_prune", "cpu_seconds": "time"}
"""What is compared with ``prune``, and what the ratio is called."""


def measure_song(folder: Path, out: Path, settings: SearchSettings) -> Row:
    """One song by one search."""
    begun, is_new = process_time(), not out.exists()
    alone = {"align": False, "rides": False, "ducking": False, "full_band": False}
    mined = mine(folder, out, settings, plots=False, **alone)
    seconds = process_time() - begun
    recovery = compare(load_graph(folder / "graph.safetensors"), mined.graph)
    score = recovery.all_types
    return {
        "song": folder.name,
        "search": settings.search,
        "edit_distance": recovery.edit_distance,
        "audible_distance": recovery.audible_distance,
        "relative": recovery.relative_edit_distance,
        "is_exact": recovery.edit_is_exact,
        "f1": score.f1,
        "audio_loss": mined.metrics["audio_loss"],
        "pruning_ratio": mined.metrics["pruning_ratio"]["all"],
        "processors": score.found,
        "true_processors": score.true,
        "cpu_seconds": seconds if is_new else None,
    }


def ratio_of_means(own: Sequence[float], base: Sequence[float]) -> tuple[float, float, float]:
    """Mean over mean, and its interval over songs."""
    pairs = np.array([own, base], dtype=np.float64).T
    exact = float(pairs[:, 0].mean() / max(float(pairs[:, 1].mean()), 1e-12))
    found = bootstrap_songs(
        exact, pairs, lambda drawn: drawn[..., 0].mean(1) / np.maximum(drawn[..., 1].mean(1), 1e-12)
    )
    return found.mean, found.low, found.high


def summarize(lines: Sequence[Row]) -> dict[str, Row]:
    """Over the songs that each search and ``prune`` have in common."""
    by_search: dict[str, dict[str, Row]] = {}
    for line in lines:
        by_search.setdefault(line["search"], {})[line["song"]] = line
    base, result = by_search.get("prune", {}), {}
    for search, own in by_search.items():
        rows = list(own.values())
        keys = ("edit_distance", "audible_distance", "relative", "f1", "audio_loss", "processors", "true_processors")
        means = {key: fmean(row[key] for row in rows) for key in keys}
        timed = [row["cpu_seconds"] for row in rows if row["cpu_seconds"] is not None]
        result[search] = {"songs": len(rows), **means, "cpu_seconds": fmean(timed) if timed else None}
        for key, ratio in (
            ("edit_distance", "of_prune"),
            ("audible_distance", "audible_of_prune"),
            ("cpu_seconds", "time"),
        ):
            shared = sorted(s for s in {*own} & {*base} if own[s][key] is not None and base[s][key] is not None)
            if shared:
                pairs = [[source[song][key] for song in shared] for source in (own, base)]
                result[search][ratio] = ratio_of_means(*pairs)
    return result


def share(values: Row, key: str) -> str:
    """A ratio with its interval."""
    return "{:.2f} [{:.2f}, {:.2f}]".format(*values[key]) if key in values else "–"


def print_summary(result: dict[str, Row]) -> None:
    header = [
        "search",
        "songs",
        "edit distance",
        "of prune's",
        "audible",
        "of prune's",
        "F1",
        "L_a",
        "processors",
    ]
    table = make_table("random orders and types", [*header, "CPU s", "of prune's"])
    for search, r in result.items():
        seconds = "–" if r["cpu_seconds"] is None else f"{r['cpu_seconds']:.0f}"
        table.add_row(
            search, str(r["songs"]), f"{r['edit_distance']:.2f}", share(r, "of_prune"), f"{r['audible_distance']:.2f}",
            share(r, "audible_of_prune"), f"{r['f1']:.2f}", f"{r['audio_loss']:.4f}",
            f"{r['processors']:.1f} of {r['true_processors']:.1f}", seconds, share(r, "time"),
        )  # fmt: skip
    Console(width=160).print(table)


def measure(options: argparse.Namespace) -> list[Row]:
    """All songs, those of the log left out."""
    book = SongbookSettings(
        seed=options.seed, mode="random-order", types=options.types, min_tracks=options.min_tracks,
        max_tracks=options.max_tracks, seconds=tuple(options.seconds), sample_rate=options.rate,
    )  # fmt: skip
    folders = write_songbook(options.book, options.songs, book, workers=options.workers)
    base = replace(DRAFT, chain=options.chain, master="", sample_rate=options.rate, seed=options.seed)
    base = replace(base.scaled(options.steps, options.rounds), moves=options.moves)
    lines = read_log(options.log)
    have = {(line["song"], line["search"]) for line in lines}
    for folder in folders:
        for search in options.searches:
            if (folder.name, search) in have:
                continue
            types = "" if search == "prune" else book.random_types
            settings = replace(base, search=search, types=types)
            lines.append(measure_song(folder, options.mined / search / folder.name, settings))
            if options.log:
                with open(options.log, "a") as file:
                    file.write(json.dumps(lines[-1]) + "\n")
    return lines


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--book", type=Path, default=Path("random-book"), help="generated if it is not there")
    parser.add_argument("--mined", type=Path, default=Path("random-mined"), help="output folders of the searches")
    parser.add_argument("--songs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--types", default="", help="of the songs, as a chain; searches may bring in the same")
    parser.add_argument("--chain", default=CHAIN, help="of the fixed console")
    parser.add_argument("--min-tracks", type=int, default=3)
    parser.add_argument("--max-tracks", type=int, default=6)
    parser.add_argument("--seconds", type=float, nargs=2, default=(8.0, 12.0))
    parser.add_argument("--rate", type=int, default=30000, help="of songs and searches, in Hz")
    parser.add_argument("--workers", type=int, default=1, help="for the generation")
    parser.add_argument("--steps", type=int, help="of the console, instead of the preset draft's")
    parser.add_argument("--rounds", type=int, help="of pruning, instead of the preset draft's")
    parser.add_argument("--moves", type=int, default=DRAFT.moves, help="before each round, of searches that make some")
    parser.add_argument("--searches", nargs="+", default=list(SEARCHES), choices=list(SEARCHES))
    parser.add_argument("--log", type=Path, help="append a line of JSON for each song and search; resumed from")
    parser.add_argument("--read", type=Path, help="only summarize such a log")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    return parser.parse_args()


def main() -> None:
    options = parse()
    keep_memory()
    result = summarize(read_log(options.read) if options.read else measure(options))
    if options.json:
        print(json.dumps({"work": "random orders", "cpu": cpu_name(), "searches": result}))
    else:
        print_summary(result)


if __name__ == "__main__":
    main()
