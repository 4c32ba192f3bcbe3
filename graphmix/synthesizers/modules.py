"""What synthesizers are made of: modules, and the parameters of patches with what numbers of a graph they set."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from graphmix.spec import Curve, Linear, ParameterSpec

Value = float | str
SOURCES = ("oscillator", "noise", "operator", "lfo", "envelope", "segment_envelope")
"""Node types that are added to what comes in."""
_LINEAR = Linear()


@dataclass(frozen=True)
class Module:
    """A named node of a synthesizer.

    Args:
        name: of the node.
        kind: its node type.
        choices: name of a choice -> parameters of the type of which one is 1 and the others 0.
        fixed: parameters that are none of the patch's, with their values.
        starts: defaults of parameters where they are not the type's neutral values.
        has_wet: its dry/wet weight is a parameter, ``wet``, 0 by default.
    """

    name: str
    kind: str
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    fixed: Mapping[str, float] = field(default_factory=dict)
    starts: Mapping[str, float] = field(default_factory=dict)
    has_wet: bool = False


@dataclass(frozen=True)
class PatchParameter:
    """One number or one choice of a synthesizer.

    Args:
        name: ``"module.parameter"``, with the entry's number where a parameter has several.
        unit: as shown to a reader.
        low, high, neutral: of a number.
        curve: the scale on which equal steps count as equal.
        options: of a choice.
    """

    name: str
    unit: str = ""
    low: float = 0.0
    high: float = 1.0
    neutral: float = 0.0
    curve: Curve = _LINEAR
    options: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Numbers of it in a vector: one, or one for each option."""
        return max(1, len(self.options))


class Source(NamedTuple):
    """Where a number of a graph comes from: a parameter, whether an option is chosen, or nowhere."""

    label: str
    high: float = math.inf
    option: str = ""
    fixed: float = 0.0

    def value(self, settings: Mapping[str, Value]) -> float:
        """The number for a patch."""
        if not self.label:
            return self.fixed
        if self.option:
            return float(settings[self.label] == self.option)
        return min(float(settings[self.label]), self.high)  # a lower rate has a lower end


def is_removable(module: Module) -> bool:
    """Whether a module can be taken out of a patch, as some of its values do the same."""
    if module.has_wet:
        return True
    if module.kind == "amplifier":
        return module.fixed.get("offset", 1.0) == 1.0
    silent = {"oscillator": "level_db", "noise": "level_db", "operator": "level_db", "segment_envelope": "levels"}
    return module.kind in SOURCES and silent.get(module.kind, "depth") not in module.fixed


def labels_of(module: str, p: ParameterSpec) -> list[str]:
    """Names of a patch's numbers for a parameter of a module: one, or one for each of its entries."""
    return [f"{module}.{p.name}"] if p.size == 1 else [f"{module}.{p.name}.{i + 1}" for i in range(p.size)]
