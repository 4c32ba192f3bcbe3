r"""Saturation: curves that add harmonics, without aliasing, and a bit crusher.

Conventions. Every curve has a slope of 1 at zero, so that quiet signals pass at their level whatever the drive; with
the drive d (an amplitude) it is :math:`f(x) = F(d x) / d` for the textbook's F. A peer's curve without that division is
d times as loud.

Antialiasing is oversampling by 8, and for some curves linear interpolation to 16 or 32 times the rate; only what a
curve adds passes the filters. See :mod:`graphmix.dsp.oversampling`. With ``antialiased=False`` the curve is evaluated
sample by sample; such a type has a name of its own, ``aliased_…``, since it sounds otherwise.
"""

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from graphmix.dsp.hysteresis import play
from graphmix.dsp.oversampling import FACTOR, HALF, MARGIN, amplitudes, downsample, saturate, upsample
from graphmix.dsp.shaping import add_harmonics, add_powers, bend, clip
from graphmix.processors.base import Processor, State
from graphmix.spec import DB_PER_NEPER, Linear, NodeType, ParameterSpec

ORDERS = 10
"""Highest order of a polynomial, as in GRAFX."""
KNOTS = 33
HARDEST = 0.99
OPERATORS = 4
DRIVE_RANGE_DB = (-60.0, 60.0)
LOUD_QUANTILE = 0.95
START_BELOW_DB = 6.0
"""A search begins with the loud frames so far below the level at which a curve bends."""
_DRIVE = ParameterSpec("drive_db", 1, "dB", *DRIVE_RANGE_DB, -60.0, Linear(DB_PER_NEPER))
_READY = ParameterSpec("drive_db", 1, "dB", *DRIVE_RANGE_DB, 0.0, Linear(DB_PER_NEPER))
"""Of curves that are the identity at any drive."""


class Saturation(Processor):
    """A curve of each sample; subclasses give what it adds to its argument.

    Args:
        sample_rate: in Hz.
        antialiased: whether the curve is evaluated at a multiple of the sample rate.
    """

    name: ClassVar[str]
    specs: ClassVar[tuple[ParameterSpec, ...]]
    points: ClassVar[int] = 1
    """Places between two samples of the higher rate; more for curves with corners."""

    def __init__(self, sample_rate: int = 30000, antialiased: bool = True) -> None:
        super().__init__(sample_rate)
        self.antialiased = antialiased
        self.node_type = NodeType(self.name if antialiased else f"aliased_{self.name}", "", self.specs)

    @abstractmethod
    def residue(self, x: Tensor, params: Tensor) -> Tensor:
        """What the curve adds to its argument, [nodes, ...] -> the same; by tensor operations, on any device."""

    def compiled(self, x: Tensor, params: Tensor, whole: bool) -> Tensor | None:
        """The same as a loop on the CPU, or the ``whole`` curve; None where there is none."""

    def _added(self, x: Tensor, params: Tensor) -> Tensor:
        found = self.compiled(x, params, False) if x.device.type == "cpu" else None
        return self.residue(x, params) if found is None else found

    def drive(self, x: Tensor, params: Tensor) -> Tensor:
        """The drive as an amplitude that multiplies a signal."""
        return amplitudes(self.get(params, "drive_db")[:, 0], x)

    def value(self, x: Tensor, params: Tensor, name: str, index: int = 0) -> Tensor:
        """One parameter so that it multiplies a signal."""
        return self.get(params, name)[:, index].to(x.dtype).view(-1, *[1] * (x.dim() - 1))

    def forward(self, audio: Tensor, params: Tensor) -> Tensor:
        """Process a batch of nodes; wet only."""
        if self.antialiased:
            return saturate(audio, params, self._added, self.points)
        found = self.compiled(audio, params, True) if audio.device.type == "cpu" else None
        return audio + self.residue(audio, params) if found is None else found

    def memory(self, params: Tensor) -> tuple[int, int]:
        """As far as the filters reach."""
        return (MARGIN, MARGIN) if self.antialiased else (0, 0)

    def fit_levels(self, params: Tensor, levels_db: list[Tensor]) -> Tensor:
        """Put the loud frames at a node's input a little below where the curve bends."""
        if not any(p.name == "drive_db" for p in self.node_type.parameters):
            return params
        params = params.clone()
        column = self.node_type.columns("drive_db")
        for row, levels in enumerate(levels_db):
            if levels.numel():
                loud = float(levels.double().quantile(LOUD_QUANTILE))
                params[row, column] = min(max(-START_BELOW_DB - loud, DRIVE_RANGE_DB[0]), DRIVE_RANGE_DB[1])
        return params

    def at_rate(self, sample_rate: int) -> "Saturation":
        """The same curve."""
        return type(self)(sample_rate, self.antialiased)


