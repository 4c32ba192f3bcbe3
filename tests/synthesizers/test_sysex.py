"""Banks of FM voices: written as they are read, read with the quirks of foreign makers, and their curves."""

import math
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphmix.errors import GraphmixError
from graphmix.synthesizers import FM
from graphmix.synthesizers.instruments import ALGORITHMS
from graphmix.synthesizers.presets import random_patch
from graphmix.synthesizers.sysex import (
    BANK_BYTES,
    FIELDS,
    HEADER,
    VOICES,
    Voice,
    checksum,
    initial_voice,
    level_db,
    read_bank,
    segment_ms,
    values_of,
    voice_of,
    write_bank,
)


def random_voice(rng: np.random.Generator) -> Voice:
    name = "".join(chr(c) for c in rng.integers(33, 127, int(rng.integers(0, 11))))
    return Voice(name, {f.name: int(rng.integers(0, f.largest + 1)) for f in FIELDS})


@pytest.mark.parametrize("count", [30, pytest.param(1000, marks=pytest.mark.slow)])
def test_random_banks_are_read_as_they_were_written(count: int, tmp_path: Path):
    rng, path = np.random.default_rng(0), tmp_path / "bank.syx"
    for _ in range(count):
        voices = tuple(random_voice(rng) for _ in range(VOICES))
        content = write_bank(voices, path).read_bytes()
        bank = read_bank(path)
        assert bank.voices == voices
        assert bank.notices == ()
        assert len(content) == 4104
        assert (sum(content[6:-2]) + content[-2]) % 128 == 0


def test_no_two_numbers_share_a_bit():
    taken = set()
    for f in FIELDS:
        bits = {(f.byte, f.shift + i) for i in range(f.bits)}
        assert not bits & taken
        assert f.largest < 1 << f.bits
        assert f.shift + f.bits <= 7
        taken |= bits
    assert {byte for byte, _ in taken} == set(range(118))


def bank_bytes(folder: Path) -> bytes:
    rng = np.random.default_rng(1)
    return write_bank([random_voice(rng) for _ in range(VOICES)], folder / "random.syx").read_bytes()[6:-2]


QUIRKS = {
    "wrong checksum": (lambda d: HEADER + d + bytes((checksum(d) ^ 1, 0xF7)), "its checksum is"),
    "no end": (lambda d: HEADER + d + bytes((checksum(d),)), None),
    "no checksum": (lambda d: HEADER + d, "checksum and end are missing"),
    "bare data": (lambda d: d, "no header"),
    "bare data and checksum": (lambda d: d + bytes((checksum(d),)), "no header"),
    "channel 5": (lambda d: bytes((0xF0, 0x43, 0x04, 0x09, 0x20, 0x00)) + d + bytes((checksum(d), 0xF7)), None),
    "size 4096": (lambda d: bytes((0xF0, 0x43, 0x00, 0x09, 0x10, 0x00)) + d + bytes((checksum(d), 0xF7)), None),
    "another message before": (lambda d: bytes((0xF0, 0x7E, 0, 0xF7)) + HEADER + d + bytes((checksum(d), 0xF7)), None),
    "two banks": (lambda d: 2 * (HEADER + d + bytes((checksum(d), 0xF7))), "more bytes behind"),
    "not ended": (lambda d: HEADER + d + bytes((checksum(d), 0x00)), "does not end"),
}


@pytest.mark.parametrize("quirk", QUIRKS)
def test_banks_of_foreign_makers_are_read_with_a_notice(quirk: str, tmp_path: Path):
    make, notice = QUIRKS[quirk]
    data = bank_bytes(tmp_path)
    (tmp_path / "bank.syx").write_bytes(make(data))
    bank = read_bank(tmp_path / "bank.syx")
    write_bank(bank.voices, tmp_path / "again.syx")
    assert (tmp_path / "again.syx").read_bytes()[6:-2] == data
    assert [n for n in bank.notices if notice and notice in n] or (notice is None and not bank.notices)


def test_numbers_above_their_range_and_high_bits_are_set_right(tmp_path: Path):
    data = bytearray(bank_bytes(tmp_path))
    data[14 + 17], data[0] = 120, data[0] | 0x80
    (tmp_path / "bank.syx").write_bytes(HEADER + bytes(data) + bytes((checksum(bytes(data)), 0xF7)))
    bank = read_bank(tmp_path / "bank.syx")
    assert bank.voices[0].numbers["op5.output_level"] == 99
    assert len(bank.notices) >= 2


