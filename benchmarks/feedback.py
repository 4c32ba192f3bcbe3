"""The feedback network on devices with a closed form: its errors, and when its free run oscillates.

    python benchmarks/feedback.py --json feedback.jsonl --picture docs/pictures/feedback.png
    python benchmarks/feedback.py --json feedback.jsonl --only seeds --seeds 0 1 2
    python benchmarks/feedback.py --read feedback.jsonl --picture feedback.png

After "Training Neural Audio Effects" (yager.io): an MLP on 128 inputs and 127 previous outputs, five hidden layers of
256, GELU, MSE; ``small`` has 32, 31 and 64. It learns from 96 s of synthetic songs, 44.1 kHz, without what lies above
8 kHz, and is judged on 30 s of another, with parts 20 and 40 dB quieter and five seconds of silence, running freely.
Error is mean |error| / mean |target|, as there.

- ``devices``: tanh(5 x), a first-order low-pass of 1 kHz, pass-through; the article's errors, the feedback network, the
  grey box.
- ``seeds``, ``small``: tanh, ten seeds, without and with noise in the feedback path in training; which of them become
  unstable (:mod:`graphmix.capture.stability`).
- ``companding``: samples and loss on a linear and on a µ-law scale, and one of 256 levels with a residual.
- ``modulation``: the input times a carrier of 440 Hz, which it cannot learn, since nothing gives it the phase.

Each run is a line of JSON, written as it ends; the same command does what is missing. One run at a time on the threads
that the environment gives (``OMP_NUM_THREADS``); several processes may share a file. Seconds are processor time.
"""

import argparse
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from time import process_time
from typing import Any, NamedTuple

import numpy as np
import torch
from peers.contest import versions
from report import make_table, read_log
from rich.console import Console
from scipy import signal
from step import cpu_name

from graphmix.capture.fit import fit_effect
from graphmix.capture.recording import Recording
from graphmix.capture.settings import CaptureSettings, preset
from graphmix.capture.stability import WINDOW_SECONDS, FreeRun, free_run, radius_at_rest
from graphmix.models.effects.feedback import FeedbackEffect, mu_law
from graphmix.songbook.demo_stems import demo_stems

RATE = 44100
TRAINED_SEEDS, SONG_SECONDS, UNSEEN_SEED = (0, 1, 2, 3), 24.0, 100
CUTOFF_HZ, CUTOFF_TAPS = 8000.0, 255
LEVELS_DB = (0.0, -20.0, 0.0, -40.0, 0.0, -math.inf)
"""Of equal parts of what it is judged on."""
FREE_SECONDS = 30.0
FORCED_EVERY = 10
SNIPPET_SECONDS = 0.006
PACKAGES = ("torch", "numba", "numpy", "scipy")
BARS = {"tanh": 0.072, "low-pass": 0.036, "pass-through": 0.035}
"""Of the article; the best of graphmix's networks has to reach a tenth."""
CARRIER_HZ = 440.0
FEEDBACK = CaptureSettings(
    model={"model": "feedback"},
    steps=1200,
    minutes=600.0,
    batch=64,
    segment=4,
    learning_rate=0.006,
    stft=0.0,
    validate_every=10**6,
    validation=0.01,
)
"""Validated once, at its end."""
SMALL = {"window": 32, "hidden": 64}
Samples = np.ndarray[Any, np.dtype[np.float32]]
Row = dict[str, Any]


def _lowpass(audio: Samples) -> Samples:
    return signal.lfilter(*signal.butter(1, 1000, fs=RATE), audio)


def _modulate(audio: Samples) -> Samples:
    return audio * np.sin(2 * np.pi * CARRIER_HZ / RATE * np.arange(len(audio)))


DEVICES: dict[str, Callable[[Samples], Samples]] = {
    "tanh": lambda audio: np.tanh(5 * audio),
    "low-pass": _lowpass,
    "pass-through": lambda audio: audio,
    "modulation": _modulate,
}


class Run(NamedTuple):
    """One training and its free run."""

    part: str
    device: str
    variant: str
    seed: int

    @property
    def settings(self) -> CaptureSettings:
        """What is trained."""
        if self.variant == "grey box":
            return preset("grey_box").model_copy(update={"steps": 2000, "validate_every": 250, "seed": self.seed})
        model: dict[str, Any] = {"model": "feedback", "layers": 5, **(SMALL if self.part == "small" else {})}
        if "without noise" in self.variant:
            model["noise"] = 0.0
        if "µ-law" in self.variant:
            model["companding"] = "mu_law"
        if "one-hot" in self.variant:
            model["output"] = "one_hot"
        return FEEDBACK.model_copy(update={"model": model, "seed": self.seed})


