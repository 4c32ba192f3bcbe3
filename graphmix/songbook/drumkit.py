"""Drum kits: recorded strokes by piece and by how hard they are struck.

Three kinds have one interface, :class:`Kit`: a folder as the drum machine Hydrogen keeps it (``drumkit.xml`` and the
recordings that it names), a folder of recorded strokes alone, and a drum bank of a soundfont. Which piece an instrument
of a folder is follows from its name or its file's ("Closed HH", "Floor Tom", "drum_cymbal_open.flac"); names that mean
nothing are left out.

Conventions. Strokes are mono, float64 at :data:`SYNTH_RATE`; velocities 0 to 1.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol
from xml.etree import ElementTree

import numpy as np
import soundfile
from numpy.random import Generator

from graphmix.audio.listing import audio_files, subfolders
from graphmix.errors import SongError
from graphmix.songbook.general_midi import PIECE_KEYS, ROLE_PIECES
from graphmix.songbook.playing import resampled
from graphmix.songbook.soundfont import PlayedNote, Preset, Soundfont, play_preset
from graphmix.songbook.synth import SYNTH_RATE, Samples

_PATTERNS: tuple[tuple[str, str], ...] = (
    (r"rim ?click|side ?stick|\bstick\b", "rim"),
    (r"bass ?drum|drum bass|\bbd\b|kick", "kick"),
    (r"snare(?!.*roll)|redo|\bsn\b", "snare"),
    (r"drum cymbal (hard|soft)", "crash"),
    (r"drum cymbal open", "open hats"),
    (r"drum cymbal (closed|pedal)", "hats"),
    (r"(open|\bop\b|free|ohh).*\b(hh|hat|hi)|(hh|hat|hi-?hat|hihat).*(open|\bop\b|free)|\bohh\b", "open hats"),
    (r"\bhh\b|\bhats?\b|hi-? ?hat", "hats"),
    (r"tom.*(low|lo\b|floor)|(low|floor).*tom|dununba.*head", "low tom"),
    (r"tom.*(mid|2)|(mid\w*) tom|sangban.*head", "mid tom"),
    (r"\btom", "high tom"),
    (r"clap|snap", "clap"),
    (r"crash|china|splash|cymbal", "crash"),
    (r"\bride\b|paiste bell", "ride"),
    (r"(conga|bongo).*(low|lo|1)\b|djembe.*bass|cajon thump", "low conga"),
    (r"conga|bongo|djembe|cajon", "high conga"),
    (r"maraca|shaker|tambourine", "shaker"),
    (r"(block|agogo).*(lo|low)\b|cowbell", "low block"),
    (r"block|agogo|clave|kenkeni.*bell", "high block"),
)
"""What names of instruments mean, the first that fits."""
_SPARE = {
    "open hats": ("hats",), "rim": ("snare",), "low tom": ("mid tom", "high tom"), "high tom": ("mid tom", "low tom"),
    "mid tom": ("low tom", "high tom"), "ride": ("crash",), "low conga": ("high conga",),
    "high conga": ("low conga",), "low block": ("high block",), "high block": ("low block",),
}  # fmt: skip
"""Pieces that stand in for one that a kit lacks."""
FULL_KIT = ("kick", "snare", "hats")
"""Pieces that a kit needs to be a drum set."""
_STROKE_SECONDS = 3.0
_VELOCITY_STEPS = 6
_MAX_SECONDS = 6.0


class Kit(Protocol):
    """Strokes on the pieces of a drum kit."""

    @property
    def name(self) -> str:
        """As the song's record has it."""

    @property
    def group(self) -> str:
        """Kits with the same one belong to the same split."""

    @property
    def pieces(self) -> tuple[str, ...]:
        """What it holds."""

    def strike(self, piece: str, velocity: float, choice: int, rng: Generator) -> Samples:
        """One stroke; `choice` picks among several instruments for the piece, the same for a whole song."""


def roles_of(kit: Kit) -> tuple[str, ...]:
    """Roles of drums and percussion that a kit can play."""
    return tuple(role for role, pieces in ROLE_PIECES.items() if any(piece in kit.pieces for piece in pieces))


def is_full(kit: Kit) -> bool:
    """Whether a kit is a whole drum set."""
    return all(piece in kit.pieces for piece in FULL_KIT)


def piece_or_spare(kit: Kit, piece: str) -> str | None:
    """The piece, or what stands in for it in this kit; None where nothing does."""
    return next((name for name in (piece, *_SPARE.get(piece, ())) if name in kit.pieces), None)


