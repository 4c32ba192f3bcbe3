"""Separators: a training step against openunmix's own model class at equal size and batch, and networks compared.

    python benchmarks/separation.py step            # seconds of a step, ours and theirs in turns
    python benchmarks/separation.py networks SONGS OUT [--steps 300] [--seeds 0 1 2]

``step``: both take magnitudes that are there already and compute masks, the mean squared error of magnitudes, gradients
and an AdamW step, of one source; both have the same sizes (bins, hidden units, layers, bandwidth). ``pip install
openunmix``. ``networks`` trains mask inference, chimera and U-Net on the same songs, steps and seeds.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from graphmix.models.masks import build_separator

RATE, N_FFT, HOP, BANDWIDTH = 44100, 4096, 1024, 16000.0
NETWORKS = ("separator", "separator-chimera", "separator-unet")


def make_theirs(hidden: int, layers: int) -> nn.Module:
    from openunmix.model import OpenUnmix
    from openunmix.utils import bandwidth_to_max_bin

    used = bandwidth_to_max_bin(RATE, N_FFT, BANDWIDTH)
    return OpenUnmix(nb_bins=N_FFT // 2 + 1, nb_channels=2, hidden_size=hidden, nb_layers=layers, max_bin=used)


def make_ours(hidden: int, layers: int) -> nn.Module:
    return build_separator(
        {
            "model": "open_unmix",
            "sources": ["vocals"],
            "hidden": hidden,
            "layers": layers,
            "bandwidth_hz": BANDWIDTH,
            "representation": {"kind": "stft", "n_fft": N_FFT, "hop": HOP},
        }
    )


def make_step(model: nn.Module, estimate: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, y: torch.Tensor):
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    model.train()

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = (estimate(x) - y).square().mean()
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step


def time_steps(hidden: int, layers: int, batch: int, seconds: float, repeats: int) -> None:
    frames = round(seconds * RATE / HOP)
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(batch, 2, N_FFT // 2 + 1, frames, generator=generator)
    y = x * torch.rand(batch, 2, N_FFT // 2 + 1, frames, generator=generator)
    theirs, ours = make_theirs(hidden, layers), make_ours(hidden, layers)
    steps = {
        "openunmix": make_step(theirs, theirs, x, y),
        "graphmix": make_step(ours, lambda mixture: ours.estimate(mixture)[0][:, 0] * mixture, x, y),
    }
    weights = {"openunmix": theirs, "graphmix": ours}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for repeat in range(repeats + 1):
        for name, step in steps.items():
            wall, cpu = time.perf_counter(), time.process_time()
            step()
            if repeat:  # the first one warms up
                times[name].append(time.process_time() - cpu)
                print(f"{name}: {time.perf_counter() - wall:.2f} s, {times[name][-1]:.2f} s of CPU", flush=True)
    for name, values in times.items():
        count = sum(p.numel() for p in weights[name].parameters())
        print(f"{name}: {count / 1e6:.2f} M weights, median {statistics.median(values):.3f} s of CPU a step")
    ratio = statistics.median(times["openunmix"]) / statistics.median(times["graphmix"])
    print(f"openunmix / graphmix: {ratio:.2f}")


def compare_networks(songs: Path, out: Path, steps: int, seeds: list[int]) -> None:
    from graphmix.training.separation import load_separator_config, train_separator

    for name in NETWORKS:
        gains = []
        for seed in seeds:
            config = load_separator_config(name).changed(
                data={"songs": [str(songs)]}, training={"steps": steps, "seed": seed, "evaluate_every": steps}
            )
            facts = train_separator(config, out / f"{name}_{seed}").facts
            last = facts["evaluations"][-1]
            gains.append(last["si_sdr_improvement_db"])
            print(f"{name}, seed {seed}: {gains[-1]:.2f} of {last['ideal_improvement_db']:.2f} dB, "
                  f"{facts['parameters']} weights, {facts['seconds']:.0f} s", flush=True)  # fmt: skip
        spread = statistics.stdev(gains) if len(gains) > 1 else 0.0
        print(f"{name}: {statistics.mean(gains):.2f} ± {spread:.2f} dB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    step = commands.add_parser("step")
    step.add_argument("--hidden", type=int, default=512)
    step.add_argument("--layers", type=int, default=3)
    step.add_argument("--batch", type=int, default=4)
    step.add_argument("--seconds", type=float, default=6.0)
    step.add_argument("--repeats", type=int, default=5)
    networks = commands.add_parser("networks")
    networks.add_argument("songs", type=Path)
    networks.add_argument("out", type=Path)
    networks.add_argument("--steps", type=int, default=300)
    networks.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    given = parser.parse_args()
    if given.command == "step":
        time_steps(given.hidden, given.layers, given.batch, given.seconds, given.repeats)
    else:
        compare_networks(given.songs, given.out, given.steps, given.seeds)


if __name__ == "__main__":
    main()
