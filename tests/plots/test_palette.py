import re
from itertools import combinations

import pytest

from graphmix.errors import GraphmixError
from graphmix.plots.palette import COLORS, LETTERS, color_of, ink_on, luminance
from graphmix.processors import Rack
from graphmix.spec import STRUCTURAL


def contrast(first: str, second: str) -> float:
    bright, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def test_every_type_that_comes_with_graphmix_has_a_colour_under_its_name_and_letter() -> None:
    for kind in (*STRUCTURAL, *Rack.full().types):
        assert color_of(kind.name) == COLORS[kind.letter or kind.name]
        if kind.letter:
            assert LETTERS[kind.name] == kind.letter
            assert color_of(kind.letter) == COLORS[kind.letter]


def test_the_types_of_the_console_have_different_colours() -> None:
    assert len({color_of(letter) for letter in "imecnsgdr"}) == 9
    for first, second in combinations("ecnsgdr", 2):
        channels = [[int(color_of(x)[i : i + 2], 16) for i in (1, 3, 5)] for x in (first, second)]
        assert sum(abs(a - b) for a, b in zip(*channels, strict=True)) > 60


@pytest.mark.parametrize("letter", [*COLORS, "q", "Z", "exciter", "é"])
def test_letters_can_be_read_on_their_colour(letter: str) -> None:
    color = color_of(letter)
    assert re.fullmatch("#[0-9a-f]{6}", color)
    assert contrast(color, ink_on(color)) > 4.5


def test_luminance_is_that_of_wcag() -> None:
    assert luminance("#000000") == 0
    assert luminance("#ffffff") == pytest.approx(1)
    assert luminance("#808080") == pytest.approx(0.2159, abs=1e-4)


def test_an_unknown_type_has_the_same_colour_in_every_run() -> None:
    assert color_of("exciter") == color_of("exciter") != color_of("widener")
    assert color_of("exciter") == "#9ecf81"


def test_a_type_without_letter_is_refused() -> None:
    with pytest.raises(GraphmixError, match="without letter"):
        color_of("")
