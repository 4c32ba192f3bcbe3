"""Table 1 of the pruning paper on real songs: the loss of the console as its chain grows, by type of processor.

    python benchmarks/table1.py --songs ../shared/audio --steps 300

Prints a row as soon as it is there, and writes them as JSON lines with --json. The peer's figures for the first and
the last chain are in the README beside the songs.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import torch

from graphmix.audio import load_song
from graphmix.graph import mixing_console
from graphmix.processors import Rack
from graphmix.search import DRAFT, Objective, find_baselines, fit, start_graph

CHAINS = ("", "g", "sg", "esg", "esgr", "ecsgr", "ecnsgr", "ecnsgdr")
SONGS = ("mauiwowi", "final_step", "krem_kaakkuja")


def fit_chain(folder: Path, chain: str, steps: int, seed: int) -> dict[str, object]:
    """Fit one chain on one song and return its row."""
    song = load_song(folder)
    rack = Rack.console(chain or "g", song.sample_rate)
    objective = Objective(song, rack)
    answers = find_baselines(objective, with_gains="g" in chain)
    row: dict[str, object] = {"song": folder.name, "chain": chain, "steps": steps if chain else 0, "seed": seed}
    if not chain:
        terms = answers[0].loss
        return row | {"losses": [round(float(x), 4) for x in terms], "seconds": 0.0}
    console = mixing_console(rack, song.subgroups, chain)
    graph = start_graph(console, objective, answers, seed)
    settings = replace(DRAFT, chain=chain, master="", steps=steps, rounds=0, seed=seed, evaluate_every=50)
    started = time.perf_counter()
    fitted = fit(graph, song, rack, settings)
    seconds = time.perf_counter() - started
    history = [[step, round(loss, 4)] for step, loss in fitted.history]
    return row | {"losses": [round(float(x), 4) for x in fitted.loss], "history": history, "seconds": round(seconds, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--songs", type=Path, required=True, help="folder of song folders")
    parser.add_argument("--only", nargs="*", default=SONGS, help="names of song folders")
    parser.add_argument("--chains", nargs="*", default=CHAINS)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="append rows here as JSON lines")
    arguments = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {arguments.steps} steps")
    print(f"{'song':<16}{'chain':<10}{'L_a':>8}{'L_lr':>8}{'L_m':>8}{'L_s':>8}{'seconds':>9}")
    for name in arguments.only:
        for chain in arguments.chains:
            row = fit_chain(arguments.songs / name, chain, arguments.steps, arguments.seed)
            losses = "".join(f"{x:8.4f}" for x in row["losses"])  # type: ignore[attr-defined]
            print(f"{name:<16}{chain or '(sum)':<10}{losses}{row['seconds']:9.1f}", flush=True)
            if arguments.json:
                with arguments.json.open("a") as file:
                    file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
