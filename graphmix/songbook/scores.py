"""Real scores: finding them, and reading one into parts of notes.

MIDI files are read by pretty_midi; MusicXML, Humdrum and ABC by music21, whose corpus is a collection of its own
(``music21``). A file of many tunes (ABC) counts as that many scores.

Conventions. Beats are quarter notes from the score's start, except in compound metres (6/8, 9/8, 12/8), where a beat
is a dotted quarter; velocities 0 to 1. A score is one metre throughout: its longest stretch of one.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from graphmix.errors import SongError
from graphmix.songbook.extras import load_extra
from graphmix.songbook.score import Note
from graphmix.songbook.splits import Split, split_of

MIDI_ENDINGS = (".mid", ".midi")
TEXT_ENDINGS = (".mxl", ".musicxml", ".xml", ".krn", ".abc")
CORPUS = "music21"
_DEFAULT_VELOCITY = 0.72


class ScoreError(SongError):
    """One score that cannot be read; others may do."""


@dataclass(frozen=True)
class ScorePart:
    """One part.

    Args:
        name: as the score has it.
        program: General MIDI program; None where the score does not say.
        is_drums: whether pitches are keys of the percussion map.
        notes: by their start.
    """

    name: str
    program: int | None
    is_drums: bool
    notes: tuple[Note, ...]


@dataclass(frozen=True)
class RealScore:
    """One score, in one metre.

    Args:
        name: of its file.
        parts: those with notes.
        beats_per_bar: 3 or 4, or another whole number.
        beats: length.
        bpm: tempo; None where the score does not say.
        is_compound: whether a beat is a dotted quarter.
    """

    name: str
    parts: tuple[ScorePart, ...]
    beats_per_bar: int
    beats: float
    bpm: float | None
    is_compound: bool


@dataclass(frozen=True)
class ScoreFile:
    """Where a score is: a file, and in a file of many its number."""

    name: str
    path: Path
    number: int | None
    digest: str

    @property
    def split(self) -> Split:
        """Follows from the digest."""
        return split_of(self.digest)


@dataclass(frozen=True)
class ScoreLibrary:
    """Scores by the folder that they lie in; `where` is ``music21`` or the name of a folder."""

    where: str
    files: Mapping[str, tuple[ScoreFile, ...]]

    def __len__(self) -> int:
        return sum(len(files) for files in self.files.values())

    def of_split(self, split: Split | None) -> "ScoreLibrary":
        """The scores of one split; all where it is None."""
        if split is None:
            return self
        chosen = {folder: tuple(f for f in files if f.split == split) for folder, files in self.files.items()}
        return ScoreLibrary(self.where, {folder: files for folder, files in chosen.items() if files})

    @property
    def digest(self) -> str:
        """Of all scores together, wherever they lie."""
        return hashlib.sha256("".join(sorted(f.digest for fs in self.files.values() for f in fs)).encode()).hexdigest()


def find_scores(where: str | Path) -> ScoreLibrary:
    """The scores in a folder and below it, or the corpus of music21.

    Of files with one name but for the ending, which are one piece in several formats, the first counts.

    Raises:
        SongError: no such folder, no score in it, or a package is missing.
    """
    is_corpus = str(where) == CORPUS
    root = Path(load_extra("music21").__file__).parent / "corpus" if is_corpus else Path(where)
    if not root.is_dir():
        raise SongError(f"{where} is neither a folder with scores nor the word {CORPUS}.")
    if not is_corpus:
        load_extra("pretty_midi")
    endings = MIDI_ENDINGS + TEXT_ENDINGS
    paths: dict[Path, Path] = {}
    for path in sorted(p for p in root.rglob("*") if p.suffix.casefold() in endings and p.is_file()):
        paths.setdefault(path.with_suffix(""), path)
    found: dict[str, list[ScoreFile]] = {}
    for path in paths.values():
        folder = path.relative_to(root).parent.as_posix()
        found.setdefault(folder, []).extend(_scores_in(path, path.relative_to(root).as_posix()))
    files = {folder: _different(its) for folder, its in found.items()}
    library = ScoreLibrary(CORPUS if is_corpus else root.name, {folder: its for folder, its in files.items() if its})
    if not len(library):
        raise SongError(f"{where} holds no scores: put MIDI or MusicXML files there ({', '.join(endings)}).")
    return library


def _scores_in(path: Path, name: str) -> list[ScoreFile]:
    content = path.read_bytes()
    if path.suffix.casefold() == ".abc":
        tunes = re.split(rb"(?m)^(?=X:)", content)[1:]
        if len(tunes) > 1:
            return [
                ScoreFile(f"{name}#{found.group(1).decode()}", path, int(found.group(1)), _digest(tune))
                for tune in tunes
                if (found := re.match(rb"X:\s*(\d+)", tune)) is not None
            ]
    return [ScoreFile(name, path, None, _digest(content))]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _different(files: Iterable[ScoreFile]) -> tuple[ScoreFile, ...]:
    """Files without copies of others."""
    return tuple({file.digest: file for file in reversed(list(files))}.values())


@lru_cache(maxsize=4)
def read_score(file: ScoreFile) -> RealScore:
    """Read one score.

    Raises:
        ScoreError: it cannot be read, or it has no notes.
        SongError: a package is missing.
    """
    reader = _read_midi if file.path.suffix.casefold() in MIDI_ENDINGS else _read_text
    try:
        score = reader(file)
    except SongError:
        raise
    except Exception as error:  # both libraries raise whatever their parsers meet
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:120]
        raise ScoreError(f"the score {file.path} cannot be read ({reason}).") from None
    if not any(part.notes for part in score.parts):
        raise ScoreError(f"the score {file.path} has no notes.")
    return score


def _read_midi(file: ScoreFile) -> RealScore:
    midi = load_extra("pretty_midi").PrettyMIDI(str(file.path))

    def beat(seconds: float) -> float:
        return float(midi.time_to_tick(seconds)) / midi.resolution

    parts = []
    for instrument in midi.instruments:
        notes = [
            Note(beat(n.start), max(0.05, beat(n.end) - beat(n.start)), float(n.pitch), n.velocity / 127)
            for n in sorted(instrument.notes, key=lambda n: (n.start, n.pitch))
        ]
        program = None if instrument.is_drum else int(instrument.program)
        parts.append(ScorePart(instrument.name.strip(), program, bool(instrument.is_drum), tuple(notes)))
    changes = [(beat(c.time), c.numerator, c.denominator) for c in midi.time_signature_changes] or [(0.0, 4, 4)]
    tempo = float(midi.get_tempo_changes()[1][0])
    return _in_one_metre(file.name, parts, changes, beat(midi.get_end_time()), tempo)


def _read_text(file: ScoreFile) -> RealScore:
    music21 = load_extra("music21")
    number = {} if file.number is None else {"number": file.number}
    score = music21.converter.parse(file.path, forceSource=True, storePickle=False, **number)
    if not isinstance(score, music21.stream.Score):
        score = next(iter(score.scores), score) if isinstance(score, music21.stream.Opus) else score
    streams = list(score.parts) if getattr(score, "parts", None) else [score]
    parts = [part for stream in streams for part in _parts_of(stream, music21)]
    first = streams[0].flatten()
    signatures = first.getElementsByClass(music21.meter.TimeSignature)
    changes = [(float(s.offset), int(s.numerator), int(s.denominator)) for s in signatures]
    pickup = _pickup(streams[0], music21)
    changes = [(max(start, pickup), top, bottom) for start, top, bottom in changes] or [(pickup, 4, 4)]
    marks = list(score.flatten().getElementsByClass(music21.tempo.MetronomeMark))
    tempo = next((float(bpm) for mark in marks if (bpm := mark.getQuarterBPM())), None)
    return _in_one_metre(file.name, parts, changes, float(score.highestTime), tempo)


def _pickup(stream: Any, music21: Any) -> float:
    """Where the first full bar begins."""
    measures = stream.getElementsByClass(music21.stream.Measure)
    if len(measures) < 2:
        return 0.0
    full = float(measures[0].barDuration.quarterLength)
    length = float(measures[1].offset) - float(measures[0].offset)
    return length if length < full - 1e-6 else 0.0


def _parts_of(stream: Any, music21: Any) -> list[ScorePart]:
    """A part, and its chord symbols as another one."""
    instrument = stream.getInstrument(returnDefault=False)
    program = getattr(instrument, "midiProgram", None)
    is_drums = bool(isinstance(instrument, music21.instrument.UnpitchedPercussion))
    notes, symbols = [], []
    for element in stream.flatten().notes:
        velocity = (element.volume.velocity or 127 * _DEFAULT_VELOCITY) / 127
        start, length = float(element.offset), float(element.quarterLength)
        if isinstance(element, music21.harmony.Harmony):
            symbols.append((start, [float(p.midi) for p in element.pitches]))
        elif length > 0 and not isinstance(element, music21.note.Unpitched | music21.percussion.PercussionChord):
            notes += [(start, length, float(n.pitch.midi), velocity, _goes_on(n)) for n in _single(element)]
    name = str(getattr(stream, "partName", None) or stream.id)
    name = "melody" if name.isdigit() else name  # music21 numbers parts without a name by where they lie in memory
    found = [ScorePart(name, program, is_drums, tuple(_untied(notes)))]
    if symbols:
        ends = [*(start for start, _ in symbols[1:]), float(stream.highestTime)]
        chords = [
            Note(start, end - start, pitch, _DEFAULT_VELOCITY)
            for (start, pitches), end in zip(symbols, ends, strict=True)
            for pitch in pitches
            if end > start
        ]
        found.append(ScorePart("chord symbols", None, False, tuple(chords)))
    return found


def _single(element: Any) -> Sequence[Any]:
    """The notes of a chord, or a note."""
    return element.notes if element.isChord else [element]


def _goes_on(note: Any) -> bool:
    """Whether a note only prolongs the one before it."""
    return note.tie is not None and note.tie.type in ("stop", "continue")


def _untied(notes: list[tuple[float, float, float, float, bool]]) -> list[Note]:
    """Notes with those that are tied to them."""
    result: list[Note] = []
    last: dict[float, int] = {}
    for start, length, pitch, velocity, goes_on in sorted(notes):
        k = last.get(pitch)
        if goes_on and k is not None and abs(result[k].beat + result[k].beats - start) < 1e-3:
            result[k] = Note(result[k].beat, result[k].beats + length, pitch, result[k].velocity)
        else:
            last[pitch] = len(result)
            result.append(Note(start, length, pitch, velocity))
    return result


def _in_one_metre(
    name: str, parts: list[ScorePart], changes: list[tuple[float, int, int]], end: float, bpm: float | None
) -> RealScore:
    """The longest stretch in one metre, from beat 0."""
    edges = [*(start for start, _, _ in changes[1:]), max(end, changes[-1][0])]
    stretches: list[tuple[float, float, int, int]] = []
    for (start, top, bottom), stop in zip(changes, edges, strict=True):
        if stretches and stretches[-1][2:] == (top, bottom):
            stretches[-1] = (stretches[-1][0], stop, top, bottom)
        else:
            stretches.append((start, stop, top, bottom))
    start, stop, top, bottom = max(stretches, key=lambda s: s[1] - s[0])
    is_compound = bottom >= 8 and top % 3 == 0 and top > 3
    unit = 1.5 * 8 / bottom if is_compound else 1.0
    beats_per_bar = top // 3 if is_compound else max(1, round(top * 4 / bottom))
    kept = []
    for part in parts:
        notes = [
            Note((n.beat - start) / unit, n.beats / unit, n.pitch, n.velocity)
            for n in part.notes
            if start - 1e-6 <= n.beat < stop
        ]
        if notes:
            kept.append(ScorePart(part.name, part.program, part.is_drums, tuple(notes)))
    return RealScore(name, tuple(kept), beats_per_bar, (stop - start) / unit, bpm and bpm / unit, is_compound)
