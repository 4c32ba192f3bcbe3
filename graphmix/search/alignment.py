"""Alignment before a search: the song moved by whole samples, and `align` nodes for what is left and for single tracks.

A mix that is late by many samples would cost every segment as much warm-up, so the search works on a song whose
offset takes the whole samples; :meth:`Alignment.complete` puts them into the graph that is kept, which then makes the
mix from the tracks as they are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from graphmix.audio.lags import Lags, find_lags
from graphmix.audio.song import Song
from graphmix.errors import SearchError
from graphmix.graph.editing import insert_after, insert_before
from graphmix.graph.mixgraph import MixGraph

KIND, MIX_NODE = "align", "mix alignment"
"""Node type, and the name of the node behind the sum."""
_EXACT = 0.005
"""Samples from a whole number within which an estimate is taken for that number."""


@dataclass(frozen=True)
class Alignment:
    """What a search does about lags.

    Args:
        lags: that were found.
        sample_rate: to which they refer.
    """

    lags: Lags
    sample_rate: int

    def __bool__(self) -> bool:
        return bool(self.lags)

    @property
    def whole(self) -> int:
        """Samples by which the song's offset grows."""
        return round(self.lags.mix)

    @property
    def rest(self) -> float:
        """Samples by which the mix is late beyond them."""
        return _snapped(self.lags.mix) - self.whole

    def moved(self, song: Song) -> Song:
        """The song with its offset in whole samples."""
        return with_offset(song, song.offset + self.whole) if self.whole else song

    def insert(self, console: MixGraph) -> MixGraph:
        """A console with nodes for tracks that lie elsewhere or are inverted, and for a part of a sample.

        Args:
            console: whose types have the node type `align`.
        """
        for name, lag in self.lags.tracks.items():
            values = {"delay_ms": self._ms(_snapped(lag.samples)), "polarity": -1.0 if lag.inverted else 1.0}
            (node,) = (n for n in console.nodes_of("in").tolist() if console.names[n] == name)
            console = insert_after(console, node, KIND, **values)
        return self._behind_the_sum(console, self.rest) if self.rest else console

    def complete(self, graph: MixGraph) -> MixGraph:
        """A graph of the search with the whole samples in it."""
        if not self.whole:
            return graph
        nodes = [node for node in graph.nodes_of(KIND).tolist() if graph.names[node] == MIX_NODE]
        if not nodes:
            return self._behind_the_sum(graph, float(self.whole))
        graph = graph.clone()
        delay = graph.params[KIND][int(graph.rows()[nodes[0]]), graph.types[graph.types.index(KIND)].columns("delay_ms")]
        delay += self._ms(self.whole)
        return graph

    def _behind_the_sum(self, graph: MixGraph, samples: float) -> MixGraph:
        (out,) = graph.nodes_of("out").tolist()
        return insert_before(graph, out, KIND, name=MIX_NODE, delay_ms=self._ms(samples))

    def _ms(self, samples: float) -> float:
        return 1000 * samples / self.sample_rate

    def describe(self) -> dict[str, Any]:
        """For ``metrics.json``."""
        tracks: Mapping[str, Any] = {
            name: {"delay_ms": round(self._ms(lag.samples), 5), "inverted": lag.inverted}
            for name, lag in self.lags.tracks.items()
        }
        return {"mix_delay_ms": round(self._ms(self.lags.mix), 5), "tracks": tracks}


NO_ALIGNMENT = Alignment(Lags(), 1)


def find_alignment(song: Song) -> Alignment:
    """Where mix and tracks lie.

    Raises:
        SearchError: they do not belong together.
    """
    lags = find_lags(song)
    if not lags.related:
        raise SearchError(
            f"the mix of {song.name!r} does not seem to be made of these tracks: at no offset do they correlate. Give "
            "its own mix, or --align off to mine it all the same."
        )
    return Alignment(lags, song.sample_rate)


def with_offset(song: Song, offset: int) -> Song:
    """The same song, its mix so many samples behind the tracks."""
    moved = replace(song, offset=offset, _decoded=None)
    if song._decoded is None:
        return moved
    audio = moved.read(0, song.num_samples)
    rows = [audio.stems] if audio.mix is None else [audio.stems, audio.mix[None]]
    return replace(moved, _decoded=torch.cat(rows).to(song._decoded.device))


def _snapped(samples: float) -> float:
    return float(round(samples)) if abs(samples - round(samples)) < _EXACT else samples
