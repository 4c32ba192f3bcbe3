"""What a conversion of one node is given and what it gives; see :mod:`graphmix.rewrite.convert`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from graphmix.processors.base import Processor

Array = NDArray[np.float64]
Value = float | str | Sequence[float | str]
FLAT_SHARE = 0.1
"""Of the weights that all frequencies share alike: what does not sound in one song may in another."""


class NotConverted(Exception):
    """The reason why a node stays as it is."""


@dataclass(frozen=True)
class Given:
    """One node to be converted.

    Args:
        processor: of its type.
        params: its physical values, float64 [1, width].
        wet: its dry/wet weight.
        signal: what comes into it, [2, samples]; None where no song is given.
        tolerance_db: error that is good enough.
    """

    processor: Processor
    params: Tensor
    wet: float
    signal: Array | None
    tolerance_db: float

    @property
    def sample_rate(self) -> int:
        """In Hz."""
        return self.processor.sample_rate

    def value(self, name: str) -> float:
        """The first entry of a parameter."""
        return float(self.processor.get(self.params, name)[0, 0])


@dataclass(frozen=True)
class NewNode:
    """A node in the place of another.

    Args:
        kind: its type.
        values: physical values by name; neutral where not given.
        wet: dry/wet weight.
    """

    kind: str
    values: Mapping[str, Value] = field(default_factory=dict)
    wet: float = 1.0


@dataclass(frozen=True)
class Replacement:
    """What stands for a node.

    Args:
        nodes: in a row, one at least.
        error_db: root mean square difference in dB; of what, the conversion says.
        words: how it was done, and what is lost.
        past: beside the row the signal passes dry, and meets it in the ``send`` inlet of the last node but
            ``behind``.
        behind: how many nodes at the end of the row come behind the point where the two meet.
    """

    nodes: tuple[NewNode, ...]
    error_db: float
    words: str
    past: bool = False
    behind: int = 0


def passing_weights(grid_hz: Array, power: Array | None) -> Array:
    """How much each frequency of an even grid in octaves counts: the amplitude that passes, and a tenth for all alike.

    Args:
        grid_hz: equally spaced in octaves.
        power: of the signal that passes, per octave; None: all frequencies alike.

    Returns:
        Weights whose mean is 1.
    """
    flat = np.ones(len(grid_hz))
    if power is None or not power.sum() > 0:
        return flat
    amplitude = np.sqrt(power)
    return np.asarray((1 - FLAT_SHARE) * amplitude / amplitude.mean() + FLAT_SHARE * flat)


def weighted_rms(difference: Array, weights: Array) -> float:
    """Root of the weighted mean square."""
    return float(np.sqrt(np.average(difference**2, weights=weights)))
