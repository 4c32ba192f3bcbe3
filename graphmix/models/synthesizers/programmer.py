r"""A network that proposes the patch of a sound, for several synthesizers: the three designs of the multi-task paper.

"Exploring Approaches to Multi-Task Automatic Synthesizer Programming" (Faronbi, Roman, Bello): a convolutional
variational autoencoder of mel spectrograms, and decoders from its latent vector to the parameters of a synthesizer.

* ``separate``: an autoencoder and a decoder for each synthesizer;
* ``joint_encoder``: one autoencoder and a decoder for each synthesizer, of which only that of the synthesizer that
  made a sound learns from it (a mask of ones or zeros);
* ``joint_decoder``: one autoencoder and one decoder as wide as the largest synthesizer; of the others its outputs
  beyond their own are masked.

The loss of a sound is

.. math:: \| x - \hat x \|^2 + \beta \, D_{KL}(q(z|x) \,\|\, N(0, 1)) + \lambda \, \ell(p, \hat p)

with the squared error of the numbers of a patch, from 0 to 1 on their own scales, and the cross entropy of its choices
and of the common values of numbers (:mod:`graphmix.models.synthesizers.outputs`).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import torch
from pydantic import Field, ValidationError, model_validator
from torch import Tensor, nn
from torch.nn import functional

from graphmix.errors import GraphmixError
from graphmix.models.config import Table, describe_error
from graphmix.models.effects.effect import load_weights, loading
from graphmix.models.model_files import ModelFile
from graphmix.models.synthesizers.outputs import PatchOutputs

HEADER, VERSION = "graphmix_programmer", 1
MAX_BYTES, MAX_HEADER_BYTES = 1 << 30, 1 << 22
FILE = ModelFile("a network that proposes patches", HEADER, VERSION, MAX_BYTES, MAX_HEADER_BYTES)
_POOLED = 4
"""Two poolings by two."""
SPREAD = 1.0
"""Of draws of the latent vector: factor of its standard deviation."""


class ProgrammerConfig(Table):
    """Sizes of a :class:`Programmer`.

    Args:
        design: which of the three.
        sizes: name of a synthesizer -> numbers of each of its parameters: 1, or as many as a choice has options.
        mels: bins of a spectrogram, a multiple of four.
        frames: of a spectrogram, a multiple of four.
        channels: of the convolutions.
        latent: size of the latent vector.
        hidden: units of the decoders' layers.
        beta: weight of the divergence, after its warm-up.
        weight: lambda, of the parameters.
        notes: whether the decoders are given the pitch and the length of the note beside the latent vector.
        common: name of a synthesizer -> common values of each of its parameters, from 0 to 1; empty for none at all.
    """

    design: Literal["separate", "joint_encoder", "joint_decoder"] = "joint_encoder"
    sizes: dict[str, tuple[int, ...]] = Field(min_length=1)
    mels: int = Field(default=128, ge=4, multiple_of=_POOLED)
    frames: int = Field(default=128, ge=4, multiple_of=_POOLED)
    channels: int = Field(default=8, ge=1, le=256)
    latent: int = Field(default=64, ge=1, le=4096)
    hidden: tuple[int, ...] = (1024, 1024, 1024)
    beta: float = Field(default=1e-3, ge=0)
    weight: float = Field(default=1.0, ge=0)
    notes: bool = False
    common: dict[str, tuple[tuple[float, ...], ...]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _values_of_numbers(self) -> Self:
        for name, common in self.common.items():
            sizes = self.sizes.get(name, ())
            choices = [size for size, values in zip(sizes, common, strict=False) if values and size > 1]
            if len(common) != len(sizes) or choices:
                raise ValueError(f"common has values for other parameters than {name!r} has numbers")
        return self

    def outputs(self) -> list[PatchOutputs]:
        """The decoders' outputs for each synthesizer."""
        return [PatchOutputs(sizes, self.common.get(name, ())) for name, sizes in self.sizes.items()]


def note_features(pitch: Tensor, length_ms: Tensor) -> Tensor:
    """MIDI note numbers and lengths of notes, about from -1 to 1, for the decoders, [sounds, 2]."""
    return torch.stack([(pitch - 60) / 24, (length_ms.clamp(min=1) / 600).log() / 1.5], 1)


class Terms(NamedTuple):
    """The parts of a loss: of the spectrogram, of the latent vector, of the parameters."""

    reconstruction: Tensor
    divergence: Tensor
    parameters: Tensor


