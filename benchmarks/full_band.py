"""Mined songs at their own rate: the mean spectrum of the mix in third octaves, and the graph against itself at 30 kHz.

For each song: mine it at 30 kHz, bring the result to the rate of its mix with and without the stage that fits the top
octave, and compare mean spectra with the target's. A band is left out where the target lies 80 dB below its loudest.
Then, on the song's own tracks, the sound below 13 kHz at 30 kHz against that at 44.1 and 48 kHz.

    python benchmarks/full_band.py FOLDER [SONG ...] [--steps 60] [--rounds 2] [--out out]

FOLDER holds song folders; all of them that have a mix, if none is named. Runs that are there are used again.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from graphmix.audio.song import Song, load_song
from graphmix.dsp.resampling import resample
from graphmix.graph.consoles import mixing_console
from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.rack import Rack
from graphmix.render.blocks import render_song
from graphmix.rewrite import at_rate, simplify
from graphmix.search import PRESETS, Objective, SearchSettings, find_baselines, mine, start_graph
from graphmix.search.full_band import finish, mean_powers, own_rate

CENTERS_HZ = 1000 * 2.0 ** (np.arange(-15, 13) / 3)
"""Third octaves from 31.5 Hz to 16 kHz."""
QUIET_DB = -80.0
HIGHEST_HZ = 13000.0


def band_levels(audio: Tensor, sample_rate: int) -> np.ndarray:
    """Level of the mean power in each third octave in dB; bins count by their share of a band."""
    power = mean_powers(audio).numpy()
    edges = (np.arange(len(power) + 1) - 0.5) * (sample_rate / (2 * (len(power) - 1)))
    total = np.concatenate([[0.0], np.cumsum(power)])
    low, high = (np.interp(CENTERS_HZ * 2 ** (side / 6), edges, total) for side in (-1, 1))
    return np.asarray(10 * np.log10(np.maximum(high - low, 1e-20)))


def errors_db(mix: Tensor, target: Tensor, sample_rate: int) -> np.ndarray:
    """Difference in each band, NaN where the target is quiet."""
    ours, wanted = band_levels(mix, sample_rate), band_levels(target, sample_rate)
    return np.where(wanted > wanted.max() + QUIET_DB, ours - wanted, np.nan)


def below(audio: Tensor, rate: int) -> Tensor:
    """What lies below 13 kHz, as a spectrum over the song, which is faded in and out over half a second."""
    seconds = audio.size(1) / rate
    time_s = torch.arange(audio.size(1), dtype=torch.float64) / rate
    fade = (2 * torch.minimum(time_s, seconds - time_s)).clamp(0, 1)
    faded = audio * (1 - (torch.pi * fade).cos()) / 2
    return torch.fft.rfft(faded)[:, : int(HIGHEST_HZ * seconds)] / rate


def difference_db(graph: MixGraph, song: Song, rate: int) -> float:
    """How far the graph at another rate is from itself, below 13 kHz, on the song's tracks; whole seconds of them.

    Both receive the tracks as the search did, at its rate: files that are resampled to it hold what folds back near
    half of it, up to -44 dB of a mix with cymbals, and would be compared by that.
    """
    whole = song.read(0, song.num_samples)
    rows = whole.stems if whole.mix is None else torch.cat([whole.stems, whole.mix[None]])
    seconds, renderings = song.num_samples // song.sample_rate, []
    for r in (graph.sample_rate, rate):
        audio = resample(rows, song.sample_rate, r)
        there = replace(song.at_rate(r), num_samples=audio.size(-1), _decoded=audio)
        renderings.append(below(render_song(at_rate(graph, r), there, num_samples=seconds * r), r))
    return float(20 * torch.log10((renderings[1] - renderings[0]).norm() / renderings[0].norm()))


class Found(NamedTuple):
    """What a search found: a graph at its rate, its loss, and its processor seconds where it ran now."""

    graph: MixGraph
    loss: float
    seconds: float | None


def search(song: Song, out: Path, settings: SearchSettings) -> Found:
    """Mine a song at 30 kHz."""
    begun = time.process_time()
    mined = mine(song, out, settings, plots=False, full_band=False)
    seconds = None if mined.already_done else round(time.process_time() - begun, 1)
    return Found(mined.graph, mined.metrics["audio_loss"], seconds)


def start(song: Song, settings: SearchSettings) -> Found:
    """The console as a search starts with it: levels by least squares, equalizers from spectra; no step."""
    begun = time.process_time()
    rack = Rack.console(settings.chain, song.sample_rate)
    objective = Objective(song, rack)
    console = mixing_console(rack, song.subgroups, settings.chain)
    graph = start_graph(console, objective, find_baselines(objective, with_gains=True), settings.seed)
    graph = simplify(graph, rack)
    return Found(graph, float(objective.evaluate(graph).total), round(time.process_time() - begun, 1))


def measure(folder: Path, out: Path, steps: int, rounds: int) -> dict[str, object]:
    """All figures of one song."""
    settings = replace(PRESETS["draft"], policy="first-order").scaled(steps, rounds)
    song = load_song(folder, settings.sample_rate)
    mined = search(song, out, settings) if steps else start(song, settings)
    rate = own_rate(song)
    full = song.at_rate(rate)
    target = full.read_mix(0, full.num_samples)
    mix = render_song(mined.graph, song)
    plain = render_song(at_rate(mined.graph, rate), full)
    begun = time.process_time()
    finished = finish(mined.graph, mix, song, (), song.sample_rate)
    stage = time.process_time() - begun
    begun = time.process_time()
    render_song(finished.graph, full, Rack.for_types(finished.graph.types.types, rate))
    rendering = time.process_time() - begun
    at_search = resample(mix, song.sample_rate, rate)[:, : full.num_samples]
    return {
        "song": song.name,
        "rate": rate,
        "loss": mined.loss,
        "processors": mined.graph.processors.numel(),
        "errors_30k": errors_db(at_search, target, rate).round(2).tolist(),
        "errors_plain": errors_db(plain, target, rate).round(2).tolist(),
        "errors": errors_db(finished.mix, target, rate).round(2).tolist(),
        "about": finished.about,
        "cpu_search": mined.seconds,
        "cpu_stage": round(stage, 1),
        "cpu_render": round(rendering, 1),
        "difference_db": {r: round(difference_db(mined.graph, song, r), 1) for r in (44100, 48000)},
    }


def report(rows: list[dict[str, object]]) -> None:
    """Median over songs of the absolute error in each band, then what each song is."""
    print(f"{'Hz':>7} {'30 kHz':>8} {'re-expressed':>13} {'with top':>9}   median |error| in dB over {len(rows)} songs")
    for band, center in enumerate(CENTERS_HZ):
        cells = []
        for key in ("errors_30k", "errors_plain", "errors"):
            values = np.abs([row[key][band] for row in rows])  # type: ignore[index]
            cells.append(float(np.nanmedian(values)) if np.isfinite(values).any() else float("nan"))
        print(f"{center:7.0f} {cells[0]:8.2f} {cells[1]:13.2f} {cells[2]:9.2f}")
    for row in rows:
        print(json.dumps({key: value for key, value in row.items() if not key.startswith("errors")}))


def main() -> None:
    """Measure the songs of a folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("songs", nargs="*")
    parser.add_argument("--steps", type=int, default=60, help="0: the start of a search alone")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("full-band"))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    names = given.songs or sorted(path.parent.name for path in given.folder.glob("*/mix.flac"))
    rows = []
    for name in names:
        rows.append(measure(given.folder / name, given.out / name, given.steps, given.rounds))
        (given.out / "figures.json").write_text(json.dumps(rows, allow_nan=True))
        print(f"{name}: done", flush=True)
    report(rows)


if __name__ == "__main__":
    main()
