r"""What moves a sound: envelopes, low-frequency oscillators, amplifiers and filters whose settings are signals.

Conventions as in :mod:`graphmix.processors.generators`: envelopes go from 0 to 1, oscillators from -1 to 1, and what
they move says by how much. Envelopes and oscillators are added to their first inlet.
"""

import math

import torch
from torch import Tensor

from graphmix.dsp.segments import envelope
from graphmix.dsp.state_variable import state_variable
from graphmix.processors.base import Processor
from graphmix.processors.generators import CURVE, LEVEL, TIME_RANGE_MS, WHOLE_SONG, Generator, to_stereo
from graphmix.spec import DB_PER_NEPER, Exponential, NodeType, ParameterSpec

C4 = -9
"""In semitones above A4: where key tracking leaves a cutoff alone."""
LARGEST_SHARE = 0.49
"""Of the sample rate: the highest cutoff."""


def _time(name: str, neutral: float) -> ParameterSpec:
    return ParameterSpec(name, 1, "ms", *TIME_RANGE_MS, neutral, Exponential())


class Envelope(Generator):
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

    def forward(self, audio: Tensor, params: Tensor) -> Tensor:
        """Add the envelope to the first inlet."""
        gate = audio[:, 1, 0]
        height = torch.where(gate > 0, (1 - (1 - gate) * self.get(params, "velocity")).clamp(min=1e-6), 0.0)
        sustain = self.get(params, "sustain")
        zeros = torch.zeros_like(sustain)
        levels = torch.cat([zeros, zeros + 1, sustain, zeros], dim=1)
        times = torch.cat([self.get(params, name) for name in ("attack_ms", "decay_ms", "release_ms")], dim=1)
        out = envelope(height, levels, times * (self.sample_rate / 1000), CURVE)
        return to_stereo(out * self.get(params, "depth"), audio[:, 0])


class SegmentEnvelope(Generator):
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

    def forward(self, audio: Tensor, params: Tensor) -> Tensor:
        """Add the envelope to the first inlet."""
        times = self.get(params, "times_ms") * (self.sample_rate / 1000)
        out = envelope(audio[:, 1, 0], self.get(params, "levels"), times, CURVE)
        return to_stereo(out * self.get(params, "depth"), audio[:, 0])


class LFO(Generator):
    r"""A low-frequency oscillator: a sum of sine, triangle, saw and square, faded in.

    Params:
        rate_hz [nodes, 1]; sine, triangle, saw, square [nodes, 1 each]: amplitudes; phase [nodes, 1] in periods;
        fade_ms [nodes, 1]: time until it is there in full; depth [nodes, 1].

    Shape:
        audio [nodes, 2, samples] -> the same; it is added to both channels.

    Corners are as sharp as the sample rate allows: it moves other things and is not there to be listened to.
    """

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

    def forward(self, audio: Tensor, params: Tensor) -> Tensor:
        """Add the oscillation."""
        n = torch.arange(audio.size(-1), device=audio.device, dtype=torch.float64)
        phase = self.get(params, "rate_hz").double() * n / self.sample_rate + self.get(params, "phase").double()
        place = phase - phase.detach().floor()
        waves = {
            "sine": torch.sin(2 * math.pi * place),
            "triangle": 1 - 4 * (((place + 0.25) - (place + 0.25).detach().floor()) - 0.5).abs(),
            "saw": 2 * place - 1,
            "square": torch.where(place < 0.5, 1.0, -1.0).to(place),
        }
        total = sum((self.get(params, name) * wave for name, wave in waves.items()), torch.zeros_like(place))
        faded = (n * 1000 / self.sample_rate / self.get(params, "fade_ms").double()).clamp(max=1)
        return to_stereo(total * faded * self.get(params, "depth"), audio)


class Amplifier(Processor):
    r"""A voltage-controlled amplifier: a signal times a control signal.

    .. math:: y = 10^{L/20} \, (o + c[n]) \, u[n]

    Params:
        level_db [nodes, 1]: L.
        offset [nodes, 1]: o, the gain without a control signal.

    Shape:
        audio [nodes, 2 inlets, 2, samples] -> [nodes, 2, samples]; inlets: the signal, control.
    """

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        offset = ParameterSpec("offset", 1, "", 0.0, 1.0, 1.0)
        self.node_type = NodeType("amplifier", "A", (LEVEL, offset), inlets=("in", "control"))

    def forward(self, audio: Tensor, params: Tensor) -> Tensor:
        """Multiply."""
        gain = (self.get(params, "level_db") / DB_PER_NEPER).exp()[:, :, None]
        return audio[:, 0] * (gain * (self.get(params, "offset")[:, :, None] + audio[:, 1]))


class RingModulator(Processor):
    r"""The product of two signals; its dry/wet weight says how much of it there is.

    Params: none.

    Shape:
        audio [nodes, 2 inlets, 2, samples] -> [nodes, 2, samples]; inlets: the signal, modulator.
    """

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        self.node_type = NodeType("ring_modulator", "R", (), inlets=("in", "modulator"))

    def forward(self, audio: Tensor, params: Tensor) -> Tensor:
        """Multiply."""
        return audio[:, 0] * audio[:, 1]


class ResonantFilter(Processor):
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

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        highest = LARGEST_SHARE * sample_rate
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

    def memory(self, params: Tensor) -> tuple[int, int]:
        """The whole song before: a resonance may ring on, and its state is not carried."""
        return WHOLE_SONG, 0

    def forward(self, audio: Tensor, params: Tensor) -> Tensor:
        """Filter left and right; where they are equal, once."""
        signal, pitch, modulation = audio[:, 0], audio[:, 1, 0], audio[:, 2, 0]
        octaves = self.get(params, "tracking") * (pitch - C4) / 12
        octaves = octaves + self.get(params, "modulation_octaves") * modulation
        share = self.get(params, "cutoff_hz") / self.sample_rate * octaves.clamp(-20, 20).exp2()
        g = torch.tan(math.pi * share.clamp(1e-5, LARGEST_SHARE))
        damping = 1 / self.get(params, "resonance")
        single = not signal.requires_grad and torch.equal(signal[:, 0], signal[:, 1])
        channels = 1 if single else 2
        rows = signal[:, :channels].flatten(0, 1)
        g, damping = (t.repeat_interleave(channels, dim=0) for t in (g, damping))
        low, band, high = state_variable(rows, g.to(rows), damping.to(rows))
        amounts = [self.get(params, name).repeat_interleave(channels, dim=0) for name in ("low", "band", "high")]
        out = amounts[0] * low + amounts[1] * damping * band + amounts[2] * high
        return out.unflatten(0, (-1, channels)).expand_as(signal)
