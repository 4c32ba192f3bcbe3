"""A pass of moves: some are drawn, fitted a little in heats, and the best of them judged on the song.

In each heat every move that is left is fitted by a few more steps on one segment, that on which its tracks matter most,
and the better half goes on (successive halving). What is left is judged on all trial segments, the most promising move
first. With L before and L' after, and n processors more, a move stands if

=======  ==========================================================================================
n > 0    L' < L - n max(0.004 L, the tolerance): what is worth less, the next removals would take away
n = 0    L' < (1 - 0.001) L, so that moves cannot go round in circles
n < 0    L' < the smallest loss so far + the tolerance, and no track changes audibly, as in removals
=======  ==========================================================================================

Everything follows from the seed, and all but a running fit or trial is in the state of the search.
"""

import time
from collections.abc import Mapping
from random import Random
from typing import TYPE_CHECKING, Any

from graphmix.audio.segments import EvalSegment
from graphmix.chain_string import split_chain
from graphmix.errors import SearchError
from graphmix.graph.sketch import Part, Sketch
from graphmix.processors.base import Processor
from graphmix.processors.gear import ADDED
from graphmix.processors.rack import Rack
from graphmix.search.audibility import Audibility, RoundAudibility
from graphmix.search.moves import Move, part_from_json, part_to_json
from graphmix.search.moves_proposals import Proposals
from graphmix.search.moves_trials import MoveJudge, Touched, touched_part, with_settings
from graphmix.search.objective import Objective
from graphmix.search.rounds import count_processors, trial_segments
from graphmix.search.search_state import ScoredGraph
from graphmix.search.settings import EVERY_TYPE, SearchSettings
from graphmix.search.trial_losses import Judge

if TYPE_CHECKING:
    from graphmix.search.pruning import Search

HEATS = (2, 3, 5)
"""Steps of each heat."""
GOES_ON = 0.5
"""Share of a heat's moves that go on to the next."""
FINALISTS = 8
"""Moves at the most that are judged on all trial segments."""
ADDED_GAIN = 0.004
"""Share of the loss by which each processor more has to lower it."""
IMPOSSIBLE = -1e9
"""Gain of a move that cannot be made, or changes nothing."""
LEAST_GAIN = 0.001
"""Share of the loss by which a move has to lower it that leaves the number of processors as it is."""


def least_gain(added: int, loss: float, tolerance: float) -> float:
    """By how much a change has to lower the loss that adds so many processors, or none.

    Args:
        added: how many.
        loss: before.
        tolerance: of removals.
    """
    return added * max(ADDED_GAIN * loss, tolerance) if added else LEAST_GAIN * loss


def chosen_processors(settings: SearchSettings, rack: Rack) -> dict[str, Processor]:
    """The processors that moves may bring in, by type.

    Args:
        settings: of the search.
        rack: of its console.

    Raises:
        SearchError: a type that is not there, or cannot stand in a chain.
    """
    own = {p.node_type.name: p for p in rack}
    known = {p.node_type.name: p for p in Rack.full(rack.sample_rate)} | own
    if settings.types in ("", EVERY_TYPE):
        usual = own if settings.types == "" else known
        return {name: p for name, p in usual.items() if _can_be_moved(p)}
    by_kind = known | {p.node_type.letter: p for p in known.values() if p.node_type.letter}
    found: dict[str, Processor] = {}
    for kind in split_chain(settings.types, "types"):
        processor = by_kind.get(kind)
        if processor is None or not _can_be_moved(processor):
            able = ", ".join(p.node_type.label for p in known.values() if _can_be_moved(p))
            raise SearchError(f"types {settings.types!r}: {kind!r} cannot stand in a chain; choose of: {able}.")
        found[processor.node_type.name] = processor
    return found


def _can_be_moved(processor: Processor) -> bool:
    """Whether a processor may be moved, brought in, and fitted."""
    kind = processor.node_type
    return (
        kind.can_be_bypassed
        and len(kind.inlets) == 1
        and processor.passes_gradients
        and not isinstance(processor, ADDED)
    )


