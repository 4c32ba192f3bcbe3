r"""A temporal convolutional network with feature-wise modulation, the network of a proxy.

Each block is a convolution, batch normalization, modulation (FiLM: a scale and a shift for each channel, from an MLP on
the settings) and a parametric ReLU, beside a residual connection:

.. math:: y = \rho\, x + M \big[ \phi(\gamma \odot \mathrm{BN}(k * x) + \beta) - \phi(\beta) \big]

after the Differentiable Mixing Console (Steinmetz et al. 2021) and TCNs of audio effects (Steinmetz & Reiss 2021). What
is particular to this one, so that it imitates filters, levels and rooms and not only distortions:

* Left and right are processed apart by the same layers, as the effects do; ``own_sides`` gives each its own kernels.
* Kernels may be long: they are then convolved by FFT, where others stack dilated layers for the same reach. Each
  channel's kernel has a fixed exponential envelope around time zero; time constants are spread over the channels.
* Silence stays silence, sample by sample: what a block makes of silence, :math:`\phi(\beta)`, is taken off, and batch
  normalization takes the mean of audio to be zero.
* Its statistics are measured once and then kept (:meth:`TCN.calibrate`). Statistics of a batch would hide from the
  network how loud its input is, which is what a compressor acts upon.
* With ``levels`` the modulation varies in time (temporal FiLM, Birnbaum et al. 2019): the MLP then takes, beside the
  settings, the level of what enters the block, smoothed by several time constants.
* The residual connection has a modulated gain, too. A PReLU begins with slope 1: a network of filters until the data
  ask for more.
"""

import math
from typing import Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from graphmix.dsp.envelope import smooth
from graphmix.dsp.fft import good_length, irfft, rfft
from graphmix.models.config import Table
from graphmix.processors.dynamics import FORGOTTEN_AFTER
from graphmix.spec import DB_PER_NEPER

DIRECT_TAPS = 64
"""Up to so many taps a convolution is a sum of products, beyond it goes through the frequency domain."""
TAP_SCALE = 0.3
"""Spread of the taps at the start, before their envelope."""
MIXDOWN_SCALE = 0.003
"""Spread of the weights that add a block's channels to its residual connection, at the start."""
MAX_GAIN_NEPERS = 4.0
"""Bound of the gain on a residual connection: 35 dB either way."""
ENERGY_FLOOR = 1e-8
"""As the compressors': -80 dB re full scale."""
LEVEL_CENTER_DB, LEVEL_SPREAD_DB = -40.0, 20.0
"""Levels enter the MLP in these units."""


class BlockConfig(Table):
    """One block.

    Args:
        channels: kernels on each side.
        taps: of a kernel.
        lookahead: how many of them lie before time zero; 0 is causal.
        dilation: samples between taps; only 1 where there are many.
        shortest, longest: time constants of the kernels' envelopes in taps, spread evenly by factors over the channels;
            None for no envelope.
        own_sides: left and right have kernels of their own.
        levels: the modulation varies in time with the level.
    """

    channels: int = Field(default=8, ge=1)
    taps: int = Field(default=13, ge=1)
    lookahead: int = Field(default=0, ge=0)
    dilation: int = Field(default=1, ge=1)
    shortest: float | None = Field(default=None, gt=0)
    longest: float | None = Field(default=None, gt=0)
    own_sides: bool = False
    levels: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.lookahead >= self.taps:
            raise ValueError(f"lookahead is {self.lookahead} of {self.taps} taps; one at least lies at time zero")
        if (self.shortest is None) != (self.longest is None):
            raise ValueError("an envelope has both a shortest and a longest time constant; give both or none")
        return self


STRIP_BLOCKS = (
    BlockConfig(channels=10, taps=511, lookahead=255, shortest=1.0, longest=60.0),
    BlockConfig(channels=10, taps=511, lookahead=255, shortest=1.0, longest=60.0),
    BlockConfig(channels=1, taps=1, levels=True),
    BlockConfig(channels=12, taps=12288, shortest=200.0, longest=1600.0, own_sides=True),
)
"""For the channel strip at 30 kHz: two that filter around each sample, one that turns levels down, one that rings."""


