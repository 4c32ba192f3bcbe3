"""What a mix of the synthetic dataset depends on: a session of dry tracks, a mixing style, and chance."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from graphmix.errors import SongError
from graphmix.processors.base import Processor
from graphmix.songbook.effects import Setting
from graphmix.songbook.roles import FAMILIES

_DICE = (
    "level", "place", "cut", "corner", "bell", "bell depth", "shelf", "shelf depth", "comp", "threshold", "ratio",
    "time", "gate", "gate threshold", "image", "echo", "echo wet", "room", "room wet", "decay",
)  # fmt: skip
"""What chance may touch in one chain; a die for each, so that one decision leaves the next one's luck alone."""
_LIMIT = 2.0


@dataclass(frozen=True)
class Session:
    """Dry tracks and how they are grouped.

    Args:
        stems: track -> its samples, [1 or 2, samples] float32; one channel where both are equal.
        roles: track -> what it plays, a name of :data:`graphmix.songbook.roles.ROLES`.
        subgroups: bus -> its tracks.
        sample_rate: in Hz.
        gear: track -> the captured effect that it passes through before it is mixed; tracks without one are missing.
        effects: the processors that `gear` names.
    """

    stems: Mapping[str, Tensor]
    roles: Mapping[str, str]
    subgroups: Mapping[str, tuple[str, ...]]
    sample_rate: int
    gear: Mapping[str, Setting] = field(default_factory=dict)
    effects: tuple[Processor, ...] = ()


@dataclass(frozen=True)
class MixingStyle:
    """How an artist's engineer differs from the common one; the default does not.

    Args:
        levels_db: family -> louder or softer.
        bright_db: added to the brightness that is wanted.
        even_db: added to the unevenness that is left alone.
        depth: factor on reverbs.
        decay: factor on their times.
        echo: factor on delays.
        width: factor on panning.
    """

    levels_db: Mapping[str, float] = field(default_factory=dict)
    bright_db: float = 0.0
    even_db: float = 0.0
    depth: float = 1.0
    decay: float = 1.0
    echo: float = 1.0
    width: float = 1.0

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "MixingStyle":
        """The inverse of :meth:`to_dict`.

        Raises:
            SongError: something that is no mixing style.
        """
        try:
            return cls(**values)
        except TypeError as error:
            raise SongError(f"this is no mixing style ({error}).") from None


def draw_style(seed: tuple[int, ...], spread: float) -> MixingStyle:
    """A style drawn for an artist; the common one where `spread` is 0."""
    rng = np.random.default_rng(seed)
    levels, others = (rng.standard_normal(n).clip(-_LIMIT, _LIMIT) * spread for n in (len(FAMILIES), 6))
    return MixingStyle(
        levels_db={family: round(2.5 * float(z), 3) for family, z in zip(FAMILIES, levels, strict=True)},
        bright_db=round(2.5 * float(others[0]), 3),
        even_db=round(2.0 * float(others[1]), 3),
        depth=round(float(np.exp(0.5 * others[2])), 3),
        decay=round(float(np.exp(0.3 * others[3])), 3),
        echo=round(float(np.exp(0.6 * others[4])), 3),
        width=round(float(np.exp(0.3 * others[5])), 3),
    )


class Luck:
    """Deviations from what follows from the content: standard normal, within ±2, times the chance.

    Args:
        seed: of the dice.
        chance: 0 to 1; at 0 all deviations are 0.
    """

    def __init__(self, seed: tuple[int, ...], chance: float) -> None:
        rolls = np.random.default_rng(seed).standard_normal(len(_DICE)).clip(-_LIMIT, _LIMIT)
        self._rolls = {name: chance * float(roll) for name, roll in zip(_DICE, rolls, strict=True)}

    def __call__(self, name: str) -> float:
        """The deviation of one decision."""
        return self._rolls[name]
