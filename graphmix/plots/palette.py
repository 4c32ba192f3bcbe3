"""One colour for each node type, the same in every plot.

The seven processors of the pruning paper have the hues of Okabe and Ito's colour-blind safe set, two of them
lightened so that a black letter can be read on every one; their variants are shades of the same hue, distinguished
by their letters. The types without letters have a range of hues for each family (filters yellow, dynamics blue,
saturation red, modulation green, rooms violet, stereo pink), in which they lie as far apart as they can in CIELAB, from
each other and from all above. Inputs, mixes and outputs are grey. A type that graphmix does not know gets a colour
computed from its name, so that it is the same in every plot and every run.
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
    "biquad": "#c0ed0c",
    "parametric_eq": "#eab16c",
    "graphic_eq": "#e2e236",
    "octave_eq": "#cdd99b",
    "state_variable": "#8f814d",
    "pole_zero": "#b37519",
    "fir_filter": "#94b319",
    "dynamic_eq": "#ecdb79",
    "de_esser": "#cdb31d",
    "studio_compressor": "#5f76f7",
    "expander": "#c5cafc",
    "true_peak_limiter": "#0c88ed",
    "transient_shaper": "#92a8c4",
    "tanh": "#f43460",
    "clipper": "#d47c54",
    "power": "#af796a",
    "chebyshev": "#f43d25",
    "wave_shaper": "#faa099",
    "tape": "#d76076",
    "bit_crusher": "#f7695f",
    "chorus": "#25f463",
    "flanger": "#29a32f",
    "vibrato": "#94f0a2",
    "phaser": "#72a257",
    "tremolo": "#7af316",
    "auto_pan": "#95e85e",
    "feedback_delay": "#c842f5",
    "feedback_network": "#d97cf8",
    "velvet_reverb": "#eab6fb",
    "early_reflections": "#a35ff7",
    "pan": "#f316a9",
    "balance": "#d45496",
    "rotation": "#f42585",
    "polarity": "#f316e0",
    "mid_side_encoder": "#f75fdb",
    "mid_side_decoder": "#fcc5d9",
    "haas": "#b96fc8",
    "bass_width": "#f98bda",
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
