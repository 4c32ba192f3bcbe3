"""One training step of each contender, and its forward pass without gradients."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from graphmix.graph import MixGraph
from graphmix.processors import Rack
from graphmix.render import Renderer
from graphmix.search import MixLoss, gain_staging
from graphmix.search.parametrization import RawGraph

from .work import GAIN_STAGING, LEARNING_RATE, SAMPLE_RATE, WARMUP


class GraphmixStep:
    """graphmix: render, loss, gain-staging, backward, AdamW, projection into the ranges.

    Training draws a new segment for each step, so the target's features are computed in each step. The rack is that of
    the graph's types; by default the paper's console.
    """

    def __init__(self, graph: MixGraph, sources: Tensor, target: Tensor, rack: Rack | None = None) -> None:
        rack = rack or Rack.console("ecnsgdr", SAMPLE_RATE)
        self.raw = RawGraph(graph, rack)
        self.fixed = self.raw.snapshot()
        self.renderer, self.loss = Renderer(rack), MixLoss(SAMPLE_RATE)
        self.optimizer = torch.optim.AdamW(self.raw.parameters(), lr=LEARNING_RATE)
        self.sources, self.target = sources, target

    def step(self) -> Mapping[str, float]:
        """A training step; returns its audio loss."""
        rendered = self.renderer.render(self.raw.graph(), self.sources)
        audio = self.loss(prediction=rendered.mix[..., WARMUP:], target=self.target).total
        staging = gain_staging(rendered.wet_energy, rendered.dry_energy)
        self.optimizer.zero_grad(set_to_none=True)
        (audio + GAIN_STAGING * staging).backward()
        self.optimizer.step()
        self.raw.project()
        return {"loss": float(audio.detach())}

    @torch.no_grad()
    def forward(self) -> None:
        """Render the mix, as a trial does."""
        self.renderer(self.fixed, self.sources)


class GrafxStep:
    """GRAFX with the training step of the paper's code."""

    def __init__(self, graph: MixGraph, sources: Tensor, target: Tensor) -> None:
        from .grafx_console import GrafxConsole, PeerLoss

        self.console, self.loss = GrafxConsole(graph), PeerLoss(SAMPLE_RATE)
        self.optimizer = torch.optim.AdamW(self.console.parameters(), lr=LEARNING_RATE)
        self.sources, self.target = sources, target

    def step(self) -> Mapping[str, float]:
        """A training step; returns its audio loss."""
        mix, intermediates = self.console(self.sources)
        audio = self.loss(mix[..., WARMUP:], self.target)
        extra: dict[str, Any] = {"gain_reg": 0.0, "radii_reg": 0.0}
        for values in intermediates:
            for key, value in values.items():
                extra[key] = extra[key] + value
        self.optimizer.zero_grad(set_to_none=True)
        (audio + GAIN_STAGING * extra["gain_reg"] + extra["radii_reg"] / 2).backward()
        self.optimizer.step()
        return {"loss": float(audio.detach())}

    @torch.no_grad()
    def forward(self) -> None:
        """Render the mix, as a trial does."""
        self.console(self.sources, gradients=False)
