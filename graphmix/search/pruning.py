"""The whole search as a state machine: train the console, then rounds of trials and training (algorithm 1).

Every step and every trial leaves the :class:`SearchState` in a place from which another process can go on; whoever
runs the search decides when to write it down.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from graphmix.audio.song import Song
from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.rack import Rack
from graphmix.progress import Listener, Silent
from graphmix.search.fit import Training
from graphmix.search.losses import LossTerms
from graphmix.search.objective import Objective
from graphmix.search.policies import Policy
from graphmix.search.rounds import PruningRound, count_processors, pruning_ratio, trial_segments
from graphmix.search.search_state import SearchState
from graphmix.search.settings import SearchSettings


class Search:
    """Carries a state from wherever it is to the end.

    Args:
        objective: the song and its losses.
        settings: budget, policy, tolerance, seed.
        state: where to begin; its ``current`` graph is the console, started or fitted.
        listener: shown the progress.
        save: called with the state after every step and trial; decides itself whether to write.
        policy: instead of the one that the settings name.
    """

    def __init__(
        self,
        objective: Objective,
        settings: SearchSettings,
        state: SearchState,
        listener: Listener | None = None,
        save: Callable[[SearchState], None] | None = None,
        policy: Policy | None = None,
    ) -> None:
        self.objective, self.settings, self.state = objective, settings, state
        self.listener: Listener = listener or Silent()
        self.save = save or (lambda state: None)
        self.policy = policy
        if not state.counts:
            state.counts = count_processors(state.graphs["current"])

    def run(self) -> SearchState:
        """Go on until the search is done."""
        while self.state.phase != "done":
            if self.state.phase == "train":
                self._train()
            else:
                self._try()
            self.save(self.state)
        return self.state

    def _train(self) -> None:
        state, settings = self.state, self.settings
        steps = settings.round_steps if state.round else settings.steps
        # not state.step, which lies amid these steps where a search is resumed
        first = settings.steps + (state.round - 1) * settings.round_steps if state.round else 0
        graph = state.graphs["current"]
        known = state.losses.get("best") if state.training else None
        loss = None if known is None else LossTerms(*(torch.tensor(x, dtype=torch.float64) for x in known))
        started = time.perf_counter()
        training = Training(self.objective, graph, settings, first, steps, loss)
        if state.training:
            training.restore(state.tensors, state.training)
            training.best_graph = state.graphs["best"]
        else:
            self._keep(training)
        name = f"fine-tuning {state.round}/{settings.rounds}" if state.round else "fitting the console"
        self.listener.phase(name, steps, training.step - first)
        while not training.done:
            evaluated = training.advance()
            started = self._clock("rounds" if state.round else "console", started)
            if evaluated is not None:
                self._note(
                    "train",
                    loss=float(evaluated.total),
                    train_loss=training.last_train_loss,
                    wet=training.mean_weights(),
                    step=training.step,
                )
            self._keep(training)
            self.save(state)
            self.listener.progress(
                training.step - first, steps, loss=training.last_train_loss, best=float(training.best_loss.total)
            )
        self._finish_training(training)

    def _keep(self, training: Training) -> None:
        """Put where the training stands into the state."""
        state = self.state
        state.tensors, state.training = training.state()
        state.graphs["best"] = training.best_graph
        state.losses["best"] = [float(x) for x in training.best_loss]
        state.step = training.step

    def _finish_training(self, training: Training) -> None:
        state = self.state
        state.graphs["current"], state.graphs["best"] = training.best_graph, training.best_graph
        state.losses["current"] = [float(x) for x in training.best_loss]
        state.tensors, state.training, state.verdicts = {}, {}, []
        if state.round == 0:
            self._finish_console()
        else:
            graph = state.graphs["current"]
            self._note(
                "round",
                round=state.round,
                ratio=pruning_ratio(graph, state.counts),
                loss=state.losses["current"][0],
                processors=sum(count_processors(graph).values()),
            )
        state.phase = "done" if state.round >= self.settings.rounds else "trials"

    def _finish_console(self) -> None:
        state = self.state
        state.losses["console"] = state.losses["current"]
        self.begin_pruning()
        state.graphs["console"] = state.graphs["current"]
        self._note("evaluate", loss=state.losses["current"][0])

    def begin_pruning(self) -> None:
        """The losses that pruning is measured against: on the trial segments and over the whole song."""
        losses, segments = self.state.losses, trial_segments(self.objective, self.settings.trial_segments)
        losses["whole_minimum"] = losses["minimum"] = losses["current"][0]
        if len(segments) < len(self.objective.segments):
            losses["minimum"] = float(self.objective.evaluate(self.state.graphs["current"], segments).total)

    def _try(self) -> None:
        state, settings = self.state, self.settings
        policy = self.policy or settings.new_policy()
        minimum = float(state.losses["minimum"])
        trials = PruningRound(self.objective, state.graphs["current"], policy, settings, state.round, minimum)
        self.listener.phase(f"pruning {state.round + 1}/{settings.rounds}", None, len(state.verdicts))
        started = time.perf_counter()
        trials.begin()
        trials.replay(state.verdicts)
        while (record := trials.advance()) is not None:
            started = self._clock("trials", started)
            record["candidates"] = [trials.graph.describe(node) for node in record["candidates"]]
            self._note(**record)
            state.verdicts.append(trials.verdict)
            self.save(state)
            done = len(state.verdicts)
            self.listener.progress(done, done + policy.remaining(), loss=trials.loss, removed=len(trials.removed))
        if not trials.hears_all:
            restored = trials.restore(float(state.losses["whole_minimum"]))
            self._note("restored", round=state.round + 1, processors=restored)
        self._clock("trials", started)
        state.losses["minimum"] = trials.minimum
        state.graphs["current"] = trials.result()
        state.round += 1
        state.phase, state.verdicts = "train", []

    def _note(self, event: str, **values: Any) -> None:
        self.state.trace.append({"event": event, "step": self.state.step, **values})

    def _clock(self, phase: str, started: float) -> float:
        now = time.perf_counter()
        self.state.seconds[phase] = self.state.seconds.get(phase, 0.0) + now - started
        return now


@dataclass(frozen=True)
class Pruned:
    """What pruning gives: the sparse graph, its loss over the song, and every decision."""

    graph: MixGraph
    loss: LossTerms
    trace: tuple[dict[str, Any], ...]


def prune(
    graph: MixGraph,
    song: Song,
    rack: Rack,
    settings: SearchSettings | None = None,
    *,
    tolerance: float | None = None,
    policy: Policy | None = None,
    listener: Listener | None = None,
    device: torch.device | str = "cpu",
) -> Pruned:
    """Prune a fitted graph in rounds of trials and training (algorithm 1).

    Args:
        graph: fitted, e.g. by :func:`graphmix.search.fit`.
        song: tracks and mix.
        rack: the processors.
        settings: rounds, steps, tolerance, policy, seed; the paper's by default.
        tolerance: instead of the settings'.
        policy: instead of the one that the settings name.
        listener: shown the progress.
        device: where to compute.
    """
    settings = settings or SearchSettings()
    if tolerance is not None:
        settings = replace(settings, tolerance=tolerance)
    objective = Objective(song, rack, device)
    losses = {"current": [float(x) for x in objective.evaluate(graph)]}
    phase = "trials" if settings.rounds else "done"
    state = SearchState(phase, 0, settings.steps, {"current": graph, "best": graph}, losses=losses)
    search = Search(objective, settings, state, listener, policy=policy)
    search.begin_pruning()
    state = search.run()
    terms = LossTerms(*(torch.tensor(x, dtype=torch.float64) for x in state.losses["current"]))
    return Pruned(state.graphs["current"], terms, tuple(state.trace))
