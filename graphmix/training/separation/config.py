"""Configurations of separator trainings: pydantic models, read from a TOML file.

Tables: ``[model]`` (``model`` selects the network; see :mod:`graphmix.models.masks.config`), ``[sources]`` (source ->
labels), ``[data]``, ``[remix]``, ``[loss]``, ``[training]``. Missing keys take their defaults, unknown keys are errors.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SerializeAsAny, ValidationError, field_validator, model_validator

from graphmix.errors import GraphmixError
from graphmix.io import read_toml
from graphmix.models.config import Table, describe_error
from graphmix.models.masks.config import MaskConfig
from graphmix.models.masks.separator import mask_config
from graphmix.training.separation.sources import SOURCES

CONFIG_FOLDER = Path(__file__).parent / "configs"
MOST_PERMUTED = 4
"""Sources that are matched in every order: 24 orders."""


class SeparationData(Table):
    """Which songs, and how they are cut.

    Args:
        songs: folders of songbooks, of MUSDB18-HQ, or of songs with subgroups; ``--songs`` comes before it.
        validation: share of the songs that decide which weights are kept; the split is artist-disjoint.
        test: share that is never touched in training; a collection with a test part of its own gives that instead.
        split_seed: of the split.
        wet: stems as they stand in the mix, where a song's graph is known; else the dry tracks.
        segment_seconds: length of a training segment.
        validation_seconds: longest stretch of a song in an evaluation, from its middle.
        keep_stems: keep rendered stems in the output folder, so that a resumed training does not render them again.
        stems: folder that they are kept in instead, which several trainings may share.
    """

    songs: tuple[str, ...] = ()
    validation: float = Field(default=0.1, ge=0, lt=1)
    test: float = Field(default=0.0, ge=0, lt=1)
    split_seed: int = Field(default=0, ge=0)
    wet: bool = True
    segment_seconds: float = Field(default=4.0, gt=0.1)
    validation_seconds: float = Field(default=10.0, gt=0.1)
    keep_stems: bool = True
    stems: str = ""

    @model_validator(mode="after")
    def _check(self) -> "SeparationData":
        if self.validation + self.test >= 1:
            raise ValueError(f"data.validation + data.test is {self.validation + self.test:g}; take less than 1")
        return self


class RemixConfig(Table):
    """New mixtures from the stems of several songs.

    Args:
        swap: probability that a source comes from another song.
        gain_db: largest gain or attenuation of a source.
        flip: probability that a source has its channels exchanged.
        mute: probability that a source is silent.
        speed_semitones: largest change of a song's speed, and of its pitch with it, up or down; a source from another
            song has its own.
        color_db: largest gain or attenuation of a random smooth curve over frequency, of each source.
        effects: probability of each effect on each source: equalizer, compressor, reverb, stereo imager. The mixture
            is rendered by a graph.
        target: what is to be found: stems ``"wet"`` as they are with these effects, or ``"dry"`` before them.
    """

    swap: float = Field(default=0.5, ge=0, le=1)
    gain_db: float = Field(default=6.0, ge=0, le=60)
    flip: float = Field(default=0.5, ge=0, le=1)
    mute: float = Field(default=0.05, ge=0, le=1)
    speed_semitones: float = Field(default=0.0, ge=0, le=12)
    color_db: float = Field(default=0.0, ge=0, le=30)
    effects: float = Field(default=0.0, ge=0, le=1)
    target: Literal["wet", "dry"] = "wet"

    @model_validator(mode="after")
    def _check(self) -> "RemixConfig":
        if self.color_db and self.target == "dry":
            raise ValueError(
                f"remix.color_db is {self.color_db:g}, and colors the stems that are mixed; with remix.target = "
                '"dry" those are not the ones to be found: set it to 0'
            )
        return self


class SeparationLoss(Table):
    """Weights of the terms; 0 leaves a term out.

    Args:
        magnitude_l1: mean absolute error of magnitudes.
        magnitude_mse: mean squared error of magnitudes.
        si_sdr: negative SI-SDR in dB, divided by 10, of the decoded sources.
        spectral_snr: negative signal-to-noise ratio, likewise, of coefficients, up to 30 dB re the mixture: levels
            count, and no inverse transform is computed. Silent sources have none: magnitude_mse keeps them silent.
        deep_clustering: of the embedding, for models that have one.
        permutation_invariant: sources have no names: each example takes the order of least loss.
    """

    magnitude_l1: float = Field(default=1.0, ge=0)
    magnitude_mse: float = Field(default=0.0, ge=0)
    si_sdr: float = Field(default=0.0, ge=0)
    spectral_snr: float = Field(default=0.0, ge=0)
    deep_clustering: float = Field(default=0.0, ge=0)
    permutation_invariant: bool = False

    @model_validator(mode="after")
    def _check(self) -> "SeparationLoss":
        if not any(self.weights.values()):
            raise ValueError("all weights are 0, so there is nothing to minimise; set magnitude_l1 above 0")
        return self

    @property
    def weights(self) -> dict[str, float]:
        """Weight of each term."""
        return self.model_dump(exclude={"permutation_invariant"})


class SeparationRun(Table):
    """The descent.

    Args:
        start: a separator whose weights the training begins with: a file, a folder of a training, or a name.
        steps: gradient steps.
        batch_size: mixtures of a step.
        learning_rate: of AdamW, after the warm-up.
        weight_decay: of AdamW.
        warmup_steps: over which the rate grows from 0.
        final_rate: share of the rate that is left at the end, reached by half a cosine.
        clip: largest norm of the gradient.
        average: share that the average of the weights keeps at a step; that average is evaluated and kept. 0 evaluates
            the weights themselves.
        seed: of every random choice.
        evaluate_every: steps from one evaluation to the next.
        patience: evaluations without improvement after which the training ends; 0 never ends it early.
        log_every: steps from one line of the log to the next.
        save_every_seconds: time between saved states, and so the work that a kill may lose.
    """

    start: str = ""
    steps: int = Field(default=2000, ge=1)
    batch_size: int = Field(default=8, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    warmup_steps: int = Field(default=50, ge=0)
    final_rate: float = Field(default=0.05, ge=0, le=1)
    clip: float = Field(default=1.0, gt=0)
    average: float = Field(default=0.0, ge=0, lt=1)
    seed: int = Field(default=0, ge=0, lt=2**62)
    evaluate_every: int = Field(default=200, ge=1)
    patience: int = Field(default=0, ge=0)
    log_every: int = Field(default=10, ge=1)
    save_every_seconds: float = Field(default=60.0, ge=0)


class SeparatorTraining(Table):
    """The configuration of a separator's training."""

    model: SerializeAsAny[MaskConfig]
    sources: dict[str, tuple[str, ...]] = Field(default_factory=lambda: dict(SOURCES))
    data: SeparationData = SeparationData()
    remix: RemixConfig = RemixConfig()
    loss: SeparationLoss = SeparationLoss()
    training: SeparationRun = SeparationRun()

    @field_validator("model", mode="before")
    @classmethod
    def _model(cls, value: Any) -> Any:
        return mask_config(value) if isinstance(value, Mapping) else value

    @model_validator(mode="after")
    def _check(self) -> "SeparatorTraining":
        missing = next((name for name in self.model.sources if name not in self.sources), None)
        if missing is not None:
            raise ValueError(
                f"the model's source {missing!r} has no labels under [sources], which has: {', '.join(self.sources)}"
            )
        if self.loss.permutation_invariant and len(self.model.sources) > MOST_PERMUTED:
            raise ValueError(
                f"{len(self.model.sources)} sources cannot be matched in every order; permutation_invariant takes up "
                f"to {MOST_PERMUTED}"
            )
        if self.loss.deep_clustering and self.model.model != "chimera":
            raise ValueError(
                f"loss.deep_clustering needs an embedding, which {self.model.model!r} does not have; take chimera"
            )
        return self

    @property
    def labels(self) -> dict[str, tuple[str, ...]]:
        """Labels of the model's sources, in its order."""
        return {name: self.sources[name] for name in self.model.sources}

    def changed(self, **tables: Mapping[str, Any]) -> "SeparatorTraining":
        """With other values, by table; None leaves a value as it is.

        Raises:
            GraphmixError: a value that is not allowed.
        """
        return parse_separator_config(self.changed_values(tables), "the options")


