"""What was played into a device and what came out of it: read, aligned, checked.

A *pair* is a dry file, a wet file and the settings of the device's controls. What commonly goes wrong with such files
is found here and said in a sentence: other lengths (a tail is cut), a latency, inverted polarity, silence, clipping,
dropouts, dry and wet taken for each other, files that have nothing to do with each other.

The latency is where the impulse response between the two begins. The response is the regularised quotient of their
spectra over the whole recording; it has a clear peak even if the device is not linear.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import fft
from torch import Tensor

from graphmix.audio.files import check_audio, read_audio, read_info
from graphmix.capture.signal import (
    CLICKS_SECONDS,
    LOWEST_RATE,
    REPEATED_LENGTH_SECONDS,
    REPEATED_SECONDS,
    capture_signal,
)
from graphmix.errors import GraphmixError

TAIL_SECONDS = 10.0
"""By so much lengths may differ: a recording that was stopped later, or earlier by the latency."""
SHORTEST_SECONDS = 0.5
SILENT = 1e-4
"""Peak of a file that holds nothing."""
UNRELATED = 20.0
"""Peak of the impulse response relative to its root mean square: unrelated noise has 5 to 7."""
BEGINS_AT = 0.1
"""The response begins where it first exceeds this share of its peak, within 20 ms before that."""
_BEFORE_SECONDS = 0.02
LATENCY_SECONDS = TAIL_SECONDS
"""A recording that was started so much before the signal is aligned."""
CLICK_BEGINS_AT = 3e-3
"""The response to a click begins where it first exceeds this share of its peak and twice the noise before it."""
IDENTICAL_DB = -60.0
"""Error of the wet against the dry file below which there is no effect: rounding to 16 bits stays below."""
_RECOGNIZED_SECONDS = 1.0
"""So much of the repeated part is compared to recognise our test signal: clicks alone may be those of another."""
CLIPPED_RUN, CLIPPED_AT = 4, 0.98
DROPOUT_SECONDS = 0.002


class CaptureError(GraphmixError):
    """Recordings from which no device can be captured."""


@dataclass(frozen=True)
class Recording:
    """One aligned pair.

    Args:
        dry: [channels, samples].
        wet: the same length, aligned.
        sample_rate: in Hz.
        controls: settings of the device, by name.
        latency: samples by which the wet file lay behind the dry one.
        inverted: whether the device turns the polarity (a fact about it; nothing was changed).
        self_esr: error of the device against itself, from a part that was recorded twice; None where there is none.
        notices: sentences for the user.
    """

    dry: Tensor
    wet: Tensor
    sample_rate: int
    controls: Mapping[str, float]
    latency: int
    inverted: bool
    self_esr: float | None
    notices: tuple[str, ...]


def load_pair(
    dry: str | Path,
    wet: str | Path,
    controls: Mapping[str, float] | None = None,
    *,
    latency: int | None = None,
    channel: int | None = None,
) -> Recording:
    """Read, align and check a pair.

    Args:
        dry: what was played into the device.
        wet: what came out.
        controls: settings of the device.
        latency: samples by which the wet file lies behind; measured if not given.
        channel: the one that is learned of recordings with two, 1 or 2.

    Raises:
        CaptureError, SongError: names the file, what is wrong with it and what to do.
    """
    dry, wet = Path(dry), Path(wet)
    infos = read_info(dry), read_info(wet)
    if infos[0].sample_rate != infos[1].sample_rate:
        raise CaptureError(
            f"{dry} has {infos[0].sample_rate} Hz and {wet} {infos[1].sample_rate} Hz: "
            "record both at one rate, or resample one of them."
        )
    rate = infos[0].sample_rate
    peaks = [check_audio(info) for info in infos]
    for path, peak in zip((dry, wet), peaks, strict=True):
        if peak < SILENT:
            raise CaptureError(f"{path} is silent (peak {peak:.1g}): was the device switched on and recorded?")
    notices: list[str] = []
    x, y = (read_audio(info, 0, info.num_samples, rate) for info in infos)
    x, y = _channels(x, y, rate, dry, wet, channel, notices)
    longer = _compare_lengths(x, y, rate, dry, wet)
    begin, related, inverted = find_latency(x.mean(0).numpy(), y.mean(0).numpy(), rate)
    if related < UNRELATED and latency is None:
        raise CaptureError(
            f"{dry} and {wet} have nothing in common at any latency: are they recordings of one take? "
            "If the device is a very strange one, give the latency in samples by --latency."
        )
    if latency is None and begin < -_BEFORE_SECONDS * rate:
        raise CaptureError(
            f"{wet} begins {-begin / rate:.3f} s before {dry}: dry comes first, then wet; are they in the wrong order?"
        )
    if _is_our_signal(y, rate, 0) and not _is_our_signal(x, rate, max(0, -begin)):
        raise CaptureError(f"{wet} is the test signal itself: dry comes first, then wet; are they in the wrong order?")
    shift = _latency_by_click(x, y, rate, begin) if latency is None else latency
    x, y = _aligned(x, y, shift, rate, dry, wet)
    if shift:
        late = f"{abs(shift)} samples ({1000 * abs(shift) / rate:.1f} ms)"
        notices.append(f"the wet recording lies {late} {'behind' if shift > 0 else 'ahead'}; they are aligned.")
    if longer - shift / rate > 1 / rate:
        notices.append(f"the wet recording is {longer:.3f} s longer; its tail is left out.")
    elif longer < -1 / rate:
        notices.append(f"the wet recording is {-longer:.3f} s shorter; the end of the dry one is left out.")
    if inverted and related >= UNRELATED:
        notices.append("the device inverts the polarity; so does its model.")
    notices += _defects(x, y, rate, dry, wet)
    error = float((x - y).square().sum() / y.square().sum()) if x.shape == y.shape else 1.0
    if error < 10 ** (IDENTICAL_DB / 10):
        notices.append(f"{wet} equals {dry}: there is no effect in it, and a model of nothing comes out.")
    return Recording(x, y, rate, dict(controls or {}), shift, inverted, _self_esr(x, y, rate, shift), tuple(notices))


def _channels(
    x: Tensor, y: Tensor, rate: int, dry: Path, wet: Path, channel: int | None, notices: list[str]
) -> tuple[Tensor, Tensor]:
    """Two channels are two examples of one mono device, unless the device makes them differ."""
    if channel is not None:
        x, y = (_channel(t, channel, path) for t, path in ((x, dry), (y, wet)))
    x = x[:1] if x.size(0) > 1 and _are_equal(x) else x
    if x.size(0) < y.size(0):
        y = _without_stereo_effect(x, y, rate, dry, wet, notices)
    if x.size(0) > y.size(0):
        raise CaptureError(f"{dry} has two different channels and {wet} one: play a mono signal into the device.")
    if x.size(0) == 2:
        notices.append("both channels are learned by one mono model.")
    return x, y


def _channel(audio: Tensor, channel: int, path: Path) -> Tensor:
    if audio.size(0) == 1:
        return audio
    if not 1 <= channel <= audio.size(0):
        raise CaptureError(f"channel is {channel}; {path} has the channels 1 to {audio.size(0)}.")
    return audio[channel - 1 : channel]


def _without_stereo_effect(x: Tensor, y: Tensor, rate: int, dry: Path, wet: Path, notices: list[str]) -> Tensor:
    """The first of two channels that came from one, if they differ by no more than the device from itself."""
    if _are_equal(y):
        return y[:1]
    difference = float(2 * (y[0] - y[1]).square().sum() / y.square().sum().clamp(min=1e-20))
    own = _self_esr(x, y[:1], rate, 0)
    if own is None or difference > own:
        itself = "" if own is None else f", from itself by {own:.2g}"
        raise CaptureError(
            f"{wet} has two channels that differ (by an error-to-signal ratio of {difference:.2g}{itself}) and {dry} "
            "one: a stereo effect, and a model has one channel in and one out. Choose one by --channel 1 or 2."
        )
    notices.append(
        f"the channels of {wet} differ by an error-to-signal ratio of {difference:.2g}, the device from itself by "
        f"{own:.2g}: the first is learned."
    )
    return y[:1]


def _are_equal(audio: Tensor) -> bool:
    return bool((audio[0] - audio[1]).abs().max() <= 1e-4 * audio.abs().max())


def _compare_lengths(x: Tensor, y: Tensor, rate: int, dry: Path, wet: Path) -> float:
    """By how many seconds the wet recording is longer."""
    longer = (y.size(-1) - x.size(-1)) / rate
    if min(x.size(-1), y.size(-1)) < SHORTEST_SECONDS * rate:
        short = dry if x.size(-1) < y.size(-1) else wet
        raise CaptureError(f"{short} is shorter than {SHORTEST_SECONDS} s: record a minute or more.")
    if abs(longer) > TAIL_SECONDS:
        raise CaptureError(
            f"{wet} is {abs(longer):.1f} s {'longer' if longer > 0 else 'shorter'} than {dry}: a tail of up to "
            f"{TAIL_SECONDS:.0f} s is cut, more is not. Are they recordings of one take?"
        )
    return longer


def find_latency(dry: NDArray[np.float32], wet: NDArray[np.float32], sample_rate: int) -> tuple[int, float, bool]:
    """Where the impulse response from dry to wet begins.

    Returns:
        Its begin in samples, negative where wet comes first; its peak relative to its root mean square; whether the
        peak is negative.
    """
    size = fft.next_fast_len(2 * max(dry.size, wet.size), real=True)
    before = fft.rfft(dry - dry.mean(), size)
    power = np.square(np.abs(before))
    quotient = fft.rfft(wet - wet.mean(), size) * before.conj() / (power + 1e-3 * power.mean() + 1e-20)
    response = fft.irfft(quotient, size)
    reach = min(dry.size - 1, round(LATENCY_SECONDS * sample_rate))
    near = np.concatenate([response[-reach:], response[: reach + 1]])
    place = int(np.abs(near).argmax())
    peak = float(near[place])
    related = abs(peak) / (float(np.sqrt(np.mean(np.square(response, dtype=np.float64)))) + 1e-20)
    first = max(0, place - round(_BEFORE_SECONDS * sample_rate))
    begin = first + int(np.argmax(np.abs(near[first : place + 1]) >= BEGINS_AT * abs(peak)))
    return begin - reach, related, peak < 0


def _latency_by_click(x: Tensor, y: Tensor, rate: int, about: int) -> int:
    """Where the response to our own signal's first click begins; ``about`` if another signal was played.

    The response between whole recordings is known through a band limit and rings ahead of itself; and a device that
    resamples rings before its peak, which a model follows only if it is not cut off.
    """
    if not _is_our_signal(x, rate, 0):
        return about
    margin = round(_BEFORE_SECONDS * rate)
    response = y.abs().amax(0)
    first = round(CLICKS_SECONDS[0] * rate) + about - margin
    around = response[first : first + 2 * margin]
    noise = float(response[first - rate // 4 : first].max())
    loud = (around > max(2 * noise, CLICK_BEGINS_AT * float(around.max()))).nonzero()
    return about - margin + int(loud[0]) if len(loud) else about


def _aligned(x: Tensor, y: Tensor, latency: int, rate: int, dry: Path, wet: Path) -> tuple[Tensor, Tensor]:
    """What both recordings have, from the same moment on."""
    x, y = x[:, max(0, -latency) :], y[:, max(0, latency) :]
    length = min(x.size(-1), y.size(-1))
    if length < SHORTEST_SECONDS * rate:
        raise CaptureError(
            f"at a latency of {latency} samples {dry} and {wet} have {length / rate:.2f} s in common; "
            f"give --latency in samples, and record more than {SHORTEST_SECONDS} s."
        )
    return x[:, :length], y[:, :length]


def _defects(x: Tensor, y: Tensor, rate: int, dry: Path, wet: Path) -> list[str]:
    found = []
    for path, audio in ((dry, x), (wet, y)):
        count = _clipped(audio)
        if count:
            found.append(
                f"{path} is clipped in {count} places: if that was the recording and not the device, "
                "record it again at a lower level."
            )
    gaps = _dropouts(x, y, rate)
    if gaps:
        first = gaps[0] / rate
        found.append(f"{wet} drops out in {len(gaps)} places, the first at {first:.2f} s: record it again.")
    return found


def _clipped(audio: Tensor) -> int:
    """Runs of several samples at one and the same peak."""
    peak = audio.abs().max()
    if peak < CLIPPED_AT:
        return 0
    return sum(len(_runs((channel.abs() >= peak - 1e-6).numpy(), CLIPPED_RUN)) for channel in audio)


def _dropouts(x: Tensor, y: Tensor, rate: int) -> list[int]:
    """Where the wet signal is exactly zero while the dry one plays, and did not fade."""
    runs = _runs((y == 0).all(0).numpy(), max(2, round(DROPOUT_SECONDS * rate)))
    level = float(x.abs().mean())
    loud = float(y.abs().mean())
    gaps = []
    for begin, end in runs:
        around = y[:, max(0, begin - 8) : begin].abs().max() if begin else torch.zeros(())
        if float(x[:, begin:end].abs().mean()) > 0.1 * level and float(around) > 0.1 * loud:
            gaps.append(begin)
    return gaps


def _runs(mask: NDArray[np.bool_], shortest: int) -> list[tuple[int, int]]:
    """Stretches of True of at least that length."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2) if b - a >= shortest]


