"""What graphmix raises when its input is at fault.

Each message is one sentence or two: what is wrong and where, the value that was found, how to fix it. Whatever
the names in it, a message is valid Unicode. The command line prints the message alone and ends with exit status 2.
"""

from graphmix.text import name_as_text


class GraphmixError(ValueError):
    """Something that the user gave cannot be used; the message says what and how to fix it."""

    def __init__(self, *args: object) -> None:
        super().__init__(*(name_as_text(arg) if isinstance(arg, str) else arg for arg in args))


class GraphError(GraphmixError):
    """A graph that cannot be rendered, or a graph file that cannot be read."""


class SongError(GraphmixError):
    """A song whose files, audio or description cannot be used."""


class SearchError(GraphmixError):
    """A search that cannot start or go on with these settings."""
