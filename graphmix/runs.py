"""The output folder of a run: new, unfinished, finished, or another run's.

Searches and trainings take long and are interrupted. So their folder says in ``run.json`` from the beginning which run
it belongs to, the presence of the result's file says that it is finished, and between the two it is continued. A
folder that holds anything else is refused, so that no file of the user's is replaced.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from graphmix.errors import RunError
from graphmix.io import decode_text, part_files, write_json
from graphmix.locks import LOCK, alone_in, not_writable

RUN = "run.json"
"""The file that says which run a folder belongs to."""


class RunStatus(Enum):
    """Where a run stands, by what its folder holds."""

    NEW = "new"
    UNFINISHED = "unfinished"
    FINISHED = "finished"


@dataclass(frozen=True)
class RunFolder:
    """The output folder of one run.

    Args:
        path: the folder, which need not exist.
        run: what ``run.json`` says; JSON values.
        result: name of the file that is written last.
        difference: given the ``run.json`` of a folder and ours, says in what the folder's run differs (as the end of
            "output folder … holds …") or None where both are the same run; a KeyError, TypeError or ValueError
            means that it is no run of this kind.
        may_hold: whether a file or folder may be there before the run begins.
        file: name of the file that says which run it is.
    """

    path: Path
    run: Mapping[str, Any]
    result: str
    difference: Callable[[Mapping[str, Any], Mapping[str, Any]], str | None]
    may_hold: Callable[[Path], bool] = lambda path: False
    file: str = RUN

    def status(self) -> RunStatus:
        """Where the run stands.

        Raises:
            RunError: the folder belongs to another run, holds something else, is damaged or cannot be read.
        """
        found = self._read()
        if found is None:
            return RunStatus.NEW
        self._compare(found)
        return RunStatus.FINISHED if (self.path / self.result).exists() else RunStatus.UNFINISHED

    def is_same(self, found: Mapping[str, Any]) -> bool:
        """Whether the description of a run, as a checkpoint keeps it, is that of this one."""
        try:
            return self.difference(found, self.run) is None
        except (KeyError, TypeError, ValueError, AttributeError):
            return False

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Make the folder, and lock it against other processes; see :func:`graphmix.locks.alone_in`."""
        with alone_in(self.path):
            yield

    def begin(self) -> None:
        """Write ``run.json``, which shows that the folder can be written, and clear what a killed process left.

        Raises:
            RunError, FileError: the folder cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for path in self._leftovers():
                path.unlink()
        except OSError as error:
            raise not_writable(self.path, error) from None
        write_json(self.path / self.file, self.run)

    def _read(self) -> Mapping[str, Any] | None:
        """``run.json`` of the folder; None for a new one."""
        path = self.path / self.file
        try:
            if not path.exists():
                self._refuse_foreign()
                return None
            found = json.loads(decode_text(path.read_bytes(), str(path), RunError))
        except FileNotFoundError:
            return None
        except (ValueError, RecursionError) as error:
            if isinstance(error, RunError):
                raise
            raise RunError(f"{path} is damaged. Remove {self.path} or choose another --out.") from None
        except OSError as error:
            raise RunError(f"cannot use output folder {self.path}: {error.strerror or error}.") from None
        if not isinstance(found, dict):
            raise RunError(f"{path} is damaged. Remove {self.path} or choose another --out.")
        return found

    def _refuse_foreign(self) -> None:
        known = {self.path / LOCK, *self._leftovers()}
        found = (path for path in sorted(self.path.iterdir()) if path not in known)
        foreign = next((path.name for path in found if not self.may_hold(path)), None)
        if foreign is not None:
            raise RunError(f"output folder {self.path} holds something else ({foreign!r}). Choose an empty one.")

    def _compare(self, found: Mapping[str, Any]) -> None:
        try:
            difference = self.difference(found, self.run)
        except (KeyError, TypeError, ValueError, AttributeError):
            path = self.path / self.file
            raise RunError(f"{path} describes a run of another kind, or is damaged. Choose another --out.") from None
        if difference is not None:
            raise RunError(f"output folder {self.path} holds {difference}")

    def _leftovers(self) -> list[Path]:
        """Files that were being written when a process was killed."""
        return [*part_files(self.path), *part_files(self.path / "plots")]


def first_difference(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> tuple[str, Any, Any] | None:
    """The first key whose values differ, with both; None where all are equal.

    >>> first_difference({"seed": 0, "steps": 10}, {"seed": 0, "steps": 20})
    ('steps', 10, 20)
    """
    for name in dict.fromkeys([*ours, *theirs]):
        if theirs.get(name) != ours.get(name):
            return name, theirs.get(name), ours.get(name)
    return None
