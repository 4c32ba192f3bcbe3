r"""Gradients of an effect that can be rendered and not be differentiated, such as a plugin, from further renders.

*Parameters* by simultaneous perturbation (SPSA, Spall 1992; for audio plugins Ramírez et al. 2021, "Differentiable
signal processing with black-box audio effects"): all are moved at once by random signs, the effect is rendered on both
sides, and the difference, weighted by the gradient of the loss at the output, is shared out:

.. math:: \hat g_k = \frac{\langle g_y, f(x, \theta + c\Delta) - f(x, \theta - c\Delta) \rangle}{2 c \Delta_k}

Its expected value is the gradient up to :math:`O(c^2)`; with several parameters each draw adds the others' share with
random sign. Consecutive draws take their signs from the columns of a Hadamard matrix, so that these shares cancel out
where there are as many draws as parameters, rounded up to a power of two.

*Audio* by time reversal. The paper perturbs the audio by random signs as well, and keeps of the derivative what each
sample does to the same sample of the output: right for a waveshaper, and zero for a delay or a reverb. Here the
gradient at the output is played backwards through the effect, as a small change of the audio, played backwards too:

.. math:: \hat g_x = R\, \frac{f(R x + \epsilon R g_y) - f(R x - \epsilon R g_y)}{2 \epsilon}

with R the reversal of time. For whatever is time-invariant and linear, or has no memory, this is the gradient (the
transpose of a convolution is the convolution in reversed time), for a compressor an approximation, as its envelope runs
the other way round. It does not hold for what varies by itself, such as a chorus.

Conventions: parameters are in units of 0 to 1 over their ranges. Signs depend on the seed and on the row's own audio
and parameters alone: the same input gives the same estimate, in a batch or by itself, today or after an interruption.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import hadamard
from torch import Tensor
from torch.autograd.function import once_differentiable

from graphmix.errors import GraphmixError

Wave = NDArray[np.float32]
Place = NDArray[np.float64]
RenderRow = Callable[[Wave, Place], Wave]
"""Audio of one node [channels, samples] and its parameters in units of 0 to 1 [width] -> what it makes of it."""
_AUDIO_FLOOR = 1e-4
"""Level of audio below which its change does not fall any further, relative to full scale."""


@dataclass(frozen=True)
class Perturbation:
    """How gradients are estimated.

    Args:
        size: of a step of the parameters, as a share of their ranges.
        draws: how many estimates are averaged, of two renders each.
        audio_size: of the change of the audio, as a share of its level.
        seed: of the random signs.
    """

    size: float = 0.01
    draws: int = 1
    audio_size: float = 0.01
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.size < 0.5:
            raise GraphmixError(f"the size of a perturbation is {self.size}; it is a share of a range, below 0.5.")
        if not 0 < self.audio_size < 1:
            raise GraphmixError(f"the audio_size of a perturbation is {self.audio_size}; it is a share below 1.")
        if self.draws < 1:
            raise GraphmixError(f"a perturbation has {self.draws} draws; it has one or more.")


@dataclass(frozen=True)
class Perturbed:
    """An effect, and how its gradients are estimated.

    Args:
        render_row: renders one node.
        coupled: left and right act on each other, so that the audio's gradient takes four times as many renders.
        varies: the effect varies by itself: no gradient reaches its audio.
        how: sizes of steps and number of draws.
    """

    render_row: RenderRow
    coupled: bool = False
    varies: bool = False
    how: Perturbation = Perturbation()

    def __call__(self, audio: Tensor, unit: Tensor, render: Callable[[], Tensor]) -> Tensor:
        """The output, with estimated gradients.

        Args:
            audio: [rows, channels, samples].
            unit: parameters in units of 0 to 1 over their ranges, [rows, width].
            render: gives the output, [rows, channels, samples].
        """
        result = _Estimate.apply(audio.detach() if self.varies else audio, unit, render, self)
        assert isinstance(result, Tensor)
        return result

    def gradient_of_parameters(self, wave: Wave, place: Place, weight: Place, rng: np.random.Generator) -> Place:
        """Estimated in the middle of steps that end within the ranges, [width]."""
        size, draws = self.how.size, self.how.draws
        middle = place.clip(size, 1 - size)
        total = np.zeros_like(place)
        for signs in directions(len(place), draws, rng):
            step = size * signs
            difference = self.render_row(wave, middle + step).astype(np.float64) - self.render_row(wave, middle - step)
            total += np.vdot(weight, difference) / (2 * step)
        return total / draws

    def gradient_of_audio(self, wave: Wave, place: Place, weight: Place) -> Place:
        """Estimated by time reversal, [channels, samples]."""
        level = float(np.sqrt(np.mean(weight**2)))
        if level == 0:
            return np.zeros_like(weight)
        epsilon = self.how.audio_size * max(_AUDIO_FLOOR, float(np.sqrt(np.mean(wave**2)))) / level
        backwards = wave[:, ::-1]

        def through(change: Place) -> Place:
            step = epsilon * change[:, ::-1]
            above, below = (self.render_row((backwards + d).astype(np.float32), place) for d in (step, -step))
            return ((above.astype(np.float64) - below) / (2 * epsilon))[:, ::-1]

        if not self.coupled:
            return through(weight)
        result = np.zeros_like(weight)
        for enters, leaves in np.ndindex(len(weight), len(weight)):  # what reaches one channel from the other
            change = np.zeros_like(weight)
            change[enters] = weight[leaves]
            result[enters] += through(change)[leaves]
        return result


class _Estimate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, audio: Tensor, unit: Tensor, render: Callable[[], Tensor], effect: Perturbed) -> Tensor:
        ctx.save_for_backward(audio, unit)
        ctx.effect = effect
        return render()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        audio, unit = ctx.saved_tensors
        effect: Perturbed = ctx.effect
        waves = audio.cpu().numpy().astype(np.float32)
        places, weights = (tensor.cpu().numpy().astype(np.float64) for tensor in (unit, gradient))
        of_audio = np.zeros(waves.shape) if ctx.needs_input_grad[0] else None
        of_unit = np.zeros(places.shape) if ctx.needs_input_grad[1] else None
        for i, (wave, place, weight) in enumerate(zip(waves, places, weights, strict=True)):
            if of_unit is not None and place.size:
                content = zlib.crc32(place.tobytes(), zlib.crc32(wave.tobytes()))
                rng = np.random.default_rng((effect.how.seed, content))
                of_unit[i] = effect.gradient_of_parameters(wave, place, weight, rng)
            if of_audio is not None:
                of_audio[i] = effect.gradient_of_audio(wave, place, weight)
        return _like(of_audio, audio), _like(of_unit, unit), None, None


def _like(values: Place | None, tensor: Tensor) -> Tensor | None:
    return None if values is None else torch.from_numpy(values).to(tensor)


def directions(width: int, draws: int, rng: np.random.Generator) -> Place:
    """Random signs, [draws, width]: each row by itself independent, whole sets of rows orthogonal by columns."""
    order = 1 << (width - 1).bit_length()
    rows: list[Place] = []
    while len(rows) < draws:
        matrix = hadamard(order).astype(np.float64)[:, rng.permutation(order)[:width]]
        rows.extend(rng.permutation(matrix * rng.choice([-1.0, 1.0], size=width)))
    return np.stack(rows[:draws])
