"""Changes of a patch that are worth a trial: what no gradient says.

Five kinds: modules as another patch has them, a module as a random patch of :mod:`graphmix.synthesizers.presets` has
it, a value or two of a module as a random patch has them (an oscillator that fits but for its transposition), another
option of a choice, and other numbers near those that are there. A change of numbers is drawn on the raw scale of the
parameter, its size from 0.03 to 1 at equal chance of each factor: from 0.3 dB to a factor of 2.7.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from graphmix.synthesizers.candidates import Values
from graphmix.synthesizers.modules import PatchParameter, Value
from graphmix.synthesizers.presets import random_patch
from graphmix.synthesizers.synthesizer import LEVEL, Synthesizer

SIZES = (-1.5, 0.0)
"""Decimal logarithms of the smallest and the largest change of a raw value."""
MOST_NUMBERS = 4
"""That one trial changes."""
STEPPED = ("transpose_semitones", "ratio")
"""Ends of the names of numbers that have few useful values, which are far from each other."""


class Chances(NamedTuple):
    """Of the five kinds of change; they sum to 1."""

    crossing: float
    module: float
    values: float
    choice: float
    numbers: float


WIDE = Chances(0.3, 0.25, 0.15, 0.05, 0.25)
"""At the beginning: which modules there are, and what they do."""
NARROW = Chances(0.05, 0.1, 0.2, 0.15, 0.5)
"""After a descent, whose numbers a new module would not fit."""


def neighbour(
    synthesizer: Synthesizer, values: Values, others: Sequence[Values], chances: Chances, rng: np.random.Generator
) -> dict[str, Value]:
    """A patch with one change.

    Args:
        synthesizer: whose patch it is.
        values: of the patch.
        others: patches whose modules may come in.
        chances: of the kinds of change.
        rng: every random choice.
    """
    changed = dict(values)
    kind = int(rng.choice(len(chances), p=chances))
    modules = list(synthesizer.names_by_module.values())
    if kind == 0:
        other = others[int(rng.integers(len(others)))]
        for i in rng.choice(len(modules), int(rng.integers(1, 3)), replace=False):
            changed |= {name: other[name] for name in modules[int(i)]}
    elif kind == 1:
        other = random_patch(synthesizer, rng)
        changed |= {name: other[name] for name in modules[int(rng.integers(len(modules)))]}
    elif kind == 2:
        _take(synthesizer, changed, rng)
    elif kind == 3:
        choices = [p for p in synthesizer.parameters if p.options]
        p = choices[int(rng.integers(len(choices)))]
        changed[p.name] = str(rng.choice([option for option in p.options if option != changed[p.name]]))
    else:
        _move(synthesizer, changed, rng)
    return changed


def _take(synthesizer: Synthesizer, values: dict[str, Value], rng: np.random.Generator) -> None:
    """Values of one module as a random patch has them: one or two, or that which has few useful values alone."""
    other = random_patch(synthesizer, rng)
    different = [p.name for p in synthesizer.parameters if p.name != LEVEL and other[p.name] != values[p.name]]
    modules = list(dict.fromkeys(name.split(".")[0] for name in different))
    module = modules[int(rng.integers(len(modules)))]
    own = [name for name in different if name.split(".")[0] == module]
    stepped = [name for name in own if name.endswith(STEPPED)]
    if stepped and rng.random() < 0.5:
        own = stepped
    for i in rng.choice(len(own), min(len(own), int(rng.integers(1, 3))), replace=False):
        values[own[int(i)]] = other[own[int(i)]]


def _move(synthesizer: Synthesizer, values: dict[str, Value], rng: np.random.Generator) -> None:
    """Change a few of the numbers that are not at their defaults; transpositions go by whole semitones elsewhere."""
    movable = [
        p
        for p in synthesizer.parameters
        if not p.options and values[p.name] != p.neutral and not p.name.endswith("transpose_semitones")
    ]
    if not movable:
        return
    count = min(len(movable), int(rng.integers(1, MOST_NUMBERS + 1)))
    for i in rng.choice(len(movable), count, replace=False):
        p = movable[int(i)]
        change = float(rng.normal()) * 10 ** float(rng.uniform(*SIZES))
        values[p.name] = _moved(p, float(values[p.name]), change)


def _moved(p: PatchParameter, value: float, change: float) -> float:
    raw = p.curve.raw(torch.tensor(value, dtype=torch.float64)) + change
    return min(max(float(p.curve.physical(raw)), p.low), p.high)
