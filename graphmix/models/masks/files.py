"""Separators on disk: one ``.safetensors`` file, whose header holds the configuration as JSON. Nothing is unpickled."""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import graphmix.models
from graphmix.errors import GraphmixError
from graphmix.models.effects.effect import check_weights, load_weights, loading
from graphmix.models.masks.separator import MaskEstimator, mask_config, separator_models
from graphmix.models.model_files import ModelFile

HEADER, VERSION = "graphmix_separator", 1
MAX_BYTES, MAX_HEADER_BYTES = 1 << 30, 1 << 22
FILE = ModelFile("a separator", HEADER, VERSION, MAX_BYTES, MAX_HEADER_BYTES)
PRETRAINED = Path(graphmix.models.__file__).parent / "pretrained"
DEFAULT = "separator"
"""The separator that comes with graphmix."""


def save_separator(
    path: str | PathLike[str], model: MaskEstimator, record: Mapping[str, Any] | None = None, *, half: bool = False
) -> Path:
    """Write a separator, atomically.

    Args:
        path: of the file.
        model: to be written.
        record: JSON values on how it was trained.
        half: store its weights in half precision, in half the bytes, where they fit; they are read as single precision
            again.

    Raises:
        GraphmixError: another ending, more than a file holds, or the file cannot be written.
    """
    header = {
        "config": model.config.model_dump(mode="json"),
        "sources": list(model.sources),
        "sample_rate": model.sample_rate,
        "record": dict(record or {}),
    }
    return FILE.write(Path(path), header, {name: _stored(value, half) for name, value in model.state_dict().items()})


def _stored(value: Tensor, half: bool) -> Tensor:
    """In half precision where its numbers fit, which variances of a normalization need not."""
    value = value.detach().cpu().clone().contiguous()
    halved = value.half() if half and value.is_floating_point() else value
    return halved if torch.equal(halved.isfinite(), value.isfinite()) else value


def load_separator(path: str | PathLike[str]) -> tuple[MaskEstimator, dict[str, Any]]:
    """Read what :func:`save_separator` wrote.

    Args:
        path: of the file, a folder that ``graphmix train separator`` wrote, or the name of a separator that comes
            with graphmix.

    Returns:
        The separator, frozen and in evaluation mode, and what its file says of its training.

    Raises:
        GraphmixError: names the file and what is wrong with it.
    """
    path = find_separator(path)
    with loading(path):
        header, tensors = FILE.read(path)
        return _assemble(header, {name: _read(value) for name, value in tensors.items()})


def _read(value: Tensor) -> Tensor:
    return value.float() if value.dtype == torch.float16 else value.clone()


def find_separator(source: str | PathLike[str]) -> Path:
    """The file of a separator: itself, in a folder of a training, or by the name of one that comes with graphmix.

    Raises:
        GraphmixError: there is none; the known names are listed.
    """
    path = Path(source)
    if path.is_dir():
        inside = path / "model.safetensors"
        if inside.is_file():
            return inside
        raise GraphmixError(f"{path} holds no trained separator (model.safetensors); has its training begun?")
    if path.is_file():
        return path
    shipped = PRETRAINED / f"{path.name}.safetensors"
    if path.name == str(source) and shipped.is_file():
        return shipped
    if path.suffix == ".safetensors":
        raise GraphmixError(f"cannot load {path}: there is no such file.")
    raise GraphmixError(
        f"there is no separator {str(source)!r}; give a folder that graphmix train separator wrote, a .safetensors "
        f"file, or {DEFAULT}."
    )


def _assemble(header: str, tensors: Mapping[str, Tensor]) -> tuple[MaskEstimator, dict[str, Any]]:
    plain = FILE.parse(header, ("config", "record"))
    table = mask_config(plain["config"])
    if list(table.sources) != plain.get("sources") or table.sample_rate != plain.get("sample_rate"):
        raise GraphmixError("its sources or its rate are not those of its configuration; the file is damaged.")
    build = separator_models()[table.model][1]
    with torch.device("meta"):  # before memory is taken for what a damaged file claims
        check_weights(build(table), tensors)
    with torch.random.fork_rng(devices=[]):
        model = build(table)
    load_weights(model, tensors)
    return model.eval().requires_grad_(False), plain["record"]
