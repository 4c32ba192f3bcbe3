"""Training a network to follow a device: random segments, the best weights on audio that training does not use.

Each recording is split in time: the end of what sounds in it, after a second of guard, is kept for validation. Networks
without a feedback path learn from their own outputs (error-to-signal ratio with pre-emphasis, means, spectra);
the feedback network learns from the device's (teacher forcing) and is validated running freely.

What took time is never lost: the state is written to a file every so often, from which the same call goes on.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from graphmix.capture.initial import initialize
from graphmix.capture.losses import dc_error, esr, level_error, mu_law_error, stft_error
from graphmix.capture.recording import CaptureError, Recording
from graphmix.capture.settings import CaptureSettings
from graphmix.capture.signal import REPEATED_SECONDS
from graphmix.models.effects import Control, EffectModel, build_effect
from graphmix.models.effects.conv_net import LinearEffect
from graphmix.models.effects.feedback import FeedbackEffect
from graphmix.models.effects.grey_box import GreyBoxEffect
from graphmix.models.effects.recurrent_effect import RecurrentEffect
from graphmix.progress import Listener, Silent

GUARD_SECONDS = 1.0
FREE_RUN_SECONDS = 3.0
"""Of validation for a network that runs sample by sample."""
QUIET_DB = -20.0
"""A validation part this far below the recording's level is moved to an earlier time."""
CLIP_NORM = 1.0
LAST_RATE = 0.01
SAVE_EVERY_SECONDS = 15.0


@dataclass(frozen=True)
class Part:
    """A stretch of a recording: dry and wet [channels, samples], settings [controls]."""

    dry: Tensor
    wet: Tensor
    controls: Tensor


@dataclass
class FitState:
    """Where a training stands.

    Args:
        step: steps done.
        seconds: of training so far.
        history: (step, seconds, training loss, validation ESR) of each look; before the first step there is no
            training loss, which is infinite then.
        best: the least validation ESR.
        best_weights: those that reached it.
        weights: the current ones.
        optimizer: state of Adam, by tensors.
        looks: looks since the best one.
        carried: state of a recurrent network after the last part of its segments.
        chosen: name of the network, if there were several to choose from.
    """

    step: int = 0
    seconds: float = 0.0
    history: list[tuple[int, float, float, float]] = field(default_factory=list)
    best: float = math.inf
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    weights: dict[str, Tensor] = field(default_factory=dict)
    optimizer: dict[str, Tensor] = field(default_factory=dict)
    looks: int = 0
    carried: tuple[Tensor, ...] = ()
    chosen: str = ""


@dataclass(frozen=True)
class FittedEffect:
    """A captured device.

    Args:
        model: with the best weights, frozen.
        esr: on audio that training did not use, for each recording.
        state: of the training, with its history.
    """

    model: EffectModel
    esr: tuple[float, ...]
    state: FitState


def split(recording: Recording, share: float, names: Sequence[str]) -> tuple[Part, Part]:
    """Training and validation part of a recording, with a second of guard between them.

    Raises:
        CaptureError: it is too short for both.
    """
    rate, samples = recording.sample_rate, recording.dry.size(-1)
    end = samples if recording.self_esr is None else min(samples, round(REPEATED_SECONDS[1] * rate) - recording.latency)
    length, guard = round(share * end), round(min(GUARD_SECONDS, 0.02 * end / rate) * rate)
    energy = recording.wet.square().mean(0)
    level = float(energy.mean())
    begin = end - length
    while begin > end // 2 and float(energy[begin : begin + length].mean()) < level * 10 ** (QUIET_DB / 10):
        begin -= max(1, length // 4)
    if length < 0.05 * rate or begin - guard < length:
        raise CaptureError(f"a recording of {samples / rate:.2f} s is too short to learn from and to judge by.")
    controls = torch.tensor([recording.controls[name] for name in names])

    def part(start: int, stop: int) -> Part:
        return Part(recording.dry[:, start:stop], recording.wet[:, start:stop], controls)

    return part(0, begin - guard), part(begin, begin + length)


def build_for(
    recordings: Sequence[Recording],
    settings: CaptureSettings,
    names: Sequence[str] = (),
    controls: Sequence[Control] | None = None,
) -> EffectModel:
    """An untrained network for recordings; the controls range from the smallest to the largest setting if not given."""
    torch.manual_seed(settings.seed)
    described = [control.model_dump() for control in (controls or _ranges(recordings, names))]
    return build_effect({**settings.model, "sample_rate": recordings[0].sample_rate, "controls": described})


def fit_effect(
    recordings: Sequence[Recording],
    settings: CaptureSettings,
    names: Sequence[str] = (),
    *,
    state: FitState | None = None,
    listener: Listener | None = None,
    save: Callable[[FitState], None] | None = None,
    controls: Sequence[Control] | None = None,
    pause: int | None = None,
) -> FittedEffect:
    """Train a network on recordings of a device.

    Args:
        recordings: aligned; all at one rate.
        settings: which network and how long.
        names: of the device's controls.
        state: of an earlier call to resume, or a starting point; a new one if not given.
        listener: shown the progress.
        save: given the state every 15 seconds.
        controls: their ranges and units; from the smallest to the largest setting if not given.
        pause: step after which the training stops for now; its state can be resumed.

    Raises:
        CaptureError: recordings that are too short.
        GraphmixError: a model that cannot be built.
    """
    listener, state = listener or Silent(), state or FitState()
    parts = [split(recording, settings.validation, names) for recording in recordings]
    training, validation = [part for part, _ in parts], [part for _, part in parts]
    model = build_for(recordings, settings, names, controls)
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate)
    if not state.weights:
        listener.phase("starting point", None)
        initialize(model, [(part.dry, part.wet) for part in training])
    _restore(model, optimizer, state)
    _Fit(model, optimizer, settings, training, validation, state, listener, save).run(pause)
    model.load_state_dict(state.best_weights)
    model.eval().requires_grad_(False)
    return FittedEffect(model, tuple(validation_error(model, [part]) for part in validation), state)


