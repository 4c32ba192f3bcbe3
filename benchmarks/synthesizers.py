"""Synthesizers: speed of a batch of notes, aliases, and how near programming comes to sounds.

    python benchmarks/synthesizers.py speed --torchsynth OTHER/bin/python
    python benchmarks/synthesizers.py program --sounds 4 --candidates 100 --steps 200 --log program.jsonl
    python benchmarks/synthesizers.py program --read program.jsonl
    python benchmarks/synthesizers.py notes FOLDER --steps 200     # WAV files of single notes
    python benchmarks/synthesizers.py prune --sounds 50 --steps 60
    python benchmarks/synthesizers.py profile --threads 1

*speed*: 64 notes of 3 s at 44.1 kHz, random patches, one batch; forward, and with backward; medians of --repeats. With
--torchsynth PYTHON also the voice of torchsynth 1.0.2 in its own environment, in turn with the same voice as a graph
(``pip install torch "pytorch-lightning<1.9" "setuptools<81" torchsynth==1.0.2`` there).

*program*: sounds of patches that no candidate is drawn from (other seeds), each of them imitated by all synthesizers.
Distances (log-spectral, dB, see graphmix.synthesizers.sounds) of the nearest candidate, of a random one, of the mean
patch, after each stage of the refinement; with --parts also of gradient descent alone and from the random patch; how
often the synthesizer that comes nearest is the one that made the sound.

*prune*: sounds of FM patches of two to four operators. A full graph, in which the others have random settings at
-40 dB, is fitted to the sound and pruned; right is the same set of operators, or a distance of at most 1 dB.

*profile*: 16 subtractive notes of 3 s in one batch, nanoseconds of processor time for each sample of a note: medians
and fastest of --repeats, forward and with backward, and where they go in one more run.

--log keeps a line of JSON for each sound, which is not repeated, and beside it the state of one that was stopped.
"""

import argparse
import cProfile
import itertools
import json
import math
import pstats
import statistics
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import torch
from report import make_table, read_log
from rich.console import Console
from step import cpu_name
from torch import Tensor
from torch_geometric.data import Batch
from voice import in_turn, make_batch

from graphmix.io import write_json
from graphmix.processes import keep_memory
from graphmix.processors import Rack
from graphmix.render import Renderer
from graphmix.synthesizers import FM, SYNTHESIZERS, Synthesizer, programming
from graphmix.synthesizers.candidates import Candidate, play, random_patches, try_patches
from graphmix.synthesizers.instruments import OPERATORS
from graphmix.synthesizers.programming import Programmed, prune_patch, refine
from graphmix.synthesizers.refinement import plan_stages
from graphmix.synthesizers.sounds import Sound, load_sound, log_spectral_distance

RATE, NOTES, SECONDS = 44100, 64, 3.0
PROFILED, SHOWN = 16, 20
"""Notes, and lines of the table, of a profile."""
PITCHES = (43.0, 57.0, 64.0, 72.0)
LENGTH_MS = 900.0
PEER_ACTIONS = ("forward", "with backward")
CANDIDATE_SEED, SOUND_SEED = 0, 1000
Row = dict[str, Any]


def median(action: Callable[[], object], repeats: int, warm: bool = True) -> float:
    """Seconds of an action, after one that is not measured."""
    if warm:
        action()
    times = []
    for _ in range(repeats):
        begun = perf_counter()
        action()
        times.append(perf_counter() - begun)
    return statistics.median(times)


