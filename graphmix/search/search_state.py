"""Where a search stands, in one file: everything that is needed to resume it as if nothing had happened.

A safetensors file of graphs, raw values and optimizer moments, with one JSON object as metadata. It is replaced in
one step, so that a kill leaves the old one or the new one.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save
from torch import Tensor

from graphmix.errors import SearchError
from graphmix.graph.mixgraph import MixGraph
from graphmix.io import finite, open_tensors, to_json, write_atomically
from graphmix.processors.base import Processor
from graphmix.processors.rack import Rack
from graphmix.processors.ride import Ride
from graphmix.search.losses import LossTerms
from graphmix.spec import NodeType

_GRAPH_FIELDS = ("node_type", "edge_index", "edge_port", "wet")
_OLD_NAMES = {"simple": "baselines", "simple_best": "baseline"}
"""Names of losses in the checkpoints of older versions -> their names today."""


@dataclass(frozen=True)
class ScoredGraph:
    """A graph and its loss over the song; None where it has not been evaluated as a whole."""

    graph: MixGraph
    loss: LossTerms | None = None

    @property
    def terms(self) -> LossTerms:
        """The loss of a graph that has been evaluated."""
        assert self.loss is not None, "this graph has been evaluated"
        return self.loss


@dataclass
class SearchState:
    """Progress of one search.

    Args:
        current: the console as it starts, as it was fitted, or what pruning has left of it.
        phase: ``"train"``, ``"trials"`` or ``"done"``.
        round: 0 while the console is trained, then the number of the pruning round.
        step: gradient steps so far.
        ride_passes: how often rides were looked for.
        best: best graph of the running training.
        console: the fitted console, before pruning.
        baseline: the best baseline.
        baseline_losses: L_a of each baseline, by name.
        minimum: smallest loss on the trial segments so far, which trials are compared with.
        whole_minimum: loss over the whole song when pruning began.
        tensors: of the running training.
        training: JSON values of the running training.
        verdicts: of the trials of the running round.
        moves: of the running pass of moves, JSON values.
        relaxation: of the relaxation of chains, JSON values.
        counts: processors of each type in the full console.
        seconds: by phase.
        trace: every decision, in order.
    """

    current: ScoredGraph
    phase: str = "train"
    round: int = 0
    step: int = 0
    ride_passes: int = 0
    best: ScoredGraph | None = None
    console: ScoredGraph | None = None
    baseline: ScoredGraph | None = None
    baseline_losses: dict[str, float] = field(default_factory=dict)
    minimum: float | None = None
    whole_minimum: float | None = None
    tensors: dict[str, Tensor] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    verdicts: list[dict[str, Any]] = field(default_factory=list)
    moves: dict[str, Any] = field(default_factory=dict)
    relaxation: dict[str, Any] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    trace: list[dict[str, Any]] = field(default_factory=list)

    _JSON = (
        "phase",
        "round",
        "step",
        "ride_passes",
        "training",
        "verdicts",
        "moves",
        "relaxation",
        "counts",
        "seconds",
        "trace",
    )
    _LATER = frozenset({"ride_passes", "moves", "relaxation"})
    _GRAPHS = ("current", "best", "console", "baseline")

    @property
    def is_baseline(self) -> bool:
        """Whether nothing is better than the best baseline."""
        return self.baseline is not None and bool(self.baseline.terms.total <= self.current.terms.total)

    @property
    def result(self) -> ScoredGraph:
        """The better of the pruned graph and the best baseline."""
        return self.baseline if self.baseline is not None and self.is_baseline else self.current

    def save(self, path: Path, run: Mapping[str, Any]) -> None:
        """Write the state and which run it belongs to."""
        tensors = {f"training.{name}": value for name, value in self.tensors.items()}
        names: dict[str, list[str]] = {}
        grown: dict[str, list[str]] = {}
        losses: dict[str, Any] = {
            "baselines": self.baseline_losses,
            "minimum": self.minimum,
            "whole_minimum": self.whole_minimum,
        }
        for key in self._GRAPHS:
            scored: ScoredGraph | None = getattr(self, key)
            if scored is None:
                continue
            graph = scored.graph
            names[key] = list(graph.names)
            grown[key] = [t.name for t in graph.types.types if t.is_processor]
            losses[key] = None if scored.loss is None else scored.loss.to_list()
            tensors |= {f"graph.{key}.{name}": graph[name] for name in _GRAPH_FIELDS}
            tensors |= {f"graph.{key}.params.{name}": values for name, values in graph.params.items()}
        tensors = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
        values = {name: getattr(self, name) for name in self._JSON}
        head = to_json(finite({"run": dict(run), "names": names, "losses": losses, "types": grown, **values}))
        write_atomically(path, save(tensors, {"graphmix_search": head}))

    @classmethod
    def load(cls, path: Path, rack: Rack) -> tuple["SearchState", dict[str, Any]]:
        """Read a state and the run that it belongs to.

        Raises:
            SearchError: the file is damaged or something else.
        """
        try:
            with open_tensors(path) as file:
                head = json.loads((file.metadata() or {})["graphmix_search"])
                tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
            return cls._from_parts(head, tensors, rack), head["run"]
        except (SafetensorError, KeyError, TypeError, ValueError, AttributeError, OSError) as error:
            raise SearchError(
                f"{path} is no checkpoint of a search, or damaged ({error}); delete it to start again."
            ) from None

    @classmethod
    def _from_parts(cls, head: Mapping[str, Any], tensors: Mapping[str, Tensor], rack: Rack) -> "SearchState":
        losses = {_OLD_NAMES.get(name, name): value for name, value in head["losses"].items()}
        scored: dict[str, Any] = {}
        for old, names in head["names"].items():
            types = _types(rack, head.get("types", {}).get(old))
            graph = _graph_from(tensors, f"graph.{old}.", names, types, rack.sample_rate)
            key = "baseline" if old == "simple" else old
            terms = losses.get(key)
            scored[key] = ScoredGraph(graph, None if terms is None else LossTerms.from_list(terms))
        prefix = "training."
        return cls(
            **scored,
            **{name: head[name] for name in cls._JSON if name in head or name not in cls._LATER},
            baseline_losses=losses.get("baselines") or {},
            minimum=losses.get("minimum"),
            whole_minimum=losses.get("whole_minimum"),
            tensors={n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)},
        )


def grown_processors(rack: Rack) -> list[Processor]:
    """What a search may add to the processors of a console."""
    full = {p.node_type.name: p for p in (*Rack.full(rack.sample_rate), Ride(rack.sample_rate))}
    return [p for name, p in full.items() if name not in rack]


def _types(rack: Rack, names: list[str] | None) -> tuple[NodeType, ...]:
    """Types by name; those of the rack where there are no names, as in checkpoints of earlier versions."""
    known = {p.node_type.name: p.node_type for p in (*rack, *grown_processors(rack))}
    return rack.types if names is None else tuple(known[name] for name in names)


def _graph_from(
    tensors: Mapping[str, Tensor], prefix: str, names: list[str], types: tuple[NodeType, ...], sample_rate: int
) -> MixGraph:
    graph = MixGraph(types, sample_rate)
    graph.info = type(graph.info)(graph.info.types, sample_rate, tuple(names))
    for name in _GRAPH_FIELDS:
        graph[name] = tensors[prefix + name]
    graph.params = {name: tensors[f"{prefix}params.{name}"] for name in graph.params}
    return graph
