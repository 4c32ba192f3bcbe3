"""Table 2 of the pruning paper on a real song: three policies, three tolerances, from one fitted console.

    python benchmarks/table2.py --song ../shared/audio/mauiwowi --steps 200 --rounds 4

Prints a row for each run: loss over the song, pruning ratio in all and by type, trials, seconds of trials.
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
from graphmix.search import DRAFT, Objective, find_baselines, fit, prune, start_graph
from graphmix.search.rounds import count_processors, pruning_ratio

RUNS = (
    ("brute-force", 0.01),
    ("dry-wet", 0.01),
    ("hybrid", 0.001),
    ("hybrid", 0.01),
    ("hybrid", 0.1),
)
TYPES = ("gain", "imager", "equalizer", "reverb", "compressor", "noisegate", "delay")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--song", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--trial-segments", type=int, default=DRAFT.trial_segments, help="of the song; 0 is all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="append rows here as JSON lines")
    arguments = parser.parse_args()
    song = load_song(arguments.song)
    rack = Rack.console("ecnsgdr", song.sample_rate)
    preset = replace(DRAFT, master="", seed=arguments.seed, trial_segments=arguments.trial_segments)
    settings = preset.scaled(arguments.steps, arguments.rounds)
    objective = Objective(song, rack)
    console = mixing_console(rack, song.subgroups, "ecnsgdr")
    start = start_graph(console, objective, find_baselines(objective, True), arguments.seed)
    fitted = fit(start, song, rack, settings)
    counts = count_processors(fitted.graph)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {song.name}, {settings}")
    head = "".join(f"{'rho_' + name[0]:>8}" for name in TYPES)
    print(f"{'policy':<13}{'tau':>6}{'L_a':>8}{'rho':>7}{head}{'trials':>8}{'seconds':>9}")
    print(f"{'console':<13}{'':>6}{float(fitted.loss.total):8.4f}", flush=True)
    for policy, tolerance in RUNS:
        started = time.perf_counter()
        pruned = prune(fitted.graph, song, rack, replace(settings, policy=policy, tolerance=tolerance))
        seconds = time.perf_counter() - started
        ratio = pruning_ratio(pruned.graph, counts)
        trials = sum(record["event"] == "trial" for record in pruned.trace)
        by_type = "".join(f"{ratio[name]:8.2f}" for name in TYPES)
        loss = float(pruned.loss.total)
        print(f"{policy:<13}{tolerance:>6}{loss:8.4f}{ratio['all']:7.2f}{by_type}{trials:>8}{seconds:9.1f}", flush=True)
        if arguments.json:
            row = {"policy": policy, "tolerance": tolerance, "loss": loss, "ratio": ratio, "trials": trials}
            with arguments.json.open("a") as file:
                file.write(json.dumps({**row, "seconds": seconds, "song": song.name}) + "\n")


if __name__ == "__main__":
    main()