def _is_our_signal(audio: Tensor, rate: int, cut: int) -> bool:
    """Whether the clicks of the test signal are where they are in it, ``cut`` samples left out at its beginning."""
    if rate < LOWEST_RATE or audio.size(-1) < REPEATED_SECONDS[1] * rate:
        return False
    begin, end = (round(seconds * rate) for seconds in (CLICKS_SECONDS[0], REPEATED_SECONDS[0] + _RECOGNIZED_SECONDS))
    own = torch.from_numpy(_signal(rate))[begin:end]
    played = audio[0, max(0, begin - cut) : max(0, end - cut)]
    if played.shape != own.shape:
        return False
    return float((played - own).square().sum()) <= 1e-2 * float(own.square().sum())


_signal = lru_cache(maxsize=1)(capture_signal)


def _self_esr(x: Tensor, y: Tensor, rate: int, latency: int) -> float | None:
    """Error of the second against the first recording of the repeated part, if this is a recording of our signal."""
    length = round(REPEATED_LENGTH_SECONDS * rate)
    cut = max(0, -latency)
    first, second = (round(seconds * rate) - cut for seconds in REPEATED_SECONDS)
    if second + length > y.size(-1) or first < 0 or not _is_our_signal(x, rate, cut):
        return None
    a, b = y[:, first : first + length], y[:, second : second + length]
    return float((a - b).square().sum() / a.square().sum().clamp(min=1e-20))


def check_controls(recordings: Sequence[Recording]) -> tuple[str, ...]:
    """Names of the controls of several pairs, which all give all.

    Raises:
        CaptureError: a pair lacks one, rates differ, a control has the same setting in all pairs.
    """
    names = tuple(recordings[0].controls)
    for recording in recordings:
        if set(recording.controls) != set(names):
            one, other = ", ".join(names) or "none", ", ".join(recording.controls) or "none"
            raise CaptureError(f"one pair has the controls {one} and another {other}; give all pairs the same ones.")
        if recording.sample_rate != recordings[0].sample_rate:
            raise CaptureError(
                f"one pair has {recordings[0].sample_rate} Hz and another {recording.sample_rate} Hz; use one rate."
            )
    if len(recordings) > 1 or not names:
        still = next((n for n in names if len({r.controls[n] for r in recordings}) == 1), None)
    else:
        still = names[0]
    if still is not None:
        raise CaptureError(f"control {still!r} has one setting in all pairs: record others, or leave it out.")
    return names
