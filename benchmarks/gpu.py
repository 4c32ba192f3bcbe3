"""The GPU's table: one call, under eight minutes.

    python benchmarks/gpu.py --json gpu.json
    python benchmarks/gpu.py --device cpu --quick

The training step of step.py on a GPU: stereo at 30 kHz, 3.8 s, gain-staging and loss included, raw parameters, AdamW in
one kernel, projection into the ranges. Sections, which are independent: one that fails is reported, and the others
still run. Those that need the CPU come last, because a fresh machine compiles its kernels first.

- ``steps``: training step and forward without gradients for several consoles, and peak memory.
- ``waiting``: does a step make the host wait? PyTorch raises if so.
- ``kernels``: launches of a step, how long the GPU is busy with them, and which take longest.
- ``cuda graph``: the same step, recorded once and replayed.
- ``batches``: several songs at once, until more of them no longer increase the throughput.
- ``tf32``: seconds and loss with matrix products in TF32, against float32.
- ``leave-one-out``: losses without each processor on one segment, as a multiple of rendering it once.
- ``grafx``: the same step by GRAFX 0.6 on the same GPU, as installed and with an exact convolution.
- ``envelopes``: the scan that a GPU does against the float64 recursion.
- ``parity``: loss and gradients against the CPU's.
- ``cpu``: step and forward of the same consoles on all cores.

Times are medians between events on the GPU, after warm-up. It needs PyTorch, PyG, auraloss and what graphmix imports;
GRAFX needs grafx, torchcomp and librosa.
"""

import argparse
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from peers.contest import versions
from peers.device_work import SongBatch, Step, measure, move_grafx, peak_gb, relative_error, reset_memory
from peers.work import CHAIN, SAMPLE_RATE, SAMPLES, WARMUP, dial, make_audio, make_console
from report import make_table
from rich.console import Console
from torch import Tensor

from graphmix.dsp.envelope import coefficient, one_pole_scan, smooth
from graphmix.processors import Rack
from graphmix.render.render_cache import TrialRenderer
from graphmix.search.rounds import prunable_nodes
from graphmix.search.trial_losses import AT_ONCE

PACKAGES = ("graphmix", "grafx", "torch", "torchaudio", "torch_geometric", "numba", "numpy")
SIZES = ((4, 2), (8, 3), (16, 5), (32, 8))
QUICK_SIZES = ((2, 1),)
ENOUGH = 1.05
"""A batch of twice as many songs that brings less than this is not worth it."""
Row = dict[str, Any]


class NotHere(Exception):
    """What a section needs is not there."""


def need_cuda(device: torch.device) -> None:
    if device.type != "cuda":
        raise NotHere("needs CUDA")


def time_steps(device: torch.device, options: argparse.Namespace) -> Iterator[Row]:
    for size in options.sizes:
        reset_memory(device)
        work = Step(size, device)
        step = measure(work.step, device, options.repeats)
        memory = peak_gb(device)
        forward = measure(work.forward, device, options.repeats)
        yield {
            "tracks": size[0],
            "subgroups": size[1],
            "step_ms": 1000 * step["median"],
            "step_ms_min": 1000 * step["min"],
            "step_ms_max": 1000 * step["max"],
            "forward_ms": 1000 * forward["median"],
            "track seconds / s": size[0] * SAMPLES / SAMPLE_RATE / step["median"],
            "peak_gb": memory,
        }


def check_waiting(device: torch.device, options: argparse.Namespace) -> Iterator[Row]:
    need_cuda(device)
    work = Step(options.sizes[0], device)
    for name, job in (("step", work.step), ("forward", work.forward)):
        job()
        torch.cuda.set_sync_debug_mode("error")
        try:
            job()
            yield {"job": name, "host waits": "no"}
        except RuntimeError as error:
            yield {"job": name, "host waits": str(error).splitlines()[0]}
        finally:
            torch.cuda.set_sync_debug_mode("default")


def list_kernels(device: torch.device, options: argparse.Namespace) -> Iterator[Row]:
    need_cuda(device)
    from torch.profiler import ProfilerActivity, profile

    work = Step(options.main_size, device)
    seconds = measure(work.step, device, 3)["median"]
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        work.step()
        torch.cuda.synchronize()
    kernels = [e for e in profiler.key_averages() if e.device_type == torch.autograd.DeviceType.CUDA]
    busy = sum(e.self_device_time_total for e in kernels) / 1000
    yield {
        "kernel": "all",
        "launches": sum(e.count for e in kernels),
        "ms": busy,
        "share of step": busy / 1e3 / seconds,
    }
    for e in sorted(kernels, key=lambda e: -e.self_device_time_total)[:12]:
        ms = e.self_device_time_total / 1000
        yield {"kernel": e.key[:70], "launches": e.count, "ms": ms, "share of step": ms / 1e3 / seconds}


