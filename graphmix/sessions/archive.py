"""ZIP archives and XML of strangers, read without harm: no path leads out, nothing unpacks to gigabytes unseen.

XML is parsed by defusedxml, which refuses entities; it comes with ``pip install graphmix[sessions]``.
"""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree as Xml

from graphmix.errors import FileError

MOST_XML = 64 << 20
MOST_STATE = 1 << 20
MOST_AUDIO = 2 << 30
"""Bytes of one file that are read, unpacked."""


@contextmanager
def open_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """A ZIP file.

    Raises:
        FileError: there is none, it is damaged, or the name of a file in it leads out of it.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile, NotImplementedError) as error:
        raise FileError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}.") from None
    with archive:
        for name in archive.namelist():
            if _climbs(name):
                raise _leads_out(archive, name)
        yield archive


def member(archive: zipfile.ZipFile, name: str, most: int) -> zipfile.ZipInfo:
    """A file of an archive.

    Raises:
        FileError: its name leads out of the archive, it is not there, or it unpacks to more than ``most`` bytes.
    """
    if _climbs(name) or "\\" in name or ":" in name:
        raise _leads_out(archive, name)
    try:
        info = archive.getinfo(name)
    except KeyError:
        raise FileError(f"{archive.filename}: there is no file {name!r} in it; was the project saved whole?") from None
    if info.file_size > most:
        raise FileError(f"{archive.filename}: {name!r} unpacks to {info.file_size} bytes; at most {most} are read.")
    return info


def _climbs(name: str) -> bool:
    path = PurePosixPath(name)
    return path.is_absolute() or ".." in path.parts


def _leads_out(archive: zipfile.ZipFile, name: str) -> FileError:
    return FileError(f"{archive.filename}: the file {name!r} leads out of the project; nothing was read.")


def read_member(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """The content of a file, at most ``most`` bytes whatever the archive claims.

    Raises:
        FileError: as :func:`member`, or it is damaged.
    """
    info = member(archive, name, most)
    try:
        with archive.open(info) as file:
            content = file.read(most + 1)
    except (OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        # damaged, packed in a way that Python does not know, or (a RuntimeError) encrypted
        raise FileError(f"cannot read {archive.filename}: {getattr(error, 'strerror', None) or error}.") from None
    if len(content) > most:
        raise FileError(f"{archive.filename}: {name!r} unpacks to more than {most} bytes.")
    return content


def parse_xml(content: bytes, name: str) -> Xml.Element:
    """The root of an XML document.

    Raises:
        FileError: no XML, or with entities; or defusedxml is not installed.
    """
    try:
        from defusedxml import ElementTree as Safe
        from defusedxml.common import DefusedXmlException
    except ImportError:
        raise FileError("sessions are read with defusedxml: pip install 'graphmix[sessions]'.") from None
    refused: tuple[Any, ...] = (DefusedXmlException,)
    try:
        root: Xml.Element = Safe.fromstring(content, forbid_dtd=True)
    except refused:
        raise FileError(f"{name} has XML entities or a document type, which are not read.") from None
    except (Xml.ParseError, ValueError, LookupError, RecursionError) as error:
        raise FileError(f"{name} is no XML: {error}.") from None
    return root