def _energy(parts: Sequence[Part], pre_emphasis: float) -> float:
    """Mean energy of what came out of the device, after pre-emphasis."""
    emphasized = [part.wet[:, 1:] - pre_emphasis * part.wet[:, :-1] for part in parts]
    return sum(float(t.square().sum()) for t in emphasized) / max(1, sum(t.numel() for t in emphasized))


def _ranges(recordings: Sequence[Recording], names: Sequence[str]) -> list[Control]:
    ranges = []
    for name in names:
        values = [recording.controls[name] for recording in recordings]
        ranges.append(Control(name=name, low=min(values), high=max(values)))
    return ranges


class _Fit:
    """One training."""

    def __init__(
        self,
        model: EffectModel,
        optimizer: torch.optim.Optimizer,
        settings: CaptureSettings,
        training: Sequence[Part],
        validation: Sequence[Part],
        state: FitState,
        listener: Listener,
        save: Callable[[FitState], None] | None,
    ) -> None:
        self.model, self.optimizer, self.settings, self.state = model, optimizer, settings, state
        self.training, self.validation, self.listener, self.save = training, validation, listener, save
        self.energy = _energy(training, settings.pre_emphasis)
        self.segments: tuple[Tensor, Tensor, Tensor] | None = None
        """That a recurrent network is passing through."""
        self.began = time.perf_counter() - state.seconds
        self.saved = time.monotonic()

    def run(self, pause: int | None = None) -> None:
        """To the end of the steps, of the time, or of patience; or to a step after which it stops for now."""
        settings, state = self.settings, self.state
        if isinstance(self.model, LinearEffect):  # solved in closed form
            self._look(math.inf)
            self._keep()
            return
        self.listener.phase("training", settings.steps, state.step)
        if isinstance(self.model, GreyBoxEffect) and not state.history:  # training may end worse than its fits
            self._look(math.inf)
        total, count = 0.0, 0
        while not (self._is_over() or state.step == pause):
            loss = self._step()
            total, count = total + loss, count + 1
            state.step += 1
            state.seconds = time.perf_counter() - self.began
            self.listener.progress(state.step, None, loss=loss, **self._shown())
            if state.step % settings.validate_every == 0 or self._is_over() or state.step == pause:
                self._look(total / count)
                total, count = 0.0, 0
            if self.save is not None and time.monotonic() - self.saved > SAVE_EVERY_SECONDS:
                self._keep()
                self.save(state)
                self.saved = time.monotonic()
        if not state.best_weights:
            self._look(math.inf)
        if pause is not None:
            self._keep()

    def _is_over(self) -> bool:
        out_of_patience = 0 < self.settings.patience <= self.state.looks
        return self._share() >= 1 or out_of_patience

    def _share(self) -> float:
        """How much of the training is over, by steps or by time."""
        return max(self.state.step / self.settings.steps, self.state.seconds / (60 * self.settings.minutes))

    def _step(self) -> float:
        settings, model = self.settings, self.model
        model.train()
        falling = LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * min(1.0, self._share())))
        for group in self.optimizer.param_groups:
            group["lr"] = settings.learning_rate * falling
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._loss()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
        if bool(loss.isfinite()):
            self.optimizer.step()
        return float(loss.detach())

    def _draw(self, number: int, context: int, samples: int) -> tuple[Tensor, Tensor, Tensor]:
        """The segments of a step or, of a recurrent network, of all steps through them."""
        generator = torch.Generator().manual_seed(self.settings.seed * 1_000_003 + number)
        return _segments(self.training, self.settings.batch, context, samples, generator)

    def _next_part(self) -> tuple[Tensor, Tensor]:
        """What a recurrent network makes of the next part of its segments, and the target."""
        settings, model, state = self.settings, self.model, self.state
        number, part = divmod(state.step, settings.parts)
        if part == 0 or self.segments is None:
            self.segments = self._draw(number, model.context, settings.parts * settings.segment)
        audio, target, controls = self.segments
        unit = model.normalized(controls, audio)
        if part == 0:
            with torch.no_grad():
                state.carried = model.run(audio[:, : model.context], unit, model.rest(unit))[1]
        begin = model.context + part * settings.segment
        end = begin + settings.segment
        out, after = model.run(audio[:, begin:end], unit, state.carried)
        state.carried = tuple(t.detach() for t in after)
        return out, target[:, begin:end]

    def _loss(self) -> Tensor:
        settings, model, step = self.settings, self.model, self.state.step
        if isinstance(model, FeedbackEffect):
            return model.loss(*self._draw(step, model.config.window - 1, settings.segment))
        if isinstance(model, RecurrentEffect):
            out, target = self._next_part()
        else:
            audio, target, controls = self._draw(step, model.context, settings.segment)
            out, target = model.respond(audio, controls), target[:, model.context :]
        if settings.loss == "mu_law":
            loss = mu_law_error(prediction=out, target=target)
        elif settings.loss == "level":
            emphasis = settings.pre_emphasis
            loss = level_error(prediction=out, target=target, energy=self.energy, pre_emphasis=emphasis)
        else:
            loss = esr(prediction=out, target=target, pre_emphasis=settings.pre_emphasis)
        if settings.dc:
            loss = loss + settings.dc * dc_error(prediction=out, target=target)
        if settings.stft:
            loss = loss + settings.stft * stft_error(prediction=out, target=target)
        return loss

    def _look(self, training_loss: float) -> None:
        state = self.state
        error = validation_error(self.model, self.validation)
        state.history.append((state.step, round(state.seconds, 3), training_loss, error))
        state.looks += 1
        if error < state.best or not state.best_weights:
            state.best, state.looks = error, 0
            state.best_weights = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        self.listener.progress(state.step, None, **self._shown())

    def _shown(self) -> dict[str, float]:
        """The last validation error and the best one."""
        return {"esr": self.state.history[-1][3], "best": self.state.best} if self.state.history else {}

    def _keep(self) -> None:
        state = self.state
        state.weights = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        state.optimizer = {
            f"{i}.{key}": torch.as_tensor(value).clone()
            for i, values in self.optimizer.state_dict()["state"].items()
            for key, value in values.items()
        }


