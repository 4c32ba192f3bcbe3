"""Settings of a search, and the two presets."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Annotated, Any

from pydantic import ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic.dataclasses import dataclass

from graphmix.errors import SearchError
from graphmix.graph.consoles import CONSOLE_CHAIN, MASTER_CHAIN
from graphmix.search.objectives import OBJECTIVES, PAPER_OBJECTIVE, AudioLoss
from graphmix.search.policies import POLICIES, Policy
from graphmix.settings import EXPECTED, raising

Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0)]
Rate = Annotated[float, Field(gt=0)]
EVERY_TYPE = "full"
"""As ``types``: all processors of :meth:`graphmix.processors.Rack.full` that can stand in a chain."""
SEARCHES: Mapping[str, tuple[str, ...]] = {
    "prune": (),
    "moves": ("moves",),
    "wide": ("wide", "moves"),
    "relax": ("relax",),
    "all": ("relax", "moves"),
}
"""What a search may do -> what it does beside fitting and pruning: stages of :class:`graphmix.search.pruning.Search`,
and a console of all types (:mod:`graphmix.search.wide`)."""
_NEW = {
    "master": "",
    "audible_db": 0.0,
    "evaluated_segments": 0,
    "objective": PAPER_OBJECTIVE,
    "search": "prune",
    "types": "",
    "moves": 32,
    "minutes": 0.0,
    "sparse_last_round": True,
}
"""Settings that runs of earlier versions lack, and what they were there; absent where they are that."""


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][-1]) if first["loc"] else "the settings"
    if first["type"] == "value_error":
        return f"{first['ctx']['error']}"
    if first["type"] == "less_than":
        limit = "at least 0 and below 1" if name == "momentum" else f"below {first['ctx']['lt']}"
        return f"{name} is {first['input']!r}; it has to be {limit}."
    if name == "momentum" and first["type"] == "greater_than_equal":
        return f"{name} is {first['input']!r}; it has to be at least 0 and below 1."
    return f"{name} is {first['input']!r}; {EXPECTED.get(first['type'], first['msg'])}."


@raising(SearchError, _sentence)
@dataclass(frozen=True, config=ConfigDict(strict=True, extra="forbid", allow_inf_nan=False))
class SearchSettings:
    """How a song is mined; the defaults are the pruning paper's (sections 2.3 and 3).

    Args:
        chain: the processors on every track and bus, by letter or by name in brackets.
        master: the same of those behind the sum; the paper's console has none.
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
        sparse_last_round: weigh sparsity in the last round's training as well, as the paper does, though no trial
            follows that could make use of it.
        evaluate_every: steps between evaluations over the song; the best of them is kept.
        evaluated_segments: of a longer song, so many segments stand for it wherever losses are evaluated, until the
            search has ended; see :mod:`graphmix.search.chosen_segments`. 0: all.
        trial_segments: number of segments that stand for the song in trials; 0: those of all other losses.
        race: end a trial after the segments that show it to be clearly hopeless.
        audible_db: a removal does not stand if it changes what is audible of a track by more than this many dB;
            see :mod:`graphmix.search.audibility`. 0: only the loss decides, as in the paper.
        objective: name of what is minimised in :data:`graphmix.search.objectives.OBJECTIVES`.
        search: what is done beside pruning a fixed order, a key of :data:`SEARCHES`.
        types: processors that such a search may bring in, as a chain string, or :data:`EVERY_TYPE`; by default those of
            both chains.
        moves: how many are tried before each pruning round, where the search makes moves.
        minutes: of the search, after which it ends with the best graph so far; 0: as long as it takes.
        sample_rate: working rate in Hz.
        seed: of every random choice.
    """

    chain: str = CONSOLE_CHAIN
    master: str = ""
    policy: str = "hybrid"
    tolerance: Share = 0.01
    steps: Count = 6000
    rounds: Count = 12
    round_steps: Count = 500
    learning_rate: Rate = 0.01
    round_rate: Rate = 1.0
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    own_rates: bool = False
    final_rate: Rate = 1.0
    gain_staging: Share = 1e-3
    sparsity: Share = 1e-2
    ramp_steps: Positive = 4000
    sparse_last_round: bool = True
    evaluate_every: Positive = 250
    evaluated_segments: Count = 0
    trial_segments: Count = 0
    race: bool = False
    audible_db: Share = 0.0
    objective: str = PAPER_OBJECTIVE
    search: str = "prune"
    types: str = ""
    moves: Count = 32
    minutes: Share = 0.0
    sample_rate: Positive = 30000
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0

    @field_validator("policy", "objective", "search")
    @classmethod
    def _known(cls, value: str, info: ValidationInfo) -> str:
        names: dict[str, Iterable[str]] = {"policy": POLICIES, "objective": OBJECTIVES, "search": SEARCHES}
        known = names[str(info.field_name)]
        if value not in known:
            raise ValueError(f"there is no {info.field_name} {value!r}; choose one of: {', '.join(known)}.")
        return value

    @property
    def stages(self) -> tuple[str, ...]:
        """Stages of the search beside fitting and pruning."""
        return SEARCHES[self.search]

    @property
    def is_wide(self) -> bool:
        """Whether the console begins with the types that may be brought in; see :mod:`graphmix.search.wide`."""
        return "wide" in self.stages

    def new_loss(self, sample_rate: int | None = None) -> AudioLoss:
        """What is minimised, for a sample rate in Hz; for that of the search by default."""
        return OBJECTIVES[self.objective](sample_rate or self.sample_rate)

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
        if not self.sparse_last_round and step >= self.steps + (self.rounds - 1) * self.round_steps:
            return 0.0
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
        """JSON values; without what runs of earlier versions had not, where it is not used."""
        return {name: value for name, value in asdict(self).items() if name not in _NEW or value != _NEW[name]}


def complete(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a run with what runs of earlier versions lack, as :meth:`SearchSettings.to_dict` leaves it out."""
    return {**_NEW, **settings}


