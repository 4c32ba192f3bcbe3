"""Containers of audio files: whether all the samples that a header promises are there.

libsndfile hides a file that was cut: it reports fewer samples, or fills up with silence. So the sizes in the headers
are compared with the file: RIFF (WAV), RIFX, RF64, Wave64, AIFF, AU, CAF and Ogg. (A cut FLAC file is noticed when it
is decoded; MPEG streams are counted.) Encoders that write into a pipe know no size and leave a placeholder; what is
there then counts.
"""

import os
from pathlib import Path
from typing import BinaryIO, Literal

from graphmix.errors import SongError

Order = Literal["little", "big"]

UNKNOWN_SIZES = (0xFFFFFFFF, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, (1 << 64) - 1)
"""Placeholders of ffmpeg, sox, arecord and others; all bits set, in 64 bits too, says "to the end of the file"."""
_WAVE64_DATA = b"data" + bytes.fromhex("f3acd3118cd100c04f8edb8a")
_WAVE64_RIFF = b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000")
_FOREVER = -1


def refuse_cut_file(path: Path) -> None:
    """Raise if a file ends before its samples do, or if its header promises none and there are some.

    Raises:
        SongError: with the number of bytes; or the file cannot be read.
    """
    try:
        _refuse_cut(path)
    except OSError as error:
        raise SongError(f"{path} cannot be read ({error.strerror}): check that it is a readable file.") from error


def _refuse_cut(path: Path) -> None:
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        magic = file.read(16)
        if magic[:4] == b"OggS":
            _refuse_open_ogg(path, file, size)
            return
        found = _promised(file, magic, size)
    if found is None:
        return
    start, promised = found
    there = max(0, size - start)
    if promised == 0 and there > 0:
        raise SongError(
            f"{path} says in its header that it holds 0 bytes of samples, and {there} bytes follow: the program that "
            "wrote it was stopped before it had noted the length. Open it in an audio editor, and export it again."
        )
    if promised != _FOREVER and promised > there:
        raise SongError(
            f"{path} is cut off: {promised - there} bytes of samples that its header promises are missing. "
            "Copy or export it again."
        )


def _promised(file: BinaryIO, magic: bytes, size: int) -> tuple[int, int] | None:
    """Where the samples start and how many bytes they should have; None where the header is of no such kind."""
    if magic[:4] in (b"RIFF", b"RIFX", b"FORM", b"RF64", b"BW64"):
        return _in_chunks(file, size, "little" if magic[:4] not in (b"RIFX", b"FORM") else "big")
    if magic == _WAVE64_RIFF:
        return _in_wave64(file, size)
    if magic[:4] == b"caff":
        return _in_caf(file, size)
    if magic[:4] in (b".snd", b"dns.") and len(magic) == 16:
        order: Order = "big" if magic[:4] == b".snd" else "little"
        return int.from_bytes(magic[4:8], order), _known(int.from_bytes(magic[8:12], order))
    return None


def _known(length: int) -> int:
    return _FOREVER if length in UNKNOWN_SIZES else length


def _in_chunks(file: BinaryIO, size: int, order: Order) -> tuple[int, int] | None:
    """Walk the chunks of 32 bits; RF64 has the size of its samples in a chunk of its own."""
    file.seek(12)
    in_ds64: int | None = None
    while len(header := file.read(8)) == 8:
        name, length = header[:4], int.from_bytes(header[4:], order)
        if name == b"ds64":
            in_ds64 = int.from_bytes(file.read(24)[8:16], "little")
            file.seek(-24, os.SEEK_CUR)
        if name in (b"data", b"SSND"):
            if length == 0xFFFFFFFF and in_ds64 is not None:
                length = in_ds64
            if length == 0 and _is_chunk(file, size):
                return size, 0
            return file.tell(), _known(length)
        file.seek(length + length % 2, os.SEEK_CUR)
    return None


def _is_chunk(file: BinaryIO, size: int) -> bool:
    """Whether what follows is another chunk, and so the one before it really empty."""
    at = file.tell()
    header = file.read(8)
    file.seek(at)
    length = min(int.from_bytes(header[4:], order) for order in ("little", "big")) if len(header) == 8 else size
    return header[:4].isascii() and header[:4].decode().isprintable() and at + 8 + length <= size


def _in_wave64(file: BinaryIO, size: int) -> tuple[int, int] | None:
    """Walk chunks with names of 16 bytes and sizes of 64 bits, which count the header and are padded to 8 bytes."""
    at = 40
    while at + 24 <= size:
        file.seek(at)
        header = file.read(24)
        length = int.from_bytes(header[16:], "little")
        if header[:16] == _WAVE64_DATA:
            return at + 24, _FOREVER if length in UNKNOWN_SIZES else max(0, length - 24)
        at += max(24, length + -length % 8)
    return None


def _in_caf(file: BinaryIO, size: int) -> tuple[int, int] | None:
    """Walk chunks with sizes of 64 bits; four bytes before the samples count edits."""
    at = 8
    while at + 12 <= size:
        file.seek(at)
        header = file.read(12)
        length = int.from_bytes(header[4:], "big")
        if header[:4] == b"data":
            return at + 16, _FOREVER if length in UNKNOWN_SIZES else max(0, length - 4)
        at += 12 + length
    return None


def _refuse_open_ogg(path: Path, file: BinaryIO, size: int) -> None:
    """Raise if the last page is not marked as the last one, or not complete."""
    file.seek(max(0, size - (1 << 17)))  # a page has at most 65,307 bytes
    tail = file.read()
    page = tail[tail.rfind(b"OggS") :]
    if len(page) < 27 or not page[5] & 4:
        raise SongError(f"{path} is cut off: its last Ogg page is missing. Copy or export it again.")
    segments = page[27 : 27 + page[26]]
    missing = 27 + page[26] + sum(segments) - len(page)
    if missing > 0:
        raise SongError(
            f"{path} is cut off: {missing} bytes of its last Ogg page are missing. Copy or export it again."
        )