class Tanh(Saturation):
    r"""Soft saturation: the hyperbolic tangent, which an asymmetry bends more on one side (even harmonics).

    .. math:: f(x) = \frac{1}{d} \frac{t}{1 + \beta t}, \quad t = \tanh(d x), \quad d = 10^{D / 20}

    which is :math:`\tanh(d x + b) - \tanh b` with :math:`\beta = \tanh b`, scaled to a slope of 1 at zero. Plain
    tanh of a driven signal is the distortion of dasp-pytorch and pedalboard, and GRAFX's with its bias.

    Params:
        drive_db  [nodes, 1]: D; a signal at -D dB is bent to 0.76 of its amplitude.
        asymmetry [nodes, 1]: beta.

    Shape:
        audio [nodes, 2, samples] -> the same.
    """

    name = "tanh"
    specs = (_DRIVE, ParameterSpec("asymmetry", 1, "", -0.9, 0.9, 0.0))

    def residue(self, x: Tensor, params: Tensor) -> Tensor:
        """The curve less its argument."""
        drive = self.drive(x, params)
        bent = torch.tanh(drive * x)
        return bent / (drive * (1 + self.value(x, params, "asymmetry") * bent)) - x

    def compiled(self, x: Tensor, params: Tensor, whole: bool) -> Tensor:
        """See :func:`graphmix.dsp.shaping.bend`."""
        drive, asymmetry = (self.get(params, name).to(x.dtype) for name in ("drive_db", "asymmetry"))
        return bend(x, torch.cat([(drive / DB_PER_NEPER).exp(), asymmetry], dim=1), whole)


class Clipper(Saturation):
    r"""A piecewise curve: straight up to a share of the ceiling, then bent towards it; from soft to hard clipping.

    .. math:: f(x) = \begin{cases} x & x \leq h c \\
        c \Big(h + (1 - h) \tanh \frac{x / c - h}{1 - h}\Big) & x > h c \end{cases}

    and the same with a ceiling and a hardness of their own below zero. Near a hardness of 1 it is pedalboard's
    clipping; GRAFX's piecewise tanh bends its middle part as well.

    Params:
        ceiling_db [nodes, 2]: largest value above and (as a magnitude) below zero, in dB re full scale.
        hardness   [nodes, 2]: h, the straight part's share, above and below zero.

    Shape:
        audio [nodes, 2, samples] -> the same.

    Not for: limiting without distortion; see :class:`graphmix.processors.limiter.Limiter`.
    """

    name = "clipper"
    points = 4
    specs = (
        ParameterSpec("ceiling_db", 2, "dB", -60.0, 24.0, 24.0, Linear(DB_PER_NEPER)),
        ParameterSpec("hardness", 2, "", 0.0, HARDEST, 0.5),
    )

    def residue(self, x: Tensor, params: Tensor) -> Tensor:
        """The curve less its argument."""
        ceilings = self.get(params, "ceiling_db")
        result = torch.zeros_like(x)
        for side, sign in enumerate((1, -1)):
            ceiling, hardness = amplitudes(ceilings[:, side], x), self.value(x, params, "hardness", side)
            beyond = (sign * x - hardness * ceiling).clamp(min=0)
            room = (1 - hardness) * ceiling
            result = result + sign * (room * torch.tanh(beyond / room) - beyond)
        return result

    def compiled(self, x: Tensor, params: Tensor, whole: bool) -> Tensor:
        """See :func:`graphmix.dsp.shaping.clip`."""
        ceiling = (self.get(params, "ceiling_db").to(x.dtype) / DB_PER_NEPER).exp()
        hardness = self.get(params, "hardness").to(x.dtype)
        knee_and_room = torch.stack([hardness * ceiling, (1 - hardness) * ceiling], dim=2)
        return clip(x, knee_and_room.flatten(1), whole)

    def fit_levels(self, params: Tensor, levels_db: list[Tensor]) -> Tensor:
        """Put each ceiling a little above the loud frames at the node's input."""
        params = params.clone()
        column = self.node_type.columns("ceiling_db")
        for row, levels in enumerate(levels_db):
            if levels.numel():
                loud = float(levels.double().quantile(LOUD_QUANTILE))
                params[row, column] = min(max(loud + START_BELOW_DB, -60.0), 24.0)
        return params


