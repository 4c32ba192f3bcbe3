"""What the numbers of a decoder mean: the parameters of a patch, as probabilities and values.

A *choice* has a score for each option, of which the softmax are probabilities. A *number* has one output, whose sigmoid
is its value from 0 to 1 on its own scale.

Many numbers are not spread over their range: a module is off, an oscillator an octave up, a ratio whole, and the mean
of two such values is none of them. So a number may have *common values*. It then has a score for each of them and one
for all others beside the output of its value, which counts where the others do.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

EQUAL = 1e-6
"""Values from 0 to 1 that are nearer than this are the same."""
MOST_VALUES = 32
"""Common values of a number: the most common ones."""
Values = tuple[tuple[float, ...], ...]


class PatchOutputs:
    """The outputs of a decoder for one synthesizer.

    Args:
        sizes: numbers of each parameter in a vector: 1, or as many as a choice has options.
        common: the common values of each parameter, none of choices; nothing if no number has any.
    """

    def __init__(self, sizes: Sequence[int], common: Sequence[Sequence[float]] = ()) -> None:
        self.sizes = tuple(sizes)
        self.common = tuple(torch.tensor(values) for values in common or [()] * len(sizes))
        self.raw_sizes = tuple(
            size + (len(values) + 1 if len(values) else 0) for size, values in zip(sizes, self.common, strict=True)
        )
        """Outputs of each parameter."""

    @property
    def width(self) -> int:
        """Outputs of all parameters."""
        return sum(self.raw_sizes)

    def distance(self, raw: Tensor, vectors: Tensor) -> Tensor:
        """Squared errors of numbers and cross entropies of options and common values, over sounds and parameters.

        Args:
            raw: outputs, [sounds, width] or wider.
            vectors: the true patches, [sounds, sum of sizes] or wider.
        """
        total = raw.new_zeros(())
        outputs, true = (
            raw[:, : self.width].split(self.raw_sizes, 1),
            vectors[:, : sum(self.sizes)].split(self.sizes, 1),
        )
        for found, wanted, common in zip(outputs, true, self.common, strict=True):
            if wanted.size(1) > 1:
                total = total + functional.cross_entropy(found, wanted.argmax(1), reduction="sum")
                continue
            errors = (torch.sigmoid(found[:, -1]) - wanted[:, 0]).square()
            if len(common):
                same = (wanted - common).abs() < EQUAL
                other = ~same.any(1)
                target = torch.where(other, len(common), same.int().argmax(1))
                total = total + functional.cross_entropy(found[:, :-1], target, reduction="sum")
                errors = errors * other
            total = total + errors.sum()
        return total / len(self.sizes)

    def vectors(self, raw: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Patches from 0 to 1, [sounds, sum of sizes].

        Of choices the probabilities, of numbers with common values the most probable one. With a generator both are
        drawn by the probabilities; of a choice one option has 1 and the others 0.
        """
        parts = []
        for found, size, common in zip(
            raw[:, : self.width].split(self.raw_sizes, 1), self.sizes, self.common, strict=True
        ):
            if size > 1:
                odds = found.softmax(1)
                parts.append(odds if generator is None else functional.one_hot(_draw(odds, generator), size).float())
                continue
            value = torch.sigmoid(found[:, -1:])
            if len(common):
                odds = found[:, :-1].softmax(1)
                chosen = odds.argmax(1) if generator is None else _draw(odds, generator)
                value = torch.cat([common.expand(len(value), -1), value], 1).gather(1, chosen[:, None])
            parts.append(value)
        return torch.cat(parts, 1)


def _draw(odds: Tensor, generator: torch.Generator) -> Tensor:
    """A number of each row by its probabilities, [rows]."""
    return torch.multinomial(odds, 1, generator=generator)[:, 0] if len(odds) else odds.new_zeros(0, dtype=torch.long)


def common_values(vectors: Tensor, sizes: Sequence[int], share: float) -> Values:
    """The values of each number that so large a share of patches have, at least two of them; none of choices.

    Args:
        vectors: patches, [patches, sum of sizes] or wider.
        sizes: numbers of each parameter.
        share: from 0 to 1; 0 for no values at all.
    """
    found: list[tuple[float, ...]] = []
    for part in vectors[:, : sum(sizes)].split(list(sizes), 1):
        if part.size(1) > 1 or not share:
            found.append(())
            continue
        values, counts = part.unique(return_counts=True)
        often = counts >= max(2.0, share * len(part))
        most = counts[often].argsort(descending=True, stable=True)[:MOST_VALUES]
        found.append(tuple(sorted(values[often][most].tolist())))
    return tuple(found)
