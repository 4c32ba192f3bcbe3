r"""What makes sound: notes, oscillators, noise, operators of frequency modulation.

A generator adds its sound to what comes into its first inlet, so that its dry/wet weight is its level and a node of
weight 0 is a wire: dry/wet, pruning and every search mean the same for it as for an effect.

Conventions of control signals, which are signals of the graph like audio (left and right equal):

* ``pitch`` in semitones above A4, 440 Hz; an inlet with nothing connected plays A4;
* ``gate`` above 0 as long as a key is down, its height the velocity from 0 to 1;
* modulation from -1 to 1, by how much is a parameter of what it comes into.

A generator begins at the first sample that it is given; rendered in blocks, it goes on where it stopped.
"""

import math
from collections.abc import Sequence
from functools import cache, lru_cache

import numpy as np
import torch
from torch import Tensor

from graphmix.dsp import oscillator, voice_program, wavetable
from graphmix.dsp.operators import added_operator
from graphmix.dsp.products import gate
from graphmix.dsp.rows import end_of_sound, mix_rows
from graphmix.dsp.segments import STATE, added_envelope
from graphmix.processors.base import State
from graphmix.processors.voice import Counts, Inlets, Voice
from graphmix.spec import DB_PER_NEPER, Exponential, Linear, NodeType, ParameterSpec

A4_HZ, A4_NOTE = 440.0, 69
LEVEL = ParameterSpec("level_db", 1, "dB", -96.0, 24.0, 0.0, Linear(DB_PER_NEPER))
TIME_RANGE_MS = (0.1, 20_000.0)
MODULATION_PERIODS = 2.0
"""Phase deviation for a modulator at full level: an index of 4 pi, near that of the classic FM synthesizer."""
NOISE_SEED = 20
DRAWN = 16
"""Numbers that a generator makes at once."""
CURVE = 3.0
"""Of envelopes: a segment covers 95 % of an exponential approach."""


class Generator(Voice):
    """A voice that sounds by itself; what it makes is added to its first inlet's signal."""

    keeps_silence = False

    @property
    def rate(self) -> float:
        """The frequency of A4 in periods a sample."""
        return A4_HZ / self.sample_rate


def add_dry(inlets: Inlets, nodes: int) -> tuple[Tensor, Tensor | None]:
    """What a mono generator is added to, [nodes, 1 or samples]: the first inlet, or zero and that in stereo."""
    dry = inlets.signals[0]
    if dry is None or dry.size(1) == 1:
        return inlets.mono(0, nodes), None
    return inlets.like.new_zeros(nodes, 1), dry


def as_signal(mono: Tensor, dry: Tensor | None) -> list[Tensor]:
    """[nodes, samples] as the one outlet's signal, with a stereo signal added."""
    return [mono[:, None] if dry is None else dry + mono[:, None]]


def amplitude(processor: Voice, params: Tensor, wet: Tensor) -> Tensor:
    """The level as a factor, with dry/wet, [nodes, 1]."""
    return (processor.get(params, "level_db") / DB_PER_NEPER).exp() * wet[:, None]


def envelope_settings(levels: Tensor, times: Tensor, amounts: Tensor) -> Tensor:
    """As those of compiled programs, float64; arguments as of :func:`graphmix.dsp.segments.added_envelope`."""
    head = levels.new_tensor([times.size(1), CURVE]).expand(len(levels), 2)
    return torch.cat([t.double() for t in (head, amounts, levels, times)], dim=1)


