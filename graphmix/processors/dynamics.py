r"""Compressors and noise gates (appendix B.5 and B.6 of the pruning paper).

All of them measure the level of the mid channel, smooth its *energy*, put it through a static curve with a
quadratic knee, and multiply both channels by the gain that results:

.. math:: G_u = 10 \log_{10} g_u, \quad y = 10^{(G_y - G_u) / 20} \cdot u

Conventions, and where they differ from the paper. Levels are in dB re full scale: a mono signal that stays at 1
has 0 dB. Mid is the mean of left and right, where the paper takes the sum. The ratio is what engineers mean by
it, dB of input per dB of output above (compressor) or of output per dB of input below (gate) the threshold;
the paper's equation 22 multiplies the *amplitude* by a ratio of *energies*, so that its gain reductions are
twice as large in dB: see :func:`ratio_from_paper` and :func:`gate_ratio_from_paper`.
"""

from abc import abstractmethod

import torch
from torch import Tensor

from graphmix.dsp.dynamics import ENERGY_FLOOR, GainComputer, apply_gain_computer
from graphmix.dsp.envelope import coefficient, smooth
from graphmix.processors.base import Processor, State
from graphmix.spec import DB_PER_NEPER, Exponential, Linear, NodeType, ParameterSpec

FORGOTTEN_AFTER = 20.0
"""Time constants after which an input at full scale has decayed below the floor of the detector."""
AUDIBLE_DB = -70.0
"""Frames below this level do not count when a threshold is set to the level at a node's input."""
THRESHOLD = ParameterSpec("threshold_db", 1, "dB", -80.0, 0.0, -20.0, Linear(DB_PER_NEPER))
GATE_THRESHOLD = ParameterSpec("threshold_db", 1, "dB", -80.0, 0.0, -50.0, Linear(DB_PER_NEPER))
RATIO = ParameterSpec("ratio", 1, "", 1.0, 100.0, 1.0, Exponential())
KNEE = ParameterSpec("knee_db", 1, "dB", 0.1, 48.0, 6.0, Exponential())
TIME = ParameterSpec("time_ms", 1, "ms", 0.05, 2000.0, 20.0, Exponential())
ATTACK = ParameterSpec("attack_ms", 1, "ms", 0.05, 2000.0, 10.0, Exponential())
RELEASE = ParameterSpec("release_ms", 1, "ms", 0.05, 5000.0, 100.0, Exponential())


def ratio_from_paper(ratio: float) -> float:
    """Our compressor ratio for a ratio R of equations 21 and 22: ``1 - 1/ours = 2 (1 - 1/R)``.

    R = 2 is already a limiter (infinite); beyond it the paper's curve falls, which no ratio of ours does.

    Example:
        >>> round(ratio_from_paper(4 / 3), 6)
        2.0
    """
    if not 1 <= ratio < 2:
        raise ValueError(f"the paper's ratio {ratio} is no compressor ratio in dB: only 1 to below 2 are")
    return 1 / (2 / ratio - 1)


def gate_ratio_from_paper(ratio: float) -> float:
    """Our gate ratio for a ratio R of equations 23 and 22: ``2 R - 1``."""
    return 2 * ratio - 1


def knee(over_db: Tensor, knee_db: Tensor) -> Tensor:
    """dB above the threshold, bent smoothly to zero below it: the quadratic knee of equations 20 and 21.

    Args:
        over_db: level minus threshold.
        knee_db: full width of the knee; the paper's W is half of it.
    """
    half = knee_db / 2
    bend = (over_db + half).clamp(min=0)
    return torch.where(over_db > half, over_db, bend.square() / (4 * half))


