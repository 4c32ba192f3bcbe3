"""The input of an estimator: the dry tracks of a song or of a part of it, their names, and what else is known.

Conventions: every track is stereo and all are at one sample rate and of one length. Names are those of the song's files
and are unique; the inputs of a graph are named after them. A track whose peak is below 1e-5 (-100 dB) is silent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from graphmix.audio.samples import float_tensor
from graphmix.audio.song import SILENT_PEAK, Song
from graphmix.audio.subgroups import DEFAULT_BUS
from graphmix.errors import GraphError, SongError
from graphmix.graph.mixgraph import MixGraph


@dataclass(frozen=True, eq=False)
class Stems:
    """Dry tracks, and the mix that they made where it is known.

    Args:
        audio: [tracks, 2, samples]; NumPy arrays and half precision are converted.
        names: one for each track, unique.
        sample_rate: in Hz.
        subgroups: bus -> names of its tracks; None if they are unknown. Tracks in none share the bus "ungrouped".
        mix: [2, samples] at the same rate, or None.
        features: of the tracks, if they were computed before by the model's own
            :class:`graphmix.models.features.LogMel`, [tracks, 2, frames, mels].
        mix_features: of the mix, [1, 2, frames, mels].

    Raises:
        SongError: shapes that do not fit, names that are missing or not unique, subgroups that do not fit the names.
    """

    audio: Tensor
    names: tuple[str, ...]
    sample_rate: int
    subgroups: Mapping[str, Sequence[str]] | None = None
    mix: Tensor | None = None
    features: Tensor | None = None
    mix_features: Tensor | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "audio", float_tensor(self.audio, "the audio of the stems"))
        if self.mix is not None:
            object.__setattr__(self, "mix", float_tensor(self.mix, "the mix of the stems"))
        shape = list(self.audio.shape)
        if self.audio.dim() != 3 or shape[1] != 2 or not shape[0] or not shape[2]:
            raise SongError(f"stems have shape {shape}, expected [tracks, 2, samples] with one of each or more.")
        if len(self.names) != shape[0]:
            raise SongError(f"the stems are {shape[0]} tracks and have {len(self.names)} names; name each one.")
        twice = next((name for name in self.names if self.names.count(name) > 1), None)
        if twice is not None:
            raise SongError(f"two of the stems are called {twice!r}; give each a name of its own.")
        if self.sample_rate <= 0:
            raise SongError(f"the sample rate of the stems is {self.sample_rate}; it is a positive number of Hz.")
        if self.mix is not None and (self.mix.dim() != 2 or self.mix.size(0) != 2):
            raise SongError(f"the mix has shape {list(self.mix.shape)}, expected [2, samples].")
        self._check_subgroups()

    def _check_subgroups(self) -> None:
        bus_of: dict[str, str] = {}
        for bus, members in (self.subgroups or {}).items():
            if isinstance(members, str):
                raise SongError(f"the tracks of subgroup {bus!r} are the text {members!r}; give a list of names.")
            for member in members:
                if member not in self.names:
                    raise SongError(f"subgroup {bus!r} holds {member!r}, which is none of the stems; leave it out.")
                if member in bus_of:
                    raise SongError(f"track {member!r} is in subgroups {bus_of[member]!r} and {bus!r}; keep one.")
                bus_of[member] = bus

    @classmethod
    def from_song(cls, song: Song, start: int = 0, length: int | None = None) -> "Stems":
        """A stretch of a song; all of it by default.

        A song whose description has no subgroups has all tracks on one bus of a known name; they count as unknown.
        """
        segment = song.read(start, song.num_samples - start if length is None else length)
        subgroups = None if set(song.subgroups) == {DEFAULT_BUS} else song.subgroups
        return cls(segment.stems, song.track_names, song.sample_rate, subgroups, segment.mix)

    @property
    def num_tracks(self) -> int:
        """Number of tracks."""
        return self.audio.size(0)

    @property
    def seconds(self) -> float:
        """Duration."""
        return self.audio.size(2) / self.sample_rate

    def active(self, threshold: float = SILENT_PEAK) -> Tensor:
        """Tracks whose peak is at least the threshold, bool [tracks]."""
        return self.audio.detach().abs().amax(dim=(1, 2)) >= threshold

    def permuted(self, order: Sequence[int] | Tensor) -> "Stems":
        """The same tracks in another order: track ``i`` of the result is track ``order[i]``.

        Raises:
            SongError: the order is no permutation of the tracks.
        """
        places = [int(place) for place in order]
        if sorted(places) != list(range(self.num_tracks)):
            raise SongError(f"{places} is no order of {self.num_tracks} tracks; give each number below that once.")
        index = torch.tensor(places, device=self.audio.device)
        return replace(
            self,
            audio=self.audio.index_select(0, index),
            names=tuple(self.names[place] for place in places),
            features=None if self.features is None else self.features.index_select(0, index.to(self.features.device)),
        )

    def sources(self, graph: MixGraph) -> Tensor:
        """The signals of a graph's inputs by name, in node order and at the graph's rate, [inputs, 2, samples].

        Raises:
            GraphError: the graph asks for a track that is none of the stems.
        """
        wanted = graph.input_names
        row = {name: i for i, name in enumerate(self.names)}
        missing = next((name for name in wanted if name not in row), None)
        if missing is not None:
            have = ", ".join(self.names[:6])
            raise GraphError(f"the graph takes track {missing!r}, which is none of the stems; they are: {have}.")
        rows = torch.tensor([row[name] for name in wanted], dtype=torch.long, device=self.audio.device)
        return resample(self.audio.index_select(0, rows), self.sample_rate, graph.sample_rate)


def resample(audio: Tensor, sample_rate: int, new_rate: int) -> Tensor:
    """Tracks at another rate, [tracks, 2, samples] -> [tracks, 2, new samples].

    One by one, so that the result for a track does not depend on its neighbours, to the last bit.
    """
    if sample_rate == new_rate:
        return audio
    from torchaudio.functional import resample as convert  # importing graphmix must not load torchaudio

    samples = -(-audio.size(2) * new_rate // sample_rate)
    tracks = [convert(track, sample_rate, new_rate) for track in audio]
    return torch.stack(tracks) if tracks else audio.new_zeros(0, audio.size(1), samples)
