"""What a song of real scores and samples must not be: silent, clipped, or many times the same track.

A rejected song is drawn again; its record says why each attempt was rejected, so that a songbook can be counted.
"""

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from graphmix.songbook.features import FRAME_SECONDS, frame_levels

SOUNDING_SHARE = 0.5
"""A song sounds for so much of its time, within :data:`SOUNDING_DB` of its loud places."""
SOUNDING_DB = 45.0
TRACK_SHARE, TRACK_PEAK = 0.01, 1e-4
"""A track sounds for so much of its time, and so loud."""
QUIETEST_DB = -70.0
"""And is at some time as loud as that."""
ALIKE = 0.98
"""Correlation from which two tracks are the same."""
FLAT_SAMPLES, FLAT_TOPS = 4, 4
"""So many successive samples at one side's peak are a flat top; so many flat tops are clipping."""


def why_rejected(stems: Mapping[str, Tensor], mix: Tensor, sample_rate: int) -> str | None:
    """The reason why a song is no use, or None.

    Args:
        stems: track -> samples, [1 or 2, samples].
        mix: [2, samples].
        sample_rate: in Hz.
    """
    levels = frame_levels(mix.double().numpy().mean(axis=0), sample_rate)
    if np.mean(levels > levels.max() - SOUNDING_DB) < SOUNDING_SHARE or float(mix.abs().max()) < TRACK_PEAK:
        return "silent"
    mono = {track: stem.double().numpy().mean(axis=0) for track, stem in stems.items()}
    silent = next((track for track, audio in mono.items() if is_silent(audio, sample_rate)), None)
    if silent is not None:
        return f"silent: {silent}"
    for track, stem in {**stems, "the mix": mix}.items():
        if flat_tops(stem.numpy()) >= FLAT_TOPS:
            return f"clipped: {track}"
    pair = most_alike(list(mono.values()))
    if pair is not None:
        names = list(mono)
        return f"alike: {names[pair[0]]} and {names[pair[1]]}"
    return None


def is_silent(audio: np.ndarray, sample_rate: int) -> bool:
    """Whether a track, [samples], has next to nothing in it: no fader would make it part of a mix."""
    levels = frame_levels(audio, sample_rate)
    sounding = np.mean(levels > max(levels.max() - SOUNDING_DB, -90))
    return bool(
        np.abs(audio).max() < TRACK_PEAK
        or levels.max() < QUIETEST_DB
        or sounding < max(TRACK_SHARE, FRAME_SECONDS / len(levels))
    )


def flat_tops(audio: np.ndarray) -> int:
    """Places where a signal stays at its peak, [channels, samples] -> the most of any channel."""
    most = 0
    for channel in audio:
        for side in (channel, -channel):
            peak = side.max()
            if peak <= 0:
                continue
            at = (side >= peak * (1 - 1e-6)).astype(np.int8)
            runs = np.flatnonzero(np.diff(np.concatenate([[0], at, [0]])))
            most = max(most, int(np.sum(runs[1::2] - runs[::2] >= FLAT_SAMPLES)))
    return most


def most_alike(tracks: list[np.ndarray]) -> tuple[int, int] | None:
    """The first two tracks that are one, up to a gain; [samples] each."""
    coarse = np.stack([track[: track.size // 4 * 4].reshape(-1, 4).mean(axis=1) for track in tracks])
    coarse -= coarse.mean(axis=1, keepdims=True)
    coarse /= np.linalg.norm(coarse, axis=1, keepdims=True) + 1e-12
    alike = np.triu(np.abs(coarse @ coarse.T) > ALIKE, 1)
    found = np.argwhere(alike)
    return (int(found[0][0]), int(found[0][1])) if len(found) else None
