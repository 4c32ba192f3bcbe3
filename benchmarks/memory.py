"""Seconds and peak memory of one training step of the full console, by number of tracks.

    python benchmarks/memory.py --tracks 4 8 16 32

Each size runs in a process of its own: rendering 3.8 s of stereo at 30 kHz, gain-staging, loss, backward, optimizer.
The peak is that of the process's resident memory, with what the libraries themselves take stated in the first row.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

SUBGROUPS = {4: 2, 8: 3, 16: 5, 32: 8, 64: 12, 133: 26}


def measure(tracks: int, subgroups: int, steps: int) -> dict[str, float]:
    """Median seconds of a step and peak memory, in this process."""
    import torch

    from graphmix.graph import mixing_console
    from graphmix.processors import Rack
    from graphmix.render import Renderer
    from graphmix.search import MixLoss, gain_staging
    from graphmix.search.raw import RawGraph

    resident = {"base_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6}
    rack = Rack.console("ecnsgdr")
    groups = {f"bus {i}": [f"track {j}" for j in range(i, tracks, subgroups)] for i in range(subgroups)}
    raw = RawGraph(mixing_console(rack.types, groups), rack)
    renderer, loss = Renderer(rack), MixLoss(30000)
    optimizer = torch.optim.AdamW(raw.parameters(), lr=0.01)
    torch.manual_seed(0)
    sources, target = torch.randn(tracks, 2, 114000) * 0.1, torch.randn(1, 2, 84000)
    seconds = []
    for _ in range(steps + 1):
        started = time.perf_counter()
        rendered = renderer.render(raw.graph(), sources)
        terms = loss(prediction=rendered.mix[..., 30000:], target=target)
        optimizer.zero_grad(set_to_none=True)
        (terms.total + 1e-3 * gain_staging(rendered.wet_energy, rendered.dry_energy)).backward()
        optimizer.step()
        raw.project()
        seconds.append(time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {"seconds": statistics.median(seconds[1:]), "peak_gb": peak, **resident}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracks", type=int, nargs="*", default=[4, 8, 16, 32], choices=list(SUBGROUPS))
    parser.add_argument("--steps", type=int, default=5, help="measured steps after one that warms up")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one, SUBGROUPS[arguments.one], arguments.steps)))
        return
    print(f"{'tracks':>7}{'subgroups':>11}{'processors':>12}{'s / step':>10}{'peak GB':>9}{'libraries GB':>14}")
    for tracks in arguments.tracks:
        command = [sys.executable, __file__, "--one", str(tracks), "--steps", str(arguments.steps)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        row = json.loads(output.splitlines()[-1])
        processors = 7 * (tracks + SUBGROUPS[tracks])
        print(
            f"{tracks:>7}{SUBGROUPS[tracks]:>11}{processors:>12}{row['seconds']:>10.3f}{row['peak_gb']:>9.2f}"
            f"{row['base_gb']:>14.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
