"""Node types as pure data: parameters with unit and range, inlets and outlets.

Conventions. A graph and a processor hold *physical* values (dB, ms, Hz); the numbers that an optimizer sees
are *raw*, and a :class:`Curve` maps one to the other, so that a raw step of 0.01 is a sensible step for each
kind of parameter. Ranges are closed. Nothing here knows how a processor sounds.
"""

import math
import re
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

DB_PER_NEPER = 20 / math.log(10)
"""One natural-log unit of amplitude in dB: the step of the paper's ``exp(p)`` gains (equations 10 to 15)."""


class Curve(Protocol):
    """A monotone map between raw and physical values."""

    def physical(self, raw: Tensor) -> Tensor:
        """Raw to physical."""

    def raw(self, physical: Tensor) -> Tensor:
        """Physical to raw."""


@dataclass(frozen=True)
class Linear:
    """``physical = unit * raw``: levels, of which equal steps in dB sound equal."""

    unit: float = 1.0

    def physical(self, raw: Tensor) -> Tensor:
        """Raw to physical."""
        return raw * self.unit

    def raw(self, physical: Tensor) -> Tensor:
        """Physical to raw."""
        return physical / self.unit


@dataclass(frozen=True)
class Exponential:
    """``physical = exp(raw)``: ratios, times and frequencies, of which equal factors sound equal."""

    def physical(self, raw: Tensor) -> Tensor:
        """Raw to physical."""
        return raw.exp()

    def raw(self, physical: Tensor) -> Tensor:
        """Physical to raw."""
        return physical.log()


@dataclass(frozen=True)
class ParameterSpec:
    """One named parameter of a node type.

    Args:
        name: with its unit, e.g. ``threshold_db``.
        size: how many numbers a node has of it.
        unit: as shown to a reader, e.g. ``"dB"``.
        low: smallest physical value.
        high: largest physical value.
        neutral: value at which the processor does as little as it can, and at which a search starts.
        curve: the map between raw and physical values.
        ascending: whether each entry of a node is at least the one before it, as breakpoints in time are.
        choices: names of what the numbers 0, 1, … stand for, of a parameter that selects one of a few things. What
            lies between stands for the nearest, and has no gradient.
    """

    name: str
    size: int
    unit: str
    low: float
    high: float
    neutral: float
    curve: Curve = Linear()
    ascending: bool = False
    choices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.low <= self.neutral <= self.high:
            raise ValueError(f"{self.name}: neutral {self.neutral} lies outside [{self.low}, {self.high}]")
        if self.choices and (self.low, self.high) != (0, len(self.choices) - 1):
            last = len(self.choices) - 1
            raise ValueError(
                f"{self.name}: choices have numbers 0 to {last}, and its range is {self.low} to {self.high}"
            )

    def number_of(self, choice: str) -> int:
        """Number of a choice by its name.

        Raises:
            KeyError: there is none of that name.
        """
        if choice not in self.choices:
            known = ", ".join(self.choices) or "numbers alone"
            raise KeyError(f"{self.name} cannot be {choice!r}; it takes: {known}")
        return self.choices.index(choice)

    def numbers_of(self, value: Any) -> Any:
        """A value, or a list of one for each entry, with the number in place of each name of a choice.

        Raises:
            KeyError: a name that stands for nothing.
        """
        if isinstance(value, str):
            return self.number_of(value)
        if isinstance(value, list | tuple):
            return [self.number_of(v) if isinstance(v, str) else v for v in value]
        return value

    def choice_of(self, value: float) -> str:
        """Name of the choice that a value stands for: the nearest number's."""
        return self.choices[min(max(round(value), 0), len(self.choices) - 1)]


def choice(name: str, choices: tuple[str, ...], neutral: str, size: int = 1) -> ParameterSpec:
    """A parameter that selects one of a few things by number, for each of its entries.

    Example:
        >>> choice("smoothing", ("level", "gain"), "gain").neutral
        1.0
    """
    return ParameterSpec(
        name, size, "", 0.0, float(len(choices) - 1), float(choices.index(neutral)), Linear(), choices=choices
    )


_DIGEST = re.compile(r"[0-9a-f]{16}")
"""Ends the source of a captured effect."""


