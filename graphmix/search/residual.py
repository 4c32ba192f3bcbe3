r"""What the dry tracks do not explain of a mix: its share, and the residual as a track of its own.

Real multitracks lack tracks. A search without them bends the others to fill the gap; with the residual beside them the
loss no longer blames them for it. The mix is projected onto everything that mixing makes of the tracks to first order:
in each bin f of the short-time spectrum, with a filter of some frames, and a second one for the track multiplied by
its own level (in the logarithm), as a compressor or gate turns it up and down:

.. math:: X_c(f, t) \approx \sum_k \sum_l \big(H_{ckl}(f)\, S_k(f, t - l)
    + G_{ckl}(f)\, (S_k \cdot \text{level}_k)(f, t - l)\big)

Least squares, time-invariant, over at most a minute of a longer song, for left and right. What musicians play together
repeats together, and with a filter that is free enough one hi-hat makes another. So filters are expected near the gains
g of least squares over all bins: H of the first frame to be g, within 0.7 g, all others to be 0, within 0.7 g or, of
later frames, 0.2 g. That is a ridge, weighed by the energy that is left in each bin, which is found by repetition. What
is left over is the residual. As with any regression, it comes out too small, by :math:`1 - p / n` in energy for p free
numbers and n independent frames; each bin is scaled back. So the energy is that of a missing track plus that of all
processing that is none of the above; a track that always plays what others play counts as theirs.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from graphmix.audio.files import read_info, write_audio
from graphmix.audio.song import Song, Track
from graphmix.audio.stored import put_row, room_like, take_row
from graphmix.errors import SearchError
from graphmix.search.mutes import Mutes, find_mutes

RESIDUAL_TRACK, RESIDUAL_BUS = "residual.wav", "residual"
"""Name of the track, and of its file in the output folder; and of its subgroup."""
_FRAME_SECONDS = 4096 / 30000
_LEVEL_SECONDS = 0.03
_LEVEL_FLOOR = 1e-4
"""Of a track's mean power: 40 dB below it a level stops to fall."""
_PART_SECONDS = 8.0
_MOST_PARTS = 8
"""Of a longer song, so many parts, evenly spread, determine the filters."""
_MOST_SHARE = 0.3
"""Of the independent frames, so many free numbers a bin has at the most."""
_MOST_NUMBERS = 96
_MOST_TAPS = 3
_OVERLAPPING = 1.056
"""Frames that overlap by half hold so many times fewer independent ones: 1 plus twice the squared correlation of Hann
windows at half a frame."""
_RIDGE = 1e-4
"""Against the mean power of a regressor."""
_LEAST_FREEDOM = 0.15
_SPREAD, _LATER_SPREAD, _LEAST_GAIN = 0.7, 0.2, 0.1
"""Of a filter's first and later frames, re the track's gain; and the least gain, re that at which it is as loud as
tracks are on average."""
_ROUNDS = 4
_SAME = 1e-6
"""Share of the energy below which a difference of left and right does not count."""


@dataclass(frozen=True)
class Unexplained:
    """The part of a mix that its tracks do not explain.

    Args:
        share: of the mix's energy, 0 to 1.
        audio: the residual, [2, samples], or None if it was not asked for.
    """

    share: float
    audio: Tensor | None = None

    @property
    def level_db(self) -> float:
        """Against the mix."""
        return 10 * math.log10(max(self.share, 1e-12))

    def describe(self) -> dict[str, Any]:
        """For ``metrics.json``."""
        return {"share_of_energy": round(self.share, 6), "level_db": round(self.level_db, 2)}


