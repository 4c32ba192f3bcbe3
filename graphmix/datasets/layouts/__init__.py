"""Layouts of song collections, one module each; :func:`graphmix.datasets.songs.open_collection` chooses among them.

The order is that in which they are tried: the most particular first.
"""

from graphmix.datasets.layouts.base import CollectionKind, FoundCollection, FoundSong, ReadOptions
from graphmix.datasets.layouts.daw import DAW
from graphmix.datasets.layouts.medleydb import MEDLEYDB
from graphmix.datasets.layouts.mixing_secrets import MIXING_SECRETS
from graphmix.datasets.layouts.musdb18 import MUSDB18
from graphmix.datasets.layouts.plain import PLAIN

KINDS: dict[str, CollectionKind] = {kind.name: kind for kind in (MEDLEYDB, MUSDB18, PLAIN, MIXING_SECRETS, DAW)}
"""Name -> layout."""

__all__ = ["KINDS", "CollectionKind", "FoundCollection", "FoundSong", "ReadOptions"]
