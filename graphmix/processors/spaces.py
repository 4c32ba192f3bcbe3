r"""Echoes and rooms: a feedback delay, a feedback delay network, velvet noise, early reflections, convolution.

The first is a recursion without end and *general*. The others have finite responses and are LTI: of a network the first
:data:`NETWORK_SECONDS`, in which even its longest decay has fallen by 60 dB. All responses but the user's have unit
energy (the mean over left and right is 1), as the delay and the reverb of the pruning paper: dry/wet sets the level.
"""

import math
from itertools import product

import numpy as np
import torch
from torch import Tensor

from graphmix.dsp.delay_line import SHORTEST, TAIL, LineState, delay_line, rest
from graphmix.dsp.energy import unit_energy
from graphmix.dsp.feedback_network import hadamard, line_responses, next_prime, sampled_responses
from graphmix.dsp.fft import good_length, irfft, rfft
from graphmix.dsp.fir import odd_taps, windowed_fir
from graphmix.dsp.resampling import resample
from graphmix.errors import GraphError
from graphmix.processors.align import HALF
from graphmix.processors.base import LTIProcessor, Processor, StartsBypassed, State
from graphmix.processors.resampled import RateBound
from graphmix.processors.stereo import spread_taps
from graphmix.spec import DB_PER_NEPER, Exponential, Linear, NodeType, ParameterSpec

LONGEST_MS = 2000.0
HIGHEST_SHARE = 0.45
FORGOTTEN_DB = -100.0
NETWORK_SECONDS = 3.0
LINES_MS = (22.1, 25.3, 29.7, 33.4, 37.9, 42.6, 47.3, 53.9)
"""Lengths of a network's lines, each brought to the next prime number of samples."""
VELVET_SECONDS = 2.0
VELVET_DENSITY = 2205
"""Impulses a second; from about 2,000 on velvet noise is as smooth as white noise (Välimäki et al. 2013)."""
VELVET_SEED = 2025
VELVET_FILTER_SECONDS = 0.01
SOUND_M_PER_S = 343.0
ROOM_RANGE_M = (2.0, 30.0)
SOURCE, LISTENER = (0.37, 0.71, 0.41), (0.54, 0.31, 0.47)
"""Shares of width, depth and height; off all planes of symmetry: no two reflections arrive together."""
_DECAY = ParameterSpec("decay_s", 2, "s", 0.1, NETWORK_SECONDS, 1.0, Exponential())
_CROSSOVER = ParameterSpec("crossover_hz", 1, "Hz", 200.0, 12000.0, 3000.0, Exponential())


