"""Estimators against their bars: trained on songbooks, evaluated on songs by held-out artists.

    graphmix songbook --out books/gain --mode gain --songs 400 --max-tracks 12
    graphmix songbook --out books/console --songs 400 --max-tracks 12
    python benchmarks/estimators.py --gain books/gain --console books/console --work trained --log estimators.jsonl
    python benchmarks/estimators.py ... --parts heads --seeds 3
    python benchmarks/estimators.py ... --parts real --real ../shared/audio
    python benchmarks/estimators.py --read estimators.jsonl --json

Parts:

    gain      DMC with gain and panning, on mixes that are nothing else: audio loss at most half that of the mean
              parameters of the training songs
    console   the graph estimator on console mixes: at most 85 % of the audio loss of the DMC with the same encoder,
              data and budget; keep/drop F1, macro over types, at least 0.15 above the best constant answer; with them
              the other models and baselines
    heads     a decoder for each type against one padded decoder, on several seeds, trained on the true graphs alone
    start     a reverse model as the start of a search, and the usual start: seconds until both have the loss that the
              usual start begins with, and that it has after some steps
    real      every trained model on real songs, for information

Models are trained by the configurations that come with graphmix into folders of --work, unless they are there; a
training that was interrupted is resumed. With --log a line of JSON is appended for every model and song, and what the
log holds is not repeated. The floor of any table is the audio loss that remains with the decisions of the songbook's
engineer, without chance and mixing style (``oracle``). Intervals are 95 % bootstrap intervals over songs.

The proxy network has a benchmark of its own, proxy.py.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

from report import make_table, read_log
from rich.console import Console
from step import cpu_name

from graphmix.audio import Song
from graphmix.evaluation.agreement import Agreement, Counts
from graphmix.evaluation.evaluate import EvaluationSong, evaluate, songs_to_evaluate
from graphmix.evaluation.scores import Score, plain_summary, summarize
from graphmix.graph import MixGraph, mixing_console
from graphmix.models.mixing.estimator import Estimator
from graphmix.processes import keep_memory
from graphmix.processors import Rack
from graphmix.search import DRAFT, Objective, SearchSettings, Training, find_baselines, start_graph
from graphmix.training.config import TrainConfig, load_config
from graphmix.training.data import songs_in, split_songs
from graphmix.training.estimator_start import EstimatorStart
from graphmix.training.features import SongFeatures
from graphmix.training.trainer import train

PARTS = ("gain", "console", "heads", "start", "real")
GAIN_MODELS = ("dmc-gain", "mean-gain", "loudness")
CONSOLE_MODELS = ("graph", "dmc", "mean", "nearest", "loudness")
OTHER_MODELS = ("graph-gps", "graph-transformer", "graph-gine", "autoregressive", "waveunet", "dmc-proxy")
HEADS = {"per-type heads": "per-type", "joint head": "joint"}
TEST_SHARE = 0.15
CHAIN = "ecnsgdr"
CURVE_EVERY = 2
FEATURES: SongFeatures = {}
"""Features of whole songs, computed once for all trainings."""
SHOWN_OF_HEADS = ("audio_loss", "f1", "parameter_error")
Row = dict[str, Any]
Note = Callable[[Row], None]


# --- training


def config_of(name: str, songs: Path, options: argparse.Namespace, seed: int = 0, **model: Any) -> TrainConfig:
    """A configuration that comes with graphmix, on these songs, a share of which is never touched."""
    config = load_config(name)
    steps = options.steps if config.training.steps else None
    return config.changed(
        model=model,
        data={
            "songs": [str(songs)],
            "validation": options.validation,
            "test": TEST_SHARE,
            "max_tracks": options.max_tracks,
        },
        training={"seed": seed, "steps": steps, "evaluate_every": options.evaluate_every if steps else None},
        device={"accelerator": options.device},
    )


def trained(label: str, config: TrainConfig, options: argparse.Namespace, note: Note) -> Estimator:
    """The model of a configuration, trained if it is not yet."""
    begun = perf_counter()
    result = train(config, options.work / label, features=FEATURES)
    if not result.already_done:
        kept = ("steps", "step", "value", "seconds", "parameters", "songs", "device")
        facts = {key: result.facts[key] for key in kept}
        note({"part": "training", "model": label, **facts, "wall_s": round(perf_counter() - begun, 1)})
    return result.estimator


def held_out(songs: Path, options: argparse.Namespace) -> list[EvaluationSong]:
    """The held-out songs, by the split of :func:`config_of`."""
    data = load_config("graph").data
    records = songs_in([songs], options.max_tracks)
    chosen = {r.song_id for r in split_songs(records, options.validation, TEST_SHARE, data.split_seed)["test"]}
    found = [song for song in songs_to_evaluate(songs, options.max_tracks) if song.song_id in chosen]
    return found[: options.songs] if options.songs else found


# --- evaluation


def judge(
    part: str, models: dict[str, Estimator], songs: Sequence[EvaluationSong], rows: list[Row], note: Note
) -> None:
    """Every model on every song that the log does not hold yet."""
    have = {(row["model"], row["song"]) for row in rows if row["part"] == part}
    for song in songs:
        missing = {name: model for name, model in models.items() if (name, song.song_id) not in have}
        for score in evaluate(missing, [song]):
            note({"part": part, **score.row(), "agreement": as_plain(score.agreement)})


def as_plain(agreement: Agreement | None) -> Row | None:
    """For the log."""
    if agreement is None:
        return None
    counts = {name: [c.hits, c.false_keeps, c.misses, c.true_drops] for name, c in agreement.counts.items()}
    return {
        "counts": counts,
        "raw_errors": dict(agreement.raw_errors),
        "raw_values": dict(agreement.raw_values),
        "lost": agreement.lost,
    }


def as_score(row: Row) -> Score:
    """From the log."""
    plain = row["agreement"]
    agreement = None
    if plain is not None:
        counts = {name: Counts(*cells) for name, cells in plain["counts"].items()}
        agreement = Agreement(counts, plain["raw_errors"], plain["raw_values"], plain["lost"])
    skipped = ("part", "model", "song", "artist_in_training", "heard_in_training", "agreement")
    numbers = {name: value for name, value in row.items() if name not in skipped}
    known = row.get("artist_in_training", row.get("heard_in_training", False))  # its name in older logs
    return Score(row["model"], row["song"], known, numbers, agreement)


def note_oracle(part: str, songs: Sequence[EvaluationSong], rows: list[Row], note: Note) -> None:
    """What remains of the audio loss for who knows the engineer."""
    from graphmix.songbook import oracle_loss

    have = {row["song"] for row in rows if row["part"] == f"{part} oracle"}
    for song in songs:
        if song.song_id not in have:
            loss = oracle_loss(song.source.graph_path.parent)  # type: ignore[union-attr]
            note({"part": f"{part} oracle", "song": song.song_id, "content": loss.content, "style": loss.style})


# --- parts


def run_gain(options: argparse.Namespace, rows: list[Row], note: Note) -> None:
    models = {name: trained(name, config_of(name, options.gain, options), options, note) for name in GAIN_MODELS}
    songs = held_out(options.gain, options)
    judge("gain", {**models, "sum": untrained("sum")}, songs, rows, note)
    note_oracle("gain", songs, rows, note)


def run_console(options: argparse.Namespace, rows: list[Row], note: Note) -> None:
    names = (*CONSOLE_MODELS, *(OTHER_MODELS if options.all else ()))
    models = {
        name: trained(f"console-{name}", config_of(name, options.console, options), options, note) for name in names
    }
    songs = held_out(options.console, options)
    judge("console", {**models, "sum": untrained("sum")}, songs, rows, note)
    note_oracle("console", songs, rows, note)


def run_heads(options: argparse.Namespace, rows: list[Row], note: Note) -> None:
    songs = held_out(options.console, options)
    for seed in range(options.seeds):
        for label, head in HEADS.items():
            config = config_of("graph", options.console, options, seed, head=head)
            name = f"{label}, seed {seed}"
            model = trained(f"heads-{head}-{seed}", config, options, note)
            judge("heads", {name: model}, songs, rows, note)


def run_start(options: argparse.Namespace, rows: list[Row], note: Note) -> None:
    model = trained("reverse", config_of("reverse", options.console, options), options, note)
    starts: dict[str, EstimatorStart | None] = {"usual": None, "estimator": EstimatorStart(model)}
    have = {(row["song"], row["start"]) for row in rows if row["part"] == "start"}
    songs = held_out(options.console, options)
    settings = replace(DRAFT, steps=options.start_steps, chain=CHAIN, master="")
    if songs:  # what is compiled is loaded before a clock runs
        for start in starts.values():
            list(learning_curve(songs[0].load(settings.sample_rate)[0], replace(settings, steps=1), start))
    for song in songs:
        loaded: Song | None = None
        for name, start in starts.items():
            if (song.song_id, name) in have:
                continue
            loaded = loaded or song.load(settings.sample_rate)[0]
            points = [[round(seconds, 3), round(loss, 6)] for seconds, loss in learning_curve(loaded, settings, start)]
            note({"part": "start", "song": song.song_id, "start": name, "history": points})


def learning_curve(song: Song, settings: SearchSettings, start: EstimatorStart | None) -> Iterator[tuple[float, float]]:
    """(seconds since the beginning, best loss over the song so far): at the start and after every few steps.

    The clock stands still while the loss of a point is computed, except where the start itself needs it.
    """
    objective = Objective(song, Rack.console(settings.chain, settings.sample_rate))
    console = mixing_console(objective.rack, song.subgroups, settings.chain)
    begun = perf_counter()
    graph = set_console(console, objective, settings, start)
    seconds = perf_counter() - begun
    # one step more than are made: the last one would be evaluated while the clock runs
    training = Training(objective, graph, replace(settings, evaluate_every=10**9), 0, settings.steps + 1)
    best = float(training.best_loss.total)
    yield seconds, best
    while training.step < settings.steps:
        begun = perf_counter()
        for _ in range(min(CURVE_EVERY, settings.steps - training.step)):
            training.advance()
        seconds += perf_counter() - begun
        best = min(best, float(objective.evaluate(training.raw.snapshot()).total))
        yield seconds, best


def set_console(
    console: MixGraph, objective: Objective, settings: SearchSettings, start: EstimatorStart | None
) -> MixGraph:
    """The console as the search begins with it."""
    if start is None:
        return start_graph(console, objective, find_baselines(objective, with_gains=True), settings.seed)
    return start(console, objective.song, objective.rack, settings.seed)


def run_real(options: argparse.Namespace, rows: list[Row], note: Note) -> None:
    models = {
        name: trained(f"console-{name}", config_of(name, options.console, options), options, note)
        for name in (*CONSOLE_MODELS, *(OTHER_MODELS if options.all else ()))
    }
    models["dmc-gain"] = trained("dmc-gain", config_of("dmc-gain", options.gain, options), options, note)
    models["sum"] = untrained("sum")
    judge("real", models, songs_to_evaluate(options.real), rows, note)


def untrained(name: str) -> Estimator:
    from graphmix.training.checkpoint import load_estimator

    return load_estimator(name)


# --- results


def summary_of(rows: Sequence[Row], part: str) -> dict[str, Any]:
    return summarize([as_score(row) for row in rows if row["part"] == part and "agreement" in row])


def bars(rows: Sequence[Row]) -> list[Row]:
    """What was asked for, what came out, and whether it is met."""
    found: list[Row] = []
    gain, console = summary_of(rows, "gain"), summary_of(rows, "console")
    if {"dmc-gain", "mean-gain"} <= set(gain):
        ratio = gain["dmc-gain"]["audio_loss"].mean / gain["mean-gain"]["audio_loss"].mean
        found.append(bar("DMC (gain/panning) / mean parameters, audio loss", ratio, 0.5, at_most=True))
    if {"graph", "dmc"} <= set(console):
        ratio = console["graph"]["audio_loss"].mean / console["dmc"]["audio_loss"].mean
        found.append(bar("graph estimator / DMC, audio loss", ratio, 0.85, at_most=True))
        f1, constant = console["graph"]["f1"], console["graph"]["best_constant_f1"]
        if f1 is not None and constant is not None:
            above = f1.mean - constant.mean
            found.append(bar("keep/drop F1 above the best constant answer", above, 0.15, at_most=False))
    speeds = speedups(rows)
    if speeds:
        middle = sorted(speeds)[len(speeds) // 2]
        found.append(bar("usual start / reverse start, median seconds to one loss", middle, 3.0, at_most=False))
    return found


def bar(what: str, value: float, limit: float, *, at_most: bool) -> Row:
    met = value <= limit if at_most else value >= limit
    return {"what": what, "value": round(value, 4), "bar": limit, "at_most": at_most, "met": met}


def speedups(rows: Sequence[Row]) -> list[float]:
    """How many times sooner, for each song, the reverse start has the loss that the usual start begins with.

    A song on which it never reaches that loss counts as 0; its own beginning may be better.
    """
    histories: dict[str, dict[str, list[list[float]]]] = {}
    for row in rows:
        if row["part"] == "start":
            histories.setdefault(row["song"], {})[row["start"]] = row["history"]
    found = []
    for own in histories.values():
        if {"usual", "estimator"} <= set(own):
            usual_seconds, target = own["usual"][0]
            reached = next((seconds for seconds, loss in own["estimator"] if loss <= target), None)
            found.append(0.0 if reached is None else usual_seconds / reached)
    return found


def heads_by_seed(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Audio loss, F1 and parameter error of each design, seed by seed."""
    result: dict[str, list[Row]] = {}
    for name, columns in summary_of(rows, "heads").items():
        numbers = {key: None if columns[key] is None else round(columns[key].mean, 4) for key in SHOWN_OF_HEADS}
        result.setdefault(name.partition(",")[0], []).append({"run": name, **numbers})
    return result


