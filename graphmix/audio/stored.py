"""Decoded samples in a file: for songs that would take too much memory decoded, and too much time decoded again.

The file has no name, so that it is gone when the process ends, however it ends. It is read and not mapped: pages of a
mapping count as memory of the process.
"""

import os
import tempfile
import threading
from pathlib import Path

import torch
from torch import Tensor

from graphmix.errors import SongError

_SAMPLE_BYTES = 4


class StoredSamples:
    """Samples [rows, 2, samples] in float32, in an unnamed file.

    Args:
        folder: where there is room.
        rows: tracks, and the mix.
        num_samples: of each.

    Raises:
        SongError: the file cannot be made; there is no room.
    """

    def __init__(self, folder: Path, rows: int, num_samples: int) -> None:
        self.folder, self.shape = folder, (rows, 2, num_samples)
        self._lock = threading.Lock()
        self.num_bytes = size = rows * 2 * num_samples * _SAMPLE_BYTES
        try:
            self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 (closed when it is collected)
            if size and hasattr(os, "posix_fallocate"):
                os.posix_fallocate(self._file.fileno(), 0, size)
            else:
                self._file.truncate(size)
        except OSError as error:
            raise SongError(
                f"{folder} cannot take the decoded song, {size / 1e9:.2f} GB ({error.strerror or error}): make room, "
                "or give more --memory."
            ) from error

    def write(self, row: int, audio: Tensor, start: int = 0) -> None:
        """Keep samples [2, length] of a row from a place on.

        Raises:
            SongError: the disk is full.
        """
        assert start + audio.size(1) <= self.shape[2], "samples within the song"
        for channel in range(2):
            values = audio[channel].contiguous().numpy().data.cast("B")
            with self._lock:
                self._file.seek(self._place(row, channel, start))
                try:
                    while values:
                        values = values[self._file.write(values) :]
                except OSError as error:
                    raise SongError(f"{self.folder} cannot take the decoded song ({error.strerror}).") from error

    def read_into(self, out: Tensor, start: int, first_row: int = 0) -> None:
        """Read samples from a place on into a tensor [rows, 2, length], of some rows."""
        assert start + out.size(2) <= self.shape[2], "samples within the song"
        if not out.size(2):
            return
        for row, channel in ((row, channel) for row in range(out.size(0)) for channel in range(2)):
            values = out[row, channel].numpy().data.cast("B")
            with self._lock:
                self._file.seek(self._place(first_row + row, channel, start))
                while values:
                    count = self._file.readinto(values)
                    assert count, "the file is as long as the song"
                    values = values[count:]

    def row(self, row: int) -> Tensor:
        """All samples of a row, [2, samples]."""
        out = torch.empty(1, *self.shape[1:])
        self.read_into(out, 0, row)
        return out[0]

    def _place(self, row: int, channel: int, start: int) -> int:
        return ((2 * row + channel) * self.shape[2] + start) * _SAMPLE_BYTES


Samples = Tensor | StoredSamples


def room_like(samples: Samples | None, rows: int, num_samples: int) -> Samples:
    """Room for samples [rows, 2, samples] where others are: in a file of the same folder, or in memory."""
    if isinstance(samples, StoredSamples):
        return StoredSamples(samples.folder, rows, num_samples)
    return torch.empty(rows, 2, num_samples)


def put_row(samples: Samples, row: int, audio: Tensor) -> None:
    """Keep a row of samples, [2, samples]."""
    if isinstance(samples, Tensor):
        samples[row] = audio
    else:
        samples.write(row, audio)


def take_row(samples: Samples, row: int) -> Tensor:
    """The inverse of :func:`put_row`."""
    return samples[row] if isinstance(samples, Tensor) else samples.row(row)
