"""The command line: parse, call one function, show. ``graphmix`` and ``python -m graphmix`` are the same program."""

from graphmix.cli import (  # noqa: F401, they add commands
    capture_command,
    collections,
    convert_command,
    estimators,
    report_command,
    separate_command,
    separator_commands,
    synthesizer_commands,
)
from graphmix.cli.app import main

__all__ = ["main"]
