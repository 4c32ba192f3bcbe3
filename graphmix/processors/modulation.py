r"""Modulation: chorus, flanger, vibrato, phaser, tremolo and auto-pan, moved by a sine in the time of the song.

.. math:: m_c(t) = \sin\big(2 \pi (\rho t + \phi_0 + \sigma c)\big), \quad t = (n_0 + n) / f_s, \quad c = 0, 1

with rate :math:`\rho`, phase :math:`\phi_0` and spread :math:`\sigma` (how far the right channel is ahead, in periods).
:math:`n_0` is where in the song a signal begins, which the renderer knows: a segment sounds as it does in the whole.

The oscillator is part of each processor. It is float64, as are the recursions.
"""

import math
from typing import ClassVar

import torch
from torch import Tensor

from graphmix.dsp.all_pass import all_pass_chain
from graphmix.dsp.delay_line import SHORTEST, TAIL, LineState, delay_line, rest
from graphmix.processors.base import Processor, StartsBypassed, State
from graphmix.spec import Exponential, NodeType, ParameterSpec

VOICES = 3
STAGES = 6
"""All-pass filters of a phaser, which make three notches."""
LOWEST_HZ, HIGHEST_SHARE = 10.0, 0.45
"""Limits of a phaser's corner, the upper one as a share of the sample rate."""
FORGOTTEN_DB = -100.0
_TURN = 2 * math.pi


def _rate(neutral_hz: float) -> ParameterSpec:
    return ParameterSpec("rate_hz", 1, "Hz", 0.01, 20.0, neutral_hz, Exponential())


DEPTH = ParameterSpec("depth", 1, "", 0.0, 1.0, 0.0)
PHASE = ParameterSpec("phase", 1, "periods", 0.0, 1.0, 0.0)
SPREAD = ParameterSpec("spread", 1, "periods", 0.0, 1.0, 0.0)
FEEDBACK = ParameterSpec("feedback", 1, "", -0.95, 0.95, 0.0)


class Modulated(Processor):
    """What a sine in the time of the song moves; types have ``rate_hz``, ``phase`` and ``spread``."""

    is_placed = True

    def placed(self, params: Tensor, seconds: Tensor) -> Tensor:
        """The phase at the beginning of the signal, in float64."""
        params = params.double()
        column = self.node_type.columns("phase")
        phase = self.get(params, "phase") + self.get(params, "rate_hz") * seconds[:, None]
        phase = phase - phase.detach().floor()
        return torch.cat([params[:, : column.start], phase, params[:, column.stop :]], dim=1)

    def wave(self, params: Tensor, samples: int, voices: int = 1) -> Tensor:
        """The sine of each voice and channel, float64 [nodes, voices, 2, samples]; voices share a period evenly."""
        params = params.double()
        time = torch.arange(samples, dtype=torch.float64, device=params.device) / self.sample_rate
        turn = self.get(params, "rate_hz") * time + self.get(params, "phase")
        channel = torch.arange(2, dtype=torch.float64, device=params.device)
        ahead = torch.arange(voices, dtype=torch.float64, device=params.device) / voices
        offset = ahead[:, None] + self.get(params, "spread")[:, :, None] * channel
        return torch.sin(_TURN * (turn[:, None, None] + offset[..., None]))

    def start(self, params: Tensor, generator: torch.Generator) -> Tensor:
        """A little depth, without which rate and phase have no gradient."""
        params = params.clone()
        params[:, self.node_type.columns("depth")] = 0.2
        return params