def print_results(rows: Sequence[Row]) -> None:
    from graphmix.cli.evaluate_command import as_table

    out = Console(width=200)
    for part in ("gain", "console", "heads", "real"):
        summary = summary_of(rows, part)
        if summary:
            count = len({row["song"] for row in rows if row["part"] == part})
            out.print(part)
            out.print(as_table(summary, count))
        floor = [row["content"] for row in rows if row["part"] == f"{part} oracle"]
        if floor:
            out.print(f"what remains for who decides as the engineer, audio loss: {sum(floor) / len(floor):.4f}")
    speeds = speedups(rows)
    if speeds:
        shown = ", ".join(f"{speed:.1f}" for speed in sorted(speeds))
        out.print(f"times sooner at the loss of the usual start, by song: {shown}")
    table = make_table("bars", ("", "value", "bar", "met"))
    for row in bars(rows):
        sign = "≤" if row["at_most"] else "≥"
        table.add_row(row["what"], f"{row['value']:.3f}", f"{sign} {row['bar']:g}", "yes" if row["met"] else "no")
    out.print(table)


def as_json(rows: Sequence[Row]) -> Row:
    return {
        "work": "estimators",
        "cpu": cpu_name(),
        "bars": bars(rows),
        "tables": {part: plain_summary(summary_of(rows, part)) for part in ("gain", "console", "heads", "real")},
        "heads": heads_by_seed(rows),
        "speedups": [round(speed, 3) for speed in speedups(rows)],
        "trainings": [row for row in rows if row["part"] == "training"],
    }


