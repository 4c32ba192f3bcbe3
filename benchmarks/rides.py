"""Rides and fades: songs of a songbook whose true mix has some, and songs without any.

    python benchmarks/rides.py make BOOK OUT [--songs 0,1,2]
    python benchmarks/rides.py measure OUT [--steps 60 --rounds 1] [--off]
    python benchmarks/rides.py alarms BOOK [--steps 60 --chain eg] [--songs 0,1,2]

*make* inserts rides into the true graph of each song and renders its mix again; which kind follows from the song's
number: a fade-out, a fade-in, a track that is ridden, muted, or faded in, a subgroup that is ridden. *measure* mines
each song with rides (and, with --off, without) and compares the moving gain of every track, the product of the rides
that it passes, with the true one: the root mean square of the difference in dB, without its mean (which is the level's
to know), over the tenths of a second in which the track is audible: by either gain not 30 dB below the mix, and not
50 dB below the level of the song. *alarms* fits the console of each song, which has no ride, and counts the rides that
are added before and after; with --steps 0 only before.
"""

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.random import Generator, default_rng
from torch import Tensor

from graphmix.audio import load_song, write_audio
from graphmix.audio.song import Song
from graphmix.graph.consoles import mixing_console
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.storage import load_graph, save_graph
from graphmix.graph.topology import neighbours, reachable
from graphmix.processors import Rack
from graphmix.processors.ride import Ride
from graphmix.render import Renderer, render_song
from graphmix.search import PRESETS, Objective, SearchSettings, mine
from graphmix.search.mine_song import begin_search, console_rack
from graphmix.search.pruning import Search
from graphmix.search.rides import Place, Points, find_places, with_ride_type
from graphmix.search.settings import LookFor

KINDS = ("fade-out", "fade-in", "track ridden", "track muted", "track faded in", "subgroup ridden")
BLOCK_SECONDS = 0.1
AUDIBLE_DB, HEARING_DB = -30.0, -50.0
"""A track is audible where it is no more than this below the mix, and below the song's level."""


def draw_points(rng: Generator, kind: str, seconds: float) -> Points:
    """Breakpoints of one kind."""
    if kind == "fade-out":
        begin = seconds * rng.uniform(0.6, 0.75)
        return [(begin, 0.0), (seconds - rng.uniform(0, 0.5), -60.0)]
    if kind in ("fade-in", "track faded in"):
        begin = 0.0 if kind == "fade-in" else seconds * rng.uniform(0.05, 0.2)
        return [(begin, -50.0), (begin + rng.uniform(2, 5), 0.0)]
    if kind == "track muted":
        begin, length = seconds * rng.uniform(0.2, 0.5), seconds * rng.uniform(0.2, 0.3)
        return [(begin, 0.0), (begin + 0.05, -80.0), (begin + length, -80.0), (begin + length + 0.05, 0.0)]
    moves = rng.uniform(3, 7, 2) * rng.choice([-1, 1])
    times = np.sort(rng.uniform(0.1, 0.9, 4)) * seconds
    times = np.maximum.accumulate(times + 0.3 * np.arange(4))
    levels = (0.0, moves[0], moves[0], moves[0] - moves[1])
    return [(float(t), float(g)) for t, g in zip(times, levels, strict=True)]