class ModulatedDelay(StartsBypassed, Modulated):
    r"""A delay line whose length the sine moves; chorus, flanger and vibrato are settings of it.

    .. math:: D_c(t) = \tau \, (1 + \delta \, m_c(t))

    Cubic interpolation, and feedback around the line where there is one voice: :mod:`graphmix.dsp.delay_line`. A delay
    is two samples or more. Wet alone; the comb of a chorus or a flanger comes of the dry/wet weight.
    """

    name: ClassVar[str]
    voices: ClassVar[int] = 1
    rate_hz: ClassVar[float]
    center: ClassVar[tuple[float, float, float]]
    """Lowest, highest and neutral delay in ms."""
    has_feedback: ClassVar[bool] = False

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        center = ParameterSpec("center_ms", 1, "ms", *self.center, Exponential())
        own = (FEEDBACK,) if self.has_feedback else ()
        self.node_type = NodeType(self.name, "", (_rate(self.rate_hz), DEPTH, center, *own, SPREAD, PHASE))

    def _longest(self, params: Tensor) -> float:
        """The longest delay that the nodes can come to, in samples."""
        center = self.get(params.detach(), "center_ms")
        return max(2 * float(center.max()) * self.sample_rate / 1000 if center.numel() else 0.0, SHORTEST)

    def memory(self, params: Tensor) -> tuple[int, int]:
        """The longest delay, as often as feedback repeats it audibly."""
        times = 1
        if self.has_feedback and params.numel():
            feedback = float(self.get(params.detach(), "feedback").abs().max())
            times += math.ceil(FORGOTTEN_DB / (20 * math.log10(max(feedback, 1e-5))))
        return times * (math.ceil(self._longest(params)) + TAIL), 0

    @property
    def resumable(self) -> bool:
        """What is in the line is all that it needs to know; the sine goes by the place in the song."""
        return True

    def resume(self, audio: Tensor, params: Tensor, state: State | None, mark: int) -> tuple[Tensor, State]:
        """One part of a longer signal; the state is the line's."""
        nodes, _, samples = audio.shape
        rows = nodes * self.voices
        center = self.get(params, "center_ms").double() * (self.sample_rate / 1000)
        moved = 1 + self.get(params, "depth").double()[:, :, None, None] * self.wave(params, samples, self.voices)
        delay = (center[:, :, None, None] * moved).clamp(min=SHORTEST).flatten(0, 1)
        gains = params.new_zeros(rows, 2, 2, dtype=torch.float64)
        if self.has_feedback:
            gains = torch.diag_embed(self.get(params, "feedback").double().expand(-1, 2))
        line = LineState(*state) if state is not None else rest(rows, self._longest(params))
        out, line = delay_line(audio.repeat_interleave(self.voices, 0), delay, gains, None, line, mark)
        return out.unflatten(0, (nodes, self.voices)).mean(1), tuple(line)

    def forward(self, audio: Tensor, params: Tensor) -> Tensor:
        """Process a batch of nodes; wet only."""
        return self.resume(audio, params, None, 0)[0]


class Chorus(ModulatedDelay):
    r"""Three voices, a third of a period apart, each as late and as sharp or flat as its delay moves.

    .. math:: y_c[n] = \frac13 \sum_{v=0}^{2} u_c[n - f_s D_{c,v}(t)]

    Params:
        rate_hz   [nodes, 1]: of the sine.
        depth     [nodes, 1]: share of the delay by which it moves.
        center_ms [nodes, 1]: the delay around which it moves.
        spread    [nodes, 1]: how far the right channel is ahead, in periods.
        phase     [nodes, 1]: at the beginning of the song, in periods.

    Shape:
        audio [nodes, 2, samples] -> the same.
    """

    name, rate_hz, center, voices = "chorus", 0.5, (5.0, 50.0, 15.0), VOICES


class Flanger(ModulatedDelay):
    r"""A short delay with feedback: with the dry signal a comb whose teeth move.

    .. math:: y_c[n] = v_c[n - f_s D_c(t)], \quad v_c[n] = u_c[n] + g \, y_c[n]

    Params:
        rate_hz, depth, spread, phase [nodes, 1]: as of :class:`Chorus`.
        center_ms [nodes, 1]: the delay around which it moves.
        feedback  [nodes, 1]: g.

    Shape:
        audio [nodes, 2, samples] -> the same.
    """

    name, rate_hz, center, has_feedback = "flanger", 0.2, (0.3, 15.0, 2.0), True


class Vibrato(ModulatedDelay):
    r"""One moving delay without the dry signal: the pitch goes up and down.

    .. math:: y_c[n] = u_c[n - f_s D_c(t)]

    The pitch moves by at most :math:`2 \pi \rho \tau \delta` of itself: 5 Hz, 3 ms and a depth of 0.3 are half a
    semitone.

    Params:
        rate_hz, depth, spread, phase [nodes, 1]: as of :class:`Chorus`.
        center_ms [nodes, 1]: the delay around which it moves.

    Shape:
        audio [nodes, 2, samples] -> the same.
    """

    name, rate_hz, center = "vibrato", 5.0, (0.5, 20.0, 3.0)


