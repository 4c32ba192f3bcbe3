"""Splits of a songbook's material, so that nothing that a network is tested on was there in its training.

Scores fall to a split by a hash of their bytes. Instruments (presets of soundfonts that share samples, drum kits that
share recordings or an author) are few and differ in what they can play, so that chance alone would leave a split
without a bass: :func:`assign` gives each split at least one instrument for each ability, where there are enough.

A split depends on the material alone and not on a seed: two songbooks of the same material, one for training and one
for tests, fit together.
"""

import hashlib
from collections.abc import Collection, Mapping
from typing import Literal, get_args

Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
SHARES: Mapping[str, float] = {"test": 0.2, "valid": 0.1}
"""Share of scores and of instruments for each split; the rest is for training."""
_MINIMUM = {"test": 2, "valid": 3}
"""A split gets an ability where so many instruments have it: one for training, one for tests, one for validation."""


def fingerprint(text: str) -> float:
    """A number in [0, 1) that follows from a text.

    >>> 0 <= fingerprint("a score") < 1
    True
    """
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48


def split_of(digest: str) -> Split:
    """The split of a score, by the hash of its bytes."""
    place = fingerprint(f"score {digest}")
    if place < SHARES["test"]:
        return "test"
    return "valid" if place < SHARES["test"] + SHARES["valid"] else "train"


def assign(abilities: Mapping[str, Collection[str]]) -> dict[str, Split]:
    """The split of each instrument.

    Args:
        abilities: name of the instrument -> what it can play.

    Each ability that two instruments have is there in training and test, and with three in validation too; of
    many, a split gets its share. The instruments with the fewest abilities go first, so that those which can do much
    remain for training.
    """
    order = sorted(abilities, key=lambda name: (len(set(abilities[name])), fingerprint(f"instrument {name}")))
    left, found = list(order), dict[str, Split]()
    count = {a: sum(a in abilities[name] for name in order) for name in order for a in abilities[name]}
    splits: tuple[Split, ...] = ("test", "valid")
    for split in splits:
        for ability in sorted(count, key=lambda a: (count[a], a)):
            wanted = max(1, round(SHARES[split] * count[ability])) if count[ability] >= _MINIMUM[split] else 0
            while sum(its == split and ability in abilities[name] for name, its in found.items()) < wanted:
                if not _move(split, [name for name in left if ability in abilities[name]], left, found, abilities):
                    break
    return {name: found.get(name, "train") for name in abilities}


def _move(
    split: Split,
    candidates: list[str],
    left: list[str],
    found: dict[str, Split],
    abilities: Mapping[str, Collection[str]],
) -> bool:
    """Give a split the first candidate that training can spare, if there is one."""
    for name in candidates:
        others = {a for other in left if other != name for a in abilities[other]}
        if set(abilities[name]) <= others:
            found[name] = split
            left.remove(name)
            return True
    return False
