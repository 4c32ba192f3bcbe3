"""Refinement of candidates for a sound: trials and gradient descent by turns.

Gradients move numbers and not choices, and they end in the minimum next to them: a detuned oscillator, a ratio, a
module that should not be there. So a refinement goes through four stages:

1. *wide trials* (:mod:`graphmix.synthesizers.trials`) around the four nearest candidates. Each of them is replaced by a
   nearer trial of its own only, so that they stay different; one after the other is dropped, the farthest first;
2. *descent* (:mod:`graphmix.synthesizers.descent`) of the two that are left, in one batch;
3. *narrow trials* around these;
4. *descent* of the best one.

A step is one batch: :data:`TRIES` trials, which take no gradients, or one step of Adam of all patches of the stage, at
half of the cost or more.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphmix.errors import GraphmixError
from graphmix.processors.rack import Rack
from graphmix.progress import Listener, Silent
from graphmix.render.renderer import Renderer
from graphmix.synthesizers.candidates import Candidate, measure
from graphmix.synthesizers.descent import descend
from graphmix.synthesizers.sounds import Sound
from graphmix.synthesizers.synthesizer import Synthesizer
from graphmix.synthesizers.trials import NARROW, WIDE, Chances, neighbour

STARTS = 4
"""The nearest candidates of a synthesizer that are refined."""
TRIES = 16
"""Trials of a step."""
SAVE_EVERY = 10
"""Steps of trials between two states that can be resumed."""
RANK = 1.5
"""Exponent: the nearer a patch, the more of the trials are its neighbours."""


@dataclass(frozen=True)
class Stage:
    """Steps of one kind.

    Args:
        steps: of the stage.
        first, last: how many patches it begins and ends with.
        chances: of trials; None for a descent.
    """

    steps: int
    first: int
    last: int
    chances: Chances | None = None


def plan_stages(steps: int, trials: bool = True) -> tuple[Stage, ...]:
    """The stages of a refinement; without trials two descents, of all patches and of the best one.

    >>> [stage.steps for stage in plan_stages(200)]
    [80, 60, 20, 40]
    """
    if not trials:
        first = round(0.2 * steps)
        return Stage(first, STARTS, STARTS), Stage(steps - first, 1, 1)
    wide, down, narrow = round(0.4 * steps), round(0.3 * steps), round(0.1 * steps)
    return (
        Stage(wide, STARTS, 2, WIDE),
        Stage(down, 2, 2),
        Stage(narrow, 2, 2, NARROW),
        Stage(steps - wide - down - narrow, 1, 1),
    )


class Refinement:
    """A refinement that can be stopped, saved and resumed.

    Args:
        sound: to imitate.
        synthesizer: whose patches they are.
        candidates: one or more; the nearest are refined.
        steps: of all stages.
        seed: of the trials.
        trials: False for gradient descent alone, which leaves choices as they are.
        listener: shown the steps.

    Raises:
        GraphmixError: there is no candidate.
    """

    def __init__(
        self,
        sound: Sound,
        synthesizer: Synthesizer,
        candidates: Sequence[Candidate],
        steps: int,
        *,
        seed: int = 0,
        trials: bool = True,
        listener: Listener | None = None,
    ) -> None:
        if not candidates:
            raise GraphmixError(f"no patch of {synthesizer.name!r} that was tried made a sound; try more candidates.")
        self.sound, self.synthesizer, self.seed = sound, synthesizer, seed
        self.listener = listener or Silent()
        self.stages = plan_stages(steps, trials)
        self.renderer = Renderer(Rack.generators(sound.sample_rate))
        self.pool = _sorted(candidates)[:STARTS]
        self.proposed = self.pool[0].distance
        self.stage, self.step, self.inner = 0, 0, 0
        self.after: list[float] = []
        """Distances of the nearest patch after each stage."""
        self.history: list[tuple[int, float]] = [(0, self.best.distance)]

    @property
    def best(self) -> Candidate:
        """The nearest patch so far."""
        return self.pool[0]

    @property
    def done(self) -> bool:
        """True after the last stage."""
        return self.stage == len(self.stages)

    def run(self, until: int | None = None, on_save: Callable[[], None] | None = None) -> None:
        """Go through the stages, or up to the stage of a given number.

        Args:
            until: number of the stage before which to stop.
            on_save: called whenever :meth:`state` is one to resume from.
        """
        last = len(self.stages) if until is None else until
        while self.stage < last:
            stage = self.stages[self.stage]
            if stage.chances is None:
                self._descend(stage)
            elif self.inner < stage.steps:
                self._try(stage, stage.chances)
            if stage.chances is None or self.inner >= stage.steps:
                self.pool = self.pool[: stage.last]
                self.stage, self.inner = self.stage + 1, 0
                self.after.append(self.best.distance)
            if on_save is not None and self.inner % SAVE_EVERY == 0:
                on_save()

    def _try(self, stage: Stage, chances: Chances) -> None:
        """One batch of trials; each patch is replaced by the nearest of its own neighbours that is nearer."""
        count = math.ceil(stage.first - (stage.first - stage.last) * self.inner / stage.steps)
        pool = self.pool[: max(count, stage.last)]
        rng = np.random.default_rng([self.seed, self.step, *self.synthesizer.name.encode()])
        parents = [int(len(pool) * rng.random() ** RANK) for _ in range(TRIES)]
        values = [candidate.values for candidate in pool]
        tried = [neighbour(self.synthesizer, values[parent], values, chances, rng) for parent in parents]
        measured = measure(self.sound, self.synthesizer, tried, self.renderer)
        for parent, candidate in zip(parents, measured, strict=True):
            pool[parent] = min(pool[parent], candidate, key=lambda c: c.distance)
        self.pool = _sorted(pool)
        self.inner += 1
        self.step += 1
        self._report(self.step, self.best.distance)

    def _descend(self, stage: Stage) -> None:
        if stage.steps:
            first = self.step
            self.pool = _sorted(
                descend(
                    self.sound,
                    self.synthesizer,
                    self.pool[: stage.first],
                    stage.steps,
                    self.renderer,
                    lambda step, distance: self._report(first + step, distance),
                )
            )
            self.step += stage.steps

    def _report(self, step: int, distance: float) -> None:
        if step > self.history[-1][0]:
            self.history.append((step, min(distance, self.history[-1][1])))
        self.listener.progress(step, None, loss=self.history[-1][1])

    def state(self) -> dict[str, Any]:
        """JSON values from which :meth:`restore` resumes."""
        return {
            "proposed": self.proposed,
            "stage": self.stage,
            "step": self.step,
            "inner": self.inner,
            "pool": [{"values": dict(c.values), "distance": c.distance} for c in self.pool],
            "after": self.after,
            "history": [list(entry) for entry in self.history],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Put back what :meth:`state` gave, of a refinement of the same sound with the same settings.

        Raises:
            KeyError, TypeError, ValueError: it is none.
        """
        name = self.synthesizer.name
        self.pool = [Candidate(name, dict(entry["values"]), float(entry["distance"])) for entry in state["pool"]]
        self.stage, self.step, self.inner = (int(state[key]) for key in ("stage", "step", "inner"))
        self.proposed = float(state["proposed"])
        self.after = [float(distance) for distance in state["after"]]
        self.history = [(int(step), float(distance)) for step, distance in state["history"]]


def _sorted(candidates: Sequence[Candidate]) -> list[Candidate]:
    return sorted(candidates, key=lambda candidate: candidate.distance)
