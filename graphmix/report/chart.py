"""What a chart is made of, and a node while it plays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from graphmix.processors.base import Processor

Values = Mapping[str, NDArray[np.float64]]
LOWEST_HZ = 20.0
POINTS = 160
LEVELS_DB = np.arange(-80.0, 0.5, 1.0)
"""At which curves of dynamics are shown."""
LEAST_RANGE_DB = 6.0


@dataclass(frozen=True)
class Axis:
    """An axis: what it shows, its ends, whether it is logarithmic."""

    label: str
    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class Series:
    """One curve of a chart.

    Attributes:
        name: in its legend.
        points: x and y.
        style: ``"line"``, ``"dashed"``, ``"stems"``, ``"area"``.
    """

    name: str
    points: Sequence[tuple[float, float]]
    style: str = "line"


@dataclass(frozen=True)
class Chart:
    """A small picture of curves, and the same in words for those who cannot see it."""

    title: str
    x: Axis
    y: Axis
    series: Sequence[Series]
    words: str


@dataclass(frozen=True)
class Played:
    """A node while it plays, for what depends on the signal.

    Attributes:
        processor: of its type.
        params: physical values, [width].
        wet: dry/wet weight.
        seconds: length of the song.
        before, after: what goes in and comes out, [2, samples]; None where it is not known.
        detector: what its level detector is given; None: what goes in.
        start: where they begin, in seconds.
    """

    processor: Processor
    params: Tensor
    wet: float
    seconds: float
    before: Tensor | None = None
    after: Tensor | None = None
    detector: Tensor | None = None
    start: float = 0.0
    values: Values = field(default_factory=dict)


def over_frequency(series: list[Series], rate: int) -> Chart:
    """Gain over the logarithm of frequency, with its highest and lowest value in words."""
    values = np.array([y for one in series for _, y in one.points])
    low = max(-60.0, min(-LEAST_RANGE_DB, float(np.floor(values.min() / 6) * 6)))
    high = max(LEAST_RANGE_DB, float(np.ceil(values.max() / 6) * 6))
    top = max(series[0].points, key=lambda p: p[1])
    least = min(series[0].points, key=lambda p: p[1])
    words = f"Highest {top[1]:+.1f} dB at {top[0]:.0f} Hz, lowest {least[1]:+.1f} dB at {least[0]:.0f} Hz."
    return Chart("Frequency", Axis("frequency / Hz", LOWEST_HZ, rate / 2, log=True), Axis("gain / dB", low, high),
                 series, words)  # fmt: skip


def points_of(x: Any, y: Any) -> list[tuple[float, float]]:
    """Pairs with as many digits as can be seen."""
    return [(round(float(a), 4), round(float(b), 3)) for a, b in zip(x, y, strict=True)]