def load_separator_config(source: str | Path) -> SeparatorTraining:
    """Read a configuration: a TOML file, or the name of one that comes with graphmix.

    Raises:
        GraphmixError: names the file, the key, its value and what it should be.
    """
    path = find_separator_config(source)
    if path is None:
        raise GraphmixError(
            f"there is no configuration {str(source)!r} of a separator; give a .toml file or one of: "
            f"{', '.join(known_separator_configs())}."
        )
    return parse_separator_config(read_toml(path, error=GraphmixError), str(path))


def find_separator_config(source: str | Path) -> Path | None:
    """The file of a separator's configuration; None for what is none (an estimator's, or nothing known)."""
    path = Path(source)
    if path.is_file():
        table = read_toml(path, error=GraphmixError).get("model")
        return path if isinstance(table, dict) and "model" in table else None
    shipped = CONFIG_FOLDER / f"{source}.toml"
    return shipped if path.name == str(source) and shipped.is_file() else None


def known_separator_configs() -> list[str]:
    """Names of the configurations that come with graphmix."""
    return sorted(path.stem for path in CONFIG_FOLDER.glob("*.toml"))


def parse_separator_config(values: Mapping[str, Any], source: str) -> SeparatorTraining:
    """Check values from a file or from options.

    Raises:
        GraphmixError: the first key at fault, its value, and what it should be.
    """
    try:
        return SeparatorTraining.model_validate(dict(values))
    except ValidationError as error:
        raise GraphmixError(f"{source}: {describe_error(error)}.") from None
    except GraphmixError as error:  # of the model's table
        raise GraphmixError(f"{source}: {error}") from None
