"""Pruning a fitted console to the few processors that matter (algorithms 1 and 3 of the pruning paper).

A round tries to remove candidates, one proposal of its policy after another. A removal stands if the loss over the
song stays below the smallest loss so far plus the tolerance; then the remaining graph is trained again. A trial
renders only what it touches: see :mod:`graphmix.search.trial_losses`.
"""

import time
from collections.abc import Sequence
from typing import Any

from graphmix.audio.segments import EvalSegment
from graphmix.errors import SearchError
from graphmix.graph.editing import remove_nodes
from graphmix.graph.mixgraph import MixGraph
from graphmix.search.audibility import Audibility, RoundAudibility, TrackVerdict
from graphmix.search.objective import Objective
from graphmix.search.policies import Candidate, Policy
from graphmix.search.settings import SearchSettings
from graphmix.search.trial_losses import Judge, hopeless_above


def prunable_nodes(graph: MixGraph) -> list[int]:
    """Processors that can be bypassed, in node order."""
    return graph.prunable.nonzero().flatten().tolist()


def trial_segments(objective: Objective, count: int) -> list[EvalSegment]:
    """Up to ``count`` segments that stand for a song, on which trials are evaluated; if 0, those of all losses."""
    evaluated = objective.evaluated
    return evaluated if count <= 0 or count >= len(evaluated) else objective.chosen(count)


