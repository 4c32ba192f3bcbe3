"""The whole search as a state machine: train the console, then rounds of trials and training (algorithm 1).

Every step and every trial leaves the :class:`SearchState` in a place from which another process can resume; the
caller decides when to write it.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import torch

from graphmix.audio.song import Song
from graphmix.graph.mixgraph import MixGraph
from graphmix.processes import give_back_memory
from graphmix.processors.rack import Rack
from graphmix.progress import Listener, Silent
from graphmix.search.audibility import Audibility
from graphmix.search.ducking import grow_ducking
from graphmix.search.fit import Training
from graphmix.search.losses import LossTerms
from graphmix.search.moves_stage import make_moves, with_processors
from graphmix.search.objective import Objective
from graphmix.search.policies import Policy
from graphmix.search.relaxation_stage import relax
from graphmix.search.rides import Grown, grow_rides
from graphmix.search.rounds import PruningRound, count_processors, pruning_ratio, trial_segments
from graphmix.search.search_state import ScoredGraph, SearchState, grown_processors
from graphmix.search.sends import add_returns, keep_returns, without_unfed
from graphmix.search.settings import LookFor, SearchSettings

NOTHING = LookFor(align=False, rides=False, ducking=False)
RIDE_PASSES = 3
"""How often rides are looked for: before the console is fitted, then, and once more where some were found then."""


class Search:
    """Carries a state from wherever it is to the end.

    Args:
        objective: the song and its losses.
        settings: budget, policy, tolerance, seed.
        state: where to begin; its current graph is the console, started or fitted.
        listener: shown the progress.
        save: called with the state after every step and trial; decides itself whether to write.
        policy: instead of the one that the settings name.
        look_for: what may be added to the console; nothing by default.
    """

    def __init__(
        self,
        objective: Objective,
        settings: SearchSettings,
        state: SearchState,
        listener: Listener | None = None,
        save: Callable[[SearchState], None] | None = None,
        policy: Policy | None = None,
        look_for: LookFor = NOTHING,
    ) -> None:
        self.objective, self.settings, self.state, self.look_for = objective, settings, state, look_for
        for processor in grown_processors(objective.rack):  # resumed
            if processor.node_type.name in state.current.graph.params:
                self.objective = self.objective.with_processor(processor)
        if settings.stages:
            self.objective = with_processors(self.objective, settings)
        self.listener: Listener = listener or Silent()
        self.save = save or (lambda state: None)
        self.policy = policy
        if not state.counts:
            state.counts = count_processors(state.current.graph)

    def run(self) -> SearchState:
        """Run until the search is done."""
        while self.state.phase != "done":
            give_back_memory()
            self.stage(self.state.phase)
            self.save(self.state)
        return self.state

    def stage(self, phase: str) -> None:
        """Carry out one phase, which says in the state what comes next."""
        stages: dict[str, Callable[[], None]] = {
            "train": self._train,
            "rides": self._ride,
            "trials": self._try,
            "moves": partial(make_moves, self),
            "relax": partial(relax, self),
        }
        stages[phase]()

    def _train(self) -> None:
        state, settings = self.state, self.settings
        fitted = state.round or state.ride_passes > 1
        steps = settings.round_steps if fitted else settings.steps
        # not state.step, which lies between these steps where a search is resumed
        first = settings.steps + max(0, state.round - 1) * settings.round_steps if fitted else 0
        started = time.perf_counter()
        training = self._begin_training(first, steps)
        name = f"fine-tuning {state.round}/{settings.rounds}" if state.round else "fitting the console"
        name = "fitting the rides" if fitted and not state.round else name
        self.listener.phase(name, steps, training.step - first)
        while not training.done and not self.is_late:
            evaluated = training.advance()
            started = self.clock("rounds" if state.round else "console", started)
            if evaluated is not None:
                self.note(
                    "train",
                    loss=float(evaluated.total),
                    train_loss=training.last_train_loss if math.isfinite(training.last_train_loss) else None,
                    wet=training.mean_weights(),
                    step=training.step,
                )
            self._keep(training)
            self.save(state)
            self.listener.progress(
                training.step - first, steps, loss=training.last_train_loss, best=float(training.best_loss.total)
            )
        if not training.done:
            training.stop()
            self._keep(training)
            self._stop(name)
        self._finish_training(training)

    def _begin_training(self, first: int, steps: int) -> Training:
        """A new training of the current graph, or the one that the state was saved in."""
        state = self.state
        resumed = state.best if state.training else None
        loss = None if resumed is None else resumed.terms
        training = Training(self.objective, state.current.graph, self.settings, first, steps, loss)
        if resumed is not None:
            training.restore(state.tensors, state.training)
            training.best_graph = resumed.graph
        else:
            self._keep(training)
        return training

    def _keep(self, training: Training) -> None:
        """Put where the training stands into the state."""
        state = self.state
        state.tensors, state.training = training.state()
        state.best = ScoredGraph(training.best_graph, training.best_loss)
        state.step = training.step

    def _finish_training(self, training: Training) -> None:
        state = self.state
        state.current = state.best = ScoredGraph(training.best_graph, training.best_loss)
        state.tensors, state.training, state.verdicts = {}, {}, []
        if state.round == 0:
            if self.look_for.grows and state.ride_passes < RIDE_PASSES and not self.is_late:
                state.phase = "rides"
            else:
                self._finish_console()
            return
        graph = state.current.graph
        self.note(
            "round",
            round=state.round,
            ratio=pruning_ratio(graph, state.counts),
            loss=float(state.current.terms.total),
            processors=sum(count_processors(graph).values()),
            weights_left=_weights(graph),
        )
        state.phase = "done" if state.round >= self.settings.rounds or self.is_late else self.next_stage

    def _finish_console(self) -> None:
        """The console is fitted: from here on it is pruned."""
        state = self.state
        self.begin_pruning()
        state.console = state.current
        self.note("evaluate", loss=float(state.current.terms.total), weights_left=_weights(state.current.graph))
        state.phase = self.next_stage if self.settings.rounds and not self.is_late else "done"

    @property
    def next_stage(self) -> str:
        """The phase with which a pruning round begins."""
        stages, is_last = self.settings.stages, self.state.round == self.settings.rounds - 1
        if "relax" in stages and is_last and not self.state.relaxation.get("over"):
            return "relax"
        waits = self.settings.is_wide and not is_last
        return "moves" if "moves" in stages and not waits else "trials"

    @property
    def is_late(self) -> bool:
        """Whether the search has used up its minutes."""
        minutes = self.settings.minutes
        return minutes > 0 and sum(self.state.seconds.values()) >= 60 * minutes

    def _stop(self, where: str) -> None:
        """Note, once, that the search ends early."""
        if all(record["event"] != "stopped" for record in self.state.trace):
            self.note("stopped", where=where, minutes=self.settings.minutes)

    def _ride(self) -> None:
        """Insert what ducks, is shared, or moves where the song needs it, which is then fitted with all else."""
        state, wanted, started = self.state, self.look_for, time.perf_counter()
        self.listener.phase("looking for ducking, sends, rides", None)
        before_the_fit, kept = state.ride_passes == 0, 0
        if wanted.sends and state.ride_passes > 1:
            self._grow("return", keep_returns)
        if wanted.ducking and state.ride_passes < 2:
            kept += self._grow("ducking", grow_ducking)
        if wanted.sends and state.ride_passes == 1:
            kept += self._grow("return", partial(add_returns, sends=wanted.sends))
        if wanted.rides:
            kept += self._grow("ride", partial(grow_rides, early=before_the_fit))
        self.clock("rides", started)
        state.ride_passes += 1
        if kept or before_the_fit:
            state.phase = "train"
        else:
            self._finish_console()

    def _grow(self, event: str, grow: Callable[..., Grown]) -> int:
        """Take over what a way of growing makes of the graph, and return how much of it stays."""
        state = self.state
        grown = grow(self.objective, state.current.graph, loss=state.current.loss)
        for trial in grown.trials:
            self.note(event, **trial)
        if grown.graph is not state.current.graph:
            self.objective = grown.objective
            counts = count_processors(grown.graph)
            known = count_processors(state.current.graph)
            state.counts |= {
                name: state.counts.get(name, 0) + count - known.get(name, 0)
                for name, count in counts.items()
                if count != known.get(name, 0)
            }
            state.current = ScoredGraph(grown.graph, grown.loss)
        return grown.kept

    def begin_pruning(self) -> None:
        """The losses that pruning is measured against: on the trial segments and on those of all losses."""
        state, segments = self.state, trial_segments(self.objective, self.settings.trial_segments)
        state.whole_minimum = state.minimum = float(state.current.terms.total)
        if len(segments) < len(self.objective.evaluated):
            state.minimum = float(self.objective.evaluate(state.current.graph, segments).total)

    def _try(self) -> None:
        state, settings = self.state, self.settings
        assert state.minimum is not None, "pruning begins after the console's training"
        assert state.whole_minimum is not None, "pruning begins after the console's training"
        policy = self.policy or settings.new_policy()
        graph, audibility = state.current.graph, self.audibility
        trials = PruningRound(
            self.objective, graph, policy, settings, state.round, state.minimum, audibility=audibility
        )
        self.listener.phase(f"pruning {state.round + 1}/{settings.rounds}", None, len(state.verdicts))
        started = time.perf_counter()
        trials.begin()
        trials.replay(state.verdicts)
        while not self.is_late and (record := trials.advance()) is not None:
            started = self.clock("trials", started)
            record["candidates"] = [trials.graph.describe(node) for node in record["candidates"]]
            self.note(**record)
            state.verdicts.append(trials.verdict)
            self.save(state)
            done = len(state.verdicts)
            self.listener.progress(done, done + policy.remaining(), loss=trials.loss, removed=len(trials.removed))
        if self.is_late:
            self._stop(f"pruning {state.round + 1}/{settings.rounds}")
        if not trials.uses_whole_song:
            restored = trials.restore(state.whole_minimum)
            self.note("restored", round=state.round + 1, processors=restored)
        self.clock("trials", started)
        state.minimum = trials.minimum
        state.current = ScoredGraph(without_unfed(trials.result()) if self.look_for.sends else trials.result())
        state.round += 1
        state.phase, state.verdicts = "train", []

    @cached_property
    def audibility(self) -> Audibility | None:
        """Of the fitted console, if trials are judged track by track; measured once in a search."""
        limit = self.settings.audible_db
        if not limit:
            return None
        assert self.state.console is not None, "pruning begins after the console's training"
        segments = trial_segments(self.objective, self.settings.trial_segments)
        return Audibility(self.objective, self.state.console.graph, segments, limit)

    def note(self, event: str, **values: Any) -> None:
        """Put a record into the trace."""
        self.state.trace.append({"event": event, "step": self.state.step, **values})

    def clock(self, phase: str, started: float) -> float:
        """Count the seconds since a moment for a phase, and return the moment."""
        now = time.perf_counter()
        self.state.seconds[phase] = self.state.seconds.get(phase, 0.0) + now - started
        return now


def _weights(graph: MixGraph) -> list[float]:
    """Dry/wet weights in node order, for the trace."""
    return [round(float(weight), 3) for weight in graph.wet]


@dataclass(frozen=True)
class Pruned:
    """A pruned graph, its loss over the song, and every decision."""

    graph: MixGraph
    loss: LossTerms
    trace: tuple[dict[str, Any], ...]

    def __repr__(self) -> str:
        trials = [record for record in self.trace if record["event"] == "trial"]
        removals = sum(record["kept"] for record in trials)
        nodes, loss = self.graph.num_nodes, float(self.loss.total)
        return f"Pruned(graph of {nodes} nodes, loss {loss:.4f}, {removals} of {len(trials)} trials kept)"


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
        settings: rounds, steps, tolerance, policy, objective, seed; the paper's by default.
        tolerance: instead of the settings'.
        policy: instead of the one that the settings name.
        listener: shown the progress.
        device: where to compute.
    """
    settings = settings or SearchSettings()
    if tolerance is not None:
        settings = replace(settings, tolerance=tolerance)
    minimised = settings.new_loss(song.sample_rate)
    objective = Objective(song, rack, device, minimised, evaluated=settings.evaluated_segments)
    fitted = ScoredGraph(graph, objective.evaluate(graph))
    state = SearchState(
        fitted, "trials" if settings.rounds else "done", step=settings.steps, best=fitted, console=fitted
    )
    search = Search(objective, settings, state, listener, policy=policy)
    search.begin_pruning()
    result = search.run()
    graph = result.current.graph
    loss = objective.evaluate_whole(graph) if objective.is_sampled else result.current.terms
    return Pruned(graph, loss, tuple(result.trace))