def with_processors(objective: Objective, settings: SearchSettings) -> Objective:
    """The objective with a processor for each type that may be brought in."""
    for processor in chosen_processors(settings, objective.rack).values():
        objective = objective.with_processor(processor)
    return objective


def make_moves(search: "Search") -> None:
    """The moves before one pruning round."""
    MovesPass(search).run()


class MovesPass:
    """One pass on the search's current graph; begun, or resumed from its state.

    Args:
        search: whose state, settings and listener are used.
    """

    def __init__(self, search: "Search") -> None:
        self.search, self.state, self.settings = search, search.state, search.settings
        self.objective = search.objective
        self.segments = trial_segments(self.objective, self.settings.trial_segments)
        self.movable = {p.node_type.name: p for p in self.objective.rack if _can_be_moved(p)}
        self.types = {p.node_type.name: p.node_type for p in self.objective.rack}
        self.sketch = Sketch(self.state.current.graph, self.state.moves.get("ids"), self.state.moves.get("next_id"))
        self.judge = MoveJudge(self.objective, self.sketch, self.segments)
        self.exposures = self._measure_exposures()
        self.started = time.perf_counter()

    def run(self) -> None:
        """Until the pass is over; the next phase is the round of trials."""
        state, name = self.state, f"moves {self.state.round + 1}/{self.settings.rounds}"
        if not state.moves:
            self._begin()
        moves = state.moves
        self.search.listener.phase(name, self._units(), moves["done"])
        while moves["heat"] < len(HEATS) and not self.search.is_late:
            self._heat()
        if not self.search.is_late and "finals" not in moves:
            moves["finals"] = self._finalists()
            moves["entries"] = [moves["entries"][i] for i in moves["finals"]]
        while "finals" in moves and moves["place"] < len(moves["entries"]) and not self.search.is_late:
            self._judge(moves["entries"][moves["place"]])
            moves["place"] += 1
            self._saved(1)
        self._end()

    # --- beginning and end

    def _begin(self) -> None:
        processors = chosen_processors(self.settings, self.objective.rack)
        exposure = {name: mean for name, (mean, _) in self.exposures.items()}
        random = Random(f"{self.settings.seed} moves {self.state.round}")
        drawn = Proposals(self.sketch, processors, self.movable, exposure, random).draw(self.settings.moves)
        entries = [
            {"move": move.to_json(), "settings": {}, "segment": self._segment_of(move), "gain": None} for move in drawn
        ]
        ids = list(self.sketch.parts)
        self.state.moves = {
            "ids": ids, "next_id": self.sketch.next_id, "entries": entries, "heat": 0, "place": 0, "kept": 0,
            "done": 0, "drawn": len(entries), "first_ids": ids,
            "loss": self.judge.loss(),
        }  # fmt: skip

    def _end(self) -> None:
        """Keep what the moves made of the graph, if it holds on all segments on which losses are evaluated."""
        state, moves = self.state, self.state.moves
        graph, kept = state.current.graph, int(moves["kept"])
        place = {node: i for i, node in enumerate(moves["first_ids"])}
        self.search.note(
            "moves",
            round=state.round + 1,
            tried=moves["drawn"],
            kept=kept,
            loss_before=moves["loss"],
            loss_after=self.judge.loss(),
            processors=sum(count_processors(graph).values()),
            origins=[place.get(node, -1) for node in moves["ids"]],
        )
        if kept and state.whole_minimum is not None:
            loss = self.objective.evaluate(graph)
            state.current = ScoredGraph(graph, loss)
            state.whole_minimum = min(state.whole_minimum, float(loss.total))
        state.moves, state.phase = {}, "trials"
        self.search.clock("moves", self.started)

    def _saved(self, units: int) -> None:
        """Put the state where it can be resumed from."""
        moves = self.state.moves
        moves["done"] += units
        self.started = self.search.clock("moves", self.started)
        self.search.save(self.state)
        self.search.listener.progress(moves["done"], self._units(), loss=self.judge.loss(), kept=moves["kept"])

    def _units(self) -> int:
        """Fits and trials of the whole pass."""
        total, count = 0, int(self.state.moves["drawn"])
        for _ in HEATS:
            total, count = total + count, _going_on(count)
        return total + min(FINALISTS, count)

    # --- which segment

    def _measure_exposures(self) -> dict[str, tuple[float, dict[EvalSegment, float]]]:
        """Share of each track in what sounds: the mean, and on each segment."""
        total = sum(segment.weight for segment in self.segments)
        found = {}
        for name in self.objective.song.track_names:
            shares = self.objective.exposure([name])
            own = {segment: shares[segment.start] for segment in self.segments}
            found[name] = sum(s.weight * share for s, share in own.items()) / total, own
        return found

    def _matter(self, move: Move) -> list[float]:
        """How much each segment has of what a move may change: share of the tracks, times the loss."""
        losses = self.judge.judge.losses
        share = {s: sum(self.exposures[track][1][s] for track in move.tracks) for s in self.segments}
        return [share[segment] * losses[segment] for segment in self.segments]

    def _segment_of(self, move: Move) -> int:
        matter = self._matter(move)
        return max(range(len(matter)), key=lambda i: (matter[i], -i))

    def _to_song(self, move: Move, segment: int) -> float:
        """What a gain on a segment is expected to be over all trial segments, relative to that."""
        matter = self._matter(move)
        weights = [s.weight for s in self.segments]
        mean = sum(w * m for w, m in zip(weights, matter, strict=True)) / sum(weights)
        return mean / matter[segment] if matter[segment] > 0 else 0.0

    # --- heats

    def _heat(self) -> None:
        """Fit each move by some more steps, and let the better ones go on."""
        moves = self.state.moves
        steps = HEATS[moves["heat"]]
        while moves["place"] < len(moves["entries"]) and not self.search.is_late:
            self._fit(moves["entries"][moves["place"]], steps)
            moves["place"] += 1
            self._saved(1)
        if moves["place"] < len(moves["entries"]):
            return
        moves["heat"], moves["place"] = moves["heat"] + 1, 0
        ranked = self._ranked()[: _going_on(len(moves["entries"]))]
        moves["entries"] = [moves["entries"][i] for i in sorted(ranked)]

    def _fit(self, entry: dict[str, Any], steps: int) -> None:
        """A few steps for one move; its settings and what it gains on its segment go into the entry."""
        move, settings = self._read(entry)
        segment, is_new = self.segments[entry["segment"]], entry["gain"] is None
        made = self._make(move, settings)
        if made is None:
            entry["gain"] = IMPOSSIBLE
            return
        after, ids, touched = made
        if is_new:
            levelled = self.judge.with_levels(touched, [ids[n] for n in move.raw_start], segment)
            settings |= {n: levelled[ids[n]] for n in move.raw_start if ids[n] in levelled}
            after, ids, touched = self._make(move, settings) or made
        sources = self.judge.sources(touched, segment, keep=True)
        if is_new:
            entry["reached"] = self.judge.segment_loss(touched, segment, sources)
        fitted = self.judge.fit(touched, list(ids.values()), segment, steps)
        changed = touched_part(self.sketch, with_settings(after, fitted))
        assert changed is not None, "it was touched before it was fitted"
        loss = self.judge.segment_loss(changed, segment, self.judge.sources(changed, segment, keep=True))
        if loss < entry["reached"]:
            entry["reached"] = loss
            settings |= {number: fitted[node] for number, node in ids.items()}
        entry["settings"] = {str(number): part_to_json(part) for number, part in settings.items()}
        before = self.judge.judge.losses[segment]
        entry["gain"] = (before - entry["reached"]) * self._to_song(move, entry["segment"])

    def _read(self, entry: Mapping[str, Any]) -> tuple[Move, dict[int, Part]]:
        move = Move.from_json(entry["move"], self.types)
        return move, {int(n): part_from_json(part, self.types) for n, part in entry["settings"].items()}

    def _make(self, move: Move, settings: Mapping[int, Part]) -> tuple[Sketch, dict[int, int], Touched] | None:
        """The graph after a move, its free nodes, and the part that sounds otherwise."""
        made = move.apply(self.sketch, settings)
        touched = None if made is None else touched_part(self.sketch, made[0])
        return None if made is None or touched is None else (*made, touched)

    def _ranked(self) -> list[int]:
        """Places of the entries, the most promising first."""
        entries = self.state.moves["entries"]
        return sorted(range(len(entries)), key=lambda i: (-self._promise(entries[i]), i))

    def _promise(self, entry: Mapping[str, Any]) -> float:
        """By how much a move is expected to lower the loss beyond what it has to."""
        loss = float(self.state.moves["loss"])
        return float(entry["gain"]) - (loss - self._limit(int(entry["move"]["added"]), loss))

    # --- judging

    def _finalists(self) -> list[int]:
        entries = self.state.moves["entries"]
        return [i for i in self._ranked() if self._promise(entries[i]) > 0][:FINALISTS]

    def _limit(self, added: int, loss: float) -> float:
        """The loss that a move must stay below, where it was ``loss`` before."""
        assert self.state.minimum is not None, "pruning begins after the console's training"
        if added < 0:
            return self.state.minimum + self.settings.tolerance
        return loss - least_gain(added, loss, self.settings.tolerance)

    def _judge(self, entry: dict[str, Any]) -> None:
        """Judge one move on all trial segments, and make it for good if it stands."""
        started = time.perf_counter()
        move, settings = self._read(entry)
        made = self._make(move, settings)
        if made is None:
            return
        after, _, touched = made
        before, limit = self.judge.loss(), self._limit(move.added, self.judge.loss())
        verdict = self.judge.judge_move(touched, limit, race=self.settings.race)
        kept = verdict.is_whole and verdict.loss < limit
        over = self._changed_tracks(after) if kept and move.added < 0 else ()
        kept = kept and not over
        self.search.note(
            "move", round=self.state.round + 1, move=move.name, of=move.where, added=move.added, loss_before=before,
            loss_after=verdict.loss, threshold=limit, segments=[verdict.segments, verdict.of], kept=kept,
            **({"audible": list(over)} if over else {}), seconds=round(time.perf_counter() - started, 3),
        )  # fmt: skip
        if kept:
            self._keep(after, verdict.loss)

    def _changed_tracks(self, after: Sketch) -> tuple[str, ...]:
        """Tracks that a graph changes audibly, from the fitted console, beyond what they may and do already."""
        audibility: Audibility | None = self.search.audibility
        if audibility is None:
            return ()
        limits = RoundAudibility(audibility, self.judge.judge).limits
        moved = Judge(self.objective, after.graph()[0], self.segments, kept_bytes=0)
        return tuple(name for name, db in RoundAudibility(audibility, moved).limits.items() if db > limits[name])

    def _keep(self, after: Sketch, loss: float) -> None:
        """Go on from the moved graph."""
        state = self.state
        graph, ids = after.graph()
        state.current = ScoredGraph(graph)
        state.moves |= {"ids": ids, "next_id": after.next_id, "kept": state.moves["kept"] + 1}
        assert state.minimum is not None, "pruning begins after the console's training"
        state.minimum = min(state.minimum, loss)
        self.sketch = Sketch(graph, ids, after.next_id)
        self.judge = MoveJudge(self.objective, self.sketch, self.segments)


def _going_on(count: int) -> int:
    """How many of a heat's moves go on."""
    return max(1, round(count * GOES_ON)) if count else 0
