"""The interface of networks that separate a mixture by masks: audio in, masks and the mixture's coefficients out.

Conventions: audio is [mixtures, channels, samples] at ``sample_rate``; coefficients are those of the model's
representation, [mixtures, channels, bins, frames]. A mask is a number of each source, channel, bin and frame: real
from 0 to 1, or complex. Sources and masks stand in the order of ``sources``; masks need not add up to 1, so that
sources need not add up to the mixture: what is left over is the rest, which the caller takes.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from graphmix.errors import GraphmixError
from graphmix.models.config import describe_error
from graphmix.models.masks.config import MaskConfig
from graphmix.models.masks.representation import Representation, build_representation


class MaskOutput(NamedTuple):
    """What a separator finds in mixtures.

    Args:
        masks: [mixtures, sources, channels, bins, frames], real from 0 to 1 or complex.
        mixture: coefficients of the mixtures, [mixtures, channels, bins, frames].
        embedding: of each bin, of length 1, [mixtures, frames * features of a frame, size]; None of models that have
            none.
    """

    masks: Tensor
    mixture: Tensor
    embedding: Tensor | None = None

    @property
    def estimates(self) -> Tensor:
        """Coefficients of the sources: mask times mixture, [mixtures, sources, channels, bins, frames]."""
        return self.masks * self.mixture.unsqueeze(1)


class MaskEstimator(nn.Module, ABC):
    """A network that estimates the masks of sources.

    Args:
        config: its sizes.

    Shape:
        audio [mixtures, channels, samples] -> :class:`MaskOutput`.
    """

    config: MaskConfig
    representation: Representation

    def __init__(self, config: MaskConfig) -> None:
        super().__init__()
        self.config = config
        self.representation = build_representation(config.representation, config.sample_rate)

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources, in the order of the masks."""
        return self.config.sources

    @property
    def sample_rate(self) -> float:
        """Of the audio, in Hz."""
        return float(self.config.sample_rate)

    @property
    def channels(self) -> int:
        """Of the audio."""
        return self.config.channels

    @abstractmethod
    def estimate(self, features: Tensor) -> tuple[Tensor, Tensor | None]:
        """Masks of the features' bins, and the embedding if the model has one.

        Args:
            features: amplitudes, [mixtures, channels, feature bins, frames]; see :meth:`Representation.features`.

        Returns:
            [mixtures, sources, channels, feature bins, frames], [mixtures, frames * features of a frame, size].
        """

    def forward(self, audio: Tensor) -> MaskOutput:
        """Masks of mixtures.

        Raises:
            GraphmixError: audio of another shape.
        """
        if audio.dim() != 3 or audio.size(1) != self.channels:
            raise GraphmixError(
                f"audio has shape {list(audio.shape)}, expected [mixtures, {self.channels}, samples]: this separator "
                f"works on {self.channels} channel{'s' * (self.channels > 1)}."
            )
        return self.analyze(self.representation.encode(audio))

    def analyze(self, mixture: Tensor) -> MaskOutput:
        """As :meth:`forward`, from coefficients of the mixture [mixtures, channels, bins, frames]."""
        masks, embedding = self.estimate(self.representation.features(mixture))
        return MaskOutput(self.representation.expand(masks), mixture, embedding)

    def separate(self, audio: Tensor) -> Tensor:
        """The sources of mixtures, with the mixture's phases unless masks are complex; the rest is left out.

        Shape:
            [mixtures, channels, samples] -> [mixtures, sources, channels, samples]
        """
        estimates = self(audio).estimates
        decoded = self.representation.decode(estimates.flatten(0, 1), audio.size(-1))
        return decoded.unflatten(0, estimates.shape[:2])

    @torch.no_grad()
    def set_statistics(self, mean: Tensor, deviation: Tensor) -> None:
        """Give normalization by data its means and deviations of the features; see :class:`DataNorm`."""
        from graphmix.models.masks.normalization import DataNorm

        for module in self.modules():
            if isinstance(module, DataNorm):
                module.set(mean, deviation)


def separator_models() -> dict[str, tuple[type[MaskConfig], type[MaskEstimator]]]:
    """Name of a network -> its configuration and its class."""
    from graphmix.models.masks.networks import SEPARATORS

    return SEPARATORS


def mask_config(values: Mapping[str, Any]) -> MaskConfig:
    """The configuration that plain values describe, e.g. those of a TOML table or of a JSON file.

    Raises:
        GraphmixError: an unknown model (the known ones are listed), or a key that is unknown or has a wrong value.
    """
    known, name = separator_models(), values.get("model")
    if not isinstance(name, str) or name not in known:
        raise GraphmixError(f"there is no separator {str(name)[:60]!r}; give one of: {', '.join(known)}.")
    try:
        return known[name][0].model_validate(dict(values))
    except ValidationError as error:
        raise GraphmixError(f"separator {name!r}: {describe_error(error)}.") from None


def build_separator(config: MaskConfig | Mapping[str, Any]) -> MaskEstimator:
    """A new separator, with random weights.

    Raises:
        GraphmixError: as :func:`mask_config`.
    """
    table = config if isinstance(config, MaskConfig) else mask_config(config)
    return separator_models()[table.model][1](table)