class _Polynomial(Saturation):
    """A polynomial of ``t = tanh(d x)``, added to the signal."""

    @abstractmethod
    def loop(self, x: Tensor, values: Tensor, whole: bool) -> Tensor:
        """The compiled curve; values are drive and amounts, see :mod:`graphmix.dsp.shaping`."""

    @abstractmethod
    def basis(self, t: Tensor) -> list[Tensor]:
        """Values of orders 2 to :data:`ORDERS`, less those at zero."""

    def residue(self, x: Tensor, params: Tensor) -> Tensor:
        """The orders from 2 on."""
        drive = self.drive(x, params)
        total = torch.zeros_like(x)
        for k, values in enumerate(self.basis(torch.tanh(drive * x))):
            total = total + self.value(x, params, "amount", k) * values
        return total / drive

    def compiled(self, x: Tensor, params: Tensor, whole: bool) -> Tensor:
        """See :mod:`graphmix.dsp.shaping`."""
        drive, amounts = (self.get(params, name).to(x.dtype) for name in ("drive_db", "amount"))
        return self.loop(x, torch.cat([(drive / DB_PER_NEPER).exp(), amounts], dim=1), whole)


_AMOUNT = ParameterSpec("amount", ORDERS - 1, "", -1.0, 1.0, 0.0)


class Power(_Polynomial):
    r"""A power series of the saturated signal.

    .. math:: f(x) = x + \frac{1}{d} \sum_{k=2}^{10} a_k t^k, \quad t = \tanh(d x)

    The tanh keeps it bounded for any input. GRAFX's power distortion is such a series of the signal itself.

    Params:
        drive_db [nodes, 1]: as of :class:`Tanh`.
        amount   [nodes, 9]: the coefficients a of orders 2 to 10; even ones make even harmonics.

    Shape:
        audio [nodes, 2, samples] -> the same.
    """

    name = "power"
    specs = (_READY, _AMOUNT)

    def loop(self, x: Tensor, values: Tensor, whole: bool) -> Tensor:
        """See :func:`graphmix.dsp.shaping.add_powers`."""
        return add_powers(x, values, whole)

    def basis(self, t: Tensor) -> list[Tensor]:
        """Powers."""
        powers = [t * t]
        for _ in range(3, ORDERS + 1):
            powers.append(powers[-1] * t)
        return powers


