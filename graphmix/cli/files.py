"""Files that commands read and write: graphs named by their folder, outputs that would replace something."""

from collections.abc import Iterable
from pathlib import Path

from graphmix.errors import FileError
from graphmix.io import check_output

GRAPH_FILES = ("graph.safetensors", "graph.json")


def find_graph(path: Path) -> Path:
    """The graph file that a path names: the file itself, or that in a folder of ``mine``, ``predict`` or ``songbook``.

    Raises:
        FileError: a folder without a graph file.
    """
    if not path.is_dir():
        return path
    found = next((path / name for name in GRAPH_FILES if (path / name).is_file()), None)
    if found is None:
        raise FileError(f"{path} is a folder without {' or '.join(GRAPH_FILES)}; give a graph file or a mined song.")
    return found


def check_file(path: Path, endings: Iterable[str], inputs: Iterable[Path] = (), force: bool = False) -> None:
    """Refuse an output file before the work: a wrong ending, no folder, or a file that would be replaced.

    Raises:
        FileError: as :func:`graphmix.io.check_output`, or an ending that stands for no format.
    """
    if path.suffix.lower() not in endings:
        raise FileError(f"{path}: the output file ends in one of {', '.join(endings)}, not in {path.suffix!r}.")
    check_output(path, inputs=inputs, force=force)