def speed(options: argparse.Namespace, console: Console) -> None:
    """Seconds of one batch, and how many times as fast as all of its notes one after the other, and as one of them."""
    renderer = Renderer(Rack.generators(RATE))
    table = make_table(
        f"{NOTES} notes of {SECONDS:.0f} s, {torch.get_num_threads()} threads, medians of {options.repeats}",
        ["synthesizer", "", "s", "times real time, all notes", "each in one batch"],
    )
    for synthesizer in SYNTHESIZERS.values():
        patches = random_patches(synthesizer, NOTES, SOUND_SEED)
        graphs = [synthesizer.patch(v, RATE, pitch=40.0 + i % 40) for i, v in enumerate(patches)]
        for name, action in speed_actions(renderer, Batch.from_data_list(graphs)).items():
            seconds = median(action, options.repeats)
            rates = [f"{SECONDS * count / seconds:.1f}" for count in (NOTES, 1)]
            table.add_row(synthesizer.name, name, f"{seconds:.3f}", *rates)
    console.print(table)
    if options.torchsynth is None:
        return
    batch = make_batch(renderer.rack, NOTES)
    timed = {
        name: lambda action=action: median(action, 1, warm=False)
        for name, action in speed_actions(renderer, batch).items()
        if name in PEER_ACTIONS
    }
    table = make_table(f"the voice of torchsynth, {NOTES} notes, in turn", ["", "here / s", "torchsynth / s", "ratio"])
    for name, (ours, theirs) in in_turn(timed, options.torchsynth, NOTES, SECONDS, options.repeats).items():
        table.add_row(name, f"{ours:.3f}", f"{theirs:.3f}", f"{theirs / ours:.2f}")
    console.print(table)


def speed_actions(renderer: Renderer, batch: Any) -> dict[str, Callable[[], None]]:
    """Rendering of a batch, and with gradients of all parameters: from a loss, and from given gradients of the sound.

    The loss is the mean square of both channels, some ten passes over them that are no part of the graph.
    """
    silence = torch.zeros(0, 2, round(SECONDS * RATE))

    def forward() -> None:
        with torch.no_grad():
            renderer(batch, silence)

    def played() -> Tensor:
        graph = batch.clone()
        graph.params = {name: values.clone().requires_grad_() for name, values in batch.params.items()}
        return renderer(graph, silence)

    def backward() -> None:
        played().square().mean().backward()

    def without_loss() -> None:
        audio = played()
        audio.backward(audio.detach())

    return {"forward": forward, "with backward": backward, "with backward, no loss": without_loss}


def profile(options: argparse.Namespace, console: Console) -> None:
    """Processor time of a batch of subtractive notes, and of its parts."""
    synthesizer, renderer = SYNTHESIZERS["subtractive"], Renderer(Rack.generators(RATE))
    patches = random_patches(synthesizer, PROFILED, SOUND_SEED)
    graphs = [synthesizer.patch(v, RATE, pitch=40.0 + i % 40) for i, v in enumerate(patches)]
    scale = 1e9 / (PROFILED * round(SECONDS * RATE))
    for name, action in speed_actions(renderer, Batch.from_data_list(graphs)).items():
        action()
        times = []
        for _ in range(options.repeats):
            begun = process_time()
            action()
            times.append(scale * (process_time() - begun))
        found = cProfile.Profile(process_time)
        found.runcall(action)
        entries = sorted(pstats.Stats(found).stats.items(), key=lambda entry: -entry[1][2])  # type: ignore[attr-defined]
        table = make_table(f"{name}: {statistics.median(times):.1f} ({min(times):.1f}) ns a sample", ["ns", "where"])
        for (file, _, function), (_, _, seconds, *_) in entries[:SHOWN]:
            table.add_row(f"{scale * seconds:.2f}", f"{Path(file).name} {function}")
        console.print(table)


def make_sounds(synthesizer: Synthesizer, count: int, seconds: float = 1.5) -> list[Sound]:
    """Sounds of patches of another seed than the candidates'."""
    renderer, length = Renderer(Rack.generators(RATE)), 600 * seconds
    sounds: list[Sound] = []
    for i, values in enumerate(random_patches(synthesizer, 4 * count, SOUND_SEED)):
        pitch = PITCHES[i % len(PITCHES)]
        graph = synthesizer.patch(values, RATE, pitch=pitch, length_ms=length)
        audio = play([graph], round(seconds * RATE), renderer)[0]
        if float(audio.square().mean()) > 1e-5 and len(sounds) < count:
            sounds.append(Sound(audio, RATE, pitch, length))
    return sounds


def mean_patch(synthesizer: Synthesizer, patches: list[dict[str, Any]]) -> dict[str, Any]:
    """Means of all numbers, the most frequent choices."""
    return synthesizer.values_of(torch.stack([synthesizer.vector(values) for values in patches]).mean(0))


