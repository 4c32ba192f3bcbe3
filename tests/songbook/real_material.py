"""Tiny material for songbooks of scores and samples: a soundfont, a drum kit, a MIDI file, written from scratch."""

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import soundfile

RATE = 44100
ROOT_KEY = 60
CYCLE = 169
"""Samples of one period: 44100 / 169 = 260.95 Hz, 4.5 cents below middle C."""

KIT = {
    "Kick": (60.0, 1.0), "Snare": (200.0, 0.8), "Closed HH": (7000.0, 0.5), "Open HH": (6000.0, 0.5),
    "Tom Low": (90.0, 0.7), "Crash": (4000.0, 0.4),
}  # fmt: skip


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def write_soundfont(path: Path, presets: Sequence[tuple[str, int, int, int]], samples: int = 2) -> Path:
    """A soundfont of looped waves.

    Args:
        path: of the file.
        presets: (name, bank, program, number of its sample).
        samples: sines at middle C; each next one with a stronger octave.
    """
    time = np.arange(CYCLE * 20) * 2 * np.pi / CYCLE
    waves = [np.round(12000 * (np.sin(time) + 0.3 * k * np.sin(2 * time))).astype("<i2") for k in range(samples)]
    gap = b"\0\0" * 46
    data = b"".join(wave.tobytes() + gap for wave in waves)
    starts = [k * (len(waves[0]) + 46) for k in range(samples)]
    name = lambda text: text.encode().ljust(20, b"\0")  # noqa: E731
    shdr = b"".join(
        struct.pack(
            "<20sIIIIIBbHH",
            name(f"wave {k}"), s, s + len(w), s + CYCLE * 2, s + CYCLE * 18, RATE, ROOT_KEY, 0, 0, 1,
        )
        for k, (s, w) in enumerate(zip(starts, waves, strict=True))
    )  # fmt: skip
    shdr += struct.pack("<20sIIIIIBbHH", name("EOS"), *[0] * 9)
    inst = b"".join(struct.pack("<20sH", name(f"inst {k}"), k) for k in range(samples))
    inst += struct.pack("<20sH", name("EOI"), samples)
    ibag = b"".join(struct.pack("<HH", 2 * k, 0) for k in range(samples + 1))
    igen = b"".join(struct.pack("<HHHH", 54, 1, 53, k) for k in range(samples)) + b"\0" * 4  # looped, sample k
    phdr = b"".join(
        struct.pack("<20sHHHIII", name(title), program, bank, k, 0, 0, 0)
        for k, (title, bank, program, _) in enumerate(presets)
    )
    phdr += struct.pack("<20sHHHIII", name("EOP"), 0, 0, len(presets), 0, 0, 0)
    pbag = b"".join(struct.pack("<HH", k, 0) for k in range(len(presets) + 1))
    pgen = b"".join(struct.pack("<HH", 41, sample) for *_, sample in presets) + b"\0" * 4
    tables = {
        b"phdr": phdr, b"pbag": pbag, b"pmod": b"\0" * 10, b"pgen": pgen, b"inst": inst, b"ibag": ibag,
        b"imod": b"\0" * 10, b"igen": igen, b"shdr": shdr,
    }  # fmt: skip
    info = _chunk(b"ifil", struct.pack("<HH", 2, 1)) + _chunk(b"isng", b"EMU8000\0") + _chunk(b"INAM", b"tiny\0\0")
    content = b"sfbk" + _chunk(b"LIST", b"INFO" + info) + _chunk(b"LIST", b"sdta" + _chunk(b"smpl", data))
    content += _chunk(b"LIST", b"pdta" + b"".join(_chunk(key, table) for key, table in tables.items()))
    path.write_bytes(_chunk(b"RIFF", content))
    return path


BAND = (
    ("Piano", 0, 0, 0), ("Organ", 0, 16, 1), ("Bass", 0, 33, 2), ("Guitar", 0, 25, 3), ("Strings", 0, 48, 4),
    ("Choir", 0, 52, 5), ("Lead", 0, 80, 6), ("Pad", 0, 89, 7), ("Strange", 0, 97, 8),
)  # fmt: skip
"""A preset for each kind of role; no two share a sample."""


