"""Quiet tracks: does pruning keep what is audible of them? Songs of a songbook with one quiet track, mined both ways.

    python benchmarks/audibility.py --book quiet --songs 6 --log audibility.jsonl
    python benchmarks/audibility.py --read audibility.jsonl
    python benchmarks/audibility.py --book quiet --cost

In each song one track whose chain has an effect is 10 to 16 dB softer than its role wants, and the true graph is known.
The console is fitted once and pruned with and without the criterion of graphmix.search.audibility, each at some
tolerances, so that runs of equal sparsity can be compared.

What a track adds to a mix is measured apart from the criterion: the graph rendered with the track, less the graph
rendered without it. A track is audible if the true mix has enough cells (mel bands of 64 ms) in which that is not
masked by the rest; it is changed if in those cells, or in those where it is audible in the mined mix, the levels differ
by more than 2 dB on average, weighted as the criterion does or (plain) not. The table counts such tracks over all
songs, against the true graph and against the fitted console, which is kept beside the songs.
With --cost, processor seconds of one pruning round with and without the criterion, in turns in one process.
"""

import argparse
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from statistics import fmean, median
from time import thread_time
from typing import Any

import numpy as np
import torch
from report import make_table, read_log
from rich.console import Console
from torch import Tensor

from graphmix.audio import Song, load_song
from graphmix.graph import MixGraph, mixing_console
from graphmix.graph.storage import load_graph, save_graph
from graphmix.graph.strips import find_strips
from graphmix.processes import keep_memory
from graphmix.processors import Rack
from graphmix.render import Renderer
from graphmix.search import DRAFT, Objective, SearchSettings, find_baselines, fit, prune, start_graph
from graphmix.search.audibility import LEAST_CELLS, Audibility
from graphmix.search.masking import Bands
from graphmix.search.rounds import PruningRound, count_processors, pruning_ratio, trial_segments
from graphmix.songbook import SongbookSettings
from graphmix.songbook.book_song import BookSong, make_song
from graphmix.songbook.files import write_song

QUIET_DB = (10.0, 16.0)
CHANGED_DB = 2.0
Row = dict[str, Any]


def with_quiet_track(song: BookSong) -> BookSong | None:
    """The song with one of its tracks softer; None if no track has a gain and an effect."""
    graph, rng = song.mixed.graph.clone(), np.random.default_rng((7, song.index))
    strips = {track: strip for track, strip in find_strips(graph).tracks.items() if len(strip) > 2}
    faders = {t: [n for n in strip if graph.type_of(n).name == "gain"] for t, strip in strips.items()}
    tracks = [track for track, own in faders.items() if own]
    if not tracks:
        return None
    track = tracks[int(rng.integers(len(tracks)))]
    softer = round(float(rng.uniform(*QUIET_DB)), 2)
    graph.params["gain"][int(graph.rows()[faders[track][-1]])] -= softer
    stems = torch.stack([song.session.stems[name].expand(2, -1) for name in graph.input_names])
    with torch.no_grad():
        mix = Renderer(Rack.for_types(graph.types.types, graph.sample_rate))(graph, stems)[0]
    facts = {**song.facts, "quiet": {"track": track, "softer_db": softer}}
    return replace(song, facts=facts, mixed=replace(song.mixed, graph=graph, mix=mix))


def write_book(out: Path, options: argparse.Namespace) -> list[Path]:
    """The folders of so many songs, made where they are not there yet."""
    tracks = {"min_tracks": options.tracks[0], "max_tracks": options.tracks[1]}
    settings = SongbookSettings(seed=options.seed, seconds=(options.seconds, options.seconds), **tracks)
    out.mkdir(parents=True, exist_ok=True)
    folders = sorted(path.parent for path in out.glob("*/song.json"))[: options.songs]
    index = 1 + int(folders[-1].name.split("_")[1]) if folders else 0
    while len(folders) < options.songs:
        song = with_quiet_track(make_song(settings, index))
        if song is not None:
            folders.append(write_song(song, settings, out))
        index += 1
    return folders


def contributions(graph: MixGraph, song: Song) -> tuple[dict[str, Tensor], Tensor]:
    """What each track adds to the mix of a graph, and the mix, [2, samples]."""
    renderer = Renderer(Rack.for_types(graph.types.types, graph.sample_rate))
    stems = song.read(0, song.num_samples).stems[[song.track_names.index(name) for name in graph.input_names]]
    with torch.no_grad():
        mix = renderer(graph, stems)[0]
        added = {}
        for row, name in enumerate(graph.input_names):
            silent = stems.clone()
            silent[row] = 0
            added[name] = mix - renderer(graph, silent)[0]
    return added, mix


