"""One colour for each node type, the same in every plot.

The seven processors of the pruning paper have the hues of Okabe and Ito's colour-blind safe set, two of them
lightened so that a black letter can be read on every one; their variants are shades of the same hue, distinguished
by their letters. Inputs, mixes and outputs are grey. A type that graphmix does not know gets a colour computed
from its name, so that it is the same in every plot and every run.
"""

import colorsys
import zlib

from graphmix.errors import GraphmixError

COLORS = {
    "i": "#3a3a3a",
    "m": "#b5b5b5",
    "o": "#3a3a3a",
    "e": "#e69f00",
    "c": "#3d8fd1",
    "n": "#7cc7ee",
    "s": "#d989b5",
    "g": "#1fae83",
    "d": "#e2651a",
    "r": "#9c85d1",
    "C": "#6f9fd8",
    "N": "#a4d8ea",
    "k": "#2f9fb5",
    "l": "#8da0f0",
    "u": "#7fc9ab",
    "x": "#a8a23a",
    "t": "#c9b8a0",
    "v": "#58c4a5",
    "biquad": "#d4b04a",
    "parametric_eq": "#f0bd55",
    "graphic_eq": "#e0a94d",
    "octave_eq": "#efc980",
    "state_variable": "#c8a85a",
    "pole_zero": "#b9a06a",
    "fir_filter": "#dcc06a",
    "dynamic_eq": "#d8a070",
    "de_esser": "#e0b090",
    "studio_compressor": "#5a9fe0",
    "expander": "#94cdea",
    "true_peak_limiter": "#a3b2f4",
    "transient_shaper": "#86b6d6",
    "tanh": "#da626d",
    "clipper": "#da7377",
    "power": "#db8483",
    "chebyshev": "#dd9792",
    "wave_shaper": "#dfa8a1",
    "tape": "#e1b8b0",
    "bit_crusher": "#e4c6be",
    "chorus": "#62da63",
    "flanger": "#76db7d",
    "vibrato": "#89dc94",
    "phaser": "#9cdea8",
    "tremolo": "#ade1ba",
    "auto_pan": "#bee4ca",
    "feedback_delay": "#6862da",
    "feedback_network": "#9083db",
    "velvet_reverb": "#b1a1df",
    "early_reflections": "#cbbee4",
    "pan": "#da62bc",
    "balance": "#da70bb",
    "rotation": "#db7ebc",
    "polarity": "#dc8cbe",
    "mid_side_encoder": "#de99c1",
    "mid_side_decoder": "#dfa6c5",
    "haas": "#e2b2c9",
    "bass_width": "#e4becf",
}
"""By letter, and by name where a type has none."""

LETTERS = {
    "in": "i",
    "mix": "m",
    "out": "o",
    "equalizer": "e",
    "compressor": "c",
    "noisegate": "n",
    "imager": "s",
    "gain": "g",
    "delay": "d",
    "reverb": "r",
    "ballistic_compressor": "C",
    "ballistic_gate": "N",
    "sidechain_compressor": "k",
    "limiter": "l",
    "send": "u",
    "crossover": "x",
    "align": "t",
    "ride": "v",
}
"""Letters of the types that come with graphmix, by name."""

_DARK_INK, _LIGHT_INK = "#111111", "#ffffff"
_FALLBACK_LIGHTNESS, _FALLBACK_SATURATION = 0.66, 0.45
_DARK_BELOW = 0.18
"""Relative luminance at which white and black letters are equally easy to read."""


def color_of(letter: str) -> str:
    """The colour of a node type as ``#rrggbb``.

    Args:
        letter: its letter, or its name. The name is the better key where a rack has types of its own: there a
            letter may mean something else.

    Example:
        >>> color_of("g") == color_of("gain")
        True
    """
    if not letter:
        raise GraphmixError("a node type without letter or name has no colour; give its letter, e.g. 'e'.")
    known = COLORS.get(LETTERS.get(letter, letter))
    if known is not None:
        return known
    hue = zlib.crc32(letter.encode()) % 360 / 360
    red, green, blue = colorsys.hls_to_rgb(hue, _FALLBACK_LIGHTNESS, _FALLBACK_SATURATION)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"


def tint(color: str, strength: float) -> str:
    """The colour mixed with white: itself at strength 1, white at 0."""
    channels = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(255 + (value - 255) * strength):02x}" for value in channels)


def luminance(color: str) -> float:
    """Relative luminance of WCAG 2, from 0 (black) to 1 (white)."""
    values = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def ink_on(color: str) -> str:
    """Black or white, whichever can be read on this colour."""
    return _LIGHT_INK if luminance(color) < _DARK_BELOW else _DARK_INK
