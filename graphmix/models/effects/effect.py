"""The interface of networks that imitate an audio effect: audio and controls in, audio out, whole or in blocks.

An effect model is mono: rows are signals, and a stereo signal is two rows. It starts *at rest*, as a device that has
been switched on and fed silence for a while ("prewarm"), so that a render does not begin with a transient of its own.

Conventions: audio is [rows, samples] at ``config.sample_rate``; controls are physical values, [rows, controls], in the
order and within the ranges of ``config.controls``. A *state* is a tuple of tensors whose first axis is the rows; what
it holds is the model's own business.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import torch
from pydantic import Field, model_validator
from safetensors import SafetensorError
from torch import Tensor, nn

from graphmix.errors import FileError, GraphmixError
from graphmix.models.config import Table

State = tuple[Tensor, ...]
WARM_UP = 2048
"""Samples after which a recurrent model counts as settled in training."""
BLOCK = 16384
"""Samples of a block where whole signals are rendered without gradients: what is kept of it fits into a cache."""

_SHOWN = 60
LARGEST_CONTROL = 1e9
LEAST_RANGE = 1e-5
"""Of a control, relative to its values, so that numbers in single precision tell its settings apart."""
LARGEST_RATE = 768000
"""In Hz; converters go no higher."""


class Control(Table):
    """A knob of a device.

    Args:
        name: as the parameter of a node is called, e.g. ``"drive"``.
        low: smallest value.
        high: largest value.
        neutral: where it starts; the middle if not given.
        unit: as shown to a reader.
    """

    name: str = Field(min_length=1)
    low: float = Field(default=0.0, ge=-LARGEST_CONTROL, le=LARGEST_CONTROL)
    high: float = Field(default=1.0, ge=-LARGEST_CONTROL, le=LARGEST_CONTROL)
    neutral: float | None = None
    unit: str = ""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.low < self.high or self.high - self.low < max(abs(self.low), abs(self.high)) * LEAST_RANGE:
            raise ValueError(f"control {self.name!r} goes from {self.low} to {self.high}; low lies below high")
        if self.neutral is not None and not self.low <= self.neutral <= self.high:
            raise ValueError(f"control {self.name!r}: neutral {self.neutral} lies outside {self.low} to {self.high}")
        return self

    @property
    def start(self) -> float:
        """The neutral value."""
        return (self.low + self.high) / 2 if self.neutral is None else self.neutral


class EffectConfig(Table):
    """What all effect models have.

    Args:
        model: which one it is.
        sample_rate: in Hz, at which it was trained.
        controls: of the device; none of a snapshot.
    """

    model: str
    sample_rate: int = Field(default=48000, ge=1, le=LARGEST_RATE)
    controls: tuple[Control, ...] = ()

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [control.name for control in self.controls]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two controls are called {twice!r}; give each its own name")
        return self


class EffectModel(nn.Module, ABC):
    """A network in the place of a device.

    Args:
        config: its sizes.

    Shape:
        audio [rows, samples], controls [rows, controls] -> [rows, samples]. Without controls they may be left out.
    """

    config: EffectConfig
    reach: int | None = None
    """Samples of the past on which an output depends; None of a recurrent model, which never quite forgets."""

    def __init__(self, config: EffectConfig) -> None:
        super().__init__()
        self.config = config

    @abstractmethod
    def rest(self, controls: Tensor) -> State:
        """The state after a long silence, for controls [rows, controls] in their units of -1 to 1."""

    @abstractmethod
    def run(self, audio: Tensor, controls: Tensor, state: State) -> tuple[Tensor, State]:
        """One block: audio [rows, samples], controls as for :meth:`rest`, and the state after the block before."""

    @property
    def block(self) -> int:
        """Samples at a time where a whole signal is rendered without gradients."""
        return BLOCK

    @property
    def context(self) -> int:
        """Samples before the first one that counts in training: what an output depends on, or time to settle."""
        return WARM_UP if self.reach is None else self.reach

    def respond(self, audio: Tensor, controls: Tensor | None = None) -> Tensor:
        """Outputs from the sample on that has :attr:`context` samples before it, for training on parts of a signal."""
        return self(audio, controls)[..., self.context :]

    def normalized(self, controls: Tensor | None, audio: Tensor) -> Tensor:
        """Controls in units of -1 to 1 over their ranges, [rows, controls].

        Raises:
            GraphmixError: another number of controls than the model has.
        """
        specs = self.config.controls
        if controls is None:
            controls = audio.new_tensor([control.start for control in specs]).expand(audio.size(0), -1)
        if controls.shape != (audio.size(0), len(specs)):
            names = ", ".join(control.name for control in specs) or "none"
            raise GraphmixError(
                f"controls have shape {list(controls.shape)}, expected [{audio.size(0)}, {len(specs)}]: "
                f"the controls of this effect are: {names}."
            )
        low = audio.new_tensor([control.low for control in specs])
        high = audio.new_tensor([control.high for control in specs])
        return (2 * controls.to(audio.dtype) - low - high) / (high - low)

    def stream(self, audio: Tensor, controls: Tensor | None = None, state: State | None = None) -> tuple[Tensor, State]:
        """One block of a longer signal.

        Args:
            audio: [rows, samples].
            controls: physical values, [rows, controls]; neutral ones if not given.
            state: what the block before returned; at rest if not given.

        Returns:
            The block [rows, samples], and the state for the next one.
        """
        unit = self.normalized(controls, audio)
        return self.run(audio, unit, self.rest(unit) if state is None else state)

    def forward(self, audio: Tensor, controls: Tensor | None = None) -> Tensor:
        """A whole signal, from rest."""
        unit = self.normalized(controls, audio)
        return self.follow(audio, unit, self.rest(unit))[0]

    def follow(self, audio: Tensor, controls: Tensor, state: State) -> tuple[Tensor, State]:
        """As :meth:`run`, for a signal of any length: without gradients in blocks, so that it takes little memory."""
        if audio.size(-1) == 0:
            return audio, state
        if torch.is_grad_enabled() or audio.size(-1) <= self.block:
            return self.run(audio, controls, state)
        out = torch.empty_like(audio, memory_format=torch.contiguous_format)
        for begin in range(0, audio.size(-1), self.block):
            block = audio[..., begin : begin + self.block]
            out[..., begin : begin + self.block], state = self.run(block, controls, state)
        return out, state


@contextmanager
def loading(path: Path) -> Iterator[None]:
    """Turn what goes wrong while an effect's file is read into one sentence that names the file.

    Raises:
        GraphmixError: for each error that a file can cause.
    """
    try:
        yield
    except FileError:  # names the file
        raise
    except GraphmixError as error:
        raise GraphmixError(f"cannot load {path}: {error}") from None
    except SafetensorError as error:
        raise GraphmixError(f"cannot load {path}: the file is damaged or cut off ({str(error)[:200]}).") from None
    except FileNotFoundError:
        raise GraphmixError(f"cannot load {path}: there is no such file.") from None
    except MemoryError:
        raise GraphmixError(f"cannot load {path}: it does not fit into memory.") from None
    except OSError as error:
        raise GraphmixError(f"cannot load {path}: {error.strerror or error}.") from None


def outline(model: Callable[[Any], EffectModel], config: EffectConfig) -> EffectModel:
    """A network with the shapes of its weights and without their memory, to be held against a file first."""
    with torch.device("meta"):
        return model(config)


def check_weights(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Hold the weights of a file against the network that its configuration describes.

    Raises:
        GraphmixError: one is missing or too many, of another shape or type, or not finite.
    """
    expected = model.state_dict()
    for name in sorted({*expected, *tensors}):
        wanted, found = expected.get(name), tensors.get(name)
        shown = name[:_SHOWN]
        if found is None or wanted is None:
            what = "is missing" if found is None else "is in the file, but its config has no such weights"
            raise GraphmixError(f"{shown} {what}; the file is damaged, or was put together from two.")
        if found.shape != wanted.shape:
            raise GraphmixError(
                f"{shown} has shape {list(found.shape)}, its config asks for {list(wanted.shape)}; "
                "the file was put together from two."
            )
        if found.dtype != wanted.dtype:
            types = (str(dtype).removeprefix("torch.") for dtype in (found.dtype, wanted.dtype))
            raise GraphmixError("{} has type {}, expected {}.".format(shown, *types))
        if not bool(found.isfinite().all()):
            raise GraphmixError(f"{shown} is not finite: the training failed, or the file is damaged.")


def load_weights(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Set all weights of a network that was built from the configuration of their file.

    Raises:
        GraphmixError: as :func:`check_weights`.
    """
    check_weights(model, tensors)
    model.load_state_dict(tensors)
