"""What graphmix raises when its input is at fault.

Each message is one sentence or two: what is wrong and where, the value that was found, how to mend it.
The command line prints the message alone and ends with exit status 2.
"""


class GraphmixError(ValueError):
    """Something that the user gave cannot be used; the message says what and how to mend it."""


class GraphError(GraphmixError):
    """A graph that cannot be rendered, or a graph file that cannot be read."""


class SongError(GraphmixError):
    """A song whose files, audio or description cannot be used."""


class SearchError(GraphmixError):
    """A search that cannot start or go on with these settings."""
