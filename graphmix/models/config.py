"""Configurations of models: their sizes and inputs, as pydantic models that JSON and TOML can hold.

``name`` selects the model; each has a class of its own, with its own keys. See :func:`model_config`.
"""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from graphmix.errors import GraphmixError
from graphmix.graph.consoles import CONSOLE_CHAIN

_SHOWN = 60
OLD_NAMES = {"writer": "autoregressive"}
"""Names of models in older files -> their names today."""


class Table(BaseModel):
    """A table of a configuration: frozen, and without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def changed_values(self, tables: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """JSON values of a table of tables, with others in some of these; None leaves a value as it is."""
        values = self.model_dump(mode="json")
        for table, changes in tables.items():
            values[table] = {**values[table], **{key: value for key, value in changes.items() if value is not None}}
        return values


class ModelConfig(Table):
    """Settings of every model.

    Args:
        name: name of the model.
        chain: the processors on each track (and bus, where there are any), by letter or by name in brackets.
        sample_rate: rate of the proposed graphs in Hz; stems of other rates are resampled.
        effects: letter -> file of a captured effect, for letters of the chain that graphmix does not have.
    """

    name: str
    chain: str = CONSOLE_CHAIN
    sample_rate: int = Field(default=30000, ge=8000, le=192000)
    effects: dict[str, str] = Field(default_factory=dict, exclude_if=lambda effects: not effects)

    @field_validator("name", mode="before")
    @classmethod
    def _renamed(cls, name: Any) -> Any:
        return OLD_NAMES.get(name, name) if isinstance(name, str) else name


class EncoderConfig(Table):
    """The encoder of tracks.

    Args:
        kind: ``"vggish"``, ``"residual"`` or ``"statistics"``.
        width: channels of the first convolution, later ones have up to eight times as many; for ``"statistics"`` a
            sixteenth of the hidden units.
        embedding: size of an embedding.
        dropout: in training, on the inputs of the dense layers.
    """

    kind: Literal["vggish", "residual", "statistics"] = "vggish"
    width: int = Field(default=12, ge=1)
    embedding: int = Field(default=128, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)


class NeuralConfig(ModelConfig):
    """Settings of all models with an encoder.

    Args:
        mels: bands of the spectrogram, 16 or more.
        encoder: encoder of the tracks, and of the mix.
        components: size of the basis of a processor type's parameters; types with fewer parameters are represented
            exactly. See :class:`graphmix.models.mixing.basis.RawBasis`.
        center_db: a track whose proposed left and right gains differ by less is centered. Most tracks of a mix are
            centered exactly, and then its side channel is silent; a loss that compares logarithms is sensitive to the
            smallest error there.
        keep_from: probability from which a processor stays in a proposal. Above one half where a processor too many
            costs more than one too few: a reverb on a track of a mix without any fills its silent side channel.
        soften_from: if given, equalizers, compressors and gates stay from this probability on, their dry/wet weight
            times it: half a correction costs less than a missing or a needless one, and none of them fills a silence.
        gain_staging: bring each track to a standard level before the encoder, and correct faders and thresholds for
            it; see :mod:`graphmix.models.mixing.gain_staging`.
        reverse: take the mix as well ([stems, mix] -> graph).
        responses: in reverse mode, take the measured gain of each track in the mix, band by band; see
            :class:`graphmix.models.mixing.responses.Responses`. For the encoder ``"statistics"``.
        modes: of models with heads: number of answers that a song may have, each a density of settings; see
            :mod:`graphmix.models.mixing.modes`. With 1 there is one answer.
    """

    mels: int = Field(default=64, ge=16)
    encoder: EncoderConfig = EncoderConfig()
    components: int = Field(default=16, ge=1)
    center_db: float = Field(default=2.0, ge=0)
    keep_from: float = Field(default=0.5, ge=0, le=1)
    soften_from: float | None = Field(default=None, ge=0, le=1)
    gain_staging: bool = False
    reverse: bool = False
    responses: bool = False
    modes: int = Field(default=1, ge=1, exclude_if=lambda modes: modes == 1)

    @property
    def features_key(self) -> str:
        """Settings that features depend on: models with equal keys have equal features of a song."""
        parts = self.encoder.kind == "statistics", self.mels, self.sample_rate, self.reverse, self.responses
        return ", ".join(map(str, parts))

    @model_validator(mode="after")
    def _check_responses(self) -> Self:
        if self.responses and not (self.reverse and self.encoder.kind == "statistics"):
            raise ValueError('responses are known in reverse mode, by the encoder "statistics"; set both, or neither')
        return self


def model_config(values: Mapping[str, Any]) -> ModelConfig:
    """The configuration that plain values describe, e.g. those of a TOML table or of a JSON file.

    Raises:
        GraphmixError: an unknown name (the known ones are listed), or a key that is unknown or has a wrong value.
    """
    from graphmix.models import MODELS  # each model brings its own configuration

    name = values.get("name")
    known = OLD_NAMES.get(name, name) if isinstance(name, str) else None
    if known is None or known not in MODELS:
        raise GraphmixError(f"there is no model {name!r}; give one of: {', '.join(sorted(MODELS))}.")
    try:
        return MODELS[known].config_type.model_validate(dict(values))
    except ValidationError as error:
        raise GraphmixError(f"model {name!r}: {describe_error(error)}.") from None


def describe_error(error: ValidationError) -> str:
    """The first thing that pydantic found wrong, in one sentence without a full stop."""
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"]) or "the whole"
    if first["type"] == "extra_forbidden":
        return f"the key {key!r} is unknown; remove it, or correct its spelling"
    if first["type"] == "missing":
        return f"the key {key!r} is missing; add it"
    message = str(first["msg"]).removeprefix("Value error, ").removesuffix(".")
    if first["type"] == "value_error":
        return message
    shown = repr(first.get("input"))
    shown = shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "…"
    return f"{key} is {shown}: {message[:1].lower()}{message[1:]}"
