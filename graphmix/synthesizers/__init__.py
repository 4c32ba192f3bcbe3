"""Synthesizers as graphs: modules, patches, presets."""

from graphmix.synthesizers.instruments import FM, SUBTRACTIVE, SYNTHESIZERS, WAVETABLE
from graphmix.synthesizers.modules import Module, PatchParameter
from graphmix.synthesizers.synthesizer import Synthesizer

__all__ = ["FM", "SUBTRACTIVE", "SYNTHESIZERS", "WAVETABLE", "Module", "PatchParameter", "Synthesizer"]
