"""Differentiable audio processors: one file for each family of effects."""

from graphmix.processors.align import Align
from graphmix.processors.base import LTIProcessor, MatrixProcessor, Processor
from graphmix.processors.biquads import Filter, ParametricEqualizer, PoleZero, StateVariableFilter
from graphmix.processors.compressors import Expander, StudioCompressor
from graphmix.processors.delay import MultitapDelay
from graphmix.processors.dynamic_equalizers import DeEsser, DynamicEqualizer
from graphmix.processors.dynamics import (
    BallisticCompressor,
    BallisticGate,
    Compressor,
    NoiseGate,
    SidechainCompressor,
)
from graphmix.processors.filters import Crossover, Equalizer, FIRFilter
from graphmix.processors.graphic import GraphicEqualizer, OctaveEqualizer
from graphmix.processors.levels import Gain, Imager
from graphmix.processors.limiter import Limiter, TruePeakLimiter
from graphmix.processors.plugin import PluginEffect, plugin_effect
from graphmix.processors.rack import Rack
from graphmix.processors.recursive import RecursiveFilter
from graphmix.processors.reverb import Reverb
from graphmix.processors.ride import Ride
from graphmix.processors.transients import TransientShaper

__all__ = [
    "Align",
    "BallisticCompressor",
    "BallisticGate",
    "Compressor",
    "Crossover",
    "DeEsser",
    "DynamicEqualizer",
    "Equalizer",
    "Expander",
    "FIRFilter",
    "Filter",
    "Gain",
    "GraphicEqualizer",
    "Imager",
    "LTIProcessor",
    "Limiter",
    "MatrixProcessor",
    "MultitapDelay",
    "NoiseGate",
    "OctaveEqualizer",
    "ParametricEqualizer",
    "PluginEffect",
    "PoleZero",
    "Processor",
    "Rack",
    "RecursiveFilter",
    "Reverb",
    "Ride",
    "SidechainCompressor",
    "StateVariableFilter",
    "StudioCompressor",
    "TransientShaper",
    "TruePeakLimiter",
    "plugin_effect",
]
