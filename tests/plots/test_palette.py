import re
from itertools import combinations

import numpy as np
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


def lab(color: str) -> np.ndarray:
    """CIELAB under D65."""
    channels = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(to_xyz @ linear / (0.9505, 1.0, 1.089))  # no colour here is dark enough for the linear part
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_types_without_letters_can_be_told_apart_by_their_colour() -> None:
    places = {name: lab(color) for name, color in COLORS.items()}
    for first, second in combinations(places, 2):
        if len(first) > 1 or len(second) > 1:
            assert np.linalg.norm(places[first] - places[second]) > 15, (first, second)


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