def program_again(key: str, sound: Sound, options: argparse.Namespace) -> tuple[list[Programmed], Row]:
    """The patches of all synthesizers for a sound, and the seconds; resumed from a state beside the log."""
    partial = options.log and options.log.with_suffix(".partial")
    stopped = json.loads(partial.read_text()) if partial and partial.exists() else {}
    known = stopped if stopped.get("key") == key else {}
    begun, busy = perf_counter() - known.get("seconds", 0.0), process_time() - known.get("cpu", 0.0)

    def times() -> Row:
        return {"seconds": perf_counter() - begun, "cpu": process_time() - busy}

    def save(states: Any) -> None:
        if partial:
            write_json(partial, {"key": key, **times(), "states": states})

    results = programming.program(
        sound,
        list(SYNTHESIZERS.values()),
        candidates=options.candidates,
        steps=options.steps,
        seed=CANDIDATE_SEED,
        resume=known.get("states"),
        on_save=save,
    )
    return results, times()


def measure_sound(name: str, number: int, sound: Sound, options: argparse.Namespace) -> Row:
    """One sound, imitated by all synthesizers; with --parts also by gradient descent alone and from a random patch."""
    results, times = program_again(f"{name} {number}", sound, options)
    row: Row = {"maker": name, "number": number, "chosen": results[0].synthesizer, **times}
    row["by"] = {r.synthesizer: {"nearest": r.proposed, "refined": r.distance} for r in results}
    synthesizer = SYNTHESIZERS[name]
    history = next(dict(r.history) for r in results if r.synthesizer == name)
    ends = itertools.accumulate(stage.steps for stage in plan_stages(options.steps))
    row["after"] = [history[end] for end in ends if end in history]
    patches = random_patches(synthesizer, options.candidates, CANDIDATE_SEED)
    (random,) = try_patches(sound, synthesizer, patches[number : number + 1])
    row["random"] = random.distance
    row["mean"] = try_patches(sound, synthesizer, [mean_patch(synthesizer, patches)])[0].distance
    if options.parts:
        tried = try_patches(sound, synthesizer, patches)
        row["descent alone"] = refine(sound, synthesizer, tried[:1], options.steps, trials=False).distance
        row["random, descent alone"] = refine(sound, synthesizer, [random], options.steps, trials=False).distance
        row["random, all stages"] = refine(sound, synthesizer, [random], options.steps).distance
    return row


def program(options: argparse.Namespace, console: Console) -> None:
    """The table of distances, and of choices."""
    rows = read_log(options.read or options.log)
    done = {(row["maker"], row["number"]) for row in rows}
    sounds = {
        s.name: make_sounds(s, options.sounds, options.seconds) for s in SYNTHESIZERS.values() if not options.read
    }
    for number, name in itertools.product(range(options.sounds), sounds):
        if (name, number) in done or number >= len(sounds[name]):
            continue
        rows.append(measure_sound(name, number, sounds[name][number], options))
        if options.log:
            with options.log.open("a") as file:
                file.write(json.dumps(rows[-1]) + "\n")
    parts = ("descent alone", "random, descent alone", "random, all stages")
    stages = ("wide trials", "descent", "narrow trials", "descent")
    table = make_table("distance / dB, means", ["", *SYNTHESIZERS, "all"])
    groups = [[row for row in rows if name in (row["maker"], "all")] for name in (*SYNTHESIZERS, "all")]
    table.add_row("sounds", *(str(len(own)) for own in groups))

    def add(label: str, value: Callable[[Row], float | None]) -> None:
        cells = []
        for own in groups:
            known = [number for number in map(value, own) if number is not None]
            cells.append(f"{statistics.mean(known):.2f}" if known else "")
        table.add_row(label, *cells)

    add("random patch", lambda row: row["random"])
    add("mean patch", lambda row: row["mean"])
    add("nearest candidate", lambda row: row["by"][row["maker"]]["nearest"])
    for i, stage in enumerate(stages):
        add(f"after {stage}", lambda row, i=i: row["after"][i] if i < len(row["after"]) else None)
    add("refined", lambda row: row["by"][row["maker"]]["refined"])
    for part in parts:
        add(part, lambda row, part=part: row.get(part))
    add("refined / nearest, mean", lambda row: row["by"][row["maker"]]["refined"] / row["by"][row["maker"]]["nearest"])
    add("chosen right", lambda row: float(row["chosen"] == row["maker"]))
    add("CPU s, all synthesizers", lambda row: row["cpu"])
    console.print(table)