class TCNConfig(Table):
    """Sizes of a :class:`TCN`; taps are samples at its rate.

    Args:
        sample_rate: in Hz.
        width: signals on each side between the blocks.
        hidden: width of the MLPs.
        level_times_ms: time constants by which levels are smoothed.
        level_hop: samples of a level's frame.
        blocks: in order.
    """

    sample_rate: int = Field(default=30000, ge=1)
    width: int = Field(default=1, ge=1)
    hidden: int = Field(default=64, ge=1)
    level_times_ms: tuple[float, ...] = Field(default=(3.0, 6.0, 12.0, 24.0, 48.0, 96.0, 192.0, 384.0), min_length=1)
    level_hop: int = Field(default=16, ge=1)
    blocks: tuple[BlockConfig, ...] = Field(default=STRIP_BLOCKS, min_length=1)


DILATED = TCNConfig(
    width=8, blocks=tuple(BlockConfig(channels=8, taps=13, dilation=dilation) for dilation in (1, 10, 100, 1000))
)
"""The seed's classical design for comparison: causal, short kernels, a dilation that grows tenfold, constant FiLM."""


class LevelMeter(nn.Module):
    """Levels of the mid signal in frames, smoothed by several time constants."""

    coefficients: Tensor

    def __init__(self, sample_rate: int, hop: int, times_ms: tuple[float, ...]) -> None:
        super().__init__()
        self.hop = hop
        times = torch.tensor(times_ms, dtype=torch.float64) * (sample_rate / 1000 / hop)
        self.register_buffer("coefficients", torch.exp(-1 / times), persistent=False)

    def forward(self, stream: Tensor) -> Tensor:
        """Signals [nodes, 2, width, samples] -> levels [nodes, frames, time constants], about -1 to 2."""
        energy = stream.mean(dim=1).square().mean(dim=1)
        frames = functional.pad(energy, (0, -energy.size(-1) % self.hop)).unflatten(-1, (-1, self.hop)).mean(dim=-1)
        nodes, times = frames.size(0), self.coefficients.numel()
        rows = frames.repeat_interleave(times, dim=0)
        # In float64 whatever the network is: the recursion wants its coefficients so.
        smoothed = smooth(rows, self.coefficients.double().repeat(nodes)).unflatten(0, (nodes, times))
        level_db = (smoothed + ENERGY_FLOOR).log() * (DB_PER_NEPER / 2)
        return ((level_db - LEVEL_CENTER_DB) / LEVEL_SPREAD_DB).mT


class Film(nn.Module):
    """Modulation that is constant in time: the embedded settings [nodes, hidden] -> [nodes, values, 1]."""

    def __init__(self, hidden: int, values: int, constants: int) -> None:
        super().__init__()
        self.last = nn.Linear(hidden, values)
        _start_neutral(self.last, constants)

    def forward(self, settings: Tensor) -> Tensor:
        """Scales, then shifts, then the gain of the residual connection."""
        return self.last(settings)[:, :, None]


class TemporalFilm(nn.Module):
    """Modulation by settings and levels: [nodes, hidden], [nodes, frames, levels] -> [nodes, values, samples]."""

    def __init__(self, hidden: int, values: int, constants: int, meter: LevelMeter) -> None:
        super().__init__()
        self.meter = meter
        self.of_settings = nn.Linear(hidden, hidden)
        self.of_levels = nn.Linear(meter.coefficients.numel(), hidden, bias=False)
        self.middle = nn.Linear(hidden, hidden)
        self.last = nn.Linear(hidden, values)
        _start_neutral(self.last, constants)

    def forward(self, settings: Tensor, stream: Tensor) -> Tensor:
        """As :class:`Film`, for each sample of ``stream``."""
        levels = self.meter(stream)
        mixed = functional.gelu(self.of_settings(settings)[:, None] + self.of_levels(levels))
        values = self.last(functional.gelu(self.middle(mixed))).mT
        upsampled = functional.interpolate(
            values, scale_factor=float(self.meter.hop), mode="linear", align_corners=False
        )
        return upsampled[..., : stream.size(-1)]


