"""Filters, equalizers and dynamics, one type at a time, beside the peer that has it: forward, and with backward.

    python benchmarks/gear.py
    python benchmarks/gear.py --only parametric_eq studio_compressor --seconds 0.5 --nodes 4 --json

16 nodes, 3.8 s of stereo at 44.1 kHz, gradients of settings and audio. Contenders of one row work in turn, in one
process (repeats are interleaved), with the same threads; the figure is the median. Where a peer computes something
else, its note says what: GRAFX by its recursion (``lfilter``) and by an FIR that samples the response (``fsm``),
dasp-pytorch by a response that is sampled at the next power of two above twice the length, torchcomp with the
elementwise work that leads to its gain. Types that no peer has are measured alone. All work in single precision.
"""

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from graphmix.dsp.biquad_design import SHAPES
from graphmix.processors import Processor, Rack
from graphmix.processors.compressors import SMOOTHING
from graphmix.processors.gear import DYNAMICS, FILTERS

RATE = 44100
SECONDS = 3.8
Work = tuple[Callable[[], Tensor], list[Tensor]]
"""Forward, and what has gradients."""
Peer = Callable[[Processor, Tensor, Tensor], dict[str, tuple[Work, str]]]
"""(processor, audio, values) -> name of the peer -> (work, note)."""


def values_of(processor: Processor, nodes: int) -> Tensor:
    """Values in the middle of each range, drawn."""
    low, high = processor.node_type.bounds()
    share = 0.35 + 0.3 * torch.rand(nodes, processor.node_type.width, generator=torch.Generator().manual_seed(0))
    raw = torch.lerp(processor.to_raw(low[None]), processor.to_raw(high[None]), share)
    values = processor.from_raw(raw)
    for p in processor.node_type.parameters:
        if p.choices:
            values[:, processor.node_type.columns(p.name)] = p.neutral
    return values


def leaf(tensor: Tensor) -> Tensor:
    """A copy with gradients."""
    return tensor.detach().clone().requires_grad_()


def ours(processor: Processor, audio: Tensor, values: Tensor) -> Work:
    """graphmix."""
    inputs = [leaf(audio), leaf(values)]
    return lambda: processor(*inputs), inputs


def _grafx_bands(processor: Processor, audio: Tensor, values: Tensor) -> dict[str, tuple[Work, str]]:
    """Bells in a row, by recursion and by an FIR that samples the response."""
    from grafx.processors.eq import ParametricEqualizer

    frequency, q, gain = (processor.get(values, name) for name in ("frequency_hz", "q", "gain_db"))
    found: dict[str, tuple[Work, str]] = {}
    for backend in ("lfilter", "fsm"):
        options = {} if backend == "lfilter" else {"flashfftconv": False}
        peer = ParametricEqualizer(frequency.size(1), "mono", use_shelving_filters=False, backend=backend, **options)
        given = (torch.logit(2 * frequency / RATE), -q.log(), gain * (math.log(10) / 40))
        inputs = [leaf(audio), *(leaf(raw[:, None]) for raw in given)]
        note = "bells by lfilter" if backend == "lfilter" else "bells by an FIR of 4000 samples"
        found[f"grafx {backend}"] = (partial(peer, *inputs), inputs), note
    return found


def _dasp_bands(processor: Processor, audio: Tensor, values: Tensor) -> dict[str, tuple[Work, str]]:
    """Six bands, of which ours has as many or more."""
    from dasp_pytorch.functional import parametric_eq

    names = ("gain_db", "frequency_hz", "q")
    bands = [leaf(processor.get(values, name)[:, band]) for band in range(6) for name in names]
    inputs = [leaf(audio), *bands]

    def work() -> Tensor:
        channels = inputs[0].reshape(-1, 1, audio.size(-1))
        settings = [own.repeat_interleave(2).view(-1, 1, 1) for own in bands]
        return parametric_eq(channels, RATE, *settings)

    return {"dasp-pytorch": ((work, inputs), "six bands")}


