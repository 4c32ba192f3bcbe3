"""Fonts for text that users wrote: names of tracks and songs may be in any script.

matplotlib draws each character in the first font of a list that has it. The list is its own default, and after it those
fonts of this machine that are known to cover other scripts and symbols. Whether a character can be drawn at all is what
:func:`can_draw` returns.
"""

import logging
from functools import lru_cache
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, fontManager, get_font
from matplotlib.text import Text

FALLBACKS = (
    "DejaVu Sans",
    # Chinese, Japanese, Korean
    "Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans CJK TC", "Noto Sans CJK KR", "Source Han Sans", "Noto Sans JP",
    "Noto Sans SC", "Noto Sans KR", "IPAexGothic", "IPAGothic", "TakaoGothic", "VL Gothic", "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei", "Droid Sans Fallback", "Hiragino Sans", "PingFang SC", "Heiti TC", "Apple SD Gothic Neo",
    "Yu Gothic", "Meiryo", "MS Gothic", "Microsoft YaHei", "SimHei", "Malgun Gothic", "NanumGothic",
    # other scripts
    "Noto Sans", "Noto Sans Arabic", "Noto Sans Hebrew", "Noto Sans Devanagari", "Noto Sans Thai", "Arial Unicode MS",
    # symbols and emoji; fonts of coloured bitmaps are none that matplotlib can draw
    "Noto Emoji", "Segoe UI Emoji", "Segoe UI Symbol", "Symbola", "Noto Sans Symbols", "Noto Sans Symbols2",
    "Noto Sans Symbols 2", "GNU Unifont", "Unifont",
)  # fmt: skip
"""Names of fonts, in the order in which they are preferred."""
_WEIGHTS = ("normal", "bold")


def _is_no_lack_of_bold(record: logging.LogRecord) -> bool:
    """Fallbacks have often one weight, and bold text in it is what is wanted; matplotlib warns of each such font."""
    return not record.getMessage().startswith("findfont: Failed to find font weight")


logging.getLogger("matplotlib.font_manager").addFilter(_is_no_lack_of_bold)


def families() -> tuple[str, ...]:
    """Names of the fonts to draw with: matplotlib's default, then the fallbacks that are installed."""
    return _families(tuple(matplotlib.rcParams["font.family"]), len(fontManager.ttflist))


def can_draw(character: str) -> bool:
    """Whether some font of :func:`families` has the character, in normal and in bold weight."""
    return not "\ud800" <= character <= "\udfff" and _has(character, families())


def apply_fonts(figure: Figure) -> None:
    """Set the fonts of all text of a figure."""
    names = list(families())
    for text in figure.findobj(Text):
        text.set_fontfamily(names)


@lru_cache
def _families(default: tuple[str, ...], num_fonts: int) -> tuple[str, ...]:
    """Cached for as long as the default and the number of known fonts stay the same."""
    installed = {font.name for font in fontManager.ttflist}
    return (*default, *(name for name in FALLBACKS if name in installed and name not in default))


@lru_cache(maxsize=1 << 14)
def _has(character: str, names: tuple[str, ...]) -> bool:
    return all(
        any(get_font(path).get_char_index(ord(character)) for path in _paths(names, weight)) for weight in _WEIGHTS
    )


@lru_cache
def _paths(names: tuple[str, ...], weight: str) -> tuple[Path, ...]:
    """Files of the fonts."""
    return tuple(Path(fontManager.findfont(FontProperties(family=[name], weight=weight))) for name in names)
