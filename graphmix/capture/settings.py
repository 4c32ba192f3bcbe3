"""What a capture is asked for: which network, how long it learns, and from which parts.

``draft`` ends within ten minutes on two threads; ``full`` takes as many steps as the networks' authors do.
"""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from graphmix.capture.losses import PRE_EMPHASIS
from graphmix.models.config import Table

STFT_SAMPLES = 2400
"""Of the longest window of the STFT distance."""
Preset = Literal["draft", "full"]


class CaptureSettings(Table):
    """Settings of a capture.

    Args:
        model: configuration of the network, as :func:`graphmix.models.effects.build_effect` takes it; sample rate and
            controls come from the recordings.
        steps: of the optimizer, at most.
        minutes: of training, at most; the learning rate falls with what is nearer to its end.
        batch: segments of a step.
        segment: samples of a segment that count.
        parts: steps that a recurrent network takes through a segment of so many times the samples, each of which goes
            on from the state of the one before (truncated backpropagation through time); 1 for the others.
        learning_rate: at the beginning; it falls to a hundredth by half a cosine.
        loss: what is made small: ``esr``, the error of each batch relative to its own energy; ``level``, relative to
            the energy of all recordings; ``mu_law``, the error after mu-law companding.
        pre_emphasis: of the first two; 0 for none.
        stft: weight of the multi-resolution STFT distance.
        dc: weight of the difference of means.
        validate_every: steps between two validations.
        patience: looks without a better one after which training stops; 0 for never.
        validation: share of each recording that is kept for them.
        seed: of weights and segments.
    """

    model: Mapping[str, Any] = {"model": "lstm"}
    steps: int = Field(default=20000, ge=1)
    minutes: float = Field(default=9.0, gt=0)
    batch: int = Field(default=16, ge=1)
    segment: int = Field(default=4096, ge=1)
    parts: int = Field(default=1, ge=1)
    learning_rate: float = Field(default=4e-3, gt=0)
    loss: Literal["esr", "level", "mu_law"] = "esr"
    pre_emphasis: float = Field(default=PRE_EMPHASIS, ge=0, lt=1)
    stft: float = Field(default=2e-3, ge=0)
    dc: float = Field(default=0.5, ge=0)
    validate_every: int = Field(default=200, ge=1)
    patience: int = Field(default=0, ge=0)
    validation: float = Field(default=0.1, gt=0, lt=0.5)
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.stft and self.segment < STFT_SAMPLES:
            raise ValueError(f"segment is {self.segment}; with stft it has {STFT_SAMPLES} samples or more")
        return self


FEATHER = {
    "model": "wavenet",
    "arrays": (
        {"channels": 8, "head": 4, "dilations": (1, 2, 4, 8, 16, 32, 64)},
        {
            "channels": 4, "head": 1, "head_bias": True,
            "dilations": (128, 256, 512, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512),
        },
    ),
}  # fmt: skip
"""The small WaveNet of Neural Amp Modeler's own choices."""

_GREY_BOX: dict[str, Any] = {"steps": 6000, "loss": "level", "pre_emphasis": 0.0, "stft": 0.0, "dc": 0.0}
_RECURRENT: dict[str, Any] = {"batch": 32, "segment": 1024, "parts": 16, "learning_rate": 5e-3}
_RECURRENT |= {"loss": "level", "pre_emphasis": 0.0, "stft": 0.0}
DRAFTS: dict[str, CaptureSettings] = {
    "lstm": CaptureSettings(model={"model": "lstm", "hidden": 24}, **_RECURRENT),
    "gru": CaptureSettings(model={"model": "gru", "hidden": 24, "skip": True}, **_RECURRENT),
    "wavenet": CaptureSettings(model=FEATHER, batch=8, segment=8192),
    "feedback": CaptureSettings(model={"model": "feedback"}, batch=64, segment=16, learning_rate=0.02, stft=0.0),
    "grey_box": CaptureSettings(
        model={"model": "grey_box", "shapers": 2},
        batch=4,
        segment=32768,
        learning_rate=2e-3,
        **_GREY_BOX,
    ),
    "multiband": CaptureSettings(
        model={"model": "grey_box", "branches": 5, "dynamics": False},
        batch=6,
        segment=16384,
        learning_rate=3e-3,
        **_GREY_BOX,
    ),
    "tcn": CaptureSettings(model={"model": "tcn"}, batch=8, segment=16384, learning_rate=4e-3),
    "linear": CaptureSettings(model={"model": "linear"}, steps=1, stft=0.0),
}
"""By the name on the command line; each ends within ten minutes on two threads."""


AUTO = ("linear", "grey_box", "multiband")
"""Networks that do not begin at random, of which ``auto`` trains the best in a short trial."""


def presets(model: str, name: Preset = "draft") -> dict[str, CaptureSettings]:
    """Settings of the networks that a name stands for, by name: those of :data:`AUTO` for ``auto``, else one.

    Raises:
        KeyError: there is no such network.
    """
    return {one: preset(one, name) for one in (AUTO if model == "auto" else (model,))}


def preset(model: str, name: Preset = "draft") -> CaptureSettings:
    """Settings of a preset for a network.

    Raises:
        KeyError: there is none for that network.
    """
    draft = DRAFTS[model]
    if name == "draft":
        return draft
    bigger: dict[str, dict[str, Any]] = {"wavenet": {"model": "wavenet"}, "lstm": {"model": "lstm", "hidden": 40}}
    changes = {"model": bigger.get(model, draft.model), "steps": 100_000, "minutes": 600.0, "patience": 40, "batch": 16}
    return draft.model_copy(update=changes)