class FeedbackDelay(StartsBypassed, Processor):
    r"""Echoes that repeat, each duller and thinner than the one before; across left and right a ping-pong.

    .. math::
        y_c[n] = v_c[n - f_s \tau_c], \quad
        v[n] = X u[n] + g \begin{pmatrix} 1 - x & x \\ x & 1 - x \end{pmatrix} z[n]

    z is y behind a one-pole high cut and a one-pole low cut. With *cross* x at 0, X is the identity: an echo a channel.
    At 1, the mean of left and right goes into the left line, and each line into the other: left, right, left, ... In
    between X is in between. Delays need not be whole samples (cubic interpolation, :mod:`graphmix.dsp.delay_line`).

    Params:
        time_ms     [nodes, 2]: delays of left and right.
        feedback    [nodes, 1]: g.
        cross       [nodes, 1]: x.
        low_cut_hz  [nodes, 1]: corner of the low cut in the loop.
        high_cut_hz [nodes, 1]: corner of the high cut in the loop.

    Shape:
        audio [nodes, 2, samples] -> the same.

    Not for: twenty echoes with places and filters of their own; see
        :class:`graphmix.processors.delay.MultitapDelay`.
    """

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        top = HIGHEST_SHARE * sample_rate
        parameters = (
            ParameterSpec("time_ms", 2, "ms", 1.0, LONGEST_MS, 250.0, Exponential()),
            ParameterSpec("feedback", 1, "", 0.0, 0.95, 0.3),
            ParameterSpec("cross", 1, "", 0.0, 1.0, 0.0),
            ParameterSpec("low_cut_hz", 1, "Hz", 10.0, min(2000.0, top), 20.0, Exponential()),
            ParameterSpec("high_cut_hz", 1, "Hz", min(200.0, top), top, min(8000.0, top), Exponential()),
        )
        self.node_type = NodeType("feedback_delay", "", parameters)

    def memory(self, params: Tensor) -> tuple[int, int]:
        """The longest delay, as often as feedback repeats it audibly; and as long as the low cut rings."""
        if not params.numel():
            return 0, 0
        feedback = float(self.get(params.detach(), "feedback").max())
        times = 1 + math.ceil(FORGOTTEN_DB / (20 * math.log10(max(feedback, 1e-5))))
        return times * (math.ceil(self._longest(params)) + TAIL) + self.sample_rate // 2, 0

    def _longest(self, params: Tensor) -> float:
        times = self.get(params.detach(), "time_ms")
        return max(float(times.max()) * self.sample_rate / 1000 if times.numel() else 0.0, SHORTEST)

    @property
    def resumable(self) -> bool:
        """What is in the lines and the filters is all that it needs to know."""
        return True

    def resume(self, audio: Tensor, params: Tensor, state: State | None, mark: int) -> tuple[Tensor, State]:
        """One part of a longer signal; the state is the lines' and the filters'."""
        delay = (self.get(params, "time_ms").double() * (self.sample_rate / 1000)).clamp(min=SHORTEST)[:, :, None]
        cross, feedback = (self.get(params, name)[:, 0].double() for name in ("cross", "feedback"))
        own = 1 - cross
        swap = torch.stack([torch.stack([own, cross], 1), torch.stack([cross, own], 1)], dim=1)
        half, none = cross / 2, torch.zeros_like(cross)
        into = torch.stack([torch.stack([1 - half, half], 1), torch.stack([none, own], 1)], dim=1)
        high, low = (self.get(params, name).double() for name in ("high_cut_hz", "low_cut_hz"))
        poles = (torch.cat([high, low], dim=1) * (-2 * math.pi / self.sample_rate)).exp()
        line = LineState(*state) if state is not None else rest(len(audio), self._longest(params))
        out, line = delay_line(into.to(audio) @ audio, delay, feedback[:, None, None] * swap, poles, line, mark)
        return out, tuple(line)

    def forward(self, audio: Tensor, params: Tensor) -> Tensor:
        """Process a batch of nodes; wet only."""
        return self.resume(audio, params, None, 0)[0]


