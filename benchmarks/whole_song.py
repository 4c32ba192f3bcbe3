"""A whole song mined by this commit and by another checkout: CPU seconds, peak memory, loss and sparsity.

    graphmix songbook --out book --songs 1 --min-tracks 24 --max-tracks 24 --seconds 240 241 --seed 5
    git worktree add before 1796da3
    OMP_NUM_THREADS=2 python benchmarks/whole_song.py book/song_00000 --peer before

Each search runs alone, in a process of its own, one after the other. CPU seconds are those of all of its threads, and
the peak is that of its resident memory, which count the same on a busy machine. Losses are those over the whole song,
from ``metrics.json``. A table is printed at the end, and a line for each phase on the way.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

SEARCH = """
import json, resource, sys, time
from graphmix.processes import prepare_program
prepare_program()
from graphmix.search import DRAFT, mine


class Phases:
    name, started = "start", 0.0

    def phase(self, name, total=None, done=0):
        now = time.process_time()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"  {self.name}: {now - self.started:.1f} s, peak {peak:.2f} GB", file=sys.stderr, flush=True)
        self.name, self.started = name, now

    def progress(self, done, total=None, **numbers):
        pass


song, out, steps, rounds, plots = sys.argv[1:]
phases = Phases()
settings = DRAFT.scaled(int(steps) if steps else None, int(rounds) if rounds else None)
metrics = mine(song, out, settings, device="cpu", listener=phases, plots=bool(plots)).metrics
phases.phase("done")
print(json.dumps({"seconds": time.process_time(), "kilobytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
                  "metrics": metrics}))
"""


def main() -> None:
    """Parse, mine, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("song", type=Path)
    parser.add_argument("--peer", type=Path, help="another checkout; this one alone by default")
    parser.add_argument("--steps", default="", help="instead of the draft's 200")
    parser.add_argument("--rounds", default="", help="instead of the draft's 4")
    parser.add_argument("--no-plots", action="store_true")
    parser.add_argument("--out", type=Path, help="folder for what is mined; temporary by default")
    options = parser.parse_args()
    checkouts = {"this commit": Path(__file__).resolve().parents[1]}
    checkouts |= {"peer": options.peer.resolve()} if options.peer else {}
    with tempfile.TemporaryDirectory() as temporary:
        out = options.out or Path(temporary)
        rows = {name: search(path, options, out / name.split()[0]) for name, path in checkouts.items()}
    print_table(rows)


def search(checkout: Path, options: argparse.Namespace, out: Path) -> dict:
    """Mine in a new process -> what it says of itself."""
    print(f"{checkout}:", file=sys.stderr, flush=True)
    plots = "" if options.no_plots else "yes"
    command = [
        sys.executable,
        "-c",
        SEARCH,
        str(options.song.resolve()),
        str(out.resolve()),
        options.steps,
        options.rounds,
        plots,
    ]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    done = subprocess.run(command, env=environment, cwd=checkout, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def print_table(rows: dict[str, dict]) -> None:
    """A line for each search."""
    print("| | CPU seconds | peak GB | L_a | rho | processors |")
    print("|---|---|---|---|---|---|")
    for name, row in rows.items():
        metrics = row["metrics"]
        print(
            f"| {name} | {row['seconds']:.0f} | {row['kilobytes'] / 1e6:.2f} | {metrics['audio_loss']:.4f} "
            f"| {metrics['pruning_ratio']['all']:.3f} "
            f"| {metrics['processors_left']} of {metrics['processors_before']} |"
        )


if __name__ == "__main__":
    main()