def choose_place(rng: Generator, kind: str, places: list[Place], loud: np.ndarray) -> Place:
    """Where it goes: the whole, a subgroup of several tracks, or one of the louder tracks."""
    count = max(len(p.tracks) for p in places)
    groups = [p for p in places if 1 < len(p.tracks) < count]
    if kind.startswith("fade"):
        return next(p for p in places if len(p.tracks) == count)
    if kind.startswith("subgroup") and groups:
        return groups[int(rng.integers(len(groups)))]
    tracks = sorted((p for p in places if len(p.tracks) == 1), key=lambda p: -loud[p.tracks[0]])
    return tracks[int(rng.integers(max(1, len(tracks) // 2)))]


def levels_alone(graph: MixGraph, song: Song) -> np.ndarray:
    """Level in dB of each input's sound in the mix, [tracks, blocks]."""
    renderer, names = Renderer(Rack.for_types(graph.types.types, song.sample_rate)), graph.input_names
    stems = song.read(0, song.num_samples).stems
    stems = stems[[song.track_names.index(name) for name in names]]
    levels = []
    for row in range(len(names)):
        alone = torch.zeros_like(stems)
        alone[row] = stems[row]
        with torch.no_grad():
            levels.append(block_levels(renderer(graph, alone)[0], song.sample_rate))
    return np.stack(levels)


def block_levels(audio: Tensor, rate: int) -> np.ndarray:
    """Levels in dB of blocks, [2, samples] -> [blocks]."""
    size = round(BLOCK_SECONDS * rate)
    count = audio.size(-1) // size
    power = audio[:, : count * size].double().square().unflatten(1, (count, size)).mean((0, 2))
    return (10 * (power + 1e-12).log10()).numpy()


def moving_gains(graph: MixGraph, seconds: float) -> np.ndarray:
    """Sum in dB of the rides that each input passes, [tracks, blocks]."""
    blocks = int(seconds / BLOCK_SECONDS)
    total = np.zeros((len(graph.input_names), blocks))
    if "ride" not in graph.params:
        return total
    before, _ = neighbours(graph.num_nodes, graph.edges())
    number = {node: row for row, node in enumerate(graph.nodes_of("ride").tolist())}
    inputs = graph.nodes_of("in").tolist()
    ride = Ride(round(10 / BLOCK_SECONDS))
    curves = ride.curve(graph.params["ride"], blocks * 10).unflatten(1, (blocks, 10)).mean(2).numpy()
    for node, row in number.items():
        wet = float(graph.wet[node])
        mixed = 20 * np.log10(np.maximum(wet * 10 ** (curves[row] / 20) + 1 - wet, 1e-6))
        for i, start in enumerate(inputs):
            if start in reachable(before, [node]):
                total[i] += mixed
    return total


def errors_db(true: MixGraph, mined: MixGraph, levels: np.ndarray, mix: np.ndarray, seconds: float) -> dict[str, float]:
    """Root mean square of the moving gain's error of each track where it is audible."""
    there, found = moving_gains(true, seconds), moving_gains(mined, seconds)
    result = {}
    blocks, song_db = min(levels.shape[1], there.shape[1]), float(10 * np.log10(np.mean(10 ** (mix / 10))))
    for row, name in enumerate(true.input_names):
        a, b = there[row, :blocks], found[mined.input_names.index(name), :blocks]
        least = np.maximum(mix[:blocks] + AUDIBLE_DB, song_db + HEARING_DB) - levels[row, :blocks]
        loud = (a > least) & (levels[row, :blocks] > -80)
        if loud.sum() < 5:
            continue
        b = b - (b - a)[loud].mean()
        audible = ((a > least) | (b > least)) & (levels[row, :blocks] > -80)
        difference = np.maximum(a, least)[audible] - np.maximum(b, least)[audible]
        result[name] = float(np.sqrt(np.mean(difference**2)))
    return result


def chosen(book: Path, songs: str | None) -> Iterator[tuple[int, Path]]:
    """Numbers and folders of songs."""
    folders = sorted(p for p in book.glob("song_*") if p.is_dir())
    wanted = range(len(folders)) if songs is None else [int(n) for n in songs.split(",")]
    return ((number, folders[number]) for number in wanted)


def make(options: argparse.Namespace) -> None:
    """Songs with rides."""
    for number, folder in chosen(options.folder, options.songs):
        graph = load_graph(folder / "graph.safetensors")
        song = load_song(folder, graph.sample_rate)
        rng, kind = default_rng([7, number]), KINDS[number % len(KINDS)]
        levels = levels_alone(graph, song)
        place = choose_place(rng, kind, find_places(graph), levels.max(1))
        points = draw_points(rng, kind, song.num_samples / song.sample_rate)
        ridden = place.insert(with_ride_type(graph), points)
        out = options.out / folder.name
        shutil.copytree(folder / "dry", out / "dry")
        shutil.copy(folder / "song.json", out / "song.json")
        write_audio(out / "mix.flac", render_song(ridden, song), song.sample_rate)
        save_graph(ridden, out / "graph.safetensors")
        (out / "ride.json").write_text(json.dumps({"kind": kind, "place": place.name, "points": points}))
        print(folder.name, kind, place.name, [(round(t, 2), round(g, 1)) for t, g in points], flush=True)


def measure(options: argparse.Namespace) -> None:
    """Mine the songs, and compare."""
    settings = settings_of(options)
    print("| song | kind | L_a without | with | error / dB RMS, ridden tracks | others, worst | rides |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for _, folder in chosen(options.folder, options.songs):
        true, about = load_graph(folder / "graph.safetensors"), json.loads((folder / "ride.json").read_text())
        song = load_song(folder, settings.sample_rate)
        seconds = song.num_samples / song.sample_rate
        loss = {}
        with tempfile.TemporaryDirectory() as scratch:
            for rides in (False, True) if options.off else (True,):
                mined = mine(song, Path(scratch) / str(rides), settings, device="cpu", plots=False, rides=rides)
                loss[rides] = mined.metrics["audio_loss"]
                save_graph(mined.graph, folder / f"mined_{'with' if rides else 'without'}.safetensors")
        levels, mix = (
            levels_alone(_without(true), song),
            block_levels(song.read_mix(0, song.num_samples), settings.sample_rate),
        )
        errors = errors_db(true, mined.graph, levels, mix, seconds)
        moved = {n for n, g in zip(true.input_names, np.ptp(moving_gains(true, seconds), axis=1), strict=True) if g > 0}
        ridden = [e for name, e in errors.items() if name in moved]
        others = [e for name, e in errors.items() if name not in moved]
        shown = "; ".join(f"{r['of']} {len(r['points'])}" for r in mined.metrics.get("rides", []))
        root = float(np.sqrt(np.mean(np.square(ridden)))) if ridden else float("nan")
        cells = [folder.name, about["kind"], *(f"{loss[on]:.4f}" if on in loss else "" for on in (False, True))]
        cells += [f"{root:.2f}", f"{max(others, default=0.0):.2f}", shown]
        print(f"| {' | '.join(cells)} |", mined.metrics["seconds"] if options.verbose else "", flush=True)


def _without(graph: MixGraph) -> MixGraph:
    """The graph with its rides at 0 dB."""
    graph = graph.clone()
    graph.params["ride"] = torch.zeros_like(graph.params["ride"])
    return graph


def alarms(options: argparse.Namespace) -> None:
    """Count rides in songs that have none."""
    settings = replace(settings_of(options), rounds=0)
    songs = found = 0
    spent = {"search": 0.0, "rides": 0.0}
    for _, folder in chosen(options.folder, options.songs):
        song = load_song(folder, settings.sample_rate)
        rack = console_rack(settings)
        objective = Objective(song, rack)
        console = mixing_console(rack, song.subgroups, settings.chain)
        state = begin_search(console, objective, settings)
        state.phase = "rides"
        begun = time.process_time()
        Search(objective, settings, state, look_for=LookFor(ducking=False)).run()
        spent["search"] += time.process_time() - begun
        spent["rides"] += state.seconds["rides"]
        songs += 1
        kept = [r for r in state.trace if r["event"] == "ride" and r["kept"]]
        found += bool(kept)
        print(folder.name, f"{float(state.current.terms.total):.4f}", kept, flush=True)
    means = {what: round(seconds / songs, 1) for what, seconds in spent.items()}
    print(f"rides in {found} of {songs} songs; CPU seconds a song: {means}")


def settings_of(options: argparse.Namespace) -> SearchSettings:
    """Draft, with other steps and rounds."""
    return replace(PRESETS["draft"], policy="first-order", chain=options.chain).scaled(options.steps, options.rounds)


def main() -> None:
    """Options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("make", "measure", "alarms"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path, nargs="?", help="of make")
    parser.add_argument("--songs", help="numbers, with commas; all by default")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--chain", default="ecnsgdr")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--off", action="store_true", help="measure: also without rides")
    options = parser.parse_args()
    {"make": make, "measure": measure, "alarms": alarms}[options.what](options)


if __name__ == "__main__":
    main()
