r"""Measures of how well a model follows a device.

Error-to-signal ratio (Wright et al. 2019), with a first-order pre-emphasis :math:`1 - 0.85 z^{-1}` in training, which
makes up for how little energy there is at high frequencies; squared error relative to a device's usual level, which
does not take the quiet segment of a batch for more than it is; squared error after mu-law companding, which does; the
difference of means; and the multi-resolution STFT distance of auraloss (Yamamoto et al. 2020).

Conventions: prediction and target by keyword, [rows, samples].
"""

import math
from functools import cache

import torch
from torch import Tensor, nn

PRE_EMPHASIS = 0.85
MU = 255.0
FLOOR = 1e-8
"""Mean energy of a target below which an error counts as if against it: -80 dB."""


def esr(*, prediction: Tensor, target: Tensor, pre_emphasis: float = 0.0) -> Tensor:
    """Energy of the error relative to the target's, over all rows."""
    if pre_emphasis:
        prediction, target = (t[..., 1:] - pre_emphasis * t[..., :-1] for t in (prediction, target))
    return (prediction - target).square().mean() / (target.square().mean() + FLOOR)


def level_error(*, prediction: Tensor, target: Tensor, energy: float, pre_emphasis: float = 0.0) -> Tensor:
    """Energy of the error relative to a given one, over all rows."""
    difference = prediction - target
    if pre_emphasis:
        difference = difference[..., 1:] - pre_emphasis * difference[..., :-1]
    return difference.square().mean() / (energy + FLOOR)


def mu_law(audio: Tensor) -> Tensor:
    """Audio of -1 to 1, its quiet parts enlarged: ``sign(x) log(1 + 255 |x|) / log 256``."""
    return audio.sign() * torch.log1p(MU * audio.abs()) / math.log1p(MU)


def mu_law_error(*, prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared error after mu-law companding, relative to the target's."""
    prediction, target = mu_law(prediction), mu_law(target)
    return (prediction - target).square().mean() / (target.square().mean() + FLOOR)


def dc_error(*, prediction: Tensor, target: Tensor) -> Tensor:
    """Energy of the difference of the rows' means, relative to the target's energy."""
    return (prediction.mean(-1) - target.mean(-1)).square().mean() / (target.square().mean() + FLOOR)


@cache
def _stft_loss() -> nn.Module:
    from auraloss.freq import MultiResolutionSTFTLoss

    return MultiResolutionSTFTLoss()


def stft_error(*, prediction: Tensor, target: Tensor) -> Tensor:
    """Multi-resolution STFT distance, over windows of 600 to 2,400 samples."""
    loss = _stft_loss()(prediction[:, None], target[:, None])
    assert isinstance(loss, Tensor), "auraloss returns a number"
    return loss


def mean_error_ratio(*, prediction: Tensor, target: Tensor) -> float:
    """Mean absolute error relative to the mean level, as the seed of the feedback model states it."""
    return float((prediction - target).abs().mean() / target.abs().mean().clamp(min=1e-12))


def esr_by_level(*, prediction: Tensor, target: Tensor, audio: Tensor, frame: int = 2048) -> list[tuple[float, float]]:
    """Error-to-signal ratio of frames, grouped by the level of the input in steps of 6 dB: (level in dB, ESR).

    Levels at which the device is silent are left out.
    """
    frames = [t[..., : t.size(-1) // frame * frame].unflatten(-1, (-1, frame)) for t in (audio, prediction, target)]
    level = 10 * torch.log10(frames[0].square().mean(-1) + 1e-10).flatten()
    error = (frames[1] - frames[2]).square().mean(-1).flatten()
    energy = frames[2].square().mean(-1).flatten()
    table = []
    for edge in range(-90, 6, 6):
        inside = (level >= edge) & (level < edge + 6)
        if inside.any() and float(energy[inside].mean()) > FLOOR:
            table.append((edge + 3.0, float(error[inside].mean() / energy[inside].mean())))
    return table