class TCNBlock(nn.Module):
    """Convolution, batch normalization, modulation and PReLU beside a residual connection.

    Args:
        config: its sizes.
        width: signals on each side of what comes in and goes out.
        hidden: width of the embedded settings.
        meter: of levels, for blocks with ``levels``.
    """

    envelope: Tensor

    def __init__(self, config: BlockConfig, width: int, hidden: int, meter: LevelMeter) -> None:
        super().__init__()
        self.config = config
        channels, sides = config.channels, 2 if config.own_sides else 1
        self.taps = nn.Parameter(TAP_SCALE * torch.randn(sides, channels, width, config.taps))
        self.register_buffer("envelope", _envelope(config) / math.sqrt(width), persistent=False)
        self.norm = nn.BatchNorm1d(channels, eps=1e-8, momentum=None, affine=False).eval()
        self.activation = nn.PReLU(channels, init=1.0)
        self.mixdown = nn.Parameter(MIXDOWN_SCALE * torch.randn(width, channels))
        values, constants = 2 * channels + 1, channels + 1
        self.film: Film | TemporalFilm
        if config.levels:
            self.film = TemporalFilm(hidden, values, constants, meter)
        else:
            self.film = Film(hidden, values, constants)

    def convolve(self, stream: Tensor) -> Tensor:
        """The convolution alone, [nodes, 2, width, samples] -> [nodes, 2, channels, samples]."""
        return convolve(stream, self.taps * self.envelope, self.config.lookahead, self.config.dilation)

    def forward(self, stream: Tensor, settings: Tensor) -> Tensor:
        """Signals [nodes, 2, width, samples] and embedded settings [nodes, hidden] -> as the signals."""
        film = self.film(settings, stream) if isinstance(self.film, TemporalFilm) else self.film(settings)
        channels = self.config.channels
        scale, shift, gain = (part[:, None] for part in film.split([channels, channels, 1], dim=1))
        # Batch normalization in the fixed form of evaluation, whose mean is zero, and the scale of FiLM in one factor.
        scale = (1 + scale) * (self._variance() + self.norm.eps).rsqrt()[:, None]
        active = self._activate(self.convolve(stream) * scale + shift) - self._activate(shift)
        gain = (MAX_GAIN_NEPERS * torch.tanh(gain / MAX_GAIN_NEPERS)).exp()
        return stream * gain + self.mixdown @ active

    @torch.no_grad()
    def calibrate(self, stream: Tensor) -> None:
        """Take a batch into the statistics of batch normalization."""
        self.norm.train()
        self.norm(self.convolve(stream).flatten(0, 1))
        assert self.norm.running_mean is not None, "it tracks its statistics"
        self.norm.running_mean.zero_()
        self.norm.eval()

    def train(self, mode: bool = True) -> Self:
        """As of any module, but for the statistics, which :meth:`calibrate` alone changes."""
        super().train(mode)
        self.norm.eval()
        return self

    @property
    def reach(self) -> tuple[int, int]:
        """How many samples before and after a moment the output there depends on."""
        before = (self.config.taps - 1 - self.config.lookahead) * self.config.dilation
        after = self.config.lookahead * self.config.dilation
        if isinstance(self.film, TemporalFilm):
            meter = self.film.meter
            frames = -1 / float(meter.coefficients.max().log())
            before = max(before, math.ceil(FORGOTTEN_AFTER * frames * meter.hop))
            after = max(after, 2 * meter.hop)
        return before, after

    def _variance(self) -> Tensor:
        assert self.norm.running_var is not None, "it tracks its statistics"
        return self.norm.running_var

    def _activate(self, signal: Tensor) -> Tensor:
        return functional.prelu(signal.flatten(0, 1), self.activation.weight).unflatten(0, signal.shape[:2])


