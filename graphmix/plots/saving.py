"""Saving a figure: whole or not at all.

The picture is made in memory, written beside its place and moved there in one step, so that a reader never sees
half a file. The same figure gives the same bytes on every day: no dates are stored. Warnings of matplotlib, on layouts
without room or characters without a glyph, are not shown: nothing that a user of graphmix could do would end them.
"""

import io
import os
import warnings
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from graphmix.errors import GraphmixError
from graphmix.io import write_atomically

_METADATA: dict[str, dict[str, Any]] = {
    ".png": {},
    ".svg": {"Date": None},
    ".pdf": {"CreationDate": None},
}
"""Known extensions, and what to leave out of the files."""


def to_svg(figure: Figure) -> str:
    """A figure as the text of an SVG picture, e.g. for a notebook."""
    return _drawn(figure, ".svg").decode()


def save(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write a figure as PNG, SVG or PDF, by the extension of ``path``, and return the path.

    Raises:
        GraphmixError: another extension; the folder is missing or not writable, or the disk is full. A file
            that was there before is then as it was.
    """
    path = Path(path)
    extension = path.suffix.lower()
    if extension not in _METADATA:
        raise GraphmixError(
            f"cannot save the plot as {path}: its extension is {path.suffix!r}; use .png, .svg or .pdf."
        )
    try:
        write_atomically(path, _drawn(figure, extension))
    except GraphmixError as error:
        raise GraphmixError(str(error).replace("cannot write", "cannot write the plot", 1)) from None
    return path


def _drawn(figure: Figure, extension: str) -> bytes:
    picture = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "graphmix"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning)
        figure.savefig(picture, format=extension[1:], dpi=figure.dpi, metadata=_METADATA[extension])
    return picture.getvalue()
