"""How well mixes match a target: log-magnitude spectrograms and their errors, as figure 7 of the pruning paper.

Conventions: audio is [2, samples], left and right; mid is (L + R) / 2, side (L - R) / 2. Levels are in dB relative
to the loudest point of the target's mid and side. The error is the match's level minus the target's: red where the
match is too loud, blue where it is too soft. Levels below a floor count as the floor and are black, so that inaudible
differences do not show. A silent target has 0 dB at full scale.
"""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from graphmix.dsp.spectrogram import pooled_power, power_to_db
from graphmix.errors import GraphmixError
from graphmix.plots.labels import readable
from graphmix.plots.panels import finish, new_figure

_FLOOR_DB = -80.0
_PANEL_WIDTH, _PANEL_HEIGHT = 2.75, 1.45
_CHANNELS = ("mid", "side")

Audio = Tensor | npt.NDArray[np.floating]
Levels = npt.NDArray[np.float64]


def plot_match(target: Audio, matches: Mapping[str, Audio], sample_rate: int, error_limit_db: float = 20.0) -> Figure:
    """Draw the spectrograms of a target and of mixes that should match it.

    Args:
        target: [2, samples].
        matches: label -> audio like the target.
        sample_rate: in Hz.
        error_limit_db: end of the error's colours, on both sides.

    Returns:
        A row for the target and one for each match. Columns: mid, its error, side, its error; the title of an
        error gives its mean magnitude over the picture.

    Raises:
        GraphmixError: no match, another shape, a value that is not finite, a rate or limit that is not positive.
    """
    if sample_rate <= 0 or not error_limit_db > 0:
        raise GraphmixError(
            f"sample_rate is {sample_rate} and error_limit_db is {error_limit_db}; both must be positive."
        )
    if not matches:
        raise GraphmixError("there is no match to plot; give at least one, e.g. {'full console': mix}.")
    reference = _checked("target", target)
    signals = {name: _checked(repr(name), audio, reference.size(1)) for name, audio in matches.items()}
    power = _mid_side_power(reference, sample_rate)
    loudest = float(power.max())
    target_db = power_to_db(power, loudest, _FLOOR_DB).numpy()
    grid = _Grid(reference.size(1) / sample_rate, sample_rate / 2000, error_limit_db, len(signals) + 1)
    for channel, name in enumerate(_CHANNELS):
        grid.show_level(0, 2 * channel, target_db[channel], f"target, {name}")
    for row, (label, audio) in enumerate(signals.items(), start=1):
        match_db = power_to_db(_mid_side_power(audio, sample_rate), loudest, _FLOOR_DB).numpy()
        for channel, name in enumerate(_CHANNELS):
            error = match_db[channel] - target_db[channel]
            grid.show_level(row, 2 * channel, match_db[channel], f"{label}, {name}")
            grid.show_error(row, 2 * channel + 1, error, f"{name} error, mean {np.abs(error).mean():.1f} dB")
    grid.add_color_bars()
    return finish(grid.figure)


def _checked(what: str, audio: Audio, samples: int | None = None) -> Tensor:
    tensor = torch.as_tensor(audio).detach().cpu().to(torch.float32)
    if tensor.dim() != 2 or tensor.size(0) != 2 or tensor.size(1) == 0:
        raise GraphmixError(f"{what} has shape {list(tensor.shape)}, expected [2, samples]: left and right.")
    if samples is not None and tensor.size(1) != samples:
        raise GraphmixError(f"{what} has {tensor.size(1)} samples, but the target has {samples}; cut them alike.")
    if not torch.isfinite(tensor).all():
        raise GraphmixError(f"{what} has samples that are not finite; it cannot be plotted.")
    return tensor


def _mid_side_power(audio: Tensor, sample_rate: int) -> Tensor:
    left, right = audio
    return pooled_power(torch.stack([(left + right) / 2, (left - right) / 2]), sample_rate)


@dataclass
class _Grid:
    """The panels: time in s to the right, frequency in kHz upwards."""

    seconds: float
    kilohertz: float
    error_limit_db: float
    num_rows: int

    def __post_init__(self) -> None:
        self.figure: Figure = new_figure(4 * _PANEL_WIDTH + 0.5, self.num_rows * _PANEL_HEIGHT + 0.7)
        self.panels = self.figure.subplots(self.num_rows, 4, sharex=True, sharey=True, squeeze=False)

    def show_level(self, row: int, column: int, levels: Levels, title: str) -> None:
        """A spectrogram in dB."""
        self._show(row, column, levels, title, "magma", (_FLOOR_DB, 0.0))

    def show_error(self, row: int, column: int, error: Levels, title: str) -> None:
        """An error in dB."""
        self._show(row, column, error, title, "RdBu_r", (-self.error_limit_db, self.error_limit_db))

    def _show(
        self, row: int, column: int, values: Levels, title: str, colors: str, limits: tuple[float, float]
    ) -> None:
        axes = self.panels[row, column]
        axes.imshow(
            values,
            origin="lower",
            aspect="auto",
            extent=(0, self.seconds, 0, self.kilohertz),
            cmap=colors,
            vmin=limits[0],
            vmax=limits[1],
            interpolation="nearest",
        )
        axes.set_title(textwrap.fill(readable(title), 36), fontsize=8, parse_math=False)
        axes.tick_params(labelsize=7)
        if column == 0:
            axes.set_ylabel("frequency / kHz", fontsize=7.5)
        if row == self.num_rows - 1:
            axes.set_xlabel("time / s", fontsize=7.5)

    def add_color_bars(self) -> None:
        """In the panels beside the target, which have no error to show."""
        last = self.num_rows - 1
        level, error = self.panels[last, 0].images[0], self.panels[last, 1].images[0]
        for column, image, label in ((1, level, "level / dB"), (3, error, "error (match - target) / dB")):
            axes: Axes = self.panels[0, column]
            axes.set_axis_off()
            bar = self.figure.colorbar(
                image, cax=axes.inset_axes((0.08, 0.45, 0.84, 0.12)), orientation="horizontal", extend="both"
            )
            bar.set_label(label, fontsize=7.5)
            bar.ax.tick_params(labelsize=7)
