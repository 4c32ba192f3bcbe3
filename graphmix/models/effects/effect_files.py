"""Effects on disk: ``.safetensors``, whose header holds the configuration as JSON; or ``.nam`` files of others.

Nothing is unpickled. A digest of the weights tells one capture from another: graphs that use an effect name it.
"""

from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from graphmix.errors import GraphmixError
from graphmix.models import model_files
from graphmix.models.config import describe_error
from graphmix.models.effects.conv_net import ConvNetConfig, ConvNetEffect, LinearConfig, LinearEffect
from graphmix.models.effects.effect import EffectConfig, EffectModel, check_weights, load_weights, loading, outline
from graphmix.models.effects.feedback import FeedbackConfig, FeedbackEffect
from graphmix.models.effects.grey_box import GreyBoxConfig, GreyBoxEffect
from graphmix.models.effects.nam import load_nam
from graphmix.models.effects.recurrent_effect import RecurrentConfig, RecurrentEffect
from graphmix.models.effects.tcn_effect import TCNEffect, TCNEffectConfig
from graphmix.models.effects.wavenet import WaveNetConfig, WaveNetEffect
from graphmix.models.model_files import ModelFile

HEADER = "graphmix_effect"
VERSION = 1
MAX_BYTES, MAX_HEADER_BYTES = 1 << 28, 1 << 22
"""Largest file that is read, and its header: a network of 67 million weights."""
FILE = ModelFile("an effect", HEADER, VERSION, MAX_BYTES, MAX_HEADER_BYTES)
EFFECTS: dict[str, tuple[type[EffectConfig], type[EffectModel]]] = {
    "wavenet": (WaveNetConfig, WaveNetEffect),
    "lstm": (RecurrentConfig, RecurrentEffect),
    "gru": (RecurrentConfig, RecurrentEffect),
    "tcn": (TCNEffectConfig, TCNEffect),
    "feedback": (FeedbackConfig, FeedbackEffect),
    "grey_box": (GreyBoxConfig, GreyBoxEffect),
    "conv_net": (ConvNetConfig, ConvNetEffect),
    "linear": (LinearConfig, LinearEffect),
}
"""Name of a model -> its configuration and its class."""


def build_effect(config: Mapping[str, Any]) -> EffectModel:
    """A new model, with random weights.

    Args:
        config: ``model``, one of :data:`EFFECTS`, and what its configuration takes.

    Raises:
        GraphmixError: an unknown model, key or value.
    """
    model, table = _configured(config)
    return model(table)


def _configured(config: Mapping[str, Any]) -> tuple[Callable[[Any], EffectModel], EffectConfig]:
    """The class of a model, and its configuration."""
    name = config.get("model")
    if not isinstance(name, str) or name not in EFFECTS:
        raise GraphmixError(f"the model {str(name)[:60]!r} is none of: {', '.join(EFFECTS)}.")
    table, model = EFFECTS[name]
    try:
        return model, table.model_validate(dict(config))
    except ValidationError as error:
        raise GraphmixError(f"{name}: {describe_error(error)}.") from None


def digest_of(model: EffectModel) -> str:
    """Sixteen digits that tell an effect from others: of its configuration and its weights."""
    return model_files.digest_of(model, model.config.model_dump(mode="json"))


def config_of(model: EffectModel) -> dict[str, Any]:
    """JSON values from which :func:`restore_effect` builds a model again."""
    config = model.config.model_dump(mode="json")
    if isinstance(model, WaveNetEffect):
        config["head_scale"] = model.head_scale
    return config


def restore_effect(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> EffectModel:
    """A frozen model from its configuration and its weights, without touching the caller's random numbers.

    Raises:
        GraphmixError: an unknown configuration, or weights that do not fit it.
    """
    build, table = _configured(config)
    check_weights(outline(build, table), tensors)  # before memory is taken for what a damaged file claims
    with torch.random.fork_rng(devices=[]):
        model = build(table)
    load_weights(model, tensors)
    return model.eval().requires_grad_(False)


def save_effect(model: EffectModel, path: str | PathLike[str], about: Mapping[str, Any] | None = None) -> Path:
    """Write an effect as ``.safetensors``, atomically.

    Args:
        model: to be written.
        path: of the file.
        about: JSON values on the device and on how it was captured.

    Raises:
        GraphmixError: another ending, more than a file holds, or the file cannot be written.
    """
    header = {"config": config_of(model), "about": dict(about or {})}
    tensors = {name: value.detach().cpu().clone().contiguous() for name, value in model.state_dict().items()}
    return FILE.write(Path(path), header, tensors)


def load_effect(path: str | PathLike[str]) -> tuple[EffectModel, dict[str, Any]]:
    """Read an effect: what :func:`save_effect` wrote, or a Neural Amp Modeler file.

    Returns:
        The model, frozen, and what its file says of the device and of its capture.

    Raises:
        GraphmixError: names the file and what is wrong with it.
    """
    path = Path(path)
    if path.suffix.lower() == ".nam":
        return load_nam(path)
    with loading(path):
        header, tensors = FILE.read(path)
        head = FILE.parse(header, ("config", "about"))
        return restore_effect(head["config"], tensors), head["about"]
