r"""Which processors may change places in a chain without a difference in sound.

=====================================  =========================================================================
linear and time-invariant, each side   one another: gain, equalizer and other filters, delay, reverb; a feedback
apart                                  delay, as long as it keeps left and right apart
the same on both sides                 filters also an imager and a feedback delay that crosses over
moving in time, each side apart        gains: chorus, flanger, vibrato, phaser, tremolo, auto-pan
a gain equal on both sides             an imager, and what depends on levels: the threshold or drive takes the
                                       gain up, :math:`\tanh(d g x) / d = g \tanh(d' x) / d'` with :math:`d' = d g`
=====================================  =========================================================================

All are exact, the last with other settings (of a transient shaper with the same).
"""

import math
from collections.abc import Mapping

from torch import Tensor

DIAGONAL = frozenset({
    "gain", "delay", "reverb", "equalizer", "velvet_reverb", "early_reflections", "feedback_network",
})  # fmt: skip
"""Linear and time-invariant, left and right apart."""
FILTERS = frozenset({
    "equalizer", "biquad", "parametric_eq", "graphic_eq", "octave_eq", "state_variable", "pole_zero", "fir_filter",
})  # fmt: skip
"""The same on left and right."""
MODULATED = frozenset({"chorus", "flanger", "vibrato", "phaser", "tremolo", "auto_pan"})
"""Linear, left and right apart, and moving in time."""
LEVELLED = frozenset({
    "compressor", "noisegate", "ballistic_compressor", "ballistic_gate", "studio_compressor", "expander", "tanh",
    "clipper", "transient_shaper",
})  # fmt: skip
"""What they do depends on the level relative to a threshold or drive, or on no level."""
EQUAL_DB, NEARLY_EQUAL_DB = 1e-3, 0.5
"""Largest difference of the sides of a gain that is equal on both; the second beside thresholds and drives."""
NO_CROSS = 0.01
"""Up to this a feedback delay keeps left and right apart."""

Kind = tuple[str, Mapping[str, Tensor]]
"""Name of a type, and its physical values by parameter."""


def commute(one: Kind, other: Kind, *, levels: bool = False) -> bool:
    """Whether the order of two processors makes no difference.

    Args:
        one: type and values; a gain's in ``gain_db``, left and right, a feedback delay's in ``cross``.
        other: the same.
        levels: also where a threshold or a drive has to take up a gain.
    """
    kinds, values = {one[0], other[0]}, dict((one, other))
    if kinds <= DIAGONAL | FILTERS or kinds <= FILTERS | {"imager"}:
        return True
    if "feedback_delay" in kinds:
        apart = float(values["feedback_delay"]["cross"].max()) <= NO_CROSS
        return kinds <= FILTERS | {"feedback_delay"} | (DIAGONAL if apart else frozenset())
    if "gain" not in kinds:
        return False
    if kinds & MODULATED:
        return True
    left, right = values["gain"]["gain_db"].tolist()
    if levels and kinds & LEVELLED:
        return math.isclose(left, right, abs_tol=NEARLY_EQUAL_DB)
    return bool(kinds & {"imager", "transient_shaper"}) and math.isclose(left, right, abs_tol=EQUAL_DB)
