r"""What moves a sound: envelopes, low-frequency oscillators, amplifiers and filters whose settings are signals.

Conventions as in :mod:`graphmix.processors.generators`: envelopes go from 0 to 1, oscillators from -1 to 1, and what
they move says by how much. Envelopes and oscillators are added to their first inlet.
"""

import math
from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from graphmix.dsp import voice_program
from graphmix.dsp.low_frequency import oscillation
from graphmix.dsp.moving_filter import HIGHEST, moving_filter
from graphmix.dsp.products import modulate
from graphmix.dsp.segments import STATE, added_envelope
from graphmix.processors.base import State
from graphmix.processors.generators import (
    CURVE,
    LEVEL,
    TIME_RANGE_MS,
    Generator,
    add_dry,
    amplitude,
    as_signal,
    envelope_settings,
    released,
)
from graphmix.processors.voice import Counts, Inlets, Voice
from graphmix.spec import Exponential, NodeType, ParameterSpec

C4 = -9
"""In semitones above A4: where key tracking leaves a cutoff alone."""


def _time(name: str, neutral: float) -> ParameterSpec:
    return ParameterSpec(name, 1, "ms", *TIME_RANGE_MS, neutral, Exponential())


class SegmentGenerator(Generator):
    """An envelope of segments that follows the gate of its second inlet, added to its first inlet."""

    codes = (voice_program.ENVELOPE,)

    @abstractmethod
    def segments(self, params: Tensor, wet: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Levels, times in samples, and amounts of velocity and of itself, [nodes, any] each.

        Args:
            params: physical values, [nodes, width].
            wet: dry/wet weights, [nodes].
        """

    def rest(self, nodes: int) -> State:
        """Where in its segments it is."""
        return (torch.zeros(nodes, STATE, dtype=torch.float64),)

    def play(self, inlets: Inlets, params: Tensor, wet: Tensor, state: State) -> tuple[Sequence[Tensor], State]:
        """Add the envelope to the first inlet."""
        nodes = len(params)
        dry, stereo = add_dry(inlets, nodes)
        levels, times, amounts = self.segments(params, wet)
        opened = inlets.mono(1, nodes)
        out, behind = added_envelope(opened, levels, times, CURVE, amounts, dry, inlets.samples, state[0])
        return as_signal(out, stereo), (behind,)

    def program_settings(self, params: Tensor, wet: Tensor) -> Sequence[Tensor]:
        """Segments and amounts."""
        return [envelope_settings(*self.segments(params, wet))]


class Envelope(SegmentGenerator):
    r"""Attack, decay, sustain, release: exponential segments that follow a gate.

    See :mod:`graphmix.dsp.segments`. The gate's height scales it by ``velocity``.

    Params:
        attack_ms, decay_ms, release_ms [nodes, 1]: times of the segments.
        sustain [nodes, 1]: level while the key is down.
        depth [nodes, 1]: of what is added.
        velocity [nodes, 1]: 0: every note as loud; 1: in proportion to the gate's height.

    Shape:
        audio [nodes, 2 inlets, 2, samples] -> [nodes, 2, samples]; inlets: the signal it is added to, gate.
    """

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        parameters = (
            _time("attack_ms", 5.0),
            _time("decay_ms", 200.0),
            ParameterSpec("sustain", 1, "", 0.0, 1.0, 0.7),
            _time("release_ms", 100.0),
            ParameterSpec("depth", 1, "", -1.0, 1.0, 1.0),
            ParameterSpec("velocity", 1, "", 0.0, 1.0, 1.0),
        )
        self.node_type = NodeType("envelope", "E", parameters, inlets=("in", "gate"))

    def segments(self, params: Tensor, wet: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """To 1, to the sustain level, to 0."""
        sustain = self.get(params, "sustain")
        zeros = torch.zeros_like(sustain)
        levels = torch.cat([zeros, zeros + 1, sustain, zeros], dim=1)
        times = torch.cat([self.get(params, name) for name in ("attack_ms", "decay_ms", "release_ms")], dim=1)
        amounts = torch.cat([self.get(params, "velocity"), self.get(params, "depth") * wet[:, None]], dim=1)
        return levels, times * (self.sample_rate / 1000), amounts

    def ends(self, params: Tensor, wet: Tensor, inlets: Sequence[Counts], samples: int) -> list[Counts]:
        """Behind the gate by its release."""
        release = self.get(params, "release_ms") * (self.sample_rate / 1000)
        return [released(release, torch.zeros_like(release), inlets[1], inlets[0], samples)]


class SegmentEnvelope(SegmentGenerator):
    r"""An envelope of four segments with free levels, three of them while the key is down.

    Params:
        times_ms [nodes, 4]: the last one is the release.
        levels [nodes, 5]: before, between and after the segments.
        depth [nodes, 1].

    Shape:
        as :class:`Envelope`.
    """

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        parameters = (
            ParameterSpec("times_ms", 4, "ms", *TIME_RANGE_MS, 100.0, Exponential()),
            ParameterSpec("levels", 5, "", -1.0, 1.0, 0.0),
            ParameterSpec("depth", 1, "", -1.0, 1.0, 1.0),
        )
        self.node_type = NodeType("segment_envelope", "G", parameters, inlets=("in", "gate"))

    def segments(self, params: Tensor, wet: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Its own."""
        amounts = torch.cat([params.new_ones(len(params), 1), self.get(params, "depth") * wet[:, None]], dim=1)
        times = self.get(params, "times_ms") * (self.sample_rate / 1000)
        return self.get(params, "levels"), times, amounts

    def ends(self, params: Tensor, wet: Tensor, inlets: Sequence[Counts], samples: int) -> list[Counts]:
        """Behind the gate by its release, if its last level is 0."""
        release = self.get(params, "times_ms")[:, -1:] * (self.sample_rate / 1000)
        return [released(release, self.get(params, "levels")[:, -1:], inlets[1], inlets[0], samples)]


class LFO(Generator):
    r"""A low-frequency oscillator: a sum of sine, triangle, saw and square, faded in.

    Params:
        rate_hz [nodes, 1]; sine, triangle, saw, square [nodes, 1 each]: amplitudes; phase [nodes, 1] in periods;
        fade_ms [nodes, 1]: time until it is there in full; depth [nodes, 1].

    Shape:
        audio [nodes, 2, samples] -> the same; it is added to both channels.

    Corners are as sharp as the sample rate allows: it moves other things and is not there to be listened to.
    """

    codes = (voice_program.LFO,)

    SHAPES = ("sine", "triangle", "saw", "square")

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        amplitudes = [ParameterSpec(name, 1, "", 0.0, 1.0, float(name == "sine")) for name in self.SHAPES]
        parameters = (
            ParameterSpec("rate_hz", 1, "Hz", 0.01, 50.0, 5.0, Exponential()),
            *amplitudes,
            ParameterSpec("phase", 1, "periods", 0.0, 1.0, 0.0),
            _time("fade_ms", 1.0),
            ParameterSpec("depth", 1, "", 0.0, 1.0, 1.0),
        )
        self.node_type = NodeType("lfo", "L", parameters)

    def rest(self, nodes: int) -> State:
        """The number of samples before."""
        return (torch.zeros(1, dtype=torch.int64),)

    def play(self, inlets: Inlets, params: Tensor, wet: Tensor, state: State) -> tuple[Sequence[Tensor], State]:
        """Add the oscillation."""
        dry, stereo = add_dry(inlets, len(params))
        (own,) = self.program_settings(params, wet)
        return as_signal(oscillation(dry, own, inlets.samples, int(state[0]), inlets.counts(len(params))), stereo), (
            state[0] + inlets.samples,
        )

    def program_settings(self, params: Tensor, wet: Tensor) -> Sequence[Tensor]:
        """As the compiled oscillation's."""
        settings = (
            self.get(params, "depth") * wet[:, None],
            *(self.get(params, name) for name in self.SHAPES),
            self.get(params, "rate_hz").double() / self.sample_rate,
            self.get(params, "phase"),
            self.get(params, "fade_ms").double() * (self.sample_rate / 1000),
        )
        return [torch.cat([t.double() for t in settings], dim=1)]


def _until_zero(dry: Tensor, gated: Counts, held: Counts) -> Counts:
    """The former where the factor without a control signal is 0, else the latter."""
    closed = (dry[:, 0] == 0).cpu().numpy()
    return np.where(closed, np.minimum(gated, held), held)


def _multiply(inlets: Inlets, dry: Tensor, gain: Tensor, nodes: int) -> list[Tensor]:
    """The first inlet times ``dry + gain * control``, these [nodes, 1]; the second inlet is the control."""
    signal, control = inlets.signals
    if signal is None:
        return [inlets.like.new_zeros(nodes, 1, 1)]
    dry, gain = dry.to(signal), gain.to(signal)
    if control is None:
        return [signal * dry[:, None]]
    if signal.size(1) == control.size(1) == 1:
        return [modulate(signal.squeeze(1), control.squeeze(1), dry[:, 0], gain[:, 0], inlets.samples)[:, None]]
    return [signal * torch.addcmul(dry[:, None], gain[:, None], control)]


class Amplifier(Voice):
    r"""A voltage-controlled amplifier: a signal times a control signal.

    .. math:: y = 10^{L/20} \, (o + c[n]) \, u[n]

    Params:
        level_db [nodes, 1]: L.
        offset [nodes, 1]: o, the gain without a control signal.

    Shape:
        audio [nodes, 2 inlets, 2, samples] -> [nodes, 2, samples]; inlets: the signal, control.
    """

    codes = (voice_program.PRODUCT,)

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        offset = ParameterSpec("offset", 1, "", 0.0, 1.0, 1.0)
        self.node_type = NodeType("amplifier", "A", (LEVEL, offset), inlets=("in", "control"))

    def play(self, inlets: Inlets, params: Tensor, wet: Tensor, state: State) -> tuple[Sequence[Tensor], State]:
        """Multiply."""
        gain = amplitude(self, params, wet)
        return _multiply(inlets, self._without_control(params, wet), gain, len(params)), state

    def program_settings(self, params: Tensor, wet: Tensor) -> Sequence[Tensor]:
        """The gain without a control signal, and that of one."""
        return [torch.cat([self._without_control(params, wet), amplitude(self, params, wet)], dim=1)]

    def factor(self, params: Tensor, wet: Tensor) -> Tensor | None:
        """The gain without a control signal."""
        return self._without_control(params, wet)

    def ends(self, params: Tensor, wet: Tensor, inlets: Sequence[Counts], samples: int) -> list[Counts]:
        """Where its signal ends, or a control signal that alone opens it."""
        return [_until_zero(self._without_control(params, wet), inlets[1], inlets[0])]

    def reads(self, params: Tensor, wet: Tensor, inlets: Sequence[Counts], needed: Counts) -> list[Counts]:
        """Of each inlet what the other does not multiply with 0."""
        signal = _until_zero(self._without_control(params, wet), inlets[1], needed)
        return [signal, np.minimum(needed, inlets[0])]

    def _without_control(self, params: Tensor, wet: Tensor) -> Tensor:
        return 1 - wet[:, None] + amplitude(self, params, wet) * self.get(params, "offset")


class RingModulator(Voice):
    r"""The product of two signals; its dry/wet weight says how much of it there is.

    Params: none.

    Shape:
        audio [nodes, 2 inlets, 2, samples] -> [nodes, 2, samples]; inlets: the signal, modulator.
    """

    codes = (voice_program.PRODUCT,)

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        self.node_type = NodeType("ring_modulator", "R", (), inlets=("in", "modulator"))

    def play(self, inlets: Inlets, params: Tensor, wet: Tensor, state: State) -> tuple[Sequence[Tensor], State]:
        """Multiply."""
        return _multiply(inlets, 1 - wet[:, None], wet[:, None], len(params)), state

    def program_settings(self, params: Tensor, wet: Tensor) -> Sequence[Tensor]:
        """What is left without a modulator, and how much of the product there is."""
        return [torch.stack([1 - wet, wet], dim=1)]

    def factor(self, params: Tensor, wet: Tensor) -> Tensor | None:
        """What is left without a modulator."""
        return 1 - wet[:, None]

    def ends(self, params: Tensor, wet: Tensor, inlets: Sequence[Counts], samples: int) -> list[Counts]:
        """Where its signal ends, or a control signal that alone opens it."""
        return [_until_zero(1 - wet[:, None], inlets[1], inlets[0])]

    def reads(self, params: Tensor, wet: Tensor, inlets: Sequence[Counts], needed: Counts) -> list[Counts]:
        """Of each inlet what the other does not multiply with 0."""
        signal = _until_zero(1 - wet[:, None], inlets[1], needed)
        return [signal, np.minimum(needed, inlets[0])]


class ResonantFilter(Voice):
    r"""A voltage-controlled state-variable filter: low-, band- and high-pass in any mixture, exact for a moving cutoff.

    .. math:: f_c[n] = f \cdot 2^{\, t (p[n] - p_{C4}) / 12 + o \, m[n]}

    See :mod:`graphmix.dsp.state_variable`.

    Params:
        cutoff_hz [nodes, 1]: f, for C4 and without modulation.
        resonance [nodes, 1]: Q.
        tracking [nodes, 1]: t; at 1 the cutoff follows the pitch.
        modulation_octaves [nodes, 1]: o.
        low, band, high [nodes, 1]: amplitudes of the three outputs; the band-pass has unit gain at the cutoff.

    Shape:
        audio [nodes, 3 inlets, 2, samples] -> [nodes, 2, samples]; inlets: the signal, pitch, modulation.
    """

    codes = (voice_program.FILTER,)

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        highest = HIGHEST * sample_rate
        parameters = (
            ParameterSpec("cutoff_hz", 1, "Hz", 20.0, highest, min(20000.0, highest), Exponential()),
            ParameterSpec("resonance", 1, "", 0.5, 40.0, math.sqrt(0.5), Exponential()),
            ParameterSpec("tracking", 1, "", 0.0, 1.0, 0.0),
            ParameterSpec("modulation_octaves", 1, "octaves", -8.0, 8.0, 0.0),
            ParameterSpec("low", 1, "", 0.0, 1.0, 1.0),
            ParameterSpec("band", 1, "", 0.0, 1.0, 0.0),
            ParameterSpec("high", 1, "", 0.0, 1.0, 0.0),
        )
        self.node_type = NodeType("filter", "F", parameters, inlets=("in", "pitch", "modulation"))

    def rest(self, nodes: int) -> State:
        """The integrators of both channels."""
        return (torch.zeros(nodes, 2, 2, dtype=torch.float64),)

    def play(self, inlets: Inlets, params: Tensor, wet: Tensor, state: State) -> tuple[Sequence[Tensor], State]:
        """Filter left and right; where they are equal, once."""
        nodes, signal = len(params), inlets.signals[0]
        if signal is None:
            return [inlets.like.new_zeros(nodes, 1, 1)], state
        signal = signal.expand(-1, -1, inlets.samples)
        own, (pitch, modulation) = self._settings(params, wet), (inlets.mono(i, nodes).to(signal) for i in (1, 2))
        begin = state[0][:, : signal.size(1)]
        out, behind = moving_filter(signal, pitch, modulation, own, C4, begin, inlets.counts(nodes))
        return [out], (behind,)

    def program_settings(self, params: Tensor, wet: Tensor) -> Sequence[Tensor]:
        """As the compiled filter's, and where tracking leaves the cutoff alone."""
        own = self._settings(params, wet)
        return [torch.cat([own, own.new_full((len(own), 1), C4)], dim=1)]

    def _settings(self, params: Tensor, wet: Tensor) -> Tensor:
        """As the compiled filter's, [nodes, settings]."""
        low, band, high = (wet[:, None] * self.get(params, name) for name in ("low", "band", "high"))
        damping = 1 / self.get(params, "resonance")
        settings = (
            self.get(params, "cutoff_hz").double() / self.sample_rate,
            self.get(params, "tracking"),
            self.get(params, "modulation_octaves"),
            damping,
            1 - wet[:, None] + high,
            damping * (band - high),
            low - high,
        )
        return torch.cat([t.double() for t in settings], dim=1)
