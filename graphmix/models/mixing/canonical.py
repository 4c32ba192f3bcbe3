"""Canonical songs: tracks in an order that follows from their samples, without those that are silent.

That is how the laws of estimators hold to the last bit. A model computes everything from the same tensors in the same
order, however the tracks were given: so permuting them permutes the proposal. And it computes nothing from silent
tracks: so one more of them changes nothing. They get a bare edge to the output.

The order is that of a hash of the samples; equal tracks are sorted by name. It carries no meaning, and proposals are
returned in the order of the song (:func:`in_song_order`).
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from graphmix.audio.subgroups import DEFAULT_BUS, UNGROUPED_BUS
from graphmix.errors import SongError
from graphmix.graph.editing import renumber
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.strips import find_strips
from graphmix.models.mixing.stems import Stems, resample

GATE_LU = 10.0
"""A block counts in full if its level is no further below that of a track's loudest block, as in BS.1770; below, by its
power. So a track that rests for a block, or only hisses there, is described by what it plays elsewhere."""
_DIGEST_BYTES = 16
_SILENT = b"silent"


@dataclass(frozen=True, eq=False)
class CanonicalSong:
    """The tracks of a song that make a sound, in canonical order.

    Args:
        names: of the active tracks.
        digests: a hash of the samples of each.
        silent: names of the silent ones, sorted.
        audio: of the active tracks, [active, 2, samples], at the rate of the stems.
        sample_rate: of the stems, in Hz.
        subgroups: as the stems have them.
        mix: [2, samples] or None.
        features: of the active tracks, or None; see :class:`Stems`.
        mix_features: of the mix, or None.
        samples: how long the stems are.
        energy: sum of the squared samples of each active track, [active].
        mix_energy: the same of the mix; 0 without one.
    """

    names: tuple[str, ...]
    digests: tuple[bytes, ...]
    silent: tuple[str, ...]
    audio: Tensor
    sample_rate: int
    subgroups: Mapping[str, Sequence[str]] | None
    mix: Tensor | None
    features: Tensor | None
    mix_features: Tensor | None
    samples: int
    energy: Tensor
    mix_energy: float = 0.0

    def audio_at(self, sample_rate: int) -> Tensor:
        """The active tracks at a rate, [active, 2, samples]."""
        return resample(self.audio, self.sample_rate, sample_rate)

    def mix_at(self, sample_rate: int) -> Tensor | None:
        """The mix at a rate, [1, 2, samples]."""
        return None if self.mix is None else resample(self.mix[None], self.sample_rate, sample_rate)


def canonical_song(stems: Stems) -> CanonicalSong:
    """Leave out what is silent and sort the rest."""
    active = stems.active().tolist()
    digests = {row: _digest(stems.audio[row]) for row, sounds in enumerate(active) if sounds}
    rows = sorted(digests, key=lambda row: (digests[row], stems.names[row]))
    index = torch.tensor(rows, dtype=torch.long)
    features = stems.features
    audio = stems.audio.index_select(0, index.to(stems.audio.device))
    return CanonicalSong(
        names=tuple(stems.names[row] for row in rows),
        digests=tuple(digests[row] for row in rows),
        silent=tuple(sorted(name for name, sounds in zip(stems.names, active, strict=True) if not sounds)),
        audio=audio,
        sample_rate=stems.sample_rate,
        subgroups=stems.subgroups,
        mix=stems.mix,
        features=None if features is None else features.index_select(0, index.to(features.device)),
        mix_features=stems.mix_features,
        samples=stems.audio.size(2),
        energy=torch.linalg.vector_norm(audio.detach(), dim=(1, 2), dtype=torch.float64).square(),
        mix_energy=0.0 if stems.mix is None else float(stems.mix.detach().double().square().sum()),
    )


def _digest(track: Tensor) -> bytes:
    samples = np.ascontiguousarray(track.detach().cpu().numpy())
    return hashlib.blake2b(samples.tobytes(), digest_size=_DIGEST_BYTES).digest()


def canonical_buses(names: Sequence[str], subgroups: Mapping[str, Sequence[str]] | None) -> dict[str, tuple[str, ...]]:
    """Bus -> its tracks, buses by their first track; all on one bus where subgroups are unknown.

    Args:
        names: of the tracks, in canonical order.
        subgroups: bus -> tracks; names that are not among ``names`` are left out, as are buses without tracks.
    """
    if subgroups is None:
        return {DEFAULT_BUS: tuple(names)} if names else {}
    bus_of = {member: bus for bus, members in subgroups.items() for member in members}
    buses: dict[str, list[str]] = {}
    for name in names:
        buses.setdefault(bus_of.get(name, UNGROUPED_BUS), []).append(name)
    return {bus: tuple(members) for bus, members in buses.items()}


@dataclass(frozen=True, eq=False)
class EmbeddedSong:
    """Embeddings of a song; the audio is no longer needed.

    Args:
        names: of the active tracks, in canonical order.
        digests: a hash of each.
        silent: names of the silent ones, sorted.
        subgroups: as the stems have them.
        tracks: an embedding of each active track, [active, size].
        mix: an embedding of the mix, [size], or None.
        samples: length of what was embedded.
        excess_db: how much louder than the standard each active track is, [active], for models with gain staging; see
            :mod:`graphmix.models.mixing.gain_staging`.
        energy: see :class:`CanonicalSong`; None if unknown, and all blocks of a track count by their length.
        mix_energy: the same of the mix.
    """

    names: tuple[str, ...]
    digests: tuple[bytes, ...]
    silent: tuple[str, ...]
    subgroups: Mapping[str, Sequence[str]] | None
    tracks: Tensor
    mix: Tensor | None
    samples: int
    excess_db: Tensor | None = None
    energy: Tensor | None = None
    mix_energy: float = 0.0

    @property
    def num_tracks(self) -> int:
        """Number of active tracks."""
        return len(self.names)


def block_weights(samples: Sequence[int], energies: Sequence[float]) -> list[float]:
    """How much each block of a track counts: its length, less where it is more than 10 dB below the loudest block.

    >>> block_weights([30, 30, 30], [9.0, 3.0, 0.0])
    [30.0, 30.0, 0.0]
    """
    powers = [energy / length for length, energy in zip(samples, energies, strict=True)]
    full = max(powers) * 10 ** (-GATE_LU / 10)
    shares = [1.0 if power >= full else power / full for power in powers]
    return [length * share for length, share in zip(samples, shares, strict=True)]


def weighted_mean(parts: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Mean of tensors of one shape."""
    total = sum(weights)
    return torch.stack([part * (weight / total) for weight, part in zip(weights, parts, strict=True)]).sum(0)


