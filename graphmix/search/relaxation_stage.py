"""The stage of a search that relaxes types and order, one chain at a time, before its last pruning round.

A chain of n processors gives way to n + 2 slots: one for each of its processors, which is what the slot begins with,
and an empty one at either end. All that does not depend on the chain is rendered once and comes in as signals, and what
lies behind it stays as it is; so time and memory of a step are those of one chain. A long chain is relaxed in runs, of
at most :data:`MOST_SLOTS` slots and :data:`MOST_CANDIDATES` candidates; where there are so many types that three slots
have more, those at the ends are left out.

When the slots are hardened, the processors that are left are fitted for half as many steps. What came out stands by the
rules of moves (:mod:`graphmix.search.moves_stage`), judged on all segments on which losses are evaluated: with n
processors more the loss has to fall by 0.004 n of it, with as many by 0.001, with fewer it has to stay within the
tolerance. Everything follows from the seed; a search that ends in the midst of a chain is resumed in it.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING

import torch

from graphmix.audio.song import Song, Track
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.sketch import Part, Sketch
from graphmix.graph.strips import find_strips
from graphmix.graph.topology import Edge, neighbours, reachable
from graphmix.processors.base import Processor
from graphmix.processors.send import Send
from graphmix.render.blocks import render_outputs
from graphmix.search.fit import Training
from graphmix.search.initialization import with_fitted_thresholds
from graphmix.search.moves_settings import start_part
from graphmix.search.moves_stage import chosen_processors, least_gain
from graphmix.search.objective import Objective
from graphmix.search.relaxation import FreeGraph, Relaxation, Slot, add_slots, harden
from graphmix.search.rounds import count_processors, trial_segments
from graphmix.search.search_state import ScoredGraph
from graphmix.search.settings import SearchSettings
from graphmix.spec import IN, OUT

if TYPE_CHECKING:
    from graphmix.search.pruning import Search

MOST_SLOTS = 6
MOST_CANDIDATES = 64
"""Of one run, over all slots: what is rendered and kept for the gradients in a step."""
FIT_SHARE = 0.5
"""Steps of the fit after hardening, as a share of those with slots."""


@dataclass(frozen=True)
class Place:
    """A chain that is relaxed.

    Args:
        name: of its track or bus.
        head: number of the input or mix behind which it stands.
        nodes: its processors, up to the first that no slot can have.
    """

    name: str
    head: int
    nodes: tuple[int, ...]

    def run(self, first: int, end: int) -> "Place":
        """Some of its processors, and what stands before them."""
        return Place(self.name, self.nodes[first - 1] if first else self.head, self.nodes[first:end])


def find_places(graph: MixGraph, movable: Collection[str]) -> dict[str, Place]:
    """The chains of tracks, and those of buses that have processors or several tracks; by ``track NAME``, ``bus NAME``.

    Args:
        graph: one graph.
        movable: names of the types that a slot can stand for.
    """
    strips = find_strips(graph)
    inputs = dict(zip(graph.input_names, graph.nodes_of("in").tolist(), strict=True))
    heads = [(f"track {name}", inputs[name], nodes, 1) for name, nodes in strips.tracks.items()]
    heads += [(f"bus {graph.names[n]}", n, nodes, len(strips.members[n])) for n, nodes in strips.buses.items()]
    _, after = neighbours(graph.node_type.numel(), graph.edges())
    places = {}
    for name, head, nodes, members in heads:
        count = next((k for k, n in enumerate(nodes) if graph.type_of(n).name not in movable), len(nodes))
        if after[head] and members and (count or members > 1 or name.startswith("track ")):
            places[name] = Place(name, head, nodes[:count])
    return places


def add_relaxed_chain(
    sketch: Sketch, place: Place, processors: Mapping[str, Processor], random: Random
) -> tuple[list[Slot], list[int]]:
    """Slots in the place of a chain -> these, and the candidates that start new.

    Args:
        sketch: is changed.
        place: the chain.
        processors: the N types of a slot; the chain's own types come behind them.
        random: draws starts.
    """
    run = [sketch.parts[node] for node in place.nodes]
    own = {part.type.name: part for part in run}  # of two of a type the last
    kinds = list(dict.fromkeys([*processors, *own]))
    if place.nodes:
        sketch.replace(place.nodes, ())
    room = most_slots(len(kinds))
    stand_for: list[Part | None] = [*([None] if room > 2 or not run else []), *run, *([None] if room > 1 else [])]
    slots = []
    for part in stand_for:
        starts = [own[kind] if kind in own else start_part(processors[kind], random) for kind in kinds]
        first = 0
        if part is not None:
            first = 1 + kinds.index(part.type.name)
            starts[first - 1] = part
        slots.append((starts, first))
    found = add_slots(sketch, place.head, slots)
    fresh = [place for place, kind in enumerate(kinds) if kind not in own]
    return found, [slot.candidates[place] for slot in found for place in fresh]


def most_slots(types: int) -> int:
    """How many slots are fitted at a time, where each has so many types."""
    return max(1, min(MOST_SLOTS, MOST_CANDIDATES // max(1, types)))


def find_runs(places: Mapping[str, Place], types: int) -> list[tuple[str, int, int]]:
    """Runs of chains that are relaxed one after another: name of the chain, first processor, end.

    The last run of a chain comes first, so that what it becomes leaves the numbers of the others alone.
    """
    length = max(1, most_slots(types) - 2)
    runs = []
    for name, place in places.items():
        starts = range(0, max(1, len(place.nodes)), length)
        runs += [(name, start, min(start + length, len(place.nodes))) for start in reversed(starts)]
    return runs


@dataclass(frozen=True)
class Alone:
    """The part of a graph that sounds otherwise if some nodes change, and an objective that has all else as tracks.

    Args:
        graph: of the part.
        ids: which id of the sketch each of its nodes has.
        objective: renders it.
    """

    graph: MixGraph
    ids: list[int]
    objective: Objective

    def node(self, number: int) -> int:
        """Node number of an id."""
        return self.ids.index(number)


def alone(sketch: Sketch, nodes: Collection[int], objective: Objective) -> Alone:
    """Take the part of a sketch that some nodes change; what comes into it is rendered once for the whole song.

    Args:
        sketch: of a graph of the objective's song.
        nodes: ids; at least one.
        objective: of the whole song.
    """
    ids = list(sketch.parts)
    place = {node: k for k, node in enumerate(ids)}
    _, after = neighbours(len(ids), [Edge(place[s], place[t], o, i) for s, t, o, i in sketch.edges])
    touched = {ids[k] for k in reachable(after, [place[node] for node in nodes])}
    sources: dict[tuple[int, int], set[tuple[int, int]]] = {}
    for edge in sketch.edges:
        if edge.target in touched and edge.source not in touched:
            sources.setdefault((edge.target, edge.inlet), set()).add((edge.source, edge.outlet))
    signals = sorted({tuple(sorted(found)) for found in sources.values()})
    part = sketch.copy()
    for node in [node for node in part.parts if node not in touched]:
        del part.parts[node]
    part.edges = [edge for edge in part.edges if {edge.source, edge.target} <= touched]
    inputs = [part.add(Part(IN, torch.zeros(0), name=f"signal {k + 1}")) for k in range(len(signals))]
    for (target, inlet), found in sources.items():
        part.edges.append(Edge(inputs[signals.index(tuple(sorted(found)))], target, 0, inlet))
    objective.evaluated, objective.song_level  # noqa: B018 (of the whole song, and not of these signals)
    graph, order = part.graph()
    return Alone(graph, order, objective.with_tracks(_frozen(sketch, touched, signals, objective)))


def _frozen(
    sketch: Sketch, touched: Collection[int], signals: Sequence[Sequence[tuple[int, int]]], objective: Objective
) -> Song:
    """The song whose tracks are these sums of what leaves some nodes: in memory, with the same mix."""
    rest = sketch.copy()
    for node in touched:
        del rest.parts[node]
    rest.edges = [edge for edge in rest.edges if edge.source in rest.parts and edge.target in rest.parts]
    outputs = [rest.add(Part(OUT, torch.zeros(0), name=f"signal {k + 1}")) for k in range(len(signals))]
    rest.edges += [Edge(s, out, o, 0) for out, found in zip(outputs, signals, strict=True) for s, o in found]
    song = objective.song
    rendered = render_outputs(rest.graph()[0].to(objective.device), song, objective.rack)
    tracks = tuple(Track(f"signal {k + 1}", song.tracks[0].info) for k in range(len(signals)))
    decoded = torch.cat([rendered, song.read_mix(0, song.num_samples).cpu()[None]])
    return replace(song, tracks=tracks, subgroups={}, notices=(), offset=0, _decoded=decoded)


def relax(search: "Search") -> None:
    """The stage: one chain after another, then the next phase of the search."""
    state = search.state
    stage = _Stage(search)
    if not state.relaxation:
        exposure = search.objective.exposure
        runs = find_runs(find_places(state.current.graph, stage.movable), len(stage.processors))
        loud = {f"track {name}": sum(exposure([name]).values()) for name in search.objective.song.track_names}
        runs.sort(key=lambda run: -loud.get(run[0], 0.0))  # stable: the runs of a chain stay in their order
        state.relaxation = {"runs": [list(run) for run in runs], "done": 0, "kept": 0, "part": "slots"}
    while state.relaxation["done"] < len(state.relaxation["runs"]) and not search.is_late:
        stage.relax(*state.relaxation["runs"][state.relaxation["done"]])
    state.tensors, state.training, state.best = {}, {}, state.current
    search.note("relaxed", round=state.round + 1, runs=state.relaxation["done"], kept=state.relaxation["kept"])
    state.relaxation = {"over": True}
    state.phase = search.next_stage


class _Stage:
    """Relaxes chains of the search's current graph."""

    def __init__(self, search: "Search") -> None:
        self.search, self.state, self.settings = search, search.state, search.settings
        self.objective = search.objective.with_processor(Send(search.objective.rack.sample_rate))
        self.processors = chosen_processors(self.settings, search.objective.rack)
        self.movable = {
            p.node_type.name
            for p in search.objective.rack
            if p.node_type.can_be_bypassed and len(p.node_type.inlets) == 1 and not p.is_placed and p.passes_gradients
        }
        self.started = time.perf_counter()

    def relax(self, name: str, first: int, end: int) -> None:
        """One run of a chain; what came out stands or not."""
        state, progress = self.state, self.state.relaxation
        count, total = progress["done"] + 1, len(progress["runs"])
        graph = state.current.graph
        place = find_places(graph, self.movable)[name].run(first, end)
        if progress["part"] == "slots":
            self.search.listener.phase(f"relaxing {count}/{total}: {name}", self._steps)
            if not self._with_slots(graph, place):
                return
        self.search.listener.phase(f"fitting {count}/{total}: {name}", self._fit_steps)
        fitted = self._fit(progress["nodes"])
        if fitted is None:
            return
        self._judge(name, graph, fitted)
        progress |= {"done": count, "part": "slots", "nodes": []}
        state.tensors, state.training = {}, {}
        self._saved()

    @property
    def _steps(self) -> int:
        return self.settings.round_steps

    @property
    def _fit_steps(self) -> int:
        return round(FIT_SHARE * self._steps)

    def _settings(self, steps: int) -> SearchSettings:
        """Those of one training, which is evaluated at its end, and whose weights cost nothing."""
        first = self.settings.learning_rate * self.settings.round_rate
        return replace(self.settings, steps=steps, evaluate_every=max(1, steps), learning_rate=first)

    def _with_slots(self, graph: MixGraph, place: Place) -> bool:
        """Fit the slots and harden them; False if the search's minutes are over before."""
        state = self.state
        sketch = Sketch(graph)
        random = Random(f"{self.settings.seed} relaxation {state.relaxation['done']}")
        slots, fresh = add_relaxed_chain(sketch, place, self.processors, random)
        inside = [node for slot in slots for node in (*slot.candidates, *slot.sends)]
        part = alone(sketch, inside, self.objective)
        numbered = [_numbered(part, slot) for slot in slots]
        start = _with_thresholds(part, numbered, fresh)
        settings = self._settings(self._steps)
        training = Relaxation(part.objective, start, numbered, settings, self._steps, state.current.loss)
        if not self._train(training):
            return False
        fitted, choices = Sketch(training.raw.snapshot().cpu(), part.ids), training.choices()
        for node in (n for slot in slots for n in slot.candidates):
            sketch.parts[node] = fitted.parts[node]
        nodes = harden(sketch, slots, choices)
        hardened, ids = sketch.graph()
        shares = training.relaxed.shares().detach()
        kinds = [sketch.parts[node].type.name for node in nodes]
        largest = [round(float(share), 3) for share in shares.amax(1)]
        state.best = ScoredGraph(hardened)
        state.relaxation |= {"part": "fit", "nodes": [ids.index(n) for n in nodes], "kinds": kinds, "shares": largest}
        state.tensors, state.training = {}, {}
        self._saved()
        return True

    def _fit(self, nodes: Sequence[int]) -> MixGraph | None:
        """The hardened graph with its new nodes fitted; None if the search's minutes are over before."""
        assert self.state.best is not None, "slots were hardened"
        hardened = self.state.best.graph
        if not nodes:
            return hardened
        sketch = Sketch(hardened)
        part = alone(sketch, nodes, self.objective)
        free, steps = [part.node(node) for node in nodes], self._fit_steps

        def raw(graph: MixGraph) -> FreeGraph:
            return FreeGraph(graph, part.objective.rack, self.settings.own_rates, free)

        training = Training(part.objective, part.graph, self._settings(steps), 0, steps, raw=raw)
        if not self._train(training):
            return None
        fitted = Sketch(training.best_graph, part.ids)
        for node in nodes:
            sketch.parts[node] = fitted.parts[node]
        return sketch.graph()[0]

    def _train(self, training: Training) -> bool:
        """To the end; False if the search's minutes are over before."""
        state = self.state
        if state.training:
            training.restore(state.tensors, state.training)
            if training.done:  # interrupted behind the last step, before anything was made of it
                training.stop()
        while not training.done and not self.search.is_late:
            training.advance()
            state.tensors, state.training = training.state()
            self._saved()
            self.search.listener.progress(training.step, training.last_step, loss=training.last_train_loss)
        return training.done

    def _judge(self, name: str, before: MixGraph, after: MixGraph) -> None:
        state, old = self.state, self.state.current.loss
        if old is None:
            old = self.objective.evaluate(before)
        loss = self.objective.evaluate(after)
        added = sum(count_processors(after).values()) - sum(count_processors(before).values())
        assert state.whole_minimum is not None, "pruning begins after the console's training"
        limit = state.whole_minimum + self.settings.tolerance
        if added >= 0:
            limit = float(old.total) - least_gain(added, float(old.total), self.settings.tolerance)
        kept = float(loss.total) < limit
        progress = state.relaxation
        self.search.note(
            "relaxation", round=state.round + 1, of=name, kinds=progress["kinds"], shares=progress["shares"],
            added=added, loss_before=float(old.total), loss_after=float(loss.total), threshold=limit, kept=kept,
        )  # fmt: skip
        state.current = ScoredGraph(after, loss) if kept else ScoredGraph(before, old)
        state.best = state.current
        if kept:
            progress["kept"] += 1
            state.whole_minimum = min(state.whole_minimum, float(loss.total))
            segments = trial_segments(self.objective, self.settings.trial_segments)
            sampled = self.objective.evaluate(after, segments) if segments is not self.objective.evaluated else loss
            assert state.minimum is not None, "pruning begins after the console's training"
            state.minimum = min(state.minimum, float(sampled.total))

    def _saved(self) -> None:
        self.started = self.search.clock("relaxation", self.started)
        self.search.save(self.state)


def _numbered(part: Alone, slot: Slot) -> Slot:
    """A slot by node numbers of a part."""
    candidates, sends = (tuple(part.node(n) for n in nodes) for nodes in (slot.candidates, slot.sends))
    return Slot(candidates, sends, part.node(slot.mix), slot.first)


def _with_thresholds(part: Alone, slots: Sequence[Slot], fresh: Sequence[int]) -> MixGraph:
    """The part's graph, each slot mostly what it stands for, with thresholds of what is new fitted to its level."""
    graph = part.graph.clone()
    for slot in slots:
        for choice, send in enumerate(slot.sends):
            graph.wet[send] = float(choice == slot.first)
    levelled, rows = with_fitted_thresholds(graph.clone(), part.objective), graph.rows().tolist()
    for node in map(part.node, fresh):
        kind = graph.type_of(node).name
        graph.params[kind][rows[node]] = levelled.params[kind][rows[node]]
    return graph