def notes(options: argparse.Namespace, console: Console) -> None:
    """Notes of real instruments."""
    table = make_table("distance / dB after the refinement", ["note", "pitch", *SYNTHESIZERS])
    for path in sorted(options.folder.glob("*.wav")):
        sound = load_sound(path, RATE)
        cells = []
        for synthesizer in SYNTHESIZERS.values():
            tried = try_patches(sound, synthesizer, random_patches(synthesizer, options.candidates, CANDIDATE_SEED))
            result = refine(sound, synthesizer, tried[:2], options.steps)
            cells.append(f"{tried[0].distance:.2f} > {result.distance:.2f}")
        table.add_row(path.stem, f"{sound.pitch:.2f}", *cells)
        print(path.stem, *cells, flush=True)
    console.print(table)


def prune(options: argparse.Namespace, console: Console) -> None:
    """How often pruning finds the operators of an FM patch."""
    renderer = Renderer(Rack.generators(RATE))
    counts, seconds = {"patches": 0, "same operators": 0, "within 1 dB": 0, "either": 0}, []
    for i, values in enumerate(random_patches(FM, 40 * options.sounds, SOUND_SEED)):
        true = {op for op in OPERATORS if float(values[f"op{op}.level_db"]) > -60}
        if not 2 <= len(true) <= 4 or counts["patches"] == options.sounds:
            continue
        pitch = PITCHES[i % len(PITCHES)]
        audio = play([FM.patch(values, RATE, pitch=pitch, length_ms=LENGTH_MS)], round(1.2 * RATE), renderer)[0]
        if float(audio.square().mean()) < 1e-5:
            continue
        counts["patches"] += 1
        sound = Sound(audio, RATE, pitch, LENGTH_MS)
        others = random_patches(FM, 1, i)[0]
        wrong = {n: v for n, v in others.items() if n[:2] == "op" and n[2] not in true}
        wrong |= {f"op{op}.level_db": -40.0 for op in OPERATORS if op not in true}
        begun = perf_counter()
        full = refine(sound, FM, [Candidate(FM.name, {**values, **wrong}, math.inf)], options.steps, trials=False)
        graph = prune_patch(sound, FM, full.graph)
        seconds.append(perf_counter() - begun)
        same = {name[2:] for name in graph.names if name.startswith("op")} == true
        near = float(log_spectral_distance(play([graph], len(audio), renderer), audio)[0]) <= 1
        for key, yes in (("same operators", same), ("within 1 dB", near), ("either", same or near)):
            counts[key] += yes
    table = make_table("pruning of full FM graphs", [*counts, "s each"])
    table.add_row(*(str(count) for count in counts.values()), f"{statistics.median(seconds):.1f}")
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("speed", "program", "notes", "prune", "profile"))
    parser.add_argument("folder", type=Path, nargs="?", help="of notes")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--sounds", type=int, default=4, help="of each synthesizer")
    parser.add_argument("--seconds", type=float, default=1.5, help="of each sound")
    parser.add_argument("--parts", action="store_true", help="also gradient descent alone, and from a random patch")
    parser.add_argument("--candidates", type=int, default=100)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--threads", type=int, help="as the machine has, if not given")
    parser.add_argument("--log", type=Path, help="append a line of JSON for each sound; resumed from")
    parser.add_argument("--torchsynth", type=Path, help="python of an environment with torchsynth 1.0.2, for speed")
    parser.add_argument("--read", type=Path, help="only print the table of such a log")
    options = parser.parse_args()
    if options.what == "notes" and options.folder is None:
        raise SystemExit("name a folder of notes")
    if options.threads:
        torch.set_num_threads(options.threads)
    keep_memory()  # as the command line does
    console = Console(width=130)
    actions = {"speed": speed, "program": program, "notes": notes, "prune": prune, "profile": profile}
    actions[options.what](options, console)
    print(f"torch {torch.__version__}, {cpu_name()}")


if __name__ == "__main__":
    main()
