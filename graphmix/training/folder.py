"""The output folder of a training: which run it belongs to, and how far that run is."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import Tensor

from graphmix.datasets.records import Record
from graphmix.errors import GraphmixError
from graphmix.io import decode_text
from graphmix.runs import RunFolder, first_difference
from graphmix.training.config import TrainConfig
from graphmix.training.train_state import Progress, read_state

STATE, RESULT, MODEL = "state.safetensors", "training.json", "model"
"""Where it stands; what came out, written last; the checkpoint, without its two endings."""


def describe_run(config: Mapping[str, Any], parts: Mapping[str, Sequence[Record]]) -> dict[str, Any]:
    """The identity of a training: its configuration and a digest of its songs."""
    lines = [f"{part} {record.collection} {record.song_id}" for part, records in parts.items() for record in records]
    return {"config": dict(config), "songs": hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]}


def run_folder(folder: Path, run: Mapping[str, Any]) -> RunFolder:
    """The output folder of a training."""
    return RunFolder(folder, run, RESULT, _difference)


def _difference(found: Mapping[str, Any], ours: Mapping[str, Any]) -> str | None:
    """In what another training differs from ours; see :class:`graphmix.runs.RunFolder`."""
    return difference({**found, "config": _with_defaults(found["config"])}, ours)


def difference(found: Mapping[str, Any], ours: Mapping[str, Any]) -> str | None:
    """In what two trainings with a ``config`` and ``songs`` differ."""
    different = first_difference(flatten(found["config"]), flatten(ours["config"]))
    if different is not None:
        name, theirs, our = different
        return (
            f"a training with {name} = {theirs}, not {our}. "
            "Choose another --out, or the same configuration to resume it."
        )
    return None if found["songs"] == ours["songs"] else "a training on other songs. Choose another --out."


def _with_defaults(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """A configuration with the defaults of keys that the graphmix which wrote it did not have."""
    try:
        return TrainConfig.model_validate(dict(config)).model_dump(mode="json")
    except (ValidationError, GraphmixError):
        return config


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as one, with keys joined by dots.

    >>> flatten({"model": {"name": "dmc", "encoder": {"width": 8}}})
    {'model.name': 'dmc', 'model.encoder.width': 8}
    """
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def resume(output: RunFolder) -> tuple[Progress, dict[str, Tensor]]:
    """How far the training is, and its tensors; at the beginning there are none."""
    path = output.path / STATE
    if not path.exists():
        return Progress(), {}
    found, progress, tensors = read_state(path)
    if not output.is_same(found):
        raise GraphmixError(f"{path} belongs to another run. Delete it, or choose another --out.")
    return progress, tensors


def read_result(folder: Path) -> dict[str, Any]:
    """The facts of a finished training."""
    try:
        return dict(json.loads(decode_text((folder / RESULT).read_bytes(), str(folder / RESULT))))
    except GraphmixError:
        raise
    except (OSError, ValueError, TypeError, RecursionError):
        raise GraphmixError(f"{folder / RESULT} is damaged. Remove {folder} to train again.") from None