def track_changes(found: MixGraph, reference: MixGraph, song: Song) -> dict[str, list[float]]:
    """Mean difference in dB of each track that is audible in the mix of the reference, weighted and plain."""
    bands = Bands.at(song.sample_rate)
    (ours, _), (theirs, mix) = contributions(found, song), contributions(reference, song)
    power = float(mix.square().mean())
    changes = {}
    for name, signal in theirs.items():
        threshold = bands.threshold(bands.powers(mix - signal), power)
        was, now = bands.powers(signal), bands.powers(ours[name])
        audible = (was > threshold) | (now > threshold)
        if int((was > threshold).sum()) >= LEAST_CELLS:
            before, after = (10 * power.maximum(threshold).log10() for power in (was, now))
            above = before.maximum(after) - 10 * threshold.log10()
            difference = (after - before).abs()
            changes[name] = [float((above * difference).sum() / above.sum()), float(difference[audible].mean())]
    return changes


def settings_of(options: argparse.Namespace) -> SearchSettings:
    draft = replace(DRAFT, chain=options.chain, master="", seed=options.seed).scaled(options.steps, options.rounds)
    return replace(draft, round_steps=options.round_steps) if options.round_steps is not None else draft


def fitted_console(folder: Path, settings: SearchSettings) -> tuple[Song, Rack, MixGraph]:
    song = load_song(folder, settings.sample_rate)
    rack = Rack.console(settings.chain, song.sample_rate)
    kept = folder.parent / f"{folder.name} {settings.chain} {settings.steps}.safetensors"
    if not kept.exists():
        objective = Objective(song, rack)
        console = mixing_console(rack, song.subgroups, settings.chain)
        start = start_graph(console, objective, find_baselines(objective, with_gains=True), settings.seed)
        save_graph(fit(start, song, rack, settings).graph, kept)
    return song, rack, load_graph(kept)


def measure_song(folder: Path, options: argparse.Namespace, have: set[str]) -> Iterable[Row]:
    """One row for each way of pruning that is not there yet, and one for the fitted console."""
    runs = [(0.0, tolerance) for tolerance in options.without]
    runs += [(limit, tolerance) for limit in options.limits for tolerance in options.tolerances]
    runs = [run for run in runs if label(*run) not in have]
    if not runs:
        return
    settings = settings_of(options)
    song, rack, console = fitted_console(folder, settings)
    true, counts = load_graph(folder / "graph.safetensors"), count_processors(console)
    quiet = json.loads((folder / "song.json").read_text())["songbook"]["facts"]["quiet"]["track"]
    facts = {"song": folder.name, "tracks": song.num_tracks, "processors": sum(counts.values()), "quiet": quiet}
    if "fitted" not in have:
        loss = float(Objective(song, rack).evaluate(console).total)
        yield {**facts, "run": "fitted", "rho": 0.0, "audio_loss": loss, "of_true": track_changes(console, true, song)}
    for limit, tolerance in runs:
        pruned = prune(console, song, rack, replace(settings, audible_db=limit, tolerance=tolerance))
        yield facts | {
            "run": label(limit, tolerance),
            "rho": pruning_ratio(pruned.graph, counts)["all"],
            "audio_loss": float(pruned.loss.total),
            "of_true": track_changes(pruned.graph, true, song),
            "of_fitted": track_changes(pruned.graph, console, song),
            "refused": sum("audible" in r and not r["kept"] for r in pruned.trace if r["event"] == "trial"),
        }


def label(limit: float, tolerance: float) -> str:
    return f"{f'{limit:g} dB' if limit else 'without'}, tau {tolerance:g}"


def measure(options: argparse.Namespace) -> list[Row]:
    """All songs, what the log holds left out."""
    lines = read_log(options.log)
    for folder in write_book(options.book, options):
        have = {line["run"] for line in lines if line["song"] == folder.name}
        for line in measure_song(folder, options, have):
            lines.append(line)
            if options.log:
                with open(options.log, "a") as file:
                    file.write(json.dumps(line) + "\n")
    return lines


def changed(changes: dict[str, list[float]], plain: bool = False) -> int:
    return sum(change[plain] > CHANGED_DB for change in changes.values())


