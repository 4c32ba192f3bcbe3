"""Text on the terminal: consoles, lines that hold names of files, and encodings that lack some characters."""

import codecs
import sys
from collections.abc import Iterable

from rich.console import Console

from graphmix.text import name_as_text

PIPED_COLUMNS = 200
"""Width of a table where the output is no terminal: one row a line, for grep."""
_IN_ASCII = {
    "…": "...",
    "–": "-",
    "—": "-",
    "→": "->",
    "×": "x",
    "·": "*",
    "±": "+-",
    "≤": "<=",
    "≥": ">=",
    "ρ": "rho",
    "τ": "tau",
    "σ": "sigma",
    "Δ": "d",
    "“": '"',
    "”": '"',
    "‘": "'",
    "’": "'",
}  # fmt: skip
"""What stands for the characters of graphmix's own messages where an encoding lacks them."""
_ERRORS = "graphmix"
"""Name of the handler of characters that cannot be encoded."""


def write_any_text() -> None:
    """Let standard output and standard error take any text, whatever their encoding.

    A character that the encoding lacks is written in ASCII where there is a customary way, else as a backslash escape.
    """
    codecs.register_error(_ERRORS, _in_ascii)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)  # a stream in place of the standard one may have none
        if reconfigure is not None:
            reconfigure(errors=_ERRORS)


def _in_ascii(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(map(_substitute, text)), error.end


def _substitute(character: str) -> str:
    if character in _IN_ASCII:
        return _IN_ASCII[character]
    if "\u2800" <= character <= "\u28ff":  # braille, of which spinners are made
        return "*"
    return name_as_text(character).encode("ascii", "backslashreplace").decode()


def new_console(wide: bool = False) -> Console:
    """A console on standard output.

    Args:
        wide: for tables: where the output is no terminal, lines are long enough for whole rows.
    """
    console = Console(highlight=False)
    if wide and not console.is_terminal:
        console.width = max(console.width, PIPED_COLUMNS)
    return console


def say(console: Console, text: str) -> None:
    """Print a line as it is: brackets are no markup, nothing is wrapped, names may be no Unicode."""
    console.print(name_as_text(text), markup=False, soft_wrap=True)


def say_notices(console: Console, notices: Iterable[str]) -> None:
    """Print notices, a line each."""
    for notice in notices:
        say(console, f"note: {notice}")
