r"""Compressor and expander of a studio: every detector, ballistics of gain or level, look-ahead, make-up.

.. math:: y = 10^{(M - d) / 20} \, u, \quad G = \max(-R, s \cdot \mathrm{knee}(\pm(L - T)))

with the level L of what a detector listens to and the smoothed reduction d of -G; all equations are in
:mod:`graphmix.dsp.ballistics`. Curve and ballistics after Giannoulis, Massberg and Reiss, "Digital dynamic range
compressor design: a tutorial and analysis" (2012): smoothing the level is their "return to threshold" design before the
gain computer, smoothing the gain their log-domain one behind it, both with branches.

What engineers call parallel compression is the dry/wet weight of the node. Levels are in dB re full scale: a mono
signal that stays at 1 has 0 dB, and for a detector of peaks so has the peak of a full-scale sine.
"""

from abc import abstractmethod

import torch
from torch import Tensor

from graphmix.dsp.ballistics import Ballistics
from graphmix.dsp.level_detector import LISTEN
from graphmix.dsp.level_gain import Modes, apply_level_gain, reach_of
from graphmix.processors.base import State
from graphmix.processors.dynamics import (
    ATTACK,
    GATE_THRESHOLD,
    KNEE,
    RATIO,
    RELEASE,
    THRESHOLD,
    Dynamics,
    knee,
)
from graphmix.spec import DB_PER_NEPER, Exponential, Linear, NodeType, ParameterSpec, choice

DETECTION = ("peak", "rms")
SMOOTHING = ("gain_db", "gain", "level")
"""What attack and release act on: the gain in dB, the gain as a factor, or the level before the curve."""
TOPOLOGY = ("feed_forward", "feedback")
MEAN = ParameterSpec("mean_ms", 1, "ms", 0.1, 300.0, 10.0, Exponential())
LOOKAHEAD = ParameterSpec("lookahead_ms", 1, "ms", 0.0, 20.0, 0.0, Linear(10.0))
MAKEUP = ParameterSpec("makeup_db", 1, "dB", -40.0, 40.0, 0.0, Linear(DB_PER_NEPER))
LISTENS = choice("listen", LISTEN, "linked")
DETECTS = choice("detection", DETECTION, "peak")
SMOOTHS = choice("smoothing", SMOOTHING, "gain_db")
ALL = 1000.0
"""A range in dB that is never reached."""


class StudioDynamics(Dynamics):
    """What the compressor and the expander share. On the CPU it is a compiled pass, which other devices wait for."""

    downward = False
    """True if the gain changes below the threshold."""

    @abstractmethod
    def slope(self, params: Tensor) -> Tensor:
        """dB of gain for each dB beyond the threshold, 0 or below, [nodes]."""

    def range_db(self, params: Tensor) -> Tensor:
        """Most dB that are taken off, [nodes]."""
        return torch.full_like(params[:, 0], ALL)

    def makeup_db(self, params: Tensor) -> Tensor:
        """Gain behind the rest, [nodes]."""
        return torch.zeros_like(params[:, 0])

    def feedback(self, params: Tensor) -> Tensor:
        """Which nodes listen to their output, [nodes]."""
        return torch.zeros_like(params[:, 0], dtype=torch.long)

    def _settings(self, params: Tensor, wet: Tensor) -> tuple[Ballistics, Modes]:
        smoothing = self.choice(params, "smoothing")[:, 0]
        of_level = smoothing == SMOOTHING.index("level")
        rms = self.choice(params, "detection")[:, 0]
        attack, release = self._coefficient(params, "attack_ms"), self._coefficient(params, "release_ms")
        grow, shrink = (release, attack) if self.downward else (attack, release)
        feedback = self.feedback(params)
        ahead = self.get(params, "lookahead_ms")[:, 0].double() * (self.sample_rate / 1000)
        ballistics = Ballistics(
            threshold_db=self.get(params, "threshold_db")[:, 0],
            slope=self.slope(params),
            knee_db=self.get(params, "knee_db")[:, 0],
            range_db=self.range_db(params),
            mean=torch.where(rms == 1, self._coefficient(params, "mean_ms"), 0.0),
            rise=torch.where(of_level, attack, 0.0),
            fall=torch.where(of_level, release, 0.0),
            grow=torch.where(of_level, 0.0, grow),
            shrink=torch.where(of_level, 0.0, shrink),
            ahead=torch.where(feedback == 1, 0.0, ahead),
            makeup_db=self.makeup_db(params),
            wet=wet,
        )
        amplitude = (smoothing == SMOOTHING.index("gain")).long()
        downward = torch.full_like(rms, int(self.downward))
        return ballistics, Modes(self.choice(params, "listen")[:, 0], rms, amplitude, feedback, downward)

    def forward(self, audio: Tensor, params: Tensor) -> Tensor:
        """Process a batch of nodes; wet only."""
        return apply_level_gain(audio, *self._settings(params, torch.ones_like(params[:, 0])))[0]

    def mix(self, audio: Tensor, params: Tensor, wet: Tensor) -> tuple[Tensor, None]:
        """Process and mix with the dry signal, in one pass."""
        return apply_level_gain(audio, *self._settings(params, wet))[0], None

    def memory(self, params: Tensor) -> tuple[int, int]:
        """Until the envelopes have forgotten; it looks ahead."""
        before, _ = super().memory(params)
        return before, reach_of(self._settings(params, torch.ones_like(params[:, 0]))[0])

    @property
    def resumable(self) -> bool:
        """Means, levels and reductions are all that it needs to know."""
        return type(self).forward is StudioDynamics.forward

    def resume(self, audio: Tensor, params: Tensor, state: State | None, mark: int) -> tuple[Tensor, State]:
        """One part of a longer signal; the state is that of :func:`graphmix.dsp.level_gain.apply_level_gain`."""
        settings = self._settings(params, torch.ones_like(params[:, 0]))
        first, at_mark = apply_level_gain(audio, *settings, None if state is None else state[0], mark)
        second, _ = apply_level_gain(audio[..., mark:], *settings, at_mark)
        return torch.cat([first, second], dim=-1), (at_mark,)


