"""Layouts of song collections, one module each; :func:`graphmix.songs.collection.open_collection` chooses among them.

The order is that in which they are tried: the most particular first.
"""

from graphmix.songs.layouts.base import CollectionKind, FoundCollection, FoundSong, ReadOptions
from graphmix.songs.layouts.daw import DAW
from graphmix.songs.layouts.medleydb import MEDLEYDB
from graphmix.songs.layouts.mixing_secrets import MIXING_SECRETS
from graphmix.songs.layouts.musdb18 import MUSDB18
from graphmix.songs.layouts.plain import PLAIN

KINDS: dict[str, CollectionKind] = {kind.name: kind for kind in (MEDLEYDB, MUSDB18, PLAIN, MIXING_SECRETS, DAW)}
"""Name -> layout."""

__all__ = ["KINDS", "CollectionKind", "FoundCollection", "FoundSong", "ReadOptions"]