class MelAutoencoder(nn.Module):
    """A variational autoencoder of mel spectrograms: two convolutions with batch norm and pooling, and back."""

    def __init__(self, config: ProgrammerConfig) -> None:
        super().__init__()
        channels, self.shape = config.channels, (config.channels, config.mels // _POOLED, config.frames // _POOLED)
        size = self.shape[0] * self.shape[1] * self.shape[2]
        self.encoder = nn.Sequential(
            *_block(1, channels), nn.MaxPool2d(2), *_block(channels, channels), nn.MaxPool2d(2), nn.Flatten()
        )
        self.moments = nn.Linear(size, 2 * config.latent)
        self.expand = nn.Linear(config.latent, size)
        self.decoder = nn.Sequential(
            nn.Upsample(scale_factor=2), *_block(channels, channels),
            nn.Upsample(scale_factor=2), nn.Conv2d(channels, 1, 3, padding=1),
        )  # fmt: skip

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the variance of the latent vectors, [sounds, latent] each."""
        mean, log_variance = self.moments(self.encoder(images[:, None])).chunk(2, dim=1)
        return mean, log_variance.clamp(-12, 12)

    def decode(self, latent: Tensor) -> Tensor:
        """Spectrograms from 0 to 1, [sounds, mels, frames]."""
        image: Tensor = torch.sigmoid(self.decoder(self.expand(latent).unflatten(1, self.shape)))
        return image[:, 0]


class Programmer(nn.Module):
    """Latent vectors and patches of sounds; see the module.

    Args:
        config: design and sizes.

    Shape:
        images [sounds, mels, frames] from 0 to 1, the number of the synthesizer of each, [sounds], and
        :func:`note_features`, [sounds, 2] -> outputs for its patch in the first columns of [sounds, width]: raw
        ones, see :meth:`vectors`.
    """

    def __init__(self, config: ProgrammerConfig) -> None:
        super().__init__()
        self.config = config
        count = len(config.sizes)
        self.outputs = config.outputs()
        widths = [outputs.width for outputs in self.outputs]
        self.width = max(widths)
        shared = config.design != "separate"
        self.autoencoders = nn.ModuleList(MelAutoencoder(config) for _ in range(1 if shared else count))
        inputs = config.latent + 2 * config.notes
        decoded = [self.width] if config.design == "joint_decoder" else widths
        self.decoders = nn.ModuleList(_perceptron(inputs, config.hidden, width) for width in decoded)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the synthesizers, in the order of their numbers."""
        return tuple(self.config.sizes)

    def encode(self, images: Tensor, which: Tensor) -> tuple[Tensor, Tensor]:
        """Moments of the latent vectors, by the autoencoder of each sound's synthesizer."""
        if len(self.autoencoders) == 1:
            return _autoencoder(self.autoencoders[0]).encode(images)
        moments = self._by_synthesizer(which, lambda i, rows: _autoencoder(self.autoencoders[i]).encode(images[rows]))
        return moments[0], moments[1]

    def reconstruct(self, latent: Tensor, which: Tensor) -> Tensor:
        """Spectrograms of latent vectors, [sounds, mels, frames]."""
        if len(self.autoencoders) == 1:
            return _autoencoder(self.autoencoders[0]).decode(latent)
        return self._by_synthesizer(which, lambda i, rows: (_autoencoder(self.autoencoders[i]).decode(latent[rows]),))[
            0
        ]

    def parameters_of(self, latent: Tensor, which: Tensor, notes: Tensor) -> Tensor:
        """Raw outputs for the patches; zero beyond those that a synthesizer has, [sounds, width]."""
        if self.config.notes:
            latent = torch.cat([latent, notes], 1)
        if len(self.decoders) == 1:
            return self.decoders[0](latent) * self.mask(which)

        def decode(i: int, rows: Tensor) -> tuple[Tensor]:
            raw = self.decoders[i](latent[rows])
            return (functional.pad(raw, (0, self.width - raw.size(1))),)

        return self._by_synthesizer(which, decode)[0]

    def forward(self, images: Tensor, which: Tensor, notes: Tensor) -> Tensor:
        """Raw outputs for the patches at the means of the latent vectors."""
        return self.parameters_of(self.encode(images, which)[0], which, notes)

    def mask(self, which: Tensor) -> Tensor:
        """1 for the outputs that a sound's synthesizer has, [sounds, width]."""
        widths = which.new_tensor([outputs.width for outputs in self.outputs])
        return (torch.arange(self.width, device=which.device) < widths[which][:, None]).float()

    def terms(
        self,
        images: Tensor,
        which: Tensor,
        notes: Tensor,
        vectors: Tensor,
        generator: torch.Generator | None = None,
    ) -> Terms:
        """Means of the parts of the loss.

        Args:
            images: spectrograms.
            which: number of the synthesizer of each sound.
            notes: its note's features.
            vectors: its patch, from 0 to 1, padded to the largest synthesizer's numbers.
            generator: of the latent noise, in training.
        """
        mean, log_variance = self.encode(images, which)
        latent = mean
        if self.training:
            noise = torch.randn(mean.shape, generator=generator, device=mean.device)
            latent = mean + (log_variance / 2).exp() * noise
        divergence = 0.5 * (log_variance.exp() + mean.square() - 1 - log_variance).sum(1).mean()
        reconstruction = (self.reconstruct(latent, which) - images).square().mean()
        raw = self.parameters_of(latent, which, notes)
        return Terms(reconstruction, divergence, self._distance(raw, which, vectors))

    def loss(self, terms: Terms, warm_up: float = 1.0) -> Tensor:
        """The sum of the parts, the divergence by the share ``warm_up`` of its weight."""
        return (
            terms.reconstruction + warm_up * self.config.beta * terms.divergence + self.config.weight * terms.parameters
        )

    def _distance(self, raw: Tensor, which: Tensor, vectors: Tensor) -> Tensor:
        """Squared error of numbers and cross entropy of choices, a mean over the parameters of each sound."""
        total = raw.new_zeros(())
        for i, outputs in enumerate(self.outputs):
            rows = (which == i).nonzero().flatten()
            if len(rows):
                total = total + outputs.distance(raw[rows], vectors[rows])
        return total / max(1, len(which))

    @torch.no_grad()
    def vectors(self, images: Tensor, notes: Tensor, name: str) -> Tensor:
        """Patches of one synthesizer, as :meth:`graphmix.synthesizers.Synthesizer.vector` has them, [sounds, width]."""
        return self.as_vectors(self(images, self._numbers(name, len(images)), notes), name)

    @torch.no_grad()
    def draw(
        self, images: Tensor, notes: Tensor, name: str, count: int, generator: torch.Generator, spread: float = SPREAD
    ) -> Tensor:
        """Several patches of one synthesizer for each sound, to be played and compared, [sounds, count, width].

        The first ones are those of :meth:`vectors`. The others are decoded from draws of the latent vector; their
        choices and common values are drawn by their probabilities.

        Args:
            images: spectrograms.
            notes: features of their notes.
            name: of the synthesizer.
            count: patches of each sound.
            generator: of the draws.
            spread: factor of the latent vector's standard deviation.

        Raises:
            GraphmixError: a synthesizer that the model does not know, or no patch at all.
        """
        if count < 1:
            raise GraphmixError(f"{count} patches are to be drawn for each sound; it takes 1 or more.")
        which = self._numbers(name, len(images))
        mean, log_variance = self.encode(images, which)
        noise = torch.randn(count, *mean.shape, generator=generator)
        noise[0] = 0
        latent = (mean + spread * (log_variance / 2).exp() * noise).flatten(0, 1)
        raw = self.parameters_of(latent, which.repeat(count), notes.repeat(count, 1))
        first, others = raw[: len(images)], raw[len(images) :]
        vectors = torch.cat([self.as_vectors(first, name), self.as_vectors(others, name, generator)])
        return vectors.unflatten(0, (count, len(images))).transpose(0, 1)

    def _numbers(self, name: str, count: int) -> Tensor:
        """The number of a synthesizer for so many sounds."""
        if name not in self.config.sizes:
            raise GraphmixError(f"the model knows {', '.join(self.names)}, and not {name!r}.")
        return torch.full((count,), self.names.index(name))

    def as_vectors(self, raw: Tensor, name: str, generator: torch.Generator | None = None) -> Tensor:
        """Raw outputs for patches of one synthesizer as their vectors: from 0 to 1, choices as probabilities.

        With a generator choices and common values are drawn, see :meth:`PatchOutputs.vectors`.
        """
        return self.outputs[self.names.index(name)].vectors(raw, generator)

    def _by_synthesizer(self, which: Tensor, function: Any) -> tuple[Tensor, ...]:
        """Results of a function of (number, rows), put back in the order of the sounds."""
        rows = [(which == i).nonzero().flatten() for i in range(len(self.config.sizes))]
        found = [function(i, part) for i, part in enumerate(rows) if len(part)]
        order = torch.cat([part for part in rows if len(part)]).argsort()
        return tuple(torch.cat(parts)[order] for parts in zip(*found, strict=True))


def _autoencoder(module: nn.Module) -> MelAutoencoder:
    assert isinstance(module, MelAutoencoder), "as they were made"
    return module


def _block(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()


def _perceptron(inputs: int, hidden: Sequence[int], outputs: int) -> nn.Sequential:
    layers = list[nn.Module]()
    for size in hidden:
        layers += [nn.Linear(inputs, size), nn.ReLU()]
        inputs = size
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))


# --- files


def save_programmer(model: Programmer, path: str | Path, about: Mapping[str, Any] | None = None) -> Path:
    """Write a model as ``.safetensors`` with its configuration in the header.

    Raises:
        GraphmixError: another ending, or the file cannot be written.
    """
    head = {"config": model.config.model_dump(mode="json"), "about": dict(about or {})}
    tensors = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    return FILE.write(Path(path), head, tensors)


def load_programmer(path: str | Path) -> tuple[Programmer, dict[str, Any]]:
    """A model in evaluation mode, and what was written about it.

    Raises:
        GraphmixError: the file is missing, damaged, of a newer graphmix, or no such model.
    """
    path = Path(path)
    with loading(path):
        header, tensors = FILE.read(path)
        head = FILE.parse(header, ("config", "about"))
        try:
            model = _build(ProgrammerConfig.model_validate(head["config"]))
        except ValidationError as error:
            raise GraphmixError(f"{describe_error(error)}.") from None
        load_weights(model, tensors)
    return model.eval(), head["about"]


def _build(config: ProgrammerConfig) -> Programmer:
    """A new model, without touching the caller's random numbers."""
    with torch.random.fork_rng(devices=[]):
        return Programmer(config)
