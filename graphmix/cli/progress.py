"""Progress on the terminal while a search runs: the phase, a bar, the current loss, the remaining time."""

from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class ProgressListener:
    """A :class:`graphmix.progress.Listener` that draws with rich.

    Where the output is no terminal, each phase is one line instead of a moving bar.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._progress = Progress(
            SpinnerColumn("dots" if console.encoding.startswith("utf") else "line"),
            TextColumn("{task.description:<24}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[numbers]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> "ProgressListener":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()
        self._progress.stop()

    def _close(self) -> None:
        if self._task is not None:
            task = self._progress.tasks[self._progress.task_ids.index(self._task)]
            self._progress.update(self._task, total=task.completed or 1, completed=task.completed or 1)
            self._progress.stop_task(self._task)
            self._task = None

    def phase(self, name: str, total: int | None, done: int = 0) -> None:
        """A new bar below the last one."""
        self._close()
        if not self.console.is_terminal:
            self.console.print(f"{name} …", highlight=False)
        self._task = self._progress.add_task(name, total=total, completed=done, numbers="")

    def progress(self, done: int, total: int | None = None, **numbers: float) -> None:
        """Move the bar and show the numbers."""
        if self._task is None:
            return
        text = "  ".join(
            f"{name} {value:.4f}" if isinstance(value, float) else f"{name} {value}" for name, value in numbers.items()
        )
        self._progress.update(self._task, completed=done, total=total, numbers=text)
