"""How a mix differs from its target: the columns of an evaluation that need no graph.

Conventions: audio is [2, samples], left and right, in full scale; all differences are absolute and in dB or LU, so
that 0 is a perfect match and a mean over songs is an error. Two signals are compared over the same samples.

* audio loss: equation 3 of the pruning paper, mean over the song's segments as in a search, silent segments compared
  with the song's level (:class:`graphmix.search.MixLoss`); beside it the paper's, which divides by their own;
* log-spectral distance: root mean square over frequency of the difference of levels, mean over frames and channels;
* loudness: integrated, ITU-R BS.1770-4;
* stereo width: energy of side against mid;
* crest factor: peak against root mean square;
* dynamic range: spread of short-term levels from the 10th to the 95th percentile after a gate 20 dB below their mean,
  as in EBU Tech 3342, but of blocks of 0.4 s, because songs may last only seconds.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from graphmix.audio.loudness import loudness
from graphmix.audio.segments import evaluation_segments
from graphmix.errors import SearchError
from graphmix.search.losses import paper_loss
from graphmix.search.objective import SEGMENT_SECONDS, WARMUP_SECONDS, song_level

UNITS: Mapping[str, str] = {
    "audio_loss": "",
    "audio_loss_paper": "",
    "spectral_db": "dB",
    "loudness_lu": "LU",
    "width_db": "dB",
    "crest_db": "dB",
    "dynamics_db": "dB",
}
"""The measures in the order of tables, with their units."""
QUIETEST_WIDTH_DB = -60.0
"""Mono has no side at all, and less than this is inaudible."""
_FFT_SIZE = 2048
_LEVEL_FLOOR_DB = -100.0
_BLOCK_SECONDS, _BLOCK_OVERLAP = 0.4, 4
_GATE_DB = 20.0
_LOW, _HIGH = 0.10, 0.95
_SECONDS_AT_ONCE = 30


def compare_mixes(*, prediction: Tensor, target: Tensor, sample_rate: int) -> dict[str, float]:
    """All measures of :data:`UNITS`, of [2, samples] against [2, samples].

    Raises:
        SearchError: shapes differ, or the song is too short to be scored.
    """
    if prediction.shape != target.shape or prediction.dim() != 2 or prediction.size(0) != 2:
        raise SearchError(
            f"the prediction has shape {list(prediction.shape)}, the target {list(target.shape)}: give both as "
            "[2, samples], of equal length."
        )
    found, wanted = describe_mix(prediction, sample_rate), describe_mix(target, sample_rate)
    differences = {name: abs(found[name] - wanted[name]) for name in found}
    loss, of_the_paper = song_losses(prediction=prediction, target=target, sample_rate=sample_rate)
    return {
        "audio_loss": loss,
        "audio_loss_paper": of_the_paper,
        "spectral_db": log_spectral_distance(prediction, target, sample_rate),
        **differences,
    }


def describe_mix(mix: Tensor, sample_rate: int) -> dict[str, float]:
    """Loudness in LUFS, width, crest factor and dynamic range in dB of one mix, [2, samples]."""
    return {
        "loudness_lu": loudness(mix, sample_rate),
        "width_db": stereo_width(mix),
        "crest_db": crest_factor(mix),
        "dynamics_db": dynamic_range(mix, sample_rate),
    }


def song_loss(*, prediction: Tensor, target: Tensor, sample_rate: int) -> float:
    """The audio loss over a song, weighted as in :class:`graphmix.search.Objective`: every sample once."""
    return song_losses(prediction=prediction, target=target, sample_rate=sample_rate)[0]


@torch.no_grad()
def song_losses(*, prediction: Tensor, target: Tensor, sample_rate: int) -> tuple[float, float]:
    """The audio loss over a song, and the same as the paper defines it for silent segments too."""
    level = song_level(target, sample_rate)
    loss = paper_loss(sample_rate, prediction.device, prediction.dtype)
    warmup, length = round(WARMUP_SECONDS * sample_rate), round(SEGMENT_SECONDS * sample_rate)
    total = total_of_the_paper = weight = 0.0
    for segment in evaluation_segments(target.size(1), warmup, length):
        scored = slice(segment.start + segment.score_from, segment.start + segment.score_to)
        features = loss.features(target[None, :, scored], level)
        found = of_the_paper = float(loss(prediction=prediction[None, :, scored], target=features).total)
        if features.sounding is not None and any(bool((sounding < 1).any()) for sounding in features.sounding):
            of_the_paper = float(loss(prediction=prediction[None, :, scored], target=features.of_the_paper()).total)
        total += segment.weight * found
        total_of_the_paper += segment.weight * of_the_paper
        weight += segment.weight
    return total / weight, total_of_the_paper / weight


@torch.no_grad()
def log_spectral_distance(prediction: Tensor, target: Tensor, sample_rate: int) -> float:
    """Difference of levels in dB, root mean square over bins, mean over frames and channels."""
    window = torch.hann_window(_FFT_SIZE, device=target.device)
    at_once = max(_FFT_SIZE, _SECONDS_AT_ONCE * sample_rate)
    total, frames = 0.0, 0
    for begin in range(0, target.size(1), at_once):
        if target.size(1) - begin <= _FFT_SIZE // 2 and frames:
            break  # reflection needs half a window, and the rest of a song this short is nothing
        levels = [_levels(audio[:, begin : begin + at_once], window) for audio in (prediction, target)]
        distance = (levels[0] - levels[1]).square().mean(1).sqrt()
        total += float(distance.double().sum())
        frames += distance.numel()
    return total / frames


def _levels(audio: Tensor, window: Tensor) -> Tensor:
    """Levels in dB re a full-scale sine, [2, bins, frames]; at least half a window of samples is given."""
    spectrum = torch.stft(audio, _FFT_SIZE, _FFT_SIZE // 4, window=window, center=True, return_complex=True)
    power = (spectrum.abs() * (2 / window.sum())).square()
    return 10 * power.clamp(min=10 ** (_LEVEL_FLOOR_DB / 10)).log10()


def stereo_width(mix: Tensor) -> float:
    """Energy of the side channel against that of the mid, in dB; -60 or less counts as mono."""
    left, right = mix.double()
    mid, side = float((left + right).square().sum()), float((left - right).square().sum())
    if side == 0:
        return QUIETEST_WIDTH_DB
    if mid == 0:
        return -QUIETEST_WIDTH_DB
    return min(max(10 * math.log10(side / mid), QUIETEST_WIDTH_DB), -QUIETEST_WIDTH_DB)


def crest_factor(mix: Tensor) -> float:
    """Peak against root mean square of both channels together, in dB; 0 for silence."""
    power = float(mix.double().square().mean())
    return 10 * math.log10(float(mix.abs().max().double().square()) / power) if power > 0 else 0.0


def dynamic_range(mix: Tensor, sample_rate: int) -> float:
    """Spread of the levels of blocks in dB, 10th to 95th percentile within 20 dB of their mean; 0 for silence."""
    size = max(1, round(_BLOCK_SECONDS * sample_rate))
    signal = torch.nn.functional.pad(mix.double(), (0, max(0, size - mix.size(1))))
    power = signal.square().mean(0).unfold(0, size, max(1, size // _BLOCK_OVERLAP)).mean(1)
    loud = power[power > power.mean() * 10 ** (-_GATE_DB / 10)]
    if loud.numel() == 0:
        return 0.0
    low, high = torch.quantile(10 * loud.log10(), torch.tensor([_LOW, _HIGH], dtype=torch.float64))
    return float(high - low)
