"""The nearest training song: a baseline that copies the chains of the most similar song.

A song is stored as the mean log-mel spectra of its tracks and the chains of its tracks and buses. *Owners* are
tracks and buses; nodes belong to owners, in the order of their chains.
"""

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from graphmix.errors import GraphmixError
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.strips import find_strips
from graphmix.models.config import ModelConfig
from graphmix.models.features import LogMel
from graphmix.models.mixing.baselines import ON_BUS, ON_TRACK, audible_strips
from graphmix.models.mixing.canonical import CanonicalSong, EmbeddedSong, canonical_buses
from graphmix.models.mixing.estimator import Embeddings, Estimator, register
from graphmix.models.mixing.stems import Stems
from graphmix.models.mixing.wiring import with_silent
from graphmix.processors.rack import Rack

_STORED = (
    "song_vectors",
    "owner_song",
    "owner_role",
    "owner_vectors",
    "node_owner",
    "node_type",
    "node_row",
    "node_wet",
)


class NearestSongConfig(ModelConfig):
    """The nearest training song.

    Args:
        mels: bands of the spectrograms that are compared.
    """

    name: Literal["nearest_song"] = "nearest_song"
    mels: int = Field(default=64, ge=16)


@register
class NearestSong(Estimator):
    """Copies the most similar training song, by the mean log-mel spectrum of its tracks (mid and side).

    Each track takes the chain of that song's nearest track; each bus that of its nearest bus, whose spectrum is the
    mean of its tracks'. Spectra and chains of the training songs are stored, no audio.
    """

    config_type: ClassVar[type[ModelConfig]] = NearestSongConfig
    config: NearestSongConfig
    song_vectors: Tensor
    owner_song: Tensor
    owner_role: Tensor
    owner_vectors: Tensor
    node_owner: Tensor
    node_type: Tensor
    node_row: Tensor
    node_wet: Tensor

    def __init__(self, config: ModelConfig, rack: Rack | None = None) -> None:
        super().__init__(config, rack)
        self.log_mel = LogMel(self.config.sample_rate, self.config.mels)
        self._store(_Memory(self.rack, 2 * self.config.mels))

    def _store(self, memory: "_Memory") -> None:
        for name, value in memory.tensors().items():
            self.register_buffer(name, value.to(self.device))

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any, **kwargs: Any) -> None:
        """Take as many rows as a checkpoint has: how much is stored depends on the training songs."""
        for name in (*_STORED, *(f"params_{kind}" for kind in self.rack.names)):
            own, found = self.get_buffer(name), state_dict.get(prefix + name)
            if found is not None and found.shape[1:] == own.shape[1:]:
                self.register_buffer(name, own.new_zeros(found.shape))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    @torch.no_grad()
    def fit_songs(self, examples: Iterable[tuple[Stems, MixGraph]]) -> None:
        """Store songs; those stored before are dropped."""
        memory = _Memory(self.rack, 2 * self.config.mels)
        for stems, graph in examples:
            song = self.embed([stems])[0]
            if song.num_tracks:
                memory.add(song, graph)
        self._store(memory)

    def embeddings_of(self, songs: Sequence[CanonicalSong]) -> list[Embeddings]:
        """Mean log-mel spectra of mid and side, [active, 2 * mels]."""
        embeddings: list[Embeddings] = []
        for song in songs:
            seen = song.features
            if seen is None:
                seen = self.log_mel(song.audio_at(self.sample_rate).to(self.device))
            embeddings.append(Embeddings(seen.to(self.device).mean(2).flatten(1)))
        return embeddings

    def graphs_of(self, songs: Sequence[EmbeddedSong], *, soft: bool) -> list[MixGraph]:
        """A copy of the nearest song's chains for each song."""
        if not self.song_vectors.size(0):
            raise GraphmixError("the model 'nearest_song' has no songs yet; train it, or call its method fit_songs.")
        return [with_silent(self._proposal(song), song.silent).to(self.device) for song in songs]

    def _proposal(self, song: EmbeddedSong) -> MixGraph:
        graph = MixGraph(self.rack.types, self.sample_rate)
        out = graph.add("out", name="mix")
        if not song.num_tracks:
            return graph
        known = int((self.song_vectors - song.tracks.mean(0)).square().sum(1).argmin())
        row = {name: i for i, name in enumerate(song.names)}
        rows: dict[str, list[int]] = {name: [] for name in self.rack.names}
        for bus, members in canonical_buses(song.names, song.subgroups).items():
            mix = graph.add("mix", name=bus)
            for member in members:
                end = self._copy(graph, graph.add("in", name=member), rows, known, ON_TRACK, song.tracks[row[member]])
                graph.connect(end, mix)
            vector = song.tracks[[row[member] for member in members]].mean(0)
            graph.connect(self._copy(graph, mix, rows, known, ON_BUS, vector), out)
        for name, wanted in rows.items():
            index = torch.tensor(wanted, dtype=torch.long)
            graph.params[name] = self.get_buffer(f"params_{name}").cpu()[index]
        return graph

    def _copy(
        self, graph: MixGraph, start: int, rows: dict[str, list[int]], known: int, role: int, vector: Tensor
    ) -> int:
        """Add the chain of a song's nearest track or bus after a node, and return its last node."""
        owners = ((self.owner_song == known) & (self.owner_role == role)).nonzero().flatten()
        if not owners.numel():
            return start
        distance = (self.owner_vectors[owners] - vector).square().sum(1)
        owner = owners[distance.argmin()]
        end = start
        for node in (self.node_owner == owner).nonzero().flatten().tolist():
            name = self.rack.names[int(self.node_type[node])]
            added = graph.add(name, wet=float(self.node_wet[node]))
            rows[name].append(int(self.node_row[node]))
            graph.connect(end, added)
            end = added
        return end


