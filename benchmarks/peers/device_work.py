"""What gpu.py measures: training steps on a device, and how they are timed there."""

from collections.abc import Callable
from time import perf_counter
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Batch

from graphmix.graph import MixGraph
from graphmix.processors import Rack
from graphmix.render import Renderer
from graphmix.search import MixLoss, gain_staging
from graphmix.search.parametrization import RawGraph

from .contest import summarize
from .work import CHAIN, GAIN_STAGING, LEARNING_RATE, SAMPLE_RATE, WARMUP, dial, make_audio, make_console


class Step:
    """A training step as :class:`graphmix.search.Training` does it, and a rendering without gradients."""

    def __init__(self, size: tuple[int, int], device: torch.device, capturable: bool = False) -> None:
        rack = Rack.console(CHAIN, SAMPLE_RATE)
        graph = dial(make_console(rack, *size), rack, 0)
        self.rack, self.graph = rack.to(device), graph.to(device)
        self.raw = RawGraph(self.graph, self.rack)
        self.renderer, self.loss = Renderer(self.rack), MixLoss(SAMPLE_RATE).to(device)
        self.sources, self.target = (x.to(device) for x in make_audio(size[0], 0))
        self.optimizer = torch.optim.AdamW(
            self.raw.parameters(), lr=LEARNING_RATE, weight_decay=0.0, fused=True, capturable=capturable
        )

    def total(self) -> Tensor:
        """Audio loss and gain-staging."""
        rendered = self.renderer.render(self.raw.graph(), self.sources)
        audio = self.loss(prediction=rendered.mix[..., WARMUP:], target=self.target).total
        return audio + GAIN_STAGING * gain_staging(rendered.wet_energy, rendered.dry_energy)

    def step(self) -> Tensor:
        """A training step; its loss, still on the device."""
        total = self.total()
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        gradients = [p.grad for p in self.raw.parameters() if p.grad is not None]
        largest = torch.nn.utils.get_total_norm([total.detach(), *gradients], norm_type=torch.inf)
        self.optimizer.found_inf = (~largest.isfinite()).float()
        self.optimizer.step()
        self.raw.project()
        return total.detach()

    @torch.no_grad()
    def forward(self) -> Tensor:
        """The mix."""
        return self.renderer(self.graph, self.sources)


class SongBatch:
    """Several consoles as one graph, each with parameters of its own."""

    def __init__(self, size: tuple[int, int], count: int, device: torch.device) -> None:
        work = Step(size, device)
        self.renderer, self.loss = work.renderer, work.loss
        self.graph: MixGraph = Batch.from_data_list([work.graph] * count)
        self.graph.wet.requires_grad_()
        for values in self.graph.params.values():
            values.requires_grad_()
        self.leaves = [self.graph.wet, *self.graph.params.values()]
        self.sources = work.sources.repeat(count, 1, 1)
        self.target = work.loss.features(work.target.expand(count, -1, -1))

    def step(self) -> None:
        """Render, losses, gradients."""
        rendered = self.renderer.render(self.graph, self.sources)
        audio = self.loss.per_item(prediction=rendered.mix[..., WARMUP:], target=self.target).total.sum()
        staging = gain_staging(rendered.wet_energy, rendered.dry_energy)
        torch.autograd.grad(audio + GAIN_STAGING * staging, self.leaves)


def measure(job: Callable[[], object], device: torch.device, repeats: int, warmup: int = 3) -> dict[str, float]:
    """Median, smallest and largest seconds of a job."""
    for _ in range(warmup):
        job()
    if device.type != "cuda":
        return summarize([{"seconds": _clock(job)} for _ in range(repeats)])
    runs = []
    for _ in range(repeats):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        job()
        end.record()
        end.synchronize()
        runs.append({"seconds": begin.elapsed_time(end) / 1000})
    return summarize(runs)


def _clock(job: Callable[[], object]) -> float:
    begun = perf_counter()
    job()
    return perf_counter() - begun


def reset_memory(device: torch.device) -> None:
    """Count the peak from here on."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_gb(device: torch.device) -> float:
    """Peak of the GPU's memory since the last reset; not a number elsewhere."""
    return torch.cuda.max_memory_allocated() / 1e9 if device.type == "cuda" else float("nan")


def relative_error(value: Tensor, expected: Tensor) -> float:
    value, expected = value.detach().double().cpu(), expected.detach().double().cpu()
    return float((value - expected).abs().max() / expected.abs().max().clamp(min=1e-30))


def move_grafx(work: Any, device: torch.device) -> None:
    """Modules, what they keep beside their buffers, and the indices of the rendering."""
    work.console.to(device)
    work.loss.to(device)
    work.optimizer = torch.optim.AdamW(work.console.parameters(), lr=LEARNING_RATE)
    for module in work.console.modules():
        for name, value in vars(module).items():
            if isinstance(value, Tensor):
                setattr(module, name, value.to(device))
    for stage in work.console.render_data.iter_list:
        for access in (*stage.source_reads, *stage.aggregations, stage.parameter_read, stage.dest_write):
            if isinstance(access.idx, Tensor):
                access.idx = access.idx.to(device)