@dataclass(frozen=True)
class _Shape:
    """Sizes of the regression.

    Args:
        n_fft: samples of a frame; the next one comes after half of them.
        mono: which tracks have two equal channels, bool [tracks].
        power: mean power of the tracks, to which levels refer, [tracks].
        taps: frames of a filter.
        levels: whether there are filters of the tracks times their levels.
        group: neighbouring bins with the same filters.
    """

    n_fft: int
    mono: Tensor
    power: Tensor
    taps: int
    levels: bool
    group: int

    @property
    def bins(self) -> int:
        """Bins of a frame, a whole number of groups."""
        return -(-(self.n_fft // 2 + 1) // self.group) * self.group


@torch.no_grad()
def find_unexplained(song: Song, *, with_audio: bool = False) -> Unexplained:
    """Project a song's mix onto its tracks.

    Args:
        song: with a mix.
        with_audio: also compute the residual itself, over the whole song.
    """
    if song.mix is None:
        raise SearchError(f"song {song.name!r} has no mix, so there is nothing to explain.")
    n_fft = 2 ** round(math.log2(_FRAME_SECONDS * song.sample_rate))
    parts = list(_parts(song, n_fft))
    shape, mutes = _shape_of(song, n_fft, parts), find_mutes(song)
    filters, gain, share = _fit(song, shape, parts, mutes)
    if not with_audio:
        return Unexplained(share)
    audio = _residual(song, shape, filters, gain)
    energy = sum(float(song.read_mix(a, b - a).double().square().sum()) for a, b in parts_of(song.num_samples, n_fft))
    return Unexplained(float(audio.double().square().sum()) / max(energy, 1e-30), audio)


def with_residual(song: Song, unexplained: Unexplained, folder: Path) -> Song:
    """The song with one more track, its residual, whose file is written into a folder.

    The file has the tracks' time, so that it can lie among them: what comes before their beginning is left out of it.

    Raises:
        SearchError: the song has a track of that name.
    """
    if RESIDUAL_TRACK in song.track_names:
        raise SearchError(f"song {song.name!r} has a track {RESIDUAL_TRACK!r} already; rename it, or leave --residual.")
    assert unexplained.audio is not None, "the residual was asked for"
    audio = unexplained.audio
    in_file = audio[:, song.offset :] if song.offset > 0 else functional.pad(audio, (-song.offset, 0))
    write_audio(folder / RESIDUAL_TRACK, in_file, song.sample_rate)
    return add_track(song, folder / RESIDUAL_TRACK, audio)


def add_track(song: Song, path: Path, audio: Tensor) -> Song:
    """The song with one more track, in a subgroup of its own.

    Args:
        song: that lacks the track.
        path: of its file.
        audio: at the song's rate and in its time, [2, samples].
    """
    track = Track(path.name, read_info(path))
    decoded = song._decoded
    if decoded is not None:
        count, before = song.num_tracks, decoded
        decoded = room_like(before, count + 2, song.num_samples)
        for row in range(count):
            put_row(decoded, row, take_row(before, row))
        put_row(decoded, count, audio)
        put_row(decoded, count + 1, take_row(before, count))
    subgroups = {**song.subgroups, RESIDUAL_BUS: (*song.subgroups.get(RESIDUAL_BUS, ()), path.name)}
    return replace(song, tracks=(*song.tracks, track), subgroups=subgroups, _decoded=decoded)


def parts_of(num_samples: int, n_fft: int, most: int | None = None) -> Iterator[tuple[int, int]]:
    """(first sample, end) of parts that cover a song, or of some of them, evenly spread; they begin at whole frames."""
    length = max(1, round(_PART_SECONDS / _FRAME_SECONDS)) * n_fft
    count = -(-num_samples // length)
    kept = count if most is None else min(count, most)
    for i in (round((j + 0.5) * count / kept - 0.5) for j in range(kept)):
        yield i * length, min((i + 1) * length, num_samples)


def _parts(song: Song, n_fft: int) -> Iterator[tuple[int, int]]:
    return parts_of(song.num_samples, n_fft, _MOST_PARTS)


def _shape_of(song: Song, n_fft: int, parts: list[tuple[int, int]]) -> _Shape:
    """As many free numbers as the frames allow."""
    power, side, samples = torch.zeros(song.num_tracks), torch.zeros(song.num_tracks), 0
    for begin, end in parts:
        stems = song.read(begin, end - begin).stems
        power += stems.square().mean(1).sum(1).cpu()
        side += (stems[:, 0] - stems[:, 1]).square().sum(1).cpu() / 2
        samples += end - begin
    mono = side <= _SAME * power
    columns = int((2 - mono.long()).sum())
    frames = max(1.0, samples / (n_fft // 2) / _OVERLAPPING)
    most = min(_MOST_NUMBERS, max(1, int(_MOST_SHARE * frames)))
    levels = 2 * columns <= most
    taps = max(1, min(_MOST_TAPS, most // (columns * (1 + levels))))
    group = max(1, math.ceil(columns * (1 + levels) * taps / max(1.0, _MOST_SHARE * frames)))
    return _Shape(n_fft, mono, power / max(1, samples), taps, levels, group)


def _regressors(stems: Tensor, shape: _Shape, sample_rate: int) -> Tensor:
    """Signals of which the mix is made, [numbers without taps, samples]."""
    rows = torch.cat([stem[: 1 if mono else 2] for stem, mono in zip(stems, shape.mono.tolist(), strict=True)])
    if not shape.levels:
        return rows
    width = round(_LEVEL_SECONDS * sample_rate) | 1
    power = _moving_mean(stems.square().mean(1), width)[:, None]
    relative = power / shape.power.clamp(min=1e-20).to(power)[:, None, None]
    level = relative.clamp(min=_LEVEL_FLOOR).log10() / 2
    per_row = torch.cat([level[i].expand(1 if mono else 2, -1) for i, mono in enumerate(shape.mono.tolist())])
    return torch.cat([rows, rows * per_row])


def _moving_mean(signals: Tensor, width: int) -> Tensor:
    """Mean over an odd number of samples around each, with silence outside, [rows, samples]."""
    total = functional.pad(signals.double(), (width // 2 + 1, width // 2)).cumsum(1)
    return ((total[:, width:] - total[:, :-width]) / width).clamp(min=0).to(signals)


def _spectra(signals: Tensor, shape: _Shape) -> Tensor:
    """Short-time spectra, [bins, frames, signals]; frames are centered on multiples of half a frame."""
    window = torch.hann_window(shape.n_fft, dtype=signals.dtype, device=signals.device)
    spectra = torch.stft(
        signals, shape.n_fft, shape.n_fft // 2, window=window, pad_mode="constant", return_complex=True
    )
    return functional.pad(spectra, (0, 0, 0, shape.bins - spectra.size(1))).permute(1, 2, 0)


def _with_taps(spectra: Tensor, taps: int) -> Tensor:
    """Each signal also as it was some frames before, [bins, frames, signals * taps]."""
    frames = spectra.size(1)
    return torch.cat([functional.pad(spectra, (0, 0, tap, 0))[:, :frames] for tap in range(taps)], dim=2)


def _read(song: Song, begin: int, end: int, shape: _Shape) -> tuple[Tensor, Tensor, int]:
    """Spectra of regressors and mix, of a part and what its frames reach to; and how many frames come before it."""
    margin = (1 + shape.taps) * shape.n_fft  # in whole frames, so that they lie where they lie in the whole song
    audio = song.read(begin - margin, end - begin + 2 * margin)
    assert audio.mix is not None, "checked by the caller"
    made = _with_taps(_spectra(_regressors(audio.stems, shape, song.sample_rate), shape), shape.taps)
    return made, _spectra(audio.mix, shape), 2 * margin // shape.n_fft


def _grouped(spectra: Tensor, group: int) -> Tensor:
    """[bins, frames, signals] -> [groups, bins of a group * frames, signals]."""
    return spectra.unflatten(0, (-1, group)).flatten(1, 2)


def _fit(song: Song, shape: _Shape, parts: list[tuple[int, int]], mutes: Mutes) -> tuple[Tensor, Tensor, float]:
    """Filters [bins, numbers, 2], by how much each bin's residual is scaled up [bins], and the residual's share."""
    sums = list[Tensor]()
    rows, hop = 0, shape.n_fft // 2
    for begin, end in parts:
        made, mix, before = _read(song, begin, end, shape)
        frames = slice(before, before + 1 + (end - begin) // hop)
        made, mix = made[:, frames], mix[:, frames]
        sounding = mutes.sounding_frames(begin, end - begin, shape.n_fft, hop, centered=True)
        if sounding is not None:
            made, mix = (x[:, sounding[: x.size(1)].to(x.device)] for x in (made, mix))
        a, x = _grouped(made, shape.group), _grouped(mix, shape.group)
        new = [a.mH @ a, a.mH @ x, x.abs().square().sum((1, 2)).double()]
        sums = [one + other for one, other in zip(sums, new, strict=True)] if sums else new
        rows += a.size(1)
    gram, right, power = sums
    gram, right = gram.to(torch.complex128), right.to(torch.complex128)
    scale = gram.diagonal(dim1=1, dim2=2).real.clamp(min=1e-20).sqrt()
    gram, right = gram / (scale[:, :, None] * scale[:, None]), right / scale[:, :, None]
    mean, spread = _expected(gram, right, scale, shape)
    mean, tight = mean * scale[:, :, None], (spread * scale).square().clamp(min=1e-30)
    ridge = torch.full_like(scale, _RIDGE)
    for _ in range(_ROUNDS):
        targets = torch.cat([right - gram @ mean.to(gram), gram], dim=2)
        solved = torch.linalg.solve(gram + torch.diag_embed(ridge), targets)
        filters, hat = mean + solved[..., :2], solved[..., 2:].diagonal(dim1=1, dim2=2).real.sum(1)
        fitted = filters.mH @ right  # [groups, 2, 2]
        bent = filters.mH @ gram @ filters
        left = power - 2 * fitted.diagonal(dim1=1, dim2=2).real.sum(1) + bent.diagonal(dim1=1, dim2=2).real.sum(1)
        free = (rows - hat * _OVERLAPPING).clamp(min=_LEAST_FREEDOM * rows)
        ridge = _RIDGE + _OVERLAPPING * (left.clamp(min=0) / 2 / free)[:, None] / tight
    freedom = (1 - hat / max(1.0, rows / _OVERLAPPING)).clamp(min=_LEAST_FREEDOM)
    share = float((left.clamp(min=0) / freedom).sum() / power.sum().clamp(min=1e-30))
    filters = (filters / scale[:, :, None]).to(torch.complex64)
    bins = (filters, freedom.rsqrt().float())
    return bins[0].repeat_interleave(shape.group, 0), bins[1].repeat_interleave(shape.group), min(1.0, share)


def _expected(gram: Tensor, right: Tensor, scale: Tensor, shape: _Shape) -> tuple[Tensor, Tensor]:
    """What filters are expected to be: their mean [numbers, 2], left and right, and their spread [numbers].

    Args:
        gram: of regressors that are scaled to 1, [groups, numbers, numbers].
        right: of these and the mix, [groups, numbers, 2].
        scale: of the regressors, [groups, numbers].
        shape: sizes.
    """
    direct = slice(0, gram.size(1) // shape.taps // (1 + shape.levels))
    own_scale = scale[:, direct]
    whole = (gram[:, direct, direct].real * (own_scale[:, :, None] * own_scale[:, None])).sum(0)
    wanted = (right[:, direct].real * own_scale[:, :, None]).sum(0)
    size = whole.diagonal().clamp(min=1e-20).sqrt()
    eye = torch.eye(len(size), dtype=whole.dtype, device=whole.device)
    gains = torch.linalg.solve(whole / (size[:, None] * size) + _RIDGE * eye, wanted / size[:, None]) / size[:, None]
    mean = torch.zeros(gram.size(1), 2, dtype=whole.dtype, device=whole.device)
    mean[direct] = gains
    level = gains.square().mean(1).sqrt()
    level = torch.maximum(level, _LEAST_GAIN * (level * size).square().mean().sqrt() / size)
    own = level.repeat(1 + shape.levels)
    return mean, torch.cat([own * (_SPREAD if tap == 0 else _LATER_SPREAD) for tap in range(shape.taps)])


def _residual(song: Song, shape: _Shape, filters: Tensor, gain: Tensor) -> Tensor:
    """The residual over a whole song, [2, samples], part by part."""
    audio = torch.zeros(2, song.num_samples)
    window, kept = torch.hann_window(shape.n_fft), shape.n_fft // 2 + 1
    for begin, end in parts_of(song.num_samples, shape.n_fft):
        made, mix, before = _read(song, begin, end, shape)
        left = ((mix - made @ filters) * gain[:, None, None]).permute(2, 0, 1)[:, :kept]
        start = before * (shape.n_fft // 2)
        part = torch.istft(left, shape.n_fft, shape.n_fft // 2, window=window.to(left.device))
        audio[:, begin:end] = part[:, start : start + end - begin].cpu()
    return audio