class FeedbackNetwork(StartsBypassed, RateBound):
    r"""Feedback delay network reverb: eight lines that feed each other, with decay times for lows and highs.

    See :mod:`graphmix.dsp.feedback_network`. The matrix is Hadamard's; the filter of line i, of length m seconds, is a
    first-order shelf with gain :math:`10^{-3 m / T_{low}}` at 0 Hz and :math:`10^{-3 m / T_{high}}` at half the sample
    rate (Jot and Chaigne 1991), so that all lines decay alike. Left and right are two sums of the same lines:

    .. math:: h_c[n] = \sum_{i=1}^{8} \sigma_{ci} \, 10^{L_{ci} / 20} \, s_i[n]

    with fixed signs. The response is that of the recursion, exact, cut after three seconds (-60 dB for the longest
    decay), and scaled to unit energy; on devices other than the CPU it is sampled in frequency instead, and what sounds
    after the FFT's length is aliased in time, at -60 dB or less of the beginning.

    Params:
        decay_s      [nodes, 2]: RT60 of lows and of highs.
        crossover_hz [nodes, 1]: corner between them.
        level_db     [nodes, 16]: L, of each line on the left, then on the right.

    Shape:
        audio [nodes, 2, samples] -> the same.
    """

    gain_staged = True

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        self.samples = round(NETWORK_SECONDS * sample_rate)
        self.lengths = torch.tensor([next_prime(round(ms * sample_rate / 1000)) for ms in LINES_MS])
        lines = len(LINES_MS)
        self.matrix = hadamard(lines)
        self.signs = self.matrix[[3, 5]].sign()  # two rows, orthogonal to each other and to the input's ones
        self.into = torch.full((lines,), lines**-0.5, dtype=torch.float64)
        top = HIGHEST_SHARE * sample_rate
        crossover = ParameterSpec(
            "crossover_hz", 1, "Hz", min(200.0, top), min(12000.0, top), min(3000.0, top), Exponential()
        )
        level = ParameterSpec("level_db", 2 * lines, "dB", -40.0, 20.0, 0.0, Linear(DB_PER_NEPER))
        self.node_type = NodeType("feedback_network", "", (_DECAY, crossover, level))

    @property
    def extent(self) -> tuple[int, int]:
        """Three seconds, causal."""
        return 0, self.samples - 1

    def filters(self, params: Tensor) -> Tensor:
        """b0, b1 and a1 of the lines' shelves, float64 [nodes, lines, 3]."""
        seconds = self.lengths.to(params.device).double() / self.sample_rate
        decays = self.get(params, "decay_s").double()[:, :, None]
        low, high = torch.exp(-3 * math.log(10) * seconds / decays).unbind(1)
        t = torch.tan(self.get(params, "crossover_hz").double() * (math.pi / self.sample_rate))
        return torch.stack([low * t + high, low * t - high, (t - 1).expand_as(low)], dim=-1) / (1 + t)[..., None]

    def _outputs(self, params: Tensor) -> Tensor:
        """Gains of the lines on left and right, float64 [nodes, 2, lines]."""
        levels = self.get(params, "level_db").double().view(-1, 2, len(LINES_MS)) / DB_PER_NEPER
        return self.signs.to(params.device) * levels.exp()

    def impulse_response(self, params: Tensor) -> Tensor:
        """Left and right taps, [nodes, 2, samples]."""
        return unit_energy(self._taps(params))

    def response(self, params: Tensor, n_fft: int) -> Tensor:
        """Complex responses of left and right, [nodes, 2, n_fft // 2 + 1]."""
        if params.device.type == "cpu":
            return rfft(unit_energy(self._taps(params), 0, n_fft), n_fft)
        return rfft(unit_energy(irfft(self.sampled(params, n_fft), n_fft, n_fft)), n_fft)

    def sampled(self, params: Tensor, n_fft: int) -> Tensor:
        """The same before it is scaled, and without an end: aliased in time (any device)."""
        into, matrix, lengths = (t.to(params.device) for t in (self.into, self.matrix, self.lengths))
        lines = sampled_responses(self.filters(params), into, matrix, lengths, n_fft)
        kind = torch.complex64 if params.dtype == torch.float32 else torch.complex128
        return (self._outputs(params).to(lines.dtype) @ lines).to(kind)

    def _taps(self, params: Tensor) -> Tensor:
        """The impulse response before it is scaled to unit energy."""
        if params.device.type != "cpu":
            n_fft = good_length(self.samples)
            return irfft(self.sampled(params, n_fft), n_fft, self.samples)
        lines = line_responses(self.filters(params), self.into, self.matrix, self.lengths, self.samples)
        return (self._outputs(params) @ lines).to(params.dtype)


