"""Captured effects: how fast they render, how fast they are trained beside Neural Amp Modeler's own package.

    python benchmarks/effects.py
    python benchmarks/effects.py --threads 1 --repeats 9 --json

The networks have random weights. Rendering: a standard WaveNet and an LSTM of 16 units, mono at 48 kHz, without
gradients, one track and 16 at once; as nodes, through the processor of a graph (tracks of one signal left and right).
A WaveNet's track is split in time, so that one alone has both threads: "in blocks" gives it 2,048 samples at a time, as
a live signal comes, which are too few to split, and "on one thread" is what a track costs. GFLOP/s are two operations
for each weight and sample. Training: one step (forward, squared error, backward, Adam) on 16 segments of 8,192 outputs,
on the same weights, inputs and targets, both in turn; the largest difference of the first outputs is printed.
It needs the package ``neural-amp-modeler``; without it, that part is left out.
"""

import argparse
import importlib.util
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import torch
from peers.contest import versions
from step import cpu_name
from torch import Tensor

from graphmix.dsp.threads import at_most
from graphmix.models.effects import CapturedEffect, EffectModel
from graphmix.models.effects.nam import save_nam
from graphmix.models.effects.recurrent_effect import RecurrentConfig, RecurrentEffect
from graphmix.models.effects.wavenet import WaveNetConfig, WaveNetEffect

RATE = 48000
NODES = 16
LIVE = 2048
BATCH, OUTPUTS = 16, 8192
"""Of neural-amp-modeler's own trainer."""
PACKAGES = ("graphmix", "neural-amp-modeler", "torch", "numba", "numpy")


def networks() -> dict[str, EffectModel]:
    """By name; with random weights."""
    torch.manual_seed(0)
    made: dict[str, EffectModel] = {
        "WaveNet": WaveNetEffect(WaveNetConfig()),
        "LSTM 16": RecurrentEffect(RecurrentConfig(hidden=16, truncate=0)),
    }
    return {name: model.eval() for name, model in made.items()}


def in_turn(jobs: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median seconds of each job; they take turns, after one run each that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for number in range(repeats + 1):
        for name, job in jobs.items():
            began = time.perf_counter()
            job()
            if number:
                seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in seconds.items()}


@torch.no_grad()
def live(model: EffectModel, audio: Tensor) -> None:
    """A signal in short blocks."""
    state = None
    for block in audio.split(LIVE, dim=-1):
        _, state = model.stream(block, None, state)


@torch.no_grad()
def rendering(model: EffectModel, seconds: float, repeats: int) -> dict[str, float]:
    """Seconds of audio that are rendered in one second, of all tracks together."""
    audio = 0.3 * torch.randn(NODES, round(seconds * RATE))
    node = CapturedEffect(model, "amp", "a", RATE)
    stereo, none = audio[:, None].expand(-1, 2, -1).contiguous(), torch.zeros(NODES, 0)

    def jobs(rows: int) -> dict[str, Callable[[], object]]:
        return {
            f"{rows} whole": lambda: model(audio[:rows]),
            f"{rows} in blocks": lambda: live(model, audio[:rows]),
            f"{rows} as nodes": lambda: node(stereo[:rows], none[:rows]),
        }

    def alone() -> None:
        with at_most(1):
            model(audio[:1])

    taken = in_turn(jobs(1) | jobs(NODES) | {"1 on one thread": alone}, repeats)
    return {name: int(name.split()[0]) * seconds / value for name, value in taken.items()}


def theirs(model: EffectModel) -> torch.nn.Module:
    """The same network, of the other package."""
    from nam.models._from_nam import init_from_nam

    with tempfile.TemporaryDirectory() as folder:
        content = json.loads(save_nam(model, Path(folder) / "a.nam").read_text())
    for layer in content["config"].get("layers", ()):  # as version 0.7 of the format has them
        number, gated = len(layer["dilations"]), layer.pop("gated")
        layer["head"] = {"out_channels": layer.pop("head_size"), "kernel_size": 1, "bias": layer.pop("head_bias")}
        layer["activation"] = [{"type": layer["activation"]}] * number
        layer["gating_mode"] = ["gated" if gated else "none"] * number
        layer["secondary_activation"] = [None] * number
    made: torch.nn.Module = init_from_nam(content)
    return made


