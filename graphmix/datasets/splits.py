"""Training, validation and test sets by artist: who has heard an artist in training is not asked about them again.

Artists stand in an order that a hash of their name and of the seed gives; the splits are stretches of it, as close to
their shares of all graphs as whole artists allow. The same dataset and seed give the same splits, on any machine;
a dataset that grows may move the artists at the borders. A song whose artist nobody knows is its own artist.
"""

import hashlib
from collections.abc import Sequence

from graphmix.errors import GraphError

SPLITS = ("train", "val", "test")
RATIOS = (0.8, 0.1, 0.1)


def artist_key(artist: str | None, song: str, collection: str | None = None) -> str:
    """What makes two graphs the same artist's: the name, whatever its case and spaces, or else the song.

    >>> artist_key(" The  Band", "a") == artist_key("the band", "b")
    True
    """
    name = " ".join((artist or "").split()).casefold()
    return f"artist {name}" if name else f"song {collection or ''}/{song}"


def split_by_artist(
    artists: Sequence[str], ratios: Sequence[float] = RATIOS, seed: int = 0, names: Sequence[str] = SPLITS
) -> list[str]:
    """The split of each graph.

    Args:
        artists: for each graph a key of its artist, see :func:`artist_key`.
        ratios: share of each split; they are scaled to add up to 1. A split of share 0 is empty, and every other has
            one artist at least.
        seed: another one gives other splits.
        names: of the splits.

    Raises:
        GraphError: ratios that are no shares, or fewer artists than splits.

    Example:
        >>> split_by_artist(["a", "a", "b", "c", "d"], ratios=(0.6, 0.2, 0.2), seed=1)
        ['train', 'train', 'val', 'train', 'test']
    """
    total = sum(ratios)
    if len(ratios) != len(names) or min(ratios) < 0 or not 0 < total < float("inf"):
        raise GraphError(
            f"the ratios of the splits are {tuple(ratios)}; give {len(names)} shares, for {', '.join(names)}."
        )
    order = sorted(set(artists), key=lambda artist: (_hash(artist, seed), artist))
    wanted = [i for i, ratio in enumerate(ratios) if ratio > 0]
    if len(order) < len(wanted):
        raise GraphError(
            f"{len(order)} artists cannot be split into {len(wanted)} sets without an artist in two of them; "
            "give fewer ratios that are not 0, or more songs."
        )
    counts = {artist: 0 for artist in order}
    for artist in artists:
        counts[artist] += 1
    borders = _borders([counts[artist] for artist in order], [ratios[i] / total for i in wanted])
    split: dict[str, str] = {}
    for i, begin, end in zip(wanted, [0, *borders], [*borders, len(order)], strict=True):
        split |= dict.fromkeys(order[begin:end], names[i])
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