class VelvetReverb(StartsBypassed, RateBound):
    r"""Reverb of velvet noise: two seconds of sparse impulses of ±1, with decay times for lows and highs.

    .. math:: h_c[n] = v_c[n] \, e_{high} + L * \big(v_c[n] \, (e_{low} - e_{high})\big), \quad e = 10^{-3 t / T}

    :math:`v_c` has one impulse at a random place of each of 2,205 slots a second (Karjalainen and Järveläinen 2007),
    one fixed noise for left and one for right; :math:`L(f) = 1 / (1 + (f / f_0)^4)` is a zero-phase lowpass of 10 ms.

    Params:
        decay_s      [nodes, 2]: RT60 of lows and of highs.
        crossover_hz [nodes, 1]: f_0.

    Shape:
        audio [nodes, 2, samples] -> the same.
    """

    gain_staged = True

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        self.samples = round(VELVET_SECONDS * sample_rate)
        self.filter_taps = odd_taps(VELVET_FILTER_SECONDS, sample_rate)
        self.node_type = NodeType("velvet_reverb", "", (_DECAY, _CROSSOVER))
        self.noise = torch.from_numpy(velvet_noise(sample_rate))

    @property
    def extent(self) -> tuple[int, int]:
        """Two seconds, and what the lowpass rings before and after."""
        half = self.filter_taps // 2
        return half, self.samples - 1 + half

    def impulse_response(self, params: Tensor) -> Tensor:
        """Left and right taps, [nodes, 2, samples + filter taps - 1]."""
        dtype, params = params.dtype, params.double()
        noise = self.noise.to(params)
        time = torch.arange(self.samples, dtype=params.dtype, device=params.device) / self.sample_rate
        low, high = torch.exp(-3 * math.log(10) * time / self.get(params, "decay_s")[..., None])[:, :, None].unbind(1)
        bins = torch.arange((self.filter_taps + 1) // 2, dtype=params.dtype, device=params.device)
        ratio = bins * (self.sample_rate / self.filter_taps) / self.get(params, "crossover_hz")
        lowpass = windowed_fir(1 / (1 + ratio**4), self.filter_taps)[:, None]
        half, length = self.filter_taps // 2, self.samples + self.filter_taps - 1
        n_fft = good_length(length)
        slow = irfft(rfft(noise * (low - high), n_fft) * rfft(lowpass, n_fft), n_fft, length)
        return unit_energy((slow + torch.nn.functional.pad(noise * high, (half, half))).to(dtype))


def velvet_noise(sample_rate: int) -> np.ndarray:
    """The fixed noise of a velvet reverb, left and right, [2, samples] in float64: 0 but for impulses of ±1."""
    generator = np.random.Generator(np.random.PCG64(VELVET_SEED))
    slots = round(VELVET_SECONDS * VELVET_DENSITY)
    noise = np.zeros((2, round(VELVET_SECONDS * sample_rate)))
    place, positive = generator.uniform(0, 1, (2, slots)), generator.uniform(0, 1, (2, slots)) < 0.5
    index = ((np.arange(slots) + place) * (noise.shape[1] / slots)).astype(int)
    for channel in range(2):
        np.add.at(noise[channel], index[channel], np.where(positive[channel], 1.0, -1.0))
    return noise


class EarlyReflections(StartsBypassed, LTIProcessor):
    r"""The first reflections of a rectangular room, by mirror images of the source (Allen and Berkley 1979).

    .. math:: h_c[n] = \sum_i \frac{\beta^{k_i}}{r_i} \, g_c(i) \, \delta[n - f_s (r_i - r_0) / c]

    over all images behind one or two walls: :math:`r_i` is an image's distance, :math:`r_0` that of the source itself
    (whose direct sound is the dry signal and is not in it), k the number of walls, beta how much of an amplitude a wall
    reflects; g is a constant-power pan by the image's direction. Source and listener stand at fixed shares of the room.
    Times are not rounded (windowed sincs), so that the room's size has a gradient. Unit energy.

    Params:
        size_m     [nodes, 3]: width, depth and height.
        reflection [nodes, 1]: beta.

    Shape:
        audio [nodes, 2, samples] -> the same.
    """

    gain_staged = True

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        size = ParameterSpec("size_m", 3, "m", *ROOM_RANGE_M, 6.0, Exponential())
        reflection = ParameterSpec("reflection", 1, "", 0.05, 1.0, 0.7)
        self.node_type = NodeType("early_reflections", "", (size, reflection))
        shares, walls = images()
        self.shares, self.walls = torch.from_numpy(shares), torch.from_numpy(walls)

    @property
    def extent(self) -> tuple[int, int]:
        """Half of the interpolation, and the most distant image of the largest room."""
        farthest = ROOM_RANGE_M[1] * float(self.shares.norm(dim=1).max()) / SOUND_M_PER_S
        return HALF, math.ceil(farthest * self.sample_rate) + HALF

    def impulse_response(self, params: Tensor) -> Tensor:
        """Left and right taps, [nodes, 2, taps]."""
        double = params.double()
        place = self.shares.to(double) * self.get(double, "size_m")[:, None]  # from the listener
        distance = place.norm(dim=-1)
        direct, distance = distance[:, :1], distance[:, 1:]
        seconds = (distance - direct) / SOUND_M_PER_S
        gains = self.get(double, "reflection") ** self.walls.to(double)[1:] / distance
        angle = (place[:, 1:, 0] / distance + 1) * (math.pi / 4)
        left_right = gains[:, None] * torch.stack([angle.cos(), angle.sin()], dim=1)
        samples = (seconds * self.sample_rate)[:, None].expand_as(left_right)
        return unit_energy(spread_taps(samples, left_right.to(params.dtype), HALF, sum(self.extent) + 1))


def images() -> tuple[np.ndarray, np.ndarray]:
    """Places of the source and of its images from the listener, in shares of the room, [images, 3]; walls, [images].

    The source comes first.
    """
    found = []
    for cells in product(range(-2, 3), repeat=3):
        walls = sum(abs(cell) for cell in cells)
        if walls <= 2:
            place = [cell + (share if cell % 2 == 0 else 1 - share) for cell, share in zip(cells, SOURCE, strict=True)]
            found.append((walls, [a - b for a, b in zip(place, LISTENER, strict=True)]))
    found.sort(key=lambda image: image[0])
    return np.array([place for _, place in found]), np.array([float(walls) for walls, _ in found])


class Convolution(StartsBypassed, LTIProcessor):
    r"""Convolution with an impulse response of the user's: a room, a spring, a loudspeaker.

    .. math:: y_c[n] = 10^{G / 20} \sum_k h_c[k] \, u_c[n - k]

    At another rate than its own the response is resampled, with the gain that keeps its frequency response.

    Args:
        taps: mono or left and right, [1 or 2, samples].
        name: of the node type.
        letter: of the node type.
        sample_rate: in Hz.
        taps_rate: that of the taps; ``sample_rate`` if not given.
        source: of the node type: the file's name and digest.

    Params:
        gain_db [nodes, 1]: G.

    Shape:
        audio [nodes, 2, samples] -> the same.

    Raises:
        GraphError: taps of another shape, of zero length, silent or not finite.
    """

    def __init__(
        self, taps: Tensor, name: str, letter: str = "", sample_rate: int = 30000, taps_rate: int = 0, source: str = ""
    ) -> None:
        super().__init__(sample_rate)
        if taps.dim() != 2 or taps.size(0) not in (1, 2):
            raise GraphError(f"an impulse response is [1 or 2 channels, samples]; this one is {list(taps.shape)}.")
        if not taps.size(1):
            raise GraphError(f"the impulse response {source or name!r} has no samples; give one that has.")
        if not bool(taps.isfinite().all()) or not bool(taps.any()):
            raise GraphError(f"the impulse response {source or name!r} is silent or not finite; record it again.")
        self.given, self.given_rate = taps.double(), taps_rate or sample_rate
        self.taps = resample(self.given, self.given_rate, sample_rate) * (self.given_rate / sample_rate)
        gain = ParameterSpec("gain_db", 1, "dB", -60.0, 40.0, 0.0, Linear(DB_PER_NEPER))
        self.node_type = NodeType(name, letter, (gain,), source=source)

    @property
    def extent(self) -> tuple[int, int]:
        """From time zero on."""
        return 0, self.taps.size(1) - 1

    def impulse_response(self, params: Tensor) -> Tensor:
        """The taps times the gain, [nodes, 1 or 2, taps]."""
        return (self.get(params, "gain_db") / DB_PER_NEPER).exp()[:, :, None] * self.taps.to(params)

    def at_rate(self, sample_rate: int) -> "Convolution":
        """The same response, from its own rate."""
        own = self.node_type
        return Convolution(self.given, own.name, own.letter, sample_rate, self.given_rate, own.source)
