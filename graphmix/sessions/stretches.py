"""Linear stretches of a channel: several processors in a row as one matrix, or as one impulse response.

Gains and other matrices, equalizers, filters, crossover, delays, reverbs and align are linear and do not change over
time. A row of them is one response of four channels (what of left and right comes out left and right), which a
convolver applies; where none of them has a memory it is a matrix. Everything is computed in float64.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import convolve

from graphmix.errors import GraphError
from graphmix.processors.align import HALF, interpolation
from graphmix.processors.base import LTIProcessor, MatrixProcessor, Processor
from graphmix.processors.rack import Rack
from graphmix.sessions.session import Device

DIAGONAL = frozenset({"gain", "pan", "balance", "polarity"})
"""Kinds of matrices that leave left on the left and right on the right."""
MATRICES = DIAGONAL | {"imager", "rotation", "mid_side_encoder", "mid_side_decoder"}
_EQUALIZERS = frozenset({"equalizer", "parametric_eq", "graphic_eq", "octave_eq"})
_FILTERS = frozenset({"crossover", "biquad", "state_variable", "pole_zero", "fir_filter"})
_SPACES = frozenset({"delay", "reverb", "align", "feedback_network", "velvet_reverb", "early_reflections", "haas"})
APART = _EQUALIZERS | _FILTERS | _SPACES
"""Kinds with a memory whose channels are apart."""
CROSSED = frozenset({"bass_width", "feedback_delay"})
"""Kinds with a memory that mix left and right: what they answer to an impulse on either side is their response."""
LINEAR = MATRICES | APART | CROSSED
MOST_TAPS = 1 << 20
"""What the convolver takes."""
NEGLIGIBLE = 1e-9
"""Taps at either end that are smaller than the largest by this factor are left out (-180 dB)."""


@dataclass(frozen=True, eq=False)
class Response:
    """An impulse response of two inputs and two outputs.

    Args:
        start: time of the first tap in samples; below 0 it rings before the input.
        taps: [outputs, inputs, taps] in float64, left and right each.
    """

    start: int
    taps: NDArray[np.float64]

    def then(self, other: "Response") -> "Response":
        """This response, and behind it the other one."""
        taps = np.zeros((2, 2, self.taps.shape[2] + other.taps.shape[2] - 1))
        for output, source, between in np.ndindex(2, 2, 2):
            a, b = self.taps[between, source], other.taps[output, between]
            if a.any() and b.any():
                taps[output, source] += convolve(a, b, method="direct" if min(len(a), len(b)) == 1 else "fft")
        return Response(self.start + other.start, taps)

    def with_dry(self, wet: float) -> "Response":
        """Wet and dry together (equation 2)."""
        if wet == 1:
            return self
        start = min(self.start, 0)
        stop = max(self.start + self.taps.shape[2], 1)
        taps = np.zeros((2, 2, stop - start))
        begin = self.start - start
        taps[:, :, begin : begin + self.taps.shape[2]] = wet * self.taps
        taps[[0, 1], [0, 1], -start] += 1 - wet
        return Response(start, taps)

    def trimmed(self) -> "Response":
        """Without negligible taps at the ends; time zero may lie outside of what is left."""
        size = np.abs(self.taps).max((0, 1))
        kept = np.flatnonzero(size > NEGLIGIBLE * size.max())
        if not kept.size:
            return Response(0, np.zeros((2, 2, 1)))
        return Response(self.start + int(kept[0]), self.taps[:, :, kept[0] : kept[-1] + 1])


def response_of(devices: Sequence[Device], sample_rate: int) -> Response:
    """One response of linear devices in a row.

    Raises:
        GraphError: it is longer than a convolver takes.
    """
    result = Response(0, np.eye(2)[:, :, None])
    for device in devices:
        result = result.then(_response(device, sample_rate).with_dry(device.wet))
        if result.taps.shape[2] > MOST_TAPS:
            raise GraphError(
                f"{device.label}: the impulse response of its channel has {result.taps.shape[2]} taps, and the "
                f"convolver takes {MOST_TAPS}; make its delay shorter."
            )
    return result.trimmed()


def matrix_of(device: Device, sample_rate: int) -> NDArray[np.float64]:
    """The matrix on (left, right) of a gain or an imager with its dry/wet, [2, 2]."""
    processor = Rack.for_types([device.node_type], sample_rate)[device.kind]
    assert isinstance(processor, MatrixProcessor)
    return device.wet * processor.matrix(device.params[None])[0].numpy() + (1 - device.wet) * np.eye(2)


def _response(device: Device, sample_rate: int) -> Response:
    """The response of one device, wet only."""
    if device.kind == "align":
        return _alignment(device, sample_rate)
    processor = Rack.for_types([device.node_type], sample_rate)[device.kind]
    if device.kind in CROSSED:
        return _measured(processor, device)
    if isinstance(processor, MatrixProcessor):
        return Response(0, processor.matrix(device.params[None])[0].numpy()[:, :, None])
    assert isinstance(processor, LTIProcessor), f"{device.label} is no linear processor"
    with torch.no_grad():
        taps = processor.impulse_response(device.params[None])[0]
    if len(device.node_type.outlets) > 1:
        taps = taps[device.outlet]
    left_right = taps.expand(2, -1).numpy()
    result = np.zeros((2, 2, left_right.shape[1]))
    result[0, 0], result[1, 1] = left_right
    return Response(-processor.extent[0], result)


def _measured(processor: Processor, device: Device) -> Response:
    """What a linear processor answers to an impulse on the left and to one on the right.

    Raises:
        GraphError: it rings for longer than a convolver takes.
    """
    with torch.no_grad():
        after, before = processor.memory(device.params[None])
        if before + 1 + after > MOST_TAPS:
            raise GraphError(
                f"{device.label} rings for {after} samples, and the convolver takes {MOST_TAPS}; give it less feedback "
                "or a shorter delay."
            )
        impulses = torch.zeros(2, 2, before + 1 + after, dtype=torch.float64)
        impulses[[0, 1], [0, 1], before] = 1
        answers = processor(impulses, device.params[None].expand(2, -1))
    return Response(-before, answers.transpose(0, 1).numpy())


def _alignment(device: Device, sample_rate: int) -> Response:
    """A delay by whole samples, and interpolation where it is no whole number of them."""
    wanted = device.value("delay_ms") * sample_rate / 1000
    whole = round(wanted)
    sign = -1.0 if device.value("polarity") < 0 else 1.0
    if abs(wanted - whole) <= 2.0**-23 * abs(whole):
        return Response(whole, sign * np.eye(2)[:, :, None])
    kernel = interpolation(torch.tensor([wanted - whole], dtype=torch.float64))[0].numpy()
    return Response(whole - HALF, sign * np.eye(2)[:, :, None] * kernel)
