"""The base classes of processors, and what they declare for the renderer.

A processor is a function of audio and physical parameters, batched over nodes. It holds no learnable state: the
parameters live in the graph. What makes rendering fast is declared by the class it derives from:

* :class:`LTIProcessor` gives its frequency response; the renderer multiplies spectra, folds dry/wet into the
  response and stays in the frequency domain from one such node to the next.
* :class:`MatrixProcessor` gives one real 2×2 matrix for each node; it works in either domain.
* :class:`Processor` alone is *general*: it is given the samples of the segment, and only those.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from graphmix.dsp.fft import good_length, irfft, place, rfft
from graphmix.dsp.matrix import multiply
from graphmix.errors import GraphError
from graphmix.processors.signals import as_signal, check_shapes
from graphmix.spec import DB_PER_NEPER, NodeType

State = tuple[Tensor, ...]
"""What a processor remembers, tensors whose first axis is nodes or signals; their content is its own business."""


class Processor(nn.Module, ABC):
    """A node type and its signal processing.

    Args:
        sample_rate: in Hz. Times and frequencies of the parameters keep their meaning at any rate.

    Shape:
        audio [nodes, channels, samples], params [nodes, width] -> [nodes, channels, samples]. With several
        inlets audio is [nodes, inlets, channels, samples]; with several outlets the result is
        [nodes, outlets, channels, samples]. There are two channels, left and right.
    """

    node_type: NodeType
    gain_staged = False
    """True if the energy of output and input should agree (equation 5); for one outlet, and for no matrix."""
    keeps_silence = True
    """Silence in is silence out, with no gradient; False for a generator, which has to be rendered all the same."""
    passes_gradients = True
    """False: parameters and audio get no gradient, so that a search can bypass a node and not fit its parameters."""
    is_placed = False
    """Depends on where in the song a signal lies: the renderer then gives it the parameters of :meth:`placed`."""
    start_wet = 1.0
    """Dry/wet weight with which a search starts, so that the untrained node is (nearly) the identity."""
    wet_rate = 1.0
    """Step size of the dry/wet weight in a search with own rates, as a multiple of its learning rate."""

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__()
        if sample_rate <= 0:
            raise ValueError(f"sample_rate is {sample_rate}; it is a positive number of Hz")
        self.sample_rate = int(sample_rate)

    def __call__(self, audio: Tensor, params: Tensor) -> Tensor:
        """:meth:`forward` with audio in float32 or float64; see :func:`graphmix.processors.signals.as_signal`.

        Raises:
            GraphError: audio or parameters of another shape.
        """
        audio = as_signal(audio, "audio")
        check_shapes(self.node_type, audio, params)
        return super().__call__(audio, params)

    @abstractmethod
    def forward(self, audio: Tensor, params: Tensor) -> Tensor:
        """Process a batch of nodes; wet only."""

    def mix(self, audio: Tensor, params: Tensor, wet: Tensor) -> tuple[Tensor, Tensor | None]:
        """Process and mix with the dry signal, the first inlet's (equation 2); for one outlet.

        Args:
            audio: as for :meth:`forward`.
            params: physical values, [nodes, width].
            wet: dry/wet weights, [nodes].

        Returns:
            The signals [nodes, 2, samples], and of a gain-staged processor the energies (wet, dry) of the mid
            channel, [nodes, 2].
        """
        processed = self(audio, params)
        dry = audio[:, 0] if len(self.node_type.inlets) > 1 else audio
        energy = torch.stack([_mid_energy(processed), _mid_energy(dry)], dim=1) if self.gain_staged else None
        return torch.lerp(dry, processed, wet[:, None, None].to(dry.dtype)), energy

    def get(self, params: Tensor, name: str) -> Tensor:
        """One parameter of all nodes, [nodes, size]."""
        return params[:, self.node_type.columns(name)]

    def choice(self, params: Tensor, name: str) -> Tensor:
        """What a parameter of choices selects: whole numbers without a gradient, [nodes, size]."""
        return self.get(params, name).detach().round().long()

    def to_raw(self, params: Tensor) -> Tensor:
        """Physical values to the numbers that an optimizer sees, [nodes, width] -> [nodes, raw width]."""
        columns = [p.curve.raw(self.get(params, p.name)) for p in self.node_type.parameters]
        return torch.cat([params[:, :0], *columns], dim=1)

    def from_raw(self, raw: Tensor) -> Tensor:
        """Raw numbers to physical values."""
        columns = [p.curve.physical(self.get(raw, p.name)) for p in self.node_type.parameters]
        return torch.cat([raw[:, :0], *columns], dim=1)

    def rates(self) -> Tensor:
        """Step sizes of the raw numbers in a search with own rates, as multiples of its learning rate, [raw width]."""
        return torch.ones(self.node_type.width)

    def start(self, params: Tensor, generator: torch.Generator) -> Tensor:
        """Physical values from which a search starts, given neutral ones, [nodes, width]."""
        return params

    def fit_levels(self, params: Tensor, levels_db: list[Tensor]) -> Tensor:
        """Adapt starting values to the levels at each node's input: one tensor of frame levels for each node."""
        return params

    def placed(self, params: Tensor, seconds: Tensor) -> Tensor:
        """The parameters as seen from a signal that begins so many seconds into the song; for :attr:`is_placed`.

        Args:
            params: physical values, [nodes, width].
            seconds: for each node, below 0 before the song, in float64, [nodes].
        """
        return params

    def fold(self, params: Tensor, wet: Tensor) -> Tensor | None:
        """Parameters that do at weight 1 what these do at a dry/wet weight; None where there are none.

        Args:
            params: physical values, [nodes, width].
            wet: dry/wet weights, [nodes].
        """
        return None

    def at_rate(self, sample_rate: int) -> "Processor":
        """The processor at another sample rate that does the same to the band that both rates have.

        By default one of the same class, whose parameters keep their meaning; see :meth:`params_at`.

        Raises:
            GraphError: a class that is made in another way and does not say how.
        """
        try:
            return type(self)(sample_rate)
        except TypeError:
            raise GraphError(
                f"{self.node_type.name!r} cannot go from {self.sample_rate} to {sample_rate} Hz: its class is not made "
                "from a sample rate alone. Give it an at_rate method."
            ) from None

    def params_at(self, params: Tensor, other: "Processor") -> Tensor:
        """Physical values for this processor at another rate, [nodes, width] -> [nodes, width of the other].

        Args:
            params: of this processor.
            other: from :meth:`at_rate`.
        """
        return params

    def memory(self, params: Tensor) -> tuple[int, int]:
        """How many samples before and after a moment its output there depends on, for rendering in blocks.

        Zero by default: a general processor of your own with a memory states here how long it is.
        """
        return 0, 0

    @property
    def resumable(self) -> bool:
        """True if :meth:`resume` carries all that it remembers from one block to the next.

        Rendering in blocks then needs no warm-up, however long the memory.
        """
        return False

    @property
    def period(self) -> int:
        """Parts of a signal for a resumable processor begin at multiples of so many samples."""
        return 1

    def resume(self, audio: Tensor, params: Tensor, state: State | None, mark: int) -> tuple[Tensor, State]:
        """One part of a longer signal, wet only, and the state with which the next part begins.

        Args:
            audio: as for :meth:`forward`.
            params: physical values, [nodes, width].
            state: that of the part's first sample; None where the signal begins.
            mark: the sample of this part at which the next one begins.
        """
        raise TypeError(f"{type(self).__name__} is not resumable")

    @property
    def streams(self) -> bool:
        """True if rendering in blocks feeds each node through a :meth:`stream`, as nothing else holds its state."""
        return False

    def stream(self, params: Tensor) -> Callable[[Tensor], Tensor]:
        """A function that is given one node's audio, block by block [channels, samples], and goes on where it stopped.

        What it has returned is behind what it was given by up to the samples ahead of :meth:`memory`.

        Args:
            params: physical values of the node, [width].
        """
        raise TypeError(f"{type(self).__name__} has no streams")

    @torch.no_grad()
    def project(self, raw: Tensor) -> None:
        """Bring raw numbers back into their ranges, in place, after a step of the optimizer."""
        for p in self.node_type.parameters:
            columns = self.node_type.columns(p.name)
            low, high = (float(p.curve.raw(torch.tensor(edge))) for edge in (p.low, p.high))
            raw[:, columns].clamp_(low, high)


