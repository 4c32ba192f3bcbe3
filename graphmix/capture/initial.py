"""Where a training starts, from the recordings: what has a closed form is solved, a network takes its levels from them.

A recurrent network begins with weights that suit inputs of about unit level, and so do its outputs; recordings are
mostly ten times weaker. The scales go into its first and last weights, so its form as a file stays what it is.
"""

from collections.abc import Sequence

import torch
from scipy.linalg import solve_toeplitz
from torch import Tensor

from graphmix.capture.grey_box_start import start_grey_box
from graphmix.models.effects import EffectModel
from graphmix.models.effects.conv_net import LinearEffect
from graphmix.models.effects.grey_box import GreyBoxEffect
from graphmix.models.effects.recurrent_effect import RecurrentEffect
from graphmix.models.effects.tcn_effect import TCNEffect

SMALLEST_LEVEL = 1e-3
RIDGE = 1e-9
_BLOCK = 1 << 18
_CALIBRATED_ROWS = 2

Pairs = Sequence[tuple[Tensor, Tensor]]
"""Dry and wet [channels, samples] each, aligned."""


@torch.no_grad()
def initialize(model: EffectModel, pairs: Pairs) -> None:
    """Set the weights of a model from recordings: an impulse response and a grey box by fits, a network by its levels.

    Args:
        model: changed in place.
        pairs: dry and wet [channels, samples] each, aligned.
    """
    if isinstance(model, LinearEffect):
        model.taps[:] = impulse_response(pairs, model.config.taps).flip(0)
    elif isinstance(model, GreyBoxEffect):
        start_grey_box(model, pairs)
    elif isinstance(model, RecurrentEffect):
        model.cells[0].weight_ih_l0[:, 0] /= _level([dry for dry, _ in pairs])
        model.output.weight *= _level([wet for _, wet in pairs])
    elif isinstance(model, TCNEffect):
        for dry, _ in pairs:
            rows = dry[:, : _BLOCK * (dry.size(-1) // _BLOCK)].reshape(-1, _BLOCK) if dry.size(-1) > _BLOCK else dry
            rows = rows[rows.square().mean(-1).argsort(descending=True)[:_CALIBRATED_ROWS]]
            model.calibrate(rows, rows.new_zeros(rows.size(0), len(model.config.controls)))


def _level(signals: Sequence[Tensor]) -> float:
    energy = sum(float(t.square().sum()) for t in signals) / sum(t.numel() for t in signals)
    return max(SMALLEST_LEVEL, energy**0.5)


def impulse_response(pairs: Pairs, taps: int) -> Tensor:
    """The best filter by least squares, [taps]: what solves the normal (Wiener-Hopf) equations of all recordings."""
    own, cross = torch.zeros(2, taps, dtype=torch.float64)
    for dry, wet in pairs:
        for x, y in zip(dry.double(), wet.double(), strict=True):
            x = torch.nn.functional.pad(x, (taps - 1, 0))
            for start in range(0, y.numel(), _BLOCK):
                past = x[start : start + _BLOCK + taps - 1]
                now, target = past[taps - 1 :], y[start : start + _BLOCK]
                n_fft = 1 << (past.numel() + taps).bit_length()
                spectrum = torch.fft.rfft(past, n_fft)
                for total, signal in ((own, now), (cross, target)):
                    product = torch.fft.irfft(torch.fft.rfft(signal, n_fft) * spectrum.conj(), n_fft)
                    # lag k: the past begins taps - 1 samples earlier
                    total += torch.roll(product, taps - 1)[:taps]
    own[0] *= 1 + RIDGE
    return torch.from_numpy(solve_toeplitz(own.numpy(), cross.numpy())).float()
