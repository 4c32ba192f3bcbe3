"""Captures of real devices: error-to-signal ratios of each network on each device, after one preset.

    python benchmarks/capture.py --record devices                  # needs Debian's lilv-utils and the plugins below
    python benchmarks/capture.py devices --models grey_box wavenet lstm --minutes 9 --threads 2 --json capture.jsonl
    python benchmarks/capture.py devices --only amp overdrive --models grey_box --steps 2000
    python benchmarks/capture.py devices --two-controls            # ESR on seen and on unseen settings
    python benchmarks/capture.py --read capture.jsonl

``--record`` plays graphmix's test signal (3 minutes, 48 kHz) through LV2 effects that others wrote, offline, by::

    lv2apply -i dry.wav -o wet.wav -c SYMBOL VALUE URI

(``apt-get install lilv-utils guitarix-lv2 calf-plugins``). Calf's plugins are stereo; their first channel is kept. The
folder then has ``signal.wav``, a wet file of each device, and in ``two_controls/`` a saturator at twenty settings of
its drive and blend and at four others between them. Every other folder of ``signal.wav`` and wet files serves as well.

The ESR is that of audio which training did not use; *self* is the device against itself (the part played twice).
Seconds are of training, with its starting point, without reading and plots. For the controls, all settings are
judged on the end of the recordings, which no training used; the ratio of the means is reported.
"""

import argparse
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from report import make_table, read_log
from rich.console import Console
from step import cpu_name

from graphmix.audio import read_audio, write_audio
from graphmix.audio.files import read_info
from graphmix.capture import Pair, capture, capture_signal, load_pair, presets
from graphmix.capture.fit import split
from graphmix.capture.settings import DRAFTS
from graphmix.models.effects import EffectModel

CALF, GUITARIX = "http://calf.sourceforge.net/plugins/", "http://guitarix.sourceforge.net/plugins/"
Settings = dict[str, float]
DEVICES: dict[str, tuple[str, Settings]] = {
    "equalizer": (
        CALF + "Equalizer5Band",
        {"p1_active": 1, "p1_level": 3.0, "p1_freq": 400, "p3_active": 1, "p3_level": 0.3, "p3_freq": 3000}
        | {"hs_active": 1, "hs_level": 2.0},
    ),
    "saturator": (CALF + "Saturator", {}),
    "tape": (CALF + "TapeSimulator", {}),
    "compressor": (CALF + "Compressor", {"threshold": 0.06, "ratio": 4}),
    "overdrive": (GUITARIX + "gx_bossds1_#_bossds1_", {}),
    "amp": (GUITARIX + "gx_redeye#chump", {}),
    "chorus": (CALF + "MultiChorus", {}),
    "phaser": (CALF + "Phaser", {}),
}
TWO_CONTROLS, TWO_CONTROLS_SECONDS = CALF + "Saturator", (97, 127)
SEEN = [{"drive": drive, "blend": blend} for drive in (1.0, 3.0, 5.0, 8.0, 10.0) for blend in (-8.0, -3.0, 3.0, 8.0)]
UNSEEN = [{"drive": drive, "blend": blend} for drive, blend in ((2.0, -4.0), (7.0, 4.0), (2.5, 5.0), (6.0, -5.0))]
Row = dict[str, Any]


def main() -> None:
    """Record, capture, or print what was captured."""
    arguments = _parse()
    if arguments.record is not None:
        record(arguments.record)
        return
    if arguments.read is not None:
        rows = read_log(arguments.read)
    else:
        if arguments.folder is None:
            raise SystemExit("name a folder of recordings, or --record FOLDER or --read FILE")
        torch.set_num_threads(arguments.threads)
        rows = []
        for row in _controls(arguments) if arguments.two_controls else _devices(arguments):
            rows.append(row)
            print(json.dumps(row), flush=True)
            if arguments.json is not None:
                with arguments.json.open("a") as log:
                    log.write(json.dumps(row) + "\n")
    _print(rows)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--record", type=Path, metavar="FOLDER", help="play the test signal through the devices")
    parser.add_argument("--read", type=Path, metavar="JSONL", help="print what was captured before")
    parser.add_argument("--models", nargs="+", default=["grey_box"], choices=["auto", *DRAFTS])
    parser.add_argument("--only", nargs="+", metavar="DEVICE", help="not all of the folder")
    parser.add_argument("--two-controls", action="store_true", help="the device with two controls")
    parser.add_argument("--minutes", type=float, help="of training at most; the draft's if not given")
    parser.add_argument("--steps", type=int, help="of training at most; the draft's if not given")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="append results to this file")
    return parser.parse_args()


