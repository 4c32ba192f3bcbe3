"""One process in an output folder at a time.

A process that works on a folder holds a lock on its file ``.lock`` (:func:`fcntl.flock` by the library filelock). The
system releases the lock when the process ends, however it ends. The file alone means nothing: one that a killed process
left behind can be locked again. The holder removes it before it releases the lock, so that finished folders show no
trace of it.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from graphmix.errors import FolderBusyError, RunError

LOCK = ".lock"
_PATIENCE_SECONDS = 1.0
"""How long to try to lock a folder: a process that only asks whether it is locked holds it for less."""


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Make an output folder if it is not there, and lock it against other processes.

    Raises:
        FolderBusyError: another process holds it.
        RunError: it cannot be made or written.
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
        _release(lock, folder)


def is_locked(folder: Path) -> bool:
    """Whether a process holds this output folder right now."""
    if not (folder / LOCK).exists():
        return False
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:  # a folder that cannot be locked: the attempt to work in it raises the error
        return False
    _release(lock, folder)
    return False


def not_writable(folder: Path, error: OSError) -> RunError:
    """The error for an output folder that cannot be written."""
    reason = error.strerror or error
    return RunError(f"cannot write to output folder {folder}: {reason}. Choose another --out.")


def _release(lock: BaseFileLock, folder: Path) -> None:
    """Unlink while holding: a process that has opened the file finds it without a name, and tries again."""
    with suppress(OSError):
        (folder / LOCK).unlink()
    lock.release()
