r"""What makes sound: notes, oscillators, noise, operators of frequency modulation.

A generator adds its sound to what comes into its first inlet, so that its dry/wet weight is its level and a node of
weight 0 is a wire: dry/wet, pruning and every search mean the same for it as for an effect.

Conventions of control signals, which are signals of the graph like audio (left and right equal):

* ``pitch`` in semitones above A4, 440 Hz; an inlet with nothing connected plays A4;
* ``gate`` above 0 as long as a key is down, its height the velocity from 0 to 1;
* modulation from -1 to 1, by how much is a parameter of what it comes into.

A generator begins at the first sample that it is given. So a song with generators is rendered in one piece.
"""

import math
from functools import cache

import numpy as np
import torch
from torch import Tensor

from graphmix.dsp import wavetable
from graphmix.dsp.operators import operator
from graphmix.dsp.segments import envelope
from graphmix.processors.base import Processor
from graphmix.spec import DB_PER_NEPER, Exponential, Linear, NodeType, ParameterSpec

A4_HZ, A4_NOTE = 440.0, 69
WHOLE_SONG = 1 << 40
"""Samples of memory: whatever a block is rendered with, it is all before it."""
LEVEL = ParameterSpec("level_db", 1, "dB", -96.0, 24.0, 0.0, Linear(DB_PER_NEPER))
TIME_RANGE_MS = (0.1, 20_000.0)
MODULATION_PERIODS = 2.0
"""Phase deviation for a modulator at full level: an index of 4 pi, near that of the classic FM synthesizer."""
NOISE_SEED = 20
CURVE = 3.0
"""Of envelopes: a segment covers 95 % of an exponential approach."""


class Generator(Processor):
    """A processor that sounds by itself; what it makes is added to its first inlet's signal."""

    keeps_silence = False

    def memory(self, params: Tensor) -> tuple[int, int]:
        """The whole song before."""
        return WHOLE_SONG, 0

    def frequency(self, pitch: Tensor) -> Tensor:
        """Semitones above A4 to periods a sample, in float64 and below half the sample rate."""
        octaves = (pitch.double() / 12).clamp(max=16.0)
        return (octaves.exp2() * (A4_HZ / self.sample_rate)).clamp(max=0.5)


def to_stereo(mono: Tensor, dry: Tensor) -> Tensor:
    """A dry signal [nodes, 2, samples] with [nodes, samples] added to both channels."""
    return dry + mono[:, None].to(dry.dtype)


class Note(Generator):
    r"""A key that is held down: the pitch and the gate of one note.

    Params:
        pitch [nodes, 1]: MIDI note number; 60 is C4, fractions are allowed.
        start_ms, length_ms [nodes, 1]: when the key goes down, and for how long.
        velocity [nodes, 1]: height of the gate.

    Shape:
        no inlets; outlets pitch and gate: -> [nodes, 2 outlets, 2, samples].

    The times have no gradients: a gate opens at a sample.
    """

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        parameters = (
            ParameterSpec("pitch", 1, "MIDI", 0.0, 127.0, 60.0, Linear(1.0)),
            ParameterSpec("start_ms", 1, "ms", 0.0, 1e7, 0.0, Linear(100.0)),
            ParameterSpec("length_ms", 1, "ms", 1.0, 1e7, 500.0, Exponential()),
            ParameterSpec("velocity", 1, "", 0.01, 1.0, 0.8, Linear(1.0)),
        )
        self.node_type = NodeType("note", "Q", parameters, inlets=(), outlets=("pitch", "gate"))

    def forward(self, audio: Tensor, params: Tensor) -> Tensor:
        """Pitch and gate; of the audio only the length counts."""
        pitch, start, length, velocity = params.split(1, dim=1)
        n = torch.arange(audio.size(-1), device=audio.device)
        begin = (start * self.sample_rate / 1000).round()
        end = begin + (length * self.sample_rate / 1000).round().clamp(min=1)
        gate = velocity * ((n >= begin) & (n < end))
        both = torch.stack([(pitch - A4_NOTE).expand_as(gate), gate], dim=1).to(audio.dtype)
        return both[:, :, None].expand(-1, -1, 2, -1)


