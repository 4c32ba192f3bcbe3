"""Trials: what a graph would sound like without some of its processors, rendering only what the trial touches.

A *render cache* keeps every signal of one rendering. A trial changes what leaves the removed nodes, and this
difference travels: through summation, matrices and frequency responses as it is (they are linear), through a general
processor as the difference between its output with and without. All that lies upstream or beside is never touched.
Many trials travel together: a stage processes the touched nodes of all of them at once.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from graphmix.dsp.matrix import multiply
from graphmix.dsp.response import filter_rows
from graphmix.dsp.rows import sum_rows
from graphmix.graph.mixgraph import MixGraph
from graphmix.render.domain_conversion import Arrival, convert
from graphmix.render.places import Position
from graphmix.render.renderer import Renderer, Responses, in_node_order
from graphmix.render.schedule import Stage, Way, sort_rows, unless_all
from graphmix.render.taps import Tap, as_samples

_Arriving = tuple[int, bool, np.ndarray, np.ndarray, np.ndarray]


class _Change(NamedTuple):
    """Differences at the nodes of one stage that some trials touch.

    Args:
        trials: which trial, [pairs].
        rows: which node of the stage, [pairs].
        incoming: difference of what comes in, [pairs * inlets, 2, samples or bins].
        outgoing: difference of what leaves, [pairs * outlets, 2, samples or bins].
    """

    trials: np.ndarray
    rows: np.ndarray
    incoming: Tensor
    outgoing: Tensor


class TrialRenderer:
    """Renders trials of one graph, on any number of render caches.

    Args:
        renderer: with the graph's rack.
        graph: parameters and weights; they must not change as long as this is used.
    """

    def __init__(self, renderer: Renderer, graph: MixGraph) -> None:
        self.renderer, self.graph = renderer, graph
        self.plan = renderer.plan(graph)
        self.removed: set[int] = set()
        self.responses: Responses = {}
        self.nodes = [stage.nodes.cpu().numpy() for stage in self.plan.stages]
        self.places = {node: (i, row) for i, own in enumerate(self.nodes) for row, node in enumerate(own.tolist())}
        self.edges = [
            [(c.source, c.cut, c.rows.cpu().numpy(), c.targets.cpu().numpy()) for c in stage.inputs]
            for stage in self.plan.stages
        ]
        with torch.no_grad():
            self.matrices = [renderer.matrix(stage, graph) for stage in self.plan.stages]

    @torch.no_grad()
    def render(self, sources: Tensor, position: Position = 0) -> "RenderCache":
        """Render once and keep every signal; see :class:`RenderCache`.

        Args:
            sources: as of :meth:`graphmix.render.Renderer.forward`.
            position: likewise.
        """
        incoming: list[Tensor] = []
        outgoing: list[Tensor] = []

        def keep(stage: Stage, comes: Tensor, leaves: Tensor) -> None:
            incoming.append(comes)
            outgoing.append(leaves)

        self.renderer.run(self.plan, self.graph, sources, keep, self.responses, position)
        cache = RenderCache(self, sources.size(-1), incoming, outgoing, position)
        if self.removed:
            cache.apply(cache.spread([self.removed], since=frozenset()))
        return cache

    @torch.no_grad()
    def remove(self, nodes: Collection[int], caches: Collection["RenderCache"]) -> None:
        """Remove (bypass) nodes for good.

        Args:
            nodes: to remove.
            caches: all that are in use; one that is left out would still hold the nodes.
        """
        for cache in caches:
            cache.apply(cache.changes_of(nodes))
        self.removed.update(nodes)


class RenderCache:
    """One rendering with every signal kept, and trials on it.

    Made by :meth:`TrialRenderer.render`; :meth:`TrialRenderer.remove` makes a trial part of it.
    """

    def __init__(
        self,
        trials: TrialRenderer,
        samples: int,
        incoming: list[Tensor],
        outgoing: list[Tensor],
        position: Position,
    ) -> None:
        self.trials, self.samples, self.position = trials, samples, position
        self.incoming, self.outgoing = incoming, outgoing
        self._last: tuple[frozenset[int], list[_Change | None]] | None = None

    @property
    def num_bytes(self) -> int:
        """Memory of the signals kept; the differences of the last trial may need as much again."""
        return _bytes_of((*self.incoming, *self.outgoing))

    @property
    def last_bytes(self) -> int:
        """Memory of the differences of the last trial, which are kept for its removal."""
        changes = self._last[1] if self._last is not None else []
        return _bytes_of([t for change in changes if change is not None for t in (change.incoming, change.outgoing)])

    def forget_last(self) -> None:
        """Let go of the differences of the last trial; they are rendered again if they are needed."""
        self._last = None

    def mix(self) -> Tensor:
        """Signals of the output nodes, [outputs, 2, samples]."""
        stages = self.trials.plan.stages
        return in_node_order([(s.rows, x) for s, x in zip(stages, self.outgoing, strict=True) if s.kind == "out"])

    @torch.no_grad()
    def signals(self, taps: Collection[Tap], nodes: Collection[int] = ()) -> dict[Tap, Tensor]:
        """Signals at some places, [2, samples] each.

        Args:
            taps: the places.
            nodes: removed for a trial; then only the taps whose signals it changes are in the result.
        """
        changes = self.changes_of(nodes) if nodes else None
        found = {}
        for tap in taps:
            i, row = self.trials.places[tap.node]
            stage = self.trials.plan.stages[i]
            kept, ports = (self.incoming, stage.inlets) if tap.incoming else (self.outgoing, stage.outlets)
            signal = kept[i][row * ports]
            if changes is not None:
                change = changes[i]
                if change is None or not (own := np.flatnonzero(change.rows == row)).size:
                    continue
                signal = signal + (change.incoming if tap.incoming else change.outgoing)[own[0] * ports]
            found[tap] = as_samples(self.trials.plan, stage, signal, self.samples)
        return found

    @torch.no_grad()
    def without(self, trials: Sequence[Collection[int]]) -> Tensor:
        """The mix without some nodes, for each trial, [trials, outputs, 2, samples].

        Args:
            trials: nodes to remove (bypass) beside those that are removed already, for each trial.
        """
        mixes = self.mix().expand(len(trials), -1, -1, -1).clone()
        alone, self._last = len(trials) == 1, None
        changes = self.spread(trials, self.trials.removed, keep=alone)
        self._last = (frozenset(trials[0]), changes) if alone else None
        for stage, change in zip(self.trials.plan.stages, changes, strict=True):
            if stage.kind == "out" and change is not None:
                places = torch.from_numpy(change.trials).to(mixes.device), stage.rows[change.rows]
                mixes.index_put_(places, change.outgoing, accumulate=True)
        return mixes

    def changes_of(self, nodes: Collection[int]) -> list[_Change | None]:
        """The differences of one trial; at hand if it was the last one."""
        if self._last is not None and self._last[0] == frozenset(nodes):
            return self._last[1]
        return self.spread([nodes], self.trials.removed)

    def apply(self, changes: Sequence[_Change | None]) -> None:
        """Make the differences of one trial part of the cache."""
        self._last = None
        done: set[int] = set()  # what passes through a stage is the very memory of what left the stage before it
        for i, change in enumerate(changes):
            if change is None:
                continue
            stage = self.trials.plan.stages[i]
            for signal, ports, difference in (
                (self.incoming[i], stage.inlets, change.incoming),
                (self.outgoing[i], stage.outlets, change.outgoing),
            ):
                if signal.data_ptr() not in done:
                    _add_rows(signal, change.rows, ports, difference)
                done.add(signal.data_ptr())

    def spread(
        self, trials: Sequence[Collection[int]], since: Collection[int], keep: bool = True
    ) -> list[_Change | None]:
        """Differences at every stage that the trials reach.

        Args:
            trials: nodes removed by each.
            since: nodes that the cache lacks already.
            keep: also those that no later stage reads; without them only the outputs' remain.
        """
        stages = self.trials.plan.stages
        last_reader = {c.source: i for i, stage in enumerate(stages) for c in stage.inputs}
        gone = [np.isin(nodes, list(since)) for nodes in self.trials.nodes]
        changes: list[_Change | None] = []
        for i in range(len(stages)):
            own = np.array([(t, row) for t, nodes in enumerate(trials) for row in self._rows(i, nodes)], dtype=np.int64)
            changes.append(self._change(i, own.reshape(-1, 2), changes, gone[i]))
            for source in () if keep else [c.source for c in stages[i].inputs if last_reader[c.source] == i]:
                changes[source] = None
        return changes

    def _rows(self, i: int, nodes: Collection[int]) -> list[int]:
        return np.flatnonzero(np.isin(self.trials.nodes[i], list(nodes))).tolist()

    def _change(self, i: int, own: np.ndarray, changes: Sequence[_Change | None], gone: np.ndarray) -> _Change | None:
        """Differences at one stage: ``own`` are the (trial, row) that are removed here."""
        stage = self.trials.plan.stages[i]
        size = len(self.trials.nodes[i])
        arriving = self._arriving(i, changes)
        keys = [trial * size + target // stage.inlets for _, _, _, trial, target in arriving]
        pairs = np.unique(np.concatenate([own[:, 0] * size + own[:, 1], *keys]))
        if not len(pairs):
            return None
        comes = self._gather(i, arriving, pairs, changes)
        trials, rows = pairs // size, pairs % size
        now_gone = np.isin(pairs, own[:, 0] * size + own[:, 1]) & ~gone[rows]
        return _Change(trials, rows, comes, self._process(i, comes, rows, now_gone, gone[rows]))

    def _arriving(self, i: int, changes: Sequence[_Change | None]) -> list[_Arriving]:
        """For each sending stage: (stage, cut, row of its change's signal, trial, target row of the receiver)."""
        result = []
        for source, cut, rows, targets in self.trials.edges[i]:
            change = changes[source]
            if change is None:
                continue
            outlets = self.trials.plan.stages[source].outlets
            leaving = (change.rows[:, None] * outlets + np.arange(outlets)).ravel()
            which, edge = np.nonzero(leaving[:, None] == rows)
            if len(which):
                result.append((source, cut, which, change.trials[which // outlets], targets[edge]))
        return result

    def _gather(
        self,
        i: int,
        arriving: Sequence[_Arriving],
        pairs: np.ndarray,
        changes: Sequence[_Change | None],
    ) -> Tensor:
        """Sum the differences that come in, in the domain of the stage."""
        plan, base = self.trials.plan, self.incoming[i]
        stage, device = plan.stages[i], base.device
        size, num_rows = len(self.trials.nodes[i]), len(pairs) * stage.inlets
        if not arriving:
            return base.new_zeros(num_rows, *base.shape[1:])
        by_way: dict[Way, list[tuple[Tensor, np.ndarray, np.ndarray]]] = {}
        for source, cut, which, trial, target in arriving:
            change = changes[source]
            assert change is not None, "only stages that changed send"
            nodes = np.searchsorted(pairs, trial * size + target // stage.inlets)
            way = plan.stages[source].fft_group, cut
            by_way.setdefault(way, []).append((change.outgoing, which, nodes * stage.inlets + target % stage.inlets))
        targets = {way: np.concatenate([rows for _, _, rows in own]) for way, own in by_way.items()}
        entering, receiving = sort_rows(targets, stage.fft_group, num_rows)
        arrivals = []
        for way, (rows, slots) in receiving.items():
            total = sum(
                _sum_into(signal, which, np.searchsorted(rows, t), len(rows)) for signal, which, t in by_way[way]
            )
            assert isinstance(total, Tensor), "a way has signals"
            indices = unless_all(rows, num_rows, device), unless_all(slots, len(entering), device)
            arrivals.append(Arrival(*way, *indices, total))
        return convert(plan, stage.fft_group, arrivals, unless_all(entering, num_rows, device), num_rows, self.samples)

    def _process(self, i: int, comes: Tensor, rows: np.ndarray, now_gone: np.ndarray, gone: np.ndarray) -> Tensor:
        """Difference of what leaves, given that of what comes in."""
        stage = self.trials.plan.stages[i]
        if stage.kind in ("mix", "out"):
            return comes
        bypassed = now_gone | gone
        if not bypassed.any():
            return self._play(i, comes, rows)
        leaves = comes.new_empty(len(rows), *comes.shape[1:])
        for k in np.flatnonzero(bypassed).tolist():
            leaves[k] = comes[k * stage.inlets]
            if now_gone[k]:
                leaves[k] += self.incoming[i][rows[k] * stage.inlets]
                leaves[k] -= self.outgoing[i][rows[k]]
        playing = np.flatnonzero(~bypassed)
        if len(playing):
            played = self._play(i, _rows_of(comes, playing, stage.inlets), rows[playing])
            for k, signal in zip(playing.tolist(), played, strict=True):
                leaves[k] = signal
        return leaves

    def _play(self, i: int, comes: Tensor, rows: np.ndarray) -> Tensor:
        """The same for nodes that are not bypassed."""
        stage, graph = self.trials.plan.stages[i], self.trials.graph
        index = torch.from_numpy(rows).to(comes.device)
        matrix = self.trials.matrices[i]
        if matrix is not None:
            return multiply(matrix[index], comes)
        if stage.fft_group is not None:
            response = self.trials.responses[i, 2 * (comes.size(-1) - 1)]
            if stage.outlets > 1:
                return (comes[:, None] * response[index]).flatten(0, 1)
            return filter_rows(comes, response, graph.wet[stage.nodes], index)
        signal = _rows_of(self.incoming[i], rows, stage.inlets).add_(comes)
        part = Stage(stage.kind, stage.nodes[index], stage.rows[index], stage.inlets, stage.outlets, (), None)
        leaves, _ = self.trials.renderer.process(part, signal, graph, position=self.position)
        for k, row in enumerate(rows.tolist()):
            ports = slice(k * stage.outlets, (k + 1) * stage.outlets)
            leaves[ports] -= self.outgoing[i][row * stage.outlets : (row + 1) * stage.outlets]
        return leaves


def _bytes_of(tensors: Collection[Tensor]) -> int:
    """Memory of tensors, of which several may share one."""
    memories = {m.data_ptr(): m for m in (t.untyped_storage() for t in tensors)}
    return sum(memory.nbytes() for memory in memories.values())


def _sum_into(signal: Tensor, rows: np.ndarray, slots: np.ndarray, size: int) -> Tensor:
    """Rows of a signal, summed into the slots of a new one; the signal itself if that is the same."""
    order = np.argsort(slots, kind="stable")
    every = np.arange(max(size, len(signal)))
    if np.array_equal(slots[order], every) and np.array_equal(rows[order], every):
        return signal
    index, target = (torch.from_numpy(i[order]).to(signal.device) for i in (rows, slots))
    return sum_rows(signal, index, target, size)


def _rows_of(signal: Tensor, rows: np.ndarray, ports: int) -> Tensor:
    """Copies of the rows of some nodes, [nodes * ports, ...]."""
    index = torch.from_numpy((rows[:, None] * ports + np.arange(ports)).ravel()).to(signal.device)
    return sum_rows(signal, index, torch.arange(len(index), device=signal.device), len(index))


def _add_rows(signal: Tensor, rows: np.ndarray, ports: int, difference: Tensor) -> None:
    """Add to the rows of some nodes, in place."""
    index = (rows[:, None] * ports + np.arange(ports)).ravel()
    for k, row in enumerate(index.tolist()):
        signal[row] += difference[k]
