"""The architecture of torchsynth's Voice as a graph, and both of them in turn.

Two oscillators (a sine; saw and pulse) and noise. Four sources of modulation, two envelopes and two LFOs with envelopes
of their own, move five things, each by its own amount: the levels of all three and the pitches of the oscillators.
torchsynth computes controls at 441 Hz and interpolates, here they are audio; it has two more envelopes, for the rates
of the LFOs; its saw is shaped by a tanh, here it comes from band-limited tables.
"""

import statistics
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch_geometric.data import Batch

from graphmix.graph import MixGraph
from graphmix.processors import Rack

PEER = Path(__file__).parent / "peers" / "torchsynth_voice.py"
ENVELOPE = {"attack_ms": (1, 500), "decay_ms": (10, 1000), "sustain": (0, 1), "release_ms": (10, 1000)}


def make_voice(rack: Rack, rng: torch.Generator) -> MixGraph:
    """A random patch of the voice, one note."""

    def between(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=rng))

    graph = MixGraph(rack.types, rack.sample_rate)
    note = graph.add("note", pitch=between(30, 90), length_ms=between(100, 2500))

    def envelope() -> int:
        node = graph.add("envelope", **{name: between(*ends) for name, ends in ENVELOPE.items()})
        graph.connect(note, node, "gate", "gate")
        return node

    sources = [envelope(), envelope()]
    for _ in range(2):
        lfo = graph.add("lfo", rate_hz=between(0.1, 20), sine=between(0, 1), triangle=between(0, 1), saw=between(0, 1))
        level = graph.add("amplifier", offset=0.0)
        graph.chain(lfo, level).connect(envelope(), level, 0, "control")
        sources.append(level)

    def mixture() -> int:
        total = graph.add("mix")
        for source in sources:
            graph.chain(source, graph.add("amplifier", level_db=between(-40, -12)), total)
        return total

    out = graph.add("out")
    sharp = {"sine": 0.0, "saw": between(0.1, 1), "pulse": between(0.1, 1)}
    for wave in ({"sine": 1.0}, sharp):
        tone = graph.add("oscillator", vibrato_semitones=between(0, 24), detune_cents=between(-100, 100), **wave)
        level = graph.add("amplifier", offset=0.0)
        graph.connect(note, tone, "pitch", "pitch").connect(mixture(), tone, 0, "modulation")
        graph.chain(tone, level, out).connect(mixture(), level, 0, "control")
    level = graph.add("amplifier", offset=0.0)
    graph.chain(graph.add("noise", level_db=-20.0), level, out).connect(mixture(), level, 0, "control")
    return graph


def make_batch(rack: Rack, notes: int) -> Any:
    """A batch of random patches."""
    rng = torch.Generator().manual_seed(0)
    return Batch.from_data_list([make_voice(rack, rng) for _ in range(notes)])


def in_turn(
    actions: dict[str, Callable[[], float]], python: Path, notes: int, seconds: float, repeats: int
) -> dict[str, tuple[float, float]]:
    """Medians of the seconds of both, one after the other in each repetition, after one that is not counted.

    Args:
        actions: ours by "forward" and "backward"; they give their seconds.
        python: of the environment with torchsynth.
        notes, seconds: of the batch.
        repeats: how many.
    """
    command = [str(python), str(PEER), str(notes), str(seconds), str(torch.get_num_threads())]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as peer:
        assert peer.stdin is not None
        assert peer.stdout is not None
        first = peer.stdout.readline().strip()
        if not first:
            raise SystemExit(f"{python} does not run {PEER.name}; is torchsynth 1.0.2 installed there?")
        print(first)
        result = {}
        for name, action in actions.items():
            pairs = []
            for _ in range(repeats + 1):
                own = action()
                print(name, file=peer.stdin, flush=True)
                pairs.append((own, float(peer.stdout.readline())))
            ours, theirs = zip(*pairs[1:], strict=True)
            result[name] = statistics.median(ours), statistics.median(theirs)
        peer.stdin.close()
    return result
