"""Separators: networks that estimate masks of sources on a time-frequency representation of their mixture."""

from graphmix.models.masks.config import (
    BandSplitConfig,
    ChimeraConfig,
    MaskConfig,
    MaskInferenceConfig,
    OpenUnmixConfig,
    UNetConfig,
)
from graphmix.models.masks.files import find_separator, load_separator, save_separator
from graphmix.models.masks.representation import STFT, ConstantQ, Mel, Representation, build_representation
from graphmix.models.masks.separator import MaskEstimator, MaskOutput, build_separator, mask_config

__all__ = [
    "STFT",
    "BandSplitConfig",
    "ChimeraConfig",
    "ConstantQ",
    "MaskConfig",
    "MaskEstimator",
    "MaskInferenceConfig",
    "MaskOutput",
    "Mel",
    "OpenUnmixConfig",
    "Representation",
    "UNetConfig",
    "build_representation",
    "build_separator",
    "find_separator",
    "load_separator",
    "mask_config",
    "save_separator",
]
