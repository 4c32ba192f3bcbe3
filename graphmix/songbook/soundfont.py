"""Soundfonts: the presets of an SF2 file by role, which of them share samples, and notes played on one of them.

The list of presets and the samples behind each are read from the file itself (SoundFont technical specification 2.04,
section 7: the `pdta` chunk); playing is FluidSynth's. A fresh synthesizer plays each part, without its own reverb and
chorus, so that a part depends on its notes alone; samples are loaded as they are needed.

Conventions. Audio is float64 at :data:`SYNTH_RATE`; times are seconds; velocities 0 to 1.
"""

import hashlib
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from graphmix.errors import SongError
from graphmix.songbook.extras import load_extra
from graphmix.songbook.general_midi import DRUM_BANK, DRUM_CHANNEL, PROGRAM_ROLES
from graphmix.songbook.playing import Audio
from graphmix.songbook.synth import SYNTH_RATE, highpass

_GEN_INSTRUMENT, _GEN_SAMPLE = 41, 53
_GAIN = 0.35
"""Of the synthesizer: dense chords stay below full scale; levels are set afterwards."""
_LOW_CUT_HZ = 12.0
"""Waves of some presets have an offset, which no output of an instrument passes on."""


@dataclass(frozen=True)
class Preset:
    """One sound of a soundfont.

    Args:
        soundfont: name of its file.
        bank: 0 to 127; 128 are drum kits.
        program: 0 to 127.
        name: as the file has it.
        group: presets with the same one share samples.
    """

    soundfont: str
    bank: int
    program: int
    name: str
    group: str

    @property
    def roles(self) -> tuple[str, ...]:
        """What it can play; drum kits have their pieces instead."""
        return () if self.bank == DRUM_BANK else PROGRAM_ROLES.get(self.program, ())

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {"soundfont": self.soundfont, "bank": self.bank, "program": self.program, "name": self.name}


@dataclass(frozen=True)
class Soundfont:
    """A file of sampled instruments.

    Args:
        path: of the file.
        digest: of its bytes.
        presets: in the order of bank and program.
    """

    path: Path
    digest: str
    presets: tuple[Preset, ...]


@dataclass(frozen=True)
class PlayedNote:
    """A note in time: start and length in seconds, MIDI pitch, velocity 0 to 1."""

    start: float
    seconds: float
    pitch: int
    velocity: float


