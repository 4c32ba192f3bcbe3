"""A listener that interrupts a long computation, as Ctrl-C or a crash would."""

from graphmix.progress import Silent


class Interrupted(Exception):
    """Raised by :class:`Interrupting`."""


class Interrupting(Silent):
    """Ends a computation at a step or at the beginning of a phase.

    Args:
        step: at which a loss is shown.
        phase: name of it.
    """

    def __init__(self, *, step: int | None = None, phase: str | None = None) -> None:
        self.at_step, self.at_phase = step, phase

    def phase(self, name: str, total: int | None, done: int = 0) -> None:
        if name == self.at_phase:
            raise Interrupted

    def progress(self, done: int, total: int | None = None, **numbers: float) -> None:
        if done == self.at_step and "loss" in numbers:
            raise Interrupted
