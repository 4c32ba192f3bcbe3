"""Which seconds of a song a page plays of a track or a node: those in which it is loudest.

Renderings of many nodes share a stretch where that costs none of them much: a node takes the first stretch that is
chosen already in which what feeds it is within :data:`NEARLY_DB` of its loudest one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from graphmix.audio.song import Song

BLOCK_SECONDS = 0.25
NEARLY_DB = 4.0
_READ_SECONDS = 20.0

Energies = NDArray[np.float64]


@dataclass(frozen=True)
class Survey:
    """What one pass over a song's tracks finds.

    Attributes:
        energies: of each track in blocks of :data:`BLOCK_SECONDS`, [tracks, blocks].
        total: sum of the tracks, [2, samples].
    """

    energies: Energies
    total: Tensor


def survey(song: Song) -> Survey:
    """Read all tracks once, in parts."""
    block = max(1, round(BLOCK_SECONDS * song.sample_rate))
    step = block * round(_READ_SECONDS / BLOCK_SECONDS)
    total, parts = torch.zeros(2, song.num_samples), list[Energies]()
    for begin in range(0, song.num_samples, step):
        length = min(step, song.num_samples - begin)
        stems = song.read(begin, length).stems
        total[:, begin : begin + length] = stems.sum(0)
        padded = torch.nn.functional.pad(stems, (0, -length % block))
        parts.append(padded.unflatten(-1, (-1, block)).square().sum((1, 3)).double().numpy())
    return Survey(np.concatenate(parts, axis=1), total)


def loudest(energy: Energies, blocks: int) -> tuple[int, float]:
    """First block of the stretch of so many blocks with the most energy, and that energy."""
    blocks = min(blocks, len(energy))
    sums = np.convolve(energy, np.ones(blocks), "valid")
    best = int(sums.argmax())
    return best, float(sums[best])


def choose_windows(
    energies: Energies, feeds: Mapping[int, Sequence[int]], seconds: float, song_seconds: float
) -> dict[int, float]:
    """For each node where its stretch begins, in seconds.

    Args:
        energies: of the tracks, as in :class:`Survey`.
        feeds: node -> rows of the tracks that lead into it.
        seconds: length of a stretch.
        song_seconds: length of the song.
    """
    blocks = max(1, round(seconds / BLOCK_SECONDS))
    last = max(0.0, song_seconds - seconds)
    chosen = [loudest(energies.sum(0), blocks)[0]]
    starts = {}
    for node, rows in sorted(feeds.items(), key=lambda entry: -len(entry[1])):
        own = energies[list(rows)].sum(0) if rows else energies.sum(0)
        best, most = loudest(own, blocks)
        nearly = most * 10 ** (-NEARLY_DB / 10)
        found = next((start for start in chosen if own[start : start + blocks].sum() >= nearly), None)
        if found is None:
            found = best
            chosen.append(best)
        starts[node] = min(found * BLOCK_SECONDS, last)
    return starts