def read_soundfont(path: str | Path) -> Soundfont:
    """The presets of a soundfont.

    Raises:
        SongError: the file cannot be read or is no soundfont.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SongError(f"the soundfont {path} cannot be read ({error.strerror or error}).") from None
    if content[:4] != b"RIFF" or content[8:12] != b"sfbk":
        raise SongError(f"{path} is no soundfont: it does not begin as an SF2 file does.")
    try:
        samples = _samples_of_presets(_preset_tables(content))
    except (struct.error, IndexError, KeyError) as error:
        raise SongError(f"the soundfont {path} is damaged ({error!r}).") from None
    if not samples:
        raise SongError(f"the soundfont {path} has no presets that sound.")
    groups = _shared(samples)
    digest = hashlib.sha256(content).hexdigest()[:16]
    presets = (
        Preset(path.name, bank, program, name, f"{digest[:8]}:{groups[bank, program]}")
        for (bank, program), (name, _) in sorted(samples.items())
    )
    return Soundfont(path, digest, tuple(presets))


def play_preset(soundfont: Soundfont, preset: Preset, notes: Sequence[PlayedNote], seconds: float) -> Audio:
    """Notes on one preset, [2, samples] at :data:`SYNTH_RATE`; what rings after the end is cut.

    Raises:
        SongError: FluidSynth is missing or does not take the file.
    """
    fluidsynth, write_float = _fluidsynth()
    total = round(seconds * SYNTH_RATE)
    settings = {"synth.reverb.active": 0, "synth.chorus.active": 0, "synth.dynamic-sample-loading": 1}
    synth = fluidsynth.Synth(gain=_GAIN, samplerate=float(SYNTH_RATE), channels=16, **settings)
    try:
        number = synth.sfload(str(soundfont.path))
        if number < 0:
            raise SongError(f"FluidSynth does not take the soundfont {soundfont.path}.")
        channel = DRUM_CHANNEL if preset.bank == DRUM_BANK else 0
        if synth.program_select(channel, number, preset.bank, preset.program) != 0:
            raise SongError(f"{soundfont.path} has no preset {preset.program} in bank {preset.bank}.")
        audio = np.zeros((2, total), dtype=np.float32)
        at = 0
        for sample, is_on, note in _events(notes, total):
            _render(write_float, synth, audio, at, sample)
            at = sample
            if is_on:
                synth.noteon(channel, note.pitch, max(1, min(127, round(127 * note.velocity))))
            else:
                synth.noteoff(channel, note.pitch)
        _render(write_float, synth, audio, at, total)
    finally:
        synth.delete()
    return highpass(audio.astype(np.float64), _LOW_CUT_HZ)


def _events(notes: Sequence[PlayedNote], total: int) -> list[tuple[int, bool, PlayedNote]]:
    """(sample, whether it begins, note) in order; ends go first, so that a repeated note is struck again.

    A note that is struck while the same pitch sounds would be ended by the first one's end: that end is moved up.
    """
    next_start: dict[int, float] = {}
    events = []
    for note in sorted(notes, key=lambda n: (-n.start, n.pitch)):
        end = min(note.start + note.seconds, next_start.get(note.pitch, np.inf))
        next_start[note.pitch] = note.start
        start = max(0, round(note.start * SYNTH_RATE))
        if start < total:
            events += [(start, True, note), (min(total, max(start + 64, round(end * SYNTH_RATE))), False, note)]
    return sorted(events, key=lambda event: (event[0], event[1], event[2].pitch))


def _render(write_float: Any, synth: Any, audio: np.ndarray, start: int, end: int) -> None:
    """Let the synthesizer play from one sample to another."""
    if end > start:
        left, right = (np.zeros(end - start, dtype=np.float32) for _ in range(2))
        write_float(synth.synth, end - start, left.ctypes.data, 0, 1, right.ctypes.data, 0, 1)
        audio[0, start:end], audio[1, start:end] = left, right


@lru_cache(maxsize=1)
def _fluidsynth() -> tuple[Any, Any]:
    """The binding, and the function that renders floating point, which the binding itself leaves out."""
    from ctypes import c_int, c_void_p

    fluidsynth = load_extra("fluidsynth")
    names = ("synth", "len", "lout", "loff", "lincr", "rout", "roff", "rincr")
    kinds = (c_void_p, c_int, c_void_p, c_int, c_int, c_void_p, c_int, c_int)
    arguments = [(name, kind, 1) for name, kind in zip(names, kinds, strict=True)]
    return fluidsynth, fluidsynth.cfunc("fluid_synth_write_float", c_int, *arguments)


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 8 <= len(content):
        (size,) = struct.unpack_from("<I", content, at + 4)
        yield content[at : at + 4], content[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


def _preset_tables(content: bytes) -> dict[bytes, bytes]:
    """The chunks of `pdta`."""
    at = 12
    while at + 12 <= len(content):
        (size,) = struct.unpack_from("<I", content, at + 4)
        if content[at : at + 4] == b"LIST" and content[at + 8 : at + 12] == b"pdta":
            return dict(_chunks(content[at + 12 : at + 8 + size]))
        at += 8 + size + size % 2
    raise KeyError("pdta")


def _records(table: bytes, layout: str) -> list[tuple[Any, ...]]:
    return [struct.unpack_from(layout, table, at) for at in range(0, len(table), struct.calcsize(layout))]


def _samples_of_presets(tables: Mapping[bytes, bytes]) -> dict[tuple[int, int], tuple[str, frozenset[int]]]:
    """(bank, program) -> name and indices of its samples; presets without samples are left out."""
    headers, bags = _records(tables[b"phdr"], "<20sHHHIII"), _records(tables[b"pbag"], "<HH")
    generators = _records(tables[b"pgen"], "<HH")
    instruments, inner_bags = _records(tables[b"inst"], "<20sH"), _records(tables[b"ibag"], "<HH")
    inner_generators = _records(tables[b"igen"], "<HH")

    def amounts(first: int, last: int, of: list, values: list, wanted: int) -> set[int]:
        return {
            amount
            for bag in range(first, last)
            for kind, amount in values[of[bag][0] : of[bag + 1][0]]
            if kind == wanted
        }

    samples = [
        amounts(this[1], after[1], inner_bags, inner_generators, _GEN_SAMPLE) for this, after in pairwise(instruments)
    ]
    found = {}
    for this, after in pairwise(headers):
        name, program, bank = this[0].split(b"\0")[0].decode("latin-1").strip(), this[1], this[2]
        used = amounts(this[3], after[3], bags, generators, _GEN_INSTRUMENT)
        if its := frozenset().union(*(samples[k] for k in used)):
            found[bank, program] = name, its
    return found


def _shared(samples: Mapping[tuple[int, int], tuple[str, frozenset[int]]]) -> dict[tuple[int, int], str]:
    """A name for each set of presets that are linked by common samples, after its first preset."""
    parent = {key: key for key in samples}

    def root(key: tuple[int, int]) -> tuple[int, int]:
        while parent[key] != key:
            key = parent[key]
        return key

    owner: dict[int, tuple[int, int]] = {}
    for key in sorted(samples):
        for sample in samples[key][1]:
            first = root(owner.setdefault(sample, key))
            parent[max(first, root(key))] = min(first, root(key))
    return {key: "{}-{}".format(*root(key)) for key in samples}
