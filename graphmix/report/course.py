"""The course of a search, read from what it left: which processors each round removed, and why.

A trace names nodes by their numbers at the beginning of their round. Removing what each round removed from the fitted
console, ``console.safetensors``, gives the graph of every round and the console's number of each node. Where moves have
changed types and places, the rounds after them are known by their numbers of processors and their losses alone.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from graphmix.errors import GraphmixError
from graphmix.graph.editing import remove_nodes
from graphmix.graph.mixgraph import MixGraph
from graphmix.io import decode_text
from graphmix.search.rounds import count_processors
from graphmix.search.sends import without_unfed

TRACE = "trace.jsonl"
_NODE = re.compile(r"\S+ (\d+)")
_GROWN = ("ride", "ducking", "return", "move", "relaxation")
"""Events of what a search adds to its console, or changes in it."""


class NoCourse(GraphmixError):
    """A run without a trace that can be shown."""


@dataclass(frozen=True)
class Trial:
    """One trial: the nodes in numbers of the console, and what came of it."""

    nodes: tuple[int, ...]
    names: tuple[str, ...]
    weights: tuple[float, ...]
    before: float
    after: float | None
    limit: float
    kept: bool
    audible: bool


@dataclass(frozen=True)
class Round:
    """Where a search stood after a round; round 0 is the fitted console.

    Attributes:
        number: from 0.
        loss: audio loss over the song.
        processors: how many were left.
        present: nodes of the console that were left; None where the console is not known, or after moves
            or slots.
        wet: dry/wet weights of these, in their order; empty where the trace has none.
        trials: that led to it.
        restored: processors that were put back at its end.
    """

    number: int
    loss: float
    processors: int
    present: tuple[int, ...] | None
    wet: tuple[float, ...] = ()
    trials: Sequence[Trial] = ()
    restored: int = 0


@dataclass(frozen=True)
class Course:
    """The course of a search.

    Attributes:
        rounds: from the fitted console on.
        console: the graph that the rounds' numbers mean; None where it is not known.
        history: (step, loss over the song) as it was evaluated.
        training: (step, loss on a segment).
        grown: sentences on what the search added to its console or moved in it, and on why it ended early.
        baselines: loss of each baseline by name.
    """

    rounds: Sequence[Round]
    console: MixGraph | None
    history: Sequence[tuple[int, float]]
    training: Sequence[tuple[int, float]]
    grown: Sequence[str] = ()
    baselines: Mapping[str, float] = field(default_factory=dict)


def read_trace(path: Path) -> list[dict[str, Any]]:
    """The records of a trace.

    Raises:
        NoCourse: it is missing or damaged.
    """
    try:
        lines = decode_text(path.read_bytes(), str(path), NoCourse).splitlines()
        records = [json.loads(line) for line in lines if line.strip()]
    except OSError as error:
        raise NoCourse(f"{path} cannot be read ({error.strerror or error}).") from None
    except ValueError as error:
        if isinstance(error, NoCourse):
            raise
        raise NoCourse(f"{path} is damaged.") from None
    if not all(isinstance(record, dict) and "event" in record for record in records):
        raise NoCourse(f"{path} is damaged: a record has no event.")
    return records


def read_course(
    trace: Sequence[Mapping[str, Any]],
    console: MixGraph | None,
    baselines: Mapping[str, float],
    *,
    processors: int = 0,
    sends: bool = False,
) -> Course:
    """The course of a search from its trace.

    Args:
        trace: records of ``trace.jsonl``.
        console: as it was fitted, before the first round.
        baselines: loss of each baseline by name.
        processors: of the console, for where it is not known.
        sends: the search had shared effects, whose returns go when nothing feeds them any more.

    Raises:
        NoCourse: the trace does not fit the console, or lacks what it should have.
    """
    try:
        reader = _Reader(console, processors, sends)
        for record in trace:
            reader.read(record)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        if isinstance(error, NoCourse):
            raise
        raise NoCourse(f"the trace of the search cannot be read ({type(error).__name__}: {error}).") from None
    return Course(reader.rounds, console, reader.history, reader.training, reader.grown, baselines)


class _Reader:
    """Goes through a trace."""

    def __init__(self, console: MixGraph | None, processors: int, sends: bool) -> None:
        self.processors, self.sends = processors, sends
        self.rounds: list[Round] = []
        self.history: list[tuple[int, float]] = []
        self.training: list[tuple[int, float]] = []
        self.grown: list[str] = []
        self.trials: list[Trial] = []
        self.restored = 0
        self.graph: MixGraph | None = None
        self.moved = False
        if console is not None:
            self.graph = console.clone()
            self.graph.origin = torch.arange(console.node_type.numel())

    def read(self, record: Mapping[str, Any]) -> None:
        """One record."""
        event, step = record["event"], int(record["step"])
        if event in ("train", "evaluate") and record.get("loss") is not None:
            self.history.append((step, round(float(record["loss"]), 5)))
        if event == "train" and record.get("train_loss") is not None:
            self.training.append((step, round(float(record["train_loss"]), 5)))
        if event in _GROWN and record.get("kept"):
            self.grown.append(_sentence(event, record))
        if event == "stopped":
            self.grown.append(f"ended early, after {float(record['minutes']):g} minutes, in {record['where']}")
        if event in ("moves", "relaxed") and int(record["kept"]):
            self.graph, self.moved = None, True
        if event == "evaluate":
            self._add_round(0, float(record["loss"]), self._count(), record.get("weights_left"))
        elif event == "trial":
            self.trials.append(self._trial(record))
        elif event == "restored":
            self.restored = int(record["processors"])
        elif event == "round":
            self._end_round(record)

    def _count(self) -> int:
        return self.processors if self.graph is None else sum(_own(count_processors(self.graph)).values())

    def _trial(self, record: Mapping[str, Any]) -> Trial:
        names = [str(name) for name in record["candidates"]]
        numbers = []
        for name in names:
            found = _NODE.match(name)
            if found is None:
                raise NoCourse(f"the trace names a node {name!r}, without a number.")
            numbers.append(int(found[1]))
        if self.graph is not None:
            numbers = self.graph.origin[numbers].tolist()
        after = record["loss_after"]
        return Trial(
            () if self.moved else tuple(numbers), tuple(names), tuple(record.get("weights", ())),
            float(record["loss_before"]),
            None if after is None else float(after), float(record["threshold"]), bool(record["kept"]),
            bool(record.get("audible", {}).get("over")) if isinstance(record.get("audible"), dict) else False,
        )  # fmt: skip

    def _end_round(self, record: Mapping[str, Any]) -> None:
        removed = [trial.nodes for trial in self.trials if trial.kept]
        left = self.restored
        while left > 0 and removed:
            left -= len(removed.pop())
        if self.graph is not None:
            gone = {node for nodes in removed for node in nodes}
            rows = [i for i, node in enumerate(self.graph.origin.tolist()) if node in gone]
            graph = remove_nodes(self.graph, rows) if rows else self.graph
            self.graph = without_unfed(graph) if self.sends else graph
            if self._count() != int(record["processors"]):
                raise NoCourse(
                    f"round {record['round']} left {record['processors']} processors, and the trace accounts for "
                    f"{self._count()}: console and trace are not of one search."
                )
        self._add_round(
            int(record["round"]), float(record["loss"]), int(record["processors"]), record.get("weights_left")
        )
        self.history.append((int(record["step"]), round(float(record["loss"]), 5)))
        self.trials, self.restored = [], 0

    def _add_round(self, number: int, loss: float, processors: int, weights: Any) -> None:
        present = None if self.graph is None else tuple(self.graph.origin.tolist())
        wet = tuple(float(w) for w in weights) if isinstance(weights, list) else ()
        self.rounds.append(Round(number, round(loss, 5), processors, present, wet, tuple(self.trials), self.restored))


def _own(counts: Mapping[str, int]) -> dict[str, int]:
    """Without what aligns tracks, which is put into the graph after the search."""
    return {name: count for name, count in counts.items() if name != "align"}


def _sentence(event: str, record: Mapping[str, Any]) -> str:
    """What was added or changed, in words."""
    if event == "move":
        return f"{record['move']}: {record['of']}"
    if event == "relaxation":
        return f"chosen by slots: {', '.join(record['kinds']) or 'nothing'} on {record['of']}"
    word = {"ride": "a ride", "ducking": "ducking", "return": "a shared effect"}[event]
    where = record.get("place") or record.get("track") or record.get("return") or ""
    return f"added {word}{f' on {where}' if where else ''}"
