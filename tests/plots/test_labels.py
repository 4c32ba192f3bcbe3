import warnings

import pytest

from graphmix.plots.fonts import can_draw
from graphmix.plots.labels import readable, shortened, sorted_types, text_width, type_label, without_math

PRIVATE = "\ue123"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Kick  In\n", "Kick In"),
        (f"a{PRIVATE}b", r"a\ue123b"),
        ("caf\udce9.wav", r"caf\xe9.wav"),
        ("\x07bell", r"\x07bell"),
        ("zero\u200dwidth", "zerowidth"),
    ],
)
def test_what_cannot_be_drawn_is_escaped(text: str, expected: str) -> None:
    shown = readable(text)
    assert shown.replace("\u200d", "") == expected
    assert all(map(can_draw, shown))


def test_names_that_differ_still_differ_when_no_font_has_them() -> None:
    names = ["\U000f1234\U000f1235", "\U000f1235\U000f1234"]
    assert len(set(map(readable, names))) == 2


def test_a_long_name_keeps_its_ends_and_no_escape_is_cut() -> None:
    assert shortened("01_Kick_In_Beta52_print.wav", 13) == "01_Kic…nt.wav"
    assert shortened(PRIVATE * 10, 20) == r"\ue123…\ue123"
    assert shortened("short", 13) == "short"


def test_measuring_what_was_escaped_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert text_width(readable(f"a{PRIVATE}"), 7) > text_width("a", 7) > 0


def test_dollars_are_no_mathematics() -> None:
    assert without_math("$x$") == r"\$x\$"


def test_types_have_their_names_and_their_order() -> None:
    assert type_label("g") == type_label("gain") == "gain"
    assert type_label("sidechain_compressor") == "sidechain compressor"
    assert sorted_types({"zither", "gain", "equalizer"}) == ["equalizer", "gain", "zither"]