class Oscillator(Generator):
    r"""A periodic waveform: a sum of sine, saw, pulse, triangle and a wavetable.

    .. math:: y = u + 10^{L/20} \sum_k a_k w_k(\phi), \quad \phi[n] = \phi_0 + m[n] + \sum_{i \leq n} f[i] / f_s

    See :mod:`graphmix.dsp.wavetable`: up to 0.34 of the sample rate (15 kHz at 44.1 kHz) it is free of aliases, unless
    the phase inlet is used. The pulse is the difference of two saws that lie its width apart. The wavetable
    goes in eight steps, with all between them, from a sine to a bright, hollow spectrum.

    Params:
        level_db [nodes, 1]: L.
        sine, saw, pulse, triangle, table [nodes, 1 each]: amplitudes :math:`a_k`.
        width [nodes, 1]: of the pulse, as a share of its period.
        position [nodes, 1]: in the wavetable.
        transpose_semitones, detune_cents [nodes, 1]: added to the pitch.
        vibrato_semitones, width_modulation, position_modulation [nodes, 1]: for a modulation of 1.
        phase [nodes, 1]: :math:`\phi_0` in periods.

    Shape:
        audio [nodes, 5 inlets, 2, samples] -> [nodes, 2, samples]; inlets: the signal it is added to, pitch, modulation
        (of pitch, by vibrato_semitones), shape (of width and position), phase (in periods).
    """

    SHAPES = ("sine", "saw", "pulse", "triangle", "table")
    FRAMES = 8

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        amplitudes = [ParameterSpec(name, 1, "", 0.0, 1.0, float(name == "sine")) for name in self.SHAPES]
        parameters = (
            LEVEL,
            *amplitudes,
            ParameterSpec("width", 1, "", 0.02, 0.98, 0.5),
            ParameterSpec("position", 1, "", 0.0, 1.0, 0.0),
            ParameterSpec("transpose_semitones", 1, "semitones", -48.0, 48.0, 0.0),
            ParameterSpec("detune_cents", 1, "cents", -100.0, 100.0, 0.0, Linear(10.0)),
            ParameterSpec("vibrato_semitones", 1, "semitones", 0.0, 24.0, 0.0),
            ParameterSpec("width_modulation", 1, "", 0.0, 0.5, 0.0),
            ParameterSpec("position_modulation", 1, "", 0.0, 1.0, 0.0),
            ParameterSpec("phase", 1, "periods", 0.0, 1.0, 0.0),
        )
        inlets = ("in", "pitch", "modulation", "shape", "phase")
        self.node_type = NodeType("oscillator", "O", parameters, inlets=inlets)
        self._waves = {"sine": wavetable.sine(), "saw": wavetable.saw(), "triangle": wavetable.triangle()}
        self._frames = [_frame(i / (self.FRAMES - 1)) for i in range(self.FRAMES)]

    def forward(self, audio: Tensor, params: Tensor) -> Tensor:
        """Add the waveforms to the first inlet."""
        pitch, modulation, shape, moved = audio[:, 1:, 0].unbind(1)
        tuned = pitch + self.get(params, "transpose_semitones") + self.get(params, "detune_cents") / 100
        step = self.frequency(tuned + self.get(params, "vibrato_semitones") * modulation)
        start = self.get(params, "phase").double() + moved.double()
        phase = torch.cumsum(step, dim=1) - step[:, :1] + start
        total = audio.new_zeros(pitch.shape)
        for name in self.SHAPES:
            amplitude = self.get(params, name)
            used = torch.ones_like(amplitude[:, 0]) if amplitude.requires_grad else amplitude[:, 0]
            rows = (used > 0).nonzero().flatten()
            if rows.numel():
                wave = self._wave(name, phase[rows], step[rows], params[rows], shape[rows])
                total = total.index_add(0, rows, amplitude[rows] * wave)
        return to_stereo(total * (self.get(params, "level_db") / DB_PER_NEPER).exp(), audio[:, 0])

    def _wave(self, name: str, phase: Tensor, step: Tensor, params: Tensor, shape: Tensor) -> Tensor:
        dtype = shape.dtype
        if name == "pulse":
            width = (self.get(params, "width") + self.get(params, "width_modulation") * shape).clamp(0.02, 0.98)
            rising = wavetable.read(self._waves["saw"], phase, step, dtype)
            return rising - wavetable.read(self._waves["saw"], phase + width.double(), step, dtype)
        if name == "table":
            moved = self.get(params, "position") + self.get(params, "position_modulation") * shape
            place = moved.clamp(0, 1) * (self.FRAMES - 1)
            frames = [wavetable.read(frame, phase, step, dtype) for frame in self._frames]
            return sum(
                (wave * (1 - (place - i).abs()).clamp(min=0) for i, wave in enumerate(frames)), torch.zeros_like(shape)
            )
        return wavetable.read(self._waves[name], phase, step, dtype)


