"""Pruning a fitted console to the few processors that matter (algorithms 1 and 3 of the pruning paper).

A round tries to remove candidates, one proposal of its policy after another. A removal stands if the loss over the
song stays below the smallest loss so far plus the tolerance; then the remaining graph is trained again.
"""

import time
from typing import Any

from graphmix.audio.segments import EvalSegment
from graphmix.errors import SearchError
from graphmix.graph.edit import remove_nodes
from graphmix.graph.mixgraph import MixGraph
from graphmix.search.objective import Objective
from graphmix.search.policies import Candidate, Policy
from graphmix.search.settings import SearchSettings


def prunable_nodes(graph: MixGraph) -> list[int]:
    """Processors that can be bypassed, in node order."""
    return [int(node) for node in graph.processors if graph.type_of(int(node)).can_be_bypassed]


def trial_segments(objective: Objective, count: int) -> list[EvalSegment]:
    """Up to ``count`` of a song's segments, evenly spread, on which trials are judged; all if 0."""
    segments = objective.segments
    if count <= 0 or count >= len(segments):
        return segments
    places = [round((i + 0.5) * len(segments) / count - 0.5) for i in range(count)]
    return [segments[i] for i in places]


class PruningRound:
    """The trials of one round.

    Args:
        objective: the song and its losses.
        graph: as it is when the round begins; node numbers refer to it.
        policy: who proposes.
        settings: tolerance and seed.
        round_index: counts from 0.
        minimum: the smallest loss so far on the trial segments.
    """

    def __init__(
        self,
        objective: Objective,
        graph: MixGraph,
        policy: Policy,
        settings: SearchSettings,
        round_index: int,
        minimum: float,
    ) -> None:
        self.objective, self.graph, self.policy = objective, graph, policy
        self.settings, self.round_index, self.minimum = settings, round_index, minimum
        self.segments = trial_segments(objective, settings.trial_segments)
        self.kept: list[tuple[int, ...]] = []
        self.loss = minimum
        self.verdict: dict[str, Any] = {}
        candidates = [
            Candidate(node, graph.type_of(node).name, float(graph.wet[node])) for node in prunable_nodes(graph)
        ]
        policy.begin(candidates, round_index, settings.seed)

    @property
    def removed(self) -> list[int]:
        """Nodes removed so far."""
        return [node for nodes in self.kept for node in nodes]

    @property
    def hears_all(self) -> bool:
        """Are trials judged on the whole song?"""
        return len(self.segments) == len(self.objective.segments)

    def evaluate(self, graph: MixGraph) -> float:
        """Loss on the trial segments."""
        return float(self.objective.evaluate(graph, self.segments).total)

    def measure_start(self, whole: float | None = None) -> None:
        """The loss from which the first trial's increase is counted; that over the whole song may be known."""
        self.loss = whole if whole is not None and self.hears_all else self.evaluate(self.graph)

    def advance(self) -> dict[str, Any] | None:
        """One trial; its record, or None when the round is over."""
        nodes = self.policy.propose()
        if not nodes:
            return None
        started = time.perf_counter()
        loss = self.evaluate(remove_nodes(self.graph, [*self.removed, *nodes]))
        kept = loss < self.minimum + self.settings.tolerance
        kinds = {self.graph.type_of(node).name for node in nodes}
        record = {
            "event": "trial",
            "round": self.round_index + 1,
            "candidates": list(nodes),
            "type": kinds.pop() if len(kinds) == 1 else None,
            "weights": [round(float(self.graph.wet[node]), 4) for node in nodes],
            "loss_before": self.loss,
            "loss_after": loss,
            "threshold": self.minimum + self.settings.tolerance,
            "kept": kept,
            "seconds": round(time.perf_counter() - started, 3),
        }
        self.hear(nodes, loss, kept)
        return record

    def hear(self, nodes: tuple[int, ...], loss: float, kept: bool) -> None:
        """Take a verdict, new or from a checkpoint."""
        self.verdict = {"candidates": list(nodes), "loss": loss, "kept": kept}
        if kept:
            self.kept.append(nodes)
            self.minimum = min(self.minimum, loss)
            self.loss = loss
        self.policy.hear(kept)

    def replay(self, verdicts: list[dict[str, Any]]) -> None:
        """Go through the trials of a checkpoint again without rendering.

        Raises:
            SearchError: the policy proposes something else than it did then.
        """
        for verdict in verdicts:
            nodes = self.policy.propose()
            if list(nodes) != verdict["candidates"]:
                raise SearchError(
                    "the checkpoint's trials do not follow from its settings (made by another version?); "
                    "delete checkpoint.safetensors to start anew."
                )
            self.hear(nodes, float(verdict["loss"]), bool(verdict["kept"]))

    def result(self) -> MixGraph:
        """The graph without what was removed."""
        return remove_nodes(self.graph, self.removed) if self.kept else self.graph

    def restore(self, minimum: float) -> int:
        """Put back the last removals until the whole song's loss is within the tolerance above ``minimum``.

        Trials on some of the segments cannot hear what a processor does in the others. How many removals stand is
        found by bisection.

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
    """Removed processors over those of the full console, by type and for ``"all"``."""
    left = {name: int(graph.nodes_of(name).numel()) for name in counts}
    ratio = {name: 1 - left[name] / count for name, count in counts.items() if count}
    total = sum(counts.values())
    ratio["all"] = 1 - sum(left.values()) / total if total else 0.0
    return {name: round(value, 4) for name, value in ratio.items()}


def count_processors(graph: MixGraph) -> dict[str, int]:
    """Number of processors of each type that occurs."""
    return {name: int(values.size(0)) for name, values in graph.params.items() if values.size(0)}
