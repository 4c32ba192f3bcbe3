"""Conversions of mined graphs: errors of equalizers, dynamics and reverbs, and how far the renders are apart.

    python benchmarks/convert.py FOLDER... [--max-error 1]

FOLDER is that of a mined song, whose tracks lie where they lay when it was mined, or in ``song`` beside it; others are
named and left out. Each kind of conversion is made alone, with
the song and without, so that the audio loss L_a between the renders before and after is that of this kind.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from graphmix.audio import load_stems
from graphmix.graph.storage import load_graph
from graphmix.processors.rack import Rack
from graphmix.render.blocks import render_song
from graphmix.render.signals import Signals
from graphmix.rewrite.convert import PHYSICAL, convert
from graphmix.search.mix_measures import song_loss


def song_folder(run: Path) -> Path | None:
    """Where the tracks of a mined song lie."""
    source = json.loads((run / "metrics.json").read_text()).get("source", {})
    tracks = [Path(path) for path in (source.get("tracks") or {}).values()]
    places = [*(path.parent for path in tracks[:1]), run.parent / "song" / "dry", run.parent / "song"]
    return next((place for place in places if place.is_dir()), None)


class Cached:
    """What comes into nodes of a graph, rendered once."""

    def __init__(self, signals: Signals) -> None:
        self.signals, self.known = signals, dict[int, np.ndarray]()

    def __call__(self, node: int) -> np.ndarray:
        """[2, samples] in float64."""
        if node not in self.known:
            self.known[node] = self.signals.into(node).double().numpy()
        return self.known[node]


def measure(run: Path, max_error: float | None, kinds: list[str]) -> dict[str, dict[str, list[float]]]:
    """Errors with the song and without, and losses, by kind."""
    graph = load_graph(run / "graph.safetensors")
    place = song_folder(run)
    if place is None:
        print(f"{run}: its tracks are not there; left out")
        return {}
    song = load_stems(place, graph.sample_rate)
    signals = Cached(Signals(graph, song, song.num_samples))
    before = render_song(graph, song)
    found = {}
    for kind in kinds:
        converted = convert(graph, [kind], max_error, signals)
        alone = convert(graph, [kind], max_error)
        tried = [row for row in converted.rows if row.error_db is not None]
        if not tried:
            continue
        loss = []
        if any(row.becomes for row in tried):
            rack = Rack.for_types(converted.graph.types.types, graph.sample_rate)
            after = render_song(converted.graph, song, rack)
            loss = [song_loss(prediction=after, target=before, sample_rate=graph.sample_rate)]
        found[kind] = {
            "error": [row.error_db for row in tried],
            "alone": [row.error_db for row in alone.rows if row.error_db is not None],
            "bands": [float(row.words.split()[0]) for row in tried if row.becomes == ("parametric_eq",)],
            "converted": [float(bool(row.becomes)) for row in tried],
            "exact": [float("usual form" in row.words) for row in tried],
            "loss": loss,
        }
        print(line(run.name if run.name != "mined" else run.parent.name, kind, found[kind]), flush=True)
    return found


def line(name: str, kind: str, own: dict[str, list[float]]) -> str:
    """A row of the table."""

    def middle(values: list[float]) -> str:
        return f"{np.median(values):.2f}" if values else ""

    loss = ", ".join(f"{value:.4f}" for value in own["loss"]) if len(own["loss"]) < 2 else middle(own["loss"])
    cells = [
        name, kind, f"{sum(own['converted']):.0f} of {len(own['converted'])}", middle(own["error"]),
        f"{max(own['error']):.2f}", middle(own["alone"]), middle(own["bands"]), f"{sum(own['exact']):.0f}", loss,
    ]  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--max-error", type=float, help="in dB; those of each kind by default")
    parser.add_argument("--to", nargs="+", default=list(PHYSICAL))
    options = parser.parse_args()
    head = "song | to | converted | median error / dB | largest | median without song | bands | level form | L_a"
    print(f"| {head} |\n|{'---|' * 9}")
    every: dict[str, dict[str, list[float]]] = {}
    for run in options.runs:
        for kind, own in measure(run, options.max_error, options.to).items():
            total = every.setdefault(kind, {key: [] for key in own})
            for key, values in own.items():
                total[key] += values
    for kind, own in every.items():
        print(line("all", kind, own))


if __name__ == "__main__":
    main()
