"""Files on disk: written whole or not at all, never over a file of the user's, read in the encoding they have.

Text that users write (descriptions of songs, configurations, graphs as JSON) is UTF-8. Editors add a byte order mark,
or save UTF-16 with one: both are read. The bytes alone do not show any other encoding, so that it is an error, which
names the likely one.
"""

import codecs
import gc
import json
import math
import os
import stat
import struct
import tomllib
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from graphmix.errors import FileError, GraphmixError
from graphmix.text import name_as_text as name_as_text

MAX_TEXT_BYTES = 16 << 20
"""Largest text file that is read; a description of 1,000 songs with 30 tracks each is below 2 MB."""
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


# --- writing


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file beside ``path``, flush it to the disk, and put it in place of ``path`` in one step.

    Raises:
        FileError: the folder is missing or not writable, or the disk is full; ``path`` is then as it was.
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
        raise FileError(f"cannot write {path}: {error.strerror or error}.") from None


def to_json(value: Any, indent: int | None = None) -> str:
    """JSON text of a value, in ASCII, on one line by default.

    Raises:
        ValueError: the value holds NaN or an infinity, for which JSON has no word.
    """
    return json.dumps(value, indent=indent, allow_nan=False)


def finite(value: Any) -> Any:
    """A JSON value in which NaN and infinities have become None.

    >>> finite({"loss": float("nan"), "steps": [1, 2.5]})
    {'loss': None, 'steps': [1, 2.5]}
    """
    if isinstance(value, dict):
        return {key: finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, indented, whole or not at all.

    Raises:
        FileError: as :func:`write_atomically`.
        ValueError: as :func:`to_json`; nothing is written.
    """
    write_atomically(path, (to_json(value, indent=1) + "\n").encode())


@contextmanager
def open_tensors(path: str | os.PathLike[str]) -> Iterator[Any]:
    """A ``.safetensors`` file as :func:`safetensors.safe_open` reads it, also where its path is not UTF-8.

    Raises:
        OSError, SafetensorError: it is missing, or damaged.
    """
    from safetensors import safe_open

    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:  # which the library refuses; the open file has another name
        with open(path, "rb") as raw, safe_open(f"/dev/fd/{raw.fileno()}", framework="pt") as file:
            yield file
    else:
        with safe_open(path, framework="pt") as file:
            yield file


def regular_file_size(path: Path, most: int, error: type[GraphmixError] = FileError) -> int:
    """Size in bytes of a file that may be read: a regular one, neither a pipe nor a device, and not too large.

    Args:
        path: the file.
        most: the largest number of bytes that is read.
        error: what is raised.

    Raises:
        GraphmixError: of type `error`; the message does not name the file.
        OSError: it is missing, or its folder cannot be read.
    """
    try:
        status = path.stat()
    except ValueError:  # a zero in its name
        raise FileNotFoundError from None
    if not stat.S_ISREG(status.st_mode):
        raise error("it is no regular file.")
    if status.st_size > most:
        raise error(f"the file has {status.st_size} bytes; one of this kind has up to {most}.")
    return status.st_size


def check_tensor_file(path: Path, most: int, most_header: int, error: type[GraphmixError] = FileError) -> None:
    """Hold the sizes that a ``.safetensors`` file claims against limits, before anything of that size is made.

    Args:
        path: the file.
        most: the largest number of bytes of the file.
        most_header: of its header.
        error: what is raised.

    Raises:
        GraphmixError, OSError: as :func:`regular_file_size`.
    """
    size = regular_file_size(path, most, error)
    with open(path, "rb") as file:
        start = file.read(8)
    if len(start) < 8:
        raise error(f"the file is damaged or cut off: it has {size} bytes.")
    (header_size,) = struct.unpack("<Q", start)
    if header_size > size - 8:
        raise error(f"the file is damaged or cut off: its header should have {header_size} bytes, of {size}.")
    if header_size > most_header:
        raise error(f"its header has {header_size} bytes; that of such a file has up to {most_header}.")


def part_files(folder: Path) -> list[Path]:
    """Files in a folder that :func:`write_atomically` was writing when its process was killed."""
    return list(folder.glob(".*.part"))


def check_output(path: Path, *, inputs: Iterable[Path] = (), force: bool = False) -> None:
    """Refuse an output file that would replace what is there already, before any work is done.

    Args:
        path: the file to be written.
        inputs: files that the command reads; links and names that differ in case only are recognised.
        force: replace the file.

    Raises:
        FileError: ``path`` exists and `force` is not given, its folder does not exist, or it is no regular file.
    """
    try:
        if not path.absolute().parent.is_dir():
            raise FileError(f"{path}: there is no folder {path.absolute().parent}; make it first.")
        if path.exists() and not path.is_file():
            what = "a folder" if path.is_dir() else "no regular file"
            raise FileError(f"{path} is {what}; choose another name for the output.")
        if force or not (path.exists() or path.is_symlink()):
            return
        is_input = any(_is_same(path, other) for other in inputs)
    except OSError as error:
        raise FileError(f"cannot write {path}: {error.strerror or error}.") from None
    role = "is a file that this command reads" if is_input else "exists already"
    raise FileError(f"{path} {role}; choose another name for the output, or add --force to replace it.")


def _is_same(path: Path, other: Path) -> bool:
    return path.exists() and other.exists() and path.samefile(other)


# --- reading


def read_text(path: Path, most: int = MAX_TEXT_BYTES, error: type[GraphmixError] = FileError) -> str:
    """Text of a file that a user wrote: UTF-8, or the encoding that a byte order mark at its start names.

    Args:
        path: the file.
        most: the largest number of bytes that is read.
        error: what is raised.

    Raises:
        GraphmixError: it cannot be read, is larger than `most`, or its encoding is unknown.
    """
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as reason:
        raise error(f"{path} cannot be read ({reason.strerror}): check that it is a readable file.") from reason
    if len(content) > most:
        raise error(f"{path} is larger than {most} bytes: is it the right file?")
    return decode_text(content, str(path), error)


def decode_text(content: bytes, name: str, error: type[GraphmixError] = FileError) -> str:
    """Text of a file's content: UTF-8, or the encoding that a byte order mark at its start names.

    Args:
        content: all of the file.
        name: what the message calls it.
        error: what is raised.

    Raises:
        GraphmixError: its encoding is unknown.
    """
    mark, encoding = next((entry for entry in _MARKS if content.startswith(entry[0])), (b"", "utf-8"))
    try:
        text = content[len(mark) :].decode(encoding)
    except UnicodeDecodeError as reason:
        what = encoding.upper().removesuffix("-LE").removesuffix("-BE")
        likely = f", as its first bytes say, but is no valid {what}" if mark else _likely_encoding(content)
        raise error(f"{name} is not {what} text{likely} (byte {reason.start}): save it as UTF-8.") from reason
    if "\0" in text:
        raise error(f"{name} is not text{_likely_encoding(content)}: save it as UTF-8.")
    return text


def _likely_encoding(content: bytes) -> str:
    """A guess for the message: what has a zero in every other byte is UTF-16, other text is of one byte a letter."""
    zeros = content.count(0)
    if zeros > len(content) // 4:
        return "; it looks like UTF-16 without a byte order mark"
    return "; it may be Latin-1 or Windows-1252" if not zeros else "; it may be no text at all"


def read_json(
    path: Path,
    most: int = MAX_TEXT_BYTES,
    error: type[GraphmixError] = FileError,
    fix: str = "correct it, or remove it",
) -> Any:
    """Read a JSON file as :func:`read_text` reads text.

    Args:
        path: the file.
        most: the largest number of bytes that is read.
        error: what is raised.
        fix: what to do if it is not JSON.

    Raises:
        GraphmixError: of type `error`: as :func:`read_text`, or the text is not JSON, or an object has a key twice.
    """
    text = read_text(path, most, error)
    try:
        content = parse_json(text, object_pairs_hook=_unique)
        if "\\ud" in text.lower():  # half a surrogate pair can be written in JSON, not in a file
            json.dumps(content, ensure_ascii=False).encode()
        return content
    except (ValueError, RecursionError) as problem:
        raise error(f"{path} is not JSON ({str(problem)[:200]}): {fix}.") from None


def parse_json(text: str, **options: Any) -> Any:
    """As :func:`json.loads`, also where there are millions of small lists, which the garbage collector would go through
    again and again.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        return json.loads(text, **options)
    finally:
        if collects:
            gc.enable()


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"it has the key {twice!r} twice in one place")
    return values


def read_toml(path: Path, most: int = MAX_TEXT_BYTES, error: type[GraphmixError] = FileError) -> dict[str, Any]:
    """Read a TOML file as :func:`read_text` reads text.

    Raises:
        GraphmixError: of type `error`: as :func:`read_text`, or the text is not TOML.
    """
    text = read_text(path, most, error)
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as problem:
        raise error(f"{path} is no TOML ({problem}); correct that line.") from None


def existing_folder(path: str | os.PathLike[str]) -> Path:
    """The folder of a path that is there already, however far above: where its disk has room, there is room for it."""
    folder = Path(path).absolute()
    while not folder.is_dir():
        folder = folder.parent
    return folder