# --- the whole


def measure(options: argparse.Namespace) -> list[Row]:
    """All parts; what the log holds is left out."""
    rows = read_log(options.log)

    def note(row: Row) -> None:
        rows.append(row)
        if options.log:
            with open(options.log, "a") as file:
                file.write(json.dumps(row) + "\n")

    runs = {"gain": run_gain, "console": run_console, "heads": run_heads, "start": run_start, "real": run_real}
    needs = {"gain": ["gain"], "real": ["gain", "console", "real"]}
    for part in options.parts:
        missing = [name for name in needs.get(part, ["console"]) if getattr(options, name) is None]
        if missing:
            raise SystemExit(f"part {part} needs --{missing[0]}")
        runs[part](options, rows, note)
    return rows


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gain", type=Path, help="songbook of mode gain")
    parser.add_argument("--console", type=Path, help="songbook of mode console")
    parser.add_argument("--real", type=Path, help="collection of real songs")
    parser.add_argument("--work", type=Path, default=Path("trained"), help="where trained models are and go")
    parser.add_argument("--parts", nargs="+", default=["gain", "console"], choices=PARTS)
    parser.add_argument("--all", action="store_true", help="in console and real also the other models")
    parser.add_argument("--seeds", type=int, default=3, help="of part heads")
    parser.add_argument("--steps", type=int, help="of each training, instead of the configuration's")
    parser.add_argument("--evaluate-every", type=int, help="with --steps")
    parser.add_argument("--validation", type=float, default=0.06, help="share of the songs that trainings watch")
    parser.add_argument("--start-steps", type=int, default=50, help="of the search, in part start")
    parser.add_argument("--songs", type=int, help="largest number of held-out songs")
    parser.add_argument("--max-tracks", type=int, default=24)
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--log", type=Path, help="append a line of JSON for each model and song; resumed from")
    parser.add_argument("--read", type=Path, help="only show such a log")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    return parser.parse_args()


def main() -> None:
    options = parse()
    keep_memory()
    rows = read_log(options.read) if options.read else measure(options)
    if options.json:
        print(json.dumps(as_json(rows)))
    else:
        print_results(rows)


if __name__ == "__main__":
    main()
