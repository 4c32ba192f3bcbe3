"""Notes of real instruments: how near programmed patches come, beside a harmonic-plus-noise resynthesis.

    apt-get install fluidsynth fluid-soundfont-gm; pip install pyfluidsynth auraloss
    python benchmarks/real_notes.py --log notes.jsonl --steps 200 --out notes
    python benchmarks/real_notes.py --read notes.jsonl

Single notes of the General MIDI sound font of Debian's ``fluid-soundfont-gm``, which are recordings of instruments:
0.8 s with the key down, left and right averaged. Each of them is programmed as ``graphmix program`` does, by all three
synthesizers at the pitch that is estimated; the nearest patch is compared with the note by the log-spectral distance
(:mod:`graphmix.synthesizers.sounds`) and by auraloss' multi-resolution STFT loss with its defaults.

The resynthesis knows the note: harmonics of the pitch with the amplitudes of the note's STFT at every 256 samples, and
noise with the spectrum that the STFT has between them. That is some thousand numbers a second, and a patch 44 to 114.

--log keeps a line of JSON for each note, which is not repeated, and beside it the state of one that was stopped.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import auraloss
import numpy as np
import torch
from numpy.typing import NDArray
from report import make_table, read_log
from rich.console import Console
from step import cpu_name
from synthesizers import program_again

from graphmix.audio import write_audio
from graphmix.processors.generators import A4_HZ, A4_NOTE
from graphmix.synthesizers import SYNTHESIZERS
from graphmix.synthesizers.sounds import load_sound, log_spectral_distance

RATE = 44100
FONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")
NOTES = {"violin": (40, 67), "flute": (73, 72), "trumpet": (56, 62), "electric piano": (4, 60), "bass": (33, 38)}
"""General MIDI program from 0, MIDI note."""
KEY_SECONDS, TAIL_SECONDS = 0.8, 0.6
N_FFT, HOP = 2048, 256
MASKED_BINS = 3
Signal = NDArray[np.float64]


def play_note(number: int, pitch: int) -> Signal:
    """A note of the sound font, [2, samples]."""
    import fluidsynth

    synth = fluidsynth.Synth(gain=0.8, samplerate=float(RATE))
    try:
        font = synth.sfload(str(FONT))
        synth.setting("synth.reverb.active", 0)
        synth.setting("synth.chorus.active", 0)
        synth.program_select(0, font, 0, number)
        synth.noteon(0, pitch, 100)
        held = synth.get_samples(round(KEY_SECONDS * RATE))
        synth.noteoff(0, pitch)
        released = synth.get_samples(round(TAIL_SECONDS * RATE))
    finally:
        synth.delete()
    both = np.concatenate([held, released]).reshape(-1, 2).T / 32768.0
    return np.asarray(both, np.float64)


def spectra(audio: Signal) -> NDArray[np.complex128]:
    """Frames around every 256th sample, [frames, bins]."""
    padded = np.pad(audio, (N_FFT // 2, N_FFT // 2 + HOP))
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP]
    return np.fft.rfft(frames * np.hanning(N_FFT + 1)[:-1])


def harmonic_plus_noise(audio: Signal, pitch: float, seed: int = 0) -> Signal:
    """A note from the amplitudes of its harmonics and the spectrum between them."""
    f0 = A4_HZ * 2 ** ((pitch - A4_NOTE) / 12)
    magnitude = np.abs(spectra(audio))
    count = int(0.45 * RATE / f0)
    places = f0 * np.arange(1, count + 1) * N_FFT / RATE
    window = np.hanning(N_FFT + 1)[:-1]
    samples = np.arange(len(audio))
    at_frames = np.arange(len(magnitude)) * HOP
    harmonics = np.zeros(len(audio))
    between = np.ones(magnitude.shape[1], bool)
    reach = max(1, min(MASKED_BINS, round(places[0] / 2) - 1))
    for k, place in enumerate(places, start=1):
        near = slice(round(place) - reach, round(place) + reach + 1)
        between[near] = False
        amplitude = 2 * magnitude[:, near].max(1) / window.sum()
        phase = 2 * np.pi * (k * f0 / RATE * samples + 0.618 * k)
        harmonics += np.interp(samples, at_frames, amplitude) * np.sin(phase)
    bins = np.arange(magnitude.shape[1])
    known = bins[between] if between.any() else bins
    noise = np.random.default_rng(seed).standard_normal(len(audio))
    shaped = spectra(noise) / np.sqrt((window**2).sum())
    shaped *= np.stack([np.interp(bins, known, row[known]) for row in magnitude])
    frames = np.fft.irfft(shaped) * window
    total, weight = (np.zeros(len(audio) + 2 * N_FFT) for _ in range(2))
    for i, frame in enumerate(frames):
        total[i * HOP : i * HOP + N_FFT] += frame
        weight[i * HOP : i * HOP + N_FFT] += window**2
    middle = slice(N_FFT // 2, N_FFT // 2 + len(audio))
    return harmonics + total[middle] / np.maximum(weight[middle], 1e-6)


def distances(found: torch.Tensor, target: torch.Tensor) -> list[float]:
    """Log-spectral distance in dB, and auraloss' multi-resolution STFT loss."""
    loss = auraloss.freq.MultiResolutionSTFTLoss()
    return [float(log_spectral_distance(found[None], target)[0]), float(loss(found[None, None], target[None, None]))]


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    number, pitch = NOTES[name]
    folder = options.out
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name.replace(' ', '_')}.wav"
    write_audio(path, torch.tensor(play_note(number, pitch), dtype=torch.float32), RATE)
    sound = load_sound(path, RATE)
    results, times = program_again(name, sound, options)
    again = torch.tensor(harmonic_plus_noise(sound.audio.double().numpy(), sound.pitch), dtype=torch.float32)
    for kind, audio in (("patch", results[0].audio), ("harmonics", again)):
        write_audio(path.with_name(f"{path.stem}_{kind}.wav"), audio.expand(2, -1), RATE)
    return {
        "note": name,
        "played": pitch,
        "pitch": sound.pitch,
        "length": len(sound.audio) / RATE,
        "by": {result.synthesizer: [result.proposed, result.distance] for result in results},
        "chosen": results[0].synthesizer,
        "patch": distances(results[0].audio, sound.audio),
        "resynthesis": distances(again, sound.audio),
        **times,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--candidates", type=int, default=200)
    parser.add_argument("--out", type=Path, default=Path("notes"), help="folder for the sounds")
    parser.add_argument("--threads", type=int, help="as the machine has, if not given")
    parser.add_argument("--log", type=Path, help="append a line of JSON for each note; resumed from")
    parser.add_argument("--read", type=Path, help="only print the table of such a log")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    rows = read_log(options.read or options.log)
    for name in () if options.read else NOTES:
        if name in {row["note"] for row in rows}:
            continue
        rows.append(measure(name, options))
        if options.log:
            with options.log.open("a") as file:
                file.write(json.dumps(rows[-1]) + "\n")
    heads = ["note", "pitch", *SYNTHESIZERS, "patch: LSD", "MR-STFT", "resynthesis: LSD", "MR-STFT", "CPU s"]
    table = make_table("nearest candidate > refined, log-spectral distance in dB", heads)
    for row in rows:
        by = [f"{row['by'][name][0]:.1f} > {row['by'][name][1]:.1f}" for name in SYNTHESIZERS]
        numbers = [*row["patch"], *row["resynthesis"]]
        table.add_row(row["note"], f"{row['pitch']:.2f}", *by, *(f"{n:.2f}" for n in numbers), f"{row['cpu']:.0f}")
    Console(width=150).print(table)
    print(f"torch {torch.__version__}, {cpu_name()}")


if __name__ == "__main__":
    main()
