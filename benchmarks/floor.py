"""The floor of a training step: what remains if everything but the unavoidable FFTs and memory traffic is free.

Counted from graphmix's plan, and timed with torch on buffers of exactly these shapes, allocated beforehand:

*FFTs*
    - where an edge crosses between samples and spectra, or between two FFT lengths: for each length, into it and out
      of it, as many transforms as a smallest set of signals has that meets every crossing edge (a signal that many
      read is transformed once, and so is a sum of many); forward, and backward where the signal depends on a parameter;
    - one for each channel of each response, forward and backward; where the response is real, so that the impulse
      response is symmetric, half of the work in pieces not longer than needed for its taps (graphmix.dsp.zero_phase);
      for reverbs also the frames of the inverse STFT;
    - the frames of the loss, left and right of the prediction alone: those of mid and side are sums, and a target's
      could have been kept.

*Bytes*, in single precision, each read or written once
    - of each connected region of spectral stages: its inputs, responses and outputs, as if the whole region were one
      loop over frequencies that keeps all else in registers; backward its inputs, responses and the gradient of its
      outputs are read, and the gradients of inputs and responses written;
    - of each connected region of stages on samples the same; envelopes are written once and read once, since a
      recursion and its adjoint run in opposite directions.

Not counted: all arithmetic beside the FFTs, what lies between parameters and impulse responses (but for the reverb's
STFT), mel filters and A-weighting, the optimizer, Python. ``by_stage`` is a second, less strict count of the bytes, in
which each stage of the plan, and not only each region, reads its inputs and writes its outputs.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, maximum_bipartite_matching
from torch import Tensor

from graphmix.graph import MixGraph
from graphmix.processors import Rack
from graphmix.processors.base import LTIProcessor
from graphmix.processors.dynamics import Dynamics
from graphmix.processors.reverb import Reverb
from graphmix.render.schedule import Plan, Stage
from graphmix.search.losses import FFT_SIZES

CHANNELS = 2
Edge = tuple[tuple[int, int], tuple[int, int]]
"""(stage, row) that is read, (stage, row) that reads."""


@dataclass
class Count:
    """What has to be done in one direction: FFTs by (kind, length) in rows, and passes of (reads, writes) in floats."""

    ffts: dict[tuple[str, int], int] = field(default_factory=dict)
    passes: list[tuple[int, int]] = field(default_factory=list)
    stage_passes: list[tuple[int, int]] = field(default_factory=list)

    def transform(self, kind: str, length: int, rows: int) -> None:
        """Count some FFTs: ``rfft``, ``irfft`` or complex ``fft``."""
        if rows:
            self.ffts[kind, length] = self.ffts.get((kind, length), 0) + rows


class FloorCount:
    """Counts the floor of one graph.

    Args:
        plan: of the graph.
        graph: with parameters of the right shapes.
        rack: the processors.
        samples: of a segment.
        scored: number of them that enter the loss.
    """

    def __init__(self, plan: Plan, graph: MixGraph, rack: Rack, samples: int, scored: int) -> None:
        self.plan, self.graph, self.rack, self.samples = plan, graph, rack, samples
        self.forward, self.backward = Count(), Count()
        self.edges = list(_list_edges(plan))
        self.within = set(_list_edges(plan, crossing=False))
        self.trains = _depend_on_parameters(plan)
        self.responses = [self._response_floats(stage) for stage in plan.stages]
        self._count_crossings()
        self._count_responses()
        self._count_regions()
        self._count_stages()
        for size in FFT_SIZES:
            frames = 1 + scored // (size // 4)
            self.forward.transform("rfft", size, CHANNELS * frames)
            self.backward.transform("irfft", size, CHANNELS * frames)

    def _length(self, stage: Stage) -> int | None:
        return None if stage.fft_group is None else self.plan.n_fft(stage.fft_group, self.samples)

    def _floats(self, stage: Stage) -> int:
        """Numbers of one stereo signal in the domain of a stage."""
        length = self._length(stage)
        return CHANNELS * (self.samples if length is None else length + 2)

    def _response_floats(self, stage: Stage) -> int:
        """Numbers of all responses of a stage."""
        example = self._example_response(stage)
        return 0 if example is None else len(stage.nodes) * example.numel() * (2 if example.is_complex() else 1)

    def _example_response(self, stage: Stage) -> Tensor | None:
        processor, length = self.rack.get(stage.kind), self._length(stage)
        if not isinstance(processor, LTIProcessor) or length is None:
            return None
        with torch.no_grad():
            return processor.response(self.graph.params[stage.kind][:1], length)

    def _count_crossings(self) -> None:
        crossing: dict[tuple[str, str, int], list[Edge]] = {}
        for edge in self.edges:
            if edge in self.within:
                continue
            source, target = (self.plan.stages[end[0]].fft_group for end in edge)
            for kind, back, fft_group in (("irfft", "rfft", source), ("rfft", "irfft", target)):
                if fft_group is not None:
                    crossing.setdefault((kind, back, fft_group), []).append(edge)
        for (kind, back, fft_group), edges in crossing.items():
            trained = [edge for edge in edges if self.trains[edge[0][0]]]
            length = self.plan.n_fft(fft_group, self.samples)
            self.forward.transform(kind, length, CHANNELS * _fewest_signals(edges))
            self.backward.transform(back, length, CHANNELS * _fewest_signals(trained))

    def _count_responses(self) -> None:
        for stage in self.plan.stages:
            example, length = self._example_response(stage), self._length(stage)
            if example is None or length is None:
                continue
            processor, rows = self.rack[stage.kind], len(stage.nodes) * (example.numel() // example.size(-1))
            assert isinstance(processor, LTIProcessor), "only these have a response"
            if example.is_complex():
                self.forward.transform("rfft", length, rows)
                self.backward.transform("irfft", length, rows)
            else:
                piece = next(m for m in range(sum(processor.extent) + 1, length + 1) if length % m == 0)
                self.forward.transform("fft", piece, -(-rows * length // piece // 4))
                self.backward.transform("fft", piece, -(-rows * length // piece // 4))
            if isinstance(processor, Reverb):
                frames = len(stage.nodes) * CHANNELS * (1 + processor.samples // (processor.n_fft // 2))
                self.forward.transform("irfft", processor.n_fft, frames)
                self.backward.transform("rfft", processor.n_fft, frames)

    def _count_regions(self) -> None:
        region = _regions(self.plan, self.within)
        for number in sorted(set(region.values())):
            inside = [i for i, own in region.items() if own == number]
            entering = [c for c in self.edges if region.get(c[1][0]) == number != region.get(c[0][0])]
            leaving = [c for c in self.edges if region.get(c[0][0]) == number != region.get(c[1][0])]
            floats = self._floats(self.plan.stages[inside[0]])
            read, written = (_fewest_signals(edges) * floats for edges in (entering, leaving))
            trained = _fewest_signals([c for c in entering if self.trains[c[0][0]]]) * floats
            responses = sum(self.responses[i] for i in inside)
            dynamics = [s for s in (self.plan.stages[i] for i in inside) if isinstance(self.rack.get(s.kind), Dynamics)]
            envelopes = sum(len(s.nodes) for s in dynamics) * self.samples
            self.forward.passes.append((read + responses, written))
            self.backward.passes += [(read + responses + written, trained + responses), (envelopes, envelopes)]

    def _count_stages(self) -> None:
        for i, stage in enumerate(self.plan.stages):
            if stage.kind in ("in", "out"):
                continue
            entering = [edge for edge in self.edges if edge[1][0] == i]
            floats = self._floats(stage)
            read = len({edge[0] for edge in entering}) * floats
            written = len(stage.nodes) * stage.outlets * floats
            trained = len({edge[0] for edge in entering if self.trains[edge[0][0]]}) * floats
            responses = self.responses[i]
            self.forward.stage_passes.append((read + responses, written))
            self.backward.stage_passes.append((read + responses + written, trained + responses))


def _list_edges(plan: Plan, crossing: bool = True) -> Iterable[Edge]:
    """All edges, or only those that bring signals as they are."""
    for i, stage in enumerate(plan.stages):
        for edges in stage.inputs:
            if crossing or (plan.stages[edges.source].fft_group == stage.fft_group and not edges.cut):
                for row, target in zip(edges.rows.tolist(), edges.targets.tolist(), strict=True):
                    yield (edges.source, row), (i, target)


def _depend_on_parameters(plan: Plan) -> list[bool]:
    """For each stage: does its output depend on a parameter?"""
    trains: list[bool] = []
    for stage in plan.stages:
        processes = stage.kind not in ("in", "mix", "out")
        trains.append(processes or any(trains[edges.source] for edges in stage.inputs))
    return trains


def _fewest_signals(edges: Iterable[Edge]) -> int:
    """Size of the smallest set of sending and receiving rows that meets all edges (a maximum matching, by König)."""
    pairs = list(edges)
    if not pairs:
        return 0
    ends = [np.unique([f"{e}" for e in side], return_inverse=True)[1] for side in zip(*pairs, strict=True)]
    graph = coo_array((np.ones(len(pairs), dtype=np.int8), tuple(ends))).tocsr()
    return int((maximum_bipartite_matching(graph) >= 0).sum())


def _regions(plan: Plan, within: Iterable[Edge]) -> dict[int, int]:
    """Number of the region of each stage that no crossing divides; inputs and outputs belong to none."""
    inner = [stage.kind not in ("in", "out") for stage in plan.stages]
    links = {(a, b) for (a, _), (b, _) in within if inner[a] and inner[b]}
    count = len(plan.stages)
    rows, columns = np.array(sorted(links), dtype=int).reshape(-1, 2).T
    graph = coo_array((np.ones(len(links)), (rows, columns)), shape=(count, count))
    numbers = connected_components(graph, directed=False)[1]
    return {i: int(numbers[i]) for i in range(count) if inner[i]}


class Floor:
    """Does the counted work on buffers of its own; each method returns seconds by part."""

    def __init__(self, count: FloorCount) -> None:
        self.counts = {"forward": (count.forward,), "step": (count.forward, count.backward)}
        self._ffts: dict[tuple[str, int], tuple[Tensor, Tensor]] = {}
        for own in (count.forward, count.backward):
            for (kind, length), rows in own.ffts.items():
                have = self._ffts.get((kind, length))
                if have is None or len(have[0]) < rows:
                    self._ffts[kind, length] = _fft_buffers(kind, length, rows)
        most = max(max(p) for own in (count.forward, count.backward) for p in own.passes + own.stage_passes)
        self._source, self._target = torch.randn(most), torch.randn(most)

    def step(self) -> Mapping[str, float]:
        """Forward and backward."""
        return self._run("step")

    def forward(self) -> Mapping[str, float]:
        """Without gradients, and without a loss."""
        return self._run("forward")

    def _run(self, job: str) -> Mapping[str, float]:
        counts = self.counts[job]
        ffts = _time(lambda: [self._transform(count, loss=job == "step") for count in counts])
        by_region = _time(lambda: [self._traverse(count.passes) for count in counts])
        by_stage = _time(lambda: [self._traverse(count.stage_passes) for count in counts])
        return {"seconds": ffts + by_region, "fft": ffts, "bytes": by_region, "by_stage": ffts + by_stage}

    def _transform(self, count: Count, loss: bool) -> None:
        for (kind, length), rows in count.ffts.items():
            if length in FFT_SIZES and not loss:
                continue
            source, target = (buffer[:rows] for buffer in self._ffts[kind, length])
            getattr(torch.fft, kind)(source, n=length, out=target)

    def _traverse(self, passes: Iterable[tuple[int, int]]) -> None:
        """Read and write so many numbers; what is read more is summed, what is written more is filled."""
        for reads, writes in passes:
            both = min(reads, writes)
            self._target[:both].copy_(self._source[:both])
            if reads > both:
                self._source[both:reads].sum()
            if writes > both:
                self._target[both:writes].fill_(0.0)


def _fft_buffers(kind: str, length: int, rows: int) -> tuple[Tensor, Tensor]:
    if kind == "fft":
        return torch.randn(rows, length, dtype=torch.complex64), torch.empty(rows, length, dtype=torch.complex64)
    signal, spectrum = torch.randn(rows, length), torch.randn(rows, length // 2 + 1, dtype=torch.complex64)
    return (signal, spectrum) if kind == "rfft" else (spectrum, signal)


def _time(work: Callable[[], object]) -> float:
    begun = perf_counter()
    work()
    return perf_counter() - begun
