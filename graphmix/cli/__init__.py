"""The command line: parse, call one function, show. ``graphmix`` and ``python -m graphmix`` are the same program."""

from graphmix.cli import capture_command, collections, estimators, separator_commands, synthesizer_commands  # noqa: F401, they add commands
from graphmix.cli.app import main

__all__ = ["main"]
