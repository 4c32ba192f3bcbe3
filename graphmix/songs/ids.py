"""Ids of songs: names that are safe as folders on any system, and that no two songs of a collection share."""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Sequence

LONGEST = 80
"""Characters of one folder's name; file systems take 255 bytes."""
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)  # names of devices on Windows


def safe_id(parts: Sequence[str]) -> str:
    """Join folder names to a relative path of ASCII letters, digits, and ``._ -``.

    Accents are dropped; a name that loses other letters, or is too long, ends in eight digits of its own hash, so
    that different names stay different.

    >>> safe_id(["test", "Al James - Café"])
    'test/Al James - Cafe'
    >>> safe_id(["夜に"]), safe_id([".."])
    ('song-4e94ce89', 'song-5ec1f7e7')
    """
    return "/".join(map(_safe_name, parts)) or "song"


def unique_ids(all_parts: Iterable[Sequence[str]]) -> list[str]:
    """An id for each song, in order; where two would be alike but for case, or one lie inside the
    other, the later one gets a hash of its name."""
    taken: set[str] = set()
    above: set[str] = set()  # folders that ids lie in
    ids = []
    for parts in all_parts:
        base = chosen = safe_id(parts)
        number = 0
        while (key := chosen.casefold()) in taken or key in above or taken & _folders_of(key):
            number += 1
            chosen = f"{base.replace('/', '_')}-{_digest(f'{parts} {number}')}"
        taken.add(key)
        above |= _folders_of(key)
        ids.append(chosen)
    return ids


def _folders_of(song_id: str) -> set[str]:
    """The folders in which an id lies."""
    pieces = song_id.split("/")
    return {"/".join(pieces[:depth]) for depth in range(1, len(pieces))}


def _safe_name(name: str) -> str:
    composed = unicodedata.normalize("NFC", name)
    plain = "".join(c for c in unicodedata.normalize("NFKD", composed) if not unicodedata.combining(c))
    safe = re.sub(r"[^A-Za-z0-9._ -]", "_", plain).strip(" .")
    loses = any(ord(c) > 127 for c in plain) or not safe or len(safe) > LONGEST or _RESERVED.match(safe)
    if not loses:
        return safe
    kept = re.sub("_+", "_", safe[:LONGEST]).strip("_ .") or "song"
    return f"{'song ' if _RESERVED.match(kept) else ''}{kept}-{_digest(composed)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]
