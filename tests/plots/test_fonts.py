"""Characters are drawn where a font of this machine has them, and escaped where none has."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.text import Text

from graphmix.plots import plot_match, save
from graphmix.plots.fonts import apply_fonts, can_draw, families
from graphmix.plots.labels import readable
from tests.plots.test_spectrogram import RATE, sine

NIGHT, PRIVATE = "\u591c", "\ue123"
"""A character of East Asian fonts, and one that no font has."""


def write_font(path: Path, name: str, characters: str) -> None:
    """A TrueType font whose glyphs are black squares."""
    builder = FontBuilder(1000, isTTF=True)
    glyphs = [f"uni{ord(character):04X}" for character in characters]
    builder.setupGlyphOrder([".notdef", *glyphs])
    builder.setupCharacterMap({ord(character): glyph for character, glyph in zip(characters, glyphs, strict=True)})
    pen = TTGlyphPen(None)
    pen.moveTo((100, 0))
    for corner in ((100, 800), (900, 800), (900, 0)):
        pen.lineTo(corner)
    pen.closePath()
    square = pen.glyph()
    builder.setupGlyf(dict.fromkeys([".notdef", *glyphs], square))
    builder.setupHorizontalMetrics(dict.fromkeys([".notdef", *glyphs], (1000, 100)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": name, "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)


@pytest.fixture
def east_asian_font(tmp_path: Path) -> Iterator[str]:
    """The name of a fallback font that is installed for the time of a test."""
    name = "Noto Sans CJK JP"
    before = list(fontManager.ttflist)
    if name in {font.name for font in before}:
        yield name
        return
    write_font(tmp_path / "font.ttf", name, NIGHT)
    fontManager.addfont(tmp_path / "font.ttf")
    yield name
    fontManager.ttflist[:] = before


def test_an_installed_fallback_font_draws_what_the_default_cannot(
    east_asian_font: str, tmp_path: Path, recwarn
) -> None:
    assert east_asian_font in families()
    assert can_draw(NIGHT)
    assert readable(NIGHT) == NIGHT
    figure = plot_match(sine(100), {NIGHT: sine(100)}, RATE)
    assert any(text.get_text() == f"{NIGHT}, mid" for text in figure.findobj(Text))
    for extension in ("png", "svg", "pdf"):
        save(figure, tmp_path / f"match.{extension}")
    figure.savefig(tmp_path / "by matplotlib.png")
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]


def test_bold_text_in_a_font_of_one_weight_is_no_warning(east_asian_font: str, tmp_path: Path, caplog) -> None:
    """Droid Sans Fallback of many Linux systems has one weight."""
    figure = Figure()
    figure.text(0.5, 0.5, NIGHT, fontweight="bold")
    apply_fonts(figure)
    figure.savefig(tmp_path / "bold.png")
    assert [record.getMessage() for record in caplog.records if "weight" in record.getMessage()] == []


def test_families_are_installed_and_begin_with_the_default() -> None:
    assert families()[0] == "sans-serif"
    assert set(families()[1:]) <= {font.name for font in fontManager.ttflist}


def test_letters_can_be_drawn_and_private_characters_and_halves_of_pairs_cannot() -> None:
    assert all(map(can_draw, "aÄßЖρ→"))
    assert not any(map(can_draw, (PRIVATE, "\udce9", "\ud800", "\x07")))