def mean_level(parts: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Mean of levels in dB, over their powers."""
    top = torch.stack(list(parts)).amax(0)
    return top + 10 * weighted_mean([10 ** ((part - top) / 10) for part in parts], weights).log10()


Pool = Callable[[Sequence[Tensor], Sequence[float]], Tensor]
"""What makes one embedding of those of several blocks, given the weight of each."""


def join_blocks(blocks: Sequence[EmbeddedSong], pool: Pool = weighted_mean) -> EmbeddedSong:
    """One song from successive parts of it: embeddings are pooled over the parts in which a track is active.

    Args:
        blocks: of the same tracks; at least one.
        pool: of the embeddings of a track; blocks are weighted by :func:`block_weights`. Embeddings of unequal length
            are padded with zeros.

    Raises:
        SongError: there is no block, or the blocks are not of the same tracks.
    """
    if not blocks:
        raise SongError("there are no blocks of a song; give one or more.")
    if len(blocks) == 1:
        return blocks[0]
    tracks = sorted((*blocks[0].names, *blocks[0].silent))
    if any(sorted((*block.names, *block.silent)) != tracks for block in blocks):
        raise SongError("the blocks of a song have different tracks; give each block all tracks under the same names.")
    places = {name: [(b, b.names.index(name)) for b in blocks if name in b.names] for name in tracks}
    digests = {name: _joined_digest(blocks, name) for name in tracks if places[name]}
    names = sorted(digests, key=lambda name: (digests[name], name))
    weights = {name: _weights_of(places[name]) for name in names}
    pooled = [pool([block.tracks[row] for block, row in places[name]], weights[name]) for name in names]
    excess = [
        mean_level([block.excess_db[row] for block, row in places[name] if block.excess_db is not None], weights[name])
        for name in names
        if blocks[0].excess_db is not None
    ]
    return EmbeddedSong(
        names=tuple(names),
        digests=tuple(digests[name] for name in names),
        silent=tuple(name for name in tracks if not places[name]),
        subgroups=blocks[0].subgroups,
        tracks=pad_sequence(pooled, batch_first=True) if pooled else blocks[0].tracks,
        mix=_joined_mix(blocks),
        samples=sum(block.samples for block in blocks),
        excess_db=torch.stack(excess) if excess else blocks[0].excess_db,
    )


def _joined_mix(blocks: Sequence[EmbeddedSong]) -> Tensor | None:
    """The embedding of the mix, to which a block in which the mix is muted adds nothing."""
    known = [(block, block.mix) for block in blocks if block.mix is not None]
    if not known:
        return None
    weights = block_weights([block.samples for block, _ in known], [block.mix_energy for block, _ in known])
    return weighted_mean([mix for _, mix in known], weights)


def _weights_of(places: Sequence[tuple[EmbeddedSong, int]]) -> list[float]:
    """Weights of the blocks in which one track is active, given with its row in each."""
    energies = [1.0 * block.samples if block.energy is None else float(block.energy[row]) for block, row in places]
    return block_weights([block.samples for block, _ in places], energies)


def _joined_digest(blocks: Sequence[EmbeddedSong], name: str) -> bytes:
    """A hash of a track over all blocks."""
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for block in blocks:
        digest.update(block.digests[block.names.index(name)] if name in block.names else _SILENT)
    return digest.digest()


def in_song_order(graph: MixGraph, tracks: Sequence[str]) -> MixGraph:
    """A proposal with its nodes numbered in the order of a song, not in the canonical one.

    Inputs come first, then the strip of each track, then buses by their first track, each with its strip, then whatever
    else there is, the outputs, and last the inputs of silent tracks (bare edges to an output), so that one more of them
    changes the number of no other node.

    Args:
        graph: one graph, no batch.
        tracks: names of the song's tracks in their order.
    """
    rank = {name: i for i, name in enumerate(tracks)}
    strips, names = find_strips(graph), graph.names
    outputs = set(graph.nodes_of("out").tolist())
    edges = graph.edges()
    not_bare = {edge.source for edge in edges if edge.target not in outputs}
    last = max(outputs, default=-1)
    keys: dict[int, tuple[int, ...]] = {node: (4, node) for node in outputs}
    for node in graph.nodes_of("in").tolist():
        bare = node > last and node not in not_bare
        keys[node] = (5 if bare else 0, rank.get(names[node], len(rank)))
        for place, member in enumerate(strips.tracks[names[node]]):
            keys[member] = (1, rank.get(names[node], len(rank)), place)
    for mix, strip in strips.buses.items():
        first = min((rank.get(name, len(rank)) for name in strips.members[mix]), default=len(rank))
        for place, member in enumerate((mix, *strip)):
            keys[member] = (2, first, mix, place)
    order = sorted(range(graph.node_type.numel()), key=lambda node: (*keys.get(node, (3,)), node))
    return renumber(graph, order)