class Chebyshev(_Polynomial):
    r"""Harmonics by number: Chebyshev polynomials of the saturated signal.

    .. math:: f(x) = x + \frac{1}{d} \sum_{k=2}^{10} a_k \big(T_k(t) - T_k(0)\big), \quad t = \tanh(d x)

    Of a sine with :math:`t = \cos \phi`, :math:`T_k` is its k-th harmonic alone, since
    :math:`T_k(\cos \phi) = \cos k \phi`. GRAFX's Chebyshev distortion is such a sum, of the signal itself.

    Params:
        drive_db [nodes, 1]: as of :class:`Tanh`.
        amount   [nodes, 9]: amplitudes a of harmonics 2 to 10, at full drive.

    Shape:
        audio [nodes, 2, samples] -> the same.
    """

    name = "chebyshev"
    points = 4
    specs = (_READY, _AMOUNT)

    def loop(self, x: Tensor, values: Tensor, whole: bool) -> Tensor:
        """See :func:`graphmix.dsp.shaping.add_harmonics`."""
        return add_harmonics(x, values, whole)

    def basis(self, t: Tensor) -> list[Tensor]:
        """By the recursion ``T[k] = 2 t T[k - 1] - T[k - 2]``; those of even order are ±1 at zero."""
        before, now, values = torch.ones_like(t), t, []
        for k in range(2, ORDERS + 1):
            before, now = now, 2 * t * now - before
            values.append(now - (-1) ** (k // 2) if k % 2 == 0 else now)
        return values


class WaveShaper(Saturation):
    r"""A curve of one's own, or a learned one: a cubic spline through knots, added to the signal.

    .. math:: f(x) = x + \frac{1}{d} \big(H(t) - H(0)\big), \quad t = \tanh(d x)

    H is the Catmull–Rom spline through 33 equally spaced knots from t = -1 to 1; it has a continuous slope.

    Params:
        drive_db [nodes, 1]: as of :class:`Tanh`; the knots span what it maps to -1 to 1.
        offset   [nodes, 33]: H at the knots: how much the curve lies above the straight line.

    Shape:
        audio [nodes, 2, samples] -> the same.
    """

    name = "wave_shaper"
    points = 2
    specs = (_READY, ParameterSpec("offset", KNOTS, "", -2.0, 2.0, 0.0))

    def residue(self, x: Tensor, params: Tensor) -> Tensor:
        """The spline at the saturated signal."""
        drive = self.drive(x, params)
        knots = self.get(params, "offset").to(x.dtype)
        knots = knots - knots[:, KNOTS // 2, None]
        table = torch.cat([2 * knots[:, :1] - knots[:, 1:2], knots, 2 * knots[:, -1:] - knots[:, -2:-1]], dim=1)
        place = (torch.tanh(drive * x).flatten(1) + 1) * ((KNOTS - 1) / 2)
        index = place.detach().floor().clamp(0, KNOTS - 2).long()
        f = place - index
        a, b, c, e = (table.gather(1, index + k) for k in range(4))
        cubic = b + 0.5 * f * (c - a + f * (2 * a - 5 * b + 4 * c - e + f * (3 * (b - c) + e - a)))
        return cubic.view_as(x) / drive


class Tape(Saturation):
    r"""Tape-like saturation: the tangent of a signal with hysteresis, approximated by play operators.

    .. math:: f = \frac1d \tanh\Big(d \big(x - h (x - P[x])\big)\Big), \quad P = \frac14 \sum_{i=1}^4 p_{i W / 4}

    :math:`p_w` are play operators of half-width w (:mod:`graphmix.dsp.hysteresis`), after Prandtl and Ishlinskii: what
    comes out depends on whether the signal rises or falls, as in a magnetic loop, and its minor loops close. An
    approximation that knows no time: a tape's loss of highs, its head bump, its noise and its speed are not in it. At
    the higher rate throughout; the operators have corners, so that aliasing rests on the tangent behind them.

    Params:
        drive_db   [nodes, 1]: as of :class:`Tanh`.
        hysteresis [nodes, 1]: h, how much of what the operators hold back is missing.
        width_db   [nodes, 1]: W, amplitude of half of the loop's width, in dB re full scale.

    Shape:
        audio [nodes, 2, samples] -> the same.
    """

    name = "tape"
    specs = (
        _DRIVE,
        ParameterSpec("hysteresis", 1, "", 0.0, 0.95, 0.0),
        ParameterSpec("width_db", 1, "dB", -80.0, 0.0, -20.0, Linear(DB_PER_NEPER)),
    )

    def residue(self, x: Tensor, params: Tensor) -> Tensor:
        """At rest before the first sample; [nodes, channels, samples]."""
        return self._residue(x, params, None)[0]

    def _residue(self, x: Tensor, params: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """The curve less its argument, and the operators behind it, [rows, operators]."""
        steps = torch.arange(1, OPERATORS + 1, device=x.device, dtype=x.dtype) / OPERATORS
        widths = (amplitudes(self.get(params, "width_db")[:, 0], x[:, 0, :1]) * steps).repeat_interleave(x.size(1), 0)
        held, state = play(x.flatten(0, 1), widths, state)
        drive = self.drive(x, params)
        moved = x - self.value(x, params, "hysteresis") * (x - held.view_as(x))
        return torch.tanh(drive * moved) / drive - x, state

    def forward(self, audio: Tensor, params: Tensor) -> Tensor:
        """Process a batch of nodes; wet only."""
        return self.resume(audio, params, None, 0)[0]

    @property
    def resumable(self) -> bool:
        """The operators and the samples before are all that it needs to know."""
        return True

    def resume(self, audio: Tensor, params: Tensor, state: State | None, mark: int) -> tuple[Tensor, State]:
        """One part of a longer signal; the state is the audio before it, and where the operators are."""
        reach = 2 * HALF if self.antialiased else 0
        before, held = state if state is not None else (audio.new_zeros(*audio.shape[:-1], reach), None)
        padded = torch.cat([before, pad(audio, (0, reach))], dim=-1)
        x = upsample(padded).transpose(-1, -2).flatten(-2) if reach else padded
        split = mark * (FACTOR if reach else 1)
        first, after = self._residue(x[..., :split], params, held)
        rest, _ = self._residue(x[..., split:], params, after)
        added = torch.cat([first, rest], dim=-1)
        if reach:
            added = downsample(added.unflatten(-1, (-1, FACTOR)).transpose(-1, -2))
        return audio + added, (padded[..., mark : mark + reach], after)


class BitCrusher(Processor):
    r"""Fewer bits: samples are rounded to steps, with a straight-through gradient.

    .. math:: y[n] = q \, \mathrm{round}(u[n] / q), \quad q = 2^{1 - B}

    Its aliasing is the effect. Gradients: those of the signal pass as if nothing were rounded; the step's is
    :math:`\mathrm{round}(u / q) - u / q`, as if the rounded number stayed where it is (Bengio et al. 2013, "Estimating
    or propagating gradients through stochastic neurons"; Esser et al. 2020, "Learned step size quantization").

    Params:
        bits [nodes, 1]: B, as a converter's for full scale from -1 to 1; need not be a whole number.

    Shape:
        audio [nodes, 2, samples] -> the same.
    """

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        self.node_type = NodeType("bit_crusher", "", (ParameterSpec("bits", 1, "bits", 1.0, 24.0, 24.0),))

    def forward(self, audio: Tensor, params: Tensor) -> Tensor:
        """Process a batch of nodes; wet only."""
        step = (1 - self.get(params, "bits")).exp2()[:, :, None].to(audio.dtype)
        scaled = audio / step
        steps = scaled.detach().round()
        error = (steps - scaled.detach()) * step
        return audio + error

    def start(self, params: Tensor, generator: torch.Generator) -> Tensor:
        """Coarse enough for a gradient that is more than noise."""
        return torch.full_like(params, 12.0)
