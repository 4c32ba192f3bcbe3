"""
What a device does
==================

The measurements of ``graphmix capture``, here of a model whose curve is known: an amplifier that clips softly.
"""

import numpy as np

from graphmix.plots.effects import plot_harmonics, plot_transfer_curve

phase = np.linspace(0, 2 * np.pi, 400)
sine = np.sin(phase)
figure = plot_transfer_curve(sine, np.tanh(3 * sine) / np.tanh(3))

# %%
# Harmonics of a sine against its level:

levels = np.arange(-60, 1, 6)
wave = np.sin(2 * np.pi * np.arange(4800) * 10 / 4800)
out = np.tanh(3 * 10 ** (levels[:, None] / 20) * wave) / np.tanh(3)
spectrum = 2 * np.abs(np.fft.rfft(out)) / wave.size
harmonics = plot_harmonics(levels, 20 * np.log10(spectrum[:, 10:80:10] + 1e-7))
