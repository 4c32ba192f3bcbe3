"""Mined songs as runs: what statistics read from the folders of ``mine`` and ``mine-all``.

*Settings* are named by what differs among the runs, the seed apart.
"""

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphmix.errors import FileError, GraphError, SearchError
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.storage import load_graph
from graphmix.graph.topology import follow, neighbours
from graphmix.io import decode_text, name_as_text
from graphmix.search.metrics import METRICS, translate_metrics

NO_COLLECTION = "(none)"
ALL = "all"
_MAIN_SETTINGS = ("policy", "tolerance")
_NUMBERS = ("audio_loss", "console_loss", "tracks", "processors_before", "processors_left")

Place = tuple[str, str, int]
"""Track or subgroup, type, rank among the processors of that type there."""


@dataclass(frozen=True)
class Run:
    """One mined song: its folder, its ``metrics.json``, and the name of its settings among those of other runs."""

    folder: Path
    metrics: Mapping[str, Any]
    settings_name: str = ""

    @property
    def song_id(self) -> str:
        """Id of the song in its collection."""
        return str(self._source.get("song_id") or self.metrics.get("song"))

    @property
    def collection(self) -> str:
        """Name of the song's collection."""
        return str(self._source.get("collection") or NO_COLLECTION)

    @property
    def artist(self) -> str | None:
        """Artist, where known."""
        return self._source.get("artist")

    @property
    def _source(self) -> Mapping[str, Any]:
        return self.metrics.get("source") or {}

    @property
    def ratio(self) -> Mapping[str, float]:
        """Pruning ratio by type, and of all as ``"all"``."""
        ratios: Mapping[str, float] = self.metrics["pruning_ratio"]
        return ratios

    @property
    def seed(self) -> int:
        """Seed of every random choice."""
        return int(self.metrics["settings"].get("seed", 0))

    @property
    def loss_increase(self) -> float:
        """Audio loss above that of the fitted console."""
        return float(self.metrics["audio_loss"]) - float(self.metrics["console_loss"])

    def nodes(self, processors: str) -> int:
        """Nodes with ``"processors_before"`` or ``"processors_left"``: processors, tracks, subgroups, the output."""
        return int(self.metrics[processors]) + int(self.metrics["tracks"]) + int(self.metrics.get("subgroups", 0)) + 1

    def trace(self) -> list[dict[str, Any]]:
        """The records of its search, or none if they cannot be read."""
        try:
            lines = decode_text((self.folder / "trace.jsonl").read_bytes(), "trace.jsonl").splitlines()
            records = [json.loads(line) for line in lines]
        except (OSError, ValueError):
            return []
        return [record for record in records if isinstance(record, dict)]

    def importance(self) -> list[tuple[str, float, float]]:
        """(type, dry/wet weight, loss increase when pruned) of the fitted console's processors, if they were kept."""
        try:
            with open(self.folder / "plots" / "importance.csv", encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file))
            return [(row["type"], float(row["weight"]), float(row["loss_increase"])) for row in rows]
        except (OSError, ValueError, KeyError, TypeError):
            return []

    def places(self) -> set[Place] | None:
        """Where the processors of its graph are; None if the graph cannot be read."""
        try:
            return places(load_graph(self.folder / "graph.safetensors"))
        except GraphError:
            return None


def read_runs(folders: Iterable[str | Path]) -> tuple[list[Run], list[str]]:
    """All mined songs in and below folders, and sentences on what could not be read.

    Raises:
        SearchError: there is none.
    """
    found: dict[Path, Mapping[str, Any]] = {}
    notices = []
    roots = [Path(folder) for folder in folders]
    for folder in roots:
        if not folder.is_dir():
            raise SearchError(f"{folder} is no folder; give the output folders of mine or mine-all.")
        for path in sorted(folder.rglob(METRICS)):
            if path.parent.resolve() in found or not (path.parent / "run.json").exists():
                continue
            try:
                metrics = _read_metrics(path)
            except FileError as error:
                notices.append(f"{str(error).removesuffix('.')}; it was left out.")
                continue
            if metrics is None:
                notices.append(f"{name_as_text(str(path))} is damaged or of another version, and was left out.")
            else:
                found[path.parent.resolve()] = metrics
    if not found:
        raise SearchError(f"there is no mined song in {', '.join(map(str, roots))}; mine some first.")
    names = _settings_names([metrics["settings"] for metrics in found.values()])
    runs = [Run(path, metrics, name) for (path, metrics), name in zip(found.items(), names, strict=True)]
    return sorted(runs, key=lambda run: (run.settings_name, run.collection, run.song_id, run.seed)), notices


def _read_metrics(path: Path) -> Mapping[str, Any] | None:
    """The metrics with today's keys; None where they lack what statistics need, or hold no finite numbers there.

    Raises:
        FileError: they are text of another encoding.
    """
    try:
        metrics = translate_metrics(json.loads(decode_text(path.read_bytes(), str(path))))
        ratios = metrics["pruning_ratio"]
        numbers = [*(metrics[name] for name in _NUMBERS), ratios[ALL], metrics["settings"]["tolerance"]]
        usable = all(math.isfinite(number) for number in [*numbers, *ratios.values()])
        return metrics if usable else None
    except FileError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _settings_names(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Policy and tolerance, and whatever else is not the same in all; the seed has no part in it."""
    keys = list(dict.fromkeys(key for one in settings for key in one if key != "seed"))
    differing = [key for key in keys if len({str(one.get(key)) for one in settings}) > 1]
    others = [key for key in differing if key not in _MAIN_SETTINGS]

    def name(one: Mapping[str, Any]) -> str:
        return ", ".join(
            [str(one.get("policy")), f"τ {one.get('tolerance'):g}", *(f"{key} {one.get(key)}" for key in others)]
        )

    return [name(one) for one in settings]


def places(graph: MixGraph) -> set[Place]:
    """The processors of a graph in console form, by their places."""
    _, after = neighbours(graph.node_type.numel(), graph.edges())
    ends = {*graph.nodes_of("in").tolist(), *graph.nodes_of("mix").tolist()}
    found: set[Place] = set()
    for start in sorted(ends):
        owner, counts = graph.names[start] or str(start), dict[str, int]()
        for node in follow(after, start):
            kind = graph.type_of(node)
            if not kind.is_processor:
                break
            found.add((owner, kind.name, counts.get(kind.name, 0)))
            counts[kind.name] = counts.get(kind.name, 0) + 1
    return found