class MatrixProcessor(Processor):
    """Linear without memory: the same real 2×2 matrix on (left, right) for all samples."""

    @abstractmethod
    def matrix(self, params: Tensor) -> Tensor:
        """Matrices that map (left, right) to (left, right), [nodes, 2, 2]."""

    def forward(self, audio: Tensor, params: Tensor) -> Tensor:
        """Process a batch of nodes; wet only."""
        return multiply(self.matrix(params), audio)


class StartsBypassed:
    """What echoes, rooms and moving delays derive from beside their own base: a search starts them bypassed.

    Whatever their parameters are, they are far from the identity. Their dry/wet weight moves more slowly than others.
    """

    start_wet = 0.0
    wet_rate = 0.3


class LTIProcessor(Processor):
    """Linear and time-invariant with a finite impulse response, the channels apart."""

    @property
    @abstractmethod
    def extent(self) -> tuple[int, int]:
        """How far the response reaches before and after time zero, in samples."""

    @abstractmethod
    def impulse_response(self, params: Tensor) -> Tensor:
        """Taps from ``-extent[0]`` to ``extent[1]``, [nodes, (outlets,) 1 or 2 channels, taps]."""

    def memory(self, params: Tensor) -> tuple[int, int]:
        """As far as the response reaches."""
        before, after = self.extent
        return after, before

    def response(self, params: Tensor, n_fft: int) -> Tensor:
        """Frequency response at ``n_fft // 2 + 1`` bins, [nodes, (outlets,) 1 or 2 channels, bins].

        Real where the impulse response is symmetric, else complex.
        """
        taps, (before, after) = self.impulse_response(params), self.extent
        if taps.size(-1) != before + 1 + after:
            raise ValueError(
                f"the impulse response of {self.node_type.name!r} has {taps.size(-1)} taps; its extent "
                f"({before}, {after}) promises {before + 1 + after}"
            )
        return rfft(place(taps, before, n_fft), n_fft)

    def forward(self, audio: Tensor, params: Tensor) -> Tensor:
        """Process a batch of nodes by linear convolution, cut to the segment; wet only."""
        n_fft = good_length(max(1, audio.size(-1)) + sum(self.extent))
        spectrum = rfft(audio, n_fft)
        if len(self.node_type.outlets) > 1:
            spectrum = spectrum[:, None]
        return irfft(spectrum * self.response(params, n_fft), n_fft, audio.size(-1))


def mixed_db(gain_db: Tensor, wet: Tensor) -> Tensor:
    """Gains in dB [nodes, size] mixed with a dry signal: ``w g + 1 - w`` of the amplitudes."""
    weight = wet[:, None]
    return (weight * (gain_db / DB_PER_NEPER).exp() + (1 - weight)).log() * DB_PER_NEPER


def _mid_energy(signal: Tensor) -> Tensor:
    """Energy of the mid channel, [nodes, 2, samples] -> [nodes]."""
    return signal.mean(dim=1).square().sum(dim=1)
