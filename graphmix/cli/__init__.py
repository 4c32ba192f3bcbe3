"""The command line: parse, call one function, show. ``graphmix`` and ``python -m graphmix`` are the same program."""

from graphmix.cli import capture_command, collections, estimators, patches_command, program_command  # noqa: F401, they add their commands to the program
from graphmix.cli.app import main

__all__ = ["main"]
