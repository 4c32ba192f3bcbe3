"""Training a network to propose patches (:mod:`graphmix.models.synthesizers`), from a folder of patches.

The folder that it writes holds ``programmer.safetensors`` (the weights that were best on validation), ``training.json``
(written last) and, while it trains, ``checkpoint.safetensors``. Sounds are rendered once and kept beside the patches.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import save
from torch import Tensor

from graphmix.errors import GraphmixError
from graphmix.io import finite, open_tensors, read_json, to_json, write_atomically, write_json
from graphmix.models.config import describe_error
from graphmix.models.synthesizers import (
    Programmer,
    ProgrammerConfig,
    common_values,
    load_programmer,
    save_programmer,
)
from graphmix.processors.rack import Rack
from graphmix.progress import Listener, Silent
from graphmix.render.renderer import Renderer
from graphmix.runs import RunFolder, RunStatus, first_difference
from graphmix.synthesizers.audio_loss import sound_distance
from graphmix.synthesizers.images import Sounds, patch_images
from graphmix.synthesizers.instruments import SYNTHESIZERS
from graphmix.synthesizers.patch_set import PatchSet
from graphmix.synthesizers.synthesizer import SAMPLE_RATE

MODEL, RESULT, CHECKPOINT = "programmer.safetensors", "training.json", "checkpoint.safetensors"
SAVE_EVERY = 200
STEEPEST = 10.0
"""dB for a change of a patch by 1 on the scale of its vector: longer gradients are shortened."""
VALIDATED = 24
"""Sounds of each synthesizer that are played at a look."""
_HEADER = "graphmix_programmer_training"
Design = Literal["separate", "joint_encoder", "joint_decoder"]


@dataclass(frozen=True)
class ProgrammerTraining:
    """Settings of a training.

    Args:
        design: of the network.
        latent: size of the latent vector.
        steps: of Adam.
        batch: sounds of a step.
        learning_rate: of Adam; it falls to a hundredth by half a cosine.
        warm_up: share of the steps over which the divergence gains its weight.
        validate_every: steps between two looks.
        hidden: units of the decoders' layers.
        mels, frames: of a spectrogram.
        seed: of weights, batches and noise.
        notes: the decoders are given the pitch and the length of the note.
        audio_steps: the last so many steps learn from sounds as well (:mod:`graphmix.synthesizers.audio_loss`).
        audio_batch: sounds that are played in one of those steps.
        audio_weight: of a distance of 1 dB.
        audio_seconds: that are played of each sound.
        common: share of the training patches from which on a value of a number is one of its common values
            (:mod:`graphmix.models.synthesizers.outputs`); 0 for none.
    """

    design: Design = "joint_encoder"
    latent: int = 64
    steps: int = 3000
    batch: int = 64
    learning_rate: float = 1e-3
    warm_up: float = 0.2
    validate_every: int = 200
    hidden: tuple[int, ...] = (1024, 1024, 1024)
    mels: int = 64
    frames: int = 96
    seed: int = 0
    notes: bool = True
    audio_steps: int = 0
    audio_batch: int = 8
    audio_weight: float = 0.05
    audio_seconds: float = 1.0
    common: float = 0.01


@dataclass
class _State:
    step: int = 0
    best: float = math.inf
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    history: list[tuple[int, float, float]] = field(default_factory=list)


def train_programmer(
    patches: str | Path,
    out: str | Path,
    settings: ProgrammerTraining | None = None,
    synthesizers: Sequence[str] | None = None,
    listener: Listener | None = None,
) -> Programmer:
    """Train a network on a folder of patches, and return it with the weights that were best on validation.

    Args:
        patches: written by :func:`graphmix.synthesizers.patch_set.write_patches`.
        out: folder; a finished one is read, an unfinished one resumed.
        settings: design, sizes, steps.
        synthesizers: names; all that the folder has if not given.
        listener: shown the progress.

    Raises:
        GraphmixError: a folder without patches or with another training.
    """
    settings, listener, out = settings or ProgrammerTraining(), listener or Silent(), Path(out)
    training = PatchSet(patches, "train", synthesizers)
    validation = PatchSet(patches, "validation", synthesizers)
    names = list(dict.fromkeys(name for name, _ in training.items))
    if not training.items or {name for name, _ in validation.items} != set(names):
        raise GraphmixError(
            f"{patches} has too few patches to learn from and to judge by; 20 of each or more are needed."
        )
    config = _configure(settings, names)
    run = {"patches": training.description(), "settings": json.loads(to_json(asdict(settings)))}
    folder = RunFolder(out, run, RESULT, _difference)
    with folder.hold():
        if folder.status() is RunStatus.FINISHED:
            return load_programmer(out / MODEL)[0]
        folder.begin()
        parts = [patch_images(part, settings.mels, settings.frames, listener) for part in (training, validation)]
        if settings.common:
            config = _with_common_values(config, parts[0], settings.common)
        played = [_SoundLoss(p, settings, s) for p, s in zip((training, validation), parts, strict=True)]
        model, state = _train(config, settings, parts, played, out / CHECKPOINT, listener)
        about = {"training": run, "best": state.best, "steps": state.step}
        save_programmer(model, out / MODEL, about)
        write_json(out / RESULT, finite({**about, "history": state.history}))
        (out / CHECKPOINT).unlink(missing_ok=True)
    return model


def _configure(settings: ProgrammerTraining, names: Sequence[str]) -> ProgrammerConfig:
    """The network of a training.

    Raises:
        GraphmixError: settings that cannot be.
    """
    if min(settings.steps, settings.batch, settings.validate_every, settings.audio_batch) < 1:
        raise GraphmixError("steps, batch, validate_every and audio_batch of a training are 1 or more.")
    if not 0 <= settings.audio_steps <= settings.steps:
        raise GraphmixError(f"audio_steps is {settings.audio_steps}; it is from 0 to the {settings.steps} steps.")
    if not 0 <= settings.common <= 1:
        raise GraphmixError(f"common is {settings.common}; it is a share, from 0 to 1.")
    try:
        return ProgrammerConfig(
            design=settings.design,
            sizes={name: sizes_of(name) for name in names},
            mels=settings.mels,
            frames=settings.frames,
            latent=settings.latent,
            hidden=settings.hidden,
            notes=settings.notes,
        )
    except ValidationError as error:
        raise GraphmixError(f"the settings of the training: {describe_error(error)}.") from None


def _with_common_values(config: ProgrammerConfig, sounds: Sounds, share: float) -> ProgrammerConfig:
    """The network with the common values of training patches."""
    common = {
        name: common_values(sounds.vectors[sounds.which == i], sizes, share)
        for i, (name, sizes) in enumerate(config.sizes.items())
    }
    return ProgrammerConfig.model_validate({**config.model_dump(), "common": common})


def sizes_of(name: str) -> tuple[int, ...]:
    """Numbers of each parameter of a synthesizer."""
    return tuple(p.size for p in SYNTHESIZERS[name].parameters)


def check_sizes(model: Programmer, names: Sequence[str], path: Path) -> None:
    """See that a network was trained for synthesizers as they are now, and for one of those that are asked for.

    Raises:
        GraphmixError: it was not.
    """
    for name, sizes in model.config.sizes.items():
        if name not in SYNTHESIZERS or sizes != sizes_of(name):
            raise GraphmixError(f"{path} was trained for another {name!r} than this graphmix has; train it again.")
    if not set(names) & set(model.names):
        raise GraphmixError(f"{path} knows {', '.join(model.names)}, and none of: {', '.join(names)}.")


def _difference(found: Mapping[str, Any], ours: Mapping[str, Any]) -> str | None:
    if found["patches"] != ours["patches"]:
        return "a training on other patches. Choose another --out."
    different = first_difference(found["settings"], ours["settings"])
    return None if different is None else f"a training with {different[0]} = {different[1]}, not {different[2]}."


def _train(
    config: ProgrammerConfig,
    settings: ProgrammerTraining,
    parts: Sequence[Sounds],
    played: Sequence["_SoundLoss"],
    checkpoint: Path,
    listener: Listener,
) -> tuple[Programmer, _State]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model = Programmer(config).to(memory_format=torch.channels_last)  # convolutions are 1.7 times as fast
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate)
    state = _resume(checkpoint, model, optimizer) if checkpoint.exists() else _State()
    training, validation = parts
    listener.phase("training", settings.steps, state.step)
    while state.step < settings.steps:
        with_audio = state.step >= settings.steps - settings.audio_steps
        share = state.step / settings.steps
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share)))
        generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + state.step)
        rows = torch.randint(len(training.which), (settings.batch,), generator=generator)
        model.train()
        terms = model.terms(*training[rows], generator)
        loss = model.loss(terms, min(1.0, share / max(settings.warm_up, 1e-9)))
        if with_audio:
            if state.step == settings.steps - settings.audio_steps:
                state.best = math.inf  # another measure from here on
            loss = loss + settings.audio_weight * played[0](model, state.step, generator)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        state.step += 1
        if state.step % settings.validate_every == 0 or state.step == settings.steps:
            error = _validate(model, validation)
            if with_audio:
                error += settings.audio_weight * played[1].validate(model)
            state.history.append((state.step, float(terms.parameters.detach()), error))
            if error < state.best:
                state.best = error
                state.best_weights = {name: value.detach().clone() for name, value in model.state_dict().items()}
        if state.step % SAVE_EVERY == 0 and state.step < settings.steps:
            _save(checkpoint, model, optimizer, state)
        listener.progress(state.step, None, loss=float(loss.detach()), best=state.best)
    if not state.best_weights:
        raise GraphmixError("the training failed: no validation error is finite. Try a smaller learning_rate.")
    model.load_state_dict(state.best_weights)
    return model.eval(), state


def limit_gradients(gradients: Tensor, longest: float) -> Tensor:
    """Gradients of each sound [sounds, width] shortened to a length; zero where one is no number.

    The distance of two spectra changes steeply with pitches and phases, by thousands of dB over their range.
    """
    gradients = torch.where(gradients.isfinite().all(1, keepdim=True), gradients, 0.0)
    length = gradients.norm(dim=1, keepdim=True)
    return gradients * (longest / length.clamp(min=longest))


class _SoundLoss:
    """Distances in dB of what a network proposes for a few training sounds, of one synthesizer at a time."""

    def __init__(self, patches: PatchSet, settings: ProgrammerTraining, sounds: Sounds) -> None:
        self.patches, self.settings, self.sounds = patches, settings, sounds
        self.renderer = Renderer(Rack.generators(SAMPLE_RATE))

    def __call__(self, model: Programmer, step: int, generator: torch.Generator) -> Tensor:
        """Mean distance of a batch of the synthesizer whose turn it is."""
        number = step % len(model.names)
        own = self._own(number)
        return self._distances(
            model, number, own[torch.randint(len(own), (self.settings.audio_batch,), generator=generator)]
        ).mean()

    @torch.no_grad()
    def validate(self, model: Programmer) -> float:
        """Mean distance of the first sounds of each synthesizer."""
        model.eval()
        found = [self._distances(model, number, self._own(number)[:VALIDATED]) for number in range(len(model.names))]
        return float(torch.cat(found).mean())

    def _own(self, number: int) -> Tensor:
        return (self.sounds.which == number).nonzero().flatten()

    def _distances(self, model: Programmer, number: int, rows: Tensor) -> Tensor:
        vectors = model.as_vectors(model(*self.sounds[rows][:3]), model.names[number])
        if vectors.requires_grad:
            vectors.register_hook(partial(limit_gradients, longest=STEEPEST * self.settings.audio_weight / len(rows)))
        graphs = [self.patches[i] for i in rows.tolist()]
        seconds = self.settings.audio_seconds
        return sound_distance(model.names[number], graphs, vectors, self.renderer, seconds)


@torch.no_grad()
def _validate(model: Programmer, sounds: Sounds) -> float:
    """The distance of the parameters, over all sounds."""
    model.eval()
    total = 0.0
    for begin in range(0, len(sounds.which), 128):
        part = slice(begin, begin + 128)
        terms = model.terms(*sounds[part])
        total += float(terms.parameters) * len(sounds.which[part])
    return total / len(sounds.which)


def _save(path: Path, model: Programmer, optimizer: torch.optim.Optimizer, state: _State) -> None:
    groups: dict[str, Mapping[str, Tensor]] = {"weights": model.state_dict(), "best": state.best_weights}
    moments = {
        f"{i}.{key}": torch.as_tensor(value)
        for i, values in optimizer.state_dict()["state"].items()
        for key, value in values.items()
    }
    tensors = {f"{g}.{n}": v.detach().clone().contiguous() for g, values in groups.items() for n, v in values.items()}
    tensors |= {f"optimizer.{name}": value.clone().contiguous() for name, value in moments.items()}
    head = {"step": state.step, "best": state.best, "history": state.history}
    write_atomically(path, save(tensors, {_HEADER: to_json(finite(head))}))


def _resume(path: Path, model: Programmer, optimizer: torch.optim.Optimizer) -> _State:
    try:
        with open_tensors(path) as file:
            head = json.loads((file.metadata() or {})[_HEADER])
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        groups: dict[str, dict[str, Tensor]] = {"weights": {}, "best": {}, "optimizer": {}}
        for name, value in tensors.items():
            group, key = name.split(".", 1)
            groups[group][key] = value
        model.load_state_dict(groups["weights"])
        stored = optimizer.state_dict()
        for name, value in groups["optimizer"].items():
            number, key = name.split(".", 1)
            stored["state"].setdefault(int(number), {})[key] = value
        optimizer.load_state_dict(stored)
        best = math.inf if head["best"] is None else float(head["best"])
        history = [
            (int(row[0]), float(row[1]), math.inf if row[2] is None else float(row[2])) for row in head["history"]
        ]
        return _State(int(head["step"]), best, groups["best"], history)
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError, OSError) as error:
        raise GraphmixError(f"{path} is damaged ({str(error)[:100]}); delete it to begin again.") from None


def read_training(folder: str | Path) -> dict[str, Any]:
    """``training.json`` of a finished training."""
    return dict(read_json(Path(folder) / RESULT, error=GraphmixError, fix="train again"))