@pytest.mark.parametrize("content", [b"", b"RIFF" + bytes(100), HEADER + bytes(100), bytes(BANK_BYTES - 1)])
def test_what_is_no_bank_is_refused_in_one_sentence(content: bytes, tmp_path: Path):
    (tmp_path / "bank.syx").write_bytes(content)
    with pytest.raises(GraphmixError, match=r"bank\.syx (holds no bank|is cut off).* a bank has 4104"):
        read_bank(tmp_path / "bank.syx")
    with pytest.raises(GraphmixError, match="No such file"):
        read_bank(tmp_path / "none.syx")


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=5000))
def test_no_bytes_end_in_another_error(content: bytes):
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bank.syx"
        path.write_bytes(content)
        with suppress(GraphmixError):
            assert len(read_bank(path).voices) == VOICES


def test_what_cannot_be_written_is_refused(tmp_path: Path):
    path = tmp_path / "bank.syx"
    wrong = Voice("TOO LOUD", {**initial_voice().numbers, "op1.output_level": 100})
    for voices, message in (
        ([initial_voice()] * 33, "these are 33"),
        ([wrong], r"op1\.output_level is 100; it lies between 0 and 99"),
        ([initial_voice("ELEVENCHARS")], "up to 10 ASCII"),
        ([initial_voice("Flöte")], "up to 10 ASCII"),
    ):
        with pytest.raises(GraphmixError, match=message):
            write_bank(voices, path)
        assert not path.exists()


# --- curves, patches


def test_levels_and_times_are_those_of_the_instrument():
    assert level_db(99) == 0
    assert level_db(98) == pytest.approx(-0.75)
    assert level_db(0) == pytest.approx(-95.25)
    assert segment_ms(99, 0, 99) < 15 < 20_000 < segment_ms(0, 99, 0)  # measured: 7 ms to tens of seconds
    times = [segment_ms(rate, 99, 0) for rate in range(100)]
    assert times == sorted(times, reverse=True)
    assert segment_ms(50, 99, 99) == 0


def test_feedback_is_that_of_the_instrument():
    """At full level and step 7 a sine is fed back by one period: 2 pi; at -15 dB, step 6, by 0.559 rad."""
    for level, step, index in ((99, 7, 2 * math.pi), (79, 6, math.pi * 10 ** (-15 / 20)), (99, 1, math.pi / 32)):
        numbers = initial_voice().numbers | {"op6.output_level": level, "feedback": step}
        assert values_of(Voice("V", numbers))["op6.feedback"] == pytest.approx(index, rel=1e-6)


def test_a_fixed_frequency_is_kept():
    numbers = initial_voice().numbers | {"op1.fixed": 1, "op1.coarse": 2, "op1.fine": 45}
    values = values_of(Voice("V", numbers))
    assert values["op1.frequency"] == "by_hz"
    assert values["op1.fixed_hz"] == pytest.approx(10**2.45)
    again = voice_of(values, "V").numbers
    assert [again[f"op1.{key}"] for key in ("fixed", "coarse", "fine")] == [1, 2, 45]


def test_a_voice_is_a_patch_and_comes_back():
    rng = np.random.default_rng(3)
    for _ in range(30):
        voice = random_voice(rng)
        again = voice_of(values_of(voice), voice.name, voice)
        n, m = voice.numbers, again.numbers
        assert m["algorithm"] == n["algorithm"]
        fed_back = f"op{ALGORITHMS[n['algorithm']][2]}"
        if n[f"{fed_back}.output_level"] > 20:  # of a silent one it does not matter
            assert m["feedback"] == n["feedback"]
        for op in "123456":
            assert m[f"op{op}.output_level"] == n[f"op{op}.output_level"]
            assert [m[f"op{op}.level_{i}"] for i in (1, 2, 3, 4)] == [n[f"op{op}.level_{i}"] for i in (1, 2, 3, 4)]
            assert m[f"op{op}.detune"] == n[f"op{op}.detune"]
        assert m["lfo_amplitude"] == n["lfo_amplitude"]  # is not carried over, and stays
        assert values_of(again)["op1.level_db"] == pytest.approx(values_of(voice)["op1.level_db"])


def test_a_patch_keeps_its_sound_but_for_the_steps_of_the_instrument():
    rng = np.random.default_rng(4)
    for _ in range(20):
        values = random_patch(FM, rng)
        again = values_of(voice_of(values, "PATCH"))
        assert again["algorithm"] == values["algorithm"]
        for op in "123456":
            if float(values[f"op{op}.level_db"]) < -60:
                continue
            assert float(again[f"op{op}.level_db"]) == pytest.approx(float(values[f"op{op}.level_db"]), abs=0.4)
            ratio = float(again[f"op{op}.ratio"]) / float(values[f"op{op}.ratio"])
            assert abs(math.log2(ratio)) < 0.02
