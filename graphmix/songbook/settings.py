"""Settings of a songbook: with the index of a song, all of that song follows from them."""

from dataclasses import asdict
from typing import Any, Literal, get_args

from pydantic import ConfigDict, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from graphmix.errors import SongError
from graphmix.settings import EXPECTED, raising

Mode = Literal["console", "gain", "record", "random-order"]
AudioFormat = Literal["flac", "wav"]

MODES: tuple[Mode, ...] = get_args(Mode)
FORMATS: tuple[AudioFormat, ...] = get_args(AudioFormat)
MIN_SECONDS, MIN_RATE = 2.0, 16000
STREAMS = (
    "artist", "form", "topology", "score", "playing", "condition", "chance", "effect",
    "excerpt", "arrangement", "instruments", "drums", "recording", "record", "order",
)  # fmt: skip
"""What random numbers are for; each has a stream of its own, so that changing one leaves the others as they are."""


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    if first["type"] == "value_error":
        return f"{first['ctx']['error']}"
    name = str(first["loc"][0]) if first["loc"] else "settings"
    if first["type"] == "literal_error":
        allowed = {"mode": MODES, "audio_format": FORMATS}[name]
        return f"the songbook's {name} is {first['input']!r}; choose {' or '.join(allowed)}."
    return f"the songbook's {name} is {first['input']!r}; {EXPECTED.get(first['type'], first['msg'])}."


@raising(SongError, _sentence)
@dataclass(frozen=True, config=ConfigDict(strict=True, extra="forbid", allow_inf_nan=False))
class SongbookSettings:
    """Settings of a songbook.

    Args:
        seed: of everything.
        mode: ``"console"``, effects, faders and buses; ``"gain"``, nothing but gain and panning on each track;
            ``"record"``, a console and what lies between a multitrack and its master
            (:mod:`graphmix.songbook.record`); ``"random-order"``, chains of random types in random order
            (:mod:`graphmix.songbook.random_order`). All have the same dry tracks.
        chance: 0 to 1: how far decisions deviate from those that follow from the content; 0 not at all, 1 as far as
            two engineers who agree on little. The unit is in :mod:`graphmix.songbook.engineer`.
        style_spread: 0 to 1: how far an artist's mixing style deviates from the common one.
        min_tracks: the fewest tracks of a song.
        max_tracks: the most; None is as real sessions are, up to 136.
        seconds: shortest and longest song.
        songs_per_artist: successive songs that share an artist.
        sample_rate: in Hz.
        audio_format: ``"flac"``, 24 bits; ``"wav"``, 32-bit floating point (which holds the same 24-bit samples).
        effect_share: share of the tracks that pass through a captured effect, where the songbook is given any.
        types: of random chains, as a chain string; by default
            :data:`graphmix.songbook.random_order.RANDOM_TYPES`. For that mode alone.
    """

    seed: int = 0
    mode: Mode = "console"
    chance: float = 0.3
    style_spread: float = 0.3
    min_tracks: int = 2
    max_tracks: int | None = None
    seconds: tuple[float, float] = (10.0, 30.0)
    songs_per_artist: int = 4
    sample_rate: int = 30000
    audio_format: AudioFormat = "flac"
    effect_share: float = 0.5
    types: str = ""

    @model_validator(mode="after")
    def _check(self) -> "SongbookSettings":
        if self.seed < 0:
            raise ValueError(f"the songbook's seed is {self.seed}; give 0 or a positive whole number.")
        for name in ("chance", "style_spread", "effect_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"the songbook's {name} is {getattr(self, name)}; it lies between 0 and 1.")
        if self.min_tracks < 1 or (self.max_tracks is not None and self.max_tracks < self.min_tracks):
            raise ValueError(
                f"songs cannot have {self.min_tracks} to {self.max_tracks} tracks; give 1 or more, and no fewer "
                "at the most than at the least."
            )
        low, high = self.seconds
        if not MIN_SECONDS <= low <= high:
            raise ValueError(
                f"songs cannot last {low} to {high} seconds; give {MIN_SECONDS:g} or more, shortest first."
            )
        if self.songs_per_artist < 1:
            raise ValueError(f"songs_per_artist is {self.songs_per_artist}; give 1 or more.")
        if self.sample_rate < MIN_RATE:
            raise ValueError(f"the songbook's sample rate is {self.sample_rate} Hz; give {MIN_RATE} or more.")
        self._check_types()
        return self

    def _check_types(self) -> None:
        if self.mode == "random-order":
            from graphmix.songbook.random_order import find_kinds  # here: other modes load none of it

            find_kinds(self.random_types)
        elif self.types:
            raise ValueError(f"types {self.types!r} are for random chains: add mode 'random-order', or leave them out.")

    @property
    def random_types(self) -> str:
        """Types of random chains."""
        from graphmix.songbook.random_order import RANDOM_TYPES

        return self.types or RANDOM_TYPES

    def stream(self, purpose: str, *numbers: int) -> tuple[int, ...]:
        """Seed of the random numbers for one purpose (of :data:`STREAMS`) of one song, track, …"""
        return (self.seed, STREAMS.index(purpose), *numbers)

    def artist_of(self, index: int) -> int:
        """The artist of a song."""
        return index // self.songs_per_artist

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        values = {**asdict(self), "seconds": list(self.seconds)}
        if not self.types:  # which older songbooks have not
            del values["types"]
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "SongbookSettings":
        """The inverse of :meth:`to_dict`; older settings have `habits` in place of `style_spread`, and no effects.

        Raises:
            SongError: a value that is missing, unknown or out of range.
        """
        renamed = {"style_spread" if name == "habits" else name: value for name, value in values.items()}
        try:
            return cls(**{**renamed, "seconds": tuple(values["seconds"])})
        except (TypeError, KeyError) as error:
            raise SongError(f"these are no settings of a songbook ({error}).") from None
