"""Networks in the place of effects: captured devices, the proxy of a channel strip and its pretraining."""

from graphmix.models.effects.captured import CapturedEffect, captured_effect
from graphmix.models.effects.effect import Control, EffectModel
from graphmix.models.effects.effect_files import EFFECTS, build_effect, digest_of, load_effect, save_effect
from graphmix.models.effects.nam import load_nam, save_nam

__all__ = [
    "EFFECTS",
    "CapturedEffect",
    "Control",
    "EffectModel",
    "build_effect",
    "captured_effect",
    "digest_of",
    "load_effect",
    "load_nam",
    "save_effect",
    "save_nam",
]
