"""Songs of mode ``record``, mined with all that a search looks for and by the console alone.

    graphmix songbook --out records --mode record --songs 30 --seed 9 --min-tracks 5 --max-tracks 7 --seconds 10 11
    python benchmarks/records.py records --steps 60 --rounds 2 --sends dr

For each song both audio losses and processor seconds; for all of them F1 of what a record has beside its console
(:mod:`graphmix.evaluation.records`). Finished songs are left alone.
"""

import argparse
import statistics
import tempfile
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from graphmix.evaluation.records import compare_records
from graphmix.evaluation.recovery import TypeScore
from graphmix.graph.storage import load_graph
from graphmix.search import DRAFT, mine
from graphmix.search.mined import Mined


def main() -> None:
    """Parse, mine, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("book", type=Path, help="a songbook of mode record")
    parser.add_argument("--songs", type=int, default=None, help="how many of them")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--sends", default="dr")
    parser.add_argument("--out", type=Path, default=None, help="folder of the mined songs; temporary by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        compare(options, options.out or Path(temporary))


def compare(options: argparse.Namespace, out: Path) -> None:
    """Mine both ways, print a line a song, and what was found."""
    settings = DRAFT.scaled(options.steps, options.rounds)
    ways = {
        "console": (replace(settings, master=""), {"align": False, "rides": False, "ducking": False}),
        "record": (settings, {"sends": options.sends}),
    }
    scores: dict[str, TypeScore] = defaultdict(TypeScore)
    losses: dict[str, list[float]] = defaultdict(list)
    seconds: dict[str, float] = defaultdict(float)
    for folder in sorted(options.book.glob("song_*"))[: options.songs]:
        mined: dict[str, Mined] = {}
        for way, (own, extra) in ways.items():
            started = time.process_time()
            mined[way] = mine(folder, out / way / folder.name, own, device="cpu", plots=False, **extra)
            seconds[way] += time.process_time() - started
            losses[way].append(mined[way].metrics["audio_loss"])
        found = compare_records(load_graph(folder / "graph.safetensors"), mined["record"].graph)
        for name, score in found.items():
            scores[name] += score
        counts = ", ".join(f"{n} {s.matched}/{s.true} ({s.found} found)" for n, s in found.items() if s.true or s.found)
        ratio = {way: one.metrics["pruning_ratio"]["all"] for way, one in mined.items()}
        print(
            f"{folder.name}: L_a {losses['console'][-1]:.3f} -> {losses['record'][-1]:.3f}, "
            f"rho {ratio['console']:.2f} -> {ratio['record']:.2f}; {counts}",
            flush=True,
        )
    means = {way: statistics.fmean(values) for way, values in losses.items()}
    print(f"mean L_a {means['console']:.4f} -> {means['record']:.4f}, ratio {means['record'] / means['console']:.2f}")
    print(f"processor seconds {seconds['console']:.0f} -> {seconds['record']:.0f}")
    for name, score in scores.items():
        print(
            f"{name}: F1 {score.f1:.2f}, precision {score.precision:.2f}, recall {score.recall:.2f}, {score.true} true"
        )


if __name__ == "__main__":
    main()