def _restore(model: EffectModel, optimizer: torch.optim.Optimizer, state: FitState) -> None:
    if not state.weights:
        return
    model.load_state_dict(state.weights)
    stored = optimizer.state_dict()
    table: dict[int, dict[str, Any]] = {}
    for name, value in state.optimizer.items():
        number, key = name.split(".", 1)
        table.setdefault(int(number), {})[key] = value
    stored["state"] = table
    optimizer.load_state_dict(stored)


def _segments(
    parts: Sequence[Part], batch: int, context: int, segment: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Random segments, each with its context: dry and wet [batch, context + segment], controls [batch, controls].

    Where a recording begins there is silence before it.
    """
    dry, wet, controls = list[Tensor](), list[Tensor](), list[Tensor]()
    for _ in range(batch):
        part = parts[int(torch.randint(len(parts), (1,), generator=generator))]
        channel = int(torch.randint(part.dry.size(0), (1,), generator=generator))
        samples = part.dry.size(-1)
        end = int(torch.randint(min(segment, samples), samples + 1, (1,), generator=generator))
        begin = end - segment - context
        for audio, found in ((part.dry, dry), (part.wet, wet)):
            piece = audio[channel, max(0, begin) : end]
            found.append(functional.pad(piece, (context + segment - piece.numel(), 0)))
        controls.append(part.controls)
    return torch.stack(dry), torch.stack(wet), torch.stack(controls)


@torch.no_grad()
def validation_error(model: EffectModel, parts: Sequence[Part]) -> float:
    """Error-to-signal ratio over parts, which the model renders from their beginning."""
    model.eval()
    error = energy = 0.0
    for part in parts:
        dry, wet = part.dry, part.wet
        if isinstance(model, FeedbackEffect):
            samples = round(FREE_RUN_SECONDS * model.config.sample_rate)
            dry, wet = dry[:, :samples], wet[:, :samples]
        skipped = min(model.context, dry.size(-1) // 4)
        out = model(dry, part.controls[None].expand(dry.size(0), -1))[:, skipped:]
        wet = wet[:, skipped:]
        error += float((out - wet).double().square().sum())
        energy += float(wet.double().square().sum())
    result = error / max(energy, 1e-12)
    return result if math.isfinite(result) else math.inf
