"""Files that are complete or absent, and text files that users wrote."""

import codecs
import os
import uuid
from pathlib import Path

from graphmix.errors import GraphError, GraphmixError
from graphmix.text import name_as_text as name_as_text

MAX_TEXT_BYTES = 16 << 20
"""Largest text file that is read; a description of 1,000 songs with 30 tracks each is below 2 MB."""
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file beside ``path``, flush it to the disk, and put it in place of ``path`` in one step.

    Raises:
        GraphError: the folder is missing or not writable, or the disk is full; ``path`` is then as it was.
    """
    beside = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        try:
            with open(beside, "xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
        finally:
            if beside.exists():
                beside.unlink()
    except OSError as error:
        raise GraphError(f"cannot write {path}: {error.strerror or error}.") from None


def read_text(path: Path, most: int = MAX_TEXT_BYTES, error: type[GraphmixError] = GraphmixError) -> str:
    """Text of a file that a user wrote: UTF-8, or the encoding that a byte order mark at its start names.

    Args:
        path: the file.
        most: the largest number of bytes that is read.
        error: what is raised.

    Raises:
        GraphmixError: it cannot be read, is larger than `most`, or its encoding is unknown.
    """
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as reason:
        raise error(f"{path} cannot be read ({reason.strerror}): check that it is a readable file.") from reason
    if len(content) > most:
        raise error(f"{path} is larger than {most} bytes: is it the right file?")
    mark, encoding = next(((mark, name) for mark, name in _MARKS if content.startswith(mark)), (b"", "utf-8"))
    try:
        text = content[len(mark) :].decode(encoding)
    except UnicodeDecodeError as reason:
        what = encoding.upper().removesuffix("-LE").removesuffix("-BE")
        likely = f", as its first bytes say, but is no valid {what}" if mark else _likely_encoding(content)
        raise error(f"{path} is not {what} text{likely} (byte {reason.start}): save it as UTF-8.") from reason
    if "\0" in text:
        raise error(f"{path} is not text{_likely_encoding(content)}: save it as UTF-8.")
    return text


def _likely_encoding(content: bytes) -> str:
    """A guess for the message: what has a zero in every other byte is UTF-16, other text is of one byte a letter."""
    zeros = content.count(0)
    if zeros > len(content) // 4:
        return "; it looks like UTF-16 without a byte order mark"
    return "; it may be Latin-1 or Windows-1252" if not zeros else "; it may be no text at all"
