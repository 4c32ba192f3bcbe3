"""Taps: the signals at some places of a graph, as samples, while it is rendered.

A renderer keeps no signal longer than it is needed. A :class:`TapReader` is shown each stage (as the renderer's
observer) and takes copies of the few signals that are asked for, in whatever domain the stage works.
"""

from collections.abc import Collection
from typing import NamedTuple

from torch import Tensor

from graphmix.render.domain_conversion import Arrival, convert
from graphmix.render.schedule import Plan, Stage


class Tap(NamedTuple):
    """A place in a graph.

    Args:
        node: its number.
        incoming: at its first inlet, where all that leads there is summed; else at its first outlet.
    """

    node: int
    incoming: bool = False


class TapReader:
    """Reads the signals at taps during one rendering: an observer for :meth:`graphmix.render.Renderer.run`.

    Args:
        plan: that is rendered.
        taps: the places.
        samples: of the segment.
    """

    def __init__(self, plan: Plan, taps: Collection[Tap], samples: int) -> None:
        self.plan, self.taps, self.samples = plan, taps, samples
        self.signals: dict[Tap, Tensor] = {}
        """What was read, [2, samples] each."""

    def __call__(self, stage: Stage, comes: Tensor, leaves: Tensor) -> None:
        """Read what a stage has."""
        rows = {node: row for row, node in enumerate(stage.nodes.tolist())}
        for tap in self.taps:
            if tap.node in rows:
                signal, ports = (comes, stage.inlets) if tap.incoming else (leaves, stage.outlets)
                self.signals[tap] = as_samples(self.plan, stage, signal[rows[tap.node] * ports], self.samples).clone()


def as_samples(plan: Plan, stage: Stage, signal: Tensor, samples: int) -> Tensor:
    """One signal of a stage as samples: [2, samples or bins] -> [2, samples]."""
    return convert(plan, None, [Arrival(stage.fft_group, False, None, None, signal[None])], None, 1, samples)[0]
