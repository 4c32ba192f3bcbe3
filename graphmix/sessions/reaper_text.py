"""Text of REAPER projects: blocks and lines, its panner, and the points of a volume envelope.

A project is lines of words and blocks between ``<`` and ``>``. Numbers are written in full. Three facts about REAPER
are not from its makers' documentation but from what others measured on its renders, and none of it was tried here,
where REAPER cannot run:

* the panner of a track (:func:`pan_gains`) is the sine and cosine of the angle, with a boost towards the middle that
  depends on the law: none for -3 dB, and up to 3 dB for 0 dB;
* a volume envelope without ``VOLTYPE 1`` is linear in the factor between its points, with it on the fader's scale;
* in the mode *trim/read* (``AUTOMODE 0``) fader and envelope multiply.
"""

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

LAW = 1.0
"""Law of the panner: its factor in the middle. This is REAPER's default, 0 dB."""
STEP_DB = 0.1
"""Between points of an envelope: linear in the factor then differs from linear in dB by 0.0002 dB (-95 dB) at most."""
SLIDERS = 64
"""Fields of an effect's line."""
WRAP = 128


@dataclass
class Block:
    """A block of a project.

    Args:
        head: its first line, without the bracket.
        content: lines and blocks.
    """

    head: str
    content: "list[str | Block]" = field(default_factory=list)

    def add(self, *words: object) -> None:
        """Add a line of words: numbers, and text that is quoted already."""
        self.content.append(" ".join(word(x) for x in words))

    def block(self, *words: object) -> "Block":
        """Add a block with such a head."""
        inner = Block(" ".join(word(x) for x in words))
        self.content.append(inner)
        return inner

    def lines(self, indent: str = "") -> list[str]:
        """The lines of the file."""
        result = [f"{indent}<{self.head}"]
        for part in self.content:
            result += part.lines(indent + "  ") if isinstance(part, Block) else [f"{indent}  {part}"]
        return [*result, f"{indent}>"]


def word(value: object) -> str:
    """A number in full, without an exponent; other values as they are."""
    if isinstance(value, float):
        return np.format_float_positional(value, unique=True, trim="-")
    return str(value)


def plain(text: str) -> str:
    """Text as it stands between quotes: on one line, and with at most two of the three quotes."""
    text = "".join(c if c.isprintable() else " " for c in text)
    return text.replace("`", "'") if all(quote in text for quote in "\"'`") else text


def quoted(text: str) -> str:
    """Text in the quotes that do not occur in it."""
    text = plain(text)
    quote = next(quote for quote in "\"'`" if quote not in text)
    return f"{quote}{text}{quote}"


def base64_lines(content: bytes) -> list[str]:
    """Base64 in lines as REAPER breaks them."""
    text = base64.b64encode(content).decode()
    return [text[start : start + WRAP] for start in range(0, len(text), WRAP)]


# --- levels


def pan_gains(pan: float, law: float) -> tuple[float, float]:
    """Factors of left and right of the panner.

    Args:
        pan: -1 (left) to 1.
        law: factor in the middle; 0.5 or less is the linear panner of -6 dB.
    """
    pan = min(1.0, max(-1.0, pan))
    if law <= 0.5:
        return (1 - pan) / 2, (1 + pan) / 2
    angle = (1 + pan) * math.pi / 4
    middle = 1 - (1 / math.cos(pan * math.pi / 4) - 1) / (math.sqrt(2) - 1)
    boost = 1 + (law * math.sqrt(2) - 1) * middle
    return boost * math.cos(angle), boost * math.sin(angle)


def fader_of(left: float, right: float) -> tuple[float, float]:
    """Volume and pan, at the law of 0 dB, of a left and a right factor above 0."""
    if left == right:
        return left, 0.0
    pan = math.atan2(right, left) * 4 / math.pi - 1
    return math.hypot(left, right) / math.hypot(*pan_gains(pan, LAW)), pan


# --- envelopes


def envelope_points(points: Sequence[tuple[float, float]], wet: float) -> tuple[float, list[tuple[float, float]]]:
    """A ride as a volume envelope.

    Args:
        points: seconds and dB of its breakpoints.
        wet: its dry/wet weight.

    Returns:
        A factor for the fader, 1 or more, because an envelope ends at its top; and seconds and factors of the points.
    """
    dense = [points[0]]
    for (begin, before), (end, after) in pairwise(points):
        count = max(1, math.ceil(abs(after - before) / STEP_DB))
        dense += [
            (begin + (end - begin) * k / count, before + (after - before) * k / count) for k in range(1, count + 1)
        ]
    factors = [(time, wet * 10 ** (gain / 20) + 1 - wet) for time, gain in dense]
    top = max(1.0, *(factor for _, factor in factors))
    return top, [(time, factor / top) for time, factor in factors]


def thinned(points: Sequence[tuple[float, float]], most: int) -> tuple[list[tuple[float, float]], float]:
    """The points of a line in dB that keep its shape best, and the largest error in dB.

    The point that lies farthest from the line through those that are kept is kept too, until there are ``most`` or
    nothing is left.
    """
    if len(points) <= 1:
        return list(points), 0.0
    times, gains = np.array(points).T
    kept = [0, len(points) - 1]
    while True:
        kept.sort()
        errors = np.abs(gains - np.interp(times, times[kept], gains[kept]))
        worst = int(errors.argmax())
        if errors[worst] < 1e-9 or len(kept) >= most:
            return [points[k] for k in kept], float(errors[worst])
        kept.append(worst)
