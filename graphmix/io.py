"""Files that are complete or absent."""

import os
import uuid
from pathlib import Path

from graphmix.errors import GraphError


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file beside ``path``, flush it to the disk, and put it in place of ``path`` in one step.

    Raises:
        GraphError: the folder is missing or not writable, or the disk is full; ``path`` is then as it was.
    """
    beside = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        try:
            with open(beside, "xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
        finally:
            if beside.exists():
                beside.unlink()
    except OSError as error:
        raise GraphError(f"cannot write {path}: {error.strerror or error}.") from None
