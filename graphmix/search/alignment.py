"""Alignment before a search: the song with its tracks where the mix has them, and nodes that put them there.

The search works on tracks that are moved already, so that it takes the same steps as on a song without such faults.
:meth:`Alignment.complete` puts what was moved into the graph that is kept, which then makes the mix from the tracks as
they are: an `align` node behind a track that lies elsewhere or is inverted, and one behind the sum.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from graphmix.audio.alignment import describe_mixup
from graphmix.audio.lags import MOST_SECONDS, Lags, find_lags
from graphmix.audio.song import Song
from graphmix.audio.stored import put_row, room_like
from graphmix.errors import SearchError
from graphmix.graph.editing import insert_after, insert_before, with_type
from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.align import HALF, Align

MIX_NODE = "mix alignment"
"""Name of the node behind the sum."""
_EXACT = 0.005
"""Samples from a whole number within which an estimate is taken for that number."""


@dataclass(frozen=True)
class Alignment:
    """What is moved.

    Args:
        lags: that were found.
        sample_rate: to which they refer.
    """

    lags: Lags
    sample_rate: int

    def __bool__(self) -> bool:
        return bool(self.lags)

    def align(self, song: Song) -> Song:
        """The song with its tracks where the mix has them; they are kept decoded, in memory or in a
        file as they were.

        Args:
            song: in which the lags were found.
        """
        if not self:
            return song
        whole = round(self.lags.mix)
        rest = _snapped(self.lags.mix) - whole
        moves = {name: (rest, 1.0) for name in song.track_names} if rest else {}
        for name, lag in self.lags.tracks.items():
            moves[name] = (rest + _snapped(lag.samples), -1.0 if lag.inverted else 1.0)
        moved = replace(song, offset=song.offset + whole, _decoded=None)
        margin = HALF + 1 + max((abs(round(samples)) for samples, _ in moves.values()), default=0)
        length, names = song.num_samples + 2 * margin, song.track_names
        inside = slice(margin, margin + song.num_samples)
        decoded = room_like(song._decoded, song.num_tracks + 1, song.num_samples)
        for row, name in enumerate(names):  # one by one: all of them together may not fit into memory
            audio = moved.read_track(row, -margin, length)
            put_row(decoded, row, (self._move(audio, *moves[name]) if name in moves else audio)[:, inside])
        put_row(decoded, song.num_tracks, moved.read_mix(0, song.num_samples))
        return replace(moved, _decoded=decoded)

    def _move(self, audio: Tensor, samples: float, polarity: float) -> Tensor:
        params = torch.tensor([[self._ms(samples), polarity]], dtype=torch.float64)
        return Align(self.sample_rate)(audio[None], params)[0]

    def complete(self, graph: MixGraph) -> MixGraph:
        """A graph for the tracks as they are from one for aligned tracks."""
        if not self:
            return graph
        kind = Align(graph.sample_rate).node_type
        graph = with_type(graph, kind)
        for name, lag in self.lags.tracks.items():
            delay, polarity = self._ms(_snapped(lag.samples)), -1.0 if lag.inverted else 1.0
            for node in graph.nodes_of("in").tolist():
                if graph.names[node] == name:
                    graph = insert_after(graph, node, kind.name, delay_ms=delay, polarity=polarity)
        if self.lags.mix:
            delay = self._ms(_snapped(self.lags.mix))
            for out in graph.nodes_of("out").tolist():
                graph = insert_before(graph, out, kind.name, name=MIX_NODE, delay_ms=delay)
        return graph

    def _ms(self, samples: float) -> float:
        return 1000 * samples / self.sample_rate

    def describe(self) -> dict[str, Any]:
        """For ``metrics.json``."""
        tracks = {
            name: {"delay_ms": round(self._ms(_snapped(lag.samples)), 5), "inverted": lag.inverted}
            for name, lag in self.lags.tracks.items()
        }
        found = {"mix_delay_ms": round(self._ms(_snapped(self.lags.mix)), 5), "tracks": tracks}
        return found | ({"drift_ppm": round(self.lags.drift_ppm, 1)} if self.lags.drift_ppm else {})


NO_ALIGNMENT = Alignment(Lags(), 1)


def find_alignment(song: Song) -> Alignment:
    """Where mix and tracks lie.

    Raises:
        SearchError: they do not belong together, or lie too far from each other.
    """
    lags = find_lags(song)
    if lags.mixup is not None:
        raise SearchError(f"{song.name!r}: {describe_mixup(*lags.mixup)}, or give --align off to mine it all the same.")
    if not lags.related:
        raise SearchError(
            f"the mix of {song.name!r} does not seem to be made of these tracks: at no offset do they correlate. Give "
            "its own mix, or --align off to mine it all the same."
        )
    if lags.too_far:
        side = "behind" if lags.too_far > 0 else "ahead of"
        raise SearchError(
            f"the mix of {song.name!r} seems to lie {abs(lags.too_far):.1f} s {side} the tracks, beyond "
            f"{MOST_SECONDS:.0f} s: give it as --offset, or --align off to mine it as it is."
        )
    return Alignment(lags, song.sample_rate)


def _snapped(samples: float) -> float:
    return float(round(samples)) if abs(samples - round(samples)) < _EXACT else samples