def list_runs(seeds: list[int]) -> Iterator[Run]:
    """All runs of the tables; a run that two of them show is done once."""
    for part in ("small", "seeds"):
        for seed in seeds:
            yield Run(part, "tanh", "without noise", seed)
            yield Run(part, "tanh", "with noise", seed)
    for device in ("low-pass", "pass-through"):
        yield Run("devices", device, "with noise", 0)
    for device in BARS:
        yield Run("devices", device, "grey box", 0)
    for variant in ("µ-law", "µ-law, one-hot", "one-hot"):
        yield Run("companding", "tanh", variant, 0)
    yield Run("modulation", "modulation", "with noise", 0)


def song(seed: int, seconds: float) -> Samples:
    """A synthetic song, mono, at a peak of 1, without its highest frequencies."""
    mix = sum(track.mean(0) for track in demo_stems(RATE, seed, seconds).values())
    taps = signal.firwin(CUTOFF_TAPS, CUTOFF_HZ, fs=RATE)
    audio = signal.fftconvolve(mix, taps, mode="same")
    return (audio / np.abs(audio).max()).astype(np.float32)


def unseen_song() -> Samples:
    """What all are judged on."""
    audio = song(UNSEEN_SEED, FREE_SECONDS)
    parts = np.array_split(audio, len(LEVELS_DB))
    return np.concatenate([part * np.float32(10 ** (level / 20)) for part, level in zip(parts, LEVELS_DB, strict=True)])


def play(device: str, audio: Samples) -> torch.Tensor:
    """What a device makes of it, [samples]."""
    return torch.from_numpy(np.asarray(DEVICES[device](audio), dtype=np.float32))


def measure(run: Run, training: Samples, unseen: Samples) -> Row:
    """Train, run freely for 30 s, and compare."""
    recording = Recording(
        torch.from_numpy(training)[None], play(run.device, training)[None], RATE, {}, 0, False, None, ()
    )
    begun = process_time()
    model = fit_effect([recording], run.settings).model
    trained = process_time()
    dry, wet = torch.from_numpy(unseen), play(run.device, unseen)
    row: Row = {"key": list(run), "training_s": trained - begun, "level": float(wet.abs().mean())}
    if isinstance(model, FeedbackEffect):
        result = free_run(model, dry, wet, FORCED_EVERY)
        output = torch.from_numpy(result.output)
        row |= _describe(result, wet[: output.numel()].numpy()) | {"radius": radius_at_rest(model)}
    else:
        output = model(dry[None])[0]
        row["error"] = float((output - wet).abs().mean() / wet.abs().mean())
    wet = wet[: output.numel()]
    row["mu_law_error"] = float((mu_law(output) - mu_law(wet)).abs().mean() / mu_law(wet).abs().mean())
    row["free_run_s"] = process_time() - trained
    return row | {"threads": torch.get_num_threads(), "cpu": cpu_name(), "versions": versions(PACKAGES)}


def _describe(result: FreeRun, wet: Samples) -> Row:
    """Errors of a free run, and the waveforms where it is worst."""
    errors = np.nan_to_num(result.errors, nan=1e9, posinf=1e9)
    worst = int(errors.argmax() * WINDOW_SECONDS * RATE)
    piece = slice(worst, worst + round(SNIPPET_SECONDS * RATE))
    return {
        "error": float(errors.mean()),
        "forced": float(result.forced.mean()),
        "worst": float(errors.max()),
        "unstable": result.unstable,
        "unstable_from_s": result.unstable_from,
        "unstable_share": float(result.unstable_windows.mean()),
        "peak": float(np.nan_to_num(result.peak, nan=1e9, posinf=1e9)),
        "worst_s": worst / RATE,
        "output": np.nan_to_num(result.output[piece]).round(4).tolist(),
        "target": wet[piece].round(4).tolist(),
    }


