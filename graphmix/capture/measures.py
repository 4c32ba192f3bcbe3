"""What a captured device does, measured on its model: transfer curve, harmonics, step response.

All are measured by playing into the model what an engineer would play into the device.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from graphmix.models.effects import EffectModel

CURVE_HZ = 110.0
HARMONICS_HZ = 440.0
LEVELS_DB = tuple(range(-60, 1, 6))
HARMONICS = 7
_SETTLE_SECONDS, _HOLD_SECONDS = 0.3, 0.2


@dataclass(frozen=True)
class TransferCurve:
    """Output against input over one period of a full-scale sine: a closed loop where the device remembers."""

    inputs: NDArray[np.floating]
    outputs: NDArray[np.floating]


@torch.no_grad()
def transfer_curve(model: EffectModel, hz: float = CURVE_HZ) -> TransferCurve:
    """Played: a sine of 110 Hz at full scale, after it has settled."""
    rate = model.config.sample_rate
    period = round(rate / hz)
    time = np.arange(round(_SETTLE_SECONDS * rate) + period) / period
    wave = torch.from_numpy(np.sin(2 * np.pi * time).astype(np.float32))
    out = model(wave[None])[0]
    return TransferCurve(wave[-period:].numpy(), out[-period:].numpy())


@torch.no_grad()
def harmonics_by_level(model: EffectModel, hz: float = HARMONICS_HZ) -> NDArray[np.floating]:
    """Amplitudes of the harmonics of a sine in dB re full scale, [levels, harmonics], for :data:`LEVELS_DB`."""
    rate = model.config.sample_rate
    settle, hold = round(_SETTLE_SECONDS * rate), round(_HOLD_SECONDS * rate)
    periods = max(1, round(hold * hz / rate))
    time = np.arange(settle + hold) / hold * periods
    waves = np.stack([10 ** (level / 20) * np.sin(2 * np.pi * time) for level in LEVELS_DB])
    out = model(torch.from_numpy(waves.astype(np.float32)))[:, -hold:].numpy()
    spectrum = np.abs(np.fft.rfft(out)) * 2 / hold
    bins = [k * periods for k in range(1, HARMONICS + 1) if k * periods < spectrum.shape[1]]
    return 20 * np.log10(spectrum[:, bins] + 1e-7)


@torch.no_grad()
def step_response(model: EffectModel, level_db: float = -12.0, seconds: float = 0.05) -> NDArray[np.floating]:
    """Output after a step from silence to a constant, [samples]."""
    samples = round(seconds * model.config.sample_rate)
    return model(torch.full((1, samples), 10 ** (level_db / 20)))[0].numpy()