def released(release: Tensor, last: Tensor, gate: Counts, dry: Counts, samples: int) -> Counts:
    """Where envelopes end that are added to a signal.

    Args:
        release: in samples, [nodes, 1].
        last: level behind it, [nodes, 1].
        gate, dry: from which sample on these are 0.
        samples: how many there are.
    """
    closed = np.where(gate > 0, gate + np.ceil(release[:, 0].double().cpu().numpy()).astype(np.int64) + 1, 0)
    own = np.where((last[:, 0] == 0).cpu().numpy() & (gate < samples), closed, samples)
    return np.minimum(np.maximum(own, dry), samples)


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

    codes = voice_program.CONSTANT, voice_program.HOLD

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        parameters = (
            ParameterSpec("pitch", 1, "MIDI", 0.0, 127.0, 60.0, Linear(1.0)),
            ParameterSpec("start_ms", 1, "ms", 0.0, 1e7, 0.0, Linear(100.0)),
            ParameterSpec("length_ms", 1, "ms", 1.0, 1e7, 500.0, Exponential()),
            ParameterSpec("velocity", 1, "", 0.01, 1.0, 0.8, Linear(1.0)),
        )
        self.node_type = NodeType("note", "Q", parameters, inlets=(), outlets=("pitch", "gate"))

    def program_settings(self, params: Tensor, wet: Tensor) -> Sequence[Tensor]:
        """Pitch; height, beginning and end of the gate."""
        pitch, _, _, velocity = params.split(1, dim=1)
        begin, end = (moment.double() for moment in self._moments(params))
        return pitch - A4_NOTE, torch.stack([velocity[:, 0].double(), begin, end], dim=1)

    def rest(self, nodes: int) -> State:
        """The number of samples before."""
        return (torch.zeros(nodes, dtype=torch.int64),)

    def play(self, inlets: Inlets, params: Tensor, wet: Tensor, state: State) -> tuple[Sequence[Tensor], State]:
        """Pitch and gate."""
        pitch, _, _, velocity = params.split(1, dim=1)
        position = state[0].to(params.device)
        begin, end = (moment - position for moment in self._moments(params))
        opened = gate(velocity[:, 0].to(inlets.like), begin, end, inlets.samples)
        leaves = (pitch - A4_NOTE).to(inlets.like)[:, None], opened[:, None]
        return leaves, (state[0] + inlets.samples,)

    def ends(self, params: Tensor, wet: Tensor, inlets: Sequence[Counts], samples: int) -> list[Counts]:
        """The gate is closed behind the note."""
        return [np.full(len(params), samples), self._moments(params)[1].clamp(0, samples).numpy()]

    def _moments(self, params: Tensor) -> tuple[Tensor, Tensor]:
        """The samples at which the key goes down and up, int64 [nodes]."""
        start, length = params[:, 1], params[:, 2]
        begin = (start * self.sample_rate / 1000).round().long()
        return begin, begin + (length * self.sample_rate / 1000).round().clamp(min=1).long()


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

    codes = (voice_program.OSCILLATOR,)

    SHAPES = ("sine", "saw", "pulse", "triangle", "table")
    FRAMES = 8
    SETTINGS = (
        *SHAPES, "width", "width_modulation", "position", "position_modulation", "transpose_semitones", "detune_cents",
        "vibrato_semitones", "phase",
    )  # fmt: skip
    """In the order of the compiled oscillator's."""

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
        frames = [_frame(i / (self.FRAMES - 1)) for i in range(self.FRAMES)]
        self.bank = oscillator.make_bank(wavetable.sine(), wavetable.saw(), wavetable.triangle(), frames)

    def rest(self, nodes: int) -> State:
        """Phases, and whether they have begun."""
        return (torch.zeros(nodes, 2, dtype=torch.float64),)

    def play(self, inlets: Inlets, params: Tensor, wet: Tensor, state: State) -> tuple[Sequence[Tensor], State]:
        """Add the waveforms to the first inlet."""
        nodes = len(params)
        dry, stereo = add_dry(inlets, nodes)
        own = self._settings(params, wet).to(torch.promote_types(params.dtype, inlets.like.dtype))
        signals = [t.to(own.dtype) for t in (dry, *(inlets.mono(i, nodes) for i in range(1, 5)))]
        bank, counts = self.bank, inlets.counts(nodes)
        out, behind = oscillator.oscillator(bank, self.rate, inlets.samples, own, signals, state[0], counts)
        return as_signal(out.to(inlets.like.dtype), stereo), (behind,)

    def program_settings(self, params: Tensor, wet: Tensor) -> Sequence[Tensor]:
        """As the compiled oscillator's, and the rate."""
        own = self._settings(params, wet).double()
        return [torch.cat([own, own.new_full((len(own), 1), self.rate)], dim=1)]

    def _settings(self, params: Tensor, wet: Tensor) -> Tensor:
        """As the compiled oscillator's, [nodes, settings]."""
        settings = [amplitude(self, params, wet), *(self.get(params, name) for name in self.SETTINGS)]
        settings[-3] = settings[-3] / 100  # cents
        return torch.cat(settings, dim=1)


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

    codes = (voice_program.NOISE,)

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        self.node_type = NodeType("noise", "H", (LEVEL,))

    def rest(self, nodes: int) -> State:
        """The number of samples before, and the generator's state at the last multiple of a draw."""
        generator = torch.Generator().manual_seed(NOISE_SEED)
        return torch.zeros(1, dtype=torch.int64), generator.get_state()[None]

    def play(self, inlets: Inlets, params: Tensor, wet: Tensor, state: State) -> tuple[Sequence[Tensor], State]:
        """Add noise."""
        wave, behind = _draw(inlets.samples, state)
        dry, gain = inlets.signals[0], amplitude(self, params, wet).to(inlets.like)
        wave = wave.to(inlets.like)
        if dry is None and wave.device.type == "cpu":
            every = np.arange(len(params))
            return [mix_rows([wave[None, None]], [gain[:, 0]], [(np.zeros_like(every), every)], len(params))], behind
        gain = gain[:, None]
        return [gain * wave if dry is None else torch.addcmul(dry, gain, wave)], behind

    def program_settings(self, params: Tensor, wet: Tensor) -> Sequence[Tensor]:
        """The gain."""
        return [amplitude(self, params, wet)]

    def wave(self, samples: int) -> Tensor:
        """The noise from its beginning, float32 [samples]."""
        return _draw(samples, self.rest(1))[0]