@dataclass(frozen=True)
class Layer:
    """A recording for strokes from one velocity to another."""

    path: Path
    low: float
    high: float
    gain: float


@dataclass(frozen=True)
class HydrogenKit:
    """A folder with ``drumkit.xml``, or with recorded strokes whose files' names say what they are.

    Args:
        name: of the folder.
        group: see :class:`Kit`.
        author: as the file has it.
        instruments: piece -> instruments for it, each a list of layers.
    """

    name: str
    group: str
    author: str
    instruments: Mapping[str, tuple[tuple[Layer, ...], ...]]

    @property
    def pieces(self) -> tuple[str, ...]:
        """What it holds."""
        return tuple(self.instruments)

    def strike(self, piece: str, velocity: float, choice: int, rng: Generator) -> Samples:
        """A stroke from the layer of its velocity, a little harder or softer than asked."""
        its = self.instruments[piece]
        layers = its[choice % len(its)]
        about = float(np.clip(velocity + rng.normal(0, 0.03), 0.01, 1.0))
        fitting = [layer for layer in layers if layer.low <= about <= layer.high] or [
            min(layers, key=lambda layer: abs(layer.low + layer.high - 2 * about))
        ]
        layer = fitting[int(rng.integers(len(fitting)))]
        return _recording(layer.path) * (layer.gain * about)


@dataclass(frozen=True)
class SoundfontKit:
    """A preset in the drum bank of a soundfont."""

    soundfont: Soundfont
    preset: Preset

    @property
    def name(self) -> str:
        """Of the preset, in its file."""
        return f"{self.preset.soundfont}: {self.preset.name}"

    @property
    def group(self) -> str:
        """Presets that share samples."""
        return self.preset.group

    @property
    def pieces(self) -> tuple[str, ...]:
        """All of General MIDI's."""
        return tuple(PIECE_KEYS)

    def strike(self, piece: str, velocity: float, choice: int, rng: Generator) -> Samples:
        """A stroke at one of a few velocities, scaled to the one that was asked for."""
        about = float(np.clip(velocity + rng.normal(0, 0.03), 0.05, 1.0))
        step = max(1, round(about * _VELOCITY_STEPS))
        keys = PIECE_KEYS[piece]
        stroke = _soundfont_stroke(self.soundfont, self.preset, keys[choice % min(2, len(keys))], step)
        return stroke * (about * _VELOCITY_STEPS / step)


