"""Configurations of separators: representation, blocks and sizes, as pydantic models that JSON and TOML can hold.

``model`` selects the network; each has a configuration of its own below, and :func:`mask_config` reads any of them.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from graphmix.models.config import Table

LARGEST_RATE = 768000
MAX_SOURCES = 32
Normalization = Literal["batch", "instance", "data"]
MaskActivation = Literal["sigmoid", "softmax", "tanh_complex"]
Cell = Literal["lstm", "gru"]


class STFTConfig(Table):
    """Short-time Fourier transform.

    Args:
        n_fft: samples of a frame.
        hop: samples from one frame to the next, at most half a frame.
    """

    kind: Literal["stft"] = "stft"
    n_fft: int = Field(default=4096, ge=4, le=1 << 20, multiple_of=2)
    hop: int = Field(default=1024, ge=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.hop > self.n_fft // 2:
            raise ValueError(f"hop is {self.hop}; frames overlap by half or more, so give at most {self.n_fft // 2}")
        return self


class MelConfig(STFTConfig):
    """Mel bands for the network, the short-time Fourier transform for the masks.

    Args:
        bands: of the mel scale.
    """

    kind: Literal["mel"] = "mel"  # type: ignore[assignment]
    bands: int = Field(default=128, ge=2, le=4096)


class ConstantQConfig(Table):
    """Invertible constant-Q transform.

    Args:
        low_hz: center of the lowest band; below it is one band down to 0 Hz.
        bins_per_octave: bands of an octave.
    """

    kind: Literal["constant_q"] = "constant_q"
    low_hz: float = Field(default=32.703, ge=1.0)
    bins_per_octave: int = Field(default=24, ge=1, le=96)


AnyRepresentation = Annotated[STFTConfig | MelConfig | ConstantQConfig, Field(discriminator="kind")]


class RecurrentConfig(Table):
    """A recurrent stack.

    Args:
        cell: ``"lstm"`` or ``"gru"``.
        hidden: units of a direction.
        layers: one above the other.
        bidirectional: whether frames depend on later ones.
        dropout: between layers, in training.
    """

    cell: Cell = "lstm"
    hidden: int = Field(default=256, ge=1, le=8192)
    layers: int = Field(default=3, ge=1, le=16)
    bidirectional: bool = True
    dropout: float = Field(default=0.1, ge=0, lt=1)


class MaskConfig(Table):
    """What all separators have.

    Args:
        model: name of the network.
        sources: names of what it separates, in the order of its masks.
        sample_rate: in Hz, at which it was trained.
        channels: 1 or 2.
        representation: in which masks are estimated.
    """

    model: str
    sources: tuple[str, ...] = Field(default=("drums", "bass", "vocals", "other"), min_length=1, max_length=MAX_SOURCES)
    sample_rate: int = Field(default=44100, ge=1, le=LARGEST_RATE)
    channels: int = Field(default=2, ge=1, le=2)
    representation: AnyRepresentation = STFTConfig()

    @field_validator("sources")
    @classmethod
    def _distinct(cls, sources: tuple[str, ...]) -> tuple[str, ...]:
        for name in sources:
            if not name.strip() or not name.isprintable():
                raise ValueError(f"a source is called {name!r}; give it a name that can be printed")
            if sources.count(name) > 1:
                raise ValueError(f"two sources are called {name!r}; give each its own name")
        return sources


class MaskInferenceConfig(MaskConfig):
    """Amplitude in dB, normalization, recurrent stack, masks: the network that the seed builds first.

    Args:
        normalization: of the amplitudes in dB.
        recurrent: the stack.
        mask: activation of the masks.
    """

    model: Literal["mask_inference"] = "mask_inference"  # type: ignore[assignment]
    normalization: Normalization = "batch"
    recurrent: RecurrentConfig = RecurrentConfig()
    mask: MaskActivation = "sigmoid"


class ChimeraConfig(MaskInferenceConfig):
    """Mask inference with a second head: an embedding of each bin, for deep clustering.

    Args:
        embedding: numbers of a bin.
    """

    model: Literal["chimera"] = "chimera"  # type: ignore[assignment]
    embedding: int = Field(default=20, ge=1, le=512)


class OpenUnmixConfig(MaskConfig):
    """A stack for each source, after Open-Unmix (Stöter et al. 2019).

    Args:
        hidden: width; each direction of the recurrent stack has half of it.
        layers: of the recurrent stack.
        bandwidth_hz: bins above are not looked at.
        bidirectional: whether frames depend on later ones.
        dropout: between recurrent layers, in training.
    """

    model: Literal["open_unmix"] = "open_unmix"  # type: ignore[assignment]
    hidden: int = Field(default=512, ge=2, multiple_of=2, le=8192)
    layers: int = Field(default=3, ge=1, le=16)
    bandwidth_hz: float = Field(default=16000.0, gt=0)
    bidirectional: bool = True
    dropout: float = Field(default=0.4, ge=0, lt=1)


class BandSplitConfig(MaskConfig):
    """Bands of their own widths, recurrent layers along time and across bands (Luo and Yu 2023).

    Args:
        bands: number of bands, equally wide on a mel scale and at least a bin wide.
        features: numbers of a band and frame.
        layers: pairs of recurrent layers.
        recurrent_hidden: units of a direction.
        cell: ``"lstm"`` or ``"gru"``.
        mask_hidden: units of the layer before the masks.
        mask: activation of the masks.
    """

    model: Literal["band_split"] = "band_split"  # type: ignore[assignment]
    bands: int = Field(default=32, ge=2, le=512)
    features: int = Field(default=48, ge=1, le=1024)
    layers: int = Field(default=3, ge=1, le=32)
    recurrent_hidden: int = Field(default=64, ge=1, le=2048)
    cell: Cell = "lstm"
    mask_hidden: int = Field(default=128, ge=1, le=4096)
    mask: MaskActivation = "sigmoid"


class UNetConfig(MaskConfig):
    """Convolutions that halve and double the resolution, with connections across (Jansson et al. 2017).

    Args:
        normalization: of the amplitudes in dB.
        width: channels of the first level; each further one has twice as many, up to ``most``.
        levels: how often the resolution is halved.
        most: channels of a level at the most.
        mask: activation of the masks.
    """

    model: Literal["unet"] = "unet"  # type: ignore[assignment]
    normalization: Normalization = "batch"
    width: int = Field(default=16, ge=1, le=1024)
    levels: int = Field(default=5, ge=1, le=10)
    most: int = Field(default=256, ge=1, le=4096)
    mask: MaskActivation = "sigmoid"
