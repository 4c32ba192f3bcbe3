"""Separating: speed, memory over ten minutes, the sum of the stems, the Wiener filter, the residual track.

    python benchmarks/separate.py [--model separator] [--minutes 10] [--songs FOLDER] [--threads 2] [--iterations 0 1 2]

Each separation runs in a process of its own, whose peak memory is its resident set's. Without a trained model an
untrained one of usual size shows speed and memory alone. ``--songs`` is a songbook, or another collection whose sources
are known: it gives the gain of the Wiener filter, for the model's masks, and for ideal ratio masks with an error.
"""

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from graphmix.audio import load_song, read_audio, write_audio
from graphmix.audio.files import read_info
from graphmix.audio.song import Song
from graphmix.models.masks import build_separator, load_separator, save_separator
from graphmix.models.masks.block_separation import refine
from graphmix.processes import prepare_to_render
from graphmix.search.residual import find_unexplained
from graphmix.separation import separate
from graphmix.songbook.demo import DEMO_RATE, hidden_console, write_demo_song
from graphmix.training.separation.losses import is_audible, si_sdr
from graphmix.training.separation.sources import find_source_songs
from graphmix.training.separation.stems import load_stems_of

WIENER_SECONDS = 8
"""Length of the blocks, as of the separation's own."""
USUAL = {
    "model": "mask_inference",
    "representation": {"kind": "mel", "n_fft": 4096, "hop": 1024, "bands": 128},
    "recurrent": {"cell": "lstm", "hidden": 256, "layers": 2},
}


