r"""A linear basis of the raw parameters of each node type: few coefficients for many parameters.

An equalizer has 1024 parameters and a reverb 768; no model learns them one by one from some hundred songs. So models
predict *coefficients*, and for each node type

.. math:: \mathrm{raw} = m + (c \odot s)\, B, \qquad c \in \mathbb{R}^k

with the mean m, the principal components B (rows, orthonormal) and their standard deviations s over the processors of a
set of graphs. Raw units are used because a raw step is about equally audible for all parameters of a type. A type with
no more than k raw parameters (compressor, gate, imager, gain) is represented exactly: B is the identity.

Before it is fitted, the mean is neutral and B holds the smoothest k cosines, so that a model can be trained on audio
alone.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from graphmix.errors import GraphError
from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.rack import Rack

RAW_LIMIT = 30.0
"""Bound of raw values, beyond all in use: an exponential would overflow."""
START_SPREAD = 0.5
"""Standard deviation of raw values that a coefficient of 1 stands for before the basis is fitted: 4 dB."""
LEAST_SPREAD = 0.01
"""Smallest spread of a fitted component: a parameter that never varied would have no gradient."""
_SAME = 1e-6
"""Singular values below this share of the largest are rounding."""


class _Inward(torch.autograd.Function):
    """Clamp, with the gradient of the identity wherever a step against it leads back into the range."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, low: Tensor, high: Tensor) -> Tensor:
        ctx.save_for_backward(values, low, high)
        return values.clamp(low, high)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        values, low, high = ctx.saved_tensors
        useful = ((values <= high) | (grad > 0)) & ((values >= low) | (grad < 0))
        return grad * useful, None, None


