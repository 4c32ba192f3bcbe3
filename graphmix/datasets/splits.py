"""Training, validation and test sets that share no artist.

Artists are put into an order that a hash of their name and of the seed gives; the splits are consecutive parts of
it, as close to their shares of all graphs as whole artists allow. The same dataset and seed give the same splits on any
machine; a dataset that grows may move the artists at the borders. A song without a known artist is an artist of its
own.

The second split is called ``"validation"``; ``"val"``, as PyG users say, is accepted for it.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

from graphmix.errors import GraphError

SPLITS = ("train", "validation", "test")
RATIOS = (0.8, 0.1, 0.1)
_SHORT = {"val": "validation"}
Part = TypeVar("Part")
"""What a split is a part of."""


class Splits(dict[str, Part]):
    """What belongs to each split, by its name.

    >>> Splits(validation=3)["val"]
    3
    """

    def __missing__(self, name: str) -> Part:
        return self[split_name(name)]


def split_name(name: str) -> str:
    """The name of a split in full.

    Raises:
        GraphError: there is no such split.

    >>> split_name("val")
    'validation'
    """
    full = _SHORT.get(name, name)
    if full not in SPLITS:
        raise GraphError(f"there is no split {name!r}; the splits are: {', '.join(SPLITS)}.")
    return full


def artist_key(artist: str | None, song: str, collection: str | None = None) -> str:
    """The key of a graph's artist: the name, whatever its case and spaces, or else the song.

    >>> artist_key(" The  Band", "a") == artist_key("the band", "b")
    True
    """
    name = " ".join((artist or "").split()).casefold()
    return f"artist {name}" if name else f"song {collection or ''}/{song}"


def split_by_artist(artists: Sequence[str], ratios: Sequence[float] = RATIOS, seed: int = 0) -> list[str]:
    """The split of each graph.

    Args:
        artists: for each graph a key of its artist, see :func:`artist_key`.
        ratios: share of each split; they are scaled to add up to 1. A split of share 0 is empty, and every other has
            at least one artist.
        seed: another one gives other splits.

    Raises:
        GraphError: ratios that are no shares, or fewer artists than splits.

    Example:
        >>> split_by_artist(["a", "a", "b", "c", "d"], ratios=(0.6, 0.2, 0.2), seed=1)
        ['train', 'train', 'validation', 'train', 'test']
    """
    total = sum(ratios)
    if len(ratios) != len(SPLITS) or min(ratios) < 0 or not 0 < total < float("inf"):
        raise GraphError(
            f"the ratios of the splits are {tuple(ratios)}; give {len(SPLITS)} shares, for {', '.join(SPLITS)}."
        )
    order = sorted(set(artists), key=lambda artist: (_hash(artist, seed), artist))
    wanted = [i for i, ratio in enumerate(ratios) if ratio > 0]
    if len(order) < len(wanted):
        raise GraphError(
            f"{len(order)} artists cannot be split into {len(wanted)} sets without an artist in two of them; "
            "give fewer ratios that are not 0, or more songs."
        )
    counts = Counter(artists)
    borders = _borders([counts[artist] for artist in order], [ratios[i] / total for i in wanted])
    split: dict[str, str] = {}
    for i, (begin, end) in zip(wanted, pairwise([0, *borders, len(order)]), strict=True):
        split |= dict.fromkeys(order[begin:end], SPLITS[i])
    return [split[artist] for artist in artists]


def _hash(artist: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed} {artist}".encode("utf-8", "surrogatepass")).digest()


def _borders(counts: Sequence[int], shares: Sequence[float]) -> list[int]:
    """Where each share ends in a row of artists with these counts of graphs; none is empty."""
    total, passed, border = sum(counts), 0.0, 0
    borders = []
    goal = 0.0
    for i, share in enumerate(shares[:-1]):
        goal += share * total
        first = border
        latest = len(counts) - (len(shares) - 1 - i)
        while border < latest and (border == first or passed + counts[border] / 2 <= goal):
            passed += counts[border]
            border += 1
        borders.append(border)
    return borders
