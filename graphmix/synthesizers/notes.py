"""Notes: which keys are pressed when, and finding them in a recording of one note after the other."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from graphmix.errors import GraphmixError
from graphmix.processors.melody import MOST_NOTES

LONGEST_MS = 60_000.0
_FRAME_SECONDS = 0.01
_RISE_DB, _RISE_FRAMES = 9.0, 6
"""A note begins where the level rises so much within so many frames."""
_LEAST_DB = -35.0
"""Level of a note re the loudest, at its beginning."""
_LEAST_FRAMES = 8
"""Between two beginnings."""
_HELD_DB = -24.0
"""A key seems to be down until the level is so far below the highest of its note."""


@dataclass(frozen=True)
class Note:
    """A key that is pressed.

    Args:
        pitch: MIDI note number, 0 to 127.
        length_ms: as long as the key is down.
        start_ms: when it goes down.
        velocity: over 0, to 1.
    """

    pitch: float = 60.0
    length_ms: float = 2000.0
    start_ms: float = 0.0
    velocity: float = 0.8


def check_notes(notes: Sequence[Note]) -> tuple[Note, ...]:
    """Notes in the order of their beginnings.

    Raises:
        GraphmixError: none, too many, or one that cannot be played.
    """
    if not 1 <= len(notes) <= MOST_NOTES:
        raise GraphmixError(f"there are {len(notes)} notes; a melody has 1 to {MOST_NOTES}.")
    for note in notes:
        if not 0 <= note.pitch <= 127:
            raise GraphmixError(f"the note is {note.pitch:g}; it is a MIDI note number from 0 to 127.")
        if not 1 <= note.length_ms <= LONGEST_MS:
            raise GraphmixError(f"the key is down for {note.length_ms:g} ms; it is from 1 to {LONGEST_MS:g} ms.")
        if not (note.start_ms >= 0 and 0 < note.velocity <= 1):
            raise GraphmixError(f"a note begins at {note.start_ms:g} ms with velocity {note.velocity:g}; it begins at "
                                "0 or later, with a velocity over 0, to 1.")  # fmt: skip
    return tuple(sorted(notes, key=lambda note: note.start_ms))


def read_notes(text: str) -> tuple[Note, ...]:
    """Notes from ``"pitch:start:length"`` in MIDI note numbers and ms, separated by commas.

    Example:
        >>> read_notes("60:0:400, 64:500:400")[1]
        Note(pitch=64.0, length_ms=400.0, start_ms=500.0, velocity=0.8)

    Raises:
        GraphmixError: text that is none.
    """
    notes = []
    for part in text.split(","):
        try:
            pitch, start, length = (float(number) for number in part.split(":"))
        except ValueError:
            raise GraphmixError(f"{part.strip()!r} is no note; write pitch:start:length, e.g. 60:0:400,64:500:400 "
                                "(MIDI note number, ms, ms), or auto.") from None  # fmt: skip
        notes.append(Note(pitch, length, start))
    return check_notes(notes)


def levels_of(mono: Tensor, sample_rate: int) -> tuple[Tensor, int]:
    """Level in dB re its highest of frames of 10 ms [frames], and the samples of a frame."""
    size = max(1, round(_FRAME_SECONDS * sample_rate))
    frames = torch.nn.functional.pad(mono, (0, -len(mono) % size)).view(-1, size)
    level = 10 * (frames.square().mean(1) + 1e-20).log10()
    return level - level.max(), size


def find_beginnings(mono: Tensor, sample_rate: int) -> list[tuple[int, int]]:
    """(first sample, samples that the key is down) of each note of a sound in which they are played one by one."""
    level, size = levels_of(mono, sample_rate)
    before = torch.nn.functional.pad(level, (_RISE_FRAMES, 0), value=-200.0)
    lowest = before.unfold(0, _RISE_FRAMES, 1)[: len(level)].min(1).values
    begins = list[int]()
    for frame in ((level - lowest >= _RISE_DB) & (level > _LEAST_DB)).nonzero().flatten().tolist():
        if not begins or frame - begins[-1] >= _LEAST_FRAMES:
            begins.append(frame)
    found = []
    for begin, end in zip(begins, [*begins[1:], len(level)], strict=True):
        own = level[begin:end]
        held = int((own > own.max() + _HELD_DB).nonzero()[-1]) + 1
        found.append((begin * size, held * size))
    return found