def _compressors(processor: Processor, audio: Tensor, values: Tensor) -> dict[str, tuple[Work, str]]:
    import torchcomp
    from dasp_pytorch.functional import compressor

    names = ("threshold_db", "ratio", "attack_ms", "release_ms", "knee_db", "makeup_db")
    settings = [leaf(processor.get(values, name)[:, 0]) for name in names]
    inputs, other = [leaf(audio), *settings], [leaf(audio), *(leaf(own) for own in settings)]

    def by_dasp() -> Tensor:
        channels = inputs[0].reshape(-1, 1, audio.size(-1))
        return compressor(channels, RATE, *(own.repeat_interleave(2).view(-1, 1, 1) for own in settings))

    def by_torchcomp() -> Tensor:
        signal, threshold, ratio, attack, release, _, makeup = other
        level = signal.abs().amax(1).clamp(min=1e-5)
        constants = [1 - torch.exp(-1000 / (ms * RATE)) for ms in (attack, release)]
        gain = torchcomp.compexp_gain(level, threshold, ratio, -200.0, 0.5, *constants)
        return signal * (gain * 10 ** (makeup[:, None] / 20))[:, None]

    notes = "one time, sampled response, 32 rows", "no knee; detector, gain and product by tensor operations"
    return {"dasp-pytorch": ((by_dasp, inputs), notes[0]), "torchcomp": ((by_torchcomp, other), notes[1])}


def _expander(processor: Processor, audio: Tensor, values: Tensor) -> dict[str, tuple[Work, str]]:
    import torchcomp

    settings = [processor.get(values, name)[:, 0] for name in ("threshold_db", "ratio", "release_ms", "attack_ms")]
    inputs = [leaf(audio), *(leaf(own) for own in settings)]

    def work() -> Tensor:
        signal, threshold, ratio, falls, rises = inputs
        level = signal.abs().amax(1).clamp(min=1e-5)
        constants = [1 - torch.exp(-1000 / (ms * RATE)) for ms in (falls, rises)]
        gain = torchcomp.compexp_gain(level, 0.0, 1.001, threshold, 1 / ratio, *constants)
        return signal * gain[:, None]

    return {"torchcomp": ((work, inputs), "no knee, no range; detector, gain and product by tensor operations")}


PEERS: Mapping[str, tuple[Peer, ...]] = {
    "parametric_eq": (_grafx_bands, _dasp_bands),
    "studio_compressor": (_compressors,),
    "expander": (_expander,),
}
TYPES = tuple(kind(RATE).node_type.name for kind in (*FILTERS, *DYNAMICS))


def prepared(name: str, nodes: int, samples: int) -> dict[str, tuple[Work, str]]:
    """All contenders of a type; peers that are not installed are left out, and said."""
    processor = Rack.console(f"[{name}]", RATE)[name]
    audio = 0.3 * torch.randn(nodes, 2, samples, generator=torch.Generator().manual_seed(1))
    values = values_of(processor, nodes)
    columns = {p.name: processor.node_type.columns(p.name) for p in processor.node_type.parameters}
    if name in ("parametric_eq", "biquad"):
        values[:, columns["shape"]] = float(SHAPES.index("bell"))
    if name in ("studio_compressor", "expander"):
        values[:, columns["smoothing"]] = float(SMOOTHING.index("gain"))
    found = {"graphmix": (ours(processor, audio, values), "")}
    for peer in PEERS.get(name, ()):
        try:
            found |= peer(processor, audio, values)
        except ImportError as error:
            print(f"{name}: {error.name} is not installed; its figures are left out")
    return found


def once(work: Work, backward: bool) -> float:
    """Seconds of one run."""
    run, leaves = work
    for tensor in leaves:
        tensor.grad = None
    begin = time.perf_counter()
    if backward:
        run().square().mean().backward()
    else:
        with torch.no_grad():
            run()
    return time.perf_counter() - begin


def measure(name: str, nodes: int, samples: int, repeats: int) -> dict[str, Any]:
    """Median seconds forward and with backward of each contender, by turns."""
    contenders = prepared(name, nodes, samples)
    result: dict[str, Any] = {who: {"note": note} for who, (_, note) in contenders.items()}
    for job, backward in (("forward", False), ("both", True)):
        seconds: dict[str, list[float]] = {who: [] for who in contenders}
        for turn in range(repeats + 1):
            for who, (work, _) in contenders.items():
                spent = once(work, backward)
                if turn:  # the first compiles
                    seconds[who].append(spent)
        for who, spent_by in seconds.items():
            result[who][job] = statistics.median(spent_by)
    return result


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=TYPES, default=list(TYPES), help="some of the types")
    parser.add_argument("--nodes", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of audio")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, help="for all of them")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    samples = round(options.seconds * RATE)
    found = {name: measure(name, options.nodes, samples, options.repeats) for name in options.only}
    if options.json:
        print(
            json.dumps({"nodes": options.nodes, "samples": samples, "threads": torch.get_num_threads(), "types": found})
        )
        return
    print(f"{'type':<20}{'by':<16}{'forward ms':>12}{'with backward ms':>18}  note")
    for name, rows in found.items():
        for who, row in rows.items():
            print(f"{name:<20}{who:<16}{1e3 * row['forward']:>12.1f}{1e3 * row['both']:>18.1f}  {row['note']}")


if __name__ == "__main__":
    main()
