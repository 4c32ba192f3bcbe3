"""The base class of what synthesizers are made of: generators, controls, filters and amplifiers.

Most of their signals are control signals: equal left and right, often the same for all samples, and many inlets have
nothing connected. So a :class:`Voice` gets its inlets one by one, and a signal is [nodes, 1 or 2 channels, 1 or all
samples], where an axis of size 1 stands for equal values. The renderer keeps signals in that form from one voice to the
next; all other processors are given them in full.

A voice also says in which state it is behind its last sample, from which the next block of a song goes on.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from graphmix.errors import GraphError
from graphmix.processors.base import Processor, State

Counts = NDArray[np.int64]
"""Of samples, [nodes]."""


class Inlets(NamedTuple):
    """What comes into the nodes of a stage.

    Args:
        signals: for each inlet [nodes, 1 or 2, 1 or samples], or None where nothing is connected.
        samples: how many.
        like: any tensor of the signals' precision and device.
        needed: how many samples of each node are, int64 [nodes]; None for all of them and the state behind them.
    """

    signals: Sequence[Tensor | None]
    samples: int
    like: Tensor
    needed: Counts | None = None

    def mono(self, inlet: int, nodes: int) -> Tensor:
        """The left channel, [nodes, samples] or [nodes, 1]; zero where nothing is connected."""
        signal = self.signals[inlet]
        if signal is None:
            return self.like.new_zeros(nodes, 1)
        # of one channel a view: the gradient of a selection is written into zeros of the whole
        return signal.squeeze(1) if signal.size(1) == 1 else signal[:, 0]

    def part(self, begin: int, end: int) -> "Inlets":
        """Some of the samples."""
        cut = (s if s is None or s.size(-1) == 1 < self.samples else s[..., begin:end] for s in self.signals)
        return Inlets(tuple(cut), end - begin, self.like)

    def counts(self, nodes: int) -> Counts:
        """Of how many samples of each node something is computed."""
        return np.full(nodes, self.samples) if self.needed is None else self.needed


class Voice(Processor):
    """A processor that gets its inlets one by one and knows its state."""

    codes: ClassVar[Sequence[int]] = ()
    """What compiled programs run for each outlet, see :mod:`graphmix.dsp.voice_program`; nothing if they cannot."""

    @abstractmethod
    def play(self, inlets: Inlets, params: Tensor, wet: Tensor, state: State) -> tuple[Sequence[Tensor], State]:
        """Process a batch of nodes and mix with the dry signal.

        Args:
            inlets: the signals.
            params: physical values, [nodes, width].
            wet: dry/wet weights, [nodes].
            state: behind the samples before, or of :meth:`rest`.

        Returns:
            A signal for each outlet, [nodes, 1 or 2, 1 or samples], and the state behind it.
        """

    def factor(self, params: Tensor, wet: Tensor) -> Tensor | None:
        """By what nodes with no connection but to their first inlet multiply it, [nodes, 1]; None if they do more.

        Args:
            params: physical values, [nodes, width].
            wet: dry/wet weights, [nodes].
        """
        return None

    def ends(self, params: Tensor, wet: Tensor, inlets: Sequence[Counts], samples: int) -> list[Counts]:
        """From which sample on each outlet is 0, int64 [nodes] each; by default never.

        Args:
            params: physical values, [nodes, width].
            wet: dry/wet weights, [nodes].
            inlets: the same of what comes in; 0 where nothing is connected.
            samples: how many there are.
        """
        return [np.full(len(params), samples)] * len(self.node_type.outlets)

    def reads(self, params: Tensor, wet: Tensor, inlets: Sequence[Counts], needed: Counts) -> list[Counts]:
        """How many samples of each inlet so many of the outlets depend on; by default as many.

        Args:
            params: physical values, [nodes, width].
            wet: dry/wet weights, [nodes].
            inlets: from which sample on each of them is 0.
            needed: of what leaves.
        """
        return [needed] * len(self.node_type.inlets)

    def program_settings(self, params: Tensor, wet: Tensor) -> Sequence[Tensor]:
        """Settings of :attr:`codes`, [nodes, settings] each.

        Args:
            params: physical values, [nodes, width].
            wet: dry/wet weights, [nodes].
        """
        raise GraphError(f"{self.node_type.name!r} has codes of compiled programs and no settings for them.")

    def rest(self, nodes: int) -> State:
        """The state before the first sample; nothing by default."""
        return ()

    def split(self, audio: Tensor) -> Inlets:
        """Inlets from what other processors are given, [nodes, (inlets,) 2, samples]."""
        number = len(self.node_type.inlets)
        return Inlets(audio.unbind(1) if number > 1 else [audio] * number, audio.size(-1), audio)

    def join(self, leaves: Sequence[Tensor], samples: int) -> Tensor:
        """Outlets in full, [nodes, (outlets,) 2, samples]."""
        full = [leaf.expand(-1, 2, samples) for leaf in leaves]
        return torch.stack(full, dim=1) if len(full) > 1 else full[0].contiguous()

    def forward(self, audio: Tensor, params: Tensor) -> Tensor:
        """Process a batch of nodes; wet only."""
        wet = params.new_ones(len(params))
        return self.join(self.play(self.split(audio), params, wet, self.rest(len(params)))[0], audio.size(-1))

    def mix(self, audio: Tensor, params: Tensor, wet: Tensor) -> tuple[Tensor, None]:
        """Process and mix; a voice is not gain-staged."""
        leaves, _ = self.play(self.split(audio), params, wet.to(params.dtype), self.rest(len(params)))
        return self.join(leaves, audio.size(-1)), None

    @property
    def resumable(self) -> bool:
        """Voices go on where they stopped."""
        return True

    def resume(self, audio: Tensor, params: Tensor, state: State | None, mark: int) -> tuple[Tensor, State]:
        """One part of a longer signal, wet only, and the state with which the next part begins."""
        inlets, wet = self.split(audio), params.new_ones(len(params))
        state = self.rest(len(params)) if state is None else state
        parts, marked = [], state
        for begin, end in ((0, mark), (mark, audio.size(-1))):
            if begin < end:
                leaves, state = self.play(inlets.part(begin, end), params, wet, state)
                parts.append(self.join(leaves, end - begin))
            marked = state if end == mark else marked
        return torch.cat(parts, dim=-1), marked