class TCN(nn.Module):
    """The whole network: audio [nodes, 2, samples], settings in [-1, 1] [nodes, settings] -> as the audio.

    Args:
        config: sizes.
        num_settings: how many settings a node has.

    Before it is trained it is (nearly) the identity.
    """

    def __init__(self, config: TCNConfig, num_settings: int) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Sequential(
            nn.Linear(num_settings, config.hidden), nn.GELU(), nn.Linear(config.hidden, config.hidden), nn.GELU()
        )
        meter = LevelMeter(config.sample_rate, config.level_hop, config.level_times_ms)
        self.blocks = nn.ModuleList(TCNBlock(block, config.width, config.hidden, meter) for block in config.blocks)
        self.lift = nn.Parameter(torch.full((config.width,), config.width**-0.5))
        self.drop = nn.Parameter(torch.full((config.width,), config.width**-0.5))

    def forward(self, audio: Tensor, settings: Tensor) -> Tensor:
        """Process; differentiable in audio and settings."""
        embedded, stream = self.embed(settings), self._lifted(audio)
        for block in self.blocks:
            stream = block(stream, embedded)
        return (stream * self.drop[:, None]).sum(dim=2)

    @torch.no_grad()
    def calibrate(self, audio: Tensor, settings: Tensor) -> None:
        """Take a batch into the statistics of batch normalization: their mean over all batches shown so far."""
        embedded, stream = self.embed(settings), self._lifted(audio)
        for block in self.tcn_blocks:
            block.calibrate(stream)
            stream = block(stream, embedded)

    @property
    def tcn_blocks(self) -> list[TCNBlock]:
        """The blocks in order."""
        return [block for block in self.blocks if isinstance(block, TCNBlock)]

    @property
    def reach(self) -> tuple[int, int]:
        """How many samples before and after a moment the output there depends on."""
        befores, afters = zip(*(block.reach for block in self.tcn_blocks), strict=True)
        return sum(befores), sum(afters)

    def _lifted(self, audio: Tensor) -> Tensor:
        return audio[:, :, None] * self.lift[:, None]


def convolve(stream: Tensor, kernel: Tensor, lookahead: int = 0, dilation: int = 1) -> Tensor:
    """Linear convolution, cut to the samples that came in.

    Args:
        stream: [nodes, 2, width, samples].
        kernel: [1 or 2 sides, channels, width, taps]; taps at equal distances, ``lookahead`` of them before time zero.
        lookahead: taps before time zero.
        dilation: samples from one tap to the next.

    Shape:
        [nodes, 2, channels, samples]
    """
    samples, taps = stream.size(-1), kernel.size(-1)
    if taps <= DIRECT_TAPS or dilation > 1:
        return _convolve_directly(stream, kernel, lookahead, dilation)
    n_fft = good_length(samples + taps - 1)
    spectrum, response = rfft(stream, n_fft), rfft(kernel, n_fft, lookahead)
    if stream.size(2) == 1:
        return irfft(spectrum * response[:, :, 0], n_fft, samples)
    return irfft((spectrum[:, :, None] * response).sum(dim=3), n_fft, samples)


def _convolve_directly(stream: Tensor, kernel: Tensor, lookahead: int, dilation: int) -> Tensor:
    sides, channels, _, taps = kernel.shape
    before, after = (taps - 1 - lookahead) * dilation, lookahead * dilation
    padded, weight = functional.pad(stream, (before, after)), kernel.flip(-1)
    if sides == 1:
        result = functional.conv1d(padded.flatten(0, 1), weight[0], dilation=dilation)
        return result.unflatten(0, stream.shape[:2])
    result = functional.conv1d(padded.flatten(1, 2), weight.flatten(0, 1), dilation=dilation, groups=sides)
    return result.unflatten(1, (sides, channels))


def _envelope(config: BlockConfig) -> Tensor:
    """Two-sided exponentials of unit energy, [channels, 1, taps]; flat without time constants."""
    distance = (torch.arange(config.taps, dtype=torch.float64) - config.lookahead).abs()
    if config.shortest is None or config.longest is None:
        envelope = torch.ones(config.channels, config.taps, dtype=torch.float64)
    else:
        exponent = torch.linspace(0, 1, config.channels, dtype=torch.float64)
        times = config.shortest * (config.longest / config.shortest) ** exponent
        envelope = torch.exp(-distance / times[:, None])
    return (envelope / envelope.square().sum(dim=1, keepdim=True).sqrt()).float()[:, None]


@torch.no_grad()
def _start_neutral(layer: nn.Linear, constants: int) -> None:
    """The last values (shifts, and the gain of the residual connection) begin as zeros for all settings."""
    for values in (layer.weight, layer.bias):
        values[-constants:] = 0
