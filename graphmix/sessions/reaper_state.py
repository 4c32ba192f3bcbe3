"""What a REAPER project keeps of the graph beside what REAPER shows, so that reading it back loses nothing."""

import base64
import binascii
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from graphmix.processors.ride import BREAKPOINTS

Finite = Annotated[float, Field(allow_inf_nan=False)]


class State(BaseModel):
    """Data of a project: one word of base64."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def encoded(self) -> str:
        """The word."""
        return base64.b64encode(self.model_dump_json().encode()).decode()

    @classmethod
    def decoded(cls, word: str) -> Self:
        """The inverse of :meth:`encoded`.

        Raises:
            ValueError: it is no such data.
        """
        try:
            return cls.model_validate_json(base64.b64decode(word, validate=True))
        except (ValidationError, binascii.Error) as error:
            raise ValueError(str(error)) from None


class Fader(State):
    """The gain that a fader, or a receive's fader, is: node, name, left and right in dB."""

    node: int
    name: str
    gain_db: tuple[Finite, Finite]


class Envelope(State):
    """The ride that a volume envelope is: node, name, dry/wet, breakpoints in seconds and dB."""

    node: int
    name: str
    wet: Finite
    points: Annotated[tuple[tuple[Finite, Finite], ...], Field(min_length=1, max_length=BREAKPOINTS)]


class Track(State):
    """A track.

    Args:
        entry: what stands at its beginning: an input, a mix, or neither.
        node: the entry's place in the graph.
        name: its name there.
        fader: what its fader is.
        envelope: what its volume envelope is.
        is_fader_first: whether the fader's gain comes before the ride.
        send: what the fader of its receive is.
    """

    entry: Literal["in", "mix", ""] = ""
    node: int | None = None
    name: str = ""
    fader: Fader | None = None
    envelope: Envelope | None = None
    is_fader_first: bool = False
    send: Fader | None = None


class Whole(State):
    """The project: the output's place and name, and the master track."""

    version: Literal[1] = 1
    output: int | None
    name: str
    master: Track | None = None
