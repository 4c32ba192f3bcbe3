"""Resampling in one piece: a windowed sinc, which is transparent up to 0.45 of the lower rate and adds no latency."""

import math

from torch import Tensor

ZERO_CROSSINGS = 32
"""Half width of the filter."""
LARGEST_BANK = 1 << 22
"""Most coefficients of a ratio's filters; 44.1 kHz to 48 kHz takes 34,000."""


def can_resample(old: int, new: int) -> bool:
    """Whether two rates have enough in common, for both directions; each ratio has as many filters as it asks for.

    >>> can_resample(44100, 48000), can_resample(44101, 96000)
    (True, False)
    """
    common = math.gcd(old, new)
    for one, other in ((old, new), (new, old)):
        taps = 2 * -(-ZERO_CROSSINGS * one // min(old, new)) + one // common
        if one != other and other // common * taps > LARGEST_BANK:
            return False
    return True


def resample(audio: Tensor, old: int, new: int) -> Tensor:
    """Audio at another rate, [..., samples] -> [..., ceil(samples * new / old)]; silence is assumed around it."""
    if old == new:
        return audio
    from torchaudio.functional import resample as by_sinc  # here: it takes a second to load

    return by_sinc(audio.contiguous(), old, new, lowpass_filter_width=ZERO_CROSSINGS)
