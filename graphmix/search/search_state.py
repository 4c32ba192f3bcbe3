"""Where a search stands, in one file: everything that is needed to go on as if nothing had happened.

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
from graphmix.io import open_tensors, write_atomically
from graphmix.processors.rack import Rack

_GRAPH_FIELDS = ("node_type", "edge_index", "edge_port", "wet")


@dataclass
class SearchState:
    """Progress of one search.

    Args:
        phase: ``"train"``, ``"trials"`` or ``"done"``.
        round: 0 while the console is trained, then the number of the pruning round.
        step: gradient steps so far.
        graphs: ``"current"``, ``"best"`` of the running training, ``"simple"``: the best answer without effects.
        tensors: of the running training.
        training: JSON values of the running training.
        verdicts: of the trials of the running round.
        losses: numbers by name: of the baselines, the console, the running minimum.
        counts: processors of each type in the full console.
        seconds: by phase.
        trace: every decision, in order.
    """

    phase: str = "train"
    round: int = 0
    step: int = 0
    graphs: dict[str, MixGraph] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    verdicts: list[dict[str, Any]] = field(default_factory=list)
    losses: dict[str, Any] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    trace: list[dict[str, Any]] = field(default_factory=list)

    _JSON = ("phase", "round", "step", "training", "verdicts", "losses", "counts", "seconds", "trace")

    def save(self, path: Path, run: Mapping[str, Any]) -> None:
        """Write the state and which run it belongs to."""
        tensors = {f"training.{name}": value for name, value in self.tensors.items()}
        names: dict[str, list[str]] = {}
        for key, graph in self.graphs.items():
            names[key] = list(graph.names)
            tensors |= {f"graph.{key}.{name}": graph[name] for name in _GRAPH_FIELDS}
            tensors |= {f"graph.{key}.params.{name}": values for name, values in graph.params.items()}
        tensors = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
        values = {name: getattr(self, name) for name in self._JSON}
        head = json.dumps({"run": run, "names": names, **values})
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
                f"{path} is no checkpoint of a search, or damaged ({error}); delete it to start anew."
            ) from None

    @classmethod
    def _from_parts(cls, head: Mapping[str, Any], tensors: Mapping[str, Tensor], rack: Rack) -> "SearchState":
        state = cls(**{name: head[name] for name in cls._JSON})
        for key, names in head["names"].items():
            graph = MixGraph(rack.types, rack.sample_rate)
            graph.info = type(graph.info)(graph.info.types, rack.sample_rate, tuple(names))
            for name in _GRAPH_FIELDS:
                graph[name] = tensors[f"graph.{key}.{name}"]
            graph.params = {name: tensors[f"graph.{key}.params.{name}"] for name in graph.params}
            state.graphs[key] = graph
        prefix = "training."
        state.tensors = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
        return state