def clamp_inward(values: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Values brought into [low, high]; those outside keep the gradient that pulls them back, and no other."""
    clamped: Tensor = _Inward.apply(values, low, high)
    return clamped


class RawBasis(nn.Module):
    """Coefficients of the raw parameters of each node type, and back.

    Args:
        rack: the processors, which map between raw and physical values.
        components: k, the most coefficients of a type.

    Shape:
        coefficients [nodes, k], parameters [nodes, width].

    Example:
        >>> basis = RawBasis(Rack.console("eg"), components=8)
        >>> dict(basis.sizes)
        {'equalizer': 8, 'gain': 2}
    """

    def __init__(self, rack: Rack, components: int = 16) -> None:
        super().__init__()
        self._rack = (rack,)  # in a tuple: it belongs to the model, not to its basis
        sizes = {}
        for processor in rack:
            name = processor.node_type.name
            mean = processor.to_raw(processor.node_type.neutral()[None])[0]
            sizes[name] = min(components, mean.numel())
            rows, spread = _unfitted(mean.numel(), sizes[name])
            self.register_buffer(f"mean_{name}", mean.clone())
            self.register_buffer(f"rows_{name}", rows)
            self.register_buffer(f"spread_{name}", spread)
        self.sizes: Mapping[str, int] = sizes

    @property
    def rack(self) -> Rack:
        """The processors."""
        return self._rack[0]

    def mean(self, name: str) -> Tensor:
        """Mean of the raw parameters of a type, [raw width]."""
        return self.get_buffer(f"mean_{name}")

    def rows(self, name: str) -> Tensor:
        """Components of a type, [k, raw width]."""
        return self.get_buffer(f"rows_{name}")

    def spread(self, name: str) -> Tensor:
        """Standard deviation along each component, [k]."""
        return self.get_buffer(f"spread_{name}")

    def raw(self, name: str, coefficients: Tensor) -> Tensor:
        """Coefficients to raw values, [nodes, k] -> [nodes, raw width]."""
        mean = self.mean(name)
        return mean + (coefficients.to(mean.dtype) * self.spread(name)) @ self.rows(name)

    def coefficients_of_raw(self, name: str, raw: Tensor) -> Tensor:
        """Raw values to the coefficients that come closest to them, [nodes, raw width] -> [nodes, k]."""
        return (raw - self.mean(name)) @ self.rows(name).mT / self.spread(name)

    def decode(self, name: str, coefficients: Tensor) -> Tensor:
        """Coefficients to physical values within their ranges, differentiably, [nodes, k] -> [nodes, width]."""
        return physical_values(self.rack, name, self.raw(name, coefficients))

    def encode(self, name: str, params: Tensor) -> Tensor:
        """Physical values to coefficients, [nodes, width] -> [nodes, k].

        Raises:
            GraphError: parameters of another width: the graph was made at another sample rate or with another rack.
        """
        return self.coefficients_of_raw(name, self._to_raw(name, params))

    def _to_raw(self, name: str, params: Tensor) -> Tensor:
        width = self.rack[name].node_type.width
        if params.size(1) != width:
            raise GraphError(
                f"the graph's {name!r} has {params.size(1)} parameters and the model's {width}; give graphs at "
                f"the model's {self.rack.sample_rate} Hz."
            )
        return self.rack[name].to_raw(params.to(self.mean(name).dtype))

    def decode_all(self, coefficients: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """:meth:`decode` for each type."""
        return {name: self.decode(name, values) for name, values in coefficients.items()}

    @torch.no_grad()
    def fit(self, graphs: Iterable[MixGraph]) -> "RawBasis":
        """Fit mean, components and spread to the processors of some graphs that are not bypassed.

        A type that no graph uses stays as it is; of one that is used once only the mean is known.

        Raises:
            GraphError: a graph of another sample rate.
        """
        found: dict[str, list[Tensor]] = {name: [] for name in self.sizes}
        for graph in graphs:
            for name, rows in found.items():
                if name in graph.params and graph.params[name].numel():
                    audible = graph.wet[graph.nodes_of(name)] > 0
                    device = self.mean(name).device
                    rows.append(self._to_raw(name, graph.params[name][audible].to(device)))
        for name, rows in found.items():
            if rows:
                self._fit_type(name, torch.cat(rows).double())
        return self

    def _fit_type(self, name: str, raw: Tensor) -> None:
        """From the raw values of all processors of a type, float64 [n, raw width]."""
        count, width = raw.shape
        if not count:
            return
        mean, rows, spread = self.mean(name), self.rows(name), self.spread(name)
        center = raw.mean(0)
        mean.copy_(center)
        if count == 1:
            return
        k = self.sizes[name]
        if k == width:
            rows.copy_(torch.eye(width))
            spread.copy_(raw.std(0, unbiased=False).clamp(min=LEAST_SPREAD))
            return
        _, singular, directions = torch.linalg.svd(raw - center, full_matrices=False)
        known = int((singular > _SAME * singular[0]).sum()) if float(singular[0]) > 0 else 0
        known = min(k, known)
        rows.zero_()
        spread.fill_(LEAST_SPREAD)
        rows[:known] = _with_sign(directions[:known]).to(rows)
        spread[:known] = (singular[:known] / math.sqrt(count)).clamp(min=LEAST_SPREAD).to(spread)


def physical_values(rack: Rack, name: str, raw: Tensor) -> Tensor:
    """Raw values to physical ones within their ranges, differentiably, [nodes, raw width] -> [nodes, width]."""
    processor = rack[name]
    if not raw.size(0):
        return raw.new_zeros(0, processor.node_type.width)
    values = processor.from_raw(raw.clamp(-RAW_LIMIT, RAW_LIMIT))
    low, high = (bound.to(values) for bound in processor.node_type.bounds())
    return clamp_inward(values, low, high)


def _unfitted(width: int, k: int) -> tuple[Tensor, Tensor]:
    """The identity, or the first k rows of an orthonormal cosine transform; and their spread."""
    if k == width:
        return torch.eye(width), torch.full((k,), START_SPREAD)
    place = (torch.arange(width, dtype=torch.float64) + 0.5) * (math.pi / width)
    rows = torch.cos(torch.arange(k, dtype=torch.float64)[:, None] * place) * math.sqrt(2 / width)
    if k:
        rows[0] /= math.sqrt(2)
    return rows.float(), torch.full((k,), START_SPREAD * math.sqrt(width / max(1, k)))


def _with_sign(directions: Tensor) -> Tensor:
    """Directions whose largest entry is positive, so that the same graphs give the same basis."""
    largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
    return directions * torch.where(largest < 0, -1.0, 1.0)
