"""How far a mix lies behind its tracks.

A mix that was recorded or exported later than its tracks begin has a positive offset: what a track has at time t is in
the mix at t + offset. It is given in seconds, as a number or a text with a unit, or in samples of the mix file::

    0.35    "0.35 s"    "350 ms"    "15435 samples"
"""

import math
import re
from dataclasses import dataclass
from typing import Any

from graphmix.errors import SongError

MAX_SECONDS = 3600.0
_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)"
_TEXT = re.compile(rf"\s*({_NUMBER})\s*(s|sec|second|seconds|ms|sample|samples|smp)?\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Offset:
    """Seconds and samples, of which one is zero; samples count at the rate of the mix file."""

    seconds: float = 0.0
    samples: int = 0

    def at(self, sample_rate: int, mix_rate: int) -> int:
        """The offset in whole samples at a working rate."""
        return round((self.seconds + self.samples / mix_rate) * sample_rate)

    def __str__(self) -> str:
        return f"{self.samples} samples" if self.samples else f"{self.seconds:g} s"

    def __bool__(self) -> bool:
        return bool(self.seconds or self.samples)


NO_OFFSET = Offset()


def parse_offset(value: Any, where: str) -> Offset:
    """An offset from a number of seconds or a text; `where` begins the message about a wrong one.

    >>> parse_offset("350 ms", "here")
    Offset(seconds=0.35, samples=0)

    Raises:
        SongError: it is neither, or beyond an hour.
    """
    if isinstance(value, str) and (match := _TEXT.fullmatch(value)):
        number, unit = float(match[1]), (match[2] or "s").lower()
        if unit.startswith(("sample", "smp")):
            if not number.is_integer():
                raise SongError(f"{where} is {value!r}: give whole samples, or seconds.")
            offset = Offset(samples=int(number))
        else:
            offset = Offset(seconds=number / 1000 if unit == "ms" else number)
    elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        offset = Offset(seconds=float(value))
    else:
        raise SongError(f'{where} is {value!r}: give seconds (0.35, "350 ms") or samples of the mix ("15435 samples").')
    if abs(offset.seconds) > MAX_SECONDS or abs(offset.samples) > MAX_SECONDS * 192_000:
        raise SongError(f'{where} is {value!r}, more than an hour: seconds are meant, or say "{value} samples".')
    return offset
