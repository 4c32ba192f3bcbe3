"""One process in an output folder at a time.

Who works on a folder holds a lock on its file ``.lock`` (:func:`fcntl.flock` by the library filelock), of which the
system lets go when the process ends, however it ends. The file itself means nothing: one that a kill left behind is
free to take. Its holder removes it before letting go, so that finished folders show no trace of it.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from graphmix.errors import SearchError

LOCK = ".lock"
_PATIENCE_SECONDS = 1.0
"""How long to try to get hold of a folder: who only asks whether it is held has it for less."""


class FolderBusyError(SearchError):
    """Another process is at work in this output folder."""


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Make an output folder if it is not there, and hold it against other processes.

    Raises:
        FolderBusyError: another process holds it.
        SearchError: it cannot be made or written.
    """
    lock = FileLock(folder / LOCK)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=_PATIENCE_SECONDS)
    except Timeout:
        raise FolderBusyError(f"another process is at work in {folder}; wait, or choose another --out.") from None
    except OSError as error:
        raise not_writable(folder, error) from None
    try:
        yield
    finally:
        _let_go(lock, folder)


def is_being_mined(folder: Path) -> bool:
    """Whether a process holds this output folder right now."""
    if not (folder / LOCK).exists():
        return False
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:  # what is wrong there, mining will tell
        return False
    _let_go(lock, folder)
    return False


def not_writable(folder: Path, error: OSError) -> SearchError:
    """The error for an output folder that cannot be written."""
    reason = error.strerror or error
    return SearchError(f"cannot write to output folder {folder}: {reason}. Choose another --out.")


def _let_go(lock: BaseFileLock, folder: Path) -> None:
    """Unlink while holding: whoever has opened the file already finds that it has no name any more and tries anew."""
    with suppress(OSError):
        (folder / LOCK).unlink()
    lock.release()
