"""Listeners: objects that are shown the progress of a search, a training or a collection."""

from typing import Protocol


class Listener(Protocol):
    """An observer of one long computation, which consists of phases."""

    def phase(self, name: str, total: int | None, done: int = 0) -> None:
        """Show that a phase begins: its name, its units if their number is known, and how many are done already."""

    def progress(self, done: int, total: int | None = None, **numbers: float) -> None:
        """Show the units done in this phase, how many it may have in all, and numbers such as the loss."""


class Silent:
    """The listener that shows nothing; it also serves as the watcher of a collection."""

    def phase(self, name: str, total: int | None, done: int = 0) -> None:
        """Nothing."""

    def progress(self, done: int, total: int | None = None, **numbers: float) -> None:
        """Nothing."""

    def update(self, standing: object) -> None:
        """Nothing."""

    def ended(self, outcome: object, standing: object) -> None:
        """Nothing."""
