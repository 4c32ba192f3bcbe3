"""Differentiable audio processors: one file for each family of effects."""

from graphmix.processors.align import Align
from graphmix.processors.base import LTIProcessor, MatrixProcessor, Processor
from graphmix.processors.delay import MultitapDelay
from graphmix.processors.dynamics import (
    BallisticCompressor,
    BallisticGate,
    Compressor,
    NoiseGate,
    SidechainCompressor,
)
from graphmix.processors.filters import Crossover, Equalizer
from graphmix.processors.levels import Gain, Imager
from graphmix.processors.plugin import PluginEffect, plugin_effect
from graphmix.processors.rack import Rack
from graphmix.processors.reverb import Reverb
from graphmix.processors.ride import Ride

__all__ = [
    "Align",
    "BallisticCompressor",
    "BallisticGate",
    "Compressor",
    "Crossover",
    "Equalizer",
    "Gain",
    "Imager",
    "LTIProcessor",
    "MatrixProcessor",
    "MultitapDelay",
    "NoiseGate",
    "PluginEffect",
    "Processor",
    "Rack",
    "Reverb",
    "Ride",
    "SidechainCompressor",
    "plugin_effect",
]