class Phaser(StartsBypassed, Modulated):
    r"""Six all-pass filters with a moving corner, and feedback: with the dry signal three notches that move.

    .. math:: f_c(t) = f_0 \, 2^{\, o \, m_c(t)}

    First-order filters in the transposed form (:mod:`graphmix.dsp.all_pass`), as in many pedals and in pedalboard.

    Params:
        rate_hz, spread, phase [nodes, 1]: as of :class:`Chorus`.
        center_hz [nodes, 1]: the corner around which it moves.
        depth     [nodes, 1]: o, octaves up and down.
        feedback  [nodes, 1]: from the output to the input, one sample later.

    Shape:
        audio [nodes, 2, samples] -> the same.
    """

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        center = ParameterSpec("center_hz", 1, "Hz", 50.0, 8000.0, 800.0, Exponential())
        depth = ParameterSpec("depth", 1, "octaves", 0.0, 4.0, 0.0)
        self.node_type = NodeType("phaser", "", (_rate(0.3), depth, center, FEEDBACK, SPREAD, PHASE))

    def memory(self, params: Tensor) -> tuple[int, int]:
        """As long as its lowest corner rings, as often as feedback repeats it audibly."""
        times = 1.0
        if params.numel():
            feedback = float(self.get(params.detach(), "feedback").abs().max())
            times += FORGOTTEN_DB / (20 * math.log10(max(feedback, 1e-5)))
        return math.ceil(times * STAGES * self.sample_rate / LOWEST_HZ), 0

    @property
    def resumable(self) -> bool:
        """The filters' states are all that it needs to know."""
        return True

    def resume(self, audio: Tensor, params: Tensor, state: State | None, mark: int) -> tuple[Tensor, State]:
        """One part of a longer signal; the state is the filters', [rows, stages + 1]."""
        octaves = self.get(params, "depth").double()[:, :, None] * self.wave(params, audio.size(-1))[:, 0]
        corner = self.get(params, "center_hz").double()[:, :, None] * octaves.exp2()
        corner = corner.clamp(LOWEST_HZ, HIGHEST_SHARE * self.sample_rate).flatten(0, 1)
        tangent = torch.tan(corner * (math.pi / self.sample_rate))
        a = (tangent - 1) / (tangent + 1)
        feedback = self.get(params, "feedback").double()[:, 0].repeat_interleave(2)
        begin = state[0] if state is not None else torch.zeros(len(a), STAGES + 1, dtype=torch.float64)
        out, behind = all_pass_chain(audio.flatten(0, 1), a, feedback, begin, mark)
        return out.view_as(audio), (behind,)

    def forward(self, audio: Tensor, params: Tensor) -> Tensor:
        """Process a batch of nodes; wet only."""
        return self.resume(audio, params, None, 0)[0]


class Tremolo(Modulated):
    r"""A level that goes down and up again.

    .. math:: y_c[n] = \Big(1 - \delta \, \frac{1 + m_c(t)}{2}\Big) \, u_c[n]

    Params:
        rate_hz, spread, phase [nodes, 1]: as of :class:`Chorus`; a spread of 0.5 sends it from side to side.
        depth [nodes, 1]: at 1 it goes down to silence.

    Shape:
        audio [nodes, 2, samples] -> the same.
    """

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        self.node_type = NodeType("tremolo", "", (_rate(5.0), DEPTH, SPREAD, PHASE))

    def forward(self, audio: Tensor, params: Tensor) -> Tensor:
        """Process a batch of nodes; wet only."""
        depth = self.get(params, "depth").double()[:, :, None]
        gain = 1 - depth * (1 + self.wave(params, audio.size(-1))[:, 0]) / 2
        return audio * gain.to(audio.dtype)


class AutoPan(Modulated):
    r"""A place that wanders from side to side, at constant power.

    .. math:: y_l = \sqrt2 \cos \theta \; u_l, \quad y_r = \sqrt2 \sin \theta \; u_r, \quad
        \theta = \frac{\pi}{4} (1 + \delta \, m_0(t))

    Params:
        rate_hz, phase [nodes, 1]: as of :class:`Chorus`.
        depth  [nodes, 1]: at 1 it goes as far as one side alone.
        spread [nodes, 1]: moves the phase of the right gain against the left one; at 0 the power is constant.

    Shape:
        audio [nodes, 2, samples] -> the same.
    """

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        self.node_type = NodeType("auto_pan", "", (_rate(0.5), DEPTH, SPREAD, PHASE))

    def forward(self, audio: Tensor, params: Tensor) -> Tensor:
        """Process a batch of nodes; wet only."""
        position = self.get(params, "depth").double()[:, :, None] * self.wave(params, audio.size(-1))[:, 0]
        angle = (1 + position) * (math.pi / 4)
        gains = math.sqrt(2) * torch.stack([angle[:, 0].cos(), angle[:, 1].sin()], dim=1)
        return audio * gains.to(audio.dtype)