class Dynamics(Processor):
    """What compressors and gates share: detector, smoothing and the multiplication by a gain.

    The first inlet is what is processed, the last one the detector's input. With a :meth:`curve` of your own it is a
    processor of your own.
    """

    start_quantile = 0.5
    """Share of a node's audible frames that lie below the threshold with which its search starts."""

    def fit_levels(self, params: Tensor, levels_db: list[Tensor]) -> Tensor:
        """Put each threshold into the middle of the levels at the node's input; elsewhere it would have no gradient."""
        params = params.clone()
        column = self.node_type.columns("threshold_db")
        for row, levels in enumerate(levels_db):
            audible = levels[levels > AUDIBLE_DB]
            if audible.numel():
                threshold = audible.double().quantile(self.start_quantile)
                params[row, column] = threshold.clamp(THRESHOLD.low, THRESHOLD.high).to(params)
        return params

    def memory(self, params: Tensor) -> tuple[int, int]:
        """Until the envelope has forgotten; it does not look ahead."""
        times_ms = [self.get(params, p.name) for p in self.node_type.parameters if p.unit == "ms"]
        longest_ms = max((float(ms.max()) for ms in times_ms if ms.numel()), default=0.0)
        return round(FORGOTTEN_AFTER * longest_ms * self.sample_rate / 1000), 0

    @property
    def resumable(self) -> bool:
        """True for the detector of this class; a gain or a forward of your own is given a warm-up."""
        own = type(self)
        return own.gain is Dynamics.gain and own.forward in (Dynamics.forward, KneeDynamics.forward)

    def resume(self, audio: Tensor, params: Tensor, state: State | None, mark: int) -> tuple[Tensor, State]:
        """One part of a longer signal; the state is the smoothed energy, [nodes]."""
        lead = 0
        if state is not None:
            audio, lead = torch.cat([self._lead_in(state[0], params).view(*audio.shape[:-1], 1), audio], dim=-1), 1
        energy = self._energy(_inlets(audio)[:, -1, :, : lead + mark], params)
        after = energy[:, -1] if energy.size(1) else energy.new_zeros(len(energy))
        return self(audio, params)[..., lead:], (after,)

    def _lead_in(self, state: Tensor, params: Tensor) -> Tensor:
        """One sample, in the last inlet, after which the smoothed energy is the state's, [nodes, inlets, 2, 1]."""
        attack, _ = self.coefficients(params)
        amplitude = (state.double() / (1 - attack)).sqrt().to(state.dtype)
        lead = amplitude.new_zeros(len(state), len(self.node_type.inlets), 2, 1)
        lead[:, -1] = amplitude[:, None, None]
        return lead

    def _energy(self, detector: Tensor, params: Tensor) -> Tensor:
        """Smoothed energy of the mid channel, [nodes, 2, samples] -> [nodes, samples]."""
        return smooth(detector.mean(dim=1).square(), *self.coefficients(params))

    def coefficients(self, params: Tensor) -> tuple[Tensor, Tensor | None]:
        """Smoothing constants of attack and release, [nodes] each; None where one constant serves both."""
        return self._coefficient(params, "time_ms"), None

    def _coefficient(self, params: Tensor, name: str) -> Tensor:
        return coefficient(self.get(params, name), self.sample_rate)[:, 0]

    def curve(self, over_db: Tensor, params: Tensor) -> Tensor:
        """Gain in dB for a level that lies so many dB over the threshold, [nodes, samples]."""
        raise TypeError(f"{type(self).__name__} has no gain curve of its own")

    def gain(self, detector: Tensor, params: Tensor) -> Tensor:
        """Amplitude gain from the detector's signal, [nodes, 2, samples] -> [nodes, samples]."""
        energy = self._energy(detector, params)
        level_db = (energy + ENERGY_FLOOR).log() * (DB_PER_NEPER / 2)
        return (self.curve(level_db - self.get(params, "threshold_db"), params) / DB_PER_NEPER).exp()

    def forward(self, audio: Tensor, params: Tensor) -> Tensor:
        """Process a batch of nodes; wet only."""
        inlets = _inlets(audio)
        return inlets[:, 0] * self.gain(inlets[:, -1], params)[:, None]


class KneeDynamics(Dynamics):
    """Dynamics whose curve is flat on one side of the threshold and straight on the other, with a knee between.

    On the CPU they are compiled (:mod:`graphmix.dsp.dynamics`), unless a subclass has a curve, a gain or a forward of
    its own; on other devices they are tensor operations.
    """

    direction = 1
    """1 if the gain changes above the threshold, -1 if below."""

    @abstractmethod
    def slope(self, params: Tensor) -> Tensor:
        """dB of gain for each dB beyond the threshold, [nodes, 1]."""

    def curve(self, over_db: Tensor, params: Tensor) -> Tensor:
        """Gain in dB."""
        return self.slope(params) * knee(self.direction * over_db, self.get(params, "knee_db"))

    def forward(self, audio: Tensor, params: Tensor) -> Tensor:
        """Process a batch of nodes; wet only."""
        if not self.compiles(audio):
            return super().forward(audio, params)
        return self._compiled(audio, params, params.new_ones(params.size(0)))

    def mix(self, audio: Tensor, params: Tensor, wet: Tensor) -> tuple[Tensor, Tensor | None]:
        """Process and mix with the dry signal, in one pass where it is compiled."""
        if self.gain_staged or not self.compiles(audio):
            return super().mix(audio, params, wet)
        return self._compiled(audio, params, wet), None

    def compiles(self, audio: Tensor) -> bool:
        """Whether the compiled pass is this processor, and can take this signal."""
        own = all(getattr(type(self), name) is getattr(KneeDynamics, name) for name in ("curve", "gain", "forward"))
        return own and audio.device.type == "cpu"

    def _compiled(self, audio: Tensor, params: Tensor, wet: Tensor) -> Tensor:
        attack, release = self.coefficients(params)
        computer = GainComputer(
            threshold_db=self.get(params, "threshold_db")[:, 0],
            slope=self.slope(params)[:, 0],
            knee_db=self.get(params, "knee_db")[:, 0],
            attack=attack,
            release=attack if release is None else release,
        )
        return apply_gain_computer(_inlets(audio), computer, wet, self.direction)