class StudioCompressor(StudioDynamics):
    r"""Compressor: feed-forward or feedback, peak or RMS, attack and release on gain or level, look-ahead, make-up.

    .. math:: G = (1/R - 1) \cdot \mathrm{knee}(L - T), \quad M = m - a \, (1/R - 1) \cdot \mathrm{knee}(0 - T)

    Params:
        threshold_db [nodes, 1]: level where the gain reduction begins.
        ratio        [nodes, 1]: input dB per output dB above it, 1 or more.
        knee_db      [nodes, 1]: full width of the knee.
        attack_ms    [nodes, 1]: time constant while the reduction grows (of a level: while it rises).
        release_ms   [nodes, 1]: time constant while it shrinks.
        mean_ms      [nodes, 1]: time constant of an RMS detector's mean; peak detectors do not use it.
        lookahead_ms [nodes, 1]: how far a feed-forward detector sees into the future. There is no latency.
        makeup_db    [nodes, 1]: gain behind the compressor, m.
        auto_makeup  [nodes, 1]: a, share of the reduction at 0 dB that is added to it: 0 is none, 1 brings full scale
            back to full scale, 0.5 is usual.
        listen       [nodes, 1]: linked: the louder of left and right (RMS: their mean energy); apart: each channel has
            its own gain; mid, side: their half sum or difference.
        detection    [nodes, 1]: peak: the rectified signal; rms: the mean of its square.
        smoothing    [nodes, 1]: what attack and release act on: gain_db, the reduction in dB; gain, the reduction as a
            share of the amplitude; level, the energy before the curve.
        topology     [nodes, 1]: feed_forward, or feedback: the detector listens to the output of one sample before,
            without make-up; a ratio then acts as 2 - 1 / ratio.

    Shape:
        audio [nodes, 2, samples] -> the same.

    Not for: ducking by another track; see :class:`graphmix.processors.dynamics.SidechainCompressor`.
    """

    start_quantile = 0.6

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        auto = ParameterSpec("auto_makeup", 1, "", 0.0, 1.0, 0.0, Linear())
        curve = THRESHOLD, RATIO, KNEE, ATTACK, RELEASE, MEAN, LOOKAHEAD, MAKEUP, auto
        topology = choice("topology", TOPOLOGY, "feed_forward")
        self.node_type = NodeType("studio_compressor", "", (*curve, LISTENS, DETECTS, SMOOTHS, topology))

    def slope(self, params: Tensor) -> Tensor:
        """dB of gain for each dB above the threshold, 0 or below, [nodes]."""
        return 1 / self.get(params, "ratio")[:, 0] - 1

    def makeup_db(self, params: Tensor) -> Tensor:
        """Make-up by hand and by the curve, [nodes]."""
        threshold, width, auto, makeup = (
            self.get(params, name)[:, 0] for name in ("threshold_db", "knee_db", "auto_makeup", "makeup_db")
        )
        return makeup - auto * self.slope(params) * knee(-threshold, width)

    def feedback(self, params: Tensor) -> Tensor:
        """Which nodes listen to their output, [nodes]."""
        return self.choice(params, "topology")[:, 0]


class Expander(StudioDynamics):
    r"""Downward expander and gate: turns down what lies below the threshold, by a range at most.

    .. math:: G = \max(-\mathrm{range}, (1 - R) \cdot \mathrm{knee}(T - L))

    Params:
        threshold_db [nodes, 1]: level below which the gain falls.
        ratio        [nodes, 1]: output dB per input dB below it, 1 or more; from 10 on it is a gate.
        knee_db      [nodes, 1]: full width of the knee.
        range_db     [nodes, 1]: most dB that are taken off.
        attack_ms    [nodes, 1]: time constant while it opens.
        release_ms   [nodes, 1]: time constant while it closes.
        mean_ms, lookahead_ms, listen, detection, smoothing [nodes, 1]: as of :class:`StudioCompressor`.

    Shape:
        audio [nodes, 2, samples] -> the same.
    """

    start_quantile = 0.2
    downward = True

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        reach = ParameterSpec("range_db", 1, "dB", 0.0, 100.0, 60.0, Linear(DB_PER_NEPER))
        curve = GATE_THRESHOLD, RATIO, KNEE, reach, ATTACK, RELEASE, MEAN, LOOKAHEAD
        self.node_type = NodeType("expander", "", (*curve, LISTENS, DETECTS, SMOOTHS))

    def slope(self, params: Tensor) -> Tensor:
        """dB of gain for each dB below the threshold, 0 or below, [nodes]."""
        return 1 - self.get(params, "ratio")[:, 0]

    def range_db(self, params: Tensor) -> Tensor:
        """Most dB that are taken off, [nodes]."""
        return self.get(params, "range_db")[:, 0]
