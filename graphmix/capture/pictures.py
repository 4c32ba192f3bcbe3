"""The pictures of a captured device, computed and written."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from graphmix.capture.losses import esr_by_level
from graphmix.capture.measures import LEVELS_DB, harmonics_by_level, step_response, transfer_curve
from graphmix.models.effects import EffectModel

_FFT, _HOP, _FRAMES = 1024, 256, 1200
_FLOOR = 1e-6


def draw_plots(
    folder: Path,
    model: EffectModel,
    dry: Tensor,
    wet: Tensor,
    out: Tensor,
    history: Sequence[tuple[int, float, float, float]],
) -> None:
    """Write ``transfer_curve``, ``harmonics``, ``step_response``, ``waveforms``, ``error``, ``learning_curve`` and
    ``error_by_level`` as PNG.
    """
    from graphmix.plots import effects, saving  # matplotlib is loaded only where something is drawn

    folder.mkdir(exist_ok=True)
    rate = model.config.sample_rate
    curve = transfer_curve(model)
    samples = min(wet.size(-1), _FRAMES * _HOP)
    seconds = samples / rate
    figures = {
        "transfer_curve": effects.plot_transfer_curve(curve.inputs, curve.outputs),
        "harmonics": effects.plot_harmonics(LEVELS_DB, harmonics_by_level(model)),
        "step_response": effects.plot_step_response(step_response(model), rate),
        "waveforms": effects.plot_waveforms(wet[0].numpy(), out[0].numpy(), rate),
        "error": effects.plot_error_spectrogram(
            _spectrogram(wet[0, :samples]), _spectrogram((out - wet)[0, :samples]), seconds, rate
        ),
        "learning_curve": effects.plot_learning_curve(history),
        "error_by_level": effects.plot_error_by_level(esr_by_level(prediction=out, target=wet, audio=dry)),
    }
    for name, figure in figures.items():
        saving.save(figure, folder / f"{name}.png")


def _spectrogram(audio: Tensor) -> NDArray[np.floating]:
    """Magnitudes in dB, [bins, frames]."""
    window = torch.hann_window(_FFT)
    spectrum = torch.stft(audio, _FFT, _HOP, window=window, return_complex=True, pad_mode="constant")
    return (20 * (spectrum.abs() * 2 / window.sum() + _FLOOR).log10()).numpy()
