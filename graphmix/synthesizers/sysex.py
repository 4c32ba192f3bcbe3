r"""The classic bank of FM voices: 32 voices of the Yamaha DX7 in a system exclusive message of 4,104 bytes.

``F0 43 0n 09 20 00``, 32 voices of 128 packed bytes, a checksum, ``F7``. A :class:`Voice` holds every number of a voice
as the instrument has it, so that a bank is written as it was read. :func:`values_of` and :func:`voice_of` map voices to
patches of the FM synthesizer and back.

The maker's curves (from the instrument's measured behaviour, as open emulations publish it):

* levels: 0.75 dB a step above 20, a table below; 99 is full level, at which a modulator has an index of 4 pi;
* rates: the level falls by :math:`(4 + q \bmod 4) \, 2^{\lfloor q / 4 \rfloor} \cdot 0.0105` octaves of amplitude a
  second with :math:`q = \lfloor 41 r / 64 \rfloor`, and rises towards 17 octaves at a rate in proportion to what is
  left;
* feedback: :math:`2 \pi \, 2^{f - 7}` times the operator's output, so that a quiet one has less of it (here at its
  level, without its envelope); detune: 1.5 cents a step; fixed frequencies: :math:`10^{c + f / 100}` Hz.

A segment that is straight in dB there is exponential here, with the same ends and time. Pitch envelope and LFO are in
:mod:`graphmix.synthesizers.sysex_modulation`. Not carried over, in either direction: keyboard and rate scaling,
velocity and amplitude sensitivities, what the LFO does to levels. :func:`voice_of` leaves them as a given voice has
them, and levels above 0 dB become full level.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from graphmix.errors import GraphmixError
from graphmix.io import write_atomically
from graphmix.synthesizers.instruments import ALGORITHMS, FM, OPERATORS
from graphmix.synthesizers.modules import Value
from graphmix.synthesizers.sysex_modulation import modulation_numbers, modulation_values

VOICES, VOICE_BYTES, NAME_BYTES = 32, 128, 10
HEADER = bytes((0xF0, 0x43, 0x00, 0x09, 0x20, 0x00))
BANK_BYTES = VOICES * VOICE_BYTES
LARGEST_FILE = 1 << 20
_START, _END = 0xF0, 0xF7
_LOW_LEVELS = (0, 5, 9, 13, 17, 20, 23, 25, 27, 29, 31, 33, 35, 37, 39, 41, 42, 43, 45, 46)
_STEP_DB = 0.75
_OCTAVES_PER_SECOND = 2**8 * 44100 / 64 / 2**24
_RISES_TO = 17.0
_RISES_FROM = 6.7
_CENTS = 1.5
_LFO_WAVES = ("triangle", "saw", "saw", "square", "sine", "sine")
"""Triangle, saw down, saw up, square, sine, sample and hold: what comes nearest."""
_LFO_INDEX = {"triangle": 0, "saw": 2, "square": 3, "sine": 4}


class Field(NamedTuple):
    """Where a number lies in a packed voice."""

    name: str
    byte: int
    shift: int
    bits: int
    largest: int


def _operator_fields(number: int) -> list[Field]:
    begin = 17 * (6 - number)
    names = ("rate_1", "rate_2", "rate_3", "rate_4", "level_1", "level_2", "level_3", "level_4", "breakpoint")
    table = [(name, i, 0, 7, 99) for i, name in enumerate((*names, "left_depth", "right_depth"))]
    table += [("left_curve", 11, 0, 2, 3), ("right_curve", 11, 2, 2, 3), ("rate_scaling", 12, 0, 3, 7)]
    table += [("detune", 12, 3, 4, 14), ("amplitude_sensitivity", 13, 0, 2, 3), ("velocity_sensitivity", 13, 2, 3, 7)]
    table += [("output_level", 14, 0, 7, 99), ("fixed", 15, 0, 1, 1), ("coarse", 15, 1, 5, 31), ("fine", 16, 0, 7, 99)]
    return [Field(f"op{number}.{name}", begin + byte, *rest) for name, byte, *rest in table]


_PITCH = tuple(f"pitch_{kind}_{i}" for kind in ("rate", "level") for i in (1, 2, 3, 4))
FIELDS = (
    *(f for number in range(6, 0, -1) for f in _operator_fields(number)),
    *(Field(name, 102 + i, 0, 7, 99) for i, name in enumerate(_PITCH)),
    Field("algorithm", 110, 0, 5, 31),
    Field("feedback", 111, 0, 3, 7),
    Field("key_sync", 111, 3, 1, 1),
    *(
        Field(name, 112 + i, 0, 7, 99)
        for i, name in enumerate(("lfo_speed", "lfo_delay", "lfo_pitch", "lfo_amplitude"))
    ),
    Field("lfo_sync", 116, 0, 1, 1),
    Field("lfo_wave", 116, 1, 3, 5),
    Field("pitch_sensitivity", 116, 4, 3, 7),
    Field("transpose", 117, 0, 7, 48),
)
"""All numbers of a voice."""


@dataclass(frozen=True)
class Voice:
    """A voice as the instrument has it.

    Args:
        name: up to ten characters.
        numbers: by the names of :data:`FIELDS`, each from 0 to its largest.
    """

    name: str
    numbers: Mapping[str, int]


@dataclass(frozen=True)
class Bank:
    """What a file held.

    Args:
        voices: 32 of them.
        notices: what was wrong with it and did not matter.
    """

    voices: tuple[Voice, ...]
    notices: tuple[str, ...] = field(default=())


def initial_voice(name: str = "INIT VOICE") -> Voice:
    """The instrument's own: one operator, a sine."""
    numbers = {f.name: 0 for f in FIELDS}
    for number in OPERATORS:
        numbers |= {f"op{number}.rate_{i}": 99 for i in (1, 2, 3, 4)} | {f"op{number}.level_{i}": 99 for i in (1, 2, 3)}
        numbers |= {f"op{number}.detune": 7, f"op{number}.coarse": 1, f"op{number}.breakpoint": 39}
    numbers |= {"op1.output_level": 99, "lfo_speed": 35, "lfo_sync": 1, "pitch_sensitivity": 3, "transpose": 24}
    return Voice(name, numbers | {name: 99 if "rate" in name else 50 for name in _PITCH} | {"key_sync": 1})