class _Memory:
    """The store of a :class:`NearestSong` while it is filled: owners are tracks and buses, nodes belong to owners."""

    def __init__(self, rack: Rack, size: int) -> None:
        self.rack, self.size = rack, size
        self.songs: list[Tensor] = []
        self.owners: list[tuple[int, int]] = []
        self.vectors: list[Tensor] = []
        self.nodes: list[tuple[int, int, int]] = []
        self.wet: list[float] = []
        self.params: dict[str, list[Tensor]] = {name: [] for name in rack.names}

    def add(self, song: EmbeddedSong, graph: MixGraph) -> None:
        """Store one song."""
        row = {name: i for i, name in enumerate(song.names)}
        members, names, rows = find_strips(graph).members, graph.names, graph.rows().tolist()
        tracks = song.tracks.detach().cpu()
        for strip in audible_strips(graph):
            inside = [names[strip.start]] if strip.role == ON_TRACK else sorted(members[strip.start])
            members_here = [row[name] for name in inside if name in row]
            if not members_here:
                continue
            owner = len(self.owners)
            self.owners.append((len(self.songs), strip.role))
            self.vectors.append(tracks[members_here].mean(0))
            for node in strip.nodes:
                name = graph.type_of(node).name
                if name not in self.params:
                    continue
                self.nodes.append((owner, self.rack.names.index(name), len(self.params[name])))
                self.wet.append(float(graph.wet[node]))
                self.params[name].append(graph.params[name][rows[node]].detach().cpu())
        self.songs.append(tracks.mean(0))

    def tensors(self) -> dict[str, Tensor]:
        """Everything as buffers."""
        owners = torch.tensor(self.owners, dtype=torch.long).reshape(-1, 2)
        nodes = torch.tensor(self.nodes, dtype=torch.long).reshape(-1, 3)
        values = [
            _stacked(self.songs, self.size),
            owners[:, 0],
            owners[:, 1],
            _stacked(self.vectors, self.size),
            nodes[:, 0],
            nodes[:, 1],
            nodes[:, 2],
            torch.tensor(self.wet),
        ]
        stored = {name: value.contiguous() for name, value in zip(_STORED, values, strict=True)}
        for t in self.rack.types:
            stored[f"params_{t.name}"] = _stacked(self.params[t.name], t.width)
        return stored


def _stacked(rows: Sequence[Tensor], width: int) -> Tensor:
    return torch.stack(list(rows)) if rows else torch.zeros(0, width)
