"""Which file is a song's mix, by its name.

Ranks, the surest first: a file called mix; one called by another word for a mix; one called after the song's folder,
with or without such a word; a preview of the Mixing Secrets library; one whose name ends in such a word and names no
instrument. Any other file is a track.
"""

import re
import unicodedata
from pathlib import Path

from graphmix.audio.subgroup_guess import OTHER, guess_subgroup

MIX_NAMES = ("mix", "mixdown", "mixture", "master", "fullmix", "finalmix", "stereomix", "fullpreview", "preview")
"""Letters and digits of the names that mean a mix, alone or at the end of a longer name."""
_PREVIEW = ("fullpreview", "unmasteredpreview")


def mix_rank(path: Path, folder: Path) -> int | None:
    """How surely a file is the mix of the song in a folder, 0 most; None for a track."""
    name = squash(path.stem)
    if name == MIX_NAMES[0]:
        return 0
    if name in MIX_NAMES:
        return 1
    if called_after(path, folder):
        return 2
    if is_preview(path):
        return 3
    instrument = path.stem[:1].isdigit() or guess_subgroup(path.name).bus != OTHER
    return 4 if name.endswith(MIX_NAMES) and not instrument else None


def called_after(path: Path, folder: Path) -> bool:
    """Whether a file is called as a folder is, with or without a word that means a mix."""
    name, base = squash(path.stem), squash(base_name(folder))
    rest = name.removeprefix(base).removeprefix("full")
    return bool(base) and name.startswith(base) and rest in ("", *MIX_NAMES)


def base_name(folder: Path) -> str:
    """A folder's name without the ``_Full`` of the Mixing Secrets archives."""
    return re.sub(r"[_ -]full$", "", folder.name, flags=re.IGNORECASE)


def is_preview(path: Path) -> bool:
    """Whether a file is called as the previews of the Mixing Secrets library are."""
    return squash(path.stem).endswith(_PREVIEW)


def squash(name: str) -> str:
    """Letters and digits alone, lower case."""
    return "".join(letter for letter in unicodedata.normalize("NFC", name).casefold() if letter.isalnum())
