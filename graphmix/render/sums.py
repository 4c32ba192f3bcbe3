"""Weighted sums of signals that are not computed before something needs them.

Most nodes of a voice that only multiply by a number, and mixes of them, have one reader each: a modulation matrix of
four sources and five targets is twenty amplifiers and five mixes. What leaves them is kept as a :class:`Sum`, the list
of rows of other signals and their weights, and the reader computes its own signal from these in one pass over memory.

Conventions: signals are those of voices, [rows, 1 or 2, 1 or samples]. On other devices than the CPU sums do not wait.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from graphmix.dsp.rows import mix_rows, sum_rows

Index = NDArray[np.int64]


class Term(NamedTuple):
    """Rows of one signal in a sum.

    Args:
        signal: [rows, 1 or 2, 1 or samples].
        rows: which of them each entry reads, [entries].
        targets: to which row of the sum it is added, in rising order, [entries].
        weights: by what it is multiplied, [entries]; None for 1.
    """

    signal: Tensor
    rows: Index
    targets: Index
    weights: Tensor | None = None

    def is_whole(self, size: int) -> bool:
        """Are the entries all rows of the signal, each for the target of the same number?"""
        every = np.arange(size)
        same = len(self.rows) == size == len(self.signal)
        return same and np.array_equal(self.rows, every) and np.array_equal(self.targets, every)

    def select(self, entries: Index, targets: Index) -> "Term":
        """Some of the entries, for other targets."""
        weights = None if self.weights is None else self.weights.index_select(0, torch.from_numpy(entries))
        return Term(self.signal, self.rows[entries], targets, weights)


class Sum(NamedTuple):
    """A signal of so many rows, as a sum of others."""

    terms: Sequence[Term]
    size: int

    @property
    def receiving(self) -> NDArray[np.bool_]:
        """Which rows something is added to."""
        result = np.zeros(self.size, bool)
        for term in self.terms:
            result[term.targets] = True
        return result

    def rows(self, kept: Index) -> "Sum":
        """Some of its rows, in rising order."""
        every = np.arange(len(kept))
        return Sum([found for term in self.terms for found in _follow(term, kept, every)], len(kept))

    def times(self, factors: Tensor) -> "Sum":
        """With each row multiplied by its factor, [size]."""
        terms = []
        for term in self.terms:
            own = factors.index_select(0, torch.from_numpy(term.targets))
            terms.append(term._replace(weights=own if term.weights is None else own * term.weights))
        return Sum(terms, self.size)

    def value(self) -> Tensor:
        """The signal."""
        total: Tensor | None = None
        weighted = any(term.weights is not None for term in self.terms)
        for shape in dict.fromkeys(term.signal.shape[1:] for term in self.terms):
            own = [term for term in self.terms if term.signal.shape[1:] == shape]
            for signal in [_mixed(own, self.size)] if weighted else [_plain(term, self.size) for term in own]:
                total = signal if total is None else total + signal
        assert total is not None, "a sum has terms"
        return total


def _mixed(terms: Sequence[Term], size: int) -> Tensor:
    like = terms[0].signal
    weights = [like.new_ones(len(t.rows)) if t.weights is None else t.weights.to(like.dtype) for t in terms]
    return mix_rows([t.signal for t in terms], weights, [(t.rows, t.targets) for t in terms], size)


def _plain(term: Term, size: int) -> Tensor:
    if term.is_whole(size):
        return term.signal
    rows, targets = (torch.from_numpy(index).to(term.signal.device) for index in (term.rows, term.targets))
    return sum_rows(term.signal, rows, targets, size)


def _follow(term: Term, rows: Index, targets: Index) -> list[Term]:
    """The entries of a term for those rows that are read, at the targets that read them; none, or one term of them."""
    first, end = (np.searchsorted(term.targets, rows, side) for side in ("left", "right"))
    counts = end - first
    entries = np.repeat(first - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
    return [term.select(entries, np.repeat(targets, counts))] if len(entries) else []


def read_rows(sent: Tensor | Sum, rows: Index, targets: Index) -> list[Term]:
    """Terms of a sum that reads rows of a signal, one for each target."""
    if isinstance(sent, Tensor):
        return [Term(sent, rows, targets)]
    return [found for term in sent.terms for found in _follow(term, rows, targets)]
