"""Which tracks a song has, and which of them share a bus: as in real sessions, filled with families of roles."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from graphmix.songbook.distributions import draw_num_tracks, draw_subgroup_sizes, draw_weighted
from graphmix.songbook.roles import FAMILIES, FAMILY_SIZES

_WEIGHTS = {
    "drums": 8.0, "percussion": 1.5, "bass": 6.0, "keys": 2.0, "guitars": 2.5, "synths": 2.5, "lead": 1.5,
    "vocals": 3.0, "backing": 1.2, "effects": 1.0,
}  # fmt: skip
"""How often a family has a bus, beside others."""
_MISFIT = 0.02
"""Factor on a family whose bus usually has another size."""
_CORE = {"drums": 3}
"""Roles that a group of the family always has first, in order; one in the others."""


@dataclass(frozen=True)
class PlannedTrack:
    """One track: its file name without ending, its role, and which of its role it is, from 0."""

    name: str
    role: str
    copy: int


def draw_topology(
    rng: Generator, smallest: int, largest: int | None, available: Collection[str] | None = None
) -> dict[str, list[PlannedTrack]]:
    """Buses of a song and their tracks.

    Args:
        rng: random numbers.
        smallest: tracks at the least.
        largest: tracks at the most; None is as real sessions.
        available: roles to choose from; all by default.
    """
    families = {
        family: [role for role in roles if available is None or role in available] for family, roles in FAMILIES.items()
    }
    families = {family: roles for family, roles in families.items() if roles}
    sizes = draw_subgroup_sizes(rng, draw_num_tracks(rng, smallest, largest))
    groups = _named_groups(rng, sizes, families)
    digits = len(str(sum(len(roles) for roles in groups.values())))
    copies: dict[str, int] = {}
    number = 0
    planned: dict[str, list[PlannedTrack]] = {}
    for bus, roles in groups.items():
        planned[bus] = []
        for role in roles:
            copy = copies.get(role, 0)
            copies[role], number = copy + 1, number + 1
            label = role.replace(" ", "_") + (f"_{copy + 1}" if copy else "")
            planned[bus].append(PlannedTrack(f"{number:0{max(2, digits)}d}_{label}", role, copy))
    return planned


def _named_groups(rng: Generator, sizes: list[int], families: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """A family for each size, the largest first; buses in the order of the families."""
    groups: dict[tuple[int, int], tuple[str, list[str]]] = {}
    order = list(families)
    left: list[str] = []
    rounds = 0
    for size in sizes:
        if not left:
            left, rounds = list(order), rounds + 1
        weights = [_WEIGHTS[family] * _fit(family, size) for family in left]
        family = draw_weighted(rng, left, weights)
        left.remove(family)
        bus = family if rounds == 1 else f"{family} {rounds}"
        groups[order.index(family), rounds] = bus, _roles(rng, family, families[family], size)
    return {bus: roles for _, (bus, roles) in sorted(groups.items())}


def _fit(family: str, size: int) -> float:
    low, high = FAMILY_SIZES[family]
    return 1.0 if low <= size <= high else _MISFIT


def _roles(rng: Generator, family: str, roles: list[str], size: int) -> list[str]:
    """Roles of one group: the core, then some of the rest, then second ones."""
    if size >= len(roles):
        return [roles[k % len(roles)] for k in range(size)]
    core = min(_CORE.get(family, 1), size)
    rest = rng.choice(np.arange(core, len(roles)), size - core, replace=False)
    return [roles[k] for k in [*range(core), *sorted(int(k) for k in rest)]]
