"""Text on plots: how wide it is, and how to keep it short. Nothing a user wrote is read as mathematics."""

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

_HINTING = 1.08
"""Letters on a pixel grid may be wider than the font says."""
_POINTS_PER_INCH = 72


def text_width(text: str, points: float, weight: str = "normal") -> float:
    """Width of a line of text in inches."""
    font = FontProperties(size=points, weight=weight)
    width, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return float(width) * _HINTING / _POINTS_PER_INCH


def shortened(name: str, longest: int) -> str:
    """The name on one line; a very long one loses its middle, for tracks differ at their ends."""
    name = " ".join(name.split())
    if len(name) <= longest:
        return name
    half = (longest - 1) // 2
    return f"{name[:half]}…{name[-half:]}"
