r"""Names of files as text: what can be printed, stored in JSON and drawn.

A file name on Linux is any bytes. Python carries those that are not UTF-8 in its strings as lone surrogates, which no
encoder, terminal, database or font takes. Paths keep them, since only they open the file; whatever is *named* after a
file (tracks, songs, buses) and every message goes through :func:`name_as_text`.
"""

import re


def natural_key(name: str) -> tuple[list[str | int], str]:
    """What names are sorted by in natural order: "2" before "10", whatever the case.

    >>> sorted(["10 Bass", "2 Snare", "1 Kick"], key=natural_key)
    ['1 Kick', '2 Snare', '10 Bass']
    """
    pieces = re.split("([0-9]+)", name.casefold())  # text and digits by turns: like compares with like
    return [int(piece) if index % 2 else piece for index, piece in enumerate(pieces)], name


def name_as_text(name: str) -> str:
    r"""The name with each byte that is not UTF-8 written as ``\x..``; valid Unicode stays as it is.

    >>> name_as_text("caf\udce9.wav")
    'caf\\xe9.wav'
    >>> name_as_text("café.wav")
    'café.wav'
    """
    if name.isascii():
        return name
    try:
        return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half a pair that stands for no byte, as JSON can hold it
        return name.encode("utf-8", "backslashreplace").decode("utf-8")
