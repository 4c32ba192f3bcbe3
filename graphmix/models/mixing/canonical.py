"""Tracks in an order that follows from what they sound like, and without those that are silent.

That is how the laws of estimators hold to the last bit. Whatever a model computes, it computes it from the same tensors
in the same order, however the tracks were given: so permuting them permutes the proposal. And of silent tracks it
computes nothing at all: so one more of them changes nothing. They get a bare edge to the output.

The order is that of a hash of the samples; of equal tracks, that of their names. It carries no meaning.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from graphmix.audio.subgroups import DEFAULT_BUS, UNGROUPED_BUS
from graphmix.errors import SongError
from graphmix.models.mixing.stems import Stems, resample

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
    return CanonicalSong(
        names=tuple(stems.names[row] for row in rows),
        digests=tuple(digests[row] for row in rows),
        silent=tuple(sorted(name for name, sounds in zip(stems.names, active, strict=True) if not sounds)),
        audio=stems.audio.index_select(0, index.to(stems.audio.device)),
        sample_rate=stems.sample_rate,
        subgroups=stems.subgroups,
        mix=stems.mix,
        features=None if features is None else features.index_select(0, index.to(features.device)),
        mix_features=stems.mix_features,
        samples=stems.audio.size(2),
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
    """What a model has heard of a song; the audio is no longer needed.

    Args:
        names: of the active tracks, in canonical order.
        digests: a hash of each.
        silent: names of the silent ones, sorted.
        subgroups: as the stems have them.
        tracks: an embedding of each active track, [active, size].
        mix: an embedding of the mix, [size], or None.
        samples: how much was heard.
        excess_db: how much louder than the standard each active track is, [active], if it was heard at the standard;
            see :mod:`graphmix.models.mixing.gain_staging`.
    """

    names: tuple[str, ...]
    digests: tuple[bytes, ...]
    silent: tuple[str, ...]
    subgroups: Mapping[str, Sequence[str]] | None
    tracks: Tensor
    mix: Tensor | None
    samples: int
    excess_db: Tensor | None = None

    @property
    def num_tracks(self) -> int:
        """Number of active tracks."""
        return len(self.names)


def join_blocks(blocks: Sequence[EmbeddedSong]) -> EmbeddedSong:
    """One song out of successive parts of it: embeddings are averaged over the parts in which a track is active.

    Each part counts by its length.

    Args:
        blocks: of the same tracks; at least one.

    Raises:
        SongError: there is no block, or the blocks are not of the same tracks.
    """
    if not blocks:
        raise SongError("there are no blocks of a song to hear; give one or more.")
    if len(blocks) == 1:
        return blocks[0]
    everyone = sorted((*blocks[0].names, *blocks[0].silent))
    if any(sorted((*block.names, *block.silent)) != everyone for block in blocks):
        raise SongError("the blocks of a song have different tracks; give each block all tracks under the same names.")
    heard: dict[str, list[tuple[int, Tensor]]] = {name: [] for name in everyone}
    excess: dict[str, list[tuple[int, Tensor]]] = {name: [] for name in everyone}
    hashes = {name: hashlib.blake2b(digest_size=_DIGEST_BYTES) for name in everyone}
    for block in blocks:
        for name in block.silent:
            hashes[name].update(_SILENT)
        for row, name in enumerate(block.names):
            hashes[name].update(block.digests[row])
            heard[name].append((block.samples, block.tracks[row]))
            if block.excess_db is not None:
                excess[name].append((block.samples, block.excess_db[row]))
    digests = {name: hashes[name].digest() for name in everyone if heard[name]}
    names = sorted(digests, key=lambda name: (digests[name], name))
    mixes = [(block.samples, block.mix) for block in blocks if block.mix is not None]
    tracks = [_mean(heard[name]) for name in names]
    levels = [_mean(excess[name]) for name in names if excess[name]]
    return EmbeddedSong(
        names=tuple(names),
        digests=tuple(digests[name] for name in names),
        silent=tuple(name for name in everyone if not heard[name]),
        subgroups=blocks[0].subgroups,
        tracks=torch.stack(tracks) if tracks else blocks[0].tracks,
        mix=_mean(mixes) if mixes else None,
        samples=sum(block.samples for block in blocks),
        excess_db=torch.stack(levels) if levels else blocks[0].excess_db,
    )


def _mean(parts: Sequence[tuple[int, Tensor]]) -> Tensor:
    """Weighted mean of tensors of one shape."""
    total = sum(weight for weight, _ in parts)
    return torch.stack([part * (weight / total) for weight, part in parts]).sum(0)
