"""Whether a mix and its tracks belong together: offset, polarity, scale, single samples that are damaged, no sound.

:func:`find_faults` reads a song once, in blocks, and returns a list of :class:`Finding`, each with a number and a
sentence for the user. It is empty for a song that is in order; no finding is an error, since each can be intended.

Method. Mid channels are averaged down to some 7.5 kHz (less, where a song has so many tracks that they would not fit
the memory). The offset is the lag at which the squared cross-correlations of all tracks with the mix, whitened by the
phase transform (GCC-PHAT, Knapp and Carter 1976), have their greatest mean: a filter, a gain or other tracks in the
mix do not move it. A track's polarity is the sign of that correlation and that of the track's coefficient in a least
squares fit of all tracks to the mix; only where both are negative it is reported, since microphones of one source
correlate with each other.

Conventions. A positive offset says that the mix lies behind the tracks, as in `song.json`. Correlations are in
multiples of their own root mean square over all lags; those of unrelated sounds reach 5 to 10.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from graphmix.audio.correlation import RELATED_POWER, RELATED_SHARE, common_lag, fit_tracks
from graphmix.audio.song import SILENT_PEAK, Song
from graphmix.audio.speed import find_drift, find_rate_mixup

Kind = Literal["offset", "polarity", "scale", "spike", "dc", "unrelated", "speed"]

BLOCK_SECONDS = 10.0
LOW_RATE = 7500
LOWEST_RATE = 1500
LOW_BYTES = 256 << 20
"""Rate of the correlations in Hz, and the memory that all tracks may take at it before the rate is lowered."""
OFFSET_SECONDS = 0.005
"""Offsets below are latencies of effects."""
INVERTED_CORRELATION = 25.0
INVERTED_SECONDS = 0.0006
"""Correlation of an inverted track with the mix, and how far from the common lag it may lie."""
SCALE_PEAK = 30.0
"""No meter and no fader has 30 dB of room above full scale: such samples are integers."""
SPIKE_DB = 20.0
SPIKE_SHARE = 0.9
"""A spike exceeds all else by so much, and holds that share of the energy around it in a millisecond."""
DC_SHARE = 1e-4
"""Power of what is no constant, relative to the constant, in a file that holds nothing else."""
_FRAME_SECONDS = 0.01


@dataclass(frozen=True)
class Finding:
    """One thing about a song that its user should look at.

    Args:
        track: name of the track; None for the mix, or the song as a whole.
        kind: what it is.
        value: offset in seconds; correlation of an inverted track (negative); peak of a wrong scale and of a spike;
            constant of a file that holds nothing else; share of the mix that the tracks explain; how much longer the
            mix takes than its tracks, as a factor.
        text: a sentence for the user.
    """

    track: str | None
    kind: Kind
    value: float
    text: str


@dataclass(frozen=True)
class Profile:
    """What one pass over a song leaves: rows are the tracks, then the mix where there is one.

    Args:
        names: of the rows; None is the mix.
        low: mid channels at a low rate, [rows, samples].
        rate: of `low`, in Hz; not always a whole number.
        peaks: of frames of 10 ms, [rows, frames].
        frame: length of these in samples of the song.
        mean: over all samples, [rows].
        power: mean square, [rows].
    """

    names: tuple[str | None, ...]
    low: NDArray[np.float32]
    rate: float
    peaks: NDArray[np.float32]
    frame: int
    mean: NDArray[np.float64]
    power: NDArray[np.float64]


def find_faults(song: Song) -> list[Finding]:
    """All findings about a song, of its tracks one by one first; a song without a mix has only those.

    Raises:
        SongError: a file cannot be decoded any more.
    """
    profile = profile_song(song)
    findings = [*level_findings(song, profile)]
    return findings if song.mix is None else [*findings, *match_findings(song, profile)]


@torch.no_grad()
def profile_song(song: Song) -> Profile:
    """Read a song once."""
    rows = song.num_tracks + (song.mix is not None)
    seconds = song.num_samples / song.sample_rate
    wanted = max(LOWEST_RATE, min(LOW_RATE, LOW_BYTES / (4 * rows * seconds)))
    factor = max(1, math.ceil(song.sample_rate / wanted))
    frame = max(1, round(_FRAME_SECONDS * song.sample_rate))
    block = max(1, round(BLOCK_SECONDS * song.sample_rate / (factor * frame))) * factor * frame
    low, peaks = [], []
    total, power = torch.zeros(rows, dtype=torch.float64), torch.zeros(rows, dtype=torch.float64)
    for start in range(0, song.num_samples, block):
        segment = song.read(start, min(block, -(-(song.num_samples - start) // (factor * frame)) * factor * frame))
        audio = segment.stems if segment.mix is None else torch.cat([segment.stems, segment.mix[None]])
        audio = audio.cpu()
        low.append(audio.mean(1).unflatten(-1, (-1, factor)).mean(-1))
        peaks.append(audio.abs().amax(1).unflatten(-1, (-1, frame)).amax(-1))
        total += audio.double().sum((1, 2)) / 2
        power += audio.double().square().sum((1, 2)) / 2
    return Profile(
        names=(*song.track_names, None)[:rows],
        low=torch.cat(low, 1).numpy(),
        rate=song.sample_rate / factor,
        peaks=torch.cat(peaks, 1).numpy(),
        frame=frame,
        mean=(total / song.num_samples).numpy(),
        power=(power / song.num_samples).numpy(),
    )


def level_findings(song: Song, profile: Profile) -> list[Finding]:
    """What is wrong with single files: their scale, a single sample, nothing but a constant."""
    findings = []
    for row, name in enumerate(profile.names):
        peak, mean = float(profile.peaks[row].max()), float(profile.mean[row])
        what = "the mix" if name is None else name
        if peak > SCALE_PEAK:
            divisor = 32768 if peak <= 32768 else 2**23 if peak <= 2**23 else 2**31
            text = (
                f"{what} peaks at {peak:.0f}, {20 * math.log10(peak):+.0f} dB re full scale: its samples look like "
                f"integers in a file of floats. Divide them by {divisor}, or export it again."
            )
            findings.append(Finding(name, "scale", peak, text))
        if abs(mean) > SILENT_PEAK and profile.power[row] - mean**2 < DC_SHARE * mean**2:
            text = f"{what} holds nothing but a constant of {mean:.3g} (DC): export it again, or take it out."
            findings.append(Finding(name, "dc", mean, text))
        elif (at := _spike(song, profile, row)) is not None:
            text = (
                f"{what} has a single sample of {peak:.3g} at {at / song.sample_rate:.3f} s, "
                f"more than {SPIKE_DB:.0f} dB above all else in it: remove this click, or export it again."
            )
            findings.append(Finding(name, "spike", peak, text))
    return findings


def _spike(song: Song, profile: Profile, row: int) -> int | None:
    """Where the one sample is that exceeds all others by far; None where there is none."""
    peaks = profile.peaks[row]
    best = int(peaks.argmax())
    others = np.concatenate([peaks[: max(0, best - 1)], peaks[best + 2 :]])
    loudest = max(float(others.max(initial=0.0)), SILENT_PEAK)
    if others.size == 0 or peaks[best] < loudest * 10 ** (SPIKE_DB / 20):
        return None
    begin = (best - 1) * profile.frame
    segment = song.read(begin, 3 * profile.frame)
    audio = segment.mix if row == song.num_tracks else segment.stems[row]
    assert audio is not None, "the row after the tracks is that of the mix"
    energy = audio.double().square().sum(0)
    at = int(energy.argmax())
    reach = max(1, song.sample_rate // 2000)
    near = float(energy[max(0, at - reach) : at + reach + 1].sum())
    return begin + at if near > SPIKE_SHARE * float(energy.sum()) else None


def match_findings(song: Song, profile: Profile) -> list[Finding]:
    """What is wrong between tracks and mix: unrelated, an offset, inverted tracks."""
    *tracks, mix = profile.low
    sounding = [row for row, track in enumerate(tracks) if np.ptp(track) > SILENT_PEAK]
    if not sounding or np.ptp(mix) <= SILENT_PEAK:
        return []
    lag, related, best = common_lag(profile.low[sounding], mix)
    coefficients, share = fit_tracks(profile.low[sounding], mix, lag)
    if related < RELATED_POWER and share < RELATED_SHARE:
        if mixup := find_rate_mixup(profile.low[sounding], mix):
            return [Finding(None, "speed", mixup[0] / mixup[1], f"{describe_mixup(*mixup)}.")]
        text = (
            f"the mix does not seem to be made of these tracks: at no offset do they correlate (they explain "
            f"{100 * share:.1f} % of it). Is it the mix of another song?"
        )
        return [Finding(None, "unrelated", share, text)]
    findings = []
    if abs(seconds := lag / profile.rate) >= OFFSET_SECONDS:
        offset = seconds + song.offset / song.sample_rate
        text = (
            f"the mix lies {abs(seconds):.4f} s {'behind' if seconds > 0 else 'ahead of'} the tracks: move it, or set "
            f'"offset": {offset:.4f} in song.json.'
        )
        findings.append(Finding(None, "offset", offset, text))
    if drift := find_drift(profile.low[sounding], mix, profile.rate, lag):
        findings.append(Finding(None, "speed", 1 + 1e-6 * drift, f"{describe_drift(drift)}."))
    reach = max(1, round(INVERTED_SECONDS * profile.rate))
    for row, coefficient, (place, value) in zip(sounding, coefficients, best, strict=True):
        if coefficient < 0 and value < -INVERTED_CORRELATION and abs(place - lag) <= reach:
            name = profile.names[row]
            text = (
                f"{name} seems to be inverted: it correlates negatively with the mix, and a mixing console here does "
                "not turn its polarity. Invert it, if that was not done on purpose."
            )
            findings.append(Finding(name, "polarity", value, text))
    return findings


def describe_mixup(tracks: int, mix: int) -> str:
    """A mix that was read at another rate, in words."""
    return (
        f"mix and tracks run at speeds that differ by a factor of {tracks / mix:.4f}, as if {tracks} Hz had been "
        f"read as {mix} Hz: convert the file again from its true rate"
    )


def describe_drift(ppm: float) -> str:
    """A mix whose clock is not that of its tracks, in words."""
    longer = "longer" if ppm > 0 else "shorter"
    return (
        f"the mix takes {abs(ppm):.0f} millionths {longer} than its tracks ({abs(ppm) * 0.06:.1f} ms a minute): they "
        "were played by different clocks, and no delay brings them together"
    )