def record(folder: Path) -> None:
    """Play the test signal through all devices."""
    folder.mkdir(parents=True, exist_ok=True)
    samples, rate = torch.from_numpy(capture_signal())[None], 48000
    write_audio(folder / "signal.wav", samples, rate)
    for name, (uri, settings) in DEVICES.items():
        _play(samples, rate, folder / f"{name}.wav", uri, settings)
    excerpt = samples[:, slice(*(second * rate for second in TWO_CONTROLS_SECONDS))]
    (folder / "two_controls").mkdir(exist_ok=True)
    write_audio(folder / "two_controls" / "dry.wav", excerpt, rate)
    for settings in [*SEEN, *UNSEEN]:
        _play(excerpt, rate, _two_controls_file(folder, settings), TWO_CONTROLS, settings)


def _play(samples: torch.Tensor, rate: int, path: Path, uri: str, settings: Settings) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        dry, wet = Path(scratch) / "dry.wav", Path(scratch) / "wet.wav"
        write_audio(dry, samples.expand(2 if uri.startswith(CALF) else 1, -1), rate)
        controls = [part for key, value in settings.items() for part in ("-c", key, str(value))]
        command = ["lv2apply", "-i", str(dry), "-o", str(wet), *controls, uri]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        info = read_info(wet)
        write_audio(path, read_audio(info, 0, info.num_samples, rate)[:1], rate)
    print(path, flush=True)


def _two_controls_file(folder: Path, settings: Settings) -> Path:
    return folder / "two_controls" / ("_".join(f"{key}={value:g}" for key, value in settings.items()) + ".wav")


def _capture(pairs: Sequence[Pair], model: str, arguments: argparse.Namespace) -> tuple[EffectModel, Row]:
    changes = {"minutes": arguments.minutes, "steps": arguments.steps, "seed": arguments.seed}
    changes = {key: value for key, value in changes.items() if value is not None}
    settings = {name: one.model_copy(update=changes) for name, one in presets(model).items()}
    out = Path(tempfile.mkdtemp())
    try:
        captured = capture(pairs, out, settings, plots=False)
    finally:
        shutil.rmtree(out)
    keys = ("esr", "self_esr", "weights", "steps", "seconds")
    row = {"model": model, "threads": arguments.threads, "cpu": cpu_name(), "torch": torch.__version__}
    return captured.model, row | {key: captured.metrics[key] for key in keys}


def _devices(arguments: argparse.Namespace) -> Iterable[Row]:
    dry = arguments.folder / "signal.wav"
    names = arguments.only or sorted(path.stem for path in arguments.folder.glob("*.wav") if path != dry)
    for name in names:
        for model in arguments.models:
            _, row = _capture([Pair(dry, arguments.folder / f"{name}.wav", {})], model, arguments)
            yield {"device": name, **row, "self_esr": row["self_esr"][0]}


def _controls(arguments: argparse.Namespace) -> Iterable[Row]:
    dry, folder = arguments.folder / "two_controls" / "dry.wav", arguments.folder
    for name in arguments.models:
        pairs = [Pair(dry, _two_controls_file(folder, settings), settings) for settings in SEEN]
        model, row = _capture(pairs, name, arguments)
        errors = dict[str, list[float]]()
        for kind, group in (("seen", SEEN), ("unseen", UNSEEN)):
            errors[kind] = []
            for settings in group:
                recording = load_pair(dry, _two_controls_file(folder, settings), settings)
                part = split(recording, next(iter(presets(name).values())).validation, list(settings))[1]
                with torch.no_grad():
                    error = model(part.dry, part.controls[None]) - part.wet
                errors[kind].append(float(error.square().sum() / part.wet.square().sum()))
        means = {kind: sum(values) / len(values) for kind, values in errors.items()}
        yield {"device": "two controls", **row, "self_esr": None, **means, "errors": errors}


def _print(rows: Sequence[Row]) -> None:
    columns = ("device", "model", "ESR", "self", "steps", "seconds", "weights", "threads")
    table = make_table("error-to-signal ratios on audio that training did not use", columns)
    for row in rows:
        own = "" if row["self_esr"] is None else f"{row['self_esr']:.2g}"
        error = f"{row['esr']:.2g}"
        if "unseen" in row:
            error = f"seen {row['seen']:.2g}, unseen {row['unseen']:.2g}, ratio {row['unseen'] / row['seen']:.2f}"
        counts = (str(row["steps"]), f"{row['seconds']:.0f}", str(row["weights"]), str(row["threads"]))
        table.add_row(row["device"], row["model"], error, own, *counts)
    Console(width=130).print(table)
    for text in sorted({f"torch {row['torch']}, {row['cpu']}" for row in rows}):
        print(text)


if __name__ == "__main__":
    main()