class PruningRound:
    """The trials of one round: :meth:`begin`, then :meth:`advance` until it returns None.

    Args:
        objective: the song and its losses.
        graph: as it is when the round begins; node numbers refer to it.
        policy: proposes the candidates.
        settings: tolerance and seed.
        round_index: counts from 0.
        minimum: the smallest loss so far on the trial segments.
        judge: evaluates the trials; by default one that renders them.
        audibility: of the fitted console, if trials are judged track by track as well.
    """

    def __init__(
        self,
        objective: Objective,
        graph: MixGraph,
        policy: Policy,
        settings: SearchSettings,
        round_index: int,
        minimum: float,
        judge: Judge | None = None,
        audibility: Audibility | None = None,
    ) -> None:
        self.objective, self.graph, self.policy = objective, graph, policy
        self.settings, self.round_index, self.minimum = settings, round_index, minimum
        self.segments = trial_segments(objective, settings.trial_segments)
        self.judge = judge or Judge(objective, graph, self.segments)
        self.tracks = None if audibility is None else RoundAudibility(audibility, self.judge)
        self.kept: list[tuple[int, ...]] = []
        self.loss = minimum
        self.verdict: dict[str, Any] = {}

    @property
    def removed(self) -> list[int]:
        """Nodes removed so far."""
        return [node for nodes in self.kept for node in nodes]

    @property
    def uses_whole_song(self) -> bool:
        """Whether trials are evaluated on all segments on which losses are."""
        return len(self.segments) == len(self.objective.evaluated)

    def begin(self) -> None:
        """The loss from which the first trial's increase is counted, and the candidates as the policy needs them."""
        self.loss = self.judge.loss()
        nodes = prunable_nodes(self.graph)
        importance = self._importance(nodes)
        candidates = [
            Candidate(node, self.graph.type_of(node).name, float(self.graph.wet[node]), value)
            for node, value in zip(nodes, importance, strict=True)
        ]
        if self.policy.needs == "leave-one-out":
            most = hopeless_above(self.loss, self.minimum + self.settings.tolerance) - self.loss
            candidates = [c for c in candidates if c.importance <= most]
        self.policy.begin(candidates, self.round_index, self.settings.seed)

    def _importance(self, nodes: list[int]) -> list[float]:
        if not nodes:
            return []
        if self.policy.needs == "leave-one-out":
            return self.judge.leave_one_out(nodes).tolist()
        if self.policy.needs == "gradient":
            return self.objective.first_order_importance(self.graph, self.segments)[nodes].tolist()
        return [0.0] * len(nodes)

    def advance(self) -> dict[str, Any] | None:
        """One trial; its record, or None when the round is over."""
        nodes = self.policy.propose()
        if not nodes:
            return None
        started = time.perf_counter()
        limit = self.minimum + self.settings.tolerance
        verdict = self.judge.judge(nodes, limit if self.settings.race else None)
        kept = verdict.is_whole and verdict.loss < limit
        audible = self.tracks.try_without(nodes) if self.tracks is not None and kept else None
        excluded = self._excluded(nodes, audible)
        kept = kept and not excluded
        kinds = {self.graph.type_of(node).name for node in nodes}
        record = {
            "event": "trial",
            "round": self.round_index + 1,
            "candidates": list(nodes),
            "type": kinds.pop() if len(kinds) == 1 else None,
            "weights": [round(float(self.graph.wet[node]), 4) for node in nodes],
            "loss_before": self.loss,
            "loss_after": verdict.loss,
            "threshold": limit,
            "segments": [verdict.segments, verdict.of],
            "kept": kept,
        }
        if audible is not None:
            record["audible"] = audible.describe()
        self.record(nodes, verdict.loss, kept, excluded)
        return record | {"seconds": round(time.perf_counter() - started, 3)}

    def _excluded(self, nodes: tuple[int, ...], audible: TrackVerdict | None) -> list[int]:
        """Candidates that have to stay for what they change of a track."""
        if self.tracks is None or audible is None or not audible.over:
            return []
        return self.tracks.on_the_way(nodes, audible.over) or list(nodes)

    def record(self, nodes: tuple[int, ...], loss: float, kept: bool, excluded: Sequence[int] = ()) -> None:
        """Carry out a verdict, new or from a checkpoint."""
        self.verdict = {"candidates": list(nodes), "loss": loss, "kept": kept}
        if excluded:
            self.verdict["excluded"] = list(excluded)
            self.policy.exclude(excluded)
            return
        if kept:
            self.judge.remove(nodes)
            if self.tracks is not None:
                self.tracks.remove(nodes)
            self.kept.append(nodes)
            self.minimum = min(self.minimum, loss)
            self.loss = loss
        self.policy.update(kept)

    def replay(self, verdicts: list[dict[str, Any]]) -> None:
        """Go through the trials of a checkpoint again, without rendering those that failed.

        Raises:
            SearchError: the policy proposes something else than it did then.
        """
        for verdict in verdicts:
            nodes = self.policy.propose()
            if list(nodes) != verdict["candidates"]:
                raise SearchError(
                    "the checkpoint's trials do not follow from its settings (made by another version?); "
                    "delete checkpoint.safetensors to start again."
                )
            excluded = verdict.get("excluded", [])
            self.record(nodes, float(verdict["loss"]), bool(verdict["kept"]), excluded)

    def result(self) -> MixGraph:
        """The graph without what was removed."""
        return remove_nodes(self.graph, self.removed) if self.kept else self.graph

    def restore(self, minimum: float) -> int:
        """Put back the last removals until the loss over the song is within the tolerance above ``minimum``.

        Trials on some of the segments ignore what a processor does in the others. Bisection finds how many removals
        stand.

        Returns:
            How many nodes were put back.
        """
        before, passing, failing = len(self.removed), 0, len(self.kept) + 1
        every = self.kept
        while failing - passing > 1:
            tried = len(every) if failing > len(every) else (passing + failing) // 2
            self.kept = every[:tried]
            loss = float(self.objective.evaluate(self.result()).total)
            passing, failing = (tried, failing) if loss < minimum + self.settings.tolerance else (passing, tried)
        self.kept = every[:passing]
        return before - len(self.removed)


def pruning_ratio(graph: MixGraph, counts: dict[str, int]) -> dict[str, float]:
    """Removed processors over those of the full console, by type and for ``"all"``.

    Below 0 where moves have brought in more than there were.
    """
    left = {name: int(graph.params[name].size(0)) if name in graph.params else 0 for name in counts}
    ratio = {name: 1 - left[name] / count for name, count in counts.items() if count}
    total = sum(counts.values())
    ratio["all"] = 1 - sum(count_processors(graph).values()) / total if total else 0.0
    return {name: round(value, 4) for name, value in ratio.items()}


def count_processors(graph: MixGraph) -> dict[str, int]:
    """Number of processors of each type that occurs."""
    return {name: int(values.size(0)) for name, values in graph.params.items() if values.size(0)}