@cache
def _frame(position: float) -> wavetable.Wavetable:
    """A frame of the wavetable: harmonics from a sine to odd ones and a formant, at equal energy."""
    k = np.arange(1, 257, dtype=np.float64)
    slope = 6.0 * (1 - position) + 0.7 * position
    amplitudes = k**-slope * (1 + 3 * position * np.exp(-(((k - 9) / 4) ** 2)))
    amplitudes[1::2] *= 1 - 0.9 * position
    amplitudes /= math.sqrt(float((amplitudes**2).sum()))
    return wavetable.make_wavetable(np.zeros_like(amplitudes), amplitudes)


class Noise(Generator):
    r"""White noise, the same for all nodes and each time it is played.

    Params:
        level_db [nodes, 1]: of its standard deviation, re full scale.

    Shape:
        audio [nodes, 2, samples] -> the same; the noise is added to both channels.
    """

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        self.node_type = NodeType("noise", "H", (LEVEL,))

    def forward(self, audio: Tensor, params: Tensor) -> Tensor:
        """Add noise."""
        generator = torch.Generator().manual_seed(NOISE_SEED)
        wave = torch.randn(1, audio.size(-1), generator=generator).to(audio)
        return to_stereo(wave * (self.get(params, "level_db") / DB_PER_NEPER).exp(), audio)


class Operator(Generator):
    r"""An operator of frequency modulation: a sine with its own envelope, level and feedback.

    .. math:: y = u + 10^{L/20} \, e[n] \, \sin(2 \pi (\phi[n] + 2 m[n]) + \beta \, \bar y[n])

    with the phase deviation *m* of the modulation inlet (at full level an index of 4 pi) and the mean :math:`\bar y` of
    the last two sines; see :mod:`graphmix.dsp.operators` and :mod:`graphmix.dsp.segments`.

    Params:
        level_db [nodes, 1]: L.
        by_ratio, by_hz [nodes, 1 each]: whichever is larger decides where the frequency comes from.
        ratio [nodes, 1]: frequency relative to the note.
        fixed_hz [nodes, 1]: frequency whatever the note.
        detune_cents [nodes, 1].
        feedback [nodes, 1]: beta in radians.
        times_ms [nodes, 4]: of the envelope's segments; the last one is the release.
        levels [nodes, 5]: before, between and after them.
        phase [nodes, 1]: in periods.

    Shape:
        audio [nodes, 4 inlets, 2, samples] -> [nodes, 2, samples]; inlets: the signal it is added to, modulation,
        pitch, gate.
    """

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        parameters = (
            LEVEL,
            ParameterSpec("by_ratio", 1, "", 0.0, 1.0, 1.0),
            ParameterSpec("by_hz", 1, "", 0.0, 1.0, 0.0),
            ParameterSpec("ratio", 1, "", 0.1, 64.0, 1.0, Exponential()),
            ParameterSpec("fixed_hz", 1, "Hz", 1.0, 10_000.0, 440.0, Exponential()),
            ParameterSpec("detune_cents", 1, "cents", -100.0, 100.0, 0.0, Linear(10.0)),
            ParameterSpec("feedback", 1, "rad", 0.0, 2 * math.pi, 0.0),
            ParameterSpec("times_ms", 4, "ms", *TIME_RANGE_MS, 10.0, Exponential()),
            ParameterSpec("levels", 5, "", 0.0, 1.0, 1.0),
            ParameterSpec("phase", 1, "periods", 0.0, 1.0, 0.0),
        )
        self.node_type = NodeType("operator", "P", parameters, inlets=("in", "modulation", "pitch", "gate"))

    def forward(self, audio: Tensor, params: Tensor) -> Tensor:
        """Add the operator's sound to the first inlet."""
        modulation, pitch, gate = audio[:, 1:, 0].unbind(1)
        octaves = self.get(params, "ratio").log2() * 12
        step = self.frequency(pitch + octaves + self.get(params, "detune_cents") / 100)
        fixed = (self.get(params, "fixed_hz").double() / self.sample_rate).clamp(max=0.5)
        step = torch.where(self.get(params, "by_hz") > self.get(params, "by_ratio"), fixed, step)
        phase = torch.cumsum(step, dim=1) - step[:, :1] + self.get(params, "phase").double()
        wave = operator(
            phase + MODULATION_PERIODS * modulation.double(), self.get(params, "feedback")[:, 0], audio.dtype
        )
        times = self.get(params, "times_ms") * (self.sample_rate / 1000)
        level = envelope(gate, self.get(params, "levels"), times, CURVE)
        return to_stereo(wave * level * (self.get(params, "level_db") / DB_PER_NEPER).exp(), audio[:, 0])
