"""The command line: parse, call one function, show. ``graphmix`` and ``python -m graphmix`` are the same program."""

from graphmix.cli import collections  # noqa: F401, adds its commands to the program
from graphmix.cli.app import main

__all__ = ["main"]
