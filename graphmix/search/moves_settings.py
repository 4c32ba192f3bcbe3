"""Settings that the new processors of a move begin with: start values, or those of what they stand for.

A move is judged after a few steps of fitting, which find what is near. So what is far apart is a start of its own:
shapes of a filter, times of a delay. One of them is drawn for each move.
"""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import torch
from torch import Tensor

from graphmix.graph.sketch import Part
from graphmix.processors.base import Processor

AUDIBLE_WET = 0.15
"""Dry/wet weight with which a trial starts an effect that a console starts bypassed: at zero its settings would not
move in the few steps that it has."""
STARTS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "biquad": (
        {"shape": "high_pass", "frequency_hz": 60.0},
        {"shape": "low_pass", "frequency_hz": 9000.0},
        {"shape": "bell", "frequency_hz": 300.0},
        {"shape": "bell", "frequency_hz": 3000.0},
        {"shape": "low_shelf", "frequency_hz": 150.0},
        {"shape": "high_shelf", "frequency_hz": 5000.0},
    ),
    "feedback_delay": tuple({"time_ms": time_ms} for time_ms in (90.0, 180.0, 250.0, 375.0, 500.0)),
    "compressor": ({"time_ms": 5.0}, {"time_ms": 40.0}, {"time_ms": 200.0}),
    "velvet_reverb": ({"decay_s": 0.5}, {"decay_s": 1.5}),
    "feedback_network": ({"decay_s": 0.5}, {"decay_s": 1.5}),
}
"""Start values that are far apart, by type; one set is drawn."""
_SAME_AS = {"attack_ms": "time_ms", "release_ms": "time_ms", "time_ms": "release_ms"}
"""Where a type has no parameter of one name, that of another stands for it."""


def start_part(processor: Processor, random: Random) -> Part:
    """A processor near its neutral setting."""
    node_type = processor.node_type
    generator = torch.Generator().manual_seed(random.randrange(2**31))
    values = processor.start(node_type.neutral()[None], generator)[0].clone()
    starts = STARTS.get(node_type.name, ())
    for name, value in random.choice(starts).items() if starts else ():
        spec = next(p for p in node_type.parameters if p.name == name)
        values[node_type.columns(name)] = min(max(float(spec.numbers_of(value)), spec.low), spec.high)
    return Part(node_type, values, processor.start_wet or AUDIBLE_WET)


def converted_part(part: Part, processor: Processor) -> Part | None:
    """What a processor's settings say of another type's: parameters of one name and size; None where there are none.

    Args:
        part: the processor.
        processor: of the other type.
    """
    known = {p.name: p for p in part.type.parameters}
    values, found = processor.node_type.neutral(), False
    for spec in processor.node_type.parameters:
        name = spec.name if spec.name in known else _SAME_AS.get(spec.name, "")
        given = known.get(name)
        if given is not None and (given.size, given.unit, given.choices) == (spec.size, spec.unit, spec.choices):
            own = part.values[part.type.columns(name)].clamp(spec.low, spec.high)
            values[processor.node_type.columns(spec.name)] = own
            found = found or not spec.choices
    return Part(processor.node_type, values, part.wet) if found else None


def halves_of(part: Part, processor: Processor) -> tuple[Part, Part] | None:
    """Two of a type, each half as far from neutral as one; None where neutral is no place to come from."""
    if not part.values.numel() or processor.start_wet == 0:
        return None
    neutral = processor.to_raw(processor.node_type.neutral()[None])
    half = processor.from_raw((processor.to_raw(part.values[None]) + neutral) / 2)[0]
    one = Part(part.type, _in_range(half, processor), part.wet)
    return one, one


def merged_part(one: Part, other: Part, processor: Processor) -> Part:
    """One of a type in the place of two: as far from neutral as both together."""
    if processor.start_wet == 0:
        return one if one.wet >= other.wet else other
    neutral = processor.to_raw(processor.node_type.neutral()[None])
    raw = [processor.to_raw(part.values[None]) * part.wet + neutral * (1 - part.wet) for part in (one, other)]
    both = processor.from_raw(raw[0] + raw[1] - neutral)[0]
    return Part(one.type, _in_range(both, processor), 1.0)


def mean_part(parts: Sequence[Part], processor: Processor) -> Part:
    """The mean of some of a type, in raw values, and of their dry/wet weights."""
    raw = processor.to_raw(torch.stack([part.values for part in parts])).mean(0, keepdim=True)
    wet = sum(part.wet for part in parts) / len(parts)
    return Part(parts[0].type, _in_range(processor.from_raw(raw)[0], processor), wet)


def _in_range(values: Tensor, processor: Processor) -> Tensor:
    low, high = processor.node_type.bounds()
    return values.clamp(low, high)
