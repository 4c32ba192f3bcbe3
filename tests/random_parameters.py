"""Random physical parameters within what an engineer would dial, for any node type.

It lies beside conftest.py, so that every test can say ``from random_parameters import random_parameters``.
"""

import torch
from torch import Tensor

from graphmix.processors.base import Processor
from graphmix.spec import NodeType, ParameterSpec

USUAL = {
    "gain_db": (-12.0, 12.0),
    "side_db": (-12.0, 6.0),
    "threshold_db": (-40.0, -10.0),
    "ratio": (1.5, 8.0),
    "knee_db": (1.0, 18.0),
    "time_ms": (1.0, 200.0),
    "attack_ms": (0.5, 50.0),
    "release_ms": (20.0, 300.0),
    "initial_db": (-12.0, 12.0),
    "decay_db_per_s": (-400.0, -20.0),
    "radius": (0.1, 0.9),
    "filter_db": (-12.0, 6.0),
    "frequency_hz": (100.0, 8000.0),
    "time_s": (0.0, 0.1),
    "low_hz": (100.0, 2000.0),
    "high_hz": (3000.0, 12000.0),
    "inside_db": (-6.0, 12.0),
    "outside_db": (-40.0, 6.0),
    "lookahead_ms": (0.05, 5.0),
    "mean_ms": (1.0, 30.0),
    "makeup_db": (-6.0, 12.0),
    "range_db": (6.0, 40.0),
    "q": (0.4, 4.0),
    "order": (1.0, 8.0),
    "zero_hz": (100.0, 8000.0),
    "pole_hz": (100.0, 8000.0),
    "zero_bandwidth_hz": (50.0, 2000.0),
    "pole_bandwidth_hz": (50.0, 2000.0),
}
DELAY_TAPS = 20
RATES = (30000, 44100, 48000)
"""Sample rates at which no random delay lies midway between two samples, where rounding is a toss."""


def random_parameters(node_type: NodeType, n: int, generator: torch.Generator) -> Tensor:
    """Uniform in a sensible part of each range, [n, width]; each delay in the 100 ms of its own tap.

    Choices are any. A parameter of an unknown name is uniform in the middle half of its range.
    """
    columns = [(_delays if _has_taps(p) else _uniform)(p, n, generator) for p in node_type.parameters]
    return torch.cat([torch.zeros(n, 0), *columns], dim=1)


def _has_taps(parameter: ParameterSpec) -> bool:
    return parameter.name == "delay_ms" and parameter.size == 2 * DELAY_TAPS


def _uniform(parameter: ParameterSpec, n: int, generator: torch.Generator) -> Tensor:
    if parameter.choices:
        return torch.randint(len(parameter.choices), (n, parameter.size), generator=generator).float()
    low, high = parameter.low, parameter.high
    low, high = USUAL.get(parameter.name, ((3 * low + high) / 4, (low + 3 * high) / 4))
    drawn = low + (high - low) * torch.rand(n, parameter.size, generator=generator)
    return drawn.sort(1).values if parameter.ascending else drawn


def _delays(parameter: ParameterSpec, n: int, generator: torch.Generator) -> Tensor:
    first = torch.arange(DELAY_TAPS).repeat(2).double()
    rates = torch.tensor(RATES).double()[:, None, None]
    result = torch.zeros(n, parameter.size, dtype=torch.float64)
    todo = torch.ones(n, parameter.size, dtype=torch.bool)
    while todo.any():
        inside = 0.01 + 0.98 * torch.rand(n, parameter.size, generator=generator, dtype=torch.float64)
        drawn = ((first + inside) * (parameter.high / DELAY_TAPS)).float().double()
        samples = drawn * rates / 1000
        clear = ((samples - samples.round()).abs() < 0.4).all(0)
        result[todo & clear] = drawn[todo & clear]
        todo &= ~clear
    return result.float()


def params(processor: Processor, **values: object) -> Tensor:
    """Physical values of one node in float64, [1, width]: neutral but for those that are given."""
    row = processor.node_type.neutral().double()
    for name, value in values.items():
        row[processor.node_type.columns(name)] = torch.as_tensor(value, dtype=torch.float64)
    return row[None]
