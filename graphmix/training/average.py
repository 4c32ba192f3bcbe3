"""A running average of a model's weights, which is steadier than the weights themselves.

Averages are taken of everything in the model's state that is a floating-point number, running statistics of
normalization among it; whatever else there is, is copied. In the first steps it follows faster, so that where a
training begins is soon forgotten.
"""

import copy
from collections.abc import Mapping
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

Model = TypeVar("Model", bound=nn.Module)
"""Whose weights are averaged."""
PREFIX = "average."
"""Of its tensors in the state of a training."""


class AveragedModel(Generic[Model]):
    r"""Exponential moving average of a model, :math:`\bar w \leftarrow d \bar w + (1 - d) w`.

    Args:
        model: whose weights are averaged; the average begins as a copy.
        decay: d, what the average keeps at a step; in step n at most (1 + n) / (10 + n).
    """

    def __init__(self, model: Model, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model).requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after a step, counted from 0."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for ours, theirs in zip(self.model.state_dict().values(), model.state_dict().values(), strict=True):
            if ours.is_floating_point():
                ours.lerp_(theirs, 1 - decay)
            else:
                ours.copy_(theirs)

    def tensors(self) -> dict[str, Tensor]:
        """The average, named for the state of a training."""
        return {PREFIX + name: value for name, value in self.model.state_dict().items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take the average out of a state of a training.

        Raises:
            RuntimeError: it is not there or belongs to another model.
        """
        self.model.load_state_dict({n.removeprefix(PREFIX): t for n, t in tensors.items() if n.startswith(PREFIX)})
