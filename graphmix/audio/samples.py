"""Samples and rates that a user hands over: tensors or NumPy arrays of any floating-point type, whole numbers of Hz."""

import operator
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from graphmix.errors import SongError


def whole_rate(sample_rate: int) -> int:
    """A rate in Hz as an int; NumPy's integers are accepted.

    Raises:
        SongError: it is no whole number.
    """
    if not isinstance(sample_rate, bool):
        with suppress(TypeError):
            return operator.index(sample_rate)
    raise SongError(f"sample_rate is {sample_rate!r}: give a whole number of Hz, such as 30000 or 44100.")


def float_tensor(audio: Tensor | NDArray[np.floating] | Any, what: str) -> Tensor:
    """Audio as a tensor of 32 bits or more, on the device where it is: half precision is converted.

    Raises:
        SongError: it is no tensor or array, or of integers, whose full scale is not known.
    """
    if isinstance(audio, np.ndarray) and audio.dtype.kind in "fiub":
        audio = torch.from_numpy(np.array(audio, dtype=np.float32) if audio.dtype.kind == "f" else np.array(audio))
    if not isinstance(audio, Tensor):
        raise SongError(f"{what} is of type {type(audio).__name__}, expected a tensor or a NumPy array of floats.")
    if not audio.is_floating_point():
        kind = str(audio.dtype).removeprefix("torch.")
        raise SongError(f"{what} is of {kind} values: convert it to floats in [-1, 1] (divide int16 by 32768).")
    return audio if audio.dtype in (torch.float32, torch.float64) else audio.float()
