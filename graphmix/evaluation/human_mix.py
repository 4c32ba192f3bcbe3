"""The song's own mix, as models are compared with it, and what was mined of it, rendered again.

*Mined* is the other end of an evaluation: how close a console comes that was fitted to the very mix, and so what the
processors of a console can reach at all.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from graphmix.audio.loudness import loudness
from graphmix.audio.song import Song
from graphmix.datasets.records import GRAPH, METRICS, find_record_folders
from graphmix.errors import GraphError
from graphmix.evaluation.mix_features import mix_features
from graphmix.evaluation.track_levels import TrackLevels, levels_of_graph, levels_of_mix
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.storage import load_graph
from graphmix.io import read_json
from graphmix.models.mixing.stems import resample
from graphmix.processors.rack import Rack
from graphmix.render.blocks import render_song

MINED = "mined"
"""Name of the rows of what was mined of a song's own mix."""


@dataclass(frozen=True)
class HumanMix:
    """A song with its mix at one rate, and what is known of that mix; each is computed once, when it is asked for.

    Args:
        song: with its mix.
        graph: the true graph of the mix, or None.
        mined: what was mined of the mix, or None.
    """

    song: Song
    graph: MixGraph | None = None
    mined: MixGraph | None = None

    @cached_property
    def audio(self) -> Tensor:
        """[2, samples]."""
        return self.song.read_mix(0, self.song.num_samples)

    @cached_property
    def lufs(self) -> float:
        """Integrated loudness."""
        return loudness(self.audio, self.song.sample_rate)

    @cached_property
    def features(self) -> dict[str, float]:
        """See :func:`graphmix.evaluation.mix_features.mix_features`."""
        return mix_features(self.audio, self.song.sample_rate)

    @cached_property
    def levels(self) -> TrackLevels:
        """Of the true graph where it is known, else of the mined one, else of least squares."""
        for graph in (self.graph, self.mined):
            if graph is not None and _is_renderable(graph):
                return levels_of_graph(graph, self.song.at_rate(graph.sample_rate))
        return levels_of_mix(self.song)

    @property
    def level_source(self) -> str:
        """How :attr:`levels` are known: ``"true graph"``, ``"mined graph"`` or ``"least squares"``.

        The last also where a graph has captured effects, whose files are not at hand.
        """
        known = {"true graph": self.graph, "mined graph": self.mined}
        usable = [name for name, graph in known.items() if graph is not None and _is_renderable(graph)]
        return usable[0] if usable else "least squares"


def _is_renderable(graph: MixGraph) -> bool:
    """Whether all its processors are graphmix's own."""
    return not any(t.source for t in graph.types.types)


class MinedFolder:
    """Graphs that were mined of songs, by song.

    Args:
        folder: of one or more runs of ``graphmix mine``.

    Raises:
        GraphError: there is none in it.
    """

    def __init__(self, folder: str | Path) -> None:
        self._found: dict[tuple[str, str], Path] = {}
        for run in find_record_folders(folder):
            if (run / METRICS).is_file():
                metrics = read_json(run / METRICS)
                source = metrics.get("source") if isinstance(metrics, Mapping) else None
                mix = source.get("mix") if isinstance(source, Mapping) else None
                if mix is not None:
                    self._found[str(metrics.get("song")), Path(str(mix)).name] = run / GRAPH
        if not self._found:
            raise GraphError(f"{folder} holds no song that was mined from a mix; give the output of mine or mine-all.")

    def graph(self, song: Song) -> MixGraph | None:
        """What was mined of the song's mix: of a song of that name, that mix and those tracks; else None."""
        path = self._found.get((song.name, "" if song.mix is None else song.mix.path.name))
        if path is None:
            return None
        graph = load_graph(path)
        return graph if set(graph.input_names) == set(song.track_names) else None


@torch.no_grad()
def render_mined(graph: MixGraph, song: Song) -> Tensor:
    """The mix of a mined graph at the song's rate, [2, samples]; rendered at the graph's own."""
    own = song.at_rate(graph.sample_rate)
    mix = render_song(graph, own, Rack.for_types(graph.types.types, graph.sample_rate))
    mix = resample(mix[None], graph.sample_rate, song.sample_rate)[0]
    missing = song.num_samples - mix.size(1)
    return torch.nn.functional.pad(mix, (0, max(0, missing)))[:, : song.num_samples]
