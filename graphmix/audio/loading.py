"""Decoding and checking a file in one pass, with no more of it in memory at a time than a block."""

import torch
from torch import Tensor

from graphmix.audio.files import AudioInfo, checked_blocks, read_at


def load_checked(info: AudioInfo, length: int, sample_rate: int, start: int = 0) -> tuple[Tensor, float]:
    """Check and decode a file in one pass -> its samples [2, length] from `start` at `sample_rate`, its peak."""
    reader = _CheckedReader(info)
    return read_at(reader, info, start, length, sample_rate), reader.finish()


class _CheckedReader:
    """A reader of stretches in the order of the file, which decodes and checks it once and holds what is read next.

    Args:
        info: the file.
    """

    def __init__(self, info: AudioInfo) -> None:
        self._info, self._blocks = info, checked_blocks(info)
        self._held, self._begin, self._peak = torch.zeros(info.channels, 0), 0, 0.0

    def __call__(self, start: int, stop: int) -> Tensor:
        """Samples [start, stop), with silence around the file; no start lies before the last one."""
        out = self._held.new_zeros(self._info.channels, stop - start)
        first, last = max(0, start), min(stop, self._info.num_samples)
        if first >= last:
            return out
        self._forget(first)
        while self._begin + self._held.size(1) < last:
            block = self._next()
            assert block is not None, "a file holds what it promises, or its decoding fails"
            self._held = torch.cat([self._held, block], dim=1)
            self._forget(first)
        out[:, first - start : last - start] = self._held[:, first - self._begin : last - self._begin]
        return out

    def finish(self) -> float:
        """Check what is left -> the largest magnitude of the whole file."""
        while self._next() is not None:
            pass
        return self._peak

    def _forget(self, first: int) -> None:
        """Let go of what lies before a sample of the file."""
        gone = min(max(0, first - self._begin), self._held.size(1))
        self._held, self._begin = self._held[:, gone:], self._begin + gone

    def _next(self) -> Tensor | None:
        """The next block; None after the last."""
        block = next(self._blocks, None)
        if block is not None:
            self._peak = max(self._peak, float(block.abs().max()))
        return block