def checksum(data: bytes) -> int:
    """Two's complement of the sum of the data, 7 bits."""
    return -sum(data) & 0x7F


def write_bank(voices: Sequence[Voice], path: str | Path) -> Path:
    """Write a bank; fewer voices than 32 are filled up with the initial one.

    Raises:
        GraphmixError: more than 32 voices, a number out of range, a name of more than ten characters or not in ASCII.
    """
    if len(voices) > VOICES:
        raise GraphmixError(f"cannot write {path}: a bank has {VOICES} voices, and these are {len(voices)}.")
    data = b"".join(_pack(voice) for voice in (*voices, *[initial_voice()] * (VOICES - len(voices))))
    write_atomically(Path(path), HEADER + data + bytes((checksum(data), _END)))
    return Path(path)


def read_bank(path: str | Path) -> Bank:
    """Read a bank, also with a wrong checksum, without header or end, or with more behind it.

    Raises:
        GraphmixError: there is no bank of 32 voices in the file.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        content = path.read_bytes() if path.is_file() and size <= LARGEST_FILE else b""
    except OSError as error:
        raise GraphmixError(f"cannot read {path}: {error.strerror or error}.") from None
    notices = []
    begin = _find_bank(content)
    if begin is None and len(content) in (BANK_BYTES, BANK_BYTES + 1, BANK_BYTES + 2):
        notices.append("it has no header; taken for the bare data of 32 voices.")
        begin = 0
    data = b"" if begin is None else content[begin : begin + BANK_BYTES]
    if begin is None or len(data) < BANK_BYTES:
        what = "is cut off" if begin is not None else "holds no bank of 32 FM voices (F0 43 00 09 20 00 …)"
        raise GraphmixError(f"{path} {what}: {size} bytes, a bank has {len(HEADER) + BANK_BYTES + 2}.")
    behind = content[begin + BANK_BYTES :]
    if any(byte > 0x7F for byte in data):
        notices.append("some bytes have their highest bit set, which was left out.")
        data = bytes(byte & 0x7F for byte in data)
    if begin and not behind:
        notices.append("checksum and end are missing.")
    elif begin and behind[0] != checksum(data):
        notices.append(f"its checksum is {behind[0]}, and that of its data {checksum(data)}.")
    if begin and behind[1:2] not in (b"", bytes((_END,))):
        notices.append("the message does not end after its checksum.")
    elif len(behind) > 2:
        notices.append(f"there are {len(behind) - 2} more bytes behind the bank; its first bank was read.")
    voices, clipped = [], 0
    for i in range(VOICES):
        voice, count = _unpack(data[i * VOICE_BYTES : (i + 1) * VOICE_BYTES])
        voices.append(voice)
        clipped += count
    if clipped:
        notices.append(f"{clipped} numbers were above their range, and were set to its end.")
    return Bank(tuple(voices), tuple(notices))


def _find_bank(content: bytes) -> int | None:
    """Where the data of the first bank begin: after F0 43 0n 09 and two bytes of size, whatever they say."""
    at = content.find(_START)
    while at >= 0:
        head = content[at : at + len(HEADER)]
        if len(head) == len(HEADER) and head[1] == 0x43 and head[2] < 0x10 and head[3] == 0x09:
            return at + len(HEADER)
        at = content.find(_START, at + 1)
    return None


def _pack(voice: Voice) -> bytes:
    data = bytearray(VOICE_BYTES)
    for f in FIELDS:
        value = voice.numbers[f.name]
        if not 0 <= value <= f.largest:
            raise GraphmixError(f"voice {voice.name!r}: {f.name} is {value}; it lies between 0 and {f.largest}.")
        data[f.byte] |= value << f.shift
    name = voice.name.encode("ascii", "replace")
    if len(name) > NAME_BYTES or not voice.name.isascii():
        raise GraphmixError(f"voice {voice.name!r}: a name has up to {NAME_BYTES} ASCII characters.")
    data[-NAME_BYTES:] = name.ljust(NAME_BYTES)
    return bytes(data)


def _unpack(data: bytes) -> tuple[Voice, int]:
    """A voice, and how many of its numbers were too large."""
    raw = {f.name: data[f.byte] >> f.shift & (1 << f.bits) - 1 for f in FIELDS}
    numbers = {f.name: min(raw[f.name], f.largest) for f in FIELDS}
    name = "".join(chr(byte) if 32 <= byte < 127 else "?" for byte in data[-NAME_BYTES:]).rstrip()
    return Voice(name, numbers), sum(raw[f.name] > f.largest for f in FIELDS)


# --- voices and patches


def _octaves(level: int) -> float:
    """A level from 0 to 99 in octaves of amplitude; full level is 15."""
    total = _LOW_LEVELS[level] if level < len(_LOW_LEVELS) else 28 + level
    return total / 8 - 127 / 8 + 15


def level_db(level: int) -> float:
    """A level from 0 to 99 in dB re full level."""
    total = _LOW_LEVELS[level] if level < len(_LOW_LEVELS) else 28 + level
    return (total - 127) * _STEP_DB


def segment_ms(rate: int, begin: int, end: int) -> float:
    """Time from one level to another at a rate."""
    q = rate * 41 >> 6
    speed = (4 + q % 4) * 2.0 ** (q // 4) * _OCTAVES_PER_SECOND
    a, b = _octaves(begin), _octaves(end)
    if b > a:
        a = min(max(a, _RISES_FROM), b)
        return 1000 * math.log((_RISES_TO - a) / (_RISES_TO - b)) / speed
    return 1000 * (a - b) / speed


def values_of(voice: Voice) -> dict[str, Value]:
    """The patch of the FM synthesizer that comes nearest to a voice."""
    n = voice.numbers
    values: dict[str, Value] = FM.defaults() | {"algorithm": str(n["algorithm"] + 1)}
    for number in OPERATORS:
        values |= _operator_values(f"op{number}", n, 24 if n[f"op{number}.fixed"] else n["transpose"])

    fed_back = ALGORITHMS[n["algorithm"]][2]
    values[f"op{fed_back}.feedback"] = _feedback(n["feedback"], float(values[f"op{fed_back}.level_db"]))
    carriers = len(ALGORITHMS[n["algorithm"]][1])
    values["amplifier.level_db"] = -10.0 * math.log10(carriers) - 6.0
    values["lfo.wave"] = _LFO_WAVES[n["lfo_wave"]]
    return values | modulation_values(n)


def _feedback(step: int, level_db: float) -> float:
    """Index of an operator that feeds back by a step from 0 to 7 and has a level."""
    return 2 * math.pi * 2.0 ** (step - 7) * 10 ** (level_db / 20) if step else 0.0


def _operator_values(name: str, n: Mapping[str, int], transpose: int) -> dict[str, Value]:
    levels = [n[f"{name}.level_{i}"] for i in (4, 1, 2, 3, 4)]
    times = [segment_ms(n[f"{name}.rate_{i}"], *levels[i - 1 : i + 1]) for i in (1, 2, 3, 4)]
    p = FM.by_name
    values: dict[str, Value] = {
        f"{name}.level_db": max(level_db(n[f"{name}.output_level"]), p[f"{name}.level_db"].low),
        f"{name}.detune_cents": _CENTS * (n[f"{name}.detune"] - 7),
    }
    coarse, fine = n[f"{name}.coarse"], n[f"{name}.fine"]
    if n[f"{name}.fixed"]:
        values[f"{name}.fixed_hz"] = min(10 ** (coarse % 4 + fine / 100), p[f"{name}.fixed_hz"].high)
        values[f"{name}.frequency"] = "by_hz"
    else:
        ratio = (coarse or 0.5) * (1 + fine / 100) * 2 ** ((transpose - 24) / 12)
        values[f"{name}.ratio"] = min(max(ratio, p[f"{name}.ratio"].low), p[f"{name}.ratio"].high)
    for i, time in enumerate(times):
        of = p[f"{name}.times_ms.{i + 1}"]
        values[of.name] = min(max(time, of.low), of.high)
    for i, level in enumerate(levels):
        values[f"{name}.levels.{i + 1}"] = 10 ** (level_db(level) / 20) if level else 0.0
    return values


def voice_of(values: Mapping[str, Value], name: str, like: Voice | None = None) -> Voice:
    """The voice that comes nearest to a patch of the FM synthesizer.

    Args:
        values: of the patch.
        name: of the voice, up to ten ASCII characters.
        like: has what the patch does not say; the initial voice if not given.
    """

    values = FM.defaults() | dict(values)
    n = dict((like or initial_voice()).numbers)
    algorithm = int(values["algorithm"]) - 1
    n |= {"algorithm": algorithm, "transpose": 24}
    fed_back = f"op{ALGORITHMS[algorithm][2]}"
    feedback, level = float(values[f"{fed_back}.feedback"]), min(0.0, float(values[f"{fed_back}.level_db"]))
    n["feedback"] = min(range(8), key=lambda step: abs(_feedback(step, level) - feedback))
    n["lfo_wave"] = _LFO_INDEX[str(values["lfo.wave"])]
    for number in OPERATORS:
        n |= _operator_numbers(f"op{number}", values)
    return Voice(name, n | modulation_numbers(values, n))


def _operator_numbers(name: str, values: Mapping[str, Value]) -> dict[str, int]:
    def number(key: str) -> float:
        return float(values[f"{name}.{key}"])

    levels = [_nearest_level(20 * math.log10(max(number(f"levels.{i + 1}"), 1e-6))) for i in range(5)]
    n = {
        f"{name}.output_level": _nearest_level(number("level_db")),
        f"{name}.detune": min(14, max(0, round(number("detune_cents") / _CENTS) + 7)),
    }
    n |= {f"{name}.level_{i}": levels[i] for i in (1, 2, 3, 4)}
    for i in (1, 2, 3, 4):
        begin, end, wanted = levels[i - 1] if i > 1 else levels[4], levels[i], number(f"times_ms.{i}")
        if begin != end:
            distance = {r: abs(math.log(max(segment_ms(r, begin, end), 1e-3) / wanted)) for r in range(99, -1, -1)}
            n[f"{name}.rate_{i}"] = min(distance, key=lambda rate: distance[rate])
    if values[f"{name}.frequency"] == "by_hz":
        steps = min(max(0, round(100 * math.log10(number("fixed_hz")))), 399)
        return n | {f"{name}.fixed": 1, f"{name}.coarse": steps // 100, f"{name}.fine": steps % 100}
    ratios = {(c, f): (c or 0.5) * (1 + f / 100) for c in range(32) for f in range(100)}
    coarse, fine = min(ratios, key=lambda pair: (round(abs(math.log(ratios[pair] / number("ratio"))), 9), pair[1]))
    return n | {f"{name}.fixed": 0, f"{name}.coarse": coarse, f"{name}.fine": fine}


def _nearest_level(db: float) -> int:
    return min(range(100), key=lambda level: (abs(level_db(level) - db), level))