def print_tables(rows: list[Row], console: Console) -> None:
    """All tables that the rows allow."""
    found = {Run(*row["key"]): row for row in rows}
    table = make_table("Error of a free run of 30 s", ["device", "article", "feedback", "grey box"])
    for device, bar in BARS.items():
        feedback = found.get(Run("seeds" if device == "tanh" else "devices", device, "with noise", 0))
        grey = found.get(Run("devices", device, "grey box", 0))
        table.add_row(device, f"{bar}", *(f"{row['error']:.5f}" if row else "" for row in (feedback, grey)))
    console.print(table)
    columns = [
        "training",
        "runs",
        "unstable",
        "after",
        "share of windows",
        "error",
        "teacher forcing",
        "worst window",
        "radius at rest",
    ]
    table = make_table("tanh, by seeds: median, smallest to largest", columns)
    for part, variant in dict.fromkeys((run.part, run.variant) for run in found if run.part in ("small", "seeds")):
        of_it = [row for run, row in found.items() if (run.part, run.variant) == (part, variant)]
        unstable = [row for row in of_it if row["unstable"]]
        after = [row["unstable_from_s"] for row in unstable if row["unstable_from_s"] is not None]
        numbers = [
            _spread([row[key] for row in of_it]) for key in ("unstable_share", "error", "forced", "worst", "radius")
        ]
        began = f"{min(after):.1f} to {max(after):.1f} s" if after else ""
        name = f"{'small' if part == 'small' else 'full size'}, {variant}"
        table.add_row(name, str(len(of_it)), str(len(unstable)), began, *numbers)
    console.print(table)
    table = make_table("tanh: scale and output", ["training", "error", "error on the µ-law scale", "unstable"])
    for run, row in found.items():
        if run.part == "companding" or (run.part, run.variant, run.seed) == ("seeds", "with noise", 0):
            name = "linear" if run.part == "seeds" else run.variant
            table.add_row(name, f"{row['error']:.4f}", f"{row['mu_law_error']:.4f}", str(row["unstable"]))
    console.print(table)
    for run, row in found.items():
        if run.part == "modulation":
            text = f"Modulation: error {row['error']:.3f}, by teacher forcing {row['forced']:.4f}."
            console.print(text, markup=False, highlight=False)
    if rows:
        seconds = [row["training_s"] for row in rows]
        packages = ", ".join(f"{name} {number}" for name, number in rows[0]["versions"].items())
        conditions = f"{rows[0]['threads']} threads; {rows[0]['cpu']}; {packages}"
        text = f"{conditions}; training took {_spread(seconds)} s of processor time."
        console.print(text, markup=False, highlight=False)


def _spread(values: list[float]) -> str:
    """Median, and the range."""
    return f"{np.median(values):.3g} ({min(values):.3g} to {max(values):.3g})"


def draw(rows: list[Row], path: Path) -> None:
    """The worst moment of the least stable run without noise, of that seed with it, and of the modulator.

    What has not been measured is left out.
    """
    from graphmix.plots import effects, saving

    found = {Run(*row["key"]): row for row in rows}
    part = "seeds" if any(run.part == "seeds" and found[run].get("unstable") for run in found) else "small"
    without = [run for run in found if run.part == part and run.variant == "without noise"]
    worst = max(without, key=lambda run: found[run]["worst"])
    wanted = {
        f"tanh, without noise, seed {worst.seed}": worst,
        f"tanh, with noise, seed {worst.seed}": worst._replace(variant="with noise"),
        "amplitude modulation": Run("modulation", "modulation", "with noise", 0),
    }
    shown = {name: found[run] for name, run in wanted.items() if run in found}
    moments = {
        f"{name}: from {row['worst_s']:.1f} s on": (np.array(row["target"]), np.array(row["output"]))
        for name, row in shown.items()
    }
    saving.save(effects.plot_free_runs(moments, RATE), path)


def main() -> None:
    """Measure what is missing, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="append rows here as JSON lines; runs that it has are not repeated")
    parser.add_argument("--read", type=Path, help="only print and draw the rows of such a file")
    parser.add_argument("--only", choices=("small", "seeds", "devices", "companding", "modulation"), help="one part")
    parser.add_argument("--variants", nargs="+", help="ways of training, e.g. 'without noise'; all if not given")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(10)))
    parser.add_argument("--picture", type=Path, help="draw free runs here")
    arguments = parser.parse_args()
    rows = read_log(arguments.read or arguments.json)
    if arguments.read is None:
        training = np.concatenate([song(seed, SONG_SECONDS) for seed in TRAINED_SEEDS])
        unseen = unseen_song()
        for run in list_runs(arguments.seeds):
            unwanted = arguments.only not in (None, run.part) or run.variant not in (
                arguments.variants or [run.variant]
            )
            if unwanted or any(tuple(row["key"]) == run for row in rows):
                continue
            rows.append(measure(run, training, unseen))
            print(", ".join(map(str, run)), f"error {rows[-1]['error']:.4f}", rows[-1].get("unstable", ""), flush=True)
            if arguments.json:
                with arguments.json.open("a") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
    print_tables(rows, Console())
    if arguments.picture:
        draw(rows, arguments.picture)


if __name__ == "__main__":
    main()
