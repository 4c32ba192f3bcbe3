"""A word on the first use of compiled loops, during which nothing else is seen to happen."""

from collections.abc import Iterator
from contextlib import contextmanager

from graphmix.cli.terminal import new_console, say

NOTICE = "note: loops are compiled for this machine, which takes up to a minute; later runs find them ready."


@contextmanager
def announcing_compilation() -> Iterator[None]:
    """Print :data:`NOTICE` once if a loop has to be compiled, because the cache on disk does not have it.

    A context, and a decorator of what a command runs.
    """
    from numba.core import event

    class Announcer(event.Listener):
        said = False

        def on_start(self, event: object) -> None:
            if not self.said:
                self.said = True
                say(new_console(), NOTICE)

        def on_end(self, event: object) -> None:
            pass

    with event.install_listener("numba:compile", Announcer()):
        yield