def write_kit(
    folder: Path, instruments: Mapping[str, tuple[float, float]] = KIT, author: str = "me", layers: int = 2
) -> Path:
    """A drum kit: each instrument a falling sine of its frequency, in layers that are louder and louder."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(len(instruments))
    items = []
    for name, (hz, level) in instruments.items():
        files = []
        for layer in range(layers):
            time = np.arange(round(0.3 * RATE)) / RATE
            stroke = level * (layer + 1) / layers * np.exp(-time / 0.06) * np.sin(2 * np.pi * hz * time)
            stroke += 1e-3 * rng.standard_normal(time.size) * np.exp(-time / 0.06)
            file = f"{name.replace(' ', '')}{layer}.wav"
            soundfile.write(folder / file, stroke, RATE, subtype="FLOAT")
            edges = f"<min>{layer / layers}</min><max>{(layer + 1) / layers}</max><gain>1</gain>"
            files.append(f"<layer><filename>{file}</filename>{edges}</layer>")
        items.append(f"<instrument><name>{name}</name>{''.join(files)}</instrument>")
    (folder / "drumkit.xml").write_text(
        f"<drumkit_info><name>{folder.name}</name><author>{escape(author)}</author>"
        f"<instrumentList>{''.join(items)}</instrumentList></drumkit_info>"
    )
    return folder


def write_midi(path: Path, seed: int = 0, drums: bool = True, bars: int = 8) -> Path:
    """A song in C major, I-IV-V-I, 4/4 at 100: a sung tune, a bass, a piano, drums."""
    import pretty_midi

    rng = np.random.default_rng(seed)
    midi = pretty_midi.PrettyMIDI(initial_tempo=100)
    midi.time_signature_changes.append(pretty_midi.TimeSignature(4, 4, 0))
    tune, bass, piano = (
        pretty_midi.Instrument(program, name=name) for program, name in ((53, "tune"), (33, "bass"), (0, "piano"))
    )
    kit = pretty_midi.Instrument(0, is_drum=True, name="drums")
    beat = 0.6

    def add(to: "pretty_midi.Instrument", at: float, length: float, pitch: int, velocity: int = 90) -> None:
        to.notes.append(pretty_midi.Note(velocity, int(pitch), at * beat, (at + length) * beat))

    for bar in range(bars):
        root = (0, 5, 7, 0)[bar % 4]
        for k in range(4):
            add(tune, 4 * bar + k, 0.9, 72 + root + int(rng.choice((0, 4, 7))))
            add(bass, 4 * bar + k, 0.9, 36 + root)
            add(kit, 4 * bar + k, 0.2, 36 if k % 2 == 0 else 38)
            for half in (0, 0.5):
                add(kit, 4 * bar + k + half, 0.2, 42, 60)
        for third in (0, 4, 7):
            add(piano, 4 * bar, 3.5, 60 + root + third)
    midi.instruments += [tune, bass, piano, *([kit] if drums else [])]
    midi.write(str(path))
    return path


def write_material(root: Path) -> dict[str, Path]:
    """Scores, a soundfont and a drum kit below a folder."""
    (root / "scores").mkdir()
    for k in range(4):
        write_midi(root / "scores" / f"song{k}.mid", seed=k, drums=k % 2 == 0)
    write_soundfont(root / "band.sf2", BAND, samples=len(BAND))
    write_kit(root / "kits" / "one")
    return {"scores": root / "scores", "soundfont": root / "band.sf2", "kits": root / "kits"}


MUSICXML = """<?xml version="1.0" encoding="UTF-8"?>
<score-partwise version="3.1"><part-list>
<score-part id="P1"><part-name>Oboe</part-name></score-part>
<score-part id="P2"><part-name>Bassoon</part-name></score-part></part-list>
<part id="P1"><measure number="1"><attributes><divisions>2</divisions><key><fifths>0</fifths></key>
<time><beats>6</beats><beat-type>8</beat-type></time><clef><sign>G</sign><line>2</line></clef></attributes>
<note><pitch><step>C</step><octave>5</octave></pitch><duration>3</duration></note>
<note><pitch><step>E</step><octave>5</octave></pitch><duration>3</duration><tie type="start"/></note></measure>
<measure number="2"><note><pitch><step>E</step><octave>5</octave></pitch><duration>3</duration><tie type="stop"/></note>
<note><pitch><step>G</step><octave>5</octave></pitch><duration>3</duration></note></measure></part>
<part id="P2"><measure number="1"><attributes><divisions>2</divisions><time><beats>6</beats>
<beat-type>8</beat-type></time></attributes><note><pitch><step>C</step><octave>3</octave></pitch>
<duration>6</duration></note></measure><measure number="2"><note><pitch><step>G</step><octave>2</octave></pitch>
<duration>6</duration></note></measure></part></score-partwise>
"""
"""6/8: an oboe with a tied note, a bassoon."""