@dataclass(frozen=True)
class NodeType:
    """A node type as a graph knows it.

    Args:
        name: e.g. ``"compressor"``; letters, digits and underscores.
        letter: one character for chain strings and plots, e.g. ``"c"``; empty where letters have run out: a chain then
            has its name in brackets, ``[parametric_eq]``.
        parameters: in the order of the columns of ``params[name]``.
        inlets: names of the inputs; the first one is the dry signal of equation 2.
        outlets: names of the outputs.
        source: of a type whose sound comes from a file, its name and digest, e.g. ``"amp.safetensors 0f3a…"``: types
            of the same name with another source are other types.
        base_rate: of a type whose response is made at another sample rate than the graph's, that rate in Hz; else 0.
        bypassable: False for what a search takes as given: its dry/wet weight is 1, and it is never pruned.
    """

    name: str
    letter: str
    parameters: tuple[ParameterSpec, ...] = ()
    inlets: tuple[str, ...] = ("in",)
    outlets: tuple[str, ...] = ("out",)
    source: str = ""
    bypassable: bool = True
    base_rate: int = 0

    @property
    def token(self) -> str:
        """What stands for it in a chain string: its letter, or its name in brackets."""
        return self.letter or f"[{self.name}]"

    @property
    def label(self) -> str:
        """Letter and name for tables and messages, ``c compressor``; ``[parametric_eq]`` where it has no letter."""
        return f"{self.letter} {self.name}" if self.letter else self.token

    @property
    def mark(self) -> str:
        """One or two characters for plots: its letter, else the initials of its name's first two words."""
        words = [word for word in self.name.split("_") if word]
        return self.letter or ("".join(word[0] for word in words[:2]) if len(words) > 1 else self.name[:2])

    @property
    def digest(self) -> str:
        """What tells the file of :attr:`source` from others, whatever it is called; all of a source without one."""
        last = self.source.rpartition(" ")[2]
        return last if _DIGEST.fullmatch(last) else self.source

    def is_same(self, other: "NodeType") -> bool:
        """Whether nodes of one may become nodes of the other: equal, but for file name and letter of one capture."""
        if self.digest and self.digest == other.digest:
            return replace(self, letter=other.letter, source=other.source) == other
        return self == other

    @property
    def width(self) -> int:
        """Number of parameter columns."""
        return sum(parameter.size for parameter in self.parameters)

    @property
    def is_processor(self) -> bool:
        """False for the inputs, mixes and outputs, which have nothing to set."""
        return self.name not in STRUCTURAL_NAMES

    @property
    def can_be_bypassed(self) -> bool:
        """Dry/wet and pruning need one outlet: its dry signal is what comes into the first inlet."""
        return self.bypassable and self.is_processor and len(self.outlets) == 1 and len(self.inlets) >= 1

    def columns(self, name: str) -> slice:
        """Columns of ``params[self.name]`` that hold the parameter ``name``."""
        start = 0
        for parameter in self.parameters:
            if parameter.name == name:
                return slice(start, start + parameter.size)
            start += parameter.size
        known = ", ".join(parameter.name for parameter in self.parameters) or "none"
        raise KeyError(f"{self.name} has no parameter {name!r}; it has: {known}")

    def neutral(self) -> Tensor:
        """Neutral values, shape [width]."""
        return torch.cat([torch.full((p.size,), p.neutral) for p in self.parameters] or [torch.zeros(0)])

    def bounds(self) -> tuple[Tensor, Tensor]:
        """Smallest and largest physical values, each of shape [width]."""
        low = [torch.full((p.size,), p.low) for p in self.parameters]
        high = [torch.full((p.size,), p.high) for p in self.parameters]
        return torch.cat(low or [torch.zeros(0)]), torch.cat(high or [torch.zeros(0)])


IN = NodeType("in", "i", inlets=())
MIX = NodeType("mix", "m")
OUT = NodeType("out", "o")
STRUCTURAL = (IN, MIX, OUT)
STRUCTURAL_NAMES = frozenset(node_type.name for node_type in STRUCTURAL)


class HasNodeTypes(Protocol):
    """What graphs are built from: node types and the sample rate that their parameters refer to."""

    @property
    def types(self) -> tuple[NodeType, ...]:
        """Processor types in order."""

    @property
    def sample_rate(self) -> int:
        """In Hz."""


class NodeTypes(NamedTuple):
    """Processor types at a sample rate in Hz, where there is no :class:`graphmix.processors.Rack` of them."""

    types: tuple[NodeType, ...]
    sample_rate: int = 30000


@dataclass(frozen=True)
class TypeTable:
    """The node types that a graph may use, in the order that ``node_type`` indexes."""

    types: tuple[NodeType, ...]

    def __post_init__(self) -> None:
        names = [node_type.name for node_type in self.types]
        letters = [node_type.letter for node_type in self.types if node_type.letter]
        if len({*names, *letters}) < len(names) + len(letters):
            raise ValueError(f"node types need names and letters of their own: {names}, {letters}")

    def __len__(self) -> int:
        return len(self.types)

    def __getitem__(self, index: int) -> NodeType:
        return self.types[index]

    @property
    def names(self) -> tuple[str, ...]:
        """Names in order."""
        return tuple(node_type.name for node_type in self.types)

    def index(self, name: str) -> int:
        """Index of the type called ``name``, or with that letter."""
        for i, node_type in enumerate(self.types):
            if name and name in (node_type.name, node_type.letter):
                return i
        known = ", ".join(t.label for t in self.types)
        raise KeyError(f"no node type {name!r}; this rack has: {known}")

    def by_letter(self, letter: str) -> NodeType:
        """The type with that letter (or name)."""
        return self.types[self.index(letter)]
