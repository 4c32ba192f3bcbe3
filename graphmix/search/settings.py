"""Settings of a search, and the two presets."""

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from graphmix.errors import SearchError
from graphmix.graph.consoles import CONSOLE_CHAIN
from graphmix.search.policies import POLICIES, Policy

_WHOLE = (
    "steps",
    "rounds",
    "round_steps",
    "ramp_steps",
    "evaluate_every",
    "trial_segments",
    "sample_rate",
    "seed",
)


@dataclass(frozen=True)
class SearchSettings:
    """How a song is mined; the defaults are the pruning paper's (sections 2.3 and 3).

    Args:
        chain: letters of the processors on every track and bus.
        policy: name of the pruning policy in :data:`graphmix.search.policies.POLICIES`.
        tolerance: tau of equation 7.
        steps: gradient steps on the full console.
        rounds: pruning rounds; 0 leaves the console as it is.
        round_steps: gradient steps after each round.
        learning_rate: of AdamW, in raw units a step.
        round_rate: share of the learning rate with which a round's training begins.
        momentum: of AdamW, its first beta.
        own_rates: let every kind of parameter move at a rate of its own, as its processor says; all move alike in the
            paper.
        final_rate: share of the learning rate that is left at the end of each training, reached by half a cosine;
            1 keeps the rate constant, as the paper does.
        gain_staging: alpha_g of equation 6.
        sparsity: alpha_p of equation 8 at the end of its ramp.
        ramp_steps: steps after the console's training over which alpha_p grows from 0.
        evaluate_every: steps between evaluations over the whole song; the best of them is kept.
        trial_segments: judge trials on so many of the song's segments, evenly spread; 0 takes the whole song.
        race: end a trial after the segments that show it to be clearly hopeless.
        sample_rate: working rate in Hz.
        seed: of every random choice.
    """

    chain: str = CONSOLE_CHAIN
    policy: str = "hybrid"
    tolerance: float = 0.01
    steps: int = 6000
    rounds: int = 12
    round_steps: int = 500
    learning_rate: float = 0.01
    round_rate: float = 1.0
    momentum: float = 0.9
    own_rates: bool = False
    final_rate: float = 1.0
    gain_staging: float = 1e-3
    sparsity: float = 1e-2
    ramp_steps: int = 4000
    evaluate_every: int = 250
    trial_segments: int = 0
    race: bool = False
    sample_rate: int = 30000
    seed: int = 0

    def __post_init__(self) -> None:
        for name in _WHOLE:
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool):
                raise SearchError(f"{name} is {value!r}; it is a whole number.")
        for name in ("own_rates", "race"):
            if not isinstance(getattr(self, name), bool):
                raise SearchError(f"{name} is {getattr(self, name)!r}; it is True or False.")
        for name in ("tolerance", "learning_rate", "round_rate", "momentum", "final_rate", "gain_staging", "sparsity"):
            if not math.isfinite(getattr(self, name)):
                raise SearchError(f"{name} is {getattr(self, name)}; it is a finite number.")
        if self.seed >= 2**63:
            raise SearchError(f"seed is {self.seed}; it has to be below 2 ** 63.")
        for name in (
            "steps",
            "rounds",
            "round_steps",
            "seed",
            "tolerance",
            "gain_staging",
            "sparsity",
            "trial_segments",
        ):
            if getattr(self, name) < 0:
                raise SearchError(f"{name} is {getattr(self, name)}; it cannot be negative.")
        for name in ("learning_rate", "round_rate", "final_rate", "evaluate_every", "sample_rate", "ramp_steps"):
            if not getattr(self, name) > 0:
                raise SearchError(f"{name} is {getattr(self, name)}; it must be above 0.")
        if not 0 <= self.momentum < 1:
            raise SearchError(f"momentum is {self.momentum}; it is at least 0 and below 1.")
        if self.policy not in POLICIES:
            raise SearchError(f"there is no policy {self.policy!r}; choose one of: {', '.join(POLICIES)}.")

    def new_policy(self) -> Policy:
        """A policy object for one search."""
        return POLICIES[self.policy]()

    def rate_at(self, progress: float, in_round: bool = False) -> float:
        """Learning rate when a share of a training's steps is done, the console's or a round's."""
        fall = 0.5 + 0.5 * math.cos(math.pi * min(1.0, progress))
        first = self.learning_rate * (self.round_rate if in_round else 1.0)
        return first * (self.final_rate + (1 - self.final_rate) * fall)

    def sparsity_at(self, step: int) -> float:
        """alpha_p at a step of the whole search: 0 on the console, then a linear ramp (section 3.3)."""
        return self.sparsity * min(1.0, max(0, step - self.steps) / self.ramp_steps)

    def scaled(self, steps: int | None = None, rounds: int | None = None) -> "SearchSettings":
        """Another budget in the paper's proportions: as many steps after the rounds as before them."""
        if steps is None and rounds is None:
            return self
        rounds = self.rounds if rounds is None else rounds
        total = self.steps if steps is None else steps
        per_round = max(1, round(total / rounds)) if rounds and total else 0
        ramp = max(1, round(per_round * rounds * 2 / 3))
        every = max(1, min(self.evaluate_every, total // 4 or 1))
        return replace(self, steps=total, rounds=rounds, round_steps=per_round, ramp_steps=ramp, evaluate_every=every)

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


PAPER = SearchSettings()
DRAFT = SearchSettings(
    steps=200,
    rounds=4,
    round_steps=50,
    ramp_steps=133,
    learning_rate=0.07,
    round_rate=0.4,
    momentum=0.8,
    own_rates=True,
    final_rate=0.01,
    evaluate_every=50,
    trial_segments=8,
    race=True,
)
"""Minutes on two cores."""
PRESETS: dict[str, SearchSettings] = {"draft": DRAFT, "paper": PAPER}