def _inlets(audio: Tensor) -> Tensor:
    """With one inlet, too, [nodes, inlets, 2, samples]."""
    return audio if audio.dim() == 4 else audio[:, None]


class Compressor(KneeDynamics):
    r"""Feed-forward compressor with one smoothing time for attack and release.

    .. math:: G_y - G_u = (1/R - 1) \cdot \mathrm{knee}(G_u - T)

    Gain computer after Giannoulis et al. (2012); equations 16 to 22 of the pruning paper, which smooths the
    energy rather than the gain reduction.

    Params:
        threshold_db [nodes, 1]: level where gain reduction begins, in dB re full scale.
        ratio        [nodes, 1]: input dB per output dB above it, 1 or more.
        knee_db      [nodes, 1]: full width of the knee in dB.
        time_ms      [nodes, 1]: time constant of the energy smoothing.

    Shape:
        audio [nodes, 2, samples] -> the same.

    Not for: brick-wall limiting; it has no look-ahead.
    """

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        self.node_type = NodeType("compressor", "c", (THRESHOLD, RATIO, KNEE, TIME))

    start_quantile = 0.6

    def slope(self, params: Tensor) -> Tensor:
        """dB of gain for each dB above the threshold, 0 or below, [nodes, 1]."""
        return 1 / self.get(params, "ratio") - 1


class NoiseGate(KneeDynamics):
    r"""Downward expander: turns down what lies below the threshold.

    .. math:: G_y - G_u = -(R - 1) \cdot \mathrm{knee}(T - G_u)

    Equations 23a and 23b of the pruning paper.

    Params:
        threshold_db [nodes, 1]: level below which the gain falls, in dB re full scale.
        ratio        [nodes, 1]: output dB per input dB below it, 1 or more.
        knee_db      [nodes, 1]: full width of the knee in dB.
        time_ms      [nodes, 1]: time constant of the energy smoothing.

    Shape:
        audio [nodes, 2, samples] -> the same.
    """

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        self.node_type = NodeType("noisegate", "n", (GATE_THRESHOLD, RATIO, KNEE, TIME))

    start_quantile = 0.2
    direction = -1

    def slope(self, params: Tensor) -> Tensor:
        """dB of gain for each dB below the threshold, 0 or below, [nodes, 1]."""
        return 1 - self.get(params, "ratio")


class _Ballistic(Dynamics):
    """Different smoothing for rising and falling energy (equation 17, exact)."""

    def coefficients(self, params: Tensor) -> tuple[Tensor, Tensor | None]:
        """Smoothing constants of attack and release, [nodes] each."""
        return self._coefficient(params, "attack_ms"), self._coefficient(params, "release_ms")


class BallisticCompressor(_Ballistic, Compressor):
    """A :class:`Compressor` with true attack and release (equation 17, which the paper simplifies away).

    Params:
        threshold_db, ratio, knee_db [nodes, 1]: as the compressor's.
        attack_ms    [nodes, 1]: time constant while the energy rises.
        release_ms   [nodes, 1]: time constant while it falls.

    Shape:
        audio [nodes, 2, samples] -> the same.
    """

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        self.node_type = NodeType("ballistic_compressor", "C", (THRESHOLD, RATIO, KNEE, ATTACK, RELEASE))


class BallisticGate(_Ballistic, NoiseGate):
    """A :class:`NoiseGate` with true attack and release.

    Params:
        threshold_db, ratio, knee_db [nodes, 1]: as the gate's.
        attack_ms    [nodes, 1]: time constant while the energy rises: how fast it opens.
        release_ms   [nodes, 1]: time constant while it falls: how fast it closes.

    Shape:
        audio [nodes, 2, samples] -> the same.
    """

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        self.node_type = NodeType("ballistic_gate", "N", (GATE_THRESHOLD, RATIO, KNEE, ATTACK, RELEASE))


class SidechainCompressor(Compressor):
    """A :class:`Compressor` with the level of another signal: ducking.

    The gain follows the level at the inlet ``sidechain`` and acts on the inlet ``in``. With nothing connected to
    the sidechain its detector receives silence, and its input passes.

    Params:
        threshold_db, ratio, knee_db, time_ms [nodes, 1]: as the compressor's.

    Shape:
        audio [nodes, 2 inlets, 2, samples] -> [nodes, 2, samples].
    """

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        self.node_type = NodeType(
            "sidechain_compressor", "k", (THRESHOLD, RATIO, KNEE, TIME), inlets=("in", "sidechain")
        )