@dataclass(frozen=True)
class LookFor:
    """What a search looks for beside the console's processors, in files and in the mix.

    Args:
        align: where mix and tracks lie; see :mod:`graphmix.search.alignment`.
        rides: gains that move; see :mod:`graphmix.search.rides`.
        ducking: tracks that make way for others; see :mod:`graphmix.search.ducking`.
        sends: letters of effects that tracks may share; see :mod:`graphmix.search.sends`.
    """

    align: bool = True
    rides: bool = True
    ducking: bool = True
    sends: str = ""

    @property
    def grows(self) -> bool:
        """Whether the search looks for more than the console has."""
        return self.rides or self.ducking or bool(self.sends)

    def unusual(self) -> dict[str, Any]:
        """What differs from the default, for ``run.json``: runs of earlier versions have none of it."""
        usual = LookFor()
        return {name: value for name, value in asdict(self).items() if value != getattr(usual, name)}

    @classmethod
    def of_run(cls, run: Mapping[str, Any]) -> "LookFor":
        """The inverse of :meth:`unusual`, from the entries of a run."""
        return cls(**{name: run[name] for name in asdict(cls()) if name in run})


PAPER = SearchSettings()
DRAFT = SearchSettings(
    master=MASTER_CHAIN,
    steps=200,
    rounds=4,
    round_steps=50,
    ramp_steps=133,
    sparse_last_round=False,
    learning_rate=0.07,
    round_rate=0.4,
    momentum=0.8,
    own_rates=True,
    final_rate=0.01,
    evaluate_every=50,
    evaluated_segments=16,
    trial_segments=8,
    race=True,
    audible_db=1.0,
)
"""Minutes on two cores."""
PRESETS: dict[str, SearchSettings] = {"draft": DRAFT, "paper": PAPER}
"""Name -> settings, as `--preset` takes them."""