def summarize(lines: list[Row]) -> dict[str, Row]:
    """Over all songs, for each run."""
    result = {}
    for run in dict.fromkeys(line["run"] for line in lines):
        own = [line for line in lines if line["run"] == run]
        fitted = [line.get("of_fitted", {}) for line in own]
        quiet = [line["of_true"].get(line["quiet"]) for line in own]
        result[run] = {
            "songs": len(own),
            "rho": fmean(line["rho"] for line in own),
            "audio_loss": fmean(line["audio_loss"] for line in own),
            "audible": sum(len(line["of_true"]) for line in own),
            "changed_of_true": sum(changed(line["of_true"]) for line in own),
            "changed_of_true_plain": sum(changed(line["of_true"], plain=True) for line in own),
            "changed_of_fitted": sum(map(changed, fitted)),
            "quiet_changed_of_true": sum(change is not None and change[0] > CHANGED_DB for change in quiet),
            "mean_db_of_true": fmean(c for line in own for c, _ in line["of_true"].values()),
            "mean_db_of_fitted": fmean([c for changes in fitted for c, _ in changes.values()] or [0.0]),
        }
    return result


def measure_cost(options: argparse.Namespace) -> Row:
    """Processor seconds of the first round on the first song, with and without, in turns."""
    settings = settings_of(options)
    song, rack, console = fitted_console(write_book(options.book, options)[0], settings)
    objective = Objective(song, rack)
    segments = trial_segments(objective, settings.trial_segments)
    minimum = float(objective.evaluate(console, segments).total)

    def run_round(limit: float) -> tuple[float, float, int]:
        begun = thread_time()
        audibility = Audibility(objective, console, segments, limit) if limit else None
        prepared = thread_time()
        policy = settings.new_policy()
        trials = PruningRound(objective, console, policy, settings, 0, minimum, audibility=audibility)
        trials.begin()
        count = 0
        while trials.advance() is not None:
            count += 1
        return prepared - begun, thread_time() - prepared, count

    turns = [(run_round(0.0), run_round(options.limits[0])) for _ in range(options.repeats)]
    without, with_it = ([turn[side] for turn in turns] for side in (0, 1))
    return {
        "tracks": song.num_tracks,
        "segments": len(segments),
        "console_s": median(prepared for prepared, _, _ in with_it),
        "round_s": median(seconds for _, seconds, _ in with_it),
        "round_without_s": median(seconds for _, seconds, _ in without),
        "trials": with_it[0][2],
        "trials_without": without[0][2],
        "ratio_by_trial": median(a / n / (b / m) for (_, b, m), (_, a, n) in turns),
    }


def print_summary(result: dict[str, Row]) -> None:
    header = ["run", "songs", "rho", "L_a", "audible tracks", "changed: of true", "(plain)", "quiet ones", "of fitted"]
    table = make_table("tracks changed by more than 2 dB", [*header, "mean dB: of true", "of fitted"])
    for run, r in result.items():
        keys = ("changed_of_true", "changed_of_true_plain", "quiet_changed_of_true", "changed_of_fitted")
        counts = [str(r[key]) for key in ("audible", *keys)]
        means = [f"{r[key]:.2f}" for key in ("mean_db_of_true", "mean_db_of_fitted")]
        table.add_row(run, str(r["songs"]), f"{r['rho']:.3f}", f"{r['audio_loss']:.4f}", *counts, *means)
    Console(width=max(Console().width, 160)).print(table)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--book", type=Path, default=Path("quiet-songs"), help="generated if it is not there")
    parser.add_argument("--songs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=15)
    parser.add_argument("--tracks", type=int, nargs=2, default=(4, 6), help="fewest and most")
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--chain", default=DRAFT.chain)
    parser.add_argument("--steps", type=int, default=60, help="of the console")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--round-steps", type=int, help="after each round")
    parser.add_argument("--limits", type=float, nargs="+", default=[1.0], help="of the criterion, in dB")
    parser.add_argument("--tolerances", type=float, nargs="+", default=[0.01, 0.03], help="with the criterion")
    parser.add_argument("--without", type=float, nargs="+", default=[0.01, 0.003], help="tolerances without it")
    parser.add_argument("--repeats", type=int, default=3, help="of --cost")
    parser.add_argument("--cost", action="store_true", help="measure the cost of a round instead")
    parser.add_argument("--log", type=Path, help="append a line of JSON for each song and run; resumed from")
    parser.add_argument("--read", type=Path, help="only summarize such a log")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    return parser.parse_args()


def main() -> None:
    options = parse()
    keep_memory()
    if options.cost:
        torch.set_num_threads(1)
        print(json.dumps(measure_cost(options)))
        return
    result = summarize(read_log(options.read) if options.read else measure(options))
    if options.json:
        print(json.dumps(result))
    else:
        print_summary(result)


if __name__ == "__main__":
    main()