def replay_graphs(device: torch.device, options: argparse.Namespace) -> Iterator[Row]:
    need_cuda(device)
    for size in options.sizes:
        work = Step(size, device, capturable=True)
        eager = measure(work.step, device, options.repeats)["median"]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                work.step()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            loss = work.step()
        replayed = measure(graph.replay, device, options.repeats)["median"]
        yield {
            "tracks": size[0],
            "step_ms": 1000 * eager,
            "replayed_ms": 1000 * replayed,
            "times faster": eager / replayed,
            "loss": float(loss),
        }


def time_batches(device: torch.device, options: argparse.Namespace) -> Iterator[Row]:
    best, count = 0.0, 1
    while count <= options.most_songs:
        reset_memory(device)
        try:
            songs = SongBatch(options.main_size, count, device)
            seconds = measure(songs.step, device, max(2, options.repeats // 2))["median"]
        except torch.cuda.OutOfMemoryError:
            yield {"songs": count, "track seconds / s": "out of memory"}
            return
        rate = count * options.main_size[0] * SAMPLES / SAMPLE_RATE / seconds
        yield {"songs": count, "step_ms": 1000 * seconds, "track seconds / s": rate, "peak_gb": peak_gb(device)}
        if rate < ENOUGH * best:
            return
        best, count = max(best, rate), 2 * count


def compare_tf32(device: torch.device, options: argparse.Namespace) -> Iterator[Row]:
    expected: Tensor | None = None
    for precision in ("highest", "high", "medium"):
        torch.set_float32_matmul_precision(precision)
        try:
            work = Step(options.main_size, device)
            loss = work.total().detach().cpu()
            expected = loss if expected is None else expected
            seconds = measure(work.step, device, options.repeats)["median"]
        finally:
            torch.set_float32_matmul_precision("highest")
        yield {
            "matrix products": precision,
            "step_ms": 1000 * seconds,
            "loss": float(loss),
            "relative change": relative_error(loss, expected),
        }


@torch.no_grad()
def time_leave_one_out(device: torch.device, options: argparse.Namespace) -> Iterator[Row]:
    work = Step(options.sizes[min(1, len(options.sizes) - 1)], device)
    target, nodes = work.loss.features(work.target), prunable_nodes(work.graph)

    def whole() -> None:
        work.loss(prediction=work.forward()[..., WARMUP:], target=target)

    def leave_one_out() -> None:
        cache = TrialRenderer(work.renderer, work.graph).render(work.sources)
        for begin in range(0, len(nodes), AT_ONCE):
            mixes = cache.without([[node] for node in nodes[begin : begin + AT_ONCE]])[:, 0, :, WARMUP:]
            work.loss.per_item(prediction=mixes, target=target)

    reset_memory(device)
    once = measure(whole, device, options.repeats)["median"]
    every = measure(leave_one_out, device, 2, warmup=1)["median"]
    yield {
        "processors": len(nodes),
        "rendering_ms": 1000 * once,
        "leave_one_out_ms": 1000 * every,
        "renderings": every / once,
        "peak_gb": peak_gb(device),
    }


def time_grafx(device: torch.device, options: argparse.Namespace) -> Iterator[Row]:
    try:
        from peers.contenders import GrafxStep
        from peers.grafx_console import exact_convolve, use_convolution
    except ImportError as error:
        raise NotHere(f"GRAFX is not installed: {error}") from None
    own = use_convolution(exact_convolve)
    for size in options.sizes:
        for name, convolve in (("as installed", own), ("exact convolution", exact_convolve)):
            use_convolution(convolve)
            reset_memory(device)
            rack = Rack.console(CHAIN, SAMPLE_RATE)
            work = GrafxStep(dial(make_console(rack, *size), rack, 0), *(x.to(device) for x in make_audio(size[0], 0)))
            move_grafx(work, device)
            step = measure(work.step, device, options.repeats)["median"]
            forward = measure(work.forward, device, options.repeats)["median"]
            row = {"tracks": size[0], "convolution": name, "step_ms": 1000 * step, "forward_ms": 1000 * forward}
            yield row | {"peak_gb": peak_gb(device)}


def compare_envelopes(device: torch.device, options: argparse.Namespace) -> Iterator[Row]:
    generator = torch.Generator().manual_seed(0)
    energy = (0.1 * torch.randn(32, SAMPLES, generator=generator)).square()
    for time_ms in (1.0, 20.0, 200.0, 2000.0):
        alpha = coefficient(torch.full((32,), time_ms), SAMPLE_RATE)
        expected = smooth(energy.double(), alpha)
        x, a = energy.to(device), alpha.to(device)
        found = one_pole_scan(x, a)
        seconds = measure(lambda x=x, a=a: one_pole_scan(x, a), device, options.repeats)["median"]
        quiet = expected > 1e-8
        decibels = (10 * (found.double().cpu() / expected).log10()).abs()[quiet].max()
        row = {"time_ms": time_ms, "relative to maximum": relative_error(found, expected)}
        yield row | {"most dB": float(decibels), "32 nodes, ms": 1000 * seconds}


def compare_with_cpu(device: torch.device, options: argparse.Namespace) -> Iterator[Row]:
    size = options.sizes[min(1, len(options.sizes) - 1)]
    here, there = Step(size, torch.device("cpu")), Step(size, device)
    losses = [work.total() for work in (here, there)]
    for loss in losses:
        loss.backward()
    yield {"of": "loss", "relative error": relative_error(losses[1], losses[0])}
    yield {"of": "mix", "relative error": relative_error(there.forward(), here.forward())}
    others = dict(there.raw.named_parameters())
    for name, parameter in here.raw.named_parameters():
        yield {"of": f"gradient of {name}", "relative error": relative_error(others[name].grad, parameter.grad)}


def time_cpu(device: torch.device, options: argparse.Namespace) -> Iterator[Row]:
    from graphmix.processes import keep_memory

    keep_memory()
    for size in options.sizes:
        work = Step(size, torch.device("cpu"))
        step, forward = (measure(job, torch.device("cpu"), 3, 1)["median"] for job in (work.step, work.forward))
        row = {"tracks": size[0], "subgroups": size[1], "threads": torch.get_num_threads()}
        yield row | {"step_ms": 1000 * step, "forward_ms": 1000 * forward}


SECTIONS: Mapping[str, Callable[[torch.device, argparse.Namespace], Iterator[Row]]] = {
    "steps": time_steps,
    "waiting": check_waiting,
    "kernels": list_kernels,
    "cuda graph": replay_graphs,
    "batches": time_batches,
    "tf32": compare_tf32,
    "leave-one-out": time_leave_one_out,
    "grafx": time_grafx,
    "envelopes": compare_envelopes,
    "parity": compare_with_cpu,
    "cpu": time_cpu,
}


@contextmanager
def guarded(result: Row) -> Iterator[None]:
    """Note what a section fails of, and go on."""
    begun = perf_counter()
    try:
        yield
    except NotHere as reason:
        result["left out"] = str(reason)
    except Exception as error:  # whatever it is, the other sections are worth having
        result["failed"] = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    result["seconds"] = round(perf_counter() - begun, 1)


def show(name: str, result: Row) -> None:
    """A section's table, and why it is short."""
    rows = result["rows"]
    console = Console(width=150)
    if rows:
        columns = list(dict.fromkeys(key for row in rows for key in row))
        table = make_table(f"{name} ({result['seconds']} s)", columns)
        for row in rows:
            table.add_row(*(_cell(row.get(column, "")) for column in columns))
        console.print(table)
    for reason in ("left out", "failed"):
        if reason in result:
            console.print(f"{name}: {reason}: {result[reason]}", markup=False)


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="one small console, once: does everything run?")
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--budget", type=float, default=420.0, help="seconds after which no section begins")
    parser.add_argument("--json", type=Path, help="all numbers, written after each section")
    options = parser.parse_args()
    options.sizes = QUICK_SIZES if options.quick else SIZES
    options.main_size = QUICK_SIZES[0] if options.quick else (16, 5)
    options.repeats, options.most_songs = (1, 2) if options.quick else (10, 64)
    return options


def main() -> None:
    options = parse()
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SystemExit("PyTorch finds no CUDA device here; --device cpu --quick tries the script without one.")
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    report: Row = {"device": name, "cpus": os.cpu_count(), "versions": versions(PACKAGES), "sections": {}}
    print(f"{name}, {os.cpu_count()} CPU cores, {report['versions']}", flush=True)
    begun = perf_counter()
    for section in options.sections:
        result: Row = {"rows": []}
        with guarded(result):
            if perf_counter() - begun > options.budget:
                raise NotHere(f"the budget of {options.budget:.0f} s is used up")
            for row in SECTIONS[section](device, options):
                result["rows"].append(row)
        reset_memory(device)
        show(section, result)
        report["sections"][section] = result
        if options.json:
            options.json.write_text(json.dumps(report, indent=1))
    print(f"{perf_counter() - begun:.0f} s")


if __name__ == "__main__":
    main()
