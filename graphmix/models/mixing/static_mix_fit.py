"""The numbers of the static mix by the audio loss, fitted to songs with their mixes.

Of each song a stretch in its middle is mixed, brought to the loudness of the mix and compared with it. The numbers are
moved one after the other over their candidates, from equal loudness on, until none moves: a few dozen sums of gains a
song, which are computed once for each balance.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from statistics import median

import torch
from torch import Tensor

from graphmix.audio.loudness import LOWEST_LUFS, loudness
from graphmix.errors import SearchError
from graphmix.models.mixing.canonical import canonical_song
from graphmix.models.mixing.static_mix import Balance, TrackMeasures, measures_of, static_gains_db, track_windows
from graphmix.models.mixing.stems import Stems
from graphmix.search.mix_measures import song_loss

SECONDS = 6.0
"""Of each song; a second of it is not scored."""
MOST_SONGS = 64
"""The first so many songs count; their stretches are held in memory."""
CANDIDATES: dict[str, tuple[float, ...]] = {
    "kept": (0.0, 0.1, 0.2, 0.3, 0.4, 0.5),
    "tilt_db": (0.0, -0.5, -1.0, -1.5, -2.0, -2.5, -3.0),
    "width": (0.0, 0.1, 0.2, 0.3, 0.4, 0.5),
}
"""The first of each together are equal loudness, all tracks where they are."""
_LEAST_LOSS = 1e-6


@dataclass(eq=False)
class Stretch:
    """The middle of a song with its mix.

    Args:
        tracks: measures of the whole song.
        audio: [active, 2, samples].
        mix: [2, samples].
        lufs: loudness of the mix over the whole song.
        sample_rate: in Hz.
    """

    tracks: TrackMeasures
    audio: Tensor
    mix: Tensor
    lufs: float
    sample_rate: int
    _losses: dict[bytes, float] = field(default_factory=dict)

    def loss(self, balance: Balance) -> float:
        """Audio loss of the static mix at the loudness of the mix."""
        gains = static_gains_db(self.tracks, balance).to(self.audio)
        key = gains.numpy().tobytes()
        if key not in self._losses:
            mix = torch.einsum("nc,nct->ct", 10 ** (gains / 20), self.audio)
            level = 10 ** ((loudness(self.mix, self.sample_rate) - loudness(mix, self.sample_rate)) / 20)
            found = song_loss(prediction=mix * level, target=self.mix, sample_rate=self.sample_rate)
            self._losses[key] = max(_LEAST_LOSS, found)
        return self._losses[key]


def stretches(songs: Iterable[Stems], sample_rate: int) -> Iterator[Stretch]:
    """Of the first :data:`MOST_SONGS` songs that have a mix which sounds in its middle, at a sample rate in Hz."""
    found = (_stretch_of(stems, sample_rate) for stems in songs if stems.mix is not None)
    return islice(filter(None, found), MOST_SONGS)


def _stretch_of(stems: Stems, rate: int) -> Stretch | None:
    song = canonical_song(stems)
    mix = song.mix_at(rate)
    if mix is None or not song.names:
        return None
    length = round(SECONDS * rate)
    start = max(0, (mix.size(-1) - length) // 2)
    target = mix[0, :, start : start + length].cpu().clone()
    try:
        song_loss(prediction=target, target=target, sample_rate=rate)
    except SearchError:  # too short to be scored
        return None
    if loudness(target, rate) <= LOWEST_LUFS:
        return None
    audio = song.audio_at(rate)[..., start : start + length].cpu().clone()
    return Stretch(measures_of(track_windows(song).cpu()), audio, target, loudness(mix[0], rate), rate)


@torch.no_grad()
def fit_balance(songs: Sequence[Stretch]) -> Balance:
    """The balance with the least geometric mean of the audio losses, and the median loudness of the mixes.

    Args:
        songs: at least one.
    """
    best = Balance(-16.0, *(values[0] for values in CANDIDATES.values()))  # losses are taken at the mix's loudness

    def score(balance: Balance) -> float:
        return sum(math.log(song.loss(balance)) for song in songs)

    least, before = score(best), math.inf
    while least < before:
        before = least
        for name, values in CANDIDATES.items():
            for balance in [best._replace(**{name: value}) for value in values]:
                if (found := score(balance)) < least:
                    least, best = found, balance
    return best._replace(mix_lufs=median(song.lufs for song in songs))
