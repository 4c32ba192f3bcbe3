"""Signals of the reference renderer, on an unbounded time axis, and what its processors are given and give."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Signal:
    """A stereo signal on the unbounded time axis, zero outside of its samples.

    Args:
        start: time of the first sample; negative before the segment.
        samples: left and right, [2, n].
    """

    start: int
    samples: Array

    @property
    def stop(self) -> int:
        """Time just after the last sample."""
        return self.start + self.samples.shape[1]

    def cut(self, start: int, stop: int) -> Array:
        """What lies in [start, stop), [2, stop - start]."""
        result = np.zeros((2, stop - start))
        first, last = max(start, self.start), min(stop, self.stop)
        if first < last:
            result[:, first - start : last - start] = self.samples[:, first - self.start : last - self.start]
        return result

    def scaled(self, factor: float) -> "Signal":
        """The same, louder or softer."""
        return Signal(self.start, factor * self.samples)

    def convolved(self, taps: Array, start: int) -> "Signal":
        """Full linear convolution of each channel with taps [2, n], the first of them at time ``start``."""
        if not self.samples.size:
            return self
        return Signal(self.start + start, fftconvolve(self.samples, taps, axes=1))


SILENCE = Signal(0, np.zeros((2, 0)))


def add(signals: Iterable[Signal]) -> Signal:
    """The sum of signals, as long as all of them together."""
    sounding = [s for s in signals if s.samples.size]
    if not sounding:
        return SILENCE
    start, stop = min(s.start for s in sounding), max(s.stop for s in sounding)
    return Signal(start, sum((s.cut(start, stop) for s in sounding), np.zeros((2, stop - start))))


Values = Mapping[str, Array]
"""The physical values of one node by the name of the parameter."""
Linear = Callable[[Signal, Values, int], list[Signal]]
"""(what comes in, values, sample rate) -> one signal for each outlet."""
General = Callable[[Array, Values, int], Array]
"""(audio [inlets, 2, samples], values, sample rate) -> [2, samples], or [outlets, 2, samples] for several."""


def amplitude(db: Array) -> Array:
    """Decibels to amplitude."""
    return np.power(10.0, db / 20)
