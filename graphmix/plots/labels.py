"""Text on plots: what the fonts can draw of it, how wide it is, how to keep it short, what is no mathematics."""

import unicodedata
from collections.abc import Iterable

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from graphmix.plots.fonts import can_draw, families
from graphmix.plots.palette import LETTERS

_HINTING = 1.08
"""Letters on a pixel grid may be wider than the font says."""
_POINTS_PER_INCH = 72
_INVISIBLE = ("Mn", "Me", "Cf")
"""Unicode categories of characters that only modify others: without a font for them they are left out."""
_NAMES = {letter: name for name, letter in LETTERS.items()}


def readable(text: str) -> str:
    r"""The text on one line, with escapes for characters that no font has.

    >>> readable("a\tb \x07")
    'a b \\x07'
    """
    return "".join(_pieces(text))


def shortened(name: str, longest: int) -> str:
    """The readable name; a very long one loses its middle, since tracks differ at their ends.

    >>> shortened("01_Kick_In_Beta52_print.wav", 13)
    '01_Kic…nt.wav'
    """
    pieces = _pieces(name)
    if sum(map(len, pieces)) <= longest:
        return "".join(pieces)
    half = (longest - 1) // 2
    return f"{_head(pieces, half)}…{_head(pieces[::-1], half, backwards=True)}"


def text_width(text: str, points: float, weight: str = "normal") -> float:
    """Width of a line of readable text in inches."""
    font = FontProperties(family=list(families()), size=points, weight=weight)
    width, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return float(width) * _HINTING / _POINTS_PER_INCH


def without_math(text: str) -> str:
    """The readable text, for places where matplotlib would take ``$...$`` for mathematics."""
    return readable(text).replace("$", r"\$")


def type_label(name: str) -> str:
    """The name of a node type (or the one that a letter stands for) in words."""
    return without_math(_NAMES.get(name, name).replace("_", " "))


def sorted_types(names: Iterable[str]) -> list[str]:
    """Type names (or letters) once each: those of graphmix in their order, then others by name."""
    known = {name: i for i, name in enumerate([*LETTERS, *LETTERS.values()])}
    return sorted(set(names), key=lambda name: (known.get(name, len(known)), name))


def _pieces(text: str) -> list[str]:
    """Characters or escapes, one entry for each character that is kept."""
    return [piece for character in " ".join(text.split()) if (piece := _piece(character))]


def _piece(character: str) -> str:
    if can_draw(character):
        return character
    if unicodedata.category(character) in _INVISIBLE:
        return ""
    if "\udc80" <= character <= "\udcff":  # a byte of a file name that is not UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return ascii(character)[1:-1]


def _head(pieces: list[str], longest: int, backwards: bool = False) -> str:
    kept, length = list[str](), 0
    for piece in pieces:
        length += len(piece)
        if length > longest:
            break
        kept.append(piece)
    return "".join(reversed(kept) if backwards else kept)
