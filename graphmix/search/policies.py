"""Which processors to try to remove next: the three policies of section 3.2 of the pruning paper.

A policy proposes candidates and hears the verdict. All of its choices follow from a seed and from what it heard,
so that a policy which hears the same verdicts again stands where it stood: that is how a search resumes.
"""

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Candidate:
    """A processor that may be removed: its node, its type and its dry/wet weight."""

    node: int
    kind: str
    weight: float


class Policy(ABC):
    """One pruning round at a time: :meth:`begin`, then :meth:`propose` and :meth:`hear` until nothing is proposed."""

    @abstractmethod
    def begin(self, candidates: Sequence[Candidate], round_index: int, seed: int) -> None:
        """Start a round over all remaining processors."""

    @abstractmethod
    def propose(self) -> tuple[int, ...]:
        """Nodes to remove together next; empty when the round is over."""

    @abstractmethod
    def hear(self, kept: bool) -> None:
        """Were the proposed nodes removed for good (True), or put back (False)?"""

    def remaining(self) -> int:
        """About how many proposals are left in this round, for a progress bar; 1 if nobody knows."""
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

    def hear(self, kept: bool) -> None:
        """Go on either way."""
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

    def hear(self, kept: bool) -> None:
        """Take them off the list, or try fewer; then choose a type anew."""
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

    def hear(self, kept: bool) -> None:
        """Tell the round's policy."""
        self._policy.hear(kept)

    def remaining(self) -> int:
        """Of the round's policy."""
        return self._policy.remaining()


POLICIES: Mapping[str, type[Policy]] = {"brute-force": BruteForce, "dry-wet": DryWet, "hybrid": Hybrid}