def read_kits(folder: str | Path) -> tuple[HydrogenKit, ...]:
    """The drum kits in a folder: itself one, or with one in each subfolder.

    Without any ``drumkit.xml`` each folder with recorded strokes is a kit.

    Raises:
        SongError: there is none, or one cannot be read or has no samples.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise SongError(f"{folder} is not a folder: give one with drum kits of Hydrogen (drumkit.xml and recordings).")
    files = [folder / "drumkit.xml"] if (folder / "drumkit.xml").is_file() else sorted(folder.glob("*/drumkit.xml"))
    if files:
        kits = [_read_kit(file) for file in files]
    else:
        kits = [_plain_kit(place) for place in (folder, *subfolders(folder))]
    kits = [kit for kit in kits if kit.instruments]
    if not kits and not files:
        raise SongError(
            f"{folder} holds no drum kits: each is a folder with drumkit.xml and recordings, as Hydrogen keeps them "
            "(on Debian: apt install hydrogen-drumkits, /usr/share/hydrogen/data/drumkits), or with recorded strokes "
            "that are named for what they are (kick.wav, snare_soft.flac)."
        )
    return _grouped(kits)


def _plain_kit(folder: Path) -> HydrogenKit:
    """The recordings in a folder, each an instrument of the piece that its name means; loops are none."""
    found: dict[str, list[tuple[Layer, ...]]] = {}
    for path in audio_files(folder):
        piece = piece_of(path.stem)
        if piece is not None and "loop" not in path.stem.casefold():
            found.setdefault(piece, []).append((Layer(path, 0.0, 1.0, 1.0),))
    name = folder.resolve().name
    return HydrogenKit(name, name, name, {piece: tuple(its) for piece, its in sorted(found.items())})


def _read_kit(file: Path) -> HydrogenKit:
    try:
        root = ElementTree.parse(file).getroot()
    except (ElementTree.ParseError, OSError) as error:
        raise SongError(f"the drum kit {file} cannot be read ({error}).") from None
    for element in root.iter():  # newer kits name a namespace, older ones do not
        element.tag = element.tag.rsplit("}", 1)[-1]
    found: dict[str, list[tuple[Layer, ...]]] = {}
    recordings = 0
    for instrument in root.iter("instrument"):
        layers = _layers(instrument, file.parent)
        recordings += len(layers)
        piece = piece_of(instrument.findtext("name") or "")
        if layers and piece is not None:
            found.setdefault(piece, []).append(layers)
    if not recordings:
        raise SongError(f"the drum kit {file.parent} has no samples: its drumkit.xml names none that is there.")
    author = (root.findtext("author") or file.parent.name).strip()
    return HydrogenKit(
        file.parent.name, file.parent.name, author, {piece: tuple(its) for piece, its in sorted(found.items())}
    )


def piece_of(name: str) -> str | None:
    """The piece that an instrument's name means; None where it means none.

    >>> piece_of("Closed HH"), piece_of("Floor Tom"), piece_of("c3 - bass drum 1"), piece_of("27")
    ('hats', 'low tom', 'kick', None)
    """
    plain = name.casefold().replace("_", " ")
    return next((piece for pattern, piece in _PATTERNS if re.search(pattern, plain)), None)


def _layers(instrument: ElementTree.Element, folder: Path) -> tuple[Layer, ...]:
    """Layers whose recordings are there; an instrument without layers has one file for all velocities."""
    layers = []
    for element in (*instrument.iter("layer"), *([instrument] if instrument.findtext("filename") else [])):
        name = (element.findtext("filename") or "").strip()
        path = folder / Path(name).name
        if name and path.is_file() and "empty" not in name.casefold():
            low, high = (float(element.findtext(edge) or default) for edge, default in (("min", 0), ("max", 1)))
            layers.append(Layer(path, low, high, min(2.0, float(element.findtext("gain") or 1))))
    return tuple(layers)


def _grouped(kits: list[HydrogenKit]) -> tuple[HydrogenKit, ...]:
    """The kits, those of one author or with a recording in common in one group."""
    owner: dict[str, str] = {}
    group: dict[str, str] = {}
    for kit in kits:
        marks = {f"author {_first_words(kit.author)}"}
        marks |= {_digest(layer.path) for its in kit.instruments.values() for layers in its for layer in layers}
        joined = {group[owner[mark]] for mark in marks if mark in owner}
        name = min({kit.name, *joined})
        for other, its in group.items():
            if its in joined:
                group[other] = name
        group[kit.name] = name
        owner |= {mark: kit.name for mark in marks if mark not in owner}
    return tuple(HydrogenKit(kit.name, group[kit.name], kit.author, kit.instruments) for kit in kits)


def _first_words(author: str) -> str:
    """Enough of an author's name to know it again: up to an address or a dot."""
    return re.split(r"[<(\[./,]", author.casefold())[0].strip()


@lru_cache(maxsize=4096)
def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@lru_cache(maxsize=256)
def _recording(path: Path) -> Samples:
    """A recording, mono, from its first sample that sounds to the length of the longest stroke.

    Raises:
        SongError: it cannot be read.
    """
    try:
        audio, rate = soundfile.read(path, dtype="float64", always_2d=True)
    except (OSError, soundfile.LibsndfileError) as error:
        raise SongError(f"the recording {path} of a drum kit cannot be read ({error}).") from None
    mono = np.asarray(audio.mean(axis=1))
    if rate != SYNTH_RATE:
        mono = resampled(mono, rate, SYNTH_RATE, round(mono.size * SYNTH_RATE / rate))
    return _trimmed(mono)


def _trimmed(mono: Samples) -> Samples:
    """Without the silence before and after, and with a soft end where it is cut."""
    loud = np.flatnonzero(np.abs(mono) > 1e-3 * (np.abs(mono).max() + 1e-12))
    if not loud.size:
        return np.zeros(64)
    first, last = max(0, int(loud[0]) - 32), min(int(loud[-1]) + 1, int(loud[0]) + round(_MAX_SECONDS * SYNTH_RATE))
    stroke = mono[first:last].copy()
    fade = min(stroke.size, round(0.02 * SYNTH_RATE))
    stroke[stroke.size - fade :] *= np.linspace(1, 0, fade)
    return stroke


@lru_cache(maxsize=512)
def _soundfont_stroke(soundfont: Soundfont, preset: Preset, key: int, step: int) -> Samples:
    note = PlayedNote(0.0, _STROKE_SECONDS, key, step / _VELOCITY_STEPS)
    return _trimmed(play_preset(soundfont, preset, [note], _STROKE_SECONDS).mean(axis=0))
