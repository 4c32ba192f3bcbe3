"""The exceptions of graphmix: all are a :class:`GraphmixError`.

Each message is one sentence or two: what is wrong and where, the value that was found, how to fix it. Whatever
the names in it, a message is valid Unicode. The command line prints the message alone and ends with exit status 2.
"""

from graphmix.text import name_as_text


class GraphmixError(ValueError):
    """Something that the user gave cannot be used; the message says what and how to fix it."""

    def __init__(self, *args: object) -> None:
        super().__init__(*(name_as_text(arg) if isinstance(arg, str) else arg for arg in args))


class FileError(GraphmixError):
    """A file that cannot be read or written, or that would replace one of the user's."""


class GraphError(GraphmixError):
    """A graph that cannot be rendered, or a graph file that cannot be read."""


class SongError(GraphmixError):
    """A song whose files, audio or description cannot be used."""


class SearchError(GraphmixError):
    """A search that cannot start or continue with these settings."""


class RunError(SearchError):
    """An output folder that belongs to another run, holds something else, or cannot be written."""


class FolderBusyError(RunError):
    """An output folder in which another process is at work."""