def step(model: torch.nn.Module, respond: Callable[[], Tensor], target: Tensor) -> Callable[[], Tensor]:
    """One step of training, as a function that returns the output."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)

    def run() -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        out = respond()
        torch.nn.functional.mse_loss(out, target).backward()
        optimizer.step()
        return out.detach()

    return run


def training(model: EffectModel, repeats: int) -> dict[str, float]:
    """Seconds of a step of either package, their ratio, and the largest difference of the first outputs."""
    other = theirs(model)
    model.train().requires_grad_()
    other.train()
    context = 0 if isinstance(model, RecurrentEffect) else model.context
    audio, target = 0.3 * torch.randn(BATCH, context + OUTPUTS), 0.1 * torch.randn(BATCH, OUTPUTS)
    if isinstance(model, RecurrentEffect):
        zeros = torch.zeros(2, BATCH, model.config.hidden)
        own = step(model, lambda: model.run(audio, audio.new_zeros(BATCH, 0), tuple(zeros))[0], target)
        peer = step(other, lambda: other(audio, pad_start=False), target)
        with torch.no_grad():  # both from a state of zeros
            other._initial_hidden.zero_()
            other._initial_cell.zero_()
    else:
        own = step(model, lambda: model.respond(audio), target)
        peer = step(other, lambda: other(audio, pad_start=False), target)
    difference = float((own() - peer()).abs().max())
    taken = in_turn({"graphmix": own, "neural-amp-modeler": peer}, repeats)
    ratio = taken["neural-amp-modeler"] / taken["graphmix"]
    return taken | {"ratio": ratio, "difference": difference}


def measure(seconds: float, repeats: int, threads: int) -> dict[str, Any]:
    """All numbers."""
    torch.set_num_threads(threads)
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    result: dict[str, Any] = {"render": {}, "weights": {}, "train": {}}
    for name, model in networks().items():
        result["render"][name] = rendering(model, seconds, repeats)
        result["weights"][name] = sum(value.numel() for value in model.parameters())
    result["peak_gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    if importlib.util.find_spec("nam") is not None:
        for name, model in networks().items():
            result["train"][name] = training(model, repeats)
    return result | {"threads": threads, "cpu": cpu_name(), "versions": versions(PACKAGES)}


def show(result: dict[str, Any]) -> None:
    """Tables of Markdown."""
    print("| times real time | one track | 16 tracks, sum | ratio | GFLOP/s of 16 |\n|---|---|---|---|---|")
    for name, values in result["render"].items():
        for kind in ("whole", "in blocks", "as nodes"):
            one, many = values[f"1 {kind}"], values[f"{NODES} {kind}"]
            speed = 2 * result["weights"][name] * RATE * many / 1e9
            print(f"| {name}, {kind} | {one:.1f} | {many:.1f} | {many / one:.2f} | {speed:.0f} |")
        one, many = values["1 on one thread"], values[f"{NODES} as nodes"]
        print(f"| {name}, one track on one thread, 16 nodes on all | {one:.1f} | {many:.1f} | {many / one:.2f} | |")
    if result["train"]:
        print("\n| step | graphmix, ms | neural-amp-modeler, ms | ratio | largest difference |\n|---|---|---|---|---|")
    for name, values in result["train"].items():
        own, peer = 1000 * values["graphmix"], 1000 * values["neural-amp-modeler"]
        print(f"| {name} | {own:.0f} | {peer:.0f} | {values['ratio']:.2f} | {values['difference']:.1e} |")
    print(f"\npeak memory {result['peak_gib']:.2f} GiB, {result['threads']} threads, {result['cpu']}")
    print(", ".join(f"{name} {version}" for name, version in result["versions"].items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a track")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    options = parser.parse_args()
    result = measure(options.seconds, options.repeats, options.threads)
    if options.json:
        print(json.dumps(result))
    else:
        show(result)


if __name__ == "__main__":
    main()
