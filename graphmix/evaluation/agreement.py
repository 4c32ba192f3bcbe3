"""Agreement of a proposed graph with a true one: which processors are kept, and with which parameters.

Both graphs are matched with the full console over the song's tracks and subgroups
(:mod:`graphmix.training.matching`); a node of the console is *kept* by a graph that has a processor in its place and
does not bypass it.

Keep/drop F1 of a type is the mean of the F1 of "keep" and that of "drop", over all nodes of the type in all songs, so
that neither of the two constant answers is favoured; a class that neither occurs nor is proposed is left out. Over
types it is the plain mean (macro). The parameter error of a type is the mean absolute difference of raw values (a raw
step of 0.01 is a sensible step of every kind of parameter) over the nodes that both graphs keep.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import torch

from graphmix.graph.consoles import mixing_console
from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.rack import Rack
from graphmix.training.matching import ConsoleTarget, console_target


@dataclass(frozen=True)
class Counts:
    """Decisions on nodes of one type: kept rightly, kept wrongly, dropped wrongly, dropped rightly."""

    hits: int = 0
    false_keeps: int = 0
    misses: int = 0
    true_drops: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.hits + other.hits,
            self.false_keeps + other.false_keeps,
            self.misses + other.misses,
            self.true_drops + other.true_drops,
        )

    @property
    def total(self) -> int:
        """Number of decisions."""
        return self.hits + self.false_keeps + self.misses + self.true_drops

    @property
    def keep_f1(self) -> float | None:
        """F1 of "keep"; None where it neither occurs nor is proposed."""
        return _f1(self.hits, self.false_keeps, self.misses)

    @property
    def drop_f1(self) -> float | None:
        """F1 of "drop"; None where it neither occurs nor is proposed."""
        return _f1(self.true_drops, self.misses, self.false_keeps)

    @property
    def f1(self) -> float | None:
        """Mean of the two; None without a decision."""
        return mean_of([self.keep_f1, self.drop_f1])

    def always(self, keep: bool) -> "Counts":
        """The counts of the constant answer on the same nodes."""
        there, absent = self.hits + self.misses, self.false_keeps + self.true_drops
        return Counts(hits=there, false_keeps=absent) if keep else Counts(misses=there, true_drops=absent)

    @property
    def best_constant_f1(self) -> float | None:
        """F1 of the better of the two constant answers, chosen with hindsight."""
        answers = [self.always(keep).f1 for keep in (True, False)]
        known = [answer for answer in answers if answer is not None]
        return max(known) if known else None


def _f1(hits: int, false: int, missed: int) -> float | None:
    total = 2 * hits + false + missed
    return 2 * hits / total if total else None


def mean_of(values: Iterable[float | None]) -> float | None:
    """Mean of the known values; None if there is none."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


@dataclass(frozen=True)
class Agreement:
    """Agreement of one proposal with the true graph, by type.

    Args:
        counts: of keep/drop decisions.
        raw_errors: sums of absolute differences of raw values.
        raw_values: how many values these are.
        lost: processors of the true graph that have no place in a console.
    """

    counts: Mapping[str, Counts]
    raw_errors: Mapping[str, float]
    raw_values: Mapping[str, int]
    lost: int = 0

    def __add__(self, other: "Agreement") -> "Agreement":
        names = list(dict.fromkeys([*self.counts, *other.counts]))
        return Agreement(
            {name: self.counts.get(name, Counts()) + other.counts.get(name, Counts()) for name in names},
            {name: self.raw_errors.get(name, 0.0) + other.raw_errors.get(name, 0.0) for name in names},
            {name: self.raw_values.get(name, 0) + other.raw_values.get(name, 0) for name in names},
            self.lost + other.lost,
        )

    @property
    def f1(self) -> float | None:
        """Keep/drop F1, macro over types."""
        return mean_of(counts.f1 for counts in self.counts.values())

    @property
    def keep_f1(self) -> float | None:
        """F1 of "keep" alone, macro over types."""
        return mean_of(counts.keep_f1 for counts in self.counts.values())

    @property
    def best_constant_f1(self) -> float | None:
        """F1 of the best constant answer for each type, macro over types."""
        return mean_of(counts.best_constant_f1 for counts in self.counts.values())

    @property
    def parameter_error(self) -> float | None:
        """Mean absolute difference of raw values where both keep, macro over types; None where they share no node."""
        return mean_of(
            self.raw_errors[name] / count if (count := self.raw_values[name]) else None for name in self.counts
        )


def merge_agreements(agreements: Sequence[Agreement]) -> Agreement:
    """The agreement of all songs together."""
    result = Agreement({}, {}, {})
    for agreement in agreements:
        result = result + agreement
    return result


def agree(
    proposal: MixGraph, true: MixGraph, subgroups: Mapping[str, Sequence[str]], rack: Rack, chain: str
) -> Agreement:
    """Compare a proposal with a true graph over the same tracks.

    Args:
        proposal: any graph over the song's tracks.
        true: as well.
        subgroups: bus -> tracks, of the console in which both are looked at.
        rack: processors of the chain; maps between physical and raw values.
        chain: the console's; decisions are counted over these types only.
    """
    console = mixing_console(rack, subgroups, chain)
    theirs, ours = console_target(true, console), console_target(proposal, console)
    counts: dict[str, Counts] = {}
    errors: dict[str, float] = {}
    values: dict[str, int] = {}
    for name in rack.names:
        nodes = console.nodes_of(name)
        if not nodes.numel():
            continue
        found, wanted = ours.keep[nodes], theirs.keep[nodes]
        cells = (found & wanted, found & ~wanted, ~found & wanted, ~found & ~wanted)
        counts[name] = Counts(*(int(cell.sum()) for cell in cells))
        errors[name], values[name] = _raw_error(rack, name, ours, theirs, cells[0])
    return Agreement(counts, errors, values, theirs.lost)


def _raw_error(
    rack: Rack, name: str, ours: ConsoleTarget, theirs: ConsoleTarget, both: torch.Tensor
) -> tuple[float, int]:
    """Sum of absolute differences of raw values over nodes that both keep, and how many values these are."""
    if not bool(both.any()):
        return 0.0, 0
    raw = [rack[name].to_raw(target.params[name][both]) for target in (ours, theirs)]
    return float((raw[0] - raw[1]).abs().double().sum()), raw[0].numel()
