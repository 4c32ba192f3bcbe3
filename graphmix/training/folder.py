"""The output folder of a training: whose it is, and where the training in it stands."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import Tensor

from graphmix.datasets.records import Record
from graphmix.errors import GraphmixError
from graphmix.io import write_atomically
from graphmix.locks import LOCK
from graphmix.training.config import TrainConfig
from graphmix.training.train_state import Progress, read_state

RUN, STATE, RESULT, MODEL = "run.json", "state.safetensors", "training.json", "model"
"""Which run it is; where it stands; what came out, written last; the checkpoint, without its two endings."""


def describe_run(config: Mapping[str, Any], parts: Mapping[str, Sequence[Record]]) -> dict[str, Any]:
    """What tells one training from another: its configuration and a digest of its songs."""
    lines = [f"{part} {record.collection} {record.song_id}" for part, records in parts.items() for record in records]
    return {"config": dict(config), "songs": hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]}


def is_ours(folder: Path, run: Mapping[str, Any]) -> bool:
    """True if the folder holds this very run, False if it is new.

    Raises:
        GraphmixError: it belongs to another run, or holds something else.
    """
    path = folder / RUN
    try:
        if not path.exists():
            known = {folder / LOCK, *_leftovers(folder)}
            foreign = next((p.name for p in folder.iterdir() if p not in known), None)
            if foreign is not None:
                raise GraphmixError(f"output folder {folder} holds something else ({foreign!r}). Choose an empty one.")
            return False
        found = json.loads(path.read_bytes())
        theirs, songs = flatten(_with_defaults(found["config"])), found["songs"]
    except FileNotFoundError:
        return False
    except GraphmixError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError):
        raise GraphmixError(f"{path} is damaged. Remove {folder} or choose another --out.") from None
    except OSError as error:
        raise GraphmixError(f"cannot use output folder {folder}: {error.strerror or error}.") from None
    _compare(folder, theirs, flatten(run["config"]))
    if songs != run["songs"]:
        raise GraphmixError(f"output folder {folder} holds a training on other songs. Choose another --out.")
    return True


def _with_defaults(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """A configuration as this graphmix would write it: one of an older graphmix lacks keys that are new."""
    try:
        return TrainConfig.model_validate(dict(config)).model_dump(mode="json")
    except (ValidationError, GraphmixError):
        return config


def _compare(folder: Path, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    for name in dict.fromkeys([*ours, *theirs]):
        if ours.get(name) != theirs.get(name):
            raise GraphmixError(
                f"output folder {folder} holds a training with {name} = {theirs.get(name)}, not {ours.get(name)}. "
                "Choose another --out, or the same configuration to go on."
            )


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as one, with keys joined by dots.

    >>> flatten({"model": {"name": "dmc", "encoder": {"width": 8}}})
    {'model.name': 'dmc', 'model.encoder.width': 8}
    """
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def prepare(folder: Path, run: Mapping[str, Any]) -> None:
    """Make the folder, show that it can be written before anything takes time, clear what a kill left over."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in _leftovers(folder):
            path.unlink()
    except OSError as error:
        raise GraphmixError(
            f"cannot write to output folder {folder}: {error.strerror or error}. Choose another --out."
        ) from None
    write_atomically(folder / RUN, json.dumps(run, indent=1).encode())


def _leftovers(folder: Path) -> list[Path]:
    """Files that were being written when a process was killed."""
    return list(folder.glob(".*.part"))


def resume(folder: Path, run: Mapping[str, Any]) -> tuple[Progress, dict[str, Tensor]]:
    """How far the training is, and its tensors; at the beginning there are none."""
    path = folder / STATE
    if not path.exists():
        return Progress(), {}
    found, progress, tensors = read_state(path)
    if {**found, "config": _with_defaults(found.get("config", {}))} != run:
        raise GraphmixError(f"{path} belongs to another run. Delete it, or choose another --out.")
    return progress, tensors


def read_result(folder: Path) -> dict[str, Any]:
    """What a finished training says of itself."""
    try:
        return dict(json.loads((folder / RESULT).read_bytes()))
    except (OSError, ValueError):
        raise GraphmixError(f"{folder / RESULT} is damaged. Remove {folder} to train again.") from None
