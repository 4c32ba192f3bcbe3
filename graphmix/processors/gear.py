"""All processors that come with graphmix, by family: what racks are filled with.

A type that is added here is in :meth:`graphmix.processors.rack.Rack.full`, can be named in chain strings in brackets
and is tested against the laws of all processors.
"""

from graphmix.processors.align import Align
from graphmix.processors.base import Processor
from graphmix.processors.biquads import Filter, ParametricEqualizer, PoleZero, StateVariableFilter
from graphmix.processors.compressors import Expander, StudioCompressor
from graphmix.processors.controls import LFO, Amplifier, Envelope, ResonantFilter, RingModulator, SegmentEnvelope
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
from graphmix.processors.generators import Noise, Note, Operator, Oscillator
from graphmix.processors.graphic import GraphicEqualizer, OctaveEqualizer
from graphmix.processors.levels import Gain, Imager
from graphmix.processors.limiter import Limiter, TruePeakLimiter
from graphmix.processors.melody import Melody
from graphmix.processors.modulation import AutoPan, Chorus, Flanger, Phaser, Tremolo, Vibrato
from graphmix.processors.reverb import Reverb
from graphmix.processors.ride import Ride
from graphmix.processors.saturation import BitCrusher, Chebyshev, Clipper, Power, Tanh, Tape, WaveShaper
from graphmix.processors.send import Send
from graphmix.processors.spaces import EarlyReflections, FeedbackDelay, FeedbackNetwork, VelvetReverb
from graphmix.processors.stereo import (
    Balance,
    BassWidth,
    Haas,
    MidSideDecoder,
    MidSideEncoder,
    Pan,
    Polarity,
    Rotation,
)
from graphmix.processors.transients import TransientShaper

Kinds = tuple[type[Processor], ...]
"""Classes that are made from a sample rate alone."""

CONSOLE_PROCESSORS: Kinds = (Equalizer, Compressor, NoiseGate, Imager, Gain, MultitapDelay, Reverb)
"""The seven of the pruning paper."""
VARIANTS: Kinds = (BallisticCompressor, BallisticGate, SidechainCompressor, Crossover, Limiter, Send)
ADDED: Kinds = (Align, Ride)
"""What a search adds where a song needs it; they are never pruned."""
FILTERS: Kinds = (
    Filter, ParametricEqualizer, GraphicEqualizer, OctaveEqualizer, StateVariableFilter, PoleZero, FIRFilter,
)  # fmt: skip
DYNAMICS: Kinds = (StudioCompressor, Expander, TruePeakLimiter, TransientShaper, DynamicEqualizer, DeEsser)
SATURATIONS: Kinds = (Tanh, Clipper, Power, Chebyshev, WaveShaper, Tape, BitCrusher)
MODULATIONS: Kinds = (Chorus, Flanger, Vibrato, Phaser, Tremolo, AutoPan)
SPACES: Kinds = (FeedbackDelay, FeedbackNetwork, VelvetReverb, EarlyReflections)
STEREO: Kinds = (Pan, Balance, Rotation, Polarity, MidSideEncoder, MidSideDecoder, Haas, BassWidth)
MORE: Kinds = (*FILTERS, *DYNAMICS, *SATURATIONS, *MODULATIONS, *SPACES, *STEREO)
"""They have no letters: a chain names them in brackets."""
GENERATORS: Kinds = (
    Note, Melody, Oscillator, Noise, Operator, Envelope, SegmentEnvelope, LFO, Amplifier, RingModulator,
    ResonantFilter,
)  # fmt: skip
"""What synthesizers are made of."""