def _draw(samples: int, state: State) -> tuple[Tensor, State]:
    """The next samples of the noise, and the state behind them.

    The generator draws normal numbers sixteen at a time, so that whole sixteens are the same however many are drawn.
    """
    wave, behind = _drawn(samples, int(state[0]) % DRAWN, state[1].numpy().tobytes())
    return wave, (state[0] + samples, torch.frombuffer(bytearray(behind), dtype=torch.uint8)[None])


@lru_cache(maxsize=2)
def _drawn(samples: int, begin: int, state: bytes) -> tuple[Tensor, bytes]:
    """As :func:`_draw`, from a place within sixteen numbers; notes that are played after each other have the same."""
    generator = torch.Generator()
    generator.set_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))
    whole, rest = divmod(begin + samples, DRAWN)
    first = torch.randn(whole * DRAWN, generator=generator)
    behind = generator.get_state().numpy().tobytes()
    wave = torch.cat([first, torch.randn(DRAWN, generator=generator)]) if rest else first
    return wave[begin : begin + samples], behind


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

    codes = (voice_program.OPERATOR,)

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

    def rest(self, nodes: int) -> State:
        """Phases and the last sines; of the envelope."""
        return tuple(torch.zeros(nodes, size, dtype=torch.float64) for size in (4, STATE))

    def play(self, inlets: Inlets, params: Tensor, wet: Tensor, state: State) -> tuple[Sequence[Tensor], State]:
        """Add the operator's sound to the first inlet."""
        nodes, dtype = len(params), torch.promote_types(params.dtype, inlets.like.dtype)
        dry, stereo = add_dry(inlets, nodes)
        modulation, pitch, opened = (inlets.mono(i, nodes).to(dtype) for i in range(1, 4))
        times = self.get(params, "times_ms") * (self.sample_rate / 1000)
        amounts, nothing = params.new_ones(nodes, 2), opened.new_zeros(nodes, 1)
        levels = self.get(params, "levels")
        level, envelope = added_envelope(opened, levels, times, CURVE, amounts, nothing, inlets.samples, state[1])
        own = self._settings(params, wet).to(dtype)
        signals = dry.to(dtype), modulation, pitch, level
        counts = inlets.counts(nodes)
        if inlets.needed is not None and not torch.is_grad_enabled():  # nothing is added behind its envelope's end
            counts = np.minimum(counts, [end_of_sound(row) for row in level.detach().cpu().numpy()])
        out, behind = added_operator(self.rate, inlets.samples, own, signals, state[0], counts)
        return as_signal(out.to(inlets.like.dtype), stereo), (behind, envelope)

    def program_settings(self, params: Tensor, wet: Tensor) -> Sequence[Tensor]:
        """As the compiled operator's, the rate, and the envelope."""
        own, levels = self._settings(params, wet).double(), self.get(params, "levels")
        times = self.get(params, "times_ms") * (self.sample_rate / 1000)
        envelope = envelope_settings(levels, times, params.new_ones(len(params), 2))
        return [torch.cat([own, own.new_full((len(own), 1), self.rate), envelope], dim=1)]

    def _settings(self, params: Tensor, wet: Tensor) -> Tensor:
        """As the compiled operator's, [nodes, settings]."""
        by_hz = self.get(params, "by_hz") > self.get(params, "by_ratio")
        settings = (
            amplitude(self, params, wet),
            self.get(params, "ratio").log2() * 12,
            self.get(params, "detune_cents") / 100,
            self.get(params, "fixed_hz") / self.sample_rate,
            by_hz.to(params.dtype),
            self.get(params, "feedback"),
            self.get(params, "phase"),
            params.new_full((len(params), 1), MODULATION_PERIODS),
        )
        return torch.cat(settings, dim=1)

    def ends(self, params: Tensor, wet: Tensor, inlets: Sequence[Counts], samples: int) -> list[Counts]:
        """Behind the gate by its release, if its last level is 0."""
        return [self._own_ends(params, inlets[3], inlets[0], samples)]

    def reads(self, params: Tensor, wet: Tensor, inlets: Sequence[Counts], needed: Counts) -> list[Counts]:
        """Modulation and pitch as long as its own envelope is open."""
        own = np.minimum(needed, self._own_ends(params, inlets[3], np.zeros_like(needed), int(needed.max(initial=0))))
        return [needed, own, own, needed]

    def _own_ends(self, params: Tensor, gate: Counts, dry: Counts, samples: int) -> Counts:
        release = self.get(params, "times_ms")[:, -1:] * (self.sample_rate / 1000)
        return released(release, self.get(params, "levels")[:, -1:], gate, dry, samples)