def peak_mb() -> float:
    """Largest resident set of this process so far; ``ru_maxrss`` would begin with that of the process before it."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(mix: Path, model: Path, iterations: int, threads: int) -> None:
    """One separation in this process: seconds, and peak memory in MB, as JSON."""
    prepare_to_render(threads)  # as the command line does
    with tempfile.TemporaryDirectory() as folder:
        started, cpu = time.perf_counter(), time.process_time()
        separate(mix, Path(folder) / "out", model, iterations=iterations, device="cpu")
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        stems = [read_info(path) for path in (Path(folder) / "out" / "stems").iterdir()]
        info, error, energy = read_info(mix), 0.0, 0.0
        peak = peak_mb()
        for begin in range(0, info.num_samples, 1 << 20):
            count = min(1 << 20, info.num_samples - begin)
            whole = read_audio(info, begin, count)
            error += float((sum(read_audio(stem, begin, count) for stem in stems) - whole).double().square().sum())
            energy += float(whole.double().square().sum())
    print(json.dumps({"seconds": seconds, "cpu_seconds": cpu, "peak_mb": peak, "sum_error": math.sqrt(error / energy)}))


def in_a_process(mix: Path, model: Path, iterations: int, threads: int) -> dict[str, float]:
    command = [sys.executable, "-W", "ignore", __file__, "--measure", str(mix), str(model), str(iterations)]
    result = subprocess.run([*command, "--threads", str(threads)], capture_output=True, text=True, check=True)
    return json.loads(result.stdout.splitlines()[-1])


def speed(model: Path, minutes: float, iterations: list[int], threads: int, folder: Path) -> None:
    print("| length | iterations | times real time | CPU seconds a minute | peak MB | sum error / RMS |")
    print("|---|---|---|---|---|---|")
    for length in sorted({1.0, minutes}):
        mix = folder / f"{length:g}.wav"
        write_audio(mix, 0.1 * torch.randn(2, round(length * 60 * 44100)), 44100)
        for count in iterations:
            found = in_a_process(mix, model, count, threads)
            times = length * 60 / found["seconds"]
            print(f"| {length:g} min | {count} | {times:.1f} | {found['cpu_seconds'] / length:.1f} | "
                  f"{found['peak_mb']:.0f} | {found['sum_error']:.1e} |", flush=True)  # fmt: skip
        mix.unlink()


def disturbed_ideal(coefficients: torch.Tensor, random: torch.Generator, error: float = 1.5) -> torch.Tensor:
    """Ideal ratio masks [1, sources, channels, bins, frames] with an error of logits that is smooth."""
    magnitudes = coefficients.abs()
    masks = (magnitudes / magnitudes.sum(0, keepdim=True).clamp(min=1e-10)).clamp(1e-4, 1 - 1e-4)
    noise = torch.randn(masks.shape, generator=random)
    smooth = torch.nn.functional.avg_pool2d(noise, (9, 3), 1, (4, 1)) * math.sqrt(27)
    return torch.sigmoid(torch.logit(masks) + error * smooth)[None]


def ratios(estimates: torch.Tensor, stems: torch.Tensor) -> torch.Tensor:
    """SDR and SI-SDR in dB, [sources, 2]."""
    noise = (estimates - stems).double().square().sum((1, 2))
    sdr = 10 * torch.log10(stems.double().square().sum((1, 2)) / noise)
    return torch.stack([sdr, si_sdr(estimates.double(), stems.double())], dim=1)


@torch.no_grad()
def wiener(source: Path, folders: list[Path], iterations: list[int]) -> None:
    """Means over the sources of songs, by number of iterations: of the model's masks, and of better ones."""
    model = load_separator(source)[0]
    representation, random = model.representation, torch.Generator().manual_seed(0)
    rate = round(model.sample_rate)
    block = WIENER_SECONDS * rate
    rows: dict[tuple[str, int], list[torch.Tensor]] = {}
    for song in find_source_songs(folders):
        stems = load_stems_of(song, model.sources, rate)
        parts: dict[tuple[str, int], list[torch.Tensor]] = {}
        for stretch in stems[..., : stems.size(-1) // block * block].split(block, -1):
            output = model(stretch.sum(0, keepdim=True))
            better = disturbed_ideal(representation.encode(stretch), random)
            for kind, masks in (("the model's", output.masks), ("ideal and error", better)):
                for count in iterations:
                    refined = refine(output._replace(masks=masks), count)[0]
                    parts.setdefault((kind, count), []).append(representation.decode(refined, block))
        audible = is_audible(stems)
        for key, found in parts.items():
            estimates = torch.cat(found, -1)[audible]
            rows.setdefault(key, []).append(ratios(estimates, stems[audible, :, : estimates.size(-1)]))
        print(f"{song.id} done", file=sys.stderr, flush=True)
    print("| masks | iterations | SDR / dB | gain | SI-SDR / dB | gain | sources that do not lose |")
    print("|---|---|---|---|---|---|---|")
    for (kind, count), values in rows.items():
        table, base = torch.cat(values), torch.cat(rows[kind, iterations[0]])
        (sdr, scale_free), gain = table.mean(0).tolist(), (table - base).mean(0).tolist()
        share = 100 * float((table - base)[:, 0].ge(0).double().mean())
        print(f"| {kind} | {count} | {sdr:.2f} | {gain[0]:+.2f} | {scale_free:.2f} | {gain[1]:+.2f} | {share:.0f} % |")


@torch.no_grad()
def demo_levels(folder: Path) -> tuple[Song, dict[str, float]]:
    """The demo song, and what each track is in its mix, in dB."""
    from graphmix.processors.rack import Rack
    from graphmix.render.renderer import Renderer

    song = load_song(write_demo_song(folder / "demo"), DEMO_RATE)
    graph = hidden_console()
    render = Renderer(Rack.for_types(graph.types.types, DEMO_RATE))
    audio = song.read(0, song.num_samples)
    sources = audio.stems[[song.track_names.index(name) for name in graph.input_names]]
    whole = render(graph, sources)[0]
    levels = {}
    for row, name in enumerate(graph.input_names):
        muted = sources.clone()
        muted[row] = 0
        levels[name] = decibels(whole - render(graph, muted)[0], whole)
    return song, levels


def levels_of_gains(folder: Path) -> tuple[Song, dict[str, float]]:
    """A song that is mixed by gains alone, and what each track is in its mix, in dB, by least squares."""
    song = load_song(folder, DEMO_RATE)
    audio = song.read(0, song.num_samples)
    assert audio.mix is not None, "the song has a mix"
    stems, mix = audio.stems.double(), audio.mix.double()
    gains = torch.stack([torch.linalg.lstsq(stems[:, c].T, mix[c][:, None]).solution[:, 0] for c in range(2)], 1)
    parts = stems * gains[..., None]
    print(f"least squares leave {decibels(mix - parts.sum(0), mix):.1f} dB")
    return song, {name: decibels(part, mix) for name, part in zip(song.track_names, parts, strict=True)}


def decibels(part: torch.Tensor, whole: torch.Tensor) -> float:
    return 10 * math.log10(float(part.square().sum() / whole.square().sum()) + 1e-20)


def residuals(song: Song, levels: dict[str, float]) -> None:
    """One track removed at a time."""
    print("| removed | level in the mix, dB | residual, dB | error, dB |\n|---|---|---|---|")
    print(f"| none | | {find_unexplained(song, with_audio=True).level_db:.1f} | |")
    for name, true in levels.items():
        kept = [i for i, track in enumerate(song.tracks) if track.name != name]
        subgroups = {bus: tuple(t for t in members if t != name) for bus, members in song.subgroups.items()}
        lacking = replace(
            song,
            tracks=tuple(song.tracks[i] for i in kept),
            subgroups={bus: members for bus, members in subgroups.items() if members},
            _decoded=song._decoded[[*kept, song.num_tracks]],
        )
        found = find_unexplained(lacking, with_audio=True).level_db
        print(f"| {name} | {true:.1f} | {found:.1f} | {found - true:+.1f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--songs", type=Path, action="append", default=[])
    parser.add_argument("--iterations", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", choices=("speed", "wiener", "residual"))
    parser.add_argument("--gains", type=Path, help="for the residual: a song that is mixed by gains alone")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        measure(Path(given.measure[0]), Path(given.measure[1]), int(given.measure[2]), given.threads)
        return
    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        model = given.model or save_separator(folder / "untrained.safetensors", build_separator(USUAL))
        if given.only in (None, "speed"):
            speed(Path(model), given.minutes, given.iterations, given.threads, folder)
        if given.songs and given.only in (None, "wiener"):
            wiener(Path(model), given.songs, given.iterations)
        if given.only in (None, "residual"):
            residuals(*(demo_levels(folder) if given.gains is None else levels_of_gains(given.gains)))


if __name__ == "__main__":
    main()
