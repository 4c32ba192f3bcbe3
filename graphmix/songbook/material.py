"""What a songbook of real scores and samples is made of, and which of it one split may use."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator

from graphmix.errors import SongError
from graphmix.songbook.drumkit import HydrogenKit, Kit, SoundfontKit, is_full, read_kits, roles_of
from graphmix.songbook.extras import load_extra
from graphmix.songbook.general_midi import DRUM_BANK, ROLE_PIECES
from graphmix.songbook.roles import ROLES
from graphmix.songbook.scores import ScoreFile, ScoreLibrary, find_scores
from graphmix.songbook.soundfont import Preset, Soundfont, read_soundfont
from graphmix.songbook.splits import SPLITS, Split, assign

VOCAL_ROLES = ("vocal", "double", "backing vocal")
"""Roles for which soundfonts have little: the built-in singing voice joins in, or stands in."""


@dataclass(frozen=True)
class RealMaterial:
    """Scores and instruments; what is missing is composed, or played by the built-in synthesis.

    Args:
        scores: of the split; None, songs are composed.
        soundfonts: whole files.
        presets: those of the split that play a role.
        kits: drum kits of the split.
        split: that it is limited to; None, all.
    """

    scores: ScoreLibrary | None
    soundfonts: tuple[Soundfont, ...]
    presets: tuple[Preset, ...]
    kits: tuple[Kit, ...]
    split: Split | None

    def presets_of(self, role: str) -> list[Preset]:
        """Presets that can play a role."""
        return [preset for preset in self.presets if role in preset.roles]

    def kits_of(self, role: str) -> list[Kit]:
        """Kits that can play a role of drums or percussion."""
        return [kit for kit in self.kits if role in roles_of(kit)]

    @property
    def full_kits(self) -> list[Kit]:
        """Kits that are whole drum sets."""
        return [kit for kit in self.kits if is_full(kit)]

    @property
    def roles(self) -> tuple[str, ...]:
        """Roles that songs may have."""
        with_presets = {role for preset in self.presets for role in preset.roles} | set(VOCAL_ROLES)
        with_kits = {role for kit in self.kits for role in roles_of(kit)}
        return tuple(
            role
            for role in ROLES
            if (role in with_kits or not self.kits if role in ROLE_PIECES else role in with_presets or not self.presets)
        )

    def soundfont_of(self, preset: Preset) -> Soundfont:
        """The file of a preset."""
        return next(font for font in self.soundfonts if preset in font.presets)

    def draw_score(self, rng: Generator) -> ScoreFile:
        """A score: first its folder (a composer, a collection), by the logarithm of its size, so that none prevails."""
        assert self.scores is not None, "a material without scores is composed for"
        folders = sorted(self.scores.files)
        weights = np.log2([1 + len(self.scores.files[folder]) for folder in folders])
        files = self.scores.files[folders[int(rng.choice(len(folders), p=weights / weights.sum()))]]
        return files[int(rng.integers(len(files)))]

    def to_dict(self) -> dict[str, Any]:
        """What tells this material from another, wherever its files lie (JSON values)."""
        scores = self.scores
        return {
            "scores": scores and {"where": scores.where, "count": len(scores), "digest": scores.digest},
            "soundfonts": {font.path.name: font.digest for font in self.soundfonts},
            "drumkits": [kit.name for kit in self.kits if isinstance(kit, HydrogenKit)],
            "split": self.split,
        }


def find_material(
    scores: str | Path | None = None,
    soundfonts: Iterable[str | Path] = (),
    drumkits: str | Path | None = None,
    split: str | None = None,
) -> RealMaterial:
    """Read what a songbook is to be made of.

    Args:
        scores: folder of scores, or ``music21``.
        soundfonts: SF2 files.
        drumkits: folder of Hydrogen's drum kits, or of recorded strokes; without, the soundfonts' own drums play.
        split: ``train``, ``valid`` or ``test``; None is all.

    Raises:
        SongError: something cannot be read, a package is missing, or the split has nothing to use.
    """
    if split is not None and split not in SPLITS:
        raise SongError(f"there is no split {split!r}; choose one of: {', '.join(SPLITS)}.")
    chosen = next((name for name in SPLITS if name == split), None)
    library = None if scores is None else find_scores(scores).of_split(chosen)
    if library is not None and not len(library):
        raise SongError(f"no score of {scores} belongs to the split {split!r}: give more scores, or no split.")
    fonts = tuple(read_soundfont(path) for path in soundfonts)
    if fonts:
        load_extra("fluidsynth")
    names = [font.path.name for font in fonts]
    if len(set(names)) < len(names):
        raise SongError("two of the soundfonts have the same name: give each file once.")
    presets = [preset for font in fonts for preset in font.presets if preset.roles]
    kits: Sequence[Kit]
    if drumkits is not None:
        kits = read_kits(drumkits)
    else:
        kits = [SoundfontKit(font, preset) for font in fonts for preset in font.presets if preset.bank == DRUM_BANK]
    if chosen is not None:
        of_preset = assign(_abilities((preset.group, preset.roles) for preset in presets))
        of_kit = assign(_abilities((kit.group, (*roles_of(kit), *(["set"] * is_full(kit)))) for kit in kits))
        presets = [preset for preset in presets if of_preset[preset.group] == chosen]
        kits = [kit for kit in kits if of_kit[kit.group] == chosen]
        for given, left, what in ((fonts, presets, "preset of the soundfonts"), (drumkits, kits, "drum kit")):
            if given and not left:
                raise SongError(f"no {what} belongs to the split {split!r}: give more of them, or no split.")
    return RealMaterial(library, fonts, tuple(presets), tuple(kits), chosen)


def _abilities(items: Iterable[tuple[str, Iterable[str]]]) -> Mapping[str, set[str]]:
    """What the instruments of each group can do."""
    found: dict[str, set[str]] = {}
    for group, its in items:
        found.setdefault(group, set()).update(its)
    return found
