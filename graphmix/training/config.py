"""Configurations of trainings: pydantic models, read from a TOML file.

A file has the tables ``[model]`` (``name`` selects the model, the other keys are that model's own; see
:mod:`graphmix.models`), ``[data]``, ``[loss]``, ``[training]`` and ``[device]``. Missing keys take their defaults,
unknown keys are errors. Files that come with graphmix are referred to by name, without ``.toml``.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SerializeAsAny, ValidationError, field_validator, model_validator

from graphmix.errors import GraphmixError
from graphmix.io import read_toml
from graphmix.models.config import ModelConfig, Table, describe_error
from graphmix.models.config import model_config as read_model

CONFIG_FOLDER = Path(__file__).parent / "configs"
OLD_NAMES = {"writer": "autoregressive"}
"""Names that configurations had -> their names today."""


class DataConfig(Table):
    """Which songs, and how they are cut.

    Args:
        songs: folders of songbooks or of what ``mine-all`` wrote; ``--songs`` comes before it.
        validation: share of the songs that decide which weights are kept; the split is artist-disjoint.
        test: share that is never touched in training, with artists of its own.
        split_seed: of the split.
        max_tracks: leave out songs with more tracks.
        segment_seconds: length of a training segment.
        warmup_seconds: of which the first so many are not scored.
        validation_segments: number of segments of a song in an evaluation, evenly spread.
        memory_gb: what decoded songs may take; others are decoded segment by segment.
        fixed_places: let segments begin at few fixed places and not anywhere, so that their features are computed once;
            worth it where no audio is rendered.
        encode: what the encoder gets: the ``"segment"`` that is rendered, or the whole ``"song"``, as when the model is
            used. Features of whole songs are computed once, before the first step, and kept. (``hear`` in older files.)
        workers: processes of each device that decode; 0 decodes in the training's own.
    """

    songs: tuple[str, ...] = ()
    validation: float = Field(default=0.15, ge=0, lt=1)
    test: float = Field(default=0.0, ge=0, lt=1)
    split_seed: int = Field(default=0, ge=0)
    max_tracks: int | None = Field(default=24, ge=1)
    segment_seconds: float = Field(default=3.8, gt=0.3)
    warmup_seconds: float = Field(default=1.0, ge=0)
    validation_segments: int = Field(default=2, ge=1)
    memory_gb: float = Field(default=2.0, ge=0)
    fixed_places: bool = False
    encode: Literal["segment", "song"] = "segment"
    workers: int = Field(default=0, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _renamed(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and "hear" in values and "encode" not in values:
            return {("encode" if key == "hear" else key): value for key, value in values.items()}
        return values

    @model_validator(mode="after")
    def _check(self) -> "DataConfig":
        if self.validation + self.test >= 1:
            raise ValueError(f"data.validation + data.test is {self.validation + self.test:g}; take less than 1")
        if self.segment_seconds - self.warmup_seconds < 0.3:
            raise ValueError("less than 0.3 s of a segment is scored; make segment_seconds longer")
        return self


def _is_zero(weight: float) -> bool:
    """Terms added later are left out of files where they are not used, so that older trainings are resumed."""
    return weight == 0


class LossConfig(Table):
    """Weights of the terms; 0 leaves a term out (and what only it needs is not computed).

    Args:
        audio: audio loss of equation 3 between the rendered proposal and the mix.
        keep: cross entropy of keeping and dropping; what is rare of a node type weighs more, by the square root.
        wet: absolute difference of dry/wet weights where the true graph keeps.
        coefficients: smooth L1 of the coefficients of raw parameters where the true graph keeps.
        subgroups: cross entropy of the predicted bus of each track, for models that predict them.
        sequence: negative log likelihood of the true graph, for autoregressive models.
        sparsity: mean probability of keeping, a price on every processor.
        levels: absolute difference of the levels of tracks re their mean, in units of 10 dB; see
            :mod:`graphmix.training.relative_losses`.
        pan: the same of how far tracks are from the middle, on whichever side.
        spectrum: the same of the mix's third octaves re their mean.
        density: negative log-density of the true graph's settings, for models with modes.
    """

    audio: float = Field(default=1.0, ge=0)
    keep: float = Field(default=0.0, ge=0)
    wet: float = Field(default=0.0, ge=0)
    coefficients: float = Field(default=0.0, ge=0)
    subgroups: float = Field(default=0.0, ge=0)
    sequence: float = Field(default=0.0, ge=0)
    sparsity: float = Field(default=0.0, ge=0)
    levels: float = Field(default=0.0, ge=0, exclude_if=_is_zero)
    pan: float = Field(default=0.0, ge=0, exclude_if=_is_zero)
    spectrum: float = Field(default=0.0, ge=0, exclude_if=_is_zero)
    density: float = Field(default=0.0, ge=0, exclude_if=_is_zero)

    @model_validator(mode="after")
    def _check(self) -> "LossConfig":
        if not any(self.model_dump().values()):
            raise ValueError("all weights are 0, so there is nothing to minimise; set audio or keep above 0")
        return self


class RunConfig(Table):
    """The descent.

    Args:
        steps: gradient steps.
        batch_size: songs of a step, of all devices together.
        learning_rate: of AdamW, after the warm-up.
        weight_decay: of AdamW.
        warmup_steps: over which the rate grows from 0.
        final_rate: share of the rate that is left at the end, reached by half a cosine.
        audio_after: share of the steps that learn from the true graphs alone, before sound is rendered as well; such
            steps take a fraction of the time.
        audio_rate: share of the learning rate at the first step with sound, where ``audio_after`` is above 0; from
            there it falls along half a cosine of its own.
        clip: largest norm of the gradient.
        seed: of every random choice.
        evaluate_every: steps from one evaluation to the next.
        watch: term whose smallest value decides which weights are kept: ``"proposal"`` is the audio loss of what the
            model proposes when it is used, ``"total"`` the training loss.
        patience: number of evaluations without improvement after which the training ends; 0 never ends it early.
        log_every: steps from one line of the log to the next.
        logs: ``"csv"``, ``"tensorboard"`` or both.
        save_every_seconds: time between saved states, and so the work that a kill may lose.
    """

    steps: int = Field(default=2000, ge=0)
    batch_size: int = Field(default=4, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    warmup_steps: int = Field(default=100, ge=0)
    final_rate: float = Field(default=0.05, ge=0, le=1)
    audio_after: float = Field(default=0.0, ge=0, lt=1)
    audio_rate: float = Field(default=0.3, gt=0, le=1)
    clip: float = Field(default=1.0, gt=0)
    seed: int = Field(default=0, ge=0, lt=2**62)
    evaluate_every: int = Field(default=200, ge=1)
    watch: Literal["proposal", "total"] = "proposal"
    patience: int = Field(default=0, ge=0)
    log_every: int = Field(default=10, ge=1)
    logs: tuple[Literal["csv", "tensorboard"], ...] = ("csv",)
    save_every_seconds: float = Field(default=60.0, ge=0)

    @property
    def silent_steps(self) -> int:
        """Number of steps that learn from the true graphs alone."""
        return math.ceil(self.audio_after * self.steps)


class DeviceConfig(Table):
    """Devices, by Lightning Fabric.

    Args:
        accelerator: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"gpu"``.
        devices: how many; more than one trains by DDP.
        strategy: of Fabric; ``"auto"`` is one device, or DDP on several.
        precision: ``"32-true"``, or mixed ``"bf16-mixed"``, ``"16-mixed"``: of the network, never of the renderer.
    """

    accelerator: Literal["auto", "cpu", "cuda", "gpu"] = "auto"
    devices: int = Field(default=1, ge=1)
    strategy: Literal["auto", "ddp", "ddp_spawn", "ddp_fork"] = "auto"
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"


class TrainConfig(Table):
    """The configuration of a training."""

    model: SerializeAsAny[ModelConfig]
    data: DataConfig = DataConfig()
    loss: LossConfig = LossConfig()
    training: RunConfig = RunConfig()
    device: DeviceConfig = DeviceConfig()

    @field_validator("model", mode="before")
    @classmethod
    def _model(cls, value: Any) -> Any:
        return read_model(value) if isinstance(value, Mapping) else value

    @model_validator(mode="after")
    def _check(self) -> "TrainConfig":
        if self.training.batch_size % self.device.devices:
            raise ValueError(
                f"training.batch_size is {self.training.batch_size} and device.devices {self.device.devices}; every "
                "device gets the same number of songs, so make the first a multiple of the second"
            )
        if self.training.audio_after and not any(self.loss.model_dump(exclude={"audio"}).values()):
            raise ValueError(
                f"training.audio_after is {self.training.audio_after:g} and audio the only term of the loss, so there "
                "is nothing to learn until then; set it to 0, or another term above 0"
            )
        if self.training.audio_after and not self.data.validation:
            raise ValueError(
                f"training.audio_after is {self.training.audio_after:g} and data.validation 0: the loss before cannot "
                "be compared with that after; hold out songs, or set it to 0"
            )
        return self

    def changed(self, **tables: Mapping[str, Any]) -> "TrainConfig":
        """With other values, by table; None leaves a value as it is.

        Raises:
            GraphmixError: a value that is not allowed.
        """
        return parse_config(self.changed_values(tables), "the options")


def load_config(source: str | Path) -> TrainConfig:
    """Read a configuration: a TOML file, or the name of one that comes with graphmix.

    Raises:
        GraphmixError: names the file, the key, its value and what it should be.
    """
    path = find_config(source)
    values = read_toml(path, error=GraphmixError)
    return parse_config(values, str(path))


def find_config(source: str | Path) -> Path:
    """The file of a configuration.

    Raises:
        GraphmixError: it is neither a file nor a known name; the known names are listed.
    """
    path = Path(source)
    if path.is_file():
        return path
    name = OLD_NAMES.get(str(source), str(source))
    shipped = CONFIG_FOLDER / f"{name}.toml"
    if path.name == str(source) and shipped.is_file():
        return shipped
    raise GraphmixError(
        f"there is no configuration {str(source)!r}; give a .toml file or one of: {', '.join(known_configs())}."
    )


def known_configs() -> list[str]:
    """Names of the configurations that come with graphmix."""
    return sorted(path.stem for path in CONFIG_FOLDER.glob("*.toml"))


def parse_config(values: Mapping[str, Any], source: str) -> TrainConfig:
    """Check values from a file or from options.

    Args:
        values: table -> key -> value.
        source: what error messages call them.

    Raises:
        GraphmixError: the first key at fault, its value, and what it should be.
    """
    try:
        return TrainConfig.model_validate(dict(values))
    except ValidationError as error:
        raise GraphmixError(f"{source}: {describe_error(error)}.") from None
