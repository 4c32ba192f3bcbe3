"""The state of a training in one file: weights, moments of the optimizer, and everything else that resuming needs.

A safetensors file with one JSON object as metadata, replaced in one step, so that a kill leaves the old one or the new
one. Randomness depends on the seed and the number of the step alone (:func:`seed_step`), so that no state of a
generator has to be kept: a resumed training ends in the numbers of an uninterrupted one.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import save
from torch import Tensor, nn

from graphmix.errors import GraphmixError
from graphmix.io import open_tensors, to_json, write_atomically

_FORMAT = "graphmix_training"
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # of AdamW
_STEP_STREAM = 1


@dataclass
class Progress:
    """Progress of a training.

    Args:
        step: gradient steps done.
        best: the smallest value of what is watched so far; None where the weights kept have none.
        best_step: when the weights that are kept were judged; -1 before the first evaluation.
        waited: evaluations since then.
        skipped: steps left out because a gradient was not a number.
        recent: sum and number of the training losses since the last evaluation.
        seconds: spent so far, over all runs.
        evaluations: what each evaluation gave, with its step.
        scaler: state of the loss scaling of 16-bit floats, if any.
    """

    step: int = 0
    best: float | None = None
    best_step: int = -1
    waited: int = 0
    skipped: int = 0
    recent: list[float] = field(default_factory=lambda: [0.0, 0.0])
    seconds: float = 0.0
    evaluations: list[dict[str, float | None]] = field(default_factory=list)
    scaler: dict[str, Any] = field(default_factory=dict)

    def note(self, value: float) -> bool:
        """Record the value of this step's weights; True if they are the best so far, as the first always are."""
        finite = math.isfinite(value)
        better = self.best_step < 0 or (finite and (self.best is None or value < self.best))
        if better:
            self.best, self.best_step, self.waited = (value if finite else None), self.step, 0
        else:
            self.waited += 1
        return better


def seed_step(seed: int, step: int, rank: int = 0) -> None:
    """Set torch's generators for one step of one process."""
    words = np.random.SeedSequence((seed, _STEP_STREAM, step, rank)).generate_state(1, np.uint64)
    torch.manual_seed(int(words[0]) >> 1)


def save_state(
    path: Path,
    run: Mapping[str, Any],
    progress: Progress,
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None,
    more: Mapping[str, Tensor] | None = None,
) -> None:
    """Write a state, the run that it belongs to, and whatever other tensors it needs, under their names."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()} | dict(more or {})
    if optimizer is not None:
        for name, parameter in model.named_parameters():
            for key, value in optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{key}.{name}"] = torch.as_tensor(value)
    content = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
    head = to_json({"run": dict(run), "progress": asdict(progress)})
    write_atomically(path, save(content, {_FORMAT: head}))


def read_state(path: Path) -> tuple[dict[str, Any], Progress, dict[str, Tensor]]:
    """Read a state: its run, how far it is, its tensors.

    Raises:
        GraphmixError: the file is damaged or something else.
    """
    try:
        with open_tensors(path) as file:
            head = json.loads((file.metadata() or {})[_FORMAT])
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        return dict(head["run"]), Progress(**head["progress"]), tensors
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
        raise GraphmixError(
            f"{path} is no state of a training, or damaged ({error}); delete it to start again."
        ) from None


@torch.no_grad()
def restore(
    tensors: Mapping[str, Tensor], model: nn.Module, optimizer: torch.optim.Optimizer | None, path: Path
) -> None:
    """Put the tensors of a state back into a model and its optimizer.

    Raises:
        GraphmixError: they do not fit the model.
    """
    weights = {n.removeprefix("model."): t for n, t in tensors.items() if n.startswith("model.")}
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise GraphmixError(f"{path} does not fit this model ({reason}); delete it to start again.") from None
    if optimizer is None:
        return
    for name, parameter in model.named_parameters():
        moments = {key: tensors[f"optimizer.{key}.{name}"] for key in _MOMENTS if f"optimizer.{key}.{name}" in tensors}
        if moments:
            optimizer.state[parameter] = {
                # AdamW counts its steps on the host
                key: value.clone() if key == "step" else value.to(parameter.device, copy=True)
                for key, value in moments.items()
            }
