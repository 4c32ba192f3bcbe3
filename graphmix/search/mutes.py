"""Stretches of a song in which its tracks go on and its mix does not: mutes, and fades that end in silence.

Tracks are often exported without the fade or the mutes of the master. What they do there says nothing of how they are
mixed, and to a fit of levels by relative errors it would weigh more than the whole rest of the song. A song without
such stretches, which is most, is left as it is.

Convention: powers are mean squares of blocks of :data:`BLOCK` samples, left and right together; the *ratio* of a block
is the power of the mix over the sum of the tracks' powers.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from graphmix.audio.song import Song

BLOCK = 1024
SILENT_BELOW = 1e-5
"""The mix is silent 50 dB below its mean power."""
_PLAYING_ABOVE = 1e-3
"""Tracks play where they are less than 30 dB below their mean power."""
_MUTED_BELOW = 1e-3
"""A ratio 30 dB below the usual one is a mute. In twelve real songs the lowest is 14 dB below the median."""
_FADED_BELOW = 0.25
"""Where a song has mutes, half a second that lies 6 dB below the usual ratio belongs to a fade."""
_FADE_BLOCKS = 15
_BLOCKS_AT_ONCE = 128


@dataclass(frozen=True)
class Mutes:
    """The mix's mean power, and which blocks of a song are muted; see :func:`find_mutes`.

    Shape:
        muted [blocks], bool, or None where no block is.
        powers [tracks and mix, blocks] of each.
    """

    mix_power: float
    muted: Tensor | None
    powers: Tensor = field(default_factory=lambda: torch.zeros(0, 0, dtype=torch.float64))

    def is_silent(self, mix: Tensor) -> bool:
        """Whether a stretch of the mix [2, samples] is silent against the whole."""
        return float(mix.double().square().mean()) <= SILENT_BELOW * self.mix_power

    def sounding(self, begin: int, length: int) -> Tensor | None:
        """Which samples of a stretch are not muted, [length]; None: all of them."""
        if self.muted is None:
            return None
        blocks = torch.arange(begin, begin + length).div(BLOCK, rounding_mode="floor")
        sounding = ~self.muted[blocks]
        return None if bool(sounding.all()) else sounding

    def sounding_frames(self, begin: int, length: int, size: int, hop: int, centered: bool) -> Tensor | None:
        """Which frames of a spectrogram touch no muted sample, [frames]; None: all of them.

        Args:
            begin, length: of the stretch that is transformed.
            size, hop: of a frame, and from one to the next.
            centered: whether the stretch is padded by half a frame on both sides.
        """
        sounding = self.sounding(begin, length)
        if sounding is None:
            return None
        muted = functional.pad((~sounding).float(), (size // 2,) * 2 if centered else (0, 0))
        return functional.max_pool1d(muted[None], size, hop)[0] == 0


def find_mutes(song: Song) -> Mutes:
    """Find the blocks in which the tracks of a song go on while its mix is muted or faded out."""
    powers, tracks = [], []
    for begin in range(0, song.num_samples, BLOCK * _BLOCKS_AT_ONCE):
        audio = song.read(begin, min(BLOCK * _BLOCKS_AT_ONCE, song.num_samples - begin))
        assert audio.mix is not None, "only what has a mix is matched"
        own = _block_powers(audio.stems)
        tracks.append(own.sum(0))
        powers.append(torch.cat([own, _block_powers(audio.mix[None])]))
    every, playing = torch.cat(powers, dim=1).cpu(), torch.cat(tracks).cpu()
    return Mutes(float(every[-1].mean()), _muted_blocks(every[-1], playing), every)


def _block_powers(audio: Tensor) -> Tensor:
    """Powers of blocks, [signals, 2, samples] -> [signals, blocks], in float64."""
    padded = functional.pad(audio, (0, -audio.size(-1) % BLOCK))
    return padded.unflatten(-1, (-1, BLOCK)).square().mean((1, 3)).double()


def _muted_blocks(mix: Tensor, tracks: Tensor) -> Tensor | None:
    """From powers of the mix and the tracks, [blocks] each; None where nothing is muted."""
    ratio = mix / tracks.clamp(min=torch.finfo(tracks.dtype).tiny)
    playing, silent = tracks > _PLAYING_ABOVE * tracks.mean(), mix <= SILENT_BELOW * mix.mean()
    mixed = playing & ~silent
    if not bool(mixed.any()):
        return None
    usual = ratio[mixed].median()
    if not bool((playing & (silent | (ratio < _MUTED_BELOW * usual))).any()):
        return None
    smoothed = _moving_mean(mix) / _moving_mean(tracks).clamp(min=torch.finfo(tracks.dtype).tiny)
    return playing & (silent | (ratio < _MUTED_BELOW * usual) | (smoothed < _FADED_BELOW * usual))


def _moving_mean(power: Tensor) -> Tensor:
    """The mean over half a second around each block."""
    around = _FADE_BLOCKS // 2
    return functional.avg_pool1d(power[None], _FADE_BLOCKS, 1, around, count_include_pad=False)[0]
