"""REAPER projects as they are read: the text, and words of its lines.

The text is parsed by ``rpp``; it comes with ``pip install graphmix[sessions]``.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from graphmix.errors import FileError
from graphmix.io import read_text

MOST_TEXT = 128 << 20
"""Bytes of a project that are read; the states of plugins lie in it."""


class Node:
    """A block of a project.

    Args:
        tag: its first word.
        words: the others of its first line.
        content: lines (words) and blocks.
    """

    def __init__(self, tag: str, words: Sequence[str], content: "list[list[str] | Node]", file: str) -> None:
        self.tag, self.words, self.content, self.file = tag, list(words), content, file

    def blocks(self, *tags: str) -> "list[Node]":
        """Blocks with one of these first words."""
        return [part for part in self.content if isinstance(part, Node) and part.tag in tags]

    def block(self, tag: str) -> "Node | None":
        """The first such block."""
        return next(iter(self.blocks(tag)), None)

    def lines(self, key: str) -> list[list[str]]:
        """What follows on each line with such a first word."""
        return [part[1:] for part in self.content if isinstance(part, list) and part[0] == key]

    def line(self, key: str) -> list[str]:
        """What follows on the first such line; nothing where there is none."""
        return next(iter(self.lines(key)), [])

    def number(self, key: str, index: int = 0, default: float = 0.0) -> float:
        """A number of a line.

        Raises:
            FileError: it is none.
        """
        words = self.line(key)
        return self.as_number(words[index], key) if len(words) > index else default

    def as_number(self, text: str, key: str) -> float:
        """A word as a number.

        Raises:
            FileError: it is none.
        """
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise FileError(f"{self.file}: {self.tag} has {key} {text!r}, and a number is expected.")
        return value

    def text(self) -> str:
        """All of its lines in one word, as base64 has them."""
        return "".join("".join(part) for part in self.content if isinstance(part, list))

    def walk(self) -> "Iterator[Node]":
        """This block and all in it."""
        yield self
        for part in self.content:
            if isinstance(part, Node):
                yield from part.walk()


def read_project(path: Path) -> Node:
    """The blocks of a project.

    Raises:
        FileError: it cannot be read, is no project, or a block of it is not closed; or ``rpp`` is not installed.
    """
    try:
        import rpp
    except ImportError:
        raise FileError("REAPER projects are read with rpp: pip install 'graphmix[sessions]'.") from None
    lines = [line.strip() for line in read_text(path, MOST_TEXT).splitlines()]
    if not lines or not lines[0].startswith("<REAPER_PROJECT"):
        raise FileError(f"{path} is no REAPER project: it does not begin with <REAPER_PROJECT.")
    try:
        root = rpp.loads("\n".join(line for line in lines if line) + "\n")
    except (ValueError, IndexError, TypeError, RecursionError) as error:
        raise FileError(
            f"{path} is damaged: {error}. A block is not closed, or the file was not saved whole; save it again."
        ) from None
    return _node(root, str(path))


def _node(element: Any, file: str) -> Node:
    content: list[list[str] | Node] = []
    for part in element.children:
        if isinstance(part, str):
            content.append([part])
        elif isinstance(part, list):
            content.append([str(x) for x in part])
        else:
            content.append(_node(part, file))
    return Node(str(element.tag), [str(x) for x in element.attrib], content, file)
