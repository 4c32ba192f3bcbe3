"""Alignment: a real song of gains and panning with known faults, and songs without any.

    python benchmarks/alignment.py faults AUDIO/reggae_try [--sample-rate 44100]
    python benchmarks/alignment.py alarms BOOK [BOOK ...] [--sample-rate 30000]

*faults* mixes the dry tracks again by the gains that its mix has (least squares), with the mix late, a track
late, a track inverted, or all of it, mines each mix (chain of gains, --steps steps) and renders the graph that was kept
from the tracks as they are. The table has the ratio of signal to distortion against the mix, with and without
alignment. *alarms* counts the songs of songbooks, which have no such faults, in which something would be moved.
"""

import argparse
import json
import shutil
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from report import make_table
from rich.console import Console
from step import cpu_name
from torch import Tensor

from graphmix.audio import load_song, write_audio
from graphmix.audio.lags import find_lags
from graphmix.processors import Align
from graphmix.render import render_song
from graphmix.search import PRESETS, mine
from graphmix.search.losses import sdr


@dataclass(frozen=True)
class Fault:
    """The mix late by some samples, tracks late by milliseconds, tracks inverted; tracks by number."""

    name: str
    late: float = 0.0
    later_ms: tuple[tuple[int, float], ...] = ()
    inverted: tuple[int, ...] = ()


FAULTS = (
    Fault("none"),
    Fault("mix 220 samples late", 220),
    Fault("mix 1.37 s late", 60417),
    Fault("mix 12.5 samples late", 12.5),
    Fault("a track inverted", inverted=(2,)),
    Fault("a track 30 ms late", later_ms=((4, 30.0),)),
    Fault("220 samples, inverted, 30 ms", 220, ((4, 30.0),), (2,)),
)


def moved(audio: Tensor, samples: float, rate: int, polarity: float = 1.0) -> Tensor:
    values = torch.tensor([[1000 * samples / rate, polarity]], dtype=torch.float64)
    return Align(rate)(audio[None].double(), values)[0]


def gains_of(stems: Tensor, mix: Tensor) -> Tensor:
    """Gains of left and right, [tracks, 2]."""
    sides = [torch.linalg.lstsq(stems[:, c].double().T, mix[c].double()[:, None]).solution[:, 0] for c in range(2)]
    return torch.stack(sides, 1)


def write_fault(folder: Path, source: Path, fault: Fault, rate: int) -> Path:
    """The song with a mix that has a fault, at the rate of its files."""
    song = load_song(source, rate)
    audio = song.read(0, song.num_samples)
    assert audio.mix is not None, "the song has a mix"
    gains, later = gains_of(audio.stems, audio.mix), dict(fault.later_ms)
    parts = []
    for row, stem in enumerate(audio.stems):
        own = moved(stem, rate * later.get(row, 0.0) / 1000, rate, -1.0 if row in fault.inverted else 1.0)
        parts.append(gains[row][:, None] * own)
    folder.mkdir()
    shutil.copytree(source / "dry", folder / "dry")
    write_audio(folder / "mix.wav", moved(torch.stack(parts).sum(0), fault.late, rate).float(), rate)
    known = json.loads((source / "song.json").read_text())
    (folder / "song.json").write_text(json.dumps({"name": known["name"], "subgroups": known["subgroups"]}))
    return folder


def measure_faults(options: argparse.Namespace, console: Console) -> None:
    settings = replace(PRESETS["draft"], chain="g", master="", sample_rate=options.sample_rate).scaled(options.steps, 1)
    table = make_table(
        f"{options.folders[0].name}, {options.sample_rate} Hz, chain of gains, {options.steps} steps: SDR / dB",
        ["fault", "alignment off", "auto", "found"],
    )
    for fault in FAULTS:
        with tempfile.TemporaryDirectory() as scratch:
            folder = write_fault(Path(scratch) / "song", options.folders[0], fault, options.file_rate)
            song = load_song(folder, options.sample_rate)
            target = song.read_mix(0, song.num_samples)
            cells, found = [], ""
            for align in (False, True):
                mined = mine(song, Path(scratch) / f"out {align}", settings, device="cpu", plots=False, align=align)
                cells.append(f"{float(sdr(prediction=render_song(mined.graph, song), target=target)):.1f}")
                found = json.dumps(mined.metrics.get("alignment", {}))
        table.add_row(fault.name, *cells, found)
        console.print(fault.name, *cells, found)
    console.print(table)


def count_alarms(options: argparse.Namespace, console: Console) -> None:
    songs, alarms, begun = 0, 0, time.process_time()
    for book in options.folders:
        for path in sorted(book.glob("song_*")):
            lags = find_lags(load_song(path, options.sample_rate))
            songs += 1
            if lags or not lags.related:
                alarms += 1
                console.print(path, lags)
    seconds = (time.process_time() - begun) / max(1, songs)
    console.print(f"{alarms} of {songs} songs would be moved; {seconds:.2f} s of CPU a song, with loading")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("faults", "alarms"))
    parser.add_argument("folders", type=Path, nargs="+", help="a song, or songbooks")
    parser.add_argument("--sample-rate", type=int, default=44100)
    parser.add_argument("--file-rate", type=int, default=44100, help="of the song's files")
    parser.add_argument("--steps", type=int, default=4)
    options = parser.parse_args()
    console = Console(width=160)
    {"faults": measure_faults, "alarms": count_alarms}[options.what](options, console)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {cpu_name()}")


if __name__ == "__main__":
    main()
