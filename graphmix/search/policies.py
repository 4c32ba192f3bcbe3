"""Which processors to try to remove next: the three policies of section 3.2 of the pruning paper, and two more.

A policy proposes candidates and is updated with the outcome. All of its choices follow from a seed and from the
outcomes, so that a policy which gets the same outcomes again is in the same state: that is how a search resumes.
"""

import random
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Needs = Literal["nothing", "leave-one-out", "gradient"]


@dataclass(frozen=True)
class Candidate:
    """A processor that may be removed.

    Args:
        node: its number.
        kind: its type.
        weight: its dry/wet weight.
        importance: what the policy asked for in :attr:`Policy.needs`; 0 if nothing.
    """

    node: int
    kind: str
    weight: float
    importance: float = 0.0


class Policy(ABC):
    """One pruning round at a time: :meth:`begin`, then :meth:`propose` and :meth:`update` until nothing is proposed."""

    needs: Needs = "nothing"
    """Importance of the candidates: the increase of the loss when one is removed (equation 9), or the first-order
    estimate of it from one backward pass. With the first, candidates that are clearly too important are not offered.
    """

    @abstractmethod
    def begin(self, candidates: Sequence[Candidate], round_index: int, seed: int) -> None:
        """Start a round over all remaining processors."""

    @abstractmethod
    def propose(self) -> tuple[int, ...]:
        """Nodes to remove together next; empty when the round is over."""

    @abstractmethod
    def update(self, kept: bool) -> None:
        """Take note of a trial: whether the proposed nodes were removed for good (True) or put back (False)."""

    def exclude(self, nodes: Collection[int]) -> None:
        """Take note of a trial that failed because of some of its nodes alone, which stay for this round.

        By default this is a trial that failed.
        """
        self.update(False)

    def remaining(self) -> int:
        """About how many proposals are left in this round, for a progress bar; 1 if unknown."""
        return 1


class BruteForce(Policy):
    """Every processor once, one by one, in random order."""

    def begin(self, candidates: Sequence[Candidate], round_index: int, seed: int) -> None:
        """Shuffle."""
        self._waiting = [c.node for c in candidates]
        random.Random(f"{seed} {round_index}").shuffle(self._waiting)

    def propose(self) -> tuple[int, ...]:
        """The next one."""
        return tuple(self._waiting[-1:])

    def update(self, kept: bool) -> None:
        """Drop it from the list either way."""
        self._waiting.pop()

    def remaining(self) -> int:
        """As many as processors wait."""
        return len(self._waiting)


class DryWet(Policy):
    """The least-weight processors of a random type, several at once (algorithm 3).

    A type starts with a tenth of its processors at a time. A failure halves the number; a failure with a single
    one ends the type for this round.
    """

    fraction = 0.1

    def begin(self, candidates: Sequence[Candidate], round_index: int, seed: int) -> None:
        """Sort each type by weight and set its number of candidates."""
        by_kind: dict[str, list[Candidate]] = {}
        for candidate in candidates:
            by_kind.setdefault(candidate.kind, []).append(candidate)
        self._waiting = {
            kind: [c.node for c in sorted(group, key=lambda c: (c.weight, c.node))] for kind, group in by_kind.items()
        }
        self._count = {kind: max(1, int(len(group) * self.fraction)) for kind, group in by_kind.items()}
        self._random = random.Random(f"{seed} {round_index}")
        self._choose()

    def _choose(self) -> None:
        self._kind = self._random.choice(sorted(self._waiting)) if self._waiting else ""

    def propose(self) -> tuple[int, ...]:
        """The least-weight processors of the chosen type."""
        return tuple(self._waiting[self._kind][: self._count[self._kind]]) if self._kind else ()

    def update(self, kept: bool) -> None:
        """Take them off the list, or try fewer; then choose a type again."""
        kind, tried = self._kind, len(self.propose())
        if kept:
            del self._waiting[kind][:tried]
            if not self._waiting[kind]:
                del self._waiting[kind]
        elif tried > 1:
            self._count[kind] = tried // 2
        else:
            del self._waiting[kind]
        self._choose()

    def exclude(self, nodes: Collection[int]) -> None:
        """Take these off the list, and go on with the others of their type; then choose a type again."""
        left = [node for node in self._waiting[self._kind] if node not in nodes]
        if left:
            self._waiting[self._kind] = left
        else:
            del self._waiting[self._kind]
        self._choose()

    def remaining(self) -> int:
        """As many as it takes if all of them succeed; failures make a round shorter."""
        return sum(-(-len(nodes) // self._count[kind]) for kind, nodes in self._waiting.items())


class Hybrid(Policy):
    """Dry/wet, with brute force in every fourth round."""

    every = 4

    def begin(self, candidates: Sequence[Candidate], round_index: int, seed: int) -> None:
        """Choose the round's policy."""
        self._policy: Policy = BruteForce() if (round_index + 1) % self.every == 0 else DryWet()
        self._policy.begin(candidates, round_index, seed)

    def propose(self) -> tuple[int, ...]:
        """What the round's policy proposes."""
        return self._policy.propose()

    def update(self, kept: bool) -> None:
        """Pass it on to the round's policy."""
        self._policy.update(kept)

    def exclude(self, nodes: Collection[int]) -> None:
        """Pass it on to the round's policy."""
        self._policy.exclude(nodes)

    def remaining(self) -> int:
        """Number of proposals left in the round's policy."""
        return self._policy.remaining()


class LeaveOneOut(Policy):
    """Least important first, in growing batches; of a batch that fails, bisection finds one that has to stay.

    Of what failed, the first half is tried. If it goes, the other half is what fails now: to remove it as well would be
    to remove the batch. If it stays, the other half waits again. The one that is left in the end stays for this round,
    and is not tried again.
    """

    needs: Needs = "leave-one-out"
    first_batch = 4

    def begin(self, candidates: Sequence[Candidate], round_index: int, seed: int) -> None:
        """Sort by importance."""
        self._waiting = [c.node for c in sorted(candidates, key=lambda c: (c.importance, c.weight, c.node))]
        self._failed: list[int] = []
        self._size = self.first_batch

    def propose(self) -> tuple[int, ...]:
        """Half of what failed, or the next batch."""
        return tuple(self._failed[: len(self._failed) // 2] or self._waiting[: self._size])

    def update(self, kept: bool) -> None:
        """Grow after a batch that went, shrink after one that did not; bisect."""
        batch = list(self.propose())
        if self._failed:
            rest = self._failed[len(batch) :]
        else:
            del self._waiting[: len(batch)]
            self._size = 2 * len(batch) if kept else max(1, len(batch) // 2)
            rest = []
        if kept:
            self._failed = rest
        else:
            self._failed, self._waiting = batch, rest + self._waiting
        if len(self._failed) == 1:
            self._failed = []

    def remaining(self) -> int:
        """As many as it takes if all succeed."""
        return max(0, len(self._failed) - 1).bit_length() + -(-len(self._waiting) // self._size)


class FirstOrder(LeaveOneOut):
    """The same by first-order importance ``|w dL/dw|`` from one backward pass: cheaper, and less exact."""

    needs = "gradient"


POLICIES: Mapping[str, type[Policy]] = {
    "brute-force": BruteForce,
    "dry-wet": DryWet,
    "hybrid": Hybrid,
    "leave-one-out": LeaveOneOut,
    "first-order": FirstOrder,
}
"""By name, as settings and the command line call them."""
