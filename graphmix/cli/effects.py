"""Captured effects on the command line: ``--effect a=amp.safetensors``."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from graphmix.errors import GraphmixError

if TYPE_CHECKING:
    from graphmix.models.effects import CapturedEffect


def load_effects(given: Sequence[str], sample_rate: int) -> "list[CapturedEffect]":
    """The effects that options name, each as ``letter=FILE``.

    Raises:
        GraphmixError: a text of another form, a letter twice, a file that cannot be read.
    """
    if not given:
        return []
    from graphmix.models.effects import captured_effect

    files: dict[str, str] = {}
    for text in given:
        letter, equals, path = text.partition("=")
        if not equals or len(letter) != 1 or not path:
            raise GraphmixError(f"--effect {text}: write a letter and a file, as in --effect a=amp.safetensors.")
        if letter in files:
            raise GraphmixError(f"--effect: letter {letter!r} stands for {files[letter]} and {path}; choose another.")
        files[letter] = path
    return [captured_effect(path, letter, sample_rate) for letter, path in files.items()]
